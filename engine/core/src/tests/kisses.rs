//! Servers that answer with a kiss-o'-death.

use super::world::*;
use crate::notice::{Notice, SourceNotice};
use crate::status::{SourceReason, SystemReason};
use ipc::message::client::Silence;
use ipc::message::privileged::Condition;
use protocol::kiss::KissCode;

fn kissing(code: &[u8; 4]) -> Option<Edit> {
    let code = u32::from_be_bytes(*code);
    Some(std::boxed::Box::new(move |header| (header.stratum, header.reference_id) = (0, code)))
}

fn told(world: &World, code: KissCode) -> usize {
    let is_it =
        |notice: &&Notice| matches!(notice, Notice::Source(_, _, SourceNotice::Kissed(c)) if *c == code);
    world.notices.iter().filter(is_it).count()
}

fn silences(world: &World) -> usize {
    let is_it = |notice: &&Notice| {
        matches!(notice, Notice::Source(_, _, SourceNotice::Silent(..) | SourceNotice::NeverHeard { .. }))
    };
    world.notices.iter().filter(is_it).count()
}

#[test]
fn a_server_that_answers_with_a_kiss_has_answered_whatever_the_code_says() {
    for code in [b"INIT", b"STEP", b"NTSN", b"ACST", b"X\n\x1b\xff"] {
        let known = KissCode::from_reference_id(u32::from_be_bytes(*code));
        let mut servers = lan(1);
        servers[0].edit = kissing(code);
        servers[0].obstacle = Some(Silence::PortUnreachable);
        let mut world = Setup::of(servers).start();
        world.run(60.0);
        assert!(matches!(world.status().sources[0].reason, SourceReason::NeverReplied { .. }));
        world.servers[0].obstacle = None;
        world.run(3600.0);
        let status = world.status();
        assert_eq!(status.sources[0].reason, SourceReason::Kissed(known));
        assert_eq!((status.sources[0].state().name(), status.sources[0].reach), ("unusable", 255));
        let SystemReason::NoReplies(counts) = status.system.reason else {
            panic!("{:?}", status.system.reason)
        };
        assert_eq!((counts.queried, counts.unusable, counts.obstacle), (1, 1, None), "{known}");
        assert_eq!(world.condition(), Condition::Unusable { corrected: None }, "{known}");
        assert_eq!((told(&world, known), silences(&world)), (1, 0), "{known}");
        // It is asked no more rarely for it, and followed as soon as it has the time.
        world.servers[0].edit = None;
        world.run(100.0);
        assert_eq!(world.status().sources[0].state().name(), "selected", "{known}");
        assert!(world.error().abs() < 1e-3, "{known}: {}", world.error());
    }
}

#[test]
fn a_server_that_is_restarting_is_left_out_while_the_others_are_followed() {
    let mut world = Setup::of(lan(3)).start();
    world.run(1800.0);
    world.servers[0].edit = kissing(b"INIT");
    world.run(1100.0);
    let status = world.status();
    assert_eq!(status.sources[0].reason, SourceReason::Kissed(KissCode::Other(*b"INIT")));
    assert_eq!(status.system.state().name(), "synchronised");
    assert_eq!((told(&world, KissCode::Other(*b"INIT")), silences(&world)), (1, 0));
    world.servers[0].edit = None;
    world.run(1100.0);
    assert!(matches!(world.status().sources[0].state().name(), "selected" | "combined"));
}

#[test]
fn a_server_that_only_asks_for_fewer_queries_or_denies_is_not_called_silent() {
    for (code, known) in
        [(b"RATE", KissCode::Rate), (b"DENY", KissCode::Deny), (b"RSTR", KissCode::Restricted)]
    {
        for servers in [1, 3] {
            let mut servers = lan(servers);
            servers[0].edit = kissing(code);
            let mut world = Setup::of(servers).start();
            world.run(6.0 * 3600.0);
            match world.status().sources[0].reason {
                SourceReason::Kissed(found) => assert_eq!((found, known), (KissCode::Rate, KissCode::Rate)),
                SourceReason::Denied { code: found, retry_s: None } => assert_eq!(found, known),
                other => panic!("{known}: {other:?}"),
            }
            assert_eq!((told(&world, known), silences(&world)), (1, 0), "{known}");
            // It does fall silent: that is told, once.
            world.servers[0].up = false;
            world.run(12.0 * 3600.0);
            assert!(silences(&world) <= 1, "{known}");
            assert!(matches!(
                world.status().sources[0].reason,
                SourceReason::NeverReplied { .. } | SourceReason::Denied { .. }
            ));
        }
    }
}

#[test]
fn where_all_deny_the_state_says_that_they_answer_and_where_none_answers_that_none_does() {
    let mut world = Setup::of(lan(3)).start();
    world.run(1800.0);
    world.servers.iter_mut().for_each(|server| server.edit = kissing(b"DENY"));
    world.run(3.0 * 3600.0);
    let SystemReason::Holdover(found) = world.status().system.reason else {
        panic!("{:?}", world.status().system)
    };
    assert!(found.answered && matches!(world.condition(), Condition::Unusable { .. }), "{found:?}");
    world.servers.iter_mut().for_each(|server| server.up = false);
    world.run(12.0 * 3600.0);
    let SystemReason::Holdover(found) = world.status().system.reason else {
        panic!("{:?}", world.status().system)
    };
    assert!(!found.answered && matches!(world.condition(), Condition::Unreachable { .. }), "{found:?}");
}
