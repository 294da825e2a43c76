//! The engine process with doubles at the other ends of its links: this test plays the privileged process
//! and the network roles, over real socket pairs, with a virtual clock in a file.

mod process {
    pub mod bench;
    pub mod nts;
    mod reload;
    pub mod start;
}

use ipc::message::Shortfall;
use ipc::message::client::{FromClient, ToClient};
use ipc::message::exchange::{Exchange, FromExchange, KeyServer, ToExchange};
use ipc::message::key_service::{FromKeyService, KeyCounters, KeyPolicy, Loaded, ToKeyService};
use ipc::message::privileged::{Profile, ToPrivileged};
use ipc::message::server::{CookieKeys, Counters, FromServer, ServerPolicy, ToServer};
use ipc::process::{Parting, Process};
use nix::unistd::write;
use process::bench::{Bench, Start};
use process::nts;
use std::path::PathBuf;
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
    assert_eq!((plan.listen.len(), plan.profile, plan.exchange), (0, Profile::Standard, false));
    bench.client.send(&HELLO).unwrap();
    bench.expect_hello();
    bench.welcome();
    let adjust = bench.answer_queries_until(Duration::from_secs(20), |order| match order {
        ToPrivileged::Adjust(adjust) => Some(*adjust),
        _ => None,
    });
    assert_eq!(adjust.epoch, 1);
    let (log, code) = bench.stop();
    assert!(
        log.contains("truechimer-engine: truechimer 0.1.0 started: 1 source, serving no clients"),
        "{log}"
    );
    assert!(log.contains("truechimerd has ended"), "{log}");
    assert_eq!(code, Some(81));
}

#[test]
fn the_same_under_the_real_confinement() {
    let mut bench = Bench::start("confined", SOURCE, Start { confined: true, ..Start::default() });
    bench.expect_plan();
    bench.client.send(&HELLO).unwrap();
    bench.expect_hello();
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
    assert_eq!(code, Some(81));
}

#[test]
fn the_log_goes_to_the_syslog_socket_where_one_is_given() {
    let start = Start { confined: true, syslog: true, ..Start::default() };
    let mut bench = Bench::start("syslog", SOURCE, start);
    bench.expect_plan();
    bench.client.send(&HELLO).unwrap();
    bench.expect_hello();
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
    assert_eq!(bench.expect_goodbye(), Parting::Lost(Process::Client));
    assert!(start.elapsed() < Duration::from_millis(100), "{:?}", start.elapsed());
    let (log, code) = bench.stop();
    let said = "the client broke the protocol: record of another version";
    assert!(log.contains(said), "{log}");
    assert_eq!(code, Some(81));
}

#[test]
fn a110_a_client_that_exits_ends_the_daemon() {
    let mut bench = Bench::started("exits", SOURCE);
    bench.close_client();
    assert_eq!(bench.expect_goodbye(), Parting::Lost(Process::Client));
    assert!(bench.stop().0.contains("the client is gone; the daemon ends"));
}

#[test]
fn a099_a_reply_to_a_query_that_was_never_sent_ends_the_daemon() {
    let mut bench = Bench::started("unknown", SOURCE);
    bench.unknown_reply();
    assert_eq!(bench.expect_goodbye(), Parting::Lost(Process::Client));
}

#[test]
fn a_client_that_is_slow_to_say_hello_is_waited_for() {
    let mut bench = Bench::start("slow", SOURCE, Start::default());
    bench.expect_plan();
    assert_eq!(bench.poll_privileged(Duration::from_secs(8)), None, "nothing is said meanwhile");
    bench.client.send(&HELLO).unwrap();
    bench.expect_hello();
}

#[test]
fn the_server_role_and_the_exchange_role_are_awaited_where_the_plan_asks_for_them() {
    let config = "[[source]]\naddress = \"ntp.example.org\"\n\
        [server]\nlisten = [\"127.0.0.1:11123\"]\nallow = [\"127.0.0.0/8\"]\n";
    let mut bench = Bench::start("roles", config, Start::default());
    let plan = bench.expect_plan();
    assert_eq!((plan.listen.len(), plan.listen[0].address.port(), plan.exchange), (1, 11123, true));
    bench.client.send(&HELLO).unwrap();
    bench.server.send(&FromServer::Hello(Shortfall::NONE)).unwrap();
    // Somebody may ask the server before the launch is over.
    bench.server.send(&counted(1)).unwrap();
    bench.exchange.send(&FromExchange::Hello(Shortfall::NONE)).unwrap();
    bench.expect_hello();
    bench.server.send(&counted(2)).unwrap();
    assert_eq!(bench.expect_server(), ToServer::Policy(ServerPolicy::DEFAULT));
    assert!(matches!(bench.expect_server(), ToServer::SymmetricKeys(none) if none.keys.is_empty()));
    match bench.expect_server() {
        ToServer::Access(access) => assert_eq!((access.rules.len(), access.rules[0].bits), (1, 8)),
        other => panic!("{other:?}"),
    }
    bench.welcome();
    assert_eq!(bench.ask("server")["server"]["received"], 2);
    bench.close_exchange();
    assert_eq!(bench.expect_goodbye(), Parting::Lost(Process::Exchange));
}

