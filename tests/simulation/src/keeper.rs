//! The steered clock, and the governor in front of it: the part of `truechimerd`.

use crate::oscillator::Oscillator;
use crate::scenario::Scenario;
use engine_core::io::{Input, Now, OrderKind, Output};
use ipc::clock_page::ClockPage;
use ipc::governor_record::Record;
use ipc::message::handover::Terms;
use ipc::message::privileged::*;
use ipc::process::PerProcess;
use ipc::units::{BootInstant, Leap, Offset, RawInstant, Span, TimeConstant, WallTime};
use keeper::governor::{Break, Governor, Marker, Moment, limits};

const SECOND: i64 = 1_000_000_000;

/// The description of the clock is renewed this often: reading it takes a step for each second since then.
const RENEWED: i64 = 64 * SECOND;

/// The boot in which a day begins.
pub(crate) const BOOT: [u8; 16] = [1; 16];

/// A client; no step while it runs, but those by which a machine makes up for a pause.
fn terms(strict: bool, forward_step: Span) -> Terms {
    let profile = if strict { Profile::Strict } else { Profile::Standard };
    Terms { profile, run_step: Span::ZERO, forward_step, leap_seconds: !strict, approved_step: None }
}

#[derive(Debug)]
pub(crate) struct Keeper {
    page: ClockPage,
    governor: Governor,
    terms: Terms,
    boot: [u8; 16],
    asleep: Span,
    /// Whether there is a battery-backed clock.
    rtc: bool,
    /// The marker of the hypervisor's vmclock, if there is one.
    vmclock: Option<u64>,
    pub(crate) refused: Vec<Refusal>,
    pub(crate) steps: u32,
    pub(crate) status: Option<Status>,
}

impl Keeper {
    pub(crate) fn new(oscillator: &Oscillator, begin: i64, scenario: &Scenario) -> Self {
        let raw = oscillator.raw_at(begin);
        let wall = WallTime::saturating(begin + (scenario.offset * 1e9) as i64);
        let page = ClockPage::free_running(wall, raw);
        let slew_left = Offset::ZERO;
        let clock = ClockReading { wall, raw, frequency: page.frequency, slew_left, tai: 0 };
        let boot = BootInstant::saturating(raw.nanos());
        let now = Moment { clock, boot, asleep: Span::ZERO };
        let terms = terms(scenario.strict, Span::saturating((scenario.forward.unwrap_or(0.0) * 1e9) as i64));
        let record = match (&scenario.record, scenario.lost_record) {
            (Some(record), _) => Record::clone(record),
            (_, true) => Record::spent(BOOT, boot, limits::of(terms.profile).phase_day, limits::SEARCH),
            (_, false) => Record::born(BOOT, boot),
        };
        let mut keeper = Self {
            page,
            governor: Governor::new(terms, record, BOOT, now),
            terms,
            boot: BOOT,
            asleep: Span::ZERO,
            rtc: scenario.rtc,
            vmclock: scenario.vmclock.then_some(1),
            refused: Vec::new(),
            steps: 0,
            status: None,
        };
        keeper.look_at_vmclock(&now);
        keeper
    }

    /// The daemon was ended and started again in the same boot: only the record is left.
    pub(crate) fn restart(&mut self, now: Now) {
        // It leaves the clock at its base frequency.
        let advanced = self.page.advanced_to(now.raw);
        self.page = advanced.adjusted(advanced.frequency, Offset::ZERO, TimeConstant::MIN);
        let moment = self.moment(now);
        let record = self.governor.record().clone();
        self.governor = Governor::new(self.terms, record, self.boot, moment);
        self.look_at_vmclock(&moment);
    }

    /// The machine has booted, and its clock shows `wall`: only the record is left.
    pub(crate) fn reboot(&mut self, raw: RawInstant, wall: WallTime) {
        self.page = ClockPage::free_running(wall, raw);
        self.boot[0] = self.boot[0].wrapping_add(1);
        self.restart(Now { raw, wall });
    }

    /// The leap second that the kernel was told of, and has not made yet.
    pub(crate) fn armed(&self, raw: RawInstant) -> Leap {
        self.page.advanced_to(raw).announced()
    }

    pub(crate) fn welcome(&mut self, now: Now) -> Welcome {
        self.governor.welcome(ClockKind::Kernel, &self.moment(now), PerProcess::default())
    }

    pub(crate) fn wall_at(&self, raw: RawInstant) -> WallTime {
        self.page.wall_at(raw)
    }

    /// A full second.
    pub(crate) fn turn(&mut self, raw: RawInstant) {
        let seconds = raw.since(self.page.since).nanos() / SECOND;
        if seconds * SECOND >= RENEWED {
            let then = self.page.since.after(Span::from_secs(seconds));
            self.page = self.page.advanced_to(then);
        }
    }

    fn jump(&mut self, raw: RawInstant, by: Offset) {
        let advanced = self.page.advanced_to(raw);
        let wall = WallTime::saturating(advanced.wall.nanos() + by.nanos());
        self.page = ClockPage { wall, ..advanced };
    }

    /// Another program moves the clock.
    pub(crate) fn meddle(&mut self, raw: RawInstant, by: f64) {
        self.jump(raw, Offset::saturating((by * 1e9) as i64));
        self.page = self.page.set_to(self.page.wall);
    }

