//! The form of a reply: a header of 28 octets, then what was asked for, all of it in network order.

use crate::number;
use crate::request::{Head, Refusal, VERSION};
use std::net::IpAddr;

/// Octets before what a reply says.
pub const HEADER: usize = 28;

/// A datagram with this type is a reply.
const REPLY: u8 = 2;

/// Of a reply that says nothing beyond its header.
const NOTHING: u16 = 1;

/// A time that stands for none.
pub const NEVER: u32 = u32::MAX;

/// The address of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    /// There is none.
    None,
    /// It is this one.
    Known(IpAddr),
    /// It is not known, and this number stands for it.
    Number(u32),
}

/// A reply that is being written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply(Vec<u8>);

impl Reply {
    /// The header of a reply of this form.
    pub fn new(head: &Head, form: u16) -> Self {
        Self::with_status(head, form, 0)
    }

    /// A whole reply that says why there is no other.
    pub fn refused(head: &Head, refusal: Refusal) -> Vec<u8> {
        Self::with_status(head, NOTHING, refusal as u16).0
    }

    fn with_status(head: &Head, form: u16, status: u16) -> Self {
        let mut reply = Self(Vec::with_capacity(HEADER));
        reply.octets(&[VERSION, REPLY, 0, 0]).short(head.command).short(form).short(status);
        reply.octets(&[0; 6]).octets(&head.sequence).octets(&[0; 8]);
        reply
    }

    /// Octets as they are.
    pub fn octets(&mut self, octets: &[u8]) -> &mut Self {
        self.0.extend_from_slice(octets);
        self
    }

    /// 16 bits.
    pub fn short(&mut self, value: u16) -> &mut Self {
        self.octets(&value.to_be_bytes())
    }

    /// 32 bits.
    pub fn word(&mut self, value: u32) -> &mut Self {
        self.octets(&value.to_be_bytes())
    }

    /// 64 bits.
    pub fn long(&mut self, value: u64) -> &mut Self {
        self.octets(&value.to_be_bytes())
    }

    /// A number with a fraction.
    pub fn number(&mut self, value: f64) -> &mut Self {
        self.word(number::encode(value))
    }

    /// Nanoseconds since 1970: seconds in 64 bits, nanoseconds in 32.
    pub fn time(&mut self, nanoseconds: i64) -> &mut Self {
        self.long(nanoseconds.div_euclid(1_000_000_000) as u64);
        self.word(nanoseconds.rem_euclid(1_000_000_000) as u32)
    }

    /// An address: sixteen octets, its family, and two unused ones.
    pub fn address(&mut self, address: Address) -> &mut Self {
        let (octets, family) = match address {
            Address::None => ([0; 16], 0),
            Address::Known(IpAddr::V4(address)) => (front(address.octets()), 1),
            Address::Known(IpAddr::V6(address)) => (address.octets(), 2),
            Address::Number(number) => (front(number.to_be_bytes()), 3),
        };
        self.octets(&octets).short(family).short(0)
    }

    /// The whole reply, or a refusal: no reply is longer than its request, so that nobody's answer can be made larger than
    /// what they sent.
    pub fn finish(self, head: &Head) -> Vec<u8> {
        match self.0.len() <= head.length {
            true => self.0,
            false => Self::refused(head, Refusal::Length),
        }
    }
}

fn front([a, b, c, d]: [u8; 4]) -> [u8; 16] {
    [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: Head = Head { command: 33, sequence: [9, 8, 7, 6], length: 104 };

    #[test]
    fn a_header_repeats_command_and_sequence() {
        let mut header = vec![6, 2, 0, 0, 0, 33, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 9, 8, 7, 6];
        header.extend([0; 8]);
        assert_eq!(Reply::new(&HEAD, 5).finish(&HEAD), header);
        (header[7], header[9]) = (1, 2);
        assert_eq!(Reply::refused(&HEAD, Refusal::NotAuthorised), header);
    }

    #[test]
    fn values_are_in_network_order() {
        let mut reply = Reply(Vec::new());
        reply.short(0x0102).word(0x0304_0506).long(0x0708_090a_0b0c_0d0e).number(1.0);
        assert_eq!(reply.0, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 4, 0x80, 0, 0]);
        let mut reply = Reply(Vec::new());
        reply.time(-1);
        assert_eq!(reply.0, [255, 255, 255, 255, 255, 255, 255, 255, 0x3b, 0x9a, 0xc9, 0xff]);
        let mut reply = Reply(Vec::new());
        reply.time(1_700_000_000_123_456_789);
        assert_eq!(reply.0, [0, 0, 0, 0, 0x65, 0x53, 0xf1, 0x00, 0x07, 0x5b, 0xcd, 0x15]);
    }

    #[test]
    fn an_address_is_sixteen_octets_and_its_family() {
        let written = |address| {
            let mut reply = Reply(Vec::new());
            reply.address(address);
            reply.0
        };
        let known = |text: &str| written(Address::Known(text.parse().unwrap()));
        assert_eq!(written(Address::None), [0; 20]);
        assert_eq!(known("192.0.2.1"), [192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0]);
        let six = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 0, 0];
        assert_eq!(known("2001:db8::9"), six);
        assert_eq!(written(Address::Number(7))[..], [&[0, 0, 0, 7][..], &[0; 12], &[0, 3, 0, 0]].concat());
    }

    #[test]
    fn a185_no_reply_is_longer_than_its_request() {
        let long = |length| {
            let head = Head { length, ..HEAD };
            let mut reply = Reply::new(&head, 5);
            reply.octets(&[7; 76]);
            reply.finish(&head)
        };
        assert_eq!(long(104).len(), 104);
        assert_eq!(long(103), Reply::refused(&HEAD, Refusal::Length));
        assert_eq!(Reply::refused(&HEAD, Refusal::Length).len(), HEADER);
    }
}
