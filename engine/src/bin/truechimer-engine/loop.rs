//! The loop: wait for the links, the control socket and the next deadline; pass facts in, effects out.

use crate::answers::{self, Surroundings};
use crate::clock::Clock;
use crate::control::{Control, Verb};
use crate::ending::Ending;
use crate::launch::{flags, ready, time_spec};
use crate::links::{BURST, Breach, Fact, Links, Process, Taken};
use crate::log::{Log, Severity};
use crate::reload::{InForce, ReloadError};
use crate::state::StateFile;
use engine::Engine;
use engine::io::{Event, Input, Now, Output};
use ipc::message::client::{Rejected, Silence, Unanswered};
use ipc::message::exchange::{Failed, LookupFailure};
use ipc::units::{RawInstant, Span};
use nix::errno::Errno;
use nix::poll::{PollFd, ppoll};

/// Privileged hears from us at least this often.
const HEARTBEAT: Span = Span::from_secs(70);

/// Between two looks a slewed clock never moves as far from CLOCK_MONOTONIC_RAW as this, ns.
const JUMP: i64 = 100_000_000;

/// Everything that a running engine process has.
pub struct Running {
    /// Reads time.
    pub clock: Clock,
    /// The other processes.
    pub links: Links,
    /// Whoever asks.
    pub control: Control,
    /// What survives.
    pub state: StateFile,
    /// For people.
    pub log: Log,
    /// What status replies say beside the report.
    pub surroundings: Surroundings,
    /// Decides.
    pub engine: Engine,
    /// What of the configuration is in force.
    pub in_force: InForce,
    /// The clocks at the last look.
    pub seen: Now,
    /// When privileged last heard from us.
    pub spoke: RawInstant,
    /// Facts that arose while effects were carried out; they are passed in next.
    pub pending: Vec<Input>,
}

/// What a wait ended with.
struct Woken {
    processes: Vec<Process>,
    control: bool,
}

impl Running {
    /// Runs until something ends it.
    pub fn run(&mut self) -> Ending {
        loop {
            if let Err(ending) = self.turn() {
                return ending;
            }
        }
    }

    fn turn(&mut self) -> Result<(), Ending> {
        let now = self.clock.now()?;
        self.links.flush(now.raw)?;
        let woken = self.wait(now.raw)?;
        let now = self.clock.now()?;
        self.hint_at_jump(now)?;
        if self.engine.poll_timeout().is_some_and(|due| due <= now.raw) {
            self.engine.handle_input(now, Input::Timeout);
            self.carry_out(now)?;
        }
        for input in std::mem::take(&mut self.pending) {
            self.engine.handle_input(now, input);
            self.carry_out(now)?;
        }
        for process in woken.processes {
            self.listen(process)?;
        }
        if woken.control || self.control.deadline().is_some_and(|due| due <= now.raw) {
            self.answer(now)?;
        }
        if now.raw.since(self.spoke).nanos() >= HEARTBEAT.nanos() {
            self.links.send_heartbeat(now.raw)?;
            self.spoke = now.raw;
            self.log.settle(now.raw);
        }
        Ok(())
    }

    /// A clock that isn't where it was tells of somebody who set it: privileged is made to look at once. What
    /// it finds counts, not this hint.
    fn hint_at_jump(&mut self, now: Now) -> Result<(), Ending> {
        let beside = now.wall.minus(self.seen.wall).nanos() - now.raw.since(self.seen.raw).nanos();
        self.seen = now;
        if beside.abs() >= JUMP {
            self.links.send_heartbeat(now.raw)?;
            self.spoke = now.raw;
        }
        Ok(())
    }

