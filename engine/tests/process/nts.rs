//! A server with NTS, behind the doubles of the client and exchange process.

use ipc::aead::Aead;
use ipc::message::exchange::{
    Addresses, AssociationKeys, Cookie, Exchange, ExchangeId, Exchanged, FromExchange, Validity,
};
use ipc::packet::{CookieOctets, MAX_PACKET, Packet};
use ipc::secret::{KeyPair, Secret};
use ipc::units::WallTime;
use protocol::header::Header;
use protocol::nts::aead::{Algorithm, SessionKeys};
use protocol::nts::cookie::{CookieKeys, NONCE};
use protocol::nts::ratchet::EpochKey;
use protocol::nts::server::{MAX_NONCES, Request, read_request};
use std::net::SocketAddr;

/// Key of the client, key of the server.
pub const KEYS: ([u8; 32], [u8; 32]) = ([0xa5; 32], [0x5a; 32]);

fn cookie_keys() -> CookieKeys {
    CookieKeys::new(1, [EpochKey::from_octets(1, &[7; 32])]).unwrap()
}

/// Fresh octets: no two cookies are alike.
fn random<const N: usize>() -> [u8; N] {
    let mut octets = [0; N];
    getrandom::fill(&mut octets).unwrap();
    octets
}

/// What a key exchange that was asked for ends with: eight cookies and the keys.
pub fn exchanged(asked: &Exchange) -> Vec<FromExchange> {
    let session = SessionKeys::from_octets(Algorithm::AesSivCmac256, &KEYS.0, &KEYS.1).unwrap();
    let cookie = |_| {
        let sealed = cookie_keys().seal(&session, &random::<NONCE>()).unwrap();
        let octets = CookieOctets::from_octets(sealed.octets()).unwrap();
        FromExchange::Cookie(Cookie { id: asked.id, octets })
    };
    (0..8).map(cookie).chain([FromExchange::Exchanged(end(asked.id, asked.now))]).collect()
}

fn end(id: ExchangeId, now: WallTime) -> Exchanged {
    let address = "192.0.2.1:123".parse::<SocketAddr>().unwrap().into();
    let pair = KeyPair {
        client_to_server: Secret::of(&KEYS.0).unwrap(),
        server_to_client: Secret::of(&KEYS.1).unwrap(),
    };
    let days = |days: i64| WallTime::saturating(now.nanos() + days * 86_400_000_000_000);
    Exchanged {
        id,
        keys: AssociationKeys::new(Aead::AesSivCmac256, pair, None).unwrap(),
        cookies: 8,
        addresses: Addresses::new([address]).unwrap(),
        redirected: false,
        named: None,
        validity: Validity::new(days(-30), days(60)).unwrap(),
        deferred: false,
        operator: ipc::message::exchange::Operator::NONE,
    }
}

/// The reply of the server, whose clock shows `time`.
pub fn reply(request: &mut [u8], time: u64) -> Packet {
    let keys = cookie_keys();
    let Ok(Request::Protected(asked)) = read_request(request, &keys) else { panic!("not protected") };
    let header = Header {
        mode: 4,
        stratum: 2,
        precision: -25,
        root_delay: 0x100,
        root_dispersion: 0x100,
        reference_id: 0xc000_0202,
        reference_timestamp: time - (16 << 32),
        origin_timestamp: asked.header().transmit_timestamp,
        receive_timestamp: time,
        transmit_timestamp: time,
        ..*asked.header()
    };
    let mut out = [0; MAX_PACKET];
    let length = asked.write_reply(&keys, &random::<MAX_NONCES>(), || header, &mut out).unwrap();
    Packet::from_octets(&out[..length]).unwrap()
}

/// The cookie of a request: the value of the first extension field of type 0x0204.
pub fn cookie_of(packet: &[u8]) -> Vec<u8> {
    let mut rest = &packet[48..];
    while let Some((head, _)) = rest.split_first_chunk::<4>() {
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        if head[..2] == [0x02, 0x04] {
            return rest[4..length].to_vec();
        }
        rest = &rest[length..];
    }
    panic!("no cookie");
}
