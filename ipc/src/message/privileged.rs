//! The link of the orders: to the keeper, which holds the clock.
//!
//! Order: the keeper begins with `Welcome` (once), after the launch has ended; from then on orders.

use super::exchange::LookupFailure;
pub use super::refusal::Refusal;
use crate::audit_line::End;
use crate::codec::{Decode, Encode};
pub use crate::plan::Profile;
use crate::process::{Parting, PerProcess};
use crate::units::{Frequency, Leap, Offset, RawInstant, Span, TimeConstant, WallTime};

/// Between two run-time steps: a row of the governor's table, in either profile, and how long the engine waits with the next
/// one after a refusal.
pub const RUN_STEP_SPACING: Span = Span::from_secs(900);

/// Between two lines of the audit log that say where the history of minutes ends, at least.
pub const NOTE_SPACING: Span = Span::from_secs(1_800);

/// Engine to keeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum ToPrivileged {
    /// Set the base frequency and start a slew, both at once. A slew in progress is
    /// replaced; what was left of it is forgotten.
    Adjust(Adjust),
    /// Step the clock.
    Step(Step),
    /// What the kernel tells programs about the clock's state.
    SetStatus(Status),
    /// The kernel's offset of TAI.
    SetTai(SetTai),
    /// Nothing to order, still alive (feeds the service manager's watchdog).
    Heartbeat,
    /// What the daemon is about, for the service manager. Nothing is done for it, nothing answered.
    Condition(Condition),
    /// Where the history of minutes ends, whose file is on the disk up to there: for the audit log. Answered with `HistoryNoted`, once
    /// that is on the disk too; not answered more often than once in [`NOTE_SPACING`], or where it cannot be written.
    NoteHistory(End),
    /// Last message: end the daemon, with the exit code that belongs to this cause.
    Goodbye(Parting),
}

/// Keeper to engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum FromPrivileged {
    /// First message, once.
    Welcome(Welcome),
    /// Answers one `Adjust`, `Step`, `SetStatus` or `SetTai`: it was done.
    Applied(Applied),
    /// Answers one `Adjust`, `Step`, `SetStatus` or `SetTai`: the clock was not touched.
    Refused(Refused),
    /// Unasked: time was not continuous. Orders of earlier epochs are refused from now on.
    ClockEvent(ClockEvent),
    /// Unasked: an administrator wants the configuration read again.
    Reload,
    /// Answers one `NoteHistory`.
    HistoryNoted(HistoryNoted),
}

/// The audit log has it where a history ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct HistoryNoted {
    /// The end of the history.
    pub history: End,
    /// The end of the audit log: the line that says so is its last one.
    pub log: End,
}

/// What the daemon is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum Condition {
    /// None of this many sources has replied yet.
    AwaitingReplies {
        /// How many there are.
        of: u32,
    },
    /// No query was sent yet: the names of this many sources are not resolved.
    AwaitingNames {
        /// How many there are.
        of: u32,
        /// Why, of the first of them that was told.
        why: Option<LookupFailure>,
    },
    /// No query was sent yet: there are no keys for any of this many sources.
    AwaitingKeys {
        /// How many there are.
        of: u32,
    },
    /// Sources have replied, but the first correction has not been made yet.
    AwaitingMajority {
        /// How many have replied.
        heard: u32,
        /// How many there are.
        of: u32,
    },
    /// Sources have replied, but no majority of them agrees.
    Disagreeing {
        /// How many have replied.
        heard: u32,
        /// How many there are.
        of: u32,
    },
    /// The clock is being brought to the time of its sources for the first time.
    Setting,
    /// The clock is off by this much, in whole seconds (positive: it is behind), and is being slewed to its sources, or was
    /// synchronised before.
    Correcting {
        /// By how much.
        offset: Offset,
    },
    /// The clock follows its sources, but may be off by this much, in whole seconds: too much.
    Uncertain {
        /// By how much.
        most: Span,
    },
    /// Sources answer, but the time of none of them can be followed.
    Unusable {
        /// When the clock was corrected last; none: it was not yet.
        corrected: Option<WallTime>,
    },
    /// The clock follows its sources.
    Synchronised {
        /// Of this host.
        stratum: u8,
        /// How many are followed.
        used: u32,
        /// How many there are.
        of: u32,
    },
    /// A correction that was refused is still needed; the row that refused the step, if one was requested.
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

