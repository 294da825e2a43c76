//! `chimerctl status`.

use crate::Failure;
use crate::keys::certificate_line;
use crate::minutes::moment_of as moment;
use crate::process::Process;
use crate::screen::{Form, Screen};
use crate::text::{json, list, plain, ppm, seconds, table};
use control_socket::{ask, read};
use ipc::units::WallTime;
use report::read::{HistoryFileReply, RoughtimeReply, StatusReply, SystemReport};
use serde_json::{Value, json};
use std::path::Path;

/// Most processes that are examined, however many the engine names.
const MAX_PROCESSES: usize = 16;

/// Asks the engine, then the kernel, and prints both.
pub fn show(socket: &Path, form: Form) -> Result<String, Failure> {
    let answer = ask(socket, "status")?;
    let reply: StatusReply = read(&answer)?;
    let processes = observe(&reply);
    Ok(match form {
        Form::Json => json(&document(&answer, &processes)),
        Form::Text(screen) => page(&reply, &processes, screen),
    })
}

/// What the kernel reports of the processes that are named.
pub fn observe(reply: &StatusReply) -> Vec<Process> {
    let named = reply.processes.iter().flatten().take(MAX_PROCESSES);
    named.filter_map(|process| Some(Process::observe(process.name.as_ref()?, process.pid?))).collect()
}

/// The daemon's reply, unchanged even if the daemon is of another version, next to what the kernel reports.
fn document(answer: &Value, processes: &[Process]) -> Value {
    json!({
        "format": answer.get("format"),
        "version": answer.get("version"),
        "clock": answer.get("report"),
        "processes": processes,
        "shortfalls": answer.get("shortfalls"),
        "fips_module": answer.get("fips_module"),
        "state_elsewhere": answer.get("state_elsewhere"),
        "server": answer.get("server"),
        "key_exchange": answer.get("key_exchange"),
        "unserved": answer.get("unserved"),
        "history": answer.get("history"),
        "roughtime": answer.get("roughtime"),
    })
}

