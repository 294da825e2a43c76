//! A client under NTS that needs no key exchange: it seals its cookies itself.

use ipc::message::server::{self, ToServer};
use ipc::secret::Secret;
use protocol::header::Header;
use protocol::nts::MAX_PACKET;
use protocol::nts::aead::{Algorithm, SessionKeys};
use protocol::nts::client::{Awaited, ProtectedRequest, Reply, read_reply};
use protocol::nts::cookie::CookieKeys;
use protocol::nts::ratchet::{EpochKey, Ratchet};
use protocol::request::minimal;

pub const BOTH: [Algorithm; 2] = [Algorithm::AesSivCmac256, Algorithm::Aes128GcmSiv];

/// The current epoch of these tests.
pub const TODAY: u32 = 20_500;

/// The keys in force on a day, of a server that began with this secret five days before.
fn epoch_keys(secret: u8, epoch: u32) -> Vec<EpochKey> {
    let mut ratchet = Ratchet::from_random(&[secret; 32], TODAY - 5);
    ratchet.turn(epoch).unwrap();
    ratchet.keys().collect()
}

/// The key that seals cookies today.
pub fn todays_key(secret: u8) -> [u8; 32] {
    let all = epoch_keys(secret, TODAY);
    *all.iter().find(|key| key.epoch() == TODAY).unwrap().octets()
}

/// All of them, to seal and open with.
pub fn cookie_keys(secret: u8, epoch: u32) -> CookieKeys {
    CookieKeys::new(epoch, epoch_keys(secret, epoch)).unwrap()
}

/// The same, for the server.
pub fn message(secret: u8, epoch: u32) -> ToServer {
    let all = epoch_keys(secret, epoch);
    let keys = all.iter().map(|key| server::EpochKey { epoch: key.epoch(), key: Secret::new(key.octets()) });
    let keys = ipc::list::Bounded::new(keys).unwrap();
    ToServer::CookieKeys(server::CookieKeys { current: epoch, keys })
}

/// One association. Each request has a number, which is its origin timestamp and in its unique identifier.
pub struct Client {
    pub keys: SessionKeys,
    pub cookie: Vec<u8>,
    pub header: Header,
}

impl Client {
    /// With keys made of this number, and a cookie sealed with those of the server.
    pub fn new(algorithm: Algorithm, number: u8, server: &CookieKeys) -> Self {
        let octets: Vec<u8> = (0..64).map(|at| number ^ at).collect();
        let (up, down) = (&octets[..algorithm.key_length()], vec![number; algorithm.key_length()]);
        let keys = SessionKeys::from_octets(algorithm, up, &down).unwrap();
        let cookie = server.seal(&keys, &[number; 12]).unwrap().octets().to_vec();
        Self { keys, cookie, header: minimal(0) }
    }

    /// A request of that number.
    pub fn request(&self, number: u64, placeholders: usize) -> Vec<u8> {
        let header = Header { transmit_timestamp: number, ..self.header };
        let (mut nonce, identifier) = ([0x33; 16], identifier(number));
        nonce[..8].copy_from_slice(&number.to_be_bytes());
        let request = ProtectedRequest {
            header,
            unique_identifier: &identifier,
            cookie: &self.cookie,
            placeholders,
            key: &self.keys.client_to_server,
            nonce: &nonce,
        };
        let mut packet = [0; MAX_PACKET];
        let length = request.encode(&mut packet).unwrap();
        packet[..length].to_vec()
    }

    /// The contents of the reply to it; an interleaved one answers the given origin.
    pub fn read(&self, reply: &[u8], number: u64, origin: u64) -> Told {
        let mut reply = reply.to_vec();
        let identifier = identifier(number);
        let awaited = Awaited { unique_identifier: &identifier, origin, key: &self.keys.server_to_client };
        match read_reply(&mut reply, &awaited) {
            Ok(Reply::Protected(reply)) => {
                Told::Time(reply.header, reply.cookies().map(<[u8]>::to_vec).collect())
            }
            Ok(Reply::Nak) => Told::Nak,
            Err(error) => panic!("{error}"),
        }
    }
}

/// A server's reply.
#[derive(Debug, PartialEq, Eq)]
pub enum Told {
    /// Header and new cookies.
    Time(Header, Vec<Vec<u8>>),
    Nak,
}

fn identifier(number: u64) -> [u8; 32] {
    let mut identifier = [0x1d; 32];
    identifier[..8].copy_from_slice(&number.to_be_bytes());
    identifier
}
