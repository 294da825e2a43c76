//! What chronyc asks: one datagram of chrony's monitoring protocol, version 6.

use std::net::{IpAddr, Ipv6Addr};

/// The longest lawful request, in octets: a new source, with all of the padding that a request may have.
pub const LONGEST: usize = 860;

/// Octets before what a request says.
const HEADER: usize = 20;

/// The shortest request that is answered: an error reply is as long as this, and no reply is longer than its request.
const SHORTEST: usize = super::reply::HEADER;

/// The version of the protocol.
pub const VERSION: u8 = 6;

/// The oldest version whose speaker understands that its version is the wrong one.
const OLDEST_TOLD: u8 = 5;

/// A datagram with this type is a request.
const REQUEST: u8 = 1;

/// chrony's commands are 1 to this one, as of its version 4.9.
const LAST: u16 = 74;

/// What every reply repeats of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The command's number.
    pub command: u16,
    /// The client's number of this request, in the order in which it came.
    pub sequence: [u8; 4],
    /// The length of the request, in octets.
    pub length: usize,
}

/// Which source is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one with this address.
    Address(IpAddr),
    /// The one with this number, which stands for an address that is not known.
    Number(u32),
    /// No source has such an address.
    None,
}

/// Which clients are asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// The position of the first one.
    pub first: u32,
    /// The most of them.
    pub most: u32,
    /// Only those with so many requests.
    pub least_hits: u32,
}

/// What is asked. All of it can be answered without changing anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// How many sources there are.
    SourceCount,
    /// State and last sample of a source, by its position.
    Source(u32),
    /// The clock.
    Tracking,
    /// The estimate of a source.
    Statistics(u32),
    /// How many sources are online.
    Activity,
    /// The last reply of a source.
    LastReply(Which),
    /// A source's name as configured.
    Name(Which),
    /// The authentication of a source.
    Authentication(Which),
    /// A source's part in the selection.
    Selection(u32),
    /// What the server has answered.
    Server,
    /// Clients of the server.
    Clients(Page),
    /// The drift of the hardware clock.
    HardwareClock,
    /// The smoothing of served time.
    Smoothing,
}

/// Why a request is not answered with what it asks for. The values are those of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Refusal {
    /// The daemon does not answer.
    Failed = 1,
    /// It would change something.
    NotAuthorised = 2,
    /// There is no such command.
    Invalid = 3,
    /// There is no such source.
    NoSuchSource = 4,
    /// There is nothing of the kind here.
    NotEnabled = 6,
    /// The hardware clock is not looked after.
    NoHardwareClock = 13,
    /// Another version of the protocol.
    Version = 18,
    /// The request is shorter than its reply.
    Length = 19,
}

/// What a datagram is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Nothing that is answered.
    Noise,
    /// A request that is refused.
    Refused(Head, Refusal),
    /// A question.
    Asked(Head, Question),
}

/// Reads a datagram.
pub fn read(datagram: &[u8]) -> Heard {
    let length = datagram.len();
    let header = datagram.first_chunk::<HEADER>();
    let Some(header) = header.filter(|_| (SHORTEST..=LONGEST).contains(&length)) else {
        return Heard::Noise;
    };
    let [version, REQUEST, 0, 0, high, low, _, _, a, b, c, d, ..] = *header else { return Heard::Noise };
    let head = Head { command: u16::from_be_bytes([high, low]), sequence: [a, b, c, d], length };
    if version != VERSION {
        return if version < OLDEST_TOLD { Heard::Noise } else { Heard::Refused(head, Refusal::Version) };
    }
    match question(head.command, datagram.get(HEADER..).unwrap_or_default()) {
        Ok(question) => Heard::Asked(head, question),
        Err(refusal) => Heard::Refused(head, refusal),
    }
}

fn question(command: u16, body: &[u8]) -> Result<Question, Refusal> {
    let index = || body.first_chunk().map(|index| u32::from_be_bytes(*index)).ok_or(Refusal::Length);
    let which = || body.first_chunk().map(which).ok_or(Refusal::Length);
    Ok(match command {
        14 => Question::SourceCount,
        15 => Question::Source(index()?),
        33 => Question::Tracking,
        34 => Question::Statistics(index()?),
        35 => Question::HardwareClock,
        44 => Question::Activity,
        51 => Question::Smoothing,
        54 => Question::Server,
        57 => Question::LastReply(which()?),
        65 => Question::Name(which()?),
        67 => Question::Authentication(which()?),
        68 => Question::Clients(page(body)?),
        69 => Question::Selection(index()?),
        1..=LAST => return Err(Refusal::NotAuthorised),
        _ => return Err(Refusal::Invalid),
    })
}

/// Four words, of which the last would begin the counts anew.
fn page(body: &[u8]) -> Result<Page, Refusal> {
    let words = body.first_chunk::<16>().ok_or(Refusal::Length)?;
    let word =
        |at: usize| words.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |word| u32::from_be_bytes(*word));
    match word(12) {
        0 => Ok(Page { first: word(0), most: word(4), least_hits: word(8) }),
        _ => Err(Refusal::NotAuthorised),
    }
}

/// An address: sixteen octets, of which one of four needs the first four, the family, and two unused ones.
fn which(field: &[u8; 20]) -> Which {
    let (octets, family) = field.split_at(16);
    let first = octets.first_chunk::<4>().copied().unwrap_or_default();
    match family {
        [0, 1, ..] => Which::Address(IpAddr::from(first)),
        [0, 2, ..] => {
            let all = octets.first_chunk::<16>().copied().unwrap_or_default();
            Which::Address(IpAddr::from(Ipv6Addr::from(all)))
        }
        [0, 3, ..] => Which::Number(u32::from_be_bytes(first)),
        _ => Which::None,
    }
}

#[cfg(test)]
mod tests;
