//! The test programs, run several at once: most of their time goes by in waiting for daemons that they have started.

use super::Tally;
use crate::cargo::{cargo, read};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Instant;

/// A compiled test program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestProgram {
    /// The source file that it is made from, below the folder of its package.
    name: String,
    path: PathBuf,
    /// The folder of its package, in which it runs, as under `cargo test`.
    folder: PathBuf,
    /// Of a folder `tests`, and so one that may start daemons.
    is_integration: bool,
}

/// Compiles the tests of the packages that cargo's options in `packages` choose. Those that may take long come first.
///
/// # Errors
/// When they do not compile.
pub fn compile(packages: &[&str]) -> Result<Vec<TestProgram>, String> {
    let mut command = cargo();
    command.arg("test").args(packages).args(["--no-run", "--message-format=json-render-diagnostics"]);
    let messages = read(&mut command)?;
    let mut programs: Vec<_> = messages.lines().filter_map(artifact).collect();
    programs.sort_by_key(|program| !program.is_integration);
    Ok(programs)
}

/// The test program that a message of cargo's announces.
fn artifact(message: &str) -> Option<TestProgram> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    let is_test = message["reason"] == "compiler-artifact" && message["profile"]["test"] == true;
    let path = message["executable"].as_str().filter(|_| is_test)?;
    let folder = Path::new(message["manifest_path"].as_str()?).parent()?;
    let source = Path::new(message["target"]["src_path"].as_str()?);
    Some(TestProgram {
        name: source.strip_prefix(crate::cargo::workspace()).unwrap_or(source).display().to_string(),
        path: path.into(),
        folder: folder.into(),
        is_integration: message["target"]["kind"][0] == "test",
    })
}

/// Runs the tests whose names contain `filter`, `at_once` programs at a time, and shows what each program printed when it
/// has ended. Returns the sum, and whether all programs ended in order.
///
/// # Errors
/// When a program cannot be executed.
pub fn run(
    programs: &[TestProgram],
    filter: Option<&str>,
    variables: &[(&str, &OsStr)],
    at_once: usize,
) -> Result<(Tally, bool), String> {
    let waiting = Mutex::new(programs.iter());
    let outcome = Mutex::new((Tally::default(), true));
    let next = || {
        waiting.lock().map_err(|_| "another program of the run panicked".to_owned()).map(|mut all| all.next())
    };
    let work = || -> Result<(), String> {
        while let Some(program) = next()? {
            let (tally, in_order, printed) = program.run(filter, variables)?;
            let mut outcome = outcome.lock().map_err(|_| "another program of the run panicked".to_owned())?;
            outcome.0.add(tally);
            outcome.1 &= in_order;
            // Under the lock, so that the output of two programs is not mixed.
            println!("{printed}");
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..at_once).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|_| Err("the test run panicked".into())))
    })?;
    outcome.into_inner().map_err(|_| "the test run panicked".into())
}

impl TestProgram {
    fn run(
        &self,
        filter: Option<&str>,
        variables: &[(&str, &OsStr)],
    ) -> Result<(Tally, bool, String), String> {
        let begun = Instant::now();
        let output = Command::new(&self.path)
            .args(filter)
            .current_dir(&self.folder)
            .env("CARGO_MANIFEST_DIR", &self.folder)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("{}: {error}", self.path.display()))?;
        let printed = String::from_utf8_lossy(&output.stdout);
        let tally = printed.lines().filter_map(super::closing_line).fold(Tally::default(), |mut sum, one| {
            sum.add(one);
            sum
        });
        let in_order = output.status.success();
        let mut shown = format!("     {} ({:.1} s)\n{printed}", self.name, begun.elapsed().as_secs_f64());
        if !in_order {
            shown += &String::from_utf8_lossy(&output.stderr);
            shown += &format!("{}: {}\n", self.name, output.status);
        }
        Ok((tally, in_order, shown))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_program_is_told_from_the_other_messages_of_cargo() {
        let message = r#"{"reason":"compiler-artifact","manifest_path":"/w/network/server/Cargo.toml",
            "target":{"kind":["test"],"name":"server","src_path":"/w/network/server/tests/server.rs"},
            "profile":{"test":true},"executable":"/w/target/debug/deps/server-1"}"#;
        let program = artifact(message).unwrap();
        assert_eq!(program.path, Path::new("/w/target/debug/deps/server-1"));
        assert_eq!(program.folder, Path::new("/w/network/server"));
        assert!(program.is_integration);
        assert_eq!(artifact(&message.replace("\"test\":true", "\"test\":false")), None);
        assert_eq!(artifact(r#"{"reason":"build-finished","success":true}"#), None);
    }

    #[test]
    fn a_program_that_fails_is_counted_and_its_messages_are_shown() {
        let place = bench::programs::Place::new("test-programs");
        // The argument that a test program takes as a filter is a script to the shell.
        let program = |name: &str, script: &str| {
            let folder = place.join(name);
            std::fs::create_dir(&folder).unwrap();
            std::fs::write(folder.join("script"), script).unwrap();
            TestProgram { name: name.into(), path: "/bin/sh".into(), folder, is_integration: true }
        };
        let all = [
            program("good", "echo 'test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured'"),
            program("bad", "echo 'test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured'; exit 101"),
        ];
        let (tally, in_order) = run(&all, Some("script"), &[], 2).unwrap();
        assert_eq!((tally, in_order), (Tally { passed: 4, failed: 2, skipped: 1 }, false));
    }
}
