//! The question for clients of the server, of which one is open at a time.

use super::queued_link::Taken;
use super::{Breach, Links, Process};
use ipc::message::exchange::Violation;
use ipc::message::server::{Client, ClientsPart, ClientsWanted, MAX_CLIENTS, ToServer};
use ipc::units::{RawInstant, Span};

/// An honest server answers at once; one that has not after this time hangs, or lies.
const PATIENCE: Span = Span::from_secs(60);

/// The whole answer to a question. Nothing in it is known to be true: the server is trusted with nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientList {
    /// The question.
    pub wanted: ClientsWanted,
    /// Clients that the server knows.
    pub known: u32,
    /// Clients that it can know at a time.
    pub room: u32,
    /// How often a client has taken the place of another one.
    pub replaced: u64,
    /// The first of them.
    pub clients: Vec<Client>,
}

/// The question that is open, and what has come of its answer.
#[derive(Debug, Default)]
pub struct AskedClients(Option<Question>);

#[derive(Debug)]
struct Question {
    wanted: ClientsWanted,
    since: RawInstant,
    clients: Vec<Client>,
}

impl AskedClients {
    /// Takes a part of the answer, and gives the whole with the last one.
    pub(super) fn take(&mut self, part: &ClientsPart) -> Result<Option<ClientList>, Violation> {
        let Question { wanted, since, mut clients } =
            self.0.take().ok_or("told of clients without being asked")?;
        let ClientsPart { ends, known, room, replaced, .. } = *part;
        clients.extend(part.clients.iter());
        if clients.len() > usize::from(wanted.most) {
            return Err("told of more clients than it was asked for");
        }
        if !ends && part.clients.len() < MAX_CLIENTS {
            return Err("told of clients in a part that is not full and not the last");
        }
        let is_lawful = |client: &Client| client.version <= 7 && client.dropped <= client.requests;
        if known > room || clients.len() > known as usize || !part.clients.iter().all(is_lawful) {
            return Err("told of clients that there cannot be");
        }
        if ends {
            return Ok(Some(ClientList { wanted, known, room, replaced, clients }));
        }
        self.0 = Some(Question { wanted, since, clients });
        Ok(None)
    }
}

impl Links {
    /// Asks the server for clients, unless a question is open. A server that does not end an answer ends the daemon, but not before
    /// somebody asks again.
    pub fn ask_for_clients(&mut self, now: RawInstant, wanted: ClientsWanted) -> Result<(), Breach> {
        if self.clients.0.as_ref().is_some_and(|open| now.since(open.since).nanos() > PATIENCE.nanos()) {
            return Err(Breach::new(Process::Server, "did not say which clients it has"));
        }
        if self.clients.0.is_none() && self.server.send(now, ToServer::Clients(wanted))? == Taken::Yes {
            self.clients.0 = Some(Question { wanted, since: now, clients: Vec::new() });
        }
        Ok(())
    }

    /// A part of the answer.
    pub(super) fn take_clients(&mut self, part: &ClientsPart) -> Result<Option<ClientList>, Breach> {
        self.clients.take(part).map_err(|violation| Breach::new(Process::Server, violation))
    }
}
