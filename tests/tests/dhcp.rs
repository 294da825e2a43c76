//! Time servers of DHCP leases: the hooks of DHCP clients, run by a shell with what a hostile server may say, and a real client
//! with a real server.

#[path = "dhcp/faults.rs"]
mod faults;
#[path = "dhcp/hooks.rs"]
mod hooks;
#[path = "dhcp/lease.rs"]
mod lease;
#[path = "dhcp/networkd.rs"]
mod networkd;

use bench::programs::find_peer;
use hooks::{Hooks, is_quiet};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;
use std::time::{Duration, Instant};

#[test]
fn a_lease_is_written_whole_and_replaced_and_removed() {
    let hooks = Hooks::new("lease");
    assert!(is_quiet(&hooks.servers("eth0", "4", &["192.0.2.1", "192.0.2.2"])));
    assert_eq!(hooks.files(), ["dhcp-eth0.toml"]);
    assert_eq!(hooks.of("eth0").unwrap(), ["192.0.2.1", "192.0.2.2"]);
    let facts = fs::metadata(hooks.sources().join("dhcp-eth0.toml")).expect("it is there");
    assert_eq!(facts.permissions().mode() & 0o7777, 0o644);
    // The other family comes and goes by itself, and there are four of an interface.
    let six = ["2001:db8::1", "ntp.example.org", "fe80::1", "2001:db8::2"];
    assert!(is_quiet(&hooks.servers("eth0", "6", &six)));
    assert_eq!(hooks.of("eth0").unwrap(), ["192.0.2.1", "192.0.2.2", "2001:db8::1", "ntp.example.org"]);
    assert!(is_quiet(&hooks.servers("eth0", "4", &[])));
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
        symlink(&target, hooks.sources().join(link)).expect("ours");
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
    let variables = [("DHCP4_NTP_SERVERS", four.1), ("DHCP6_DHCP6_SNTP_SERVERS", six.1)];
    hooks.manager(&["eth0", "up"], &variables);
    assert_eq!(hooks.of("eth0").unwrap(), both);
    hooks.manager(&["eth0", "connectivity-change"], &[]);
    assert_eq!(hooks.of("eth0").unwrap(), both);
    hooks.manager(&["eth0", "dhcp4-change"], &variables[1..]);
    assert_eq!(hooks.of("eth0").unwrap(), ["2001:db8::1"]);
    hooks.manager(&["eth0", "down"], &variables);
    hooks.manager(&["", "hostname"], &[]);
    assert!(hooks.files().is_empty());
}

#[test]
fn each_family_has_two_of_four_seats_and_those_that_the_other_leaves_and_none_is_forgotten() {
    let hooks = Hooks::new("seats");
    let four = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5"];
    let six = ["2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8::4"];
    for order in [["4", "6"], ["6", "4"]] {
        for family in order {
            let servers = if family == "4" { &four[..] } else { &six };
            assert!(is_quiet(&hooks.servers("eth0", family, servers)));
        }
        let both = ["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"];
        assert_eq!(hooks.of("eth0").unwrap(), both, "{order:?}");
    }
    // What had no seat has one when there is room.
    assert!(is_quiet(&hooks.servers("eth0", "4", &four[..1])));
    assert_eq!(hooks.of("eth0").unwrap(), [&four[..1], &six[..3]].concat());
    assert!(is_quiet(&hooks.servers("eth0", "4", &four)));
    assert!(is_quiet(&hooks.servers("eth0", "6", &[])));
    assert_eq!(hooks.of("eth0").unwrap(), four[..4]);
    assert!(is_quiet(&hooks.servers("eth0", "4", &[])));
    assert!(hooks.files().is_empty());
    // One that is named again takes no seat.
    let again = ["a.example", "A.Example.", "2001:db8::1", "a.example", "2001:DB8::1", "b.example"];
    assert!(is_quiet(&hooks.servers("eth0", "6", &again)));
    assert_eq!(hooks.of("eth0").unwrap(), ["a.example", "2001:db8::1", "b.example"]);
    // Of both families at once, as networkd has them.
    assert!(is_quiet(&hooks.servers("eth0", "46", &[&four[..1], &again[..1], &four[..2]].concat())));
    assert_eq!(hooks.of("eth0").unwrap(), ["192.0.2.1", "192.0.2.2", "a.example"]);
    // The longest names fit into what the daemon reads of a file.
    let long = |first: char| format!("{first}.{}aa", "abcdefghi.".repeat(24).trim_start_matches('.'));
    let names: Vec<String> = "wxyz".chars().map(|first| format!("{}.example", long(first))).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert!(names[0].len() > 245 && names[0].len() <= 253, "{}", names[0].len());
    assert!(is_quiet(&hooks.servers("eth0", "46", &[&four[..4], &names].concat())));
    assert!(is_quiet(&hooks.servers("eth0", "4", &[])));
    assert_eq!(hooks.of("eth0").unwrap(), names);
    let length = fs::metadata(hooks.sources().join("dhcp-eth0.toml")).expect("it is there").len();
    assert!(length <= 4096, "{length}");
}

