//! The name of a file that the configuration gives to the launch.

use crate::codec::{Decode, Encode};
use crate::units::OutOfRange;
use core::fmt;

/// How the name of a file in the programs' folder begins that a DHCP client has left there.
pub const OF_DHCP: &str = "dhcp-";

/// Longest path in octets.
pub const MAX_PATH: usize = 255;

bounded! {
    /// An absolute path of at most [`MAX_PATH`] octets of UTF-8, without control characters, `..` and empty
    /// parts. Having one proves only its form, not that there is such a file.
    FilePath, RawPath, PathOctets, MAX_PATH, is_lawful, "/[a-z0-9_-]{1,40}(/[a-z0-9_-]{1,40}){0,4}"
}

fn is_lawful(octets: &[u8]) -> bool {
    core::str::from_utf8(octets).is_ok_and(|path| {
        let mut parts = path.split('/');
        parts.next() == Some("")
            && parts.clone().next().is_some()
            && parts.all(|part| !part.is_empty() && part != "." && part != "..")
            && !path.chars().any(char::is_control)
    })
}

impl FilePath {
    /// Checks the form.
    ///
    /// # Errors
    /// [`OutOfRange`] for anything that is not an absolute path as above.
    pub fn parse(path: &str) -> Result<Self, OutOfRange> {
        Self::from_octets(path.as_bytes())
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        // UTF-8 was checked when it was built.
        core::str::from_utf8(self.octets()).unwrap_or("")
    }
}

impl fmt::Debug for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FilePath").field(&self.as_str()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_absolute_paths_are_paths() {
        for good in ["/a", "/etc/ssl/certs/ca-certificates.crt", "/srv/Zürich/x y"] {
            assert_eq!(FilePath::parse(good).unwrap().as_str(), good);
        }
        let long = std::format!("/{}", "x".repeat(255));
        for bad in ["", "/", "a", "a/b", "/a/", "//a", "/a//b", "/a/../b", "/a/./b", "/a\n", "/a\0b", &long] {
            assert_eq!(FilePath::parse(bad), Err(OutOfRange), "{bad:?}");
        }
        assert_eq!(FilePath::from_octets(b"/\xff"), Err(OutOfRange));
    }
}
