//! A real client with a real server, and a daemon that asks whom they name.

use super::hooks::Hooks;
use bench::daemon::{Setup, spawn};
use bench::netns::Network;
use bench::programs::{Place, find_peer, program, wait_for};
use bench::seen::names;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, Permissions};
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

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
    let run = client.setup().place().join("run");
    let hooks = Hooks::with(Place::new("dhcp-hooks"), &run, &program("chimerctl"), &[]);
    let text = format!(
        "#!/bin/sh\ncase $reason in\nBOUND|RENEW|REBIND|REBOOT) ip addr replace $new_ip_address/24 dev $interface ;;\nesac\n. {}\n",
        hooks.hook("dhclient-exit-hook").display()
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
