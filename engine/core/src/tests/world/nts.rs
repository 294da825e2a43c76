//! A server that does NTS: its key exchange, its cookies, and what somebody on the path makes of its replies.

use super::*;
use crate::settings::NtsSettings;
use ipc::aead::{Aead, AeadOffer};
use ipc::message::client::ProtectedReply;
use ipc::message::exchange::*;
use ipc::message::exchange::{Addresses, AssociationKeys, Validity};
use ipc::packet::{CookieOctets, MAX_PACKET, Packet};
use ipc::secret::{KeyPair, MAX_KEY, Secret};
use ipc::symmetric_key::{MacKind, SymmetricKey};
use protocol::mac::MacKey;
use protocol::nts::aead::SessionKeys;
use protocol::nts::cookie::{CookieKeys, NONCE};
use protocol::nts::ratchet::EpochKey;
use protocol::nts::server::{MAX_NONCES, Request, read_request};

/// Whatever comes to the client instead of the reply.
pub type Tamper = Box<dyn Fn(&Query, Vec<u8>) -> Vec<Vec<u8>>>;

/// What a server with NTS has besides its time.
pub struct Nts {
    /// Where keys are exchanged.
    pub place: Place,
    keys: CookieKeys,
    pub algorithm: Aead,
    /// Cookies of a key exchange.
    pub cookies: u8,
    /// Replies bring no cookies.
    pub starves: bool,
    /// What every key exchange ends with.
    pub failure: Option<ExchangeFailure>,
    /// Validity of its certificates, nanoseconds since 1970.
    pub valid: (i64, i64),
    /// Where the time is to be had; empty: at the server's own address.
    pub addresses: Vec<Address>,
    /// Key exchanges at its place lead to the first of those servers there that have such names and that the client has not denied; to
    /// the first of all if it has denied each.
    pub shares_as: Option<HostName>,
    /// Keys after the legacy rule are given first.
    pub legacy: bool,
    /// The server cannot open any cookie.
    pub forgot: bool,
    pub tamper: Option<Tamper>,
    /// What its certificate says of its operator.
    pub operator: Operator,
}

/// What a server with a symmetric key has besides its time.
pub struct Keyed {
    /// What the client has.
    pub key: SymmetricKey,
    /// What the server answers with.
    pub own: SymmetricKey,
    pub tamper: Option<Tamper>,
}

/// Seconds of a key exchange.
const TAKES: i64 = SECOND / 20;

impl Server {
    /// With NTS, its key exchange at a name of its own.
    pub fn with_nts(mut self, name: &str) -> Self {
        let mut secret = [0; 32];
        secret[..name.len()].copy_from_slice(name.as_bytes());
        self.nts = Some(Nts {
            place: Place::Name(HostName::parse(name).unwrap(), 4460),
            keys: cookie_keys(&secret),
            algorithm: Aead::Aes128GcmSiv,
            cookies: 8,
            starves: false,
            failure: None,
            valid: (BEGIN - 30 * 86_400 * SECOND, BEGIN + 60 * 86_400 * SECOND),
            addresses: Vec::new(),
            shares_as: None,
            legacy: false,
            forgot: false,
            tamper: None,
            operator: Operator::NONE,
        });
        self
    }

    /// With the key of this number.
    pub fn with_key(mut self, number: u32) -> Self {
        let key = SymmetricKey::new(number, MacKind::Aes128, &[number as u8; 16]).unwrap();
        self.keyed = Some(Keyed { own: key.clone(), key, tamper: None });
        self
    }

    pub fn keyed(&mut self) -> &mut Keyed {
        self.keyed.as_mut().unwrap()
    }

    pub fn nts(&mut self) -> &mut Nts {
        self.nts.as_mut().unwrap()
    }
}

/// The `[[source]]` of a server with NTS.
pub fn nts_source(server: &Server) -> SourceSettings {
    let place = server.nts.as_ref().unwrap().place.clone();
    let name = match &place {
        Place::Name(name, _) => name.as_str().to_string(),
        Place::Address(address) => address.socket_address().to_string(),
    };
    let nts = Some(NtsSettings { roots: 0, offer: AeadOffer::GCM_SIV_FIRST, shares_out: false });
    SourceSettings { name, place, nts, ..source(server.address) }
}

/// `count` servers with NTS at `nts0.example`, ….
pub fn nts_lan(count: usize) -> Vec<Server> {
    lan(count)
        .into_iter()
        .enumerate()
        .map(|(n, server)| server.with_nts(&std::format!("nts{n}.example")))
        .collect()
}

