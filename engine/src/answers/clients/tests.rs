//! What is said of clients, and which rule decides on an address.

use super::*;
use crate::control::MAX_REPLY;
use ipc::message::server::{ClientOrder, ClientsWanted, MAX_WANTED};
use ipc::units::Span;
use serde_json::{Value, json};

fn client(network: [u8; 8], ipv6: bool) -> Client {
    Client {
        ipv6,
        network,
        requests: 1_000,
        dropped: 0,
        is_denied: false,
        is_protected: false,
        is_keyed: false,
        version: 4,
        interval: Some(Span::from_millis(64_000)),
        age: Span::from_millis(12_345),
    }
}

fn list(clients: Vec<Client>) -> ClientList {
    let wanted = ClientsWanted { by: ClientOrder::Requests, most: MAX_WANTED };
    ClientList { wanted, known: clients.len() as u32, room: 8_192, replaced: 3, clients }
}

fn told(clients: Vec<Client>, policy: &ServerPolicy) -> Value {
    serde_json::from_str(&super::clients(Some(&list(clients)), policy)).unwrap()
}

#[test]
fn a_client_asks_too_often_if_it_is_dropped_and_asks_more_than_the_limit_by_itself() {
    let base = client([192, 0, 2, 1, 0, 0, 0, 0], false);
    let often = Span::from_millis(50);
    let all = vec![
        base,
        Client { interval: Some(often), ..base },
        Client { interval: Some(often), dropped: 7, ..base },
        // Dropped with its network, or long ago.
        Client { dropped: 7, ..base },
        Client { interval: Some(often), dropped: 1_000, is_denied: true, ..base },
        Client { interval: None, requests: 1, dropped: 1, ..base },
    ];
    let marks = |policy: &ServerPolicy| {
        let reply = told(all.clone(), policy);
        reply["clients"]
            .as_array()
            .unwrap()
            .iter()
            .map(|client| client["too_often"] == true)
            .collect::<Vec<_>>()
    };
    // At most 16 a second: 62.5 ms.
    assert_eq!(marks(&ServerPolicy::DEFAULT), [false, false, true, false, false, false]);
    let faster = ServerPolicy { address_rate: 20, ..ServerPolicy::DEFAULT };
    assert_eq!(marks(&faster), [false; 6]);
    let unlimited = ServerPolicy { limited: false, ..ServerPolicy::DEFAULT };
    assert_eq!(marks(&unlimited), [false; 6]);
    assert_eq!(told(Vec::new(), &unlimited)["shortest_interval_s"], Value::Null);
    assert_eq!(told(Vec::new(), &ServerPolicy::DEFAULT)["shortest_interval_s"], 0.0625);
}

#[test]
fn clients_have_names_and_what_was_never_measured_is_null() {
    let six = Client { version: 0, interval: None, ..client([0x20, 1, 0xd, 0xb8, 0, 0, 0, 1], true) };
    let reply = told(vec![client([192, 0, 2, 1, 0, 0, 0, 0], false), six], &ServerPolicy::DEFAULT);
    assert_eq!(
        (&reply["configured"], &reply["known"], &reply["room"], &reply["replaced"]),
        (&json!(true), &json!(2), &json!(8_192), &json!(3))
    );
    let expected = json!({
        "address": "192.0.2.1", "requests": 1000, "dropped": 0, "denied": false, "too_often": false,
        "interval_s": 64.0, "last_request_s": 12.345, "authenticated": false, "version": 4, "keyed": false
    });
    assert_eq!(reply["clients"][0], expected);
    let six = &reply["clients"][1];
    assert_eq!(
        (&six["address"], &six["interval_s"], &six["version"]),
        (&json!("2001:db8:0:1::/64"), &Value::Null, &Value::Null)
    );
    let none: Value = serde_json::from_str(&super::clients(None, &ServerPolicy::DEFAULT)).unwrap();
    assert_eq!(
        (&none["configured"], &none["known"], &none["clients"]),
        (&json!(false), &Value::Null, &json!([]))
    );
}

#[test]
fn the_longest_reply_fits_whatever_the_server_says() {
    let worst = Client {
        requests: u64::MAX,
        dropped: u64::MAX,
        interval: Some(Span::MAX),
        age: Span::MAX,
        ..client([0x2f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], true)
    };
    let reply = super::clients(Some(&list(vec![worst; usize::from(MAX_WANTED)])), &ServerPolicy::DEFAULT);
    assert!(reply.len() < MAX_REPLY, "{}", reply.len());
}

