//! Corrects a wrong clock in front of the user: real processes, real sandboxes, real packets on the
//! loopback interface, protected by NTS, and a virtual clock instead of the machine's.

use crate::cargo;
use bench::daemon::{Daemon, Setup};
use bench::interrupted::end_all_when_interrupted;
use bench::nts::NtsServer;
use bench::programs::has_ipv6;
use std::fmt::Write;
use std::time::{Duration, Instant};

const ERROR_NS: i64 = -3_700_000_000;
const OSCILLATOR_PPM: f64 = -40.0;
/// After the build.
const LONGEST: Duration = Duration::from_secs(17);
const SHORTEST: Duration = Duration::from_secs(8);
const GOAL_NS: i64 = 1_000_000;

/// Builds, starts, watches, sums up.
///
/// # Errors
/// If the client does not report within 17 s that it is synchronised, or its clock is still 1 ms wrong.
pub fn run() -> Result<(), String> {
    end_all_when_interrupted();
    println!("building the programs as they are shipped");
    let programs = cargo::build_release()?;

    let mut addresses = vec!["127.0.0.1", "127.0.0.2", "127.0.0.3"];
    if has_ipv6() {
        addresses.push("::1");
    }
    println!("making a private certificate authority, and a certificate for the server");
    let server = NtsServer::new("demo-server", &addresses, "");
    let sources: String = addresses
        .iter()
        .map(|address| server.source_polled(address, 0..=4, ""))
        .collect::<Vec<_>>()
        .join("\n");
    let client = Setup::new("demo-client", &sources)
        .with_programs(programs.clone())
        .with_virtual_clock(ERROR_NS, OSCILLATOR_PPM);

    println!("starting a server that serves this machine's own time with NTS on {}", addresses.join(", "));
    let server = server.setup.clone().with_programs(programs).start();
    println!(
        "starting a client whose clock is 3.7 s slow and loses 40 ppm; it trusts that authority alone\n"
    );
    let client = client.launch();
    let verdict = watch(&client);
    println!("\nits sources:");
    client.sources().iter().for_each(|source| println!("  {}", protection(source)));
    println!("\nthe client's processes, as the kernel describes them:");
    print!("{}", describe(&client));
    println!("the server's:");
    print!("{}", describe(&server));
    verdict
}

/// Prints a line each half second (more often at first) until the goal is reached and some time has passed.
fn watch(client: &Daemon) -> Result<(), String> {
    let clock = client.setup().virtual_clock();
    let mut first_good = None;
    let mut next = client.started();
    println!("  seconds   error of the clock   frequency in force   the client says");
    loop {
        // The first second passes quickly.
        let early = client.started().elapsed() < Duration::from_secs(1);
        next += Duration::from_millis(if early { 100 } else { 500 });
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        let error = clock.error_ns();
        let report = client.report();
        let system = report.as_ref();
        let word = |name: &str| system.and_then(|system| system[name].as_str()).unwrap_or("…").to_owned();
        let synchronised = system.is_some_and(|system| system["synchronised"] == true);
        let elapsed = client.started().elapsed();
        let ppm = bench::clock::ppm(clock.page().frequency);
        let says = if word("reason").len() > 1 { word("reason") } else { word("state") };
        println!("  {:7.1}   {:>18}   {ppm:>14.3} ppm   {says}", elapsed.as_secs_f64(), scale(error));
        let good = synchronised && error.abs() < GOAL_NS;
        first_good = if good { first_good.or(Some(elapsed)) } else { None };
        match first_good {
            Some(at) if elapsed > SHORTEST => {
                println!(
                    "\nsynchronised since {:.1} s after its start; the clock is {} from the truth, which the demo \
                     knows and the client doesn't",
                    at.as_secs_f64(),
                    scale(error)
                );
                return Ok(());
            }
            _ if elapsed > LONGEST => {
                return Err(format!(
                    "\nNOT synchronised after {:.0} s: the clock is {} wrong; the client's log:\n{}",
                    elapsed.as_secs_f64(),
                    scale(error),
                    client.log()
                ));
            }
            _ => {}
        }
    }
}

/// How a source is protected.
fn protection(source: &serde_json::Value) -> String {
    let nts = &source["nts"];
    let word = |value: &serde_json::Value| value.as_str().unwrap_or("…").to_owned();
    format!(
        "{:<18} {}, NTS with AEAD {}, {} cookies left of {} key exchange",
        word(&source["name"]),
        word(&source["state"]),
        nts["aead"],
        nts["cookies"],
        nts["exchanges"]
    )
}

/// One line for each process.
fn describe(daemon: &Daemon) -> String {
    daemon.processes().iter().fold(String::new(), |mut text, process| {
        let _ = writeln!(text, "  {}", process.sentence());
        text
    })
}

/// Nanoseconds in a readable unit, with the sign.
fn scale(nanos: i64) -> String {
    let value = nanos as f64;
    match nanos.unsigned_abs() {
        0..1_000 => format!("{value:+.0} ns"),
        1_000..10_000_000 => format!("{:+.1} µs", value / 1e3),
        10_000_000..10_000_000_000 => format!("{:+.1} ms", value / 1e6),
        _ => format!("{:+.3} s", value / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::scale;

    #[test]
    fn an_error_is_shown_in_the_unit_that_a_person_reads() {
        assert_eq!(scale(-3_700_000_000), "-3700.0 ms");
        assert_eq!(scale(999), "+999 ns");
        assert_eq!(scale(12_345), "+12.3 µs");
        assert_eq!(scale(12_345_678_901), "+12.346 s");
    }
}
