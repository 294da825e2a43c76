//! The body of a slot: the secret of the cookies' keys, then the associations. All numbers in network order.
//!
//! Roots stand there by the name of their file, for their numbers change with the configuration.

use super::{Kept, Origin};
use engine_core::io::SavedAssociation;
use engine_core::settings::Place;
use ipc::address::Address;
use ipc::aead::Aead;
use ipc::file_path::FilePath;
use ipc::message::exchange::{CertifiedNames, HostName, MAX_COOKIES, Operator, Organisation};
use ipc::message::launch::{LaunchPlan, MAX_ROOT_SETS};
use ipc::packet::CookieOctets;
use ipc::secret::{KeyPair, Secret};
use ipc::units::WallTime;
use protocol::nts::ratchet::State;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use zeroize::Zeroizing;

/// Most associations that are kept.
const MOST: usize = 32;

/// The files with root certificates of this run.
#[derive(Clone, Copy, Debug)]
pub struct Roots {
    system: Option<FilePath>,
    named: [Option<FilePath>; MAX_ROOT_SETS],
}

impl Roots {
    /// Those of the plan.
    pub fn of(plan: &LaunchPlan) -> Self {
        Self { system: plan.system_roots, named: plan.roots }
    }

    fn file(&self, number: u8) -> Option<FilePath> {
        match usize::from(number).checked_sub(1) {
            None => self.system,
            Some(place) => *self.named.get(place)?,
        }
    }

    fn number(&self, is_named: bool, file: &FilePath) -> Option<u8> {
        if !is_named {
            return (self.system == Some(*file)).then_some(0);
        }
        let place = self.named.iter().position(|named| *named == Some(*file))?;
        u8::try_from(place.checked_add(1)?).ok()
    }
}

/// At most `room` octets: associations that find none are left out, which costs a key exchange each.
pub fn write_body(kept: &Kept, roots: &Roots, room: usize) -> Zeroizing<Vec<u8>> {
    let mut parts: Vec<Zeroizing<Vec<u8>>> = Vec::new();
    let mut length = 2 + kept.ratchet.as_ref().map_or(0, |_| State::LENGTH);
    for association in kept.associations.iter().take(MOST) {
        let Some(part) = write_association(association, roots) else { continue };
        let longer = length.saturating_add(part.len());
        if longer <= room {
            length = longer;
            parts.push(part);
        }
    }
    let mut body = Zeroizing::new(Vec::with_capacity(length));
    match &kept.ratchet {
        None => body.push(0),
        Some((origin, state)) => {
            body.push(match origin {
                Origin::Own => 1,
                Origin::Fleet => 2,
            });
            body.extend_from_slice(state.octets());
        }
    }
    body.push(u8::try_from(parts.len()).unwrap_or(0));
    for part in &parts {
        body.extend_from_slice(part);
    }
    body
}

/// Of what is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As it is written.
    Current,
    /// Without where the keys of an association were exchanged.
    Before,
}

/// Longest association in octets: three names, three addresses, keys, what a certificate says, cookies.
const LONGEST: usize = 1856 + MAX_COOKIES as usize * (2 + ipc::packet::MAX_COOKIE);

/// Nothing for one whose roots are no longer configured.
fn write_association(association: &SavedAssociation, roots: &Roots) -> Option<Zeroizing<Vec<u8>>> {
    let SavedAssociation {
        server,
        roots: number,
        address,
        at,
        named,
        algorithm,
        keys,
        cookies,
        made,
        valid_until,
        operator,
    } = association;
    // With room for all of it, so that no copy of the keys is left behind by growing.
    let mut part = Zeroizing::new(Vec::with_capacity(LONGEST));
    match server {
        Place::Address(address) => {
            part.push(0);
            write_address(&mut part, address);
        }
        Place::Name(name, port) => {
            part.push(1);
            write_short(&mut part, name.octets());
            part.extend_from_slice(&port.to_be_bytes());
        }
    }
    part.push(u8::from(*number != 0));
    write_short(&mut part, roots.file(*number)?.octets());
    write_address(&mut part, address);
    match at {
        Some(at) => write_address(&mut part, at),
        None => part.push(0),
    }
    write_short(&mut part, named.as_ref().map_or(&[], HostName::octets));
    part.push(u8::try_from(algorithm.id()).ok()?);
    for key in [&keys.client_to_server, &keys.server_to_client] {
        part.extend_from_slice(key.octets().get(..key_room(*algorithm))?);
    }
    for time in [made, valid_until] {
        part.extend_from_slice(&time.nanos().to_be_bytes());
    }
    write_short(&mut part, operator.organisation.octets());
    write_short(&mut part, operator.names.octets());
    part.extend_from_slice(&operator.fingerprint);
    let cookies = cookies.get(..cookies.len().min(usize::from(MAX_COOKIES)))?;
    part.push(u8::try_from(cookies.len()).ok()?);
    for cookie in cookies {
        part.extend_from_slice(&u16::try_from(cookie.octets().len()).ok()?.to_be_bytes());
        part.extend_from_slice(cookie.octets());
    }
    Some(part)
}

