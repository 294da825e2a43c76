//! The part of the thread at the links in signing: replies out of the queue to the process that asks Samba, one at a time, and
//! signed to their clients.
//!
//! A reply is stamped before it is signed: its transmit timestamp names the moment at which it will leave, by what the
//! signatures before took.

use super::control_message::Writer;
use super::mmsg::{Batch, OutgoingMessage};
use super::served_clock::{ServedClock, transmit_stamp};
use super::shared::Shared;
use super::unsigned::Unsigned;
use ipc::CodecError;
use ipc::message::samba::{FromSigner, ToSigner, Unsigned as Order};
use ipc::message::server::Counters;
use ipc::units::RawInstant;
use ipc_link::{Link, LinkError};
use network::clock;
use network::ending::Ending;
use protocol::header::{LENGTH, TRANSMIT_AT};
use protocol::ms_sntp::{SIGNED_LENGTH, signed};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Signatures from which is learned how long the next one takes.
const LEARNT: usize = 8;

/// Longest time that is expected of a signature: who asks Samba waits no longer.
const SLOWEST: i64 = 1_000_000_000;

/// What leaves so much later than its transmit timestamp says is not sent, nanoseconds: half of that is the error of the client's clock.
const LATE: i64 = 250_000_000;

/// The same of what leaves earlier: a Samba that became faster, whose next signature is expected sooner.
const EARLY: i64 = 10_000_000;

/// A link to the process that asks Samba.
pub(super) type SignerLink = Link<ToSigner, FromSigner>;

/// What it is made from.
#[derive(Debug)]
pub(super) struct Signer {
    pub link: SignerLink,
    /// The virtual clock's file, if there is one.
    pub clock: Option<OwnedFd>,
    /// Its own place among the threads that count.
    pub number: usize,
}

/// What is needed for it.
#[derive(Debug)]
pub(super) struct Signing {
    /// None once that process is gone: then the daemon ends.
    link: Option<SignerLink>,
    open: Option<(Unsigned, RawInstant)>,
    clock: ServedClock,
    batch: Batch,
    pace: Pace,
    counters: Counters,
    /// Among the threads that count.
    number: usize,
}

impl Signing {
    pub(super) fn new(Signer { link, clock, number }: Signer) -> Self {
        Self {
            link: Some(link),
            open: None,
            clock: ServedClock::new(clock),
            batch: Batch::new(),
            pace: Pace::default(),
            counters: Counters::ZERO,
            number,
        }
    }

    /// What is to be waited for.
    pub(super) fn news(&self) -> Option<BorrowedFd<'_>> {
        self.link.as_ref().map(AsFd::as_fd)
    }

    /// Takes the answer, if it is there, and sends the next reply to be signed.
    ///
    /// # Errors
    /// [`Ending::Signer`] for a breach of the link's rules. That its other end is gone is for the engine to judge.
    pub(super) fn attend(&mut self, shared: &Shared) -> Result<(), Ending> {
        match self.turn(shared) {
            Ok(()) => {}
            Err(LinkError::Closed) => self.link = None,
            Err(error) => return Err(Ending::Signer(error)),
        }
        shared.workers.publish(self.number, self.counters.list());
        Ok(())
    }

    fn turn(&mut self, shared: &Shared) -> Result<(), LinkError> {
        loop {
            let expected = self.pace.expected();
            let Some(link) = &mut self.link else { return Ok(()) };
            if self.open.is_some() {
                let Some((_, answer)) = link.receive()? else { return Ok(()) };
                self.finish(answer);
                continue;
            }
            let now = clock::raw();
            let (unsigned, late) = shared.unsigned.as_ref().map_or((None, 0), |unsigned| unsigned.take(now));
            add(&mut self.counters.unsigned_late, late);
            let Some(mut unsigned) = unsigned else {
                // It says nothing unasked.
                return match link.receive()? {
                    None => Ok(()),
                    Some(_) => Err(LinkError::Malformed(CodecError::Trailing)),
                };
            };
            self.clock.refresh();
            self.clock.smear_by(unsigned.smear);
            let departs = self.clock.now().map(|now| now.saturating_add(expected));
            let Some(departs) = departs else {
                add(&mut self.counters.failed, 1);
                continue;
            };
            if let Some(place) = unsigned.header.get_mut(TRANSMIT_AT..LENGTH) {
                place.copy_from_slice(&transmit_stamp(departs).bits().to_be_bytes());
            }
            let begun = clock::raw();
            match link.send(&ToSigner::Sign(order(&unsigned))) {
                Ok(_) => self.open = Some((unsigned, begun)),
                Err(LinkError::Full) => add(&mut self.counters.unsigned_late, 1),
                Err(error) => return Err(error),
            }
        }
    }

    fn finish(&mut self, answer: FromSigner) {
        let Some((unsigned, begun)) = self.open.take() else { return };
        match answer {
            FromSigner::Signed(digest) => {
                if !self.pace.learn(clock::raw().since(begun).nanos()) {
                    return add(&mut self.counters.unsigned_late, 1);
                }
                let packet = signed(&unsigned.header, unsigned.account, &digest);
                if self.send(&unsigned, &packet) {
                    add(&mut self.counters.answered, 1);
                    add(&mut self.counters.signed, 1);
                } else {
                    add(&mut self.counters.failed, 1);
                }
            }
            FromSigner::Refused => add(&mut self.counters.unsigned, 1),
            FromSigner::Failed => add(&mut self.counters.unsigned_late, 1),
        }
    }

    /// Sends a packet; returns whether the kernel took it.
    fn send(&mut self, unsigned: &Unsigned, packet: &[u8; SIGNED_LENGTH]) -> bool {
        let name = unsigned.name.get(..unsigned.name_length).unwrap_or_default();
        self.batch.address(0, name);
        if let Some(place) = self.batch.octets_mut(0).first_chunk_mut() {
            *place = *packet;
        }
        let writer = Writer::new(self.batch.control_mut(0));
        let control = unsigned.target.map_or(0, |target| writer.from(&target).length());
        let message = OutgoingMessage { first: 0, count: 1, length: SIGNED_LENGTH, control };
        self.batch.send(&*unsigned.socket, (0, &[message]), &[0]).0 == 1
    }
}