    /// The machine slept: the kernel adds to the clock what the battery-backed one says, which is 0.3 s off.
    pub(crate) fn sleep(&mut self, raw: RawInstant, nanos: i64) {
        self.asleep = self.asleep.plus(Span::saturating(nanos));
        self.jump(raw, Offset::saturating(nanos + 300_000_000));
    }

    fn reading(&self, now: Now) -> ClockReading {
        let slew_left = self.page.slew_left_at(now.raw);
        let tai = self.page.tai as u8;
        ClockReading { wall: now.wall, raw: now.raw, frequency: self.page.frequency, slew_left, tai }
    }

    fn moment(&self, now: Now) -> Moment {
        let boot = BootInstant::saturating(now.raw.nanos() + self.asleep.nanos());
        Moment { clock: self.reading(now), boot, asleep: self.asleep }
    }

    /// Checks whether time was continuous and whether orders still come.
    /// `rtc`: what the battery-backed clock shows, if there is one.
    pub(crate) fn look(&mut self, now: Now, rtc: i64) -> Option<Input> {
        let moment = self.moment(now);
        let event = self.governor.observe(&moment, false);
        let Break { kind, moved } = match event {
            Some(event) => event,
            None if self.keep_in_band(now) => {
                Break { kind: ClockEventKind::BandNarrowed, moved: Offset::ZERO }
            }
            None if self.governor.died(&moment) => {
                let base = self.governor.record().base;
                self.page = self.page.advanced_to(now.raw).adjusted(base, Offset::ZERO, TimeConstant::MIN);
                self.page = self.page.told(&Status::unknown(self.governor.epoch()));
                self.governor.let_go(&moment);
                Break { kind: ClockEventKind::DeadMan, moved: Offset::ZERO }
            }
            None if self.look_at_vmclock(&moment) => {
                Break { kind: ClockEventKind::Disruption, moved: Offset::ZERO }
            }
            None => {
                let rtc = Some(rtc).filter(|_| self.rtc && self.governor.is_rtc_due(moment.boot))?;
                let pause = self.governor.look_at_rtc(rtc, &moment, moment.boot)?;
                Break { kind: ClockEventKind::Pause, moved: pause.forward() }
            }
        };
        let now = self.reading(now);
        let (epoch, marker) = (self.governor.epoch(), self.governor.marker());
        Some(Input::ClockEvent(ClockEvent { epoch, kind, moved, now, marker }))
    }

    fn look_at_vmclock(&mut self, now: &Moment) -> bool {
        let Some(disruption) = self.vmclock else { return false };
        self.governor.look_at_vmclock(Marker { disruption, generation: None }, now)
    }

    /// The hypervisor has migrated or restored the machine, and says so if it has vmclock.
    pub(crate) fn disrupt(&mut self) {
        self.vmclock = self.vmclock.map(|marker| marker.wrapping_add(1));
    }

    /// When the keeper checks by itself next, in so many nanoseconds of CLOCK_MONOTONIC_RAW.
    pub(crate) fn look_in(&self, now: Now) -> i64 {
        let vmclock = self.vmclock.map_or(60, |_| 1);
        let rtc = if self.rtc { self.governor.rtc_look_in(self.moment(now).boot) } else { Span::MAX };
        Span::from_secs(vmclock).min(rtc).nanos()
    }

    fn keep_in_band(&mut self, now: Now) -> bool {
        let Some(base) = self.governor.bring_into_band() else { return false };
        self.page = self.page.advanced_to(now.raw).adjusted(base, Offset::ZERO, TimeConstant::MIN);
        true
    }

    /// Judges an order and carries it out; returns the answer.
    pub(crate) fn obey(&mut self, order: &Output, now: Now) -> Option<Input> {
        let moment = self.moment(now);
        let before = self.reading(now);
        let advanced = self.page.advanced_to(now.raw);
        let (kind, verdict) = match order {
            Output::Adjust(adjust) => {
                let verdict = self.governor.judge_adjust(adjust, &moment).map(|_| {
                    self.page = advanced.adjusted(adjust.frequency, adjust.slew, adjust.time_constant);
                    self.governor.applied(&moment);
                });
                (OrderKind::Adjust, verdict)
            }
            Output::Step(step) => {
                let verdict = self.governor.judge_step(step, &moment).map(|_| {
                    let wall = WallTime::saturating(now.wall.nanos() + step.delta.nanos());
                    self.page = advanced.set_to(wall).without_leap();
                    self.steps += 1;
                    self.governor.applied(&moment);
                });
                (OrderKind::Step, verdict)
            }
            Output::SetStatus(status) => {
                let verdict = self.governor.judge_status(status, &moment).map(|status| {
                    self.page = advanced.told(&status);
                    self.status = Some(status);
                });
                (OrderKind::Status, verdict)
            }
            Output::SetTai(tai) => {
                let verdict = self
                    .governor
                    .judge_tai(tai, &moment)
                    .map(|()| self.page = advanced.with_tai(tai.seconds));
                (OrderKind::Tai, verdict)
            }
            _ => return None,
        };
        Some(match verdict {
            Ok(()) => {
                let wall = self.page.wall_at(now.raw);
                let after = self.reading(Now { raw: now.raw, wall });
                Input::Applied(kind, Applied { answers: 0, before, after })
            }
            Err(refused) => {
                self.refused.push(refused.code);
                Input::Refused(kind, refused)
            }
        })
    }
}
