//! The sources that were used, by their names.

use super::Whose;
use history::{Entry, Names};
use ipc::history::{Minute, SOURCES};
use ipc::units::WallTime;
use std::collections::BTreeMap;
use std::rc::Rc;

/// The most sources that are told apart; further ones count as those without a name, which nobody has authorised.
const MOST: usize = 4_096;

/// A source that was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Used {
    /// As configured, and where it was asked; none: the record that gave it a name is no longer there.
    pub name: Option<String>,
    /// Its packets were authenticated.
    pub authenticated: bool,
    /// Whether it was named as authorised; none: nobody named any, or it has no name.
    pub authorised: Option<bool>,
    /// In how many minutes.
    pub minutes: u64,
    /// In how many minutes it was a falseticker.
    pub false_minutes: u64,
    /// The ends of the first and the last minute in which it was used; none: it was only a falseticker.
    pub seen: Option<(WallTime, WallTime)>,
}

/// Puts names on the numbers of minutes.
#[derive(Debug)]
pub(super) struct Roll {
    authorised: Vec<String>,
    all: Vec<Used>,
    /// Which of all has this name and is authenticated or not.
    known: BTreeMap<(Option<String>, bool), usize>,
    names: Option<Rc<Names>>,
    /// Which of all a number is.
    places: [Option<usize>; SOURCES],
}

impl Roll {
    pub(super) fn new(authorised: &[String]) -> Self {
        let (authorised, all, known) = (authorised.to_vec(), Vec::new(), BTreeMap::new());
        Self { authorised, all, known, names: None, places: [None; SOURCES] }
    }

    pub(super) fn finish(self) -> Vec<Used> {
        self.all
    }

    /// Counts the sources of a minute.
    pub(super) fn take(&mut self, entry: &Entry, minute: &Minute, end: WallTime) -> Whose {
        if !self.names.as_ref().is_some_and(|names| Rc::ptr_eq(names, &entry.names)) {
            self.names = Some(Rc::clone(&entry.names));
            self.places = [None; SOURCES];
        }
        // Beyond the numbers that there are, a source has none.
        let numbered = minute.used.count_ones() >= u32::from(minute.used_at_least);
        let mut whose = if numbered { Whose::Authorised } else { Whose::Unknown };
        for number in 0..SOURCES {
            let bit = 1_u32 << number;
            let (is_used, is_false) = (minute.used & bit != 0, minute.falsetickers & bit != 0);
            if !is_used && !is_false {
                continue;
            }
            let Some(place) = self.place(entry, number, minute.used_authenticated & bit != 0) else {
                continue;
            };
            let Some(source) = self.all.get_mut(place) else { continue };
            source.false_minutes += u64::from(is_false);
            if !is_used {
                continue;
            }
            source.minutes += 1;
            source.seen = Some((source.seen.map_or(end, |(first, _)| first), end));
            whose = match (source.authorised, whose) {
                (Some(false), _) | (_, Whose::Other) => Whose::Other,
                (Some(true), whose) => whose,
                (None, _) => Whose::Unknown,
            };
        }
        whose
    }

    fn place(&mut self, entry: &Entry, number: usize, authenticated: bool) -> Option<usize> {
        let known = self.places.get_mut(number)?;
        if known.is_some() {
            return *known;
        }
        let name = u8::try_from(number).ok().and_then(|number| entry.names.name(number));
        let authenticated = name.map_or(authenticated, |name| name.authenticated);
        let text = name.map(|name| name.text.clone());
        // Beyond the most, it has none.
        let is_full = self.all.len() >= MOST;
        let mut key = (text, authenticated);
        if is_full && !self.known.contains_key(&key) {
            key.0 = None;
        }
        let found = self.known.get(&key).copied();
        let place = found.unwrap_or(self.all.len());
        *known = Some(place);
        if found.is_none() {
            self.known.insert(key.clone(), place);
            let (text, authenticated) = key;
            let is_named = |text: &String| self.authorised.iter().any(|name| is_called(text, name));
            let authorised = text.as_ref().filter(|_| !self.authorised.is_empty()).map(is_named);
            let (minutes, false_minutes) = (0, 0);
            self.all.push(Used { name: text, authenticated, authorised, minutes, false_minutes, seen: None });
        }
        Some(place)
    }
}

/// Whether the name of a source in the history (as configured, a blank, its address) is this one: all of it, or what stands before
/// the blank.
fn is_called(text: &str, name: &str) -> bool {
    text == name || text.split_once(' ').is_some_and(|(configured, _)| configured == name)
}
