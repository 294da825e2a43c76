//! Queries in progress. A message of the client must belong to one of them, and may come only once. Any other message
//! is a violation, after which the client is no longer trusted.

use crate::entries::Group;
use crate::interleaved::Asked;
use crate::io::Now;
use crate::last_reply::Journey;
use crate::measurement::{Stamps, Times};
use crate::nts::Identifier;
use crate::source_id::SourceId;
use crate::version5::Speech;
use crate::violation::Violation;
use alloc::vec::Vec;
use ipc::address::Address;
use ipc::message::client::{MAX_CANDIDATES, MAX_OPEN, QueryId, Sent, Stamp};
use ipc::units::{RawInstant, Span};

/// Most ids of queries that were ended here and whose end may still be on its way.
const MOST_FORGOTTEN: usize = 256;

/// How long after its deadline a query's end is waited for.
const GRACE: Span = Span::from_secs(2);

/// A timestamp may be outside the engine's own readings by this much on a busy host; then only the sample is lost. Beyond
/// that, the client is malicious. Nanoseconds.
const STAMP_TOLERANCE: i64 = 2_000_000;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Exchange {
    pub(crate) id: QueryId,
    pub(crate) source: SourceId,
    /// Whether that source decides anything.
    pub(crate) group: Group,
    pub(crate) nonce: u64,
    /// In which version it was sent.
    pub(crate) speech: Speech,
    /// It asks for interleaved mode.
    interleaved: Option<Asked>,
    destination: Address,
    sent: RawInstant,
    deadline: RawInstant,
    /// When it left, by whose stamp, and from which address of this host.
    t1: Option<(RawInstant, Stamp, Address)>,
    protected: Option<Protected>,
    /// Time was not continuous since it left.
    pub(crate) cut: bool,
}

/// By what the reply to a protected query is known to be authentic.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Proof {
    /// NTS: with this unique identifier.
    Nts(Identifier),
    /// The symmetric key of its source.
    Key,
}

/// What is remembered of a query whose reply is authenticated.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Protected {
    proof: Proof,
    /// Packets that were passed on for it.
    candidates: u8,
    /// An NTS NAK was among them.
    nak: bool,
}

/// How the timestamps of a reply relate to the engine's own readings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Readings {
    /// Inside; T2 and T3 are still to be filled in.
    Inside(Times),
    /// Slightly outside, or cut.
    Useless,
}

/// All queries in progress, and the last that were cancelled.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Exchanges {
    open: Vec<Exchange>,
    /// Cancelled, but their end may still arrive.
    forgotten: Vec<(QueryId, Group)>,
    next: u64,
}

impl Exchanges {
    pub(crate) fn new() -> Self {
        Self { open: Vec::new(), forgotten: Vec::new(), next: 1 }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.open.len() >= MAX_OPEN
    }

    /// Makes room for a query by giving up one of a source that decides nothing.
    pub(crate) fn make_room(&mut self) -> Option<QueryId> {
        let found = self.open.iter().find(|exchange| exchange.group == Group::Observed);
        let id = found.filter(|_| self.is_full())?.id;
        self.accept(id);
        Some(id)
    }

