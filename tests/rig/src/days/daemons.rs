//! The daemons under test, as they are started in the guest.

use super::guest;
use simulation::scenario::Scenario;
use std::fmt::{self, Write};
use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Command};
use std::str::FromStr;

/// A daemon that has its days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Daemon {
    /// truechimerd, started by root, all its processes confined.
    Truechimer,
    /// chronyd, `iburst`, `makestep 1 3`, a drift file.
    Chrony,
}

impl Daemon {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Truechimer, Self::Chrony];

    /// Where it is in the guest, with the words that come first.
    pub fn program(self) -> &'static [&'static str] {
        match self {
            Self::Truechimer => &["/usr/lib/truechimer/truechimerd"],
            Self::Chrony => &["/chrony/ld-linux-x86-64.so.2", "--library-path", "/chrony", "/chrony/chronyd"],
        }
    }

    /// Its configuration for a day.
    pub fn configuration(self, scenario: &Scenario, servers: &[SocketAddr]) -> String {
        let polls = scenario.poll.map(|poll| [poll, poll]).or(scenario.polls);
        let mut text = String::new();
        match self {
            Self::Truechimer => {
                for server in servers {
                    let _ = writeln!(text, "[[source]]\naddress = \"{}\"", server.ip());
                    if let Some([least, most]) = polls {
                        let _ = writeln!(text, "min-poll = {least}\nmax-poll = {most}");
                    }
                }
                let _ = writeln!(text, "[clock]\nminimum-sources = {}", scenario.minimum_sources);
            }
            Self::Chrony => {
                for server in servers {
                    let _ = write!(text, "server {} iburst", server.ip());
                    if let Some([least, most]) = polls {
                        let _ = write!(text, " minpoll {least} maxpoll {most}");
                    }
                    text.push('\n');
                }
                text.push_str("makestep 1 3\ndriftfile /var/lib/chrony/drift\npidfile /run/chrony/pid\n");
            }
        }
        text
    }

    /// Starts it, in the guest.
    pub(crate) fn start(self, scenario: &Scenario, servers: &[SocketAddr]) -> Result<Child, String> {
        let file = "/run/configuration";
        for folder in ["/run/truechimer", "/var/lib/truechimer", "/run/chrony", "/var/lib/chrony"] {
            fs::create_dir_all(folder).map_err(|error| format!("{folder}: {error}"))?;
        }
        for folder in ["/run/chrony", "/var/lib/chrony"] {
            let user = Some(super::root::CHRONY_USER);
            std::os::unix::fs::chown(folder, user, user).map_err(|error| format!("{folder}: {error}"))?;
        }
        fs::write(file, self.configuration(scenario, servers)).map_err(|error| format!("{file}: {error}"))?;
        let options: &[&str] = match self {
            Self::Truechimer => &["--config", file],
            Self::Chrony => &["-d", "-u", "_chrony", "-f", file],
        };
        guest::start(&[self.program(), options].concat())
    }

    /// What it calls itself.
    pub(crate) fn version(self) -> String {
        let words = self.program();
        let output = Command::new(words[0]).args(&words[1..]).arg("--version").output();
        let said = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        let said = said.unwrap_or_default();
        let line = said.lines().next().unwrap_or("unknown");
        line.split(" (+").next().unwrap_or(line).split(" (-").next().unwrap_or(line).to_owned()
    }

    /// What it says of itself; chronyc is not in the guest.
    pub(crate) fn status(self) -> String {
        match self {
            Self::Truechimer => Command::new("/usr/bin/chimerctl").arg("status").output().map_or_else(
                |error| error.to_string(),
                |output| String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
            ),
            Self::Chrony => String::new(),
        }
    }
}

impl fmt::Display for Daemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truechimer => "truechimer",
            Self::Chrony => "chrony",
        })
    }
}

impl FromStr for Daemon {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|daemon| daemon.to_string() == word);
        known.ok_or_else(|| format!("there is no daemon {word} here: truechimer or chrony"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::days::find;

    #[test]
    fn both_daemons_are_told_of_the_same_servers_and_polls() {
        let mut day = find("liar").expect("a day of the catalogue");
        day.poll = Some(6);
        let servers: Vec<SocketAddr> =
            (100..104).map(|net| SocketAddr::from(([5, 9, net, 1], 123))).collect();
        let [ours, theirs] = Daemon::ALL.map(|daemon| daemon.configuration(&day, &servers));
        for server in &servers {
            assert!(ours.contains(&format!("address = \"{}\"\nmin-poll = 6\nmax-poll = 6\n", server.ip())));
            assert!(theirs.contains(&format!("server {} iburst minpoll 6 maxpoll 6\n", server.ip())));
        }
    }
}
