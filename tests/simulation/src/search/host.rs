//! A host whose engine is hostile: the daemon's governor, what the keeper does around it, and the kernel's clock. Its
//! oscillator is perfect, so whatever the clock moves is the engine's doing.

use ipc::clock_page::ClockPage;
use ipc::governor_record::Record;
use ipc::message::handover::Terms;
use ipc::message::privileged::{Adjust, ClockReading, Profile, Refused, Status, Step, StepReason};
use ipc::units::{BootInstant, Frequency, Leap, Offset, RawInstant, Span, TimeConstant, WallTime};
use keeper::governor::limits::BUILD_TIME;
use keeper::governor::{Governor, Grant, Marker, Moment, WRITE, limits};
use std::collections::VecDeque;

pub(super) const SECOND: i64 = 1_000_000_000;
pub(super) const HOUR: i64 = 3_600 * SECOND;
pub(super) const DAY: i64 = 24 * HOUR;
/// How often the keeper looks by itself.
const LOOK: i64 = 240 * SECOND;
/// How long the engine has been hostile at the end.
pub(super) const LIFE: i64 = 30 * DAY;
/// How often the movement is noted.
const NOTED: i64 = 600 * SECOND;

/// One instant: true time, and how far base frequency, slews and charged steps have moved the clock until then, ns.
type Note = (i64, i64);

/// A host.
#[derive(Debug)]
pub(super) struct Host {
    governor: Governor,
    page: ClockPage,
    pub(super) profile: Profile,
    /// Largest step forward without evidence that the operator allows.
    leave: Span,
    boot: u8,
    asleep: i64,
    /// As last written to the disk, and when.
    disk: Record,
    written: RawInstant,
    /// True time at the beginning.
    begin: WallTime,
    /// Since the beginning, on a clock that nothing moves, ns.
    pub(super) time: i64,
    moved: i64,
    notes: Vec<Note>,
    /// Steps that are counted apart: when, and how far.
    resumes: Vec<Note>,
    forwards: Vec<Note>,
    /// Of pause steps: what is beside the true pause, and not charged.
    pauses: Vec<Note>,
    /// Steps for which only vmclock was evidence: what is beside the true pause.
    disruptions: Vec<Note>,
    /// What the hypervisor's vmclock shows, and how many changes of it this run has seen for which no step was granted.
    marker: u64,
    unanswered: u32,
    /// Steps that no rule of the page allows: for a change that had its step, before the build or after the latest time.
    lawless: u32,
    /// What the machine was paused for and no step has made up for, ns.
    behind: i64,
    /// How far the battery-backed clock is ahead of true time, ns.
    rtc_ahead: i64,
    /// How long it takes to write the record, ns.
    pub(super) slow: i64,
    /// Orders to change the clock, granted or not.
    pub(super) orders: u32,
}

impl Host {
    /// With this record, in the boot in which it was written; the clock is at a whole second.
    pub(super) fn with(record: Record, profile: Profile, leave: Span, wall: WallTime) -> Self {
        let raw = RawInstant::saturating(record.boot_time.nanos());
        let page = ClockPage { frequency: record.base, ..ClockPage::free_running(wall, raw) };
        let boot = record.boot_id[0];
        let now = moment(&page, 0);
        let mut host = Self {
            governor: Governor::new(terms(profile, leave), record.clone(), [boot; 16], now),
            page,
            profile,
            leave,
            boot,
            asleep: 0,
            disk: record,
            written: raw,
            begin: wall,
            time: 0,
            moved: 0,
            notes: vec![(0, 0)],
            resumes: Vec::new(),
            forwards: Vec::new(),
            pauses: Vec::new(),
            disruptions: Vec::new(),
            marker: 0,
            unanswered: 0,
            lawless: 0,
            behind: 0,
            rtc_ahead: 0,
            slow: 0,
            orders: 0,
        };
        host.look_at_vmclock();
        host
    }

    fn now(&self) -> Moment {
        moment(&self.page, self.asleep)
    }

    pub(super) fn record(&mut self) -> &Record {
        self.governor.record()
    }

    /// The edge of the band in this direction, ppm.
    pub(super) fn edge(&self, sign: i64) -> f64 {
        let now = self.now();
        let welcome = self.governor.welcome(
            ipc::message::privileged::ClockKind::Kernel,
            &now,
            ipc::process::PerProcess::default(),
        );
        ppm(welcome.band_centre) + ppm(welcome.band) * sign as f64
    }

