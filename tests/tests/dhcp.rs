//! Time servers of DHCP leases: the hooks of DHCP clients, run by a shell with what a hostile server may say, and a real client
//! with a real server.

use bench::daemon::{Daemon, Setup, spawn};
use bench::netns::Network;
use bench::programs::{Place, find_peer, program, wait_for, workspace};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, Permissions};
use std::net::Ipv4Addr;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

fn hook(name: &str) -> PathBuf {
    workspace().join("packaging/dhcp").join(name)
}

/// A run directory without a daemon, and the hooks in it.
struct Hooks {
    place: Place,
}

impl Hooks {
    fn new(word: &str) -> Self {
        let place = Place::new(word);
        fs::create_dir_all(place.join("sources.d")).expect("ours");
        Self { place }
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("/bin/sh");
        command.arg(program).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("TRUECHIMER_RUN", self.place.path()).env("TRUECHIMER_DHCP_SOURCES", hook("dhcp-sources"));
        command.current_dir(self.place.path()).stdin(Stdio::null());
        command
    }

    /// What the program of all hooks makes of these words.
    fn servers(&self, interface: &str, family: &str, servers: &[&str]) -> Output {
        let mut command = self.command(&hook("dhcp-sources"));
        command.arg(interface).arg(family).args(servers).output().expect("there is a shell")
    }

    /// A hook that a client's own script sources, with these variables.
    fn sourced(&self, name: &str, variables: &[(&str, &str)]) -> Output {
        let script = self.place.join("script");
        fs::write(&script, format!("set -eu\n. {}\necho whole\n", hook(name).display())).expect("ours");
        let mut command = self.command(&script);
        command.envs(variables.iter().copied()).output().expect("there is a shell")
    }

    /// All files in the run directory but those of this test, by their names.
    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.place.join("sources.d")).expect("ours").flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// The addresses of an interface's file, in order; none without a file.
    fn of(&self, interface: &str) -> Option<Vec<String>> {
        let text =
            fs::read_to_string(self.place.join("sources.d").join(format!("dhcp-{interface}.toml"))).ok()?;
        let lines = text.lines().filter_map(|line| line.strip_prefix("address = \"")?.strip_suffix('"'));
        Some(lines.map(str::to_owned).collect())
    }
}

fn is_quiet(output: &Output) -> bool {
    output.status.success() && output.stdout.is_empty() && output.stderr.is_empty()
}

#[test]
fn a_lease_is_written_whole_and_replaced_and_removed() {
    let hooks = Hooks::new("lease");
    assert!(is_quiet(&hooks.servers("eth0", "4", &["192.0.2.1", "192.0.2.2"])));
    assert_eq!(hooks.files(), ["dhcp-eth0.toml"]);
    assert_eq!(hooks.of("eth0").unwrap(), ["192.0.2.1", "192.0.2.2"]);
    let facts = fs::metadata(hooks.place.join("sources.d/dhcp-eth0.toml")).expect("it is there");
    assert_eq!(facts.permissions().mode() & 0o7777, 0o644);
    // The other family comes and goes by itself, and there are four of an interface.
    let six = ["2001:db8::1", "ntp.example.org", "fe80::1", "2001:db8::2"];
    assert!(is_quiet(&hooks.servers("eth0", "6", &six)));
    assert_eq!(hooks.of("eth0").unwrap(), ["192.0.2.1", "192.0.2.2", "2001:db8::1", "ntp.example.org"]);
    assert!(is_quiet(&hooks.servers("eth0", "4", &[])));
    assert_eq!(hooks.of("eth0").unwrap(), ["2001:db8::1", "ntp.example.org"]);
    assert!(is_quiet(&hooks.servers("eth0", "6", &six)));
    assert_eq!(hooks.of("eth0").unwrap(), ["2001:db8::1", "ntp.example.org", "fe80::1%eth0", "2001:db8::2"]);
    assert!(is_quiet(&hooks.servers("eth0", "6", &[])));
    assert!(is_quiet(&hooks.servers("eth0", "6", &[])));
    assert!(hooks.files().is_empty());
}

