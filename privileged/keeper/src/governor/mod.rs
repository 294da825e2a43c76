//! The governor: judges independently what may be done to the clock.
//!
//! It is pure: it receives the time and the order, and returns a [`Grant`] or a [`Refused`]. A `Grant` permits one
//! change of the clock, after the record, which is already charged, has been written.
//!
//! `limits` is the table, `record` what survives a restart, `budget` the sliding windows, `steps` the rows
//! that only steps pass; here are the others.

pub mod budget;
pub mod limits;
pub mod record;
mod steps;
#[cfg(test)]
mod tests;

use ipc::calendar::Date;
use ipc::message::privileged::{Adjust, ClockEventKind, Profile, Refusal, Refused, Status};
use ipc::units::{Frequency, Leap, Offset, RawInstant, WallTime};
use limits::{Limits, SECOND};
use record::Record;

/// The governor's own clocks and the steered clock, read together.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// CLOCK_MONOTONIC_RAW.
    pub raw: RawInstant,
    /// CLOCK_BOOTTIME, ns.
    pub boot: i64,
    /// CLOCK_BOOTTIME − CLOCK_MONOTONIC: time asleep in this boot, ns.
    pub asleep: i64,
    /// The steered clock.
    pub wall: WallTime,
    /// What is left of the slew.
    pub slew_left: Offset,
}

/// Leave to do what was ordered, once.
#[derive(Debug, PartialEq, Eq)]
pub struct Grant {
    /// Phase charged, ns.
    pub charged: i64,
}

/// The line that the clock should follow since the last order.
#[derive(Clone, Copy, Debug)]
struct Line {
    raw: RawInstant,
    wall: WallTime,
    slew: Offset,
}

/// What the configuration and the operator left open.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Which column of the table is in force.
    pub profile: Profile,
    /// Largest run-time step, ns; at most the profile's.
    pub run_step: i64,
    /// Whether leap seconds may be armed.
    pub leap_seconds: bool,
    /// `--approve-step`: one step of at most this size, ns; 0: none.
    pub approved_step: i64,
}

/// The state of the judgement.
#[derive(Debug)]
pub struct Governor {
    limits: &'static Limits,
    terms: Terms,
    record: Record,
    built: WallTime,
    line: Line,
    /// What a grant changed, should the order not be carried out: line, base frequency, displacement.
    before_grant: Option<(Line, Frequency, Option<Offset>, i64, i64)>,
    /// Fastest rate of a slew that was replaced less than a second ago, 2^-16 ppm, and until when it may still
    /// act: the kernel finishes the part of the second that it has begun.
    in_flight: (i64, RawInstant),
    /// Time constant of the slew in progress.
    pace: u8,
    asleep: i64,
    /// Time asleep at the last look.
    asleep_seen: i64,
    epoch: u32,
    leap: Leap,
    /// How far other programs have moved the clock from the predicted time, while that is neither undone nor accepted.
    displaced: Option<Offset>,
    resumed: bool,
    restored_at: Option<RawInstant>,
    applied_at: Option<RawInstant>,
    dead: bool,
    tokens: i64,
    tokens_at: RawInstant,
    open_charge: i64,
}

impl Governor {
    /// Takes up an earlier record in this boot or in a new one.
    pub fn new(terms: Terms, mut record: Record, boot_id: [u8; 16], now: Moment) -> Self {
        let limits = limits::of(terms.profile);
        if record.boot_id == boot_id {
            record.age = record.age.saturating_add((now.boot - record.boot_time).max(0));
        } else {
            // The wall clock's time between two boots is not trustworthy: its credit is bounded.
            let between = now.wall.minus(record.wall).nanos();
            record.age = record.age.saturating_add(between.clamp(0, limits.refill));
            record.boot_id = boot_id;
            record.start_opened = now.boot;
            record.start_steps = 0;
            record.below_floor_used = false;
            record.approved_used = 0;
        }
        record.boot_time = now.boot;
        budget::age_windows(&mut record);
        let line = Line { raw: now.raw, wall: now.wall, slew: now.slew_left };
        Self {
            limits,
            terms: Terms {
                run_step: terms.run_step.min(limits.run_step),
                // One use in a boot: a restart with the same words is not another approval.
                approved_step: terms.approved_step * i64::from(record.approved_used != terms.approved_step),
                ..terms
            },
            built: limits::BUILD_TIME,
            line,
            before_grant: None,
            in_flight: (0, RawInstant::MIN),
            pace: 0,
            record,
            asleep: now.asleep,
            asleep_seen: now.asleep,
            epoch: 1,
            leap: Leap::None,
            displaced: None,
            resumed: false,
            restored_at: None,
            applied_at: None,
            dead: false,
            tokens: limits::BURST * SECOND,
            tokens_at: now.raw,
            open_charge: 0,
        }
    }

