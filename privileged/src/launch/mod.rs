//! The launch: from a privileged process that knows nothing to a keeper that can do almost nothing.
//!
//! `configuration` opens the file of that name (`trail`: what is on the way to it), `directory` what is kept on disk
//! (`beneath`: without following a link; `kept`: owners and modes put in order), `memory` judges what it says, `users` finds
//! the uids, `children` starts the other processes, `boot` knows the boot's number, `sockets` binds what the plan asks for;
//! `sentence` has the words for what is found and what to do, and `named` what `--check` says of files that others read.
//! Nothing from a network is read before the lock-down.

mod beneath;
mod boot;
mod children;
mod configuration;
mod directory;
mod kept;
mod memory;
mod named;
mod sentence;
mod sockets;
mod trail;
mod users;

use crate::audit::{self, Audit, Wholeness};
use crate::clock::{Clock, Untouched, kernel::KernelClock, nanos, virtual_file::VirtualClock};
use crate::ending::{self, Ending, say};
use crate::governor::record::SLOT;
use crate::governor::{Governor, limits};
use crate::keeper::{EngineLink, GRACE, Keeper, moment};
use crate::notify::Notify;
use crate::options::{ClockChoice, Options};
use crate::signals::{self, Caught, caught};
use children::Children;
use directory::Directory;
use ipc::message::Shortfall;
use ipc::message::privileged::{ClockKind, FromPrivileged, START_PATIENCE, ToPrivileged, Welcome};
use ipc::process::{PerProcess, Process};
use ipc::units::Span;
use ipc_link::Link;
use kept::Secrecy;
use memory::Memory;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId as TimerClock, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::time::ClockId;
use sentence::explain;
use sockets::Sockets;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use users::Users;

/// How often the service manager is told that the start goes on, in seconds, and for how long that is to count.
const REASSURE: (i64, i64) = (5, 20);

/// Starts everything, locks this process down and gives the keeper.
///
/// # Errors
/// What ends the start, with the sentence for the administrator.
pub fn launch(options: &Options, notify: Notify) -> Result<Keeper, Ending> {
    let users = Users::find(options)?;
    if options.check {
        let config = policies::within_owner_and_mode(|| configuration::open(&options.config))?;
        warn_of_unit(options, &users);
        return Err(children::check(options, &users, config));
    }
    let opened = policies::within_owner_and_mode(|| Opened::open(options, &users))?;
    let Opened { config, state_lock, record_file, audit_file, is_distrusted, engine_files, clock, control } =
        opened;
    let (clock, clock_file) = clock;
    let signals = signals::catch().map_err(|errno| Ending::Internal(format!("signals: {}", errno.desc())))?;

    let mut children = Children::prepare(options, &users)?;
    let engine_end = children.start_engine(options, config, control, engine_files, clock_file.as_ref())?;
    let mut link: EngineLink = Link::new(engine_end);
    let plan = match receive(
        &mut link,
        (&notify, &signals, children.processes()),
        ("its plan", "the engine to read the configuration"),
        START_PATIENCE,
    ) {
        Ok(ToPrivileged::Plan(plan)) => plan,
        Ok(_) => return Err(Ending::Engine("it did not begin with its plan".into())),
        Err(Ending::Asked) => return Err(leave(link, &children, &signals)),
        Err(ending) => {
            drop(link);
            return Err(children.engine_ended(ending));
        }
    };
    let sockets = Sockets::bind(&plan)?;
    children.start_network(&plan, &sockets, clock_file.as_ref())?;
    drop((sockets, clock_file));

    let boot_id = boot::id()?;
    let (now, found) =
        moment(&*clock).map_err(|errno| Ending::Internal(format!("reading the clock: {}", errno.desc())))?;
    let begin = (boot_id, nanos(ClockId::CLOCK_BOOTTIME), now.wall);
    let (record, memory) = memory::recall(
        &record_file,
        &audit_file,
        options.new_record,
        is_distrusted,
        limits::of(plan.profile),
        begin,
    );
    let (audit, whole) = Audit::resume(audit_file, &record);
    let mut governor = Governor::new(&plan, options.approved_step, record, boot_id, now);

    let waiting = (&notify, &signals, children.processes());
    match receive(&mut link, waiting, ("its hello", "the other processes"), START_PATIENCE) {
        Ok(ToPrivileged::Hello) => {}
        Ok(ToPrivileged::Goodbye(farewell)) => return Err(farewell.into()),
        Ok(_) => return Err(Ending::Engine("it did not say hello".into())),
        Err(Ending::Asked) => return Err(leave(link, &children, &signals)),
        // Its configuration was in order: whatever its exit code says, it is the engine that has ended.
        Err(ending) => return Err(ending),
    }
    let processes = children.processes();
    let set_clock = watch_clock(clock.kind());
    let real = clock.kind() == ClockKind::Kernel;
    let shortfall = policies::confine_privileged(users.identity(Process::Privileged), real, options.insecure)
        .map_err(|error| Ending::Launch(format!("this process can't be confined: {error}")))?;
    if shortfall != Shortfall::NONE {
        say(
            4,
            &format_args!(
                "this process runs with less confinement: {shortfall} (the kernel or a filter lacks it)"
            ),
        );
    }

    let (centre, half) = governor.band();
    let welcome = Welcome {
        epoch: governor.epoch(),
        clock: clock.kind(),
        found,
        floor: governor.floor(),
        latest: governor.latest(),
        start_steps: governor.start_steps(&now),
        base_frequency: governor.record().base,
        band: half,
        band_centre: centre,
        processes,
    };
    let mut keeper = Keeper {
        link,
        clock,
        governor,
        record_file,
        state_lock: Some(state_lock),
        audit,
        notify,
        signals,
        processes,
        set_clock,
        refusals: [(0, None); 32],
        lived: None,
        condition: None,
        shown: None,
        passed_on: (0, 0),
        audit_failed: false,
        told: None,
        written: None,
        unwritten_since: None,
    };
    keeper.begin(&welcome, memory, whole, options)?;
    Ok(keeper)
}

