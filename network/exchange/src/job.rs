//! A look-up, key exchange or round that is under way, and the children that work on it: first for the addresses of its name, then,
//! if it is a key exchange, for the keys. A round has one child for all.

use super::child::{Child, Part, Trouble, Work, failed};
use super::search::{Found, Search, Step};
use ipc::message::exchange::{
    Addresses, ExchangeFailed, ExchangeFailure, Failed, Families, FromExchange, KeyServer, LookupFailure,
    Resolve, Resolved, ToExchange,
};
use ipc::units::RawInstant;
use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::unistd::Pid;
use std::os::fd::{AsFd, BorrowedFd};

/// See the module's head.
#[derive(Debug)]
pub(super) struct Job {
    task: ToExchange,
    stage: Stage,
    children: Vec<Child>,
}

#[allow(clippy::large_enum_variant, reason = "there are eight of them at most")]
#[derive(Debug)]
enum Stage {
    /// Its name is looked up.
    Searching(Resolve, Search),
    /// The name of a key exchange has these addresses: its child is to be started.
    Found(Addresses, Families),
    /// Keys are exchanged, or a round is made, until then.
    Exchanging(RawInstant),
    /// This is to be said.
    Over(Vec<FromExchange>),
}

impl Job {
    /// Starts the first child.
    ///
    /// # Errors
    /// The kernel's error if no process can be created.
    pub(super) fn begin(task: &ToExchange, work: &Work, now: RawInstant) -> Result<Self, Errno> {
        let (stage, part) = match named(task) {
            Some(resolve) => {
                let search = Search::new(resolve.families, now, work.lookup);
                (Stage::Searching(resolve, search), look_up(resolve, resolve.families))
            }
            None => {
                let families = match task {
                    ToExchange::Exchange(exchange) => exchange.families,
                    ToExchange::Resolve(_) | ToExchange::Measure(_) | ToExchange::Ping => Families::Both,
                };
                let part = Part { task: *task, families, known: None };
                (Stage::Exchanging(work.deadline(task, now)), part)
            }
        };
        Ok(Self { task: *task, stage, children: vec![Child::start(part, work)?] })
    }

    /// Where the children report.
    pub(super) fn places(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.children.iter().map(AsFd::as_fd)
    }

    /// When it goes on, if no child reports before. `may_start`: children may be started.
    pub(super) fn due(&self, now: RawInstant, may_start: bool) -> Option<RawInstant> {
        match &self.stage {
            Stage::Searching(_, search) => match search.step(now) {
                Step::Wait(until) => Some(until),
                Step::Part => may_start.then_some(now),
                Step::End(_) => Some(now),
            },
            Stage::Found(..) => may_start.then_some(now),
            Stage::Exchanging(until) => Some(*until),
            Stage::Over(_) => Some(now),
        }
    }

    /// Takes what children say whose place is ready, in the order of [`Self::places`]; adds those that have ended to `dying`.
    pub(super) fn hear(
        &mut self,
        ready: &mut dyn Iterator<Item = PollFlags>,
        dying: &mut Vec<Pid>,
        now: RawInstant,
    ) {
        let ready: Vec<bool> =
            self.children.iter().map(|_| ready.next().is_some_and(|events| !events.is_empty())).collect();
        for at in (0..self.children.len()).rev().filter(|at| ready[*at]) {
            let Some(said) = self.children[at].outcome() else { continue };
            let child = self.children.swap_remove(at);
            match &mut self.stage {
                Stage::Searching(_, search) => search.take(child.families(), found(&said), now),
                stage => *stage = Stage::Over(said),
            }
            dying.push(child.kill());
        }
    }

    /// What is to be said at the end, if it is there; whatever children still work on it are killed.
    pub(super) fn end(&mut self, now: RawInstant, dying: &mut Vec<Pid>) -> Option<Vec<FromExchange>> {
        let said = match &mut self.stage {
            Stage::Searching(resolve, search) => {
                let Step::End(end) = search.step(now) else { return None };
                match (end, &self.task) {
                    (Ok((addresses, families)), ToExchange::Exchange(_)) => {
                        self.stage = Stage::Found(addresses, families);
                        dying.extend(self.children.drain(..).map(Child::kill));
                        return None;
                    }
                    (Ok((addresses, _)), _) => {
                        vec![FromExchange::Resolved(Resolved { id: resolve.id, addresses })]
                    }
                    (Err(reason), _) => vec![without_address(&self.task, resolve, reason)],
                }
            }
            Stage::Found(..) => return None,
            Stage::Exchanging(until) if *until > now => return None,
            Stage::Exchanging(_) => vec![failed(&self.task, Trouble::Deadline)],
            Stage::Over(said) => std::mem::take(said),
        };
        dying.extend(self.children.drain(..).map(Child::kill));
        Some(said)
    }

    /// Starts the children that are wanted now. No keys may be in this process's memory.
    pub(super) fn go_on(&mut self, work: &Work, now: RawInstant) {
        match &mut self.stage {
            Stage::Searching(resolve, search) if search.step(now) == Step::Part => {
                search.part();
                for families in [Families::V4, Families::V6] {
                    match Child::start(look_up(*resolve, families), work) {
                        Ok(child) => self.children.push(child),
                        Err(_) => search.take(families, Err(LookupFailure::NotStarted), now),
                    }
                }
            }
            Stage::Found(addresses, families) => {
                let part = Part { task: self.task, families: *families, known: Some(*addresses) };
                self.stage = match Child::start(part, work) {
                    Ok(child) => {
                        self.children.push(child);
                        Stage::Exchanging(work.deadline(&self.task, now))
                    }
                    Err(_) => Stage::Over(vec![failed(&self.task, Trouble::NotStarted)]),
                };
            }
            Stage::Searching(..) | Stage::Exchanging(_) | Stage::Over(_) => {}
        }
    }

    /// Kills the children; they must still be waited for.
    pub(super) fn kill(self) -> impl Iterator<Item = Pid> {
        self.children.into_iter().map(Child::kill)
    }
}

/// The look-up that a task is, or begins with.
fn named(task: &ToExchange) -> Option<Resolve> {
    match task {
        ToExchange::Resolve(resolve) => Some(*resolve),
        ToExchange::Exchange(exchange) => match (exchange.server, exchange.at) {
            (KeyServer::Name(name), None) => {
                Some(Resolve { id: exchange.id, name, port: exchange.port, families: exchange.families })
            }
            (KeyServer::Name(_), Some(_)) | (KeyServer::Address(_), _) => None,
        },
        ToExchange::Measure(_) | ToExchange::Ping => None,
    }
}

fn look_up(resolve: Resolve, families: Families) -> Part {
    Part { task: ToExchange::Resolve(resolve), families, known: None }
}

/// What the child of a look-up came to.
fn found(said: &[FromExchange]) -> Found {
    match said {
        [FromExchange::Resolved(resolved)] => Ok(resolved.addresses),
        [FromExchange::Failed(failed)] => Err(failed.reason),
        _ => Err(LookupFailure::Broken),
    }
}

/// The end of a task whose name has no address.
fn without_address(task: &ToExchange, resolve: &Resolve, reason: LookupFailure) -> FromExchange {
    let id = resolve.id;
    match task {
        ToExchange::Exchange(_) => {
            FromExchange::ExchangeFailed(ExchangeFailed { id, reason: ExchangeFailure::Lookup(reason) })
        }
        ToExchange::Resolve(_) | ToExchange::Measure(_) | ToExchange::Ping => {
            FromExchange::Failed(Failed { id, reason })
        }
    }
}
