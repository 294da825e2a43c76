//! The command line: few options, parsed here, so that no parser library is linked into this program.

use ipc::process::Process;
use ipc::units::Span;
use std::ffi::OsString;
use std::path::PathBuf;

/// What `--help` prints.
pub const HELP: &str = "\
truechimerd keeps this host's clock right.

Usage: truechimerd [options]

  --config FILE         configuration (/etc/truechimer/truechimer.toml)
  --check               check the configuration, and end
  --state-dir DIR       what survives a restart (/var/lib/truechimer)
  --run-dir DIR         the control socket (/run/truechimer)
  --clock KIND          kernel (default), none (serve time, never touch the clock), or virtual:FILE
  --vmclock FILE        with virtual:FILE only: a file in place of the hypervisor's /dev/vmclock0 (tests)
  --programs DIR        where truechimer-engine and the other programs are (beside this program)
  --first-uid N         users N, N+1, ... instead of the packaged ones (containers, tests)
  --approve-step SECS   allow one step of at most this size, once in a boot, not before this program was
                        built and not after the latest plausible time; audited
  --record FILE         record all that the engine is told, for chimerctl replay; the one before becomes FILE.1
  --new-record          forget the governor's record (budgets, last good time); audited
  --ready-fd N          write a line feed to descriptor N when everything runs, and close it (s6, dinit)
  --container           as the first process of a container: leave what is executed beside it, as podman exec and the
                        probes of Kubernetes do, the container's files
  --syslog              the engine logs to syslog; this program's few lines stay on standard error
  --insecure            start even if confinement is not available; never use it on a host that matters
  --version, --help";

/// What to steer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClockChoice {
    /// CLOCK_REALTIME.
    Kernel,
    /// Nothing.
    None,
    /// The virtual clock in this file.
    Virtual(PathBuf),
}

/// The command line, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// `--config`.
    pub config: PathBuf,
    /// `--check`.
    pub check: bool,
    /// `--state-dir`.
    pub state: PathBuf,
    /// `--run-dir`.
    pub run: PathBuf,
    /// `--clock`.
    pub clock: ClockChoice,
    /// `--vmclock`.
    pub vmclock: Option<PathBuf>,
    /// `--programs`.
    pub programs: Option<PathBuf>,
    /// `--first-uid`.
    pub first_uid: Option<u32>,
    /// `--approve-step`.
    pub approved_step: Option<Span>,
    /// `--record`.
    pub record: Option<PathBuf>,
    /// `--new-record`.
    pub new_record: bool,
    /// `--ready-fd`, 3 or more.
    pub ready_fd: Option<u32>,
    /// `--container`.
    pub container: bool,
    /// `--syslog`.
    pub syslog: bool,
    /// `--insecure`.
    pub insecure: bool,
}

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Asked {
    /// Run with these options.
    Run(Box<Options>),
    /// Print the help.
    Help,
    /// Print the version.
    Version,
}