#[test]
fn a_configuration_with_a_fault_is_code_78_and_a_line_for_a_person() {
    let bench = Bench::start("fault", "[[source]]\nadress = \"a\"\n", Start::default());
    let (log, code) = bench.wait();
    assert_eq!(code, Some(78));
    assert!(log.starts_with("fault.toml:2: ") && log.contains("did you mean address?"), "{log}");
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
    bench.expect_hello();
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
    bench.expect_hello();
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

/// A file of keys that is gone with its test.
struct KeyFile(PathBuf);

impl KeyFile {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("truechimer-engine-keys-{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        Self(path)
    }

    fn start(&self) -> Start {
        Start { keys: Some(self.0.clone()), confined: true, ..Start::default() }
    }
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

const NTS_SOURCE: &str = "[[source]]\naddress = \"a.example\"\nmode = \"nts\"\nmin-poll = 4\n";

/// Launches an engine with one NTS source.
fn start_nts(name: &str, keys: &KeyFile) -> Bench {
    let mut bench = Bench::start(name, NTS_SOURCE, keys.start());
    let plan = bench.expect_plan();
    assert!(plan.exchange);
    assert_eq!(plan.system_roots.unwrap().as_str(), "/etc/ssl/certs/ca-certificates.crt");
    bench.client.send(&HELLO).unwrap();
    bench.exchange.send(&FromExchange::Hello(Shortfall::NONE)).unwrap();
    bench.expect_hello();
    bench.welcome();
    bench
}

fn expect_key_exchange(bench: &mut Bench) -> Exchange {
    match bench.expect_exchange() {
        ToExchange::Exchange(asked) => asked,
        other => panic!("{other:?} instead of a key exchange"),
    }
}

fn answer_key_exchange(bench: &mut Bench) {
    let asked = expect_key_exchange(bench);
    let KeyServer::Name(name) = asked.server else { panic!("{asked:?}") };
    assert_eq!((name.as_str(), asked.port, asked.roots, asked.not_before), ("a.example", 4460, 0, None));
    for record in nts::exchanged(&asked) {
        bench.exchange.send(&record).unwrap();
    }
}

/// Answers queries until the first correction; gives the cookies that were used.
fn first_correction(bench: &mut Bench) -> Vec<Vec<u8>> {
    let mut cookies = Vec::new();
    bench.answer_until(
        Duration::from_secs(20),
        |query| {
            assert!(query.protected);
            cookies.push(nts::cookie_of(query.packet.octets()));
        },
        |order| matches!(order, ToPrivileged::Adjust(_)).then_some(()),
    );
    assert!(!cookies.is_empty());
    cookies
}

fn assert_no_secret(text: &str) {
    for key in [nts::KEYS.0, nts::KEYS.1] {
        let hex: String = key.iter().take(4).map(|octet| format!("{octet:02x}")).collect();
        let list = key.iter().take(4).map(|octet| octet.to_string()).collect::<Vec<_>>().join(",");
        assert!(!text.to_lowercase().contains(&hex) && !text.replace(' ', "").contains(&list), "{text}");
    }
}

#[test]
fn a072_an_nts_source_is_exchanged_once_and_a_restart_needs_neither_exchange_nor_a_used_cookie() {
    let file = KeyFile::new("restart");
    let mut bench = start_nts("nts", &file);
    answer_key_exchange(&mut bench);
    let mut used = first_correction(&mut bench);
    let sources = bench.ask("sources");
    assert_eq!(sources["sources"][0]["nts"]["state"], "ready", "{sources}");
    let keys = bench.ask("keys");
    assert_eq!(keys["sources"][0]["aead"], 15, "{keys}");
    assert_eq!(
        (&keys["cookie_keys"], &keys["key_exchange"]),
        (&serde_json::Value::Null, &serde_json::Value::Null)
    );
    assert!(bench.exchange_is_idle());
    assert_no_secret(&format!("{sources}{keys}{}", bench.ask("status")));
    let (log, _) = bench.stop();
    assert_no_secret(&log);

    let mut bench = start_nts("nts-again", &file);
    used.extend(first_correction(&mut bench));
    assert!(bench.exchange_is_idle(), "a key exchange after a restart");
    assert_eq!(bench.ask("keys")["sources"][0]["restored"], true);
    let count = used.len();
    used.sort();
    used.dedup();
    assert_eq!(used.len(), count, "a cookie was used twice");
    bench.stop();

    // Without that source its keys are not kept any longer.
    let holds_keys =
        |file: &KeyFile| std::fs::read(&file.0).unwrap().windows(32).any(|part| part == nts::KEYS.0);
    assert!(holds_keys(&file));

    // The same octets in another file: those of another host.
    let copy = KeyFile::new("copy");
    std::fs::copy(&file.0, &copy.0).unwrap();
    let mut bench = start_nts("nts-copy", &copy);
    expect_key_exchange(&mut bench);
    assert!(bench.stop().0.contains("a copy of another host's"));

    let mut bench = Bench::start("nts-gone", SOURCE, file.start());
    bench.expect_plan();
    bench.client.send(&HELLO).unwrap();
    bench.expect_hello();
    bench.welcome();
    bench.expect_client();
    assert!(!holds_keys(&file));
    bench.stop();
}

#[test]
fn a072_a_damaged_file_of_keys_costs_a_line_and_a_key_exchange() {
    let file = KeyFile::new("damaged");
    std::fs::write(&file.0, b"truechimer-keys4 and then nothing that makes sense").unwrap();
    let mut bench = start_nts("damaged", &file);
    answer_key_exchange(&mut bench);
    first_correction(&mut bench);
    let (log, _) = bench.stop();
    assert_eq!(log.matches("the file of keys is ignored").count(), 1, "{log}");
}

#[test]
fn a121_keys_that_nobody_asked_for_end_the_daemon() {
    let file = KeyFile::new("unasked");
    let mut bench = start_nts("unasked", &file);
    let asked = expect_key_exchange(&mut bench);
    let records = nts::exchanged(&asked);
    bench.exchange.send(&records[0]).unwrap();
    bench.exchange.send(&records[8]).unwrap();
    assert_eq!(bench.expect_goodbye(), Parting::Lost(Process::Exchange));
    let said = "the exchange process sent another number of cookies than it says";
    assert!(bench.stop().0.contains(said));
}

const NTS_SERVER: &str = "[server]\nlisten = [\"127.0.0.1:11125\"]\nallow = []\nlocal-stratum = 10\n\
    [server.nts]\nlisten = [\"127.0.0.1:11126\"]\ncertificate = \"/a/c.pem\"\nkey = \"/a/k.pem\"\n";

/// Launches an engine that serves NTS; gives the keys that the server was sent.
fn start_server(name: &str, keys: &KeyFile) -> (Bench, CookieKeys) {
    let mut bench = Bench::start(name, NTS_SERVER, keys.start());
    let service = bench.expect_plan().key_service.unwrap();
    assert_eq!((service.listen.len(), service.first.key.as_str()), (1, "/a/k.pem"));
    bench.client.send(&HELLO).unwrap();
    bench.server.send(&FromServer::Hello(Shortfall::NONE)).unwrap();
    bench.key_service.send(&FromKeyService::Hello(Shortfall::NONE)).unwrap();
    let holder = Shortfall { landlock: true, ..Shortfall::NONE };
    bench.key_service.send(&FromKeyService::HolderHello(holder)).unwrap();
    bench.expect_hello();
    let policy = KeyPolicy { ntp_port: Some(11_125), ..KeyPolicy::DEFAULT };
    assert_eq!(bench.expect_key_service(), ToKeyService::Policy(policy));
    bench.welcome();
    let ToKeyService::CookieKeys(theirs) = bench.expect_key_service() else { panic!() };
    loop {
        if let ToServer::CookieKeys(keys) = bench.expect_server() {
            assert_eq!(keys, theirs);
            return (bench, keys);
        }
    }
}

fn in_use(days: i64) -> FromKeyService {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let now = i64::try_from(now).unwrap();
    let loaded = Loaded::InUse { not_before: now - 86_400, not_after: now + days * 86_400 + 3_600 };
    FromKeyService::Certificate(0, loaded)
}

#[test]
fn a085_cookie_keys_reach_both_processes_and_survive_a_restart() {
    let file = KeyFile::new("cookies");
    let (bench, first) = start_server("cookies", &file);
    let today =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() / 86_400;
    assert_eq!((u64::from(first.current), first.keys.len()), (today, 2));
    let keys = bench.ask("keys");
    assert_eq!(keys["cookie_keys"]["current"], first.current, "{keys}");
    assert_eq!(
        (&keys["cookie_keys"]["origin"], &keys["cookie_keys"]["settled"]),
        (&"own".into(), &true.into())
    );
    let status = bench.ask("status");
    assert_eq!(status["shortfalls"]["key holder"], serde_json::json!(["landlock"]), "{status}");
    bench.stop();
    let (bench, second) = start_server("cookies-again", &file);
    assert_eq!(second, first);
    bench.stop();
}

#[test]
fn a_reload_reaches_the_key_exchange_service_and_its_certificate_is_watched() {
    let file = KeyFile::new("reload");
    let (mut bench, _) = start_server("reload", &file);
    bench.key_service.send(&in_use(50)).unwrap();
    let changed = NTS_SERVER.replace("[server.nts]\n", "[server.nts]\nconnections = 9\n");
    let reply = bench.request(&serde_json::json!({ "verb": "reload", "file": changed }).to_string());
    assert_eq!((&reply["changed"], &reply["needs_restart"]), (&true.into(), &false.into()), "{reply}");
    assert_eq!(reply["reads_certificate"], true);
    assert!(matches!(bench.expect_key_service(), ToKeyService::Policy(KeyPolicy { connections: 9, .. })));
    assert!(matches!(bench.expect_key_service(), ToKeyService::Reload(_)));
    bench.key_service.send(&in_use(3)).unwrap();
    let counters = KeyCounters { accepted: 3, exchanged: 2, ..KeyCounters::ZERO };
    bench.key_service.send(&FromKeyService::Counters(counters)).unwrap();
    let start = Instant::now();
    let keys = loop {
        let keys = bench.ask("keys");
        if keys["key_exchange"]["counters"]["exchanged"] == 2 {
            break keys;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "{keys}");
    };
    let certificate = &keys["key_exchange"]["certificate"];
    assert_eq!((&certificate["readings"], &certificate["days_left"]), (&2.into(), &3.into()), "{keys}");
    assert!(bench.ask("status")["key_exchange"]["certificate"]["warning"].is_string());
    // A third reading was not requested.
    bench.key_service.send(&in_use(3)).unwrap();
    assert_eq!(bench.expect_goodbye(), Parting::Lost(Process::KeyService));
    let (log, _) = bench.stop();
    assert!(log.contains("the certificate of [server.nts] expires in 3 days"), "{log}");
    assert!(log.contains("the key exchange service read its certificate without being asked"), "{log}");
}

#[test]
fn a_key_holder_is_awaited_with_its_hello() {
    let mut bench = Bench::start("holder", NTS_SERVER, Start::default());
    bench.expect_plan();
    bench.client.send(&HELLO).unwrap();
    bench.server.send(&FromServer::Hello(Shortfall::NONE)).unwrap();
    bench.key_service.send(&FromKeyService::Hello(Shortfall::NONE)).unwrap();
    assert_eq!(bench.poll_privileged(Duration::from_secs(1)), None, "the key holder is missing");
    bench.key_service.send(&FromKeyService::HolderHello(Shortfall::NONE)).unwrap();
    bench.expect_hello();
}

#[test]
fn a149_a_fleets_secret_in_a_file_that_others_may_read_is_code_78() {
    let secret = "kT9sV2mQ8xL4pR7wB1nZ6cJ3fH5dG0yA";
    let text = format!("{NTS_SERVER}fleet-secret = \"{secret}\"\nfleet-since = 2026-11-01\n");
    let check =
        |private| Bench::start("fleet", &text, Start { check: true, private, ..Start::default() }).wait();
    let (said, code) = check(false);
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("chmod 600 fleet.toml") && !said.contains(secret), "{said}");
    let (said, code) = check(true);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("cookie keys: the fleet's") && !said.contains(secret), "{said}");
}

#[test]
fn a_check_of_a_file_with_nts_says_what_else_it_hangs_on() {
    let text = format!("{NTS_SOURCE}{NTS_SERVER}").replace("local-stratum = 10\n", "");
    let check = Bench::start("checked-nts", &text, Start { check: true, ..Start::default() });
    let (said, code) = check.wait();
    assert_eq!(code, Some(0), "{said}");
    for part in [
        "NTS: 1 of 1 sources; roots: /etc/ssl/certs/ca-certificates.crt\n",
        "key exchange: 127.0.0.1:11126; certificate: /a/c.pem; key: /a/k.pem\n",
        "cookie keys: this server's own\n",
    ] {
        assert!(said.contains(part), "{said}");
    }
}
