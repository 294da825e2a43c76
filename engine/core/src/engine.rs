//! The engine: facts in, effects out.

mod absence;
mod answers;
mod authentication;
mod by_hand;
mod chronicling;
mod commands;
mod condition;
mod deferred;
mod disturbance;
mod entering;
mod heard;
mod kept_addresses;
mod key_exchanges;
mod leap_list;
mod lookups;
mod network_changes;
mod nts_pools;
mod observing;
mod operators;
mod outage;
mod own_addresses;
mod own_time;
mod polling;
mod protected;
mod publishing;
mod reference_clocks;
mod refusals;
mod replacing;
mod reporting;
mod returning;
mod second_look;
mod signing;
mod steering;
#[cfg(test)]
mod tests;
pub mod time_page;
mod version5;
mod voters;

use crate::abandoned::Abandoned;
use crate::allowance::Allowance;
use crate::bounds::Bounds;
use crate::chronicle::Chronicle;
use crate::discipline::{PANIC_THRESHOLD, Residuals, Silence};
use crate::entries::{Entries, EntryId, Group};
use crate::exchanges::Exchanges;
use crate::io::{Input, KeptAddresses, Now, OrderKind, Output, Saved, SavedAssociation, Start};
use crate::leap::Warning;
use crate::local_clock::LocalClock;
use crate::measured::Correction;
use crate::measurement::LinkLatency;
use crate::nonce::NoncesByGroup;
use crate::notice::{EntryNotice, Notice, Weight};
use crate::nts::Deferred;
use crate::orders::Orders;
use crate::select::Impasse;
use crate::settings::Settings;
use crate::signed::SignedTime;
use crate::system::Line;
use crate::timers::{Timer, Timers};
use crate::violation::Violation;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::IpAddr;
use disturbance::Foreign;
use ipc::message::privileged::{ClockKind, Refusal, StepReason, Welcome};
use ipc::process::Process;
use ipc::units::{Frequency, RawInstant, Span, TimeConstant, WallTime};
use network_changes::NetworkChanges;
use outage::Outage;
use replacing::Blocked;

/// Most effects that wait to be fetched. Beyond, ordinary log lines are dropped, but no other effect.
const MOST_OUTPUTS: usize = 256;

/// How long, after the first source was heard, sources that were never heard count against a majority.
const UNHEARD_TIMEOUT: Span = Span::from_secs(8);

/// The engine. Pass each fact to [`Engine::handle_input`], together with both clocks as read immediately after the fact
/// arrived. Then fetch effects with [`Engine::poll_output`] until there are none. Then wait for the next fact, but not
/// beyond [`Engine::poll_timeout`]. The engine reads no clock, no file and no socket, and the same inputs give the same
/// outputs.
///
/// The first input is [`Input::Welcome`]; facts before it are ignored. After an [`Output::Distrust`] the
/// caller ends the daemon; further inputs are ignored.
#[derive(Clone, Debug, PartialEq)]
pub struct Engine {
    /// Without the sources, which are in `entries`.
    settings: Settings,
    saved: Option<Saved>,
    precision: i8,
    nonces: NoncesByGroup,
    outputs: VecDeque<Output>,
    /// From the welcome on.
    basis: Option<Basis>,
    entries: Entries,
    next_lookup: u64,
    abandoned: Abandoned,
    /// What an earlier run left, until the welcome.
    kept: Vec<SavedAssociation>,
    kept_addresses: Vec<KeptAddresses>,
    /// The step to a time whose certificates could not be judged.
    deferred: Deferred,
    /// What Roughtime servers have signed.
    signed: SignedTime,
    exchanges: Exchanges,
    latency: LinkLatency,
    own: Vec<IpAddr>,
    /// How many of them, from the first on, were not learned from the client.
    own_told: usize,
    own_ids: Vec<u32>,
    loops: version5::Loops,
    blocked: Blocked,
    changes: NetworkChanges,
    /// When the addresses of names were judged last.
    tended: RawInstant,
    /// The administrator wants nothing asked, whatever comes.
    offline: bool,
    distrusted: bool,
    timers: Timers,
    system: System,
    chronicle: Chronicle,
    /// Measurements, replies that failed a test, and corrections so far.
    counted: u64,
    /// The last corrections, the oldest first.
    corrections: VecDeque<Correction>,
}

