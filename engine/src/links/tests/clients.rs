//! What a server may say of its clients, and when.

use super::*;
use ipc::list::Empty;
use ipc::message::server::{Client, ClientOrder, ClientsPart, ClientsWanted, MAX_CLIENTS};

fn greeted() -> Bench {
    let mut bench = bench();
    bench.server.send(&FromServer::Hello(Shortfall::NONE)).unwrap();
    bench.links.receive(at(0), Process::Server).unwrap();
    bench
}

fn wanted(most: u16) -> ClientsWanted {
    ClientsWanted { by: ClientOrder::Dropped, most }
}

fn client() -> Client {
    Client { requests: 1, ..Client::empty() }
}

fn part(count: usize, ends: bool) -> ClientsPart {
    let clients = Bounded::new((0..count).map(|_| client())).unwrap();
    ClientsPart { ends, known: 1_000, room: 8_192, replaced: 0, clients }
}

/// What becomes of these parts where so many clients were asked for.
fn says(most: u16, parts: &[ClientsPart]) -> Result<Option<Fact>, Breach> {
    let mut bench = greeted();
    bench.links.ask_for_clients(at(1), wanted(most)).unwrap();
    let mut heard = Ok(None);
    for part in parts {
        bench.server.send(&FromServer::Clients(*part)).unwrap();
        heard = bench.links.receive(at(2), Process::Server);
        if heard.is_err() {
            break;
        }
    }
    heard
}

#[test]
fn an_answer_of_several_parts_is_passed_on_once_it_is_whole() {
    let heard = says(130, &[part(MAX_CLIENTS, false), part(MAX_CLIENTS, false)]);
    assert_eq!(heard, Ok(Some(Fact::Clients(None))));
    let heard = says(130, &[part(MAX_CLIENTS, false), part(MAX_CLIENTS, false), part(2, true)]);
    let Ok(Some(Fact::Clients(Some(list)))) = heard else { panic!("{heard:?}") };
    assert_eq!((list.wanted, list.known, list.clients.len()), (wanted(130), 1_000, 130));
    let heard = says(64, &[part(0, true)]);
    assert!(matches!(heard, Ok(Some(Fact::Clients(Some(list)))) if list.clients.is_empty()));
}

#[test]
fn one_question_is_open_at_a_time_and_the_next_one_after_its_answer() {
    let mut bench = greeted();
    bench.links.ask_for_clients(at(1), wanted(5)).unwrap();
    bench.links.ask_for_clients(at(2), wanted(6)).unwrap();
    assert_eq!(bench.server.receive(), Ok(Some((0, ToServer::Clients(wanted(5))))));
    bench.server.send(&FromServer::Clients(part(5, true))).unwrap();
    bench.links.receive(at(3), Process::Server).unwrap();
    bench.links.ask_for_clients(at(4), wanted(7)).unwrap();
    assert_eq!(bench.server.receive(), Ok(Some((1, ToServer::Clients(wanted(7))))));
}

#[test]
fn a122_clients_that_nobody_asked_for_too_many_or_impossible_ones_are_a_breach() {
    let mut unasked = greeted();
    unasked.server.send(&FromServer::Clients(part(1, true))).unwrap();
    let breach = unasked.links.receive(at(1), Process::Server).unwrap_err();
    assert_eq!(breach.process, Process::Server);
    assert!(breach.violation.contains("without being asked"), "{breach}");

    let of = |client| ClientsPart { clients: Bounded::new([client]).unwrap(), ..part(0, true) };
    let full = part(MAX_CLIENTS, false);
    for (most, parts, words) in [
        (9, vec![part(9, true), part(1, true)], "without being asked"),
        (9, vec![part(10, true)], "more clients than"),
        (64, vec![full, part(1, true)], "more clients than"),
        (1_000, vec![part(MAX_CLIENTS - 1, false)], "not full"),
        (1_000, vec![part(0, false)], "not full"),
        (9, vec![ClientsPart { known: 8, ..part(9, true) }], "cannot be"),
        (9, vec![ClientsPart { known: 9_000, ..part(9, true) }], "cannot be"),
        (9, vec![of(Client { version: 8, ..client() })], "cannot be"),
        (9, vec![of(Client { dropped: 2, ..client() })], "cannot be"),
    ] {
        let said = violation(says(most, &parts));
        assert!(said.contains(words), "{said} is not: {words}");
    }
    // However long it goes on, no more is kept than was asked for.
    let endless = vec![full; 100];
    assert!(violation(says(1_000, &endless)).contains("more clients than"));
}

#[test]
fn a122_a_server_that_does_not_end_its_answer_is_a_breach_once_somebody_asks_again() {
    let mut bench = greeted();
    bench.links.ask_for_clients(at(1), wanted(1_000)).unwrap();
    bench.server.send(&FromServer::Clients(part(MAX_CLIENTS, false))).unwrap();
    bench.links.receive(at(2), Process::Server).unwrap();
    bench.links.ask_for_clients(at(61), wanted(1_000)).unwrap();
    let breach = bench.links.ask_for_clients(at(62), wanted(5)).unwrap_err();
    assert_eq!(breach.process, Process::Server);
    assert!(breach.violation.contains("which clients it has"), "{breach}");
}
