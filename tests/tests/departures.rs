//! From which address, over which interface and with which code point queries and key exchanges leave, in the real daemon.

use bench::daemon::{Daemon, Setup, source};
use bench::netns::Network;
use bench::nts::Trust;
use bench::programs::free_port;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};
use std::io::IoSliceMut;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(60);

fn networks() -> Option<(Network, Network)> {
    let networks = Network::new().zip(Network::new());
    if networks.is_none() {
        bench::skip("network namespaces need root and the program ip");
    }
    networks
}

/// A cable with this name in both networks: 10.77.N.1 here, 10.77.N.2 there.
fn plug(near: &Network, far: &Network, name: &str, number: u8) {
    let [here, there] = [1, 2].map(|host| Ipv4Addr::new(10, 77, number, host));
    assert!(near.connect(far, here, there));
    for (network, device) in [(near, "near"), (far, "far")] {
        assert!(network.ip(&["link", "set", device, "down"]));
        assert!(network.ip(&["link", "set", device, "name", name]));
        assert!(network.ip(&["link", "set", name, "up"]));
    }
}

/// A server in `far` that has its own time; with NTS where there is a certificate.
fn server(far: &Network, port: u16, keys: Option<(&Trust, u16)>) -> Daemon {
    let nts = keys.map_or_else(String::new, |(trust, key_port)| {
        let (chain, key) = (trust.chain().display(), trust.key().display());
        format!("[server.nts]\nlisten = [\"0.0.0.0:{key_port}\"]\ncertificate = \"{chain}\"\nkey = \"{key}\"\nthreads = 1\n")
    });
    let time = format!(
        "[server]\nlisten = [\"0.0.0.0:{port}\"]\nallow = [\"0.0.0.0/0\"]\nlocal-stratum = 3\nthreads = 1\n"
    );
    Setup::new("far", &(time + &nts)).within(far).start()
}

/// From which address of this host the last valid reply says that it was asked.
fn asked_from(daemon: &Daemon) -> Option<String> {
    let sources = daemon.sources();
    sources.first()?["last_reply"]["local_address"].as_str().map(str::to_owned)
}

#[test]
fn a_source_is_asked_from_the_address_and_over_the_interface_that_are_configured() {
    let Some((near, far)) = networks() else { return };
    plug(&near, &far, "eth0", 7);
    assert!(near.ip(&["address", "add", "10.77.7.9/24", "dev", "eth0"]));
    let port = free_port();
    let serving = server(&far, port, None);
    let of = |more: &str| {
        let configuration = source(format!("10.77.7.2:{port}")) + more;
        Setup::new("near", &configuration).with_virtual_clock(0, 0.0).within(&near).start()
    };
    for (more, from) in [("", "10.77.7.1"), ("send-from = [\"10.77.7.9\"]\n", "10.77.7.9")] {
        let daemon = of(more);
        daemon.wait_until("asking", TIMEOUT, |daemon| asked_from(daemon).as_deref() == Some(from));
        assert_eq!(daemon.stop().code, Some(0));
    }
    // The routing table leads over eth0; the second cable is asked for by its name, and before it is there.
    let daemon = of("send-over = \"eth1\"\n");
    let why = "no interface of the name in `send-over`";
    let page =
        |daemon: &Daemon| String::from_utf8_lossy(&daemon.chimerctl(&["source", "1"]).stdout).into_owned();
    let names = |daemon: &Daemon| daemon.sources().first().map(|source| source["reason"].to_string());
    daemon
        .wait_until("missing it", TIMEOUT, |daemon| names(daemon).is_some_and(|reason| reason.contains(why)));
    plug(&near, &far, "eth1", 8);
    assert!(near.ip(&["route", "add", "10.77.7.2/32", "dev", "eth1", "metric", "100"]));
    daemon.wait_until("asking over it", TIMEOUT, |daemon| asked_from(daemon).as_deref() == Some("10.77.8.1"));
    let report = daemon.sources().remove(0);
    assert_eq!(report["send_over"].as_str(), Some("eth1"), "{}", page(&daemon));
    // It goes, and comes back with another number.
    assert!(near.ip(&["link", "del", "eth1"]));
    daemon.wait_until("missing it again", TIMEOUT, |daemon| {
        names(daemon).is_some_and(|reason| reason.contains(why))
    });
    plug(&near, &far, "eth1", 8);
    assert!(near.ip(&["route", "add", "10.77.7.2/32", "dev", "eth1", "metric", "100"]));
    daemon.wait_until("asking over it again", TIMEOUT, |daemon| {
        daemon
            .sources()
            .first()
            .is_some_and(|source| source["reach"].as_u64().is_some_and(|reach| reach & 1 == 1))
    });
    assert_eq!((daemon.stop().code, serving.stop().code), (Some(0), Some(0)));
}

