//! The launch: from a privileged process that knows nothing to one that can do almost nothing and becomes the keeper.
//!
//! `configuration` opens the configuration file (`path_walk`: resolves its path), `directory` opens the state directory
//! (`beneath`: without following links; `kept`: repairs owners and modes; `state_files`: its files, or where they are
//! while it cannot be written; `home`: whether the engine could see that it can), `users` finds the uids, `children` starts
//! the other processes, `boot` reads the boot id, and `sockets` binds the planned addresses. `audit_log` and `memory`
//! examine what the previous run left, `successor` executes the keeper, and `service_manager` and `journal` detect
//! where reports go. `time_pages` makes the pages from which programs compute the time. `diagnosis` has the messages about files, and `named` checks, for `--check`, files that other
//! processes read. Nothing from a network is read before the lock-down.

mod audit_log;
mod beneath;
mod boot;
mod children;
mod configuration;
mod diagnosis;
mod directory;
mod home;
pub mod journal;
mod kept;
mod memory;
mod named;
mod path_walk;
mod programs;
mod rtc;
pub mod service_manager;
mod sockets;
mod state_files;
mod successor;
mod time_pages;
mod users;
mod vmclock;

use crate::options::{ClockChoice, Options};
use children::{Children, EngineFiles};
use diagnosis::explain;
use directory::Directory;
use ipc::audit_line::End;
use ipc::message::handover::{Handover, Terms};
use ipc::message::launch::{FromLaunch, START_PATIENCE, ToLaunch};
use ipc::message::privileged::ClockKind;
use ipc::paths::{self, Paths};
use ipc::units::Span;
use ipc_clock::raw;
use ipc_link::Link;
use keeper::clock::kernel::KernelClock;
use keeper::ending::{Ending, say};
use keeper::kernel::wait;
use keeper::notify::Notify;
use keeper::signals::{self, Caught, caught};
use keeper::{GRACE, PARTING};
use keeper_virtual::VirtualClock;
use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId as TimerFdClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use sockets::Sockets;
use state_files::StateFiles;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use time_pages::TimePages;
use users::Users;

/// This end of the link of the launch.
pub type LaunchLink = Link<FromLaunch, ToLaunch>;

/// How often the service manager's start timeout is extended.
const REASSURE: Span = Span::from_secs(5);
/// By how much.
const EXTENT: Span = Span::from_secs(20);

