//! truechimer-metrics with real daemons, and what monitoring systems make of its pages.

use bench::client::query;
use bench::daemon::{Setup, source};
use bench::exporter::{Exporter, NO_PROMTOOL, PROMETHEUS, Scrape, ask, command, promtool};
use bench::forger::Forger;
use bench::nts::{NtsServer, Trust};
use bench::process::Process;
use bench::programs::{Place, free_port, wait_for, workspace};
use bench::tree::read;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const TIMEOUT: Duration = Duration::from_secs(30);

/// The table of docs/monitoring.md: kind and help by name.
fn documented() -> BTreeMap<String, (String, String)> {
    let page = read("docs/monitoring.md");
    let rows = page.lines().filter(|line| line.starts_with("| `truechimer_"));
    let cells = rows.map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect::<Vec<_>>());
    let table: BTreeMap<_, _> = cells
        .map(|cells| (cells[0].trim_matches('`').to_owned(), (cells[1].to_owned(), cells[2].to_owned())))
        .collect();
    assert!(table.len() > 70, "the table was not found");
    table
}

/// Each name of the page has the kind and the help that the documentation says.
fn assert_documented(scrape: &Scrape) {
    let table = documented();
    let is_open = scrape.format.contains("openmetrics");
    for (family, (kind, help)) in &scrape.families {
        let name = match kind.as_str() {
            "counter" if is_open => format!("{family}_total"),
            "info" => format!("{family}_info"),
            _ => family.clone(),
        };
        let (documented, said) = table.get(&name).unwrap_or_else(|| panic!("{name} is not documented"));
        let shown = if documented == "info" && !is_open { "gauge" } else { documented.as_str() };
        assert_eq!((shown, said), (kind.as_str(), help), "{name}");
    }
}

