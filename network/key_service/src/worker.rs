//! One thread: it accepts and handles connections, and has its own link to the key holder.

use super::certificate::Certificate;
use super::connection::{Connection, Outcome, PIECE};
use super::context::{Context, End};
use super::limit::{Entry, Network};
use super::listener::Listener;
use super::places::{Places, Token};
use super::shared::Shared;
use super::signing::{ByName, HeldKey, Holder};
use ipc::message::key_service::KeyCounters;
use ipc::units::Span;
use network::clock;
use network::ending::Ending;
use nix::errno::Errno;
use nix::poll::ppoll;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::TimeSpec;
use protocol::nts::record::ALPN;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::NoServerSessionStorage;
use rustls::sign::CertifiedKey;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex, PoisonError};

/// Time for a whole exchange, from the moment when the connection was accepted.
pub const DEADLINE: Span = Span::from_millis(2_000);

/// Most connections that are accepted before existing ones have their turn; fewer while few arrive.
const TURNS: usize = 32;

/// Most events that are received in one call.
const EVENTS: usize = 64;

/// How long no connection is accepted after the kernel lacked resources for one.
const PAUSE: Span = Span::from_millis(10);

/// Which event a client is waited for: input, or room for output.
const SAYS: EpollFlags = EpollFlags::EPOLLIN.union(EpollFlags::EPOLLRDHUP);

/// Tokens of other descriptors than connections: no connection's token has the highest bit.
const ALARM: u64 = u64::MAX;
const LISTENERS: u64 = 1 << 63;

/// The state of one thread.
pub(super) struct Worker {
    shared: Arc<Shared>,
    number: usize,
    listeners: Arc<[Listener]>,
    epoll: Epoll,
    holder: Arc<Mutex<Holder>>,
    crypto: Arc<CryptoProvider>,
    context: Context,
    version: u64,
    certificates: Vec<Option<Arc<Certificate>>>,
    /// Connections are accepted.
    is_open: bool,
    /// Most connections to be accepted next time.
    turns: usize,
    places: Places,
    counters: KeyCounters,
    piece: Box<[u8; PIECE]>,
    out: Vec<u8>,
}