/// Why a step is requested; each reason has its own limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum StepReason {
    /// First setting after the start of the machine.
    Start,
    /// Ordinary operation.
    Run,
    /// Undo a change by another program.
    Restore,
    /// The machine slept.
    Resume,
    /// The machine was paused, and its clocks do not know of it.
    Pause,
    /// The clock is behind its sources, nothing on this machine shows why, and the operator allows it.
    Forward,
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
}

impl Status {
    /// Nothing is known of the clock: unsynchronised, no leap second, both errors 16 s.
    pub const fn unknown(epoch: u32) -> Self {
        let most = Span::from_secs(16);
        Self { epoch, leap: Leap::None, synchronised: false, maxerror: most, esterror: most }
    }
}

/// TAI − UTC, for programs that read CLOCK_TAI. The clock itself is not moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct SetTai {
    /// The epoch that the engine knows.
    pub epoch: u32,
    /// TAI − UTC, in seconds.
    pub seconds: u8,
    /// When the engine decided it.
    pub asked_at: RawInstant,
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
    /// What the keeper can see a pause of the machine by.
    pub pauses: Pauses,
    /// The disruption marker that vmclock shows, which says nothing but that a later one is another one; none: there is none.
    pub marker: Option<u64>,
}

/// What can show that the machine was paused, migrated or restored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct Pauses {
    /// A battery-backed clock in UTC.
    pub rtc: bool,
    /// The hypervisor's vmclock.
    pub vmclock: bool,
}

/// Whether the clock may be stepped forward where nothing shows a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardSteps {
    /// The profile (strict) has no such steps.
    None,
    /// The configuration allows none.
    Closed,
    /// `allow-forward-steps` is set.
    Allowed,
}

impl Pauses {
    /// By what a pause is shown, and what to do where it is nothing, for `truechimerd --check` and `chimerctl status`.
    pub const fn shown(self, forward: ForwardSteps) -> &'static str {
        match (self.rtc, self.vmclock, forward) {
            (true, true, _) => "shown by the hardware clock (RTC) and vmclock",
            (true, false, _) => "shown by the hardware clock (RTC)",
            (false, true, _) => "shown by vmclock",
            (false, false, ForwardSteps::None) => {
                "shown by nothing (no hardware clock in UTC, no vmclock); if this is a virtual machine that may be paused, each \
                 pause needs chimerctl step --approve (chimerctl(1))"
            }
            (false, false, ForwardSteps::Closed) => {
                "shown by nothing (no hardware clock in UTC, no vmclock); if this is a virtual machine that may be paused, set \
                 allow-forward-steps (truechimer.toml(5))"
            }
            (false, false, ForwardSteps::Allowed) => {
                "shown by nothing but the sources: allow-forward-steps is set"
            }
        }
    }
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
    /// TAI − UTC as the kernel has it, in seconds; 0: it was not told. More than 255 is read as 255.
    pub tai: u8,
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
    /// What is left of the limit or, for limits that are not budgets, the requested value.
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
    /// How far the clock moved from the governor's own prediction; 0 if that is not known.
    pub moved: Offset,
    /// The clock now.
    pub now: ClockReading,
    /// The disruption marker of vmclock, up to whose change all was told; none: there is none.
    pub marker: Option<u64>,
}

/// Kinds of discontinuity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum ClockEventKind {
    /// Another program stepped the clock.
    ForeignStep,
    /// Another program changed frequency, tick or status; they were set back.
    ForeignFrequency,
    /// The machine slept.
    Resume,
    /// No order for 3 hours: base frequency, marked unsynchronised.
    DeadMan,
    /// The base frequency was outside its band, which has narrowed; it was brought to the edge.
    BandNarrowed,
    /// The battery-backed clock shows that the machine was paused, for `moved`.
    Pause,
    /// The hypervisor's vmclock shows that the machine was migrated or restored; it does not say for how long it stood still.
    Disruption,
}
