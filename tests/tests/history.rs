//! The history of minutes, as a real daemon writes it.

use bench::daemon::{Daemon, Setup, source};
use bench::forger::Forger;
use bench::programs::program;
use ipc::history::{BODY, Minute, RECORD, Record, Run, Said, chain, digest};
use ipc::units::Span;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::time::Duration;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// The first note in the audit log comes after a minute.
const TIMEOUT: Duration = Duration::from_secs(180);

/// Each record with the hash that stands in it; each follows from the one before it.
fn records(setup: &Setup) -> Vec<(Record, [u8; 32])> {
    let octets = std::fs::read(setup.place().join("state/engine.history")).expect("the daemon made it");
    let mut before = [0; 32];
    let read = |(octets, sequence): (&[u8], u64)| {
        let octets: &[u8; RECORD] = octets.try_into().expect("whole records");
        let (record, hash) = Record::decode(octets).expect("a record");
        assert_eq!((record.sequence, chain(&before, &octets[..BODY])), (sequence, hash));
        before = hash;
        (record, hash)
    };
    octets.chunks(RECORD).zip(0..).map(read).collect()
}

fn runs(records: &[(Record, [u8; 32])]) -> Vec<&Run> {
    let run = |(record, _): &'_ (Record, [u8; 32])| matches!(record.said, Said::Run(_));
    let runs = records.iter().filter(|it| run(it));
    runs.filter_map(|(record, _)| if let Said::Run(run) = &record.said { Some(run) } else { None }).collect()
}

fn minutes(records: &[(Record, [u8; 32])]) -> Vec<Minute> {
    let minute = |(record, _): &(Record, [u8; 32])| match record.said {
        Said::Minute(minute) => Some(minute),
        _ => None,
    };
    records.iter().filter_map(minute).collect()
}

/// Records and hash of the last line of the audit log that says where the history ends.
fn noted(daemon: &Daemon) -> Option<(u64, String)> {
    let log = daemon.setup().audit_log();
    let line = log.lines().rfind(|line| line.contains(" event=history "))?.to_owned();
    let word = |key: &str| line.split(' ').find_map(|word| word.strip_prefix(key)).map(str::to_owned);
    Some((word("records=")?.parse().ok()?, word("hash=")?))
}

