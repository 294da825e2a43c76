//! The links of the key exchange service: engine to the process that talks TLS, and from there to the process
//! that holds the private key.

pub use super::counters::KeyCounters;

use super::Shortfall;
use super::server::{CookieKeys, Interface};
use crate::aead::AeadOffer;
use crate::codec::{Decode, Encode};
use crate::message::exchange::HostName;
use crate::units::{OutOfRange, WallTime};
use core::fmt;

/// Engine to key exchange service.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum ToKeyService {
    /// The keys that seal cookies; they replace the previous ones. No client is answered before the first ones.
    CookieKeys(CookieKeys),
    /// What responses say, and how much is done for one client. At any moment.
    Policy(KeyPolicy),
    /// Read the certificates and the private keys anew; connections go on.
    Reload(Request),
    /// Answer with `Pong`, and with `HolderPong` once the key holder has answered; sent only if the service manager's
    /// watchdog is on.
    Ping,
}

/// Why certificates are read, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct Request {
    /// The time of the steered clock, by which they are judged.
    pub now: WallTime,
    /// Whether an administrator has said that one may be taken that lacks a name of the one in use (`chimerctl reload --drop-names`).
    pub drops_names: bool,
}

/// Key exchange service to engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum FromKeyService {
    /// First message, once: the process is confined.
    Hello(Shortfall),
    /// What its key holder could not get of its confinement; once, after `Hello`.
    HolderHello(Shortfall),
    /// Which certificate is in use, of the pair of this number in the plan: at start, and after each `Reload`, each once.
    Certificate(u8, Loaded),
    /// At most one a second, and only when a count has changed.
    Counters(KeyCounters),
    /// As the server tells of those that its own `listen` names.
    Interface(Interface),
    /// Answers `Ping`: the loop still turns, and no thread has been at the same client since the `Ping` before.
    /// Outstanding pings are answered once the thread continues.
    Pong,
    /// The key holder's loop still turns: it has answered, after a `Ping`.
    HolderPong,
}

/// What became of reading the certificate and the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum Loaded {
    /// They belong together and are in use; valid between these instants, in seconds since 1970.
    InUse {
        /// From when on.
        not_before: i64,
        /// Until when.
        not_after: i64,
    },
    /// The certificate is not used; the previous one stays in use.
    NoCertificate(Unread),
    /// The private key is not used by the key holder.
    NoKey(Unread),
    /// The key isn't that of the certificate.
    Mismatch,
    /// The one in use is valid and stays in use, since the new one would serve clients worse. A start takes it all the same.
    Kept(Objection),
}

/// What is wrong with a new certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum Objection {
    /// It has expired.
    Expired,
    /// It is not valid yet.
    NotYetValid,
    /// It lacks a name that the one in use has.
    LacksName,
}

/// Why a file of certificates or of a private key is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum Unread {
    /// The kernel refused it: the errno.
    Refused(u16),
    /// It is a fifo, a socket, a device or a directory.
    NotRegular,
    /// It has more than [`MAX_PEM`] octets.
    TooLong,
    /// A private key that its group may change or that others may read or change: its permission bits. It was not read.
    Exposed(u16),
    /// It holds none that is supported.
    Unsupported,
    /// It was asked for too often; it was not read.
    TooOften,
}

/// Octets of the longest file with a private key or the certificate that goes with it: an RSA key of 4096 bits takes
/// 3.3 KiB, twice over with its certificate.
pub const MAX_PEM: usize = 64 * 1024;

/// Most connections at a time that a policy may allow.
pub const MAX_CONNECTIONS: u16 = 512;

/// Most handshakes a second that a policy may allow.
pub const MAX_HANDSHAKES: u32 = 100_000;

/// How the key exchange service answers, as the configuration says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct KeyPolicy {
    /// The NTP server that responses name; none: the same address (RFC 8915 section 4.1.7).
    pub ntp_server: Option<HostName>,
    /// The UDP port that responses name; none: 123 (section 4.1.8).
    pub ntp_port: Option<u16>,
    /// Connections at a time, 1 to [`MAX_CONNECTIONS`].
    pub connections: u16,
    /// Of them from one network (IPv4 /24, IPv6 /48), 1 to `connections`.
    pub network_connections: u16,
    /// Handshakes a second, of all, 1 to [`MAX_HANDSHAKES`].
    pub rate: u32,
    /// Handshakes a second of one network, 1 to [`MAX_HANDSHAKES`].
    pub network_rate: u32,
    /// The algorithms that are agreed to; the order is the client's.
    pub aead: AeadOffer,
}

/// Key exchange service to key holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum ToKeyHolder {
    /// Sign the server's CertificateVerify of TLS 1.3 (RFC 8446 section 4.4.3) over this hash. Answered in
    /// order.
    Sign(Sign),
    /// Read the private key of this number anew, and keep the one in use until `Use`. Over the first link alone.
    Reload(u8),
    /// From now on sign over this link, a thread's, with the key of this number that was read last.
    Use(u8),
    /// Answer with `Pong`. Over the first link alone.
    Ping,
}

/// Key holder to key exchange service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum FromKeyHolder {
    /// First message, once: the process is confined.
    Hello(Shortfall),
    /// At start of the first one (that key is in use at once), and after each `Reload`.
    Key(KeyRead),
    /// Answers `Sign`.
    Signed(Signature),
    /// Answers `Sign`: too many a second, or a scheme that isn't the key's.
    NotSigned,
    /// Answers `Ping`: the loop still turns.
    Pong,
}

/// What became of reading the private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum KeyRead {
    /// Read. SHA-256 of its public key (SubjectPublicKeyInfo, DER), by which a certificate is matched.
    Read([u8; 32]),
    /// The file is not used.
    Unreadable(Unread),
}

/// Signature schemes of TLS 1.3 (RFC 8446 section 4.2.3) that are done here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum Scheme {
    /// ecdsa_secp256r1_sha256.
    EcdsaP256,
    /// ed25519.
    Ed25519,
    /// rsa_pss_rsae_sha256.
    RsaPss256,
    /// rsa_pss_rsae_sha384.
    RsaPss384,
    /// rsa_pss_rsae_sha512.
    RsaPss512,
}

/// Hash of the handshake so far: the only thing about a signature that the asking process decides. The
/// key holder itself puts the 64 spaces and the context string in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct Sign {
    /// With the key of which number.
    pub key: u8,
    /// How.
    pub scheme: Scheme,
    /// The hash.
    pub transcript: TranscriptHash,
}

bounded! {
    /// A transcript hash: 32 (SHA-256) or 48 octets (SHA-384).
    TranscriptHash, RawHash, HashOctets, 48, |hash| matches!(hash.len(), 32 | 48),
    proptest::prop_oneof![
        proptest::collection::vec(any::<u8>(), 32),
        proptest::collection::vec(any::<u8>(), 48)
    ]
}

bounded! {
    /// A signature, at most that of an RSA key of 4096 bits.
    Signature, RawSignature, SignatureOctets, 512, |octets| !octets.is_empty(),
    proptest::collection::vec(any::<u8>(), 1..=512)
}

impl fmt::Debug for TranscriptHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TranscriptHash({})", self.octets().len())
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({})", self.octets().len())
    }
}

impl KeyPolicy {
    /// What is in force without a word about it.
    pub const DEFAULT: Self = Self {
        ntp_server: None,
        ntp_port: None,
        connections: MAX_CONNECTIONS,
        network_connections: 8,
        rate: 5_000,
        network_rate: 100,
        aead: AeadOffer::RESISTANT,
    };
}
