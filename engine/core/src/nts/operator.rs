//! Whether certificates of two sources show one operator.
//!
//! It is said, and does not change the votes. An authority attests an organisation, but many certificates name none, and
//! whoever wants to be taken for somebody else's kin can often get a certificate with a like name: as kin it could
//! contradict an honest source, or share its vote. What costs another's vote must not be what a server says of itself.
//!
//! Names in one domain show nothing: below a suffix that a registry, a cloud or a service of dynamic names lends to
//! everybody they are strangers, and a list of such suffixes is never complete.

use ipc::message::exchange::Operator;

/// By what certificates of two sources show one operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kinship {
    /// The same organisation.
    Organisation,
    /// The certificate of one is also for the name of the other, or is that of the other.
    Certificate,
}

/// A source: its host name or address as configured, without port; and what its certificate says.
pub(crate) type Shown<'a> = (&'a str, &'a Operator);

/// None: their certificates show no relation. Sources of one name are known to be related without them.
pub(crate) fn kinship(one: Shown<'_>, other: Shown<'_>) -> Option<Kinship> {
    let ((name, shown), (other_name, other_shown)) = (one, other);
    if shown.organisation.is_same(&other_shown.organisation) {
        return Some(Kinship::Organisation);
    }
    let is_one = shown.is_same(other_shown) || shown.names.cover(other_name) || other_shown.names.cover(name);
    is_one.then_some(Kinship::Certificate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipc::message::exchange::{CertifiedNames, Organisation};

    fn shown(organisation: &str, names: &[&str]) -> Operator {
        Operator {
            organisation: Organisation::of(organisation),
            names: CertifiedNames::of(names.iter().map(|name| name.as_bytes())),
            fingerprint: [0; 32],
        }
    }

    fn of(one: Shown<'_>, other: Shown<'_>) -> Option<Kinship> {
        let found = kinship(one, other);
        assert_eq!(kinship(other, one), found);
        found
    }

    #[test]
    fn one_organisation_or_one_certificate_is_one_operator() {
        let ltd = shown("Example Ltd", &["nts1.example.com"]);
        let same = shown("EXAMPLE LTD", &["nts2.example.net"]);
        assert_eq!(of(("nts1.example.com", &ltd), ("nts2.example.net", &same)), Some(Kinship::Organisation));
        let other = shown("Example Inc", &["nts2.example.net"]);
        assert_eq!(of(("nts1.example.com", &ltd), ("nts2.example.net", &other)), None);
        let both = shown("", &["a.example.com", "b.example.net"]);
        let none = shown("", &["b.example.net"]);
        assert_eq!(of(("a.example.com", &both), ("B.example.net.", &none)), Some(Kinship::Certificate));
        let wildcard = shown("", &["*.example.org"]);
        assert_eq!(of(("a.example.org", &wildcard), ("b.example.org", &none)), Some(Kinship::Certificate));
        assert_eq!(of(("a.example.org", &wildcard), ("b.c.example.org", &none)), None);
        let addresses = shown("", &["192.0.2.1", "2001:db8::1"]);
        assert_eq!(of(("192.0.2.1", &addresses), ("2001:db8::1", &none)), Some(Kinship::Certificate));
        // More names than there is room for: the certificate itself is the same.
        let long = Operator { fingerprint: [7; 32], ..none };
        assert_eq!(of(("x.example", &long), ("y.example", &long)), Some(Kinship::Certificate));
    }

    #[test]
    fn names_below_one_suffix_or_certificates_that_say_nothing_are_no_operator() {
        for (one, other) in [
            ("a.co.uk", "b.co.uk"),
            ("a.dyndns.org", "b.dyndns.org"),
            ("a.compute.example.com", "b.compute.example.com"),
            ("nts1.example.org", "nts2.example.org"),
            ("", ""),
            ("192.0.2.1", "192.0.2.2"),
        ] {
            assert_eq!(of((one, &shown("", &[one])), (other, &shown("", &[other]))), None, "{one} {other}");
            assert_eq!(of((one, &Operator::NONE), (other, &Operator::NONE)), None, "{one} {other}");
        }
    }
}
