//! `key_load ADDRESS [clients=N] [seconds=S] [algorithm=15|30]`: key exchanges in a closed loop; prints the results
//! as JSON.

use bench::key_load::KeyLoad;
use serde_json::json;
use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |key: &str, otherwise: f64| {
        let found = words.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
        found.map_or(Some(otherwise), |number| number.parse().ok())
    };
    let load = || {
        Some(KeyLoad {
            address: words.first()?.parse().ok()?,
            clients: number("clients", 8.0)? as usize,
            seconds: number("seconds", 2.0)?,
            algorithm: number("algorithm", 15.0)? as u16,
        })
    };
    let Some(load) = load() else {
        eprintln!("usage: key_load ADDRESS [clients=N] [seconds=S] [algorithm=15|30]");
        return ExitCode::FAILURE;
    };
    let figures = load.run();
    println!(
        "{}",
        json!({
            "exchanged": figures.exchanged,
            "failed": figures.failed,
            "rate": figures.exchanged as f64 / figures.seconds,
            "median_us": figures.median_us,
            "p99_us": figures.p99_us,
        })
    );
    ExitCode::SUCCESS
}