/// `promtool check metrics`, which also judges names and helps.
fn assert_accepted(scrape: &Scrape) {
    let Some(promtool) = promtool() else { return };
    let mut command = Command::new(promtool);
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("promtool can be executed");
    child.stdin.take().expect("piped").write_all(scrape.text.as_bytes()).expect("promtool reads");
    let output = child.wait_with_output().expect("promtool ends");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn the_page_of_a_synchronised_client_and_server_with_nts_says_what_chimerctl_says() {
    let upstream = NtsServer::new("metrics-up", &["127.0.0.1"], "");
    let _upstream = upstream.setup.start();
    let plain = Forger::honest(HERE, 0);
    let (port, key_port, trust) = (free_port(), free_port(), Trust::new("metrics"));
    let configuration = format!(
        "{}{}[server]\nlisten = [\"127.0.0.1:{port}\"]\nallow = [\"127.0.0.0/8\"]\n[server.nts]\n\
         listen = [\"127.0.0.1:{key_port}\"]\ncertificate = \"{}\"\nkey = \"{}\"\n",
        upstream.source("127.0.0.1", ""),
        source(plain.address()),
        trust.chain().display(),
        trust.key().display()
    );
    let daemon = Setup::new("metrics", &configuration).with_virtual_clock(-1_300_000_000, 30.0).start();
    daemon.wait_until_synchronised(TIMEOUT);
    for _ in 0..3 {
        assert!(query(SocketAddr::new(HERE, port), TIMEOUT).is_some(), "the server answers");
    }
    let counted = |daemon: &bench::daemon::Daemon| {
        let status = daemon.ask("status").unwrap_or_default();
        status["server"]["answered"].as_u64() >= Some(3)
            && status["key_exchange"]["certificate"]["state"] == "in-use"
            && daemon.sources().iter().all(|source| source["offset_s"].is_f64())
    };
    daemon.wait_until("counted", TIMEOUT, counted);
    let exporter = Exporter::start(&daemon.socket());
    let scrape = exporter.scrape(PROMETHEUS);
    assert_eq!(scrape.format, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert_documented(&scrape);
    let status = daemon.status();
    let value =
        |sample: &str| scrape.value(sample).unwrap_or_else(|| panic!("no {sample} in:\n{}", scrape.text));
    assert_eq!((value("truechimer_up"), value("truechimer_synchronised")), (1.0, 1.0));
    assert_eq!(Some(value("truechimer_stratum")), status["stratum"].as_f64());
    assert_eq!(value("truechimer_clock_state{state=\"synchronised\"}"), 1.0);
    assert_eq!((value("truechimer_leap_indicator"), value("truechimer_steps_total")), (0.0, 1.0));
    assert_eq!(value("truechimer_clock_info{clock=\"virtual\"}"), 1.0);
    // The sign of the correction is that of the status; both move while they are read.
    let frequency = status["frequency_ppm"].as_f64().expect("a number");
    assert!((value("truechimer_frequency_ratio") * 1e6 - frequency).abs() < 5.0, "{frequency} ppm");
    let bound = value("truechimer_error_bound_seconds");
    let error = daemon.setup().virtual_clock().error_ns().abs() as f64 * 1e-9;
    assert!(bound > 0.0 && bound < 0.1 && error < bound + 1e-3, "error {error} s, bound {bound} s");
    assert!(value("truechimer_offset_seconds").abs() <= bound);
    assert!(value("truechimer_last_update_age_seconds") < 30.0);
    assert_eq!((value("truechimer_sources"), value("truechimer_processes")), (2.0, 7.0));
    assert!(value("truechimer_sources_used") >= 1.0);
    assert_eq!(scrape.values("truechimer_process_confined").len(), 6, "each but the keeper reports");
    for said in daemon.sources() {
        let text = |field: &str| said[field].as_str().expect("a text").to_owned();
        let own = format!("source=\"{}\",address=\"{}\"", text("name"), text("address"));
        let of = |metric: &str| value(&format!("truechimer_source_{metric}{{{own}}}"));
        assert_eq!(Some(of("stratum")), said["stratum"].as_f64());
        assert!(of("reach_ratio") > 0.0 && of("reach_ratio") <= 1.0);
        assert!(of("offset_seconds").abs() < 2.0 && of("delay_seconds") < 1.0);
        assert!(Some(of("queries_total")) <= said["sent"].as_f64());
        assert_eq!(of("authenticated") == 1.0, said["nts"].is_object());
        if said["nts"].is_object() {
            assert_eq!(value(&format!("truechimer_source_nts_state{{{own},state=\"ready\"}}")), 1.0);
            assert_eq!(value(&format!("truechimer_source_nts_aead_info{{{own},aead=\"30\"}}")), 1.0);
            assert_eq!(of("nts_key_exchanges_total"), 1.0);
            assert!(of("nts_cookies") <= 8.0);
            assert_eq!(
                Some(of("nts_certificate_expiry_timestamp_seconds")),
                said["nts"]["certificate_until"].as_f64()
            );
        }
    }
    assert!(value("truechimer_server_replies_total") >= 3.0);
    assert_eq!(value("truechimer_server_dropped_total{reason=\"denied\"}"), 0.0);
    assert_eq!(value("truechimer_server_certificate_state{state=\"in-use\"}"), 1.0);
    let days = (value("truechimer_server_certificate_expiry_timestamp_seconds")
        - bench::authority::now() as f64)
        / 86_400.0;
    assert!((88.0..90.0).contains(&days), "{days} days");
    assert_eq!(value("truechimer_server_cookie_keys_trouble"), 0.0);

    let text = exporter.scrape("text/plain");
    assert_eq!(text.format, "text/plain; version=0.0.4; charset=utf-8");
    assert_documented(&text);
    assert_accepted(&text);
    let names = |scrape: &Scrape| scrape.samples.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&text), names(&scrape), "both formats have the same samples");

    let place = Place::new("metrics-once");
    let once =
        command(&place, &daemon.socket()).arg("--once").stdout(Stdio::piped()).output().expect("it runs");
    assert!(once.status.success(), "{once:?}");
    let printed = Scrape::read_page(&String::from_utf8(once.stdout).expect("text"), "text/plain");
    assert_eq!(names(&printed), names(&text));
    let full = std::fs::File::options().write(true).open("/dev/full").expect("there is /dev/full");
    let unwritten = command(&place, &daemon.socket()).arg("--once").stdout(full).output().expect("it runs");
    assert_eq!(unwritten.status.code(), Some(1), "{unwritten:?}");
}

