//! Which source a number means, from [`Source`] records.

use ipc::history::{PART, SOURCES, Source};

/// The most parts of a name that are taken.
const PARTS: u8 = (ipc::history::NAME / PART) as u8;

/// A source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// Printable ASCII, at most [`ipc::history::NAME`] octets.
    pub text: String,
    /// Its packets are authenticated.
    pub authenticated: bool,
}

/// The names that are in force at a record, by number. A number without one: the record that gave it is older than what
/// the ring holds, or was lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    whole: Vec<Option<Name>>,
    /// Parts so far, and how many they are.
    begun: Vec<Option<(Name, u8)>>,
}

impl Names {
    /// The name of this number.
    pub fn name(&self, number: u8) -> Option<&Name> {
        self.whole.get(usize::from(number))?.as_ref()
    }

    /// The numbers of a mask of a minute, each with its name.
    pub fn of(&self, mask: u32) -> impl Iterator<Item = (u8, Option<&Name>)> {
        let has = move |number: &u8| mask >> number & 1 == 1;
        (0..SOURCES as u8).filter(has).map(|number| (number, self.name(number)))
    }

    /// All names are void.
    pub(crate) fn clear(&mut self) {
        self.whole.clear();
        self.begun.clear();
    }

    /// Takes a part. One that does not continue the parts before it voids the name.
    pub(crate) fn take(&mut self, part: &Source) {
        self.whole.resize(SOURCES, None);
        self.begun.resize(SOURCES, None);
        let number = usize::from(part.number);
        let (Some(whole), Some(begun)) = (self.whole.get_mut(number), self.begun.get_mut(number)) else {
            return;
        };
        *whole = None;
        let before = match (begun.take(), part.part) {
            (_, 0) => Some((Name { text: String::new(), authenticated: part.authenticated }, 0)),
            (before, _) => before,
        };
        let fits = |(name, taken): &(Name, u8)| {
            *taken == part.part
                && part.part < part.parts
                && part.parts <= PARTS
                && name.authenticated == part.authenticated
        };
        let Some((mut name, taken)) = before.filter(fits) else { return };
        name.text.push_str(&part.text);
        match taken + 1 == part.parts {
            true => *whole = Some(name),
            false => *begun = Some((name, taken + 1)),
        }
    }
}