#[test]
fn a188_what_is_no_address_is_left_out_and_nothing_of_it_is_run() {
    let hooks = Hooks::new("hostile");
    let bait = hooks.place.join("bait");
    let touch = |form: &str| form.replace("CMD", &format!("touch {}", bait.display()));
    let hostile = [
        touch("$(CMD)"),
        touch("`CMD`"),
        touch("192.0.2.1;CMD"),
        touch("192.0.2.1\nCMD"),
        touch("192.0.2.1\"\n[server]\nlisten = [\"0.0.0.0\"]\n#CMD"),
        "192.0.2.1\"".to_owned(),
        "192.0.2.1'".to_owned(),
        "\"; trust = true #".to_owned(),
        "192.0.2.1\ntrust = true".to_owned(),
        "*".to_owned(),
        "/etc/passwd".to_owned(),
        "-n".to_owned(),
        "192.0.2.1\\".to_owned(),
        "192.0.2.1%eth0".to_owned(),
        "\u{1b}[2J".to_owned(),
        "١٩٢.0.2.1".to_owned(),
        String::new(),
        " ".to_owned(),
    ];
    let words: Vec<&str> = hostile.iter().map(String::as_str).collect();
    for family in ["4", "6"] {
        let output = hooks.servers("eth0", family, &words);
        assert!(is_quiet(&output), "{output:?}");
        assert_eq!(hooks.of("eth0"), None, "{family}");
        for word in &words {
            assert!(is_quiet(&hooks.servers("eth0", family, &[word])), "{word:?}");
            assert_eq!(hooks.of("eth0"), None, "{family}: {word:?}");
        }
    }
    // A good one among them is kept.
    assert!(is_quiet(&hooks.servers("eth0", "4", &[words.as_slice(), &["192.0.2.7"]].concat())));
    assert_eq!(hooks.of("eth0").unwrap(), ["192.0.2.7"]);
    assert!(!bait.exists(), "it was run");
    assert_eq!(hooks.files(), ["dhcp-eth0.toml"]);
}

#[test]
fn a188_addresses_that_no_time_server_of_a_lease_has_are_left_out() {
    let hooks = Hooks::new("addresses");
    for (family, bad, good) in [
        (
            "4",
            &[
                "0.0.0.0",
                "127.0.0.1",
                "169.254.1.1",
                "224.0.1.1",
                "239.1.1.1",
                "240.0.0.1",
                "255.255.255.255",
                "256.1.1.1",
                "1.2.3",
                "1.2.3.4.5",
                "01.2.3.4",
                "1.2.3.4.",
                ".1.2.3.4",
                "1..2.3",
                "99999999999999999999.1.1.1",
                "1.2.3.0x4",
                "2001:db8::1",
                "ntp.example.org",
            ][..],
            &["10.0.0.1", "1.2.3.4", "223.255.255.255", "24.1.1.1"][..],
        ),
        (
            "6",
            &[
                "::",
                "::1",
                "::2",
                "0:0:0:0:0:0:0:1",
                "0000:0:0:0:0:0:0:1",
                "ff02::101",
                "FF05::1",
                "::ffff:192.0.2.1",
                "::ffff:c000:201",
                "1:2:3:4:5:6:7",
                "1:2:3:4:5:6:7:8:9",
                "1::2::3",
                "2001:db8:::1",
                ":1::2",
                "1::2:",
                "12345::1",
                "g::1",
                "192.0.2.1",
                "localhost",
                "a..b",
                "-a.example",
                "a-.example",
                "1.2.3.4.5",
                "a_b.example",
            ][..],
            &["2001:db8::1", "1:2:3:4:5:6:7:8", "2001:DB8::A:0", "a.example"],
        ),
    ] {
        for server in bad {
            assert!(is_quiet(&hooks.servers("e", family, &[server])), "{server}");
            assert_eq!(hooks.of("e"), None, "{family}: {server}");
        }
        assert!(is_quiet(&hooks.servers("e", family, good)));
        assert_eq!(hooks.of("e").unwrap(), good);
        assert!(is_quiet(&hooks.servers("e", family, &[])));
    }
    let long = format!("{}.example", "a".repeat(64));
    let longest = vec!["a".repeat(60); 5].join(".");
    for name in [long.as_str(), &longest] {
        assert!(is_quiet(&hooks.servers("e", "6", &[name])));
        assert_eq!(hooks.of("e"), None, "{name}");
    }
}