/// Reads the words behind the program's name.
///
/// # Errors
/// A message for the administrator.
pub fn parse(words: impl Iterator<Item = OsString>) -> Result<Asked, String> {
    let mut options = Options {
        config: "/etc/truechimer/truechimer.toml".into(),
        check: false,
        state: "/var/lib/truechimer".into(),
        run: "/run/truechimer".into(),
        clock: ClockChoice::Kernel,
        vmclock: None,
        programs: None,
        first_uid: None,
        approved_step: None,
        record: None,
        new_record: false,
        ready_fd: None,
        container: false,
        syslog: false,
        insecure: false,
    };
    let mut words = words;
    while let Some(word) = words.next() {
        let name = word.to_string_lossy().into_owned();
        let mut value = |what: &str| words.next().ok_or_else(|| format!("{name} needs {what} behind it"));
        match name.as_str() {
            "--config" => options.config = value("a file")?.into(),
            "--state-dir" => options.state = value("a directory")?.into(),
            "--run-dir" => options.run = value("a directory")?.into(),
            "--record" => options.record = Some(value("a file")?.into()),
            "--vmclock" => options.vmclock = Some(value("a file")?.into()),
            "--programs" => options.programs = Some(value("a directory")?.into()),
            "--clock" => {
                let kind = value("kernel, none or virtual:FILE")?.to_string_lossy().into_owned();
                options.clock = match (kind.as_str(), kind.strip_prefix("virtual:")) {
                    ("kernel", _) => ClockChoice::Kernel,
                    ("none", _) => ClockChoice::None,
                    (_, Some(file)) if !file.is_empty() => ClockChoice::Virtual(file.into()),
                    _ => return Err(format!("--clock {kind}: expected kernel, none or virtual:FILE")),
                };
            }
            "--first-uid" => {
                let text = value("a number")?.to_string_lossy().into_owned();
                // One for each process, none of them root or the invalid uid (2^32 − 1).
                let last = u32::MAX - Process::COUNT as u32;
                let uid = text.parse().ok().filter(|uid| (1..=last).contains(uid));
                options.first_uid =
                    Some(uid.ok_or_else(|| format!("--first-uid {text}: expected 1 to {last}"))?);
            }
            "--approve-step" => {
                let text = value("a number of seconds")?.to_string_lossy().into_owned();
                let seconds = text.parse::<u32>().ok().filter(|seconds| *seconds > 0).ok_or_else(|| {
                    format!("--approve-step {text}: expected whole seconds, 1 to {}", u32::MAX)
                })?;
                options.approved_step = Some(Span::from_secs(seconds.into()));
            }
            "--ready-fd" => {
                let text = value("a descriptor")?.to_string_lossy().into_owned();
                // The standard streams are in use.
                let fd = text.parse().ok().filter(|fd| (3..=i32::MAX as u32).contains(fd));
                options.ready_fd = Some(fd.ok_or_else(|| {
                    format!("--ready-fd {text}: expected a descriptor, 3 or more, that was opened for this program")
                })?);
            }
            "--check" => options.check = true,
            "--new-record" => options.new_record = true,
            "--container" => options.container = true,
            "--syslog" => options.syslog = true,
            "--insecure" => options.insecure = true,
            "--help" | "-h" => return Ok(Asked::Help),
            "--version" | "-V" => return Ok(Asked::Version),
            _ => return Err(format!("{name}: no such option; truechimerd --help lists them")),
        }
    }
    if options.vmclock.is_some() && !matches!(options.clock, ClockChoice::Virtual(_)) {
        return Err("--vmclock stands in for the hypervisor's device with --clock virtual:FILE only".into());
    }
    Ok(Asked::Run(Box::new(options)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(words: &str) -> Result<Asked, String> {
        parse(words.split_whitespace().map(OsString::from))
    }

    fn options(words: &str) -> Options {
        match asked(words) {
            Ok(Asked::Run(options)) => *options,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn options_are_understood() {
        assert_eq!(options("").clock, ClockChoice::Kernel);
        assert_eq!(options("--clock virtual:/tmp/c").clock, ClockChoice::Virtual("/tmp/c".into()));
        assert_eq!(options("--approve-step 90").approved_step, Some(Span::from_secs(90)));
        assert_eq!(options("--record /r").record, Some("/r".into()));
        assert_eq!(options("--first-uid 64000").first_uid, Some(64_000));
        assert_eq!(options("--ready-fd 3").ready_fd, Some(3));
        assert!(options("--container").container && !options("").container);
        assert_eq!(asked("--help"), Ok(Asked::Help));
    }

    #[test]
    fn what_is_not_an_option_is_named() {
        for (words, part) in [
            ("--clok none", "--clok"),
            ("--clock", "needs kernel"),
            ("--clock virtual:", "expected kernel"),
            ("--first-uid 0", "expected 1 to"),
            ("--first-uid -1", "expected 1 to"),
            ("--first-uid 4294967295", "expected 1 to"),
            ("--approve-step soon", "whole seconds"),
            ("--ready-fd 2", "3 or more"),
            ("--ready-fd 2147483648", "3 or more"),
            ("--ready-fd three", "3 or more"),
            ("--vmclock /v", "with --clock virtual:FILE only"),
            ("--clock none --vmclock /v", "with --clock virtual:FILE only"),
            ("extra", "no such option"),
        ] {
            assert!(asked(words).unwrap_err().contains(part), "{words}");
        }
    }
}
