//! Publications: the status of the kernel's clock, the state for the server, the state file.

use super::{Engine, System};
use crate::bounds::Bounds;
use crate::io::{Now, OrderKind, Output, Saved};
use crate::local_clock::{LocalClock, to_scaled};
use crate::select::{Impasse, Standing};
use crate::settings::Settings;
use crate::system::Line;
use crate::track::Opinion;
use ipc::message::privileged::{Adjust, Status};
use ipc::message::server::ServerState;
use ipc::units::{Leap, RawInstant, Span};
use protocol::reference_id::LOCAL;
use protocol::timestamp::{Timestamp, short_from_nanos};

/// While sources answer, the kernel's error bound is renewed this often at most: each time wakes a process.
const RENEWED: Span = Span::from_secs(64);

/// While no source answers, this often.
const REPEATED: Span = Span::from_secs(1024);

/// How long the server may use the last state (the same period after which the governor acts on a silent
/// engine).
const VALID: Span = Span::from_secs(3 * 3600);

/// Between two writes of the state file.
const SAVED: Span = Span::from_secs(1800);

/// A frequency with a larger standard deviation than this (ppm) is not saved.
const WORTH_SAVING: f64 = 10.0;

/// A clock that may be off by more than this is not synchronised (RFC 5905's MAXDIST), unless the configuration allows
/// sources that are farther from true time than by default. Seconds.
const MOST_ERROR: f64 = 1.0;

/// The error of a clock of which nothing is known, as for the kernel. Seconds.
pub(super) const UNKNOWN: f64 = 16.0;

/// How fast the kernel lets the bound of the error grow, s/s.
const GROWTH: f64 = 500e-6;

/// How long after a query its reply may change what the kernel is told.
const ANSWERED: Span = Span::from_secs(2);

/// A clock that this daemon does not steer is served as its sources', if it is no farther from them. Seconds.
const CLOSE: f64 = 0.1;

/// What a host says of its own time when it has no source: as good as a watch that was set once.
const LOCAL_DISPERSION: f64 = 0.010;

impl Engine {
    /// Whether the clock follows its sources, and how wrong it may be is known and little. With an orphan's time it is not known.
    pub(super) fn is_synchronised(&self, now: Now) -> bool {
        self.is_at_its_line(now) && !self.follows_orphan()
    }

    /// The same of the time of its sources, whatever that is worth.
    pub(super) fn is_at_its_line(&self, now: Now) -> bool {
        let Some(line) = &self.system.line else { return false };
        let limit = self.error_limit();
        let fits = self.most_error(now) < limit && line.deviation(now.raw) < limit;
        if self.steers() {
            let is_kept = !self.system.held && self.system.foreign.is_none() && !self.runs_away(now);
            fits && self.system.first_update.is_some() && is_kept
        } else {
            fits && line.offset(now).abs() < CLOSE
        }
    }

    /// A clock that may be off by more than this is not synchronised, seconds.
    pub(super) fn error_limit(&self) -> f64 {
        let by_distance = match self.settings.clock.max_distance {
            most if most > Settings::MAX_DISTANCE => most.nanos() as f64 * 1e-9,
            _ => MOST_ERROR,
        };
        let asked = self.settings.clock.max_error;
        asked.map_or(by_distance, |most| by_distance.min(most.nanos() as f64 * 1e-9))
    }

    /// Whether the sources contradict each other, and no more can come to decide it.
    pub(super) fn is_divided(&self) -> bool {
        matches!(self.system.impasse, Some(Impasse::NoMajority | Impasse::NoQuorum))
            && !self.system.counted_unheard
    }

    /// The offset is no farther from zero than this, seconds. While the sources contradict each other, any of them may be
    /// right.
    pub(super) fn most_error(&self, now: Now) -> f64 {
        let Some(line) = &self.system.line else { return UNKNOWN };
        let (low, high) = self.opened_bounds(line, now);
        let most = low.abs().max(high.abs());
        if !self.is_divided() {
            return most;
        }
        let divided = self.entries.sources().filter(|it| it.track.standing == Some(Standing::NoMajority));
        divided
            .filter_map(|source| source.opinion(now))
            .fold(most, |most, Opinion { claim, .. }| most.max(claim.farthest()))
    }

