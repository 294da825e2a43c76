//! The link to the process that holds the clock.
//!
//! Order: engine sends `Plan` (once); privileged starts the other processes; engine hears each of them
//! and sends `Hello` (once); privileged locks itself down and answers `Welcome`; from then on orders.

use super::exchange::LookupFailure;
pub use super::refusal::Refusal;
use crate::address::Address;
use crate::codec::{Decode, Encode};
use crate::file_path::FilePath;
use crate::process::{PerProcess, Process};
use crate::units::{Frequency, Leap, Offset, RawInstant, Span, TimeConstant, WallTime};

/// Most addresses that a server can be bound to.
pub const MAX_LISTEN: usize = 16;

/// Most threads of a server.
pub const MAX_THREADS: u8 = 32;

/// Most addresses of the key exchange service.
pub const MAX_KEY_LISTEN: usize = 8;

/// Most files with root certificates besides the system's.
pub const MAX_ROOT_SETS: usize = 4;

/// Most threads of the key exchange service.
pub const MAX_KEY_THREADS: u8 = 16;

/// How long a process of ours may take from its start to its first word. The death of one is noticed at once, by
/// its closed link: this is for one that hangs, and no measure of how fast a machine has to be.
pub const START_PATIENCE: Span = Span::from_secs(300);

/// Between two run-time steps: a row of the governor's table, in either profile, and how long the engine waits with the next
/// one after a refusal.
pub const RUN_STEP_SPACING: Span = Span::from_secs(900);

/// Engine to privileged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum ToPrivileged {
    /// First message, once: what the configuration file asks of the launch.
    Plan(LaunchPlan),
    /// Second message, once: every child has said its own hello. Privileged locks down.
    Hello,
    /// After `Welcome`: set the base frequency and start a slew, both at once. A slew in progress is
    /// replaced; what was left of it is forgotten.
    Adjust(Adjust),
    /// After `Welcome`: step the clock.
    Step(Step),
    /// After `Welcome`: what the kernel tells programs about the clock's state.
    SetStatus(Status),
    /// After `Welcome`: nothing to order, still alive (feeds the service manager's watchdog).
    Heartbeat,
    /// After `Welcome`: what the daemon is about, for the service manager. Nothing is done for it, nothing answered.
    Condition(Condition),
    /// Last message: end the daemon with the exit code that belongs to this cause.
    Goodbye(Process),
}

/// Privileged to engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum FromPrivileged {
    /// Answers `Hello`.
    Welcome(Welcome),
    /// Answers one `Adjust`, `Step` or `SetStatus`: it was done.
    Applied(Applied),
    /// Answers one `Adjust`, `Step` or `SetStatus`: the clock was not touched.
    Refused(Refused),
    /// Unasked: time was not continuous. Orders of earlier epochs are refused from now on.
    ClockEvent(ClockEvent),
    /// After `Welcome`, unasked: an administrator wants the configuration read again.
    Reload,
}

/// What the daemon is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum Condition {
    /// None of so many sources has answered yet.
    AwaitingReplies {
        /// How many there are.
        of: u32,
    },
    /// No source was asked yet: names of so many have no address.
    AwaitingNames {
        /// How many there are.
        of: u32,
        /// Why, of the first of them that was told.
        why: Option<LookupFailure>,
    },
    /// No source was asked yet: there are no keys for any of so many.
    AwaitingKeys {
        /// How many there are.
        of: u32,
    },
    /// Sources were heard, and no first correction was made yet.
    AwaitingMajority {
        /// How many were heard.
        heard: u32,
        /// How many there are.
        of: u32,
    },
    /// Sources were heard, but no majority of them agrees.
    Disagreeing {
        /// How many were heard.
        heard: u32,
        /// How many there are.
        of: u32,
    },
    /// The clock is being brought to the time of its sources.
    Setting,
    /// The clock follows its sources.
    Synchronised {
        /// Of this host.
        stratum: u8,
        /// How many are followed.
        used: u32,
        /// How many there are.
        of: u32,
    },
    /// A correction that was refused is needed; the row that refused the step, where one was asked for.
    Held(Option<Refusal>),
    /// No source answers any more.
    Unreachable {
        /// When the clock was corrected last.
        corrected: WallTime,
    },
    /// Sources answer, but not as many, or not those, that the configuration asks for.
    Insufficient {
        /// When the clock was corrected last.
        corrected: WallTime,
    },
    /// There is no clock to steer.
    Unsteered,
    /// No source is configured, and this host serves its own time at this stratum.
    Local(u8),
    /// No source is configured.
    NoSources,
}

/// What the configuration file asks of the launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct LaunchPlan {
    /// How many of `listen` count, 0 to 16; 0: no server.
    pub listen_count: u8,
    /// Addresses that the server role is bound to.
    pub listen: [Address; MAX_LISTEN],
    /// Threads that answer, each with a socket of its own for each address; 0: one for each core, at most 4.
    pub threads: u8,
    /// Differentiated services code point of replies, 0 to 63.
    pub dscp: u8,
    /// Which column of the governor's table is in force.
    pub profile: Profile,
    /// Whether the engine may ask for leap seconds.
    pub leap_seconds: bool,
    /// Largest run-time step asked for in the configuration, at most the profile's ceiling.
    pub run_step: Span,
    /// Whether key exchanges or name look-ups are needed (an exchange process is started).
    pub exchange: bool,
    /// The system's root certificates; none: no file, sources must name their own.
    pub system_roots: Option<FilePath>,
    /// Files with root certificates that sources name; their numbers in an `Exchange` are 1, 2, …
    pub roots: [Option<FilePath>; MAX_ROOT_SETS],
    /// The key exchange service, where there is one.
    pub key_service: Option<KeyService>,
}