fn page(reply: &StatusReply, processes: &[Process], screen: Screen) -> String {
    let unknown = SystemReport::default();
    let clock = reply.report.as_ref().unwrap_or(&unknown);
    let reference = match clock.reference.as_deref() {
        Some("") | None => plain(clock.reference_id.as_ref()),
        Some(name) => format!("{name} ({})", plain(clock.reference_id.as_ref())),
    };
    let refusals = plain(clock.refusals.as_ref());
    let mut lines = vec![
        ("state", plain(clock.state.as_ref())),
        ("why", plain(clock.reason.as_ref())),
        ("clock", plain(clock.clock.as_ref())),
        ("stratum", plain(clock.stratum.as_ref())),
        ("reference", reference),
        ("leap", plain(clock.leap.as_ref())),
        // Before the first update there is no such value.
        ("offset", offset(clock.last_update_s.and(clock.offset_s))),
        ("estimated error", seconds(clock.estimated_error_s, false)),
        ("error bound", bound(clock)),
        ("slew left", seconds(clock.slew_left_s, true)),
        (
            "frequency",
            format!("{} ± {}", ppm(clock.frequency_ppm, false), ppm(clock.frequency_error_ppm, false)),
        ),
        ("root delay", seconds(clock.root_delay_s, false)),
        ("root dispersion", seconds(clock.root_dispersion_s, false)),
        ("last update", seconds(clock.last_update_s, false)),
        ("steps", plain(clock.steps.as_ref())),
        ("refusals", format!("{refusals} {}", plain(clock.last_refusal.as_ref()))),
    ];
    lines.extend(
        certificate_line(reply.key_exchange.as_ref()).map(|certificate| ("certificate", certificate)),
    );
    if let Some(names) = clock.one_operator.as_deref().filter(|names| !names.is_empty()) {
        let names = format!(
            "{}: their certificates show that of others too; see chimerctl sources",
            names.join(", ")
        );
        lines.push(("one operator", names));
    }
    lines.extend(clock.pauses.clone().map(|shown| ("pauses", shown)));
    lines.extend(clock.losses.clone().map(|losses| ("losses", losses)));
    lines.extend(clock.authentication.clone().map(|how| ("authentication", how)));
    lines.extend(clock.tai_offset_s.map(|seconds| ("TAI \u{2212} UTC", format!("{seconds} s"))));
    lines.extend(clock.leap_list.clone().map(|list| ("leap list", list)));
    for entry in reply.unserved.iter().flatten() {
        let what = format!("{}: {}", plain(entry.listen.as_ref()), plain(entry.reason.as_ref()));
        lines.push(("not served", what));
    }
    lines.extend(reply.history.as_ref().map(|history| ("history", of_history(history))));
    for what in reply.history.iter().filter_map(|history| history.lack.clone()) {
        lines.push(("history lacks", what));
    }
    lines.extend(reply.roughtime.as_ref().map(|known| ("roughtime", of_roughtime(known))));
    if let Some(known) = &reply.roughtime {
        let anchors = known.anchors.map(|count| {
            let last = known
                .last_anchor_unix_s
                .map_or(String::new(), |at| format!(", the last one of {}", time(at)));
            format!("{count}{last}")
        });
        lines.extend(anchors.map(|anchors| ("anchors", anchors)));
        lines.extend(known.anchors_reason.clone().map(|why| ("anchors lack", why)));
        lines.extend(known.lying.iter().flatten().map(|who| ("roughtime lies", plain(Some(who)))));
        lines.extend(known.silent.iter().flatten().map(|who| ("roughtime silent", plain(Some(who)))));
    }
    let mut text = list(screen, &lines);
    text.push('\n');
    let rows: Vec<Vec<String>> = processes.iter().map(row).collect();
    let head = [
        "PROCESS",
        "PID",
        "UID",
        "USER",
        "CAPABILITIES",
        "OWN NAMESPACES",
        "SECCOMP",
        "NO-NEW-PRIVS",
        "MEMORY",
    ];
    text.push_str(&table(screen, &head, &rows));
    for stranger in processes.iter().filter(|process| !process.is_ours()) {
        let program = stranger.program.as_deref().unwrap_or("");
        let what = format!("pid {} is {program}, not a process of truechimer", stranger.pid);
        text.push_str(&list(screen, &[("warning:", what)]));
    }
    if let Some(what) = of_fips(reply.fips_module.as_ref(), is_kernel_in_fips_mode()) {
        text.push_str(&list(screen, &[("FIPS 140:", what)]));
    }
    if let Some(why) = &reply.state_elsewhere {
        let what = format!("the state directory is not used: {}", plain(Some(why)));
        text.push_str(&list(screen, &[("warning:", what)]));
    }
    text.push_str(&shortfalls(reply, screen));
    text
}

/// Whether the kernel was started with `fips=1`.
fn is_kernel_in_fips_mode() -> bool {
    std::fs::read_to_string("/proc/sys/crypto/fips_enabled").is_ok_and(|text| text.trim() == "1")
}

/// Which validated module is in force, or that none is on a host that wants one.
fn of_fips(module: Option<&String>, is_kernel_in_fips_mode: bool) -> Option<String> {
    match (module, is_kernel_in_fips_mode) {
        (Some(_), _) => Some(format!("{}, in approved mode, does the engine's cryptography", plain(module))),
        (None, true) => {
            let none =
                "the kernel is in FIPS mode, and the cryptography of this build is of no validated module";
            Some(format!("{none}: docs/fips.md says what works and how to build one that has it"))
        }
        (None, false) => None,
    }
}

/// A time of UTC, to the second.
fn time(unix_seconds: i64) -> String {
    moment(WallTime::saturating(unix_seconds.saturating_mul(1_000_000_000)))
}

/// The history of minutes in a line.
fn of_history(history: &HistoryFileReply) -> String {
    let mut parts = vec![match (history.written, history.reason.as_deref()) {
        (Some(true), _) => "written each minute".to_owned(),
        (_, why) => format!("not written: {}", plain(why.as_ref())),
    }];
    if let (Some(records), Some(first), Some(last)) =
        (history.records, history.first_unix_s, history.last_unix_s)
    {
        parts.push(format!("from {} to {}, {records} records so far", time(first), time(last)));
    }
    if let Some(waiting) = history.waiting.filter(|waiting| *waiting > 0) {
        parts.push(format!("{waiting} records wait in memory"));
    }
    parts.push(match (history.noted_records, history.noted_unix_s) {
        (Some(records), Some(at)) => format!("the audit log names its end at {records} since {}", time(at)),
        _ => "the audit log does not name its end in this run yet".to_owned(),
    });
    parts.join("; ")
}

