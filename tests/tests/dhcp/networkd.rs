//! The hook of systemd-networkd, which reads what networkd keeps of each link.

use super::hooks::{Hooks, is_quiet};
use bench::programs::{wait_for, workspace};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Interfaces, and what networkd has of them.
struct Links {
    hooks: Hooks,
}

impl Links {
    /// Which are looked at again after this many seconds.
    fn new(word: &str, pause: &str) -> Self {
        let hooks = Hooks::changed(word, &[("\nPAUSE=1\n", &format!("\nPAUSE={pause}\n"))]);
        fs::create_dir(hooks.place.join("links")).expect("ours");
        fs::create_dir(hooks.place.join("net")).expect("ours");
        Self { hooks }
    }

    fn add(&self, name: &str, number: &str) {
        let class = self.hooks.place.join("net").join(name);
        fs::create_dir(&class).expect("ours");
        fs::write(class.join("ifindex"), format!("{number}\n")).expect("ours");
    }

    fn file(&self, number: &str) -> PathBuf {
        self.hooks.place.join("links").join(number)
    }

    /// As networkd writes: another file takes the place of the one before.
    fn write(&self, number: &str, state: &str) {
        let unfinished = self.hooks.place.join("unfinished");
        fs::write(&unfinished, format!("# This is private data. Do not parse.\n{state}")).expect("ours");
        fs::rename(unfinished, self.file(number)).expect("ours");
    }

    fn run(&self) {
        let mut command = self.hooks.command(&self.hooks.hook("networkd-sources"));
        let output = command.output().expect("there is a shell");
        assert!(is_quiet(&output), "{output:?}");
    }
}

#[test]
fn the_state_of_networkd_is_read_link_by_link_and_a_link_that_is_gone_loses_its_file() {
    let links = Links::new("networkd", "0");
    let hooks = &links.hooks;
    for (name, number) in [("eth0", "2"), ("eth1", "3"), ("eth2", "4")] {
        links.add(name, number);
    }
    links.write(
        "2",
        "ADMIN_STATE=configured\nNTP=192.0.2.1 2001:db8::1 ntp.example.org $(id)\nDNS=192.0.2.9\n",
    );
    links.write("3", "ADMIN_STATE=configured\nDNS=192.0.2.9\nNTP=\n");
    // A link of another client's, which is not networkd's, keeps what that one has written.
    assert!(is_quiet(&hooks.servers("eth2", "4", &["192.0.2.5"])));
    links.run();
    assert_eq!(hooks.files(), ["dhcp-eth0.toml", "dhcp-eth2.toml"]);
    assert_eq!(hooks.of("eth0").unwrap(), ["192.0.2.1", "2001:db8::1", "ntp.example.org"]);
    fs::remove_dir_all(hooks.place.join("net/eth0")).expect("ours");
    links.write("3", "ADMIN_STATE=configured\nNTP=192.0.2.6\n");
    links.run();
    assert_eq!(hooks.files(), ["dhcp-eth1.toml", "dhcp-eth2.toml"]);
    // networkd lets go of a link that stays.
    fs::remove_file(links.file("3")).expect("ours");
    links.run();
    assert_eq!(hooks.files(), ["dhcp-eth2.toml"]);
}

#[test]
fn a_link_that_is_not_networkds_keeps_what_another_client_has_written() {
    let links = Links::new("unmanaged", "0");
    let hooks = &links.hooks;
    links.add("eth0", "2");
    let others = ["192.0.2.5"];
    for state in [
        "ADMIN_STATE=unmanaged\nOPER_STATE=routable\n",
        "ADMIN_STATE=unmanaged\nNTP=192.0.2.7\n",
        "NTP=192.0.2.7\nADMIN_STATE=unmanaged\n",
        "ADMIN_STATE=pending\n",
        "ADMIN_STATE=configured\nNTP=\n",
    ] {
        assert!(is_quiet(&hooks.of_client("dhcpcd", "eth0", "4", &others)));
        links.write("2", state);
        links.run();
        assert_eq!(hooks.of("eth0").unwrap(), others, "{state}");
    }
    assert!(is_quiet(&hooks.of_client("dhcpcd", "eth0", "46", &[])));
    // What the hook itself has written stays while networkd looks whose the link is, and goes when it is not networkd's.
    links.write("2", "ADMIN_STATE=configured\nNTP=192.0.2.6\n");
    links.run();
    links.write("2", "ADMIN_STATE=pending\nOPER_STATE=routable\n");
    links.run();
    assert_eq!(hooks.of("eth0").unwrap(), ["192.0.2.6"]);
    links.write("2", "ADMIN_STATE=unmanaged\nOPER_STATE=routable\n");
    links.run();
    assert_eq!(hooks.of("eth0"), None);
}

