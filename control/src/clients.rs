//! `chimerctl clients`: who asks the server how often; `chimerctl access`: whom it answers.

use crate::Failure;
use crate::screen::{Form, Screen};
use crate::text::{UNKNOWN, json, length, plain, said, table};
use command_line::{ClientsArguments, word};
use control_socket::read;
use report::read::{AccessReply, ClientReport, ClientsReply};
use std::net::IpAddr;
use std::path::Path;

/// What is said where no server is configured.
const OFF: &str = "the server is off: there is no [server] in the configuration, so no client is answered";

/// Requests the first clients in the order that is asked for.
pub fn list(socket: &Path, asked: &ClientsArguments, form: Form) -> Result<String, Failure> {
    let by = word(&asked.sort);
    let answer = control_socket::clients(socket, &by, asked.limit)?;
    Ok(match form {
        Form::Json => json(&answer),
        Form::Text(screen) => page(&read(&answer)?, &by, screen),
    })
}

fn page(reply: &ClientsReply, by: &str, screen: Screen) -> String {
    let sentence = |text: &str| said(text, Form::Text(screen));
    if reply.configured != Some(true) {
        return sentence(OFF);
    }
    let clients = reply.clients.as_deref().unwrap_or_default();
    if clients.is_empty() {
        return sentence("no client has asked this server since its start");
    }
    let known = reply.known.unwrap_or(0);
    let (is, all) = if known == 1 { ("client is", "it") } else { ("clients are", "all of them") };
    let room = plain(reply.room.as_ref());
    let replaced = match reply.replaced {
        None | Some(0) => "none was replaced by a later one".to_owned(),
        Some(1) => "once a later one has taken the place of an older one".to_owned(),
        Some(times) => format!("{times} times a later one has taken the place of an older one"),
    };
    let shown = match clients.len() {
        count if count as u64 >= u64::from(known) => format!("{all}, by {by}"),
        count => format!("the first {count} by {by}"),
    };
    let mut text = sentence(&format!("{known} {is} known, of at most {room}; {replaced}"));
    text.push_str(&sentence(&format!("shown: {shown}")));
    let head = ["CLIENT", "REQUESTS", "DROPPED", "INTERVAL", "LAST", "NTP", "NOTE"];
    text.push_str(&table(screen, &head, &clients.iter().map(row).collect::<Vec<_>>()));
    if let Some(limit) = reply.shortest_interval_s
        && clients.iter().any(|client| client.too_often == Some(true))
    {
        text.push_str(&sentence(&format!(
            "too often: requests were dropped, and of late less than {} (address-rate) is between two",
            interval(Some(limit))
        )));
    }
    text
}

fn row(client: &ClientReport) -> Vec<String> {
    let note = match (client.denied, client.too_often) {
        (Some(true), _) => "denied",
        (_, Some(true)) => "too often",
        _ => "",
    };
    let version = plain(client.version.as_ref());
    vec![
        plain(client.address.as_ref()),
        plain(client.requests.as_ref()),
        plain(client.dropped.as_ref()),
        interval(client.interval_s),
        length(client.last_request_s),
        match (client.authenticated, client.keyed) {
            (Some(true), _) => format!("{version} NTS"),
            (_, Some(true)) => format!("{version} SK"),
            _ => version,
        },
        note.to_owned(),
    ]
}

/// Two or three digits with a fitting unit; `-` if unknown.
fn interval(value: Option<f64>) -> String {
    match value.filter(|seconds| seconds.is_finite()) {
        None => UNKNOWN.to_owned(),
        Some(seconds) if seconds < 0.01 => format!("{:.2} ms", seconds * 1e3),
        Some(seconds) if seconds < 0.1 => format!("{:.1} ms", seconds * 1e3),
        Some(seconds) if seconds < 1.0 => format!("{:.0} ms", seconds * 1e3),
        Some(seconds) if seconds < 10.0 => format!("{seconds:.1} s"),
        seconds => length(seconds),
    }
}

/// Asks whether this address is answered.
pub fn access(socket: &Path, address: IpAddr, form: Form) -> Result<String, Failure> {
    let answer = control_socket::access(socket, address)?;
    Ok(match form {
        Form::Json => json(&answer),
        Form::Text(_) => said(&verdict(&read(&answer)?), form),
    })
}

/// Whether no packet comes from this address, whatever the rules say.
fn is_nobodys(address: IpAddr) -> bool {
    let address = address.to_canonical();
    let is_broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    is_broadcast || address.is_multicast() || address.is_unspecified()
}

