//! What the documents say of one moment contradicts nothing else that they say of it.

use super::world::*;
use crate::notice::{Impasse, Notice, SystemNotice};
use crate::status::{SourceReason, SourceStatus, Status, SystemReason};
use ipc::message::client::Silence;
use ipc::message::privileged::Condition;
use ipc::units::Leap;
use proptest::collection::vec;
use proptest::prelude::*;
use report::{SourceState, SystemState};
use std::string::String;
use std::vec::Vec;

/// What does not fit together; none: all of it does.
pub fn contradiction(status: &Status, condition: &Condition) -> Option<String> {
    let Status { system, sources } = status;
    let in_state = |state: SourceState| sources.iter().filter(move |source| source.state() == state);
    let reference: Vec<&SourceStatus> = in_state(SourceState::Selected).collect();
    let used = reference.len() + in_state(SourceState::Combined).count();
    let ensure = |holds: bool, what: &str| (!holds).then(|| std::format!("{what}: {system:?} {sources:?}"));
    let state = system.state();
    let follows = matches!(system.reason, SystemReason::Following { .. });
    let is_of_state = match (system.reason, *condition) {
        (SystemReason::Held(hold), Condition::Held(row)) => hold.refusal == row,
        (SystemReason::Obstructed(obstacle), Condition::Held(row)) => row == Some(obstacle),
        (SystemReason::Local { stratum, .. }, Condition::Local(served)) => stratum == served,
        (SystemReason::NoSources, Condition::NoSources)
        | (SystemReason::Unsteered, Condition::Unsteered)
        | (SystemReason::Unusable { .. }, Condition::Unusable { corrected: None })
        | (
            SystemReason::AwaitingQuorum | SystemReason::Gathering { .. },
            Condition::AwaitingMajority { .. },
        )
        | (SystemReason::Correcting { slewing: None, again: false }, Condition::Setting)
        | (SystemReason::Uncertain { .. }, Condition::Uncertain { .. })
        | (SystemReason::FollowingOrphan { .. }, Condition::Uncertain { .. }) => true,
        (SystemReason::Correcting { slewing, again }, Condition::Correcting { offset }) => {
            let seconds = slewing.map_or(0.0, |slewing| slewing.offset);
            (again || slewing.is_some()) && (offset.nanos() as f64 * 1e-9 - seconds).abs() <= 0.5
        }
        (SystemReason::NoMajority(found), Condition::Disagreeing { .. }) => {
            found.impasse == Impasse::NoMajority
        }
        (SystemReason::NoMajority(found), Condition::AwaitingMajority { .. }) => {
            found.impasse == Impasse::NoQuorum
        }
        (SystemReason::NoReplies(asked), condition) if asked.unusable > 0 => {
            condition == Condition::Unusable { corrected: None }
        }
        (SystemReason::NoReplies(_), condition) => matches!(
            condition,
            Condition::AwaitingReplies { .. }
                | Condition::AwaitingNames { .. }
                | Condition::AwaitingKeys { .. }
        ),
        (SystemReason::Holdover(found), condition) => {
            let answered = sources.iter().any(|source| source.reach != 0);
            match condition {
                Condition::Unreachable { .. } => found.impasse != Impasse::Silent || !answered,
                Condition::Insufficient { .. } | Condition::Unusable { corrected: Some(_) } => true,
                _ => false,
            }
        }
        (SystemReason::Following { used, .. }, Condition::Synchronised { used: told, stratum, .. }) => {
            used == told as usize && stratum == system.stratum
        }
        _ => false,
    };
    let of_system = [
        ensure(is_of_state, "the service manager is told something else"),
        ensure(follows == (state == SystemState::Synchronised), "the state is not that of its reason"),
        ensure(!follows || system.synchronised, "it follows, and is not synchronised"),
        ensure(state != SystemState::Refused || !system.synchronised, "held, and synchronised"),
        ensure(
            system.synchronised || (system.stratum == 16 && system.leap == Leap::Unknown),
            "not synchronised, with a stratum or a leap indicator",
        ),
        ensure(system.last_update_s.is_some() || !system.synchronised, "synchronised by no correction"),
        ensure(reference.len() <= 1, "two references"),
        ensure(
            reference.iter().all(|source| system.reference.as_ref() == Some(&source.name)),
            "another reference",
        ),
        ensure(
            used == 0
                || !matches!(state, SystemState::NoMajority | SystemState::Holdover | SystemState::NoSources),
            "sources are used by a clock that follows none",
        ),
        ensure(
            match system.reason {
                SystemReason::Following { used: told, of, .. } => told == used && told <= of && used > 0,
                _ => true,
            },
            "another number of sources is used",
        ),
        ensure(
            in_state(SourceState::NoMajority).count() == 0 || reference.is_empty(),
            "no majority, and a reference",
        ),
    ];
    let of_source = sources
        .iter()
        .map(|source| contradiction_of_source(source).map(|what| std::format!("{what}: {source:?}")));
    of_system.into_iter().chain(of_source).flatten().next()
}

