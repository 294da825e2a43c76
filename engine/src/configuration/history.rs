//! `[history]`.

use super::document::{Faults, Section};
use super::keys;
use crate::history::DAYS;
use ipc::history::MOST_DAYS;

/// Reads `[history]`: for how many days there is room; 0: none is written.
pub fn read(root: &Section<'_>, faults: &mut Faults<'_>) -> u16 {
    let Some(section) = root.table("history", "[history]", faults) else { return DAYS };
    section.refuse_unknown(&keys::HISTORY, faults);
    let days = section.whole("days", 0..=i64::from(MOST_DAYS), i64::from(DAYS), faults);
    days.and_then(|days| u16::try_from(days).ok()).unwrap_or(DAYS)
}
