//! From the start to a clock that is right, with four sources on loopback, plain and with NTS, beside chronyd.

use super::{Spread, Started, spread, start_chronyd_with};
use bench::clock::VirtualClock;
use bench::daemon::Setup;
use bench::forger::Forger;
use bench::nts::NtsServer;
use bench::peers::chronyd;
use bench::programs::has_ipv6;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::{Duration, Instant};

const STARTS: usize = 7;
const LONGEST: Duration = Duration::from_secs(20);
const BETWEEN_LOOKS: Duration = Duration::from_millis(1);

/// The clock is wrong by this at the start, and right below that, ns.
const ERROR: i64 = -3_700_000_000;
const RIGHT: i64 = 1_000_000;

/// Milliseconds to the first correction.
pub(super) struct FirstCorrection {
    pub(super) plain: Spread,
    pub(super) nts: Spread,
    /// None: it is not here.
    pub(super) chronyd: Option<Spread>,
}

/// Starts each in turn.
///
/// # Errors
/// If a clock is not corrected.
pub(super) fn measure(programs: &Path) -> Result<FirstCorrection, String> {
    let honest =
        |shift| (1..=4).map(move |last| Forger::honest(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)), shift));
    let forgers: Vec<_> = honest(0).collect();
    // chronyd cannot set the host's clock, so its sources are ahead by what ours is behind.
    let ahead: Vec<_> = honest(-ERROR).collect();
    // The names of the server's certificate.
    let mut addresses = vec!["127.0.0.1", "127.0.0.2", "127.0.0.3"];
    addresses.extend(has_ipv6().then_some("::1"));
    let server = NtsServer::generous("first-correction-server", &addresses);
    let plain: String =
        forgers.iter().map(|it| format!("[[source]]\naddress = \"{}\"\n", it.address())).collect();
    let nts: Vec<_> = addresses.iter().map(|address| server.source_polled(address, 6..=8, "")).collect();
    let nts = nts.join("\n");
    let _server = server.setup.clone().with_programs(programs.into()).start();
    let servers: String = ahead
        .iter()
        .map(|it| format!("server {} port {} iburst\n", it.address().ip(), it.address().port()))
        .collect();
    let (mut of_plain, mut of_nts, mut of_chronyd) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..STARTS {
        of_plain.push(ours(&plain, programs)?);
        of_nts.push(ours(&nts, programs)?);
        if chronyd("").is_some() {
            of_chronyd.push(theirs(&servers)?);
        }
    }
    Ok(FirstCorrection {
        plain: spread(&of_plain),
        nts: spread(&of_nts),
        chronyd: (!of_chronyd.is_empty()).then(|| spread(&of_chronyd)),
    })
}

fn ours(configuration: &str, programs: &Path) -> Result<f64, String> {
    let setup = Setup::new("first-correction", configuration)
        .with_programs(programs.into())
        .with_virtual_clock(ERROR, 5.0);
    let clock: VirtualClock = setup.virtual_clock();
    let begun = Instant::now();
    let daemon = setup.launch();
    while clock.error_ns().abs() >= RIGHT {
        if begun.elapsed() > LONGEST {
            return Err(format!("not corrected within 20 s; truechimerd said:\n{}", daemon.log()));
        }
        std::thread::sleep(BETWEEN_LOOKS);
    }
    Ok(begun.elapsed().as_secs_f64() * 1e3)
}

/// What it would correct is in its log.
fn theirs(servers: &str) -> Result<f64, String> {
    let begun = Instant::now();
    let started = start_chronyd_with(&format!("{servers}makestep 0.1 3\n"));
    let Started::Chronyd(_, place) = &started else { return Err("not chronyd".into()) };
    loop {
        let said = std::fs::read_to_string(place.join("log")).unwrap_or_default();
        if said.contains("System clock wrong by") || said.contains("System clock was stepped") {
            return Ok(begun.elapsed().as_secs_f64() * 1e3);
        }
        if begun.elapsed() > LONGEST {
            return Err(format!("chronyd corrects nothing within 20 s; it said:\n{said}"));
        }
        std::thread::sleep(BETWEEN_LOOKS);
    }
}
