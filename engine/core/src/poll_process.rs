//! The poll process of one address (RFC 5905 section 13): when it is queried next, and whether it answers.
//!
//! It does not evaluate the time in the answers, which is the task of the track.

use crate::filter::Estimate;
use crate::need::Need;
use crate::nonce::Nonces;
use crate::poll::{Poll, span};
use crate::reference_clock::SHORTEST;
use crate::settings::SourceSettings;
use ipc::address::Address;
use ipc::units::{RawInstant, Span};

/// Queries in quick succession at the start.
pub(crate) const BURST: u8 = 4;

/// Seconds between them.
const QUICK: f64 = 0.05;

/// Seconds between the queries after a burst, until the poll interval is reached. They determine the frequency.
const SETTLING: [f64; 4] = [2.0, 4.0, 8.0, 16.0];

/// The random jitter of poll intervals, as a share.
const SPREAD: f64 = 0.02;

/// Seconds between the queries to a server to which the way may be another one, until it answers or is silent.
const PROBING: f64 = 4.0;

/// How long an authenticated refusal is respected.
const REFUSED: Span = Span::from_secs(86_400);

/// See the module's head.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PollProcess {
    /// The address that is queried.
    pub(crate) address: Address,
    /// The last eight queries, newest in the lowest bit: which were answered.
    pub(crate) reach: u8,
    /// The same queries: which were answered by a kiss that leaves the reach register as it is.
    kisses: u8,
    pub(crate) poll: Poll,
    /// When the next query is scheduled.
    pub(crate) next: RawInstant,
    /// An authenticated refusal is in force: it is not queried before.
    pub(crate) stopped_until: Option<RawInstant>,
    pub(crate) burst: bool,
    /// There is one at each poll.
    always: bool,
    /// The burst of this poll has begun.
    has_begun: bool,
    /// When the first query was sent.
    pub(crate) first_query: Option<RawInstant>,
    quick: u8,
    settling: u8,
    /// Queries since the last valid reply.
    unanswered: u32,
    /// The way to it may be another one, and it has not answered since.
    probing: bool,
    /// A valid reply came once.
    heard: bool,
}

impl PollProcess {
    pub(crate) fn new(address: Address, settings: &SourceSettings, now: RawInstant) -> Self {
        Self {
            address,
            reach: 0,
            kisses: 0,
            poll: Poll::new(settings.min_poll, settings.max_poll),
            next: now,
            stopped_until: None,
            burst: settings.burst,
            always: settings.burst_always,
            has_begun: false,
            first_query: None,
            quick: if settings.burst { BURST - 1 } else { 0 },
            settling: if settings.burst { 0 } else { SETTLING.len() as u8 },
            unanswered: 0,
            probing: false,
            heard: false,
        }
    }

    /// Other settings for the same address.
    pub(crate) fn change(&mut self, settings: &SourceSettings, now: RawInstant) {
        (self.burst, self.always) = (settings.burst, settings.burst_always);
        self.poll.limit(settings.min_poll, settings.max_poll);
        self.plan(now, self.poll.interval());
    }

    /// A further query is registered.
    fn shift(&mut self) {
        self.reach <<= 1;
        self.kisses <<= 1;
    }

    /// When it is queried next.
    pub(crate) fn due(&self) -> RawInstant {
        self.stopped_until.map_or(self.next, |until| until.max(self.next))
    }

    /// Four queries without a reply: another address, if there is one, may be better.
    pub(crate) fn is_silent(&self) -> bool {
        self.unanswered >= 4
    }

    /// Whether a valid reply came once.
    pub(crate) fn is_known(&self) -> bool {
        self.heard
    }

    /// Whether further queries follow in quick succession.
    pub(crate) fn is_bursting(&self) -> bool {
        self.quick > 0
    }

    /// Whether this burst is for once: something is to be known now.
    pub(crate) fn is_in_haste(&self) -> bool {
        self.is_bursting() && !self.always
    }

    /// Two queries in quick succession at the start will do.
    pub(crate) fn shorten_burst(&mut self) {
        self.quick = self.quick.min(1);
    }

    /// Whether the last eight queries brought kisses, and nothing else.
    pub(crate) fn brings_kisses_only(&self) -> bool {
        self.reach == 0 && self.kisses != 0
    }

    /// Whether any of the last eight queries was answered, with the time or not.
    pub(crate) fn brings_replies(&self) -> bool {
        self.reach | self.kisses != 0
    }

    /// Eight queries without a reply.
    pub(crate) fn is_dead(&self) -> bool {
        self.unanswered >= 8
    }

    /// A query is sent now; the next one is scheduled. `need`: how much depends on an answer, if it may be asked for.
    pub(crate) fn transmit(&mut self, now: RawInstant, need: Need, nonces: &mut Nonces) {
        self.first_query.get_or_insert(now);
        self.shift();
        self.unanswered = self.unanswered.saturating_add(1);
        self.probing &= !self.is_silent();
        if self.is_silent() {
            self.poll.note_delay(None);
        }
        let longest = need.longest_interval().filter(|_| self.is_silent());
        let longest = longest.or(self.probing.then_some(PROBING));
        let interval = longest.map_or(self.poll.interval(), |longest| self.limited(longest));
        let seconds = if self.quick > 0 {
            self.quick -= 1;
            QUICK.min(interval) * nonces.factor(0.2)
        } else if let Some(settling) = SETTLING.get(usize::from(self.settling))
            && *settling < interval
        {
            self.settling += 1;
            settling * nonces.factor(SPREAD)
        } else if self.always && !self.has_begun && !self.is_silent() {
            // The first query of a poll.
            self.has_begun = true;
            self.quick = BURST - 2;
            QUICK.min(interval) * nonces.factor(0.2)
        } else {
            self.has_begun = false;
            if self.is_dead() && longest.is_none() {
                self.poll.back_off();
            }
            interval * nonces.factor(SPREAD)
        };
        self.next = now.after(span(seconds));
    }

