//! The Samba role: has the server's replies to clients of an Active Directory domain signed (MS-SNTP) by Samba, which alone
//! knows the passwords of their accounts.
//!
//! It has a link to the engine, a link to the server, and one connection to Samba's socket; no network, no extra threads, and no
//! file. Over the link it is given one reply at a time. What comes back from Samba is compared with that reply, and only its
//! digest is handed on: a Samba that lies gains a client that does not believe the signature, and one that is silent costs its
//! own replies and nobody else's.
//!
//! ```text
//!   frame       what is said on the socket
//!   exchange    one request and its answer, in whatever parts they come
//!   connection  the socket
//!   attempts    when it is tried to connect, and what the engine is told
//! ```
#![forbid(unsafe_code)]

mod attempts;
mod connection;
mod exchange;
mod frame;

pub use connection::Place;
pub use frame::{ANSWER, Answer, Request, Wrong};

use attempts::{Attempts, Told};
use exchange::Exchange;
use ipc::message::Shortfall;
use ipc::message::samba::{Contact, FromSamba, FromSigner, ToSamba, ToSigner};
use ipc::units::{RawInstant, Span};
use ipc_link::{Link, LinkError};
use network::clock;
use network::ending::Ending;
use network::outbox::Outbox;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use std::convert::Infallible;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;

/// How long Samba may take for an answer. A client of Windows waits longer, and asks again.
const PATIENCE: Span = Span::from_millis(1_000);

/// So many connections in a row that Samba ends without an answer are no word about the accounts that were named.
const ENDED: u32 = 8;

/// Runs until a link ends; sends the hello first.
pub fn run(
    engine: Link<FromSamba, ToSamba>,
    server: Link<FromSigner, ToSigner>,
    place: Place,
    shortfall: Shortfall,
) -> Ending {
    let mut work = Work {
        engine: Outbox::new(engine),
        server,
        place,
        samba: None,
        order: None,
        answer: None,
        number: 0,
        attempts: Attempts::default(),
        told: Told::default(),
        ended: 0,
    };
    match work.serve(shortfall) {
        Ok(never) => match never {},
        Err(ending) => ending,
    }
}

/// A connection to Samba.
struct Connection {
    stream: File,
    /// Nothing was answered on it yet.
    is_fresh: bool,
}

/// A reply that is being signed.
struct Order {
    exchange: Exchange,
    late_at: RawInstant,
}

struct Work {
    engine: Outbox<FromSamba, ToSamba>,
    server: Link<FromSigner, ToSigner>,
    place: Place,
    samba: Option<Connection>,
    /// Only with a connection.
    order: Option<Order>,
    /// For which the server's link had no room. Nothing more is taken from there before it is sent.
    answer: Option<FromSigner>,
    number: u16,
    attempts: Attempts,
    told: Told,
    /// Connections in a row that Samba has ended instead of an answer.
    ended: u32,
}

/// What is ready.
#[derive(Default)]
struct Ready {
    engine: bool,
    server: bool,
    samba: bool,
}

impl Work {
    fn serve(&mut self, shortfall: Shortfall) -> Result<Infallible, Ending> {
        self.engine.push(FromSamba::Hello(shortfall))?;
        loop {
            let now = clock::raw();
            if self.samba.is_none() && self.attempts.is_due(now) {
                self.connect(now);
            }
            self.judge_time(now)?;
            if let Some(contact) = self.told.news(now) {
                self.engine.push(FromSamba::Contact(contact))?;
            }
            let ready = self.wait(now)?;
            if ready.engine {
                self.engine.flush()?;
                while let Some(ToSamba::Ping) = self.engine.receive()? {
                    self.engine.push(FromSamba::Pong)?;
                }
            }
            if ready.samba {
                self.talk()?;
            }
            if ready.server {
                self.attend()?;
            }
        }
    }

    fn wait(&self, now: RawInstant) -> Result<Ready, Ending> {
        let of_server = if self.answer.is_some() { PollFlags::POLLOUT } else { PollFlags::POLLIN };
        let is_writing = self.order.as_ref().is_some_and(|order| !order.exchange.unwritten().is_empty());
        let of_samba = if is_writing { PollFlags::POLLIN | PollFlags::POLLOUT } else { PollFlags::POLLIN };
        let mut polled = vec![
            PollFd::new(self.engine.as_fd(), self.engine.interest()),
            PollFd::new(self.server.as_fd(), of_server),
        ];
        polled.extend(self.samba.as_ref().map(|samba| PollFd::new(samba.stream.as_fd(), of_samba)));
        let attempt = if self.samba.is_none() { Some(self.attempts.next()) } else { None };
        let due = [self.order.as_ref().map(|order| order.late_at), attempt, self.told.next()];
        let timeout = due.into_iter().flatten().min().map(|due| {
            let left = due.since(now).nanos().max(0);
            TimeSpec::new(left / 1_000_000_000, left % 1_000_000_000)
        });
        match ppoll(&mut polled, timeout, None) {
            Ok(_) => {
                let is_ready = |at: usize| polled.get(at).is_some_and(|place| place.any().unwrap_or(true));
                Ok(Ready { engine: is_ready(0), server: is_ready(1), samba: is_ready(2) })
            }
            Err(Errno::EINTR) => Ok(Ready::default()),
            Err(errno) => Err(Ending::Kernel("to wait for replies", errno)),
        }
    }

