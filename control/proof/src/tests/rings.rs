//! Given a ring of the audit log, when something is done to its lines, then this is found.

use crate::judged::Judged;
use crate::testing::ring;
use crate::{Fault, Log};
use ipc::audit_line::{self, LENGTH, LINE, ORDERS, Ring, STEPS, TEXT, chain};
use ipc::text::Hex;

/// The first line and how many follow from each other, or what is found first where nothing else is known.
fn verify(octets: &[u8], ring: Ring) -> Result<(u64, usize), Fault> {
    let log = Log::read(octets, ring);
    let judged = Judged::of(&log, None);
    match judged.faults.first() {
        Some(fault) => Err(*fault),
        None => Ok((log.lines.first().map_or(0, |line| line.sequence), log.lines.len())),
    }
}

fn line(slot: usize) -> std::ops::Range<usize> {
    slot * LINE..(slot + 1) * LINE
}

#[test]
fn a_chain_that_was_left_alone_is_whole_at_any_fill() {
    let most = ORDERS.lines;
    for (count, first) in [(0, 0), (1, 0), (2, 0), (most, 0), (most + 1, 1), (2 * most + 5, most + 5)] {
        let kept = usize::try_from(count.min(most)).unwrap();
        assert_eq!(verify(&ring(count), ORDERS), Ok((first, kept)), "{count} records");
    }
}

#[test]
fn a140_an_edited_record_is_found_wherever_it_is() {
    for (count, slot) in [(10, 0), (10, 5), (10, 9), (10_243, 1), (10_243, 4000)] {
        let mut octets = ring(count);
        octets[slot * LINE + 200] ^= 1;
        let sequence = slot as u64 + if slot < 3 && count > 10_240 { 10_240 } else { 0 };
        assert_eq!(verify(&octets, ORDERS), Err(Fault::Hash(sequence)), "{count} records, line {slot}");
    }
}

#[test]
fn a140_a_record_with_a_hash_made_anew_breaks_the_next_one() {
    let mut octets = ring(10);
    let mut text = octets[5 * LINE..5 * LINE + TEXT].to_vec();
    text[300] = b'x';
    let hash = chain(&Log::read(&octets, ORDERS).lines[4].hash, &text);
    octets[5 * LINE..5 * LINE + TEXT].copy_from_slice(&text);
    octets[5 * LINE + TEXT + 6..5 * LINE + LINE - 1].copy_from_slice(Hex(&hash).to_string().as_bytes());
    assert_eq!(verify(&octets, ORDERS), Err(Fault::Hash(6)));
}

#[test]
fn a140_a_record_that_was_taken_out_leaves_a_gap() {
    let mut middle = ring(10);
    middle[line(5)].fill(0);
    assert_eq!(verify(&middle, ORDERS), Err(Fault::Gap(4, 6)));
    let mut start = ring(10);
    start[line(0)].fill(0);
    start[line(1)].fill(0);
    assert_eq!(verify(&start, ORDERS), Err(Fault::Beginning(2)));
    let mut wrapped = ring(10_248);
    wrapped[line(3)].fill(0);
    assert!(
        matches!(verify(&wrapped, ORDERS), Err(Fault::Gap(10_242, 10_244))),
        "{:?}",
        verify(&wrapped, ORDERS)
    );
}

#[test]
fn what_a_power_cut_took_from_a_full_ring_is_no_gap_once_a_start_has_said_so() {
    let torn = |word: &str| {
        let mut octets = vec![0; LENGTH as usize];
        let mut before = [0; 32];
        for sequence in 0..ORDERS.lines + 50 {
            let mut line = [b' '; LINE];
            let text = match sequence == ORDERS.lines + 49 {
                true => format!("sequence={sequence} event=start record=resumed log={word} x"),
                false => format!("sequence={sequence} event=applied x"),
            };
            line[..text.len()].copy_from_slice(text.as_bytes());
            before = audit_line::finish(&mut line, &before);
            let place = ORDERS.place(sequence) as usize;
            octets[place..place + LINE].copy_from_slice(&line);
        }
        // What was cleared behind the end.
        octets[line(50).start..line(60).end].fill(0);
        verify(&octets, ORDERS)
    };
    assert_eq!(torn("torn"), Ok((61, ORDERS.lines as usize - 11)));
    assert_eq!(torn("whole"), Err(Fault::Beginning(61)));
}

#[test]
fn a140_an_edited_step_is_found_in_its_own_ring() {
    let mut octets = ring(10);
    let mut before = [0; 32];
    for sequence in 0..3 {
        let mut line = [b' '; LINE];
        let text = format!("sequence={sequence} event=permitted x");
        line[..text.len()].copy_from_slice(text.as_bytes());
        before = audit_line::finish(&mut line, &before);
        let place = STEPS.place(sequence) as usize;
        octets[place..place + LINE].copy_from_slice(&line);
    }
    assert_eq!((verify(&octets, STEPS), verify(&octets, ORDERS)), (Ok((0, 3)), Ok((0, 10))));
    octets[STEPS.place(1) as usize + 30] ^= 1;
    assert_eq!((verify(&octets, STEPS), verify(&octets, ORDERS)), (Err(Fault::Hash(1)), Ok((0, 10))));
}

#[test]
fn a140_records_in_another_order_are_found() {
    let mut octets = ring(10);
    let (third, fourth) = (octets[line(3)].to_vec(), octets[line(4)].to_vec());
    octets[line(3)].copy_from_slice(&fourth);
    octets[line(4)].copy_from_slice(&third);
    assert_eq!(verify(&octets, ORDERS), Err(Fault::Misplaced(4, 3)));
}

#[test]
fn a_log_that_is_cut_is_found_and_octets_that_are_no_log_are_refused() {
    let mut octets = ring(10);
    octets[7 * LINE + 200..8 * LINE].fill(0);
    assert_eq!(verify(&octets, ORDERS), Err(Fault::Line(7)));
    octets.truncate(7 * LINE);
    assert_eq!(verify(&octets, ORDERS), Err(Fault::Length(7 * LINE)));
    for garbage in [vec![0xff; LENGTH as usize], vec![b'\n'; LENGTH as usize], b"sequence=".repeat(400_000)] {
        assert!(verify(&garbage, ORDERS).is_err());
    }
}
