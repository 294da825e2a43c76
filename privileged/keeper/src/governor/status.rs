//! What the kernel may be told of the clock.

use super::limits::{self, DAY, HOUR};
use super::steps::spaced;
use super::{Governor, Line, Moment, SECOND, refused};
use ipc::calendar::Date;
use ipc::message::privileged::{Refusal, Refused, Status};
use ipc::units::{Leap, Offset, Span, WallTime};

impl Governor {
    /// May the kernel be told this? Returns the status that the kernel may be told.
    ///
    /// # Errors
    /// The row that refuses.
    pub fn judge_status(&mut self, status: &Status, now: &Moment) -> Result<Status, Refused> {
        self.take_token(now)?;
        self.check_epoch(status.epoch)?;
        if status.synchronised && !self.proven(now) {
            return Err(refused(Refusal::Unproven, limits::DEAD_MAN.nanos(), 0));
        }
        if matches!(status.leap, Leap::Insert | Leap::Delete) {
            self.judge_leap(now.clock.wall)?;
        }
        self.leap = status.leap;
        self.synchronised = status.synchronised;
        let microsecond = Span::saturating(1_000);
        Ok(Status {
            maxerror: status.maxerror.max(microsecond),
            esterror: status.esterror.max(microsecond),
            ..*status
        })
    }

    /// Lets the last good time follow the clock, which was synchronised for this long.
    ///
    /// A claim must not be able to raise it for good: an hour of false sources, or of a hostile engine, would leave a
    /// floor that no honest time reaches. So it advances as boot time does, and past a jump of the clock (a step, the
    /// time between two boots) only when the clock was kept at the new time or later for long enough.
    pub(super) fn learn_time(&mut self, elapsed: Span, wall: WallTime) {
        let record = &mut self.record;
        record.last_good = record.last_good.after(elapsed).min(wall).max(record.last_good);
        let Some(kept) = record.kept else {
            record.kept = Some(wall);
            return;
        };
        // A clock that was set back was not kept at the later time.
        let kept = kept.after(elapsed).min(wall);
        record.kept = Some(kept);
        record.kept_for = record.kept_for.plus(elapsed);
        if record.kept_for >= limits::KEPT {
            record.last_good = record.last_good.max(kept);
            record.kept = Some(wall);
            record.kept_for = Span::ZERO;
        }
    }

    /// Whether this was the kernel's own leap second, which this governor has permitted.
    pub(super) fn was_leap(&mut self, now: &Moment, moved: Offset, tolerance: Span) -> bool {
        let second = match self.leap {
            Leap::Insert => Offset::ZERO.minus(SECOND.forward()),
            Leap::Delete => SECOND.forward(),
            Leap::None | Leap::Unknown => return false,
        };
        // It comes at midnight, and is looked for at the next order or look after it.
        let since_midnight = Span::saturating(now.clock.wall.after(SECOND).nanos() % DAY.nanos());
        let was = moved.minus(second).magnitude() <= tolerance && since_midnight <= HOUR;
        if was {
            self.leap = Leap::None;
            self.rtc.begin_anew();
        }
        was
    }

    fn judge_leap(&mut self, now: WallTime) -> Result<(), Refused> {
        if !self.terms.leap_seconds || !Date::of(now).may_end_with_leap_second() {
            return Err(refused(Refusal::LeapDate, 0, 0));
        }
        let day = |time: WallTime| time.nanos() / DAY.nanos();
        // One that was armed in a future that never came says nothing: a clock that was set there and back has no leap second
        // behind it, and must not be refused the true ones until that date.
        match self.record.leap_at.filter(|armed| *armed <= now.after(DAY)) {
            Some(armed) if day(armed) == day(now) => Ok(()),
            armed => {
                if let Some(armed) = armed {
                    let since = Span::saturating(now.minus(armed).nanos());
                    spaced(since, limits::LEAP_SPACING)
                        .map_err(|refused| Refused { code: Refusal::LeapTooSoon, ..refused })?;
                }
                self.record.leap_at = Some(now);
                Ok(())
            }
        }
    }

    /// The dead-man's row has left the clock alone: no slew, no leap second.
    pub fn let_go(&mut self, now: &Moment) {
        self.in_flight = self.in_flight(&now.clock);
        let displaced = self.displaced.unwrap_or(Offset::ZERO);
        // What others did can still be undone: the engine may have been refused all the time.
        let wall = now.clock.wall.moved_by(Offset::ZERO.minus(displaced));
        self.line = Line { wall, ..Line::from(&now.clock, Offset::ZERO) };
        self.leap = Leap::None;
        self.synchronised = false;
        self.forfeit();
    }

    /// Whether the dead-man's time has just run out: no order for three hours.
    pub fn died(&mut self, now: &Moment) -> bool {
        let silent = self.applied_at.is_some() && !self.proven(now) && !self.dead;
        if silent {
            self.dead = true;
            self.epoch = self.epoch.wrapping_add(1);
        }
        silent
    }
}