    /// Whether a query is, or was, one of a source that decides nothing.
    pub(crate) fn is_observed(&self, id: QueryId) -> bool {
        let open = self.open.iter().map(|exchange| (exchange.id, exchange.group));
        open.chain(self.forgotten.iter().copied()).any(|it| it == (id, Group::Observed))
    }

    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.open.len()
    }

    /// Opens one.
    pub(crate) fn begin(
        &mut self,
        (source, group): (SourceId, Group),
        (nonce, speech, interleaved): (u64, Speech, Option<Asked>),
        destination: Address,
        sent: RawInstant,
        deadline: RawInstant,
        proof: Option<Proof>,
    ) -> QueryId {
        let id = QueryId(self.next);
        self.next += 1;
        let protected = proof.map(|proof| Protected { proof, candidates: 0, nak: false });
        let (t1, cut) = (None, false);
        self.open.push(Exchange {
            id,
            source,
            group,
            nonce,
            speech,
            interleaved,
            destination,
            sent,
            deadline,
            t1,
            protected,
            cut,
        });
        id
    }

    /// Whether a query of this source is under way.
    pub(crate) fn is_asking(&self, source: SourceId) -> bool {
        self.open.iter().any(|exchange| exchange.source == source)
    }

    /// The source of a protected query that is open.
    pub(crate) fn protected_source(&self, id: QueryId) -> Option<SourceId> {
        let exchange = self.open.iter().find(|exchange| exchange.id == id)?;
        exchange.protected.map(|_| exchange.source)
    }

    /// Something came that may be the reply to a protected query, which stays open; none where it was ended or
    /// given up before.
    ///
    /// # Errors
    /// [`Violation`] for a query that is not open, is not protected, or had too many already.
    pub(crate) fn candidate(&mut self, id: QueryId) -> Result<Option<(Exchange, Proof)>, Violation> {
        let Some(exchange) = self.open.iter_mut().find(|exchange| exchange.id == id) else {
            let known = self.is_forgotten(id);
            return if known { Ok(None) } else { Err(Violation::AnsweredUnopened) };
        };
        let Some(protected) = &mut exchange.protected else {
            return Err(Violation::PassedOnPlain);
        };
        if protected.candidates >= MAX_CANDIDATES {
            return Err(Violation::TooManyPackets);
        }
        protected.candidates += 1;
        let proof = protected.proof;
        Ok(Some((exchange.clone(), proof)))
    }

    /// An NTS NAK was among the packets.
    pub(crate) fn note_nak(&mut self, id: QueryId) {
        let open = self.open.iter_mut().find(|exchange| exchange.id == id);
        if let Some(protected) = open.and_then(|exchange| exchange.protected.as_mut()) {
            protected.nak = true;
        }
    }

    /// The reply was found: the query is over, whatever else may come for it.
    pub(crate) fn accept(&mut self, id: QueryId) {
        if let Some(at) = self.open.iter().position(|exchange| exchange.id == id) {
            let exchange = self.open.remove(at);
            self.forget(id, exchange.group);
        }
    }

    /// Gives up all queries of a source.
    pub(crate) fn abandon(&mut self, source: SourceId) -> Vec<QueryId> {
        let of_it = self.open.iter().filter(|exchange| exchange.source == source);
        let gone: Vec<QueryId> = of_it.map(|exchange| exchange.id).collect();
        gone.iter().for_each(|id| self.accept(*id));
        gone
    }

    /// T1 is known.
    ///
    /// # Errors
    /// [`Violation`] for a query that is not open or has left before.
    pub(crate) fn sent(&mut self, sent: &Sent) -> Result<(), Violation> {
        let is_forgotten = self.is_forgotten(sent.id);
        match self.open.iter_mut().find(|exchange| exchange.id == sent.id) {
            Some(exchange) if exchange.t1.is_none() => {
                exchange.t1 = Some((sent.t1, sent.stamp, sent.local));
                Ok(())
            }
            Some(_) => Err(Violation::SentTwice),
            None if is_forgotten => Ok(()),
            None => Err(Violation::SentUnopened),
        }
    }

    /// Closes a query; none where it was given up before.
    ///
    /// # Errors
    /// [`Violation`] for a query that is not open.
    pub(crate) fn end(&mut self, id: QueryId) -> Result<Option<Exchange>, Violation> {
        if let Some(at) = self.open.iter().position(|exchange| exchange.id == id) {
            return Ok(Some(self.open.swap_remove(at)));
        }
        match self.forgotten.iter().position(|(forgotten, _)| *forgotten == id) {
            Some(at) => {
                self.forgotten.swap_remove(at);
                Ok(None)
            }
            None => Err(Violation::EndedUnopened),
        }
    }

    /// Gives a query up; its end may still come.
    fn forget(&mut self, id: QueryId, group: Group) {
        if self.forgotten.len() >= MOST_FORGOTTEN {
            self.forgotten.remove(0);
        }
        self.forgotten.push((id, group));
    }

    fn is_forgotten(&self, id: QueryId) -> bool {
        self.forgotten.iter().any(|(forgotten, _)| *forgotten == id)
    }

    /// Gives up those of a group whose end should have come long ago, and those of `gone` sources.
    pub(crate) fn expire(
        &mut self,
        now: RawInstant,
        group: Group,
        gone: impl Fn(SourceId) -> bool,
    ) -> Vec<QueryId> {
        let of_group = self.open.iter().filter(|exchange| exchange.group == group);
        let late: Vec<QueryId> = of_group
            .filter(|exchange| exchange.deadline.after(GRACE) < now || gone(exchange.source))
            .map(|exchange| exchange.id)
            .collect();
        late.iter().for_each(|id| self.accept(*id));
        late
    }

    /// Time was not continuous: no exchange that is under way can be measured.
    pub(crate) fn cut_all(&mut self) {
        self.open.iter_mut().for_each(|exchange| exchange.cut = true);
    }
}

