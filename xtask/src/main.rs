//! `cargo xtask WORD`: every task of this tree, one word each.
//!
//! ```text
//!   demo       corrects a wrong clock in front of you: no root, no network beyond loopback
//!   test       everything that a contribution must pass; lists skipped tests with the reason
//!   bench      footprint: start, memory, wake-ups, beside chronyd if it is installed; server: beside all others;
//!              accuracy: both follow one server over paths of known delays; bounds: beside ClockBound's, true time known
//!   fuzz       hostile requests, for a long time
//!   package    a Debian package; --try runs it in fresh Debian systems
//!   container  the images of packaging/container, without a registry, run under podman with the manifests for Kubernetes
//!   source     the released tarball, with all crates; reproduce builds the package twice and compares
//!   sbom       what is linked into the programs: a bill of materials; licences: whether it may be, and under which terms
//!   completions  of chimerctl's command line for bash, zsh and fish (the package has them)
//!   book       the pages in docs as a book, their links checked, with a reference made from the manual pages (mdbook)
//!   pictures   those of the book, of a daemon that runs
//!   peers      chronyd and ntpd for the tests, unpacked under target/, never installed (missing libraries are
//!              installed, as root)
//!   rig        real machines: guests with a kernel, a service manager and a clock of their own; days: whole days of
//!              the real daemons on the real kernel's clock, in simulated time
//!   simulate   whole days in virtual time: accuracy, and number of packets
//!   governor-search  a guided adversary in front of the governor: the farthest that it can move the clock
//!   recovery-search  states that faults and lies leave behind: how long until the clock is right again
//!   tcb        how many lines of code, and whose, are linked into each process
//! ```

mod bench_accuracy;
mod bench_bounds;
mod bench_footprint;
mod bench_interleaved;
mod bench_nts;
mod bench_page;
mod bench_server;
mod book;
mod cargo;
mod completions;
mod container;
mod demo;
mod fips;
mod fuzz;
mod governor_search;
mod licences;
mod linked;
mod package;
mod peers;
mod pictures;
mod recovery_search;
mod rig;
mod sbom;
mod simulate;
mod source;
mod tcb;
mod test;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask [--target TRIPLE] WORD

  --target TRIPLE           test, package and rig build for it, x86_64-unknown-linux-musl for one
  demo                      start a server and a client with a wrong virtual clock, watch it converge
  test [FILTER]             run everything that a contribution must pass
  fips                      build for FIPS 140 with AWS-LC's module (cmake, Go) under target/fips, and test what works in it
  bench footprint [--json]  start, memory and wake-ups, beside chronyd where it is there
  bench footprint roles     memory of a daemon with all of its processes
  bench footprint idle      wake-ups with four sources at polls of 64 and 256 s, beside chronyd (18 minutes)
  bench accuracy            beside chronyd, the truth known (--seconds, --rounds, --poll N, --json)
  bench bounds [SCENARIO..] intervals that programs read, beside ClockBound's daemon (--seconds N, --json; root)
  bench interleaved         interleaved mode beside basic mode, as client of chronyd and of ours (--rounds, --seconds N)
  bench server [PART..]     the server beside others: speed, latency, floods (--runs N, --json)
  bench nts [PART..]        NTS beside others (--runs N, --json)
  bench page [READS]        reading the time from shared memory beside clock_gettime, and beside a writer (10000000)
  fuzz server [--seconds N] hostile requests against the server's parser (60 s)
  package [--version V]     build target/package/*.deb, under another version
  package --try             and install, start, upgrade and purge it in fresh Debians (root)
  container                 build the images without a registry, and run them and the manifests under podman (root)
  source                    the commit with all its crates, target/package/*.tar.xz, to build without a network
  reproduce                 build the package twice, in two folders, once from the tarball and offline: one hash
  sbom                      what is linked into the programs (CycloneDX), target/package/*.cdx.json
  licences                  whether each linked crate's licence is allowed, and their texts: packaging/THIRD-PARTY
  completions               write chimerctl's completions for bash, zsh and fish to target/completions
  rig [CASE..]              boots, kills, pauses and upgrades on real machines (--list, --short, --jobs N)
  book                      check the pages in docs and their links, and make a book of them (mdbook)
  pictures [--seconds N]    make docs/pictures, of a daemon that runs for N seconds (300); the page by chromium,
                            the dashboard by prometheus
  peers [--more]            fetch chronyd and ntpd under target/peers, for the tests; --more: ntpd-rs, its pool, Samba, and the
                            newest at the first fetch; remove target/peers/*-newest for newer ones
  simulate [SCENARIO..]     days in virtual time (--list, --seeds N, --json, --plot FILE.svg)
  governor-search           search for the farthest that a hostile engine can move the clock, beside what
                            docs/governor.md claims (--seed N, --minutes M)
  recovery-search           search for states from which a host does not come right by itself
                            (--seed N, --worlds N of each class and profile)
  rig days                  days of the real daemons on a real kernel's clock, in simulated time (root)
  tcb                       count the code that each process is made of";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
    if let ["--target", triple, ..] = *words.as_slice() {
        cargo::build_for(triple);
        words.drain(..2);
    }
    let outcome = match words.as_slice() {
        ["demo"] => demo::run(),
        ["test"] => test::run(None),
        ["test", filter] => test::run(Some(filter)),
        ["fips"] => fips::run(),
        ["bench", "footprint"] => bench_footprint::run(false),
        ["bench", "footprint", "roles"] => bench_footprint::all_roles::run(),
        ["bench", "footprint", "idle"] => bench_footprint::idle::run(),
        ["bench", "footprint", "--json"] => bench_footprint::run(true),
        ["bench", "accuracy", rest @ ..] => bench_accuracy::run(rest),
        ["bench", "bounds", rest @ ..] => bench_bounds::run(rest),
        ["bench", "interleaved", rest @ ..] => bench_interleaved::run(rest),
        ["bench", "server", rest @ ..] => bench_server::run(rest),
        ["bench", "nts", rest @ ..] => bench_nts::run(rest),
        ["bench", "page"] => bench_page::measure(None),
        ["bench", "page", reads] => bench_page::measure(Some(reads)),
        ["fuzz", "server"] => fuzz::server("60"),
        ["fuzz", "server", "--seconds", seconds] => fuzz::server(seconds),
        ["package"] => package::build().map(drop),
        ["package", "--version", version] => package::build_as(version).map(drop),
        ["package", "--try"] => package::build_and_try(),
        ["container"] => container::run(),
        ["source"] => source::tarball().map(drop),
        ["reproduce"] => source::reproduce(),
        ["sbom"] => sbom::write().map(drop),
        ["licences"] => licences::write(),
        ["completions"] => completions::write(),
        ["book"] => book::run(),
        ["pictures"] => pictures::run(pictures::SECONDS),
        ["pictures", "--seconds", seconds] => {
            seconds.parse().map_err(|_| USAGE.to_owned()).and_then(pictures::run)
        }
        ["peers"] => peers::fetch(),
        ["peers", "--more"] => peers::fetch_more(),
        ["simulate", rest @ ..] => simulate::run(rest),
        ["governor-search", rest @ ..] => governor_search::run(rest),
        ["recovery-search", rest @ ..] => recovery_search::run(rest),
        ["rig", rest @ ..] => rig::run(rest),
        ["tcb"] => tcb::run(),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        _ => Err(USAGE.to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