/// A stop during the start: the engine ends with its link and the others with it, and they are waited for.
fn leave(link: EngineLink, children: &Children, signals: &OwnedFd) -> Ending {
    drop(link);
    for name in signals::await_ends(signals, &children.processes(), GRACE) {
        say(4, &format_args!("{name} did not end by itself and is killed with this process"));
    }
    Ending::Asked
}

/// All files of the launch, opened while owner and mode decide.
struct Opened {
    config: File,
    state_lock: OwnedFd,
    record_file: File,
    audit_file: File,
    /// The governor's record or the audit log was there and is not believed.
    is_distrusted: bool,
    /// State, keys, and a record where one is asked for.
    engine_files: (File, File, Option<File>),
    clock: (Box<dyn Clock>, Option<File>),
    control: OwnedFd,
}

impl Opened {
    fn open(options: &Options, users: &Users) -> Result<Self, Ending> {
        let config = configuration::open(&options.config)?;
        let state = Directory::open(&options.state)?;
        let run = Directory::open(&options.run)?;
        let state_lock = state.lock()?;
        let governor = state.locked_file("governor", 2 * SLOT as u64)?;
        if governor.is_afresh {
            memory::void(&governor.file).map_err(|errno| void_failed(options, errno))?;
        }
        let audit = state.file("audit.log", audit::LENGTH, Secrecy::Mendable)?;
        if audit.is_afresh {
            memory::void(&governor.file).map_err(|errno| void_failed(options, errno))?;
        }
        let record = options.record.as_deref().map(directory::new_record).transpose()?;
        let engine_state = state.engine_file("engine.state", Secrecy::Mendable)?;
        let engine_keys = state.engine_file("engine.keys", Secrecy::Lost)?;
        state.sync();
        let clock = take_clock(&options.clock)?;
        let control = run.listen("control.sock", users.group)?;
        if users.lacks_group {
            say(
                4,
                &"there is no group truechimer: only root can use chimerctl; run systemd-sysusers (the package does)",
            );
        }
        Ok(Self {
            config,
            state_lock,
            record_file: governor.file,
            audit_file: audit.file,
            is_distrusted: governor.is_afresh || audit.is_afresh,
            engine_files: (engine_state, engine_keys, record),
            clock,
            control,
        })
    }
}

/// The record could not be made one that grants nothing, so nothing may begin.
fn void_failed(options: &Options, errno: Errno) -> Ending {
    Ending::refused(errno, format!("{}/governor: {}", options.state.display(), explain(errno)))
}

/// Says, for `--check`, where a start by the service unit would fare worse than one by hand.
fn warn_of_unit(options: &Options, users: &Users) {
    configuration::warn_of_hidden("the configuration", &options.config);
    if let Some(record) = &options.record {
        configuration::warn_of_hidden("--record", record);
    }
    if let Some(name) = users.missing {
        say(4, &users::no_user(name));
    }
}

