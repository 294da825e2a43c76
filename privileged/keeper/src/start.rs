//! From the launch to the main loop: takes over the state of the launch, completes the confinement and welcomes the
//! engine.

use crate::audit::Audit;
use crate::clock::Clock;
use crate::ending::{Ending, for_the_journal, say, say_at_once};
use crate::governor::{Governor, Moment};
use crate::keeper::{Awaited, Course, Keeper, Kind, moment};
use crate::kernel;
use crate::notify::Notify;
use crate::signals::Call;
use filters::Role;
use filters::trap::{self, Tell};
use ipc::CodecError;
use ipc::message::handover::{Handover, LogIntegrity, Memory};
use ipc::message::privileged::{ClockKind, Pauses, Welcome};
use ipc::process::PerProcess;
use ipc_link::Link;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;

/// Takes over from the launch and runs until there is a reason to end. `take` opens the clock, from its kind and, for a
/// virtual one, its file.
pub fn keep<C: Clock>(role: Role, take: impl FnOnce(ClockKind, Option<File>) -> Result<C, Ending>) -> ! {
    kernel::undumpable();
    let handover = match handover() {
        Ok(handover) => handover,
        Err(why) => {
            say(3, &why);
            kernel::exit(Ending::Launch(String::new()).code())
        }
    };
    for_the_journal(handover.journal);
    let notify = Notify::to(handover.descriptors.notify.and_then(kernel::given));
    end_on_panic(notify.clone());
    match take_over(role, &handover, notify.clone(), take) {
        Ok((mut keeper, found)) => match begin(&mut keeper, &handover, &found) {
            Ok(()) => keeper.run(),
            Err(ending) => keeper.end(ending),
        },
        Err(ending) => {
            let text = ending.to_string();
            notify.say_end(&text);
            say(3, &text);
            kernel::exit(ending.code())
        }
    }
}

/// The record that the launch left on standard input, or why there is none.
fn handover() -> Result<Handover, &'static str> {
    let mut octets = Vec::new();
    let read = std::io::stdin().take(ipc::MAX_FRAME as u64 + 1).read_to_end(&mut octets);
    match read.map(|_| ipc::decode(&octets)) {
        Ok(Ok(record)) => Ok(record.body),
        Ok(Err(CodecError::Version)) if !octets.is_empty() => Err(
            "truechimerd and truechimer-keeper are of different versions; install the package anew, and restart",
        ),
        Ok(Err(_)) if !octets.is_empty() => {
            Err("what truechimerd handed over cannot be read; install the package anew, and restart")
        }
        _ => Err("this program, truechimer-keeper, is started by truechimerd and not by hand"),
    }
}

/// From here on a panic is told to the service manager and the log, and ends this process.
pub fn end_on_panic(notify: Notify) {
    std::panic::set_hook(Box::new(move |panic| {
        // The clock needs no clean-up: a slew ends by itself, and the base frequency is in force.
        let message = format!("internal error, ending: {panic}");
        notify.say_end(&message);
        say(2, &message);
        kernel::exit(Ending::Internal(String::new()).code())
    }));
}

