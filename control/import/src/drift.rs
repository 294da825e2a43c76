//! The frequency that the other daemon has learned.

use crate::files::{FileError, Reader};
use crate::plan::{Part, Plan, number};

/// What a positive number in the file means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// The clock gains: chrony, by chrony.conf(5).
    Gain,
    /// The clock is made faster, because it loses: ntpd and OpenNTPD, who give it to the kernel as it is.
    Correction,
}

/// The largest frequency that is carried, ppm: what a daemon gives to a kernel. Who writes the file is no administrator.
const MAX_PPM: f64 = 500.0;

/// Reads the file, and sets `initial-frequency-ppm`, which is the correction.
pub fn take(plan: &mut Plan, reader: &mut Reader<'_>, path: &str, item: usize, sign: Sign) {
    let first = match reader.learned(path) {
        Ok(first) => first,
        Err(FileError::Absent) => {
            return plan.note(
                item,
                "",
                "there is no such file: the frequency is learned anew, and kept in the state directory",
            );
        }
        Err(FileError::Other(why)) => {
            let why = format!(
                "it cannot be read ({why}): the frequency is learned anew, and kept in the state directory"
            );
            return plan.note(item, "", &why);
        }
    };
    let Some(ppm) = first.filter(|ppm| ppm.abs() <= MAX_PPM) else {
        return plan.note(item, "", "there is no frequency in it that can be used: it is learned anew");
    };
    let correction = if sign == Sign::Gain { 0.0 - ppm } else { ppm };
    // As exact as the files have it; -0 is 0.
    let correction = (correction * 1e6).round() / 1e6 + 0.0;
    plan.set(Part::Clock, "initial-frequency-ppm", number(correction), item);
    plan.note(
        item,
        "",
        "the frequency that was learned, as a correction; used until this daemon has learned its own, which it keeps in the \
         state directory",
    );
}
