use super::{ExchangeFailure, Roots, Validity, Verdict, Verifier, WallTime};
use bench::authority::{Authority, DAY, Identity, Order, Period};
use bench::programs::Place;
use ipc::aead::{Aead, AeadOffer};
use ipc::message::exchange::{Denied, Exchange, ExchangeId, Families, HostName, KeyServer};
use rustls::pki_types::{CertificateDer, ServerName};

/// A Tuesday; the certificates of these tests are valid relative to it.
const TODAY: i64 = 1_800_000_000;

const NAME: &str = "time.example";

fn days(from: i64, until: i64) -> Period {
    Period { from: TODAY + from * DAY, until: TODAY + until * DAY }
}

/// A server of the right name, valid in these days.
fn order(from: i64, until: i64) -> Order<'static> {
    Order { period: days(from, until), ..Order::new(&[NAME]) }
}

fn roots(text: &str) -> Roots {
    let place = Place::new("verify");
    std::fs::write(place.join("roots.pem"), text).unwrap();
    Roots::read(&place.join("roots.pem")).unwrap()
}

/// The request: its time, and the earliest time that the clock may really show.
#[derive(Clone, Copy)]
struct Client {
    now: i64,
    floor: Option<i64>,
}

const STRICT: Client = Client { now: TODAY, floor: None };