fn verdict(reply: &AccessReply) -> String {
    if reply.configured != Some(true) {
        return OFF.to_owned();
    }
    let address = plain(reply.address.as_ref());
    if address.parse().is_ok_and(is_nobodys) {
        return format!("{address} is never answered: no client can have this address");
    }
    match (reply.allowed == Some(true), &reply.rule) {
        (false, Some(rule)) => format!("{address} is denied, by deny = {rule}"),
        (false, None) => format!("{address} is denied: no network of allow has it"),
        (true, rule) => {
            let limits = match (reply.address_rate_per_s, reply.network_rate_per_s) {
                (Some(own), Some(network)) => {
                    let of = if address.contains(':') { ("/64", "/48") } else { ("address", "/24") };
                    format!(
                        "at most {own} answers a second in the long run to its {}, and {network} to its {}",
                        of.0, of.1
                    )
                }
                _ => "without a rate limit".to_owned(),
            };
            format!("{address} is allowed, by allow = {}; {limits}", plain(rule.as_ref()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use report::read::ClientReport;

    fn client(address: &str) -> ClientReport {
        ClientReport {
            address: Some(address.to_owned()),
            requests: Some(99_999_999),
            dropped: Some(9_999_999),
            denied: Some(false),
            too_often: Some(false),
            interval_s: Some(0.0512),
            last_request_s: Some(119.0),
            authenticated: Some(true),
            version: Some(4),
            keyed: Some(false),
        }
    }

    fn reply(clients: Vec<ClientReport>) -> ClientsReply {
        ClientsReply {
            configured: Some(true),
            known: Some(400),
            room: Some(8_192),
            replaced: Some(0),
            shortest_interval_s: Some(0.0625),
            clients: Some(clients),
            format: None,
        }
    }

    #[test]
    fn a_glance_shows_who_asks_too_often_within_eighty_columns() {
        let screen = Screen { width: 80, is_utf8: true };
        let often = ClientReport { too_often: Some(true), ..client("2001:db8:1234:5678::/64") };
        let never = ClientReport { interval_s: None, version: None, ..client("192.0.2.1") };
        let denied = ClientReport { denied: Some(true), authenticated: Some(false), ..client("192.0.2.2") };
        let page = page(&reply(vec![often, never, denied]), "dropped", screen);
        let expected = "\
400 clients are known, of at most 8192; none was replaced by a later one
shown: the first 3 by dropped
CLIENT                   REQUESTS  DROPPED  INTERVAL  LAST   NTP    NOTE
2001:db8:1234:5678::/64  99999999  9999999  51.2 ms   119 s  4 NTS  too often
192.0.2.1                99999999  9999999  -         119 s  - NTS
192.0.2.2                99999999  9999999  51.2 ms   119 s  4      denied
too often: requests were dropped, and of late less than 62.5 ms (address-rate)
is between two
";
        assert_eq!(page, expected);
        assert!(page.lines().all(|line| line.chars().count() <= 80));
    }

    #[test]
    fn a_server_that_is_off_or_unasked_is_said_so_and_replaced_clients_too() {
        let text = |reply: &ClientsReply| page(reply, "last", Screen::WIDE);
        assert!(
            text(&ClientsReply { configured: Some(false), ..reply(Vec::new()) })
                .contains("the server is off")
        );
        assert!(text(&reply(Vec::new())).contains("no client has asked"));
        let one = ClientsReply { known: Some(1), replaced: Some(1_203), ..reply(vec![client("192.0.2.1")]) };
        let said = "1 client is known, of at most 8192; 1203 times a later one has taken the place of an older one\n\
            shown: it, by last\n";
        assert!(text(&one).starts_with(said), "{}", text(&one));
    }

    #[test]
    fn intervals_have_few_digits() {
        for (seconds, text) in [
            (0.000_062, "0.06 ms"),
            (0.0625, "62.5 ms"),
            (0.25, "250 ms"),
            (1.04, "1.0 s"),
            (64.2, "64 s"),
            (1_024.0, "17 min"),
        ] {
            assert_eq!(interval(Some(seconds)), text);
        }
        assert_eq!(interval(None), "-");
    }

    #[test]
    fn an_address_is_allowed_or_denied_by_a_rule_that_is_named() {
        let of = |allowed: bool, rule: Option<&str>, rate: Option<u32>| AccessReply {
            configured: Some(true),
            address: Some("192.0.2.1".to_owned()),
            allowed: Some(allowed),
            rule: rule.map(str::to_owned),
            address_rate_per_s: rate,
            network_rate_per_s: rate.map(|rate| 4 * rate),
            format: None,
        };
        for (reply, said) in [
            (
                of(true, Some("192.0.2.0/24"), Some(16)),
                "192.0.2.1 is allowed, by allow = 192.0.2.0/24; at most 16 answers a second in the long run to its address, \
                 and 64 to its /24",
            ),
            (
                of(true, Some("0.0.0.0/0"), None),
                "192.0.2.1 is allowed, by allow = 0.0.0.0/0; without a rate limit",
            ),
            (of(false, Some("192.0.2.0/24"), Some(16)), "192.0.2.1 is denied, by deny = 192.0.2.0/24"),
            (of(false, None, Some(16)), "192.0.2.1 is denied: no network of allow has it"),
            (AccessReply { configured: Some(false), ..of(false, None, None) }, OFF),
        ] {
            assert_eq!(verdict(&reply), said);
        }
    }
}
