//! Which certificate replaces another at a reload.

mod support;

use bench::authority::{DAY, Order};
use bench::key_client::exchange;
use bench::key_pair::KeyPair;
use ipc::message::key_service::{KeyPolicy, Loaded, Objection, Request, ToKeyService};
use ipc::units::WallTime;
use support::{Setting, plan};

/// A request at this second since 1970.
fn request(seconds: i64, drops_names: bool) -> Request {
    Request { now: WallTime::saturating(seconds * 1_000_000_000), drops_names }
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
        pair.send(&ToKeyService::Reload(request(now, false)));
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
    let address = pair.addresses[0];
    assert!(
        exchange(address, "localhost", &setting.authority.client_config(), &[15]).is_ok(),
        "the one before is in use, with its key"
    );
    pair.send(&ToKeyService::Reload(request(now + 1, true)));
    assert!(matches!(pair.loaded(), Loaded::InUse { .. }), "an administrator says that the name may go");
    assert!(exchange(address, "localhost", &setting.authority.client_config(), &[15]).is_ok());
}

/// A hook asks for each certificate that was renewed, of whichever program.
#[test]
fn however_often_a_reload_is_asked_for_it_is_no_word_that_a_name_may_go() {
    let setting = Setting::new();
    let mut pair = KeyPair::start(&plan(&setting, 1, false));
    assert!(matches!(pair.loaded(), Loaded::InUse { .. }));
    let identity = setting.authority.issue_as(&Order::new(&["b.example"]));
    setting.write(&setting.chain, identity.chain_pem.as_bytes());
    setting.write(&setting.key, identity.key_pem.as_bytes());
    let now = bench::authority::now();
    for seconds in [0, 0, 1, 60, 600] {
        pair.send(&ToKeyService::Reload(request(now + seconds, false)));
        assert_eq!(pair.loaded(), Loaded::Kept(Objection::LacksName), "after {seconds} s");
    }
    pair.send(&ToKeyService::Reload(request(now, true)));
    assert!(matches!(pair.loaded(), Loaded::InUse { .. }));
}

#[test]
fn the_word_that_a_name_may_go_is_of_one_reload_and_of_no_other_fault() {
    let setting = Setting::new();
    let mut pair = KeyPair::start(&plan(&setting, 1, false));
    assert!(matches!(pair.loaded(), Loaded::InUse { .. }));
    let now = bench::authority::now();
    let mut reload = |name: &str, until: i64, drops_names: bool| {
        let period = bench::authority::Period { from: now - 2 * DAY, until: now + until };
        let identity = setting.authority.issue_as(&Order { period, ..Order::new(&[name]) });
        setting.write(&setting.chain, identity.chain_pem.as_bytes());
        setting.write(&setting.key, identity.key_pem.as_bytes());
        pair.send(&ToKeyService::Reload(request(now, drops_names)));
        pair.loaded()
    };
    assert_eq!(reload("localhost", -DAY, true), Loaded::Kept(Objection::Expired));
    assert_eq!(
        reload("b.example", DAY, false),
        Loaded::Kept(Objection::LacksName),
        "it was of the one before"
    );
    assert!(matches!(reload("b.example", DAY, true), Loaded::InUse { .. }));
    assert_eq!(reload("c.example", DAY, false), Loaded::Kept(Objection::LacksName));
}