/// How long the last signatures took, nanoseconds; the shortest is expected, for interruptions only ever lengthen one.
#[derive(Debug, Default)]
struct Pace {
    taken: [i64; LEARNT],
    /// How many were.
    count: usize,
}

impl Pace {
    /// How long the next one takes; the first one: no time.
    fn expected(&self) -> i64 {
        self.taken.iter().take(self.count).min().copied().unwrap_or(0)
    }

    /// One took so long. Returns whether its reply left near enough to the time that it says.
    fn learn(&mut self, took: i64) -> bool {
        let late = took.saturating_sub(self.expected());
        self.taken.rotate_right(1);
        if let Some(newest) = self.taken.first_mut() {
            *newest = took.clamp(0, SLOWEST);
        }
        self.count = self.count.saturating_add(1).min(LEARNT);
        (-EARLY..=LATE).contains(&late)
    }
}

fn order(unsigned: &Unsigned) -> Order {
    let mut header = [[0; 16]; 3];
    header.iter_mut().flatten().zip(&unsigned.header).for_each(|(place, octet)| *place = *octet);
    Order { account: unsigned.account, header }
}

fn add(counter: &mut u64, count: usize) {
    *counter = counter.saturating_add(count as u64);
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    #[test]
    fn a_slow_samba_is_known_after_its_first_signature_and_one_that_becomes_slow_after_eight() {
        let mut pace = Pace::default();
        assert!(!pace.learn(400 * MS), "nobody knew");
        for took in [410, 500, 640, 399, 900, 400] {
            assert_eq!(pace.learn(took * MS), took < 650, "{took}");
        }
        let mut pace = Pace::default();
        assert!((0..20).all(|_| pace.learn(MS)));
        let lost = (0..20).filter(|_| !pace.learn(700 * MS)).count();
        assert_eq!((lost, pace.expected()), (LEARNT, 700 * MS));
    }

    #[test]
    fn what_would_leave_long_before_the_time_that_it_says_is_not_sent_and_the_next_one_is() {
        let mut pace = Pace::default();
        pace.learn(400 * MS);
        assert!(pace.learn(391 * MS) && !pace.learn(2 * MS));
        assert!(pace.learn(2 * MS), "the shortest is expected at once");
    }

    #[test]
    fn no_time_is_named_beyond_what_is_waited_for() {
        let mut pace = Pace::default();
        for took in [i64::MAX, i64::MIN, 5_000 * MS] {
            pace.learn(took);
            assert!((0..=SLOWEST).contains(&pace.expected()));
        }
    }
}
