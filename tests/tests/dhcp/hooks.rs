//! The hooks as they are installed, but for the places that they know: a run directory of the test's own, and a log that it reads.

use bench::programs::{Place, program, put_script, workspace};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// What is executed, and what is sourced.
const EXECUTED: [&str; 3] = ["dhcp-sources", "networkd-sources", "networkmanager-dispatcher"];
const SOURCED: [&str; 2] = ["dhclient-exit-hook", "dhcpcd-hook"];

/// A run directory, and copies of the hooks that work there.
pub struct Hooks {
    pub place: Place,
    run: PathBuf,
    log: UnixDatagram,
}

impl Hooks {
    /// With a run directory that no daemon has.
    pub fn new(word: &str) -> Self {
        let place = Place::new(word);
        let run = place.join("run");
        fs::create_dir_all(run.join("sources.d")).expect("ours");
        for folder in [place.path(), &run, &run.join("sources.d")] {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("ours");
        }
        Self::with(place, &run, &program("chimerctl"), &[])
    }

    /// As [`Self::new`], with other words in the place of these.
    pub fn changed(word: &str, changes: &[(&str, &str)]) -> Self {
        let hooks = Self::new(word);
        hooks.copy(&program("chimerctl"), changes);
        hooks
    }

    /// For this run directory, and with this program as chimerctl.
    pub fn with(place: Place, run: &Path, chimerctl: &Path, changes: &[(&str, &str)]) -> Self {
        let log = UnixDatagram::bind(place.join("log")).expect("its name is short");
        log.set_nonblocking(true).expect("it is a socket");
        let hooks = Self { place, run: run.to_owned(), log };
        hooks.copy(chimerctl, changes);
        hooks
    }

    fn copy(&self, chimerctl: &Path, changes: &[(&str, &str)]) {
        let at = |name: &str| self.place.join(name).display().to_string();
        let places = [
            ("\nrun=/run/truechimer\n", format!("\nrun={}\n", self.run.display())),
            ("\nchimerctl=/usr/bin/chimerctl\n", format!("\nchimerctl={}\n", chimerctl.display())),
            ("helper=/usr/lib/truechimer/dhcp-sources\n", format!("helper={}\n", at("dhcp-sources"))),
            ("\nlinks=/run/systemd/netif/links\n", format!("\nlinks={}\n", at("links"))),
            ("\nclasses=/sys/class/net\n", format!("\nclasses={}\n", at("net"))),
            ("logger -t", format!("logger -u {} -t", at("log"))),
        ];
        let mut found = [0; 6];
        for name in EXECUTED.iter().chain(&SOURCED) {
            let mut text =
                fs::read_to_string(workspace().join("packaging/dhcp").join(name)).expect("it is there");
            for (count, (from, to)) in found.iter_mut().zip(&places) {
                *count += text.matches(from).count();
                text = text.replace(from, to);
            }
            for (from, to) in changes {
                text = text.replace(from, to);
            }
            if SOURCED.contains(name) {
                fs::write(self.place.join(name), text).expect("ours");
            } else {
                put_script(&self.place.join(name), text.strip_prefix("#!/bin/sh\n").expect("it is a script"));
            }
        }
        assert_eq!(found, [2, 1, 4, 1, 1, 1], "the hooks name their places otherwise");
    }

    /// The copy of a hook.
    pub fn hook(&self, name: &str) -> PathBuf {
        self.place.join(name)
    }

    /// One of them, or another script, in an environment without anything.
    pub fn command(&self, script: &Path) -> Command {
        let mut command = Command::new("/bin/sh");
        command.arg(script).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.current_dir(self.place.path()).stdin(Stdio::null());
        command
    }

    /// What the program of all hooks makes of these words of a client.
    pub fn of_client(&self, client: &str, interface: &str, family: &str, servers: &[&str]) -> Output {
        let mut command = self.command(&self.hook("dhcp-sources"));
        command.args([client, interface, family]).args(servers).output().expect("there is a shell")
    }

    /// The same, of the client dhclient.
    pub fn servers(&self, interface: &str, family: &str, servers: &[&str]) -> Output {
        self.of_client("dhclient", interface, family, servers)
    }

    /// A hook that a client's own script sources, with these variables. Its words are separated otherwise there.
    pub fn sourced(&self, name: &str, variables: &[(&str, &str)]) -> Output {
        let script = self.place.join("script");
        fs::write(&script, format!("set -eu\nIFS=.\n. {}\necho whole\n", self.hook(name).display()))
            .expect("ours");
        let mut command = self.command(&script);
        command.envs(variables.iter().copied()).output().expect("there is a shell")
    }

    /// What NetworkManager calls.
    pub fn manager(&self, words: &[&str], variables: &[(&str, &str)]) {
        let mut command = self.command(&self.hook("networkmanager-dispatcher"));
        let output = command.args(words).envs(variables.iter().copied()).output().expect("there is a shell");
        assert!(is_quiet(&output), "{output:?}");
    }

    /// The names of all files for the daemon.
    pub fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.sources()).expect("ours").flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// Fills the log until it takes no more: its reader hangs.
    pub fn fill_log(&self) {
        let writer = UnixDatagram::unbound().expect("there are sockets");
        writer.set_nonblocking(true).expect("it is a socket");
        let log = self.place.join("log");
        assert!((0..10_000).any(|_| writer.send_to(b"full", &log).is_err()), "it is never full");
    }

    pub fn run(&self) -> &Path {
        &self.run
    }

    pub fn sources(&self) -> PathBuf {
        self.run.join("sources.d")
    }

    /// The addresses of an interface's file, in order; none without a file.
    pub fn of(&self, interface: &str) -> Option<Vec<String>> {
        let text = fs::read_to_string(self.sources().join(format!("dhcp-{interface}.toml"))).ok()?;
        let lines = text.lines().filter_map(|line| line.strip_prefix("address = \"")?.strip_suffix('"'));
        Some(lines.map(str::to_owned).collect())
    }

    /// What has been logged since the last call, by the logger of the system.
    pub fn said(&self) -> String {
        let mut said = String::new();
        let mut message = [0; 2048];
        std::thread::sleep(Duration::from_millis(50));
        while let Ok(length) = self.log.recv(&mut message) {
            said.push_str(&String::from_utf8_lossy(&message[..length]));
            said.push('\n');
        }
        said
    }
}

pub fn is_quiet(output: &Output) -> bool {
    output.status.success() && output.stdout.is_empty() && output.stderr.is_empty()
}
