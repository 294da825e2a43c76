//! The loop: wait for the links, the control socket and the next deadline; pass facts in, effects out.

use crate::anchors::Anchors;
use crate::answers::Surroundings;
use crate::clock::Clock;
use crate::control::Control;
use crate::ending::Ending;
use crate::history::History;
use crate::home::{Return, Watch};
use crate::keeping::Keeping;
use crate::launch::{flags, learn, ready, time_spec};
use crate::links::{BURST, Breach, ClientList, Fact, Links, Taken};
use crate::log::{Event, Log, Severity};
use crate::reload::{Again, InForce, Opened, ReloadError};
use crate::reports::Reports;
use crate::state::StateFile;
use crate::time_page::Pages;
use crate::verbose;
use crate::writing::AllWriting;
use engine_core::io::{Input, Now, Output, Saved};
use engine_core::recording::Recorder;
use ipc::message::client::{Rejected, Silence, Unanswered};
use ipc::message::exchange::{
    ExchangeFailed, ExchangeFailure, Failed, LookupFailure, MeasureFailed, MeasureFailure,
};
use ipc::message::privileged::Condition;
use ipc::process::Process;
use ipc::units::{RawInstant, Span};
use nix::errno::Errno;
use nix::poll::{PollFd, ppoll};
use sentence::Sentence;
use std::net::IpAddr;

/// The longest interval between messages to the privileged process, unless the service manager's watchdog needs a
/// shorter one. Each of them makes it look at the clock: the longer ago the last look, the larger a step by others that looks
/// like the frequency.
pub const HEARTBEAT: Span = Span::from_secs(70);

/// A turn is never longer than a heartbeat and what it has to do: after this the process was stopped, or had no CPU.
const AWAY: Span = Span::from_secs(100);

/// Between two looks whether what was begun ends.
const TIDY: Span = Span::from_secs(60);

/// Added after a reload that found no change: an editor may have replaced the file.
const REPLACED: &str =
    "; if another file has taken the place of the one that was opened at the start, use chimerctl reload";

/// Added after each reload by a signal.
const OTHERS: &str = "; drop-ins, keys and files of programs are read by chimerctl reload";

/// Where nobody starts the daemon again when it ends.
const WRITABLE: &str = "the state directory can be written again: restart truechimer, which takes back what is in the run directory";

/// Between two identical warnings about the certificate.
const REMIND: Span = Span::from_secs(86_400);

/// Between two checks, a slew never moves the clock this far relative to CLOCK_MONOTONIC_RAW, in ns.
const JUMP: i64 = 100_000_000;

/// Everything that a running engine process has.
pub struct Running {
    /// Reads time.
    pub clock: Clock,
    /// The other processes.
    pub links: Links,
    /// Clients of the control socket.
    pub control: Control,
    /// The state file.
    pub state: StateFile,
    /// The history of minutes, or why none is kept.
    pub history: Result<History, &'static str>,
    /// Proofs about Roughtime servers.
    pub reports: Option<Reports>,
    /// What Roughtime servers signed over audit log and history.
    pub anchors: Option<Anchors>,
    /// From which programs compute the time.
    pub pages: Pages,
    /// Keys that survive, and the keys of cookies.
    pub keeping: Keeping,
    /// The log.
    pub log: Log,
    /// What status replies say beside the report.
    pub surroundings: Surroundings,
    /// Why the state directory is not used.
    pub elsewhere: Option<String>,
    /// That directory, if it can be seen when it can be written.
    pub home: Option<Watch>,
    /// The engine.
    pub engine: Recorder,
    /// The parts of the configuration that are in force.
    pub in_force: InForce,
    /// The clocks when it began.
    pub begun: Now,
    /// The clocks at the last check.
    pub seen: Now,
    /// The longest interval between messages to the privileged process.
    pub heartbeat: Span,
    /// When the other processes were last asked for a sign of life; none: the service manager's watchdog is off.
    pub pinged: Option<RawInstant>,
    /// When the last message was sent to the privileged process.
    pub spoke: RawInstant,
    /// When it was last looked whether what was begun ends, and what the log held back was summed up.
    pub tidied: RawInstant,
    /// The file of the configuration, as it was opened at the start, and its name.
    pub configuration: Opened,
    /// The condition that was last sent to the privileged process.
    pub condition: Option<Condition>,
    /// The last warning about the certificate, and its time.
    pub warned: Option<(String, RawInstant)>,
    /// The addresses that this host serves on, wherever they are now.
    pub served: Vec<IpAddr>,
    /// Facts that arose while effects were carried out; they are passed in next.
    pub pending: Vec<Input>,
    /// Clients of the server, for who has asked for them.
    pub told: Option<ClientList>,
    /// Whether somebody awaits the outcome of a step.
    pub stepping: bool,
    /// What could not be saved yet.
    pub unsaved: Option<Saved>,
    /// How writing went.
    pub writing: AllWriting,
}

/// What a wait ended with.
struct Woken {
    processes: Vec<Process>,
    control: bool,
}

