//! Signals to the keeper, as signalfd(2) has them.

use super::*;

/// In the format of signalfd(2).
fn raise(signals: &OwnedFd, signal: i32) {
    let mut information = [0; 128];
    information[..4].copy_from_slice(&signal.to_ne_bytes());
    assert_eq!(nix::unistd::write(signals, &information), Ok(128));
}

#[test]
fn a_stop_does_not_wait_for_an_engine_that_reads_no_answers() {
    let (mut keeper, _deaf, signals) = keeper();
    while keeper.link.send(&FromPrivileged::Reload).is_ok() {}
    raise(&signals, libc::SIGTERM);
    assert_eq!(keeper.answer(&FromPrivileged::Reload), Err(Ending::Asked));
    let unread = keeper.answer(&FromPrivileged::Reload);
    assert_eq!(unread, Err(Ending::Engine("it does not read its answers".into())));
}

#[test]
fn a_hangup_asks_the_engine_to_reload_and_other_signals_end() {
    let (mut keeper, mut engine, signals) = keeper();
    raise(&signals, libc::SIGHUP);
    assert_eq!(keeper.turn(), Ok(()));
    assert_eq!(engine.receive().unwrap().unwrap().1, FromPrivileged::Reload);
    for signal in [libc::SIGTERM, libc::SIGINT] {
        raise(&signals, signal);
        assert_eq!(keeper.turn(), Err(Ending::Asked));
    }
    // Also behind another one that would wait for the engine.
    while keeper.link.send(&FromPrivileged::Reload).is_ok() {}
    raise(&signals, libc::SIGHUP);
    raise(&signals, libc::SIGTERM);
    assert_eq!(keeper.turn(), Err(Ending::Asked));
}

/// A signal with a value, in the format of signalfd(2).
fn queue(signals: &OwnedFd, code: i32, value: u32) {
    let mut information = [0; 128];
    information[..4].copy_from_slice(&libc::SIGUSR1.to_ne_bytes());
    information[8..12].copy_from_slice(&code.to_ne_bytes());
    let until = ipc_clock::boot().nanos() / SECOND.nanos() + 30;
    let value = u64::from(value) | (until as u64) << 32;
    information[48..56].copy_from_slice(&value.to_ne_bytes());
    assert_eq!(nix::unistd::write(signals, &information), Ok(128));
}

#[test]
fn a_signal_with_a_value_permits_a_step_that_was_ordered_after_it_and_one_without_permits_nothing() {
    let by_hand = |code: i32, value: u32| {
        let (mut keeper, mut engine, signals) = keeper();
        let log = file(audit_line::LENGTH);
        let end = audit_line::End::NONE;
        keeper.audit = Audit::after(log.try_clone().unwrap(), end, end);
        let step = |keeper: &Keeper<PageClock>| {
            let delta = Offset::saturating(3_000 * SECOND.nanos());
            let (epoch, reason) = (keeper.governor.epoch(), StepReason::Run);
            ToPrivileged::Step(Step { epoch, delta, reason, asked_at: later() })
        };
        // Whatever other signal is taken first.
        raise(&signals, libc::SIGCHLD);
        queue(&signals, code, value);
        engine.send(&step(&keeper)).unwrap();
        keeper.turn().unwrap();
        let answer = engine.receive().unwrap().unwrap().1;
        let mut lines = vec![0; 1 << 16];
        let length = log.read_at(&mut lines, audit_line::STEPS.slot(0)).unwrap();
        let is_written = String::from_utf8_lossy(&lines[..length]).contains("event=approved");
        (answer, is_written)
    };
    let (answer, is_written) = by_hand(libc::SI_QUEUE, 3_000);
    assert!(matches!(answer, FromPrivileged::Applied(_)) && is_written, "{answer:?}");
    let (answer, is_written) = by_hand(libc::SI_QUEUE, 2_999);
    assert!(matches!(answer, FromPrivileged::Refused(it) if it.code == Refusal::RunStep) && is_written);
    for code in [libc::SI_USER, libc::SI_KERNEL, libc::SI_TKILL] {
        let (answer, is_written) = by_hand(code, 3_000);
        assert!(matches!(answer, FromPrivileged::Refused(_)) && !is_written, "{answer:?}");
    }
}
