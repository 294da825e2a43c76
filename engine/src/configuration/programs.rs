//! What programs leave in `sources.d` of the run directory: plain sources, and nothing that decides who is believed.
//!
//! Such a file comes and goes with a lease or an instance, and nobody may be there who reads a message: one that is faulty is
//! left out with a warning, and never keeps the daemon from running. Those named `dhcp-…` are of DHCP servers, which anybody in
//! the same network can be: they are read only if `[dhcp]` says so, may name a few servers and nothing else, and are asked only
//! where the administrator has configured no source, so that they have no vote against one.

use super::document::{Faults, Section, parse};
use super::key_file::KeyFile;
use super::nts::RootSets;
use super::source::{are_of_one_host, read_source};
use super::texts::FileText;
use super::{MAX_SOURCES, keys};
use engine_core::settings::SourceSettings;
use ipc::file_path::OF_DHCP;
use ipc::text::escape;

/// Sources in a file of a DHCP client: of one interface.
const MAX_OF_LEASE: usize = 4;

/// Sources of all of these files together.
const MAX_OF_DHCP: usize = 16;

/// What was found there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Offered {
    /// Each source with the name of its file.
    pub sources: Vec<(SourceSettings, String)>,
    /// What was left out though somebody wants it: a line each.
    pub warnings: Vec<String>,
    /// What is not used, as configured: a line each.
    pub notes: Vec<String>,
}

/// Reads `[dhcp]`: whether the sources of DHCP servers are wanted.
pub fn read_dhcp(root: &Section<'_>, faults: &mut Faults<'_>) -> bool {
    let Some(section) = root.table("dhcp", "[dhcp]", faults) else { return false };
    section.refuse_unknown(&keys::DHCP, faults);
    section.boolean("use", faults).unwrap_or(false)
}

impl Offered {
    /// Reads these files beside `others`, which are asked whatever a program says. Those of DHCP only where nothing else is:
    /// of programs, what `can_be_asked`.
    pub fn read(
        files: &[FileText],
        others: &[SourceSettings],
        uses_dhcp: bool,
        can_be_asked: impl Fn(&SourceSettings) -> bool,
    ) -> Self {
        let mut offered = Self::default();
        let (of_dhcp, of_programs): (Vec<_>, Vec<_>) =
            files.iter().partition(|file| file.base().starts_with(OF_DHCP));
        for file in of_programs {
            let sources = offered.take(file, &keys::OFFERED, false);
            sources.into_iter().for_each(|source| offered.offer(source, file, others));
        }
        let names = || of_dhcp.iter().map(|file| escape(file.base())).collect::<Vec<_>>().join(", ");
        if of_dhcp.is_empty() {
            return offered;
        }
        if !uses_dhcp {
            offered.notes.push(format!(
                "sources of DHCP are ignored ({}); [dhcp] with use = true in the configuration has them asked",
                names()
            ));
        } else if others.iter().any(|source| !source.noselect)
            || offered.sources.iter().any(|(source, _)| can_be_asked(source))
        {
            offered
                .notes
                .push(format!("sources of DHCP are not asked ({}), because there are others", names()));
        } else {
            let mut count = 0;
            for file in of_dhcp {
                let sources = offered.take(file, &["address"], true);
                let most = MAX_OF_LEASE.min(MAX_OF_DHCP.saturating_sub(count));
                if sources.len() > most {
                    offered.warnings.push(format!(
                        "{}: {} sources, of which {most} are asked: at most {MAX_OF_LEASE} of an interface and {MAX_OF_DHCP} of DHCP",
                        escape(&file.name),
                        sources.len()
                    ));
                }
                count += sources.len().min(most);
                sources.into_iter().take(most).for_each(|source| offered.offer(source, file, others));
            }
        }
        offered
    }

    /// The sources of a file, which may have these keys; none if it has a fault, or, where each is a neighbour's word
    /// (`apart`), all but those that have one.
    fn take(&mut self, file: &FileText, known: &[&str], apart: bool) -> Vec<SourceSettings> {
        let mut faults = Faults::new([(file.name.as_str(), file.text.as_str())]);
        let mut sources = Vec::new();
        if let Some(table) = parse(0, &mut faults) {
            let root = Section::root(&table);
            root.refuse_unknown(&["source"], &mut faults);
            let mut roots = RootSets::default();
            for section in root.tables("source", "[[source]]", &mut faults) {
                let before = faults.count();
                for key in keys::SOURCE.iter().filter(|key| section.has(key) && !known.contains(key)) {
                    let text = format!(
                        "{key}: not in a file of a program; put a [[source]] with it into the configuration or a drop-in of it"
                    );
                    faults.add(section.place_of(key), text);
                }
                let source = read_source(&section, &KeyFile::default(), &mut roots, &mut faults);
                match (apart && faults.count() > before).then(|| faults.forget_after(before)).flatten() {
                    Some(fault) => self.warnings.push(format!(
                        "{}:{}: {}; this source is left out",
                        fault.name, fault.line, fault.text
                    )),
                    None => sources.extend(source.map(|source| SourceSettings { offered: true, ..source })),
                }
            }
        }
        let (list, _) = faults.into_lists();
        let Some(fault) = list.first() else { return sources };
        let more = match list.len() {
            1 => String::new(),
            count => format!(" (and {} more)", count - 1),
        };
        self.warnings
            .push(format!("{}:{}: {}{more}; the file is left out", fault.name, fault.line, fault.text));
        Vec::new()
    }

    /// One more, unless it is there already or there is no room.
    fn offer(&mut self, source: SourceSettings, file: &FileText, others: &[SourceSettings]) {
        let known = || others.iter().chain(self.sources.iter().map(|(source, _)| source));
        let same = known().find(|other| are_of_one_host(other, &source));
        if let Some(other) = same {
            if other.noselect {
                let (name, own) = (escape(&source.name), escape(&other.name));
                self.notes.push(format!(
                    "{name} ({}) is not used: it is configured as {own}, with noselect",
                    escape(&file.name)
                ));
            }
            return;
        }
        let seats: usize = known().map(|source| usize::from(source.members.max(1))).sum();
        if seats + usize::from(source.members.max(1)) > MAX_SOURCES {
            self.warnings.push(format!(
                "{}: {} is left out: there are {MAX_SOURCES} sources at most, pool members counted",
                escape(&file.name),
                escape(&source.name)
            ));
        } else {
            self.sources.push((source, file.base().to_owned()));
        }
    }
}
