//! Reloading the configuration file. At once: the sources, the engine's own settings of the clock, the server's access rules
//! and policy, the limits of the key service, and its certificate and key, read again from where they were at the start. All other
//! settings depend on sockets, processes and limits that only a start creates (`waiting`).

mod attested;
mod clock;
mod sources;
mod waiting;

pub use sources::{Sources, command};

use crate::configuration::{
    self, Configuration, ConfigurationError, FileText, KeySettings, Offered, Texts, judge, read_text,
};
use crate::control::Reload;
use crate::links::{Breach, Links};
use crate::log::Severity;
use engine_core::io::Now;
use engine_core::recording::Recorder;
use engine_core::settings::{Settings, SourceSettings};
use ipc::message::key_service::KeyPolicy;
use ipc::message::launch::{KeyService, LaunchPlan, Pair};
use ipc::message::server::{Rule, ServerPolicy};
use ipc::process::Process;
use ipc::symmetric_key::SymmetricKey;
use std::fs::File;

/// Lines of one reload about what programs have left.
const MOST_LINES: usize = 8;

/// The parts of the configuration that are in force.
#[derive(Clone, Debug)]
pub struct InForce {
    settings: Settings,
    plan: LaunchPlan,
    access: Vec<Rule>,
    policy: ServerPolicy,
    client_keys: Vec<SymmetricKey>,
    keys: Option<KeySettings>,
    uses_dhcp: bool,
    /// What programs have left, as far as it is asked.
    offered: Vec<(SourceSettings, String)>,
    /// Those of them that were removed by hand, until all is read again.
    unwanted: Vec<SourceSettings>,
    /// Days of history.
    history_days: u16,
    /// What all of it was made from, and its SHA-256.
    texts: Texts,
    digest: [u8; 32],
}

/// What is read again; all else stays as it was read last.
#[derive(Clone, Debug)]
pub enum Again {
    /// The administrator's files and those of programs, and whether names may go that the certificates in use have.
    All(Texts, bool),
    /// The configuration alone.
    Main(FileText),
    /// What programs have left.
    Programs(Vec<FileText>),
}

/// The file that was opened at the start.
#[derive(Debug)]
pub struct Opened {
    /// Open for reading.
    pub file: File,
    /// For messages.
    pub name: String,
    /// The user that has started the daemon.
    pub starter: u32,
}

impl Opened {
    /// Its current text, and whether only its owner may read or change it.
    ///
    /// # Errors
    /// A start would refuse it too.
    pub fn read(&self) -> Result<FileText, ConfigurationError> {
        // What is in force may be from its successor: it must not be undone by what is no file any more.
        if policies::is_nameless(&self.file) == Ok(true) {
            return Err(ConfigurationError::Replaced(ipc::text::escape(&self.name)));
        }
        let is_private = judge(&self.file, &self.name, self.starter)?;
        Ok(FileText { name: self.name.clone(), text: read_text(&self.file, &self.name)?, is_private })
    }
}

/// What a reload did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reloaded {
    /// Access rules in force now.
    pub rules: usize,
    /// The server policy has changed.
    pub changed: bool,
    /// What became of the sources.
    pub sources: Sources,
    /// The keys of `[clock]` that are in force with another value.
    pub clock: Vec<&'static str>,
    /// The certificate and its key, which are being read again; none: no keys are exchanged.
    pub reads: Option<Pair>,
    /// The file names another certificate or key, which only a restart takes up.
    pub other_files: bool,
    /// What of the file is not in force before a restart.
    pub waiting: Vec<String>,
    /// What programs have left and is not used, though they want it: a line each.
    pub left_out: Vec<String>,
    /// What is not used, as configured.
    pub notes: Vec<String>,
    /// Nothing but the files of programs was read.
    pub is_of_programs: bool,
}

/// Why nothing was changed.
#[derive(Debug)]
pub enum ReloadError {
    /// The file has a fault.
    Configuration(ConfigurationError),
    /// The server has ended.
    Breach(Breach),
}

impl Reloaded {
    /// Whether anything but a certificate has changed at once.
    pub fn is_news(&self) -> bool {
        self.changed || self.sources.is_news() || !self.clock.is_empty()
    }

