//! Look-ups of names: when they are made, and which addresses of an answer are used.

use crate::need::{Need, back_off};
use alloc::vec::Vec;
use core::net::IpAddr;
use ipc::address::Address;
use ipc::message::exchange::{ExchangeId, LookupFailure};
use ipc::units::{RawInstant, Span};

/// A name whose addresses all answer is looked up again after this time.
const REFRESH: Span = Span::from_secs(86_400);

/// After so long at the earliest one that went well is done again because the network may be another one.
const RENEWAL: Span = Span::from_secs(32);

/// The look-ups of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lookup {
    pub(crate) open: Option<ExchangeId>,
    pub(crate) next: RawInstant,
    /// Why the last one brought no address.
    pub(crate) last: Option<LookupFailure>,
    /// One has ended.
    ended: bool,
    failures: u32,
    /// When the last one went well.
    succeeded: Option<RawInstant>,
    /// It was begun in a network that may be another one by now.
    outdated: bool,
}

impl Lookup {
    pub(crate) fn new(now: RawInstant) -> Self {
        Self {
            open: None,
            next: now,
            last: None,
            ended: false,
            failures: 0,
            succeeded: None,
            outdated: false,
        }
    }

    /// Whether a look-up has ended.
    pub(crate) const fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether a look-up has ended, and none is under way.
    pub(crate) fn was_answered(&self) -> bool {
        self.ended && self.open.is_none()
    }

    /// Whether it should be looked up now.
    pub(crate) fn is_due(&self, now: RawInstant) -> bool {
        self.open.is_none() && self.next <= now
    }

    /// Without an address, or without enough that can be used.
    pub(crate) fn failed(&mut self, now: RawInstant, need: Need) {
        self.back_off(now, need.longest_lookup(None));
    }

    /// Without an answer.
    pub(crate) fn unanswered(&mut self, now: RawInstant, reason: LookupFailure, need: Need) {
        self.back_off(now, need.longest_lookup(Some(reason)));
        self.last = Some(reason);
    }

    fn back_off(&mut self, now: RawInstant, longest: f64) {
        self.open = None;
        self.outdated = false;
        self.ended = true;
        self.next = now.after(back_off(self.failures, longest));
        self.failures = self.failures.saturating_add(1);
    }

    /// With enough addresses.
    pub(crate) fn succeeded(&mut self, now: RawInstant) {
        self.open = None;
        self.ended = true;
        self.failures = 0;
        self.succeeded = Some(now);
        self.next = now.after(REFRESH);
        if core::mem::take(&mut self.outdated) {
            self.renew(now);
        }
    }

    /// One of its addresses died: look again, no sooner than the back-off allows.
    pub(crate) fn hurry(&mut self, now: RawInstant, need: Need) {
        let soon = now.after(back_off(self.failures, need.longest_lookup(None)));
        if self.open.is_none() && soon < self.next {
            self.next = soon;
        }
    }

    /// More addresses are wanted than it has given: it is done again at once.
    pub(crate) fn repeat(&mut self, now: RawInstant) {
        self.next = self.next.min(now);
    }

    /// What may have been in the way is not any more: one that failed is done again at once.
    pub(crate) fn retry(&mut self, now: RawInstant) {
        if self.failures > 0 {
            self.failures = 0;
            self.next = self.next.min(now);
        }
    }

    /// The network may be another one, in which the name has other addresses: one that went well is done again, no sooner
    /// than [`RENEWAL`] after it.
    pub(crate) fn renew(&mut self, now: RawInstant) {
        if self.open.is_some() {
            self.outdated = true;
        } else if let Some(succeeded) = self.succeeded {
            self.next = self.next.min(succeeded.after(RENEWAL).max(now));
        }
    }
}

/// The addresses of an answer that may be queried, in order, each once. An address that stands in the configuration is
/// not tested here.
pub(crate) fn usable(answer: &[Address], link_local: bool, own: &[IpAddr]) -> Vec<Address> {
    let mut taken: Vec<Address> = Vec::new();
    for address in answer {
        if may_serve(address, None, link_local, own) && !taken.contains(address) {
            taken.push(*address);
        }
    }
    taken
}

/// Both families in turn, beginning with that of the first address; each keeps its order.
pub(crate) fn interleave<T: Copy>(all: &[T], is_v4: impl Fn(&T) -> bool) -> Vec<T> {
    let leads = all.first().is_some_and(&is_v4);
    let (one, other): (Vec<T>, Vec<T>) = all.iter().partition(|address| is_v4(address) == leads);
    let pairs = (0..all.len()).flat_map(|at| [one.get(at), other.get(at)]);
    pairs.flatten().copied().collect()
}