    fn wait(&self, now: RawInstant) -> Result<Woken, Ending> {
        let deadlines = [
            self.engine.poll_timeout(),
            Some(self.spoke.after(HEARTBEAT)),
            self.links.deadline(),
            self.control.deadline(),
            (!self.pending.is_empty()).then_some(now),
        ];
        let due = deadlines.into_iter().flatten().min().unwrap_or(now);
        let mut processes = Vec::with_capacity(Process::ALL.len());
        let mut polled = Vec::with_capacity(32);
        for (process, fd, is_waiting) in self.links.waits() {
            processes.push(process);
            polled.push(PollFd::new(fd, flags(is_waiting)));
        }
        polled.extend(self.control.waits().map(|(fd, flags)| PollFd::new(fd, flags)));
        match ppoll(&mut polled, Some(time_spec(due.since(now).nanos())), None) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(Ending::Kernel(errno)),
        }
        let control = polled.iter().skip(processes.len()).any(|fd| fd.any().unwrap_or(true));
        Ok(Woken { processes: ready(&processes, &polled), control })
    }

    /// Takes what a process sent, a bounded number of records.
    fn listen(&mut self, process: Process) -> Result<(), Ending> {
        for _ in 0..BURST {
            let Some(fact) = self.links.receive(self.clock.raw()?, process)? else { break };
            // A record's claims about time are judged by when it was here, so the clock is read after it.
            let now = self.clock.now()?;
            match fact {
                Fact::Input(input) => {
                    self.engine.handle_input(now, input);
                    self.carry_out(now)?;
                }
                Fact::Counters(counters) => self.surroundings.counters = Some(counters),
                Fact::Hello(process, _) => return Err(Breach::new(process, "said hello twice").into()),
            }
        }
        Ok(())
    }

    fn answer(&mut self, now: Now) -> Result<(), Ending> {
        let Self { control, engine, surroundings, links, in_force, log, .. } = self;
        let mut breach = None;
        control.serve(now.raw, &mut |verb| match verb {
            Verb::Status => answers::status(&engine.report(now), surroundings),
            Verb::Sources => answers::sources(&engine.report(now)),
            Verb::Server => answers::server(surroundings),
            Verb::Change(command) => {
                engine.handle_input(now, Input::Command(command));
                answers::done()
            }
            Verb::Reload(text) => match in_force.reload(now.raw, &text, links) {
                Ok(reloaded) => {
                    log.write_limited(now.raw, Severity::NOTICE, &reloaded.sentence());
                    answers::reloaded(&reloaded)
                }
                Err(ReloadError::Configuration(error)) => answers::refused(&error),
                Err(ReloadError::Breach(found)) => {
                    breach = Some(found);
                    answers::refused(&"the daemon ends")
                }
            },
        });
        if let Some(breach) = breach {
            return Err(breach.into());
        }
        self.carry_out(now)
    }

    /// Carries out everything that the engine wants.
    pub fn carry_out(&mut self, now: Now) -> Result<(), Ending> {
        let raw = now.raw;
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Query(query) => {
                    if self.links.send_query(raw, query)? == Taken::Skipped {
                        let reason = Silence::Local;
                        let unanswered = Unanswered { id: query.id, reason, rejected: Rejected::NONE };
                        self.pending.push(Input::Unanswered(unanswered));
                    }
                }
                Output::Cancel(id) => {
                    self.links.send_cancel(raw, id)?;
                }
                Output::Resolve(resolve) => {
                    if self.links.send_resolve(raw, resolve)? == Taken::Skipped {
                        let failed = Failed { id: resolve.id, reason: LookupFailure::TryAgain };
                        self.pending.push(Input::LookupFailed(failed));
                    }
                }
                Output::Adjust(adjust) => {
                    self.links.send_adjust(raw, adjust)?;
                    self.spoke = raw;
                }
                Output::Step(step) => {
                    self.links.send_step(raw, step)?;
                    self.spoke = raw;
                }
                Output::SetStatus(status) => {
                    self.links.send_status(raw, status)?;
                    self.spoke = raw;
                }
                Output::Serve(state) => {
                    if self.links.expects(Process::Server) {
                        self.links.send_state(raw, state)?;
                    }
                }
                Output::Save(saved) => {
                    if let Err(error) = self.state.save(&saved) {
                        let text = format!(
                            "the state file cannot be written ({error}); time is kept, but a restart will be \
                             slower: free some space on its disk"
                        );
                        self.log.write_limited(raw, Severity::WARNING, &text);
                    }
                }
                Output::Event(Event::Line(severity, text)) => {
                    self.log.write_limited(raw, Severity::from_number(severity), &text);
                }
                Output::Distrust(farewell, deed) => return Err(Breach::found(farewell, deed).into()),
            }
        }
        Ok(())
    }
}
