//! The path of a request through the server, without sockets.

use super::nts::{TODAY, cookie_keys};
use ipc::message::server::{Rule, ServerPolicy, ServerState, Smear};
use ipc::units::{Leap, RawInstant, Span, WallTime};
use protocol::ms_sntp::signed;
use protocol::ntpv5::Filter;
use protocol::nts::cookie::CookieKeys;
use protocol::timestamp::Timestamp;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;
use server::{
    AccessList, Asked, Departures, KeyRing, Limiter, Refusal, ReplyKind, RequestContext, SplitMix64,
    Version5, admit, answer, open, read, variables, write_version5,
};
use std::net::SocketAddr;

/// What is served of version 5.
static FILTER: Filter = Filter::from_octets([0x11; 512]);

pub const RECEIVE: u64 = 0xee07_3ac0_8000_0001;
/// The same in nanoseconds since 1970.
pub const RECEIVED: i64 = 1_784_462_400_500_000_000;
pub const TRANSMIT: u64 = 0xee07_3ac0_8000_1000;
/// The digest of each reply that is signed.
pub const SIGNATURE: [u8; 16] = [0xaa; 16];
pub const SECOND: i64 = 1_000_000_000;

/// A server without sockets, whose keys have the secret 1.
pub struct Bench {
    pub keys: CookieKeys,
    pub access: AccessList,
    pub limiter: Option<Limiter>,
    /// The symmetric keys that clients may use.
    pub ring: Option<KeyRing>,
    pub departures: Departures,
    pub rng: SplitMix64,
    pub random: ChaCha12Rng,
    pub now: i64,
    /// Whether the draft of version 5 is spoken.
    pub version5: bool,
    /// The time at which requests arrive.
    pub receive: u64,
}

impl Bench {
    pub fn new(limiter: Option<Limiter>) -> Self {
        let v4 = Rule { allow: true, ..Rule::NONE };
        Self {
            keys: cookie_keys(1, TODAY),
            access: AccessList::new(&[v4, Rule { ipv6: true, ..v4 }]).unwrap(),
            limiter,
            ring: None,
            departures: Departures::new(),
            rng: SplitMix64::new(),
            random: ChaCha12Rng::from_seed([7; 32]),
            now: 1_000 * SECOND,
            version5: false,
            receive: RECEIVE,
        }
    }

    /// With the limits of the default policy.
    pub fn limited() -> Self {
        Self::new(Limiter::new(&ServerPolicy::DEFAULT))
    }

    /// The outcome of a request that arrived at [`RECEIVE`] or later: the reply, never longer than the request.
    pub fn answer_to(&mut self, request: &[u8], source: &str) -> Result<(ReplyKind, Vec<u8>), Refusal> {
        let now = RawInstant::saturating(self.now);
        let asked =
            Asked { source: source.parse::<SocketAddr>().unwrap().into(), target: None, is_unicast: true };
        let state = ServerState {
            leap: Leap::None,
            stratum: 2,
            precision: -23,
            root_delay: Span::from_millis(3),
            root_dispersion: Span::from_millis(2),
            as_of: now,
            reference_id: 0x7f00_0001,
            reference_time: WallTime::saturating(1_800_000_000_000_000_000),
            valid_until: RawInstant::MAX,
        };
        let context = RequestContext {
            system: variables(Some(&state), now, None),
            is_silent: false,
            access: &self.access,
            limiter: self.limiter.as_ref(),
            keys: self.ring.as_ref(),
            signs: true,
            departures: Some(&self.departures),
            version5: self.version5.then_some(Version5 { filter: Some(&FILTER), smear: Smear::Off }),
            now,
        };
        let receive = Timestamp::from_bits(self.receive);
        if let Some(version5) =
            context.version5.filter(|_| request.first().is_some_and(|it| it >> 3 & 7 == 5))
        {
            admit(request, &asked, &context)?;
            let mut octets = request.to_vec();
            let times = (RECEIVED, receive);
            let written = write_version5(&mut octets, &asked, times, &version5, &context, &mut self.rng)?;
            return Ok((written.kind, octets));
        }
        let question = read(request, &asked, &context)?;
        if !question.is_protected {
            let reply = answer(&question, &asked, receive, &context, &mut self.rng)?;
            if let Some(account) = reply.account {
                return Ok((reply.kind, signed(&reply.octets, account, &SIGNATURE).to_vec()));
            }
            let mut octets = reply.octets.to_vec();
            if let Some((ring, key)) = self.ring.as_ref().zip(reply.key) {
                octets.resize(ring.reply_length(key, octets.len(), octets[0] >> 3 & 7), 0);
                ring.put(key, &mut octets, reply.octets.len());
            }
            return Ok((reply.kind, octets));
        }
        let mut packet = request.to_vec();
        let opened = open(&mut packet, &asked, receive, &context, &mut self.rng, &self.keys)?;
        let mut out = [0xaa; 1_344];
        let transmit = || Some(Timestamp::from_bits(TRANSMIT));
        let length = opened.seal(&self.keys, &mut self.random, transmit, &mut out)?;
        assert_eq!(length, opened.reply_length());
        assert!(length <= request.len(), "{length} octets for {}", request.len());
        Ok((opened.kind(), out[..length].to_vec()))
    }
}