fn contradiction_of_source(source: &SourceStatus) -> Option<&'static str> {
    let known = [source.offset_error_s, source.jitter_s, source.root_distance_s].map(|field| field.is_some());
    let state = source.state();
    let (is_used, is_silent) = (
        matches!(state, SourceState::Selected | SourceState::Combined),
        matches!(source.reason, SourceReason::Silent { .. } | SourceReason::NeverReplied { .. }),
    );
    let rejected: u64 = source.rejected.values().sum();
    let of_offset = match source.reason {
        SourceReason::NoMajority { offset } | SourceReason::Falseticker { offset, .. } => {
            source.offset_s == Some(offset)
        }
        _ => true,
    };
    [
        (known == [source.offset_s.is_some(); 3], "a part of an estimate"),
        (source.delay_s.is_none() || source.offset_s.is_some(), "a delay without an estimate"),
        (source.offset_s.is_none() || source.valid > 0, "an estimate from no reply"),
        ((source.valid > 0) == source.last_valid_s.is_some(), "no last reply"),
        (!is_used || source.offset_s.is_some(), "used without an estimate"),
        (!is_silent || source.reach == 0, "silent with replies"),
        (!is_used || source.valid > 0, "used without a reply"),
        (of_offset, "another offset in the reason"),
        (
            source.address.is_some() || (source.sent, source.valid, rejected) == (0, 0, 0),
            "asked without an address",
        ),
        (source.reach.count_ones() as u64 <= source.valid + rejected, "more reached than replied"),
    ]
    .into_iter()
    .find_map(|(holds, what)| (!holds).then_some(what))
}

/// Something that happens to a host.
#[derive(Clone, Copy, Debug)]
enum Chance {
    /// A server dies or comes back.
    Toggle(usize),
    /// It lies by so many seconds, or ceases to.
    Lie(usize, i8),
    /// It says that it is unsynchronised, or ceases to.
    Unsure(usize, bool),
    /// Somebody else sets the clock forward by so many seconds.
    Step(i16),
    /// The host sleeps for so many seconds.
    Sleep(u16),
    /// Queries fail at once, or do so no longer.
    Obstacle(usize, bool),
    /// A server answers with this kiss code, or none.
    Kiss(usize, Option<[u8; 4]>),
}

fn chance() -> impl Strategy<Value = Chance> {
    prop_oneof![
        4 => (0usize..4).prop_map(Chance::Toggle),
        2 => (0usize..4, any::<i8>()).prop_map(|(n, by)| Chance::Lie(n, by)),
        1 => (0usize..4, any::<bool>()).prop_map(|(n, is)| Chance::Unsure(n, is)),
        2 => any::<i16>().prop_map(Chance::Step),
        1 => (1u16..20_000).prop_map(Chance::Sleep),
        1 => (0usize..4, any::<bool>()).prop_map(|(n, is)| Chance::Obstacle(n, is)),
        2 => (0usize..4, prop_oneof![
            Just(None),
            prop_oneof![Just(*b"INIT"), Just(*b"RATE"), Just(*b"DENY"), any::<[u8; 4]>()].prop_map(Some),
        ])
            .prop_map(|(n, code)| Chance::Kiss(n, code)),
    ]
}

impl Chance {
    fn happen(self, world: &mut World) {
        match self {
            Self::Toggle(n) => world.servers[n].up = !world.servers[n].up,
            Self::Lie(n, by) => world.servers[n].error = f64::from(by) * 60.0,
            Self::Unsure(n, is) => {
                world.servers[n].edit =
                    is.then(|| -> Edit { std::boxed::Box::new(|header| header.stratum = 16) });
            }
            Self::Step(by) => world.meddle(f64::from(by)),
            Self::Sleep(seconds) => world.sleep(i64::from(seconds)),
            Self::Kiss(n, code) => {
                let code = code.map(u32::from_be_bytes);
                world.servers[n].edit = code.map(|code| -> Edit {
                    std::boxed::Box::new(move |header| (header.stratum, header.reference_id) = (0, code))
                });
            }
            Self::Obstacle(n, is) => {
                world.servers[n].obstacle = is.then_some(Silence::PortUnreachable);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn whatever_happens_to_a_host_its_documents_never_contradict_themselves(
        chances in vec((chance(), 1u16..900), 1..12),
        minimum in 1u8..3,
        strict: bool,
        error in -3000i32..3000,
    ) {
        let mut setup = Setup { error: f64::from(error), ..Setup::of(lan(4)) };
        setup.settings.clock.minimum_sources = minimum;
        setup.settings.strict_quorum = strict;
        let mut world = setup.start();
        let mut followed = false;
        for (chance, seconds) in [(Chance::Toggle(0), 1)].into_iter().chain(chances) {
            chance.happen(&mut world);
            // Often at first, when much is under way.
            let mut left = f64::from(seconds);
            while left > 0.0 {
                let step = if left > f64::from(seconds) - 5.0 { 0.11 } else { 7.3 };
                world.run(step);
                left -= step;
                let status = world.status();
                prop_assert_eq!(contradiction(&status, &world.condition()), None);
                followed |= world.notices.contains(&Notice::System(SystemNotice::Following));
                prop_assert!(!followed || status.system.state() != SystemState::Starting, "{:?}", status.system);
                if let Some(found) = wrong_offset(&world, &status) {
                    return Err(TestCaseError::fail(found));
                }
            }
        }
    }
}

/// An offset that is none of the clock as it is now: of before a step, or of before a sleep.
fn wrong_offset(world: &World, status: &Status) -> Option<String> {
    let truthful = status.sources.iter().zip(&world.servers).filter(|(_, server)| server.error == 0.0);
    for (source, _) in truthful {
        let (Some(offset), Some(distance)) = (source.offset_s, source.root_distance_s) else { continue };
        // Where it lied before, or was measured across a step, it may need some replies more.
        let is_sure = matches!(source.state(), SourceState::Selected | SourceState::Combined);
        if is_sure && (offset + world.error()).abs() > distance + 1e-3 {
            return Some(std::format!("{offset} where the clock is {} ahead: {source:?}", world.error()));
        }
    }
    let selected = status.sources.iter().find(|source| source.state() == SourceState::Selected)?;
    let (offset, distance) = (selected.offset_s?, selected.root_distance_s?);
    let system = &status.system;
    let apart = (offset - system.offset_s).abs();
    (apart > distance + system.error_bound_s + 1e-3)
        .then(|| std::format!("{} beside {offset} of the reference: {status:?}", system.offset_s))
}