#[test]
fn an_address_of_the_link_has_the_interface_as_its_scope_and_no_other_address_has() {
    let hooks = Hooks::new("scopes");
    for (said, written) in [
        ("fe80::1", "fe80::1%eth0"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("FEBF:1::2", "FEBF:1::2%eth0"),
        ("fe8::1", "fe8::1"),
        ("fec::1", "fec::1"),
        ("fea:1::2", "fea:1::2"),
        ("ff0::1", "ff0::1"),
        ("2001:db8::1%eth0", "2001:db8::1"),
    ] {
        assert!(is_quiet(&hooks.servers("eth0", "6", &[said])));
        assert_eq!(hooks.of("eth0").unwrap(), [written], "{said}");
    }
    for other in
        ["fe80::1%eth1", "fe80::1%", "fe80::1%eth0%eth0", "fe80::1%2", "ff02::101%eth0", "a.example%eth0"]
    {
        assert!(is_quiet(&hooks.servers("eth0", "6", &[other])));
        assert_eq!(hooks.of("eth0"), None, "{other}");
    }
    // As a scope, 17 would be another interface than the one of that name.
    assert!(is_quiet(&hooks.servers("17", "6", &["fe80::1", "fe80::1%17", "2001:db8::1"])));
    assert_eq!(hooks.of("17").unwrap(), ["2001:db8::1"]);
}

#[test]
fn a_client_takes_away_nothing_but_its_own() {
    let hooks = Hooks::new("owners");
    assert!(is_quiet(&hooks.of_client("dhclient", "eth0", "4", &["192.0.2.1"])));
    assert!(is_quiet(&hooks.of_client("networkd", "eth0", "46", &[])));
    assert!(is_quiet(&hooks.of_client("networkd", "eth0", "6", &["2001:db8::1"])));
    assert_eq!(hooks.of("eth0").unwrap(), ["192.0.2.1", "2001:db8::1"]);
    assert!(is_quiet(&hooks.of_client("dhclient", "eth0", "46", &[])));
    assert_eq!(hooks.of("eth0").unwrap(), ["2001:db8::1"]);
    // One that has servers takes the place of who had some before.
    assert!(is_quiet(&hooks.of_client("dhcpcd", "eth0", "6", &["2001:db8::2"])));
    assert!(is_quiet(&hooks.of_client("networkd", "eth0", "46", &[])));
    assert_eq!(hooks.of("eth0").unwrap(), ["2001:db8::2"]);
    // NetworkManager is told of interfaces that somebody else has configured.
    let external = [("CONNECTION_EXTERNAL", "1"), ("DHCP4_NTP_SERVERS", "192.0.2.9")];
    for action in ["up", "reapply", "down"] {
        hooks.manager(&["eth0", action], &external);
        assert_eq!(hooks.of("eth0").unwrap(), ["2001:db8::2"], "{action}");
    }
    hooks.manager(&["eth1", "up"], &external[1..]);
    assert_eq!(hooks.of("eth1").unwrap(), ["192.0.2.9"]);
    hooks.manager(&["eth1", "up"], &external[..1]);
    assert_eq!(hooks.of("eth1"), None);
    // What no hook has written is nobody's to take away.
    fs::write(hooks.sources().join("dhcp-eth2.toml"), "[[source]]\naddress = \"192.0.2.8\"\n").expect("ours");
    assert!(is_quiet(&hooks.servers("eth2", "46", &[])));
    assert_eq!(hooks.of("eth2").unwrap(), ["192.0.2.8"]);
}

#[test]
fn a_lease_of_before_counts_where_the_client_uses_it() {
    let hooks = Hooks::new("timeouts");
    let four = ("new_ntp_servers", "192.0.2.1");
    // Debian's script leaves the address on the interface, or takes it away.
    let (used, unused) = (("new_ip_address", "127.0.0.1"), ("new_ip_address", "192.0.2.77"));
    for (name, interface, variables, is_used) in [
        ("dhclient-exit-hook", "lo", &[("reason", "TIMEOUT"), used, four][..], true),
        ("dhclient-exit-hook", "lo", &[("reason", "TIMEOUT"), unused, four], false),
        ("dhclient-exit-hook", "lo", &[("reason", "TIMEOUT"), used, four, ("exit_status", "2")], false),
        ("dhclient-exit-hook", "lo", &[("reason", "TIMEOUT"), four], false),
        // The script has found the address in use: dhclient declines the lease.
        ("dhclient-exit-hook", "lo", &[("reason", "BOUND"), used, four, ("exit_status", "1")], false),
        ("dhclient-exit-hook", "lo", &[("reason", "BOUND"), used, four, ("exit_status", "0")], true),
        ("dhcpcd-hook", "lo", &[("reason", "TIMEOUT"), four], true),
        ("dhcpcd-hook", "lo", &[("reason", "STATIC"), four], true),
        ("dhcpcd-hook", "lo", &[("reason", "TIMEOUT6"), ("new_dhcp6_sntp_servers", "2001:db8::1")], true),
    ] {
        let all: Vec<_> = [("interface", interface)].iter().chain(variables).copied().collect();
        let output = hooks.sourced(name, &all);
        assert_eq!(output.stdout, b"whole\n", "{output:?}");
        assert!(output.stderr.is_empty(), "{output:?}");
        assert_eq!(hooks.of(interface).is_some(), is_used, "{name}: {variables:?}");
        for client in ["dhclient", "dhcpcd"] {
            assert!(is_quiet(&hooks.of_client(client, interface, "46", &[])));
        }
    }
}

#[test]
fn shellcheck_has_nothing_to_say_against_the_hooks() {
    let Some(shellcheck) = find_peer("shellcheck") else { return bench::skip("shellcheck is not installed") };
    let folder = bench::programs::workspace().join("packaging/dhcp");
    for entry in fs::read_dir(folder).expect("it is there").flatten() {
        let output = Command::new(&shellcheck).args(["--shell", "sh"]).arg(entry.path()).output();
        let output = output.expect("it can be executed");
        assert!(is_quiet(&output), "{}", String::from_utf8_lossy(&output.stdout));
    }
}
