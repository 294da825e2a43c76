//! truechimer-metrics as its unit starts it, a client of its own for HTTP, and its pages, read strictly.

use crate::daemon::spawn;
use crate::programs::{Place, copy_program, free_port, program, wait_for};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A user that no package has, as which it runs where the tests are root's.
const USER: u32 = 61_390;

/// Accept of Prometheus.
pub const PROMETHEUS: &str = "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;\
                              q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";

/// A running exporter; killed when dropped.
pub struct Exporter {
    child: Child,
    _place: Place,
    /// Where it answers.
    pub address: SocketAddr,
}

/// The command, for the daemon of this control socket, as a user who may read it.
///
/// # Panics
/// If the program was not built, or cannot be copied.
pub fn command(place: &Place, socket: &Path) -> Command {
    // Where any user can execute it.
    let copy = place.join("truechimer-metrics");
    if !copy.exists() {
        copy_program(&program("truechimer-metrics"), &copy);
    }
    let mut command = Command::new(copy);
    command.arg("--socket").arg(socket).stdin(Stdio::null()).stdout(Stdio::null());
    if crate::is_root() {
        let group = std::fs::metadata(socket).map_or(USER, |facts| facts.gid());
        command.uid(USER).gid(group);
    }
    command
}

impl Exporter {
    /// For the daemon of this control socket.
    ///
    /// # Panics
    /// If it does not listen within 10 s.
    pub fn start(socket: &Path) -> Self {
        let place = Place::new("exporter");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let mut command = command(&place, socket);
        let child = spawn(command.arg("--listen").arg(address.to_string()));
        let exporter = Self { child, _place: place, address };
        let listens = wait_for(Duration::from_secs(10), || TcpStream::connect(address).ok());
        assert!(listens.is_some(), "truechimer-metrics does not listen at {address}");
        exporter
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A scrape: the page, in the format that this Accept asks for.
    ///
    /// # Panics
    /// If the answer is no page.
    pub fn scrape(&self, accept: &str) -> Scrape {
        let stream = TcpStream::connect(self.address).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket has timeouts");
        let text =
            ask(stream, &format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n\r\n"));
        Scrape::read(&text)
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a request and reads the answer to its end.
///
/// # Panics
/// If the connection breaks.
pub fn ask(mut stream: impl Read + Write, request: &str) -> String {
    stream.write_all(request.as_bytes()).expect("a request can be sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer to the end");
    text
}

/// promtool: `None` if it is missing.
pub fn promtool() -> Option<PathBuf> {
    crate::programs::find_peer("promtool")
}

/// The reason for a skipped test if promtool is missing.
pub const NO_PROMTOOL: &str = "promtool is missing; `cargo xtask peers` fetches it on Debian";

/// A page.
#[derive(Clone, Debug, Default)]
pub struct Scrape {
    /// Content-Type.
    pub format: String,
    /// The text.
    pub text: String,
    /// Samples as they are written, without their values.
    pub samples: BTreeMap<String, f64>,
    /// Type and help of the names in front of which they stand.
    pub families: BTreeMap<String, (String, String)>,
}

impl Scrape {
    /// Reads an answer over HTTP.
    ///
    /// # Panics
    /// If it is none, or its page is not as the format demands.
    pub fn read(answer: &str) -> Self {
        let (head, text) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        assert_eq!(header("Content-Length: "), text.len().to_string());
        Self::read_page(text, header("Content-Type: "))
    }

    /// Reads a page: each family once and whole, each sample once, and of a family that stands before it.
    ///
    /// # Panics
    /// If it is not so.
    pub fn read_page(text: &str, format: &str) -> Self {
        let mut scrape = Self { format: format.to_owned(), text: text.to_owned(), ..Self::default() };
        let is_open = format.contains("openmetrics");
        let body = if is_open { text.strip_suffix("# EOF\n").expect("its end") } else { text };
        assert!(body.ends_with('\n'), "{text}");
        let (mut family, mut kind, mut seen) = (String::new(), String::new(), BTreeSet::new());
        for line in body.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect("a name and its help");
                assert!(seen.insert(name.to_owned()), "{name} is there twice");
                family = name.to_owned();
                scrape.families.insert(family.clone(), (String::new(), help.to_owned()));
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                kind = rest.strip_prefix(&family).expect("of the family").trim_start().to_owned();
                scrape.families.get_mut(&family).expect("begun").0.clone_from(&kind);
            } else if let Some(rest) = line.strip_prefix("# UNIT ") {
                let unit = rest.strip_prefix(&family).expect("of the family").trim_start();
                assert!(is_open && family.ends_with(&format!("_{unit}")), "{line}");
            } else {
                let (sample, value) = line.rsplit_once(' ').expect("a sample and its value");
                let suffix = match kind.as_str() {
                    "counter" if is_open => "_total",
                    "info" => "_info",
                    _ => "",
                };
                assert_eq!(sample.split('{').next(), Some(format!("{family}{suffix}").as_str()), "{line}");
                let value = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
                assert!(scrape.samples.insert(sample.to_owned(), value).is_none(), "there twice: {line}");
            }
        }
        scrape
    }

    /// The value of this sample.
    pub fn value(&self, sample: &str) -> Option<f64> {
        self.samples.get(sample).copied()
    }

    /// The values of all samples of this metric.
    pub fn values(&self, metric: &str) -> Vec<f64> {
        let is_of = |sample: &str| sample.split('{').next() == Some(metric);
        self.samples.iter().filter(|(sample, _)| is_of(sample)).map(|(_, value)| *value).collect()
    }
}