#[test]
fn a188_ten_thousand_servers_are_four_and_take_no_time() {
    let hooks = Hooks::new("many");
    let all: Vec<String> = (0..10_000).map(|n| format!("10.1.{}.{}", n / 250, n % 250 + 1)).collect();
    let begun = Instant::now();
    let output = hooks.sourced(
        "dhclient-exit-hook",
        &[("reason", "BOUND"), ("interface", "eth0"), ("new_ntp_servers", &all.join(" "))],
    );
    assert_eq!(output.stdout, b"whole\n", "{output:?}");
    assert_eq!(hooks.of("eth0").unwrap(), all[..4]);
    let junk = vec!["x;"; 50_000].join(" ");
    let output = hooks.sourced(
        "dhclient-exit-hook",
        &[("reason", "RENEW"), ("interface", "eth0"), ("new_ntp_servers", &junk[..120_000])],
    );
    assert_eq!(output.stdout, b"whole\n", "{output:?}");
    assert_eq!(hooks.of("eth0"), None);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn a188_the_name_of_an_interface_leads_to_no_other_file_and_a_link_in_the_place_of_one_is_not_followed() {
    let hooks = Hooks::new("names");
    for name in ["../../bait", "/bait", "", ".", "..", "a b", "a\nb", "$(id)", "-n", "sixteen-octets-x", "é"]
    {
        let output = hooks.servers(name, "4", &["192.0.2.1"]);
        assert!(is_quiet(&output), "{name:?}: {output:?}");
        assert!(hooks.files().is_empty(), "{name:?}: {:?}", hooks.files());
    }
    assert!(hooks.servers("eth0.100", "4", &["192.0.2.1"]).status.success());
    assert_eq!(hooks.files(), ["dhcp-eth0.100.toml"]);
    let target = hooks.place.join("target");
    fs::write(&target, "mine").expect("ours");
    for link in ["dhcp-eth0.toml", ".dhcp-eth0.new"] {
        symlink(&target, hooks.place.join("sources.d").join(link)).expect("ours");
    }
    assert!(is_quiet(&hooks.servers("eth0", "4", &["192.0.2.1"])));
    assert_eq!(fs::read_to_string(&target).expect("it is there"), "mine");
    assert_eq!(hooks.of("eth0").unwrap(), ["192.0.2.1"]);
    assert_eq!(hooks.files(), ["dhcp-eth0.100.toml", "dhcp-eth0.toml"]);
}

#[test]
fn each_client_says_it_in_its_own_words() {
    let hooks = Hooks::new("clients");
    let four = ("new_ntp_servers", "192.0.2.1 192.0.2.2");
    let six = ("new_dhcp6_sntp_servers", "2001:db8::1");
    let both = ["192.0.2.1", "192.0.2.2", "2001:db8::1"];
    for name in ["dhclient-exit-hook", "dhcpcd-hook"] {
        let says = |reason: &str, variables: &[(&str, &str)]| {
            let all: Vec<_> =
                [("reason", reason), ("interface", "eth0")].iter().chain(variables).copied().collect();
            let output = hooks.sourced(name, &all);
            // The script that sources it goes on, with its own settings.
            assert!(
                output.status.success() && output.stdout == b"whole\n" && output.stderr.is_empty(),
                "{output:?}"
            );
        };
        says("BOUND", &[four]);
        says("BOUND6", &[six]);
        assert_eq!(hooks.of("eth0").unwrap(), both, "{name}");
        // What is not about a lease changes nothing.
        for reason in ["PREINIT", "MEDIUM", "CARRIER", "NONE", "$(id)"] {
            says(reason, &[]);
        }
        says("RENEW", &[four, six]);
        assert_eq!(hooks.of("eth0").unwrap(), both, "{name}");
        says("EXPIRE", &[four]);
        assert_eq!(hooks.of("eth0").unwrap(), ["2001:db8::1"], "{name}");
        says("RELEASE6", &[]);
        assert_eq!(hooks.of("eth0"), None, "{name}");
        let output = hooks.sourced(name, &[]);
        assert_eq!(output.stdout, b"whole\n", "{output:?}");
    }
    let manager = |words: &[&str], variables: &[(&str, &str)]| {
        let mut command = hooks.command(&hook("networkmanager-dispatcher"));
        let output = command.args(words).envs(variables.iter().copied()).output().expect("there is a shell");
        assert!(is_quiet(&output), "{output:?}");
    };
    let variables = [("DHCP4_NTP_SERVERS", four.1), ("DHCP6_DHCP6_SNTP_SERVERS", six.1)];
    manager(&["eth0", "up"], &variables);
    assert_eq!(hooks.of("eth0").unwrap(), both);
    manager(&["eth0", "connectivity-change"], &[]);
    assert_eq!(hooks.of("eth0").unwrap(), both);
    manager(&["eth0", "dhcp4-change"], &variables[1..]);
    assert_eq!(hooks.of("eth0").unwrap(), ["2001:db8::1"]);
    manager(&["eth0", "down"], &variables);
    manager(&["", "hostname"], &[]);
    assert!(hooks.files().is_empty());
}

#[test]
fn the_state_of_networkd_is_read_link_by_link_and_a_link_that_is_gone_loses_its_file() {
    let hooks = Hooks::new("networkd");
    let (links, classes) = (hooks.place.join("links"), hooks.place.join("net"));
    fs::create_dir(&links).expect("ours");
    for (name, number, state) in [
        (
            "eth0",
            "2",
            Some("ADMIN_STATE=configured\nNTP=192.0.2.1 2001:db8::1 ntp.example.org $(id)\nDNS=192.0.2.9\n"),
        ),
        ("eth1", "3", Some("DNS=192.0.2.9\n")),
        ("eth2", "4", None),
    ] {
        fs::create_dir_all(classes.join(name)).expect("ours");
        fs::write(classes.join(name).join("ifindex"), format!("{number}\n")).expect("ours");
        if let Some(state) = state {
            fs::write(links.join(number), state).expect("ours");
        }
    }
    let run = || {
        let mut command = hooks.command(&hook("networkd-sources"));
        command.env("TRUECHIMER_LINKS", &links).env("TRUECHIMER_CLASSES", &classes);
        let output = command.output().expect("there is a shell");
        assert!(is_quiet(&output), "{output:?}");
    };
    // A link of another client's, which is not networkd's, keeps what that one has written.
    assert!(is_quiet(&hooks.servers("eth2", "4", &["192.0.2.5"])));
    run();
    assert_eq!(hooks.files(), ["dhcp-eth0.toml", "dhcp-eth2.toml"]);
    assert_eq!(hooks.of("eth0").unwrap(), ["192.0.2.1", "2001:db8::1", "ntp.example.org"]);
    fs::remove_dir_all(classes.join("eth0")).expect("ours");
    fs::write(links.join("3"), "NTP=192.0.2.6\n").expect("ours");
    run();
    assert_eq!(hooks.files(), ["dhcp-eth1.toml", "dhcp-eth2.toml"]);
}

const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 1);
const SECOND: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 3);
const HOST: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 2);
const TIMEOUT: Duration = Duration::from_secs(40);