    /// What must be written before the clock is touched.
    pub fn record(&mut self) -> &mut Record {
        &mut self.record
    }

    /// Orders carry this number.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The earliest target of a step: the build date, or an hour before the last good time, whichever is later. A step
    /// approved by the operator may have to undo a wrong "good" time, so only the build date limits it.
    pub fn floor(&self) -> WallTime {
        if self.terms.approved_step > 0 {
            return self.built;
        }
        let good = self.record.last_good.nanos() - limits::FLOOR_BEHIND_LAST_GOOD;
        WallTime::saturating(good.max(self.built.nanos()))
    }

    /// No step leads to a time after this.
    pub fn latest(&self) -> WallTime {
        limits::latest(self.limits, self.built)
    }

    /// Start steps left, 0 when the window is closed; an operator's leave counts as one.
    pub fn start_steps(&self, now: &Moment) -> u8 {
        self.window_steps(now).max(u8::from(self.terms.approved_step > 0))
    }

    fn window_steps(&self, now: &Moment) -> u8 {
        if now.boot - self.record.start_opened > limits::START_WINDOW {
            return 0;
        }
        self.limits.start_steps.saturating_sub(self.record.start_steps)
    }

    /// The band of the base frequency: middle and half width.
    pub fn band(&self) -> (Frequency, Frequency) {
        let width = match self.record.commissioned_time {
            ..limits::SEARCH => self.limits.search_band,
            limits::SEARCH..limits::COMMISSIONING => self.limits.commissioning_band,
            _ => self.limits.band,
        };
        (self.record.centre, Frequency::saturating(width))
    }

    /// What is left of the phase budget, ns.
    pub fn budget_left(&self) -> i64 {
        budget::remaining(&self.record, self.limits)
    }

    /// Lets time pass, and looks whether it was continuous.
    ///
    /// Between two calls the clock may differ from the line by the slew, and by a tolerance of 5 ms + 600 ppm
    /// of the time (a virtual clock's oscillator; a kernel clock keeps the line to the microsecond).
    pub fn observe(&mut self, now: &Moment, replaced: bool) -> Option<(ClockEventKind, Offset)> {
        let elapsed = now.raw.since(self.line.raw).nanos().max(0);
        self.record.age = self.record.age.saturating_add((now.boot - self.record.boot_time).max(0));
        self.record.boot_time = now.boot;
        self.record.wall = now.wall;
        budget::age_windows(&mut self.record);
        if self.proven(now) {
            self.learn_band(elapsed);
        }

        let slept = now.asleep - self.asleep >= limits::SUSPEND;
        let displaced = self.displaced.unwrap_or(Offset::ZERO).nanos();
        // CLOCK_MONOTONIC_RAW stops while the machine is suspended; the disciplined clock does not. The kernel's error
        // in compensating for that is not a step by another program: the resume row covers it.
        let slept_now = (now.asleep - self.asleep_seen).max(0);
        self.asleep_seen = now.asleep;
        let beside = now.wall.minus(self.expected_wall(now)).nanos() - displaced - slept_now;
        let moved = Offset::saturating(beside);
        // The kernel adds a sleep to the nearest second or two.
        let tolerance = 5_000_000 + elapsed / 1_000_000 * 600 + if slept_now > 0 { 2 * SECOND } else { 0 };
        let stepped = moved.magnitude().nanos() > tolerance && !self.was_leap(now, moved, tolerance);
        if slept {
            self.asleep = now.asleep;
            self.resumed = true;
        }
        let event = if slept {
            Some(ClockEventKind::Resume)
        } else if stepped {
            Some(ClockEventKind::ForeignStep)
        } else if replaced {
            Some(ClockEventKind::ForeignFrequency)
        } else {
            None
        };
        if event.is_some() {
            self.epoch = self.epoch.wrapping_add(1);
        }
        if stepped {
            self.displaced = Some(Offset::saturating(displaced + moved.nanos()));
        }
        // The predicted time ignores changes by other programs: a restoring step is measured against it.
        let displaced = self.displaced.unwrap_or(Offset::ZERO).nanos();
        let wall = WallTime::saturating(now.wall.nanos() - displaced);
        self.line = Line { raw: now.raw, wall, slew: now.slew_left };
        event.map(|kind| (kind, moved))
    }

