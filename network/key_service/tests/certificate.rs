//! Which certificate replaces another at a reload.

mod support;

use bench::authority::{DAY, Order};
use bench::key_client::exchange;
use bench::key_pair::KeyPair;
use ipc::message::key_service::{KeyPolicy, Loaded, Objection, Request, ToKeyService};
use ipc::units::WallTime;
use support::{Setting, plan};

/// A request at this second since 1970.
fn request(seconds: i64, is_asked: bool) -> Request {
    Request { now: WallTime::saturating(seconds * 1_000_000_000), is_asked }
}

#[test]
fn a_valid_certificate_is_not_replaced_by_one_that_serves_clients_worse_but_by_any_other_and_at_any_start() {
    let now = bench::authority::now();
    let issue = |setting: &Setting, names: &[&str], from: i64, until: i64| {
        let period = bench::authority::Period { from: now + from, until: now + until };
        let identity = setting.authority.issue_as(&Order { period, ..Order::new(names) });
        setting.write(&setting.chain, identity.chain_pem.as_bytes());
        setting.write(&setting.key, identity.key_pem.as_bytes());
    };
    let setting = Setting::new();
    issue(&setting, &["localhost"], -2 * DAY, -DAY);
    let first = KeyPair::start(&plan(&setting, 2, false)).loaded();
    assert!(matches!(first, Loaded::InUse { .. }), "at a start an expired one is used");
    let mut pair = KeyPair::start(&plan(&setting, 2, false));
    pair.open(KeyPolicy::DEFAULT);
    let mut reload = |names: &[&str], from: i64, until: i64| {
        issue(&setting, names, from, until);
        pair.send(&ToKeyService::Reload(request(now, true)));
        pair.loaded()
    };
    assert!(matches!(reload(&["localhost"], -3 * DAY, -DAY), Loaded::InUse { .. }), "none of them is valid");
    assert!(matches!(reload(&["localhost", "b.example"], -DAY, DAY), Loaded::InUse { .. }));
    assert_eq!(reload(&["localhost", "b.example"], -2 * DAY, -DAY), Loaded::Kept(Objection::Expired));
    assert_eq!(reload(&["localhost", "b.example"], DAY, 2 * DAY), Loaded::Kept(Objection::NotYetValid));
    assert_eq!(reload(&["b.example"], -DAY, DAY), Loaded::Kept(Objection::LacksName));
    assert!(matches!(reload(&["c.example", "LOCALHOST", "b.example"], -DAY, DAY), Loaded::InUse { .. }));
    assert_eq!(reload(&["d.example"], -DAY, DAY), Loaded::Kept(Objection::LacksName));
    assert_eq!(reload(&["localhost"], -DAY, DAY), Loaded::Kept(Objection::LacksName));
    assert!(
        exchange(pair.addresses[0], "localhost", &setting.authority.client_config(), &[15]).is_ok(),
        "the one before is in use, with its key"
    );
    let mut again = |minutes: i64| {
        pair.send(&ToKeyService::Reload(request(now + 60 * minutes, true)));
        pair.loaded()
    };
    assert_eq!(again(11), Loaded::Kept(Objection::LacksName), "a reload that had another reason");
    assert!(matches!(again(21), Loaded::InUse { .. }), "who asks twice within ten minutes means it");
    assert!(exchange(pair.addresses[0], "localhost", &setting.authority.client_config(), &[15]).is_ok());
}

#[test]
fn a_reading_that_nobody_asked_for_is_no_consent_and_takes_none_away() {
    let setting = Setting::new();
    let mut pair = KeyPair::start(&plan(&setting, 1, false));
    assert!(matches!(pair.loaded(), Loaded::InUse { .. }));
    let identity = setting.authority.issue_as(&Order::new(&["b.example"]));
    setting.write(&setting.chain, identity.chain_pem.as_bytes());
    setting.write(&setting.key, identity.key_pem.as_bytes());
    let now = bench::authority::now();
    let mut read = |minutes: i64, is_asked: bool| {
        pair.send(&ToKeyService::Reload(request(now + 60 * minutes, is_asked)));
        pair.loaded()
    };
    for (minutes, is_asked) in [(0, false), (1, false), (2, true), (3, false)] {
        assert_eq!(read(minutes, is_asked), Loaded::Kept(Objection::LacksName), "{minutes}");
    }
    assert!(matches!(read(4, true), Loaded::InUse { .. }));
}