impl Running {
    /// Runs until something ends it.
    pub fn run(&mut self) -> Ending {
        self.retry(self.begun.raw);
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
        if now.raw.since(self.seen.raw).nanos() > AWAY.nanos() {
            self.engine.was_away(self.seen.raw, now.raw);
        }
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
        if self.keeping.is_due(now.raw) {
            self.tend_keys(now)?;
        }
        let is_stepped = self.stepping && self.engine.hand_step().is_some();
        if woken.control
            || self.told.is_some()
            || is_stepped
            || self.control.deadline().is_some_and(|due| due <= now.raw)
        {
            self.answer(now)?;
        }
        if now.raw.since(self.spoke).nanos() >= self.heartbeat.nanos() {
            self.links.send_heartbeat(now.raw)?;
            self.spoke = now.raw;
        }
        // At the latest with the heartbeat, where no orders make one needless.
        if now.raw.since(self.tidied).nanos() >= TIDY.nanos().min(self.heartbeat.nanos()) {
            self.links.check_endless(now.raw)?;
            self.log.settle(now.raw);
            self.retry(now.raw);
            self.tidied = now.raw;
        }
        // A wake that something else has caused saves one.
        if self.pinged.is_some_and(|at| now.raw.since(at).nanos() >= self.heartbeat.nanos() / 3 * 2) {
            self.links.ping(now.raw)?;
            self.pinged = Some(now.raw);
        }
        match self.home.as_mut().and_then(|home| home.look(now.raw)) {
            Some(Return::Restart) => return Err(Ending::Return),
            Some(Return::Told) => {
                self.log.write_limited(now.raw, Severity::WARNING, Event::StateBack.says(WRITABLE))
            }
            None => {}
        }
        self.write_history()?;
        self.tell_condition()
    }

    /// Reports the daemon's condition to the privileged process if it has changed.
    fn tell_condition(&mut self) -> Result<(), Ending> {
        let condition = Some(self.engine.condition(self.clock.now()?));
        if let (true, Some(condition)) = (condition != self.condition, condition) {
            self.condition = Some(condition);
            self.links.send_condition(ipc_clock::raw(), condition)?;
        }
        Ok(())
    }

    /// Reads the configuration again from the file that was opened at the start. This process opens nothing by name: drop-ins and
    /// the files of programs stay as `chimerctl reload` has had them read.
    fn reload(&mut self, now: Now) -> Result<(), Ending> {
        let reloaded = match self.configuration.read() {
            Ok(main) => self.in_force.reload(now, Again::Main(main), (&mut self.links, &mut self.engine)),
            Err(error) => Err(ReloadError::Configuration(error)),
        };
        match reloaded {
            Ok(reloaded) => {
                let hint = if reloaded.is_news() || !reloaded.waiting.is_empty() { "" } else { REPLACED };
                let text = format!("{}{hint}{OTHERS}", reloaded.sentence().unwrap_or_default());
                self.log.write_change(now.raw, Severity::NOTICE, Event::ConfigurationReloaded.says(&text));
            }
            Err(ReloadError::Configuration(error)) => {
                let text = format!("the configuration is not in order and stays as it was: {error}");
                for line in text.lines() {
                    self.log.write_change(now.raw, Severity::ERROR, Event::ConfigurationRefused.says(line));
                }
            }
            Err(ReloadError::Breach(breach)) => return Err(breach.into()),
        }
        self.carry_out(now)
    }