    /// Half the width of the band, ppm.
    pub(super) fn width(&self) -> f64 {
        (self.edge(1) - self.edge(-1)) / 2.0
    }

    /// What is left of the phase budget, ns.
    pub(super) fn budget(&self) -> i64 {
        self.governor.budget_left().nanos()
    }

    fn advance(&mut self, nanos: i64) {
        let later = self.page.advanced_to(self.page.since.after(Span::saturating(nanos)));
        self.moved += later.wall.minus(self.page.wall).nanos() - nanos;
        self.time += nanos;
        self.page = later;
    }

    /// Time passes; the keeper looks now and then.
    pub(super) fn pass(&mut self, nanos: i64) {
        let mut left = nanos;
        while left > 0 {
            let part = left.min(LOOK);
            self.advance(part);
            self.look();
            left -= part;
        }
    }

    /// The keeper is stopped, or its machine paused with its clocks running on: nobody looks.
    pub(super) fn pass_unseen(&mut self, nanos: i64) {
        self.advance(nanos);
        self.look();
    }

    /// To so many milliseconds after the clock's next whole second.
    pub(super) fn pass_to(&mut self, millis: i64) {
        let target = (self.page.wall.nanos() / SECOND + 1) * SECOND + millis * (SECOND / 1_000);
        while self.page.wall.nanos() < target {
            self.advance((target - self.page.wall.nanos()).clamp(1_000, SECOND));
        }
        self.look();
    }

    fn look(&mut self) {
        let now = self.now();
        self.governor.observe(&now, false);
        let cut = self.governor.bring_into_band();
        self.look_at_vmclock();
        if self.governor.is_rtc_due(now.boot) {
            self.look_at_rtc();
        }
        if let Some(base) = cut {
            self.page = self.page.adjusted(base, Offset::ZERO, TimeConstant::MIN);
        } else if self.governor.died(&now) {
            self.page = self.page.adjusted(self.page.frequency, Offset::ZERO, TimeConstant::MIN);
            self.governor.let_go(&now);
        }
        if self.notes.last().is_none_or(|(time, _)| self.time - time >= NOTED) {
            self.note();
        }
    }

    /// Notes the movement. What comes after the life that is compared does not count: the band walks on.
    pub(super) fn note(&mut self) {
        if self.time <= LIFE {
            self.notes.push((self.time, self.moved));
        }
    }

    /// Writes the record as the keeper does, after an order was granted.
    fn write(&mut self, grant: &Grant, is_step: bool) {
        let now = self.page.since;
        let is_due = now.elapsed_since(self.written) >= WRITE;
        if grant.charged > Span::ZERO || is_step || is_due || self.governor.is_unwritten() {
            self.disk = self.governor.record().clone();
            self.written = now;
            self.governor.written();
            // Nobody looks meanwhile, and what is being written may not get there.
            self.advance(self.slow);
        }
    }

    pub(super) fn adjust(&mut self, ppm: f64, slew: i64, constant: u8) -> Result<(), Refused> {
        self.orders += 1;
        self.look();
        let now = self.now();
        let order = Adjust {
            epoch: self.governor.epoch(),
            frequency: Frequency::saturating((ppm * f64::from(Frequency::PER_PPM)) as i32),
            slew: Offset::saturating(slew),
            time_constant: TimeConstant::saturating(constant),
            asked_at: now.clock.raw,
        };
        let grant = self.governor.judge_adjust(&order, &now)?;
        self.write(&grant, false);
        let now = self.now();
        if let Err(refused) = self.governor.replaced(&now.clock) {
            self.governor.not_done();
            return Err(refused);
        }
        self.page = self.page.adjusted(order.frequency, order.slew, order.time_constant);
        self.governor.applied(&self.now());
        Ok(())
    }

