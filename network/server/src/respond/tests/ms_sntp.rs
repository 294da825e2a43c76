//! Requests of clients of an Active Directory domain.

use super::*;
use protocol::ms_sntp::signed;

fn request(first: u8, account: u32) -> Vec<u8> {
    let mut header = minimal(NONCE).encode();
    header[0] = first;
    signed(&header, account, &[0; 16]).to_vec()
}

/// A server's answer to one request.
fn ask(bench: &mut Bench, request: &[u8]) -> Result<Reply, Refusal> {
    bench.respond(request, &asked(CLIENT), RECEIVE)
}

fn bench(signs: bool) -> Bench {
    Bench { signs, ..Bench::new() }
}

#[test]
fn a_client_of_a_domain_is_answered_for_its_account_where_there_is_somebody_who_signs_and_else_not() {
    for (first, mode) in [(0x1b, 4), (0x19, 2)] {
        let reply = ask(&mut bench(true), &request(first, 1105)).unwrap();
        assert_eq!((reply.account, reply.kind, reply.key), (Some(1105), ReplyKind::Basic, None));
        assert_eq!((reply.octets[0] & 7, reply.octets[0] >> 3 & 7, reply.departure), (mode, 3, None));
        assert_eq!(ask(&mut bench(false), &request(first, 1105)), Err(Refusal::Unauthenticated));
    }
}

#[test]
fn other_versions_lengths_and_digests_are_judged_as_ever() {
    let mut whole = request(0x1b, 1105);
    assert_eq!(ask(&mut bench(true), &whole[..48]).unwrap().account, None);
    assert_eq!(ask(&mut bench(true), &request(0x23, 1105)), Err(Refusal::Unauthenticated));
    let extended = [&whole[..48], &[0; 72]].concat();
    assert_eq!(ask(&mut bench(true), &extended), Err(Refusal::Unauthenticated));
    whole[67] = 1;
    assert_eq!(ask(&mut bench(true), &whole), Err(Refusal::Unauthenticated));
    // Modes 6 and 7, replies and broadcasts.
    for mode in [0, 2, 4, 5, 6, 7] {
        assert!(ask(&mut bench(true), &request(0x18 | mode, 1105)).is_err(), "{mode}");
    }
}

#[test]
fn what_is_to_be_signed_is_never_interleaved_and_a_kiss_is_not_signed() {
    let mut bench = bench(true);
    let name = bench.departures.name(RECEIVE.bits() | 1, asked(CLIENT).source.ip);
    bench.departures.put(name, 42, 1);
    let mut interleaved = request(0x1b, 1105);
    interleaved[24..32].copy_from_slice(&(RECEIVE.bits() | 1).to_be_bytes());
    interleaved[32..40].copy_from_slice(&[7; 8]);
    assert_eq!(ask(&mut bench, &interleaved).unwrap().kind, ReplyKind::Basic);
    bench.limiter = Limiter::new(&ServerPolicy { address_rate: 1, network_rate: 1, ..ServerPolicy::DEFAULT });
    let kiss = (0..1_000)
        .find_map(|_| ask(&mut bench, &request(0x1b, 1105)).ok().filter(|it| it.kind == ReplyKind::Kiss));
    assert_eq!(kiss.unwrap().account, None);
}