    /// A clock that is not where it was expected was set by another program: the privileged process is asked to check
    /// at once. Its finding counts, not this hint.
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
            Some(self.spoke.after(self.heartbeat)),
            self.home.as_ref().map(Watch::deadline),
            self.pinged.map(|at| at.after(self.heartbeat)),
            self.links.deadline(),
            self.control.deadline(),
            (!self.pending.is_empty()).then_some(now),
        ];
        let due = deadlines.into_iter().flatten().min().unwrap_or(now);
        let mut processes = Vec::with_capacity(Process::COUNT);
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

    /// Takes what a process sent, a bounded number of messages.
    fn listen(&mut self, process: Process) -> Result<(), Ending> {
        for _ in 0..BURST {
            let Some(fact) = self.links.receive(ipc_clock::raw(), process)? else { break };
            // The claims of a message about time are judged by the moment of its arrival, so the clock is read after it.
            let now = self.clock.now()?;
            match fact {
                Fact::Input(input) => {
                    self.engine.handle_input(now, input);
                    self.carry_out(now)?;
                }
                Fact::Network(addresses) => {
                    let own = crate::with_told(&self.served, &addresses);
                    self.engine.handle_input(now, Input::OwnAddresses(own));
                    self.carry_out(now)?;
                }
                Fact::Interface(service, name, is_there) => {
                    let (severity, event, text) = crate::interface_line(name.as_str(), service, is_there);
                    self.log.write_change(now.raw, severity, event.says(&text));
                }
                Fact::Counters(counters) => self.surroundings.counters = Some(counters),
                Fact::Clients(told) => self.told = told.or(self.told.take()),
                Fact::Certificate(..) | Fact::KeyCounters(_) => {
                    learn(&mut self.surroundings.key_exchange, &fact);
                    if let (Fact::Certificate(..), Some(known)) = (&fact, &mut self.surroundings.key_exchange)
                    {
                        known.note_reading(now);
                    }
                    self.watch_certificate(now);
                }
                Fact::Samba(contact) => {
                    let (severity, event, text) = crate::samba::line(contact, self.links.samba_folder());
                    self.log.write_limited(now.raw, severity, event.says(&text));
                }
                Fact::Alive(_) => {}
                Fact::Reload => self.reload(now)?,
                Fact::HistoryNoted(noted) => {
                    self.history.iter_mut().for_each(|it| it.note(noted, now.wall));
                    self.pending.push(Input::HistoryNoted(noted));
                }
                Fact::Hello(process, _) => return Err(Breach::new(process, "said hello twice").into()),
            }
        }
        Ok(())
    }

    /// Carries out all outputs of the engine.
    pub fn carry_out(&mut self, now: Now) -> Result<(), Ending> {
        let raw = now.raw;
        while let Some(output) = self.engine.poll_output() {
            if self.log.is_verbose()
                && let Some(line) = verbose::line(&output)
            {
                self.log.write_verbose(raw, &line);
            }
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
                        let failed = Failed { id: resolve.id, reason: LookupFailure::NotStarted };
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
                    if status.synchronised {
                        self.keeping.hurry();
                    }
                }
                Output::SetTai(tai) => {
                    self.links.send_tai(raw, tai)?;
                    self.spoke = raw;
                }
                Output::Serve(state) => {
                    if self.links.expects(Process::Server) {
                        self.links.send_state(raw, state)?;
                    }
                }
                Output::ServeReferenceIds(filter) => {
                    if self.links.expects(Process::Server) {
                        self.links.send_reference_ids(raw, filter)?;
                    }
                }
                Output::Page(page) => self.pages.write(&page, self.engine.writes_clockbound()),
                Output::Save(saved) => self.save_state(raw, saved),
                Output::Exchange(exchange) => {
                    if self.links.send_exchange(raw, exchange)? == Taken::Skipped {
                        let failed = ExchangeFailed { id: exchange.id, reason: ExchangeFailure::NotStarted };
                        self.pending.push(Input::ExchangeFailed(failed));
                    }
                }
                Output::Measure(measure) => {
                    if self.links.send_measure(raw, measure)? == Taken::Skipped {
                        let failed = MeasureFailed { id: measure.id, reason: MeasureFailure::NotStarted };
                        self.pending.push(Input::MeasureFailed(failed));
                    }
                }
                Output::Malfeasance(proof) => self.keep_report(raw, proof),
                Output::Anchor(anchor) => self.keep_anchor(raw, anchor),
                Output::SaveAssociations => self.save_keys(raw),
                Output::Log(notice) => self.log.tell(raw, &notice),
                Output::Distrust(process, violation) => {
                    return Err(Breach::new(process, violation.sentence()).into());
                }
            }
        }
        Ok(())
    }

    /// Checks whether the keys of cookies have to change. A host without sources serves its own time, so its clock counts
    /// as synchronised.
    fn tend_keys(&mut self, now: Now) -> Result<(), Ending> {
        let status = self.engine.status(now);
        let synchronised = status.system.synchronised || status.sources.is_empty();
        let engine = &self.engine;
        let news = self.keeping.look(now, synchronised, || engine.associations());
        if let Some(written) = news.written {
            self.note_keys(now.raw, written);
        }
        if let Some((line, is_trouble)) = news.line {
            let severity = if is_trouble { Severity::ERROR } else { Severity::INFO };
            self.log.write_limited(now.raw, severity, Event::CookieKeys.says(&line));
        }
        if let Some(keys) = news.keys {
            self.links.send_cookie_keys(now.raw, &keys)?;
        }
        self.watch_certificate(now);
        if let Some(known) = self.surroundings.key_exchange.as_mut()
            && known.is_reading_due(now)
        {
            known.note_reading(now);
            self.links.key_service.send_reload(now, false)?;
        }
        Ok(())
    }

    /// Logs a warning about the certificate, at most once a day unless it changes.
    fn watch_certificate(&mut self, now: Now) {
        let Some(known) = &self.surroundings.key_exchange else { return };
        let warnings = known.warnings(now.wall);
        let warning = Some(warnings.join("\n")).filter(|text| !text.is_empty());
        let is_new = warning != self.warned.as_ref().map(|(text, _)| text.clone());
        let is_old = self.warned.as_ref().is_some_and(|(_, at)| now.raw.since(*at).nanos() >= REMIND.nanos());
        let severity = if known.is_in_use() { Severity::WARNING } else { Severity::ERROR };
        match warning {
            None if self.warned.take().is_some() => {
                let text = "the certificate of [server.nts] and its key are in order and in use";
                self.log.write_limited(now.raw, Severity::INFO, Event::CertificateInOrder.says(text));
            }
            None => {}
            Some(text) if is_new || is_old => {
                for line in &warnings {
                    self.log.write_limited(now.raw, severity, Event::CertificateTrouble.says(line));
                }
                self.warned = Some((text, now.raw));
            }
            Some(_) => {}
        }
    }
}
