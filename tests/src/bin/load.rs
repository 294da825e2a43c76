//! Puts a load on an NTP server and prints the results as JSON.
//!
//! `load HOST:PORT [WORDS]`: `flows=8`, `outstanding=16` (closed loop) or `rate=N` (requests a second in total),
//! `seconds=3`, `source=ADDRESS`, `sources=FIRST+COUNT+STRIDE`, `segments=no`, `interleaved`, `cpu=N`. Under NTS, in this
//! order: `aead=15` or `30`, then `nts=known` or `roots=FILE nts=HOST:PORT`.

use bench::load;
use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let outcome = load::parse(&words).and_then(|(wanted, cpu)| {
        if let Some(cpu) = cpu {
            load::wire::pin(cpu);
        }
        load::run(&wanted)
    });
    match outcome {
        Ok(tally) => {
            println!("{}", tally.json());
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("load: {message}");
            ExitCode::FAILURE
        }
    }
}
