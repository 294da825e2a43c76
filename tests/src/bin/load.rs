//! Puts a load on an NTP server and says what came of it, as JSON.
//!
//! `load HOST:PORT [WORDS]`: `flows=8`, `outstanding=16` (closed loop) or `rate=N` (requests a second in all),
//! `seconds=3`, `source=ADDRESS`, `sources=FIRST+COUNT+STRIDE`, `segments=no`, `interleaved`, `cpu=N`.

use bench::load;
use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match load::parse(&words) {
        Ok((wanted, cpu)) => {
            if let Some(cpu) = cpu {
                load::wire::pin(cpu);
            }
            println!("{}", load::run(&wanted).json());
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("load: {message}");
            ExitCode::FAILURE
        }
    }
}
