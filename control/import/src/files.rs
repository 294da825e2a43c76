//! Files within their bounds, with what they include.

use crate::words::Line;

/// Octets of one file.
pub const MAX_FILE: usize = 1 << 20;

/// Octets of all files together.
const MAX_TOTAL: usize = 4 << 20;

/// Files in all.
const MAX_FILES: usize = 256;

/// How deep files may include each other; chronyd has 10.
pub const MAX_DEPTH: usize = 10;

/// Why a file or a folder cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileError {
    /// There is none.
    Absent,
    /// A sentence.
    Other(String),
}

/// Where files come from. Whoever reads them reads regular files only, at most [`MAX_FILE`] octets of one and one more.
pub trait Files {
    /// The octets of a file.
    ///
    /// # Errors
    /// [`FileError`].
    fn read(&mut self, path: &str) -> Result<Vec<u8>, FileError>;

    /// The octets of a file that the other daemon writes itself, whoever owns it: nothing but a number is taken from it.
    ///
    /// # Errors
    /// [`FileError`].
    fn read_learned(&mut self, path: &str) -> Result<Vec<u8>, FileError> {
        self.read(path)
    }

    /// The names in a folder, in any order.
    ///
    /// # Errors
    /// [`FileError`].
    fn list(&mut self, folder: &str) -> Result<Vec<String>, FileError>;
}

/// Reads files as long as their bounds are kept.
pub struct Reader<'f> {
    files: &'f mut dyn Files,
    total: usize,
    count: usize,
    /// What was wrong with files as a whole.
    pub complaints: Vec<String>,
}

impl<'f> Reader<'f> {
    /// Nothing is read yet.
    pub fn new(files: &'f mut dyn Files) -> Self {
        Self { files, total: 0, count: 0, complaints: Vec::new() }
    }

    /// A file that the command line names.
    ///
    /// # Errors
    /// A sentence.
    pub fn first(&mut self, path: &str) -> Result<String, String> {
        self.text(path).map_err(|error| match error {
            FileError::Absent => "there is no such file".to_owned(),
            FileError::Other(why) => why,
        })
    }

    /// The text of a file. What is no text in UTF-8 is replaced by U+FFFD, which no directive takes.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn text(&mut self, path: &str) -> Result<String, FileError> {
        let too = |what: &str| FileError::Other(format!("not read: {what}"));
        if self.count >= MAX_FILES {
            return Err(too(&format!("more than {MAX_FILES} files")));
        }
        // Also one that cannot be read: a file may name the same ten thousand times.
        self.count += 1;
        let octets = self.files.read(path)?;
        if octets.len() > MAX_FILE {
            return Err(too("longer than 1 MiB"));
        }
        self.total += octets.len();
        if self.total > MAX_TOTAL {
            return Err(too("all files together are longer than 4 MiB"));
        }
        let text = String::from_utf8_lossy(&octets);
        // The mark that editors of other systems put in front.
        Ok(text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned())
    }

    /// The frequency at the beginning of a file that the other daemon writes; none: there is no number.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn learned(&mut self, path: &str) -> Result<Option<f64>, FileError> {
        let octets = self.files.read_learned(path)?;
        let text = String::from_utf8_lossy(octets.get(..64).unwrap_or(&octets)).into_owned();
        Ok(text.split_whitespace().next().and_then(|word| word.parse().ok()))
    }

    /// The names in a folder that end so, in their order.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn names(&mut self, folder: &str, suffix: &str) -> Result<Vec<String>, FileError> {
        let mut names = self.files.list(folder)?;
        names.retain(|name| name.ends_with(suffix) && !name.starts_with('.'));
        names.sort();
        Ok(names)
    }

    /// The paths that a pattern means: `*` and `?` may be in its last part alone.
    ///
    /// # Errors
    /// A sentence.
    pub fn matching(&mut self, pattern: &str) -> Result<Vec<String>, String> {
        let (folder, last) = pattern.rsplit_once('/').ok_or("no absolute path")?;
        if !pattern.starts_with('/') {
            return Err("no absolute path".to_owned());
        }
        let is_wild = |text: &str| text.contains(['*', '?', '[']);
        if is_wild(folder) || last.contains('[') {
            return Err("a pattern is understood in the last part alone, and of * and ?".to_owned());
        }
        if !is_wild(last) {
            return Ok(vec![pattern.to_owned()]);
        }
        let mut names = match self.files.list(if folder.is_empty() { "/" } else { folder }) {
            Ok(names) => names,
            Err(FileError::Absent) => Vec::new(),
            Err(FileError::Other(why)) => return Err(why),
        };
        names.retain(|name| !name.starts_with('.') && matches(last.as_bytes(), name.as_bytes()));
        names.sort();
        Ok(names.into_iter().map(|name| format!("{folder}/{name}")).collect())
    }
}

/// Whether a name is of this pattern.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    // The last star, and how much of the name it has taken.
    let (mut at, mut place, mut star) = (0, 0, None);
    while let Some(octet) = name.get(place) {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, place));
                at += 1;
            }
            Some(other) if *other == b'?' || other == octet => (at, place) = (at + 1, place + 1),
            _ => match star {
                Some((begin, taken)) => {
                    star = Some((begin, taken + 1));
                    (at, place) = (begin + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern.get(at..).unwrap_or_default().iter().all(|octet| *octet == b'*')
}

/// The lines of a text, with their numbers.
pub fn lines<'t>(path: &'t str, text: &'t str) -> impl Iterator<Item = Line> + 't {
    text.lines().zip(1..).map(move |(text, number)| Line {
        file: path.to_owned(),
        number,
        text: text.to_owned(),
    })
}

/// The lines of a text, those that end with a backslash with the next one. A comment is never continued, and does not end what
/// is.
pub fn joined(path: &str, text: &str, is_comment: impl Fn(&str) -> bool) -> Vec<Line> {
    let mut all: Vec<Line> = Vec::new();
    let mut is_open = false;
    for mut line in lines(path, text) {
        let is_comment = is_comment(&line.text);
        if is_open && is_comment {
            continue;
        }
        let goes_on = line.text.ends_with('\\') && !is_comment;
        if goes_on {
            line.text.pop();
        }
        match all.last_mut().filter(|_| is_open) {
            Some(last) => last.text = format!("{} {}", last.text, line.text),
            None => all.push(line),
        }
        is_open = goes_on;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_means_what_it_means_to_a_shell() {
        for (pattern, name, is_it) in [
            ("*.conf", "a.conf", true),
            ("*.conf", "a.conf.bak", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*a*b*", "xxaybz", true),
            ("*a*b*", "bbba", false),
            ("*", "", true),
            ("****************************b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), is_it, "{pattern} {name}");
        }
    }
}
