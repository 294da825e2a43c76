//! Which users may change or read a file, by its owner and mode. A user who can change the configuration controls the
//! time, so it is judged by these rules at every start and reload.

use core::fmt;

/// Owner and mode of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permissions {
    /// The owner's number.
    pub owner: u32,
    /// As the kernel gives it; bits of the kind of file don't matter.
    pub mode: u32,
}

impl Permissions {
    /// Whether others than root and `starter` may change it.
    pub const fn is_changeable(self, starter: u32) -> bool {
        (self.owner != 0 && self.owner != starter) || self.mode & 0o022 != 0
    }

    /// Whether a private key in it is open to those whom it does not concern. Its group may read it, as `ssl-cert` does on
    /// Debian (and the mode of a file with an access control list shows its mask there); nobody but its owner may change
    /// it, and others have no right to it.
    pub const fn is_exposed(self) -> bool {
        self.mode & 0o026 != 0
    }

    /// Whether only its owner may read or change it.
    pub const fn is_private(self) -> bool {
        self.mode & 0o077 == 0
    }
}

/// What is wrong with a configuration that others may change, and the remedy; the name comes escaped.
#[derive(Debug)]
pub struct Changeable<'a>(pub &'a str, pub Permissions);

impl fmt::Display for Changeable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(name, Permissions { owner, mode }) = self;
        write!(
            f,
            "{name}: can be changed by others than root (owner {owner}, mode {:04o}), and with it the time; \
             chown root:root {name}; chmod {:04o} {name}",
            mode & 0o7777,
            mode & 0o755
        )
    }
}

/// What is wrong with a file of keys that others may read or change, and the remedy; the name comes escaped.
#[derive(Debug)]
pub struct ExposedKeys<'a>(pub &'a str, pub Permissions);

impl fmt::Display for ExposedKeys<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(name, Permissions { owner, mode }) = self;
        write!(
            f,
            "{name}: can be read or changed by others (owner {owner}, mode {:04o}), and holds keys; make the keys anew if they shouldn't \
             know them, and: ",
            mode & 0o7777
        )?;
        if *owner != 0 {
            write!(f, "chown root:root {name}; ")?;
        }
        write!(f, "chmod 0640 {name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn root_and_the_starter_alone_may_change_a_configuration() {
        for (owner, mode, starter, is_changeable) in [
            (0, 0o100_644, 0, false),
            (0, 0o644, 1_000, false),
            (1_000, 0o600, 1_000, false),
            (1_000, 0o600, 0, true),
            (0, 0o664, 0, true),
            (0, 0o646, 0, true),
        ] {
            let permissions = Permissions { owner, mode };
            assert_eq!(permissions.is_changeable(starter), is_changeable, "{permissions:?}");
        }
        for (mode, is_exposed) in
            [(0o600, false), (0o640, false), (0o400, false), (0o644, true), (0o620, true), (0o602, true)]
        {
            assert_eq!(Permissions { owner: 7, mode: 0o100_000 | mode }.is_exposed(), is_exposed, "{mode:o}");
        }
        assert!(Permissions { owner: 0, mode: 0o100_600 }.is_private());
        assert!(!Permissions { owner: 0, mode: 0o640 }.is_private());
        let said = Changeable("x.toml", Permissions { owner: 7, mode: 0o100_666 }).to_string();
        assert!(said.contains("(owner 7, mode 0666)") && said.ends_with("chmod 0644 x.toml"), "{said}");
        // What holds keys is never made readable for others.
        for (owner, remedy) in [(0, "and: chmod 0640 x"), (7, "and: chown root:root x; chmod 0640 x")] {
            let said = ExposedKeys("x", Permissions { owner, mode: 0o100_666 }).to_string();
            assert!(said.contains("mode 0666") && said.ends_with(remedy), "{said}");
        }
    }
}