fn cookie_keys(secret: &[u8; 32]) -> CookieKeys {
    CookieKeys::new(1, [EpochKey::from_octets(1, secret)]).unwrap()
}

/// Each opens the cookies of the others, as one operator's servers do.
pub fn share_keys(servers: &mut [Server]) {
    servers.iter_mut().for_each(|server| server.nts().keys = cookie_keys(&[9; 32]));
}

impl World {
    fn octets<const N: usize>(&mut self, at: usize) -> [u8; N] {
        let random = if self.servers[at].aside { &mut self.random_aside } else { &mut self.random };
        core::array::from_fn(|_| (random.uniform() * 256.0) as u8)
    }

    fn server_at(&self, exchange: &Exchange) -> Option<usize> {
        let is_there =
            |server: &Server| exchange.at.is_none_or(|at| server.up && server.address.ip() == at.ip());
        self.servers.iter().position(|server| {
            is_there(server)
                && server.nts.as_ref().is_some_and(|nts| match (&nts.place, exchange.server) {
                    (Place::Name(name, port), KeyServer::Name(asked)) => {
                        *name == asked && *port == exchange.port
                    }
                    (Place::Address(address), KeyServer::Address(asked)) => *address == asked,
                    _ => false,
                })
        })
    }

    /// What the exchange process would answer.
    pub(super) fn exchange(&mut self, exchange: Exchange) {
        self.exchanges.push((self.time, exchange));
        let end = self.time + TAKES;
        let failed = |reason| Input::ExchangeFailed(ExchangeFailed { id: exchange.id, reason });
        let Some(at) = self.server_at(&exchange) else {
            if exchange.at.is_some() {
                return self
                    .plan(self.time + 16 * SECOND, Happening::Fact(failed(ExchangeFailure::Deadline)));
            }
            return self
                .plan(end, Happening::Fact(failed(ExchangeFailure::Lookup(LookupFailure::NoSuchName))));
        };
        let Some(nts) = &self.servers[at].nts else { return };
        let (from, until) = nts.valid;
        let by_clock = (from..=until).contains(&exchange.now.nanos());
        let deferred = !by_clock && exchange.not_before.is_some_and(|floor| floor.nanos() <= until);
        let reason = match nts.failure {
            Some(reason) => Some(reason),
            None if by_clock || deferred => None,
            None if exchange.now.nanos() < from => Some(ExchangeFailure::NotYetValid),
            None => Some(ExchangeFailure::Expired),
        };
        if let Some(reason) = reason {
            return self.plan(end, Happening::Fact(failed(reason)));
        }
        let algorithm = match exchange.offer.contains(nts.algorithm) {
            true => nts.algorithm,
            false => Aead::AesSivCmac256,
        };
        let length = algorithm.key_length();
        let (count, legacy) = (nts.cookies, nts.legacy);
        let addresses = if nts.addresses.is_empty() {
            std::vec![self.servers[at].address]
        } else {
            nts.addresses.clone()
        };
        let shares = nts.shares_as.is_some();
        let shared = self.servers.iter().filter(|_| shares);
        let shared = shared.filter_map(|it| Some((it.address, it.nts.as_ref()?.shares_as?)));
        let is_denied = |name: HostName| exchange.denied.iter().any(|denied| denied == name.as_str());
        let chosen = shared.clone().find(|(_, name)| !is_denied(*name)).or(shared.clone().next());
        let (addresses, named) = match chosen {
            Some((address, name)) => (std::vec![address], Some(name)),
            None => (addresses, None),
        };
        let redirected = named.is_some() || !nts.addresses.is_empty();
        let pairs: [([u8; MAX_KEY], [u8; MAX_KEY]); 2] =
            core::array::from_fn(|_| (self.octets(at), self.octets(at)));
        let pair = |(one, other): &([u8; MAX_KEY], [u8; MAX_KEY])| {
            let cut = |octets: &[u8; MAX_KEY]| Secret::of(&octets[..length]).unwrap();
            KeyPair { client_to_server: cut(one), server_to_client: cut(other) }
        };
        let session =
            SessionKeys::from_octets(algorithm, &pairs[0].0[..length], &pairs[0].1[..length]).unwrap();
        for _ in 0..count {
            let nonce: [u8; NONCE] = self.octets(at);
            let keys = &self.servers[at].nts.as_ref().unwrap().keys;
            let octets = CookieOctets::from_octets(keys.seal(&session, &nonce).unwrap().octets()).unwrap();
            self.plan(end, Happening::Fact(Input::Cookie(Cookie { id: exchange.id, octets })));
        }
        let keys = AssociationKeys::new(
            algorithm,
            pair(&pairs[usize::from(legacy)]),
            legacy.then(|| pair(&pairs[0])),
        );
        let validity = Validity::new(WallTime::saturating(from), WallTime::saturating(until));
        let exchanged = Exchanged {
            id: exchange.id,
            keys: keys.unwrap(),
            cookies: count,
            addresses: Addresses::new(addresses).unwrap(),
            redirected,
            named,
            validity: validity.unwrap(),
            deferred,
            operator: self.servers[at].nts.as_ref().unwrap().operator,
        };
        self.plan(end, Happening::Fact(Input::Exchanged(exchanged)));
    }