    /// For the log, beside its sentence.
    pub fn tell_programs(&self, mut tell: impl FnMut(Severity, &str)) {
        first(&self.left_out).iter().for_each(|line| tell(Severity::WARNING, line));
        first(&self.notes).iter().for_each(|line| tell(Severity::INFO, line));
    }

    /// What programs have left and is not used, so many lines that they have room in a reply.
    pub fn first_left_out(&self) -> Vec<String> {
        first(&self.left_out)
    }

    /// For the log; none: a program has said again what is in force.
    pub fn sentence(&self) -> Option<String> {
        if self.is_of_programs {
            let sources = self.sources.sentence();
            return (!sources.is_empty())
                .then(|| format!("files of programs read again; sources: {sources}"));
        }
        Some(self.sentence_of_all())
    }

    fn sentence_of_all(&self) -> String {
        let clock = match self.clock.as_slice() {
            [] => String::new(),
            keys => format!("; [clock]: {}", keys.join(", ")),
        };
        let sources = match self.sources.sentence() {
            none if none.is_empty() => none,
            said => format!("; sources: {said}"),
        };
        let what = if self.changed {
            "new access rules, limits, keys or stratum"
        } else {
            "nothing new for the server"
        };
        let rest = match self.waiting.as_slice() {
            [] => "",
            waiting => &format!("; not in force before a restart: {}", waiting.join("; ")),
        };
        let certificate = match &self.reads {
            None => "",
            Some(Pair { certificate, key }) => &format!(
                "; certificate and key are read again: {} and {}",
                certificate.as_str(),
                key.as_str()
            ),
        };
        let rules = if self.rules == 1 { "1 rule" } else { &format!("{} rules", self.rules) };
        format!("configuration read again: {what}, {rules}{sources}{clock}{certificate}{rest}")
    }
}

/// The first lines, and how many more there are.
fn first(lines: &[String]) -> Vec<String> {
    let more = lines.len().saturating_sub(MOST_LINES);
    let rest = (more > 0).then(|| format!("and {more} more of programs' files and sources"));
    lines.iter().take(MOST_LINES).cloned().chain(rest).collect()
}

impl InForce {
    /// What the daemon was started with.
    pub fn of(configuration: &Configuration, texts: Texts) -> Self {
        let found = configuration.clone();
        Self {
            settings: found.settings,
            plan: found.plan,
            access: found.access,
            policy: found.policy,
            client_keys: found.client_keys,
            keys: found.keys,
            uses_dhcp: found.uses_dhcp,
            offered: found.offered.sources,
            unwanted: Vec::new(),
            history_days: found.history_days,
            digest: texts.digest(),
            texts,
        }
    }

    /// The server's access rules, and how it answers.
    pub fn server(&self) -> (&[Rule], &ServerPolicy) {
        (&self.access, &self.policy)
    }

    /// How many days of history are kept, and the SHA-256 of the configuration that is in force.
    pub fn history(&self) -> (u16, [u8; 32]) {
        (self.history_days, self.digest)
    }

    /// The file of the program that a source of this name comes from.
    pub fn offered_by(&self, name: &str) -> Option<&str> {
        let (_, file) = self.offered.iter().find(|(source, _)| source.name == name)?;
        Some(file)
    }

    /// What a request has read again, with what it has not.
    pub fn with_others(
        &self,
        Reload { main, drop_ins, programs, keys, leap_list, drops_names }: Reload,
    ) -> Again {
        let known = &self.texts;
        match main {
            None => Again::Programs(programs.unwrap_or_else(|| known.programs.clone())),
            Some(main) => {
                let drop_ins = drop_ins.unwrap_or_else(|| known.drop_ins.clone());
                let programs = programs.unwrap_or_else(|| known.programs.clone());
                Again::All(Texts { main, drop_ins, programs, keys, leap_list }, drops_names)
            }
        }
    }

    /// Checks texts as at a start, and puts in force what a reload can change.
    ///
    /// # Errors
    /// [`ReloadError`]; nothing has changed then.
    pub fn reload(
        &mut self,
        now: Now,
        again: Again,
        parts: (&mut Links, &mut Recorder),
    ) -> Result<Reloaded, ReloadError> {
        match again {
            Again::Programs(files) => {
                let (links, engine) = parts;
                Ok(self.reload_programs(now, files, links, engine))
            }
            Again::All(texts, drops_names) => self.reload_all(now, texts, drops_names, parts),
            Again::Main(main) => self.reload_all(now, Texts { main, ..self.texts.clone() }, false, parts),
        }
    }

