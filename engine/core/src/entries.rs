//! The configured sources: one entry for each `[[source]]`, with its state.
//!
//! An entry holds what its sources have in common: settings, the look-up of its name, how replies are
//! authenticated. Its sources are the addresses that are queried: one as a rule, several of a pool, none as long as the
//! name or the keys are not known.

use crate::candidates::Candidates;
use crate::independence::Identity;
use crate::io::KeptAddresses;
use crate::keyed::KeyedAssociation;
use crate::names::Lookup;
use crate::nts::Association;
use crate::settings::{Place, SourceSettings};
use crate::source::Source;
use crate::source_id::SourceId;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};
use ipc::address::Address;
use ipc::message::exchange::HostName;
use ipc::units::RawInstant;

/// Most entries: the configuration allows no more.
pub(crate) const MOST_ENTRIES: usize = 32;

/// Why an entry cannot be added, changed or removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryError {
    /// There are as many entries as allowed.
    Full,
    /// There is no entry of that id, or no longer.
    NoSuchEntry,
}

/// An entry of one engine. Never used twice: an entry that was removed and added again is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryId(u32);

impl EntryId {
    /// For a recording.
    pub(crate) const fn number(self) -> u32 {
        self.0
    }

    /// From a recording. The entry need not exist.
    pub(crate) const fn from_number(number: u32) -> Self {
        Self(number)
    }
}

/// How the replies of an entry's sources are proved to be their own.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Authentication {
    /// Not at all.
    Plain,
    /// Network Time Security: by keys that were exchanged.
    Nts(Box<Association>),
    /// By a symmetric key that the configuration names.
    Key(Box<KeyedAssociation>),
}

/// How far an entry has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Before the welcome.
    Waiting,
    /// It is asked, or its name looked up, or its keys exchanged.
    Running,
    /// Another entry names the same server; that one is asked.
    Duplicate,
    /// A further member of an NTS pool for which there is no address: it is not asked, has no vote, and nobody misses it.
    Vacant,
}

/// The addresses of a plain source's name that worked last.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Kept {
    pub(crate) known: Option<KeptAddresses>,
    pub(crate) stage: Recall,
    /// While they leave: since when an address of the answer is live and has a vote.
    pub(crate) succeeded_since: Option<RawInstant>,
}

/// How far the addresses of an earlier run have come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Recall {
    /// There are none, or they are not needed.
    #[default]
    Over,
    /// They are used if the name is not resolved soon.
    Waiting,
    /// They are used.
    InUse,
    /// The name is resolved: they are used until addresses of the answer work.
    Leaving,
}

/// Which entries are meant. What decides anything looks at [`Group::Deciding`] only, and this is what [`Entries`] gives where
/// nothing else is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    /// Those that may have a vote.
    Deciding,
    /// Those that are measured, and decide nothing (`noselect`).
    Observed,
}

/// One `[[source]]`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) id: EntryId,
    pub(crate) settings: SourceSettings,
    pub(crate) phase: Phase,
    /// Of a further member of an NTS pool: the entry of the first one, which has what they have in common.
    pub(crate) pool: Option<EntryId>,
    /// None where an address is configured, and with NTS but for the first member of a pool: its key exchange finds the address.
    pub(crate) lookup: Option<Lookup>,
    pub(crate) authentication: Authentication,
    /// Of the first member of an NTS pool: the addresses of its name, at which keys are exchanged.
    pub(crate) hosts: Candidates,
    /// Of a member of an NTS pool: at which of these its keys are exchanged.
    pub(crate) host: Option<Address>,
    /// Of one whose key exchange server shares its clients out: which time server it named, and which ones were of no use before, the
    /// latest first.
    pub(crate) named: Option<HostName>,
    pub(crate) avoided: Vec<HostName>,
    /// The addresses of its name, or of the time server that its key exchange named.
    pub(crate) candidates: Candidates,
    pub(crate) members: Vec<Source>,
    /// Which addresses of its name worked last, and what they are used for.
    pub(crate) kept: Kept,
    /// It was added while others are followed already: until then nobody misses its vote, unless it decides who else
    /// has one.
    pub(crate) awaited_until: Option<RawInstant>,
    /// Since when its answers could come; none before the welcome.
    pub(crate) begun: Option<RawInstant>,
    /// When one of its addresses was first queried.
    pub(crate) asked: Option<RawInstant>,
    /// A source that was removed was [`Source::forgotten`], and none has answered since.
    pub(crate) forgotten: bool,
    /// It is not asked until the administrator says so.
    pub(crate) offline: bool,
}