    /// How far the host's own time is off as far as it is known, seconds; none: it is wrong, or goes wrong, or is under
    /// question, and is not to be served as the host's own either.
    pub(super) fn own_error(&self, now: Now) -> Option<f64> {
        let sources = || self.entries.sources().filter(|source| !source.oneself && !source.provisional);
        let sources = || sources().filter(|source| !self.is_orphan(source));
        // Whether it stood still is answered by those that still answer.
        let is_asked = self.system.standstill.is_some() && sources().any(|it| it.poll_process.reach != 0);
        if self.system.held || self.system.foreign.is_some() || is_asked || self.runs_away(now) {
            return None;
        }
        let is_open = self.is_divided() || self.is_doubted();
        let limit = self.error_limit();
        let known = match &self.system.line {
            Some(_) if is_open => self.most_error(now),
            Some(line) => line.offset(now).abs(),
            // What sources say counts, even where they cannot be followed yet.
            None => {
                let claims = || {
                    let live = sources().filter(|source| source.is_live());
                    live.filter_map(|source| source.opinion(now)).map(|opinion| opinion.claim)
                };
                // One that is far away says little, and does not contradict the clock.
                if claims().any(|claim| claim.low >= limit || claim.high <= -limit) {
                    return None;
                }
                return Some(claims().map(|claim| claim.farthest()).fold(0.0, f64::max));
            }
        };
        Some(known).filter(|known| *known < limit)
    }

    /// The same of the likely interval; infinite: nothing is likely, since the sources contradict each other, or nothing is
    /// learnt yet.
    pub(super) fn likely_error(&self, now: Now) -> f64 {
        let most = |(low, high): (f64, f64)| low.abs().max(high.abs());
        let bounds = self.bounds(now).filter(|_| !self.is_divided());
        let errors = bounds.map(|Bounds { likely, low, high, .. }| (most(likely), most((low, high))));
        errors.filter(|(likely, hard)| likely < hard).map_or(f64::INFINITY, |(likely, _)| likely)
    }

    pub(super) fn status_is_old(&self, now: RawInstant) -> bool {
        self.system.last_status.is_none_or(|last| last.after(RENEWED) <= now)
    }

    /// When the kernel's status is to be sent; none: it is not due, or an order is unanswered.
    fn status_due(&self, now: Now) -> Option<RawInstant> {
        let orders = &self.basis.as_ref().filter(|_| self.steers())?.orders;
        let System { status_wanted, last_status, first_update, .. } = self.system;
        let repeated = last_status.filter(|_| first_update.is_some()).map(|last| last.after(REPEATED));
        let due = if status_wanted || self.status_misleads(now) { RawInstant::MIN } else { repeated? };
        Some(due.max(orders.ready_at()?).max(self.system.no_status_before))
    }

    /// Whether the clock is worse than the kernel says. Without a status the kernel lets its bound grow, and it may have one
    /// of an earlier run, which counts until it turns out that its clock cannot be corrected.
    fn status_misleads(&self, now: Now) -> bool {
        match (self.system.told, self.system.last_status) {
            (Some((synchronised, most)), Some(at)) => {
                let age = now.raw.since(at).nanos().max(0) as f64 * 1e-9;
                synchronised != self.is_synchronised(now)
                    || (synchronised && self.most_error(now) > most + GROWTH * age)
            }
            _ => self.system.held || self.is_divided(),
        }
    }

    /// The bound to tell the kernel, in seconds: with the kernel's own growth it holds until the next measurement of a
    /// survivor, where the clock runs on as `clock` does. A frequency that is still uncertain lets the true one grow faster,
    /// and each new status wakes two processes.
    fn lasting_bound(&self, clock: &LocalClock, now: Now) -> f64 {
        let most = self.most_error(now);
        let survivors = self.entries.sources().filter(|source| source.track.survives());
        let Some(next) = survivors.map(|source| source.poll_process.next).min() else { return most };
        let until = next.max(now.raw).after(ANSWERED).min(now.raw.after(REPEATED));
        let seconds = until.since(now.raw).nanos() as f64 * 1e-9;
        let later = clock.reading_at(now, until);
        most.max(self.most_error(later) - GROWTH * seconds)
    }

    /// Sends the kernel's status if it is due; otherwise returns when it is.
    pub(super) fn send_status(&mut self, now: Now) -> Option<RawInstant> {
        let due = self.status_due(now)?;
        if due > now.raw {
            return Some(due);
        }
        let clock = self.basis.as_ref()?.clock.clone();
        self.put_status(&clock, now);
        None
    }

    /// Sends the status that will hold once this adjustment, which was just sent, is carried out: then neither this process
    /// nor the privileged one is woken again for it. The first one waits for what the governor says of the adjustment.
    pub(super) fn send_status_with(&mut self, adjust: &Adjust, now: Now) {
        let Some(basis) = &self.basis else { return };
        let is_proven = self.system.first_update.is_some() && self.system.foreign.is_none();
        let may_be_sent = self.system.no_status_before <= now.raw && basis.orders.takes_status(now.raw);
        if is_proven && may_be_sent {
            let clock = basis.clock.after(adjust, now);
            self.put_status(&clock, now);
        }
    }