    /// An interval is over in which a reference clock could say something; the next one begins.
    pub(crate) fn listen(&mut self, now: RawInstant) {
        self.first_query.get_or_insert(now);
        self.shift();
        self.unanswered = self.unanswered.saturating_add(1);
        let shortest = self.quick > 0;
        self.quick = self.quick.saturating_sub(1);
        let interval = span(self.poll.interval());
        self.next = now.after(if shortest { SHORTEST.min(interval) } else { interval });
    }

    /// The poll interval, but no longer than this, seconds. Without bursts the shortest one that is configured is not fallen below.
    fn limited(&self, longest: f64) -> f64 {
        let mut least = self.poll;
        least.fastest();
        let longest = if self.burst { longest } else { longest.max(least.interval()) };
        self.poll.interval().min(longest)
    }

    /// The next query is sent no later than the need allows, whatever the back-off was before.
    pub(crate) fn hasten(&mut self, now: RawInstant, need: Need) {
        if let Some(longest) = need.longest_interval().filter(|_| self.is_silent()) {
            self.plan(now, self.limited(longest));
        }
    }

    /// The last query has not left the network of this host.
    pub(crate) fn unsent(&mut self, now: RawInstant, need: Need, nonces: &mut Nonces) {
        if let Some(longest) = need.longest_unsent().filter(|_| self.quick == 0) {
            self.plan(now, self.limited(longest) * nonces.factor(SPREAD));
        }
    }

    /// What made it silent may be over: it is asked again at once.
    pub(crate) fn retry(&mut self, now: RawInstant, nonces: &mut Nonces) {
        if self.unanswered > u32::from(BURST) {
            self.plan(now, QUICK * nonces.factor(0.2));
        }
    }

    /// The way to it may be another one: it is asked at once, and four times in quick succession until it answers. One that
    /// is silent already is not, nor one that is asked soon.
    pub(crate) fn probe(&mut self, now: RawInstant, nonces: &mut Nonces) {
        let is_settled = self.quick == 0 && usize::from(self.settling) == SETTLING.len();
        if is_settled && !self.is_silent() {
            self.probing = true;
            self.plan(now, QUICK * nonces.factor(0.2));
        }
    }

    /// It cannot be queried, because there is no cookie. It is tried again soon if a cookie may arrive, otherwise after an
    /// interval and as if it had not answered.
    pub(crate) fn skip(&mut self, now: RawInstant, is_asking: bool) {
        if is_asking {
            self.next = now.after(span(1.0));
        } else {
            self.shift();
            self.next = now.after(span(self.poll.interval()));
        }
    }

    /// A valid reply came.
    pub(crate) fn answered(&mut self, now: RawInstant) {
        let returns = self.is_dead() || (self.is_silent() && !self.heard);
        self.heard = true;
        self.unanswered = 0;
        self.reach |= 1;
        if core::mem::take(&mut self.probing) {
            self.next = now.after(span(self.poll.interval()));
        }
        if returns {
            self.begin_again(now);
        }
    }

    /// A reply came that ends a time without usable ones: it is measured as at the start.
    pub(crate) fn begin_again(&mut self, now: RawInstant) {
        self.ask_as_at_the_start(now, now.after(span(QUICK)));
    }

    /// The intervals begin anew, with a burst from `first` on where bursts are on.
    pub(crate) fn ask_as_at_the_start(&mut self, now: RawInstant, first: RawInstant) {
        self.settle(now);
        if self.burst {
            self.start_burst(first);
        }
    }

    /// A kiss came that asks for fewer queries, or for none unless it `is_rate`. A plain refusal can be forged; an
    /// `authenticated` one is from the server.
    pub(crate) fn kissed(&mut self, is_rate: bool, authenticated: bool, now: RawInstant) {
        self.kisses |= 1;
        self.probing = false;
        if is_rate {
            self.poll.slow_down();
        } else {
            self.poll.slowest();
            self.stopped_until = authenticated.then(|| now.after(REFUSED));
        }
        self.quick = 0;
        self.settling = SETTLING.len() as u8;
        self.next = now.after(span(self.poll.interval()));
    }

    /// Starts a burst, as at the start.
    pub(crate) fn start_burst(&mut self, now: RawInstant) {
        self.quick = BURST - 1;
        self.next = now;
    }

    /// As at the start: what was known has changed.
    pub(crate) fn settle(&mut self, now: RawInstant) {
        self.poll.fastest();
        self.settling = if self.burst { 0 } else { SETTLING.len() as u8 };
        self.plan(now, self.poll.interval());
    }

    /// Adapts the interval to the estimate, and to the seconds over which it was tested.
    pub(crate) fn choose(&mut self, estimate: &Estimate, variance: f64, tested: f64, now: RawInstant) {
        self.poll.choose(estimate, variance, tested);
        self.plan(now, self.poll.interval());
    }

    /// A doubtful measurement is repeated sooner than after a long interval.
    pub(crate) fn hurry(&mut self, now: RawInstant) {
        let mut soon = self.poll;
        soon.fastest();
        self.plan(now, soon.interval());
    }

    /// The next query is sent no later than this many seconds from now.
    fn plan(&mut self, now: RawInstant, interval: f64) {
        self.next = self.next.min(now.after(span(interval)));
    }
}