    /// The server's reply to a protected query, and what comes of it on the way.
    pub(super) fn reply_protected(&mut self, at: usize, query: &Query, header: Header, returned: i64) {
        let nonces: [u8; MAX_NONCES] = self.octets(at);
        // Of one that has both, a request with a key is a header and a MAC.
        let (keyed, has_nts) = (&self.servers[at].keyed, self.servers[at].nts.is_some());
        if let Some(keyed) = keyed.as_ref().filter(|_| !has_nts || query.packet.octets().len() <= 68) {
            let own = MacKey::new(&keyed.own).unwrap();
            let request = query.packet.octets();
            if own.verify(request, protocol::mac::find(request, 4).unwrap(), 4).is_err() {
                return self.plan_silence(query);
            }
            let mut out = [0; MAX_PACKET];
            out[..48].copy_from_slice(&header.encode());
            let length = own.put(&mut out, 48, 4).unwrap();
            let honest = out[..length].to_vec();
            let packets = match &keyed.tamper {
                Some(tamper) => tamper(query, honest),
                None => std::vec![honest],
            };
            return self.deliver(query, returned, packets);
        }
        let Some(nts) = &self.servers[at].nts else { return };
        let mut request = query.packet.octets().to_vec();
        if nts.forgot {
            // Within the cookie.
            request[48 + 36 + 20] ^= 1;
        }
        let mut out = [0; MAX_PACKET];
        let length = match read_request(&mut request, &nts.keys).unwrap() {
            Request::Plain => panic!("a plain request to an NTS source"),
            Request::Refused(refused) => refused.write_nak(&mut out).unwrap(),
            Request::Protected(_) if nts.starves => starved(query, &nts.keys, &header, &mut out),
            Request::Protected(request) => {
                request.write_reply(&nts.keys, &nonces, || header, &mut out).unwrap()
            }
        };
        let honest = out[..length].to_vec();
        let packets = match &nts.tamper {
            Some(tamper) => tamper(query, honest),
            None => std::vec![honest],
        };
        self.deliver(query, returned, packets);
    }

    fn deliver(&mut self, query: &Query, returned: i64, packets: Vec<Vec<u8>>) {
        for (number, octets) in (0..).zip(packets) {
            let when = returned + number * 10_000;
            let t4 = self.raw_at(when);
            let packet = Packet::from_octets(&octets).unwrap();
            let reply =
                ProtectedReply { id: query.id, source: query.destination, t4, stamp: Stamp::Kernel, packet };
            self.plan(when + LINK, Happening::Fact(Input::Protected(reply)));
        }
        self.plan_silence(query);
    }

    /// The end of a protected query, unless it is cancelled before.
    pub(super) fn plan_silence(&mut self, query: &Query) {
        let end = self.time_of(query.deadline);
        let (reason, rejected) = (Silence::Deadline, Rejected::NONE);
        self.plan(end, Happening::Fact(Input::Unanswered(Unanswered { id: query.id, reason, rejected })));
    }
}

/// A reply without a cookie.
fn starved(query: &Query, keys: &CookieKeys, header: &Header, out: &mut [u8]) -> usize {
    let request = query.packet.octets();
    let identifier = 48..84;
    let length = usize::from(u16::from_be_bytes([request[86], request[87]]));
    let session = keys.open(&request[88..84 + length]).unwrap();
    let mut packet = header.encode().to_vec();
    packet.extend_from_slice(&request[identifier]);
    let nonce = &mut [7u8; 16][..session.keys.algorithm().nonce_length()];
    let mut tag = [0; 16];
    session.keys.server_to_client.seal(nonce, &packet, &mut tag).unwrap();
    packet.extend_from_slice(&[4, 4, 0, 24 + nonce.len() as u8, 0, nonce.len() as u8, 0, 16]);
    packet.extend_from_slice(nonce);
    packet.extend_from_slice(&tag);
    out[..packet.len()].copy_from_slice(&packet);
    packet.len()
}
