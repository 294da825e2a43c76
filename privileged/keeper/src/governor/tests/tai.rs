//! TAI − UTC.

use super::*;
use ipc::message::privileged::SetTai;

impl World {
    /// As the keeper does: what is granted is done.
    fn tai(&mut self, seconds: u8) -> Result<(), Refusal> {
        let order = SetTai { epoch: self.governor.epoch(), seconds, asked_at: self.now.clock.raw };
        self.governor.judge_tai(&order, &self.now).map_err(|refused| refused.code)?;
        self.now.clock.tai = seconds;
        Ok(())
    }

    /// A second later: every order costs a token.
    fn tai_later(&mut self, seconds: u8) -> Option<Refusal> {
        self.pass(SECOND);
        self.tai(seconds).err()
    }

    fn synchronised() -> Self {
        let mut world = Self::standard();
        world.adjust(0.0, 0, 0).unwrap();
        world.status(Leap::None, true).unwrap();
        world
    }
}

#[test]
fn a134_the_tai_offset_is_plausible_and_known_only_to_a_synchronised_clock() {
    assert_eq!(World::standard().tai(37).err(), Some(Refusal::Unproven));
    for (seconds, refusal) in [
        (0, Some(Refusal::Range)),
        (26, Some(Refusal::Range)),
        (27, OK),
        (37, OK),
        (47, OK),
        (48, Some(Refusal::Range)),
        (255, Some(Refusal::Range)),
    ] {
        assert_eq!(World::synchronised().tai(seconds).err(), refusal, "{seconds}");
    }
    let mut world = World::synchronised();
    world.status(Leap::None, false).unwrap();
    assert_eq!(world.tai_later(37), Some(Refusal::Unproven), "it no longer says that it is");
}

#[test]
fn a240_a_hostile_engine_sets_tai_from_none_and_then_by_a_second_a_few_times_in_a_boot() {
    let mut world = World::synchronised();
    assert_eq!(world.tai_later(40), OK, "the first is any");
    assert_eq!(world.tai_later(40), Some(Refusal::Tai), "no change is no order");
    assert_eq!(world.tai_later(38), Some(Refusal::Tai));
    assert_eq!(world.tai_later(42), Some(Refusal::Tai));
    assert_eq!(world.tai_later(39), OK);
    // Another program takes it away, as an engine could have it done.
    world.now.clock.tai = 0;
    assert_eq!(world.tai_later(37), OK);
    assert_eq!(world.tai_later(38), OK);
    for seconds in [37, 39] {
        assert_eq!(world.tai_later(seconds), Some(Refusal::Tai), "four in a boot");
    }
    // A restart of the daemon gives none back; a new boot does.
    for (boot, refusal) in [(BOOT, Some(Refusal::Tai)), ([9; 16], OK)] {
        world.restart(boot, Profile::Standard);
        world.adjust(0.0, 0, 0).unwrap();
        world.status(Leap::None, true).unwrap();
        assert_eq!(world.tai_later(37), refusal, "{boot:?}");
    }
}

#[test]
fn a240_an_order_of_tai_passes_the_rows_of_all_orders() {
    let mut world = World::synchronised();
    let order = SetTai { epoch: world.governor.epoch(), seconds: 37, asked_at: world.now.clock.raw };
    let judge = |world: &mut World, order: SetTai| {
        world.governor.judge_tai(&order, &world.now).err().map(|refused| refused.code)
    };
    assert_eq!(judge(&mut world, SetTai { epoch: 0, ..order }), Some(Refusal::StaleEpoch));
    world.pass(3 * SECOND);
    assert_eq!(judge(&mut world, order), Some(Refusal::Stale));
    for _ in 0..8 {
        let _ = judge(&mut world, order);
    }
    assert_eq!(judge(&mut world, order), Some(Refusal::Rate));
    assert_eq!(world.governor.record().tai_changes, 0, "what is refused counts for nothing");
    world.pass(10 * SECOND);
    let order = SetTai { asked_at: world.now.clock.raw, ..order };
    assert_eq!(judge(&mut world, order), OK);
    assert!(world.governor.is_unwritten(), "the record is written before it is done");
}