    /// Only the sources of programs: what an administrator may be writing at this moment is none of their business.
    fn reload_programs(
        &mut self,
        now: Now,
        files: Vec<FileText>,
        links: &Links,
        engine: &mut Recorder,
    ) -> Reloaded {
        let mut texts = Texts { programs: files, ..Texts::only(FileText::private("", "")) };
        // Of these texts nothing but the files of programs can be too long.
        let _ = texts.bound();
        self.texts.programs = texts.programs;
        let (sources, left_out, notes) = self.take_up_offered(now, links.expects(Process::Exchange), engine);
        Reloaded {
            rules: self.access.len(),
            changed: false,
            sources,
            clock: Vec::new(),
            reads: None,
            other_files: false,
            waiting: Vec::new(),
            left_out,
            notes,
            is_of_programs: true,
        }
    }

    fn is_unwanted(&self, source: &SourceSettings) -> bool {
        self.unwanted.iter().any(|other| other.is_same_server(source))
    }

    /// Puts in force what the files of programs say beside all others that are asked now. Returns what became of it, what was
    /// left out, and what is not used as configured.
    fn take_up_offered(
        &mut self,
        now: Now,
        exchanges: bool,
        engine: &mut Recorder,
    ) -> (Sources, Vec<String>, Vec<String>) {
        let others = sources::others(engine);
        let Offered { sources: mut offered, warnings: mut left_out, mut notes } =
            Offered::read(&self.texts.programs, &others, self.uses_dhcp, |source| {
                sources::is_within_reach(source, exchanges)
                    && !self.is_unwanted(source)
                    && !self.plan.attested
            });
        offered.retain(|(source, file)| {
            let is_unwanted = self.is_unwanted(source);
            if is_unwanted {
                notes.push(format!("{} ({file}) is not asked: it was removed by hand", source.name));
            }
            !is_unwanted
        });
        let mut sources = sources::take_up_offered(engine, now, &mut offered, exchanges);
        self.offered = offered;
        left_out.append(&mut sources.left_out);
        (sources, left_out, notes)
    }

