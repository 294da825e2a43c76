//! The words of `chimerctl evidence`.

use crate::Time;
use crate::span::{parse_span, parse_time};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// The options of `evidence`.
#[derive(Args, Debug)]
pub struct EvidenceArguments {
    /// By which rule; `list` names them all
    #[arg(long, value_name = "NAME", value_enum)]
    pub rule: RuleName,
    /// From when: a time of UTC such as 2026-11-01 or 2026-11-01T12:00, or 30min, 12h or 7d before the end of the history
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub from: Option<Time>,
    /// Until when; 2026-12-01 is the end of November
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub to: Option<Time>,
    /// Write the report to this folder, which must not be there or be empty: report.json, report.html, SHA256SUMS
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub out: Option<PathBuf>,
    /// The type of activity, where the rule has a limit for each
    #[arg(long, value_enum)]
    pub activity: Option<Activity>,
    /// How far the clock may be from UTC: a number with s, ms, us or ns; never above what the rule permits
    #[arg(long, value_name = "SPAN", value_parser = parse_span)]
    pub limit: Option<f64>,
    /// What is taken for the error of the clock
    #[arg(long, value_enum, default_value_t = ErrorFigure::Bound)]
    pub by: ErrorFigure,
    /// A source that is authorised, by its name in the configuration; any number of times. Without: it is not judged which ones are used
    #[arg(long, value_name = "SOURCE")]
    pub authorised: Vec<String>,
    /// A restart of the daemon or another time without a record up to this is listed, and keeps nothing from being met
    #[arg(long, value_name = "SPAN", default_value = "120s", value_parser = parse_span)]
    pub outage: f64,
    /// The history; otherwise the one that the daemon writes
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub history: Option<PathBuf>,
    /// The audit log, whose heads of the history are compared with it; otherwise audit.log beside the history, if it is there. Anchors and the
    /// governor's record are taken from its folder
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub audit: Option<PathBuf>,
    /// A list of Roughtime servers with their public keys (JSON), by which anchors are judged
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub keys: Option<PathBuf>,
    /// The name of the host whose history it is; without --history, this one
    #[arg(long, value_name = "NAME")]
    pub host: Option<String>,
}

/// A rule on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RuleName {
    /// Name them all
    List,
    /// BSI IT-Grundschutz OPS.1.2.6
    #[value(name = "bsi-ops-1-2-6")]
    BsiOps126,
    /// CA/Browser Forum, code signing: timestamp authorities
    Csbr,
    /// ETSI EN 319 421: time-stamping authorities
    #[value(name = "etsi-319-421")]
    Etsi319421,
    /// MiFID II: business clocks
    MifidIi,
    /// NIST SP 800-53: AU-8, SC-45
    #[value(name = "nist-800-53")]
    Nist80053,
    /// PCI DSS 10.6
    PciDss,
    /// DISA STIG for Linux: time
    Stig,
}

/// A type of activity of a rule that has several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Activity {
    /// mifid-ii: high-frequency algorithmic trading, 100 us
    Hft,
    /// mifid-ii: voice, requests for quote that people answer, negotiated transactions, 1 s
    Voice,
    /// mifid-ii: any other trading activity, 1 ms
    Other,
    /// mifid-ii: a venue whose gateway-to-gateway latency is at most 1 ms, 100 us
    VenueFast,
    /// mifid-ii: any other venue, 1 ms
    Venue,
}

/// What is taken for the error of the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ErrorFigure {
    /// Its bound, which holds if the selected sources are honest
    Bound,
    /// Its likely error: it is above that with a probability of 1e-6, by the model
    Likely,
}