/// What the welcome brought, and what depends on it.
#[derive(Clone, Debug, PartialEq)]
struct Basis {
    welcome: Welcome,
    at: RawInstant,
    clock: LocalClock,
    epoch: u32,
    orders: Orders,
    /// Of the slew that was ordered last.
    time_constant: TimeConstant,
    /// The base frequency that was ordered last.
    asked: Frequency,
    /// When the governor last said what band is in force.
    band_at: RawInstant,
}

/// The state of the system.
#[derive(Clone, Debug, PartialEq)]
struct System {
    line: Option<Line>,
    impasse: Option<Impasse>,
    /// An impasse was reported and has not ended.
    impasse_told: bool,
    /// An impasse was not reported, because it may end soon.
    impasse_untold: bool,
    /// The last selection counted votes that were never heard.
    counted_unheard: bool,
    /// How many missing votes it found doubted, and excused.
    absences: (usize, usize),
    /// It found a quorum only because missing votes are excused.
    excuses: bool,
    leap: Warning,
    listing: leap_list::Listing,
    /// A new sample or event requires a selection.
    dirty: bool,
    heard: heard::Heard,
    first_update: Option<RawInstant>,
    /// That the clock follows its sources was reported.
    following_told: bool,
    /// The samples of the last correction, and what corrections move the estimate by.
    silence: Silence,
    residuals: Residuals,
    /// The survivors of the last correction.
    survivor_set: u64,
    last_update: Option<RawInstant>,
    /// Corrections are held because of a refusal that only an administrator can lift.
    held: bool,
    /// An offset above this is not slewed, in seconds.
    slew_limit: f64,
    /// Until then no step is ordered again.
    no_step_before: RawInstant,
    /// The reason of the last step that was ordered.
    asked_step: StepReason,
    /// A step that an administrator asked for.
    wish: Option<by_hand::Wish>,
    /// What was refused for a passing reason is decided again then.
    retry_at: Option<RawInstant>,
    /// What the governor grants of slews.
    allowance: Allowance,
    /// Until then the base frequency stays at the edge of the governor's band.
    frozen_until: RawInstant,
    start: second_look::Start,
    /// Since when nothing but authenticated sources is followed.
    authenticated_since: Option<RawInstant>,
    /// Another program has moved the clock, and that is neither undone nor accepted.
    foreign: Option<Foreign>,
    /// When the sources were last asked about such a change.
    asked_at: Option<RawInstant>,
    /// The clock stood still, and a step may make up for it.
    standstill: Option<StepReason>,
    /// It was told that the clock fell behind while running, and is slewed.
    behind_told: bool,
    /// Until then no step is ordered for a pause that the governor does not know of.
    no_pause_before: RawInstant,
    status_wanted: bool,
    last_status: Option<RawInstant>,
    /// No status before, since the last one was refused.
    no_status_before: RawInstant,
    /// No leap second is announced to the kernel before, since the governor has refused it.
    no_leap_before: RawInstant,
    /// What the last one that was applied said: whether the clock is synchronised, and the bound of its error in seconds.
    told: Option<(bool, f64)>,
    /// The same of the one that is unanswered.
    telling: Option<(bool, f64)>,
    last_saved: Option<(RawInstant, f64)>,
    paging: time_page::Paging,
    last_served: Option<RawInstant>,
    /// What the last publication for the server contained.
    served_news: (Option<RawInstant>, bool, bool, bool),
    own_time: own_time::OwnTime,
    served: Option<(u8, u32, u32, u64)>,
    steps: u32,
    refusals: u32,
    last_refusal: Option<Refusal>,
    /// The row that refused the last step.
    step_refusal: Option<Refusal>,
    guard_alarm: bool,
    /// No source can be followed.
    outage: Option<Outage>,
    /// The last sign that the network is there.
    last_sign: Option<RawInstant>,
}

