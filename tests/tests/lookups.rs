//! Look-ups of names in the real daemon, each in a process that does nothing before it, under every configuration of the C
//! library that a host may have: whatever that library does for the first time there, its filter lets it.

use bench::authority::Authority;
use bench::daemon::{Daemon, Setup};
use bench::name_server::with_name_server;
use bench::netns::Network;
use bench::own_files;
use bench::programs::Place;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(90);

/// With which the log tells of a process that died, or said what it may not say.
const DIED: [&str; 4] = [
    "the process that looked it up failed",
    "the process that looked it up was killed",
    "the process that exchanged keys failed",
    "the process that exchanged keys was killed",
];

/// A link-local name server. musl asks for the number of an interface with a socket that the filter denies, so there the number
/// itself has to be in the file.
const LINK_LOCAL: &str = if cfg!(target_env = "musl") {
    "nameserver fe80::1%1\noptions timeout:1\n"
} else {
    "nameserver fe80::1%lo\noptions timeout:1\n"
};

/// The names, and how the addresses of each begin, as no other's do; none: it has no address. A source that
/// does not answer is asked at its name's other addresses in turn.
const NAMES: [(&str, &[&str]); 12] = [
    ("good.example", &["10.77.0.9"]),
    ("both.example", &["10.77.0.8", "fd77::9"]),
    ("alias.example", &["10.77.0.7"]),
    ("many.example", &["10.77.0.1"]),
    ("in-hosts.example", &["10.77.1.1"]),
    ("cut.example", &[]),
    ("empty.example", &[]),
    ("absent.example", &[]),
    ("failing.example", &[]),
    ("refused.example", &[]),
    ("broken.example", &[]),
    ("garbage.example", &[]),
];

/// Files of /etc, instead of the host's.
struct Files {
    what: &'static str,
    resolv: Option<&'static str>,
    others: &'static [(&'static str, &'static str)],
}

const HOSTS: &str =
    "127.0.0.1 localhost\n::1 localhost\nfe80::2%lo scoped\n10.77.1.1 in-hosts.example in-hosts\n";

/// Every word of resolv.conf(5), host.conf(5), gai.conf(5) and the `hosts` line of nsswitch.conf(5) at least once.
const CONFIGURATIONS: [Files; 10] = [
    Files {
        what: "a name server over IPv4",
        resolv: Some("nameserver 127.0.0.2\noptions timeout:1\n"),
        others: &[],
    },
    Files {
        what: "a name server over IPv6",
        resolv: Some("nameserver ::1\noptions edns0 trust-ad inet6 timeout:1\n"),
        others: &[],
    },
    Files { what: "a link-local name server", resolv: Some(LINK_LOCAL), others: &[] },
    Files {
        what: "link-local name servers on interfaces that are not there",
        resolv: Some(
            "nameserver fe80::1%eth77\nnameserver ff02::fb%7\nnameserver 127.0.0.2\noptions timeout:1\n",
        ),
        others: &[],
    },
    Files {
        what: "always over TCP",
        resolv: Some("nameserver 127.0.0.2\nnameserver ::1\noptions use-vc rotate debug timeout:1\n"),
        others: &[],
    },
    Files {
        what: "the first name servers closed, one question at a time",
        resolv: Some(
            "nameserver 127.0.0.3\nnameserver fe80::3%lo\nnameserver 127.0.0.2\noptions single-request timeout:1\n",
        ),
        others: &[],
    },
    Files {
        what: "many domains",
        resolv: Some(
            "search a.b c.d e.f g.h i.j k.l m.n o.p q.r s.t u.v w.x example\nnameserver 127.0.0.2\n\
             options ndots:3 single-request-reopen no-tld-query attempts:2 timeout:1\nsortlist 10.0.0.0/255.0.0.0 10.77.0.0\n",
        ),
        others: &[],
    },
    Files {
        what: "all other files",
        resolv: Some("domain example\nnameserver 127.0.0.2\noptions timeout:1\n"),
        others: &[
            ("host.conf", "order hosts,bind\nmulti on\nreorder on\ntrim .lan\nnospoof on\nspoofalert on\n"),
            (
                "gai.conf",
                "reload yes\nlabel ::/0 1\nprecedence ::ffff:0:0/96 100\nscopev4 ::ffff:0.0.0.0/96 14\n",
            ),
        ],
    },
    Files {
        what: "services that are not installed",
        resolv: Some("nameserver 127.0.0.2\noptions timeout:1\n"),
        others: &[(
            "nsswitch.conf",
            "hosts: files no_such_module mdns9_minimal [NOTFOUND=return] dns compat db nis\n",
        )],
    },
    Files {
        what: "nothing but the files that must be there",
        resolv: Some("nameserver 127.0.0.2\noptions timeout:1\n"),
        others: &[("nsswitch.conf", ""), ("host.conf", "")],
    },
];