    /// A step; what is charged of it counts as moved, the rest apart.
    pub(super) fn step(&mut self, reason: StepReason, delta: i64) -> Result<(), Refused> {
        self.orders += 1;
        self.look();
        let now = self.now();
        let delta = Offset::saturating(delta);
        let order = Step { epoch: self.governor.epoch(), delta, reason, asked_at: now.clock.raw };
        let grant = self.governor.judge_step(&order, &now)?;
        self.write(&grant, true);
        self.page = self.page.set_to(self.page.wall.moved_by(delta));
        self.governor.applied(&self.now());
        let latest = limits::latest(limits::of(self.profile), BUILD_TIME);
        self.lawless += u32::from(self.page.wall < BUILD_TIME || self.page.wall > latest);
        match reason {
            StepReason::Run | StepReason::Restore => {
                self.note();
                self.moved += grant.charged.nanos() * delta.nanos().signum();
                self.note();
            }
            StepReason::Resume => self.resumes.push((self.time, delta.nanos().abs())),
            StepReason::Forward => self.forwards.push((self.time, delta.nanos())),
            StepReason::Pause => {
                // What makes up for a pause moves the clock to where it belongs.
                let beside = (delta.nanos() - self.behind).max(0);
                self.behind = (self.behind - delta.nanos()).max(0);
                if grant.by_vmclock {
                    self.lawless += u32::from(self.unanswered == 0);
                    self.unanswered = 0;
                    self.disruptions.push((self.time, beside));
                    return Ok(());
                }
                let charged = grant.charged.nanos().min(beside);
                self.pauses.push((self.time, beside - charged));
                self.note();
                self.moved += charged;
                self.note();
            }
            StepReason::Start => {}
        }
        Ok(())
    }

    pub(super) fn status(&mut self, leap: Leap, synchronised: bool) -> Result<(), Refused> {
        let now = self.now();
        let (maxerror, esterror) = (Span::ZERO, Span::ZERO);
        let epoch = self.governor.epoch();
        let status = Status { epoch, leap, synchronised, maxerror, esterror };
        self.governor.judge_status(&status, &now).map(drop)
    }

    /// The machine is paused: all its clocks stand still, but the battery-backed one, which is looked at until it is believed.
    pub(super) fn freeze(&mut self, nanos: i64) {
        self.look_at_rtc();
        self.pass(2 * SECOND);
        self.look_at_rtc();
        self.time += nanos;
        self.behind += nanos;
        for _ in 0..3 {
            self.pass(2 * SECOND);
            self.look_at_rtc();
        }
    }

    /// The machine is migrated, or restored from a saved state: its clocks stand still, and the hypervisor changes the marker.
    /// `rtc`: it has a battery-backed clock, which ran on.
    pub(super) fn migrate(&mut self, nanos: i64, rtc: bool) {
        self.marker += 1;
        self.unanswered += 1;
        if rtc {
            return self.freeze(nanos);
        }
        self.time += nanos;
        self.behind += nanos;
        self.rtc_ahead -= nanos;
        self.look();
    }

    /// The kernel sets the battery-backed clock to the steered one, and so much beside it, as it does while it is told that
    /// this one is synchronised; between two looks, or so many looks after the last order.
    pub(super) fn set_rtc(&mut self, beside: i64, looks: u32) {
        if self.status(Leap::None, true).is_err() {
            return;
        }
        for _ in 0..looks {
            self.pass(2 * SECOND);
            self.look_at_rtc();
        }
        self.rtc_ahead = self.page.wall.minus(self.begin).nanos() - self.time + beside;
    }

    fn look_at_vmclock(&mut self) {
        let now = self.now();
        self.governor.look_at_vmclock(Marker { disruption: self.marker, generation: None }, &now);
    }

    fn look_at_rtc(&mut self) {
        let seconds = self.begin.moved_by(Offset::saturating(self.time + self.rtc_ahead)).nanos() / SECOND;
        let now = self.now();
        self.governor.look_at_rtc(seconds, &now, now.boot);
    }

    /// The machine sleeps; the kernel puts the clock right to so many nanoseconds, which moves its seconds.
    pub(super) fn suspend(&mut self, nanos: i64, beside: i64) {
        self.asleep += nanos;
        self.time += nanos;
        self.page.wall = self.page.wall.moved_by(Offset::saturating(nanos + beside));
        self.look();
    }

    /// Another program sets the clock.
    pub(super) fn set_by_another(&mut self, by: i64) {
        self.page = self.page.set_to(self.page.wall.moved_by(Offset::saturating(by)));
        self.look();
    }

    /// The kernel's leap second.
    pub(super) fn leap(&mut self, by: i64) {
        let day = self.page.wall.nanos() / DAY + 1;
        self.pass(day * DAY - self.page.wall.nanos());
        self.page.wall = self.page.wall.moved_by(Offset::saturating(by));
        self.look();
    }

    /// The daemon ends and is started again; `killed`: only what is on the disk is left.
    pub(super) fn restart(&mut self, killed: bool) {
        if !killed {
            self.disk = self.governor.record().clone();
        }
        self.page = self.page.adjusted(self.page.frequency, Offset::ZERO, TimeConstant::MIN);
        self.start();
    }

