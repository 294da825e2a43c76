//! What the configuration asks of the launch.

use crate::codec::{Decode, Encode};
use crate::file_path::FilePath;
use crate::list::Bounded;
use crate::served_at::ServedAt;
use crate::units::Span;

/// Most addresses that a server can be bound to.
pub const MAX_LISTEN: usize = 16;

/// Most threads of a server.
pub const MAX_THREADS: u8 = 32;

/// Most addresses of the key exchange service.
pub const MAX_KEY_LISTEN: usize = 8;

/// Most files with root certificates besides the system's.
pub const MAX_ROOT_SETS: usize = 4;

/// Octets of the longest file of root certificates.
pub const MAX_ROOTS: u64 = 8 << 20;

/// The words that name files of root certificates to those who read them: the system's, then those that sources name, in
/// the order of the numbers in an `Exchange`.
pub const ROOT_WORDS: [&str; 1 + MAX_ROOT_SETS] =
    ["system-roots", "roots-1", "roots-2", "roots-3", "roots-4"];

/// Most pairs of certificate and key that the key exchange service has.
pub const MAX_PAIRS: usize = 4;

/// The words that name the files of certificates to the process that reads them, in the order of the pairs.
pub const CERTIFICATE_WORDS: [&str; MAX_PAIRS] =
    ["certificate", "certificate-2", "certificate-3", "certificate-4"];

/// The same of the files of private keys.
pub const KEY_WORDS: [&str; MAX_PAIRS] = ["key", "key-2", "key-3", "key-4"];

/// Most threads of the key exchange service.
pub const MAX_KEY_THREADS: u8 = 16;

/// Most reference clocks.
pub const MAX_REFCLOCKS: usize = 4;

/// Octets of the longest path that a unix socket is bound to: the kernel has room for 108 with the final zero.
pub const MAX_SOCKET_PATH: usize = 107;

/// What the configuration file asks of the launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct LaunchPlan {
    /// Where the server answers; nowhere: no server.
    pub listen: Bounded<ServedAt, MAX_LISTEN>,
    /// Number of serving threads, each with its own socket for each address; 0: one for each core, at most 4.
    pub threads: u8,
    /// Differentiated services code point of replies, 0 to 63.
    pub dscp: u8,
    /// Which column of the governor's table is in force.
    pub profile: Profile,
    /// Whether the engine may ask for leap seconds.
    pub leap_seconds: bool,
    /// Largest run-time step asked for in the configuration, at most the profile's ceiling.
    pub run_step: Span,
    /// Largest step forward without evidence that the configuration allows, at most the profile's ceiling.
    pub forward_step: Span,
    /// Whether nothing that the host of a virtual machine supplies may decide, and the service manager is told that the daemon is ready
    /// when the time is known (the profile attested).
    pub attested: bool,
    /// Whether key exchanges or name look-ups are needed (an exchange process is started).
    pub exchange: bool,
    /// The system's root certificates; none: no file, sources must name their own.
    pub system_roots: Option<FilePath>,
    /// Files with root certificates that sources name; their numbers in an `Exchange` are 1, 2, …
    pub roots: [Option<FilePath>; MAX_ROOT_SETS],
    /// The key exchange service, if there is one.
    pub key_service: Option<KeyService>,
    /// The folder of Samba's socket for signatures, if the server's replies are signed there.
    pub samba: Option<FilePath>,
    /// The reference clocks, by their numbers; the places behind the last one are empty.
    pub refclocks: [Option<Refclock>; MAX_REFCLOCKS],
}

/// Where a reference clock is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum Refclock {
    /// A datagram socket at this path, which the launch makes and to which a program such as gpsd sends (chrony's SOCK).
    Socket(FilePath),
}

impl LaunchPlan {
    /// Whether there are reference clocks.
    pub fn has_refclocks(&self) -> bool {
        self.refclocks.iter().any(Option::is_some)
    }

    /// The files of root certificates, each under its word of [`ROOT_WORDS`].
    pub fn root_files(&self) -> impl Iterator<Item = (&'static str, &FilePath)> {
        let places = [&self.system_roots].into_iter().chain(&self.roots);
        ROOT_WORDS.into_iter().zip(places).filter_map(|(word, place)| Some((word, place.as_ref()?)))
    }
}

/// The key exchange service (RFC 8915 section 4): its own process for TLS, and one that holds the private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct KeyService {
    /// Where it listens; one entry at least.
    pub listen: Bounded<ServedAt, MAX_KEY_LISTEN>,
    /// Threads that talk TLS; 0: one for each core, at most 4.
    pub threads: u8,
    /// The one for clients that ask for no name, or for one that no certificate is for.
    pub first: Pair,
    /// Further ones, for clients that ask for a name of theirs (SNI, RFC 6066 section 3).
    pub further: [Option<Pair>; MAX_PAIRS - 1],
}

/// A certificate and its private key, each in a file that another process reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct Pair {
    /// The chain of certificates, PEM, the server's own first.
    pub certificate: FilePath,
    /// Its private key, PEM.
    pub key: FilePath,
}

impl KeyService {
    /// All pairs, the first one first.
    pub fn pairs(&self) -> impl Iterator<Item = Pair> {
        [self.first].into_iter().chain(self.further.into_iter().flatten())
    }
}

impl LaunchPlan {
    /// A client without names to look up, in the standard profile.
    pub const CLIENT: Self = Self {
        listen: Bounded::NOWHERE,
        threads: 0,
        dscp: 0,
        profile: Profile::Standard,
        leap_seconds: true,
        run_step: Span::MIN,
        forward_step: Span::MIN,
        attested: false,
        exchange: false,
        system_roots: None,
        roots: [None; MAX_ROOT_SETS],
        key_service: None,
        samba: None,
        refclocks: [None; MAX_REFCLOCKS],
    };
}

/// Column of the governor's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum Profile {
    /// Limits that an honest host never notices.
    Standard,
    /// Narrower limits, no run-time step.
    Strict,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{MAX_FRAME, encode};
    use crate::file_path::MAX_PATH;
    use crate::message::launch::ToLaunch;
    use std::string::String;

    #[test]
    fn the_fullest_plan_fits_a_frame() {
        let path = FilePath::parse(&(String::from("/") + &"a".repeat(MAX_PATH - 1))).unwrap();
        let pair = Pair { certificate: path, key: path };
        let at = ServedAt::parse("[2001:db8::1%truechimerserve]:4460").unwrap();
        let listen = Bounded::new([at; MAX_LISTEN]).unwrap();
        let key_service = KeyService {
            listen: Bounded::new([at; MAX_KEY_LISTEN]).unwrap(),
            threads: MAX_KEY_THREADS,
            first: pair,
            further: [Some(pair); MAX_PAIRS - 1],
        };
        let plan = LaunchPlan {
            listen,
            system_roots: Some(path),
            roots: [Some(path); MAX_ROOT_SETS],
            key_service: Some(key_service),
            samba: Some(path),
            refclocks: [Some(Refclock::Socket(path)); MAX_REFCLOCKS],
            ..LaunchPlan::CLIENT
        };
        let length = encode(u32::MAX, &ToLaunch::Plan(plan), &mut [0; MAX_FRAME]);
        assert_eq!(length, 5_750, "ipc/src/codec.rs says it");
    }
}
