//! The key holder role: has the private keys of the key exchange service's certificates, one as a rule, and signs for it.
//!
//! It has no network, no extra threads and no file except the key. It signs only the CertificateVerify of a TLS 1.3
//! server, whose content it assembles itself. An attacker in the service can have handshakes signed, at a bounded rate,
//! while the attack lasts, but cannot take the key.
//!
//! The service has one link for each of its threads, and a further one, the first, over which it requests that the key
//! be read. After a `Use` on a thread's link, its signatures are made with the latest key; so each thread changes key
//! and certificate between two of its handshakes, and no handshake fails.
//!
//! ```text
//!   key   read, and used for one thing
//!   pem   its text form
//!   rate  how often
//! ```
#![forbid(unsafe_code)]

mod key;
mod pem;
mod rate;

use ipc::message::Shortfall;
use ipc::message::key_service::{FromKeyHolder, KeyRead, Sign, ToKeyHolder, Unread};
use ipc::units::Span;
use ipc_link::{Link, LinkError};
use key::Key;
use network::clock;
use network::ending::Ending;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use rate::Rate;
use std::convert::Infallible;
use std::os::fd::AsFd;
use std::path::PathBuf;

/// Signatures: 20,000 a second, 2,000 in a burst. More than a core can make.
const SIGNATURE: Span = Span::saturating(50_000);
const SIGNATURES: i64 = 2_000;

/// Readings of keys: one a second, in a burst ten of each.
const READING: Span = Span::from_millis(1_000);
const READINGS: i64 = 10;

/// Orders of one thread that are processed before the key is read.
const BURST: usize = 16;

/// A link to the key service: its requests arrive on it and are answered in order.
type ServiceLink = Link<FromKeyHolder, ToKeyHolder>;

/// The key, read before the filter is in force: the first use of a library makes system calls that are not
/// allowed later.
#[derive(Debug)]
pub struct Holder {
    paths: Vec<PathBuf>,
    /// The result of the first reading, of the first one.
    latest: Result<Key, Unread>,
}

impl Holder {
    /// Reads the first key. A failure is reported once the service is connected, which asks for the others.
    pub fn new(paths: Vec<PathBuf>) -> Self {
        // The first key may need no random numbers (Ed25519) or not be there, and a later one may.
        tls::warm_up();
        let latest = paths.first().map_or(Err(Unread::Unsupported), |path| Key::read(path));
        Self { paths, latest }
    }

    /// Signs until a link ends. The hello and the state of the key are sent on the first link.
    pub fn run(self, links: Vec<ServiceLink>, shortfall: Shortfall) -> Ending {
        let Holder { paths, latest } = self;
        let first = told(&latest);
        let mut latest = vec![latest.ok()];
        latest.resize(paths.len(), None);
        let places = links.into_iter().map(|link| Place { link, keys: latest.clone(), late: None }).collect();
        let count = i64::try_from(paths.len()).unwrap_or(1).max(1);
        let mut work = Work {
            paths,
            latest,
            places,
            signatures: Rate::new(SIGNATURE, SIGNATURES),
            readings: Rate::new(READING, READINGS.saturating_mul(count)),
        };
        match work.serve(shortfall, first) {
            Ok(never) => match never {},
            Err(ending) => ending,
        }
    }
}

/// One link.
struct Place {
    link: ServiceLink,
    /// The keys that this link's thread uses.
    keys: Vec<Option<Key>>,
    /// An answer for which the service had no room. Until it is sent, nothing more is read from this link.
    late: Option<FromKeyHolder>,
}

struct Work {
    paths: Vec<PathBuf>,
    /// Of each the last one that could be used.
    latest: Vec<Option<Key>>,
    places: Vec<Place>,
    signatures: Rate,
    readings: Rate,
}

impl Work {
    fn serve(&mut self, shortfall: Shortfall, key: KeyRead) -> Result<Infallible, Ending> {
        let first = self.places.first_mut().ok_or(Ending::Rule("a key holder without a link"))?;
        first.answer(FromKeyHolder::Hello(shortfall))?;
        first.answer(FromKeyHolder::Key(key))?;
        let mut ready = vec![false; self.places.len()];
        loop {
            self.wait(&mut ready)?;
            let is_ready = |at: usize| ready.get(at) == Some(&true);
            if is_ready(0) {
                self.attend_first()?;
            }
            for at in (1..ready.len()).filter(|at| is_ready(*at)) {
                self.attend(at)?;
            }
        }
    }