#[test]
fn the_page_of_a_daemon_that_has_not_measured_has_none_of_the_values() {
    let silent = source(format!("127.0.0.1:{}", free_port()));
    let daemon = Setup::new("metrics-unmeasured", &silent).with_virtual_clock(5_000_000, 0.0).start();
    daemon.wait_until("asking", TIMEOUT, |daemon| daemon.sources()[0]["sent"].as_u64() > Some(0));
    let scrape = Exporter::start(&daemon.socket()).scrape("text/plain");
    assert_documented(&scrape);
    assert_accepted(&scrape);
    for metric in [
        "offset_seconds",
        "estimated_error_seconds",
        "error_bound_seconds",
        "likely_error_seconds",
        "frequency_error_ratio",
        "root_delay_seconds",
        "root_dispersion_seconds",
        "last_update_age_seconds",
        "first_update_delay_seconds",
        "reference_info",
        "source_offset_seconds",
        "source_delay_seconds",
        "source_jitter_seconds",
        "source_stratum",
        "source_last_reply_age_seconds",
        "source_nts_cookies",
        "server_requests_total",
        "server_cookie_keys",
    ] {
        assert!(scrape.values(&format!("truechimer_{metric}")).is_empty(), "{metric}");
    }
    let values = |metric: &str| scrape.values(&format!("truechimer_{metric}"));
    assert_eq!((values("up"), values("synchronised"), values("stratum")), (vec![1.0], vec![0.0], vec![16.0]));
    assert_eq!((values("source_reach_ratio"), values("source_replies_total")), (vec![0.0], vec![0.0]));
    assert_eq!((values("sources"), values("sources_used")), (vec![1.0], vec![0.0]));
}

#[test]
fn a_daemon_that_is_gone_is_down_and_its_page_still_comes() {
    let forger = Forger::honest(HERE, 0);
    let setup = Setup::new("metrics-gone", &source(forger.address()));
    let daemon = setup.start();
    let exporter = Exporter::start(&daemon.socket());
    let up = || exporter.scrape("text/plain").value("truechimer_up");
    assert_eq!(up(), Some(1.0));
    assert_eq!(daemon.stop().code, Some(0));
    // A page is shown again for a second.
    std::thread::sleep(Duration::from_millis(1100));
    let scrape = exporter.scrape(PROMETHEUS);
    let values: Vec<&str> = scrape.samples.keys().map(String::as_str).collect();
    let version = format!("truechimer_exporter_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    assert_eq!(values, ["truechimer_down_info{reason=\"not-running\"}", version.as_str(), "truechimer_up"]);
    assert_eq!(scrape.value("truechimer_up"), Some(0.0));
    assert_documented(&scrape);
    assert_accepted(&exporter.scrape("text/plain"));
    let again = setup.start();
    let is_up = wait_for(TIMEOUT, || (up() == Some(1.0)).then_some(()));
    assert!(is_up.is_some(), "it is never up again: {}", again.log());
}

/// A daemon that does not matter, and an exporter.
fn exporter() -> (bench::daemon::Daemon, Exporter) {
    let daemon = Setup::new("metrics-http", &source(format!("127.0.0.1:{}", free_port()))).start();
    let exporter = Exporter::start(&daemon.socket());
    (daemon, exporter)
}

#[test]
fn clients_that_are_slow_are_ended_after_two_seconds_and_hold_up_nobody() {
    let (_daemon, exporter) = exporter();
    let begun = Instant::now();
    let slow = |number: u8| {
        let mut stream = TcpStream::connect(exporter.address).expect("it listens");
        // Some never say anything, some begin and drip.
        if number.is_multiple_of(2) {
            stream.write_all(b"GET /metrics HTTP/1.1\r\nX: ").expect("it is open");
        }
        stream
    };
    let mut streams: Vec<TcpStream> = (0..8).map(slow).collect();
    let scrape = exporter.scrape("text/plain");
    assert_eq!(scrape.value("truechimer_up"), Some(1.0), "with all places taken");
    for stream in &mut streams {
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket has timeouts");
        let mut text = Vec::new();
        let _ = stream.read_to_end(&mut text);
        assert!(text.is_empty(), "a request that never came was answered");
    }
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(1900) && took < Duration::from_secs(15), "{took:?}");
}

