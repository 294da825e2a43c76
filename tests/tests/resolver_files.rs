//! Files of the resolver that come, move and are replaced while the daemon runs, in a mount and a network namespace of the
//! test's own.

use bench::daemon::{Daemon, Setup};
use bench::forger::Forger;
use bench::name_server;
use bench::netns::Network;
use bench::own_files::{self, make_folder};
use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(90);
const UNRESOLVED: &str = "source time.example: its name is not resolved: no name server is configured";

/// A daemon with one named source, whose /etc has the symbolic link resolv.conf to `target` and few other files, and whose
/// `volatile` folder is one of the test's.
struct Host {
    setup: Setup,
    volatile: PathBuf,
}

impl Host {
    fn new(network: &Network, volatile: &str, target: &str) -> Self {
        Self::asking("time.example", network, volatile, target)
    }

    fn asking(source: &str, network: &Network, volatile: &str, target: &str) -> Self {
        let setup = Setup::new("resolver-files", &bench::daemon::source(source));
        let (etc, run) = (own_files::etc(&setup), setup.place().join("volatile"));
        make_folder(&run.join("medium"));
        symlink(target, etc.join("resolv.conf")).expect("ours");
        let mounts = format!(
            "mount --bind '{}' '{volatile}' && mount -t tmpfs none '{volatile}/medium' && mount --bind '{}' /etc",
            run.display(),
            etc.display()
        );
        Self { setup: setup.with_virtual_clock(0, 0.0).with_mounts(network, &mounts), volatile: run }
    }

    fn start(&self) -> Daemon {
        let daemon = self.setup.start();
        daemon.wait_until("a look-up without a name server", TIMEOUT, |daemon| {
            daemon.log().contains(UNRESOLVED)
        });
        daemon
    }

    /// A program of the host writes its file, in a folder that it makes if that is missing.
    fn write(&self, file: &str, text: &str) {
        let file = self.volatile.join(file);
        make_folder(file.parent().expect("it is in a folder"));
        own_files::write(&file, text);
    }
}

/// Whether the source has the address that [`with_name_server`] answers with.
fn is_resolved(daemon: &Daemon) -> bool {
    let page = daemon.chimerctl(&["sources"]);
    String::from_utf8_lossy(&page.stdout).contains("10.77.0.9")
}

/// Runs `what` while a name server at this address says that every name is 10.77.0.9.
fn with_name_server(network: &Network, address: &str, what: impl FnOnce()) {
    name_server::with_name_server(network, &[address.parse().expect("an address")], what);
}

/// Not at 127.0.0.1, which the C library asks without a file.
const SERVER: &str = "127.0.0.2:53";
const HERE: &str = "nameserver 127.0.0.2\n";

#[test]
fn a_folder_of_resolver_files_that_comes_after_the_start_is_read() {
    let Some(network) = Network::new() else {
        return bench::skip("network namespaces need root and the program ip");
    };
    let targets = [
        ("/run", "../run/systemd/resolve/stub-resolv.conf", "systemd/resolve/stub-resolv.conf"),
        ("/run", "/run/NetworkManager/resolv.conf", "NetworkManager/resolv.conf"),
        // Of a program that nobody knows, in a folder under /run and in one elsewhere.
        ("/run", "/var/run/some-dhcp/a/resolv.conf", "some-dhcp/a/resolv.conf"),
        ("/mnt", "../mnt/some-dhcp/resolv.conf", "some-dhcp/resolv.conf"),
    ];
    with_name_server(&network, SERVER, || {
        for (volatile, target, file) in targets {
            let host = Host::new(&network, volatile, target);
            let daemon = host.start();
            host.write(file, HERE);
            daemon.wait_until(&format!("resolved through {target}"), TIMEOUT, is_resolved);
            assert!(!daemon.log().contains("a system call"), "{}", daemon.log());
            assert_eq!(daemon.stop().code, Some(0));
        }
    });
}

