//! A build for hosts on which validated cryptography alone may be used, and its tests: under target/fips, apart from everything else.

use crate::cargo::{FIPS, cargo, read, run as run_command, target};
use std::process::Command;

/// What builds AWS-LC's module, beside a C compiler.
const TOOLS: [(&str, &str); 3] = [("cmake", "--version"), ("go", "version"), ("perl", "-v")];

/// Builds and tests.
///
/// # Errors
/// A missing tool, or a test that failed.
pub fn run() -> Result<(), String> {
    for (tool, word) in TOOLS {
        read(Command::new(tool).arg(word)).map_err(|error| {
            format!("{error}\nthe FIPS module is built with it: apt-get install cmake golang-go perl")
        })?;
    }
    let place = target().join("fips");
    let in_place = |words: &[&str]| {
        let mut command = cargo();
        command.args(words).arg("--target-dir").arg(&place);
        run_command(&mut command)
    };
    let features = FIPS.map(|package| format!("{package}/fips")).join(",");
    in_place(&["build", "--workspace", "--bins", "--features", &features])?;
    in_place(&["test", "-p", "truechimer-protocol", "--features", "fips", "--lib"])?;
    in_place(&["test", "-p", "truechimer-tests", "--features", "fips", "--test", "fips"])
}
