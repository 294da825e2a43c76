//! A second look at the first correction.
//!
//! The first one is made with four packets of each source, within a fraction of a second, while the machine is as busy as
//! it ever is. What the next packets show to be far off is set right as the first correction was, once: a slew would
//! need minutes for it.

use super::Engine;
use crate::io::Now;
use crate::system::Line;
use ipc::units::{RawInstant, Span};

/// So long after the first correction: three of the queries that follow the first ones, with their replies.
const LOOKED: Span = Span::from_secs(16);

/// What is set right is more than so many standard deviations.
const EVIDENT: f64 = 4.0;

/// And no more than this, seconds: what packets on a busy machine are late by, and not what a source says all at once that
/// has changed its mind.
const MOST: f64 = 0.1;

/// The start steps of this boot.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Start {
    /// Those that the governor may still grant.
    pub(super) steps: u8,
    /// Until then a further one may make up for what the first correction left over.
    look_until: Option<RawInstant>,
}

impl Start {
    /// A step was made. It is the last one, unless [`Start::look_again`] follows.
    pub(super) const fn made(&mut self) {
        self.steps = self.steps.saturating_sub(1);
        self.look_until = None;
    }

    /// The first correction has been made, or found unnecessary.
    pub(super) fn look_again(&mut self, now: RawInstant) {
        self.look_until = Some(now.after(LOOKED));
    }
}

impl Engine {
    /// Whether a start step may make up for what the first correction has left over, by this line.
    pub(super) fn looks_again(&self, line: &Line, now: Now) -> bool {
        let is_open = self.system.start.look_until.is_some_and(|until| now.raw < until);
        if !is_open || self.system.standstill.is_some() {
            return false;
        }
        let size = line.offset(now).abs();
        size > EVIDENT * line.deviation(now.raw) && size <= MOST
    }
}