    /// Whether this was the kernel's own leap second, armed with this governor's leave.
    fn was_leap(&mut self, now: &Moment, moved: Offset, tolerance: i64) -> bool {
        let second = match self.leap {
            Leap::Insert => -SECOND,
            Leap::Delete => SECOND,
            Leap::None | Leap::Unknown => return false,
        };
        // It comes at midnight, and is looked for at the next order or look after it.
        let since_midnight = (now.wall.nanos() + SECOND).rem_euclid(86_400 * SECOND);
        let was = (moved.nanos() - second).abs() <= tolerance && since_midnight <= 3_600 * SECOND;
        if was {
            self.leap = Leap::None;
        }
        was
    }

    /// Where the line is now.
    fn expected_wall(&self, now: &Moment) -> WallTime {
        let elapsed = now.raw.since(self.line.raw).nanos();
        let slewed = self.line.slew.nanos() - now.slew_left.nanos();
        // A slew only shrinks; any other change of the reading was made by another program.
        let slewed = slewed.clamp(self.line.slew.nanos().min(0), self.line.slew.nanos().max(0));
        WallTime::saturating(self.line.wall.nanos() + elapsed + self.record.base.gain(elapsed) + slewed)
    }

    /// Counts the time under orders for the commissioning, and lets the centre of the band follow. (A frequency that
    /// was not ordered for hours, for example without a network, says nothing about the oscillator.)
    fn learn_band(&mut self, elapsed: i64) {
        let record = &mut self.record;
        if record.commissioned_time < limits::COMMISSIONING {
            let before = record.commissioned_time;
            record.commissioned_time += elapsed;
            record.commissioned_sum += i64::from(record.base.scaled()) * (elapsed / 1_000_000) / 1_000;
            let passes = |end: i64| before < end && record.commissioned_time >= end;
            if passes(limits::SEARCH) || passes(limits::COMMISSIONING) {
                let mean = record.commissioned_sum / (record.commissioned_time / SECOND).max(1);
                record.centre = Frequency::saturating(mean as i32);
                record.centre_age = record.age;
            }
            return;
        }
        // One unit of 2^-16 ppm for each of these, so that the middle moves by centre_month in 30 days.
        let pace = 30 * 86_400 * SECOND / i64::from(self.limits.centre_month.max(1));
        let units = ((record.age - record.centre_age) / pace).clamp(0, i64::from(i32::MAX)) as i32;
        record.centre_age += i64::from(units) * pace;
        let wish = record.base.scaled() - record.centre.scaled();
        record.centre = Frequency::saturating(record.centre.scaled() + wish.clamp(-units, units));
    }

