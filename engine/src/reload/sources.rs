//! Which sources of a new file are asked at once. Those that stay keep their measurements, their keys and their votes; a
//! change begins a source anew only if it names another server, other roots, another offer or another family of addresses. What
//! a source needs and only a start creates (the process that looks names up and exchanges keys, a file of root certificates that
//! it can see) makes it wait for a restart.

use crate::configuration::{MAX_SOURCES, SYSTEM};
use crate::control::Change;
use engine_core::EntryId;
use engine_core::io::{Command, Now};
use engine_core::recording::Recorder;
use engine_core::settings::{NtsSettings, Place, ReferenceClock, SourceSettings};
use ipc::file_path::FilePath;
use ipc::message::exchange::is_one_name;
use ipc::message::launch::LaunchPlan;
use ipc::plan::MAX_REFCLOCKS;

/// What became of the sources of a file, by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// Asked from now on.
    pub added: Vec<String>,
    /// Asked in another way from now on.
    pub changed: Vec<String>,
    /// No longer asked.
    pub removed: Vec<String>,
    /// Each with what it needs a restart for.
    pub waiting: Vec<String>,
    /// The same of those that programs want.
    pub left_out: Vec<String>,
}

impl Sources {
    /// With what became of others.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.added.extend(others.added);
        self.changed.extend(others.changed);
        self.removed.extend(others.removed);
        self.waiting.extend(others.waiting);
        self.left_out.extend(others.left_out);
        self
    }

    /// Whether anything has changed at once.
    pub fn is_news(&self) -> bool {
        !(self.added.is_empty() && self.changed.is_empty() && self.removed.is_empty())
    }

    /// For the log and for `chimerctl reload`; empty: nothing has changed at once.
    pub fn sentence(&self) -> String {
        let parts = [("added", &self.added), ("changed", &self.changed), ("removed", &self.removed)];
        let said: Vec<String> = parts
            .into_iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(what, names)| format!("{what} {}", names.join(", ")))
            .collect();
        said.join("; ")
    }
}

/// Which of the sources in force are to be something else.
#[derive(Debug, PartialEq)]
struct Plan {
    add: Vec<SourceSettings>,
    change: Vec<(EntryId, SourceSettings)>,
    /// Those that decide no longer (noselect), and stay.
    withdraw: Vec<(EntryId, SourceSettings)>,
    remove: Vec<(EntryId, String)>,
    /// Those of programs, which make room where there is none.
    yielding: Vec<(EntryId, String)>,
    waiting: Vec<String>,
}

/// Puts the configured sources in force, as far as that can be done; those of programs stay ([`take_up_offered`]), and what is
/// configured no longer but offered by one becomes its. `plans`: of the start, and of the file; `exchanges`: names are looked
/// up and keys exchanged, or else what `lacks` that.
pub fn take_up(
    engine: &mut Recorder,
    now: Now,
    (configured, offered): (&[SourceSettings], &[(SourceSettings, String)]),
    plans: (&LaunchPlan, &LaunchPlan),
    (exchanges, lacks): (bool, Option<&str>),
) -> Sources {
    let all: Vec<_> = engine.entries().map(|(id, settings)| (id, settings.clone())).collect();
    let is_configured =
        |settings: &SourceSettings| configured.iter().any(|wanted| wanted.is_same_server(settings));
    let (of_programs, old): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|(_, settings)| settings.offered && !is_configured(settings));
    let is_there = |source: &SourceSettings| old.iter().any(|(_, settings)| settings.is_same_server(source));
    let goes_over = offered.iter().map(|(source, _)| source).filter(|source| is_there(source));
    let wanted: Vec<SourceSettings> = configured.iter().chain(goes_over).cloned().collect();
    let lacks = lacks.map(|what| format!("{what} ({LACKS_EXCHANGE})"));
    let plan = compare(&old, &wanted, plans, exchanges, lacks);
    let yielding = of_programs.into_iter().map(|(id, settings)| (id, settings.name)).collect();
    carry_out(engine, now, Plan { yielding, ..plan })
}

