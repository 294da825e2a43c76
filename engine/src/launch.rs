//! From the configuration to the welcome: the plan, the hellos of the other processes, the lock-down.

use crate::configuration::Configuration;
use crate::ending::Ending;
use crate::interface_line;
use crate::key_exchange::KeyExchange;
use crate::links::{Breach, Fact, Links};
use crate::log::{Event, Severity};
use engine_core::io::Input;
use ipc::file_path::FilePath;
use ipc::message::Shortfall;
use ipc::message::client::OwnAddresses;
use ipc::message::privileged::Welcome;
use ipc::message::samba::Contact;
use ipc::message::server::Counters;
use ipc::process::{PerProcess, Process};
use ipc::served_at::{InterfaceName, Service};
use ipc::units::{RawInstant, Span};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

/// What is known when everything runs.
#[derive(Clone, Debug)]
pub struct Launched {
    /// What privileged said.
    pub welcome: Welcome,
    /// What each process claims to miss.
    pub shortfalls: PerProcess<Option<Shortfall>>,
    /// The server's counters so far, if it was queried that early.
    pub counters: Option<Counters>,
    /// Interfaces that `listen` names, of which the process that answers there has spoken: whether each is there.
    pub interfaces: Vec<(Service, InterfaceName, bool)>,
    /// Whether Samba can be asked, if that was said already.
    pub samba: Option<Contact>,
    /// The addresses of this host, if the client has told them already.
    pub network: Option<OwnAddresses>,
    /// What is known of the key exchange service; none: there is none.
    pub key_exchange: Option<KeyExchange>,
    /// When the last message was sent to the privileged process.
    pub at: RawInstant,
}

impl Launched {
    /// What is to be said of interfaces that are missing, and of Samba, whose socket is in this folder.
    pub fn lines(&self, samba: Option<FilePath>) -> impl Iterator<Item = (Severity, Event, String)> {
        let missing = self.interfaces.iter().filter(|(.., is_there)| !is_there);
        let missing = missing.map(|(service, name, _)| interface_line(name.as_str(), *service, false));
        missing.chain(self.samba.map(|contact| crate::samba::line(contact, samba)))
    }
}

/// Performs the launch; `timeout` applies to each wait for another process. On success every process is confined.
///
/// # Errors
/// A process that is gone, late or out of order.
pub fn launch(
    links: &mut Links,
    configuration: &Configuration,
    own: Shortfall,
    timeout: Span,
) -> Result<Launched, Ending> {
    links.send_plan(ipc_clock::raw(), configuration.plan)?;
    let mut shortfalls = PerProcess::default();
    shortfalls[Process::Engine] = Some(own);
    let mut counters = None;
    let mut interfaces = Vec::new();
    let (mut network, mut samba) = (None, None);
    let mut key_exchange = configuration.plan.key_service.map(|service| KeyExchange::of(&service));
    let deadline = ipc_clock::raw().after(timeout);
    loop {
        // Truechimerd has no hello: its plan was asked for.
        let awaited = Process::ALL.into_iter().filter(|process| *process != Process::Privileged);
        let late =
            awaited.filter(|process| links.expects(*process)).find(|process| shortfalls[*process].is_none());
        let Some(late) = late else { break };
        match next_fact(links, deadline)? {
            Some(Fact::Hello(process, shortfall)) => shortfalls[process] = Some(shortfall),
            // The server's sockets are open: it counts (and is silent) from its hello on.
            Some(Fact::Counters(counted)) => counters = Some(counted),
            Some(Fact::Network(addresses)) => network = Some(addresses),
            Some(Fact::Samba(contact)) => samba = Some(contact),
            // The engine has not begun: what is said every second can be missed.
            Some(Fact::Input(Input::Clock(_) | Input::ClockDiscarded(_))) => {}
            Some(Fact::Interface(service, name, is_there)) => {
                note(&mut interfaces, (service, name, is_there))
            }
            Some(fact) if learn(&mut key_exchange, &fact) => {}
            Some(fact) => return Err(too_early(&fact).into()),
            None => {
                return Err(Breach::new(late, "did not say hello within five minutes of its start").into());
            }
        }
    }
    if links.expects(Process::Server) {
        let now = ipc_clock::raw();
        links.send_policy(now, configuration.policy)?;
        links.send_symmetric_keys(now, &configuration.client_keys)?;
        links.send_access(now, &configuration.access)?;
    }
    if let (true, Some(keys)) = (links.expects(Process::KeyService), &configuration.keys) {
        links.key_service.send_policy(ipc_clock::raw(), keys.policy)?;
    }
    let at = ipc_clock::raw();
    links.send_hello(at)?;
    loop {
        match next_fact(links, at.after(timeout))? {
            Some(Fact::Input(Input::Welcome(welcome))) => {
                return Ok(Launched {
                    welcome,
                    shortfalls,
                    counters,
                    interfaces,
                    samba,
                    network,
                    key_exchange,
                    at,
                });
            }
            Some(Fact::Counters(counted)) => counters = Some(counted),
            Some(Fact::Network(addresses)) => network = Some(addresses),
            Some(Fact::Samba(contact)) => samba = Some(contact),
            // The engine has not begun: what is said every second can be missed.
            Some(Fact::Input(Input::Clock(_) | Input::ClockDiscarded(_))) => {}
            Some(Fact::Interface(service, name, is_there)) => {
                note(&mut interfaces, (service, name, is_there))
            }
            Some(fact) if learn(&mut key_exchange, &fact) => {}
            Some(fact) => return Err(too_early(&fact).into()),
            None => return Err(Breach::new(Process::Privileged, "did not answer within five minutes").into()),
        }
    }
}

