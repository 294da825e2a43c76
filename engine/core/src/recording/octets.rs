//! The encoding of values: little-endian, one form for each value. Messages of the links stand as `ipc` encodes them, with
//! runs of zeros shortened.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;
use ipc::{MAX_FRAME, Message};

/// Octets that are not a valid encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Writes values behind each other.
#[derive(Debug, Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn octets(&mut self, octets: &[u8]) {
        self.0.extend_from_slice(octets);
    }

    pub(super) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(super) fn bool(&mut self, value: bool) {
        self.u8(u8::from(value));
    }

    pub(super) fn u16(&mut self, value: u16) {
        self.octets(&value.to_le_bytes());
    }

    pub(super) fn i64(&mut self, value: i64) {
        self.octets(&value.to_le_bytes());
    }

    pub(super) fn f64(&mut self, value: f64) {
        self.octets(&value.to_bits().to_le_bytes());
    }

    /// At most 65,535 octets count.
    pub(super) fn text(&mut self, text: &str) {
        let octets = cut(text, usize::from(u16::MAX)).as_bytes();
        self.u16(u16::try_from(octets.len()).unwrap_or(u16::MAX));
        self.octets(octets);
    }

    pub(super) fn ip(&mut self, ip: IpAddr) {
        match ip {
            IpAddr::V4(ip) => {
                self.u8(4);
                self.octets(&ip.octets());
            }
            IpAddr::V6(ip) => {
                self.u8(6);
                self.octets(&ip.octets());
            }
        }
    }

    /// Nothing, or something that `write` writes.
    pub(super) fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.bool(value.is_some());
        if let Some(value) = value {
            write(self, value);
        }
    }

    pub(super) fn message<M: Message>(&mut self, message: &M) {
        let mut frame = [0; MAX_FRAME];
        let length = ipc::encode(0, message, &mut frame);
        let mut packed = Writer::default();
        packed.pack(frame.get(..length).unwrap_or_default());
        self.u16(u16::try_from(packed.0.len()).unwrap_or(u16::MAX));
        self.octets(&packed.0);
    }

    /// A zero stands with the number of zeros from there on.
    fn pack(&mut self, octets: &[u8]) {
        for run in octets.chunk_by(|one, other| (*one == 0) == (*other == 0)) {
            if run.first() == Some(&0) {
                for part in run.chunks(255) {
                    self.u8(0);
                    self.u8(part.len() as u8);
                }
            } else {
                self.octets(run);
            }
        }
    }
}

/// The beginning of a text, at most so many octets.
pub(super) fn cut(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or("")
}

/// Reads values from octets that may be anything.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) const fn new(octets: &'a [u8]) -> Self {
        Self(octets)
    }

    pub(super) fn octets(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (octets, rest) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = rest;
        Ok(octets)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (octets, rest) = self.0.split_first_chunk::<N>().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*octets)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(u8::from_le_bytes)
    }

    pub(super) fn i8(&mut self) -> Result<i8, Malformed> {
        self.array().map(i8::from_le_bytes)
    }

    pub(super) fn bool(&mut self) -> Result<bool, Malformed> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed),
        }
    }

    pub(super) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn i64(&mut self) -> Result<i64, Malformed> {
        self.array().map(i64::from_le_bytes)
    }

    pub(super) fn f64(&mut self) -> Result<f64, Malformed> {
        self.array().map(|octets| f64::from_bits(u64::from_le_bytes(octets)))
    }

    pub(super) fn text(&mut self) -> Result<String, Malformed> {
        let length = self.u16()?;
        let octets = self.octets(usize::from(length))?;
        core::str::from_utf8(octets).map(String::from).map_err(|_| Malformed)
    }

    pub(super) fn ip(&mut self) -> Result<IpAddr, Malformed> {
        match self.u8()? {
            4 => self.array::<4>().map(IpAddr::from),
            6 => self.array::<16>().map(IpAddr::from),
            _ => Err(Malformed),
        }
    }

    pub(super) fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        if self.bool()? { read(self).map(Some) } else { Ok(None) }
    }

    pub(super) fn message<M: Message>(&mut self) -> Result<M, Malformed> {
        let length = self.u16()?;
        let mut packed = Self::new(self.octets(usize::from(length))?);
        let mut frame = Vec::with_capacity(MAX_FRAME);
        while !packed.is_empty() && frame.len() <= MAX_FRAME {
            match packed.u8()? {
                0 => frame.resize(frame.len() + usize::from(packed.u8()?), 0),
                octet => frame.push(octet),
            }
        }
        let record = ipc::decode::<M>(&frame).map_err(|_| Malformed)?;
        if record.sequence == 0 { Ok(record.body) } else { Err(Malformed) }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Nothing may be left.
    pub(super) fn end(self) -> Result<(), Malformed> {
        if self.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}
