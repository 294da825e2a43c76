//! `[roughtime]`.

use super::*;
use ipc::message::exchange::{HostName, KeyServer};

/// Keys of one octet each.
const KEYS: [&str; 4] = [
    "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=",
    "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=",
    "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=",
    "BAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ=",
];

fn server(address: &str, key: &str, operator: &str) -> String {
    format!("[[roughtime.server]]\naddress = \"{address}\"\nkey = \"{key}\"\noperator = \"{operator}\"\n")
}

fn three() -> String {
    let server =
        |(at, key): (usize, &&str)| server(&format!("192.0.2.{at}:2002"), key, &format!("operator {at}"));
    KEYS[..3].iter().enumerate().map(server).collect()
}

fn read_with(text: &str) -> Result<Configuration, ConfigurationError> {
    parse(&format!("[[source]]\naddress = \"192.0.2.1\"\n{text}"), "t.toml")
}

fn fault(text: &str) -> String {
    read_with(text).expect_err("a fault").to_string()
}

#[test]
fn three_servers_of_different_operators_are_read_and_nothing_is_asked_without_them() {
    let none = read_with("").unwrap();
    assert_eq!((none.settings.roughtime, none.plan.exchange), (None, false));
    let named = server("roughtime.example.org", KEYS[3], "fourth") + "draft = true\n";
    let found = read_with(&format!("[roughtime]\ninterval = 600\n{}{named}", three())).unwrap();
    assert!(found.plan.exchange, "rounds are made by the exchange process");
    let roughtime = found.settings.roughtime.unwrap();
    assert_eq!((roughtime.interval, roughtime.servers.len()), (Span::from_secs(600), 4));
    let first = &roughtime.servers[0];
    assert_eq!((first.name.as_str(), first.server.port, first.server.version), ("192.0.2.0:2002", 2002, 1));
    assert_eq!(first.server.public_key, [1; 32]);
    let last = roughtime.servers[3].server;
    let host = KeyServer::Name(HostName::parse("roughtime.example.org").unwrap());
    assert_eq!((last.host, last.port, last.version), (host, 5319, 0x8000_000c));
    assert_eq!(read_with(&three()).unwrap().settings.roughtime.unwrap().interval, Span::from_secs(3_600));
}

#[test]
fn what_is_wrong_with_roughtime_is_said_with_a_remedy() {
    let two: String = three().split_inclusive("operator 1\"\n").take(1).collect();
    for (text, said) in [
        (two, "t.toml:3: [roughtime]: 2 servers, expected 3 to 5 of different operators"),
        ("[roughtime]\n".to_owned(), "0 servers, expected 3 to 5"),
        (three() + &server("192.0.2.9", KEYS[0], "other"), "key: it is that of 192.0.2.0:2002 too"),
        (three() + &server("192.0.2.9", KEYS[3], "Operator 1 "), "operator: 192.0.2.1:2002 has the same"),
        (three() + &server("192.0.2.1:2002", KEYS[3], "other"), "address: it is that of 192.0.2.1:2002 too"),
        (three() + &server("192.0.2.9", KEYS[3], " "), "operator: it is empty; write who runs the server"),
        (three() + &server("192.0.2.9:0", KEYS[3], "other"), "\"192.0.2.9:0\" is at port 0, which is none"),
        (three() + &server("192.0.2.9", "AQE=", "other"), "key: \"AQE=\" is not 32 octets in base64"),
        (three() + &server("fe80::1%eth0", KEYS[3], "other"), "address: an address of one link"),
        (three() + &server("https://x/", KEYS[3], "other"), "address: \"https://x/\" is a URL or path"),
        (three() + "[[roughtime.server]]\n", "[[roughtime.server]]: operator is missing"),
        ("[roughtime]\ninterval = 60\n".to_owned() + &three(), "interval: expected a whole number"),
        (
            "[roughtime]\nservers = \"x\"\n".to_owned(),
            "servers: no such key in [roughtime]; did you mean server?",
        ),
    ] {
        let found = fault(&text);
        assert!(found.contains(said), "{found} lacks {said}");
    }
}
