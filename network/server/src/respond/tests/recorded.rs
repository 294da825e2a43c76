//! Requests with a MAC that somebody has recorded, and sends again under any address.

use super::*;
use crate::limit::TRIED;
use std::net::Ipv4Addr;

fn bench(policy: &ServerPolicy) -> (Bench, Vec<u8>) {
    let own = key(7, MacKind::Aes128, 1);
    let (keys, limiter) = (KeyRing::new(std::slice::from_ref(&own)), Limiter::new(policy));
    (Bench { keys, limiter, ..Bench::new() }, sealed(&minimal(NONCE).encode(), &own, 4))
}

fn from(ip: u32) -> Asked {
    asked(&std::format!("{}:123", Ipv4Addr::from(ip)))
}

#[test]
fn a203_from_ever_other_addresses_of_a_network_it_is_answered_at_the_rate_of_the_network() {
    let policy = ServerPolicy { address_rate: 1, network_rate: 2, kiss: false, ..ServerPolicy::DEFAULT };
    let (mut bench, recorded) = bench(&policy);
    let mut within = |network: u32| {
        let replies =
            (1..255).filter_map(|host| bench.respond(&recorded, &from(network + host), RECEIVE).ok());
        replies.filter(|reply| !reply.is_spared).count()
    };
    assert_eq!([within(0x0a00_0000), within(0x0a00_0100)], [16, 16]);
}

#[test]
fn a203_however_many_are_answered_no_client_with_nts_nor_a_plain_one_is_answered_less_often() {
    let (mut bench, recorded) = bench(&ServerPolicy { total_rate: 100, ..ServerPolicy::DEFAULT });
    let began = bench.now.nanos();
    let mut answered = 0;
    for turn in 0..4_000u32 {
        bench.now = RawInstant::saturating(began + i64::from(turn) * SECOND / 1_000);
        answered += usize::from(bench.respond(&recorded, &from(0x0a00_0001 + (turn << 8)), RECEIVE).is_ok());
    }
    assert!(answered > 1_000, "{answered}");
    let (limiter, mut rng) = (bench.limiter.as_ref().unwrap(), SplitMix64::new());
    let nts =
        (0..128).filter(|_| limiter.judge_association(&[1; 32], bench.now, &mut rng) == Verdict::Within);
    assert_eq!(nts.count(), 128);
    let client = asked(CLIENT).source;
    let plain = (0..128).filter(|_| limiter.judge(&client, bench.now, &mut rng) == Verdict::Within);
    assert_eq!(plain.count(), 128);
}

#[test]
fn a203_wrong_macs_beyond_the_limits_of_an_address_are_tried_up_to_a_budget() {
    let (mut bench, recorded) = bench(&ServerPolicy::DEFAULT);
    let wrong = sealed(&minimal(NONCE).encode(), &key(7, MacKind::Aes128, 2), 4);
    let mut tried = 0;
    for _ in 0..2 * TRIED {
        match bench.respond(&wrong, &asked(CLIENT), RECEIVE) {
            Err(Refusal::Unauthenticated) => tried += 1,
            outcome => assert_eq!(outcome, Err(Refusal::Limited)),
        }
    }
    assert!((TRIED..=TRIED + 256).contains(&tried), "{tried}");
    assert!(bench.respond(&recorded, &from(0x0a00_0001), RECEIVE).is_ok(), "others have room of their own");
    bench.now = at(1_002);
    assert!(bench.respond(&recorded, &asked(CLIENT), RECEIVE).is_ok(), "the budget runs full again");
}
