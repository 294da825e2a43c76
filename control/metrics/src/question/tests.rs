use super::*;
use crate::metric::Kind;
use crate::page::Format;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A socket at which each connection is answered by this function.
fn engine(name: &str, answer: impl Fn(UnixStream, &str) + Send + Sync + 'static) -> PathBuf {
    let path = std::env::temp_dir().join(format!("truechimer-metrics-{name}-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming().map(Result::unwrap) {
            let answer = Arc::clone(&answer);
            thread::spawn(move || {
                let mut question = String::new();
                if BufReader::new(&stream).read_line(&mut question).is_ok_and(|length| length > 0) {
                    answer(stream, &question);
                }
            });
        }
    });
    path
}

/// What an engine writes: `engine/src/answers/tests.rs` checks these documents.
fn golden(question: &str) -> String {
    let document = match question {
        "{\"verb\":\"status\"}\n" => include_str!("../../../../ipc/report/tests/status.json"),
        "{\"verb\":\"sources\"}\n" => include_str!("../../../../ipc/report/tests/sources.json"),
        "{\"verb\":\"keys\"}\n" => include_str!("../../../../ipc/report/tests/keys.json"),
        _ => panic!("{question}"),
    };
    format!("{}\n", document.trim_end())
}

fn page_of(status: &str, sources: &str, keys: &str) -> String {
    let read = |text: &str| serde_json::from_str(text).unwrap();
    let (status, sources, keys): (serde_json::Value, _, _) = (read(status), read(sources), read(keys));
    let answers = Answers {
        status: control_socket::read(&status).unwrap(),
        sources: control_socket::read(&sources).unwrap(),
        keys: control_socket::read(&keys).unwrap(),
    };
    up(&answers, Duration::from_millis(2)).write(Format::Text)
}

fn golden_page() -> String {
    let [status, sources, keys] =
        ["status", "sources", "keys"].map(|verb| golden(&format!("{{\"verb\":\"{verb}\"}}\n")));
    page_of(&status, &sources, &keys)
}

