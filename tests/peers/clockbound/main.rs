//! `clockbound-clients 3|2 PATH COUNT [VMCLOCK]`: asks ClockBound's client of that version for the time so often, and writes a line for
//! each answer: CLOCK_REALTIME before it, earliest, latest, status, CLOCK_REALTIME after it; nanoseconds since 1970. For each line of
//! standard input it asks again. VMCLOCK: the page that version 3 compares with, if the segment says so, in place of /dev/vmclock0.

use std::fmt::Debug;
use std::io::BufRead;
use std::time::{SystemTime, UNIX_EPOCH};

fn wall() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos()
}

fn tell<T, E: Debug>(count: u32, mut now: impl FnMut() -> Result<T, E>, parts: impl Fn(T) -> (i128, i128, String)) {
    let mut ask = || {
        for _ in 0..count {
            let before = wall();
            let answer = now();
            let after = wall();
            match answer {
                Ok(answer) => {
                    let (earliest, latest, status) = parts(answer);
                    println!("{before} {earliest} {latest} {status} {after}");
                }
                Err(error) => println!("error {error:?}"),
            }
        }
        println!("end");
    };
    ask();
    for line in std::io::stdin().lock().lines() {
        if line.is_ok() {
            ask();
        }
    }
}

/// Earliest, latest and status of an answer, which is of another type in each version.
macro_rules! parts {
    ($answer:expr) => {{
        let nanos = |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
        let (earliest, latest) = ($answer.earliest, $answer.latest);
        (
            nanos(earliest.tv_sec(), earliest.tv_nsec()),
            nanos(latest.tv_sec(), latest.tv_nsec()),
            format!("{:?}", $answer.clock_status),
        )
    }};
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (version, path, count, vmclock) = match words.as_slice() {
        [version, path, count] => (version, path, count, "/dev/vmclock0"),
        [version, path, count, vmclock] => (version, path, count, vmclock.as_str()),
        _ => panic!("3|2 PATH COUNT [VMCLOCK]"),
    };
    let count: u32 = count.parse().expect("a number");
    match version.as_str() {
        "3" => match clock_bound::Client::new_with_paths(path, vmclock) {
            Ok(mut client) => tell(
                count,
                || client.now(),
                |it| parts!(it),
            ),
            Err(error) => println!("error {error:?}"),
        },
        _ => match clock_bound_client::ClockBoundClient::new_with_path(path) {
            Ok(mut client) => tell(
                count,
                || client.now().map_err(|error| error.detail),
                |it| parts!(it),
            ),
            Err(error) => println!("error {}", error.detail),
        },
    }
}
