//! The roles, and what confines each of them: the syscall filter, as a table and as the kernel takes it, and the limits.
//! It is what build.rs made of `policies/rules/*.toml`.
//!
//! A call that no rule names ends the process, which [`trap`] tells of, and so does a call made through another ABI (32
//! bits, x32).

mod names;
pub mod trap;

use libc::sock_filter;
pub use names::name;
use std::io;

/// What confines a role besides its filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confinement {
    /// Most open descriptors.
    pub descriptors: u64,
    /// Most addresses in use, octets.
    pub address_space: u64,
    /// Most data in memory, octets; none: only its addresses are limited.
    pub data: Option<u64>,
    /// Most CPU time, seconds.
    pub cpu_time: Option<u64>,
    /// Whether it may start processes or threads once it is confined.
    pub starts_processes: bool,
    /// The largest size of a file that it writes, octets; none: it writes to no file, nor to standard error.
    pub largest_file: Option<u64>,
    /// The sockets that it makes.
    pub network: Network,
    /// Whether it resolves names, for which it reads the files of the resolver.
    pub looks_up: bool,
    /// The words on its command line that name files that it reads; `*` at its end stands for any.
    pub sees: &'static [&'static str],
}

/// Sockets to other hosts, for which a process has to stay in the host's network namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// It makes none; what it was given stays.
    None,
    /// It makes those of UDP.
    Udp,
    /// It also connects over TCP.
    Tcp,
}

/// The rules of one role, and the filters that were compiled from them.
#[derive(Debug)]
pub struct RuleSet {
    /// Every call that does not end the process.
    pub rules: &'static [Rule],
    /// Installed in this order: the ones that answer with an error, then the one that ends the process.
    filters: &'static [&'static [sock_filter]],
}

/// One call that may be made, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The kernel's name of the call.
    pub syscall: &'static str,
    /// Its number on this architecture.
    pub number: i64,
    /// The errno with which it fails; `None` if the kernel executes the call.
    pub answer: Option<i32>,
    /// The role that needs it, and why.
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
    /// It is not executed, and the process ends by SIGSYS.
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
    /// Puts the filters in force, for all threads of this process and for good, and with them
    /// `no_new_privs`. It is the last step of a confinement.
    ///
    /// # Errors
    /// The error of the failed system call; ENOSYS if the kernel has no seccomp filters.
    pub fn install(&self) -> io::Result<()> {
        let Some((last, answering)) = self.filters.split_last() else { return Ok(()) };
        answering.iter().try_for_each(|filter| install(filter, 0))?;
        // The kernel's log names the calls that this one denies.
        match install(last, libc::SECCOMP_FILTER_FLAG_LOG) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => install(last, 0),
            done => done,
        }
    }

    /// The table's decision about a call; tests compare the filter with it.
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

/// Why a filter could not be installed, for the administrator.
#[must_use]
pub fn refused(error: &io::Error) -> String {
    format!(
        "the kernel refuses the syscall filter ({error}): it needs CONFIG_SECCOMP_FILTER, and a container's own profile must \
         allow the call seccomp; or accept the risk with --insecure"
    )
}

/// Puts one filter in force for all threads.
fn install(filter: &'static [sock_filter], flags: libc::c_ulong) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: filter.len().try_into().map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?,
        filter: filter.as_ptr().cast_mut(),
    };
    // SAFETY: PR_SET_NO_NEW_PRIVS takes plain numbers, and the kernel reads no memory for it.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `program` lives until the call returns and names `len` instructions of a static table; the kernel copies
    // them and writes to neither.
    let outcome = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_TSYNC | flags,
            &raw const program,
        )
    };
    match outcome {
        0 => Ok(()),
        -1 => Err(io::Error::last_os_error()),
        // The number of a thread that could not be put under it.
        _ => Err(io::Error::from_raw_os_error(libc::EBUSY)),
    }
}

include!(concat!(env!("OUT_DIR"), "/rules.rs"));
