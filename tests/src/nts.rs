//! A server of ours with NTS, what its clients need to trust it, and other implementations with NTS.

use crate::authority::{Authority, Identity, Order};
use crate::daemon::{Daemon, Setup, spawn};
use crate::forger::Forger;
use crate::peers::{Peer, chronyd_program};
use crate::programs::{Place, find_peer, free_port, has_ipv6, wait_for};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;
use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, TcpStream};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The reason for a skipped test if the newer chronyd is missing.
pub const NO_NEWEST_CHRONYD: &str = "no newer chronyd; `cargo xtask peers --more` fetches it on Debian";
/// The reason for a skipped test if ntpd-rs is missing.
pub const NO_NTPD_RS: &str = "ntp-daemon of ntpd-rs is missing; `cargo xtask peers --more` builds it";

/// The names in a test server's certificate.
pub const NAMES: [&str; 5] = ["localhost", "127.0.0.1", "127.0.0.2", "127.0.0.3", "::1"];

/// An authority, a certificate from it, and both as files.
pub struct Trust {
    /// The authority.
    pub authority: Authority,
    place: Place,
    chain: PathBuf,
    key: PathBuf,
}

impl Trust {
    /// A temporary authority with a certificate for the loopback addresses.
    pub fn new(word: &str) -> Self {
        let place = Place::new(&format!("{word}-trust"));
        let authority = Authority::new(word);
        let (chain, key) = authority.issue(&NAMES).write(&place);
        authority.write(&place.join("roots.pem"));
        Self { authority, place, chain, key }
    }

    /// Replaces the certificate.
    pub fn replace(&self, order: &Order<'_>) {
        self.authority.issue_as(order).write(&self.place);
    }

    /// Replaces the certificate by one that this authority did not sign.
    pub fn replace_by(&self, identity: &Identity) {
        identity.write(&self.place);
    }

    /// The authority's own certificate.
    pub fn roots(&self) -> PathBuf {
        self.place.join("roots.pem")
    }

    /// The server's chain.
    pub fn chain(&self) -> &Path {
        &self.chain
    }

    /// The number that is the server's private key: 32 octets, found in its PKCS #8 form after the version
    /// of the ECPrivateKey within (RFC 5915).
    ///
    /// # Panics
    /// If the key is not a P-256 key.
    pub fn private_scalar(&self) -> Vec<u8> {
        let text = fs::read_to_string(&self.key).expect("a file of ours");
        let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).expect("a private key");
        let der = key.secret_der();
        let mark = [2, 1, 1, 4, 32];
        let at = der.windows(mark.len()).position(|window| window == mark).expect("a key of P-256");
        der[at + mark.len()..][..32].to_vec()
    }

    /// The server's private key.
    pub fn key(&self) -> &Path {
        &self.key
    }
}

/// How a server of ours is started.
pub struct NtsServer {
    /// Its daemon.
    pub setup: Setup,
    /// Its port for the key exchange.
    pub key_port: u16,
    /// Its port for time.
    pub port: u16,
    /// Its authority.
    pub trust: Trust,
}

impl NtsServer {
    /// At these loopback addresses, with the host's own time at stratum 1. `more` is added to `[server.nts]`.
    pub fn new(word: &str, addresses: &[&str], more: &str) -> Self {
        let port = free_port();
        Self::announcing(word, addresses, port, port, more)
    }

    /// The same at a chosen port, with another one named in its key exchange: for a relay between client and server.
    pub fn announcing(word: &str, addresses: &[&str], port: u16, announced: u16, more: &str) -> Self {
        Self::configured(word, addresses, (port, announced), "", more)
    }

    /// For measurements: at 127.0.0.1, one thread for time and this many for the key exchange, without limits. `more` is added
    /// to `[server.nts]`.
    pub fn unlimited(word: &str, key_threads: usize, more: &str) -> Self {
        let port = free_port();
        let more = format!(
            "threads = {key_threads}\nconnections = 512\nnetwork-connections = 512\nrate = 100000\n\
             network-rate = 100000\n{more}"
        );
        Self::configured(word, &["127.0.0.1"], (port, port), "rate-limit = false\nthreads = 1\n", &more)
    }

    /// At these loopback addresses, without a limit of the rate: a client that asks at several of them is one client to it.
    pub fn generous(word: &str, addresses: &[&str]) -> Self {
        let port = free_port();
        Self::configured(word, addresses, (port, port), "rate-limit = false\n", "")
    }

