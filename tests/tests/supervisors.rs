//! The daemon under the service managers beside systemd, with the files that the source has for them: each supervisor runs in
//! namespaces of its own, whose /run and /var/lib are empty, and starts what packaging/ has for it.

use bench::daemon::{Setup, source};
use bench::forger::Forger;
use bench::programs::{copy_program, find_peer, folder, peers, program, workspace};
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
        let trial = Self::new(word);
        let place = trial.setup.place();
        let service = place.join("truechimer");
        let from = workspace().join("packaging").join(word).join("truechimer");
        copy_program_folder(&from, &service);
        let file = service.join(conf);
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("ours");
        let options = format!("PATH={}:$PATH\nOPTIONS=\"{}\"\n", folder().display(), trial.options());
        std::fs::write(&file, options).expect("ours");
        Some(trial)
    }

    fn new(word: &str) -> Self {
        let forger = Forger::honest(HERE, 0);
        let setup = Setup::new(word, &source(forger.address())).with_virtual_clock(40_000_000, 20.0);
        Self { setup, _forger: forger }
    }

    /// Of the daemon.
    fn options(&self) -> String {
        let place = self.setup.place();
        let (file, clock) = (place.join("truechimer.toml"), place.join("clock"));
        format!("--config {} --clock virtual:{} --first-uid 62900", file.display(), clock.display())
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
        // The shell is the first process there, which takes leave of those whose parent has died.
        let mut command = Command::new("timeout");
        command.args([
            "120",
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "--propagation",
            "private",
        ]);
        command.args(["sh", "-c", &script]).env("PATH", format!("{tools}{path}:/usr/sbin:/sbin"));
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
         stat -c 'the log is read by %U' /proc/$(pgrep -x svlogd) /var/log/truechimer
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
    let readers: Vec<&str> =
        said.lines().filter_map(|line| line.strip_prefix("the log is read by ")).collect();
    assert!(readers.len() == 2 && readers[0] == readers[1] && readers[0] != "root", "{said}");
    // Not `want up`: 78 is not tried again.
    let down = said.lines().rfind(|line| line.starts_with("down: ")).unwrap_or_else(|| panic!("{said}"));
    assert!(!down.contains("want up"), "{said}");
}

/// OpenRC looks for itself in fixed places: what `cargo xtask peers` has unpacked is laid over /usr and /etc. `$PEERS` is where.
/// Its own folders are made as its first runlevel makes them, and no script of this machine is one of its services.
const OPENRC: &str = "
     mkdir -p /run/over/usr /run/over/etc /run/over/of-usr /run/over/of-etc
     mount -t overlay -o lowerdir=/usr,upperdir=/run/over/usr,workdir=/run/over/of-usr overlay /usr
     mount -t overlay -o lowerdir=/etc,upperdir=/run/over/etc,workdir=/run/over/of-etc overlay /etc
     for package in openrc libeinfo1 librc1; do for folder in lib sbin usr/lib usr/sbin; do
         [ ! -d $PEERS/$package/$folder ] || cp -a $PEERS/$package/$folder/. /usr/${folder#usr/}/
     done; done
     rm -rf /etc/init.d /etc/runlevels; mkdir -p /etc/init.d /etc/conf.d /etc/runlevels/default
     : >/etc/rc.conf; : >/etc/insserv.conf
     for folder in starting started stopping stopped inactive wasinactive failed hotplugged daemons options exclusive scheduled tmp; do
         mkdir -p /run/openrc/$folder
     done
     echo default >/run/openrc/softlevel
     install -D -m 755 $PACKAGING/openrc/openrc-supervised /usr/lib/truechimer/openrc-supervised
     install -m 755 $PACKAGING/openrc/truechimer.initd /etc/init.d/truechimer
     ln -s $PROGRAMS/truechimerd /usr/sbin/truechimerd; ln -s $PROGRAMS/chimerctl /usr/bin/chimerctl
     options() { echo \"TRUECHIMERD_OPTS='$OPTIONS $*'\" >/etc/conf.d/truechimer; }
     options
     until_it() { for wait in $(seq 300); do ! eval \"$1\" >/dev/null 2>&1 || return 0; sleep 0.1; done; echo \"not within 30 s: $1\"; exit 1; }
     is() { [ \"$(rc-service truechimer status 2>&1 | sed -n 's/.*status: //p')\" = $1 ]; }
";

#[test]
fn openrc_starts_it_again_and_a_refused_configuration_stays_down_until_it_is_started_by_hand() {
    let needed = ["supervise-daemon", "openrc-run", "rc-service"];
    if !bench::is_root() || needed.iter().any(|name| find_peer(name).is_none()) {
        bench::skip(&format!("it needs root and {needed:?}: cargo xtask peers"));
        return;
    }
    let trial = Trial::new("openrc");
    let said = succeeded(&trial.run(&format!(
        "PEERS={} PACKAGING={} PROGRAMS={} OPTIONS='{}' FILE={}
         {OPENRC}
         rc-service truechimer start
         $chimerctl wait-sync --timeout 50
         is started
         # Passing trouble.
         child=$(cat /run/truechimer.child); kill -KILL $child
         until_it '[ -s /run/truechimer.child ] && [ $(cat /run/truechimer.child) != '$child' ] && chimerctl status'
         # What stands between dies: the daemon that it leaves behind is ended, and another one comes.
         child=$(cat /run/truechimer.child); kill -KILL $(sed -n 's/^PPid:[[:space:]]*//p' /proc/$child/status)
         until_it '[ $(cat /run/truechimer.child) != '$child' ] && chimerctl status'
         [ ! -d /proc/$child ]
         # A configuration that is refused changes nothing, until the daemon dies.
         cp $FILE /run/good; echo nonsense >>$FILE
         ! rc-service truechimer restart
         is started; chimerctl status >/dev/null
         kill -KILL $(cat /run/truechimer.child)
         until_it 'is stopped'
         until_it '! pgrep -x \"supervise-daemo|truechimer.*\"'
         grep 'ended with 78 and stays down' /var/log/truechimer.log
         ! rc-service truechimer start
         cp /run/good $FILE
         rc-service truechimer start
         $chimerctl wait-sync --timeout 50
         rc-service truechimer stop
         is stopped
         ! pgrep -x 'supervise-daemo|truechimer.*'
         # One that the check before the start does not find, while OpenRC is still starting the service.
         options --state-dir /nowhere/at/all
         : >/var/log/truechimer.log
         rc-service truechimer start
         until_it 'is stopped'
         grep -q 'ended with 78 and stays down' /var/log/truechimer.log",
        peers().display(),
        workspace().join("packaging").display(),
        folder().display(),
        trial.options(),
        trial.setup.place().join("truechimer.toml").display(),
    )));
    assert!(said.contains("truechimer ended with 78"), "{said}");
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
