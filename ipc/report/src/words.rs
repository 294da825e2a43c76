//! Words of the documents: enumerations, each value of which is written as one fixed word.

use alloc::string::{String, ToString};
use core::cmp::Ordering;
use core::fmt;
use serde::{Deserialize, Serialize};

/// An enumeration whose values are words of the documents.
pub trait Words: Copy + Sized + 'static {
    /// All values.
    const ALL: &'static [Self];

    /// The word as it stands in the documents. Stable.
    fn name(self) -> &'static str;
}

/// A word as it is read. A daemon of another version may write a word that is not known here.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Word<T> {
    /// A word of this version.
    Known(T),
    /// A word of another version.
    Other(String),
}

impl<T: Words> Word<T> {
    /// The value; none for a word of another version.
    pub fn known(&self) -> Option<T> {
        match self {
            Self::Known(value) => Some(*value),
            Self::Other(_) => None,
        }
    }

    /// The word as it was read.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Known(value) => value.name(),
            Self::Other(word) => word,
        }
    }
}

impl<T: Words> From<T> for Word<T> {
    fn from(value: T) -> Self {
        Self::Known(value)
    }
}

impl<T: Words> From<&str> for Word<T> {
    fn from(word: &str) -> Self {
        let known = T::ALL.iter().find(|known| known.name() == word);
        known.map_or_else(|| Self::Other(word.to_string()), |known| Self::Known(*known))
    }
}

impl<T: Words> fmt::Display for Word<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<T: Words> PartialEq for Word<T> {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl<T: Words> Eq for Word<T> {}

impl<T: Words> PartialOrd for Word<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Words> Ord for Word<T> {
    /// In the order of the alphabet.
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

/// Enumerations with their words.
macro_rules! words {
    ($($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $value:ident = $word:literal,)+ })+) => {
        $(
            $(#[$meta])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
            pub enum $name {
                $($(#[$doc])* #[serde(rename = $word)] $value,)+
            }

            impl $name {
                /// All values, in the order of their declaration.
                pub const ALL: [Self; [$($word),+].len()] = [$(Self::$value),+];

                /// The word as it stands in the documents. Stable.
                pub const fn name(self) -> &'static str {
                    match self {
                        $(Self::$value => $word,)+
                    }
                }
            }

            impl crate::words::Words for $name {
                const ALL: &'static [Self] = &Self::ALL;

                fn name(self) -> &'static str {
                    self.name()
                }
            }

            impl core::fmt::Display for $name {
                fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                    f.write_str(self.name())
                }
            }

            impl PartialOrd for $name {
                fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
                    Some(self.cmp(other))
                }
            }

            impl Ord for $name {
                /// In the order of the alphabet, as counts are written.
                fn cmp(&self, other: &Self) -> core::cmp::Ordering {
                    self.name().cmp(other.name())
                }
            }

            impl crate::schema::Written for $name {
                type Read = crate::words::Word<Self>;
            }
        )+
    };
}
