//! The exchange process with key exchange servers of other implementations: their NTP servers accept its keys.

use bench::nts::{NO_NEWEST_CHRONYD, NO_NTPD_RS, NtsPeer};
use bench::peers::NO_CHRONYD;
use bench::role::Role;
use ipc::aead::{Aead, AeadOffer};
use ipc::message::exchange::{
    Denied, Exchange, ExchangeFailure, ExchangeId, Exchanged, Families, FromExchange, HostName, KeyServer,
    ToExchange,
};
use ipc::process::Process;
use ipc::secret::KeyPair;
use ipc::units::WallTime;
use network::ending::Ending;
use protocol::nts::aead::SessionKeys;
use protocol::nts::client::{Awaited, ProtectedRequest, Reply, read_reply};
use protocol::request::minimal;
use std::time::Duration;

type Parent = Role<ToExchange, FromExchange, Ending>;

/// One exchange with a peer on this host.
fn exchange(peer: &NtsPeer, offer: AeadOffer) -> Result<(Exchanged, Vec<Vec<u8>>), ExchangeFailure> {
    let roots = peer.trust.roots();
    let mut parent = Parent::confined(Process::Exchange, &format!("roots-2={}", roots.display()));
    assert!(matches!(parent.hear(), FromExchange::Hello(_)));
    parent.send(&ToExchange::Exchange(Exchange {
        id: ExchangeId(1),
        server: KeyServer::Name(HostName::parse("localhost").unwrap()),
        port: peer.peer.port,
        roots: 2,
        now: WallTime::saturating(bench::authority::now() * 1_000_000_000),
        not_before: None,
        offer,
        turn: 0,
        at: None,
        denied: Denied::NONE,
        departure: ipc::departure::Departure::USUAL,
        families: Families::Both,
    }));
    let mut cookies = Vec::new();
    loop {
        match parent.next_within(Duration::from_secs(20)).expect("an end") {
            FromExchange::Cookie(cookie) => cookies.push(cookie.octets.octets().to_vec()),
            FromExchange::Exchanged(exchanged) => return Ok((exchanged, cookies)),
            FromExchange::ExchangeFailed(failed) => return Err(failed.reason),
            other => panic!("{other:?}"),
        }
    }
}

/// Whether the server accepts the cookie and its reply opens with these keys.
fn opens_time(exchanged: &Exchanged, pair: &KeyPair, cookie: &[u8]) -> bool {
    let algorithm = exchanged.keys.algorithm();
    let length = algorithm.key_length();
    let (up, down) = (&pair.client_to_server.octets()[..length], &pair.server_to_client.octets()[..length]);
    let keys = SessionKeys::from_octets(algorithm, up, down).unwrap();
    let origin = 0x0123_4567_89ab_cdef;
    let mut packet = [0; 1232];
    let request = ProtectedRequest {
        header: minimal(origin),
        unique_identifier: &[0x5a; 32],
        cookie,
        placeholders: 0,
        key: &keys.client_to_server,
        nonce: &[0xa5; 16],
    };
    let length = request.encode(&mut packet).unwrap();
    let server = exchanged.addresses[0].socket_address();
    let (mut reply, _) =
        bench::client::send(server, &packet[..length], Duration::from_secs(3)).expect("an answer");
    let awaited = Awaited { unique_identifier: &[0x5a; 32], origin, key: &keys.server_to_client };
    match read_reply(&mut reply, &awaited) {
        Ok(Reply::Protected(reply)) => reply.cookies().count() == 1,
        Ok(Reply::Nak) | Err(_) => false,
    }
}

/// Each offer that the peer supports, with the resulting algorithm, gives keys that open its replies.
fn gives_keys(peer: &NtsPeer, offers: &[(AeadOffer, Aead)]) {
    for (offer, algorithm) in offers {
        let (exchanged, cookies) = exchange(peer, *offer).unwrap_or_else(|why| panic!("{offer:?}: {why:?}"));
        assert_eq!(exchanged.keys.algorithm(), *algorithm, "{offer:?}");
        assert_eq!((exchanged.cookies, cookies.len()), (8, 8));
        assert!(exchanged.addresses[0].ip().is_loopback());
        for cookie in &cookies[..2] {
            assert!(opens_time(&exchanged, exchanged.keys.pair(), cookie), "{offer:?}");
        }
    }
}

const SIV: [(AeadOffer, Aead); 2] = [
    (AeadOffer::GCM_SIV_FIRST, Aead::AesSivCmac256),
    (AeadOffer::only(Aead::AesSivCmac256), Aead::AesSivCmac256),
];

#[test]
fn nts_exchange_with_chronyd_of_debian() {
    let Some(peer) = NtsPeer::chronyd("chronyd") else { return bench::skip(NO_CHRONYD) };
    gives_keys(&peer, &SIV);
}

#[test]
fn nts_exchange_with_chronyd_of_today_with_both_algorithms() {
    let Some(peer) = NtsPeer::chronyd("chronyd-newest") else { return bench::skip(NO_NEWEST_CHRONYD) };
    gives_keys(
        &peer,
        &[
            (AeadOffer::GCM_SIV_FIRST, Aead::Aes128GcmSiv),
            (AeadOffer::only(Aead::AesSivCmac256), Aead::AesSivCmac256),
        ],
    );
}

#[test]
fn nts_exchange_with_ntpd_rs() {
    let Some(peer) = NtsPeer::ntpd_rs() else { return bench::skip(NO_NTPD_RS) };
    gives_keys(&peer, &SIV);
    gives_keys(&peer, &[(AeadOffer::only(Aead::AesSivCmac512), Aead::AesSivCmac512)]);
}
