//! A message (RFC 10049 section 4): a number of tags, where their values begin, the tags, the values. Everything is little-endian.

use core::fmt;

/// First octets of a packet.
const MAGIC: [u8; 8] = *b"ROUGHTIM";
/// Octets of a packet before its message.
pub(crate) const HEADER: usize = 12;
/// More tags than a message of today has, and than one of tomorrow may have here.
const MAX_TAGS: usize = 32;

/// The name of a value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tag(u32);

impl Tag {
    pub(crate) const SIG: Self = Self::of(b"SIG\0");
    pub(crate) const VER: Self = Self::of(b"VER\0");
    pub(crate) const SRV: Self = Self::of(b"SRV\0");
    pub(crate) const NONC: Self = Self::of(b"NONC");
    pub(crate) const DELE: Self = Self::of(b"DELE");
    pub(crate) const TYPE: Self = Self::of(b"TYPE");
    pub(crate) const PATH: Self = Self::of(b"PATH");
    pub(crate) const RADI: Self = Self::of(b"RADI");
    pub(crate) const PUBK: Self = Self::of(b"PUBK");
    pub(crate) const MIDP: Self = Self::of(b"MIDP");
    pub(crate) const SREP: Self = Self::of(b"SREP");
    pub(crate) const VERS: Self = Self::of(b"VERS");
    pub(crate) const MINT: Self = Self::of(b"MINT");
    pub(crate) const ROOT: Self = Self::of(b"ROOT");
    pub(crate) const CERT: Self = Self::of(b"CERT");
    pub(crate) const MAXT: Self = Self::of(b"MAXT");
    pub(crate) const INDX: Self = Self::of(b"INDX");
    pub(crate) const ZZZZ: Self = Self::of(b"ZZZZ");

    const fn of(name: &[u8; 4]) -> Self {
        Self(u32::from_le_bytes(*name))
    }

    /// Its octets.
    pub(crate) const fn octets(self) -> [u8; 4] {
        self.0.to_le_bytes()
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.octets();
        name.iter()
            .take_while(|octet| **octet != 0)
            .try_for_each(|octet| write!(f, "{}", octet.escape_ascii()))
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A message whose tags ascend, and whose values follow each other to its last octet.
#[derive(Clone, Copy)]
pub(crate) struct Message<'a> {
    count: usize,
    offsets: &'a [u8],
    tags: &'a [u8],
    values: &'a [u8],
}

/// The message of a packet that has nothing behind it.
pub(crate) fn unframe(packet: &[u8]) -> Option<&[u8]> {
    let (header, message) = packet.split_at_checked(HEADER)?;
    let length = usize::try_from(word(header, MAGIC.len())?).ok()?;
    (header.starts_with(&MAGIC) && length == message.len()).then_some(message)
}

/// What stands before a message of this length, which is far below what four octets can say.
pub(crate) fn header(length: usize) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..MAGIC.len()].copy_from_slice(&MAGIC);
    header[MAGIC.len()..].copy_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    header
}

impl<'a> Message<'a> {
    /// None: the octets are no message.
    pub(crate) fn read(octets: &'a [u8]) -> Option<Self> {
        let count = usize::try_from(word(octets, 0)?).ok().filter(|count| (1..=MAX_TAGS).contains(count))?;
        let (_, rest) = octets.split_at_checked(4)?;
        let (offsets, rest) = rest.split_at_checked(4 * (count - 1))?;
        let (tags, values) = rest.split_at_checked(4 * count)?;
        let message = Self { count, offsets, tags, values };
        let is_sorted = (1..count).all(|at| message.tag(at - 1) < message.tag(at));
        let is_in_order = (0..count).all(|at| message.begin(at) <= message.begin(at + 1));
        let is_aligned = (0..=count).all(|at| message.begin(at).is_some_and(|begin| begin.is_multiple_of(4)));
        (is_sorted && is_in_order && is_aligned).then_some(message)
    }

    /// What has this tag.
    pub(crate) fn value(&self, tag: Tag) -> Option<&'a [u8]> {
        let at = (0..self.count).find(|at| self.tag(*at) == Some(tag))?;
        self.values.get(self.begin(at)?..self.begin(at + 1)?)
    }

    /// The same, of this length.
    pub(crate) fn array<const N: usize>(&self, tag: Tag) -> Option<[u8; N]> {
        self.value(tag)?.try_into().ok()
    }

    fn tag(&self, at: usize) -> Option<Tag> {
        word(self.tags, 4 * at).map(Tag)
    }

    /// Where the value of this number begins; of the number behind the last one, where all end.
    fn begin(&self, at: usize) -> Option<usize> {
        match at.checked_sub(1) {
            None => Some(0),
            Some(_) if at == self.count => Some(self.values.len()),
            Some(before) => usize::try_from(word(self.offsets, 4 * before)?).ok(),
        }
    }
}

/// The number of four octets there.
pub(crate) fn word(octets: &[u8], at: usize) -> Option<u32> {
    let octets = octets.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(octets.try_into().ok()?))
}
