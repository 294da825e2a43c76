//! A break of the history, exactly.

use ipc::calendar::Rfc3339;
use ipc::units::WallTime;
use std::fmt;

/// Something that a history which was only ever written by the engine does not have, or that a power cut left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The number of the record that it is about.
    pub sequence: u64,
    /// The wall time of this record or, where it is not there, of the last one before it; none: of none before it.
    pub wall: Option<WallTime>,
    /// See there.
    pub what: What,
}

/// What is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// This record, or the one before it, was changed: its hash does not follow.
    Chain,
    /// These many records, from this one on, are not there, and others follow.
    Missing(u64),
    /// The same at the beginning of what the ring holds.
    Beginning(u64),
    /// In the place of this record are octets that are no record.
    Unreadable,
    /// In the place of this record is one with this number, which belongs elsewhere or to another round.
    Misplaced(u64),
    /// Behind the last whole octets of a record are these many others.
    Length(u64),
    /// As a power cut leaves it: these many places from this one on, behind the last record that follows from the one
    /// before it, hold records that do not, or none.
    Torn(u64),
}

impl Finding {
    /// It may be what a power cut left: nothing that was on the disk for certain is missing.
    pub const fn may_be_a_power_cut(&self) -> bool {
        matches!(self.what, What::Torn(_))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = |count: u64| self.sequence.saturating_add(count).saturating_sub(1);
        let sequence = self.sequence;
        match self.what {
            What::Chain => {
                write!(f, "record {sequence} was altered, or the record before it: the chain breaks there")
            }
            What::Missing(1) => write!(f, "record {sequence} is missing"),
            What::Missing(count) => write!(f, "records {sequence} to {} are missing", last(count)),
            What::Beginning(1) => write!(f, "record {sequence}, the oldest one, is missing"),
            What::Beginning(count) => {
                write!(f, "records {sequence} to {}, the oldest ones, are missing", last(count))
            }
            What::Unreadable => {
                write!(f, "record {sequence} was altered: what stands in its place is no record")
            }
            What::Misplaced(other) => {
                write!(f, "in the place of record {sequence} stands record {other}, where it does not belong")
            }
            What::Length(count) => {
                write!(
                    f,
                    "behind the last place of a record are {count} octets: the file was cut or is another one"
                )
            }
            What::Torn(count) => write!(
                f,
                "records {sequence} to {} were lost or only partly written, as in a power cut: what they said is not known",
                last(count)
            ),
        }?;
        match self.wall {
            Some(wall) => write!(f, " ({})", Rfc3339(wall)),
            None => Ok(()),
        }
    }
}
