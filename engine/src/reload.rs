//! Reloading the configuration file: the server policy takes effect at once. All other settings depend on sockets,
//! processes and limits that only a start creates.

use crate::configuration::{Configuration, ConfigurationError, KeySettings, judge, read_text, read_whole};
use crate::links::{Breach, Links};
use engine_core::io::Now;
use engine_core::settings::Settings;
use ipc::message::launch::LaunchPlan;
use ipc::message::server::{Rule, ServerPolicy};
use ipc::process::Process;
use std::fs::File;
use zeroize::Zeroizing;

/// The parts of the configuration that are in force.
#[derive(Clone, Debug)]
pub struct InForce {
    settings: Settings,
    plan: LaunchPlan,
    access: Vec<Rule>,
    policy: ServerPolicy,
    keys: Option<KeySettings>,
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
    pub fn read(&self) -> Result<(Zeroizing<String>, bool), ConfigurationError> {
        let is_private = judge(&self.file, &self.name, self.starter)?;
        Ok((read_text(&self.file, &self.name)?, is_private))
    }
}

/// What a reload did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reloaded {
    /// Access rules in force now.
    pub rules: usize,
    /// The server policy has changed.
    pub changed: bool,
    /// The file has another change that requires a restart.
    pub needs_restart: bool,
    /// A section that the daemon was started without, and for which it has no process.
    pub new_section: Option<&'static str>,
    /// The certificate and its key are being read again.
    pub reads_certificate: bool,
    /// What of the file is not in force before a restart.
    pub waiting: Vec<String>,
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
    /// For the log.
    pub fn sentence(&self) -> String {
        let what = if self.changed { "new access rules and limits" } else { "nothing new for the server" };
        let rest = match self.waiting.as_slice() {
            [] => "",
            waiting => &format!("; not in force before a restart: {}", waiting.join("; ")),
        };
        let certificate = if self.reads_certificate { "; certificate and key are read again" } else { "" };
        let rules = if self.rules == 1 { "1 rule" } else { &format!("{} rules", self.rules) };
        format!("configuration read again: {what}, {rules}{certificate}{rest}")
    }
}

impl InForce {
    /// What the daemon was started with.
    pub fn of(configuration: &Configuration) -> Self {
        let Configuration { settings, plan, access, policy, keys, .. } = configuration.clone();
        Self { settings, plan, access, policy, keys }
    }

    /// Checks the text of a file as at a start, and puts in force what a reload can change; `name` is only used in
    /// messages, `is_private` says that only its owner may read or change it.
    ///
    /// # Errors
    /// [`ReloadError`]; nothing has changed then.
    pub fn reload(
        &mut self,
        now: Now,
        (text, name): (&str, &str),
        is_private: bool,
        links: &mut Links,
    ) -> Result<Reloaded, ReloadError> {
        let Configuration { settings, plan, access, policy, keys, .. } =
            read_whole(text, name, is_private).map_err(ReloadError::Configuration)?;
        let fleet = |keys: &Option<KeySettings>| keys.as_ref().map(|keys| keys.fleet.clone());
        let needs_restart =
            settings != self.settings || plan != self.plan || fleet(&keys) != fleet(&self.keys);
        let new_section = if !plan.listen.is_empty() && self.plan.listen.is_empty() {
            Some("[server]")
        } else {
            (keys.is_some() && self.keys.is_none()).then_some("[server.nts]")
        };
        let waiting = match needs_restart {
            true => self.waiting(&settings, &plan, keys.as_ref()),
            false => Vec::new(),
        };
        let serves = links.expects(Process::Server);
        let changed = serves && (access != self.access || policy != self.policy);
        if changed {
            if policy != self.policy {
                links.send_policy(now.raw, policy).map_err(ReloadError::Breach)?;
            }
            links.send_access(now.raw, &access).map_err(ReloadError::Breach)?;
            (self.access, self.policy) = (access, policy);
        }
        let reads_certificate = links.expects(Process::KeyService);
        let mut changed = changed;
        if let (true, Some(new), Some(old)) = (reads_certificate, &keys, &mut self.keys)
            && new.policy != old.policy
        {
            links.key_service.send_policy(now.raw, new.policy).map_err(ReloadError::Breach)?;
            old.policy = new.policy;
            changed = true;
        }
        if reads_certificate {
            links.key_service.send_reload(now).map_err(ReloadError::Breach)?;
        }
        Ok(Reloaded {
            rules: self.access.len(),
            changed,
            needs_restart,
            new_section,
            reads_certificate,
            waiting,
        })
    }

    /// What a file that differs in more than the server's policy leaves for a restart.
    fn waiting(&self, settings: &Settings, plan: &LaunchPlan, keys: Option<&KeySettings>) -> Vec<String> {
        let mut waiting = Vec::new();
        let (new, old) = (&settings.sources, &self.settings.sources);
        let count = |sources: usize| match sources {
            0 => "no source".to_owned(),
            1 => "1 source".to_owned(),
            more => format!("{more} sources"),
        };
        if new.len() != old.len() {
            let (new, old) = (count(new.len()), count(old.len()));
            waiting.push(format!("the file has {new}, and the daemon still asks {old}"));
        } else if new != old {
            waiting.push("sources have changed, and those of the start are still asked".to_owned());
        }
        match (self.plan.listen.is_empty(), plan.listen.is_empty()) {
            (true, false) => waiting.push("[server] is new".to_owned()),
            (false, true) => waiting.push("[server] was removed, and clients are still served".to_owned()),
            (false, false) if self.plan.listen != plan.listen => {
                waiting.push("other addresses to listen on".to_owned());
            }
            (true, true) | (false, false) => {}
        }
        match (&self.keys, keys) {
            (None, Some(_)) => waiting.push("[server.nts] is new".to_owned()),
            (Some(_), None) => {
                waiting.push("[server.nts] was removed, and keys are still given to clients".to_owned());
            }
            (None, None) | (Some(_), Some(_)) => {}
        }
        if waiting.is_empty() {
            waiting.push("other changes in the file".to_owned());
        }
        waiting
    }
}
