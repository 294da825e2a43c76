//! What a thread may do under the filter that was started before it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Whether the process is about to end.
static IS_LEAVING: AtomicBool = AtomicBool::new(false);

/// Takes much memory from the arena of this thread and gives it back: each piece is below the size from which it would
/// have a mapping of its own.
pub fn use_arena() {
    drop((0..200).map(|_| vec![1u8; 60_000]).collect::<Vec<_>>());
}

/// Ends the process, which takes a while.
pub fn leave_slowly() -> ! {
    extern "C" fn linger() {
        IS_LEAVING.store(true, Ordering::Relaxed);
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(300) {
            std::hint::spin_loop();
        }
    }
    // SAFETY: the function ends, and touches nothing but a flag of its own.
    unsafe { libc::atexit(linger) };
    std::process::exit(0)
}

/// Ends the process while [`leave_slowly`] does.
pub fn leave_too() -> ! {
    while !IS_LEAVING.load(Ordering::Relaxed) {
        std::hint::spin_loop();
    }
    std::process::exit(1)
}
