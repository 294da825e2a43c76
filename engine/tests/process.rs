//! The engine process with doubles at the other ends of its links: this test plays the privileged process
//! and the network roles, over real socket pairs, with a virtual clock in a file.

mod process {
    pub mod bench;
}

use ipc::message::Shortfall;
use ipc::message::client::{FromClient, ToClient};
use ipc::message::exchange::FromExchange;
use ipc::message::privileged::{Farewell, Profile, ToPrivileged};
use ipc::message::server::{Counters, FromServer, ServerPolicy, ToServer};
use nix::unistd::write;
use process::bench::{Bench, Start};
use std::time::{Duration, Instant};

const SOURCE: &str = "[[source]]\naddress = \"192.0.2.1\"\nmin-poll = 4\n";
const HELLO: FromClient = FromClient::Hello(Shortfall::NONE);

fn counted(received: u64) -> FromServer {
    let none = Counters { received, ..Counters::ZERO };
    FromServer::Counters(none)
}

#[test]
fn from_the_plan_to_the_first_adjust() {
    let mut bench = Bench::start("adjust", SOURCE, Start::default());
    let plan = bench.expect_plan();
    assert_eq!((plan.listen_count, plan.profile, plan.exchange), (0, Profile::Standard, false));
    bench.client.send(&HELLO).unwrap();
    assert_eq!(bench.expect_privileged(), ToPrivileged::Hello);
    bench.welcome();
    let adjust = bench.answer_queries_until(Duration::from_secs(20), |order| match order {
        ToPrivileged::Adjust(adjust) => Some(*adjust),
        _ => None,
    });
    assert_eq!(adjust.epoch, 1);
    let (log, code) = bench.stop();
    assert!(log.contains("truechimer-engine: truechimer 0.1.0 started: 1 source, serving nobody"), "{log}");
    assert!(log.contains("truechimerd has ended"), "{log}");
    assert_eq!(code, Some(71));
}

#[test]
fn the_same_under_the_real_confinement() {
    let mut bench = Bench::start("confined", SOURCE, Start { confined: true, ..Start::default() });
    bench.expect_plan();
    bench.client.send(&HELLO).unwrap();
    assert_eq!(bench.expect_privileged(), ToPrivileged::Hello);
    bench.welcome();
    bench.answer_queries_until(Duration::from_secs(20), |order| match order {
        ToPrivileged::Adjust(adjust) => Some(*adjust),
        _ => None,
    });
    assert!(bench.ask("status")["report"]["state"].is_string());
    assert!(bench.ask("nonsense")["error"].is_string());
    let status = bench.kernel_status();
    assert!(status.contains("Seccomp:\t2\n") && status.contains("CapEff:\t0000000000000000\n"), "{status}");
    let (log, code) = bench.stop();
    assert!(log.contains("truechimerd has ended"), "{log}");
    assert_eq!(code, Some(71));
}

#[test]
fn the_log_goes_to_the_syslog_socket_where_one_is_given() {
    let start = Start { confined: true, syslog: true, ..Start::default() };
    let mut bench = Bench::start("syslog", SOURCE, start);
    bench.expect_plan();
    bench.client.send(&HELLO).unwrap();
    bench.expect_privileged();
    bench.welcome();
    let mut line = [0; 1000];
    bench.syslog.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let length = bench.syslog.recv(&mut line).unwrap();
    let line = String::from_utf8_lossy(&line[..length]).into_owned();
    // Facility daemon (3), severity notice (5).
    assert!(line.starts_with("<29>") && line.contains(" truechimer-engine["), "{line}");
    assert!(line.contains("]: truechimer 0.1.0 started: 1 source"), "{line}");
    assert_eq!(bench.stop().0, "", "nothing on standard error");
}

#[test]
fn a096_a_malformed_record_of_the_client_ends_the_daemon_within_100_ms() {
    let mut bench = Bench::started("malformed", SOURCE);
    write(&bench.client, b"not a record").unwrap();
    let start = Instant::now();
    assert_eq!(bench.expect_goodbye(), Farewell::Client);
    assert!(start.elapsed() < Duration::from_millis(100), "{:?}", start.elapsed());
    let (log, code) = bench.stop();
    assert!(log.contains("the client process broke the protocol: record of another version"), "{log}");
    assert_eq!(code, Some(71));
}

#[test]
fn a110_a_client_that_exits_ends_the_daemon() {
    let mut bench = Bench::started("exits", SOURCE);
    bench.close_client();
    assert_eq!(bench.expect_goodbye(), Farewell::Client);
    assert!(bench.stop().0.contains("the client process is gone; the daemon ends"));
}

#[test]
fn a099_a_reply_to_a_query_that_was_never_sent_ends_the_daemon() {
    let mut bench = Bench::started("unknown", SOURCE);
    bench.unknown_reply();
    assert_eq!(bench.expect_goodbye(), Farewell::Client);
}