impl Engine {
    /// Creates an engine. It does nothing before the welcome.
    pub fn new(start: Start) -> Self {
        let mut settings = start.settings;
        let entries = Entries::new(core::mem::take(&mut settings.sources));
        Self {
            settings,
            saved: start.saved.filter(|saved| saved.frequency_error_ppm.is_finite()),
            precision: start.precision,
            nonces: NoncesByGroup::from_seed(start.seed),
            outputs: VecDeque::new(),
            basis: None,
            entries,
            next_lookup: 1,
            abandoned: Abandoned::default(),
            kept: start.associations,
            kept_addresses: start.addresses,
            deferred: Deferred::Possible(None),
            signed: SignedTime::default(),
            exchanges: Exchanges::new(),
            latency: LinkLatency::new(),
            own: Vec::new(),
            own_told: 0,
            own_ids: Vec::new(),
            loops: version5::Loops::new(start.seed),
            blocked: Blocked::default(),
            changes: NetworkChanges::default(),
            tended: RawInstant::MIN,
            offline: false,
            distrusted: false,
            timers: Timers::new(),
            system: System {
                line: None,
                impasse: None,
                impasse_told: false,
                impasse_untold: false,
                counted_unheard: false,
                absences: (0, 0),
                excuses: false,
                leap: Warning::NONE,
                listing: leap_list::Listing::NEW,
                dirty: false,
                heard: Default::default(),
                first_update: None,
                following_told: false,
                silence: Silence::NONE,
                residuals: Residuals::NONE,
                survivor_set: 0,
                last_update: None,
                held: false,
                slew_limit: PANIC_THRESHOLD,
                no_step_before: RawInstant::MIN,
                asked_step: StepReason::Start,
                wish: None,
                retry_at: None,
                allowance: Allowance::UNKNOWN,
                frozen_until: RawInstant::MIN,
                start: Default::default(),
                authenticated_since: None,
                foreign: None,
                asked_at: None,
                standstill: None,
                behind_told: false,
                no_pause_before: RawInstant::MIN,
                status_wanted: false,
                last_status: None,
                no_status_before: RawInstant::MIN,
                no_leap_before: RawInstant::MIN,
                told: None,
                telling: None,
                last_saved: None,
                paging: time_page::Paging::NONE,
                last_served: None,
                served_news: (None, false, false, false),
                own_time: Default::default(),
                served: None,
                steps: 0,
                refusals: 0,
                last_refusal: None,
                step_refusal: None,
                guard_alarm: false,
                outage: None,
                last_sign: None,
            },
            chronicle: Chronicle::new(),
            counted: 0,
            corrections: VecDeque::new(),
        }
    }

    /// Replaces the seed of the random numbers, as a recording does before each call.
    pub(crate) fn reseed(&mut self, seed: [u8; 32]) {
        self.nonces = NoncesByGroup::from_seed(seed);
    }

    /// Takes a fact. `now` was read immediately after the fact arrived.
    pub fn handle_input(&mut self, now: Now, input: Input) {
        if self.distrusted {
            return;
        }
        if let Input::Welcome(welcome) = input {
            self.begin(now, welcome);
        } else if self.basis.is_none() {
            return;
        }
        let is_observed = self.is_of_observed(now, &input);
        if !is_observed {
            self.note_lapse(now);
            self.pass_leap_second(now);
            self.note_disturbance(now);
        }
        if matches!(input, Input::ClockEvent(_) | Input::Applied(OrderKind::Step, _)) {
            self.break_off_clocks(now.raw);
        }
        match input {
            Input::Welcome(_) | Input::Timeout => {}
            Input::Applied(kind, applied) => self.applied(now, kind, &applied),
            Input::Refused(kind, refused) => self.refused(now, kind, &refused),
            Input::ClockEvent(event) => self.clock_event(now, &event),
            Input::Sent(sent) => match self.exchanges.sent(&sent) {
                Ok(()) => self.learn_own_address(now, &sent),
                Err(breach) => self.distrust(Process::Client, breach),
            },
            Input::Reply(reply) => self.reply(now, &reply),
            Input::Version5(reply) => self.version5_reply(now, &reply),
            Input::Protected(reply) => self.protected_reply(now, &reply),
            Input::Unanswered(unanswered) => self.unanswered(now, &unanswered),
            Input::Resolved(resolved) => self.resolved(now, &resolved),
            Input::LookupFailed(failed) => self.lookup_failed(now, &failed),
            Input::Command(command) => self.command(now, command),
            Input::Cookie(cookie) => self.cookie(&cookie),
            Input::Exchanged(exchanged) => self.exchanged(now, &exchanged),
            Input::ExchangeFailed(failed) => self.exchange_failed(now, &failed),
            Input::Signed(signed) => self.take_signed(now, &signed),
            Input::Measured(ended) => self.round_ended(now, &ended),
            Input::MeasureFailed(failed) => self.round_failed(now, &failed),
            Input::Clock(sample) => self.clock_sample(now, &sample),
            Input::ClockDiscarded(discarded) => self.clock_discarded(now, &discarded),
            Input::HistoryNoted(ends) => self.note_ends(now, ends),
            Input::OwnAddresses(addresses) => self.change_own(now, addresses),
        }
        if self.distrusted {
            return;
        }
        if is_observed {
            let due = self.observe(now);
            return self.timers.set(Timer::Observation, due);
        }
        self.act(now);
        self.note_now(now);
    }

