//! The rule sets: what build.rs made of `rules/*.toml`.
//!
//! A call that no rule names kills the process, and so does a call made through another ABI (32 bits, x32).

use crate::{ConfineError, Role};
use seccompiler::sock_filter;

/// The rules of one role, and the filters that were compiled from them.
#[derive(Debug)]
pub struct RuleSet {
    /// Every call that doesn't kill.
    pub rules: &'static [Rule],
    /// Installed in this order: the ones that answer with an error, then the one that kills.
    filters: &'static [&'static [sock_filter]],
}

/// One call that may be made, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The kernel's name of the call.
    pub syscall: &'static str,
    /// Its number on this architecture.
    pub number: i64,
    /// The errno that it ends with; nothing where the kernel executes it.
    pub answer: Option<i32>,
    /// Who needs it, and for what.
    pub reason: &'static str,
    /// What its arguments must be; all must hold.
    pub conditions: &'static [Condition],
}

/// What one argument of a call must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    /// Which argument, 0 to 5.
    pub index: usize,
    /// The bits that count.
    pub mask: u64,
    /// What they must be.
    pub value: u64,
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The kernel executes it.
    Permitted,
    /// It ends with this errno.
    Answered(i32),
    /// The process is killed.
    Killed,
}

impl Condition {
    /// Whether a call's arguments meet it.
    #[must_use]
    pub fn holds(&self, arguments: [u64; 6]) -> bool {
        arguments[self.index % 6] & self.mask == self.value
    }
}

impl RuleSet {
    /// The rules of a role.
    #[must_use]
    pub fn of(role: Role) -> &'static Self {
        match role {
            Role::Privileged => &PRIVILEGED,
            Role::Engine => &ENGINE,
            Role::Client => &CLIENT,
            Role::Server => &SERVER,
            Role::Exchange => &EXCHANGE,
            Role::ExchangeChild => &EXCHANGE_CHILD,
            Role::KeyService => &KEY_SERVICE,
            Role::KeyHolder => &KEY_HOLDER,
        }
    }

    /// Puts the filters in force, for all threads of this process and for good, and with them
    /// `no_new_privs`. [`crate::confine`] does it as its last step.
    ///
    /// # Errors
    /// [`ConfineError::Filter`].
    pub fn install(&self) -> Result<(), ConfineError> {
        for filter in self.filters {
            seccompiler::apply_filter_all_threads(filter)
                .map_err(|error| ConfineError::Filter(error.to_string()))?;
        }
        Ok(())
    }

    /// What the table says about a call; the filter is compared with it in tests.
    #[must_use]
    pub fn verdict(&self, number: i64, arguments: [u64; 6]) -> Verdict {
        let matching =
            |rule: &&Rule| rule.number == number && rule.conditions.iter().all(|c| c.holds(arguments));
        let mut verdict = Verdict::Killed;
        for rule in self.rules.iter().filter(matching) {
            match rule.answer {
                Some(error) => return Verdict::Answered(error),
                None => verdict = Verdict::Permitted,
            }
        }
        verdict
    }
}

include!(concat!(env!("OUT_DIR"), "/rules.rs"));