#[test]
fn a_client_that_never_says_hello_is_given_up_after_five_seconds() {
    let mut bench = Bench::start("silent", SOURCE, Start::default());
    bench.expect_plan();
    assert_eq!(bench.expect_goodbye(), Farewell::Client);
    assert!(bench.stop().0.contains("the client process did not say hello within 5 s"));
}

#[test]
fn the_server_role_and_the_exchange_role_are_awaited_where_the_plan_asks_for_them() {
    let config = "[[source]]\naddress = \"ntp.example.org\"\n\
        [server]\nlisten = [\"127.0.0.1:11123\"]\nallow = [\"127.0.0.0/8\"]\n";
    let mut bench = Bench::start("roles", config, Start::default());
    let plan = bench.expect_plan();
    assert_eq!((plan.listen_count, plan.listen[0].port(), plan.exchange), (1, 11123, true));
    bench.client.send(&HELLO).unwrap();
    bench.server.send(&FromServer::Hello(Shortfall::NONE)).unwrap();
    // Somebody may ask the server before the launch is over.
    bench.server.send(&counted(1)).unwrap();
    bench.exchange.send(&FromExchange::Hello(Shortfall::NONE)).unwrap();
    assert_eq!(bench.expect_privileged(), ToPrivileged::Hello);
    bench.server.send(&counted(2)).unwrap();
    assert_eq!(bench.expect_server(), ToServer::Policy(ServerPolicy::DEFAULT));
    match bench.expect_server() {
        ToServer::Access(access) => assert_eq!((access.count, access.rules[0].bits), (1, 8)),
        other => panic!("{other:?}"),
    }
    bench.welcome();
    assert_eq!(bench.ask("server")["server"]["received"], 2);
    bench.close_exchange();
    assert_eq!(bench.expect_goodbye(), Farewell::Exchange);
}

#[test]
fn a_configuration_with_a_fault_is_code_78_and_a_line_for_a_person() {
    let bench = Bench::start("fault", "[[source]]\nadress = \"a\"\n", Start::default());
    let (log, code) = bench.wait();
    assert_eq!(code, Some(78));
    assert!(log.starts_with("fault.toml:2: "), "{log}");
    assert!(log.contains("did you mean address?"), "{log}");
}

#[test]
fn a_file_is_checked_without_a_start() {
    let good = Bench::start("checked", SOURCE, Start { check: true, ..Start::default() });
    assert_eq!(good.wait(), ("configuration is in order\n".to_owned(), Some(0)));
    let bad = Bench::start("checked-bad", "", Start { check: true, ..Start::default() });
    let (log, code) = bad.wait();
    assert_eq!(code, Some(78));
    assert!(log.contains("says nothing"), "{log}");
}

#[test]
fn the_control_socket_answers_while_the_engine_runs() {
    let bench = Bench::started("control", SOURCE);
    let status = bench.ask("status");
    assert_eq!(status["clock"], "virtual");
    assert_eq!(status["processes"][0]["name"], "privileged");
    assert_eq!(status["shortfalls"]["client"], serde_json::json!([]));
    assert!(status["report"]["state"].is_string(), "{status}");
    assert_eq!(bench.ask("sources")["sources"][0]["name"], "192.0.2.1");
    assert_eq!(bench.ask("server")["server"], serde_json::Value::Null);
    assert_eq!(bench.ask("burst")["done"], true);
    assert!(bench.ask("reboot")["error"].is_string());
}

#[test]
fn a148_a_state_file_of_garbage_is_ignored_with_a_line() {
    let start = Start { state: b"frequency 1e308\n".to_vec(), ..Start::default() };
    let mut bench = Bench::start("garbage", SOURCE, start);
    bench.expect_plan();
    bench.client.send(&HELLO).unwrap();
    bench.expect_privileged();
    bench.welcome();
    assert!(matches!(bench.expect_client(), ToClient::Query(_)));
    assert!(bench.stop().0.contains("the state file is ignored"));
}

#[test]
fn an_idle_engine_beats_every_seventy_seconds_and_rarely_wakes() {
    // No query, no order: what is left is the heartbeat.
    let config = "[server]\nlisten = [\"127.0.0.1:11124\"]\nallow = []\nlocal-stratum = 10\n";
    let mut bench = Bench::start("idle", config, Start::default());
    bench.expect_plan();
    bench.client.send(&HELLO).unwrap();
    bench.server.send(&FromServer::Hello(Shortfall::NONE)).unwrap();
    bench.expect_privileged();
    bench.welcome();
    let before = bench.wake_ups();
    let start = Instant::now();
    let mut beats = 0;
    while start.elapsed() < Duration::from_secs(72) {
        if bench.poll_privileged(Duration::from_secs(73).saturating_sub(start.elapsed()))
            == Some(ToPrivileged::Heartbeat)
        {
            beats += 1;
        }
    }
    assert_eq!(beats, 1, "in 72 s");
    let wake_ups = bench.wake_ups() - before;
    assert!(wake_ups <= 5, "{wake_ups} in 72 s");
}
