//! What our configuration is to have, and what is said of each line of the other one.

use crate::key_file::Named;
use crate::serving::Serving;
use crate::words::{Line, Words};
use ipc::symmetric_key::SymmetricKey;

/// A part of our configuration, in the order in which they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A `[[source]]` of the line's own.
    Source,
    /// `[clock]`.
    Clock,
    /// `[nts]`.
    Nts,
    /// `[server]`.
    Server,
    /// `[server.nts]`.
    ServerNts,
    /// `[keys]`.
    Keys,
    /// `[dhcp]`.
    Dhcp,
    /// None.
    Rest,
}

/// What is said of some words of a line.
#[derive(Clone, Debug)]
pub struct Note {
    /// The words; empty: the whole line.
    pub words: String,
    /// Why they are not carried, or how.
    pub why: String,
    /// Whether it is a loss, or something has to be done by hand.
    pub matters: bool,
}

/// A line of the other configuration.
#[derive(Clone, Debug)]
pub struct Item {
    /// Where it stands, and what.
    pub line: Line,
    /// Where its comment stands.
    pub part: Part,
    /// What is said of it.
    pub notes: Vec<Note>,
}

/// A key with its value in TOML, of a line.
#[derive(Clone, Debug)]
pub struct Key {
    /// Its section.
    pub part: Part,
    /// Its name.
    pub name: &'static str,
    /// Its value.
    pub value: String,
    /// The line that it is from.
    pub item: usize,
}

/// A `[[source]]`.
#[derive(Clone, Debug)]
pub struct Source {
    /// The line that it is from.
    pub item: usize,
    /// A name or an address.
    pub host: String,
    /// Of NTP, or with NTS of the key exchange; none: the usual one.
    pub port: Option<u16>,
    /// Whether it is authenticated.
    pub nts: bool,
    /// Whether it is a pool, and of how many members.
    pub members: Option<u8>,
    /// Other keys, with their values in TOML.
    pub keys: Vec<(&'static str, String)>,
    /// The file of root certificates.
    pub roots: Option<String>,
    /// The number of its symmetric key.
    pub key: Option<u32>,
    /// Why it is written as a comment.
    pub out: Option<String>,
}

impl Source {
    /// One that says nothing but its host.
    pub fn of(item: usize, host: &str) -> Self {
        let host = host.to_owned();
        let (keys, key) = (Vec::new(), None);
        Self { item, host, port: None, nts: false, members: None, keys, roots: None, key, out: None }
    }

    /// How many sources it counts for.
    pub fn count(&self) -> usize {
        usize::from(self.members.unwrap_or(1))
    }
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The lines.
    pub items: Vec<Item>,
    /// In their order.
    pub sources: Vec<Source>,
    /// Each at most once in its section.
    pub keys: Vec<Key>,
    /// To whom time is served.
    pub serving: Serving,
    /// What is said of no line.
    pub remarks: Vec<(Part, String)>,
    /// What is lost without a line.
    lost: Vec<String>,
    /// The AEADs of all NTS sources.
    pub aead: Option<String>,
    /// Whether there was something besides [`Plan::sources`] that the time came from: a reference clock, a line that could not be
    /// read.
    pub lost_source: bool,
    /// Whether a DHCP lease has brought servers.
    pub has_leases: bool,
    /// The file of symmetric keys.
    pub key_file: Option<Named>,
    /// What was found in it.
    pub symmetric_keys: Vec<SymmetricKey>,
    /// What of it is lost.
    pub key_losses: Vec<String>,
}

impl Plan {
    /// A line that was found.
    pub fn item(&mut self, part: Part, line: &Line) -> usize {
        self.items.push(Item { line: line.clone(), part, notes: Vec::new() });
        self.items.len() - 1
    }

    /// What is said of words of a line, where nothing is lost.
    pub fn note(&mut self, item: usize, words: &str, why: &str) {
        self.say(item, words, why, false);
    }

    /// What is said of words of a line that matter and are not carried, or need a hand.
    pub fn loss(&mut self, item: usize, words: &str, why: &str) {
        self.say(item, words, why, true);
    }

    fn say(&mut self, item: usize, words: &str, why: &str, matters: bool) {
        if let Some(item) = self.items.get_mut(item) {
            item.notes.push(Note { words: words.to_owned(), why: why.to_owned(), matters });
        }
    }

    /// The same of something that the time came from.
    pub fn lose_source(&mut self, item: usize, words: &str, why: &str) {
        self.loss(item, words, why);
        self.lost_source = true;
    }

    /// A loss of no line.
    pub fn lose(&mut self, why: &str) {
        self.lost.push(why.to_owned());
    }

    /// What is said in a section of what no line says.
    pub fn remark(&mut self, part: Part, text: &str) {
        self.remarks.push((part, text.to_owned()));
    }

    /// A key of a section. One that was said before is replaced, and the line that said it gets a note.
    pub fn set(&mut self, part: Part, name: &'static str, value: String, item: usize) {
        if let Some(old) = self.keys.iter().position(|key| key.part == part && key.name == name) {
            let old = self.keys.remove(old);
            if old.item != item {
                let place = self.place(item);
                self.note(old.item, "", &format!("{name}: {place} says it too, and counts"));
            }
        }
        self.keys.push(Key { part, name, value, item });
    }

    /// What a line says is said again by a later one, which counts.
    pub fn superseded(&mut self, old: usize, by: usize) {
        if old != by {
            let place = self.place(by);
            self.note(old, "", &format!("{place} says it too, and counts"));
        }
    }

    /// What lines of a part say matters no more.
    pub fn calm(&mut self, part: Part) {
        let items = self.items.iter_mut().filter(|item| item.part == part);
        items.flat_map(|item| &mut item.notes).for_each(|note| note.matters = false);
    }

    /// The value of a key.
    pub fn value(&self, part: Part, name: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.part == part && key.name == name)
    }

    /// Where a line stands.
    pub fn place(&self, item: usize) -> String {
        self.items.get(item).map_or_else(String::new, |item| item.line.place())
    }

    /// What was left of a line that has been read.
    pub fn leftover(&mut self, item: usize, words: &mut Words) {
        let rest = words.rest();
        if !rest.is_empty() {
            self.loss(item, &rest.join(" "), "not understood, and not carried");
        }
    }

    /// A directive that needs nothing here, or has nothing here.
    pub fn explain(&mut self, line: &Line, why: &str, matters: bool) {
        let item = self.item(Part::Rest, line);
        self.say(item, "", why, matters);
    }

    /// A line, or a file behind it, that cannot be read: it may be the one that keeps clients out, so none is answered.
    pub fn unread(&mut self, item: usize, words: &str, why: &str) {
        self.lose_source(item, words, why);
        self.serving.block("what cannot be read may keep clients out");
    }

    /// What matters, in the order of the lines: first what is of no line.
    pub fn losses(&self) -> Vec<String> {
        let of_lines = self.items.iter().flat_map(|item| {
            let matter = item.notes.iter().filter(|note| note.matters);
            matter.map(|note| {
                let words = if note.words.is_empty() { item.line.text.trim() } else { &note.words };
                ipc::text::escape(&format!("{}: {words}: {}", item.line.place(), note.why))
            })
        });
        let of_none = self.lost.iter().map(|lost| ipc::text::escape(lost));
        of_none.chain(of_lines).collect()
    }
}

/// A text in TOML.
pub fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            letter if letter.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(letter))),
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

/// A number in TOML: with a point, and never with an exponent.
pub fn number(value: f64) -> String {
    let text = format!("{value}");
    if text.contains('.') { text } else { text + ".0" }
}