/// People and programs rely on them; `ipc/report/tests` has the documents.
#[test]
fn the_replies_on_the_socket_are_those_of_the_golden_documents() {
    let four = Client {
        requests: 4,
        dropped: 3,
        is_protected: true,
        interval: Some(Span::from_millis(50)),
        ..client([192, 0, 2, 1, 0, 0, 0, 0], false)
    };
    let six = Client {
        requests: 1,
        dropped: 1,
        is_denied: true,
        version: 7,
        interval: None,
        age: Span::from_millis(500),
        ..client([0x20, 1, 0xd, 0xb8, 0, 0, 0, 1], true)
    };
    let policy = ServerPolicy { network_rate: 64, ..ServerPolicy::DEFAULT };
    let rules = [rule("192.0.2.0/24", true)];
    for (name, written) in [
        ("clients", super::clients(Some(&list(vec![four, six])), &policy)),
        ("access", access(IpAddr::from([192, 0, 2, 1]), Some(&rules), &policy)),
    ] {
        let place = format!("{}/../ipc/report/tests/{name}.json", env!("CARGO_MANIFEST_DIR"));
        assert_eq!(written + "\n", std::fs::read_to_string(&place).unwrap(), "{name}");
    }
}

fn rule(text: &str, allow: bool) -> Rule {
    let (ip, bits) = text.split_once('/').unwrap();
    let mut prefix = [0; 16];
    match ip.parse().unwrap() {
        IpAddr::V4(v4) => prefix[..4].copy_from_slice(&v4.octets()),
        IpAddr::V6(v6) => prefix = v6.octets(),
    }
    Rule { prefix, bits: bits.parse().unwrap(), ipv6: ip.contains(':'), allow }
}

#[test]
fn the_longest_prefix_decides_and_without_one_an_address_is_denied() {
    let rules = [
        rule("10.0.0.0/8", true),
        rule("10.1.0.0/16", false),
        rule("10.1.2.3/32", true),
        rule("2001:db8::/32", true),
        rule("2001:db8:1::/48", false),
        rule("::ffff:192.0.2.0/120", true),
        rule("203.0.113.0/24", true),
        rule("203.0.113.0/24", false),
    ];
    let decide = |ip: &str, rules: &[Rule]| {
        let reply = access(ip.parse().unwrap(), Some(rules), &ServerPolicy::DEFAULT);
        let reply: Value = serde_json::from_str(&reply).unwrap();
        (reply["allowed"].as_bool().unwrap(), reply["rule"].as_str().unwrap_or("none").to_owned())
    };
    for (ip, allowed, by) in [
        ("10.9.9.9", true, "10.0.0.0/8"),
        ("10.1.2.4", false, "10.1.0.0/16"),
        ("10.1.2.3", true, "10.1.2.3/32"),
        ("::ffff:10.1.2.3", true, "10.1.2.3/32"),
        ("11.0.0.1", false, "none"),
        ("2001:db8::1", true, "2001:db8::/32"),
        ("2001:db8:1::1", false, "2001:db8:1::/48"),
        ("2001:db9::1", false, "none"),
        ("192.0.2.200", true, "::ffff:192.0.2.0/120"),
        ("192.0.3.1", false, "none"),
        ("203.0.113.1", false, "203.0.113.0/24"),
    ] {
        assert_eq!(decide(ip, &rules), (allowed, by.to_owned()), "{ip}");
    }
    let all = [rule("0.0.0.0/0", true)];
    assert_eq!(decide("192.0.2.1", &all), (true, "0.0.0.0/0".to_owned()));
    assert_eq!(decide("::1", &all), (false, "none".to_owned()));
    assert_eq!(decide("192.0.2.1", &[rule("::/0", true)]), (false, "none".to_owned()));
}

#[test]
fn rates_are_said_where_there_are_any() {
    let ask = |rules: Option<&[Rule]>, limited: bool| -> Value {
        let policy = ServerPolicy { limited, network_rate: 64, ..ServerPolicy::DEFAULT };
        serde_json::from_str(&access(IpAddr::from([192, 0, 2, 1]), rules, &policy)).unwrap()
    };
    let rates = |reply: &Value| (reply["address_rate_per_s"].as_u64(), reply["network_rate_per_s"].as_u64());
    assert_eq!(rates(&ask(Some(&[]), true)), (Some(16), Some(64)));
    assert_eq!(rates(&ask(Some(&[]), false)), (None, None));
    let off = ask(None, true);
    assert_eq!(
        (rates(&off), &off["configured"], &off["allowed"]),
        ((None, None), &json!(false), &json!(false))
    );
}