#[test]
fn what_is_no_file_in_the_place_of_a_links_state_keeps_nothing_waiting() {
    let links = Links::new("fifo", "0");
    let hooks = &links.hooks;
    for (name, number) in [("eth0", "2"), ("eth1", "3"), ("eth2", "4")] {
        links.add(name, number);
    }
    mkfifo(&links.file("2"), Mode::S_IRUSR | Mode::S_IWUSR).expect("ours");
    fs::create_dir(links.file("3")).expect("ours");
    links.write("4", "ADMIN_STATE=configured\nNTP=192.0.2.6\n");
    let mut command = hooks.command(&hooks.hook("networkd-sources"));
    let mut child = bench::daemon::spawn(&mut command);
    let ended = wait_for(Duration::from_secs(20), || child.try_wait().expect("it is ours"));
    if ended.is_none() {
        // The shell that waits for a writer ends with one.
        let _ = fs::File::options().read(true).write(true).open(links.file("2"));
        let _ = child.kill();
        let _ = child.wait();
    }
    assert!(ended.is_some_and(|status| status.success()), "{ended:?}");
    assert_eq!(hooks.files(), ["dhcp-eth2.toml"]);
    // So large a file is not read to its end.
    let endless = format!("ADMIN_STATE=configured\nDNS={}\nNTP=192.0.2.8\n", "192.0.2.9 ".repeat(7000));
    links.write("4", &endless);
    links.run();
    assert_eq!(hooks.of("eth2").unwrap(), ["192.0.2.6"]);
}

#[test]
fn what_changes_while_networkds_hook_runs_is_seen_before_it_ends() {
    let links = Links::new("rounds", "4");
    let hooks = &links.hooks;
    links.add("eth0", "2");
    links.write("2", "ADMIN_STATE=configured\nNTP=192.0.2.1\n");
    let begun = Instant::now();
    let mut command = hooks.command(&hooks.hook("networkd-sources"));
    let mut child = bench::daemon::spawn(&mut command);
    let first = wait_for(Duration::from_secs(20), || hooks.of("eth0"));
    // It has looked, and its service still runs: nothing would start it anew.
    links.write("2", "ADMIN_STATE=configured\nNTP=192.0.2.2\n");
    let ended = wait_for(Duration::from_secs(60), || child.try_wait().expect("it is ours"));
    assert_eq!(first.unwrap(), ["192.0.2.1"]);
    assert!(ended.is_some_and(|status| status.success()), "{ended:?}");
    assert_eq!(hooks.of("eth0").unwrap(), ["192.0.2.2"], "after {:?}", begun.elapsed());
}

/// Runs a service manager with these two units in a process, mount and control group namespace of its own, then these lines.
/// It ends with them. None where no manager can run.
fn managed(links: &Links, lines: &str) -> Option<String> {
    let place = &links.hooks.place;
    let units = place.join("runtime/systemd/user");
    fs::create_dir_all(&units).expect("ours");
    let folder = workspace().join("packaging/systemd");
    let read = |name: &str| fs::read_to_string(folder.join(name)).expect("it is there");
    let watched = format!("PathChanged={}", place.join("links").display());
    let path = read("truechimer-networkd.path").replace("PathChanged=/run/systemd/netif/links", &watched);
    assert!(path.contains(&watched), "{path}");
    fs::write(units.join("truechimer-networkd.path"), path).expect("ours");
    // Without what confines it, which a manager of a user cannot do.
    let service = read("truechimer-networkd.service");
    let service = service.split_once("# It reads the state").expect("it is said").0;
    let installed = "ExecStart=/usr/lib/truechimer/networkd-sources";
    assert!(service.contains(installed), "{service}");
    let hook = format!("ExecStart={}", links.hooks.hook("networkd-sources").display());
    fs::write(units.join("truechimer-networkd.service"), service.replace(installed, &hook)).expect("ours");
    let script = place.join("script");
    let text = format!(
        "set -u\n\
         mount -t tmpfs none /run && mkdir -p /run/systemd/system || exit 7\n\
         export XDG_RUNTIME_DIR={runtime} HOME={runtime}\n\
         cd {place}\n\
         manager=/usr/lib/systemd/systemd; [ -x $manager ] || manager=/lib/systemd/systemd; [ -x $manager ] || exit 7\n\
         $manager --user --unit=basic.target >manager.log 2>&1 &\n\
         soon() {{ for _ in $(seq 150); do \"$@\" >/dev/null 2>&1 && return; sleep 0.1; done; return 1; }}\n\
         soon systemctl --user is-active basic.target || exit 7\n\
         {lines}\n",
        runtime = place.join("runtime").display(),
        place = place.path().display()
    );
    fs::write(&script, text).expect("ours");
    fs::set_permissions(place.join("runtime"), fs::Permissions::from_mode(0o700)).expect("ours");
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--mount-proc", "--cgroup", "--kill-child", "/bin/sh"]);
    let output = command.arg(&script).stdin(Stdio::null()).output().ok()?;
    if output.status.code() == Some(7) {
        return None;
    }
    assert!(output.status.success(), "{output:?}");
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn what_networkd_has_is_read_when_the_path_unit_is_enabled_and_when_it_changes() {
    let links = Links::new("path", "1");
    links.add("eth0", "2");
    links.write("2", "ADMIN_STATE=configured\nNTP=192.0.2.1\n");
    let lines = "\
        systemctl --user enable --now truechimer-networkd.path 2>/dev/null\n\
        soon grep -q 192.0.2.1 run/sources.d/dhcp-eth0.toml && echo read\n\
        soon sh -c '! systemctl --user is-active truechimer-networkd.service' && sleep 1\n\
        echo NTP=192.0.2.2 >unfinished; mv unfinished links/2\n\
        soon grep -q 192.0.2.2 run/sources.d/dhcp-eth0.toml && echo read again\n";
    let found = if bench::is_root() { managed(&links, lines) } else { None };
    let Some(found) = found else {
        return bench::skip("it needs root, and systemd that runs beside another one");
    };
    assert_eq!(found, "read\nread again\n");
}