/// The same for those of programs alone: all others stay as they are, those that were added or removed by hand among them. What
/// others ask already is taken out of the `offered`.
pub fn take_up_offered(
    engine: &mut Recorder,
    now: Now,
    offered: &mut Vec<(SourceSettings, String)>,
    exchanges: bool,
) -> Sources {
    let all = engine.entries().map(|(id, settings)| (id, settings.clone()));
    let (old, others): (Vec<_>, Vec<_>) = all.partition(|(_, settings)| settings.offered);
    offered.retain(|(source, _)| !others.iter().any(|(_, other)| other.is_same_server(source)));
    let (offered, left_out) = within_reach(offered, exchanges);
    // They are plain, so that no file of the start matters.
    let plan = compare(&old, &offered, (&LaunchPlan::CLIENT, &LaunchPlan::CLIENT), exchanges, None);
    Sources { left_out, ..carry_out(engine, now, plan) }
}

/// Those that are asked whatever a program says.
pub fn others(engine: &Recorder) -> Vec<SourceSettings> {
    engine.entries().map(|(_, settings)| settings).filter(|settings| !settings.offered).cloned().collect()
}

/// Whether one of a program's can be asked: only another start creates the process that looks names up.
pub fn is_within_reach(source: &SourceSettings, exchanges: bool) -> bool {
    exchanges || matches!(source.place, Place::Address(_))
}

/// Those of programs that can be asked, and what the others need.
fn within_reach(offered: &[(SourceSettings, String)], exchanges: bool) -> (Vec<SourceSettings>, Vec<String>) {
    let needs = |source: &SourceSettings| {
        let lacks = !is_within_reach(source, exchanges);
        lacks.then(|| format!("{} ({LACKS_EXCHANGE}; restart truechimer)", source.name))
    };
    let left_out = offered.iter().filter_map(|(source, _)| needs(source)).collect();
    let reached = offered.iter().map(|(source, _)| source).filter(|source| needs(source).is_none());
    (reached.cloned().collect(), left_out)
}

/// What only a start creates.
const LACKS_EXCHANGE: &str = "the process that looks up names and exchanges keys is not running";

fn carry_out(engine: &mut Recorder, now: Now, plan: Plan) -> Sources {
    let Plan { add, change, withdraw, mut remove, mut yielding, waiting } = plan;
    let mut done = Sources { waiting, ..Sources::default() };
    for (id, settings) in change {
        done.changed.push(settings.name.clone());
        let _ = engine.change_entry(now, id, settings);
    }
    // The new ones first, so that a file which replaces all of them loses no vote before it must.
    for settings in add {
        let name = settings.name.clone();
        let mut added = engine.add_entry(now, settings.clone());
        // A pool with NTS needs room for each of its members.
        while added.is_err()
            && let Some((id, gone)) = remove.pop().or_else(|| yielding.pop())
        {
            done.removed.push(gone);
            added = engine.remove_entry(now, id).and_then(|()| engine.add_entry(now, settings.clone()));
        }
        match added {
            Ok(_) => done.added.push(name),
            Err(_) => done.waiting.push(format!("{name} (there are too many sources)")),
        }
    }
    for (id, settings) in withdraw {
        done.changed.push(settings.name.clone());
        let _ = engine.change_entry(now, id, settings);
    }
    for (id, name) in remove {
        done.removed.push(name);
        let _ = engine.remove_entry(now, id);
    }
    done
}

