//! Long runs of the fuzz tests, optimised; a short one is part of the tests.

use crate::cargo::{cargo, run, with_release_flags};

/// Fuzzes the server's parser for this many seconds, from the committed corpus.
///
/// # Errors
/// A request that breaks a promise, with the test's own message.
pub fn server(seconds: &str) -> Result<(), String> {
    seconds.parse::<u32>().map_err(|_| format!("{seconds}: not a number of seconds"))?;
    let test = ["-p", "truechimer-server", "--test", "server_fuzz", "a073_a_long_run"];
    run(with_release_flags(&mut cargo())
        .args(["test", "--release"])
        .args(test)
        .args(["--", "--ignored", "--nocapture"])
        .env("FUZZ_SECONDS", seconds))
}
