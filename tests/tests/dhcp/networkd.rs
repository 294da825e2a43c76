//! The hook of systemd-networkd, which reads what networkd keeps of each link.

use super::hooks::{Hooks, is_quiet};
use bench::programs::{wait_for, workspace};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::fs;
use std::path::PathBuf;
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

/// That systemd starts what a path unit wants, and so reads at `enable --now` what was there before, was tried by hand: a manager
/// of a test's own would leave control groups on the machine.
#[test]
fn the_path_unit_wants_what_it_triggers() {
    let unit = fs::read_to_string(workspace().join("packaging/systemd/truechimer-networkd.path"));
    let unit = unit.expect("it is there");
    let value = |key: &str| unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    assert!(value("Unit").is_some());
    assert_eq!(value("Wants"), value("Unit"));
}
