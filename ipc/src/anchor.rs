//! The form of an anchor: signed answers of Roughtime servers (RFC 10049) whose first nonce depends on where the audit log and the
//! history ended, so that both are known to have been there when servers of others answered. The engine writes a ring of them
//! beside the log, and chimerctl reads it, also on another machine.
//!
//! A slot is [`SLOT`] octets, little-endian: [`FORM`], its sequence number, the steered clock at the round, lines and hash of the
//! audit log and of the history, the random octets, the number of exchanges, seven octets of zero; then each exchange in
//! the order of the round: the long-term public key of its server, the random octets of the chain of nonces, the version, the
//! length of the response in two octets, the response; then zeros; in the last eight octets the checksum of all before. Slot
//! `sequence` has the place `sequence` modulo the number of slots that the file has room for. An unwritten place is zero.
//!
//! The first nonce is SHA-512, cut to 32 octets, of [`Anchor::commitment`]; each other one the same of the response before and the
//! random octets of its exchange. Requests are not kept: nonce, key and version say what they were. `protocol/roughtime` rebuilds
//! them and verifies the answers.

use crate::audit_line::End;
use crate::checksum::checksum;
use crate::units::WallTime;
use alloc::vec::Vec;

/// Octets of a slot.
pub const SLOT: usize = 4096;
/// First octets of a slot.
pub const FORM: [u8; 8] = *b"anchor1\0";
/// First octets of what the first nonce is the hash of.
pub const COMMITMENT: &[u8; 20] = b"truechimer anchor 1\0";
/// The longest response of which an exchange can be kept: a response is never longer than its request (RFC 10049 section 5.2), and
/// ours have this length.
pub const MAX_RESPONSE: usize = 1036;
/// Octets of an exchange without its response.
pub const OVERHEAD: usize = 32 + 32 + 4 + 2;
/// Octets of a slot that are for exchanges: three of the longest find room, and usually eight.
pub const ROOM: usize = CHECK - FIRST;

const FIRST: usize = 144;
const CHECK: usize = SLOT - 8;

/// See the module's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// Its number.
    pub sequence: u64,
    /// The steered clock when the round began, as far as it was right.
    pub wall: WallTime,
    /// Where the audit log ended.
    pub audit: End,
    /// Where the history ended.
    pub history: End,
    /// Makes the first nonce one that cannot be guessed.
    pub random: [u8; 32],
    /// What was asked and answered, in this order.
    pub exchanges: Vec<Exchange>,
}

/// A request of the round, and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// The long-term public key of the server that was asked.
    pub public_key: [u8; 32],
    /// What its nonce was made of, with the response of the exchange before; zero in the first, whose nonce is of the commitment.
    pub rand: [u8; 32],
    /// The version that the request offered.
    pub version: u32,
    /// The whole packet that came, of at most [`MAX_RESPONSE`] octets.
    pub response: Vec<u8>,
}

impl Exchange {
    fn length(&self) -> usize {
        OVERHEAD.saturating_add(self.response.len())
    }
}

/// Where a slot is in a file with room for `slots` of them, at least one, in octets.
pub const fn place(sequence: u64, slots: u64) -> u64 {
    sequence % slots * SLOT as u64
}

