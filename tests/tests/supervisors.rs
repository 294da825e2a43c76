//! The daemon under the service managers beside systemd, with the files that the source has for them: each supervisor runs in
//! namespaces of its own, whose /run and /var/lib are empty, and starts what packaging/ has for it.

use bench::daemon::{Setup, source};
use bench::forger::Forger;
use bench::programs::{copy_program, find_peer, folder, program, workspace};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::{Command, Output};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// What a test here has beside the supervisor.
struct Trial {
    setup: Setup,
    _forger: Forger,
}

impl Trial {
    /// A copy of a service folder of packaging/, with options for this machine in its `conf`; `None`, with a message, where the
    /// supervisor is not installed.
    fn of(word: &str, conf: &str, needed: &[&str]) -> Option<Self> {
        if !bench::is_root() || needed.iter().any(|name| find_peer(name).is_none()) {
            bench::skip(&format!("it needs root and {needed:?}"));
            return None;
        }
        let forger = Forger::honest(HERE, 0);
        let setup = Setup::new(word, &source(forger.address())).with_virtual_clock(40_000_000, 20.0);
        let place = setup.place();
        let service = place.join("truechimer");
        let from = workspace().join("packaging").join(word).join("truechimer");
        copy_program_folder(&from, &service);
        let file = service.join(conf);
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("ours");
        let options = format!(
            "PATH={}:$PATH\nOPTIONS=\"--config {} --clock virtual:{} --first-uid 62900\"\n",
            folder().display(),
            place.join("truechimer.toml").display(),
            place.join("clock").display()
        );
        std::fs::write(&file, options).expect("ours");
        Some(Self { setup, _forger: forger })
    }

    /// Runs these commands of sh beside the supervisor; the shell ends at the first one that fails. `$chimerctl` asks the daemon.
    fn run(&self, commands: &str) -> Output {
        let script = format!(
            "set -eu; for place in /run /var/lib /var/log; do mount -t tmpfs -o mode=755 tmpfs $place; done; cd {}\n\
             chimerctl='timeout 60 {}'\n{commands}",
            self.setup.place().path().display(),
            program("chimerctl").display()
        );
        let tools = find_folders();
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("unshare");
        command.args([
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "--propagation",
            "private",
        ]);
        command
            .args(["timeout", "120", "sh", "-c", &script])
            .env("PATH", format!("{tools}{path}:/usr/sbin:/sbin"));
        command.output().expect("unshare is on every Linux")
    }
}

/// Folders in which find_peer finds programs beside those of PATH.
fn find_folders() -> String {
    let parents = ["runsv", "s6-supervise"].into_iter().filter_map(find_peer);
    parents.filter_map(|file| Some(format!("{}:", file.parent()?.display()))).collect()
}

fn copy_program_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("ours");
    for entry in std::fs::read_dir(from).expect("packaging has it").flatten() {
        let place = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_program_folder(&entry.path(), &place);
        } else {
            copy_program(&entry.path(), &place);
        }
    }
}

fn succeeded(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    said
}

#[test]
fn runit_starts_stops_and_logs_it_and_leaves_a_refused_configuration_down() {
    let Some(trial) = Trial::of("runit", "conf", &["runsv", "sv", "svlogd"]) else { return };
    let said = succeeded(&trial.run(
        "runsv truechimer & runsv=$!
         for wait in $(seq 100); do [ ! -S /run/truechimer/control.sock ] || break; sleep 0.1; done
         $chimerctl wait-sync --timeout 50
         stat -c '%a %U' /run/truechimer /var/lib/truechimer
         sv status ./truechimer | grep -q '^run: .*; run: log:'
         sv -w 10 down ./truechimer
         [ ! -S /run/truechimer/control.sock ] || ! $chimerctl status
         grep -q . /var/log/truechimer/current
         echo 'OPTIONS=--no-such-option' >>truechimer/conf
         sv up ./truechimer
         for wait in $(seq 200); do ! grep -q 'no such option' /var/log/truechimer/current || break; sleep 0.1; done
         sleep 2; sv status ./truechimer
         sv -w 10 exit ./truechimer; wait $runsv",
    ));
    assert_eq!(said.lines().filter(|line| *line == "755 root").count(), 2, "{said}");
    // Not `want up`: 78 is not tried again.
    let down = said.lines().rfind(|line| line.starts_with("down: ")).unwrap_or_else(|| panic!("{said}"));
    assert!(!down.contains("want up"), "{said}");
}

#[test]
fn s6_learns_by_the_descriptor_that_it_is_ready_and_leaves_a_refused_configuration_down() {
    let Some(trial) = Trial::of("s6", "data/conf", &["s6-supervise", "s6-svc", "s6-svstat"]) else { return };
    let said = succeeded(&trial.run(
        "s6-supervise truechimer & s6=$!
         becomes() { for wait in $(seq 200); do [ \"$(s6-svstat -o $1 ./truechimer 2>&1)\" != \"$2\" ] || return 0; sleep 0.1; done; }
         becomes up,ready 'true true'
         s6-svstat -o up,ready ./truechimer
         $chimerctl wait-sync --timeout 50
         s6-svc -d ./truechimer
         becomes up false
         s6-svstat -o up ./truechimer
         echo 'OPTIONS=--no-such-option' >>truechimer/data/conf
         s6-svc -u ./truechimer
         becomes up,wantedup,exitcode 'false false 78'
         s6-svstat -o up,wantedup,exitcode ./truechimer
         s6-svc -xd ./truechimer; wait $s6",
    ));
    let states: Vec<&str> =
        said.lines().filter(|line| line.starts_with("true ") || line.starts_with("false")).collect();
    assert_eq!(states, ["true true", "false", "false false 78"], "{said}");
}
