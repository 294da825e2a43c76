//! The addresses of one name, and what is remembered of each: which one is tried next.
//!
//! Every address of the last answer gets its turn. One that failed rests, longer with each failure and no longer than
//! the need allows, so that a name with any number of dead addresses comes to a live one in the first pass through them.

use crate::names::interleave;
use crate::need::{Need, Reached, back_off};
use crate::poll::whole_millis;
use alloc::vec::Vec;
use core::cmp::Reverse;
use ipc::address::Address;
use ipc::message::exchange::MAX_ADDRESSES;
use ipc::units::{RawInstant, Span};

/// A trial of an address lasts as long as this, divided by the number of addresses, seconds.
const PASS: f64 = 48.0;

/// The shortest and the longest trial, seconds: a reply may need a second, and hardly any needs four.
const TRIAL: [f64; 2] = [0.75, 4.0];

/// How often each further trial of an address may take twice as long as the one before.
const MOST_DOUBLINGS: u8 = 3;

/// First rest after a failure, seconds; each further one is twice as long.
const FIRST_REST: f64 = 16.0;

/// The longest rest while some source answers, seconds.
const LONGEST_REST: f64 = 3600.0;

/// How an address failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The queries did not leave the network of this host.
    Unsent,
    /// No reply came.
    Silent,
    /// No keys came of it: it rests as any source with NTS does that came so far (RFC 8915 section 4.2).
    NoKeys(Reached),
    /// It answers, but has no time that can be used now, which may end at any moment.
    Unready,
    /// It is of no use: it refuses, is this host, or has a false time.
    Useless,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Failure {
    fault: Fault,
    at: RawInstant,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Candidate {
    address: Address,
    /// It is in the last answer.
    offered: bool,
    /// It once had a vote.
    proved: bool,
    failures: u8,
    last: Option<Failure>,
}

impl Candidate {
    /// When it may be tried again.
    fn rests_until(&self, need: Need) -> RawInstant {
        let Some(Failure { fault, at }) = self.last else { return RawInstant::MIN };
        if let Fault::NoKeys(reached) = fault {
            let attempt = u32::from(self.failures.saturating_sub(1));
            return at.after(back_off(attempt, need.longest_exchange(reached)));
        }
        let longest = match fault {
            Fault::Unsent => need.longest_unsent().or(Some(LONGEST_REST)),
            Fault::Silent => need.longest_interval().or(Some(LONGEST_REST)),
            Fault::Unready => need.longest_unready(),
            Fault::Useless | Fault::NoKeys(_) => None,
        };
        let Some(longest) = longest else { return at.after(whole_millis(LONGEST_REST)) };
        let doublings = i32::from(self.failures.saturating_sub(1).min(10));
        let seconds = libm::ldexp(FIRST_REST, doublings).min(longest);
        at.after(whole_millis(seconds))
    }
}

/// See the module's head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Candidates {
    list: Vec<Candidate>,
    /// When the last answer came.
    pub(crate) learned: Option<RawInstant>,
    /// When a member that had answered was replaced.
    pub(crate) replaced: Option<RawInstant>,
    /// It was reported that no address answers.
    pub(crate) told: bool,
}

impl Candidates {
    /// Takes the addresses of an answer, families in turn. What is known of addresses that it lacks is kept, as far as
    /// there is room.
    pub(crate) fn learn(&mut self, answer: &[Address], now: RawInstant) {
        let known = core::mem::take(&mut self.list);
        for address in interleave(answer, |address| address.ip().is_ipv4()) {
            let before = known.iter().find(|candidate| candidate.address == address).cloned();
            self.list.push(Candidate {
                offered: true,
                ..before.unwrap_or(Candidate {
                    address,
                    offered: true,
                    proved: false,
                    failures: 0,
                    last: None,
                })
            });
        }
        for gone in known {
            if self.list.len() < MAX_ADDRESSES && !self.list.iter().any(|now| now.address == gone.address) {
                self.list.push(Candidate { offered: false, ..gone });
            }
        }
        self.list.truncate(MAX_ADDRESSES);
        self.learned = Some(now);
    }

    fn get(&mut self, address: Address) -> Option<&mut Candidate> {
        self.list.iter_mut().find(|candidate| candidate.address == address)
    }