impl Client {
    fn judge(self, root: &Authority, chain: &[CertificateDer<'_>]) -> Result<Verdict, ExchangeFailure> {
        self.judge_with(&root.pem(), chain, NAME)
    }

    fn judge_with(
        self,
        text: &str,
        chain: &[CertificateDer<'_>],
        name: &str,
    ) -> Result<Verdict, ExchangeFailure> {
        let at = |seconds: i64| WallTime::saturating(seconds * 1_000_000_000);
        let exchange = Exchange {
            id: ExchangeId(1),
            server: KeyServer::Name(HostName::parse(NAME).unwrap()),
            port: 4460,
            roots: 0,
            now: at(self.now),
            not_before: self.floor.map(at),
            offer: AeadOffer::only(Aead::AesSivCmac256),
            turn: 0,
            at: None,
            denied: Denied::NONE,
            departure: ipc::departure::Departure::USUAL,
            families: Families::Both,
        };
        let algorithms = tls::crypto().signature_verification_algorithms;
        let verifier = Verifier::new(&exchange, roots(text), algorithms);
        let (server, between) = chain.split_first().unwrap();
        verifier.judge(server, between, &ServerName::try_from(name.to_owned()).unwrap())
    }
}

fn fails(root: &Authority, identity: &Identity) -> ExchangeFailure {
    STRICT.judge(root, &identity.chain).unwrap_err()
}

#[test]
fn a049_each_flaw_of_a_certificate_has_its_name() {
    let root = Authority::new("root");
    assert!(STRICT.judge(&root, &root.issue_as(&order(-1, 90)).chain).is_ok());

    let self_signed = Identity::self_signed(&order(-1, 90));
    assert_eq!(fails(&root, &self_signed), ExchangeFailure::UnknownIssuer);
    let stranger = Authority::new("root").issue_as(&order(-1, 90));
    assert!(matches!(
        fails(&root, &stranger),
        ExchangeFailure::UnknownIssuer | ExchangeFailure::BadCertificate
    ));
    let other =
        root.issue_as(&Order { names: &["other.example", "example", "x.time.example"], ..order(-1, 90) });
    assert_eq!(fails(&root, &other), ExchangeFailure::WrongName);
    let client = root.issue_as(&Order { for_servers: false, ..order(-1, 90) });
    assert_eq!(fails(&root, &client), ExchangeFailure::NotForServers);
    assert_eq!(fails(&root, &root.issue_as(&order(-90, -1))), ExchangeFailure::Expired);
    assert_eq!(fails(&root, &root.issue_as(&order(1, 90))), ExchangeFailure::NotYetValid);
    let authority = STRICT.judge_with(&root.pem(), &[root.certificate().clone()], NAME).unwrap_err();
    assert!(
        matches!(authority, ExchangeFailure::BadCertificate | ExchangeFailure::WrongName),
        "{authority:?}"
    );
    assert_eq!(
        STRICT.judge(&root, &[CertificateDer::from(vec![0x30, 0])]).unwrap_err(),
        ExchangeFailure::BadCertificate
    );
}

#[test]
fn a049_time_is_named_only_where_nothing_else_is_wrong() {
    let root = Authority::new("root");
    let expired = order(-90, -1);
    let other = root.issue_as(&Order { names: &["other.example"], ..expired.clone() });
    assert_eq!(fails(&root, &other), ExchangeFailure::WrongName);
    let client = root.issue_as(&Order { for_servers: false, ..expired.clone() });
    assert_eq!(fails(&root, &client), ExchangeFailure::NotForServers);
    assert_eq!(fails(&root, &Identity::self_signed(&expired)), ExchangeFailure::UnknownIssuer);
}

#[test]
fn a_chain_is_valid_to_the_second_that_its_shortest_certificate_says() {
    let root = Authority::new("root");
    let between = root.intermediate("between", days(-2, 3));
    let chain = between.issue_as(&order(-1, 90)).chain;
    let period = days(-1, 3);
    let expected = Validity { from: period.from, until: period.until };
    for now in [period.from, TODAY, period.until] {
        let verdict = Client { now, floor: None }.judge(&root, &chain).unwrap();
        assert_eq!((verdict.validity, verdict.deferred), (expected, false), "{now}");
    }
    for (now, reason) in
        [(period.from - 1, ExchangeFailure::NotYetValid), (period.until + 1, ExchangeFailure::Expired)]
    {
        assert_eq!(Client { now, floor: None }.judge(&root, &chain).unwrap_err(), reason, "{now}");
    }
}

#[test]
fn a051_a_wrong_clock_may_take_a_chain_that_is_valid_later_than_the_earliest_possible_time() {
    let root = Authority::new("root");
    let between = root.intermediate("between", days(-400, 400));
    let chain = between.issue_as(&order(-1, 90)).chain;
    // 1970, and a build a year ago.
    let client = Client { now: 0, floor: Some(TODAY - 365 * DAY) };
    let verdict = client.judge(&root, &chain).unwrap();
    let period = days(-1, 90);
    let expected = Validity { from: period.from, until: period.until };
    assert_eq!((verdict.validity, verdict.deferred), (expected, true));
    // A clock that runs ahead, with a certificate that was renewed or not.
    let ahead = Client { now: TODAY + 1000 * DAY, ..client };
    assert!(ahead.judge(&root, &chain).unwrap().deferred);
    // Where the clock is right, nothing is deferred, whatever was asked.
    assert!(!Client { now: TODAY, ..client }.judge(&root, &chain).unwrap().deferred);
    // It is not sent unless requested.
    assert_eq!(
        Client { now: 0, floor: None }.judge(&root, &chain).unwrap_err(),
        ExchangeFailure::NotYetValid
    );
}

#[test]
fn a050_a_certificate_that_ended_before_the_earliest_possible_time_is_refused_by_any_clock() {
    let root = Authority::new("root");
    let stolen = root.issue_as(&order(-800, -1)).chain;
    for now in [0, TODAY - 1000 * DAY, TODAY, TODAY + DAY] {
        let reason = Client { now, floor: Some(TODAY) }.judge(&root, &stolen).unwrap_err();
        assert!(
            matches!(reason, ExchangeFailure::Expired | ExchangeFailure::NotYetValid),
            "{now}: {reason:?}"
        );
    }
    // To the second.
    let last = days(0, -1).until;
    assert!(Client { now: TODAY, floor: Some(last) }.judge(&root, &stolen).is_ok());
    assert!(Client { now: TODAY, floor: Some(last + 1) }.judge(&root, &stolen).is_err());
    // An authority in between that ended does the same.
    let between = root.intermediate("between", days(-800, -1)).issue_as(&order(-700, 90)).chain;
    assert!(Client { now: 0, floor: Some(TODAY) }.judge(&root, &between).is_err());
}

#[test]
fn a050_deferred_validity_forgives_nothing_but_time() {
    let root = Authority::new("root");
    let client = Client { now: 0, floor: Some(TODAY - DAY) };
    let judge = |identity: &Identity| client.judge(&root, &identity.chain).unwrap_err();
    let other = root.issue_as(&Order { names: &["other.example"], ..order(-1, 90) });
    assert_eq!(judge(&other), ExchangeFailure::WrongName);
    let no_server = root.issue_as(&Order { for_servers: false, ..order(-1, 90) });
    assert_eq!(judge(&no_server), ExchangeFailure::NotForServers);
    assert_eq!(judge(&Identity::self_signed(&order(-1, 90))), ExchangeFailure::UnknownIssuer);
    // Two certificates that were never valid at the same time.
    let never = root.intermediate("between", days(10, 20)).issue_as(&order(-1, 5));
    let reason = judge(&never);
    assert!(matches!(reason, ExchangeFailure::Expired | ExchangeFailure::NotYetValid), "{reason:?}");
}

#[test]
fn a_certificate_that_is_of_no_use_for_the_chain_does_not_shorten_it() {
    let root = Authority::new("root");
    let mut chain = root.intermediate("between", days(-5, 50)).issue_as(&order(-1, 90)).chain;
    let old = Authority::new("old");
    chain.push(old.intermediate("cross", days(-900, -800)).issue_as(&order(-900, -800)).chain[1].clone());
    for client in [STRICT, Client { now: 0, floor: Some(TODAY - 2 * DAY) }] {
        assert_eq!(client.judge(&root, &chain).unwrap().validity.until, days(0, 50).until);
    }
}

#[test]
fn a_pin_needs_no_authority_but_its_name_and_time_count() {
    let pinned = Identity::self_signed(&order(-1, 90));
    let root = Authority::new("root");
    let text = format!("{}{}", root.pem(), pinned.chain_pem);
    assert!(STRICT.judge_with(&text, &pinned.chain, NAME).is_ok());
    assert_eq!(STRICT.judge_with(&text, &pinned.chain, "a.example").unwrap_err(), ExchangeFailure::WrongName);
    let late = Client { now: TODAY + 91 * DAY, floor: None };
    assert_eq!(late.judge_with(&text, &pinned.chain, NAME).unwrap_err(), ExchangeFailure::Expired);
    let wrong_clock = Client { now: 0, floor: Some(TODAY) };
    assert!(wrong_clock.judge_with(&text, &pinned.chain, NAME).unwrap().deferred);
}

#[test]
fn a061_a_long_chain_is_refused_before_it_is_looked_at() {
    let root = Authority::new("root");
    let chain = |links: usize| {
        let mut last = root.intermediate("0", days(-1, 90));
        for number in 1..links {
            last = last.intermediate(&number.to_string(), days(-1, 90));
        }
        last.issue_as(&order(-1, 90)).chain
    };
    // Whether there is a use for them or not.
    let with_spare = |spare: usize| [chain(1), vec![root.certificate().clone(); spare]].concat();
    assert!(STRICT.judge(&root, &with_spare(6)).is_ok());
    assert_eq!(STRICT.judge(&root, &with_spare(7)).unwrap_err(), ExchangeFailure::BadCertificate);
    assert!(STRICT.judge(&root, &chain(5)).is_ok());
    assert_eq!(chain(8).len(), 9);
    assert_eq!(STRICT.judge(&root, &chain(8)).unwrap_err(), ExchangeFailure::BadCertificate);
    let many = vec![chain(1)[0].clone(); 10_000];
    assert_eq!(STRICT.judge(&root, &many).unwrap_err(), ExchangeFailure::BadCertificate);
}

#[test]
fn the_operator_is_what_the_servers_own_certificate_says() {
    let root = Authority::new("root");
    let names = [NAME, "*.b.example", "192.0.2.1", "2001:db8::1"];
    let named = Order { organisation: Some("Example \u{1b}Ltd"), names: &names, ..order(-1, 90) };
    let chain = root.issue_as(&named).chain;
    let operator = STRICT.judge(&root, &chain).unwrap().operator;
    assert_eq!(operator.organisation.as_str(), "Example \\u{1b}Ltd");
    for name in [NAME, "x.b.example", "192.0.2.1", "2001:db8::1"] {
        assert!(operator.names.cover(name), "{name}");
    }
    assert!(!operator.names.cover("b.example"));
    assert!(operator.is_same(&STRICT.judge(&root, &chain).unwrap().operator));
    let other = STRICT.judge(&root, &root.issue_as(&order(-1, 90)).chain).unwrap().operator;
    assert_eq!(other.organisation.as_str(), "");
    assert!(!operator.is_same(&other));
}

#[test]
fn a_certificate_with_a_thousand_names_has_an_operator_all_the_same() {
    let root = Authority::new("root");
    let many: Vec<String> = (0..1_000).map(|n| format!("host-{n}.of.a.long.list.example")).collect();
    let names: Vec<&str> = many.iter().map(String::as_str).chain([NAME]).collect();
    let order = Order { organisation: Some("Example Ltd"), names: &names, ..order(-1, 90) };
    let chain = root.issue_as(&order).chain;
    let one = STRICT.judge(&root, &chain).unwrap().operator;
    assert_eq!(one.organisation.as_str(), "Example Ltd");
    assert!(one.names.iter().count() > 3 && one.is_same(&one));
}