impl LaunchPlan {
    /// Whether this process is part of the run.
    pub const fn wants(&self, process: Process) -> bool {
        match process {
            Process::Privileged | Process::Engine | Process::Client => true,
            Process::Server => self.listen_count > 0,
            Process::Exchange => self.exchange,
            Process::KeyService | Process::KeyHolder => self.key_service.is_some(),
        }
    }
}

/// The key exchange service (RFC 8915 section 4): its own process for TLS, and one that holds the private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct KeyService {
    /// How many of `listen` count, 1 to 8.
    pub listen_count: u8,
    /// TCP addresses.
    pub listen: [Address; MAX_KEY_LISTEN],
    /// Threads that talk TLS; 0: one for each core, at most 4.
    pub threads: u8,
    /// The chain of certificates, PEM, the server's own first.
    pub certificate: FilePath,
    /// Its private key, PEM.
    pub key: FilePath,
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

/// Base frequency and slew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct Adjust {
    /// The epoch that the engine knows.
    pub epoch: u32,
    /// The frequency that stays when the slew has ended.
    pub frequency: Frequency,
    /// What the slew shall correct in all; ±0.5 s.
    pub slew: Offset,
    /// How fast.
    pub time_constant: TimeConstant,
    /// When the engine decided it.
    pub asked_at: RawInstant,
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct Step {
    /// The epoch that the engine knows.
    pub epoch: u32,
    /// Added to the clock.
    pub delta: Offset,
    /// What the engine claims as the reason; privileged checks it against its own evidence.
    pub reason: StepReason,
    /// When the engine decided it.
    pub asked_at: RawInstant,
}

/// Why a step is asked for; each reason has limits of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum StepReason {
    /// First setting after the start of the machine.
    Start,
    /// Ordinary operation.
    Run,
    /// Undo a change that somebody else made.
    Restore,
    /// The machine slept.
    Resume,
}

/// The clock's state, for programs that ask the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct Status {
    /// The epoch that the engine knows.
    pub epoch: u32,
    /// Leap second at the end of the day; `Unknown` counts as `None`.
    pub leap: Leap,
    /// Whether the clock is synchronised.
    pub synchronised: bool,
    /// Upper bound of the clock's error now.
    pub maxerror: Span,
    /// Estimate of the clock's error now.
    pub esterror: Span,
    /// TAI − UTC in seconds, 0: leave as it is.
    pub tai: u8,
}

/// What the engine needs to know of the clock and of its keeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct Welcome {
    /// Orders carry this number until a `ClockEvent` raises it.
    pub epoch: u32,
    /// What is steered.
    pub clock: ClockKind,
    /// The clock as found.
    pub found: ClockReading,
    /// No step may lead to a time before this.
    pub floor: WallTime,
    /// No step may lead to a time after this.
    pub latest: WallTime,
    /// Steps left in the start window (0 when it is closed).
    pub start_steps: u8,
    /// Frequency of the last lawful order of an earlier run, from the governor's own record.
    pub base_frequency: Frequency,
    /// Half the width of the band that the base frequency may move in now, around `band_centre`.
    pub band: Frequency,
    /// Middle of that band.
    pub band_centre: Frequency,
    /// Process ids; 0: not started.
    pub processes: PerProcess<u32>,
}

/// What is steered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum ClockKind {
    /// CLOCK_REALTIME of this machine.
    Kernel,
    /// A file with an offset and a rate.
    Virtual,
    /// Nothing: this daemon only serves the time that it finds. Orders are refused.
    None,
}

/// The steered clock at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct ClockReading {
    /// The clock.
    pub wall: WallTime,
    /// CLOCK_MONOTONIC_RAW, read next to it.
    pub raw: RawInstant,
    /// Frequency as the kernel reports it, without the slew.
    pub frequency: Frequency,
    /// What is left of the slew.
    pub slew_left: Offset,
}

/// An order was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct Applied {
    /// Sequence of the order.
    pub answers: u32,
    /// The clock before.
    pub before: ClockReading,
    /// The clock after.
    pub after: ClockReading,
}

/// An order was lawful in form but too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct Refused {
    /// Sequence of the order.
    pub answers: u32,
    /// Which row of the governor's table refused it.
    pub code: Refusal,
    /// That row's limit, in the unit of the order (nanoseconds, 2^-16 ppm, or a count).
    pub limit: i64,
    /// What is left of it, or, where nothing can be left over, what was asked for.
    pub remaining: i64,
}

/// Time was not continuous.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct ClockEvent {
    /// The epoch from now on.
    pub epoch: u32,
    /// What happened.
    pub kind: ClockEventKind,
    /// How far the clock moved against the governor's own line; 0 where that isn't known.
    pub moved: Offset,
    /// The clock now.
    pub now: ClockReading,
}

/// Kinds of discontinuity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum ClockEventKind {
    /// Somebody else stepped the clock.
    ForeignStep,
    /// Somebody else changed frequency, tick or status; they were set back.
    ForeignFrequency,
    /// The machine slept.
    Resume,
    /// No order for 3 hours: base frequency, marked unsynchronised.
    DeadMan,
}

impl LaunchPlan {
    /// A client without names to look up, in the standard profile.
    pub const CLIENT: Self = Self {
        listen_count: 0,
        listen: [Address::NONE; MAX_LISTEN],
        threads: 0,
        dscp: 0,
        profile: Profile::Standard,
        leap_seconds: true,
        run_step: Span::MIN,
        exchange: false,
        system_roots: None,
        roots: [None; MAX_ROOT_SETS],
        key_service: None,
    };
}