/// Which of the two is missing is said, and where it can be seen before a start.
#[test]
fn a_source_that_lacks_its_address_or_its_interface_says_which_and_a_check_warns_of_both() {
    for (more, why, warned) in [
        (
            "send-from = [\"192.0.2.77\"]\n",
            "the address in `send-from`",
            "send-from: 192.0.2.77: no interface has",
        ),
        (
            "send-over = \"no-such0\"\n",
            "no interface of the name in `send-over`",
            "send-over: no-such0: there is no",
        ),
    ] {
        let port = free_port();
        let text = source(format!("127.0.0.1:{port}")) + more;
        let setup = Setup::new("lacking", &text).with_virtual_clock(0, 0.0);
        let checked = setup.command().arg("--check").output().expect("it can be executed");
        let said = String::from_utf8_lossy(&checked.stderr).into_owned();
        assert!(checked.status.success(), "{said}");
        assert_eq!(said.lines().filter(|line| line.contains(warned)).count(), 1, "{said}");
        let daemon = setup.start();
        let reason = |daemon: &Daemon| daemon.sources().first().map(|source| source["reason"].to_string());
        daemon.wait_until(why, TIMEOUT, |daemon| reason(daemon).is_some_and(|reason| reason.contains(why)));
        assert_eq!(daemon.stop().code, Some(0));
    }
    let usual =
        Setup::new("lacking", &(source("127.0.0.1:1") + "send-from = [\"127.0.0.1\"]\nsend-over = \"lo\"\n"));
    let checked = usual.command().arg("--check").output().expect("it can be executed");
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(checked.status.success() && !said.contains("send-"), "{said}");
}

#[test]
fn keys_are_exchanged_from_the_address_that_is_configured() {
    let Some((near, far)) = networks() else { return };
    plug(&near, &far, "eth0", 7);
    assert!(near.ip(&["address", "add", "10.77.7.9/24", "dev", "eth0"]));
    // Whoever does not come from there gets no answer.
    assert!(far.ip(&["route", "add", "blackhole", "10.77.7.1/32"]));
    let (port, key_port, trust) = (free_port(), free_port(), Trust::new("departures"));
    trust.replace_by(&trust.authority.issue(&["10.77.7.2"]));
    let serving = server(&far, port, Some((&trust, key_port)));
    let configuration = format!(
        "[[source]]\naddress = \"10.77.7.2:{key_port}\"\nmode = \"nts\"\nroots = \"{}\"\nmin-poll = 0\nmax-poll = 2\n\
         send-from = [\"10.77.7.9\"]\nsend-over = \"eth0\"\ndscp = 46\n",
        trust.roots().display()
    );
    let daemon = Setup::new("near", &configuration).with_virtual_clock(0, 0.0).within(&near).start();
    daemon
        .wait_until("asking with keys", TIMEOUT, |daemon| asked_from(daemon).as_deref() == Some("10.77.7.9"));
    assert_eq!(daemon.sources()[0]["authenticated"].as_bool(), Some(true));
    assert_eq!((daemon.stop().code, serving.stop().code), (Some(0), Some(0)));
}

/// The octet of the header of the next datagram that has its code point.
fn traffic_class(socket: &UdpSocket) -> Option<i32> {
    let mut octets = [0; 100];
    let mut space = nix::cmsg_space!(i32);
    let mut buffers = [IoSliceMut::new(&mut octets)];
    let message =
        recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut buffers, Some(&mut space), MsgFlags::empty())
            .ok()?;
    message.cmsgs().ok()?.find_map(|message| match message {
        ControlMessageOwned::Ipv4Tos(class) => Some(i32::from(class)),
        ControlMessageOwned::Ipv6TClass(class) => Some(class),
        _ => None,
    })
}

#[test]
fn queries_have_the_code_point_that_is_configured() {
    let Some(network) = Network::new() else {
        return bench::skip("network namespaces need root and the program ip");
    };
    for (place, dscp) in [("127.0.0.1", 0), ("127.0.0.1", 46), ("[::1]", 46), ("[::1]", 8)] {
        let server = network.within(|| UdpSocket::bind(format!("{place}:0")).expect("loopback is there"));
        server.set_read_timeout(Some(TIMEOUT)).expect("a time");
        match place.starts_with('[') {
            true => setsockopt(&server, sockopt::Ipv6RecvTClass, &true).expect("the kernel tells"),
            false => setsockopt(&server, sockopt::IpRecvTos, &true).expect("the kernel tells"),
        }
        let address: SocketAddr = server.local_addr().expect("it is bound");
        let configuration = source(address) + &format!("dscp = {dscp}\n");
        let daemon = Setup::new("dscp", &configuration).within(&network).start();
        assert_eq!(traffic_class(&server), Some(dscp << 2), "{place} {dscp}");
        assert_eq!(daemon.stop().code, Some(0));
    }
}