impl Entry {
    fn new(id: EntryId, settings: SourceSettings) -> Self {
        let authentication = match (&settings.nts, &settings.key) {
            (Some(_), _) => Authentication::Nts(Box::new(Association::idle())),
            (None, Some(key)) => Authentication::Key(Box::new(KeyedAssociation::new(key))),
            (None, None) => Authentication::Plain,
        };
        Self {
            id,
            settings,
            phase: Phase::Waiting,
            pool: None,
            lookup: None,
            authentication,
            hosts: Candidates::default(),
            host: None,
            named: None,
            avoided: Vec::new(),
            candidates: Candidates::default(),
            members: Vec::new(),
            kept: Kept::default(),
            awaited_until: None,
            begun: None,
            asked: None,
            forgotten: false,
            offline: false,
        }
    }

    /// The entry that stands for the `[[source]]`: itself, unless it is a further member of an NTS pool.
    pub(crate) fn configured(&self) -> EntryId {
        self.pool.unwrap_or(self.id)
    }

    /// Whether it is of an NTS pool, and where it is to exchange keys is not known yet.
    pub(crate) fn is_hostless(&self) -> bool {
        self.settings.is_nts_pool() && !self.settings.is_shared_out() && self.host.is_none()
    }

    /// Of a further member of an NTS pool: there is no address for it.
    pub(crate) fn vacate(&mut self) {
        self.phase = Phase::Vacant;
        self.host = None;
        self.candidates = Candidates::default();
        self.authentication = Authentication::Nts(Box::new(Association::idle()));
    }

    /// What a certificate has to name: its host name or address, as configured; empty for an address of an interface.
    pub(crate) fn host(&self) -> String {
        match &self.settings.place {
            Place::Name(name, _) if name.scoped().is_none() => name.as_str().to_string(),
            Place::Name(..) => String::new(),
            Place::Address(address) => address.socket_address().ip().to_canonical().to_string(),
        }
    }

    pub(crate) const fn group(&self) -> Group {
        if self.settings.noselect { Group::Observed } else { Group::Deciding }
    }

    /// Whether it decides nothing.
    pub(crate) fn is_observed(&self) -> bool {
        self.group() == Group::Observed
    }

    /// With an NTS source, once it was begun.
    pub(crate) fn association(&self) -> Option<&Association> {
        match &self.authentication {
            Authentication::Nts(association) if self.phase == Phase::Running => Some(association),
            Authentication::Nts(_) | Authentication::Key(_) | Authentication::Plain => None,
        }
    }

    /// As [`Self::association`].
    pub(crate) fn association_mut(&mut self) -> Option<&mut Association> {
        match &mut self.authentication {
            Authentication::Nts(association) if self.phase == Phase::Running => Some(association),
            Authentication::Nts(_) | Authentication::Key(_) | Authentication::Plain => None,
        }
    }

    /// Whether it has a vote and no source yet: its name has no address, or its keys are not there.
    pub(crate) fn is_nameless(&self) -> bool {
        let awaits = matches!(self.settings.place, Place::Name(..)) || self.settings.nts.is_some();
        awaits && self.members.is_empty() && self.phase != Phase::Vacant
    }

    /// Whether the vote of one of its sources, or its own where it has none yet, is an authenticated one.
    pub(crate) fn is_authenticated(&self, source: Option<&Source>) -> bool {
        self.settings.is_authenticated() || source.is_some_and(|source| source.authenticated)
    }

    /// What is known of one of its sources, or of itself where it has none yet.
    pub(crate) fn identify(&self, source: Option<&Source>) -> Identity<'_> {
        let facts = source.and_then(|source| source.track.facts);
        Identity {
            name: match &self.settings.place {
                Place::Name(name, _) if self.settings.nts.is_some() => name.as_str(),
                Place::Name(..) | Place::Address(_) => &self.settings.name,
            },
            ip: source.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |source| source.address().ip()),
            port: source.map_or(0, |source| source.address().port()),
            stratum: facts.map_or(16, |facts| facts.stratum),
            reference_id: facts.map_or(0, |facts| facts.reference_id),
        }
    }

    /// What the configuration gives it over another entry for the same address: that it decides anything, has NTS, or at least a good
    /// key, or any, is configured at all, written out, trusted, required, preferred.
    pub(crate) fn rank(&self) -> [bool; 9] {
        let settings = &self.settings;
        [
            !settings.noselect,
            settings.nts.is_some(),
            settings.is_authenticated(),
            settings.key.is_some(),
            !settings.offered,
            matches!(settings.place, Place::Address(_)),
            settings.trust,
            settings.require,
            settings.prefer,
        ]
    }
}