    fn connect(&mut self, now: RawInstant) {
        match self.place.connect() {
            Ok(stream) => {
                self.samba = Some(Connection { stream, is_fresh: true });
                self.attempts.succeeded(now);
                self.told.connected();
            }
            Err(contact) => {
                self.attempts.failed(now);
                self.told.lost(contact);
            }
        }
    }

    /// Takes the next reply of the server, or sends what it had no room for.
    fn attend(&mut self) -> Result<(), Ending> {
        if let Some(answer) = self.answer.take() {
            return self.answer(answer);
        }
        let Some((_, ToSigner::Sign(unsigned))) = self.server.receive()? else { return Ok(()) };
        if self.order.is_some() {
            return Err(Ending::Rule("a reply before the last one was answered"));
        }
        let now = clock::raw();
        if self.samba.is_none() && self.attempts.is_due_for_a_client(now) {
            self.connect(now);
        }
        if self.samba.is_none() {
            return self.answer(FromSigner::Failed);
        }
        self.number = self.number.wrapping_add(1);
        let mut header = [0; 48];
        header.iter_mut().zip(unsigned.header.iter().flatten()).for_each(|(place, octet)| *place = *octet);
        let request = Request { number: self.number, account: unsigned.account, header };
        self.order = Some(Order { exchange: Exchange::new(request), late_at: now.after(PATIENCE) });
        self.talk()
    }

    fn answer(&mut self, answer: FromSigner) -> Result<(), Ending> {
        match self.server.send(&answer) {
            Ok(_) => Ok(()),
            Err(LinkError::Full) => {
                self.answer = Some(answer);
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Writes and reads as far as Samba does.
    fn talk(&mut self) -> Result<(), Ending> {
        let Some(samba) = &mut self.samba else { return Ok(()) };
        let outcome = match &mut self.order {
            Some(order) => converse(&samba.stream, &mut order.exchange),
            None => listen(&samba.stream),
        };
        match outcome {
            Ok(None) => Ok(()),
            Ok(Some(answer)) => {
                samba.is_fresh = false;
                self.order = None;
                self.told.answered();
                self.ended = 0;
                self.answer(match answer {
                    Answer::Signed(digest) => FromSigner::Signed(digest),
                    Answer::Refused => FromSigner::Refused,
                })
            }
            Err(Lost::Ended) => self.begin_again(),
            Err(Lost::Wrong) => self.give_up(Contact::Wrong),
        }
    }

    /// Samba has ended the connection: it was restarted, or it does that instead of an answer, as for an account that is
    /// disabled. Which of these, a new connection shows; a client may not be able to keep others from their signatures by
    /// naming such an account.
    fn begin_again(&mut self) -> Result<(), Ending> {
        let was_fresh = self.samba.take().is_some_and(|samba| samba.is_fresh);
        let Some(Order { exchange, late_at }) = self.order.take() else { return Ok(()) };
        if !exchange.is_unanswered() {
            return self.answer(FromSigner::Failed);
        }
        if was_fresh {
            self.ended = self.ended.saturating_add(1);
            if self.ended >= ENDED {
                self.told.lost(Contact::Ended);
            }
            return self.answer(FromSigner::Refused);
        }
        self.connect(clock::raw());
        if self.samba.is_none() {
            return self.answer(FromSigner::Failed);
        }
        self.order = Some(Order { exchange: Exchange::new(exchange.request()), late_at });
        self.talk()
    }

    fn judge_time(&mut self, now: RawInstant) -> Result<(), Ending> {
        match &self.order {
            Some(order) if order.late_at <= now => self.give_up(Contact::Silent),
            _ => Ok(()),
        }
    }

    /// Ends the connection, and the reply that waits for it.
    fn give_up(&mut self, why: Contact) -> Result<(), Ending> {
        self.samba = None;
        self.told.lost(why);
        match self.order.take() {
            Some(_) => self.answer(FromSigner::Failed),
            None => Ok(()),
        }
    }
}

/// Why a connection is of no use any more.
enum Lost {
    Ended,
    Wrong,
}

impl From<Wrong> for Lost {
    fn from(Wrong: Wrong) -> Self {
        Self::Wrong
    }
}

fn converse(mut samba: &File, exchange: &mut Exchange) -> Result<Option<Answer>, Lost> {
    while !exchange.unwritten().is_empty() {
        match samba.write(exchange.unwritten()) {
            Ok(0) => return Err(Lost::Ended),
            Ok(octets) => exchange.wrote(octets),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(_) => return Err(Lost::Ended),
        }
    }
    loop {
        match samba.read(exchange.room()) {
            Ok(0) => return Err(Lost::Ended),
            Ok(octets) => match exchange.took(octets)? {
                None => {}
                answer => return Ok(answer),
            },
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(_) => return Err(Lost::Ended),
        }
    }
}

/// Between two replies: Samba has nothing to say.
fn listen(mut samba: &File) -> Result<Option<Answer>, Lost> {
    match samba.read(&mut [0]) {
        Ok(0) => Err(Lost::Ended),
        Ok(_) => Err(Lost::Wrong),
        Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => Ok(None),
        Err(_) => Err(Lost::Ended),
    }
}

#[cfg(test)]
mod tests;
