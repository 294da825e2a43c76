//! Sources whose certificates show one operator: what is told, and that it changes nothing but in the profile attested.

use super::nts::{nts, started};
use super::world::*;
use crate::notice::{EntryNotice, Kinship, Notice};
use crate::settings::Place;
use ipc::message::exchange::{CertifiedNames, HostName, Operator, Organisation};
use std::vec::Vec;

fn operator(organisation: &str, names: &[&str], fingerprint: u8) -> Operator {
    Operator {
        organisation: Organisation::of(organisation),
        names: CertifiedNames::of(names.iter().map(|name| name.as_bytes())),
        fingerprint: [fingerprint; 32],
    }
}

/// Who was told of, with whom, and by what.
fn told(world: &World) -> Vec<(&str, &[std::string::String], Kinship)> {
    let all = world.notices.iter().filter_map(|notice| match notice {
        Notice::Entry(name, EntryNotice::OneOperator { with, kinship, .. }) => Some((name, with, kinship)),
        _ => None,
    });
    all.map(|(name, with, kinship)| (name.as_str(), with.as_slice(), *kinship)).collect()
}

/// The server's keys are lost, so that they are exchanged again.
fn exchange_again(world: &mut World, at: usize) {
    let before = nts(world, at).exchanges;
    world.servers[at].nts().forgot = true;
    for _ in 0..1_000 {
        world.run(60.0);
        if nts(world, at).exchanges > before {
            world.servers[at].nts().forgot = false;
            return;
        }
    }
    panic!("no key exchange");
}

#[test]
fn sources_of_one_operator_are_told_once_and_no_longer_shown_when_a_renewed_certificate_says_otherwise() {
    let mut servers = nts_lan(4);
    servers[0].nts().operator = operator("Example Ltd", &["nts0.example"], 1);
    servers[1].nts().operator = operator("EXAMPLE LTD", &["nts1.example"], 2);
    servers[2].nts().operator = operator("Example Inc", &["nts2.example"], 3);
    let mut world = started(servers);
    let both = ["nts0.example", "nts1.example"];
    let shown = |world: &World| (0..4).map(|at| nts(world, at).one_operator).collect::<Vec<_>>();
    assert_eq!(told(&world).len(), 1, "{:?}", told(&world));
    assert_eq!(told(&world)[0].2, Kinship::Organisation);
    assert_eq!(shown(&world), [&both[1..], &both[..1], &[], &[]]);
    assert_eq!(world.status().system.one_operator, both);
    assert_eq!(nts(&world, 1).organisation.as_str(), "EXAMPLE LTD");

    // The same certificate is no news, nor is a renewed one that says the same.
    exchange_again(&mut world, 0);
    world.servers[1].nts().operator.fingerprint = [9; 32];
    exchange_again(&mut world, 1);
    assert_eq!((told(&world).len(), shown(&world)[0].len()), (1, 1));

    world.servers[1].nts().operator = operator("Another", &["nts1.example"], 4);
    exchange_again(&mut world, 1);
    assert_eq!(told(&world).len(), 1);
    assert!(shown(&world).iter().all(Vec::is_empty) && world.status().system.one_operator.is_empty());

    // A certificate that is for the names of all, once for all of them.
    world.servers[1].nts().operator = operator("Another", &["*.example"], 5);
    exchange_again(&mut world, 1);
    assert_eq!(told(&world).len(), 2);
    let (name, with, kinship) = told(&world)[1];
    assert_eq!((name, with.len(), kinship), ("nts1.example", 3, Kinship::Certificate));
    assert_eq!(world.status().system.one_operator.len(), 4);
}

#[test]
fn sources_that_the_configuration_names_alike_are_not_told_of_as_of_one_operator() {
    let mut servers = nts_lan(2);
    servers
        .iter_mut()
        .for_each(|server| server.nts().operator = operator("Example Ltd", &["nts.example"], 1));
    let name = HostName::parse("nts.example").unwrap();
    servers[0].nts().place = Place::Name(name, 4460);
    servers[1].nts().place = Place::Name(HostName::parse("NTS.example.").unwrap(), 4461);
    let world = started(servers);
    assert!(told(&world).is_empty() && world.status().system.one_operator.is_empty());
    assert_eq!(nts(&world, 0).organisation.as_str(), "Example Ltd");
}

#[test]
fn a_restart_with_kept_keys_still_shows_sources_of_one_operator() {
    let mut servers = nts_lan(2);
    servers.iter_mut().for_each(|server| server.nts().operator = operator("", &["*.example"], 1));
    let kept = started(servers).kept.clone();
    let mut setup = Setup::of(nts_lan(2));
    setup.kept = kept;
    let mut world = setup.start();
    world.run(60.0);
    assert_eq!((world.exchanges.len(), told(&world).len()), (0, 0));
    assert_eq!(nts(&world, 0).one_operator, ["nts1.example"]);
}

/// Each way of a liar to be taken for kin of honest sources, or of two honest ones to be taken for one: every order to the
/// clock is as without.
#[test]
fn a183_what_certificates_say_of_operators_changes_no_vote() {
    let run = |operators: [Operator; 3]| {
        let mut servers = nts_lan(3);
        servers[2].error = 0.5;
        for (server, operator) in servers.iter_mut().zip(operators) {
            server.nts().operator = operator;
        }
        let mut world = Setup::of(servers).start();
        world.run(2.0 * 3600.0);
        let states: Vec<_> = world.status().sources.iter().map(|source| source.state().name()).collect();
        assert_eq!(states[2], "falseticker", "{states:?}");
        (std::format!("{:?}", world.adjusts), states, told(&world).len())
    };
    let honest = [operator("Example Ltd", &["nts0.example"], 1), operator("", &["nts1.example"], 2)];
    let (orders, states, told) = run([Operator::NONE; 3]);
    assert_eq!(told, 0);
    for liar in [
        operator("Example Ltd", &["nts2.example"], 3),
        operator("", &["*.example"], 3),
        operator("Example Ltd", &["nts0.example", "nts1.example"], 1),
    ] {
        let found = run([honest[0], honest[1], liar]);
        assert_eq!((&found.0, &found.1), (&orders, &states));
        assert!(found.2 > 0);
    }
    let one = operator("Example Ltd", &["*.example"], 1);
    let found = run([one, one, Operator::NONE]);
    assert_eq!((found.0, found.1), (orders, states));
}

#[test]
fn a051_in_attested_sources_of_one_operator_set_no_clock_whose_certificates_cannot_be_judged() {
    let run = |attested, operators: [Operator; 3]| {
        let mut servers = nts_lan(3);
        for (server, operator) in servers.iter_mut().zip(operators) {
            server.nts().operator = operator;
        }
        let mut setup = Setup { error: -(BEGIN as f64 * 1e-9) + 60.0, ..Setup::of(servers) };
        setup.settings.clock.attested = attested;
        let mut world = setup.start();
        world.run(1_800.0);
        !world.steps.is_empty()
    };
    let of = |organisation, at: u8| operator(organisation, &[], at);
    let one = [1, 2, 3].map(|at| of("Example Ltd", at));
    let two = [of("Example Ltd", 1), of("Example Ltd", 2), of("Another", 3)];
    assert_eq!([one, two].map(|operators| run(true, operators)), [false, true]);
    assert!(run(false, one), "elsewhere certificates change no vote");
    // Who claims kinship with others takes nothing from them.
    let claims = [of("Example Ltd", 1), of("Another", 2), operator("Example Ltd", &["*.example"], 3)];
    assert!(run(true, claims));
}