/// Waits for the engine's next message, for so long. As long as it can come, the service manager is asked for more time.
fn receive(
    link: &mut EngineLink,
    (notify, signals, processes): (&Notify, &OwnedFd, PerProcess<u32>),
    (what, awaited): (&str, &str),
    patience: Span,
) -> Result<ToPrivileged, Ending> {
    let seconds = || nanos(ClockId::CLOCK_MONOTONIC) / 1_000_000_000;
    let patience = patience.nanos() / 1_000_000_000;
    let deadline = seconds() + patience;
    let (pace, extent) = REASSURE;
    loop {
        notify.say(&format!(
            "EXTEND_TIMEOUT_USEC={}\nSTATUS=starting: waiting for {awaited}",
            extent * 1_000_000
        ));
        let left = deadline - seconds();
        let mut fds = [link.as_fd(), signals.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        match ppoll(&mut fds, Some(TimeSpec::new(left.clamp(0, pace), 0)), None) {
            Ok(0) if left <= 0 => {
                return Err(Ending::Engine(format!("it did not send {what} within {patience} s")));
            }
            Ok(0) | Err(Errno::EINTR) => continue,
            Ok(_) => {}
            Err(errno) => return Err(Ending::Internal(format!("ppoll: {}", errno.desc()))),
        }
        // A hangup is dropped: there is nobody yet who could read the configuration again.
        match caught(signals) {
            Some(Caught::Stop) => return Err(Ending::Asked),
            Some(Caught::Death(death)) => death.tell(&processes),
            Some(Caught::Reload) | None => {}
        }
        match link.receive() {
            Ok(Some((_, message))) => return Ok(message),
            Ok(None) => {}
            Err(error) => return Err(Ending::Engine(error.to_string())),
        }
    }
}

fn take_clock(choice: &ClockChoice) -> Result<(Box<dyn Clock>, Option<File>), Ending> {
    match choice {
        ClockChoice::None => Ok((Box::new(Untouched), None)),
        ClockChoice::Kernel => KernelClock::take().map(|clock| (Box::new(clock) as Box<dyn Clock>, None)).map_err(
            |errno| {
                Ending::NoClockControl(format!(
                    "the clock can't be steered ({}): start as root or with CAP_SYS_TIME (containers: --cap-add SYS_TIME); \
                     to serve time only, use --clock none",
                    errno.desc()
                ))
            },
        ),
        ClockChoice::Virtual(path) => {
            let wrong = |errno: Errno, why: &str| {
                let sentence = format!("virtual clock {}: {}{why}", path.display(), explain(errno));
                Ending::refused(errno, sentence)
            };
            let file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)
                .map_err(|error| wrong(ending::errno(&error), ""))?;
            let reader = File::open(path).map_err(|error| wrong(ending::errno(&error), ""))?;
            let clock =
                VirtualClock::take(file).map_err(|errno| wrong(errno, "; is it a virtual clock at all?"))?;
            Ok((Box::new(clock), Some(reader)))
        }
    }
}

/// A timer that never fires, but becomes readable when somebody sets CLOCK_REALTIME.
fn watch_clock(kind: ClockKind) -> Option<OwnedFd> {
    if kind != ClockKind::Kernel {
        return None;
    }
    let watch = || -> Result<OwnedFd, Errno> {
        let timer =
            TimerFd::new(TimerClock::CLOCK_REALTIME, TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK)?;
        let never = Expiration::OneShot(TimeSpec::new(i64::from(u32::MAX), 0));
        timer
            .set(never, TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET)?;
        timer.as_fd().try_clone_to_owned().map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(0)))
    };
    let report = |errno: &Errno| {
        say(4, &format_args!("no timer ({}): a clock set by others is noticed minutes later", errno.desc()));
    };
    watch().inspect_err(report).ok()
}

impl Keeper {
    /// Says welcome, and writes down how this run begins.
    fn begin(
        &mut self,
        welcome: &Welcome,
        memory: Memory,
        whole: Wholeness,
        options: &Options,
    ) -> Result<(), Ending> {
        let now = self.clock.read().map_err(|errno| Ending::Internal(errno.desc().into()))?;
        // First of all: whatever happens from here on, it is known that this run was.
        if let Err(errno) = self.persist() {
            say(
                3,
                &format_args!(
                    "the governor's record can't be written ({}): no steps until it can; free some space or remount the \
                     state directory",
                    errno.desc()
                ),
            );
        }
        let _ = self.audit.append(
            now.wall,
            now.raw,
            format_args!(
                "event=start version={} record={} log={} clock={:?} frequency={} budget_ns={} start_steps={} approved_ns={}",
                env!("CARGO_PKG_VERSION"),
                memory.word(),
                whole.word(),
                welcome.clock,
                welcome.found.frequency.scaled(),
                self.governor.budget_left(),
                welcome.start_steps,
                options.approved_step,
            ),
        );
        if let Some(sentence) = whole.sentence() {
            say(3, &sentence);
        }
        self.governor.record().audit = self.audit.end();
        match self.link.send(&FromPrivileged::Welcome(*welcome)) {
            Ok(_) => Ok(()),
            // It has ended meanwhile; what it said last says why.
            Err(error) => Err(match self.link.receive() {
                Ok(Some((_, ToPrivileged::Goodbye(farewell)))) => farewell.into(),
                _ => Ending::Engine(error.to_string()),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

    #[test]
    fn an_engine_that_never_speaks_ends_the_start_when_its_time_is_over() {
        let pair =
            || socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_NONBLOCK).unwrap();
        let ((ours, _engine), (signals, _silent)) = (pair(), pair());
        let waiting = (&Notify::from_environment(), &signals, PerProcess::default());
        let ending = receive(&mut Link::new(ours), waiting, ("its plan", "the engine"), Span::from_secs(1))
            .unwrap_err();
        assert_eq!(ending, Ending::Engine("it did not send its plan within 1 s".into()));
    }
}
