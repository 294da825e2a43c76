//! `chimerctl status`.

use crate::Failure;
use crate::keys::certificate_line;
use crate::process::Process;
use crate::socket::ask;
use crate::text::{json, list, plain, seconds, table};
use serde_json::{Value, json};
use std::path::Path;

/// Most processes that are looked at, whatever the engine says.
const MAX_PROCESSES: usize = 16;

/// Asks the engine, then the kernel, and prints both.
pub fn show(socket: &Path, as_json: bool) -> Result<String, Failure> {
    let reply = ask(socket, "status")?;
    let processes = observe(&reply);
    Ok(if as_json { json(&document(&reply, &processes)) } else { page(&reply, &processes) })
}

fn observe(reply: &Value) -> Vec<Process> {
    let named = reply.get("processes").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let all = named.iter().take(MAX_PROCESSES).filter_map(|process| {
        let pid = u32::try_from(process.get("pid")?.as_u64()?).ok()?;
        Some(Process::observe(process.get("name")?.as_str()?, pid))
    });
    all.collect()
}

fn document(reply: &Value, processes: &[Process]) -> Value {
    json!({
        "version": reply.get("version"),
        "clock": reply.get("report"),
        "processes": processes,
        "shortfalls": reply.get("shortfalls"),
        "server": reply.get("server"),
        "key_exchange": reply.get("key_exchange"),
    })
}

fn page(reply: &Value, processes: &[Process]) -> String {
    let report = reply.get("report").unwrap_or(&Value::Null);
    let value = |key: &str| report.get(key).unwrap_or(&Value::Null);
    let ppm = |key: &str| value(key).as_f64().map_or("-".to_owned(), |ppm| format!("{ppm:.3} ppm"));
    let reference = match value("reference").as_str() {
        Some("") | None => plain(value("reference_id")),
        Some(name) => format!("{name} ({})", plain(value("reference_id"))),
    };
    let mut text = list(&[
        ("state", plain(value("state"))),
        ("why", plain(value("reason"))),
        ("clock", plain(value("clock"))),
        ("stratum", plain(value("stratum"))),
        ("reference", reference),
        ("leap", plain(value("leap"))),
        // Before the first update there is none.
        (
            "offset",
            if report.get("last_update_s").is_some_and(Value::is_null) {
                "-".to_owned()
            } else {
                offset(value("offset_s"))
            },
        ),
        ("estimated error", seconds(value("estimated_error_s"), false)),
        ("error bound", seconds(value("error_bound_s"), false)),
        ("slew left", seconds(value("slew_left_s"), true)),
        ("frequency", format!("{} ± {}", ppm("frequency_ppm"), ppm("frequency_error_ppm"))),
        ("root delay", seconds(value("root_delay_s"), false)),
        ("root dispersion", seconds(value("root_dispersion_s"), false)),
        ("last update", seconds(value("last_update_s"), false)),
        ("steps", plain(value("steps"))),
        ("refusals", format!("{} {}", plain(value("refusals")), plain(value("last_refusal")))),
    ]);
    if let Some(certificate) = certificate_line(reply) {
        text.push_str(&list(&[("certificate", certificate)]));
    }
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
    text.push_str(&table(&head, &rows));
    for stranger in processes.iter().filter(|process| !process.is_ours()) {
        let program = stranger.program.as_deref().unwrap_or("");
        let what = format!("pid {} is {program}, not a process of truechimer", stranger.pid);
        text.push_str(&list(&[("warning:", what)]));
    }
    text.push_str(&shortfalls(reply));
    text
}

/// With the word that says in which direction, which a sign alone doesn't: positive, the clock is behind.
fn offset(value: &Value) -> String {
    let way = match value.as_f64() {
        Some(offset) if offset > 0.0 => " (slow)",
        Some(offset) if offset < 0.0 => " (fast)",
        _ => "",
    };
    seconds(value, true) + way
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

fn shortfalls(reply: &Value) -> String {
    let Some(all) = reply.get("shortfalls").and_then(Value::as_object) else { return String::new() };
    let short: Vec<(&str, String)> = all
        .iter()
        .filter_map(|(process, missing)| {
            let names: Vec<&str> = missing.as_array()?.iter().filter_map(Value::as_str).collect();
            (!names.is_empty()).then(|| ("missing", format!("{process}: {}", names.join(", "))))
        })
        .collect();
    list(&short)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply() -> Value {
        json!({
            "version": "0.1.0",
            "clock": "virtual",
            "report": {
                "clock": "virtual", "state": "synchronised\u{1b}[31m", "synchronised": true, "offset_s": 1.5e-5,
                "reference": "192.0.2.1", "reference_id": "c0000201", "frequency_ppm": -12.5,
            },
            "processes": [{ "name": "engine", "pid": std::process::id() }, { "name": "x", "pid": -1 }, 7],
            "shortfalls": { "client": ["landlock"], "engine": [] },
            "server": null,
        })
    }

    #[test]
    fn the_page_has_the_clock_and_each_process_as_the_kernel_reports_it() {
        let reply = reply();
        let processes = observe(&reply);
        assert_eq!(processes.len(), 1, "entries that are no process are left out");
        let page = page(&reply, &processes);
        assert!(page.contains("offset           +15.000 µs (slow)\n"), "{page}");
        assert!(page.contains("192.0.2.1 (c0000201)") && page.contains("-12.500 ppm ± -"), "{page}");
        assert!(page.contains(&std::process::id().to_string()));
        assert!(page.contains("client: landlock") && !page.contains("engine: "));
        assert!(page.contains("not a process of truechimer"), "this test is not one: {page}");
    }

    #[test]
    fn a_clock_that_is_behind_is_slow_and_one_that_is_ahead_is_fast() {
        assert_eq!(offset(&json!(0.25)), "+250.000 ms (slow)");
        assert_eq!(offset(&json!(-2)), "-2.000 s (fast)");
        assert_eq!(offset(&json!(0)), "+0.000 ns");
        assert_eq!(offset(&Value::Null), "-");
    }

    #[test]
    fn a141_escapes_in_the_engine_s_words_are_not_obeyed() {
        let reply = reply();
        assert!(!page(&reply, &[]).contains('\u{1b}'));
        assert!(!json(&document(&reply, &[])).contains('\u{1b}'));
    }

    #[test]
    fn a141_any_json_object_makes_a_page() {
        for reply in
            [json!({}), json!({ "report": 1, "processes": {}, "shortfalls": [1] }), json!({ "report": [] })]
        {
            assert!(page(&reply, &observe(&reply)).contains("state"));
        }
    }

    #[test]
    fn the_document_keeps_its_names() {
        let reply = reply();
        let document = document(&reply, &observe(&reply));
        assert_eq!(document["clock"]["synchronised"], true);
        let process = &document["processes"][0];
        for key in ["name", "pid", "uid", "capabilities", "seccomp", "no_new_privs", "rss_kib", "pss_kib"] {
            assert!(process.get(key).is_some(), "{key}");
        }
        assert_eq!(process["namespaces"]["net"], "shared");
    }
}