/// How many entries one `[[source]]` has.
fn seats(settings: &SourceSettings) -> usize {
    if settings.is_nts_pool() { usize::from(settings.members) } else { 1 }
}

/// All entries, in the order of the configuration. What is asked for without a further word is that of entries which may have
/// a vote; those that are only measured have to be asked for by name (`all_…`, or the [`Group`]), or by an id.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entries {
    list: Vec<Entry>,
    next_entry: u32,
    next_source: u32,
}

impl Entries {
    /// Those of a configuration, which wait for the welcome; what is beyond [`MOST_ENTRIES`] is left out.
    pub(crate) fn new(settings: Vec<SourceSettings>) -> Self {
        let mut entries = Self { list: Vec::new(), next_entry: 0, next_source: 0 };
        for settings in settings {
            entries.add(settings);
        }
        entries
    }

    /// Adds one at the end, of an NTS pool with all its members; none where there are too many.
    pub(crate) fn add(&mut self, settings: SourceSettings) -> Option<EntryId> {
        if self.list.len() + seats(&settings) > MOST_ENTRIES {
            return None;
        }
        let id = EntryId(self.next_entry);
        self.next_entry += 1;
        self.list.push(Entry::new(id, settings));
        self.add_members(id);
        Some(id)
    }

    /// Gives an NTS pool the members that it lacks; those that are new.
    pub(crate) fn add_members(&mut self, first: EntryId) -> Vec<EntryId> {
        let Some(entry) = self.get(first) else { return Vec::new() };
        let (settings, offline) = (entry.settings.clone(), entry.offline);
        let of_pool = |entry: &Entry| entry.configured() == first;
        let mut new = Vec::new();
        for _ in self.list.iter().filter(|entry| of_pool(entry)).count()..seats(&settings) {
            let Some(last) = self.list.iter().rposition(of_pool).filter(|_| self.list.len() < MOST_ENTRIES)
            else {
                break;
            };
            let id = EntryId(self.next_entry);
            self.next_entry += 1;
            let entry = Entry { pool: Some(first), offline, ..Entry::new(id, settings.clone()) };
            self.list.insert(last + 1, entry);
            new.push(id);
        }
        new
    }

    /// Takes out what stands for one `[[source]]`.
    pub(crate) fn remove(&mut self, id: EntryId) -> Vec<Entry> {
        self.list.extract_if(.., |entry| entry.configured() == id).collect()
    }

    /// Takes one member of an NTS pool out.
    pub(crate) fn remove_member(&mut self, id: EntryId) -> Option<Entry> {
        let at = self.list.iter().position(|entry| entry.id == id && entry.pool.is_some())?;
        Some(self.list.remove(at))
    }

    /// Two members of an NTS pool change places: each goes on with the keys and the time server of the other.
    pub(crate) fn swap(&mut self, one: EntryId, other: EntryId) {
        let at = |id| self.list.iter().position(|entry| entry.id == id);
        let (Some(one), Some(other)) = (at(one), at(other)) else { return };
        let Ok([one, other]) = self.list.get_disjoint_mut([one, other]) else { return };
        core::mem::swap(one, other);
        // What belongs to the place, and not to who is there.
        core::mem::swap(&mut one.id, &mut other.id);
        core::mem::swap(&mut one.pool, &mut other.pool);
        core::mem::swap(&mut one.lookup, &mut other.lookup);
        core::mem::swap(&mut one.hosts, &mut other.hosts);
    }

    /// Puts one with other settings in the place of an entry, as if it had just been added, and gives back what was
    /// there; none if there is too little room for its members.
    pub(crate) fn replace(&mut self, id: EntryId, settings: SourceSettings) -> Vec<Entry> {
        let Some(at) = self.list.iter().position(|entry| entry.id == id) else { return Vec::new() };
        let offline = self.list.get(at).is_some_and(|entry| entry.offline);
        let before = self.remove(id);
        self.list.insert(at, Entry { offline, ..Entry::new(id, settings) });
        self.add_members(id);
        before
    }

