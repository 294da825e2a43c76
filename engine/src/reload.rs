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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
        let rest = match self.new_section {
            Some(section) => &format!("; {section} is new: it takes a restart"),
            None if self.needs_restart => "; other changes in the file take a restart",
            None => "",
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
        Ok(Reloaded { rules: self.access.len(), changed, needs_restart, new_section, reads_certificate })
    }
}
