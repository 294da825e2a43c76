//! The association with one NTS source: keys, cookies, and the results of key exchanges.
//!
//! It gets keys from a key exchange or from the file of keys, and keeps them while the next exchange is in progress. A new
//! set of keys replaces the old one with all its cookies.

use super::failure::KeyExchangeFailure;
use super::jar::Jar;
use super::schedule::Schedule;
use super::session::{Identifier, Session};
use crate::io::{Now, SavedAssociation};
use crate::need::{Need, Reached};
use crate::nonce::Nonces;
use crate::poll::whole_millis;
use crate::settings::{NtsSettings, Place, SourceSettings};
use crate::status::AssociationStatus;
use alloc::vec::Vec;
use core::net::IpAddr;
use ipc::address::Address;
use ipc::departure::Departure;
use ipc::message::exchange::{
    Cookie, Denied, Exchange, ExchangeId, Exchanged, Families, KeyServer, MAX_COOKIES, Operator, Organisation,
};
use ipc::packet::{CookieOctets, Packet};
use ipc::units::{RawInstant, WallTime};
use protocol::header::Header;
use protocol::nts::client::ReplyError;
use report::AssociationState;

/// With this many cookies left, keys are exchanged again, so that no cookie is used twice.
const FEW: usize = 1;

/// First and longest wait between key exchanges because of a useless time server, seconds.
const FIRST_TURN: f64 = 16.0;
const LONGEST_TURN: f64 = 3600.0;

/// This many consecutive wrong tags indicate an attack.
const ATTACK: u32 = 8;

/// Whether certificates that are not valid by our clock will do for the exchange that is begun next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deferral {
    /// Never.
    Strict,
    /// Where they are valid at some instant that is not before this program's floor.
    Allowed,
}

/// One `[[source]]` with NTS.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Association {
    pub(crate) schedule: Schedule,
    pub(crate) session: Option<Session>,
    pub(crate) deferral: Deferral,
    /// The result of the last exchange; none: none has ended.
    pub(crate) last: Option<Result<(), KeyExchangeFailure>>,
    jar: Jar,
    /// Cookies of the exchange in progress.
    incoming: Vec<CookieOctets>,
    /// The address of this host that the last query left from.
    local: Option<IpAddr>,
    /// What the certificate of the last exchange says; none: there was none.
    pub(crate) operator: Option<Operator>,
    exchanges: u64,
    failures: u64,
    naks: u64,
    /// Wrong tags since the last right one.
    forged: u32,
    /// With which of the key exchange server's addresses the next exchange begins.
    turn: u8,
    /// When the last one was given up because what it led to was of no use, and how often that was.
    turned: Option<RawInstant>,
    turns: u8,
}

impl Association {
    /// Without keys, and without a key exchange.
    pub(crate) fn idle() -> Self {
        Self { schedule: Schedule::new(RawInstant::MIN, false), ..Self::new(RawInstant::MIN) }
    }

    /// Without keys: they are exchanged immediately.
    pub(crate) fn new(now: RawInstant) -> Self {
        Self {
            schedule: Schedule::new(now, true),
            session: None,
            deferral: Deferral::Strict,
            last: None,
            jar: Jar::default(),
            incoming: Vec::new(),
            local: None,
            operator: None,
            exchanges: 0,
            failures: 0,
            naks: 0,
            forged: 0,
            turn: 0,
            turned: None,
            turns: 0,
        }
    }

    /// From the file of keys; none: it belongs to another source, or is invalid.
    pub(crate) fn restore(saved: &SavedAssociation, settings: &SourceSettings, now: Now) -> Option<Self> {
        let nts = settings.nts?;
        let fits = saved.server == settings.place
            && saved.roots == nts.roots
            && nts.offer.contains(saved.algorithm)
            && saved.address.is_unicast()
            && settings.families.admits(saved.address.ip())
            && saved.at.is_none_or(|at| at.is_unicast() && settings.families.admits(at.ip()))
            && (1..=usize::from(MAX_COOKIES)).contains(&saved.cookies.len());
        if !fits {
            return None;
        }
        let mut association = Self::new(now.raw);
        association.schedule = Schedule::new(now.raw, false);
        saved.cookies.iter().for_each(|cookie| association.jar.put(cookie.octets()));
        association.session = Some(Session::restored(saved, now));
        association.operator = Some(saved.operator);
        Some(association)
    }

    /// For the file of keys; none: there are no keys, or their certificate was accepted by a wrong clock.
    pub(crate) fn save(&self, settings: &SourceSettings, address: Address) -> Option<SavedAssociation> {
        let session = self.session.as_ref().filter(|session| !session.provisional)?;
        Some(SavedAssociation {
            server: settings.place.clone(),
            roots: settings.nts?.roots,
            address,
            at: None,
            named: None,
            algorithm: session.algorithm(),
            keys: session.keys(),
            cookies: self.jar.copies(),
            made: session.made(),
            valid_until: session.valid_until(),
            operator: self.operator.unwrap_or(Operator::NONE),
        })
    }

