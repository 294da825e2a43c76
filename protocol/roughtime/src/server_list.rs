//! A list of servers as the ecosystem publishes it (RFC 10049 section 8.3): JSON, with a name, the highest version, the long-term key
//! and the addresses of each.

use crate::request::PublicKey;
use alloc::string::String;
use alloc::vec::Vec;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use core::fmt;
use core::net::SocketAddr;
use ipc::message::exchange::{HostName, KeyServer};
use ipc::text::escape;
use serde::Deserialize;

/// The longest list that is read, octets.
pub const MAX_LIST: usize = 65_536;
/// Most servers of a list.
const MAX_SERVERS: usize = 64;
/// Most addresses of a server.
const MAX_ADDRESSES: usize = 16;
/// The longest name of a server, octets.
const MAX_NAME: usize = 64;

/// A server that can be asked over UDP, and whose signatures can be verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// What people call it: printable, 1 to 64 octets.
    pub name: String,
    /// Its long-term key.
    pub public_key: PublicKey,
    /// The highest version that it speaks, as the list says; it may be one that is not known here.
    pub version: u32,
    /// Its first UDP address.
    pub host: KeyServer,
    /// The port of it, not 0.
    pub port: u16,
}

/// Why a list is refused as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListFault {
    /// It is longer than [`MAX_LIST`].
    TooLong,
    /// It is not JSON of this form; what the parser says.
    Form(String),
    /// It has more servers than 64, or one has more than 16 addresses.
    TooMany,
    /// The name of the server with this number, from 1, is empty, longer than 64 octets or not printable.
    Name(usize),
    /// The key of this server is not 32 octets in base64.
    Key(String),
    /// This address of this server is not a host and a port.
    Address(String, String),
    /// Two servers have this key: they are one, and have one vote.
    Twice(String, String),
    /// No server of it can be asked over UDP and has a key of Ed25519.
    NoServer,
}

impl fmt::Display for ListFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "it is longer than {MAX_LIST} octets"),
            Self::Form(said) => write!(f, "it is not a list of Roughtime servers in JSON: {said}"),
            Self::TooMany => write!(
                f,
                "it has more than {MAX_SERVERS} servers, or a server with more than {MAX_ADDRESSES} addresses"
            ),
            Self::Name(number) => {
                write!(f, "server {number} has no name of 1 to {MAX_NAME} printable characters")
            }
            Self::Key(name) => {
                write!(f, "the publicKey of {name} is not 32 octets in base64, as an ed25519 key is")
            }
            Self::Address(name, address) => {
                write!(f, "the address {address} of {name} is not HOST:PORT, with brackets around IPv6")
            }
            Self::Twice(one, other) => {
                write!(
                    f,
                    "{one} and {other} have the same publicKey, so they are one server: take one of them out"
                )
            }
            Self::NoServer => f.write_str("no server in it has a udp address and a key of the type ed25519"),
        }
    }
}

impl core::error::Error for ListFault {}

#[derive(Deserialize)]
struct List {
    servers: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    name: String,
    version: u32,
    public_key_type: String,
    public_key: String,
    addresses: Vec<Place>,
}

#[derive(Deserialize)]
struct Place {
    protocol: String,
    address: String,
}

/// The servers of a list that can be asked, in its order. Others are passed over: those with keys of other types, or no UDP address.
///
/// # Errors
/// [`ListFault`]: the first thing that is wrong with it.
pub fn read_list(text: &[u8]) -> Result<Vec<Listed>, ListFault> {
    if text.len() > MAX_LIST {
        return Err(ListFault::TooLong);
    }
    let list: List =
        serde_json::from_slice(text).map_err(|error| ListFault::Form(escape(&alloc::format!("{error}"))))?;
    let is_too_long = |entry: &Entry| entry.addresses.len() > MAX_ADDRESSES;
    if list.servers.len() > MAX_SERVERS || list.servers.iter().any(is_too_long) {
        return Err(ListFault::TooMany);
    }
    let mut servers: Vec<Listed> = Vec::new();
    for (at, entry) in list.servers.iter().enumerate() {
        let Some(server) = read_server(at, entry)? else { continue };
        if let Some(twin) = servers.iter().find(|other| other.public_key == server.public_key) {
            return Err(ListFault::Twice(twin.name.clone(), server.name));
        }
        servers.push(server);
    }
    if servers.is_empty() { Err(ListFault::NoServer) } else { Ok(servers) }
}

fn read_server(at: usize, entry: &Entry) -> Result<Option<Listed>, ListFault> {
    let name = entry.name.as_str();
    if name.is_empty() || name.len() > MAX_NAME || escape(name) != name {
        return Err(ListFault::Name(at + 1));
    }
    let udp = entry.addresses.iter().find(|place| place.protocol == "udp");
    let Some(udp) = udp.filter(|_| entry.public_key_type == "ed25519") else { return Ok(None) };
    let key = STANDARD.decode(&entry.public_key).ok().and_then(|octets| octets.try_into().ok());
    let public_key = key.ok_or_else(|| ListFault::Key(name.into()))?;
    let place = read_place(&udp.address);
    let (host, port) = place.ok_or_else(|| ListFault::Address(name.into(), escape(&udp.address)))?;
    Ok(Some(Listed { name: name.into(), public_key, version: entry.version, host, port }))
}

/// `HOST:PORT`, `192.0.2.1:PORT` or `[2001:db8::1]:PORT`, without a zone.
fn read_place(text: &str) -> Option<(KeyServer, u16)> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        let address = ipc::address::Address::from(address);
        let is_usable = address.is_unicast() && address.scope() == 0;
        return is_usable.then_some((KeyServer::Address(address), address.port()));
    }
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    // What ends with digits alone is no name: it would be an address that is not one.
    let last = host.rsplit('.').next()?;
    let is_name = !last.is_empty() && !last.bytes().all(|octet| octet.is_ascii_digit());
    let name = HostName::parse(host).ok().filter(|_| is_name)?;
    Some((KeyServer::Name(name), port))
}
