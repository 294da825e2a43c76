//! Checks that the event loops of the other processes still run, if the service manager's watchdog is on: a process
//! that is stopped or hangs keeps its link open.

use ipc::message::exchange::Violation;
use ipc::process::{PerProcess, Process};

/// A process that has left this many pings in a row without an answer hangs.
const MISSED: u8 = 2;

/// Pings without an answer so far.
#[derive(Debug, Default)]
pub struct Liveness {
    open: PerProcess<u8>,
}

impl Liveness {
    /// It is about to be asked once more.
    pub fn ask(&mut self, process: Process) -> Result<(), Violation> {
        let open = &mut self.open[process];
        if *open >= MISSED {
            return Err("hangs, or was stopped: it doesn't answer");
        }
        *open += 1;
        Ok(())
    }

    /// It has answered.
    pub fn answer(&mut self, process: Process) -> Result<(), Violation> {
        let open = &mut self.open[process];
        *open = open.checked_sub(1).ok_or("answered without being asked")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_missed_answers_are_too_many_and_an_unasked_one_is_a_breach() {
        let mut liveness = Liveness::default();
        assert!(liveness.answer(Process::Client).is_err());
        for _ in 0..10 {
            liveness.ask(Process::Client).unwrap();
            liveness.answer(Process::Client).unwrap();
        }
        liveness.ask(Process::Client).unwrap();
        liveness.ask(Process::Client).unwrap();
        // A late answer is accepted, and each process has its own count.
        liveness.answer(Process::Client).unwrap();
        liveness.ask(Process::Server).unwrap();
        liveness.ask(Process::Client).unwrap();
        assert!(liveness.ask(Process::Client).is_err());
    }
}