/// What the first nonce of a round is the hash of.
pub fn commitment(audit: &End, history: &End, random: &[u8; 32]) -> [u8; 132] {
    let mut octets = [0; 132];
    let parts: [&[u8]; 6] = [
        COMMITMENT,
        &audit.lines.to_le_bytes(),
        &audit.hash,
        &history.lines.to_le_bytes(),
        &history.hash,
        random,
    ];
    let mut at = 0;
    for part in parts {
        octets[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
    octets
}

impl Anchor {
    /// See [`commitment`].
    pub fn commitment(&self) -> [u8; 132] {
        commitment(&self.audit, &self.history, &self.random)
    }

    /// Lets go of the last exchanges, which find no room in a slot; those that stay prove what they prove without them.
    pub fn fit(&mut self) {
        let mut room = ROOM;
        let kept = self.exchanges.iter().take(usize::from(u8::MAX)).take_while(|exchange| {
            let left = room.checked_sub(exchange.length());
            room = left.unwrap_or(0);
            left.is_some() && exchange.response.len() <= MAX_RESPONSE
        });
        let kept = kept.count();
        self.exchanges.truncate(kept);
    }

    /// Its octets; none: an exchange finds no room ([`Self::fit`]).
    pub fn encode(&self) -> Option<[u8; SLOT]> {
        let mut octets = [0; SLOT];
        let mut put = Put { octets: &mut octets[..CHECK], at: 0 };
        put.next(&FORM)?;
        put.next(&self.sequence.to_le_bytes())?;
        put.next(&self.wall.nanos().to_le_bytes())?;
        for end in [&self.audit, &self.history] {
            put.next(&end.lines.to_le_bytes())?;
            put.next(&end.hash)?;
        }
        put.next(&self.random)?;
        put.next(&[u8::try_from(self.exchanges.len()).ok()?, 0, 0, 0, 0, 0, 0, 0])?;
        for exchange in &self.exchanges {
            let length = Some(exchange.response.len()).filter(|length| *length <= MAX_RESPONSE)?;
            put.next(&exchange.public_key)?;
            put.next(&exchange.rand)?;
            put.next(&exchange.version.to_le_bytes())?;
            put.next(&u16::try_from(length).ok()?.to_le_bytes())?;
            put.next(&exchange.response)?;
        }
        let check = checksum(&octets[..CHECK]).to_le_bytes();
        octets[CHECK..].copy_from_slice(&check);
        Some(octets)
    }

    /// The anchor of these octets; none: they are not exactly one. What its answers prove is not looked at.
    pub fn decode(octets: &[u8; SLOT]) -> Option<Self> {
        let (body, check) = octets.split_at(CHECK);
        if check != checksum(body).to_le_bytes() || !body.starts_with(&FORM) {
            return None;
        }
        let mut take = Take(&body[FORM.len()..]);
        let sequence = u64::from_le_bytes(take.array()?);
        let wall = WallTime::try_new(i64::from_le_bytes(take.array()?)).ok()?;
        let audit = take.end()?;
        let history = take.end()?;
        let random = take.array()?;
        let [count, unused @ ..]: [u8; 8] = take.array()?;
        let exchanges = (0..count).map(|_| take.exchange()).collect::<Option<_>>()?;
        let is_whole = unused.iter().chain(take.0).all(|octet| *octet == 0);
        is_whole.then_some(Self { sequence, wall, audit, history, random, exchanges })
    }
}

struct Put<'a> {
    octets: &'a mut [u8],
    at: usize,
}

impl Put<'_> {
    fn next(&mut self, what: &[u8]) -> Option<()> {
        let end = self.at.checked_add(what.len())?;
        self.octets.get_mut(self.at..end)?.copy_from_slice(what);
        self.at = end;
        Some(())
    }
}

struct Take<'a>(&'a [u8]);

impl<'a> Take<'a> {
    fn octets(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.octets(N)?.try_into().ok()
    }

    fn end(&mut self) -> Option<End> {
        Some(End { lines: u64::from_le_bytes(self.array()?), hash: self.array()? })
    }

