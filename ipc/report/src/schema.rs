//! One list of fields makes two structs, so that both ends agree on names and types.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Serialize, Serializer};

/// A type that is written, and what it is read as.
pub trait Written {
    /// Owned, and without a demand that an older or newer daemon might not meet.
    type Read;
}

macro_rules! read_as_themselves {
    ($($type:ty),+) => {
        $(impl Written for $type {
            type Read = $type;
        })+
    };
}

read_as_themselves!(bool, u8, i8, u16, u32, u64, i64, f64, String);

impl Written for &'static str {
    type Read = String;
}

impl<T: Written> Written for Option<T> {
    // A field that is read is optional anyway.
    type Read = T::Read;
}

impl<T: Written> Written for Vec<T> {
    type Read = Vec<T::Read>;
}

impl<T: Written> Written for BTreeMap<&'static str, T> {
    type Read = BTreeMap<String, T::Read>;
}

/// Counts by their names, written in the order in which they are listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts(pub Vec<(&'static str, u64)>);

impl Serialize for Counts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}

impl Written for Counts {
    type Read = BTreeMap<String, u64>;
}

/// Documents for writing, with all their fields; the module `read` has the same documents with every field optional.
macro_rules! documents {
    ($($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty,)+ })+) => {
        $(
            $(#[$meta])*
            #[derive(Clone, Debug, PartialEq, serde::Serialize)]
            pub struct $name {
                $($(#[$field_meta])* pub $field: $type,)+
            }

            impl crate::schema::Written for $name {
                type Read = read::$name;
            }
        )+

        /// As it is read: what isn't known is none.
        pub mod read {
            #[allow(unused_imports, reason = "not every file has fields of each kind")]
            use super::*;

            $(
                $(#[$meta])*
                #[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, serde::Serialize)]
                #[serde(default)]
                pub struct $name {
                    $($(#[$field_meta])* pub $field: Option<<$type as crate::schema::Written>::Read>,)+
                }

                // In here the name of a document of the same file is that of what is read.
                impl crate::schema::Written for $name {
                    type Read = Self;
                }
            )+
        }
    };
}
