//! The list of leap seconds beside what sources announce, and TAI − UTC, which the list alone knows.

use super::{Engine, Timer};
use crate::entries::EntryId;
use crate::io::{Now, OrderKind, Output};
use crate::leap::end_of_leap_day;
use crate::notice::{EntryNotice, ListNotice, Notice, SystemNotice};
use crate::status::{ListState, ListStatus};
use alloc::vec::Vec;
use ipc::message::privileged::{Refusal, SetTai};
use ipc::units::{Leap, RawInstant, Span, WallTime};
use protocol::leap_list::LeapList;

const DAY: i64 = 86_400;
const SECOND: i64 = 1_000_000_000;

/// So long before the list ends that is said.
const WARNED: i64 = 28 * DAY;

/// TAI − UTC that was refused is not ordered again for so long; one that was crossed by something else is soon.
const REFUSED: Span = Span::from_secs(86_400);
const CROSSED: Span = Span::from_secs(10);

/// What is said and known of both.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Listing {
    /// What was said of the list last.
    told: ListState,
    /// Entries of which it was said on this leap day that they announce what the list does not have.
    denied: Vec<EntryId>,
    /// It was said on this leap day that the list alone announces its leap second.
    alone_told: bool,
    /// TAI − UTC as the kernel has it, in seconds; 0: it was not told. None: not known right now.
    pub(super) tai: Option<u8>,
    /// No other is ordered before.
    no_tai_before: RawInstant,
}

impl Listing {
    pub(super) const NEW: Self = Self {
        told: ListState::Good,
        denied: Vec::new(),
        alone_told: false,
        tai: None,
        no_tai_before: RawInstant::MIN,
    };
}

/// What a list is worth at this time, seconds since 1970.
fn judge(list: &LeapList, time: i64) -> ListState {
    if list.updated() > time.saturating_add(DAY) {
        ListState::Future
    } else if list.expires() <= time {
        ListState::Expired
    } else if list.expires().saturating_sub(time) <= WARNED {
        ListState::Ending
    } else {
        ListState::Good
    }
}

impl Engine {
    /// Takes another list of leap seconds, or none.
    pub fn change_leap_list(&mut self, now: Now, list: Option<LeapList>) {
        self.settings.leap_list = list;
        self.system.dirty = true;
        self.timers.set(Timer::Steering, Some(now.raw));
    }

    /// The list, where it has a word at this time: it is from the past, and has not ended.
    fn list_at(&self, time: WallTime) -> Option<&LeapList> {
        let list = self.settings.leap_list.as_ref()?;
        let state = judge(list, time.nanos() / SECOND);
        matches!(state, ListState::Good | ListState::Ending).then_some(list)
    }

    /// The leap second of today by the list; none: it has no word about the end of this day.
    fn listed(&self, time: WallTime) -> Option<Leap> {
        let list = self.list_at(time)?;
        let midnight = end_of_leap_day(time)? / SECOND;
        (list.expires() >= midnight).then(|| list.leap_before(midnight))
    }

    /// The vote about a leap second today, in which the list prevails where it has a word.
    pub(super) fn vote_leap(&mut self, announced: &[(Leap, crate::independence::Allegiance)], now: Now) {
        let time = self.true_time(now);
        let listed = self.listed(time);
        let mut leap = self.system.leap;
        leap.vote(announced, listed, time);
        if leap.leap() != self.system.leap.leap() {
            self.system.status_wanted = true;
        }
        self.system.leap = leap;
        let Some(listed) = listed else {
            self.system.listing.denied.clear();
            self.system.listing.alone_told = false;
            return;
        };
        let said: Vec<(EntryId, Leap)> = self
            .entries
            .members()
            .filter(|(_, source)| source.track.survives())
            .filter_map(|(entry, source)| Some((entry.id, source.opinion(now)?.facts.leap)))
            .collect();
        for (id, announced) in &said {
            let is_denied = matches!(announced, Leap::Insert | Leap::Delete) && *announced != listed;
            if is_denied && !self.system.listing.denied.contains(id) {
                self.system.listing.denied.push(*id);
                self.tell_of_entry(*id, EntryNotice::LeapNotListed);
            }
        }
        let is_alone = leap.leap() != Leap::None && said.iter().all(|(_, announced)| *announced != listed);
        if is_alone && !core::mem::replace(&mut self.system.listing.alone_told, true) {
            self.tell(Notice::System(SystemNotice::LeapByList));
        }
    }

    /// What is to be said of the list; none: there is none, or the time is not known.
    pub(super) fn list_status(&self, now: Now) -> Option<ListStatus> {
        let list = self.settings.leap_list.as_ref()?;
        self.system.first_update?;
        let time = self.true_time(now).nanos() / SECOND;
        Some(ListStatus {
            state: judge(list, time),
            expires: list.expires(),
            days: (list.expires() - time) / DAY,
        })
    }

    /// Says once what has become of the list, and orders the kernel's TAI − UTC where that is another one than the list's.
    pub(super) fn follow_list(&mut self, now: Now) {
        let Some(status) = self.list_status(now) else { return };
        let before = core::mem::replace(&mut self.system.listing.told, status.state);
        if before != status.state {
            self.tell(Notice::System(SystemNotice::LeapList(match status.state {
                ListState::Good => ListNotice::Renewed,
                ListState::Ending => ListNotice::Ending(status.days),
                ListState::Expired => ListNotice::Expired,
                ListState::Future => ListNotice::Future,
            })));
        }
        self.order_tai(now);
    }

    fn order_tai(&mut self, now: Now) {
        let time = self.true_time(now);
        let is_told = self.system.told.is_some_and(|(synchronised, _)| synchronised);
        // The kernel changes its own at a leap second.
        let is_calm =
            !self.system.leap.is_close(time.nanos()) && self.system.listing.no_tai_before <= now.raw;
        let Some(basis) = self.basis.as_ref().filter(|_| is_told && is_calm && self.steers()) else { return };
        let is_free = basis.orders.ready_at().is_some_and(|ready| ready <= now.raw);
        let epoch = basis.epoch;
        let listed = self.list_at(time).and_then(|list| list.tai_minus_utc(time.nanos() / SECOND));
        let (Some(seconds), Some(known)) = (listed, self.system.listing.tai) else { return };
        if seconds != known && is_free && self.is_synchronised(now) {
            // Until the answer says what it is.
            self.system.listing.tai = None;
            self.order(OrderKind::Tai, Output::SetTai(SetTai { epoch, seconds, asked_at: now.raw }), now);
        }
    }

    /// What the keeper has read says what the kernel has.
    pub(super) fn note_tai(&mut self, tai: u8) {
        self.system.listing.tai = Some(tai);
    }

    /// It stays as it is. The next status says what it is.
    pub(super) fn tai_refused(&mut self, now: Now, code: Refusal) {
        let is_crossed = matches!(code, Refusal::Rate | Refusal::Stale | Refusal::StaleEpoch);
        self.system.listing.no_tai_before = now.raw.after(if is_crossed { CROSSED } else { REFUSED });
        self.system.status_wanted = true;
    }
}