/// A daemon with all names as sources, in `network` and with these files as /etc; also where they are.
fn setup(network: &Network, files: &Files) -> (Setup, PathBuf) {
    let sources = NAMES.map(|(name, _)| format!("[[source]]\naddress = \"{name}\"\n")).concat();
    let setup = Setup::new("lookups", &sources);
    let etc = own_files::etc(&setup);
    write(&etc, "hosts", HOSTS);
    files.resolv.iter().for_each(|text| write(&etc, "resolv.conf", text));
    for (name, text) in files.others {
        write(&etc, name, text);
    }
    let mounts = format!("mount --bind '{}' /etc", etc.display());
    (setup.with_virtual_clock(0, 0.0).with_mounts(network, &mounts), etc)
}

fn write(etc: &Path, name: &str, text: &str) {
    own_files::write(&etc.join(name), text);
}

/// Waits until every name is resolved, or is not for a reason of its own.
fn every_look_up_ends(daemon: &Daemon, what: &str) {
    let page = |daemon: &Daemon| String::from_utf8_lossy(&daemon.chimerctl(&["sources"]).stdout).into_owned();
    daemon.wait_until(what, TIMEOUT, |daemon| {
        let (page, log) = (page(daemon), daemon.log());
        let has_died = DIED.iter().any(|words| log.contains(words));
        let has_ended = |(name, addresses): &(&str, &[&str])| match addresses {
            [] => log.contains(&format!("source {name}: its name is not resolved")),
            _ => addresses.iter().any(|address| page.contains(address)),
        };
        has_died || NAMES.iter().all(has_ended)
    });
    let log = daemon.log();
    assert!(!DIED.iter().any(|words| log.contains(words)), "{what}:\n{log}");
}

/// The addresses of the name server: one of each kind.
fn name_servers(network: &Network) -> Option<Vec<SocketAddr>> {
    let is_added = network.ip(&["address", "add", "fe80::1/64", "dev", "lo", "nodad"]);
    let scope = if is_added { 1 } else { return None };
    let link_local = std::net::SocketAddrV6::new("fe80::1".parse().ok()?, 53, 0, scope);
    Some(vec!["127.0.0.2:53".parse().ok()?, "[::1]:53".parse().ok()?, link_local.into()])
}

#[test]
fn a_look_up_ends_by_itself_whatever_the_files_of_the_c_library_say() {
    let Some(network) = Network::new() else {
        return bench::skip("network namespaces need root and the program ip");
    };
    let Some(servers) = name_servers(&network) else { return bench::skip("there is no IPv6 here") };
    with_name_server(&network, &servers, || {
        let daemons = CONFIGURATIONS.each_ref().map(|files| (files.what, setup(&network, files).0.start()));
        for (what, daemon) in daemons {
            every_look_up_ends(&daemon, what);
            assert_eq!(daemon.stop().code, Some(0), "{what}");
        }
    });
}

#[test]
fn services_that_are_named_while_the_daemon_runs_end_no_look_up() {
    let Some(network) = Network::new() else {
        return bench::skip("network namespaces need root and the program ip");
    };
    let Some(servers) = name_servers(&network) else { return bench::skip("there is no IPv6 here") };
    let (setup, etc) = setup(&network, &CONFIGURATIONS[0]);
    write(&etc, "resolv.conf", "# none yet\n");
    with_name_server(&network, &servers, || {
        let daemon = setup.start();
        daemon.wait_until("a look-up without a name server", TIMEOUT, |daemon| {
            daemon.log().contains("source good.example: its name is not resolved")
        });
        write(
            &etc,
            "nsswitch.conf",
            "hosts: files resolve [!UNAVAIL=return] mymachines no_such_module dns\n",
        );
        write(&etc, "resolv.conf", "nameserver 127.0.0.2\noptions timeout:1\n");
        every_look_up_ends(&daemon, "with a service named after the start");
        assert_eq!(daemon.stop().code, Some(0));
    });
}