#[test]
fn a_folder_of_resolver_files_that_is_removed_and_made_anew_is_read() {
    let Some(network) = Network::new() else {
        return bench::skip("network namespaces need root and the program ip");
    };
    with_name_server(&network, SERVER, || {
        let host = Host::new(&network, "/run", "../run/systemd/resolve/stub-resolv.conf");
        host.write("systemd/resolve/stub-resolv.conf", "# none yet\n");
        let daemon = host.start();
        fs::remove_dir_all(host.volatile.join("systemd/resolve")).expect("ours");
        host.write("systemd/resolve/stub-resolv.conf", HERE);
        daemon.wait_until("resolved through the new folder", TIMEOUT, is_resolved);
        assert_eq!(daemon.stop().code, Some(0));
    });
}

/// As networks write it that announce their name server over IPv6 (RFC 8106).
#[test]
fn a_name_server_that_is_an_address_on_an_interface_is_asked() {
    let Some(network) = Network::new() else {
        return bench::skip("network namespaces need root and the program ip");
    };
    assert!(network.ip(&["address", "add", "fe80::53/64", "dev", "lo", "nodad"]));
    // musl asks for the number of an interface with a socket that the filter denies.
    let zones: &[&str] = if cfg!(target_env = "musl") { &["1"] } else { &["lo", "1"] };
    with_name_server(&network, "[fe80::53%1]:53", || {
        for zone in zones {
            let host = Host::new(&network, "/run", "../run/systemd/resolve/stub-resolv.conf");
            let daemon = host.start();
            host.write("systemd/resolve/stub-resolv.conf", &format!("nameserver fe80::53%{zone}\n"));
            daemon.wait_until(&format!("resolved through fe80::53%{zone}"), TIMEOUT, is_resolved);
            assert!(!daemon.log().contains("a system call"), "{}", daemon.log());
            assert_eq!(daemon.stop().code, Some(0));
        }
    });
}

#[test]
fn after_a_restart_without_a_name_server_the_addresses_of_the_last_run_are_used() {
    let (Some(network), Some(beyond)) = (Network::new(), Network::new()) else {
        return bench::skip("network namespaces need root and the program ip");
    };
    let (here, there) = (Ipv4Addr::new(10, 77, 0, 1), Ipv4Addr::new(10, 77, 0, 9));
    assert!(network.connect(&beyond, here, there));
    let server = beyond.within(|| Forger::honest(there.into(), 0));
    let source = format!("time.example:{}", server.address().port());
    let resolver = "systemd/resolve/stub-resolv.conf";
    let host = Host::asking(&source, &network, "/run", "../run/systemd/resolve/stub-resolv.conf");
    let used = format!("source {source} is not resolved; its address of the last run is used until it is");
    host.write(resolver, HERE);
    with_name_server(&network, SERVER, || {
        let daemon = host.setup.start();
        daemon.wait_until_synchronised(TIMEOUT);
        daemon.wait_until("the address is kept", TIMEOUT, |_| {
            let state = fs::read(host.setup.place().join("state/engine.state")).unwrap_or_default();
            String::from_utf8_lossy(&state).contains(&format!("address={}", server.address()))
        });
        assert!(!daemon.log().contains("of the last run"), "{}", daemon.log());
        assert_eq!(daemon.stop().code, Some(0));
    });
    // The name server is gone, and its file with it, or a name server is named that does not answer.
    let silent = network.within(|| UdpSocket::bind("127.0.0.3:53")).expect("root may, in an empty network");
    for file in ["# none\n", HERE, "nameserver 127.0.0.3\n"] {
        host.write(resolver, file);
        let daemon = host.setup.start();
        daemon.wait_until_synchronised(TIMEOUT);
        assert_eq!(daemon.log().matches(&used).count(), 1, "{file}: {}", daemon.log());
        assert_eq!(daemon.stop().code, Some(0));
    }
    drop(silent);
}

#[test]
fn what_is_mounted_in_run_is_not_kept_from_being_unmounted() {
    let Some(network) = Network::new() else {
        return bench::skip("network namespaces need root and the program ip");
    };
    let daemon = Host::new(&network, "/run", "../run/systemd/resolve/stub-resolv.conf").start();
    let table = fs::read_to_string(format!("/proc/{}/mountinfo", daemon.process("exchange").pid))
        .expect("it runs, and root may");
    let seen: Vec<&str> = table.lines().filter_map(|line| line.split(' ').nth(4)).collect();
    assert!(seen.contains(&"/run") && !seen.contains(&"/run/medium"), "{seen:?}");
}