impl Exchange {
    /// How it left, and its reply came with this stamp; none: it has not left yet.
    pub(crate) fn journey(&self, came: Stamp) -> Option<Journey> {
        self.t1.map(|(_, left, local)| Journey { local, left, came })
    }

    /// What a reply with this origin timestamp tells of the exchange before; none: it is none in interleaved mode.
    pub(crate) fn interleaved(&self, origin: u64) -> Option<&Asked> {
        self.interleaved.as_ref().filter(|asked| asked.nonce.get() == origin && origin != self.nonce)
    }

    /// Whether its query was in interleaved mode.
    pub(crate) fn asks_interleaved(&self) -> bool {
        self.interleaved.is_some()
    }

    /// The origin timestamp that a reply must have which has this one: the second nonce if it is that, and otherwise the first.
    pub(crate) fn origin(&self, origin: u64) -> u64 {
        self.interleaved(origin).map_or(self.nonce, |asked| asked.nonce.get())
    }

    /// Whether its reply is to be authenticated.
    pub(crate) fn is_protected(&self) -> bool {
        self.protected.is_some()
    }

    /// Whether the client process may judge its reply, and as one of version 5.
    ///
    /// # Errors
    /// [`Violation`] if not.
    pub(crate) fn judged(&self, is_version5: bool) -> Result<(), Violation> {
        if self.is_protected() {
            return Err(Violation::JudgedProtected);
        }
        if (self.speech == Speech::Version5) != is_version5 {
            return Err(Violation::OtherVersion);
        }
        Ok(())
    }

    /// Whether an NTS NAK came for it.
    pub(crate) fn has_nak(&self) -> bool {
        self.protected.is_some_and(|protected| protected.nak)
    }

    /// Whether the timestamps of its reply are within the engine's own readings.
    ///
    /// # Errors
    /// [`Violation`] if they are impossible.
    pub(crate) fn readings(
        &self,
        source: Address,
        t4: RawInstant,
        t4_stamp: Stamp,
        now: Now,
    ) -> Result<Readings, Violation> {
        let Some((t1, t1_stamp, _)) = self.t1 else {
            return Err(Violation::ReplyBeforeQuery);
        };
        if source != self.destination {
            return Err(Violation::WrongAddress);
        }
        if self.cut {
            return Ok(Readings::Useless);
        }
        let early = self.sent.since(t1).nanos();
        let late = t4.since(now.raw).nanos();
        let backwards = t1.since(t4).nanos();
        let worst = early.max(late).max(backwards);
        if worst > STAMP_TOLERANCE {
            return Err(Violation::ImpossibleTimestamps);
        }
        if worst > 0 {
            return Ok(Readings::Useless);
        }
        let stamps = Stamps { sent: t1_stamp, received: t4_stamp };
        Ok(Readings::Inside(Times { sent: self.sent, t1, t2: 0, t3: 0, t4, received: now.raw, stamps }))
    }
}

#[cfg(test)]
mod tests;