#[cfg(target_arch = "x86_64")]
#[test]
fn the_log_names_the_call_at_which_the_filter_of_a_look_up_ended_it() {
    let Some(network) = Network::new() else {
        return bench::skip("network namespaces need root and the program ip");
    };
    let silent = network.within(|| std::net::UdpSocket::bind("127.0.0.2:53")).expect("root may");
    let daemon = setup(&network, &CONFIGURATIONS[0]).0.start();
    let parent = daemon.process("exchange").pid;
    // Some of them end before they are reached, others have not begun to wait, or have no filter yet, under which alone the
    // call ends them: each that is there makes it, until one is told of.
    daemon.wait_until("told", TIMEOUT, |daemon| {
        for child in bench::process::children(parent) {
            let _ = bench::tracer::make_call(child.pid, libc::SYS_personality);
        }
        daemon.log().contains(
            "its name is not resolved: the process that looked it up was killed by its system call filter (SIGSYS): the \
             call personality (135) is not permitted",
        )
    });
    drop(silent);
    assert_eq!(daemon.stop().code, Some(0));
}

/// Seconds from the start until each source has this address, and until each of these words is in the log.
fn seconds_until(daemon: &Daemon, addresses: &[(&str, &str)], words: &[&str]) -> Vec<f64> {
    let mut seconds = vec![None; addresses.len() + words.len()];
    let begin = daemon.started();
    while seconds.contains(&None) && begin.elapsed() < TIMEOUT {
        let page = String::from_utf8_lossy(&daemon.chimerctl(&["sources"]).stdout).into_owned();
        let log = daemon.log();
        let found = addresses
            .iter()
            .map(|(name, address)| page.lines().any(|line| line.contains(name) && line.contains(address)));
        let found: Vec<bool> = found.chain(words.iter().map(|words| log.contains(words))).collect();
        for (at, _) in found.iter().enumerate().filter(|(_, found)| **found) {
            seconds[at].get_or_insert(begin.elapsed().as_secs_f64());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let seconds: Option<Vec<f64>> = seconds.into_iter().collect();
    seconds.unwrap_or_else(|| panic!("not resolved:\n{}", daemon.log()))
}

/// A daemon with these sources, and resolv.conf with nothing in it that the C library has not by itself.
fn with_resolver(network: &Network, sources: &str, resolv: &str) -> Daemon {
    let setup = Setup::new("lookups", sources);
    let etc = own_files::etc(&setup);
    write(&etc, "hosts", HOSTS);
    write(&etc, "resolv.conf", resolv);
    let mounts = format!("mount --bind '{}' /etc", etc.display());
    setup.with_virtual_clock(0, 0.0).with_mounts(network, &mounts).start()
}

#[test]
fn a_name_of_which_the_questions_for_one_family_are_dropped_is_resolved_in_seconds_and_delays_no_other() {
    let Some(network) = Network::new() else {
        return bench::skip("network namespaces need root and the program ip");
    };
    let Some(servers) = name_servers(&network) else { return bench::skip("there is no IPv6 here") };
    let addresses =
        [("four.example", "10.77.0.4"), ("six.example", "fd77::9"), ("good.example", "10.77.0.9")];
    let sources = addresses.map(|(name, _)| format!("[[source]]\naddress = \"{name}\"\n")).concat();
    let (authority, place) = (Authority::new("root"), Place::new("lookups-roots"));
    let roots = place.join("roots.pem");
    authority.write(&roots);
    let of = |name: &str| {
        format!("[[source]]\naddress = \"{name}\"\nmode = \"nts\"\nroots = \"{}\"\n", roots.display())
    };
    let nts = addresses.map(|(name, _)| of(name)).concat();
    // No route leads to the addresses.
    let unreachable = ["four", "six", "good"]
        .map(|name| format!("source {name}.example: no keys: there is no route to the key exchange server"));
    let unreachable = unreachable.each_ref().map(String::as_str);
    with_name_server(&network, &servers, || {
        let plain = with_resolver(&network, &sources, "nameserver 127.0.0.2\n");
        let protected = with_resolver(&network, &nts, "nameserver 127.0.0.2\n");
        let found = seconds_until(&plain, &addresses, &[]);
        eprintln!("seconds until the addresses of four, six and good: {found:.2?}");
        // The C library alone has them after 15 s.
        let is_quick = |found: &[f64]| found[0] < 14.0 && found[1] < 14.0;
        assert!(is_quick(&found) && found[2] <= found[0] && found[2] <= found[1], "{found:?}");
        let found = seconds_until(&protected, &[], &unreachable);
        eprintln!("seconds until the key exchanges have failed: {found:.2?}");
        let log = protected.log();
        let [four, six, good] = unreachable.map(|line| log.find(line));
        assert!(is_quick(&found) && good < four && good < six, "{found:?}\n{log}");
        assert_eq!((plain.stop().code, protected.stop().code), (Some(0), Some(0)));
    });
}

#[test]
fn a_look_up_has_time_for_name_servers_that_are_dead_and_for_a_list_of_domains_behind_one() {
    let Some(network) = Network::new() else {
        return bench::skip("network namespaces need root and the program ip");
    };
    let Some(servers) = name_servers(&network) else { return bench::skip("there is no IPv6 here") };
    let silent = ["127.0.0.3:53", "127.0.0.4:53"];
    let silent = silent.map(|place| network.within(|| std::net::UdpSocket::bind(place)).expect("root may"));
    let source = "[[source]]\naddress = \"deep.example\"\n";
    with_name_server(&network, &servers, || {
        let files = [
            "nameserver 127.0.0.3\nnameserver 127.0.0.4\nnameserver 127.0.0.2\n",
            "nameserver 127.0.0.3\nnameserver 127.0.0.2\nsearch a.b c.d e.f\noptions ndots:3\n",
        ];
        let daemons = files.map(|text| (text, with_resolver(&network, source, text)));
        for (text, daemon) in daemons {
            let found = seconds_until(&daemon, &[("deep.example", "10.77.0.5")], &[]);
            eprintln!("{text}: {found:.2?} s");
            assert!(found[0] < 28.0, "{found:?}");
            let log = daemon.log();
            assert!(!log.contains("its name is not resolved"), "the first look-up has it:\n{log}");
            assert_eq!(daemon.stop().code, Some(0));
        }
    });
    drop(silent);
}

#[test]
fn of_a_name_with_addresses_of_both_families_those_of_the_configured_one_alone_are_asked() {
    let Some(network) = Network::new() else {
        return bench::skip("network namespaces need root and the program ip");
    };
    let Some(servers) = name_servers(&network) else { return bench::skip("there is no IPv6 here") };
    with_name_server(&network, &servers, || {
        for (family, wanted, other) in [("ipv4", "10.77.0.8", "fd77::9"), ("ipv6", "fd77::9", "10.77.0.8")] {
            let source = "[[source]]\naddress = \"both.example\"\npool = true\n";
            let without = with_resolver(&network, source, "nameserver 127.0.0.2\n");
            let daemon = with_resolver(
                &network,
                &format!("{source}family = \"{family}\"\n"),
                "nameserver 127.0.0.2\n",
            );
            // Without it both are asked, so it is the key that keeps one out.
            seconds_until(&without, &[("both.example", wanted), ("both.example", other)], &[]);
            seconds_until(&daemon, &[("both.example", wanted)], &[]);
            let page = String::from_utf8_lossy(&daemon.chimerctl(&["sources"]).stdout).into_owned();
            assert!(!page.contains(other), "{family}: {page}");
            let detail = daemon.chimerctl(&["source", "both.example"]);
            let detail = String::from_utf8_lossy(&detail.stdout).into_owned();
            assert!(detail.contains(&format!("{family} alone")), "{detail}");
            assert_eq!((daemon.stop().code, without.stop().code), (Some(0), Some(0)));
        }
    });
}
