//! Sources that are asked and measured, and decide nothing (`noselect`).
//!
//! They are kept apart so that they cannot change an order, whatever they say, or when. Everything that decides looks at the
//! entries of [`Group::Deciding`] only. And a fact about one of the others has nothing decided: neither does it wake what is
//! due for other reasons, nor does it take a random number, a query or a place among the children that others need.

use super::Engine;
use crate::entries::{Entry, EntryId, Group};
use crate::io::{Input, Now};
use crate::timers::Timer;
use ipc::message::exchange::ExchangeId;
use ipc::units::RawInstant;

impl Engine {
    /// Whether a fact is about a source that decides nothing, and about nothing else.
    pub(super) fn is_of_observed(&self, now: Now, input: &Input) -> bool {
        match input {
            Input::Timeout => self.timers.is_alone(Timer::Observation, now.raw),
            Input::Sent(sent) => self.exchanges.is_observed(sent.id),
            Input::Reply(reply) => self.exchanges.is_observed(reply.id),
            Input::Version5(reply) => self.exchanges.is_observed(reply.id),
            Input::Protected(reply) => self.exchanges.is_observed(reply.id),
            Input::Unanswered(unanswered) => self.exchanges.is_observed(unanswered.id),
            Input::Resolved(resolved) => self.is_observed_child(resolved.id),
            Input::LookupFailed(failed) => self.is_observed_child(failed.id),
            Input::Cookie(cookie) => self.is_observed_child(cookie.id),
            Input::Exchanged(exchanged) => self.is_observed_child(exchanged.id),
            Input::ExchangeFailed(failed) => self.is_observed_child(failed.id),
            Input::Clock(sample) => self.is_observed_clock(sample.device),
            Input::ClockDiscarded(discarded) => self.is_observed_clock(discarded.device),
            Input::Welcome(_)
            | Input::Applied(..)
            | Input::Refused(..)
            | Input::ClockEvent(_)
            | Input::Signed(_)
            | Input::Measured(_)
            | Input::MeasureFailed(_)
            | Input::HistoryNoted(_)
            | Input::Command(_)
            | Input::OwnAddresses(_) => false,
        }
    }

    fn is_observed_child(&self, id: ExchangeId) -> bool {
        self.entries.of(Group::Observed).any(|entry| children(entry).any(|open| open == id))
    }

    /// How many look-ups and key exchanges a group has in progress.
    pub(super) fn children_of(&self, group: Group) -> usize {
        self.entries.of(group).flat_map(children).count()
    }

    /// Has asked what is due of those that decide nothing, and returns when to call it again.
    pub(super) fn observe(&mut self, now: Now) -> Option<RawInstant> {
        let mut polls = self.poll_sources(Group::Observed, now);
        if self.tend_addresses(Group::Observed, now) {
            polls = self.poll_sources(Group::Observed, now);
        }
        let addresses = self.addresses_due(Group::Observed, now.raw);
        let names = self.look_up(Group::Observed, now.raw);
        let keys = self.exchange_keys(Group::Observed, now);
        [polls, addresses, names, keys].into_iter().flatten().min()
    }

    /// Something that concerns an entry has changed: a selection is made, if it decides anything.
    pub(super) fn unsettle(&mut self, group: Group) {
        self.system.dirty |= group == Group::Deciding;
    }

    /// An entry has come to decide, or decides no more; what was measured stays.
    pub(super) fn change_group(&mut self, id: EntryId, now: Now) {
        let follows = self.system.first_update.is_some();
        let Some(entry) = self.entries.get_mut(id) else { return };
        // Its vote is missed as that of one that was added now.
        entry.awaited_until = None;
        if !entry.is_observed() {
            entry.begun = entry.begun.map(|_| now.raw);
            entry.asked = entry.asked.map(|_| now.raw);
            entry.awaited_until =
                (follows && entry.begun.is_some()).then(|| now.raw.after(super::UNHEARD_TIMEOUT));
        }
        entry.forgotten = false;
        for source in &mut entry.members {
            source.forgotten = false;
            source.is_asked = false;
            source.track.standing = None;
            source.track.doubted = None;
            source.track.strays = 0;
        }
        // Keys with a certificate that could not be judged are for the step that they lead to.
        let drops =
            entry.association_mut().is_some_and(|it| it.is_provisional() && it.drop_provisional(now.raw));
        let members: alloc::vec::Vec<_> = entry.members.iter().map(|source| source.id).collect();
        for source in members {
            // Whose queries are under way is known by their group.
            if drops { self.drop_source(source) } else { self.abandon(source) }
        }
    }
}

/// The look-up and the key exchange of an entry that are in progress.
fn children(entry: &Entry) -> impl Iterator<Item = ExchangeId> {
    let look_up = entry.lookup.as_ref().and_then(|lookup| lookup.open);
    let exchange = entry.association().and_then(|association| association.schedule.open());
    look_up.into_iter().chain(exchange)
}