    /// The machine boots, so long after it went down; the clock shows the true time that has passed, and `beside`.
    pub(super) fn reboot(&mut self, nanos: i64, beside: i64, killed: bool) {
        if !killed {
            self.disk = self.governor.record().clone();
        }
        self.time += nanos;
        self.boot = self.boot.wrapping_add(1);
        let wall = self.page.wall.moved_by(Offset::saturating(nanos + beside));
        self.page = ClockPage { frequency: Frequency::ZERO, ..self.page.set_to(wall) };
        self.start();
    }

    /// The record is lost, and the daemon started again.
    pub(super) fn lose_record(&mut self) {
        let boot = BootInstant::saturating(self.page.since.nanos() + self.asleep);
        let day = limits::of(self.profile).phase_day;
        self.disk = Record::spent([self.boot; 16], boot, day, limits::SEARCH);
        self.restart(true);
    }

    fn start(&mut self) {
        let now = self.now();
        self.governor =
            Governor::new(terms(self.profile, self.leave), self.disk.clone(), [self.boot; 16], now);
        // The keeper writes its record at the start.
        self.disk = self.governor.record().clone();
        self.written = self.page.since;
        // What changed before this run is no evidence in it.
        self.unanswered = 0;
        self.look();
    }

    /// The farthest that the clock was moved in any time of this length, ns.
    pub(super) fn worst(&self, length: i64) -> i64 {
        let (mut low, mut high) = (VecDeque::<Note>::new(), VecDeque::<Note>::new());
        let mut worst = 0;
        for note in &self.notes {
            while low.front().is_some_and(|first| first.0 + length < note.0) {
                low.pop_front();
            }
            while high.front().is_some_and(|first| first.0 + length < note.0) {
                high.pop_front();
            }
            while low.back().is_some_and(|last| last.1 >= note.1) {
                low.pop_back();
            }
            while high.back().is_some_and(|last| last.1 <= note.1) {
                high.pop_back();
            }
            low.push_back(*note);
            high.push_back(*note);
            let reach = |ends: &VecDeque<Note>| ends.front().map_or(0, |first| (note.1 - first.1).abs());
            worst = worst.max(reach(&low)).max(reach(&high));
        }
        worst
    }

    /// The largest sum of resume steps in any day, ns.
    pub(super) fn resumed(&self) -> i64 {
        most_in_a_day(&self.resumes)
    }

    /// The largest sum of what pause steps moved beside the pauses in any day and was not charged, ns.
    pub(super) fn paused(&self) -> i64 {
        most_in_a_day(&self.pauses)
    }

    /// The largest sum of what steps moved beside the pauses in any day for which only vmclock was evidence, ns.
    pub(super) fn disrupted(&self) -> i64 {
        most_in_a_day(&self.disruptions)
    }

    /// How many of these any day has.
    pub(super) fn disruptions(&self) -> i64 {
        let each: Vec<Note> = self.disruptions.iter().map(|(time, _)| (*time, 1)).collect();
        most_in_a_day(&each)
    }

    /// Steps that the page does not allow.
    pub(super) fn lawless(&self) -> u32 {
        self.lawless
    }

    /// The largest sum of steps forward without evidence in any day, ns.
    pub(super) fn forwarded(&self) -> i64 {
        most_in_a_day(&self.forwards)
    }
}

fn most_in_a_day(steps: &[Note]) -> i64 {
    let in_day = |begin: i64| {
        let day = steps.iter().filter(|(time, _)| (begin..begin + DAY).contains(time));
        day.map(|(_, size)| size).sum()
    };
    steps.iter().map(|(time, _)| in_day(*time)).max().unwrap_or(0)
}

fn moment(page: &ClockPage, asleep: i64) -> Moment {
    let clock = ClockReading {
        wall: page.wall,
        raw: page.since,
        frequency: page.frequency,
        slew_left: page.slew,
        tai: 0,
    };
    let boot = BootInstant::saturating(page.since.nanos() + asleep);
    Moment { clock, boot, asleep: Span::saturating(asleep) }
}

fn terms(profile: Profile, forward_step: Span) -> Terms {
    Terms { profile, run_step: Span::from_secs(1), forward_step, leap_seconds: true, approved_step: None }
}

fn ppm(frequency: Frequency) -> f64 {
    f64::from(frequency.scaled()) / f64::from(Frequency::PER_PPM)
}
