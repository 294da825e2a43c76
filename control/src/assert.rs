//! `chimerctl assert`: whether the time is known well enough, for scripts, health checks and units.

use crate::now::{Known, authentication, most_error, read, system_clock_error};
use crate::screen::Form;
use crate::text::{json, said, seconds};
use crate::{Failure, exit};
use command_line::AssertArguments;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};
use truechimer_time::Interval;

/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(200);

/// Looks, waits or watches, as asked.
///
/// # Errors
/// 1: it does not hold, or does no longer; 2: there is no page.
pub fn assert(socket: &Path, asked: &AssertArguments, form: Form) -> Result<String, Failure> {
    let start = Instant::now();
    let mut is_told = false;
    let first = loop {
        match look(socket, asked) {
            Ok(interval) => break interval,
            Err(failure) => {
                let is_over = asked.wait.is_none_or(|limit| start.elapsed().as_secs_f64() >= limit);
                if is_over && !asked.watch {
                    return Err(failure);
                }
                // What is measured changes all the time; what is missing does not.
                if !std::mem::replace(&mut is_told, true) {
                    tell_manager(&format!("STATUS=waiting: {}", line(&failure.text)));
                }
            }
        }
        sleep(INTERVAL);
    };
    if !asked.watch {
        return Ok(match form {
            Form::Json => json(&serde_json::to_value(Known::of(&first)).unwrap_or_default()),
            Form::Text(_) => said(&format!("holds: {}", describe(&first)), form),
        });
    }
    tell_manager(&format!("READY=1\nSTATUS=the time is {}", describe(&first)));
    loop {
        sleep(INTERVAL);
        // One look may fall between a step of the daemon's own and the page that tells of it.
        let again = |_| {
            sleep(INTERVAL / 4);
            look(socket, asked)
        };
        if let Err(failure) = look(socket, asked).or_else(again) {
            tell_manager(&format!("STATUS={}", line(&failure.text)));
            return Err(Failure { code: exit::NO, ..failure });
        }
    }
}

fn look(socket: &Path, asked: &AssertArguments) -> Result<Interval, Failure> {
    let interval = read(socket)?;
    match lacks(&interval, asked) {
        None => Ok(interval),
        Some(text) => Err(Failure { text, code: exit::NO }),
    }
}

/// What is not as asked for; none: it holds.
fn lacks(interval: &Interval, asked: &AssertArguments) -> Option<String> {
    let error = most_error(interval);
    if let Some(most) = asked.max_error
        && error > most
    {
        return Some(format!(
            "the time is known to {} only, and --max-error is {}",
            seconds(Some(error), false),
            seconds(Some(most), false)
        ));
    }
    if asked.attested && !interval.mark.attested {
        return Some(
            "the daemon's profile is not attested ([governor] in truechimer.toml(5)), or the time is from another source".to_owned(),
        );
    }
    if asked.authenticated && !interval.mark.authenticated {
        return Some(
            "not all sources that the time is from prove by NTS or by a symmetric key that it is theirs"
                .to_owned(),
        );
    }
    if asked.synchronised && !interval.synchronised {
        return Some("no sources answer that agree on the time now".to_owned());
    }
    if asked.system_clock && !interval.mark.system_clock {
        return Some("the system's clock does not follow the sources' time".to_owned());
    }
    let most = asked.max_error.filter(|_| asked.system_clock)?;
    let beside = system_clock_error(interval);
    (beside > most).then(|| {
        format!(
            "the system's clock can be off by {}, and --max-error is {}",
            seconds(Some(beside), false),
            seconds(Some(most), false)
        )
    })
}

fn describe(interval: &Interval) -> String {
    let authenticated = authentication(interval.mark);
    let synchronised = if interval.synchronised { ", synchronised" } else { "" };
    format!("known to {}{authenticated}{synchronised}", seconds(Some(most_error(interval)), false))
}

/// As one line of a status.
fn line(text: &str) -> String {
    text.replace('\n', " ")
}

/// Tells the service manager, where one waits for it (sd_notify(3)).
fn tell_manager(text: &str) {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let send = || -> std::io::Result<usize> {
        let address = match name.as_bytes().strip_prefix(b"@") {
            Some(hidden) => SocketAddr::from_abstract_name(hidden)?,
            None => SocketAddr::from_pathname(&name)?,
        };
        UnixDatagram::unbound()?.send_to_addr(text.as_bytes(), &address)
    };
    // Whoever does not listen is not told.
    let _ = send();
}

#[cfg(test)]
mod tests {
    use super::*;
    use truechimer_time::Mark;

    fn interval(synchronised: bool, authenticated: bool, system_clock: bool) -> Interval {
        Interval {
            earliest: -1_000_000,
            latest: 900_000,
            estimate: 0,
            synchronised,
            mark: Mark { authenticated, attested: false, system_clock, sources: 2 },
        }
    }

    fn asked(max_error: Option<f64>, authenticated: bool, synchronised: bool) -> AssertArguments {
        AssertArguments {
            max_error,
            authenticated,
            attested: false,
            synchronised,
            system_clock: false,
            wait: None,
            watch: false,
        }
    }

    #[test]
    fn each_condition_is_judged_by_itself_and_named() {
        let good = interval(true, true, true);
        for all in [asked(None, false, false), asked(Some(0.001), true, true)] {
            assert_eq!(lacks(&good, &all), None);
        }
        let says = |interval: &Interval, asked: &AssertArguments, part: &str| {
            let text = lacks(interval, asked).unwrap();
            assert!(text.contains(part), "{text}");
        };
        says(
            &good,
            &asked(Some(0.000_999), false, false),
            "known to 1.000 ms only, and --max-error is 999.000 µs",
        );
        says(&interval(true, false, true), &asked(None, true, false), "NTS");
        says(&interval(false, true, true), &asked(None, false, true), "answer");
        let follows = AssertArguments { system_clock: true, ..asked(None, false, false) };
        says(&interval(true, true, false), &follows, "system's clock does not");
        assert_eq!(lacks(&interval(true, true, true), &follows), None);
        // These intervals are of 1970.
        let near = AssertArguments { max_error: Some(1.0), ..follows };
        says(&interval(true, true, true), &near, "the system's clock can be off by");
        // What was not asked for does not count.
        assert_eq!(lacks(&interval(false, false, false), &asked(Some(1.0), false, false)), None);
    }

    #[test]
    fn without_a_page_it_does_not_hold_and_a_wait_ends() {
        let nowhere = Path::new("/nonexistent/control.sock");
        for wait in [None, Some(0.3)] {
            let asked = AssertArguments { wait, ..asked(None, false, false) };
            assert_eq!(assert(nowhere, &asked, Form::Json).err().unwrap().code, 2);
        }
    }
}