/// All steps up to the filter; also the clock as it was found.
fn take_over<C: Clock>(
    role: Role,
    handover: &Handover,
    notify: Notify,
    take: impl FnOnce(ClockKind, Option<File>) -> Result<C, Ending>,
) -> Result<(Keeper<C>, Moment), Ending> {
    let given = |number| -> Result<OwnedFd, Ending> {
        kernel::given(number).ok_or_else(|| Ending::Internal(format!("descriptor {number} is not open")))
    };
    let file = |number| given(number).map(File::from);
    let numbers = handover.descriptors;
    let clock = take(handover.clock, numbers.clock.map(file).transpose()?)?;
    let found = moment(&clock)?;
    let mut keeper = Keeper {
        link: Link::new(given(numbers.link)?),
        clock,
        governor: Governor::new(handover.terms, handover.record.clone(), handover.boot_id, found),
        record_file: file(numbers.record)?,
        audit: Audit::after(file(numbers.audit)?, handover.record.audit, handover.record.audit_steps),
        notify,
        ready: numbers.ready.map(file).transpose()?,
        signals: file(numbers.signals)?,
        processes: handover.processes,
        denied: PerProcess::from_fn(|process| {
            numbers.denied[process].and_then(kernel::given).map(File::from)
        }),
        set_clock: numbers.set_clock.map(file).transpose()?,
        rtc: numbers.rtc.map(file).transpose()?,
        vmclock: numbers.vmclock.map(file).transpose()?,
        // Without a service manager nothing would start again.
        has_refuge: handover.has_refuge && numbers.notify.is_some(),
        awaited: handover.attested.then(Awaited::begin),
        is_attested: handover.attested,
        course: Course::default(),
    };
    if handover.clock == ClockKind::Virtual {
        keeper.governor.runs_by_itself();
    }
    lock_down(role, handover.insecure)?;
    // What the marker was before this run says nothing: the start row serves a machine that was restored meanwhile.
    keeper.look_at_vmclock(&found);
    Ok((keeper, found))
}

/// The last line of a keeper that its own filter ends.
fn say_denied(number: i64) {
    say_at_once(
        2,
        format_args!(
            "truechimer-keeper is killed by its system call filter (SIGSYS): {}",
            Call(Some(number))
        ),
    );
}

fn lock_down(role: Role, insecure: bool) -> Result<(), Ending> {
    kernel::hold_only(role == Role::Privileged)
        .map_err(|errno| Ending::Launch(format!("this process cannot give up capabilities: {errno}")))?;
    if insecure {
        return Ok(());
    }
    trap::tell(Tell::Words(say_denied)).map_err(|error| Ending::Launch(filters::refused(&error)))?;
    role.rules().install().map_err(|error| Ending::Launch(filters::refused(&error)))
}

/// Records the start of this run and sends the welcome.
fn begin<C: Clock>(keeper: &mut Keeper<C>, handover: &Handover, found: &Moment) -> Result<(), Ending> {
    let is_same_boot = handover.record.boot_id == handover.boot_id;
    let is_news =
        !is_same_boot || handover.memory != Memory::Resumed || handover.integrity != LogIntegrity::Whole;
    let line = keeper.note_start(is_same_boot, is_news);
    if let Err(errno) = keeper.persist() {
        say(
            3,
            &format_args!(
                "the governor's record cannot be written ({errno}): no steps until it can; free some space or remount the \
                 state directory"
            ),
        );
    }
    let kind = keeper.clock.kind();
    // The profile may have been changed, or the band narrowed without the keeper.
    let is_narrowed = keeper.keep_in_band();
    let found = &if is_narrowed { moment(&keeper.clock)? } else { *found };
    // The first look; what it is compared with comes later.
    let _ = keeper.look_at_rtc(found);
    let pauses = Pauses { rtc: keeper.reads_rtc(), vmclock: keeper.vmclock.is_some() };
    let welcome = Welcome { pauses, ..keeper.governor.welcome(kind, found, keeper.processes) };
    if let Some(unwritten) = line {
        keeper.write_down(format_args!(
            "event=start version={} record={} log={} clock={kind:?} frequency={} budget_ns={} start_steps={} approved_ns={}{unwritten}",
            env!("CARGO_PKG_VERSION"),
            handover.memory.word(),
            handover.integrity.word(),
            found.clock.frequency.scaled(),
            keeper.governor.budget_left().nanos(),
            welcome.start_steps,
            handover.terms.approved_step.map_or(0, |step| step.nanos()),
        ));
        // What was found is told once: where nothing is to be told, the line can wait for the next ones.
        if handover.integrity != LogIntegrity::Whole {
            keeper.synchronise_log();
        }
    }
    if is_narrowed && let Some(unwritten) = keeper.may_write(Kind::Event) {
        let frequency = welcome.base_frequency.scaled();
        keeper.write_down(format_args!("event=band-narrowed frequency={frequency}{unwritten}"));
    }
    keeper.welcome(welcome)
}