impl Worker {
    pub(super) fn new(
        shared: Arc<Shared>,
        number: usize,
        listeners: Arc<[Listener]>,
        holder: Holder,
    ) -> Result<Self, Errno> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        if let Some(own) = shared.workers.own(number) {
            epoll.add(&own.alarm, EpollEvent::new(EpollFlags::EPOLLIN, ALARM))?;
        }
        let context = Context { settings: shared.settings.newest(), config: None };
        Ok(Self {
            number,
            listeners,
            epoll,
            holder: Arc::new(Mutex::new(holder)),
            crypto: tls::crypto(),
            context,
            version: 0,
            certificates: Vec::new(),
            is_open: false,
            turns: 1,
            places: Places::default(),
            counters: KeyCounters::ZERO,
            piece: Box::new([0; PIECE]),
            out: Vec::with_capacity(PIECE),
            shared,
        })
    }

    /// Exchanges keys until an essential call to the kernel or the key holder fails.
    pub(super) fn work(&mut self) -> Ending {
        let mut events = [EpollEvent::empty(); EVENTS];
        loop {
            self.shared.workers.begin(self.number);
            if let Err(errno) = self.follow() {
                return Ending::Kernel("to wait for clients", errno);
            }
            let timeout = self.timeout();
            self.shared.workers.rest(self.number);
            let count = match self.epoll.wait(&mut events, timeout) {
                Ok(count) => count,
                Err(Errno::EINTR) => 0,
                Err(errno) => return Ending::Kernel("to wait for clients", errno),
            };
            for event in events.iter().take(count) {
                self.shared.workers.begin(self.number);
                match event.data() {
                    ALARM => {
                        self.shared.workers.own(self.number).into_iter().for_each(|own| own.alarm.clear())
                    }
                    at @ LISTENERS.. => self.accept((at - LISTENERS) as usize),
                    number => {
                        let has_closed = event.events().contains(EpollFlags::EPOLLRDHUP);
                        self.attend(Token::from_number(number), has_closed);
                    }
                }
            }
            self.run_out();
            self.shared.workers.publish(self.number, self.counters.list());
            let holder = self.holder.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(error) = holder.failure() {
                return Ending::Holder(error);
            }
        }
    }

    /// Adopts new settings.
    fn follow(&mut self) -> Result<(), Errno> {
        let Some(settings) = self.shared.settings.other_than(self.version) else { return Ok(()) };
        let version = settings.number();
        let mut is_new = false;
        for (at, new) in (0_u8..).zip(&settings.certificates) {
            let old = self.certificates.get(usize::from(at)).and_then(Option::as_ref);
            let is_other = |new: &Arc<Certificate>| !old.is_some_and(|old| Arc::ptr_eq(old, new));
            if new.as_ref().is_some_and(is_other) {
                is_new = true;
                self.holder.lock().unwrap_or_else(PoisonError::into_inner).change_key(at);
            }
        }
        if is_new {
            self.context.config = configure(&settings.certificates, &self.holder, &self.crypto);
        }
        self.certificates.clone_from(&settings.certificates);
        self.context.settings = settings;
        self.version = version;
        self.shared.adopt(self.number, version);
        if !self.is_open && self.context.config.is_some() && self.context.settings.cookies.is_some() {
            self.open()?;
        }
        Ok(())
    }

    /// Begins to accept connections: there is a certificate and there are keys.
    fn open(&mut self) -> Result<(), Errno> {
        self.is_open = true;
        for (at, listener) in (LISTENERS..).zip(self.listeners.iter()) {
            // One thread is woken for a connection, not all of them.
            let events = EpollFlags::EPOLLIN | EpollFlags::EPOLLEXCLUSIVE;
            self.epoll.add(listener, EpollEvent::new(events, at))?;
        }
        Ok(())
    }

    /// How long to wait for events: until the first deadline.
    fn timeout(&mut self) -> EpollTimeout {
        let Some((_, since)) = self.places.oldest() else { return EpollTimeout::NONE };
        let left = since.after(DEADLINE).since(clock::raw()).nanos().max(0);
        let milliseconds = (left + 999_999) / 1_000_000;
        EpollTimeout::try_from(milliseconds).unwrap_or(EpollTimeout::ZERO)
    }

    fn accept(&mut self, listener: usize) {
        let turns = self.turns;
        self.turns = (2 * turns).min(TURNS);
        for _ in 0..turns {
            let Some(listener) = self.listeners.get(listener) else { return };
            let (stream, address) = match listener.accept() {
                Ok(accepted) => accepted,
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => {
                        self.turns = 1;
                        return;
                    }
                    ErrorKind::ConnectionAborted | ErrorKind::Interrupted => continue,
                    _ => {
                        // The kernel has no resources: the existing connections end by their deadlines.
                        let _ = ppoll(&mut [], Some(TimeSpec::new(0, PAUSE.nanos())), None);
                        return;
                    }
                },
            };
            count(&mut self.counters.accepted);
            if !listener.admits(&stream, &self.shared.served) {
                count(&mut self.counters.denied);
                continue;
            }
            let network = Network::of(address.ip());
            let mut entry = self.shared.limits.enter(network, &self.context.settings.policy);
            // Otherwise a few silent connections would lock out their whole network.
            if entry == Entry::Refused
                && let Some(token) = self.places.least_of(network)
            {
                self.give_up(token);
                entry = self.shared.limits.enter(network, &self.context.settings.policy);
            }
            match entry {
                Entry::Refused => {
                    count(&mut self.counters.limited);
                    continue;
                }
                // A thread without connections may have one above the limit: the other threads have all of them.
                Entry::Full => self.make_room(),
                Entry::Free => {}
            }
            let token = self.places.add(Connection::new(stream, network, clock::raw()));
            let Some(connection) = self.places.find(token) else { continue };
            let event = EpollEvent::new(SAYS, token.to_number());
            if self.epoll.add(&*connection, event).is_err() {
                count(&mut self.counters.limited);
                self.close(token);
            }
        }
    }

    fn make_room(&mut self) {
        if let Some(token) = self.places.least() {
            self.give_up(token);
        }
    }

    fn give_up(&mut self, token: Token) {
        let is_lost = self.places.find(token).is_some_and(|connection| connection.run_out(&mut self.out));
        if is_lost {
            count(&mut self.counters.limited);
        }
        self.close(token);
    }

    fn attend(&mut self, token: Token, has_closed: bool) {
        let Self { places, context, shared, piece, out, counters, epoll, .. } = self;
        let Some(connection) = places.find(token) else { return };
        let network = connection.network;
        let begins = || shared.limits.begins(network, &context.settings.policy, clock::raw());
        let (end, outcome) = connection.attend(context, has_closed, begins, piece, out);
        match end {
            None => {}
            Some(End::Exchanged) => count(&mut counters.exchanged),
            Some(End::Refused) => count(&mut counters.refused),
            Some(End::Tls) => count(&mut counters.tls),
            Some(End::Limited) => count(&mut counters.limited),
            Some(End::Gone) => count(&mut counters.gone),
        }
        let wait_for = |events| {
            let mut event = EpollEvent::new(events, token.to_number());
            epoll.modify(&*connection, &mut event).is_ok()
        };
        let is_watched = match outcome {
            Outcome::Stays => true,
            Outcome::Blocks => wait_for(EpollFlags::EPOLLOUT),
            Outcome::Unblocks => wait_for(SAYS),
            Outcome::Closes => false,
        };
        if !is_watched {
            self.close(token);
        }
    }

    fn run_out(&mut self) {
        let now = clock::raw();
        while let Some((token, since)) = self.places.oldest() {
            if since.after(DEADLINE) > now {
                break;
            }
            let is_lost = self.places.find(token).is_some_and(|connection| connection.run_out(&mut self.out));
            if is_lost {
                count(&mut self.counters.late);
            }
            self.close(token);
        }
    }

    fn close(&mut self, token: Token) {
        if let Some(connection) = self.places.remove(token) {
            self.shared.limits.leave(connection.network);
        }
    }
}

fn count(counter: &mut u64) {
    *counter = counter.saturating_add(1);
}

/// TLS 1.3, and no state kept of a client: no tickets, no sessions, no early data.
fn configure(
    certificates: &[Option<Arc<Certificate>>],
    holder: &Arc<Mutex<Holder>>,
    crypto: &Arc<CryptoProvider>,
) -> Option<Arc<ServerConfig>> {
    let certified = |(number, certificate): (u8, &Option<Arc<Certificate>>)| {
        let certificate = certificate.as_ref()?;
        let key = HeldKey { holder: Arc::clone(holder), number, kind: certificate.kind };
        let certified = CertifiedKey::new(certificate.chain.clone(), Arc::new(key));
        Some((number, Arc::clone(certificate), Arc::new(certified)))
    };
    let all: Vec<_> = (0_u8..).zip(certificates).filter_map(certified).collect();
    let usual = all.iter().find(|(number, ..)| *number == 0).map(|(.., certified)| Arc::clone(certified));
    let all = all.into_iter().map(|(_, certificate, certified)| (certificate, certified)).collect();
    let mut config = ServerConfig::builder_with_provider(Arc::clone(crypto))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .ok()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(ByName { usual, all }));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Some(Arc::new(config))
}
