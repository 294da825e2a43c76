//! `chimerctl server`: what the server answered.

use crate::Failure;
use crate::screen::{Form, Screen};
use crate::text::{counts, json};
use control_socket::{ask, read};
use report::read::ServerReply;
use std::path::Path;

/// Requests the counters of the server.
pub fn show(socket: &Path, form: Form) -> Result<String, Failure> {
    let answer = ask(socket, "server")?;
    Ok(match form {
        Form::Json => json(&answer),
        Form::Text(screen) => page(&read(&answer)?, screen),
    })
}

fn page(reply: &ServerReply, screen: Screen) -> String {
    let meanings = [
        ("received", "datagrams read"),
        ("answered", "replies sent"),
        ("limited", "silent: too many requests from there"),
        ("denied", "silent: denied by the access rules"),
        ("malformed", "silent: not a request"),
        ("control", "silent: mode 6 or 7"),
        ("unsynchronised", "silent: the clock is not synchronised"),
        ("failed", "replies that the kernel refused to send"),
        ("spared", "of the answered: too many, answered all the same"),
        ("interleaved", "of the answered: interleaved"),
        ("kissed", "asked to poll less often (RATE)"),
        ("protected", "of the answered: protected by NTS"),
        ("nak", "told that their cookies cannot be opened (NTS NAK)"),
        ("keyed", "of the answered: authenticated by a symmetric key"),
        ("unauthenticated", "silent: a wrong MAC, or one of an unknown key"),
        ("signed", "of the answered: signed by Samba"),
        ("unsigned", "silent: Samba will not sign for the account"),
        ("unsigned_late", "silent: no signature of Samba in time"),
    ];
    let off = "the server is off: there is no [server] in the configuration, so no client is answered";
    match &reply.server {
        None if reply.configured == Some(true) => "the server runs; it has counted nothing yet\n".to_owned(),
        None => crate::text::said(off, Form::Text(screen)),
        Some(server) => counts(screen, "COUNT", server, &meanings),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn each_count_of_the_golden_document_is_one_line() {
        let answer: Value = serde_json::from_str(include_str!("../../ipc/report/tests/server.json")).unwrap();
        let page = super::page(&read(&answer).unwrap(), Screen::WIDE);
        let counted: u64 = page
            .lines()
            .skip(1)
            .map(|line| line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap())
            .sum();
        assert_eq!((page.lines().count(), counted), (19, (1..=18).sum()), "{page}");
    }

    #[test]
    fn a_server_without_counts_is_said_so() {
        let page = |configured: bool| {
            super::page(
                &ServerReply { configured: Some(configured), server: None, format: None },
                Screen::WIDE,
            )
        };
        assert!(page(false).contains("the server is off"));
        assert!(page(true).contains("it has counted nothing yet"));
        let page = super::page(&read(&json!({ "server": { "answered": 7 } })).unwrap(), Screen::WIDE);
        let line = |name: &str| page.lines().find(|line| line.starts_with(name)).unwrap();
        assert_eq!(line("answered").split_whitespace().nth(1), Some("7"));
        assert_eq!(line("nak").split_whitespace().nth(1), Some("-"), "an older daemon counts no such thing");
    }
}
