//! The list of leap seconds beside what sources say, and TAI.

use super::world::*;
use crate::notice::{EntryNotice, ListNotice, Notice, SystemNotice};
use crate::status::ListState;
use ipc::message::privileged::Refusal;
use ipc::units::Leap;
use protocol::leap_list::LeapList;
use std::boxed::Box;
use std::vec::Vec;

const DAY: i64 = 86_400;
/// 2027-06-30 12:00:00 UTC.
const NOON: i64 = 1_814_356_800;
const MIDNIGHT: i64 = NOON + DAY / 2;
/// 2027-01-01.
const NEW_YEAR: i64 = 1_798_761_600;

/// All leap seconds until 2017.
const KNOWN: &str = include_str!("../../../../protocol/src/leap_list/published.list");

/// A list that was written so many days before that noon and ends so many days after it.
fn list(written: i64, ends: i64, more: &[(i64, u8)]) -> LeapList {
    let mut entries = LeapList::parse(KNOWN).unwrap().entries().to_vec();
    entries.extend(more);
    LeapList::try_new(NOON - written * DAY, NOON + ends * DAY, &entries).unwrap()
}

/// A world at that noon, with this list, in which so many of four sources announce an inserted second.
fn world(list: Option<LeapList>, announcing: usize) -> World {
    let noon = (NOON * SECOND - BEGIN) as f64 * 1e-9;
    let mut setup = Setup::of(lan(4));
    setup.error = noon;
    for (n, server) in setup.servers.iter_mut().enumerate() {
        server.error = noon;
        if n < announcing {
            server.edit = Some(Box::new(|header| header.leap = Leap::Insert));
        }
    }
    let mut world = setup.start();
    world.alter(|engine, now| engine.change_leap_list(now, list));
    world.run(900.0);
    world
}

fn armed(world: &World) -> Leap {
    let (told, served) = (world.statuses.last().unwrap().leap, world.served.last().unwrap().leap);
    assert_eq!(told, served);
    told
}

/// Names of the sources that were said to announce what the list does not have.
fn denied(world: &World) -> Vec<&str> {
    let names = world.notices.iter().filter_map(|notice| match notice {
        Notice::Entry(name, EntryNotice::LeapNotListed) => Some(name.as_str()),
        _ => None,
    });
    names.collect()
}

fn count(world: &World, wanted: SystemNotice) -> usize {
    world.notices.iter().filter(|notice| **notice == Notice::System(wanted)).count()
}

#[test]
fn a239_a_leap_second_that_the_list_does_not_have_is_armed_by_no_majority_and_told_by_name() {
    let mut world = world(Some(list(100, 181, &[])), 4);
    assert_eq!(armed(&world), Leap::None);
    let mut names = denied(&world);
    names.sort_unstable();
    names.dedup();
    assert_eq!((names.len(), denied(&world).len()), (4, 4), "once each");
    world.run(3_600.0);
    assert_eq!(denied(&world).len(), 4);
    // Without a list the same majority arms it.
    let mut without = self::world(None, 4);
    assert_eq!(armed(&without), Leap::Insert);
    assert_eq!(denied(&without).len(), 0);
    // A list that comes takes it back.
    without.alter(|engine, now| engine.change_leap_list(now, Some(list(100, 181, &[]))));
    without.run(300.0);
    assert_eq!(armed(&without), Leap::None);
}

#[test]
fn a239_a_leap_second_of_the_list_is_armed_whoever_announces_it() {
    for announcing in [0, 1, 4] {
        let world = world(Some(list(100, 181, &[(MIDNIGHT, 38)])), announcing);
        assert_eq!(armed(&world), Leap::Insert, "{announcing}");
        assert_eq!(count(&world, SystemNotice::LeapByList), usize::from(announcing == 0));
        assert!(denied(&world).is_empty());
    }
    // One of the other kind is not the list's.
    let world = world(Some(list(100, 181, &[(MIDNIGHT, 36)])), 4);
    assert_eq!(armed(&world), Leap::Delete);
    assert_eq!(denied(&world).len(), 4);
}

#[test]
fn a237_a_list_that_has_ended_has_no_vote_and_says_so_until_it_is_renewed() {
    for announcing in [0, 4] {
        // It has one for tonight, but ended yesterday.
        let mut world = world(Some(list(200, -1, &[(MIDNIGHT, 38)])), announcing);
        assert_eq!(armed(&world), if announcing == 4 { Leap::Insert } else { Leap::None });
        assert_eq!(count(&world, SystemNotice::LeapList(ListNotice::Expired)), 1);
        assert!(world.tais.is_empty(), "nor is TAI taken from it");
        assert_eq!(world.status().system.leap_list.unwrap().state, ListState::Expired);
        world.alter(|engine, now| engine.change_leap_list(now, Some(list(10, 181, &[]))));
        world.run(300.0);
        assert_eq!(armed(&world), Leap::None);
        assert_eq!(count(&world, SystemNotice::LeapList(ListNotice::Renewed)), 1);
        assert_eq!(world.tais, [37]);
    }
}

#[test]
fn a_list_that_ends_within_28_days_still_has_a_word_and_is_warned_of() {
    for (days, warned) in [(29, 0), (27, 1), (1, 1)] {
        let world = world(Some(list(200, days, &[(MIDNIGHT, 38)])), 0);
        assert_eq!(armed(&world), Leap::Insert, "{days}");
        let told = |notice: &&Notice| {
            matches!(notice, Notice::System(SystemNotice::LeapList(ListNotice::Ending(_))))
        };
        assert_eq!(world.notices.iter().filter(told).count(), warned, "{days}");
    }
}

#[test]
fn a238_a_list_from_the_future_has_no_vote() {
    let world = world(Some(list(-2, 181, &[(MIDNIGHT, 38)])), 0);
    assert_eq!(armed(&world), Leap::None);
    assert_eq!(count(&world, SystemNotice::LeapList(ListNotice::Future)), 1);
    assert!(world.tais.is_empty());
}

#[test]
fn tai_is_set_once_when_the_clock_is_synchronised_and_again_when_the_list_says_so() {
    let mut world = world(Some(list(100, 181, &[])), 0);
    assert_eq!(world.tais, [37]);
    assert_eq!(world.status().system.tai_offset, Some(37));
    world.run(7_200.0);
    assert_eq!(world.tais, [37], "once");
    // The same as from a list that knows of one leap second more.
    let entries = [(NEW_YEAR, 38)];
    world.alter(|engine, now| engine.change_leap_list(now, Some(list(100, 181, &entries))));
    world.run(300.0);
    assert_eq!(world.tais, [37, 38]);
    assert!(!world.refused.contains(&Refusal::Tai));
}

#[test]
fn without_a_list_tai_is_left_alone() {
    let world = world(None, 4);
    assert!(world.tais.is_empty());
    assert_eq!((world.status().system.tai_offset, world.status().system.leap_list), (None, None));
}
