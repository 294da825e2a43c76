//! The link to the exchange process: each look-up, each key exchange and each round of Roughtime runs in its own child process.

use super::Shortfall;
use crate::address::Address;
use crate::aead::AeadOffer;
use crate::codec::{Decode, Encode};
use crate::departure::Departure;
use crate::packet::CookieOctets;
use crate::served_at::InterfaceName;
use crate::units::{OutOfRange, WallTime};
use core::fmt;
use core::net::{IpAddr, Ipv6Addr};

mod asked;
mod denied;
mod operator;
mod outcome;
mod round;

pub use asked::{Asked, Progress, Violation};
pub use denied::{Denied, MAX_DENIED};
pub use operator::{CertifiedNames, FINGERPRINT, Operator, Organisation};
pub use outcome::{Addresses, AssociationKeys, Validity};
pub use round::{
    Heard, HeardOf, MAX_ROUND, MIN_ROUND, Measure, MeasureFailed, MeasureFailure, Measured, PASSES, Response,
    RoundServer, RoundServers, Signed,
};

/// Most addresses that are taken from one answer.
pub const MAX_ADDRESSES: usize = 64;

/// Most cookies of one key exchange (RFC 8915 section 4.1.6).
pub const MAX_COOKIES: u8 = 8;

/// Most look-ups, key exchanges and rounds that are open at a time.
pub const MAX_OPEN: usize = 8;

/// Engine to exchange process.
#[allow(clippy::large_enum_variant, reason = "passed on at once; eight at most are kept")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum ToExchange {
    /// Look this name up in a separate child process. The id was never used before; at most
    /// [`MAX_OPEN`] of look-ups and key exchanges are open.
    Resolve(Resolve),
    /// Exchange keys with this server in a separate child process. The id was never used before, for a look-up either;
    /// at most [`MAX_OPEN`] of both are open.
    Exchange(Exchange),
    /// Make this round of Roughtime in a separate child process. The id was never used before, as above; at most [`MAX_OPEN`] of all
    /// three are open.
    Measure(Measure),
    /// Answer with `Pong`; sent only if the service manager's watchdog is on.
    Ping,
}

/// Exchange role to engine.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum FromExchange {
    /// First message, once: the process is confined.
    Hello(Shortfall),
    /// End of a look-up.
    Resolved(Resolved),
    /// End of a look-up without an address.
    Failed(Failed),
    /// A cookie of a key exchange that is about to end with `Exchanged`; 1 to 8 for each.
    Cookie(Cookie),
    /// End of a key exchange: the server has proved its identity.
    Exchanged(Exchanged),
    /// End of a key exchange without keys; cookies that came before it are void.
    ExchangeFailed(ExchangeFailed),
    /// An answer of a round that is about to end with `Measured`; 0 to [`MAX_ROUND`] × [`PASSES`] for each.
    Signed(Signed),
    /// End of a round: all was asked.
    Measured(Measured),
    /// End of a round without any result; answers that came before it are void.
    MeasureFailed(MeasureFailed),
    /// Answers `Ping`: the loop still turns.
    Pong,
}

/// A look-up's, key exchange's or round's name: the engine counts up and never uses one twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct ExchangeId(pub u64);

/// Of which families addresses are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum Families {
    /// Of both.
    Both,
    /// Of IPv4 alone.
    V4,
    /// Of IPv6 alone.
    V6,
}

impl Families {
    /// Whether an address is of one of them.
    pub const fn admits(self, ip: IpAddr) -> bool {
        match self {
            Self::Both => true,
            Self::V4 => ip.is_ipv4(),
            Self::V6 => ip.is_ipv6(),
        }
    }
}

/// One look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct Resolve {
    /// Its name.
    pub id: ExchangeId,
    /// The host name.
    pub name: HostName,
    /// Copied into each address.
    pub port: u16,
    /// No address of another family is an answer.
    pub families: Families,
}

/// Addresses of a host name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct Resolved {
    /// The look-up.
    pub id: ExchangeId,
    /// In the resolver's order, with the port that was asked for.
    pub addresses: Addresses,
}

/// No address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct Failed {
    /// The look-up.
    pub id: ExchangeId,
    /// Why.
    pub reason: LookupFailure,
}