    /// Does what is due. Any fact may have changed what that is, so each part checks it again and returns when it is due
    /// next, if no fact comes before.
    fn act(&mut self, now: Now) {
        // Before the queries, which it makes due.
        self.ask_about_foreign(now.raw);
        self.answer_network_change(now.raw);
        for timer in Timer::ALL {
            let due = match timer {
                Timer::Poll => {
                    let due = self.poll_sources(Group::Deciding, now);
                    match self.tend_addresses(Group::Deciding, now) {
                        true => self.poll_sources(Group::Deciding, now),
                        false => due,
                    }
                }
                Timer::Addresses => {
                    let change = self.changes.due().filter(|_| !self.is_offline());
                    self.addresses_due(Group::Deciding, now.raw).into_iter().chain(change).min()
                }
                Timer::LookUp => self.look_up(Group::Deciding, now.raw),
                Timer::KeyExchange => self.exchange_keys(Group::Deciding, now),
                Timer::Signing => self.have_signed(now),
                Timer::Steering => self.steer(now),
                Timer::Deferred => self.weigh_deferred(now),
                Timer::Publication => self.publish(now),
                Timer::Leap => self.leap_second(),
                Timer::Outage => self.report_outage(now),
                Timer::Observation => self.observe(now),
            };
            self.timers.set(timer, due);
        }
    }

    /// The next effect, or none.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Timeout`] is due; none before the welcome.
    pub fn poll_timeout(&self) -> Option<RawInstant> {
        self.timers.next().filter(|_| !self.distrusted)
    }

    /// Where true time can be now; none before the first selection. Holds at every moment, whether or not
    /// anything was published.
    pub fn bounds(&self, now: Now) -> Option<Bounds> {
        let line = self.system.line.as_ref()?;
        Some(line.describe(self.opened_bounds(line, now), self.is_doubted(), now))
    }

    /// The associations with NTS sources that are to be saved: at most one for each, and none whose certificate was accepted
    /// by a wrong clock.
    pub fn associations(&self) -> Vec<SavedAssociation> {
        self.saved_associations()
    }

    fn begin(&mut self, now: Now, welcome: Welcome) {
        if self.basis.is_some() {
            return;
        }
        self.system.start.steps = welcome.start_steps;
        self.system.paging.break_off(now.raw);
        self.note_tai(welcome.found.tai);
        self.basis = Some(Basis {
            welcome,
            at: now.raw,
            clock: LocalClock::new(welcome.clock, welcome.found),
            epoch: welcome.epoch,
            orders: Orders::new(),
            time_constant: TimeConstant::MIN,
            asked: Frequency::ZERO,
            band_at: now.raw,
        });
        let kept = core::mem::take(&mut self.kept);
        let addresses = core::mem::take(&mut self.kept_addresses);
        for id in self.entries.all_ids() {
            self.begin_entry(id, &kept, now);
            self.recall(id, &addresses, now);
        }
    }

    fn distrust(&mut self, who: Process, why: Violation) {
        self.distrusted = true;
        self.outputs.push_back(Output::Distrust(who, why));
    }

    /// Emits an event for the log. Changes of the overall state and of the clock are never dropped, since one fact brings few
    /// of them.
    fn tell(&mut self, notice: Notice) {
        if !matches!(notice.weight(), Weight::Line | Weight::Fault) || self.outputs.len() < MOST_OUTPUTS {
            self.outputs.push_back(Output::Log(notice));
        }
    }

    fn tell_of_entry(&mut self, id: EntryId, news: EntryNotice) {
        let Some(entry) = self.entries.get(id) else { return };
        self.tell(Notice::Entry(entry.settings.name.clone(), news));
    }

    /// Whether there is a clock to steer.
    fn steers(&self) -> bool {
        self.basis.as_ref().is_some_and(|basis| basis.welcome.clock != ClockKind::None)
    }

    /// The estimate of true time. Another program may have set the clock to another day.
    fn true_time(&self, now: Now) -> WallTime {
        let offset = self.system.line.as_ref().map_or(0.0, |line| line.offset(now));
        WallTime::saturating(now.wall.nanos().saturating_add((offset * 1e9) as i64))
    }
}
