//! The governor: judges independently what may be done to the clock.
//!
//! It is pure: it receives the time and the order, and returns a [`Grant`] or a [`Refused`]. A `Grant` permits one
//! change of the clock, after the record, which is already charged, has been written.
//!
//! `limits` is the table, `budget` the sliding windows, `band` what the base frequency may be, `flight` what slews cost;
//! `pause` and `disruption` are the evidence that the machine stood still; `steps`, `status` and `tai` have the rows that only such orders pass, and here are the others. [`ipc::governor_record`] is what survives a restart.

mod band;
pub mod budget;
mod disruption;
mod flight;
mod leave;
pub mod limits;
mod pause;
mod status;
mod steps;
mod tai;
#[cfg(test)]
mod tests;

use band::Band;
use disruption::Disruption;
pub use disruption::Marker;
use flight::{InFlight, peak};
use ipc::governor_record::Record;
use ipc::message::handover::Terms;
use ipc::message::privileged::{
    Adjust, ClockEventKind, ClockKind, ClockReading, Pauses, Refusal, Refused, Welcome,
};
use ipc::process::PerProcess;
use ipc::units::{BootInstant, Frequency, Leap, Offset, RawInstant, Span, TimeConstant, WallTime};
use leave::Leave;
use limits::Limits;
use steps::Rights;

/// The steered clock and the governor's own clocks, read together.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The steered clock, and CLOCK_MONOTONIC_RAW.
    pub clock: ClockReading,
    /// CLOCK_BOOTTIME.
    pub boot: BootInstant,
    /// CLOCK_BOOTTIME − CLOCK_MONOTONIC: time asleep in this boot.
    pub asleep: Span,
}

/// Permission to do what was ordered, once.
#[derive(Debug, PartialEq, Eq)]
pub struct Grant {
    /// Phase charged.
    pub charged: Span,
    /// It is the start step of any size, of which there is one in a boot.
    pub any_size: bool,
    /// It is a step after a pause that only the hypervisor's vmclock shows.
    pub by_vmclock: bool,
    /// It is a step that an operator permitted.
    pub by_leave: bool,
}

impl Grant {
    /// An ordinary one that costs nothing.
    pub const FREE: Self = Self { charged: Span::ZERO, any_size: false, by_vmclock: false, by_leave: false };
}

/// Time was not continuous.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Break {
    /// What happened.
    pub kind: ClockEventKind,
    /// How far the clock moved from the predicted time.
    pub moved: Offset,
}

/// The line that the clock should follow since the last order.
#[derive(Clone, Copy, Debug)]
struct Line {
    raw: RawInstant,
    wall: WallTime,
    slew: Offset,
}

impl Line {
    /// From the clock as it is, with this slew.
    const fn from(clock: &ClockReading, slew: Offset) -> Self {
        Self { raw: clock.raw, wall: clock.wall, slew }
    }
}

/// What a grant changed, to be restored if the order is not carried out.
#[derive(Clone, Copy, Debug)]
struct BeforeGrant {
    line: Line,
    base: Frequency,
    displaced: Option<Offset>,
    in_flight: InFlight,
    pace: TimeConstant,
    /// For the slew that was to be replaced.
    reserved: Span,
    /// For the one that takes its place, if that is what was ordered.
    own: Option<Span>,
    /// What an order that accepts the clock as it is uses up.
    evidence: (pause::Rtc, Disruption),
    /// Of a step.
    rights: Option<Rights>,
}

/// The state of the judgement.
#[derive(Debug)]
pub struct Governor {
    limits: &'static Limits,
    terms: Terms,
    record: Record,
    built: WallTime,
    line: Line,
    before_grant: Option<BeforeGrant>,
    /// What slews that were replaced a moment ago may still do.
    in_flight: InFlight,
    /// Of the slew in progress.
    pace: TimeConstant,
    /// Time asleep at the last suspend that was reported.
    asleep: Span,
    /// Time asleep at the last look.
    asleep_seen: Span,
    epoch: u32,
    leap: Leap,
    /// The kernel was told that the clock is synchronised.
    synchronised: bool,
    /// How far other programs have moved the clock from the predicted time, while that is neither undone nor accepted.
    displaced: Option<Offset>,
    /// When the last suspend ended for which no step was made.
    resumed: Option<BootInstant>,
    rtc: pause::Rtc,
    disruption: Disruption,
    restored_at: Option<RawInstant>,
    /// The operator's, given in this run.
    leave: Option<Leave>,
    applied_at: Option<RawInstant>,
    dead: bool,
    /// Orders that may come at once, a second each.
    tokens: Span,
    tokens_at: RawInstant,
    /// See [`Self::is_unwritten`].
    unwritten: bool,
    /// So much the clock may be off the line without another program's doing, ppm.
    off_the_line: i64,
}