#[test]
fn a_request_that_never_ends_is_refused_after_eight_kibibytes() {
    let (_daemon, exporter) = exporter();
    let mut stream = TcpStream::connect(exporter.address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket has timeouts");
    stream.write_all(b"GET /metrics HTTP/1.1\r\nX: ").expect("it is open");
    let mut sent = 0;
    // What it does not read fills the buffers of the kernel; then the connection is over.
    while sent < 64 * 1024 * 1024 && stream.write_all(&[b'x'; 4096]).is_ok() {
        sent += 4096;
    }
    assert!(sent < 64 * 1024 * 1024, "64 MiB were read");
    let resident = Process::read(exporter.pid()).expect("it runs").resident;
    assert!(resident < 16 * 1024 * 1024, "{resident} octets");
    let whole = |request: &str| {
        ask(TcpStream::connect(exporter.address).expect("it listens"), request)
            .lines()
            .next()
            .map(str::to_owned)
    };
    let fill = "x".repeat(8300);
    for (request, line) in [
        (format!("GET /metrics HTTP/1.1\r\nX: {fill}"), "HTTP/1.1 431 Request Header Fields Too Large"),
        ("POST /metrics HTTP/1.1\r\n\r\n".to_owned(), "HTTP/1.1 405 Method Not Allowed"),
        ("GET /../../etc/passwd HTTP/1.1\r\n\r\n".to_owned(), "HTTP/1.1 404 Not Found"),
        ("\u{1}\u{2}\r\n\r\n".to_owned(), "HTTP/1.1 400 Bad Request"),
        ("GET / HTTP/1.0\n\n".to_owned(), "HTTP/1.1 200 OK"),
    ] {
        assert_eq!(whole(&request).as_deref(), Some(line));
    }
}

#[test]
fn a_flood_of_connections_costs_eight_threads_and_keeps_nobody_out() {
    let (daemon, exporter) = exporter();
    let flood: Vec<_> = (0..4)
        .map(|number| {
            let address = exporter.address;
            std::thread::spawn(move || {
                let begun = Instant::now();
                let mut open = Vec::new();
                while begun.elapsed() < Duration::from_secs(4) {
                    if let Ok(mut stream) = TcpStream::connect(address) {
                        if number == 0 {
                            let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n");
                        }
                        open.push(stream);
                    }
                    if open.len() > 50 {
                        open.clear();
                    }
                    std::thread::sleep(Duration::from_millis(2));
                }
            })
        })
        .collect();
    let (mut threads, mut scraped, mut tries) = (0, 0, 0);
    while flood.iter().any(|thread| !thread.is_finished()) {
        threads = threads.max(Process::read(exporter.pid()).expect("it runs").threads);
        tries += 1;
        let answer = TcpStream::connect(exporter.address).and_then(|mut stream| {
            stream.set_read_timeout(Some(Duration::from_secs(20)))?;
            stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n")?;
            let mut text = String::new();
            stream.read_to_string(&mut text).map(|_| text)
        });
        scraped += usize::from(answer.is_ok_and(|text| text.contains("\ntruechimer_up 1\n")));
        std::thread::sleep(Duration::from_millis(20));
    }
    flood.into_iter().for_each(|thread| thread.join().expect("it ended"));
    println!("at most {threads} threads; {scraped} of {tries} scrapes answered during the flood");
    // The one that accepts, eight for connections, one that asks the daemon and one that has just asked it.
    assert!(threads <= 11, "{threads} threads");
    assert!(scraped * 2 > tries, "kept out: {scraped} of {tries} scrapes were answered");
    assert_eq!(exporter.scrape("text/plain").value("truechimer_up"), Some(1.0), "afterwards");
    let descriptors = || std::fs::read_dir(format!("/proc/{}/fd", exporter.pid())).expect("it runs").count();
    let is_free = wait_for(Duration::from_secs(20), || (descriptors() < 8).then_some(()));
    assert!(is_free.is_some(), "{} descriptors", descriptors());
    assert!(daemon.ask("status").is_some());
}

#[test]
fn a_socket_of_the_service_manager_is_served_whichever_family_it_has() {
    let (daemon, _) = exporter();
    let place = Place::new("metrics-inherited");
    let start = |socket: OwnedFd| {
        let mut command = command(&place, &daemon.socket());
        bench::daemon::spawn(command.args(["--listen", "inherited"]).stdin(Stdio::from(socket)))
    };
    let request = "GET /metrics HTTP/1.1\r\n\r\n";
    let tcp = TcpListener::bind((HERE, 0)).expect("a free port");
    let address = tcp.local_addr().expect("it is bound");
    // As systemd hands it over.
    tcp.set_nonblocking(true).expect("a socket");
    let mut child = start(tcp.into());
    let scrape = Scrape::read(&ask(TcpStream::connect(address).expect("it listens"), request));
    assert_eq!(scrape.value("truechimer_up"), Some(1.0));
    child.kill().and_then(|()| child.wait()).expect("ours");

    let path = place.join("http");
    let mut child = start(UnixListener::bind(&path).expect("ours").into());
    let scrape = Scrape::read(&ask(UnixStream::connect(&path).expect("it listens"), request));
    assert_eq!(scrape.value("truechimer_up"), Some(1.0));
    child.kill().and_then(|()| child.wait()).expect("ours");

    let output = command(&place, &daemon.socket()).args(["--listen", "inherited"]).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("no listening socket"), "{said}");
}

