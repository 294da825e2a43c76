//! The slots of anchors, the signatures, and what they prove of both logs.

use crate::times::{Doubt, Time, apart};
use history::NUMBERS;
use ipc::anchor::{Anchor, FORM, OVERHEAD, SLOT};
use ipc::audit_line::End;
use ipc::calendar::Rfc3339;
use ipc::units::WallTime;
use roughtime::{Fault, Signed, contradictions, verify_anchor};
use std::fmt;

/// A server that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// What people call it.
    pub name: String,
    /// Its long-term public key.
    pub public_key: [u8; 32],
}

/// What a server has signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Its name in the list of keys.
    pub name: String,
    /// Its long-term public key, by which servers are told apart.
    pub public_key: [u8; 32],
    /// The middle of its time, in seconds since 1970.
    pub midpoint: u64,
    /// How far from that true time was, in seconds.
    pub radius: u32,
}

impl Signature {
    /// Before this true time was not, Unix seconds.
    pub const fn earliest(&self) -> u64 {
        self.midpoint.saturating_sub(self.radius as u64)
    }

    /// After this true time was not, Unix seconds.
    pub const fn latest(&self) -> u64 {
        self.midpoint.saturating_add(self.radius as u64)
    }
}

/// What an anchor proves, in one sentence with [`fmt::Display`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The number of the anchor.
    pub anchor: u64,
    /// Where the audit log ended.
    pub log: End,
    /// Where the history ended.
    pub history: End,
    /// Who signed, in the order of the round, at least one.
    pub signatures: Vec<Signature>,
    /// From this line of the file on, all up to the end are proven; none: the file does not hold that end any more, or another one, or
    /// there is a [`Self::doubt`].
    pub log_from: Option<u64>,
    /// The same of the records of the history.
    pub history_from: Option<u64>,
}

impl Claim {
    /// It is about what the files hold.
    pub const fn holds(&self) -> bool {
        self.log_from.is_some() || self.history_from.is_some()
    }

    /// Both ends were there at the latest then by a majority of those who signed, Unix seconds.
    pub fn latest(&self) -> u64 {
        Time::of(&self.signatures).latest
    }

    /// Why it proves nothing by itself.
    pub fn doubt(&self) -> Option<Doubt> {
        Time::of(&self.signatures).doubt
    }
}

/// Without fractions of a second.
pub(crate) fn moment(unix: u64) -> String {
    let nanos = i64::try_from(unix).unwrap_or(i64::MAX).saturating_mul(1_000_000_000);
    let text = Rfc3339(WallTime::saturating(nanos)).to_string();
    text.split_once('.').map_or_else(|| text.clone(), |(second, _)| format!("{second}Z"))
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |name: &str, end: &End, from: Option<u64>| match (end.lines.checked_sub(1), from) {
            (None, _) => format!("{name} without a record"),
            (Some(last), Some(from)) if from == last => format!("record {last} of {name}"),
            (Some(last), Some(from)) => format!("records {from} to {last} of {name}"),
            (Some(last), None) => format!("{name} up to record {last}, which these files do not hold,"),
        };
        let Time { latest, by, of, doubt } = Time::of(&self.signatures);
        match doubt {
            Some(doubt) => write!(
                f,
                "proves nothing by itself, for {doubt}; it names {} records of the audit log and {} of the history, ",
                self.log.lines, self.history.lines
            )?,
            None => write!(
                f,
                "{} and {} existed at the latest at ",
                part("the audit log", &self.log, self.log_from),
                part("the history", &self.history, self.history_from)
            )?,
        }
        // The one whose time counts comes first.
        let first = self.signatures.iter().position(|signature| signature.latest() == latest).unwrap_or(0);
        let others =
            self.signatures.iter().enumerate().filter(|(at, _)| *at != first).map(|(_, other)| other);
        for (at, signature) in self.signatures.get(first).into_iter().chain(others).enumerate() {
            let Signature { name, midpoint, radius, .. } = signature;
            match at {
                0 => write!(f, "{} ± {radius} s, signed by {name}", moment(*midpoint))?,
                _ => write!(f, "; and by {name} at {} ± {radius} s", moment(*midpoint))?,
            }
        }
        match doubt {
            None => write!(f, "; {by} of {of} servers say so"),
            Some(_) => Ok(()),
        }
    }
}

/// What is wrong with the anchors' own file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SlotFault {
    /// Octets behind the last slot.
    Length(usize),
    /// This slot, from 0, holds no whole anchor.
    Damaged(u64),
    /// An anchor stands in another one's slot: its number, and the slot.
    Misplaced(u64, u64),
    /// Anchors are missing, from this number to that.
    Missing(u64, u64),
    /// This anchor was never finished: whole sectors of its slot are missing.
    Torn(u64),
    /// This one may never have been finished, in a ring that has come round: nothing tells what was there before from other octets.
    Unclear(u64),
}

impl fmt::Display for SlotFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(length) => {
                write!(f, "behind the last slot are {length} octets: the file was cut or is another one")
            }
            Self::Damaged(slot) => write!(f, "slot {} was altered: it holds no whole anchor", slot + 1),
            Self::Misplaced(sequence, slot) => {
                write!(f, "anchor {sequence} stands in slot {}, where it does not belong", slot + 1)
            }
            Self::Missing(from, to) if from == to => write!(f, "anchor {from} is missing"),
            Self::Missing(from, to) => write!(f, "anchors {from} to {to} are missing"),
            Self::Unclear(sequence) => {
                write!(
                    f,
                    "anchor {sequence} cannot be read: it was altered, or never finished in a power cut"
                )
            }
            Self::Torn(sequence) => write!(f, "anchor {sequence} was never finished, as in a power cut"),
        }
    }
}