/// Asks one more; says so.
///
/// # Errors
/// For the administrator.
pub fn add(
    engine: &mut Recorder,
    now: Now,
    source: &SourceSettings,
    plans: (&LaunchPlan, &LaunchPlan),
    exchanges: bool,
) -> Result<String, String> {
    let name = &source.name;
    let known = engine.entries().find(|(_, settings)| settings.is_same_server(source));
    let known = known.map(|(id, settings)| (id, settings.offered));
    if known.is_some_and(|(_, offered)| !offered) {
        return Err(format!("{name} is asked already"));
    }
    let seats = engine.entries().map(|(_, settings)| usize::from(settings.members.max(1))).sum::<usize>();
    if seats + usize::from(source.members.max(1)) > MAX_SOURCES {
        return Err(format!("there would be more than {MAX_SOURCES} sources; remove others first"));
    }
    let source = translate(source, plans, exchanges).map_err(|needs| {
        format!(
            "{needs}: add the source to the configuration file, and restart: systemctl restart truechimer"
        )
    })?;
    if let Some((id, _)) = known {
        // What a program has left becomes the administrator's.
        engine.change_entry(now, id, source).map_err(|_| format!("{name} has gone"))?;
        return Ok(format!(
            "source of a program taken over by hand, until a restart or a reload of a file without it: {name}"
        ));
    }
    let added = engine.add_entry(now, source);
    added.map_err(|_| format!("there are {MAX_SOURCES} sources already; remove others first"))?;
    Ok(format!("source added by hand, until a restart or a reload of a file without it: {name}"))
}

/// Asks it no longer; returns what it was.
///
/// # Errors
/// For the administrator.
pub fn remove(engine: &mut Recorder, now: Now, name: &str) -> Result<SourceSettings, String> {
    let (id, gone) = find(engine, name)?;
    let gone = gone.clone();
    engine.remove_entry(now, id).map_err(|_| "it has gone already".to_owned())?;
    Ok(gone)
}

/// The command for this change of the source of that name; none: of all.
///
/// # Errors
/// There is none of that name.
pub fn command(engine: &Recorder, change: Change, name: Option<&str>) -> Result<Command, String> {
    let of = name.map(|name| find(engine, name)).transpose()?.map(|(id, _)| id);
    Ok(match change {
        Change::Burst => Command::Burst(of),
        Change::Offline => Command::Offline(of),
        Change::Online => Command::Online(of),
    })
}

/// The source of this name.
///
/// # Errors
/// For the administrator.
fn find<'e>(engine: &'e Recorder, name: &str) -> Result<(EntryId, &'e SourceSettings), String> {
    let found = engine.entries().find(|(_, settings)| is_one_name(&settings.name, name));
    found.ok_or_else(|| {
        let known: Vec<&str> = engine.entries().map(|(_, settings)| settings.name.as_str()).collect();
        let known = if known.is_empty() { "there is none".to_owned() } else { known.join(", ") };
        format!("no source has this name; the sources: {known}")
    })
}

fn compare(
    old: &[(EntryId, SourceSettings)],
    wanted: &[SourceSettings],
    plans: (&LaunchPlan, &LaunchPlan),
    exchanges: bool,
    waiting: Option<String>,
) -> Plan {
    let mut left: Vec<&(EntryId, SourceSettings)> = old.iter().collect();
    let mut plan = Plan {
        add: Vec::new(),
        change: Vec::new(),
        withdraw: Vec::new(),
        remove: Vec::new(),
        yielding: Vec::new(),
        waiting: waiting.into_iter().collect(),
    };
    for wanted in wanted {
        let wanted = &renumbered(wanted, plans);
        let place = left.iter().position(|(_, settings)| settings.is_same_server(wanted));
        let known = place.map(|place| left.remove(place));
        match (translate(wanted, plans, exchanges), known) {
            (Err(needs), _) => plan.waiting.push(format!("{} ({needs})", wanted.name)),
            (Ok(wanted), Some((_, settings))) if *settings == wanted => {}
            (Ok(wanted), Some((id, settings))) if wanted.noselect && !settings.noselect => {
                plan.withdraw.push((*id, wanted));
            }
            (Ok(wanted), Some((id, _))) => plan.change.push((*id, wanted)),
            (Ok(wanted), None) => plan.add.push(wanted),
        }
    }
    if plan.waiting.is_empty() {
        plan.remove = left.iter().map(|(id, settings)| (*id, settings.name.clone())).collect();
        return plan;
    }
    // Those that wait may be what the file relies on: nothing is taken away before they are there.
    for (_, settings) in std::mem::take(&mut plan.withdraw) {
        plan.waiting.push(format!("until then {} decides as before", settings.name));
    }
    if !left.is_empty() {
        let asked: Vec<&str> = left.iter().map(|(_, settings)| settings.name.as_str()).collect();
        plan.waiting.push(format!("until then {} asked", are(&asked)));
    }
    plan
}