    /// When a key exchange is due; none: none is needed, or one is in progress.
    pub(crate) fn due(&self) -> Option<RawInstant> {
        let old = self.session.as_ref().filter(|_| self.schedule.open().is_none());
        self.schedule.due().or(old.map(Session::refresh_at))
    }

    /// Requests other keys, with the back-off, once the certificates of these have ended by a clock that is right: nobody
    /// vouches any more for a server whose certificate has ended.
    pub(crate) fn renew_expired(&mut self, is_right: bool, now: Now) {
        if self.session.as_mut().is_some_and(|session| session.has_expired(is_right, now)) {
            self.schedule.want();
        }
    }

    /// Begins a key exchange.
    pub(crate) fn begin(
        &mut self,
        id: ExchangeId,
        place: &Place,
        at: Option<Address>,
        nts: NtsSettings,
        now: WallTime,
        floor: WallTime,
    ) -> Exchange {
        self.schedule.want();
        self.schedule.begin(id);
        self.incoming.clear();
        let (server, port) = match place {
            Place::Name(name, port) => (KeyServer::Name(*name), *port),
            Place::Address(address) => (KeyServer::Address(*address), address.port()),
        };
        Exchange {
            id,
            server,
            port,
            at,
            roots: nts.roots,
            // A clock before the floor is certainly wrong, and a certificate that expired before it is not accepted.
            now: now.max(floor),
            not_before: (self.deferral == Deferral::Allowed).then_some(floor),
            offer: nts.offer,
            turn: self.turn,
            denied: Denied::NONE,
            families: Families::Both,
            departure: Departure::USUAL,
        }
    }

    /// Takes a cookie of the exchange in progress.
    pub(crate) fn take_cookie(&mut self, cookie: &Cookie) {
        if self.incoming.len() < usize::from(MAX_COOKIES) {
            self.incoming.push(cookie.octets);
        }
    }

    /// Keys came in a mode that is no longer allowed: they are discarded and exchanged again in strict mode.
    pub(crate) fn begin_again(&mut self, now: RawInstant) {
        self.incoming = Vec::new();
        self.schedule.retry(now);
    }

    /// New keys. The previous keys and all their cookies are dropped. Nobody on the way has seen the new ones, from whichever address
    /// the queries before were sent, to whichever server.
    pub(crate) fn succeed(&mut self, exchanged: &Exchanged, provisional: bool, now: Now) {
        self.jar.clear();
        for cookie in core::mem::take(&mut self.incoming) {
            self.jar.put(cookie.octets());
        }
        self.session = Some(Session::of(exchanged, provisional, now));
        self.local = None;
        self.operator = Some(exchanged.operator);
        self.schedule.succeeded(now.raw);
        self.deferral = Deferral::Strict;
        self.last = Some(Ok(()));
        self.exchanges = self.exchanges.saturating_add(1);
        self.forged = 0;
    }

    /// The key exchange failed. The previous keys stay in use. True: the failure differs from the last.
    pub(crate) fn fail(&mut self, failure: KeyExchangeFailure, need: Need, now: RawInstant) -> bool {
        self.incoming = Vec::new();
        if failure.reached() != Reached::Nobody {
            self.turn = self.turn.wrapping_add(1);
        }
        self.schedule.failed(now, failure.reached(), need);
        self.deferral = Deferral::Strict;
        self.failures = self.failures.saturating_add(1);
        self.last.replace(Err(failure)) != Some(Err(failure))
    }

    /// The clock may be wrong, so the exchange is begun again with a certificate whose time cannot be judged. How the
    /// exchange ended is known only when that one has: a failure that is the same then is still news.
    pub(crate) fn defer(&mut self, now: RawInstant) {
        self.incoming = Vec::new();
        self.deferral = Deferral::Allowed;
        self.schedule.retry(now);
    }

    /// Drops provisional keys and requests others. False: there are none.
    pub(crate) fn drop_provisional(&mut self, now: RawInstant) -> bool {
        if !self.is_provisional() && self.deferral == Deferral::Strict {
            return false;
        }
        self.deferral = Deferral::Strict;
        if self.is_provisional() {
            self.session = None;
            self.jar.clear();
        }
        self.schedule.want();
        self.schedule.hurry(now);
        true
    }