#[test]
fn what_was_true_in_each_minute_is_written_and_the_audit_log_has_its_end() {
    let forger = Forger::honest(HERE, 5_000_000);
    let setup = Setup::new("history", &source(forger.address())).with_virtual_clock(0, 0.0);
    let mut daemon = setup.start();
    daemon.wait_until("noted in the audit log", TIMEOUT, |daemon| noted(daemon).is_some());
    let (count, hash) = noted(&daemon).expect("it was there");
    let written = records(&setup);
    let last = usize::try_from(count).expect("few") - 1;
    assert_eq!(ipc::text::Hex(&written[last].1).to_string(), hash);
    let file = setup.place().join("truechimer.toml");
    let text = std::fs::read_to_string(&file).expect("ours");
    assert_eq!(
        runs(&written).iter().map(|run| run.configuration).collect::<Vec<_>>(),
        [digest([text.as_str()])]
    );
    let name = written.iter().find_map(|(record, _)| match &record.said {
        Said::Source(source) => Some(source.text.clone()),
        _ => None,
    });
    assert_eq!(name, Some(format!("{0} {0}", forger.address())));
    let first = minutes(&written)[0];
    assert!((59_000..=61_000).contains(&first.length_ms), "{first:?}");
    assert!(
        first.offset.is_some() && !first.gap && !first.synchronised,
        "it began unsynchronised: {first:?}"
    );
    assert!((first.used, first.used_authenticated, first.falsetickers) == (1, 0, 0), "{first:?}");
    is_verified(&daemon);
    // What nobody can foresee loses the minute that is not over.
    daemon.signal(daemon.process("engine").pid, Signal::SIGKILL);
    daemon.wait_for_end(TIMEOUT);
    let daemon = setup.start();
    daemon.wait_until_synchronised(TIMEOUT);
    let changed = text + "\n# another line\n";
    setup.configure(&changed);
    assert!(daemon.chimerctl(&["reload"]).status.success());
    let configured = |setup: &Setup| {
        let last = records(setup).into_iter().rev().find_map(|(record, _)| match record.said {
            Said::Configuration { configuration } => Some(configuration),
            _ => None,
        });
        last == Some(digest([changed.as_str()]))
    };
    daemon.wait_until("the new configuration", TIMEOUT, |_| configured(&setup));
    is_verified(&daemon);
    assert_eq!(daemon.stop().code, Some(0));
    let written = records(&setup);
    assert_eq!(runs(&written).iter().map(|run| run.torn).collect::<Vec<_>>(), [0, 0]);
    assert_eq!(written.iter().filter(|(record, _)| record.said == Said::Ended).count(), 1);
    assert_eq!(written.last().map(|(record, _)| &record.said), Some(&Said::Ended));
    let last = minutes(&written).pop().expect("one");
    assert!(last.length_ms < 61_000, "{last:?}");

    // A copy of it elsewhere, in which the time of a minute that the audit log names is another one, with all behind computed anew.
    let (copies, mut forged) = (setup.place().join("copies"), Vec::new());
    std::fs::create_dir_all(&copies).expect("ours");
    for name in ["audit.log", "governor"] {
        std::fs::copy(setup.place().join("state").join(name), copies.join(name)).expect("ours");
    }
    let mut before = [0; 32];
    for (record, _) in &written {
        let wall =
            if record.sequence == count - 1 { record.wall.after(Span::from_secs(1)) } else { record.wall };
        let (octets, hash) = Record { wall, ..record.clone() }.encode(&before);
        forged.extend(octets);
        before = hash;
    }
    std::fs::write(copies.join("engine.history"), forged).expect("ours");
    let verified = Command::new(program("chimerctl"))
        .args(["audit", "--verify", "--file"])
        .arg(copies.join("audit.log"))
        .output()
        .expect("it can be executed");
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    let last = count - 1;
    assert_eq!(verified.status.code(), Some(1), "{verified:?}");
    assert!(said.contains(&format!("history: record {last} is not the one that record ")), "{said}");
}

/// What the daemon has written is in order while it runs, and shown.
fn is_verified(daemon: &Daemon) {
    let verified = daemon.chimerctl(&["audit", "--verify"]);
    let said = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert!(verified.status.success(), "{verified:?}");
    assert!(said.contains("the history is in order: record") && !said.contains("power cut"), "{said}");
    assert!(
        said.contains("  its end, by the governor's record: ") && said.contains("  its end, by record "),
        "{said}"
    );
    let shown = daemon.chimerctl(&["history", "--minutes"]);
    let said = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(
        shown.status.success() && said.contains("start of version ") && said.starts_with("BEGIN "),
        "{shown:?}"
    );
    // Nothing is known of most of an hour, and nothing that is known is wrong.
    let shown = daemon.chimerctl(&["evidence", "--rule", "csbr", "--from", "1h", "--to", "0h", "--json"]);
    let document: Value = serde_json::from_slice(&shown.stdout).expect("one document");
    let out = (shown.status.code(), document["verdict"].as_str(), document["history"]["chain"].as_str());
    assert_eq!(out, (Some(1), Some("not_shown"), Some("whole")), "{document:#}");
    assert!(document["minutes"].as_u64() > Some(0) && document["host"].is_string(), "{document:#}");
    let ends = document["audit"]["ends"].to_string();
    assert!(ends.contains("of the audit log: it had "), "{ends}");
}

#[test]
fn none_is_written_where_none_is_wanted() {
    let forger = Forger::honest(HERE, 0);
    let text = source(forger.address()) + "\n[history]\ndays = 0\n";
    let setup = Setup::new("no-history", &text).with_virtual_clock(0, 0.0);
    let daemon = setup.start();
    daemon.wait_until_synchronised(TIMEOUT);
    assert_eq!(daemon.stop().code, Some(0));
    assert_eq!(records(&setup).len(), 0);
}
