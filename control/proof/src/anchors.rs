//! The slots of anchors, the signatures, and what they prove of both logs.

use ipc::anchor::{Anchor, SLOT};
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
    /// The middle of its time, in seconds since 1970.
    pub midpoint: u64,
    /// How far from that true time was, in seconds.
    pub radius: u32,
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
    /// From this line of the file on, all up to the end are proven; none: the file does not hold that end any more, or another one.
    pub log_from: Option<u64>,
    /// The same of the records of the history.
    pub history_from: Option<u64>,
}

impl Claim {
    /// It is about what the files hold.
    pub const fn holds(&self) -> bool {
        self.log_from.is_some() || self.history_from.is_some()
    }

    /// By each of those who signed, both ends were there at the latest then: the earliest of these times, Unix seconds.
    pub fn latest(&self) -> u64 {
        let latest = |signature: &Signature| signature.midpoint.saturating_add(u64::from(signature.radius));
        self.signatures.iter().map(latest).min().unwrap_or(u64::MAX)
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
        write!(
            f,
            "{} and {} existed at the latest at ",
            part("the audit log", &self.log, self.log_from),
            part("the history", &self.history, self.history_from)
        )?;
        for (at, Signature { name, midpoint, radius }) in self.signatures.iter().enumerate() {
            let and = if at > 0 { "; and by " } else { "" };
            match at {
                0 => write!(f, "{} ± {radius} s, signed by {name}", moment(*midpoint))?,
                _ => write!(f, "{and}{name} at {} ± {radius} s", moment(*midpoint))?,
            }
        }
        Ok(())
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
    /// The slot behind the newest anchor was never finished.
    Torn(u64),
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
            Self::Torn(sequence) => write!(f, "anchor {sequence} was never finished, as in a power cut"),
        }
    }
}

/// The anchors of a file in their order, and what is wrong with it.
pub(crate) fn slots(octets: &[u8]) -> (Vec<Anchor>, Vec<SlotFault>) {
    let room = (octets.len() / SLOT) as u64;
    let (mut anchors, mut faults, mut damaged) = (Vec::new(), Vec::new(), Vec::new());
    if !octets.len().is_multiple_of(SLOT) {
        faults.push(SlotFault::Length(octets.len() % SLOT));
    }
    for (octets, slot) in octets.chunks_exact(SLOT).zip(0..) {
        let anchor: Option<Anchor> = octets.first_chunk().and_then(Anchor::decode);
        match anchor {
            Some(anchor) if anchor.sequence % room == slot => anchors.push(anchor),
            Some(anchor) => faults.push(SlotFault::Misplaced(anchor.sequence, slot)),
            None if octets.iter().all(|octet| *octet == 0) => {}
            None => damaged.push(slot),
        }
    }
    anchors.sort_by_key(|anchor| anchor.sequence);
    let Some(last) = anchors.last().map(|anchor| anchor.sequence) else {
        // The first one was never finished, or it is no file of anchors.
        faults.extend(
            damaged
                .iter()
                .map(|slot| if *slot == 0 { SlotFault::Torn(0) } else { SlotFault::Damaged(*slot) }),
        );
        return (anchors, faults);
    };
    let next = last.saturating_add(1);
    let torn = damaged.iter().any(|slot| *slot == next % room);
    faults.extend(damaged.iter().filter(|slot| **slot != next % room).map(|slot| SlotFault::Damaged(*slot)));
    if torn {
        faults.push(SlotFault::Torn(next));
    }
    let mut expected = (next + u64::from(torn)).saturating_sub(room);
    let is_there = |number: u64| damaged.contains(&(number % room));
    for anchor in &anchors {
        if anchor.sequence > expected && !(expected..anchor.sequence).all(is_there) {
            faults.push(SlotFault::Missing(expected, anchor.sequence - 1));
        }
        expected = anchor.sequence + 1;
    }
    (anchors, faults)
}

/// What the answers of an anchor are worth.
pub(crate) struct Proof {
    /// Of those whose keys are known and that depend on both ends.
    pub signatures: Vec<Signature>,
    /// The first answer that is not valid, from 0, and why; what comes behind it does not depend on the ends any more.
    pub fault: Option<(usize, Fault)>,
    /// Valid answers by keys that are not known.
    pub unknown: usize,
    /// Two of those who signed exclude each other.
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
                    proof.signatures.push(Signature { name: key.name.clone(), midpoint, radius });
                }
                None => proof.unknown += 1,
            },
        }
    }
    let name =
        |at: usize| proof.signatures.get(at).map(|signature| signature.name.clone()).unwrap_or_default();
    proof.contradiction = contradictions(&signed).first().map(|(one, other)| (name(*one), name(*other)));
    proof
}
