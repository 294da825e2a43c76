//! The look-up of one name by up to three children: which question is asked when, and what comes of it. No I/O, no clock.
//!
//! The first child asks for the addresses of both families, or of the one that alone is wanted: then that is all. Where a name server, or a firewall before it, leaves the
//! question for one family without an answer, the C library keeps the addresses of the other family to itself: glibc for
//! 15 s, musl for good. So after a head start, or once the first child has failed in a way that the question for one
//! family may have caused, two more ask for one family each. What one of them finds is taken when the other has had a
//! little more time. The first one goes on: it has the answer of the resolver's own order, and with name servers of which
//! some are dead it may be the first with an answer.

use super::connect::interleave;
use ipc::address::Address;
use ipc::message::exchange::{Addresses, Families, LookupFailure};
use ipc::units::{RawInstant, Span};

/// So long only the first child asks: longer than a name server takes that has to ask others.
const HEAD_START: Span = Span::from_secs(2);

/// So long the addresses of one family are kept until those of the other one come.
const GRACE: Span = Span::from_millis(500);

/// What a child came to.
pub(super) type Found = Result<Addresses, LookupFailure>;

/// See the module's head.
#[derive(Clone, Debug)]
pub(super) struct Search {
    /// What is wanted.
    wanted: Families,
    /// When the families are asked for apart at the latest.
    parts_at: RawInstant,
    /// When it ends at the latest.
    ends_at: RawInstant,
    /// They are.
    apart: bool,
    /// What came of the question for both, for IPv4 and for IPv6.
    found: [Option<Found>; 3],
    /// When the first addresses of one family came.
    since: Option<RawInstant>,
}

/// What follows.
#[allow(clippy::large_enum_variant, reason = "lives on the stack for a moment")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing before then, if no child ends.
    Wait(RawInstant),
    /// Each family is to be asked for by itself.
    Part,
    /// The addresses, and of which families they are; or why there are none.
    End(Result<(Addresses, Families), LookupFailure>),
}

impl Search {
    /// The first child has been started.
    pub(super) fn new(wanted: Families, now: RawInstant, limit: Span) -> Self {
        let (parts_at, ends_at) = (now.after(HEAD_START), now.after(limit));
        Self { wanted, parts_at, ends_at, apart: false, found: [const { None }; 3], since: None }
    }

    /// The other two have been started.
    pub(super) fn part(&mut self) {
        self.apart = true;
    }

    /// A child has ended.
    pub(super) fn take(&mut self, of: Families, found: Found, now: RawInstant) {
        if of != Families::Both && found.is_ok() {
            self.since.get_or_insert(now);
        }
        self.found[of as usize] = Some(found);
    }

    pub(super) fn step(&self, now: RawInstant) -> Step {
        if self.wanted != Families::Both {
            return match &self.found[self.wanted as usize] {
                Some(found) => Step::End(found.map(|addresses| (addresses, self.wanted))),
                None if self.ends_at <= now => Step::End(Err(LookupFailure::Deadline)),
                None => Step::Wait(self.ends_at),
            };
        }
        let [both, v4, v6] = &self.found;
        match both {
            Some(Ok(addresses)) => return Step::End(Ok((*addresses, Families::Both))),
            Some(Err(reason)) if !may_be_of_one_family(*reason) && self.since.is_none() => {
                return Step::End(Err(*reason));
            }
            _ => {}
        }
        let is_over = self.ends_at <= now;
        if !self.apart && !is_over {
            let is_time = both.is_some() || self.parts_at <= now;
            return if is_time { Step::Part } else { Step::Wait(self.parts_at.min(self.ends_at)) };
        }
        let kept_until = self.since.map_or(self.ends_at, |since| since.after(GRACE).min(self.ends_at));
        if (v4.is_some() && v6.is_some()) || kept_until <= now {
            return Step::End(self.conclusion());
        }
        Step::Wait(kept_until)
    }

