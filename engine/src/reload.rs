//! Reloading the configuration file. At once: the server's access rules and policy, the limits of the key service, and
//! its certificate and key, read again from where they were at the start. All other settings depend on sockets,
//! processes and limits that only a start creates (`waiting`).

mod waiting;

use crate::configuration::{Configuration, ConfigurationError, KeySettings, judge, read_text, read_whole};
use crate::links::{Breach, Links};
use engine_core::io::Now;
use engine_core::settings::Settings;
use ipc::file_path::FilePath;
use ipc::message::key_service::KeyPolicy;
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
    /// The certificate and its key, which are being read again; none: no keys are exchanged.
    pub reads: Option<(FilePath, FilePath)>,
    /// The file names another certificate or key, which only a restart takes up.
    pub other_files: bool,
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
        let certificate = match &self.reads {
            None => "",
            Some((certificate, key)) => &format!(
                "; certificate and key are read again: {} and {}",
                certificate.as_str(),
                key.as_str()
            ),
        };
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
        let waiting = waiting::list(self, &settings, &plan, keys.as_ref());
        // A file without [server] has no rules to put in force: they would lock out the clients that are still served.
        let serves = links.expects(Process::Server) && settings.server.is_some();
        let changed = serves && (access != self.access || policy != self.policy);
        if changed {
            if policy != self.policy {
                links.send_policy(now.raw, policy).map_err(ReloadError::Breach)?;
            }
            links.send_access(now.raw, &access).map_err(ReloadError::Breach)?;
            (self.access, self.policy) = (access, policy);
        }
        let service = self.plan.key_service.filter(|_| links.expects(Process::KeyService));
        let mut changed = changed;
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
            links.key_service.send_reload(now).map_err(ReloadError::Breach)?;
        }
        let reads = service.map(|service| (service.certificate, service.key));
        let named = plan.key_service.map(|service| (service.certificate, service.key));
        let other_files = reads.is_some() && named.is_some() && reads != named;
        Ok(Reloaded { rules: self.access.len(), changed, reads, other_files, waiting })
    }
}