    /// May the base frequency be set and this slew be started?
    ///
    /// # Errors
    /// The row of the table that refuses it, with its limit and what is left of it.
    pub fn judge_adjust(&mut self, order: &Adjust, now: &Moment) -> Result<Grant, Refused> {
        self.admit(order.epoch, order.asked_at, now)?;
        let slew = order.slew.nanos();
        if slew.abs() > limits::SLEW {
            return Err(refused(Refusal::Range, limits::SLEW, limits::SLEW));
        }
        let (centre, band) = self.band();
        let base_from_centre = i64::from(order.frequency.scaled()) - i64::from(centre.scaled());
        if base_from_centre.abs() > i64::from(band.scaled()) {
            return Err(refused(Refusal::Band, i64::from(band.scaled()), base_from_centre));
        }
        let peak = peak(slew, order.time_constant.exponent());
        let total = i64::from(order.frequency.scaled()) + peak;
        let limit = i64::from(self.limits.total);
        if total.abs() > limit || i64::from(order.frequency.scaled()).abs() > limit {
            return Err(refused(Refusal::Total, limit, total));
        }
        // A slew that stays inside the band moves the clock no farther than a lawful frequency could (of the
        // search only the middle: it is wide for frequencies, not for slews). What is in flight of a replaced
        // one counts for the second that it may still last.
        let free = band.scaled().min(self.limits.commissioning_band);
        let beyond = |rate: i64| rate.abs() > i64::from(free);
        let flight = self.in_flight(now);
        let own = if beyond(base_from_centre + peak) { slew.abs() } else { 0 };
        let overlap = if beyond(base_from_centre + peak + flight) || beyond(base_from_centre + flight) {
            flight.abs() * 1_000 / i64::from(Frequency::PER_PPM)
        } else {
            0
        };
        let charged = own + overlap;
        let unspent = self.open_charge.min(now.slew_left.magnitude().nanos());
        let left = self.budget_left() + unspent;
        if charged > left {
            return Err(refused(Refusal::Budget, self.limits.phase_day, left));
        }
        self.before_grant = Some((self.line, self.record.base, self.displaced, self.open_charge, unspent));
        budget::refund(&mut self.record, unspent);
        budget::charge(&mut self.record, charged);
        self.open_charge = own;
        self.in_flight = (flight, now.raw.after(ipc::units::Span::from_secs(1)));
        self.pace = order.time_constant.exponent();
        self.record.base = order.frequency;
        self.line = Line { raw: now.raw, wall: now.wall, slew: order.slew };
        // An order for the clock as it is accepts it: there is nothing left to restore.
        self.displaced = None;
        Ok(Grant { charged })
    }

    /// The rate that a replaced slew may still have: of the one that is replaced now, or of one before it in
    /// the same second, whichever is faster. 2^-16 ppm, signed.
    fn in_flight(&self, now: &Moment) -> i64 {
        let (earlier, until) = self.in_flight;
        let earlier = if now.raw < until { earlier } else { 0 };
        let replaced = peak(now.slew_left.nanos(), self.pace);
        if replaced.abs() >= earlier.abs() { replaced } else { earlier }
    }

    /// May the kernel be told this? Gives the status with what is never allowed taken out.
    ///
    /// # Errors
    /// The row that refuses.
    pub fn judge_status(&mut self, status: &Status, now: &Moment) -> Result<Status, Refused> {
        self.take_token(now)?;
        if status.epoch != self.epoch {
            return Err(refused(Refusal::StaleEpoch, i64::from(self.epoch), i64::from(status.epoch)));
        }
        if status.synchronised && !self.proven(now) {
            return Err(refused(Refusal::Unproven, limits::DEAD_MAN, 0));
        }
        if matches!(status.leap, Leap::Insert | Leap::Delete) {
            self.judge_leap(now)?;
        }
        if status.tai != 0 {
            self.judge_tai(status.tai, now)?;
        }
        self.leap = status.leap;
        if status.synchronised {
            self.record.last_good = self.record.last_good.max(now.wall);
        }
        let at_least = |span: ipc::units::Span| ipc::units::Span::saturating(span.nanos().max(1_000));
        Ok(Status { maxerror: at_least(status.maxerror), esterror: at_least(status.esterror), ..*status })
    }