    /// What is known.
    fn conclusion(&self) -> Result<(Addresses, Families), LookupFailure> {
        let [both, v4, v6] = &self.found;
        let reason = |found: &Option<Found>| found.and_then(Found::err);
        match (v4, v6) {
            (Some(Ok(v4)), Some(Ok(v6))) => Ok((merged(v4, v6), Families::Both)),
            (Some(Ok(v4)), _) => Ok((*v4, Families::V4)),
            (_, Some(Ok(v6))) => Ok((*v6, Families::V6)),
            // Of one family alone it says nothing of the name.
            _ if both.is_none() && (v4.is_none() || v6.is_none()) => Err(LookupFailure::Deadline),
            _ => {
                let apart = [reason(v4), reason(v6)].into_iter().flatten();
                let open = apart.clone().find(|reason| may_be_of_one_family(*reason));
                let first = apart.clone().next();
                Err(reason(both).or(open).or(first).unwrap_or(LookupFailure::Deadline))
            }
        }
    }
}

/// Whether the addresses of one family may be found although the question for both failed like this.
const fn may_be_of_one_family(reason: LookupFailure) -> bool {
    matches!(reason, LookupFailure::TryAgain | LookupFailure::Refused)
}

fn merged(v4: &Addresses, v6: &Addresses) -> Addresses {
    let all: Vec<_> = v4.iter().chain(v6.iter()).map(Address::socket_address).collect();
    // Each has one at least.
    Addresses::new(interleave(&all).into_iter().map(Address::from)).unwrap_or(*v4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    const LIMIT: Span = Span::from_secs(30);

    fn at(millis: i64) -> RawInstant {
        RawInstant::saturating(millis * 1_000_000)
    }

    fn addresses(texts: &[&str]) -> Addresses {
        Addresses::new(texts.iter().map(|text| text.parse::<SocketAddr>().unwrap().into())).unwrap()
    }

    fn v4() -> Addresses {
        addresses(&["192.0.2.1:123", "192.0.2.2:123"])
    }

    fn v6() -> Addresses {
        addresses(&["[2001:db8::1]:123"])
    }

    /// After its head start.
    fn apart() -> Search {
        let mut search = Search::new(Families::Both, at(0), LIMIT);
        assert_eq!(search.step(at(1_999)), Step::Wait(at(2_000)));
        assert_eq!(search.step(at(2_000)), Step::Part);
        search.part();
        assert_eq!(search.step(at(2_000)), Step::Wait(at(30_000)));
        search
    }

    #[test]
    fn an_answer_for_both_families_ends_it_whenever_it_comes() {
        let mut search = Search::new(Families::Both, at(0), LIMIT);
        search.take(Families::Both, Ok(v6()), at(1));
        assert_eq!(search.step(at(1)), Step::End(Ok((v6(), Families::Both))));
        let mut search = apart();
        search.take(Families::V4, Ok(v4()), at(2_001));
        search.take(Families::Both, Ok(v6()), at(2_002));
        assert_eq!(search.step(at(2_002)), Step::End(Ok((v6(), Families::Both))));
    }

    #[test]
    fn addresses_of_one_family_are_taken_when_the_other_one_had_half_a_second_more() {
        for (of, found) in [(Families::V4, v4()), (Families::V6, v6())] {
            let mut search = apart();
            search.take(of, Ok(found), at(2_010));
            assert_eq!(search.step(at(2_010)), Step::Wait(at(2_510)), "{of:?}");
            assert_eq!(search.step(at(2_510)), Step::End(Ok((found, of))), "{of:?}");
        }
        let mut search = apart();
        search.take(Families::V6, Ok(v6()), at(2_010));
        search.take(Families::V4, Ok(v4()), at(2_020));
        let all = addresses(&["192.0.2.1:123", "[2001:db8::1]:123", "192.0.2.2:123"]);
        assert_eq!(search.step(at(2_020)), Step::End(Ok((all, Families::Both))));
        // There is none of the other family.
        let mut search = apart();
        search.take(Families::V6, Err(LookupFailure::NoAddress), at(2_010));
        assert_eq!(search.step(at(2_010)), Step::Wait(at(30_000)));
        search.take(Families::V4, Ok(v4()), at(9_000));
        assert_eq!(search.step(at(9_000)), Step::End(Ok((v4(), Families::V4))));
    }

    #[test]
    fn a_failure_that_one_family_may_have_caused_parts_them_at_once_and_any_other_one_is_the_end() {
        for reason in [LookupFailure::TryAgain, LookupFailure::Refused] {
            let mut search = Search::new(Families::Both, at(0), LIMIT);
            search.take(Families::Both, Err(reason), at(10));
            assert_eq!(search.step(at(10)), Step::Part, "{reason:?}");
            search.part();
            search.take(Families::V6, Err(LookupFailure::TryAgain), at(20));
            assert_eq!(search.step(at(20)), Step::Wait(at(30_000)), "{reason:?}");
            let mut other = search.clone();
            other.take(Families::V4, Ok(v4()), at(30));
            assert_eq!(other.step(at(30)), Step::End(Ok((v4(), Families::V4))), "{reason:?}");
            search.take(Families::V4, Err(LookupFailure::NoSuchName), at(30));
            assert_eq!(search.step(at(30)), Step::End(Err(reason)));
        }
        use LookupFailure::{Broken, NoAddress, NoResolver, NoSuchName};
        for reason in [NoSuchName, NoAddress, NoResolver, Broken] {
            let mut search = apart();
            search.take(Families::Both, Err(reason), at(2_100));
            assert_eq!(search.step(at(2_100)), Step::End(Err(reason)), "{reason:?}");
        }
    }

    #[test]
    fn where_one_family_is_wanted_its_child_has_the_whole_answer() {
        let begun = || Search::new(Families::V6, at(0), LIMIT);
        let mut search = begun();
        assert_eq!(search.step(at(29_999)), Step::Wait(at(30_000)), "it is never parted");
        assert_eq!(search.step(at(30_000)), Step::End(Err(LookupFailure::Deadline)));
        search.take(Families::V6, Ok(v6()), at(3_000));
        assert_eq!(search.step(at(3_000)), Step::End(Ok((v6(), Families::V6))));
        let mut search = begun();
        search.take(Families::V6, Err(LookupFailure::TryAgain), at(10));
        assert_eq!(search.step(at(10)), Step::End(Err(LookupFailure::TryAgain)));
    }

    #[test]
    fn without_an_answer_it_ends_at_its_limit_or_when_the_children_of_both_families_have_failed() {
        let mut search = apart();
        assert_eq!(search.step(at(29_999)), Step::Wait(at(30_000)));
        assert_eq!(search.step(at(30_000)), Step::End(Err(LookupFailure::Deadline)));
        search.take(Families::V4, Err(LookupFailure::NoSuchName), at(3_000));
        assert_eq!(search.step(at(30_000)), Step::End(Err(LookupFailure::Deadline)));
        search.take(Families::V6, Err(LookupFailure::TryAgain), at(12_000));
        assert_eq!(search.step(at(12_000)), Step::End(Err(LookupFailure::TryAgain)));
        let mut search = apart();
        search.take(Families::V4, Err(LookupFailure::NoSuchName), at(3_000));
        search.take(Families::V6, Err(LookupFailure::NoSuchName), at(3_000));
        assert_eq!(search.step(at(3_000)), Step::End(Err(LookupFailure::NoSuchName)));
        // With a limit below the head start nothing is parted.
        let search = Search::new(Families::Both, at(0), Span::from_millis(500));
        assert_eq!(search.step(at(0)), Step::Wait(at(500)));
        assert_eq!(search.step(at(500)), Step::End(Err(LookupFailure::Deadline)));
    }
}
