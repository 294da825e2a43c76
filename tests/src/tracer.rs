//! Makes running processes do what they never do by themselves, through ptrace: for root.

use libc::{c_long, c_void, pid_t};
use std::io;
use std::ptr::{null_mut, without_provenance_mut};

/// The type of the entry in the auxiliary vector that says where the vdso is, and of one that says nothing (getauxval(3)).
const VDSO: u64 = 33;
const IGNORE: u64 = 1;

/// The instruction `syscall`, as the first two octets of a word.
const SYSCALL: u64 = 0x050f;

/// The number of a request; the C libraries differ in its type.
#[cfg(target_env = "musl")]
type Request = libc::c_int;
#[cfg(not(target_env = "musl"))]
type Request = libc::c_uint;

/// One request whose arguments are numbers, or the address of a structure that outlives it.
fn request(kind: Request, pid: pid_t, address: *mut c_void, data: *mut c_void) -> io::Result<c_long> {
    // SAFETY: the kernel writes only through `data`, to a live structure of the size that the request has (see the callers).
    match unsafe { libc::ptrace(kind, pid, address, data) } {
        -1 => Err(io::Error::last_os_error()),
        result => Ok(result),
    }
}

fn number(value: u64) -> *mut c_void {
    without_provenance_mut(value as usize)
}

/// Waits for a stop of this process (-1: of any); its id and status.
fn stop(pid: pid_t) -> io::Result<(pid_t, i32)> {
    let mut status = 0;
    // SAFETY: the call fills a live integer.
    match unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) } {
        -1 => Err(io::Error::last_os_error()),
        found => Ok((found, status)),
    }
}

/// Makes the main thread of a process, which waits in the kernel, make this system call next, with all arguments zero, and
/// lets it go.
///
/// # Errors
/// The error of the request that failed.
pub fn make_call(pid: u32, call: i64) -> io::Result<()> {
    let pid = pid.cast_signed();
    request(libc::PTRACE_ATTACH, pid, null_mut(), null_mut())?;
    stop(pid)?;
    let mut registers = registers(pid)?;
    // After the instruction with which it went into the kernel.
    registers.rip -= 2;
    if read(pid, registers.rip)? & 0xffff != SYSCALL {
        request(libc::PTRACE_DETACH, pid, null_mut(), null_mut())?;
        return Err(io::Error::other("it does not wait in the kernel"));
    }
    registers.rax = call.cast_unsigned();
    // The kernel does not begin the interrupted call again.
    registers.orig_rax = u64::MAX;
    for argument in [&mut registers.rdi, &mut registers.rsi, &mut registers.rdx, &mut registers.r10] {
        *argument = 0;
    }
    request(libc::PTRACE_SETREGS, pid, null_mut(), (&raw mut registers).cast())?;
    request(libc::PTRACE_DETACH, pid, null_mut(), null_mut()).map(drop)
}

/// Traces a process of which this one is not the parent, and all that it starts, to the end of the last of them: each
/// program is executed without a vdso, as on a host where its clocks cannot be read there.
///
/// # Errors
/// The error of the request that failed.
pub fn take_vdso_away(pid: u32) -> io::Result<()> {
    let events = libc::PTRACE_O_TRACEEXEC
        | libc::PTRACE_O_TRACEFORK
        | libc::PTRACE_O_TRACEVFORK
        | libc::PTRACE_O_TRACECLONE;
    request(libc::PTRACE_SEIZE, pid.cast_signed(), null_mut(), number(events.cast_unsigned().into()))?;
    loop {
        let Ok((pid, status)) = stop(-1) else { return Ok(()) };
        if !libc::WIFSTOPPED(status) {
            continue;
        }
        let (signal, event) = (libc::WSTOPSIG(status), status >> 16);
        let (next, signal) = match event {
            libc::PTRACE_EVENT_EXEC => {
                blank_vdso(pid)?;
                (libc::PTRACE_CONT, 0)
            }
            // It was stopped by a signal, and stays so.
            libc::PTRACE_EVENT_STOP if signal != libc::SIGTRAP => (libc::PTRACE_LISTEN, 0),
            0 => (libc::PTRACE_CONT, signal),
            _ => (libc::PTRACE_CONT, 0),
        };
        // It may have been killed meanwhile.
        let _ = request(next, pid, null_mut(), number(signal.cast_unsigned().into()));
    }
}

/// The auxiliary vector of a program that was just executed lies behind its arguments and its environment.
fn blank_vdso(pid: pid_t) -> io::Result<()> {
    let mut at = registers(pid)?.rsp + 8;
    for _ in 0..2 {
        while read(pid, at)? != 0 {
            at += 8;
        }
        at += 8;
    }
    loop {
        match read(pid, at)? {
            0 => return Ok(()),
            VDSO => request(libc::PTRACE_POKEDATA, pid, number(at), number(IGNORE)).map(drop)?,
            _ => {}
        }
        at += 16;
    }
}

fn registers(pid: pid_t) -> io::Result<libc::user_regs_struct> {
    // SAFETY: a structure of plain numbers, of which zeros are a value.
    let mut registers: libc::user_regs_struct = unsafe { std::mem::zeroed() };
    request(libc::PTRACE_GETREGS, pid, null_mut(), (&raw mut registers).cast())?;
    Ok(registers)
}

/// A word of its memory; all ones of it cannot be told from an error.
fn read(pid: pid_t, address: u64) -> io::Result<u64> {
    request(libc::PTRACE_PEEKDATA, pid, number(address), null_mut()).map(i64::cast_unsigned)
}
