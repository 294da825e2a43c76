//! NTS beside other implementations.
//!
//! `cargo xtask bench nts [PART..] [--runs N] [--json]`; without a part all of them.
//!
//! ```text
//!   exchange  key exchanges a second and their CPU time, beside a floor, chronyd and ntpd-rs; memory when idle
//!   packets   CPU time of a protected reply, beside a floor, chronyd and ntpd-rs
//!   methods   CPU time of a reply for each way to prove it, keys and AEADs, beside plain and beside chronyd
//!   latency   10,000 protected requests a second: latency, and how early the transmit timestamp is
//! ```

mod exchange;
mod methods;
mod packets;

use crate::bench_server::Asked;

const PARTS: [&str; 4] = ["exchange", "packets", "methods", "latency"];

/// Measures and prints.
///
/// # Errors
/// An invalid word, a server that does not start, a wrong reply.
pub fn run(words: &[&str]) -> Result<(), String> {
    let Asked { parts, runs, as_json } = Asked::of(words, &PARTS)?;
    for part in parts {
        if !as_json {
            println!("\n== {part}, {runs} runs ==\n{}", bench::peers::versions());
        }
        match part {
            "exchange" => exchange::run(runs, as_json)?,
            "packets" => packets::speed(runs, as_json)?,
            "methods" => methods::run(runs, as_json)?,
            _ => packets::latency(runs, as_json)?,
        }
    }
    Ok(())
}