/// Why there is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum LookupFailure {
    /// The name does not exist.
    NoSuchName,
    /// The name has no address that a server can have, of the families that were asked for.
    NoAddress,
    /// No name server answers, or one says that it fails.
    TryAgain,
    /// No name server answers, and none is configured on this host.
    NoResolver,
    /// The name server failed in a way that it calls final.
    Refused,
    /// No process can be created now: nothing was sent.
    NotStarted,
    /// The child took longer than its deadline.
    Deadline,
    /// The child died, or answered something else than addresses.
    Broken,
    /// This host has no interface of the name that the address has.
    NoInterface,
    /// The child was ended by its filter, which denied the system call with this number.
    Denied(u16),
}

impl LookupFailure {
    /// For a person: the cause, and after a semicolon what to look at.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::NoSuchName => "the name does not exist; check its spelling",
            Self::NoAddress => {
                "the name has no address that a server can have, of the family that is wanted; ask its administrator, or \
                 see family in truechimer.toml(5)"
            }
            Self::TryAgain => {
                "no name server answers, or it fails (also DNSSEC with a wrong clock); check the network and \
                 /etc/resolv.conf"
            }
            Self::NoResolver => {
                "no name server is configured (/etc/resolv.conf names none); name one there, and where its \
                 folder came after the start of truechimer, restart it"
            }
            Self::Refused => "the name server failed to find out; check it, and DNSSEC where it is used",
            Self::NotStarted => "no process for it could be started; check the host's memory and limits",
            Self::Deadline => "the resolver took too long; check the network and /etc/resolv.conf",
            Self::Broken => "the process that looked it up failed; the kernel's log may say why",
            Self::NoInterface => {
                "this host has no network interface of that name now; it is waited for, and ip link shows their names"
            }
            Self::Denied(_) => {
                "the process that looked it up was killed by its system call filter; please report it"
            }
        }
    }

    /// The cause alone.
    pub fn cause(self) -> &'static str {
        self.sentence().split(';').next().unwrap_or_default()
    }
}

/// One key exchange (RFC 8915 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct Exchange {
    /// Its name.
    pub id: ExchangeId,
    /// The server, which its certificate must name.
    pub server: KeyServer,
    /// Its TCP port.
    pub port: u16,
    /// The address of that name at which alone it is asked, whose certificate must name the name all the same: of a pool each member
    /// is asked by itself. None: the name is looked up, and all its addresses are tried.
    pub at: Option<Address>,
    /// Which of the root sets of the launch plan vouch for it: 0 the system's, 1 to
    /// [`MAX_ROOT_SETS`](super::launch::MAX_ROOT_SETS) the files of the plan in their order.
    pub roots: u8,
    /// The time that certificates are judged by.
    pub now: WallTime,
    /// None: certificates must be valid `now`. Some: the clock is known to be wrong; certificates must be
    /// valid at some instant that isn't before this one.
    pub not_before: Option<WallTime>,
    /// Which algorithms to offer.
    pub offer: AeadOffer,
    /// The address of the name that is tried first, counted from 0 and beyond the last one from the first again.
    pub turn: u8,
    /// Time servers that the key exchange server is asked not to name: an experiment.
    pub denied: Denied,
    /// Of which addresses may be, of this server and of one that it names.
    pub families: Families,
    /// How the connection leaves this host; look-ups of names do as all others.
    pub departure: Departure,
}

/// How a key exchange server is named, in the configuration and in its certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum KeyServer {
    /// A host name; looked up, all its addresses are tried.
    Name(HostName),
    /// An address (its port doesn't count); the certificate must hold it.
    Address(Address),
}

/// One cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct Cookie {
    /// The key exchange.
    pub id: ExchangeId,
    /// The cookie.
    pub octets: CookieOctets,
}

/// What came of a key exchange.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct Exchanged {
    /// The key exchange.
    pub id: ExchangeId,
    /// The keys, for one of the offered algorithms.
    pub keys: AssociationKeys,
    /// How many records `Cookie` came before, 1 to 8.
    pub cookies: u8,
    /// Where to ask for the time, with the UDP port: the address of the key exchange server, or those of
    /// the server that it names.
    pub addresses: Addresses,
    /// Whether the server named another one.
    pub redirected: bool,
    /// How it named that, where it is a name or an address of IPv4.
    pub named: Option<HostName>,
    /// When the whole chain of certificates is valid.
    pub validity: Validity,
    /// Whether certificates are not valid at `now` of the request, but at an instant that it allowed.
    pub deferred: bool,
    /// Who operates the server, as its certificate says.
    pub operator: Operator,
}

