//! A build for hosts on which validated cryptography alone may be used, and its tests: under target/fips, apart from everything else.

use crate::cargo::{cargo, read, run as run_command, target};
use std::process::Command;

/// Of the programs that do cryptography.
const FEATURES: &str = "truechimer-engine/fips,truechimer-server/fips,truechimer-exchange/fips,truechimer-key-service/fips,\
truechimer-key-holder/fips";

/// What builds AWS-LC's module, beside a C compiler.
const TOOLS: [(&str, &str); 2] = [("cmake", "--version"), ("go", "version")];

/// Builds and tests.
///
/// # Errors
/// A missing tool, or a test that failed.
pub fn run() -> Result<(), String> {
    for (tool, word) in TOOLS {
        read(Command::new(tool).arg(word)).map_err(|error| {
            format!("{error}\nthe FIPS module is built with it: apt-get install cmake golang-go")
        })?;
    }
    let place = target().join("fips");
    let in_place = |words: &[&str]| {
        let mut command = cargo();
        command.args(words).arg("--target-dir").arg(&place);
        run_command(&mut command)
    };
    in_place(&["build", "--workspace", "--bins", "--features", FEATURES])?;
    in_place(&["test", "-p", "truechimer-protocol", "--features", "fips", "--lib"])?;
    in_place(&["test", "-p", "truechimer-tests", "--features", "fips", "--test", "fips"])
}
