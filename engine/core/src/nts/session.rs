//! The keys of one association: one protects requests, the other verifies replies.

use crate::io::{Now, SavedAssociation};
use crate::nonce::Nonces;
use ipc::aead::Aead;
use ipc::message::exchange::{Exchanged, Validity};
use ipc::packet::Packet;
use ipc::secret::{KeyPair, MAX_KEY, Secret};
use ipc::units::{RawInstant, Span, WallTime};
use protocol::header::Header;
use protocol::nts::MAX_PACKET;
use protocol::nts::aead::{Key, MAX_NONCE};
use protocol::nts::client::{Awaited, ProtectedRequest, Reply, ReplyError, placeholders_wanted, read_reply};
use protocol::nts::field::UNIQUE_IDENTIFIER_LENGTH;

/// The unique identifier of a request.
pub(crate) type Identifier = [u8; UNIQUE_IDENTIFIER_LENGTH];

/// Keys are exchanged again after four weeks, even if there are cookies.
const LIFETIME: Span = Span::from_secs(28 * 86_400);

/// Keys that need unique nonces after 20 hours: a server of ours refuses their cookies from the second midnight (UTC) after
/// the exchange, which is 24 hours at least.
const SHORT_LIFETIME: Span = Span::from_secs(20 * 3600);

/// Clients are spread over this long after the end of a certificate, lest all that hold keys of one server ask it at once.
const EXPIRY_SPREAD: Span = Span::from_secs(3600);

/// Provisional ones sooner: the clock may have been set in the meantime.
const PROVISIONAL_LIFETIME: Span = Span::from_secs(600);

/// The result of one key exchange. Keys wipe themselves when dropped and are never printed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Session {
    algorithm: Aead,
    keys: KeyPair,
    /// Other keys, tried once if the first answer is an NTS NAK.
    alternate: Option<KeyPair>,
    /// A reply was authenticated.
    pub(crate) proved: bool,
    /// The validity of the certificates; none: they were not seen in this run.
    validity: Option<Validity>,
    /// When the first of the certificates ends.
    valid_until: WallTime,
    /// When that counts, as long as the clock is right.
    expires_at: Option<RawInstant>,
    /// A reply had a time at which the certificates are valid.
    timed: bool,
    /// The clock cannot tell whether the certificates are still valid.
    pub(crate) provisional: bool,
    pub(crate) redirected: bool,
    pub(crate) restored: bool,
    /// By the steered clock.
    made: WallTime,
    /// When this run got the keys, and how old they were.
    since: RawInstant,
    age: Span,
}

impl Session {
    pub(crate) fn of(exchanged: &Exchanged, provisional: bool, now: Now) -> Self {
        Self {
            algorithm: exchanged.keys.algorithm(),
            keys: exchanged.keys.pair().clone(),
            alternate: exchanged.keys.alternate().cloned(),
            proved: false,
            validity: Some(exchanged.validity),
            valid_until: exchanged.validity.until(),
            expires_at: None,
            timed: false,
            provisional,
            redirected: exchanged.redirected,
            restored: false,
            made: now.wall,
            since: now.raw,
            age: Span::ZERO,
        }
    }

    /// From the file of keys.
    pub(crate) fn restored(saved: &SavedAssociation, now: Now) -> Self {
        let made = saved.made;
        Self {
            algorithm: saved.algorithm,
            keys: saved.keys.clone(),
            alternate: None,
            proved: false,
            validity: None,
            valid_until: saved.valid_until,
            expires_at: None,
            timed: true,
            provisional: false,
            redirected: false,
            restored: true,
            made,
            since: now.raw,
            // If they are from the future by this clock, their age is not known.
            age: Span::saturating(now.wall.minus(made).nanos()).clamp(Span::ZERO, LIFETIME),
        }
    }

    pub(crate) fn algorithm(&self) -> Aead {
        self.algorithm
    }

    /// A copy for the file of keys.
    pub(crate) fn keys(&self) -> KeyPair {
        self.keys.clone()
    }

    pub(crate) fn made(&self) -> WallTime {
        self.made
    }