    fn exchange(&mut self) -> Option<Exchange> {
        let public_key = self.array()?;
        let rand = self.array()?;
        let version = u32::from_le_bytes(self.array()?);
        let length = usize::from(u16::from_le_bytes(self.array()?));
        let response = self.octets(Some(length).filter(|length| *length <= MAX_RESPONSE)?)?.into();
        Some(Exchange { public_key, rand, version, response })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    const COUNT: usize = 136;

    fn exchange(number: u8, length: usize) -> Exchange {
        let response = vec![number; length];
        Exchange { public_key: [number; 32], rand: [number + 1; 32], version: 0x8000_000c, response }
    }

    fn anchor(exchanges: Vec<Exchange>) -> Anchor {
        Anchor {
            sequence: 4_711,
            wall: WallTime::try_new(1_800_000_000_123_456_789).unwrap(),
            audit: End { lines: 17, hash: [3; 32] },
            history: End { lines: u64::MAX, hash: [4; 32] },
            random: [5; 32],
            exchanges,
        }
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let six = (1..=6).map(|number| exchange(number, 404)).collect();
        let three = (1..=3).map(|number| exchange(number, MAX_RESPONSE)).collect();
        for anchor in [anchor(Vec::new()), anchor(vec![exchange(1, 0)]), anchor(six), anchor(three)] {
            let octets = anchor.encode().unwrap();
            assert_eq!(usize::from(octets[COUNT]), anchor.exchanges.len());
            assert_eq!(Anchor::decode(&octets), Some(anchor));
        }
    }

    #[test]
    fn exchanges_without_room_are_let_go_of_from_the_end() {
        let eight = (1..=8).map(|number| exchange(number, 420)).collect();
        let mut many = anchor(eight);
        let before = many.clone();
        many.fit();
        assert_eq!(many, before, "eight of the usual length find room");
        many.exchanges.push(exchange(9, 420));
        assert_eq!(many.encode(), None);
        many.fit();
        assert_eq!(many, before);
        let mut long = anchor((1..=4).map(|number| exchange(number, MAX_RESPONSE)).collect());
        assert_eq!(long.encode(), None);
        long.fit();
        assert_eq!(long.exchanges.len(), 3);
        let mut too_long = anchor(vec![exchange(1, MAX_RESPONSE + 1)]);
        assert_eq!(too_long.encode(), None);
        too_long.fit();
        assert!(too_long.exchanges.is_empty());
    }

    #[test]
    fn a_slot_with_any_octet_changed_is_none() {
        let whole = anchor(vec![exchange(1, 404)]).encode().unwrap();
        for at in 0..SLOT {
            let mut octets = whole;
            octets[at] ^= 0x10;
            assert_eq!(Anchor::decode(&octets), None, "octet {at}");
        }
        assert_eq!(Anchor::decode(&[0; SLOT]), None);
    }

    #[test]
    fn a_slot_whose_checksum_was_made_again_still_has_its_form() {
        let whole = anchor(vec![exchange(1, 404)]).encode().unwrap();
        let length = FIRST + OVERHEAD - 2;
        // Form; an octet that is unused, in the head and at the end; more exchanges, a longer one.
        for (at, octet) in [(0, b'x'), (6, b'2'), (COUNT + 1, 1), (CHECK - 1, 1), (COUNT, 255), (COUNT, 0)]
            .into_iter()
            .chain([(length + 1, 255), (length, 0), (23, 0x80)])
        {
            let mut octets = whole;
            octets[at] = octet;
            let check = checksum(&octets[..CHECK]).to_le_bytes();
            octets[CHECK..].copy_from_slice(&check);
            assert_eq!(Anchor::decode(&octets), None, "octet {at}");
        }
    }

    #[test]
    fn the_commitment_has_all_that_it_is_for() {
        let octets = anchor(Vec::new()).commitment();
        assert_eq!(octets[..20], *b"truechimer anchor 1\0");
        assert_eq!((octets[20], &octets[28..60]), (17, &[3; 32][..]));
        assert_eq!((&octets[60..68], &octets[68..100]), (&[255; 8][..], &[4; 32][..]));
        assert_eq!(octets[100..], [5; 32]);
    }

    #[test]
    fn slots_follow_each_other_and_begin_again() {
        let places: Vec<u64> = (0..4).map(|sequence| place(sequence, 3)).collect();
        assert_eq!(places, [0, 4096, 8192, 0]);
        assert_eq!(place(u64::MAX, 1), 0);
    }
}