/// The record is written at least this often under orders.
pub const WRITE: Span = Span::from_secs(600);

const SECOND: Span = Span::from_secs(1);
/// The time asleep is the difference of two readings: less than this says nothing.
const NO_SLEEP: Span = Span::from_millis(1);
const BURST: Span = Span::from_secs(limits::BURST as i64);

impl Governor {
    /// Takes up a record in the boot in which it was written, or in a new one.
    pub fn new(terms: Terms, mut record: Record, boot_id: [u8; 16], now: Moment) -> Self {
        let limits = limits::of(terms.profile);
        let was_governed = record.first_change.is_some();
        let mut in_flight = InFlight::NONE;
        let unwritten;
        let is_same_boot = record.boot_id == boot_id;
        if is_same_boot {
            let elapsed = now.boot.elapsed_since(record.boot_time);
            budget::pass(&mut record, elapsed);
            unwritten = elapsed.min(WRITE);
            if was_governed {
                in_flight = InFlight::unknown(now.clock.raw);
            }
        } else {
            unwritten = WRITE;
            // The wall clock's time between two boots is not trustworthy: its credit is bounded.
            let between = Span::saturating(now.clock.wall.minus(record.wall).nanos());
            budget::pass(&mut record, between.min(limits.refill));
            record.boot_id = boot_id;
            record.first_change = None;
            (record.start_steps, record.any_start_used) = (0, false);
            (record.approved_used, record.tai_changes) = (None, 0);
        }
        record.boot_time = now.boot;
        record.wall = now.clock.wall;
        let mut governor = Self {
            limits,
            terms: Terms {
                run_step: terms.run_step.min(limits.run_step),
                forward_step: terms.forward_step.min(limits.forward_step),
                // One use in a boot: a restart with the same option is not another approval.
                approved_step: terms.approved_step.filter(|step| record.approved_used != Some(*step)),
                ..terms
            },
            built: limits::BUILD_TIME,
            line: Line::from(&now.clock, now.clock.slew_left),
            before_grant: None,
            in_flight,
            pace: TimeConstant::MIN,
            record,
            asleep: now.asleep,
            asleep_seen: now.asleep,
            epoch: 1,
            leap: Leap::None,
            synchronised: false,
            displaced: None,
            resumed: None,
            rtc: pause::Rtc::default(),
            disruption: Disruption::new(now.boot),
            restored_at: None,
            leave: None,
            applied_at: None,
            dead: false,
            tokens: BURST,
            tokens_at: now.clock.raw,
            unwritten: false,
            off_the_line: 600,
        };
        governor.forfeit();
        // Orders may have been carried out since the last write: otherwise repeated kills would make the first, wide
        // bands last for ever.
        if was_governed {
            governor.learn_band(unwritten);
            // The last of them are not in the record: what is in force is judged by the band.
            if is_same_boot {
                governor.record.base = now.clock.frequency;
            }
        }
        governor
    }

    /// The clock is a virtual one, with an oscillator of its own, which may be as far off the line as a real one is off
    /// its nominal rate.
    pub fn runs_by_itself(&mut self) {
        self.off_the_line = 1_700;
    }

    /// What must be written before the clock is touched.
    pub fn record(&mut self) -> &mut Record {
        &mut self.record
    }

    /// Orders carry this number.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// What the engine must know before its first order.
    pub fn welcome(&self, clock: ClockKind, found: &Moment, processes: PerProcess<u32>) -> Welcome {
        let Band { centre, width } = self.band();
        Welcome {
            epoch: self.epoch,
            clock,
            found: found.clock,
            floor: self.floor(),
            latest: self.latest(),
            start_steps: self.start_steps(found),
            base_frequency: self.record.base,
            band: width,
            band_centre: centre,
            processes,
            pauses: Pauses::default(),
            marker: self.marker(),
        }
    }

    /// The earliest time that an engine may have to believe: the build date while a step is approved for this run.
    fn floor(&self) -> WallTime {
        if self.terms.approved_step.is_some() { self.built } else { self.ordinary_floor() }
    }

    /// The build date, or an hour before the last good time, whichever is later.
    fn ordinary_floor(&self) -> WallTime {
        self.record.last_good.before(limits::FLOOR_BEHIND_LAST_GOOD).max(self.built)
    }

    /// No step leads to a time after this.
    fn latest(&self) -> WallTime {
        limits::latest(self.limits, self.built)
    }

    /// What is left of the phase budget.
    pub fn budget_left(&self) -> Span {
        budget::remaining(&self.record, self.limits)
    }

