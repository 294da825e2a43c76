//! On which interfaces requests have to arrive, where entries of `listen` name some. The kernel cannot bind to an
//! interface that is not there, and a socket that is bound to one outlives it and stays deaf: so the sockets of such
//! entries are bound to all addresses, and a process answers only what arrived on the interface that has the name now. The
//! server does so with datagrams, the key exchange service with connections.

use super::clock;
use super::ending::Ending;
use super::interface;
use ipc::message::server::Interface;
use ipc::served_at::ServedAt;
use ipc::units::{RawInstant, Span};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};
use nix::sys::time::TimeSpec;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Octets of a message of the kernel that are read; only that there is one matters.
const NEWS: usize = 64;

/// Messages read at a time: the names are looked up once for all of them.
const BURST: usize = 256;

/// How often the names are looked up without a routing socket.
const PAUSE: TimeSpec = TimeSpec::new(5, 0);

/// Least time between two reports of one interface; a little more than the second that the engine allows.
const REPORTS: Span = Span::from_millis(1_050);

/// By which way a reply leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// As the routing table says.
    Routed,
    /// By the interface on which the request arrived.
    Back,
}

/// The entries of `listen`, with the index that each interface has now.
#[derive(Debug, Default)]
pub struct Served(Vec<(ServedAt, AtomicU32)>);

impl Served {
    /// Reads the entries as truechimerd gives them. Without any, what arrives on sockets of all addresses would not be judged.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn parse(text: Option<&str>) -> Result<Self, &'static str> {
        let entries = text.unwrap_or_default().split(',').map(ServedAt::parse).collect::<Result<Vec<_>, _>>();
        entries
            .map(Self::new)
            .map_err(|_| "the word served=… does not give the entries of listen; it is truechimerd's fault")
    }

    /// No interface has an index yet; nothing is answered that has to arrive on one.
    pub fn new(entries: impl IntoIterator<Item = ServedAt>) -> Self {
        let index = |entry: &ServedAt| AtomicU32::new(entry.scope());
        Self(entries.into_iter().map(|entry| (entry, index(&entry))).collect())
    }

    /// Whether what arrives on a socket that is bound there has to be judged by [`Self::admits`].
    pub fn is_judged(&self, bound: SocketAddr) -> bool {
        let entries = self.0.iter().map(|(entry, _)| entry);
        bound.ip().is_unspecified() && ServedAt::any_names_interface(entries, bound)
    }

    /// Whether what has come to this address over the interface with this index is for one of the entries; the reply leaves by
    /// that interface unless an entry without one holds as well.
    pub fn admits(&self, bound: SocketAddr, local: IpAddr, interface: u32) -> Option<Way> {
        let mut found = None;
        for (entry, index) in self.of(bound) {
            let ip = entry.address.ip();
            if !ip.is_unspecified() && ip != local {
                continue;
            }
            if !entry.names_interface() {
                return Some(Way::Routed);
            }
            let index = index.load(Ordering::Relaxed);
            if index != 0 && index == interface {
                found = Some(Way::Back);
            }
        }
        found
    }

    fn of(&self, bound: SocketAddr) -> impl Iterator<Item = &(ServedAt, AtomicU32)> {
        self.0.iter().filter(move |(entry, _)| entry.is_beside(bound))
    }
}

/// Keeps the indices up to date, and reports.
#[derive(Debug)]
pub struct Interfaces {
    /// Any socket: the names are looked up in its network.
    asked: OwnedFd,
    /// The routing socket, if there is one.
    news: Option<OwnedFd>,
    /// What was reported of the interface that each entry is the first to name; others are `None`.
    told: Vec<Option<bool>>,
    /// When something was reported last.
    at: Option<RawInstant>,
    /// There is something that the engine has not been told.
    is_behind: bool,
}

