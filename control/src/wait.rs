//! `chimerctl wait-sync`.

use crate::screen::Form;
use crate::text::{json, seconds};
use crate::{Failure, exit};
use control_socket::{AskError, DEADLINE, ask_within, read};
use report::read::{StatusReply, SystemReport};
use report::{FORMAT, Word};
use serde_json::json;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The interval between two questions.
const INTERVAL: Duration = Duration::from_millis(200);

/// How long a daemon that does not answer may take to come (back) up: the service manager's pause before a restart, and
/// a start on a busy host.
const GRACE: Duration = Duration::from_secs(30);

/// Asks until the clock is synchronised.
pub fn wait(socket: &Path, timeout: f64, max_error: Option<f64>, form: Form) -> Result<String, Failure> {
    let start = Instant::now();
    let limit = (timeout > 0.0).then(|| Duration::from_secs_f64(timeout));
    let mut answered = start;
    let mut last;
    loop {
        let left = limit.map_or(DEADLINE, |limit| limit.saturating_sub(start.elapsed()).min(DEADLINE));
        match ask_status(socket, left.max(INTERVAL)) {
            Ok(reply) if is_reached(&reply, max_error) => {
                return Ok(success(&reply, start.elapsed(), form));
            }
            Ok(reply) => {
                answered = Instant::now();
                last = reason(&reply);
            }
            Err(AskError::Refused(why)) => last = why,
            // A daemon answers.
            Err(error @ AskError::TooSlow(_)) => {
                answered = Instant::now();
                last = error.to_string();
            }
            Err(error) => {
                let grace = limit.map_or(GRACE, |limit| limit.min(GRACE));
                if answered.elapsed() >= grace {
                    return Err(Failure { text: error.to_string(), code: exit::UNABLE });
                }
                last = error.to_string();
            }
        }
        if limit.is_some_and(|limit| start.elapsed() >= limit) {
            let text = format!("not synchronised within {timeout} s: {last}");
            return Err(Failure { text, code: exit::NO });
        }
        sleep(INTERVAL);
    }
}

fn ask_status(socket: &Path, deadline: Duration) -> Result<SystemReport, AskError> {
    let status: StatusReply = read(&ask_within(socket, "status", deadline)?)?;
    Ok(status.report.unwrap_or_default())
}

fn is_reached(report: &SystemReport, max_error: Option<f64>) -> bool {
    let is_below = |limit| report.error_bound_s.is_some_and(|bound| bound < limit);
    report.synchronised == Some(true) && max_error.is_none_or(is_below)
}

fn reason(report: &SystemReport) -> String {
    let bound = seconds(report.error_bound_s, false);
    let state = report.state.as_ref().map_or("unknown", Word::as_str);
    let reason = report.reason.as_deref().unwrap_or("unknown");
    format!("{state}, {reason} (error bound {bound})")
}

fn success(report: &SystemReport, waited: Duration, form: Form) -> String {
    let bound = report.error_bound_s;
    match form {
        Form::Json => {
            let waited = waited.as_secs_f64();
            json(&json!({ "format": FORMAT, "synchronised": true, "error_bound_s": bound,
                    "last_update_s": report.last_update_s, "waited_s": waited }))
        }
        Form::Text(screen) => {
            let bound = seconds(bound, false);
            let age = seconds(report.last_update_s, false);
            let text = screen.show(&format!("synchronised, error bound {bound}, corrected {age} ago"));
            screen.wrap(&text, 0, 0) + "\n"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(synchronised: bool, bound: Option<f64>) -> SystemReport {
        SystemReport { synchronised: Some(synchronised), error_bound_s: bound, ..SystemReport::default() }
    }

    #[test]
    fn synchronised_with_an_error_below_the_limit_is_what_is_waited_for() {
        assert!(is_reached(&report(true, Some(0.02)), None));
        assert!(is_reached(&report(true, Some(0.02)), Some(0.021)));
        assert!(!is_reached(&report(true, Some(0.02)), Some(0.02)));
        assert!(!is_reached(&report(true, None), Some(1.0)), "an unknown bound is not below");
        assert!(!is_reached(&report(false, Some(0.0)), None));
        assert!(!is_reached(&SystemReport::default(), None));
    }

    #[test]
    fn a_success_says_how_old_the_last_correction_is() {
        let report = SystemReport { last_update_s: Some(754.0), ..report(true, Some(0.02)) };
        let said = success(&report, Duration::ZERO, Form::Json);
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert_eq!(said["last_update_s"], 754.0);
    }

    #[test]
    fn no_daemon_is_code_two() {
        let failure = wait(Path::new("/nonexistent/socket"), 0.3, None, Form::Json).err().unwrap();
        assert_eq!(failure.code, 2);
        assert!(failure.text.contains("--socket"));
    }

    #[test]
    fn a_daemon_that_stays_unsynchronised_is_code_one_at_the_timeout() {
        use std::io::{Read, Write};
        let path = std::env::temp_dir().join(format!("chimerctl-wait-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 64]);
                let report = json!({
                    "synchronised": false, "error_bound_s": 16, "state": "starting", "reason": "no reply",
                });
                let _ = writeln!(stream, "{}", json!({ "report": report }));
            }
        });
        let failure = wait(&path, 0.5, None, Form::Json).err().unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(failure.code, 1);
        assert!(failure.text.contains("starting, no reply (error bound 16.000 s)"), "{}", failure.text);
    }
}