#[test]
fn the_golden_documents_are_shown_to_the_last_field() {
    let page = golden_page();
    for line in [
        "truechimer_up 1",
        "truechimer_build_info{version=\"0.1.0\"} 1",
        "truechimer_answer_duration_seconds 0.002",
        "truechimer_synchronised 1",
        "truechimer_clock_state{state=\"synchronised\"} 1",
        "truechimer_clock_info{clock=\"kernel\"} 1",
        "truechimer_stratum 3",
        "truechimer_leap_indicator 0",
        "truechimer_reference_info{name=\"a.example\",reference_id=\"c0000201\"} 1",
        "truechimer_offset_seconds 0.000015",
        "truechimer_estimated_error_seconds 0.000002",
        "truechimer_error_bound_seconds 0.0061",
        "truechimer_likely_error_seconds 0.0037",
        "truechimer_slew_remaining_seconds -0.00001",
        "truechimer_frequency_ratio -0.0000125",
        "truechimer_frequency_error_ratio 0.00000003",
        "truechimer_root_delay_seconds 0.011",
        "truechimer_last_update_age_seconds 4.5",
        "truechimer_first_update_delay_seconds 0.5",
        "truechimer_discontinuities_total 7",
        "truechimer_steps_total 1",
        "truechimer_governor_refusals_total 2",
        "truechimer_governor_last_refusal{refusal=\"budget\"} 1",
        "truechimer_pause_evidence{by=\"rtc\"} 1",
        "truechimer_pause_evidence{by=\"vmclock\"} 1",
        "truechimer_state_directory_usable 1",
        "truechimer_history_written 1",
        "truechimer_history_waiting_records 0",
        "truechimer_history_noted_timestamp_seconds 1700257000",
        "truechimer_roughtime_servers 5",
        "truechimer_roughtime_answered 4",
        "truechimer_roughtime_last_round_age_seconds 12.5",
        "truechimer_roughtime_interval_seconds 4",
        "truechimer_roughtime_lying 1",
        "truechimer_anchor_timestamp_seconds 1700257003",
        "truechimer_unserved_listeners 1",
        "truechimer_processes 9",
        "truechimer_process_confined{process=\"client\"} 0",
        "truechimer_process_confined{process=\"key holder\"} 1",
        "truechimer_process_confinement_missing{process=\"client\",missing=\"landlock\"} 1",
        "truechimer_process_confinement_missing{process=\"client\",missing=\"syscall-filter\"} 1",
        "truechimer_sources 2",
        "truechimer_sources_used 1",
        "truechimer_sources_of_one_operator 2",
        "truechimer_source_state{source=\"a.example\",address=\"[2001:db8::1]:123\",state=\"selected\"} 1",
        "truechimer_source_state{source=\"b.example\",address=\"\",state=\"waiting\"} 1",
        "truechimer_source_authenticated{source=\"a.example\",address=\"[2001:db8::1]:123\"} 1",
        "truechimer_source_stratum{source=\"a.example\",address=\"[2001:db8::1]:123\"} 2",
        "truechimer_source_reach{source=\"a.example\",address=\"[2001:db8::1]:123\"} 255",
        "truechimer_source_reach_ratio{source=\"a.example\",address=\"[2001:db8::1]:123\"} 1",
        "truechimer_source_poll_interval_seconds{source=\"a.example\",address=\"[2001:db8::1]:123\"} 0.25",
        "truechimer_source_poll_interval_seconds{source=\"b.example\",address=\"\"} 64",
        "truechimer_source_next_poll_seconds{source=\"a.example\",address=\"[2001:db8::1]:123\"} 12.5",
        "truechimer_source_offset_seconds{source=\"a.example\",address=\"[2001:db8::1]:123\"} -0.000002",
        "truechimer_source_delay_seconds{source=\"a.example\",address=\"[2001:db8::1]:123\"} 0.01",
        "truechimer_source_last_reply_age_seconds{source=\"a.example\",address=\"[2001:db8::1]:123\"} 51.5",
        "truechimer_source_queries_total{source=\"a.example\",address=\"[2001:db8::1]:123\"} 20",
        "truechimer_source_queries_total{source=\"b.example\",address=\"\"} 0",
        "truechimer_source_replies_total{source=\"a.example\",address=\"[2001:db8::1]:123\"} 19",
        "truechimer_source_rejected_total{source=\"a.example\",address=\"[2001:db8::1]:123\",reason=\"nts_nak\"} 4",
        "truechimer_source_nts_state{source=\"a.example\",address=\"[2001:db8::1]:123\",state=\"ready\"} 1",
        "truechimer_source_nts_cookies{source=\"a.example\",address=\"[2001:db8::1]:123\"} 8",
        "truechimer_source_nts_aead_info{source=\"a.example\",address=\"[2001:db8::1]:123\",aead=\"30\"} 1",
        "truechimer_source_nts_certificate_expiry_timestamp_seconds{source=\"a.example\",address=\"[2001:db8::1]:123\"} \
         1800000000",
        "truechimer_server_requests_total 1",
        "truechimer_server_dropped_total{reason=\"limited\"} 6",
        "truechimer_server_nts_naks_total 13",
        "truechimer_server_signed_replies_total 16",
        "truechimer_server_key_exchanges_total 2",
        "truechimer_server_key_exchange_failures_total{reason=\"gone\"} 8",
        "truechimer_server_certificate_state{state=\"in-use\"} 1",
        "truechimer_server_certificate_expiry_timestamp_seconds 1800000000",
        "truechimer_server_cookie_keys 2",
        "truechimer_server_cookie_keys_settled 1",
        "truechimer_server_cookie_keys_trouble 0",
    ] {
        assert!(page.lines().any(|found| found == line), "no {line} in:\n{page}");
    }
}

