//! Other programs: run, and explained where they fail.

use std::process::{Command, Stdio};

/// Runs it without standard input; gives what it prints.
///
/// # Errors
/// If it cannot be executed or ends with another code than 0, with the last of what it printed.
pub(crate) fn run(command: &mut Command) -> Result<String, String> {
    let shown = show(command);
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{shown}: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    let complaint = text + &String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = complaint.lines().collect();
    Err(format!("{shown}: {}\n{}", output.status, lines[lines.len().saturating_sub(12)..].join("\n")))
}

/// The same for a shell's words, each given as it is.
///
/// # Errors
/// As [`run`].
pub(crate) fn words(line: &[&str]) -> Result<String, String> {
    let (program, rest) = line.split_first().ok_or("no command")?;
    run(Command::new(program).args(rest))
}

/// Whether the process of this number has ended, which left something behind; an invalid number belongs to no process.
pub(crate) fn has_ended(process: &str) -> bool {
    process.parse::<u32>().is_ok_and(|number| !std::path::Path::new(&format!("/proc/{number}")).exists())
}

fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let mut text = words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = text.char_indices().nth(200) {
        text.truncate(end);
        text.push('…');
    }
    text
}
