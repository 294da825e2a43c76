//! What the kernel may be told of TAI.

use super::{Governor, Moment, limits, refused};
use ipc::message::privileged::{Refusal, Refused, SetTai};

impl Governor {
    /// May the kernel be told this TAI − UTC? From none (0) it may be any of its range, once known it goes by one second, and it
    /// changes a few times in a boot: the kernel itself moves it with a leap second.
    ///
    /// # Errors
    /// The row that refuses.
    pub fn judge_tai(&mut self, order: &SetTai, now: &Moment) -> Result<(), Refused> {
        self.admit(order.epoch, order.asked_at, now)?;
        // Until then the engine cannot know which entry of a list is in force.
        if !self.synchronised || !self.proven(now) {
            return Err(refused(Refusal::Unproven, limits::DEAD_MAN.nanos(), 0));
        }
        let (known, asked) = (now.clock.tai, order.seconds);
        if !(limits::TAI_LEAST..=limits::TAI_MOST).contains(&asked) {
            return Err(refused(Refusal::Range, limits::TAI_MOST.into(), asked.into()));
        }
        // The same once more is no change, and no reason to ask.
        let follows = known == 0 || asked.abs_diff(known) == 1;
        if !follows || self.record.tai_changes >= limits::TAI_CHANGES {
            return Err(refused(Refusal::Tai, limits::TAI_CHANGES.into(), known.into()));
        }
        self.record.tai_changes += 1;
        self.unwritten = true;
        Ok(())
    }
}
