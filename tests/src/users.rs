//! The users that the package makes.

use ipc::process::Process;

/// The file of systemd-sysusers, which postinst reads where that program isn't there: a user for each process, and the
/// group of those who may ask.
pub fn sysusers() -> String {
    let head = "# One user for each process, so that none of them can signal, trace or read another; the group reads status.\n\
                g truechimer -\n";
    let line = |process: Process| format!("u {} - \"truechimer, {}\"\n", process.user(), process.does());
    head.to_owned() + &Process::ALL.map(line).concat()
}
