//! `chimerctl wait-sync`.

use crate::Failure;
use crate::socket::{AskError, DEADLINE, ask_within};
use crate::text::{json, seconds};
use serde_json::{Value, json};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Between two questions.
const INTERVAL: Duration = Duration::from_millis(200);

/// How long a daemon that doesn't answer may take to come (back) up: the service manager's pause before a restart, and
/// a start on a busy host.
const GRACE: Duration = Duration::from_secs(30);

/// Asks until the clock is synchronised.
pub fn wait(socket: &Path, timeout: f64, max_error: Option<f64>, as_json: bool) -> Result<String, Failure> {
    let start = Instant::now();
    let limit = (timeout > 0.0).then(|| Duration::from_secs_f64(timeout));
    let mut answered = start;
    let mut last;
    loop {
        let left = limit.map_or(DEADLINE, |limit| limit.saturating_sub(start.elapsed()).min(DEADLINE));
        match ask_within(socket, "status", left.max(INTERVAL)) {
            Ok(reply) if is_reached(&reply, max_error) => {
                return Ok(success(&reply, start.elapsed(), as_json));
            }
            Ok(reply) => {
                answered = Instant::now();
                last = reason(&reply);
            }
            Err(AskError::Refused(why)) => last = why,
            // Somebody is there.
            Err(AskError::TooSlow) => {
                answered = Instant::now();
                last = AskError::TooSlow.to_string();
            }
            Err(error) => {
                let grace = limit.map_or(GRACE, |limit| limit.min(GRACE));
                if answered.elapsed() >= grace {
                    return Err(Failure { text: error.to_string(), code: 2 });
                }
                last = error.to_string();
            }
        }
        if limit.is_some_and(|limit| start.elapsed() >= limit) {
            let text = format!("not synchronised within {timeout} s: {last}");
            return Err(Failure { text, code: 1 });
        }
        sleep(INTERVAL);
    }
}

fn is_reached(reply: &Value, max_error: Option<f64>) -> bool {
    let report = reply.get("report").unwrap_or(&Value::Null);
    let synchronised = report.get("synchronised").and_then(Value::as_bool) == Some(true);
    let bound = report.get("error_bound_s").and_then(Value::as_f64);
    synchronised && max_error.is_none_or(|limit| bound.is_some_and(|bound| bound < limit))
}

fn reason(reply: &Value) -> String {
    let report = reply.get("report").unwrap_or(&Value::Null);
    let text = |key: &str| report.get(key).and_then(Value::as_str).unwrap_or("unknown").to_owned();
    let bound = seconds(report.get("error_bound_s").unwrap_or(&Value::Null), false);
    format!("{}, {} (error bound {bound})", text("state"), text("reason"))
}

fn success(reply: &Value, waited: Duration, as_json: bool) -> String {
    let report = reply.get("report").unwrap_or(&Value::Null);
    let bound = report.get("error_bound_s").unwrap_or(&Value::Null);
    match as_json {
        true => {
            json(&json!({ "synchronised": true, "error_bound_s": bound, "waited_s": waited.as_secs_f64() }))
        }
        false => format!("synchronised, error bound {}\n", seconds(bound, false)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(synchronised: bool, bound: Value) -> Value {
        json!({ "report": { "synchronised": synchronised, "error_bound_s": bound, "state": "starting", "reason": "no reply" } })
    }

    #[test]
    fn synchronised_with_an_error_below_the_limit_is_what_is_waited_for() {
        assert!(is_reached(&reply(true, json!(0.02)), None));
        assert!(is_reached(&reply(true, json!(0.02)), Some(0.021)));
        assert!(!is_reached(&reply(true, json!(0.02)), Some(0.02)));
        assert!(!is_reached(&reply(true, Value::Null), Some(1.0)), "an unknown bound is not below");
        assert!(!is_reached(&reply(false, json!(0.0)), None));
        assert!(!is_reached(&json!({}), None));
    }

    #[test]
    fn no_daemon_is_code_two() {
        let failure = wait(Path::new("/nonexistent/socket"), 0.3, None, false).err().unwrap();
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
                let _ = writeln!(stream, "{}", reply(false, json!(16)));
            }
        });
        let failure = wait(&path, 0.5, None, false).err().unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(failure.code, 1);
        assert!(failure.text.contains("starting, no reply (error bound 16.000 s)"), "{}", failure.text);
    }
}