/// Starts everything and becomes the keeper.
///
/// # Errors
/// Why the start failed, with the message for the administrator. It does not return otherwise: this process continues
/// as another program.
pub fn launch(
    options: &Options,
    notify: &Notify,
    ready: Option<&OwnedFd>,
) -> Result<std::convert::Infallible, Ending> {
    let users = Users::find(options)?;
    if options.check {
        let config = policies::within_owner_and_mode(|| {
            let programs = configuration::open_programs(&options.run);
            Ok::<_, Ending>(configuration::Files { programs, ..configuration::open_all(&options.config)? })
        })?;
        warn_of_unit(options, &users);
        return Err(children::check(options, &users, &config));
    }
    let opened = policies::within_owner_and_mode(|| Opened::open(options, &users))?;
    let Opened { config, files, record, clock, control, time_pages } = opened;
    let StateFiles {
        governor: record_file,
        audit: audit_file,
        is_distrusted,
        state,
        keys,
        history,
        anchors,
        report,
        aside,
        locks,
        elsewhere,
        home,
        has_refuge,
    } = files;
    let engine_files = EngineFiles { state, keys, history, anchors, report, aside, home, record, time_pages };
    let signals = catch().map_err(|errno| Ending::Internal(format!("signals: {}", errno.desc())))?;

    let programs = programs::folder(options)?;
    let program = successor::Program::find(&programs, clock.kind)?;
    let mut children = Children::prepare(programs, options, &users)?;
    let clock_reader = clock.reader.as_ref();
    children.tell_elsewhere(elsewhere.as_deref(), notify.fd().is_some());
    let ends = children.start_engine(options, &config, control, engine_files, clock_reader)?;
    let mut link = LaunchLink::new(ends.launch);
    let plan = match receive(
        &mut link,
        (notify, &signals),
        ("its plan", "the engine to read the configuration"),
        START_PATIENCE,
    ) {
        Ok(ToLaunch::Plan(plan)) => plan,
        Ok(_) => return Err(Ending::Engine("it did not begin with its plan".into())),
        Err(Ending::Asked) => return Err(leave((link, ends.orders), &children, &signals)),
        Err(ending) => {
            drop((link, ends.orders));
            signals::tell_death(&signals, &children.processes(), children.denied(), PARTING);
            return Err(children.engine_ended(ending));
        }
    };
    let sockets = Sockets::bind(&plan)?;
    if let Some(name) = users.needed(&plan) {
        return Err(Ending::Launch(users::no_user(name)));
    }
    children.start_planned(&plan, &sockets, clock_reader)?;
    drop(sockets);

    let boot_id = boot::id()?;
    let circumstances =
        memory::Circumstances { forget: options.new_record, is_distrusted, profile: plan.profile, boot_id };
    let (memory, mut record) = memory::recall(&record_file, &audit_file, &circumstances);
    let integrity;
    // In the run directory it is another log than the one that the record knows.
    let known = if elsewhere.is_some() { (End::NONE, End::NONE) } else { (record.audit, record.audit_steps) };
    ((record.audit, record.audit_steps), integrity) = audit_log::resume(&audit_file, known);
    if let Some((level, message)) = audit_log::message(integrity) {
        say(level, &message);
    }

    let waiting = (notify, &signals);
    match receive(&mut link, waiting, ("its hello", "the other processes"), START_PATIENCE) {
        Ok(ToLaunch::Hello) => {}
        Ok(ToLaunch::Goodbye(parting)) => {
            signals::tell_death(&signals, &children.processes(), children.denied(), PARTING);
            return Err(parting.into());
        }
        Ok(_) => return Err(Ending::Engine("it did not say hello".into())),
        Err(Ending::Asked) => return Err(leave((link, ends.orders), &children, &signals)),
        // Its configuration was accepted: whatever its exit code is, the engine has ended.
        Err(ending) => {
            signals::tell_death(&signals, &children.processes(), children.denied(), PARTING);
            return Err(ending);
        }
    }
    let set_clock = watch(clock.kind);
    // What a host shows of time is no evidence where it is not believed.
    let (rtc, vmclock) = match plan.attested {
        true => (None, None),
        false => (rtc::open(clock.kind), vmclock::open(clock.kind, options.vmclock.as_deref())),
    };
    let files = successor::Files {
        link: &ends.orders,
        signals: &signals,
        record: &record_file,
        audit: &audit_file,
        locks: &locks,
        set_clock: set_clock.as_ref(),
        notify: notify.fd(),
        ready: ready.map(AsFd::as_fd),
        rtc: rtc.as_ref(),
        vmclock: vmclock.as_ref(),
        clock: clock.kept.as_ref(),
        denied: children.denied(),
    };
    let handover = |descriptors| Handover {
        clock: clock.kind,
        terms: Terms {
            profile: plan.profile,
            leap_seconds: plan.leap_seconds,
            run_step: plan.run_step,
            forward_step: plan.forward_step,
            approved_step: options.approved_step,
        },
        boot_id,
        record,
        memory,
        integrity,
        processes: children.processes(),
        has_refuge,
        attested: plan.attested,
        insecure: options.insecure,
        journal: journal::reads_stderr(),
        descriptors,
    };
    successor::become_keeper(&program, (options, &users), &files, handover)
}

/// A stop during the start: the engine ends with its link and the others with it, and they are waited for.
fn leave(links: (LaunchLink, OwnedFd), children: &Children, signals: &File) -> Ending {
    drop(links);
    signals::tell_left(&signals::await_ends(signals, &children.processes(), GRACE), GRACE);
    Ending::Asked
}

