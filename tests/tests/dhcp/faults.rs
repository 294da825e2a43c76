//! What may go wrong around a hook: somebody holds its lock, the daemon is away, the run directory is full, the environment is
//! somebody else's.

use super::hooks::{Hooks, is_quiet};
use bench::daemon::{Setup, spawn};
use bench::programs::{Place, program, wait_for};
use bench::seen::names;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const NOBODY: u32 = 65534;

/// Somebody who holds a lock on this file, if he can open it; ended when dropped.
struct Lock(Child);

impl Lock {
    fn hold(path: &Path, user: u32) -> Self {
        let mut flock = Command::new("flock");
        // It executes the other program in its own process, so that ending it ends all.
        flock.arg("--no-fork").arg(path).args(["sleep", "600"]).uid(user).gid(user);
        Self(spawn(flock.stdin(Stdio::null()).stderr(Stdio::null())))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether nobody, or only who is not waited for, could have a lock.
fn is_locked(path: &Path) -> bool {
    let status = Command::new("flock").arg("-n").arg(path).arg("true").status();
    !status.expect("flock is there").success()
}

#[test]
fn who_is_not_root_holds_no_lock_that_a_hook_waits_for() {
    if !bench::is_root() {
        return bench::skip("it needs root, to be somebody else");
    }
    let hooks = Hooks::new("locks");
    assert!(is_quiet(&hooks.servers("eth0", "4", &["192.0.2.1"])));
    let lock = hooks.run().join("dhcp.lock");
    let _all: Vec<Lock> = [hooks.run(), &hooks.sources(), &hooks.sources().join("dhcp-eth0.toml"), &lock]
        .map(|path| Lock::hold(path, NOBODY))
        .into();
    let held = wait_for(Duration::from_secs(10), || is_locked(hooks.run()).then_some(()));
    assert!(held.is_some(), "nobody holds a lock of the folder");
    let begun = Instant::now();
    assert!(is_quiet(&hooks.servers("eth0", "4", &["192.0.2.2"])));
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!(hooks.of("eth0").unwrap(), ["192.0.2.2"]);
    assert_eq!(hooks.said(), "");
    assert_eq!(fs::metadata(&lock).expect("it is there").permissions().mode() & 0o7777, 0o600);
}

#[test]
fn a_hook_that_gets_no_lock_says_so_and_writes_all_the_same() {
    let hooks = Hooks::changed("held", &[("flock -w 10 9", "flock -w 1 9")]);
    let lock = hooks.run().join("dhcp.lock");
    fs::write(&lock, "").expect("ours");
    let holder = Lock::hold(&lock, nix::unistd::getuid().as_raw());
    assert!(wait_for(Duration::from_secs(10), || is_locked(&lock).then_some(())).is_some());
    assert!(is_quiet(&hooks.servers("eth0", "4", &["192.0.2.1"])));
    assert_eq!(hooks.of("eth0").unwrap(), ["192.0.2.1"]);
    let said = hooks.said();
    assert!(said.contains("truechimer") && said.contains("dhcp.lock cannot be locked"), "{said:?}");
    drop(holder);
    assert!(is_quiet(&hooks.servers("eth0", "4", &["192.0.2.2"])));
    assert_eq!(hooks.said(), "");
    // A link, or what would wait for somebody, is not opened.
    let target = hooks.place.join("target");
    fs::remove_file(&lock).expect("ours");
    symlink(&target, &lock).expect("ours");
    assert!(is_quiet(&hooks.servers("eth0", "4", &["192.0.2.3"])));
    assert!(!target.exists() && hooks.said().contains("cannot be locked"));
    fs::remove_file(&lock).expect("ours");
    nix::unistd::mkfifo(&lock, nix::sys::stat::Mode::S_IRUSR).expect("ours");
    assert!(is_quiet(&hooks.servers("eth0", "4", &["192.0.2.4"])));
    assert_eq!(hooks.of("eth0").unwrap(), ["192.0.2.4"]);
}

#[test]
fn a_reload_that_was_lost_is_made_up_for_by_the_next_call_though_the_lease_is_the_same() {
    let daemon = Setup::new("dhcp-lost", "[dhcp]\nuse = true\n").with_virtual_clock(0, 0.0).start();
    let place = Place::new("dhcp-lost-hooks");
    let chimerctl = place.join("chimerctl");
    let hooks = Hooks::with(place, &daemon.setup().place().join("run"), &chimerctl, &[]);
    assert!(is_quiet(&hooks.servers("eth0", "4", &["192.0.2.1"])));
    assert!(names(&daemon).is_empty());
    symlink(program("chimerctl"), &chimerctl).expect("ours");
    assert!(is_quiet(&hooks.servers("eth0", "4", &["192.0.2.1"])));
    daemon.wait_until("it asks the server", Duration::from_secs(20), |daemon| names(daemon) == ["192.0.2.1"]);
    assert_eq!(hooks.said(), "");
    // A lease that has gone meanwhile, too.
    fs::remove_file(&chimerctl).expect("ours");
    assert!(is_quiet(&hooks.servers("eth0", "4", &[])));
    symlink(program("chimerctl"), &chimerctl).expect("ours");
    assert!(is_quiet(&hooks.servers("eth0", "4", &[])));
    daemon.wait_until("it asks nobody", Duration::from_secs(20), |daemon| names(daemon).is_empty());
}

#[test]
fn a_daemon_that_does_not_answer_is_said_and_keeps_neither_client_nor_other_hooks_waiting() {
    let hooks = Hooks::new("silent");
    let socket = hooks.run().join("control.sock");
    // Nobody listens.
    drop(UnixListener::bind(&socket).expect("its name is short"));
    assert!(is_quiet(&hooks.servers("eth0", "4", &["192.0.2.1"])));
    let said = hooks.said();
    assert!(said.contains("reload sources failed"), "{said:?}");
    // Somebody listens and says nothing.
    fs::remove_file(&socket).expect("ours");
    let _listener = UnixListener::bind(&socket).expect("its name is short");
    let begun = Instant::now();
    let mut waits = hooks.command(&hooks.hook("dhcp-sources"));
    let mut waits = spawn(waits.args(["dhclient", "eth0", "4", "192.0.2.2"]));
    let written = wait_for(Duration::from_secs(4), || (hooks.of("eth0")? == ["192.0.2.2"]).then_some(()));
    assert!(is_quiet(&hooks.of_client("-n", "dhclient", "eth1", &["4", "192.0.2.3"])));
    let both = (written, begun.elapsed(), hooks.of("eth1"));
    let status = waits.wait().expect("it is ours");
    assert!(status.success() && both.0.is_some() && both.2.is_some(), "{both:?}");
    assert!(both.1 < Duration::from_millis(4500), "the second waited for the first: {:?}", both.1);
    assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
    let said = hooks.said();
    assert!(said.contains("reload sources failed") && !said.contains("locked"), "{said:?}");
}

#[test]
fn a_log_that_takes_nothing_keeps_no_client_waiting() {
    let hooks = Hooks::new("log");
    drop(UnixListener::bind(hooks.run().join("control.sock")).expect("its name is short"));
    hooks.fill_log();
    let mut waits = hooks.command(&hooks.hook("dhcp-sources"));
    let mut waits = spawn(waits.args(["dhclient", "eth0", "4", "192.0.2.1"]));
    let ended = wait_for(Duration::from_secs(20), || waits.try_wait().expect("it is ours"));
    // What waits for room goes on.
    assert!(hooks.said().contains("full"));
    let _ = waits.wait();
    assert!(ended.is_some_and(|status| status.success()), "{ended:?}");
    assert_eq!(hooks.of("eth0").unwrap(), ["192.0.2.1"]);
}

#[test]
fn no_variable_of_the_environment_names_what_a_hook_executes_or_writes() {
    let hooks = Hooks::new("environment");
    let bait = hooks.place.join("bait");
    let other = hooks.place.join("other");
    fs::create_dir_all(other.join("sources.d")).expect("ours");
    let _socket = UnixListener::bind(other.join("control.sock")).expect("its name is short");
    let trap = hooks.place.join("trap");
    fs::write(&trap, format!("#!/bin/sh\n/bin/touch {}\n", bait.display())).expect("ours");
    fs::set_permissions(&trap, Permissions::from_mode(0o755)).expect("ours");
    let folder = hooks.place.join("first");
    fs::create_dir(&folder).expect("ours");
    for name in
        ["flock", "cat", "rm", "mv", "mkdir", "logger", "timeout", "tr", "chimerctl", "head", "find", "sort"]
    {
        symlink(&trap, folder.join(name)).expect("ours");
    }
    let (trap, folder, other) =
        (trap.display().to_string(), folder.display().to_string(), other.display().to_string());
    let variables = [
        ("TRUECHIMER_DHCP_SOURCES", trap.as_str()),
        ("TRUECHIMER_CHIMERCTL", &trap),
        ("TRUECHIMER_RUN", &other),
        ("TRUECHIMER_LINKS", &other),
        ("TRUECHIMER_CLASSES", &other),
        ("helper", &trap),
        ("chimerctl", &trap),
        ("run", &other),
        ("ENV", &trap),
        ("reason", "BOUND"),
        ("interface", "eth0"),
        ("new_ntp_servers", "192.0.2.1 192.0.2.2"),
    ];
    for name in ["dhclient-exit-hook", "dhcpcd-hook"] {
        assert_eq!(hooks.sourced(name, &variables).stdout, b"whole\n");
        assert_eq!(hooks.of("eth0").unwrap(), ["192.0.2.1", "192.0.2.2"]);
        hooks.of_client(if name == "dhcpcd-hook" { "dhcpcd" } else { "dhclient" }, "eth0", "4", &[]);
    }
    for name in ["dhcp-sources", "networkmanager-dispatcher", "networkd-sources"] {
        let mut command = hooks.command(&hooks.hook(name));
        command.env("PATH", format!("{folder}:/usr/bin:/bin")).envs(variables);
        let words: &[&str] = match name {
            "dhcp-sources" => &["dhclient", "eth0", "4", "192.0.2.1"],
            "networkd-sources" => &[],
            _ => &["eth0", "up"],
        };
        assert!(is_quiet(&command.args(words).output().expect("there is a shell")), "{name}");
    }
    assert!(!bait.exists(), "it was run");
    assert_eq!(fs::read_dir(Path::new(&other).join("sources.d")).expect("ours").count(), 0);
}

#[test]
fn a_run_directory_without_room_keeps_no_servers_of_a_lease_that_is_gone() {
    if !bench::is_root() {
        return bench::skip("it needs root, to mount a file system without room");
    }
    let hooks = Hooks::new("full");
    let script = hooks.place.join("script");
    let text = format!(
        "set -eu\n\
         helper={helper} run={run}\n\
         mount -t tmpfs -o mode=755,size=64k none $run\n\
         fill() {{ head -c 1000000 /dev/zero >$run/fill-$1 2>/dev/null && exit 9; rm -f $run/probe; }}\n\
         $helper dhclient eth0 4 192.0.2.1\n\
         fill 1\n\
         if echo more >$run/probe; then exit 8; fi 2>/dev/null\n\
         $helper dhclient eth0 4 192.0.2.2\n\
         grep address $run/sources.d/dhcp-eth0.toml\n\
         echo first\n\
         $helper dhclient eth1 4 192.0.2.3\n\
         ls -A $run/sources.d\n\
         $helper dhclient eth0 4\n\
         echo second\n\
         ls -A $run/sources.d\n",
        helper = hooks.hook("dhcp-sources").display(),
        run = hooks.run().display()
    );
    fs::write(&script, text).expect("ours");
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "/bin/sh"])
        .arg(&script)
        .output();
    let output = output.expect("unshare is there");
    let found = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    assert_eq!(found, "address = \"192.0.2.2\"\nfirst\ndhcp-eth0.toml\nsecond\n");
    let said = hooks.said();
    assert!(said.contains("dhcp-eth1.toml cannot be written") && !said.contains("eth0.toml"), "{said:?}");
}
