//! What a child of the exchange process finds in its own memory, which is a copy of its parent's.

use bench::role::Role;
use exchange::{Work, run};
use ipc::aead::{Aead, AeadOffer};
use ipc::message::Shortfall;
use ipc::message::exchange::{
    Addresses, AssociationKeys, Cookie, Denied, Exchange, ExchangeId, Exchanged, Families, FromExchange,
    HostName, KeyServer, MAX_COOKIES, Resolve, Resolved, ToExchange, Validity,
};
use ipc::packet::CookieOctets;
use ipc::secret::{KeyPair, Secret};
use ipc::units::{Span, WallTime};
use ipc_link::Link;
use network::ending::Ending;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

type Answer = Link<FromExchange, ToExchange>;

/// The only part of the secrets in the program's text; only the functions that make them combine the parts.
const HALF: [u8; 32] = *b"half of a secret, of 32 octets..";
const OTHER: u8 = 0xa5;

fn secret() -> Secret {
    Secret::of(&HALF.map(|octet| octet ^ OTHER)).unwrap()
}

/// This many of them.
fn addresses(count: usize) -> Addresses {
    let address = "192.0.2.1:123".parse::<std::net::SocketAddr>().unwrap();
    Addresses::new(vec![address.into(); count]).unwrap()
}

/// How often the secret occurs in this process's memory.
fn traces() -> usize {
    const PIECE: usize = 1 << 16;
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let memory = File::open("/proc/self/mem").unwrap();
    let mut piece = vec![0; PIECE];
    let mut found = 0;
    for line in maps.lines().filter(|line| line.contains(" rw") && !line.contains("[v")) {
        let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let [from, to] = [from, to].map(|number| u64::from_str_radix(number, 16).unwrap());
        let mut at = from;
        while at < to {
            let length = PIECE.min((to - at) as usize);
            let Ok(read) = memory.read_at(&mut piece[..length], at) else { break };
            let is_it = |part: &[u8]| part.iter().zip(HALF).all(|(octet, half)| *octet ^ OTHER == half);
            let hits = piece[..read].windows(32).filter(|part| is_it(part)).count();
            found += hits;
            // This buffer must not be found when its own turn comes.
            piece.fill(0);
            at += read as u64 - if read == PIECE { 32 } else { 0 };
        }
    }
    found
}

fn exchange_keys(exchange: &Exchange, mut result: Answer) {
    let octets = CookieOctets::from_octets(&[7; 100]).unwrap();
    let pair = KeyPair { client_to_server: secret(), server_to_client: secret() };
    for _ in 0..MAX_COOKIES {
        let _ = result.send(&FromExchange::Cookie(Cookie { id: exchange.id, octets }));
    }
    let _ = result.send(&FromExchange::Exchanged(Exchanged {
        id: exchange.id,
        keys: AssociationKeys::new(Aead::AesSivCmac256, pair, None).unwrap(),
        cookies: MAX_COOKIES,
        addresses: addresses(1),
        redirected: false,
        named: None,
        validity: Validity::new(WallTime::saturating(0), WallTime::saturating(1 << 60)).unwrap(),
        deferred: false,
        operator: ipc::message::exchange::Operator::NONE,
    }));
}

/// How often a child that is started after an exchange finds its keys; the engine reads slowly, or has room for all.
fn traces_after_an_exchange(has_room: bool) -> usize {
    let begun = std::env::temp_dir().join(format!("truechimer-secrets-{}-{has_room}", std::process::id()));
    let sign = begun.clone();
    let mut exchange = Role::<ToExchange, FromExchange, Ending>::in_thread(move |link| {
        if !has_room {
            setsockopt(&link, sockopt::SndBuf, &4_608).unwrap();
        }
        let body = move |task: &ToExchange, mut result: Answer| match task {
            ToExchange::Exchange(exchange) => exchange_keys(exchange, result),
            ToExchange::Measure(_) | ToExchange::Ping => panic!("a child is started for nothing"),
            ToExchange::Resolve(resolve) => {
                File::create(&sign).unwrap();
                let (id, addresses) = (resolve.id, addresses(1 + traces().min(15)));
                let _ = result.send(&FromExchange::Resolved(Resolved { id, addresses }));
            }
        };
        run(link, Shortfall::NONE, Work::other(body, Span::from_millis(8_000)))
    });
    assert!(matches!(exchange.hear(), FromExchange::Hello(_)));
    let name = HostName::parse("a.example").unwrap();
    exchange.send(&ToExchange::Exchange(Exchange {
        id: ExchangeId(1),
        server: KeyServer::Address(addresses(1)[0]),
        port: 4460,
        roots: 0,
        now: WallTime::saturating(1 << 50),
        not_before: None,
        offer: AeadOffer::only(Aead::AesSivCmac256),
        turn: 0,
        at: None,
        denied: Denied::NONE,
        departure: ipc::departure::Departure::USUAL,
        families: Families::Both,
    }));
    // The first of its records is here, so all of them are with the role; the next task finds them there or gone.
    assert_eq!(
        poll(&mut [PollFd::new(exchange.link.as_fd(), PollFlags::POLLIN)], PollTimeout::from(8_000u16)),
        Ok(1)
    );
    exchange.send(&ToExchange::Resolve(Resolve {
        id: ExchangeId(2),
        name,
        port: 123,
        families: Families::Both,
    }));
    let begin = Instant::now();
    let mut cookies = 0;
    while !begun.exists() {
        assert!(begin.elapsed() < Duration::from_secs(8), "no second child");
        // Only cookies: with the keys, this test would bring them into this process itself.
        if begin.elapsed() > Duration::from_millis(500) && cookies < MAX_COOKIES {
            assert!(matches!(exchange.hear(), FromExchange::Cookie(_)));
            cookies += 1;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    std::fs::remove_file(&begun).unwrap();
    for _ in cookies..MAX_COOKIES {
        assert!(matches!(exchange.hear(), FromExchange::Cookie(_)));
    }
    assert!(matches!(exchange.hear(), FromExchange::Exchanged(_)));
    match exchange.hear() {
        FromExchange::Resolved(found) => found.addresses.len() - 1,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a119_a176_a_child_finds_no_keys_of_an_exchange_before_it_in_its_memory() {
    assert_eq!(traces_after_an_exchange(true), 0, "all has been passed on");
    assert_eq!(traces_after_an_exchange(false), 0, "the engine reads slowly");
}
