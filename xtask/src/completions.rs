//! Completions of chimerctl's command line for shells, made from its definition.

use crate::cargo::target;
use clap_complete::Shell;
use std::fs;
use std::path::Path;

/// The shells, and how the file of each is called; packaging/install.sh has the places.
pub const SHELLS: [(Shell, &str); 3] =
    [(Shell::Bash, "chimerctl"), (Shell::Zsh, "_chimerctl"), (Shell::Fish, "chimerctl.fish")];

/// The completions for a shell.
pub fn of(shell: Shell) -> String {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command_line::definition(), "chimerctl", &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// Writes them below target/completions, for systems without the package, and says where they are.
///
/// # Errors
/// As [`fill`].
pub fn write() -> Result<(), String> {
    let folder = target().join("completions");
    fill(&folder)?;
    for (shell, name) in SHELLS {
        println!("{}", folder.join(shell.to_string()).join(name).display());
    }
    Ok(())
}

/// Writes them into a folder, as packaging/install.sh takes them.
///
/// # Errors
/// If a file cannot be written.
pub fn fill(folder: &Path) -> Result<(), String> {
    for (shell, name) in SHELLS {
        let place = folder.join(shell.to_string());
        let file = place.join(name);
        let written = fs::create_dir_all(&place).and_then(|()| fs::write(&file, of(shell)));
        written.map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    /// What the shell does with the completions, and then with these words; none: there is no such shell here.
    fn run(shell: &str, words: &[&str], script: &str) -> Option<(bool, String)> {
        let place = bench::programs::Place::new(&format!("completions-{shell}"));
        let (_, name) =
            SHELLS.into_iter().find(|(known, _)| known.to_string() == shell).expect("it is one of them");
        let file = place.path().join(name);
        let kind = SHELLS.into_iter().find(|(known, _)| known.to_string() == shell).expect("it is there").0;
        fs::write(&file, of(kind)).expect("a new folder can be written");
        let mut command = Command::new(shell);
        command.args(words).arg(script.replace("FILE", &file.display().to_string()));
        let output = command.stdin(Stdio::null()).output().ok()?;
        let said = [output.stdout, output.stderr].concat();
        Some((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
    }

    #[test]
    fn each_command_is_completed_in_each_shell() {
        let definition = command_line::definition();
        let commands: Vec<&str> = definition.get_subcommands().map(|command| command.get_name()).collect();
        assert!(commands.len() > 10, "{commands:?}");
        for (shell, _) in SHELLS {
            let text = of(shell);
            for command in &commands {
                let is_there =
                    text.split(|c: char| !c.is_alphanumeric() && c != '-').any(|word| word == *command);
                assert!(is_there, "{shell}: {command}");
            }
        }
    }

    #[test]
    fn bash_completes_commands_and_their_options() {
        let ask = "source FILE; complete_for() { COMP_WORDS=(chimerctl \"$@\"); COMP_CWORD=$#; \
                   _chimerctl chimerctl \"${@: -1}\" \"${@: -2:1}\"; echo \"${COMPREPLY[*]}\"; }; ";
        for (words, expected) in
            [("sou", "sources source"), ("audit --ver", "--verify"), ("wait-sync --m", "--max-error")]
        {
            let Some((is_done, said)) = run("bash", &["-c"], &format!("{ask}complete_for {words}")) else {
                return bench::skip("bash is missing: apt-get install bash");
            };
            assert!(is_done, "{said}");
            let mut said: Vec<&str> = said.split_whitespace().collect();
            let mut expected: Vec<&str> = expected.split_whitespace().collect();
            said.sort_unstable();
            expected.sort_unstable();
            assert_eq!(said, expected, "{words}");
        }
    }

    #[test]
    fn zsh_and_fish_read_what_is_made_for_them() {
        for shell in ["zsh", "fish"] {
            match run(shell, &["-n", "-c"], "source FILE") {
                Some((is_done, said)) => assert!(is_done && said.is_empty(), "{shell}: {said}"),
                None => bench::skip(&format!("{shell} is missing: apt-get install {shell}")),
            }
        }
    }
}
