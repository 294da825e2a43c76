//! What each process consists of: the crates linked into it and the lines of Rust of each of them. An
//! auditor's first question.

use crate::cargo::programs;
use crate::linked;
use std::path::Path;

/// Counts and prints.
///
/// # Errors
/// If cargo cannot tell the dependencies or a source cannot be read.
pub fn run() -> Result<(), String> {
    for (package, program) in programs() {
        let (mut own, mut foreign) = (Vec::new(), Vec::new());
        for ((name, version), found) in linked::into(&[package])?.crates {
            let lines = lines_of(&found.folder.join("src"))?;
            if found.is_ours {
                own.push((lines, name));
            } else {
                foreign.push((lines, format!("{name} {version}")));
            }
        }
        let sum = |list: &[(usize, String)]| list.iter().map(|(lines, _)| lines).sum::<usize>();
        let declarations =
            foreign.iter().filter(|(_, name)| name.starts_with("libc ")).map(|(lines, _)| lines);
        println!(
            "{program}: {} lines of ours, {} lines of {} crates (libc's declarations left out)",
            sum(&own),
            sum(&foreign) - declarations.sum::<usize>(),
            foreign.len()
        );
        for list in [&mut own, &mut foreign] {
            list.sort_by(|a, b| b.cmp(a));
            for (lines, name) in list {
                println!("  {lines:>8}  {name}");
            }
        }
        println!();
    }
    println!(
        "Lines of Rust that are not blank or comment only, test modules left out; the standard library is not counted."
    );
    Ok(())
}

fn lines_of(folder: &Path) -> Result<usize, String> {
    let mut lines = 0;
    let entries = std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            lines += if path.ends_with("tests") { 0 } else { lines_of(&path)? };
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            let octets = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            lines += count(&String::from_utf8_lossy(&octets));
        }
    }
    Ok(lines)
}

/// Lines with code, up to a test module at the end of the file.
fn count(source: &str) -> usize {
    let mut lines = source.lines().peekable();
    let mut count = 0;
    while let Some(line) = lines.next() {
        let line = line.trim();
        if line == "#[cfg(test)]"
            && lines.peek().is_some_and(|next| next.trim().starts_with("mod ") && next.ends_with('{'))
        {
            break;
        }
        if !line.is_empty() && !line.starts_with("//") {
            count += 1;
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn comments_blanks_and_tests_are_not_code() {
        assert_eq!(
            count("//! x\n\nfn a() {\n    // why\n    b();\n}\n#[cfg(test)]\nmod tests {\n  fn c() {}\n}\n"),
            3
        );
    }
}
