//! One list of fields generates two structs, so that both ends agree on names and types.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Serialize, Serializer};

/// A type that is written, and the type as which it is read.
pub trait Written {
    /// Owned, and readable from a daemon of any version.
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
    // Every field that is read is optional.
    type Read = T::Read;
}

impl<T: Written> Written for Vec<T> {
    type Read = Vec<T::Read>;
}

impl<K: Written, T: Written> Written for BTreeMap<K, T> {
    type Read = BTreeMap<K::Read, T::Read>;
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

/// Documents for writing, in which every field is required. In the module `read` every field is optional.
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

        /// The documents as they are read. A field that is missing is none.
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

                // In this module, the name of a document of the same file denotes the type that is read.
                impl crate::schema::Written for $name {
                    type Read = Self;
                }
            )+
        }
    };
}