    /// Lets time pass, and looks whether it was continuous. `replaced`: another program had changed frequency or mode.
    ///
    /// Between two calls the clock may differ from the line by the slew, and by a tolerance of 5 ms + 600 ppm
    /// of the time (a kernel clock keeps the line to the microsecond); see [`Self::runs_by_itself`].
    pub fn observe(&mut self, now: &Moment, replaced: bool) -> Option<Break> {
        let elapsed = now.clock.raw.elapsed_since(self.line.raw);
        let governed = now.boot.elapsed_since(self.record.boot_time);
        budget::pass(&mut self.record, governed);
        self.settle(now.clock.slew_left);
        self.record.boot_time = now.boot;
        self.record.wall = now.clock.wall;
        if self.proven(now) {
            self.learn_band(elapsed);
            if self.synchronised {
                self.learn_time(governed, now.clock.wall);
            }
        }

        let slept = now.asleep.less(self.asleep) >= limits::SUSPEND;
        // CLOCK_MONOTONIC_RAW stops while the machine is suspended; the disciplined clock does not. The kernel's error
        // in compensating for that is not a step by another program: the resume row covers it.
        let slept_now = Some(now.asleep.less(self.asleep_seen)).filter(|it| *it >= NO_SLEEP);
        let slept_now = slept_now.unwrap_or(Span::ZERO);
        if slept_now > Span::ZERO {
            self.asleep_seen = now.asleep;
            self.rtc.begin_anew();
            self.charge_longer_second(now);
        }
        let displaced = self.displaced.unwrap_or(Offset::ZERO);
        let beside = now.clock.wall.minus(self.expected_wall(now));
        let moved = beside.minus(displaced).minus(slept_now.forward());
        // The kernel adds a sleep to the nearest second or two.
        let of_sleep = Span::from_secs(if slept_now > Span::ZERO { 2 } else { 0 });
        let of_rate = Span::saturating(elapsed.nanos() / 1_000_000 * self.off_the_line);
        let tolerance = Span::from_millis(5).plus(of_rate).plus(of_sleep);
        let stepped = moved.magnitude() > tolerance && !self.was_leap(now, moved, tolerance);
        if slept {
            self.asleep = now.asleep;
            self.resumed = Some(now.boot);
        }
        if stepped {
            self.displaced = Some(displaced.plus(moved));
        }
        self.note_shown(now);
        // The predicted time ignores changes by other programs: a restoring step is measured against it.
        let displaced = self.displaced.unwrap_or(Offset::ZERO);
        let wall = now.clock.wall.moved_by(Offset::ZERO.minus(displaced));
        self.line = Line { wall, ..Line::from(&now.clock, now.clock.slew_left) };
        let kind = match (slept, stepped, replaced) {
            (true, ..) => ClockEventKind::Resume,
            (_, true, _) => ClockEventKind::ForeignStep,
            (.., true) => ClockEventKind::ForeignFrequency,
            _ => return None,
        };
        self.epoch = self.epoch.wrapping_add(1);
        Some(Break { kind, moved })
    }

    /// Where the line is now.
    fn expected_wall(&self, now: &Moment) -> WallTime {
        let elapsed = now.clock.raw.elapsed_since(self.line.raw);
        // Until something was granted in this boot, the clock has the base frequency with which it was found.
        let base = self.record.first_change.map_or(now.clock.frequency, |_| self.record.base);
        let gained = base.gain(elapsed.nanos());
        let slewed = self.line.slew.minus(now.clock.slew_left);
        // A slew only shrinks; any other change of the reading was made by another program.
        let slewed = slewed.clamp(self.line.slew.min(Offset::ZERO), self.line.slew.max(Offset::ZERO));
        self.line.wall.after(elapsed).moved_by(Offset::saturating(gained)).moved_by(slewed)
    }