/// Takes the key exchange service's messages about itself; false for any other message.
pub fn learn(key_exchange: &mut Option<KeyExchange>, fact: &Fact) -> bool {
    match (key_exchange, fact) {
        (Some(known), Fact::Certificate(number, loaded)) => known.read(*number, *loaded),
        (Some(known), Fact::KeyCounters(counters)) => known.count(*counters),
        _ => return false,
    }
    true
}

/// Keeps what was said last of each interface.
fn note(interfaces: &mut Vec<(Service, InterfaceName, bool)>, said: (Service, InterfaceName, bool)) {
    interfaces.retain(|(service, name, _)| (*service, *name) != (said.0, said.1));
    interfaces.push(said);
}

fn too_early(fact: &Fact) -> Breach {
    match fact {
        Fact::Hello(process, _) => Breach::new(*process, "said hello twice"),
        Fact::Counters(_) | Fact::Interface(..) | Fact::Clients(_) => {
            Breach::new(Process::Server, "counted out of turn")
        }
        // Unsolicited: no process is pinged during the launch, and the link has reported that already.
        Fact::Alive(_) => Breach::new(Process::Engine, "took an answer that can't be"),
        Fact::Reload | Fact::HistoryNoted(_) => Breach::new(Process::Privileged, "spoke before its time"),
        // Taken at any time.
        Fact::Network(_) => Breach::new(Process::Client, "spoke before its time"),
        Fact::Samba(_) => Breach::new(Process::Samba, "spoke before its time"),
        Fact::Certificate(..) | Fact::KeyCounters(_) => {
            Breach::new(Process::KeyService, "spoke where there is none")
        }
        Fact::Input(Input::Welcome(_) | Input::Applied(..) | Input::Refused(..) | Input::ClockEvent(_)) => {
            Breach::new(Process::Privileged, "spoke before its time")
        }
        Fact::Input(
            Input::Resolved(_)
            | Input::LookupFailed(_)
            | Input::Cookie(_)
            | Input::Exchanged(_)
            | Input::ExchangeFailed(_),
        ) => Breach::new(Process::Exchange, "answered before it was asked"),
        Fact::Input(_) => Breach::new(Process::Client, "answered before it was asked"),
    }
}

/// The next record of any process, nothing at the deadline.
fn next_fact(links: &mut Links, deadline: RawInstant) -> Result<Option<Fact>, Ending> {
    loop {
        let now = ipc_clock::raw();
        links.flush(now)?;
        let left = deadline.since(now).nanos();
        if left <= 0 {
            return Ok(None);
        }
        let mut processes = Vec::with_capacity(Process::COUNT);
        let mut polled = Vec::with_capacity(Process::COUNT);
        for (process, fd, is_waiting) in links.waits() {
            processes.push(process);
            polled.push(PollFd::new(fd, flags(is_waiting)));
        }
        match ppoll(&mut polled, Some(time_spec(left)), None) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(Ending::Kernel(errno)),
        }
        let ready: Vec<Process> = ready(&processes, &polled);
        for process in ready {
            if let Some(fact) = links.receive(now, process)? {
                return Ok(Some(fact));
            }
        }
    }
}

/// What to wait for on a link.
pub fn flags(is_waiting: bool) -> PollFlags {
    if is_waiting { PollFlags::POLLIN | PollFlags::POLLOUT } else { PollFlags::POLLIN }
}

/// Those of the processes whose descriptor says anything.
pub fn ready(processes: &[Process], polled: &[PollFd<'_>]) -> Vec<Process> {
    let all = processes.iter().zip(polled);
    all.filter(|(_, fd)| fd.any().unwrap_or(true)).map(|(process, _)| *process).collect()
}

/// A length of time for ppoll.
pub fn time_spec(nanos: i64) -> TimeSpec {
    let nanos = nanos.max(0);
    TimeSpec::new(nanos / 1_000_000_000, nanos % 1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::links::Ends;
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

    #[test]
    fn a_process_that_never_says_hello_ends_the_start_when_its_time_is_over() {
        let pair =
            || socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_NONBLOCK).unwrap();
        let (mut ours, mut theirs) = (PerProcess::default(), PerProcess::default());
        for process in Process::Engine.with_link_to() {
            let (end, peer) = pair();
            (ours[process], theirs[process]) = (Some(end), Some(peer));
        }
        let (launch_end, _launch_peer) = pair();
        let mut links = Links::new(Ends { launch: launch_end, links: ours }).unwrap();
        let text = "[[source]]\naddress = \"192.0.2.1\"\n";
        let configuration = crate::configuration::parse(text, "test").unwrap();
        let timeout = Span::from_millis(200);
        let ending = launch(&mut links, &configuration, Shortfall::NONE, timeout).unwrap_err();
        assert!(matches!(&ending, Ending::Breach(breach) if breach.process == Process::Client), "{ending}");
        assert!(ending.to_string().contains("did not say hello"), "{ending}");
    }
}