    fn configured(
        word: &str,
        addresses: &[&str],
        (port, announced): (u16, u16),
        lines: &str,
        more: &str,
    ) -> Self {
        let (key_port, trust) = (free_port(), Trust::new(word));
        let at = |port: u16| {
            let all: Vec<_> =
                addresses.iter().map(|address| format!("\"{}\"", joined(address, port))).collect();
            all.join(", ")
        };
        let configuration = format!(
            "[server]\nlisten = [{}]\nallow = [\"127.0.0.0/8\", \"::1/128\"]\nlocal-stratum = 1\n{lines}\n[server.nts]\n\
             listen = [{}]\ncertificate = \"{}\"\nkey = \"{}\"\nntp-port = {announced}\n{more}\n",
            at(port),
            at(key_port),
            trust.chain().display(),
            trust.key().display()
        );
        Self { setup: Setup::new(word, &configuration), key_port, port, trust }
    }

    /// The part of a client's configuration that uses it as a source at this address, polling each second. `more` is
    /// added.
    pub fn source(&self, address: &str, more: &str) -> String {
        self.source_polled(address, 0..=0, more)
    }

    /// The same with a range of poll exponents.
    pub fn source_polled(&self, address: &str, poll: RangeInclusive<i8>, more: &str) -> String {
        format!(
            "[[source]]\naddress = \"{}\"\nmode = \"nts\"\nroots = \"{}\"\nmin-poll = {}\nmax-poll = {}\n\
             burst = true\n{more}\n",
            joined(address, self.key_port),
            self.trust.roots().display(),
            poll.start(),
            poll.end()
        )
    }
}

/// A server's counters, by name: those of the time packets and of the key exchange.
pub fn counts(server: &Daemon) -> Value {
    server.ask("status").unwrap_or_default()
}

/// The loopback addresses that can be used here, of both families.
pub fn loopbacks() -> Vec<&'static str> {
    let mut addresses = vec!["127.0.0.1"];
    if has_ipv6() {
        addresses.push("::1");
    }
    addresses
}

fn joined(address: &str, port: u16) -> String {
    match address.parse::<IpAddr>() {
        Ok(IpAddr::V6(_)) => format!("[{address}]:{port}"),
        _ => format!("{address}:{port}"),
    }
}

/// Another implementation that serves NTS on the loopback addresses.
pub struct NtsPeer {
    /// Its process; its `port` is that of the key exchange.
    pub peer: Peer,
    /// Its authority.
    pub trust: Trust,
    /// Its own source.
    _reference: Option<Forger>,
}

impl NtsPeer {
    /// chronyd (`chronyd` or `chronyd-newest`); `None` if it is missing or cannot do NTS.
    ///
    /// # Panics
    /// If it does not listen within 5 s.
    pub fn chronyd(program: &str) -> Option<Self> {
        let (trust, place) = (Trust::new("chronyd"), Place::new("chronyd-nts"));
        let (port, key_port) = (free_port(), free_port());
        let mut lines = format!(
            "port {port}\nallow 127.0.0.0/8\nallow ::1/128\nlocal stratum 8\ncmdport 0\nbindcmdaddress /\n\
             pidfile {}\nntsport {key_port}\nntsserverkey {}\nntsservercert {}\nntsprocesses 1\nbindaddress 127.0.0.1",
            place.join("pid").display(),
            trust.key().display(),
            trust.chain().display()
        );
        if has_ipv6() {
            lines += "\nbindaddress ::1";
        }
        let mut command = chronyd_program(program)?;
        command.args(lines.lines());
        Some(Self { peer: started(&mut command, place, key_port), trust, _reference: None })
    }