/// Roughtime in a line.
fn of_roughtime(known: &RoughtimeReply) -> String {
    let servers = plain(known.servers.as_ref());
    let mut parts = vec![match (known.answered, known.last_round_s) {
        (Some(answered), Some(ago)) => {
            format!("{answered} of {servers} servers answered {} ago", seconds(Some(ago), false))
        }
        _ => format!("none of {servers} servers has been asked to the end yet"),
    }];
    if let Some(failed) = known.failed_rounds.filter(|failed| *failed > 0) {
        parts.push(format!("no result since {failed} rounds"));
    }
    parts.push(match (known.earliest_unix_s, known.latest_unix_s) {
        (Some(earliest), Some(latest)) => {
            let half = seconds(Some((latest - earliest) / 2.0), false);
            format!(
                "true time is signed to \u{b1}{half} now, around {}",
                time(((earliest + latest) / 2.0) as i64)
            )
        }
        _ => "no signed time limits the sources now".to_owned(),
    });
    parts.join("; ")
}

/// With the word for its direction, which a sign alone does not show: positive, the clock is behind.
pub fn offset(value: Option<f64>) -> String {
    let way = match value {
        Some(offset) if offset > 0.0 => " (slow)",
        Some(offset) if offset < 0.0 => " (fast)",
        _ => "",
    };
    seconds(value, true) + way
}

/// The hard bound, and the likely one, if anything is likely.
pub fn bound(clock: &SystemReport) -> String {
    let hard = seconds(clock.error_bound_s, false);
    match clock.likely_error_s.map(|likely| seconds(Some(likely), false)) {
        Some(likely) => format!("{hard}; likely within {likely} (by the model, 1e-6)"),
        None => hard,
    }
}

fn row(process: &Process) -> Vec<String> {
    let unknown = || "?".to_owned();
    let capabilities = match process.capabilities.as_deref() {
        None => unknown(),
        Some([]) => "none".to_owned(),
        Some(held) if held.len() > 4 => format!("{} of them", held.len()),
        Some(held) => held.join(","),
    };
    let own: Vec<&str> =
        process.namespaces.iter().filter(|(_, state)| **state == "own").map(|(kind, _)| *kind).collect();
    let all_unknown = process.namespaces.values().all(|state| *state == "unknown");
    let namespaces = match own.as_slice() {
        [] if all_unknown => unknown(),
        [] => "none".to_owned(),
        own => own.join(","),
    };
    let seccomp = match process.seccomp {
        None => unknown(),
        Some(0) => "none".to_owned(),
        Some(2) => "filter".to_owned(),
        Some(mode) => format!("mode {mode}"),
    };
    let no_new_privs =
        process.no_new_privs.map_or_else(unknown, |set| if set { "yes" } else { "no" }.to_owned());
    let memory = match (process.pss_kib, process.rss_kib) {
        (Some(pss), _) => format!("{pss} KiB"),
        (None, Some(rss)) => format!("{rss} KiB (with shared)"),
        (None, None) => unknown(),
    };
    vec![
        process.name.clone(),
        process.pid.to_string(),
        process.uid.map_or_else(unknown, |uid| uid.to_string()),
        process.user.clone().unwrap_or_else(unknown),
        capabilities,
        namespaces,
        seccomp,
        no_new_privs,
        memory,
    ]
}

