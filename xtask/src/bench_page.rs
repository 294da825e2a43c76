//! What it costs to read the time from the page of shared memory, beside clock_gettime.

use crate::cargo::{cargo, run};

/// Measures and prints; `reads`: how many are made beside a writer.
///
/// # Errors
/// If it cannot be built, or a read was wrong.
pub fn measure(reads: Option<&str>) -> Result<(), String> {
    let mut command = cargo();
    command.args(["run", "--quiet", "--release", "--package", "truechimer-time", "--example", "cost", "--"]);
    run(command.args(reads))
}