    /// May the base frequency be set and this slew be started?
    ///
    /// # Errors
    /// The row of the table that refuses it, with its limit and the remainder.
    pub fn judge_adjust(&mut self, order: &Adjust, now: &Moment) -> Result<Grant, Refused> {
        self.admit(order.epoch, order.asked_at, now)?;
        let slew = order.slew.magnitude();
        if slew > limits::SLEW {
            return Err(refused(Refusal::Range, limits::SLEW.nanos(), limits::SLEW.nanos()));
        }
        self.judge_base(order.frequency)?;
        let peak = peak(order.slew, order.time_constant);
        let total = order.frequency.rate().plus(peak);
        // How far it may be beyond 0 in the direction of the slew.
        let along = order.frequency.rate().scaled() * order.slew.nanos().signum();
        let limit = self.limits.total.rate().scaled().max(along + self.limits.beside.rate().scaled());
        if total.scaled() * order.slew.nanos().signum() > limit {
            return Err(refused(Refusal::Total, limit, total.scaled()));
        }
        self.settle(now.clock.slew_left);
        // A slew that stays inside the band moves the clock no farther than a lawful frequency could.
        let (from_centre, free) = (self.beside_centre(order.frequency), self.free());
        let own = if from_centre.plus(peak).magnitude() > free { slew } else { Span::ZERO };
        let in_flight = self.in_flight(&now.clock);
        let overlap = Self::overlap(in_flight, from_centre, free);
        let charged = own.plus(overlap);
        // What is reserved for the slew that is replaced is free again.
        let left = budget::unspent(&self.record, self.limits);
        if charged > left {
            return Err(refused(Refusal::Budget, self.limits.phase_day.nanos(), left.nanos()));
        }
        self.note_change(now);
        self.remember();
        budget::charge(&mut self.record, overlap);
        // While it is written the slew that is replaced goes on: whoever reads the record after a kill must find both.
        self.record.reserved = own.plus(self.record.reserved);
        if let Some(before) = &mut self.before_grant {
            before.own = Some(own);
        }
        self.in_flight = in_flight;
        self.pace = order.time_constant;
        self.record.base = order.frequency;
        self.line = Line::from(&now.clock, order.slew);
        // An order for the clock as it is accepts it: there is nothing left to restore.
        self.make_up_for_pause(self.displaced.unwrap_or(Offset::ZERO));
        self.displaced = None;
        Ok(Grant { charged, ..Grant::FREE })
    }

    /// The first permitted change of a boot begins to close the start window, at the latest when it is made.
    fn note_change(&mut self, now: &Moment) {
        if self.record.first_change.is_none() {
            self.record.first_change = Some(now.boot);
            self.unwritten = true;
        }
    }

    /// Whether the record holds something that must be on the disk before the order that brought it is carried out.
    pub fn is_unwritten(&self) -> bool {
        self.unwritten
    }

    /// The record is on the disk.
    pub fn written(&mut self) {
        self.unwritten = false;
    }

    /// Keeps the state that a grant is about to change.
    fn remember(&mut self) {
        self.before_grant = Some(BeforeGrant {
            line: self.line,
            base: self.record.base,
            displaced: self.displaced,
            in_flight: self.in_flight,
            pace: self.pace,
            reserved: self.record.reserved,
            own: None,
            evidence: (self.rtc, self.disruption),
            rights: None,
        });
    }

    /// The rows that every order passes first.
    fn admit(&mut self, epoch: u32, asked_at: RawInstant, now: &Moment) -> Result<(), Refused> {
        self.take_token(now)?;
        self.check_epoch(epoch)?;
        let age = now.clock.raw.since(asked_at).nanos();
        if !(0..=limits::ORDER_AGE.nanos()).contains(&age) {
            return Err(refused(Refusal::Stale, limits::ORDER_AGE.nanos(), age));
        }
        Ok(())
    }

    fn check_epoch(&self, epoch: u32) -> Result<(), Refused> {
        if epoch != self.epoch {
            return Err(refused(Refusal::StaleEpoch, self.epoch.into(), epoch.into()));
        }
        Ok(())
    }

    fn take_token(&mut self, now: &Moment) -> Result<(), Refused> {
        let earned = now.clock.raw.elapsed_since(self.tokens_at);
        self.tokens = self.tokens.plus(earned).min(BURST);
        self.tokens_at = now.clock.raw;
        if self.tokens < SECOND {
            return Err(refused(Refusal::Rate, limits::BURST.into(), 0));
        }
        self.tokens = self.tokens.less(SECOND);
        Ok(())
    }

    /// A granted order was not carried out: the clock follows the line from before, and the right to a step is as before.
    /// What was charged of a step, or for what is in flight, stays so.
    pub fn not_done(&mut self) {
        // A status changes nothing here, and a change of the clock cannot be undone.
        let Some(before) = self.before_grant.take() else { return };
        self.line = before.line;
        self.record.base = before.base;
        self.displaced = before.displaced;
        self.in_flight = before.in_flight;
        self.pace = before.pace;
        (self.rtc, self.disruption) = before.evidence;
        if let Some(rights) = before.rights {
            self.give_back(rights);
        }
        // The slew that was to be replaced runs on.
        self.record.reserved = before.reserved;
    }

    /// An order was carried out.
    pub fn applied(&mut self, now: &Moment) {
        if let Some(own) = self.before_grant.take().and_then(|before| before.own) {
            self.record.reserved = own;
        }
        self.applied_at = Some(now.clock.raw);
        self.dead = false;
    }

    fn proven(&self, now: &Moment) -> bool {
        self.applied_at.is_some_and(|at| now.clock.raw.elapsed_since(at) <= limits::DEAD_MAN)
    }
}

fn refused(code: Refusal, limit: i64, remaining: i64) -> Refused {
    Refused { answers: 0, code, limit, remaining }
}
