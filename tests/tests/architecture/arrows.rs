//! Who may know whom among our packages.

/// Package, and the packages of ours that it may depend on; programs in `network` by [`OF_A_PROGRAM`]. Two arrows are never
/// to be drawn: privileged to protocol (who moves the clock parses no packets) and engine to network (who decides hears
/// nothing).
pub const ARROWS: &[(&str, &[&str])] = &[
    ("ipc", &[]),
    ("ipc/clock", &["ipc"]),
    ("ipc/drop_ins", &["ipc"]),
    ("ipc/foreign", &[]),
    ("ipc/link", &["ipc"]),
    ("ipc/report", &[]),
    ("ipc/time", &[]),
    ("protocol", &["ipc"]),
    ("protocol/roughtime", &["ipc"]),
    ("policies", &["filters", "ipc"]),
    ("privileged", &["drop-ins", "ipc", "ipc-clock", "ipc-link", "keeper", "keeper-virtual", "policies"]),
    ("engine/core", &["ipc", "protocol", "report", "roughtime", "truechimer-time"]),
    ("policies/filters", &[]),
    ("privileged/keeper", &["filters", "ipc", "ipc-clock", "ipc-link"]),
    ("privileged/keeper/virtual", &["filters", "ipc", "ipc-clock", "keeper"]),
    (
        "engine",
        &[
            "engine-core",
            "foreign",
            "ipc",
            "ipc-clock",
            "ipc-link",
            "protocol",
            "policies",
            "report",
            "roughtime",
            "truechimer-time",
        ],
    ),
    ("network/process", &["ipc", "ipc-clock", "ipc-link", "policies"]),
    ("network/tls", &["ipc"]),
    ("network/threads", &["ipc", "network"]),
    (
        "control",
        &[
            "command-line",
            "control-socket",
            "drawing",
            "drop-ins",
            "evidence",
            "history",
            "import",
            "ipc",
            "leave",
            "proof",
            "report",
            "roughtime",
            "truechimer-time",
        ],
    ),
    ("control/command_line", &[]),
    ("control/drawing", &["ipc"]),
    ("control/evidence", &["drawing", "history", "ipc", "report"]),
    ("control/history", &["ipc"]),
    ("control/import", &["foreign", "ipc"]),
    ("control/leave", &["ipc", "ipc-clock"]),
    ("control/metrics", &["control-socket", "ipc", "report"]),
    ("control/chronyc_bridge", &["control-socket", "ipc", "report"]),
    ("control/chrony_logs", &["control-socket", "ipc", "report"]),
    ("control/proof", &["history", "ipc", "roughtime"]),
    ("control/socket", &[]),
    (
        "tests",
        &[
            "ipc",
            "ipc-link",
            "protocol",
            "policies",
            "filters",
            "keeper",
            "report",
            "network",
            "truechimer-time",
        ],
    ),
    ("tests/rig", &["bench", "ipc", "protocol", "simulation"]),
    (
        "tests/simulation",
        &["ipc", "protocol", "engine-core", "keeper", "report", "sentence", "truechimer-time"],
    ),
    (
        "xtask",
        &["bench", "command-line", "ipc", "report", "rig", "sentence", "simulation", "truechimer-time"],
    ),
];

/// The same for every program in `network`. What it has of these beyond the first five is named in its own manifest
/// (`linked.rs`).
pub const OF_A_PROGRAM: &[&str] =
    &["ipc", "ipc-link", "network", "policies", "protocol", "roughtime", "threads", "tls"];
