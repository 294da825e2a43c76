//! The paths between client and server.

use bench::relay::{Path, Way};

/// One path.
pub struct Scenario {
    pub name: &'static str,
    pub about: &'static str,
    /// `None`: straight over the loopback interface.
    pub path: Option<Path>,
    /// The path from the middle of the round on.
    pub later: Option<Path>,
    /// A clock nearer than this is right, seconds.
    pub right_s: f64,
}

const fn path(there: Way, back: Way) -> Option<Path> {
    Some(Path { there, back })
}

/// All of them.
pub const SCENARIOS: [Scenario; 6] = [
    Scenario {
        name: "loopback",
        about: "straight over the loopback interface",
        path: None,
        later: None,
        right_s: 1e-3,
    },
    Scenario {
        name: "constant",
        about: "5 ms each way",
        path: path(Way::micros(5_000, 0), Way::micros(5_000, 0)),
        later: None,
        right_s: 1e-3,
    },
    Scenario {
        name: "jitter",
        about: "5 ms + 0.5 ms·Exp(1) each way",
        path: path(Way::micros(5_000, 500), Way::micros(5_000, 500)),
        later: None,
        right_s: 1e-3,
    },
    Scenario {
        name: "one-way",
        about: "5 ms + 0.1 ms·Exp(1) each way, and 2 ms·Exp(1) more on the way to the server",
        path: path(Way::micros(5_000, 2_100), Way::micros(5_000, 100)),
        later: None,
        right_s: 1e-3,
    },
    Scenario {
        name: "delay step",
        about: "5 ms + 0.1 ms·Exp(1) each way; in the middle the way to the server becomes 3 ms longer",
        path: path(Way::micros(5_000, 100), Way::micros(5_000, 100)),
        later: path(Way::micros(8_000, 100), Way::micros(5_000, 100)),
        right_s: 1e-3,
    },
    Scenario {
        name: "asymmetric",
        about: "8 ms there, 2 ms back, 0.1 ms·Exp(1) each: not observable, so 3 ms is the best result",
        path: path(Way::micros(8_000, 100), Way::micros(2_000, 100)),
        later: None,
        right_s: 4e-3,
    },
];
