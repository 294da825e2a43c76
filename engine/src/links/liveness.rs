//! Whether the loops of the other processes turn, where the service manager watches the daemon: a process that is
//! stopped or hangs keeps its link open.

use super::Process;
use super::asked::Deed;

/// A process that has left this many pings in a row without an answer hangs.
const MISSED: u8 = 2;

/// Pings without an answer so far, in the order of [`Process::ALL`].
#[derive(Debug, Default)]
pub struct Liveness {
    open: [u8; Process::COUNT],
}

impl Liveness {
    fn of(&mut self, process: Process) -> Option<&mut u8> {
        let place = Process::ALL.iter().position(|other| *other == process)?;
        self.open.get_mut(place)
    }

    /// It is about to be asked once more.
    pub fn ask(&mut self, process: Process) -> Result<(), Deed> {
        match self.of(process) {
            Some(open) if *open >= MISSED => Err("hangs, or was stopped: it doesn't answer"),
            Some(open) => {
                *open += 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// It has answered.
    pub fn answer(&mut self, process: Process) -> Result<(), Deed> {
        match self.of(process) {
            Some(open) if *open > 0 => {
                *open -= 1;
                Ok(())
            }
            _ => Err("answered without being asked"),
        }
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
        // Late is not never, and another process has a count of its own.
        liveness.answer(Process::Client).unwrap();
        liveness.ask(Process::Server).unwrap();
        liveness.ask(Process::Client).unwrap();
        assert!(liveness.ask(Process::Client).is_err());
    }
}
