//! Where a daemon's files are: a text that the launch leaves beside the control socket, and chimerctl reads. The engine,
//! which answers on the socket, has no say in which files root opens.

use core::fmt;

/// The file's name.
pub const NAME: &str = "paths";

/// Longest file, octets.
pub const LENGTH: u64 = 16_384;

/// The paths, from the root directory on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paths<'a> {
    /// Of the configuration.
    pub configuration: &'a str,
    /// Of the audit log.
    pub audit: &'a str,
}

impl<'a> Paths<'a> {
    /// Nothing for a path that has no line of its own.
    pub fn try_new(configuration: &'a str, audit: &'a str) -> Option<Self> {
        let is_line = |path: &str| path.starts_with('/') && !path.contains('\n');
        (is_line(configuration) && is_line(audit)).then_some(Self { configuration, audit })
    }

    /// Reads the text; nothing unless it is whole.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (configuration, audit) = text.strip_suffix('\n')?.split_once('\n')?;
        Self::try_new(configuration.strip_prefix("configuration=")?, audit.strip_prefix("audit=")?)
    }
}

impl fmt::Display for Paths<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "configuration={}\naudit={}", self.configuration, self.audit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn what_is_written_is_read_and_nothing_that_was_cut_short() {
        let paths = Paths::try_new("/etc/a=b c.toml", "/run/x/audit.log").unwrap();
        let text = paths.to_string();
        assert_eq!(Paths::parse(&text), Some(paths));
        assert!((0..text.len()).all(|length| Paths::parse(&text[..length]).is_none()));
        for (configuration, audit) in [("relative", "/a"), ("/a", ""), ("/a\nb", "/a"), ("/a", "/b\n")] {
            assert_eq!(Paths::try_new(configuration, audit), None);
        }
    }
}
