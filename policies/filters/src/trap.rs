//! What happens at a call that no rule names: the kernel does not execute it and raises SIGSYS, whose handler tells which
//! call it was and ends the process by the same signal, so that the log can name both.
//!
//! A filter that kills at once would tell nobody but the kernel's log. The handler gives an attacker nothing: it cannot
//! be replaced (no rule permits sigaction), the kernel goes past it where SIGSYS is blocked, and it never returns. Its
//! last act is another such call, while SIGSYS is blocked: the kernel then ends the process. The handler of processes
//! with threads keeps nothing on its stack, where another thread could change it, and a fault on the way to it ends the
//! process as well: the standard library's handlers of SIGSEGV and SIGBUS are taken away.

use core::arch::naked_asm;
use core::mem::{offset_of, zeroed};
use libc::{c_int, c_void, siginfo_t};
use std::io;
use std::os::fd::{IntoRawFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};

/// Octets of a record in the pipe: the number of the call and the architecture that the kernel saw it from, each in 32
/// bits of this machine.
pub const RECORD: usize = 8;

/// A number that no kernel has a call for, and no rule.
const NO_CALL: i32 = 4_095;

/// How it is told which call was denied.
#[derive(Debug)]
pub enum Tell {
    /// A record for the keeper, in a pipe that does not block.
    Record(OwnedFd),
    /// By this function, which is given the number of the call. It must not allocate memory. For processes with one
    /// thread.
    Words(fn(i64)),
}

/// The code of a SIGSYS that a filter raised (SYS_SECCOMP), and no other process.
const OF_A_FILTER: c_int = 1;

/// The kernel's siginfo_t of SIGSYS.
#[repr(C)]
struct Denied {
    signal: c_int,
    errno: c_int,
    code: c_int,
    address: *mut c_void,
    call: c_int,
    architecture: u32,
}

static PIPE: AtomicI32 = AtomicI32::new(-1);
static WORDS: OnceLock<fn(i64)> = OnceLock::new();

/// From now on a denied call is told. To be called before the filter is in force.
///
/// # Errors
/// The error of the failed system call.
pub fn tell(how: Tell) -> io::Result<()> {
    let handler: unsafe extern "C" fn(c_int, *mut siginfo_t, *mut c_void) = match how {
        Tell::Record(pipe) => {
            // Open until the process ends.
            PIPE.store(pipe.into_raw_fd(), Ordering::Relaxed);
            into_the_pipe
        }
        Tell::Words(words) => {
            let _ = WORDS.set(words);
            in_words
        }
    };
    // SAFETY: a structure of plain numbers, of which zeros are a value.
    let mut action: libc::sigaction = unsafe { zeroed() };
    action.sa_sigaction = handler as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO;
    // SAFETY: both pointers are to a live structure, which the call copies; the handler is one of the three-argument form.
    let outcome = unsafe {
        libc::sigfillset(&raw mut action.sa_mask);
        libc::sigaction(libc::SIGSYS, &raw const action, std::ptr::null_mut())
    };
    if outcome != 0 {
        return Err(io::Error::last_os_error());
    }
    for fault in [libc::SIGSEGV, libc::SIGBUS] {
        // SAFETY: SIG_DFL is no handler of ours.
        unsafe { libc::signal(fault, libc::SIG_DFL) };
    }
    Ok(())
}

/// Instructions with what all architectures refer to by name.
macro_rules! with_operands {
    ($($instruction:literal,)*) => {
        naked_asm!(
            $($instruction,)*
            code = const offset_of!(Denied, code),
            of_a_filter = const OF_A_FILTER,
            call = const offset_of!(Denied, call),
            pipe = sym PIPE,
            record = const RECORD,
            write = const libc::SYS_write,
            no_call = const NO_CALL,
        )
    };
}

/// Writes the record and ends the process, in registers alone.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
unsafe extern "C" fn into_the_pipe(_signal: c_int, _about: *mut siginfo_t, _context: *mut c_void) {
    with_operands!(
        "cmp dword ptr [rsi + {code}], {of_a_filter}",
        "jne 2f",
        "lea rsi, [rsi + {call}]",
        "mov edi, dword ptr [rip + {pipe}]",
        "mov edx, {record}",
        "mov eax, {write}",
        "syscall",
        "2:",
        "mov eax, {no_call}",
        "syscall",
        "ud2",
    )
}

/// Writes the record and ends the process, in registers alone.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
unsafe extern "C" fn into_the_pipe(_signal: c_int, _about: *mut siginfo_t, _context: *mut c_void) {
    with_operands!(
        "ldr w9, [x1, #{code}]",
        "cmp w9, #{of_a_filter}",
        "b.ne 2f",
        "add x1, x1, #{call}",
        "adrp x9, {pipe}",
        "ldr w0, [x9, :lo12:{pipe}]",
        "mov x2, #{record}",
        "mov x8, #{write}",
        "svc #0",
        "2:",
        "mov x8, #{no_call}",
        "svc #0",
        "brk #1",
    )
}

unsafe extern "C" fn in_words(_signal: c_int, about: *mut siginfo_t, _context: *mut c_void) {
    // SAFETY: the kernel calls this with what it knows of a SIGSYS, which it has the form of if a filter raised it; if
    // another process sent it, the field is within the same 128 octets.
    let (code, call) = unsafe { ((*about.cast::<Denied>()).code, (*about.cast::<Denied>()).call) };
    if let Some(words) = WORDS.get().filter(|_| code == OF_A_FILTER) {
        words(call.into());
    }
    // SAFETY: takes no memory; under the filter it does not return, and otherwise _exit does not.
    unsafe {
        libc::syscall(NO_CALL.into());
        libc::_exit(libc::SIGSYS + 128)
    }
}

/// From now on records are left there, if [`tell`] has been told before to leave them in a pipe.
pub fn redirect(pipe: OwnedFd) {
    PIPE.store(pipe.into_raw_fd(), Ordering::Relaxed);
}

/// The number of the call in a record.
#[must_use]
pub fn number(record: [u8; RECORD]) -> i64 {
    let [a, b, c, d, ..] = record;
    i32::from_ne_bytes([a, b, c, d]).into()
}

/// Whether the C library makes this call to abort the process (abort(3)), and our processes for nothing else. No filter
/// permits all of them.
#[must_use]
pub const fn is_of_an_abort(number: i64) -> bool {
    matches!(
        number,
        libc::SYS_gettid | libc::SYS_getpid | libc::SYS_tgkill | libc::SYS_tkill | libc::SYS_rt_sigprocmask
    )
}

const _: () = assert!(size_of::<Denied>() <= size_of::<siginfo_t>() && offset_of!(Denied, call) == 24);