    /// When the keys have to be replaced.
    pub(crate) fn refresh_at(&self) -> RawInstant {
        let lifetime = match self.algorithm.needs_unique_nonces() {
            _ if self.provisional => PROVISIONAL_LIFETIME,
            true => SHORT_LIFETIME,
            false => LIFETIME,
        };
        let refresh_at = self.since.after(Span::saturating(lifetime.nanos() - self.age.nanos()));
        self.expires_at.map_or(refresh_at, |expires_at| expires_at.min(refresh_at))
    }

    /// Judges the end of the certificates by a clock that is right; true: it has passed, and new keys are needed. A clock
    /// that may be wrong says nothing about it.
    pub(crate) fn has_expired(&mut self, is_right: bool, now: Now) -> bool {
        self.expires_at = None;
        if !is_right || self.provisional {
            return false;
        }
        let spread = self.made.nanos().rem_euclid(EXPIRY_SPREAD.nanos());
        let left = self.valid_until.minus(now.wall).nanos().saturating_add(spread);
        if left <= 0 {
            return true;
        }
        self.expires_at = Some(now.raw.after(Span::saturating(left)));
        false
    }

    /// Seconds since the key exchange.
    pub(crate) fn age(&self, now: RawInstant) -> f64 {
        self.age.nanos().saturating_add(now.since(self.since).nanos()).max(0) as f64 * 1e-9
    }

    /// End of validity of the certificates.
    pub(crate) fn valid_until(&self) -> WallTime {
        self.valid_until
    }

    /// Whether the certificates are valid at that time, nanoseconds since 1970, as far as they are known.
    pub(crate) fn holds(&self, time: i64) -> bool {
        let within =
            |validity: Validity| (validity.from().nanos()..=validity.until().nanos()).contains(&time);
        self.validity.is_none_or(within)
    }

    /// Whether the first reply's time is still to be held against the certificates: a server whose time lies
    /// outside would have been refused by a clock that follows it. Later, keys may outlive a certificate.
    pub(crate) fn awaits_time(&self) -> bool {
        self.provisional || !self.timed
    }

    /// A reply had a time at which the certificates are valid.
    pub(crate) fn has_time(&mut self) {
        self.timed = true;
    }

    /// A reply was authenticated; true for the first one.
    pub(crate) fn prove(&mut self) -> bool {
        self.alternate = None;
        !core::mem::replace(&mut self.proved, true)
    }

    /// Switches to the other keys, once. False: there are none.
    pub(crate) fn switch(&mut self) -> bool {
        match self.alternate.take().filter(|_| !self.proved) {
            Some(keys) => {
                self.keys = keys;
                true
            }
            None => false,
        }
    }

    /// Seals a request that asks for as many cookies as make eight with the `kept` ones. None where the
    /// cookie fits no packet.
    pub(crate) fn request(
        &self,
        header: Header,
        cookie: &[u8],
        kept: usize,
        nonces: &mut Nonces,
    ) -> Option<(Packet, Identifier)> {
        let (mut identifier, mut nonce) = ([0; UNIQUE_IDENTIFIER_LENGTH], [0; MAX_NONCE]);
        nonces.fill(&mut identifier);
        nonces.fill(&mut nonce);
        let key = key(self.algorithm, &self.keys.client_to_server)?;
        let request = ProtectedRequest {
            header,
            unique_identifier: &identifier,
            cookie,
            placeholders: placeholders_wanted(kept),
            key: &key,
            nonce: &nonce,
        };
        let mut out = [0; MAX_PACKET];
        let length = request.encode(&mut out).ok()?;
        Some((Packet::from_octets(out.get(..length)?).ok()?, identifier))
    }

    /// Verifies a packet that may be the reply. Nothing in it is used before its tag is verified.
    ///
    /// # Errors
    /// [`ReplyError`]: it is not the reply, or not valid.
    pub(crate) fn verify<'p>(
        &self,
        packet: &'p mut [u8],
        unique_identifier: &Identifier,
        origin: u64,
    ) -> Result<Reply<'p>, ReplyError> {
        let key = key(self.algorithm, &self.keys.server_to_client).ok_or(ReplyError::Forged)?;
        read_reply(packet, &Awaited { unique_identifier, origin, key: &key })
    }
}

fn key(algorithm: Aead, secret: &Secret) -> Option<Key> {
    let octets: &[u8; MAX_KEY] = secret.octets();
    Key::from_octets(algorithm, octets.get(..algorithm.key_length())?)
}