    pub(crate) fn is_provisional(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.provisional)
    }

    /// A request with the oldest cookie, which is never sent a second time. None: there is no
    /// cookie or no key.
    pub(crate) fn request(&mut self, header: Header, nonces: &mut Nonces) -> Option<(Packet, Identifier)> {
        let session = self.session.as_ref()?;
        while let Some(cookie) = self.jar.take() {
            if let Some(request) = session.request(header, &cookie, self.jar.count(), nonces) {
                return Some(request);
            }
        }
        None
    }

    /// A verified reply brought these cookies. True: it is the first with these keys.
    pub(crate) fn prove<'c>(&mut self, cookies: impl Iterator<Item = &'c [u8]>, now: RawInstant) -> bool {
        cookies.for_each(|cookie| self.jar.put(cookie));
        self.forged = 0;
        let first = self.session.as_mut().is_some_and(Session::prove);
        if first {
            self.schedule.proved(now);
        }
        first
    }

    /// A query has ended: requests a key exchange if few cookies are left.
    pub(crate) fn count_cookies(&mut self) {
        if self.jar.count() <= FEW {
            self.schedule.want();
        }
    }

    pub(crate) fn cookies(&self) -> usize {
        self.jar.count()
    }

    /// A packet was not a valid reply. True: from now on, an attack is assumed.
    pub(crate) fn reject(&mut self, error: ReplyError) -> bool {
        if error != ReplyError::Forged {
            return false;
        }
        self.forged = self.forged.saturating_add(1);
        self.forged == ATTACK
    }

    pub(crate) fn count_nak(&mut self) {
        self.naks = self.naks.saturating_add(1);
    }

    pub(crate) fn is_under_attack(&self) -> bool {
        self.forged >= ATTACK
    }

    /// A query was sent from this address. True: it differs from the previous one. Cookies that were received under the
    /// previous address would show an eavesdropper that it is the same host.
    pub(crate) fn leave_from(&mut self, local: IpAddr) -> bool {
        if local.is_unspecified() {
            return false;
        }
        let moved = self.local.replace(local).is_some_and(|before| before != local);
        if moved {
            self.move_away();
        }
        moved
    }

    /// Tests whether the address from which the last query was sent no longer exists.
    pub(crate) fn lose(&mut self, gone: impl Fn(IpAddr) -> bool) -> bool {
        let lost = self.local.take_if(|local| gone(*local)).is_some();
        if lost {
            self.move_away();
        }
        lost
    }

    fn move_away(&mut self) {
        self.jar.clear();
        self.schedule.want();
    }

    /// The time servers that the last key exchange named do not answer, or not usefully: the next exchange begins with
    /// another address of the key exchange server, once in a while. True: that is so now.
    pub(crate) fn turn_away(&mut self, now: RawInstant) -> bool {
        let turns = self.turn_at() <= now && self.schedule.open().is_none();
        if turns {
            self.turned = Some(now);
            self.turns = self.turns.saturating_add(1);
            self.turn = self.turn.wrapping_add(1);
            self.schedule.want();
        }
        turns
    }

    /// Exchanges keys with another key exchange server, at once: what the one before made of it says nothing of this one. Keys and
    /// cookies of the one before stay in use until then.
    pub(crate) fn begin_elsewhere(&mut self, now: RawInstant) {
        self.schedule = Schedule::new(now, true);
        self.last = None;
        self.deferral = Deferral::Strict;
    }

    /// Whether the last key exchange failed, and none is in progress.
    pub(crate) fn has_failed(&self) -> bool {
        matches!(self.last, Some(Err(_))) && self.schedule.open().is_none()
    }

    /// Whether it failed, and nothing is left of an earlier one.
    pub(crate) fn is_without_keys(&self) -> bool {
        self.has_failed() && (self.session.is_none() || self.jar.count() == 0)
    }

    /// When [`Self::turn_away`] may have an effect: each time after twice as long, up to an hour.
    pub(crate) fn turn_at(&self) -> RawInstant {
        let wait = libm::ldexp(FIRST_TURN, i32::from(self.turns.saturating_sub(1).min(8))).min(LONGEST_TURN);
        self.turned.map_or(RawInstant::MIN, |last| last.after(whole_millis(wait)))
    }

    /// The state of the association.
    pub(crate) fn status(&self, now: Now) -> AssociationStatus {
        let session = self.session.as_ref();
        AssociationStatus {
            state: match session {
                _ if self.schedule.open().is_some() => AssociationState::Exchanging,
                Some(session) if session.provisional => AssociationState::Provisional,
                Some(_) => AssociationState::Ready,
                None => AssociationState::None,
            },
            last_exchange: self.last,
            next_exchange_s: self.due().map(|due| due.since(now.raw).nanos().max(0) as f64 * 1e-9),
            exchanges: self.exchanges,
            failures: self.failures,
            aead: session.map(|session| session.algorithm().id()),
            key_age_s: session.map(|session| session.age(now.raw)),
            restored: session.is_some_and(|session| session.restored),
            cookies: self.jar.count() as u8,
            redirected: session.is_some_and(|session| session.redirected),
            naks: self.naks,
            certificate_until: session.map(|session| session.valid_until().nanos() / 1_000_000_000),
            organisation: self.operator.map(|operator| operator.organisation).unwrap_or(Organisation::NONE),
            one_operator: Vec::new(),
        }
    }
}