    /// How many addresses the last answer has.
    pub(crate) fn offered(&self) -> usize {
        self.list.iter().filter(|candidate| candidate.offered).count()
    }

    pub(crate) fn is_offered(&self, address: Address) -> bool {
        self.list.iter().any(|candidate| candidate.offered && candidate.address == address)
    }

    /// Whether that is so of each address of the last answer.
    pub(crate) fn all_offered(&self, is_so: impl Fn(&Address) -> bool) -> bool {
        self.list.iter().filter(|candidate| candidate.offered).all(|candidate| is_so(&candidate.address))
    }

    /// Whether each address of the last answer failed the last time it was tried, and not for want of a way.
    pub(crate) fn all_failed(&self) -> bool {
        let failed = |last: Failure| last.fault != Fault::Unsent;
        self.list
            .iter()
            .filter(|candidate| candidate.offered)
            .all(|candidate| candidate.last.is_some_and(failed))
    }

    /// Whether this address had a vote before.
    pub(crate) fn is_proved(&self, address: Address) -> bool {
        self.list.iter().any(|candidate| candidate.proved && candidate.address == address)
    }

    /// How often it failed since it last answered.
    pub(crate) fn failures(&self, address: Address) -> u8 {
        self.list.iter().find(|candidate| candidate.address == address).map_or(0, |found| found.failures)
    }

    /// How long the first reply of an address is waited for before the next address is tried.
    pub(crate) fn patience(&self, address: Address) -> Span {
        let first = (PASS / self.offered().max(1) as f64).clamp(TRIAL[0], TRIAL[1]);
        let doublings = i32::from(self.failures(address).min(MOST_DOUBLINGS));
        whole_millis(libm::ldexp(first, doublings).min(2.0 * TRIAL[1]))
    }

    pub(crate) fn fail(&mut self, address: Address, fault: Fault, now: RawInstant) {
        if let Some(candidate) = self.get(address) {
            candidate.failures = candidate.failures.saturating_add(u8::from(fault != Fault::Unsent));
            candidate.last = Some(Failure { fault, at: now });
        }
    }

    /// It answers, and its time can be used. `proved`: it has a vote.
    pub(crate) fn heal(&mut self, address: Address, proved: bool) {
        if let Some(candidate) = self.get(address) {
            (candidate.failures, candidate.last) = (0, None);
            candidate.proved |= proved;
        }
        self.told = false;
    }

    /// What was in the way may be over: those that did not answer need not rest.
    pub(crate) fn forgive(&mut self) {
        for candidate in &mut self.list {
            candidate.last.take_if(|failure| {
                !matches!(failure.fault, Fault::Unready | Fault::Useless | Fault::NoKeys(Reached::Server))
            });
        }
    }

    /// The address that is tried next: the one that failed least, of a family that has a way before the others, then in
    /// the order of the answer. `is_free`: it may be used. `anyway`: one that rests will do.
    pub(crate) fn next(
        &self,
        now: RawInstant,
        need: Need,
        anyway: bool,
        is_free: impl Fn(Address) -> bool,
        is_blocked: impl Fn(Address) -> bool,
    ) -> Option<Address> {
        let ready = |found: &&Candidate| {
            found.offered && (anyway || found.rests_until(need) <= now) && is_free(found.address)
        };
        let rank = |found: &&Candidate| {
            (found.last.is_some(), is_blocked(found.address), found.failures, Reverse(found.proved))
        };
        self.list.iter().filter(ready).min_by_key(rank).map(|found| found.address)
    }

