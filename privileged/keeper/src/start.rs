//! From the launch to the main loop: takes over the state of the launch, completes the confinement and welcomes the
//! engine.

use crate::audit::Audit;
use crate::clock::Clock;
use crate::ending::{Ending, for_the_journal, say};
use crate::governor::record::{Record, SLOT};
use crate::governor::{Governor, Terms, limits};
use crate::keeper::{Keeper, moment};
use crate::kernel::{self, Errno};
use crate::notify::Notify;
use filters::Role;
use ipc::CodecError;
use ipc::message::handover::{Handover, Memory};
use ipc::message::privileged::{ClockKind, ClockReading, Welcome};
use ipc_link::Link;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;

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
        Ok((mut keeper, found)) => match begin(&mut keeper, &handover, found) {
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

/// All steps up to the filter.
fn take_over<C: Clock>(
    role: Role,
    handover: &Handover,
    notify: Notify,
    take: impl FnOnce(ClockKind, Option<File>) -> Result<C, Ending>,
) -> Result<(Keeper<C>, ClockReading), Ending> {
    let numbers = handover.descriptors;
    let given = |number| {
        kernel::given(number).ok_or_else(|| Ending::Internal(format!("descriptor {number} is not open")))
    };
    let clock = take(handover.clock, numbers.clock.map(given).transpose()?.map(File::from))?;
    let (now, found) =
        moment(&clock).map_err(|errno| Ending::Internal(format!("reading the clock: {errno}")))?;
    let record_file = File::from(given(numbers.record)?);
    let kept = Record::newest(&read_slots(&record_file));
    if handover.memory == Memory::Resumed && kept.is_none() {
        // The launch has read it, a moment ago.
        return Err(Ending::Trouble("the governor's record can't be read any more; look at the disk".into()));
    }
    let begin = (handover.boot_id, now.boot, now.wall);
    let record = Record::of(handover.memory, kept, limits::of(handover.profile), begin);
    let terms = Terms {
        profile: handover.profile,
        run_step: handover.run_step.nanos(),
        leap_seconds: handover.leap_seconds,
        approved_step: handover.approved_step,
    };
    let keeper = Keeper {
        link: Link::new(given(numbers.link)?),
        governor: Governor::new(terms, record, handover.boot_id, now),
        record_file,
        audit: Audit::after(given(numbers.audit)?.into(), handover.audit),
        notify,
        signals: given(numbers.signals)?.into(),
        processes: handover.processes,
        set_clock: watch(clock.kind()),
        clock,
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
    lock_down(role, handover.insecure)?;
    Ok((keeper, found))
}

/// Both slots of the governor's record; an unreadable one counts as torn.
pub fn read_slots(file: &File) -> [u8; 2 * SLOT] {
    let mut slots = [0; 2 * SLOT];
    for (slot, at) in slots.chunks_exact_mut(SLOT).zip([0, SLOT as u64]) {
        match file.read_exact_at(slot, at) {
            Err(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => slot.fill(0xff),
            _ => {}
        }
    }
    slots
}

/// A descriptor that becomes readable when the kernel's clock is set.
fn watch(kind: ClockKind) -> Option<File> {
    if kind != ClockKind::Kernel {
        return None;
    }
    let report = |errno: &Errno| {
        say(4, &format_args!("no timer ({errno}): a clock set by others is noticed minutes later"));
    };
    kernel::timer_for_a_set_clock().inspect_err(report).ok().map(File::from)
}

fn lock_down(role: Role, insecure: bool) -> Result<(), Ending> {
    kernel::hold_only(role == Role::Privileged)
        .map_err(|errno| Ending::Launch(format!("this process can't give up capabilities: {errno}")))?;
    if insecure {
        return Ok(());
    }
    role.rules().install().map_err(|error| Ending::Launch(filters::refused(&error)))
}

/// Records the start of this run and sends the welcome.
fn begin<C: Clock>(keeper: &mut Keeper<C>, handover: &Handover, found: ClockReading) -> Result<(), Ending> {
    let (now, _) = moment(&keeper.clock).map_err(|errno| Ending::Internal(errno.to_string()))?;
    // First, so that the log contains this run whatever happens later.
    if let Err(errno) = keeper.persist() {
        say(
            3,
            &format_args!(
                "the governor's record can't be written ({errno}): no steps until it can; free some space or remount the \
                 state directory"
            ),
        );
    }
    let governor = &mut keeper.governor;
    let (band_centre, band) = governor.band();
    let welcome = Welcome {
        epoch: governor.epoch(),
        clock: keeper.clock.kind(),
        found,
        floor: governor.floor(),
        latest: governor.latest(),
        start_steps: governor.start_steps(&now),
        base_frequency: governor.record().base,
        band,
        band_centre,
        processes: keeper.processes,
    };
    let _ = keeper.audit.append(
        now.wall,
        now.raw,
        format_args!(
            "event=start version={} record={} log={} clock={:?} frequency={} budget_ns={} start_steps={} approved_ns={}",
            env!("CARGO_PKG_VERSION"),
            handover.memory.word(),
            handover.integrity.word(),
            welcome.clock,
            found.frequency.scaled(),
            governor.budget_left(),
            welcome.start_steps,
            handover.approved_step,
        ),
    );
    governor.record().audit = keeper.audit.end();
    keeper.welcome(welcome)
}