    fn put_status(&mut self, clock: &LocalClock, now: Now) {
        let Some(basis) = &self.basis else { return };
        let epoch = basis.epoch;
        // The clock's own error is what is left to correct, and what the estimate may be off by.
        let estimated = self
            .system
            .line
            .as_ref()
            .map_or(UNKNOWN, |line| libm::hypot(line.shown_deviation(now.raw), line.offset(now)));
        let synchronised = self.is_synchronised(now);
        let most = if self.follows_orphan() { UNKNOWN } else { self.lasting_bound(clock, now) };
        let status = Status {
            epoch,
            leap: if self.system.no_leap_before > now.raw { Leap::None } else { self.system.leap.leap() },
            synchronised,
            maxerror: span(most.clamp(1e-6, UNKNOWN)),
            esterror: span(estimated.clamp(1e-6, UNKNOWN)),
        };
        self.system.status_wanted = false;
        self.system.last_status = Some(now.raw);
        self.system.telling = Some((synchronised, most));
        if let Some(basis) = &mut self.basis {
            basis.orders.send(OrderKind::Status, now.raw);
        }
        self.outputs.push_back(Output::SetStatus(status));
    }

    /// Tells the server, the state file and the readers of the page; says when one of them is told again.
    pub(super) fn publish(&mut self, now: Now) -> Option<RawInstant> {
        self.save(now);
        let (page, server) = (self.publish_page(now), self.publish_to_server(now));
        page.into_iter().chain(server).min()
    }

    fn publish_to_server(&mut self, now: Now) -> Option<RawInstant> {
        self.settings.server.as_ref()?;
        let synchronised = self.is_of_sources(now);
        let own = self.own_stratum(now).and_then(|_| self.own_error(now)).is_some();
        let news = (self.system.last_update, synchronised, self.is_divided() || self.is_doubted(), own);
        let due = self.system.last_served.map(|last| last.after(REPEATED));
        let look = self.own_time_due(now);
        if due.is_some_and(|due| due > now.raw) && self.system.served_news == news {
            return due.into_iter().chain(look).min();
        }
        self.system.last_served = Some(now.raw);
        self.system.served_news = news;
        let state = self.server_state(now, synchronised);
        self.system.served = (state.stratum < 16).then(|| {
            (
                state.stratum,
                state.reference_id,
                short_from_nanos(state.root_delay.nanos()),
                Timestamp::from_unix_nanos(state.reference_time.nanos()).bits(),
            )
        });
        self.outputs.push_back(Output::Serve(state));
        self.publish_reference_ids();
        look.into_iter().chain([now.raw.after(REPEATED)]).min()
    }

    /// Dispersion that is added to the reference's own, seconds.
    fn dispersion(&self, line: &Line, now: Now) -> f64 {
        let own = line.dispersion(now);
        if self.is_divided() || self.is_doubted() { own.max(self.most_error(now)) } else { own }
    }

    fn server_state(&self, now: Now, synchronised: bool) -> ServerState {
        let unsynchronised = ServerState {
            leap: Leap::Unknown,
            stratum: 16,
            precision: self.precision,
            root_delay: Span::ZERO,
            root_dispersion: Span::ZERO,
            as_of: now.raw,
            reference_id: 0,
            reference_time: now.wall,
            valid_until: now.raw.after(VALID),
        };
        let leap = self.system.leap.leap();
        let own = self.own_stratum(now).and_then(|stratum| Some((stratum, self.own_error(now)?)));
        match (&self.system.line, own) {
            (Some(line), _) if synchronised && line.reference.stratum < 15 => ServerState {
                leap,
                stratum: line.reference.stratum + 1,
                root_delay: span(line.reference.root_delay),
                root_dispersion: span(line.reference.root_dispersion + self.dispersion(line, now)),
                reference_id: line.reference.reference_id,
                ..unsynchronised
            },
            (_, Some((stratum, error))) => ServerState {
                leap,
                stratum: stratum.clamp(1, 15),
                root_dispersion: span(error.max(LOCAL_DISPERSION)),
                reference_id: LOCAL,
                ..unsynchronised
            },
            _ => unsynchronised,
        }
    }

    /// Saves the base frequency with which the clock would neither gain nor lose, which is not always the one in force: at
    /// intervals, and before that whenever it has become twice as certain.
    fn save(&mut self, now: Now) {
        let Some(line) = self.system.line.as_ref() else { return };
        let Some(basis) = self.basis.as_ref().filter(|_| self.steers()) else { return };
        let (frequency, deviation) = line.frequency();
        let frequency_error_ppm = deviation * 1e6;
        let most = match self.system.last_saved {
            Some((last, error)) if last.after(SAVED) > now.raw => error / 2.0,
            _ => WORTH_SAVING,
        };
        // After each input: what costs more comes last.
        if frequency_error_ppm > most || !self.is_synchronised(now) {
            return;
        }
        let (natural, _) = basis.clock.natural(now.raw, now.wall);
        let frequency = to_scaled(frequency - natural);
        self.remember_addresses(now);
        self.system.last_saved = Some((now.raw, frequency_error_ppm));
        self.outputs.push_back(Output::Save(Saved { frequency, frequency_error_ppm, at: now.wall }));
    }
}

/// Seconds as a span; not below zero.
fn span(seconds: f64) -> Span {
    Span::saturating(libm::ceil(seconds * 1e9) as i64)
}