/// Octets that each key takes: 32 also for shorter ones, as it has been from the beginning.
const fn key_room(algorithm: Aead) -> usize {
    let length = algorithm.key_length();
    if length < 32 { 32 } else { length }
}

fn write_short(part: &mut Vec<u8>, octets: &[u8]) {
    // Names and paths are shorter than 256 octets by their types.
    part.push(u8::try_from(octets.len()).unwrap_or(0));
    part.extend_from_slice(octets);
}

fn write_address(part: &mut Vec<u8>, address: &Address) {
    match address.socket_address() {
        SocketAddr::V4(v4) => {
            part.push(4);
            part.extend_from_slice(&v4.ip().octets());
        }
        SocketAddr::V6(v6) => {
            part.push(6);
            part.extend_from_slice(&v6.ip().octets());
            part.extend_from_slice(&v6.scope_id().to_be_bytes());
        }
    }
    part.extend_from_slice(&address.port().to_be_bytes());
}

/// `None` unless the whole body is one.
pub fn read_body(body: &[u8], roots: &Roots, form: Form) -> Option<Kept> {
    let mut rest = Reader(body);
    let ratchet = match rest.octet()? {
        0 => None,
        origin @ (1 | 2) => {
            let origin = if origin == 1 { Origin::Own } else { Origin::Fleet };
            Some((origin, State::from_octets(rest.array()?)))
        }
        _ => return None,
    };
    let count = usize::from(rest.octet()?);
    if count > MOST {
        return None;
    }
    let mut associations = Vec::with_capacity(count);
    for _ in 0..count {
        // Roots that are no longer configured vouch for nothing.
        associations.extend(read_association(&mut rest, roots, form)?);
    }
    let left_out = count - associations.len();
    rest.0.is_empty().then_some(Kept { ratchet, associations, left_out })
}

/// Where the keys were exchanged, and the name that a pool gave.
fn read_exchanged(rest: &mut Reader<'_>) -> Option<(Option<Address>, Option<HostName>)> {
    let at = match rest.0.first()? {
        0 => rest.octet().map(|_| None)?,
        _ => Some(rest.address()?),
    };
    let named = match rest.short()? {
        [] => None,
        name => Some(HostName::from_octets(name).ok()?),
    };
    Some((at, named))
}

fn read_association(rest: &mut Reader<'_>, roots: &Roots, form: Form) -> Option<Option<SavedAssociation>> {
    let server = match rest.octet()? {
        0 => Place::Address(rest.address()?),
        1 => {
            let name = HostName::from_octets(rest.short()?).ok()?;
            Place::Name(name, u16::from_be_bytes(*rest.array()?))
        }
        _ => return None,
    };
    let is_named = match rest.octet()? {
        0 => false,
        1 => true,
        _ => return None,
    };
    let file = FilePath::from_octets(rest.short()?).ok()?;
    let address = rest.address().filter(Address::is_unicast)?;
    let (at, named) = match form {
        Form::Before => (None, None),
        Form::Current => read_exchanged(rest)?,
    };
    let algorithm = Aead::from_id(u16::from(rest.octet()?))?;
    let mut key = || Secret::of(rest.take(key_room(algorithm))?);
    let keys = KeyPair { client_to_server: key()?, server_to_client: key()? };
    let made = rest.time()?;
    let valid_until = rest.time()?;
    let operator = Operator {
        organisation: Organisation::from_octets(rest.short()?).ok()?,
        names: CertifiedNames::from_octets(rest.short()?).ok()?,
        fingerprint: *rest.array()?,
    };
    let count = rest.octet()?;
    if count > MAX_COOKIES {
        return None;
    }
    let mut cookies = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        let length = usize::from(u16::from_be_bytes(*rest.array()?));
        cookies.push(CookieOctets::from_octets(rest.take(length)?).ok()?);
    }
    let number = roots.number(is_named, &file);
    Some(number.map(|roots| SavedAssociation {
        server,
        roots,
        address,
        at,
        named,
        algorithm,
        keys,
        cookies,
        made,
        valid_until,
        operator,
    }))
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn time(&mut self) -> Option<WallTime> {
        WallTime::try_new(i64::from_be_bytes(*self.array()?)).ok()
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn octet(&mut self) -> Option<u8> {
        self.array::<1>().map(|[octet]| *octet)
    }

    fn short(&mut self) -> Option<&'a [u8]> {
        let length = self.octet()?;
        self.take(usize::from(length))
    }

    fn address(&mut self) -> Option<Address> {
        let address: SocketAddr = match self.octet()? {
            4 => {
                let ip = Ipv4Addr::from(*self.array::<4>()?);
                SocketAddr::new(ip.into(), u16::from_be_bytes(*self.array()?))
            }
            6 => {
                let ip = Ipv6Addr::from(*self.array::<16>()?);
                let scope = u32::from_be_bytes(*self.array()?);
                SocketAddrV6::new(ip, u16::from_be_bytes(*self.array()?), 0, scope).into()
            }
            _ => return None,
        };
        Some(address.into())
    }
}