    /// When the first of those that rest may be tried again.
    pub(crate) fn next_at(&self, now: RawInstant, need: Need) -> Option<RawInstant> {
        let offered = self.list.iter().filter(|candidate| candidate.offered);
        offered.map(|candidate| candidate.rests_until(need)).filter(|at| *at > now).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    fn address(text: &str) -> Address {
        text.parse::<SocketAddr>().unwrap().into()
    }

    fn at(seconds: i64) -> RawInstant {
        RawInstant::saturating(seconds * 1_000_000_000)
    }

    fn many(count: usize) -> Vec<Address> {
        (1..=count).map(|n| address(&std::format!("192.0.2.{n}:123"))).collect()
    }

    #[test]
    fn each_address_gets_its_turn_and_one_that_failed_rests_no_longer_than_the_need_allows() {
        let mut candidates = Candidates::default();
        let all = many(3);
        candidates.learn(&all, at(0));
        let next =
            |candidates: &Candidates, now, need| candidates.next(at(now), need, false, |_| true, |_| false);
        for address in &all {
            assert_eq!(next(&candidates, 0, Need::First), Some(*address));
            candidates.fail(*address, Fault::Silent, at(0));
        }
        assert_eq!(next(&candidates, 15, Need::First), None);
        assert_eq!(candidates.next_at(at(15), Need::First), Some(at(16)));
        assert_eq!(next(&candidates, 16, Need::First), Some(all[0]));
        for (need, rest) in [(Need::First, 32), (Need::Lost, 256), (Need::Little, 3600)] {
            (0..9).for_each(|_| all.iter().for_each(|one| candidates.fail(*one, Fault::Silent, at(0))));
            assert_eq!(next(&candidates, rest - 1, need), None, "{need:?}");
            assert_eq!(next(&candidates, rest, need), Some(all[0]), "{need:?}");
        }
        candidates.forgive();
        assert_eq!(next(&candidates, 0, Need::Little), Some(all[0]));
        // Of key exchanges, what no server noticed is not held against it either.
        (0..9).for_each(|_| {
            all.iter().for_each(|one| candidates.fail(*one, Fault::NoKeys(Reached::Nobody), at(0)))
        });
        for (need, rest) in [(Need::First, 15), (Need::Lost, 256)] {
            assert_eq!(next(&candidates, rest - 1, need), None, "{need:?}");
            assert_eq!(next(&candidates, rest, need), Some(all[0]), "{need:?}");
        }
        candidates.forgive();
        assert_eq!(next(&candidates, 0, Need::Little), Some(all[0]));
        let rejected = Fault::NoKeys(Reached::Server);
        for (fault, rests) in
            [(Fault::Unready, [64, 256, 3600]), (Fault::Useless, [3600; 3]), (rejected, [432_000; 3])]
        {
            (0..9).for_each(|_| all.iter().for_each(|one| candidates.fail(*one, fault, at(0))));
            candidates.forgive();
            for (need, rest) in [Need::First, Need::Lost, Need::Little].into_iter().zip(rests) {
                assert_eq!(next(&candidates, rest - 1, need), None, "{fault:?} {need:?}");
                assert_eq!(next(&candidates, rest, need), Some(all[0]), "{fault:?} {need:?}");
            }
        }
    }

    #[test]
    fn families_take_turns_and_one_without_a_way_comes_after_the_other() {
        let answer =
            ["[2001:db8::1]:123", "[2001:db8::2]:123", "192.0.2.1:123", "192.0.2.2:123"].map(address);
        let mut candidates = Candidates::default();
        candidates.learn(&answer, at(0));
        let mut order = Vec::new();
        while let Some(next) = candidates.next(at(0), Need::First, false, |_| true, |_| false) {
            candidates.fail(next, Fault::Silent, at(0));
            order.push(next);
        }
        assert_eq!(order, [0, 2, 1, 3].map(|at| answer[at]));
        candidates.forgive();
        let v6 = |address: Address| address.ip().is_ipv6();
        assert_eq!(candidates.next(at(0), Need::First, false, |_| true, v6), Some(answer[2]));
    }

    #[test]
    fn a_trial_of_sixty_four_addresses_takes_a_minute_and_a_reply_has_at_least_three_quarters_of_a_second() {
        for (count, seconds) in [(1, 4.0), (8, 4.0), (64, 0.75)] {
            let mut candidates = Candidates::default();
            candidates.learn(&many(count), at(0));
            let patience = candidates.patience(many(1)[0]);
            assert_eq!(patience, Span::from_millis((seconds * 1000.0) as i64), "{count}");
        }
    }

    #[test]
    fn a_further_answer_forgets_no_failure_and_offers_only_its_own_addresses() {
        let all = many(4);
        let mut candidates = Candidates::default();
        candidates.learn(&all[..2], at(0));
        candidates.fail(all[0], Fault::Useless, at(0));
        candidates.learn(&all[2..], at(1));
        assert!(!candidates.is_offered(all[1]) && candidates.offered() == 2);
        candidates.learn(&all, at(2));
        assert_eq!(candidates.next(at(2), Need::First, false, |_| true, |_| false), Some(all[1]));
        assert_eq!(candidates.failures(all[0]), 1);
    }
}