impl Interfaces {
    /// `None`: no entry names an interface. Call this before the filter is in force.
    ///
    /// # Errors
    /// [`Ending::Kernel`] without a descriptor.
    pub fn new(
        served: &Served,
        asked: BorrowedFd<'_>,
        news: Option<OwnedFd>,
    ) -> Result<Option<Self>, Ending> {
        let name = |at: usize| served.0.get(at).and_then(|(entry, _)| entry.interface);
        let is_first = |at: usize| name(at).is_some() && (0..at).all(|before| name(before) != name(at));
        let told: Vec<_> = (0..served.0.len()).map(|at| is_first(at).then_some(true)).collect();
        if told.iter().all(Option::is_none) {
            return Ok(None);
        }
        let asked = asked.try_clone_to_owned();
        let asked = asked.map_err(|error| {
            Ending::Kernel("a socket", Errno::from_raw(error.raw_os_error().unwrap_or_default()))
        })?;
        Ok(Some(Self { asked, news, told, at: None, is_behind: false }))
    }

    /// What to wait for.
    pub fn news(&self) -> Option<BorrowedFd<'_>> {
        self.news.as_ref().map(AsFd::as_fd)
    }

    /// The longest wait.
    pub fn timeout(&self) -> Option<TimeSpec> {
        let pause = self.news.is_none().then_some(PAUSE);
        let due =
            self.is_behind.then(|| TimeSpec::from_duration(Duration::from_nanos(self.left(clock::raw()))));
        due.into_iter().chain(pause).min()
    }

    /// Until the next report may be sent, in ns.
    fn left(&self, now: RawInstant) -> u64 {
        let left = self.at.map_or(0, |at| at.after(REPORTS).since(now).nanos());
        u64::try_from(left).unwrap_or(0)
    }

    /// Looks the names up; `offer` is told what has changed, at most once a second, and returns whether it took it.
    ///
    /// # Errors
    /// Those of `offer`.
    pub fn look(
        &mut self,
        now: RawInstant,
        served: &Served,
        mut offer: impl FnMut(Interface) -> Result<bool, Ending>,
    ) -> Result<(), Ending> {
        self.drain();
        for (entry, index) in &served.0 {
            if let Some(name) = &entry.interface {
                let found = interface::index(&self.asked, name.as_str()).unwrap_or(0);
                index.store(found, Ordering::Relaxed);
            }
        }
        let is_due = self.left(now) == 0;
        self.is_behind = false;
        for (at, told) in self.told.iter_mut().enumerate() {
            let (Some(told), Some((_, index))) = (told, served.0.get(at)) else { continue };
            let is_there = index.load(Ordering::Relaxed) != 0;
            let entry = u8::try_from(at).unwrap_or(u8::MAX);
            if *told == is_there {
                continue;
            }
            if is_due {
                self.at = Some(now);
            }
            if is_due && offer(Interface { entry, is_there })? {
                *told = is_there;
            } else {
                self.is_behind = true;
            }
        }
        Ok(())
    }

    /// Reads what the kernel has said. An overflow (ENOBUFS) says only that there was more.
    fn drain(&mut self) {
        let Some(news) = &self.news else { return };
        for _ in 0..BURST {
            match recv(news.as_raw_fd(), &mut [0; NEWS], MsgFlags::MSG_DONTWAIT) {
                Ok(_) | Err(Errno::ENOBUFS | Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return,
                // Then the names are looked up at intervals.
                Err(_) => {
                    self.news = None;
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_for_the_entry_of_its_address_port_family_and_interface() {
        let entries =
            ["0.0.0.0%a:123", "192.0.2.1:123", "[fe80::1%b]:123", "[fe80::2%7]:123", "0.0.0.0:1123"];
        let served = Served::new(entries.map(|text| ServedAt::parse(text).unwrap()));
        for ((_, index), found) in served.0.iter().zip([4, 0, 5]) {
            index.store(found, Ordering::Relaxed);
        }
        let bound = |text: &str| text.parse::<SocketAddr>().unwrap();
        let admits =
            |at: &str, local: &str, interface| served.admits(bound(at), local.parse().unwrap(), interface);
        assert!(served.is_judged(bound("0.0.0.0:123")) && served.is_judged(bound("[::]:123")));
        assert!(!served.is_judged(bound("0.0.0.0:1123")) && !served.is_judged(bound("[::]:1123")));
        assert!(!served.is_judged(bound("192.0.2.1:123")));
        let (back, routed) = (Some(Way::Back), Some(Way::Routed));
        for (local, interface, way) in [
            ("10.0.0.1", 4, back),
            ("10.0.0.1", 5, None),
            ("192.0.2.1", 4, routed),
            ("192.0.2.1", 5, routed),
            ("10.0.0.1", 0, None),
        ] {
            assert_eq!(admits("0.0.0.0:123", local, interface), way, "{local} {interface}");
        }
        for (local, interface, way) in
            [("fe80::1", 5, back), ("fe80::1", 7, None), ("fe80::2", 7, back), ("fe80::3", 5, None)]
        {
            assert_eq!(admits("[::]:123", local, interface), way, "{local} {interface}");
        }
    }

    #[test]
    fn an_interface_that_is_missing_is_reported_once_and_no_request_is_taken_for_its_own() {
        let (socket, served) = (
            std::net::UdpSocket::bind("127.0.0.1:0").unwrap(),
            Served::new(
                ["0.0.0.0%lo:1", "0.0.0.0%none0:1", "0.0.0.0%none0:2"]
                    .map(|text| ServedAt::parse(text).unwrap()),
            ),
        );
        let mut interfaces = Interfaces::new(&served, socket.as_fd(), None).unwrap().unwrap();
        let mut reports = Vec::new();
        for (second, taken) in [(0, false), (2, true), (4, true)] {
            let mut offer = |report| Ok((reports.push(report), taken).1);
            interfaces.look(at(second * 1_000), &served, &mut offer).unwrap();
        }
        assert_eq!(reports, [Interface { entry: 1, is_there: false }; 2]);
        let indices: Vec<u32> = served.0.iter().map(|(_, index)| index.load(Ordering::Relaxed)).collect();
        assert_eq!(indices, [1, 0, 0]);
        assert!(Interfaces::new(&Served::default(), socket.as_fd(), None).unwrap().is_none());
    }
    #[test]
    fn a122_an_interface_that_comes_and_goes_is_told_of_once_a_second() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let served = Served::new([ServedAt::parse("0.0.0.0%none0:1").unwrap()]);
        let mut interfaces = Interfaces::new(&served, socket.as_fd(), None).unwrap().unwrap();
        let mut reported = Vec::new();
        for tenth in 0..98 {
            let mut offer = |_| Ok((reported.push(tenth), true).1);
            interfaces.look(at(tenth * 100), &served, &mut offer).unwrap();
            let is_reported = reported.last() == Some(&tenth);
            assert_ne!(interfaces.is_behind, is_reported, "{tenth}");
            // As if it had been there meanwhile.
            interfaces.told = vec![Some(true)];
        }
        assert_eq!(reported, (0..98).step_by(11).collect::<Vec<_>>());
        assert!(interfaces.timeout().is_some_and(|wait| wait < PAUSE));
    }

    #[test]
    fn without_the_entries_of_listen_the_server_does_not_start() {
        for text in [None, Some(""), Some("192.0.2.1:123,"), Some("0.0.0.0%eth0:123,x")] {
            assert!(Served::parse(text).is_err_and(|wrong| wrong.contains("served=")), "{text:?}");
        }
        let served = Served::parse(Some("192.0.2.1:123,[::%eth0]:123")).unwrap();
        assert!(served.is_judged("[::]:123".parse().unwrap()));
    }

    fn at(millis: i64) -> RawInstant {
        RawInstant::saturating(millis * 1_000_000)
    }
}
