//! A line, its words, and that each of them was looked at.

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The file's path.
    pub file: String,
    /// From 1.
    pub number: usize,
    /// Without its end.
    pub text: String,
}

impl Line {
    /// `FILE:LINE`.
    pub fn place(&self) -> String {
        format!("{}:{}", self.file, self.number)
    }

    /// What is said of a line with something in it that is no text.
    pub fn damage(&self) -> Option<&'static str> {
        let is_control = |letter: char| letter.is_control() && !letter.is_whitespace();
        if self.text.contains('\0') {
            Some(
                "not carried: there is a NUL in it, as in UTF-16, or in a file that was not written to its end",
            )
        } else if self.text.contains(is_control) {
            Some("not carried: there is a control character in it")
        } else if self.text.contains(char::REPLACEMENT_CHARACTER) {
            Some("not carried: there is something in it that is no text in UTF-8")
        } else {
            None
        }
    }
}

/// The words of a directive. What is left when it was read has not been understood.
#[derive(Clone, Debug)]
pub struct Words {
    all: Vec<String>,
    next: usize,
}

impl Words {
    /// Separated by white space.
    pub fn of(text: &str) -> Self {
        Self { all: text.split_whitespace().map(str::to_owned).collect(), next: 0 }
    }

    /// As they are.
    pub fn from_list(all: Vec<String>) -> Self {
        Self { all, next: 0 }
    }

    /// The next one.
    pub fn take(&mut self) -> Option<String> {
        let word = self.all.get(self.next)?.clone();
        self.next += 1;
        Some(word)
    }

    /// The next one, which stays.
    pub fn peek(&self) -> Option<&str> {
        self.all.get(self.next).map(String::as_str)
    }

    /// All that are left, which are taken.
    pub fn rest(&mut self) -> Vec<String> {
        let rest = self.all.get(self.next..).unwrap_or_default().to_vec();
        self.next = self.all.len();
        rest
    }
}