/// Whether an address that came from the network may be queried. `configured`: the address that the
/// configuration itself names for the server; that one, and loopback where it is loopback, is never refused. `link_local`:
/// it permits link-local addresses of IPv4.
pub(crate) fn may_serve(
    address: &Address,
    configured: Option<IpAddr>,
    link_local: bool,
    own: &[IpAddr],
) -> bool {
    let ip = address.ip();
    if configured.is_some_and(|known| known == ip || (known.is_loopback() && ip.is_loopback())) {
        return address.is_unicast();
    }
    let written = address.socket_address();
    let mapped = matches!(written.ip(), IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
    let is_of_a_link = match written {
        core::net::SocketAddr::V4(v4) => v4.ip().is_link_local() && !link_local,
        core::net::SocketAddr::V6(v6) => v6.ip().is_unicast_link_local() && v6.scope_id() == 0,
    };
    address.is_unicast() && !ip.is_loopback() && !mapped && !is_of_a_link && !own.contains(&ip)
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::SocketAddr;

    fn address(text: &str) -> Address {
        text.parse::<SocketAddr>().unwrap().into()
    }

    fn answer(texts: &[&str]) -> Vec<Address> {
        texts.iter().map(|text| address(text)).collect()
    }

    #[test]
    fn a039_an_address_that_is_repeated_is_taken_once() {
        let many: [&str; 16] = core::array::from_fn(|n| ["192.0.2.1:123", "192.0.2.2:123"][n % 2]);
        assert_eq!(usable(&answer(&many), false, &[]), answer(&many[..2]));
    }

    #[test]
    fn a040_addresses_that_no_server_has_are_refused() {
        let own = ["198.51.100.7".parse().unwrap(), "2001:db8::7".parse().unwrap()];
        for bad in [
            "127.0.0.1:123",
            "127.9.9.9:123",
            "0.0.0.0:123",
            "[::1]:123",
            "[::]:123",
            "198.51.100.7:123",
            "[2001:db8::7]:123",
            "224.0.1.1:123",
            "[ff02::101]:123",
            "255.255.255.255:123",
            "169.254.1.1:123",
            "[fe80::1]:123",
            "192.0.2.1:0",
        ] {
            assert!(usable(&answer(&[bad]), false, &own).is_empty(), "{bad}");
        }
        for good in ["192.0.2.1:123", "[2001:db8::8]:123", "10.1.2.3:123", "[fe80::1%2]:123"] {
            let wanted = address(&good.replace("%2", ""));
            let written = if good.contains('%') {
                let SocketAddr::V6(mut v6) = wanted.socket_address() else { panic!() };
                v6.set_scope_id(2);
                Address::from(SocketAddr::V6(v6))
            } else {
                wanted
            };
            assert_eq!(usable(&[written], false, &own), [written], "{good}");
        }
    }

    #[test]
    fn where_it_is_permitted_a_name_may_have_link_local_addresses_of_ipv4_and_no_others() {
        let own = ["169.254.7.7".parse().unwrap()];
        for good in ["169.254.169.123:123", "169.254.169.254:123", "192.0.2.1:123"] {
            assert_eq!(usable(&answer(&[good]), true, &own), answer(&[good]), "{good}");
        }
        for bad in [
            "169.254.7.7:123",
            "[fe80::1]:123",
            "[::ffff:169.254.169.123]:0",
            "127.0.0.1:123",
            "224.0.1.1:123",
        ] {
            assert!(usable(&answer(&[bad]), true, &own).is_empty(), "{bad}");
        }
    }

    #[test]
    fn failures_wait_longer_and_longer_up_to_an_hour() {
        let mut lookup = Lookup::new(RawInstant::MIN);
        let mut waits = alloc::vec![];
        for _ in 0..20 {
            lookup.failed(RawInstant::MIN, Need::Little);
            waits.push(lookup.next.nanos() / 1_000_000);
        }
        assert_eq!(&waits[..4], [10_000, 15_000, 22_500, 33_750]);
        assert_eq!(waits[19], 3_600_000);
        lookup.succeeded(RawInstant::MIN);
        lookup.hurry(RawInstant::MIN, Need::Little);
        assert_eq!(lookup.next.nanos(), 10_000_000_000);
    }

    #[test]
    fn in_another_network_one_that_went_well_is_done_again_and_no_sooner_than_after_half_a_minute() {
        let at = |seconds: i64| RawInstant::saturating(seconds * 1_000_000_000);
        let mut lookup = Lookup::new(at(0));
        lookup.renew(at(0));
        assert!(lookup.is_due(at(0)), "the first one is not put off");
        lookup.succeeded(at(0));
        for second in 1..100 {
            lookup.renew(at(second));
            assert_eq!(lookup.is_due(at(second)), second >= 32, "{second}");
        }
        // Its answer may be of the network before.
        lookup.open = Some(ExchangeId(1));
        lookup.renew(at(100));
        assert!(!lookup.is_due(at(100)), "it is under way");
        lookup.succeeded(at(101));
        assert!(!lookup.is_due(at(132)) && lookup.is_due(at(133)));
        lookup.succeeded(at(140));
        assert!(!lookup.is_due(at(80_000)), "once");
    }

    #[test]
    fn failures_of_this_host_wait_less_and_each_waits_less_the_more_depends_on_it() {
        use LookupFailure::*;
        for (reason, longest) in [
            (TryAgain, [15, 64, 120]),
            (NoResolver, [15, 64, 120]),
            (NotStarted, [15, 64, 120]),
            (Deadline, [15, 64, 120]),
            (NoInterface, [15, 64, 120]),
            (NoSuchName, [60, 256, 3600]),
            (NoAddress, [60, 256, 3600]),
            (Refused, [60, 256, 3600]),
            (Broken, [60, 256, 3600]),
        ] {
            for (need, longest) in [Need::First, Need::Lost, Need::Little].into_iter().zip(longest) {
                let mut lookup = Lookup::new(RawInstant::MIN);
                lookup.retry(RawInstant::MIN);
                (0..20).for_each(|_| lookup.unanswered(RawInstant::MIN, reason, need));
                assert_eq!(lookup.next.nanos(), longest * 1_000_000_000, "{reason:?} {need:?}");
                assert_eq!(lookup.last, Some(reason));
                lookup.retry(RawInstant::MIN);
                assert!(lookup.is_due(RawInstant::MIN), "{reason:?}");
                lookup.succeeded(RawInstant::MIN);
                lookup.retry(RawInstant::MIN);
                assert!(
                    !lookup.is_due(RawInstant::MIN),
                    "one that went well is not done again for a sign that others can give"
                );
            }
        }
    }
}