/// A process in a network; ended when dropped.
struct Within(Child);

impl Within {
    fn start(network: &Network, log: &Path, words: &[String]) -> Self {
        let mut command = Command::new(&network.entrance()[0]);
        let log = fs::File::options().append(true).create(true).open(log).expect("ours");
        command.args(&network.entrance()[1..]).args(words).stdin(Stdio::null());
        command.stdout(log.try_clone().expect("a file can be shared")).stderr(log);
        Self(spawn(&mut command))
    }
}

impl Drop for Within {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.0.id() as i32), Signal::SIGTERM);
        if wait_for(Duration::from_secs(3), || self.0.try_wait().ok().flatten()).is_none() {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// udhcpd of busybox, which leases one address for some seconds, with this time server.
fn dhcp_server(busybox: &Path, network: &Network, place: &Place, time_server: Ipv4Addr) -> Within {
    let configuration = place.join("udhcpd.conf");
    let text = format!(
        "start 10.78.0.100\nend 10.78.0.100\ninterface far\nmax_leases 1\nmin_lease 6\nauto_time 1\nlease_file {}\npidfile {}\n\
         opt subnet 255.255.255.0\nopt lease 8\nopt ntpsrv {time_server}\n",
        place.join("udhcpd.leases").display(),
        place.join("udhcpd.pid").display()
    );
    fs::write(&configuration, text).expect("ours");
    let leases = fs::File::options().append(true).create(true).open(place.join("udhcpd.leases"));
    drop(leases.expect("ours"));
    let words =
        [busybox.display().to_string(), "udhcpd".into(), "-f".into(), configuration.display().to_string()];
    Within::start(network, &place.join("udhcpd.log"), &words)
}

fn names(daemon: &Daemon) -> Vec<String> {
    daemon.sources().iter().map(|source| source["name"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_lease_of_a_real_server_comes_and_changes_and_goes_and_its_time_servers_with_it() {
    let (Some(busybox), Some(dhclient)) = (find_peer("busybox"), find_peer("dhclient")) else {
        return bench::skip("busybox or dhclient is missing; `cargo xtask peers` fetches them on Debian");
    };
    let (Some(host), Some(router)) = (Network::new(), Network::new()) else {
        return bench::skip("network namespaces need root and the program ip");
    };
    assert!(host.connect(&router, HOST, ROUTER));
    assert!(router.ip(&["addr", "add", &format!("{SECOND}/24"), "dev", "far"]));
    let place = Place::new("dhcp-lease");
    let listen = format!(
        "[server]\nlisten = [\"{ROUTER}:123\", \"{SECOND}:123\"]\nallow = [\"10.78.0.0/24\"]\nlocal-stratum = 3\n"
    );
    let _time = Setup::new("dhcp-time", &listen).within(&router).start();
    let client = Setup::new("dhcp-host", "[dhcp]\nuse = true\n").with_virtual_clock(-3_000_000_000, 0.0);
    let client = client.within(&host).start();
    assert!(names(&client).is_empty());

    // What dhclient calls: as much of Debian's dhclient-script as there has to be, and the hook.
    let script = place.join("dhclient-script");
    let text = format!(
        "#!/bin/sh\nexport TRUECHIMER_RUN={} TRUECHIMER_DHCP_SOURCES={} TRUECHIMER_CHIMERCTL={}\n\
         case $reason in\nBOUND|RENEW|REBIND|REBOOT) ip addr replace $new_ip_address/24 dev $interface ;;\nesac\n. {}\n",
        client.setup().place().join("run").display(),
        hook("dhcp-sources").display(),
        program("chimerctl").display(),
        hook("dhclient-exit-hook").display()
    );
    fs::write(&script, text).expect("ours");
    fs::set_permissions(&script, Permissions::from_mode(0o755)).expect("ours");
    fs::write(place.join("dhclient.conf"), "request subnet-mask, ntp-servers;\ntimeout 30;\nretry 5;\n")
        .expect("ours");
    let words = |first: &[&str]| -> Vec<String> {
        let files =
            [("-sf", script.clone()), ("-cf", place.join("dhclient.conf")), ("-lf", place.join("leases"))];
        let files = files.into_iter().flat_map(|(word, file)| [word.to_owned(), file.display().to_string()]);
        let pid = ["-pf".to_owned(), place.join("dhclient.pid").display().to_string(), "near".to_owned()];
        let program = [dhclient.display().to_string()];
        program.into_iter().chain(first.iter().map(ToString::to_string)).chain(files).chain(pid).collect()
    };
    let server = dhcp_server(&busybox, &router, &place, ROUTER);
    let dhcp_client = Within::start(&host, &place.join("dhclient.log"), &words(&["-d", "-4"]));
    let said = || {
        let log = |name: &str| fs::read_to_string(place.join(name)).unwrap_or_default();
        format!("{}\n{}\n{}", log("dhclient.log"), log("udhcpd.log"), client.log())
    };
    let becomes = |expected: &[Ipv4Addr]| {
        let expected: Vec<String> = expected.iter().map(ToString::to_string).collect();
        let is_so = wait_for(TIMEOUT, || (names(&client) == expected).then_some(()));
        assert!(is_so.is_some(), "{:?} are not {expected:?}; it was said:\n{}", names(&client), said());
    };
    becomes(&[ROUTER]);
    client.wait_until_synchronised(TIMEOUT);
    assert_eq!(client.sources()[0]["offered_by"], "dhcp-near.toml");
    // The network is given another time server.
    drop(server);
    let _server = dhcp_server(&busybox, &router, &place, SECOND);
    becomes(&[SECOND]);
    client.wait_until_synchronised(TIMEOUT);
    client.wait_until("the new one answers", TIMEOUT, |client| client.sources()[0]["reach"] != 0);
    // The host gives its lease back.
    let mut release = Command::new(&host.entrance()[0]);
    release.args(&host.entrance()[1..]).args(words(&["-r", "-4"]));
    let released = release.stdin(Stdio::null()).output().expect("it can be executed");
    assert!(released.status.success(), "{released:?}");
    becomes(&[]);
    drop(dhcp_client);
}
