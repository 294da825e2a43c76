//! Threads are created before the seccomp filter is installed, which allows no new threads, and wait at a gate for the
//! first message of the engine.

use crate::workers::Workers;
use crossbeam_channel::{Sender, bounded};
use network::ending::Ending;
use nix::errno::Errno;
use std::convert::Infallible;
use std::sync::{Arc, Barrier};
use std::thread::Builder;

/// Behind which threads wait that were started. Nothing is ever sent: they pass when it is dropped.
#[derive(Debug)]
pub struct Gate(#[expect(dead_code, reason = "it is held")] Sender<Infallible>);

impl Gate {
    /// Lets them begin.
    pub fn open(self) {}
}

/// Starts a thread for each body, with this name and stack size in octets. A body first prepares, and returns the
/// closure to run behind the gate; the reason for its end is reported to the workers that `of` returns.
///
/// # Errors
/// The kernel's error if no thread can be created.
pub fn start<Shared, Own, const KINDS: usize, Body, Work>(
    (name, stack): (&str, usize),
    shared: &Arc<Shared>,
    of: fn(&Shared) -> &Workers<Own, KINDS>,
    bodies: Vec<Body>,
) -> Result<Gate, Errno>
where
    Shared: Send + Sync + 'static,
    Own: 'static,
    Body: FnOnce() -> Work + Send + 'static,
    Work: FnOnce() -> Ending,
{
    let (gate, opened) = bounded::<Infallible>(0);
    // What a thread does before it runs its own code is not allowed under the filter.
    let all_run = Arc::new(Barrier::new(bodies.len() + 1));
    for (number, body) in bodies.into_iter().enumerate() {
        let (shared, all_run, opened) = (Arc::clone(shared), Arc::clone(&all_run), opened.clone());
        let run = move || {
            let work = body();
            all_run.wait();
            // An error is what it waits for: the gate is gone.
            let _ = opened.recv();
            of(&shared).fail(work());
        };
        let spawned = Builder::new().name(format!("{name}-{number}")).stack_size(stack).spawn(run);
        spawned.map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(0)))?;
    }
    all_run.wait();
    Ok(Gate(gate))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::os::fd::AsFd;
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

    #[test]
    fn threads_are_ready_when_they_were_started_work_behind_the_gate_and_tell_each_why_they_end() {
        let workers: Arc<Workers<(), 1>> = Arc::new(Workers::new([(), (), ()]).unwrap());
        let (prepared, begun) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let body = |_| {
            let (prepared, begun) = (Arc::clone(&prepared), Arc::clone(&begun));
            move || {
                prepared.fetch_add(1, SeqCst);
                move || {
                    begun.fetch_add(1, SeqCst);
                    Ending::Rule("the end")
                }
            }
        };
        let gate =
            start(("test", 128 * 1024), &workers, |workers| workers, (0..3).map(body).collect()).unwrap();
        assert_eq!((prepared.load(SeqCst), begun.load(SeqCst)), (3, 0));
        assert_eq!(workers.failure(), None);
        gate.open();
        let mut heard = 0;
        while heard < 3 {
            poll(&mut [PollFd::new(workers.wakeup().as_fd(), PollFlags::POLLIN)], PollTimeout::NONE).unwrap();
            workers.wakeup().clear();
            while let Some(ending) = workers.failure() {
                assert_eq!(ending, Ending::Rule("the end"));
                heard += 1;
            }
        }
        assert_eq!((begun.load(SeqCst), workers.failure()), (3, None));
    }
}