fn shortfalls(reply: &StatusReply, screen: Screen) -> String {
    let all = reply.shortfalls.iter().flatten().filter(|(_, missing)| !missing.is_empty());
    let rows = all.map(|(process, missing)| ("missing", format!("{process}: {}", missing.join(", "))));
    list(screen, &rows.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> Value {
        json!({
            "version": "0.1.0",
            "clock": "virtual",
            "report": {
                "clock": "virtual", "state": "synchronised\u{1b}[31m", "synchronised": true, "offset_s": 1.5e-5,
                "last_update_s": 2, "reference": "192.0.2.1", "reference_id": "c0000201", "frequency_ppm": -12.5,
            },
            "processes": [{ "name": "engine", "pid": std::process::id() }, { "name": "x" }],
            "shortfalls": { "client": ["landlock"], "engine": [] },
            "server": null,
        })
    }

    fn reply() -> StatusReply {
        read(&answer()).unwrap()
    }

    #[test]
    fn the_module_in_force_is_named_and_a_kernel_in_fips_mode_without_one_is_told() {
        let module = "AWS-LC".to_owned();
        for kernel in [false, true] {
            let said = of_fips(Some(&module), kernel).unwrap();
            assert!(
                said.contains("AWS-LC") && said.contains("approved") && !said.contains('\u{1b}'),
                "{said}"
            );
        }
        assert!(of_fips(None, true).is_some_and(|said| said.contains("no validated module")));
        assert_eq!(of_fips(None, false), None);
    }

    #[test]
    fn what_is_kept_for_auditors_has_its_lines_and_a_daemon_that_says_nothing_of_it_has_none() {
        let page = |answer: &Value| page(&read(answer).unwrap(), &[], Screen::WIDE);
        let without = page(&answer());
        assert!(!without.contains("history") && !without.contains("roughtime"), "{without}");
        let mut all = answer();
        all["history"] = json!({
            "written": true, "reason": null, "records": 4321, "first_unix_s": 1_700_000_000,
            "last_unix_s": 1_700_259_200, "waiting": 0, "noted_records": 4300, "noted_unix_s": 1_700_257_000,
            "lack": null,
        });
        all["roughtime"] = json!({
            "servers": 5, "answered": 4, "last_round_s": 12.5, "failed_rounds": 0,
            "earliest_unix_s": 1_700_259_198.5, "latest_unix_s": 1_700_259_202.5, "anchors": 77,
            "last_anchor_unix_s": 1_700_257_003, "anchors_reason": null,
            "lying": ["a.example has signed times that exclude each other"], "silent": [],
        });
        let shown = page(&all);
        for part in [
            "written each minute; from 2023-11-14T22:13:20Z to 2023-11-17T22:13:20Z, 4321 records so far; the audit log names its \
             end at 4300 since 2023-11-17T21:36:40Z",
            "4 of 5 servers answered 12.500 s ago; true time is signed to \u{b1}2.000 s now, around 2023-11-17T22:13:20Z",
            "77, the last one of 2023-11-17T21:36:43Z",
            "roughtime lies   a.example has signed times",
        ] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        all["history"] =
            json!({ "written": false, "reason": "engine.history cannot be written: full", "waiting": 3 });
        all["roughtime"] = json!({ "servers": 3, "failed_rounds": 2, "anchors_reason": "engine.anchors cannot be written: full" });
        let shown = page(&all);
        for part in [
            "not written: engine.history cannot be written: full; 3 records wait in memory; the audit log does not name its end",
            "none of 3 servers has been asked to the end yet; no result since 2 rounds; no signed time limits the sources now",
            "anchors lack     engine.anchors cannot be written: full",
        ] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
    }

    #[test]
    fn the_page_has_the_clock_and_each_process_as_the_kernel_reports_it() {
        let reply = reply();
        let processes = observe(&reply);
        assert_eq!(processes.len(), 1, "entries that are no process are left out");
        let page = page(&reply, &processes, Screen::WIDE);
        assert!(page.contains("offset           +15.000 µs (slow)\n"), "{page}");
        assert!(page.contains("192.0.2.1 (c0000201)") && page.contains("-12.500 ppm ± -"), "{page}");
        assert!(page.contains(&std::process::id().to_string()));
        assert!(page.contains("client: landlock") && !page.contains("engine: "));
        assert!(page.contains("not a process of truechimer"), "this test is not one: {page}");
    }

    /// `engine/src/answers/tests.rs` checks that the engine writes the same.
    #[test]
    fn the_golden_document_is_read_to_the_last_field() {
        let answer: Value = serde_json::from_str(include_str!("../../ipc/report/tests/status.json")).unwrap();
        let page = page(&read(&answer).unwrap(), &[], Screen::WIDE);
        let expected = "state            synchronised\n\
            why              the clock follows 1 of 2 sources\n\
            clock            kernel\n\
            stratum          3\n\
            reference        a.example (c0000201)\n\
            leap             none\n\
            offset           +15.000 µs (slow)\n\
            estimated error  2.000 µs\n\
            error bound      6.100 ms; likely within 3.700 ms (by the model, 1e-6)\n\
            slew left        -10.000 µs\n\
            frequency        -12.500 ppm ± 0.030 ppm\n\
            root delay       11.000 ms\n\
            root dispersion  -\n\
            last update      4.500 s\n\
            steps            1\n\
            refusals         2 budget\n\
            certificate      in use until 2027-01-15 (5 days left); the certificate of [server.nts] expires in 5 days: renew it, then \
            chimerctl reload; /etc/truechimer/nts/b.pem: the private key of [[server.nts.pair]], /etc/truechimer/nts/b-key.pem, is \
            not that of its certificate, /etc/truechimer/nts/b.pem: write both of one pair, then chimerctl reload; clients that ask for its names are shown the first one until that is mended\n\
            one operator     a.example, c.example: their certificates show that of others too; see chimerctl sources\n\
            pauses           shown by the hardware clock (RTC) and vmclock\n\
            losses           of the 4 sources that decide, any 3 may fall silent, or any 1 be wrong, and the others are followed\n\
            authentication   all 3 sources that the clock follows are authenticated, and no other has corrected it for 2 h\n\
            TAI − UTC        37 s\n\
            leap list        in force until 2026-06-28\n\
            not served       0.0.0.0%eth0:123: there is no interface eth0 now; time is served on it as soon as there is one (ip \
            link shows all)\n\
            history          written each minute; from 2023-11-14T22:13:20Z to 2023-11-17T22:13:20Z, 4321 records so far; the audit \
            log names its end at 4300 since 2023-11-17T21:36:40Z\n\
            roughtime        4 of 5 servers answered 12.500 s ago; true time is signed to ±2.000 s now, around 2023-11-17T22:13:20Z\n\
            anchors          77, the last one of 2023-11-17T21:36:43Z\n\
            roughtime lies   a.example has signed times that exclude each other; it counts for nothing, and if it lasts, take it out \
            of [roughtime]\n\
            \n\
            PROCESS  PID  UID  USER  CAPABILITIES  OWN NAMESPACES  SECCOMP  NO-NEW-PRIVS  MEMORY\n\
            missing  client: landlock, syscall-filter\n";
        assert_eq!(page, expected);
    }

    #[test]
    fn a_daemon_of_another_version_has_a_page_with_what_is_known() {
        let mut newer = answer();
        newer["report"]["phase_of_the_moon"] = json!({ "full": true });
        newer["report"]["state"] = json!("a-word-of-tomorrow");
        newer["processes"][0]["colour"] = json!("blue");
        let page_of = |answer: &Value| page(&read(answer).unwrap(), &[], Screen::WIDE);
        assert!(page_of(&newer).starts_with("state            a-word-of-tomorrow\n"));
        for older in [json!({}), json!({ "report": {} }), json!({ "report": null, "processes": null })] {
            let page = page_of(&older);
            assert!(page.starts_with("state            -\nwhy              -\n"), "{page}");
            assert!(
                page.contains("offset           -\n") && page.contains("refusals         - -\n"),
                "{page}"
            );
        }
    }

    #[test]
    fn a_clock_that_is_behind_is_slow_and_one_that_is_ahead_is_fast() {
        assert_eq!(offset(Some(0.25)), "+250.000 ms (slow)");
        assert_eq!(offset(Some(-2.0)), "-2.000 s (fast)");
        assert_eq!(offset(Some(0.0)), "+0.000 ns");
        assert_eq!(offset(None), "-");
    }

    #[test]
    fn a141_escapes_in_the_engine_s_words_are_not_obeyed() {
        assert!(!page(&reply(), &[], Screen::WIDE).contains('\u{1b}'));
        assert!(!json(&document(&answer(), &[])).contains('\u{1b}'));
    }

    #[test]
    fn a141_what_makes_no_sense_is_said_in_one_sentence() {
        for answer in [
            json!({ "report": 1 }),
            json!({ "report": "synchronised" }),
            json!({ "processes": {} }),
            json!({ "shortfalls": [1] }),
            json!({ "report": { "stratum": 1000 } }),
        ] {
            let error = read::<StatusReply>(&answer).unwrap_err().to_string();
            assert!(
                error.starts_with("the answer is not understood; are chimerctl and the daemon of the same")
            );
        }
    }

    #[test]
    fn the_document_keeps_its_names() {
        let document = document(&answer(), &observe(&reply()));
        assert_eq!(document["clock"]["synchronised"], true);
        let process = &document["processes"][0];
        for key in ["name", "pid", "uid", "capabilities", "seccomp", "no_new_privs", "rss_kib", "pss_kib"] {
            assert!(process.get(key).is_some(), "{key}");
        }
        assert_eq!(process["namespaces"]["net"], "shared");
    }
}
