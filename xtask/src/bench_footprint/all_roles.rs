//! The memory of a daemon that has all of its processes, each of which has done some work.

use super::{memory, mib, proportional};
use crate::cargo::build_release;
use bench::client::query;
use bench::daemon::Daemon;
use bench::interrupted::end_all_when_interrupted;
use bench::key_client::exchange;
use bench::nts::{NtsServer, counts};
use std::path::Path;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(20);

/// Pages that are touched late: at the first counter reports, when a child of the exchange process has ended.
const SETTLE: Duration = Duration::from_secs(5);

/// Number of starts, of which the median counts.
const STARTS: usize = 5;

/// Measures and prints.
///
/// # Errors
/// If a daemon does not start, or does not answer.
pub fn run() -> Result<(), String> {
    end_all_when_interrupted();
    let programs = build_release()?;
    let mut all = (0..STARTS).map(|_| measure(&programs)).collect::<Result<Vec<_>, _>>()?;
    all.sort_by_key(|(sum, _)| *sum);
    let octets: Vec<u64> = all.iter().map(|(sum, _)| sum.unwrap_or(0)).collect();
    println!(
        "proportional memory with all roles, MiB (min/med/max): {:.2} / {:.2} / {:.2}",
        mib(octets[0]),
        mib(octets[STARTS / 2]),
        mib(octets[STARTS - 1])
    );
    for line in &all[STARTS / 2].1 {
        println!("  {line}");
    }
    Ok(())
}

/// Of a server with NTS that follows another one over NTS and has served keys and time: octets in total, `None` if that
/// needs root, and a line for each process. No other instance of these programs runs meanwhile.
fn measure(programs: &Path) -> Result<(Option<u64>, Vec<String>), String> {
    let mut above = NtsServer::new("above", &["127.0.0.1"], "");
    above.setup = above.setup.with_programs(programs.into());
    let mut own = NtsServer::new("all-roles", &["127.0.0.2"], "");
    own.setup = own.setup.with_programs(programs.into()).with_virtual_clock(2_000_000, 5.0);
    let file = own.setup.place().join("truechimer.toml");
    let configuration = std::fs::read_to_string(&file).map_err(|error| error.to_string())?;
    // Not the host's time: it follows the other one.
    let configuration = configuration.replace("local-stratum = 1\n", "");
    own.setup.configure(&format!("{}{configuration}", above.source("127.0.0.1", "")));

    let followed = above.setup.start();
    let daemon = own.setup.start();
    daemon.wait_until_synchronised(TIMEOUT);
    ask(&own)?;
    daemon.wait_until("asked for time", TIMEOUT, answers);
    std::thread::sleep(SETTLE);
    // A page that both map would count by half.
    followed.stop();
    let processes = daemon.processes();
    Ok((proportional(&processes), processes.iter().map(memory).collect()))
}

/// Requests keys and time.
fn ask(server: &NtsServer) -> Result<(), String> {
    let address = ([127, 0, 0, 2], server.key_port).into();
    exchange(address, "127.0.0.2", &server.trust.authority.client_config(), &[15])
        .map_err(|error| format!("no keys of {address}: {error}"))?;
    let answer = query(([127, 0, 0, 2], server.port).into(), Duration::from_secs(5));
    answer.map(drop).ok_or_else(|| "no time of 127.0.0.2".into())
}

fn answers(daemon: &Daemon) -> bool {
    counts(daemon)["server"]["answered"].as_u64() >= Some(1)
}