    /// ntpd-rs; `None` if it is missing.
    ///
    /// # Panics
    /// If it does not listen within 5 s.
    pub fn ntpd_rs() -> Option<Self> {
        let program = find_peer("ntp-daemon")?;
        let (trust, place) = (Trust::new("ntpd-rs"), Place::new("ntpd-rs-nts"));
        let (port, key_port) = (free_port(), free_port());
        // It reports itself as synchronised only while it has a source: the host's own time, by a plain
        // server. At an address of an interface it would take that one for itself.
        let reference = Forger::honest([127, 0, 0, 9].into(), 0);
        let mut configuration = format!(
            "[observability]\nlog-level = \"info\"\n[synchronization]\nminimum-agreeing-sources = 1\n\
             [source-defaults]\npoll-interval-limits = {{ min = 0, max = 0 }}\ninitial-poll-interval = 0\n\
             [[source]]\nmode = \"server\"\naddress = \"{}\"\n",
            reference.address()
        );
        for address in loopbacks() {
            let _ = write!(
                configuration,
                "[[server]]\nlisten = \"{}\"\n[[nts-ke-server]]\nlisten = \"{}\"\nntp-port = {port}\n\
                 certificate-chain-path = \"{}\"\nprivate-key-path = \"{}\"\n",
                joined(address, port),
                joined(address, key_port),
                trust.chain().display(),
                trust.key().display()
            );
        }
        fs::write(place.join("ntp.toml"), configuration).expect("a new folder can be written");
        let mut command = fenced(&program);
        command.arg("-c").arg(place.join("ntp.toml"));
        Some(Self { peer: started(&mut command, place, key_port), trust, _reference: Some(reference) })
    }

    /// The part of a client's configuration that uses it as a source at this address, polling each second. `more` is
    /// added.
    pub fn source(&self, address: &str, more: &str) -> String {
        format!(
            "[[source]]\naddress = \"{}\"\nmode = \"nts\"\nroots = \"{}\"\nmin-poll = 0\nmax-poll = 0\nburst = true\n\
             {more}\n",
            joined(address, self.peer.port),
            self.trust.roots().display()
        )
    }
}

fn started(command: &mut Command, place: Place, key_port: u16) -> Peer {
    let log = fs::File::create(place.join("log")).expect("a new folder can be written");
    command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file can be shared")).stderr(log);
    let peer = Peer::new(spawn(command), place, key_port);
    let up = wait_for(Duration::from_secs(5), || TcpStream::connect(("127.0.0.1", key_port)).ok());
    assert!(up.is_some(), "no process listens on port {key_port}:\n{}", peer.log());
    peer
}

/// Believes that it sets the clock, and cannot.
pub(crate) fn fenced(program: &Path) -> Command {
    let mut command = Command::new(crate::programs::program("pretend"));
    command.arg(program);
    command
}

/// chronyd as a client of a server of ours, which polls each second and cannot set the clock; `None` if it is
/// missing.
///
/// # Panics
/// If its files cannot be written.
pub fn chronyd_client(program: &str, server: &NtsServer, address: &str, more: &str) -> Option<Peer> {
    let place = Place::new("chronyd-nts-client");
    let lines = format!(
        "server {address} nts ntsport {} minpoll 0 maxpoll 0 iburst\nnosystemcert\nntstrustedcerts {}\nport 0\n\
         cmdport 0\nbindcmdaddress /\npidfile {}\nlogdir {}\nlog measurements\n{more}",
        server.key_port,
        server.trust.roots().display(),
        place.join("pid").display(),
        place.path().display()
    );
    let mut command = chronyd_program(program)?;
    command.args(lines.trim_end().lines());
    let log = fs::File::create(place.join("log")).expect("a new folder can be written");
    command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file can be shared")).stderr(log);
    Some(Peer::new(spawn(&mut command), place, server.key_port))
}

/// ntpd-rs as a client of a server of ours at `localhost`, which cannot set the clock; `None` if it is missing.
///
/// # Panics
/// If its files cannot be written.
pub fn ntpd_rs_client(server: &NtsServer) -> Option<Peer> {
    let program = find_peer("ntp-daemon")?;
    let place = Place::new("ntpd-rs-nts-client");
    let configuration = format!(
        "[observability]\nlog-level = \"debug\"\n[synchronization]\nminimum-agreeing-sources = 1\n[source-defaults]\n\
         poll-interval-limits = {{ min = 4, max = 4 }}\ninitial-poll-interval = 4\n[[source]]\nmode = \"nts\"\n\
         address = \"localhost:{}\"\ncertificate-authority = \"{}\"\n",
        server.key_port,
        server.trust.roots().display()
    );
    fs::write(place.join("ntp.toml"), configuration).expect("a new folder can be written");
    let mut command = fenced(&program);
    command.arg("-c").arg(place.join("ntp.toml"));
    let log = fs::File::create(place.join("log")).expect("a new folder can be written");
    command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file can be shared")).stderr(log);
    Some(Peer::new(spawn(&mut command), place, server.key_port))
}
