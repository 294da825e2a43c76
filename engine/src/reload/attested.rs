//! What the profile attested excludes stays excluded until a restart.

use crate::configuration::{ConfigurationError, Fault};
use engine_core::settings::SourceSettings;
use ipc::message::launch::LaunchPlan;

/// Whether a new configuration may be taken up: not one that leaves the profile.
///
/// # Errors
/// For the administrator; `name` is the file's.
pub fn judge(in_force: &LaunchPlan, new: &LaunchPlan, name: &str) -> Result<(), ConfigurationError> {
    if !in_force.attested || new.attested {
        return Ok(());
    }
    let name = ipc::text::escape(name);
    let text =
        "profile: it is attested in this run, which ends with a restart alone; restart truechimer".to_owned();
    let fault = Fault { name: name.clone(), line: 1, text };
    Err(ConfigurationError::Faults(name, vec![fault]))
}

/// Whether this source may be added by hand.
///
/// # Errors
/// For the administrator.
pub fn judge_source(in_force: &LaunchPlan, source: &SourceSettings) -> Result<(), String> {
    let decides_alone = source.nts.is_none() || source.trust;
    if !in_force.attested || source.noselect || !decides_alone {
        return Ok(());
    }
    let name = ipc::text::escape(&source.name);
    Err(format!("{name}: in the profile attested it needs mode = \"nts\" and no trust, or noselect"))
}