/// All files of the launch, opened while owner and mode decide about access.
struct Opened {
    config: configuration::Files,
    files: StateFiles,
    /// A recording, if one was requested.
    record: Option<File>,
    clock: Taken,
    control: OwnedFd,
    time_pages: TimePages,
}

impl Opened {
    fn open(options: &Options, users: &Users) -> Result<Self, Ending> {
        let mut config = configuration::open_all(&options.config)?;
        let state = Directory::open(&options.state)?;
        let run = Directory::open(&options.run)?;
        let files = StateFiles::open(&state, &run)?;
        let home = if files.elsewhere.is_some() { &run } else { &state };
        tell_paths(options, home, &run);
        let record = options.record.as_deref().map(directory::new_record).transpose()?;
        let clock = take_clock(&options.clock)?;
        let control = run.listen("control.sock", users.group)?;
        let marker = vmclock::is_public(clock.kind, options.vmclock.as_deref());
        let time_pages = TimePages::open(&run, marker);
        config.programs = configuration::open_programs(&options.run);
        if users.lacks_group {
            say(
                4,
                &"there is no group truechimer: only root can use chimerctl; run systemd-sysusers (the package does)",
            );
        }
        Ok(Self { config, files, record, clock, control, time_pages })
    }
}

/// Tells chimerctl where configuration and audit log are. Without it they have to be named there.
fn tell_paths(options: &Options, home: &Directory, run: &Directory) {
    let absolute = |path: &Path| std::path::absolute(path).ok()?.into_os_string().into_string().ok();
    let found = (absolute(&options.config), absolute(&home.path().join(state_files::AUDIT)));
    let paths = match &found {
        (Some(configuration), Some(audit)) => Paths::try_new(configuration, audit),
        _ => None,
    };
    match paths {
        None => run.remove(paths::NAME),
        Some(paths) => {
            if let Err(ending) = run.write(paths::NAME, &paths.to_string()) {
                say(4, &format_args!("{ending}; chimerctl needs --config and --file"));
            }
        }
    }
}

/// Reports, for `--check`, what would fail under the service unit but not from a shell.
fn warn_of_unit(options: &Options, users: &Users) {
    configuration::warn_of_hidden("the configuration", &options.config);
    if let Some(record) = &options.record {
        configuration::warn_of_hidden("--record", record);
    }
    if let Some(name) = users.missing {
        say(4, &users::no_user(name));
    }
}

/// Waits for the engine's next message, for at most `timeout`. Meanwhile the service manager is asked for more time.
fn receive(
    link: &mut LaunchLink,
    (notify, signals): (&Notify, &File),
    (what, awaited): (&str, &str),
    timeout: Span,
) -> Result<ToLaunch, Ending> {
    let started = raw();
    loop {
        notify.say(&format!(
            "EXTEND_TIMEOUT_USEC={}\nSTATUS=starting: waiting for {awaited}",
            EXTENT.nanos() / 1_000
        ));
        let left = timeout.less(raw().elapsed_since(started));
        let asked = [link.as_fd(), signals.as_fd()].map(|fd| (fd, libc::POLLIN));
        match wait(asked, left.min(REASSURE)) {
            Ok([false, false]) if left == Span::ZERO => {
                let seconds = timeout.seconds();
                return Err(Ending::Engine(format!("it did not send {what} within {seconds} s")));
            }
            Ok([false, false]) => continue,
            Ok(_) => {}
            Err(errno) => return Err(Ending::Internal(format!("ppoll: {errno}"))),
        }
        // SIGHUP is ignored: no process can reload the configuration yet; nor is there a governor to permit anything to.
        match caught(signals) {
            Some(Caught::Stop) => return Err(Ending::Asked),
            Some(Caught::Child | Caught::Reload | Caught::Permit(_) | Caught::Nothing) | None => {}
        }
        match link.receive() {
            Ok(Some((_, message))) => return Ok(message),
            Ok(None) => {}
            Err(error) => return Err(Ending::Engine(error.to_string())),
        }
    }
}

