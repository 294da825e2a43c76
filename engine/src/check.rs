//! The report of `truechimerd --check` on a valid configuration.

use crate::configuration::{Configuration, Texts};
use ipc::message::launch::ToLaunch;
use ipc::text::escape;
use std::fmt::Write as _;

/// A line that confirms the configuration, and one for each setting that depends on other files or hosts.
pub fn describe(configuration: &Configuration, texts: &Texts) -> String {
    let Configuration { settings, plan, keys, .. } = configuration;
    let mut text = "configuration is in order\n".to_owned();
    for (what, files) in [("drop-ins", &texts.drop_ins), ("files of programs", &texts.programs)] {
        if !files.is_empty() {
            let names: Vec<String> = files.iter().map(|file| escape(&file.name)).collect();
            let _ = writeln!(text, "{what}: {}", names.join(", "));
        }
    }
    let authenticated = settings.sources.iter().filter(|source| source.nts.is_some()).count();
    if authenticated > 0 {
        let files: Vec<String> = plan.root_files().map(|(_, file)| escape(file.as_str())).collect();
        let total = settings.sources.len();
        let _ = writeln!(text, "NTS: {authenticated} of {total} sources; roots: {}", files.join(", "));
    }
    if let Some(service) = &plan.key_service {
        let listen: Vec<String> = service.listen.iter().map(ToString::to_string).collect();
        let _ = writeln!(
            text,
            "key exchange: {}; certificate: {}; key: {}",
            listen.join(", "),
            escape(service.first.certificate.as_str()),
            escape(service.first.key.as_str())
        );
        for pair in service.pairs().skip(1) {
            let (certificate, key) = (escape(pair.certificate.as_str()), escape(pair.key.as_str()));
            let _ = writeln!(text, "further certificate: {certificate}; key: {key}");
        }
    }
    if let Some(keys) = keys {
        let whose = if keys.fleet.is_some() { "the fleet's" } else { "this server's own" };
        let _ = writeln!(text, "cookie keys: {whose}");
    }
    text
}

/// What truechimerd looks at: the plan, and from where and over what sources are asked.
pub fn messages(configuration: &Configuration) -> impl Iterator<Item = ToLaunch> {
    let departures = configuration.settings.sources.iter().map(|source| source.departure);
    let chosen = departures.filter(|it| it.interface.is_some() || it.from.iter().any(Option::is_some));
    std::iter::once(ToLaunch::Plan(configuration.plan)).chain(chosen.map(ToLaunch::Leaves))
}