    /// Once known, the offset from TAI changes by one second within two days of a leap second, and not else.
    fn judge_tai(&mut self, tai: u8, now: &Moment) -> Result<(), Refused> {
        let known = self.record.tai;
        let since_leap = now.wall.minus(self.record.leap_at).nanos();
        let leapt = self.record.leap_at > WallTime::MIN && (0..2 * 86_400 * SECOND).contains(&since_leap);
        let lawful = known == 0 || tai == known || (leapt && tai.abs_diff(known) == 1);
        if !lawful || !(20..=60).contains(&tai) {
            return Err(refused(Refusal::Tai, 60, i64::from(known)));
        }
        self.record.tai = tai;
        Ok(())
    }

    fn judge_leap(&mut self, now: &Moment) -> Result<(), Refused> {
        if !self.terms.leap_seconds || !Date::of(now.wall).may_end_with_leap_second() {
            return Err(refused(Refusal::LeapDate, 0, 0));
        }
        let day = now.wall.nanos() / (86_400 * SECOND);
        let armed = self.record.leap_at.nanos() / (86_400 * SECOND);
        if day != armed {
            let since = now.wall.nanos() - self.record.leap_at.nanos();
            if self.record.leap_at > WallTime::MIN && since < limits::LEAP_SPACING {
                return Err(refused(
                    Refusal::LeapTooSoon,
                    limits::LEAP_SPACING,
                    limits::LEAP_SPACING - since,
                ));
            }
            self.record.leap_at = now.wall;
        }
        Ok(())
    }

    /// The rows that every order passes first.
    fn admit(&mut self, epoch: u32, asked_at: RawInstant, now: &Moment) -> Result<(), Refused> {
        self.take_token(now)?;
        if epoch != self.epoch {
            return Err(refused(Refusal::StaleEpoch, i64::from(self.epoch), i64::from(epoch)));
        }
        let age = now.raw.since(asked_at).nanos();
        if !(0..=limits::ORDER_AGE).contains(&age) {
            return Err(refused(Refusal::Stale, limits::ORDER_AGE, age));
        }
        Ok(())
    }

    fn take_token(&mut self, now: &Moment) -> Result<(), Refused> {
        let earned = now.raw.since(self.tokens_at).nanos().max(0);
        self.tokens = (self.tokens.saturating_add(earned)).min(limits::BURST * SECOND);
        self.tokens_at = now.raw;
        if self.tokens < SECOND {
            return Err(refused(Refusal::Rate, limits::BURST, 0));
        }
        self.tokens -= SECOND;
        Ok(())
    }

    /// A granted order was not carried out: the clock follows the line from before. What was charged stays so.
    pub fn not_done(&mut self) {
        // A status changes nothing here, and a change of the clock cannot be undone.
        let Some(before) = self.before_grant.take() else { return };
        let unspent;
        (self.line, self.record.base, self.displaced, self.open_charge, unspent) = before;
        // The slew that was to be replaced runs on: what was given back for it is taken again.
        budget::charge(&mut self.record, unspent);
    }

    /// An order was carried out.
    pub fn applied(&mut self, now: &Moment) {
        self.before_grant = None;
        self.applied_at = Some(now.raw);
        self.dead = false;
    }

    fn proven(&self, now: &Moment) -> bool {
        self.applied_at.is_some_and(|at| now.raw.since(at).nanos() <= limits::DEAD_MAN)
    }

    /// The clock was left alone by the dead-man's row: no slew, no leap second.
    pub fn let_go(&mut self, now: &Moment) {
        self.line = Line { raw: now.raw, wall: now.wall, slew: Offset::ZERO };
        self.displaced = None;
        self.leap = Leap::None;
        self.open_charge = 0;
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

/// The fastest rate of a slew, in its first second: ns a second × 2^16 / 1000 = 2^-16 ppm, away from zero.
fn peak(slew: i64, time_constant: u8) -> i64 {
    let magnitude = ((slew.abs() * i64::from(Frequency::PER_PPM)) >> (2 + time_constant)) / 1_000;
    (magnitude + i64::from(slew != 0)) * slew.signum()
}

fn refused(code: Refusal, limit: i64, remaining: i64) -> Refused {
    Refused { answers: 0, code, limit, remaining }
}