/// A clock that was found usable; the keeper takes it over by itself.
struct Taken {
    kind: ClockKind,
    /// The file of a virtual clock, for the keeper.
    kept: Option<File>,
    /// The file of a virtual clock, for the processes that only read it.
    reader: Option<File>,
}

fn take_clock(choice: &ClockChoice) -> Result<Taken, Ending> {
    match choice {
        ClockChoice::None => Ok(Taken { kind: ClockKind::None, kept: None, reader: None }),
        ClockChoice::Kernel => match KernelClock::may_be_set() {
            Ok(()) => Ok(Taken { kind: ClockKind::Kernel, kept: None, reader: None }),
            Err(errno) => Err(Ending::NoClockControl(format!(
                "the clock cannot be steered ({errno}): start as root or with CAP_SYS_TIME (containers: --cap-add \
                 SYS_TIME); to serve time only, use --clock none"
            ))),
        },
        ClockChoice::Virtual(path) => {
            let wrong = |errno: Errno, why: &str| {
                let message = format!("virtual clock {}: {}{why}", path.display(), explain(errno));
                diagnosis::refused(errno, message)
            };
            let refused = |error| wrong(diagnosis::errno(&error), "");
            let mut options = File::options();
            let options = options.read(true).write(true).create(true).truncate(false);
            let file = options.open(path).map_err(refused)?;
            let reader = File::open(path).map_err(refused)?;
            VirtualClock::take(file.try_clone().map_err(refused)?)
                .map_err(|errno| wrong(Errno::from_raw(errno.0), "; is it a virtual clock at all?"))?;
            Ok(Taken { kind: ClockKind::Virtual, kept: Some(file), reader: Some(reader) })
        }
    }
}

/// A timer that never fires, but becomes readable when the kernel's clock is set.
fn watch(kind: ClockKind) -> Option<TimerFd> {
    if kind != ClockKind::Kernel {
        return None;
    }
    let make = || -> Result<TimerFd, Errno> {
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        let timer = TimerFd::new(TimerFdClockId::CLOCK_REALTIME, flags)?;
        let never = Expiration::OneShot(TimeSpec::new(u32::MAX.into(), 0));
        let flags = TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET;
        timer.set(never, flags)?;
        Ok(timer)
    };
    let report = |errno: &Errno| {
        let why = errno.desc();
        say(
            4,
            &format_args!(
                "no timer ({why}): a change of the clock by another program is noticed minutes later"
            ),
        );
    };
    make().inspect_err(report).ok()
}

/// SIGTERM, SIGINT, SIGHUP, SIGUSR1 and SIGCHLD become readable; SIGPIPE is ignored already.
fn catch() -> Result<File, Errno> {
    let mut mask = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGCHLD] {
        mask.add(signal);
    }
    mask.thread_block()?;
    let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    signals.as_fd().try_clone_to_owned().map(File::from).map_err(|error| diagnosis::errno(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

    #[test]
    fn the_kernels_clock_is_watched_by_a_timer_that_does_not_fire_and_no_other_clock_is() {
        let timer = watch(ClockKind::Kernel).expect("every kernel has timers");
        assert!(matches!(timer.get(), Ok(Some(Expiration::OneShot(left))) if left.tv_sec() > 86_400));
        let asked = [(timer.as_fd(), libc::POLLIN)];
        assert_eq!(wait(asked, Span::ZERO), Ok([false]));
        assert!(watch(ClockKind::Virtual).is_none() && watch(ClockKind::None).is_none());
    }

    #[test]
    fn an_engine_that_never_speaks_ends_the_start_when_its_time_is_over() {
        let pair =
            || socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_NONBLOCK).unwrap();
        let ((ours, _engine), (signals, _silent)) = (pair(), pair());
        let waiting = (&Notify::to(None), &File::from(signals));
        let ending = receive(&mut Link::new(ours), waiting, ("its plan", "the engine"), Span::from_secs(1))
            .unwrap_err();
        assert_eq!(ending, Ending::Engine("it did not send its plan within 1 s".into()));
    }
}