    fn wait(&self, ready: &mut [bool]) -> Result<(), Ending> {
        let interest =
            |place: &Place| if place.late.is_some() { PollFlags::POLLOUT } else { PollFlags::POLLIN };
        let mut polled: Vec<PollFd<'_>> =
            self.places.iter().map(|place| PollFd::new(place.link.as_fd(), interest(place))).collect();
        match ppoll(&mut polled, None, None) {
            Ok(_) => {
                for (ready, place) in ready.iter_mut().zip(&polled) {
                    *ready = place.any().unwrap_or(true);
                }
                Ok(())
            }
            Err(Errno::EINTR) => {
                ready.fill(false);
                Ok(())
            }
            Err(errno) => Err(Ending::Kernel("to wait for orders", errno)),
        }
    }

    /// Reads the key. Earlier orders of threads are processed first: a `Use` among them means the previous key.
    fn attend_first(&mut self) -> Result<(), Ending> {
        for at in 1..self.places.len() {
            for _ in 0..BURST {
                if !self.attend(at)? {
                    break;
                }
            }
        }
        let Some(place) = self.places.first_mut() else { return Ok(()) };
        if let Some(late) = place.late.take() {
            return place.answer(late);
        }
        match place.link.receive()? {
            None => Ok(()),
            Some((_, ToKeyHolder::Reload(number))) => {
                let at = usize::from(number);
                let (Some(path), Some(latest)) = (self.paths.get(at), self.latest.get_mut(at)) else {
                    return Err(Ending::Rule("a key of a number that there is not"));
                };
                let is_due = self.readings.takes(clock::raw());
                let read = if is_due { Key::read(path) } else { Err(Unread::TooOften) };
                let answer = FromKeyHolder::Key(told(&read));
                if let Ok(key) = read {
                    *latest = Some(key);
                }
                place.answer(answer)
            }
            Some((_, ToKeyHolder::Ping)) => place.answer(FromKeyHolder::Pong),
            Some(_) => Err(Ending::Rule("an order for a thread's link on the first one")),
        }
    }

    /// Processes one order of a thread; returns whether there was one. The other links have their turn then.
    fn attend(&mut self, at: usize) -> Result<bool, Ending> {
        let Some(place) = self.places.get_mut(at) else { return Ok(false) };
        if let Some(late) = place.late.take() {
            place.answer(late)?;
            return Ok(place.late.is_none());
        }
        match place.link.receive()? {
            None => return Ok(false),
            Some((_, ToKeyHolder::Sign(order))) => {
                let is_due = self.signatures.takes(clock::raw());
                let key = place.keys.get(usize::from(order.key)).and_then(Option::as_ref);
                let answer = if is_due { sign(key, &order) } else { FromKeyHolder::NotSigned };
                place.answer(answer)?;
            }
            Some((_, ToKeyHolder::Use(number))) => {
                let at = usize::from(number);
                let (Some(latest), Some(key)) = (self.latest.get(at), place.keys.get_mut(at)) else {
                    return Err(Ending::Rule("a key of a number that there is not"));
                };
                key.clone_from(latest);
            }
            Some((_, ToKeyHolder::Reload(_) | ToKeyHolder::Ping)) => {
                return Err(Ending::Rule("an order of the first link on a thread's link"));
            }
        }
        Ok(true)
    }
}

impl Place {
    fn answer(&mut self, answer: FromKeyHolder) -> Result<(), Ending> {
        match self.link.send(&answer) {
            Ok(_) => Ok(()),
            Err(LinkError::Full) => {
                self.late = Some(answer);
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn sign(key: Option<&Key>, order: &Sign) -> FromKeyHolder {
    key.and_then(|key| key.sign(order)).map_or(FromKeyHolder::NotSigned, FromKeyHolder::Signed)
}

fn told(read: &Result<Key, Unread>) -> KeyRead {
    match read {
        Ok(key) => KeyRead::Read(key.fingerprint()),
        Err(why) => KeyRead::Unreadable(*why),
    }
}