#[test]
fn root_does_not_serve_and_a_user_who_may_not_ask_says_so() {
    if !bench::is_root() {
        return bench::skip("only root can start a program as root and as another user");
    }
    let (daemon, _) = exporter();
    let mut command = Command::new(bench::programs::program("truechimer-metrics"));
    let output = command.args(["--listen", "127.0.0.1:1"]).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(77) && said.contains("group truechimer"), "{said}");

    let place = Place::new("metrics-stranger");
    let socket = daemon.socket();
    let closed = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&socket, closed).expect("root may");
    let once = bench::exporter::command(&place, &socket).arg("--once").stdout(Stdio::piped()).output();
    let text = String::from_utf8(once.expect("it runs").stdout).expect("text");
    assert!(text.contains("truechimer_down_info{reason=\"forbidden\"} 1\n"), "{text}");
}

/// All words of a text that are names of metrics.
fn metrics_in(text: &str) -> Vec<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("truechimer_")).collect()
}

#[test]
fn alerts_and_dashboard_ask_for_metrics_that_are_there() {
    let table = documented();
    let rules = read("packaging/monitoring/truechimer.rules.yml");
    let dashboard = read("packaging/monitoring/truechimer.dashboard.json");
    let parsed: serde_json::Value = serde_json::from_str(&dashboard).expect("it is JSON");
    assert!(parsed["panels"].as_array().is_some_and(|panels| panels.len() > 10));
    for text in [&rules, &dashboard, &read("tests/monitoring/rules.test.yml")] {
        let found = metrics_in(text);
        assert!(found.len() > 10, "the names were not found");
        for name in found {
            assert!(table.contains_key(name), "{name} is no metric");
        }
    }
    let count = |word: &str| rules.matches(word).count();
    assert_eq!(count("- alert: "), count("summary: "), "each says what to do");
}

#[test]
fn alerts_fire_when_they_should_by_the_judgement_of_promtool() {
    let Some(promtool) = promtool() else { return bench::skip(NO_PROMTOOL) };
    for (what, file) in
        [("check", "packaging/monitoring/truechimer.rules.yml"), ("test", "tests/monitoring/rules.test.yml")]
    {
        let mut command = Command::new(&promtool);
        let output = command.args([what, "rules", file]).current_dir(workspace()).output().expect("it runs");
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
    }
}

/// Its units forbid all that those of the daemon forbid, and give it nothing.
#[test]
fn the_units_of_the_exporter_give_it_no_network_and_are_known_to_the_package() {
    let unit = read("packaging/systemd/truechimer-metrics.service");
    for line in [
        "ExecStart=/usr/sbin/truechimer-metrics --listen inherited",
        "StandardInput=socket",
        "DynamicUser=yes",
        "SupplementaryGroups=truechimer",
        "PrivateNetwork=yes",
        "RestrictAddressFamilies=AF_UNIX",
        "CapabilityBoundingSet=",
    ] {
        assert!(unit.lines().any(|found| found == line), "the unit lost {line}");
    }
    let socket = read("packaging/systemd/truechimer-metrics.socket");
    assert!(socket.lines().any(|line| line == "ListenStream=127.0.0.1:9975"), "{socket}");
    for (script, unit) in [
        ("postinst", "settle truechimer-metrics.socket disabled"),
        ("postinst", "try-restart truechimer-metrics.service"),
        ("prerm", "stop truechimer-metrics.socket truechimer-metrics.service"),
        ("postrm", "truechimer-metrics.socket"),
    ] {
        assert!(read(Path::new("packaging/deb").join(script)).contains(unit), "{script}: {unit}");
    }
}
