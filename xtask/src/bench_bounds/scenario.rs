//! What happens to both daemons.

/// What happens once both tell the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Nothing.
    None,
    /// One of the servers begins to lie.
    Lie,
    /// Both daemons are killed.
    Kill,
    /// The machine stands still, and its counter with it.
    Pause,
}

/// One row.
pub struct Scenario {
    /// Its word.
    pub name: &'static str,
    /// For people.
    pub about: &'static str,
    /// There is a fourth server, which says that it is very exact.
    pub has_liar: bool,
    /// It lies from the start.
    pub lies_at_once: bool,
    /// The hypervisor shows when the machine stood still.
    pub has_vmclock: bool,
    /// What happens.
    pub event: Event,
    /// Our page promises that true time is in each interval of it.
    pub is_promised: bool,
}

/// What the liar adds to true time, nanoseconds.
pub const LIE: i64 = 20_000_000;
/// How long the machine stands still, nanoseconds.
pub const PAUSE: i64 = 10_000_000_000;

const NOTHING: Scenario = Scenario {
    name: "honest",
    about: "three servers that say that they are 1 ms from true time by 1 ms of delay, as they are",
    has_liar: false,
    lies_at_once: false,
    has_vmclock: false,
    event: Event::None,
    is_promised: true,
};

/// All of them.
pub const SCENARIOS: [Scenario; 6] = [
    NOTHING,
    Scenario {
        name: "liar",
        about: "beside these a fourth one that is 20 ms ahead and says that it is 15 µs from true time by 15 µs of delay",
        has_liar: true,
        lies_at_once: true,
        ..NOTHING
    },
    Scenario {
        name: "turned-liar",
        about: "the fourth one is honest, and so exact, until both follow their servers; then it is 20 ms ahead",
        has_liar: true,
        event: Event::Lie,
        ..NOTHING
    },
    Scenario {
        name: "killed",
        about: "three honest servers; all processes of both daemons are killed (SIGKILL)",
        event: Event::Kill,
        ..NOTHING
    },
    Scenario {
        name: "pause",
        about: "the machine stands still for 10 s, and its hypervisor shows that (vmclock)",
        has_vmclock: true,
        event: Event::Pause,
        ..NOTHING
    },
    Scenario {
        name: "hidden-pause",
        about: "the machine stands still for 10 s, and nothing shows it but the servers",
        event: Event::Pause,
        is_promised: false,
        ..NOTHING
    },
];