    /// Those that stand for one `[[source]]`, the first one first.
    pub(crate) fn members_of(&self, id: EntryId) -> Vec<EntryId> {
        self.list.iter().filter(|entry| entry.configured() == id).map(|entry| entry.id).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.iter().filter(|entry| entry.phase != Phase::Vacant).count()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Of all entries, those that decide first: an observed one stands back for any of them.
    pub(crate) fn all_ids(&self) -> Vec<EntryId> {
        let ids = |group| self.of(group).map(|entry| entry.id);
        ids(Group::Deciding).chain(ids(Group::Observed)).collect()
    }

    pub(crate) fn of(&self, group: Group) -> impl Iterator<Item = &Entry> + Clone {
        self.list.iter().filter(move |entry| entry.group() == group)
    }

    pub(crate) fn of_mut(&mut self, group: Group) -> impl Iterator<Item = &mut Entry> {
        self.list.iter_mut().filter(move |entry| entry.group() == group)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> + Clone {
        self.of(Group::Deciding)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.of_mut(Group::Deciding)
    }

    pub(crate) fn all(&self) -> core::slice::Iter<'_, Entry> {
        self.list.iter()
    }

    pub(crate) fn all_mut(&mut self) -> core::slice::IterMut<'_, Entry> {
        self.list.iter_mut()
    }

    pub(crate) fn get(&self, id: EntryId) -> Option<&Entry> {
        self.list.iter().find(|entry| entry.id == id)
    }

    pub(crate) fn get_mut(&mut self, id: EntryId) -> Option<&mut Entry> {
        self.list.iter_mut().find(|entry| entry.id == id)
    }

    /// The sources, in the order of the entries.
    pub(crate) fn sources(&self) -> impl Iterator<Item = &Source> {
        self.iter().flat_map(|entry| &entry.members)
    }

    /// As [`Self::sources`].
    pub(crate) fn sources_mut(&mut self) -> impl Iterator<Item = &mut Source> {
        self.iter_mut().flat_map(|entry| &mut entry.members)
    }

    pub(crate) fn all_sources_mut(&mut self) -> impl Iterator<Item = &mut Source> {
        self.list.iter_mut().flat_map(|entry| &mut entry.members)
    }

    /// The sources, each with its entry.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&Entry, &Source)> {
        self.iter().flat_map(|entry| entry.members.iter().map(move |source| (entry, source)))
    }

    pub(crate) fn all_members(&self) -> impl Iterator<Item = (&Entry, &Source)> {
        self.list.iter().flat_map(|entry| entry.members.iter().map(move |source| (entry, source)))
    }

    /// What another entry of this group may look at: the deciding ones see each other, and observed ones see all.
    pub(crate) fn members_before(&self, group: Group) -> impl Iterator<Item = (&Entry, &Source)> {
        self.all_members().filter(move |(owner, _)| group == Group::Observed || !owner.is_observed())
    }

    pub(crate) fn associations(&self) -> impl Iterator<Item = &Association> {
        self.iter().filter_map(Entry::association)
    }

    pub(crate) fn all_associations_mut(&mut self) -> impl Iterator<Item = &mut Association> {
        self.list.iter_mut().filter_map(Entry::association_mut)
    }

    /// A source and its entry, of whichever group.
    pub(crate) fn source(&self, id: SourceId) -> Option<(&Entry, &Source)> {
        self.all_members().find(|(_, source)| source.id == id)
    }

    /// A source, and the settings and the authentication that it has from its entry.
    pub(crate) fn source_mut(
        &mut self,
        id: SourceId,
    ) -> Option<(&SourceSettings, &mut Authentication, &mut Source)> {
        self.list.iter_mut().find_map(|Entry { settings, authentication, members, .. }| {
            let source = members.iter_mut().find(|source| source.id == id)?;
            Some((&*settings, authentication, source))
        })
    }

    /// Gives an entry a source.
    pub(crate) fn add_source(
        &mut self,
        entry: EntryId,
        address: Address,
        now: RawInstant,
    ) -> Option<&mut Source> {
        let id = SourceId::of(self.next_source);
        self.next_source = self.next_source.wrapping_add(1);
        let Entry { settings, members, forgotten, .. } = self.get_mut(entry)?;
        members.push(Source { forgotten: *forgotten, ..Source::new(id, address, settings, now) });
        members.last_mut()
    }

    /// Takes a source away.
    pub(crate) fn remove_source(&mut self, id: SourceId) -> Option<Source> {
        self.list.iter_mut().find_map(|entry| {
            let at = entry.members.iter().position(|source| source.id == id)?;
            let gone = entry.members.remove(at);
            entry.forgotten |= gone.forgotten;
            Some(gone)
        })
    }
}