#[test]
fn with_what_is_not_known_in_them_and_the_page_of_a_silent_daemon_each_metric_is_there() {
    let whole = |page: &str| -> BTreeSet<String> {
        let names = page.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next());
        names.map(str::to_owned).collect()
    };
    let all: BTreeSet<String> = Metric::ALL.into_iter().map(|metric| metric.name().to_owned()).collect();
    let status = golden("{\"verb\":\"status\"}\n")
        .replace("\"root_dispersion_s\":null", "\"root_dispersion_s\":0.002");
    let page = page_of(&status, &golden("{\"verb\":\"sources\"}\n"), &golden("{\"verb\":\"keys\"}\n"));
    let silent = down(&AskError::TooLong).write(Format::Text);
    assert_eq!(&whole(&page) | &whole(&silent), all);
    assert!(!whole(&golden_page()).contains("truechimer_root_dispersion_seconds"), "null is nothing");
    let counters = Metric::ALL.into_iter().filter(|metric| metric.kind() == Kind::Counter).count();
    assert_eq!(page.matches(" counter\n").count(), counters);
}

#[test]
fn before_the_first_correction_nothing_is_told_of_the_clock_that_was_not_measured() {
    // The numbers that an engine has in these fields until then.
    let status = r#"{"report":{"clock":"virtual","synchronised":false,"state":"starting","leap":"unknown","stratum":16,
        "reference_id":"00000000","reference":"","offset_s":0.0,"estimated_error_s":16.0,"error_bound_s":16.0,
        "likely_error_s":null,"slew_left_s":0.0,"frequency_ppm":0.0,"frequency_error_ppm":500.0,"root_delay_s":0.0,
        "root_dispersion_s":16.0,"last_update_s":null,"first_update_s":null,"epoch":0,"steps":0,"refusals":0,
        "last_refusal":"","one_operator":[],"pauses_shown_by":null}}"#;
    let sources = r#"{"sources":[{"name":"a","address":"192.0.2.1:123","state":"waiting","stratum":16,"reach":0,"sent":0,
        "valid":0,"poll":0}]}"#;
    let page = page_of(status, sources, "{}");
    for absent in
        ["offset", "error", "root_", "update", "reference", "refusal{", "pause", "reach", "source_stratum"]
    {
        assert!(
            !page.contains(&format!("truechimer_{absent}")) && !page.contains(&format!("_{absent}_")),
            "{absent}: {page}"
        );
    }
    for there in [
        "truechimer_synchronised 0",
        "truechimer_stratum 16",
        "truechimer_leap_indicator 3",
        "truechimer_frequency_ratio 0",
        "truechimer_source_replies_total{source=\"a\",address=\"192.0.2.1:123\"} 0",
        "truechimer_source_poll_interval_seconds{source=\"a\",address=\"192.0.2.1:123\"} 1",
    ] {
        assert!(page.lines().any(|line| line == there), "{there}: {page}");
    }
    let unsteered = page_of(&status.replace("virtual", "none"), sources, "{}");
    assert!(!unsteered.contains("frequency") && !unsteered.contains("slew"), "{unsteered}");
}

#[test]
fn names_with_quotation_marks_and_backslashes_stay_in_their_labels() {
    let sources = r#"{"sources":[{"name":"a\"} 1\nevil 2","address":"\\","state":"a-word-of-tomorrow","sent":1,"reach":3,
        "rejected":{"bad_origin":1,"new_a":2,"new_b":3}},{"name":"a\"} 1\nevil 2","address":"\\","sent":7}]}"#;
    let page = page_of("{}", sources, "{}");
    let own = "source=\"a\\\"} 1\\\\nevil 2\",address=\"\\\\\"";
    for line in [
        format!("truechimer_source_state{{{own},state=\"other\"}} 1"),
        format!("truechimer_source_reach_ratio{{{own}}} 0.25"),
        format!("truechimer_source_rejected_total{{{own},reason=\"bad_origin\"}} 1"),
        format!("truechimer_source_rejected_total{{{own},reason=\"other\"}} 5"),
        format!("truechimer_source_queries_total{{{own}}} 1"),
    ] {
        assert!(page.lines().any(|found| found == line), "no {line} in:\n{page}");
    }
    assert!(page.lines().all(|line| line.starts_with("# ") || line.starts_with("truechimer_")), "{page}");
    assert!(!page.contains(" 7\n"), "two sources of one name and address are one: {page}");
}

