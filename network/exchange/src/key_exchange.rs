//! A child's work for a key exchange: from the server's addresses to keys and cookies (RFC 8915 section 4).

use super::connect::connect_to_any;
use super::lookup;
use super::roots::{RootFiles, Roots};
use super::session::Session;
use ipc::address::Address;
use ipc::message::exchange::{
    Addresses, AssociationKeys, Cookie, Exchange, ExchangeFailed, ExchangeFailure, Exchanged, Families,
    FromExchange, HostName, KeyServer, LookupFailure, Validity,
};
use ipc::packet::CookieOctets;
use protocol::nts::aead::Exporter;
use protocol::nts::ke_request::{MAX_ENCODED, encode_request_denying};
use protocol::nts::ke_response::{Response, ResponseError};
use protocol::nts::server_name::ServerName;
use std::net::{IpAddr, SocketAddr};

/// Exchanges keys; returns all messages to be sent, in order. `known`: the addresses of the server's name. `families`: those
/// of another name that the server gives.
pub(super) fn exchange_keys(
    exchange: &Exchange,
    known: Option<Addresses>,
    families: Families,
    files: &RootFiles,
) -> Vec<FromExchange> {
    attempt(exchange, known, families, files).unwrap_or_else(|reason| {
        vec![FromExchange::ExchangeFailed(ExchangeFailed { id: exchange.id, reason })]
    })
}

fn attempt(
    exchange: &Exchange,
    known: Option<Addresses>,
    families: Families,
    files: &RootFiles,
) -> Result<Vec<FromExchange>, ExchangeFailure> {
    let roots = files.path(exchange.roots).map(Roots::read).and_then(Result::ok);
    let roots = roots.ok_or(ExchangeFailure::NoRoots)?;
    let addresses = addresses_of(exchange, known);
    let (stream, peer) = connect_to_any(&addresses, exchange.turn, &exchange.departure)?;

    let offer = exchange.offer;
    let mut request = [0; MAX_ENCODED];
    let length = encode_request_denying(offer, exchange.denied.iter(), &mut request)
        .map_err(|_| ExchangeFailure::Tls)?;
    let session = Session::open(&stream, exchange, roots, request.get(..length).unwrap_or_default())?;
    let response = Response::decode(&session.message, offer, peer.ip()).map_err(reason)?;

    let keys = session.keys(response.algorithm, response.exporter)?;
    // A server that does not know record 1024 means the other keys.
    let alternate = match response.exporter {
        Exporter::Legacy => Some(session.keys(response.algorithm, Exporter::Standard)?),
        Exporter::Standard => None,
    };
    let addresses = time_servers(&response, peer, families)?;
    let keys = AssociationKeys::new(response.algorithm, keys, alternate)
        .map_err(|_| ExchangeFailure::BadResponse)?;
    let id = exchange.id;
    let cookies = response.cookies().filter_map(|octets| CookieOctets::from_octets(octets).ok());
    let mut said: Vec<FromExchange> =
        cookies.map(|octets| FromExchange::Cookie(Cookie { id, octets })).collect();
    let (from, until) = session.verdict.validity.wall_times();
    let validity = Validity::new(from, until).map_err(|_| ExchangeFailure::BadCertificate)?;
    said.push(FromExchange::Exchanged(Exchanged {
        id,
        keys,
        cookies: u8::try_from(said.len()).unwrap_or(u8::MAX),
        addresses,
        redirected: response.server.is_some(),
        named: response.server.and_then(named),
        validity,
        deferred: session.verdict.deferred,
        operator: session.verdict.operator,
    }));
    Ok(said)
}

/// How a server is named, so that another key exchange can ask not to be sent to it.
fn named(server: ServerName<'_>) -> Option<HostName> {
    match server {
        ServerName::Host(name) => HostName::parse(name).ok(),
        ServerName::Address(IpAddr::V4(ip)) => HostName::parse(&ip.to_string()).ok(),
        ServerName::Address(IpAddr::V6(_)) => None,
    }
}

fn addresses_of(exchange: &Exchange, known: Option<Addresses>) -> Vec<SocketAddr> {
    match (exchange.server, exchange.at) {
        (KeyServer::Name(_), Some(at)) => vec![at.socket_address()],
        (KeyServer::Name(_), None) => {
            known.iter().flat_map(|known| known.iter()).map(Address::socket_address).collect()
        }
        (KeyServer::Address(address), _) => {
            let mut address = address.socket_address();
            address.set_port(exchange.port);
            vec![address]
        }
    }
}

/// The server to ask for the time. Only a server on this host may refer us to this host.
fn time_servers(
    response: &Response<'_>,
    peer: SocketAddr,
    families: Families,
) -> Result<Addresses, ExchangeFailure> {
    let single = match response.server {
        None => SocketAddr::new(peer.ip(), response.port),
        Some(ServerName::Address(ip)) => SocketAddr::new(ip, response.port),
        Some(ServerName::Host(name)) => {
            let is_near = peer.ip().to_canonical().is_loopback();
            let may_be_asked = |ip: IpAddr| match ip {
                _ if ip.is_loopback() => is_near,
                IpAddr::V4(_) => true,
                IpAddr::V6(v6) => !v6.is_unicast_link_local(),
            };
            return lookup::addresses(name, response.port, families, may_be_asked).map_err(|failure| {
                match failure {
                    LookupFailure::NoSuchName | LookupFailure::NoAddress => ExchangeFailure::BadServer,
                    other => ExchangeFailure::Lookup(other),
                }
            });
        }
    };
    let single = Address::from(match (single, peer) {
        // A link-local address includes its scope.
        (SocketAddr::V6(mut v6), SocketAddr::V6(peer)) if v6.ip() == peer.ip() => {
            v6.set_scope_id(peer.scope_id());
            SocketAddr::V6(v6)
        }
        (single, _) => single,
    });
    match families.admits(single.ip()) {
        true => Addresses::new([single]).map_err(|_| ExchangeFailure::BadServer),
        false => Err(ExchangeFailure::BadServer),
    }
}

fn reason(error: ResponseError) -> ExchangeFailure {
    match error {
        ResponseError::Refused(code) => ExchangeFailure::ServerError(code.number()),
        ResponseError::NoProtocol | ResponseError::NoAlgorithm => ExchangeFailure::NothingInCommon,
        ResponseError::Server(_) | ResponseError::Port => ExchangeFailure::BadServer,
        _ => ExchangeFailure::BadResponse,
    }
}

#[cfg(test)]
mod tests;
