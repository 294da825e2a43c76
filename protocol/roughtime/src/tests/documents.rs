//! Lists and reports.

use super::NOW;
use crate::double::{Answer, Server};
use crate::{ListFault, Listed, MAX_LIST, Version, next_nonce, read_list, report, request};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ipc::anchor::Exchange;
use ipc::message::exchange::{HostName, KeyServer};
use serde_json::{Value, json};
use std::format;
use std::string::ToString;
use std::vec::Vec;

fn server(name: &str, key: u8, address: &str) -> Value {
    json!({
        "name": name,
        "version": 1,
        "publicKeyType": "ed25519",
        "publicKey": STANDARD.encode([key; 32]),
        "addresses": [
            { "protocol": "tcp", "address": "203.0.113.9:1" },
            { "protocol": "udp", "address": address },
        ],
        "comment": "an extension",
    })
}

fn read(servers: Value) -> Result<Vec<Listed>, ListFault> {
    read_list(json!({ "servers": servers, "sources": ["https://example.org/"] }).to_string().as_bytes())
}

#[test]
fn a_list_of_the_ecosystem_is_read() {
    let mut other = server("another key", 4, "192.0.2.1:2002");
    other["publicKeyType"] = "ml-dsa".into();
    let mut tcp = server("no udp", 5, "192.0.2.1:2002");
    tcp["addresses"] = json!([{ "protocol": "tcp", "address": "192.0.2.1:2002" }]);
    let list = read(json!([
        server("one", 1, "roughtime.example.org:5319"),
        other,
        server("two", 2, "192.0.2.1:2002"),
        tcp,
        server("three", 3, "[2001:db8::1]:2002"),
    ]));
    let list = list.unwrap();
    let name = HostName::parse("roughtime.example.org").unwrap();
    let hosts: Vec<_> = list.iter().map(|server| (server.host, server.port, server.public_key[0])).collect();
    let address = |text: &str| KeyServer::Address(text.parse::<core::net::SocketAddr>().unwrap().into());
    assert_eq!(
        hosts,
        [
            (KeyServer::Name(name), 5319, 1),
            (address("192.0.2.1:2002"), 2002, 2),
            (address("[2001:db8::1]:2002"), 2002, 3),
        ]
    );
    assert_eq!((list[0].name.as_str(), list[0].version), ("one", 1));
}

#[test]
fn what_is_wrong_with_a_list_is_said_of_whom_it_is_wrong() {
    for address in [
        "192.0.2.1",
        "192.0.2.1:0",
        "192.0.2.1:66000",
        "2001:db8::1:2002",
        "192.0.2.256:7",
        "-a.example:7",
        "[fe80::1%1]:7",
        "224.0.0.1:7",
        ":7",
        "a b:7",
        "example.org.:x",
    ] {
        assert_eq!(
            read(json!([server("bad", 1, address)])),
            Err(ListFault::Address("bad".into(), address.into())),
        );
    }
    let mut short = server("short", 1, "192.0.2.1:7");
    short["publicKey"] = STANDARD.encode([1; 31]).into();
    assert_eq!(read(json!([short])), Err(ListFault::Key("short".into())));
    let twins = json!([server("one", 1, "192.0.2.1:7"), server("other", 1, "192.0.2.2:7")]);
    assert_eq!(read(twins), Err(ListFault::Twice("one".into(), "other".into())));
    for name in ["", "a\nb", &"x".repeat(65)] {
        let servers = json!([server("good", 1, "192.0.2.1:7"), server(name, 2, "192.0.2.2:7")]);
        assert_eq!(read(servers), Err(ListFault::Name(2)));
    }
    assert_eq!(read(json!([])), Err(ListFault::NoServer));
    let many: Vec<Value> = (0..65).map(|at| server(&format!("s{at}"), at, "192.0.2.1:7")).collect();
    assert_eq!(read(json!(many[..64])).unwrap().len(), 64);
    assert_eq!(read(json!(many)), Err(ListFault::TooMany));
    let mut scattered = server("scattered", 1, "192.0.2.1:7");
    scattered["addresses"] = json!(std::vec![json!({ "protocol": "tcp", "address": "x" }); 17]);
    assert_eq!(read(json!([scattered])), Err(ListFault::TooMany));
    assert_eq!(read_list(&std::vec![b' '; MAX_LIST + 1]), Err(ListFault::TooLong));
    for text in ["", "{}", "[]", "{\"servers\":[{}]}", "{\"servers\":[1]}", &"[".repeat(60_000)] {
        assert!(matches!(read_list(text.as_bytes()), Err(ListFault::Form(_))), "{text:.20}");
    }
}

#[test]
fn a_report_has_all_that_is_needed_to_verify_it() {
    let first = [7; 32];
    let (one, other) = (Server::new(1), Server::new(2));
    let answer = Answer::of(NOW, Version::One);
    let response = one.answer(&first, &answer);
    let second = next_nonce(&response, &[8; 32]);
    let exchanges = [
        Exchange { public_key: one.public_key(), rand: [0; 32], version: 1, response },
        Exchange {
            public_key: other.public_key(),
            rand: [8; 32],
            version: 1,
            response: other.answer(&second, &answer),
        },
    ];
    let document: Value = serde_json::from_str(&report(&first, &exchanges)).unwrap();
    let octets = |value: &Value| STANDARD.decode(value.as_str().unwrap()).unwrap();
    let entries = document["responses"].as_array().unwrap();
    assert_eq!((document.as_object().unwrap().len(), entries.len()), (1, 2));
    for ((entry, exchange), nonce) in entries.iter().zip(&exchanges).zip([first, second]) {
        assert_eq!(octets(&entry["publicKey"]), exchange.public_key);
        assert_eq!(octets(&entry["response"]), exchange.response);
        assert_eq!(octets(&entry["request"]), request(&nonce, &exchange.public_key, Version::One));
    }
    assert!(entries[0].get("rand").is_none());
    assert_eq!(octets(&entries[1]["rand"]), [8; 32]);
}