#[test]
fn what_an_engine_makes_endless_is_bounded() {
    let source = |number: u32| {
        format!(
            "{{\"name\":\"{number}{}\",\"address\":\"{number}\",\"state\":\"selected\",\"offset_s\":1}}",
            "x".repeat(999)
        )
    };
    let sources: Vec<String> = (0..5000).map(source).collect();
    let page = page_of("{}", &format!("{{\"sources\":[{}]}}", sources.join(",")), "{}");
    assert_eq!(page.matches("truechimer_source_offset_seconds{").count(), 64);
    assert!(page.len() < 200_000, "{}", page.len());
}

#[test]
fn a_daemon_that_does_not_answer_is_down_with_the_reason_and_nothing_else_is_told() {
    let asked = |name: &str, reply: &'static [u8]| {
        let path = engine(name, move |mut stream, _| drop(stream.write_all(reply)));
        let page = ask_now(&path).write(Format::Text);
        std::fs::remove_file(path).unwrap();
        page
    };
    let gone = ask_now(Path::new("/nonexistent/control.sock")).write(Format::Text);
    let said = [
        ("not-running", gone),
        ("refused", asked("refused", b"{\"error\":\"no\"}\n")),
        ("not-understood", asked("text", b"hello\n")),
        ("not-understood", asked("form", b"{\"report\":{\"stratum\":1000}}\n")),
        ("not-understood", asked("cut", b"{\"report\":")),
    ];
    for (reason, page) in said {
        let values: Vec<&str> = page.lines().filter(|line| !line.starts_with('#')).collect();
        let down = format!("truechimer_down_info{{reason=\"{reason}\"}} 1");
        let version =
            format!("truechimer_exporter_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
        assert_eq!(values, ["truechimer_up 0", &down, &version]);
    }
}

#[test]
fn however_many_ask_the_daemon_is_asked_once_a_second() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let path = engine("once", move |mut stream, question| {
        counted.fetch_add(1, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(50));
        stream.write_all(golden(question).as_bytes()).unwrap();
    });
    let daemon = Daemon::new(path.clone());
    let begun = Instant::now();
    let ask = |daemon: &Arc<Daemon>| assert!(daemon.page().write(Format::Text).contains("truechimer_up 1\n"));
    let askers: Vec<_> = (0..20)
        .map(|_| {
            let daemon = Arc::clone(&daemon);
            thread::spawn(move || (0..50).for_each(|_| ask(&daemon)))
        })
        .collect();
    askers.into_iter().for_each(|asker| asker.join().unwrap());
    let seconds = begun.elapsed().as_secs() as usize;
    assert!(asked.load(Ordering::SeqCst) <= 3 * (seconds + 1), "{asked:?} in {seconds} s");
    thread::sleep(FRESH);
    let before = asked.load(Ordering::SeqCst);
    ask(&daemon);
    assert_eq!(asked.load(Ordering::SeqCst), before + 3, "an old page is shown again");
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_daemon_that_hangs_is_down_in_time_and_costs_one_thread() {
    let path = engine("hangs", |stream, _| {
        // Held open until the other end gives up.
        let _ = std::io::copy(&mut &stream, &mut std::io::sink());
    });
    let daemon = Daemon::new(path.clone());
    let begun = Instant::now();
    let askers: Vec<_> = (0..10)
        .map(|_| {
            let daemon = Arc::clone(&daemon);
            thread::spawn(move || daemon.page().write(Format::Text))
        })
        .collect();
    thread::sleep(Duration::from_secs(1));
    let threads = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let is_question = |task: &std::fs::DirEntry| {
        std::fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name == "question\n")
    };
    // Those of other tests are over in no time.
    assert!(threads.filter(is_question).count() <= 2);
    for asker in askers {
        let page = asker.join().unwrap();
        assert!(page.contains("truechimer_up 0\n") && page.contains("reason=\"too-slow\""), "{page}");
    }
    assert!(begun.elapsed() < PATIENCE + Duration::from_secs(4), "{:?}", begun.elapsed());
    std::fs::remove_file(path).unwrap();
}