/// The anchors of a file in their order, and what is wrong with it. The file grows until it is a ring.
pub(crate) fn slots(octets: &[u8]) -> (Vec<Anchor>, Vec<SlotFault>) {
    let room = (octets.len() / SLOT) as u64;
    let (mut anchors, mut faults, mut damaged) = (Vec::new(), Vec::new(), Vec::new());
    for (octets, slot) in octets.as_chunks::<SLOT>().0.iter().zip(0..) {
        match Anchor::decode(octets).filter(|anchor| anchor.sequence < NUMBERS) {
            Some(anchor) if anchor.sequence % room == slot => anchors.push(anchor),
            Some(anchor) => faults.push(SlotFault::Misplaced(anchor.sequence, slot)),
            None if octets.iter().all(|octet| *octet == 0) => {}
            None => damaged.push((slot, octets)),
        }
    }
    anchors.sort_by_key(|anchor| anchor.sequence);
    let newest = anchors.last().map(|anchor| anchor.sequence);
    let mut end = newest.map_or(0, |newest| newest.saturating_add(1));
    let is_ring = newest.is_some_and(|newest| newest >= room);
    let mut unread = Vec::new();
    for (slot, octets) in damaged {
        let named = number(octets).filter(|number| number % room == slot);
        let named = named.or((slot == end % room).then_some(end));
        match named.filter(|_| is_ring || is_torn(octets)) {
            Some(number) => {
                let is_torn = !is_ring || number >= end;
                faults.push(if is_torn { SlotFault::Torn(number) } else { SlotFault::Unclear(number) });
                unread.push(number);
                end = end.max(number.saturating_add(1));
            }
            None => {
                faults.push(SlotFault::Damaged(slot));
                unread.extend(named);
            }
        }
    }
    match octets.len() % SLOT {
        0 => {}
        length if is_ring => faults.push(SlotFault::Length(length)),
        _ => faults.push(SlotFault::Torn(end)),
    }
    let mut expected = end.saturating_sub(room);
    for anchor in &anchors {
        let missing = (expected..anchor.sequence).find(|number| !unread.contains(number));
        if let Some(first) = missing {
            faults.push(SlotFault::Missing(first, anchor.sequence - 1));
        }
        expected = anchor.sequence + 1;
    }
    (anchors, faults)
}

/// Whether this can be a file of anchors: one is there, or it is blank as far as the first sector of its only slot.
pub fn are_anchors(octets: &[u8]) -> bool {
    const SECTOR: usize = 512;
    let looked_at = if octets.len() > SLOT { octets.len() } else { SECTOR };
    octets.chunks(SLOT).any(|slot| slot.starts_with(&FORM))
        || octets.iter().take(looked_at).all(|octet| *octet == 0)
}

/// The number in the head of a slot.
fn number(octets: &[u8; SLOT]) -> Option<u64> {
    let number = octets.strip_prefix(&FORM)?.first_chunk()?;
    Some(u64::from_le_bytes(*number)).filter(|number| *number < NUMBERS)
}

/// A power cut has left out whole sectors: they are zero, though something was to be in them, the checksum in the last one for
/// instance.
fn is_torn(octets: &[u8; SLOT]) -> bool {
    const SECTOR: usize = 512;
    const COUNT: usize = 136;
    let word =
        |at: usize| octets.get(at..at + 2).map_or(0, |two| usize::from(two[0]) | usize::from(two[1]) << 8);
    let mut end = COUNT + 8;
    for _ in 0..octets[COUNT] {
        end = (end + OVERHEAD + word(end + OVERHEAD - 2)).min(SLOT - 8);
    }
    let sectors = octets.chunks(SECTOR).enumerate();
    let mut empty = sectors.filter(|(_, octets)| octets.iter().all(|octet| *octet == 0));
    empty.any(|(at, _)| at * SECTOR < end || at + 1 == SLOT / SECTOR)
}

/// What the answers of an anchor are worth.
pub(crate) struct Proof {
    /// Of those whose keys are known and that depend on both ends.
    pub signatures: Vec<Signature>,
    /// The first answer that is not valid, from 0, and why; what comes behind it does not depend on the ends any more.
    pub fault: Option<(usize, Fault)>,
    /// Valid answers by keys that are not known.
    pub unknown: usize,
    /// Two of those who signed exclude each other: by the order of their answers, or because no round takes so long.
    pub contradiction: Option<(String, String)>,
}

/// Judges the answers of an anchor. An answer proves something of the ends if it is valid and so are all before it: each nonce is
/// made of the octets of the answer before.
pub(crate) fn prove(anchor: &Anchor, keys: &[Key]) -> Proof {
    let mut proof = Proof { signatures: Vec::new(), fault: None, unknown: 0, contradiction: None };
    let mut signed: Vec<(usize, Signed)> = Vec::new();
    for (at, (exchange, outcome)) in anchor.exchanges.iter().zip(verify_anchor(anchor)).enumerate() {
        match outcome {
            Err(fault) => {
                proof.fault = Some((at, fault));
                break;
            }
            Ok(answer) => match keys.iter().find(|key| key.public_key == exchange.public_key) {
                Some(key) => {
                    signed.push((proof.signatures.len(), answer));
                    let Signed { midpoint, radius } = answer;
                    let (name, public_key) = (key.name.clone(), key.public_key);
                    proof.signatures.push(Signature { name, public_key, midpoint, radius });
                }
                None => proof.unknown += 1,
            },
        }
    }
    let name =
        |at: usize| proof.signatures.get(at).map(|signature| signature.name.clone()).unwrap_or_default();
    let excluding = contradictions(&signed).first().copied().or_else(|| apart(&proof.signatures));
    proof.contradiction = excluding.map(|(one, other)| (name(one), name(other)));
    proof
}