    fn reload_all(
        &mut self,
        now: Now,
        mut texts: Texts,
        drops_names: bool,
        (links, engine): (&mut Links, &mut Recorder),
    ) -> Result<Reloaded, ReloadError> {
        let found = configuration::read(&mut texts).map_err(ReloadError::Configuration)?;
        attested::judge(&self.plan, &found.plan, &texts.main.name).map_err(ReloadError::Configuration)?;
        let configured = found.configured().to_vec();
        let Configuration {
            settings,
            plan,
            access,
            policy,
            client_keys,
            keys,
            uses_dhcp,
            offered,
            history_days,
            ..
        } = found;
        let mut waiting = waiting::list(self, (&settings, history_days), &plan, keys.as_ref());
        // A file without [server] has no rules to put in force: they would lock out the clients that are still served.
        let serves = links.expects(Process::Server) && settings.server.is_some();
        let other_keys = serves && client_keys != self.client_keys;
        if other_keys {
            links.send_symmetric_keys(now.raw, &client_keys).map_err(ReloadError::Breach)?;
            self.client_keys = client_keys;
        }
        let changed = serves && (access != self.access || policy != self.policy);
        if changed {
            if policy != self.policy {
                links.send_policy(now.raw, policy).map_err(ReloadError::Breach)?;
            }
            links.send_access(now.raw, &access).map_err(ReloadError::Breach)?;
            (self.access, self.policy) = (access, policy);
        }
        if serves
            && let (Some(old), Some(new)) = (&mut self.settings.server, &settings.server)
            && old.version5 != new.version5
        {
            old.version5 = new.version5;
            engine.change_version5(now, new.version5);
        }
        let local = settings.server.as_ref().and_then(|server| server.local);
        let is_local_changed = match &mut self.settings.server {
            Some(old) if serves && old.local != local => {
                old.local = local;
                true
            }
            _ => false,
        };
        let service = self.plan.key_service.filter(|_| links.expects(Process::KeyService));
        let mut changed = changed || other_keys || is_local_changed;
        if let (Some(_), Some(new), Some(old)) = (service, &keys, &mut self.keys) {
            // The port may be that of the addresses, and is then no other before they are.
            let is_same = plan.listen == self.plan.listen;
            let ntp_port = if is_same { new.policy.ntp_port } else { old.policy.ntp_port };
            let policy = KeyPolicy { ntp_port, ..new.policy };
            if policy != old.policy {
                links.key_service.send_policy(now.raw, policy).map_err(ReloadError::Breach)?;
                old.policy = policy;
                changed = true;
            }
        }
        if service.is_some() {
            links.key_service.send_reload(now, drops_names).map_err(ReloadError::Breach)?;
        }
        // What can fail comes first: from here on all of it is done.
        if is_local_changed {
            engine.change_local_time(now, local);
        }
        let other_list = settings.leap_list != self.settings.leap_list;
        if other_list {
            self.settings.leap_list = settings.leap_list;
            engine.change_leap_list(now, settings.leap_list);
        }
        let exchanges = links.expects(Process::Exchange);
        let lacks = (uses_dhcp && configured.is_empty() && !exchanges).then_some("DHCP");
        let wanted = (configured.as_slice(), offered.sources.as_slice());
        let sources = sources::take_up(engine, now, wanted, (&self.plan, &plan), (exchanges, lacks));
        let waits = !sources.waiting.is_empty();
        self.digest = texts.digest();
        (self.uses_dhcp, self.history_days, self.texts) = (uses_dhcp, history_days, texts);
        self.unwanted.clear();
        let (of_programs, left_out, notes) = self.take_up_offered(now, exchanges, engine);
        let sources = sources.and(of_programs);
        let (mut clock, held) = self.take_up_clock(engine, now, (&settings, &plan), waits);
        clock.extend(other_list.then_some("leap-seconds-list"));
        if !held.is_empty() {
            waiting.insert(
                0,
                format!("[clock] has changed: {}, for which there are not all sources yet", held.join(", ")),
            );
        }
        if waits {
            waiting.insert(0, format!("sources: {}", sources.waiting.join(", ")));
        }
        let reads = service.map(|service| service.first);
        let pairs = |service: KeyService| (service.first, service.further);
        let named = plan.key_service.filter(|_| reads.is_some());
        let other_files = named.is_some() && named.map(pairs) != service.map(pairs);
        let rules = self.access.len();
        let is_of_programs = false;
        Ok(Reloaded {
            rules,
            changed,
            sources,
            clock,
            reads,
            other_files,
            waiting,
            left_out,
            notes,
            is_of_programs,
        })
    }

    /// Asks one more source, until a restart or a reload of a file without it. `text` is its `[[source]]`. Returns the line for
    /// the log.
    ///
    /// # Errors
    /// What is wrong with it, for the administrator.
    pub fn add_source(
        &mut self,
        now: Now,
        text: &str,
        links: &Links,
        engine: &mut Recorder,
    ) -> Result<String, String> {
        let mut texts = Texts::only(FileText::private("the source", text));
        texts.keys.clone_from(&self.texts.keys);
        let new = configuration::read(&mut texts).map_err(|error| error.to_string())?;
        let [source] = new.settings.sources.as_slice() else {
            return Err("one [[source]] is expected, and nothing else".to_owned());
        };
        if new.settings.server.is_some() || new.uses_dhcp || new.plan.profile != LaunchPlan::CLIENT.profile {
            return Err("one [[source]] is expected, and nothing else".to_owned());
        }
        attested::judge_source(&self.plan, source)?;
        let exchanges = links.expects(Process::Exchange);
        let said = sources::add(engine, now, source, (&self.plan, &new.plan), exchanges)?;
        // Those of DHCP have no vote beside it.
        let (of_programs, ..) = self.take_up_offered(now, exchanges, engine);
        Ok(match of_programs.sentence() {
            none if none.is_empty() => said,
            changes => format!("{said}; sources of programs: {changes}"),
        })
    }

    /// Asks a source no longer, until a restart or a reload of a file that has it. Returns the line for the log.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn remove_source(&mut self, now: Now, name: &str, engine: &mut Recorder) -> Result<String, String> {
        let gone = sources::remove(engine, now, name)?;
        let said = format!(
            "source removed by hand, until a restart or a reload of a file that has it: {}",
            ipc::text::escape(name)
        );
        // A lease that is renewed does not bring it back.
        if gone.offered {
            self.unwanted.push(gone);
        }
        Ok(said)
    }
}
