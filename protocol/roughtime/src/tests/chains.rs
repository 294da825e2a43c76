//! Rounds and anchors.

use super::NOW;
use crate::double::{Answer, Server};
use crate::{Fault, Signed, Version, first_nonce, next_nonce, verify_anchor, verify_chain};
use ipc::anchor::{Anchor, Exchange};
use ipc::audit_line::End;
use ipc::units::WallTime;
use std::vec::Vec;

fn anchor() -> Anchor {
    let mut anchor = Anchor {
        sequence: 0,
        wall: WallTime::MIN,
        audit: End { lines: 4, hash: [1; 32] },
        history: End { lines: 5, hash: [2; 32] },
        random: [3; 32],
        exchanges: Vec::new(),
    };
    let mut nonce = first_nonce(&anchor.commitment());
    let mut rand = [0; 32];
    for turn in 0..6u8 {
        let server = Server::new(turn % 3);
        let version = if turn % 3 == 1 { Version::Draft } else { Version::One };
        let response = server.answer(&nonce, &Answer::of(time(turn), version));
        let next = [turn + 1; 32];
        nonce = next_nonce(&response, &next);
        let public_key = server.public_key();
        anchor.exchanges.push(Exchange { public_key, rand, version: version.number(), response });
        rand = next;
    }
    anchor
}

fn time(turn: u8) -> Signed {
    Signed { midpoint: NOW.midpoint + u64::from(turn), ..NOW }
}

#[test]
fn each_answer_of_an_anchor_is_valid_after_it_was_kept_and_read_again() {
    let anchor = anchor();
    let kept = Anchor::decode(&anchor.encode().unwrap()).unwrap();
    assert_eq!(verify_anchor(&kept), Vec::from_iter((0..6).map(|turn| Ok(time(turn)))));
}

#[test]
fn other_ends_or_other_random_octets_are_not_what_was_signed() {
    let good = anchor();
    let changes: [fn(&mut Anchor); 5] = [
        |anchor| anchor.audit.lines += 1,
        |anchor| anchor.audit.hash[0] ^= 1,
        |anchor| anchor.history.lines += 1,
        |anchor| anchor.history.hash[31] ^= 1,
        |anchor| anchor.random[7] ^= 1,
    ];
    for change in changes {
        let mut changed = good.clone();
        change(&mut changed);
        let verified = verify_anchor(&changed);
        assert_eq!(verified[0], Err(Fault::Nonce));
        // Those behind depend on the octets of the first answer: they say when it was there, and nothing of the ends.
        assert_eq!(verified[1..], verify_anchor(&good)[1..]);
    }
}

#[test]
fn an_answer_that_was_changed_breaks_itself_and_the_one_behind_it() {
    let good = anchor();
    let mut changed = good.clone();
    changed.exchanges[2].response[100] ^= 1;
    let verified = verify_anchor(&changed);
    assert!(verified[2].is_err(), "{verified:?}");
    assert_eq!(verified[3], Err(Fault::Nonce));
    assert!([0, 1, 4, 5].iter().all(|at| verified[*at].is_ok()), "{verified:?}");
    let mut swapped = good.clone();
    swapped.exchanges.swap(1, 4);
    assert!(verify_anchor(&swapped)[1..].iter().filter(|one| one.is_err()).count() >= 4);
    let mut unknown = good;
    unknown.exchanges[5].version = 7;
    assert_eq!(verify_anchor(&unknown)[5], Err(Fault::UnknownVersion(7)));
    assert!(verify_chain(&[0; 32], &[]).is_empty());
}
