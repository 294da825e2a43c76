//! `chimerctl activity`: how many sources are asked, by their kind.

use crate::Failure;
use crate::screen::{Form, Screen};
use crate::text::{json, known, table};
use control_socket::{ask, read};
use report::read::{SourceReport, SourcesReply};
use report::{FORMAT, SourceActivity};
use serde::Serialize;
use std::path::Path;

/// Sources by what they do. Each is in one of the last four, unless the daemon is of another version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Counts {
    sources: usize,
    online: usize,
    bursting: usize,
    offline: usize,
    unresolved: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Activity {
    format: u32,
    all: Counts,
    plain: Counts,
    nts: Counts,
    keyed: Counts,
}

impl Counts {
    fn of<'a>(sources: impl Iterator<Item = &'a SourceReport>) -> Self {
        let mut counts = Self::default();
        for source in sources {
            counts.sources += 1;
            match known(source.activity.as_ref()) {
                Some(SourceActivity::Online) => counts.online += 1,
                Some(SourceActivity::Bursting) => counts.bursting += 1,
                Some(SourceActivity::Offline) => counts.offline += 1,
                Some(SourceActivity::Unresolved) => counts.unresolved += 1,
                None => {}
            }
        }
        counts
    }

    fn row(&self, kind: &str) -> Vec<String> {
        let counts = [self.sources, self.online, self.bursting, self.offline, self.unresolved];
        [kind.to_owned()].into_iter().chain(counts.map(|count| count.to_string())).collect()
    }
}

impl Activity {
    fn of(sources: &[SourceReport]) -> Self {
        // Of a source with NTS and no keys yet it is known too that it is to have some.
        let is_keyed = |source: &&SourceReport| source.key.is_some();
        let is_nts = |source: &&SourceReport| source.authenticated == Some(true) && source.key.is_none();
        Self {
            format: FORMAT,
            all: Counts::of(sources.iter()),
            plain: Counts::of(sources.iter().filter(|source| !is_nts(source) && !is_keyed(source))),
            nts: Counts::of(sources.iter().filter(is_nts)),
            keyed: Counts::of(sources.iter().filter(is_keyed)),
        }
    }

    fn page(&self, screen: Screen) -> String {
        let head = ["KIND", "SOURCES", "ONLINE", "BURSTING", "OFFLINE", "UNRESOLVED"];
        let (plain, nts, keyed) = (self.plain.row("plain"), self.nts.row("NTS"), self.keyed.row("key"));
        table(screen, &head, &[plain, nts, keyed, self.all.row("all")])
    }
}

/// Requests all sources and counts them.
pub fn show(socket: &Path, form: Form) -> Result<String, Failure> {
    let reply: SourcesReply = read(&ask(socket, "sources")?)?;
    let activity = Activity::of(reply.sources.as_deref().unwrap_or_default());
    Ok(match form {
        Form::Json => json(&serde_json::to_value(activity).unwrap_or_default()),
        Form::Text(screen) => activity.page(screen),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use report::read::SymmetricKeyReport;

    fn source(activity: &str, is_nts: bool) -> SourceReport {
        SourceReport {
            activity: Some(activity.into()),
            authenticated: Some(is_nts),
            ..SourceReport::default()
        }
    }

    #[test]
    fn each_source_is_counted_in_one_column_of_its_kind() {
        for (at, activity) in SourceActivity::ALL.into_iter().enumerate() {
            let found = Activity::of(&[source(activity.name(), true), source("of tomorrow", false)]);
            assert_eq!((found.all.sources, found.plain.sources, found.nts.sources), (2, 1, 1));
            let columns = [found.nts.online, found.nts.bursting, found.nts.offline, found.nts.unresolved];
            assert_eq!(columns, std::array::from_fn(|column| usize::from(column == at)), "{activity}");
            let none = Counts { sources: 1, ..Counts::default() };
            assert_eq!(found.plain, none, "a word of another version is in no column");
        }
        assert_eq!(Activity::of(&[]).page(Screen::WIDE).lines().count(), 5);
        let keyed = SourceReport { key: Some(SymmetricKeyReport::default()), ..source("online", true) };
        let found = Activity::of(&[keyed, source("online", true)]);
        assert_eq!(
            (found.all.sources, found.plain.sources, found.nts.sources, found.keyed.sources),
            (2, 0, 1, 1)
        );
    }
}