/// A reference clock of the file under the number that it has in the running daemon; one that is not read there under none that
/// there is.
fn renumbered(source: &SourceSettings, (old, new): (&LaunchPlan, &LaunchPlan)) -> SourceSettings {
    let Some(clock) = source.refclock else { return source.clone() };
    let wanted = new.refclocks.get(usize::from(clock.device)).copied().flatten();
    let place = wanted.and_then(|wanted| old.refclocks.iter().position(|known| *known == Some(wanted)));
    let device = place.and_then(|place| u8::try_from(place).ok()).unwrap_or(u8::MAX);
    let clock = ReferenceClock { device, ..clock };
    SourceSettings { place: clock.place(), refclock: Some(clock), ..source.clone() }
}

fn are(names: &[&str]) -> String {
    format!("{} {}", names.join(", "), if names.len() == 1 { "is" } else { "are" })
}

/// A source of the file as the running daemon has to call it: files of root certificates have the numbers of the start.
///
/// # Errors
/// What it needs that only a start creates.
fn translate(
    source: &SourceSettings,
    (old, new): (&LaunchPlan, &LaunchPlan),
    exchanges: bool,
) -> Result<SourceSettings, String> {
    if !exchanges && (source.nts.is_some() || matches!(source.place, Place::Name(..))) {
        return Err(LACKS_EXCHANGE.to_owned());
    }
    if source.refclock.is_some_and(|clock| usize::from(clock.device) >= MAX_REFCLOCKS) {
        return Err("nothing reads it yet".to_owned());
    }
    let Some(NtsSettings { roots, offer, shares_out }) = source.nts else { return Ok(source.clone()) };
    let unseen = |file: &FilePath| format!("no process can see {} yet", file.as_str());
    let roots = if roots == SYSTEM {
        match (&old.system_roots, &new.system_roots) {
            (Some(known), Some(wanted)) if known == wanted => SYSTEM,
            (_, wanted) => return Err(wanted.as_ref().map_or_else(String::new, unseen)),
        }
    } else {
        let file = new.roots.get(usize::from(roots) - 1).copied().flatten();
        let place = file.and_then(|file| old.roots.iter().position(|known| *known == Some(file)));
        match (place.and_then(|place| u8::try_from(place + 1).ok()), file) {
            (Some(number), _) => number,
            (None, file) => return Err(file.as_ref().map_or_else(String::new, unseen)),
        }
    };
    Ok(SourceSettings { nts: Some(NtsSettings { roots, offer, shares_out }), ..source.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configuration::{Configuration, parse};
    use engine_core::io::Start;
    use ipc::units::{RawInstant, WallTime};

    const NOW: Now = Now { raw: RawInstant::MIN, wall: WallTime::MIN };

    fn engine(configuration: &Configuration) -> Recorder {
        let start = Start {
            settings: configuration.settings.clone(),
            saved: None,
            associations: Vec::new(),
            addresses: Vec::new(),
            seed: [1; 32],
            precision: -20,
        };
        Recorder::new(start, None)
    }

    /// What a file with these tables does to an engine that was started with those.
    fn reloaded(old: &str, new: &str) -> (Sources, Vec<SourceSettings>) {
        let of = |sources: &str| parse(sources, "t").unwrap();
        let (old, new) = (of(old), of(new));
        let mut engine = engine(&old);
        let exchanges = old.plan.exchange;
        let wanted = (new.settings.sources.as_slice(), &[][..]);
        let done = take_up(&mut engine, NOW, wanted, (&old.plan, &new.plan), (exchanges, None));
        (done, engine.entries().map(|(_, settings)| settings.clone()).collect())
    }

    fn names(sources: &[SourceSettings]) -> Vec<&str> {
        sources.iter().map(|source| source.name.as_str()).collect()
    }

    fn plain(names: &[&str]) -> String {
        names.iter().map(|name| format!("[[source]]\naddress = \"{name}\"\n")).collect()
    }

    #[test]
    fn sources_come_change_and_go_and_those_that_stay_are_not_touched() {
        let old = plain(&["192.0.2.1", "192.0.2.2", "ntp.example.org"]);
        let (done, now) = reloaded(&old, &old);
        assert!(!done.is_news() && done.waiting.is_empty(), "{done:?}");
        assert_eq!(now.len(), 3);
        let new = plain(&["192.0.2.9", "NTP.example.org.", "192.0.2.1"]) + "prefer = true\n";
        let (done, now) = reloaded(&old, &new);
        assert_eq!(done.added, ["192.0.2.9"]);
        assert_eq!(done.removed, ["192.0.2.2"]);
        assert!(done.changed.contains(&"192.0.2.1".to_owned()), "{done:?}");
        assert!(done.waiting.is_empty());
        assert_eq!(now.len(), 3);
        assert!(now.iter().any(|source| source.name == "192.0.2.1" && source.prefer));
        assert!(done.sentence().starts_with("added 192.0.2.9; changed "), "{}", done.sentence());
    }

    #[test]
    fn a_configured_source_that_goes_but_is_offered_stays_as_the_programs_and_one_by_hand_is_the_administrators()
     {
        let of = |sources: &str| parse(sources, "t").unwrap();
        let (old, new) = (of(&plain(&["192.0.2.1", "192.0.2.2"])), of(&plain(&["192.0.2.2"])));
        let mut engine = engine(&old);
        let gone = SourceSettings { offered: true, ..old.settings.sources[0].clone() };
        let offered = [(gone.clone(), "a.toml".to_owned())];
        let wanted = (new.settings.sources.as_slice(), &offered[..]);
        let ids: Vec<EntryId> = engine.entries().map(|(id, _)| id).collect();
        let done = take_up(&mut engine, NOW, wanted, (&old.plan, &new.plan), (false, None));
        assert_eq!((done.changed.as_slice(), done.removed.len()), (&["192.0.2.1".to_owned()][..], 0));
        let now: Vec<(EntryId, bool)> = engine.entries().map(|(id, it)| (id, it.offered)).collect();
        assert_eq!(now, [(ids[0], true), (ids[1], false)], "it was not begun anew");
        let plans = (&old.plan, &old.plan);
        let said = add(&mut engine, NOW, &old.settings.sources[0], plans, false).unwrap();
        assert!(said.starts_with("source of a program taken over by hand"), "{said}");
        assert!(engine.entries().all(|(_, settings)| !settings.offered));
        assert!(add(&mut engine, NOW, &gone, plans, false).unwrap_err().contains("asked already"));
        // Where names are lacking that only another start looks up, nothing is taken away.
        let none = of("[dhcp]\nuse = true\n");
        let done = take_up(&mut engine, NOW, (&[], &[]), (&old.plan, &none.plan), (false, Some("DHCP")));
        assert!(
            !done.is_news() && done.waiting[0].starts_with("DHCP (the process that looks up"),
            "{done:?}"
        );
    }

    #[test]
    fn a_file_that_replaces_all_of_the_most_sources_is_taken_up_whole() {
        let some = |from: usize| {
            let all: Vec<String> = (from..from + 32).map(|n| format!("192.0.2.{n}")).collect();
            plain(&all.iter().map(String::as_str).collect::<Vec<_>>())
        };
        let (done, now) = reloaded(&some(1), &some(101));
        assert_eq!((done.added.len(), done.removed.len(), done.waiting.len()), (32, 32, 0));
        assert!(names(&now).iter().all(|name| name.len() == "192.0.2.101".len()), "{now:?}");
    }

    #[test]
    fn what_only_a_start_creates_makes_a_source_wait_and_the_others_do_not() {
        // Nobody looks names up.
        let new = plain(&["192.0.2.1", "192.0.2.2", "ntp.example.org"]);
        let (done, now) = reloaded(&plain(&["192.0.2.1"]), &new);
        assert_eq!((done.added.as_slice(), done.waiting.len()), (&["192.0.2.2".to_owned()][..], 1));
        assert!(done.waiting[0].starts_with("ntp.example.org (the process"), "{done:?}");
        assert_eq!(names(&now), ["192.0.2.1", "192.0.2.2"]);
        // Those that are to go stay with it.
        let old = plain(&["192.0.2.1", "192.0.2.2"]);
        let (done, now) = reloaded(&old, &plain(&["192.0.2.2", "ntp.example.org"]));
        assert_eq!((done.is_news(), names(&now)), (false, vec!["192.0.2.1", "192.0.2.2"]));
        assert_eq!(done.waiting[1..], ["until then 192.0.2.1 is asked"]);
        // A file of root certificates that no process can see; one that is seen has another number in the new file.
        let nts = |name: &str, roots: &str| {
            format!("[[source]]\naddress = \"{name}\"\nmode = \"nts\"\nroots = \"{roots}\"\n")
        };
        let old = nts("a.example", "/r/a.pem") + &nts("b.example", "/r/b.pem");
        let (done, now) = reloaded(&old, &(nts("b.example", "/r/b.pem") + &nts("c.example", "/r/c.pem")));
        assert_eq!(
            done.waiting,
            ["c.example (no process can see /r/c.pem yet)", "until then a.example is asked"]
        );
        assert!(!done.is_news(), "{done:?}");
        assert_eq!(names(&now), ["a.example", "b.example"]);
        let system = "[[source]]\naddress = \"d.example\"\nmode = \"nts\"\n";
        let (done, now) = reloaded(&old, &(old.clone() + system));
        assert_eq!(done.waiting, ["d.example (no process can see /etc/ssl/certs/ca-certificates.crt yet)"]);
        assert_eq!(now.len(), 2);
        // Where all of the file's wait, those from before are asked until then.
        let (done, now) = reloaded(&plain(&["192.0.2.1", "192.0.2.2"]), &plain(&["ntp.example.org"]));
        assert_eq!((done.is_news(), names(&now)), (false, vec!["192.0.2.1", "192.0.2.2"]));
        assert_eq!(done.waiting[1..], ["until then 192.0.2.1, 192.0.2.2 are asked"]);
        // Nor does one decide nothing any more.
        let noselect = plain(&["192.0.2.1"]) + "noselect = true\n";
        let old = plain(&["192.0.2.1"]);
        let (done, now) = reloaded(&old, &(noselect.clone() + &plain(&["ntp.example.org"])));
        assert_eq!((done.is_news(), now[0].noselect), (false, false));
        assert_eq!(done.waiting[1..], ["until then 192.0.2.1 decides as before"]);
        let (done, now) = reloaded(&old, &(noselect + &plain(&["192.0.2.2"])));
        assert_eq!((done.changed, done.added), (vec!["192.0.2.1".to_owned()], vec!["192.0.2.2".to_owned()]));
        assert!(now[0].noselect && !now[1].noselect, "{now:?}");
        let old = nts("a.example", "/r/a.pem") + &nts("b.example", "/r/b.pem");
        // One that stays but would need such a file is asked as before.
        let (done, now) = reloaded(&old, &(nts("a.example", "/r/x.pem") + &nts("b.example", "/r/b.pem")));
        assert_eq!((done.waiting.len(), done.is_news(), now.len()), (1, false, 2));
    }
}