/// No keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct ExchangeFailed {
    /// The key exchange.
    pub id: ExchangeId,
    /// Why.
    pub reason: ExchangeFailure,
}

/// Why there are no keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum ExchangeFailure {
    /// The server's name has no address.
    Lookup(LookupFailure),
    /// There can be no child now.
    NotStarted,
    /// The child took longer than its deadline.
    Deadline,
    /// The child died, or said something that it may not say.
    Broken,
    /// No process listens on that port.
    Refused,
    /// No route to any of the addresses.
    Unreachable,
    /// There is no interface of the name over which the server is to be asked.
    NoInterface,
    /// No interface of this host has the address from which the server is to be asked.
    NoOwnAddress,
    /// The connection ended in the middle.
    Reset,
    /// The root certificates cannot be read.
    NoRoots,
    /// TLS failed: another version, no common cipher, a broken record.
    Tls,
    /// The server did not select the protocol `ntske/1`.
    NoAlpn,
    /// The certificate expired (and that is all that is wrong with it).
    Expired,
    /// The certificate isn't valid yet (and that is all that is wrong with it).
    NotYetValid,
    /// The certificate is for another name.
    WrongName,
    /// The certificate does not chain to a trusted root.
    UnknownIssuer,
    /// The certificate isn't one for servers.
    NotForServers,
    /// The certificate is unacceptable otherwise: broken, weak, or too long a chain.
    BadCertificate,
    /// The response breaks a rule of RFC 8915 section 4.
    BadResponse,
    /// The server answered with this error code.
    ServerError(u16),
    /// The server doesn't do NTPv4, or none of the offered algorithms.
    NothingInCommon,
    /// The server names an impossible NTP server.
    BadServer,
    /// The child was ended by its filter, which denied the system call with this number.
    Denied(u16),
}

/// Longest host name in octets (RFC 1035 section 2.3.4).
pub const MAX_NAME: usize = 253;

bounded! {
    /// A host name: 1 to 253 octets of letters, digits, `-`, `_` and `.`, not starting with `-` or `.`. Or a link-local
    /// address of IPv6 with the name of an interface (`fe80::1%eth0`), which has to be looked up too: the index of the
    /// interface may change. Having one proves only its form, not that it exists.
    HostName, RawName, NameOctets, MAX_NAME, is_lawful, "[a-z0-9_][a-zA-Z0-9._-]{0,252}"
}

fn is_lawful(name: &[u8]) -> bool {
    is_host(name) || split(name).is_some()
}

fn is_host(name: &[u8]) -> bool {
    let lawful = |octet: &u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.');
    name.first().is_some_and(|first| !matches!(first, b'-' | b'.')) && name.iter().all(lawful)
}

/// A link-local address and the name of an interface, which Linux limits to 15 octets.
fn split(name: &[u8]) -> Option<(Ipv6Addr, &str)> {
    let (address, interface) = core::str::from_utf8(name).ok()?.split_once('%')?;
    let address = address.parse::<Ipv6Addr>().ok().filter(Ipv6Addr::is_unicast_link_local)?;
    InterfaceName::parse(interface).is_ok().then_some((address, interface))
}

/// Whether two host names are one: they do not differ by case or by a dot at the end (RFC 4343, RFC 1034 section 3.1).
pub fn is_one_name(one: &str, other: &str) -> bool {
    one.trim_end_matches('.').eq_ignore_ascii_case(other.trim_end_matches('.'))
}

impl HostName {
    /// Checks the form of a host name.
    ///
    /// # Errors
    /// [`OutOfRange`] for anything that is not a host name.
    pub fn parse(name: &str) -> Result<Self, OutOfRange> {
        if is_host(name.as_bytes()) { Self::from_octets(name.as_bytes()) } else { Err(OutOfRange) }
    }

    /// Checks the form of a link-local address with the name of an interface: `fe80::1%eth0`.
    ///
    /// # Errors
    /// [`OutOfRange`] for anything else.
    pub fn parse_scoped(text: &str) -> Result<Self, OutOfRange> {
        if split(text.as_bytes()).is_some() { Self::from_octets(text.as_bytes()) } else { Err(OutOfRange) }
    }

    /// Address and interface, where it is not a host name.
    pub fn scoped(&self) -> Option<(Ipv6Addr, &str)> {
        split(self.octets())
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        // ASCII was checked when it was built.
        core::str::from_utf8(self.octets()).unwrap_or("")
    }
}

impl fmt::Debug for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HostName").field(&self.as_str()).finish()
    }
}
