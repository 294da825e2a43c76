//! Records with a right checksum that no governor has written: one is refused as damaged, or the governor works with it.

use super::*;
use hmac_sha256::Hash;
use ipc::governor_record::{MEANS, SLOT};
use proptest::prelude::*;

const CHECK: usize = SLOT - 32;

/// Octets of a record with these parts replaced, and the checksum that belongs to them.
fn forged(edits: &[(usize, Vec<u8>)]) -> [u8; SLOT] {
    let mut record = Record::born(BOOT, BootInstant::MIN);
    record.sequence = 7;
    // Each part that may be missing is there, so that its octets are read.
    record.first_change = Some(BootInstant::MIN);
    record.run_step_age = Some(Span::ZERO);
    record.leap_at = Some(WallTime::MIN);
    record.kept = Some(WallTime::MIN);
    record.approved_used = Some(Span::ZERO);
    let mut slot = record.to_octets();
    for (at, octets) in edits {
        slot[*at..*at + octets.len()].copy_from_slice(octets);
    }
    let check = Hash::hash(&slot[..CHECK]);
    slot[CHECK..].copy_from_slice(&check);
    slot
}

/// A number at the edge of a range, or any.
fn number() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::sample::select(vec![0, 1, -1, i64::MAX, i64::MIN, 1 << 62, (1 << 62) - 1, 1 << 40])
            .prop_map(|value: i64| value.to_le_bytes().to_vec()),
        prop::array::uniform8(any::<u8>()).prop_map(|octets| octets.to_vec()),
        any::<u8>().prop_map(|octet| vec![octet]),
    ]
}

/// Ten minutes in which everything is tried; at their end the record must be readable at the next start.
fn ten_minutes(record: Record, boot: [u8; 16], profile: Profile) {
    let now = moment(100 * SECOND, today());
    let terms = Terms { approved_step: Some(Span::from_secs(1)), ..terms(profile) };
    let governor = Governor::new(terms, record, boot, now);
    let mut world = World { governor, now, base: Frequency::ZERO };
    let processes = PerProcess::default();
    for minute in 0..10 {
        let welcome = world.governor.welcome(ClockKind::Kernel, &world.now, processes);
        assert!(welcome.floor >= limits::BUILD_TIME && welcome.latest > welcome.floor);
        assert!(world.governor.budget_left() <= limits::of(profile).phase_day);
        for reason in [
            StepReason::Start,
            StepReason::Run,
            StepReason::Restore,
            StepReason::Resume,
            StepReason::Pause,
            StepReason::Forward,
        ] {
            let _ = world.step(reason, (minute - 5) * SECOND / 10);
            world.pass(SECOND);
        }
        let _ = world.status(Leap::Insert, true);
        let _ = world.adjust(10.0 * minute as f64, 400_000 * (minute + 1), 2);
        if minute % 2 == 0 {
            world.governor.not_done();
        }
        world.now.asleep = world.now.asleep.plus(Span::from_secs(minute));
        world.pass(56 * SECOND);
        world.governor.died(&world.now);
    }
    let record = world.governor.record();
    assert_eq!(Record::from_octets(&record.to_octets()).as_ref(), Some(&*record));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn a_record_of_any_octets_is_refused_or_governs_its_first_ten_minutes(
        edits in prop::collection::vec((8usize..CHECK - 8, number()), 0..4),
        same_boot: bool,
        is_strict: bool,
    ) {
        if let Some(record) = Record::from_octets(&forged(&edits)) {
            let profile = if is_strict { Profile::Strict } else { Profile::Standard };
            ten_minutes(record, if same_boot { BOOT } else { [9; 16] }, profile);
        }
    }
}

#[test]
fn each_number_of_a_record_may_be_the_largest_that_its_type_can_hold() {
    let extreme = |sign: i32| Record {
        sequence: u64::MAX,
        boot_time: BootInstant::MAX,
        age: Span::MAX,
        first_change: Some(BootInstant::MAX),
        start_steps: u8::MAX,
        last_good: WallTime::MAX,
        kept: Some(WallTime::MAX),
        kept_for: Span::MAX,
        wall: WallTime::MAX,
        base: Frequency::saturating(sign),
        under_orders: if sign > 0 { Span::MAX } else { Span::ZERO },
        day_time: if sign > 0 { Span::MAX } else { Span::ZERO },
        day_sum: if sign > 0 { FrequencySum::MAX } else { FrequencySum::MIN },
        day_count: u32::MAX,
        means: [Frequency::saturating(-sign); MEANS],
        run_step_age: Some(Span::MAX),
        resumed: [u32::MAX; 25],
        leap_at: Some(WallTime::MAX),
        hours: [u32::MAX; 25],
        days: [u32::MAX; 31],
        approved_used: Some(Span::MAX),
        ..Record::born(BOOT, BootInstant::MIN)
    };
    for record in [extreme(i32::MAX), extreme(i32::MIN + 1)] {
        let read = Record::from_octets(&record.to_octets()).expect("each is in range");
        for (boot, profile) in [(BOOT, Profile::Standard), ([9; 16], Profile::Strict)] {
            ten_minutes(read.clone(), boot, profile);
        }
    }
}
