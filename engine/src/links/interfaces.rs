//! What a process says of the interfaces that entries of its `listen` name.

use super::counting::Pace;
use super::{Breach, Process};
use ipc::message::launch::MAX_LISTEN;
use ipc::message::server::Interface;
use ipc::served_at::{InterfaceName, ServedAt};
use ipc::units::RawInstant;

/// What one process has said.
#[derive(Debug)]
pub struct Interfaces {
    process: Process,
    /// Of each entry, whether its interface is missing, and how often that was said.
    missing: [(bool, Pace); MAX_LISTEN],
}

impl Interfaces {
    /// Nothing so far.
    pub fn of(process: Process) -> Self {
        Self { process, missing: Default::default() }
    }

    /// Takes the next word on one of these entries, and gives the name of the interface.
    ///
    /// # Errors
    /// [`Breach`]: no entry names one there, it was said before, or too often.
    pub fn take(
        &mut self,
        now: RawInstant,
        listen: &[ServedAt],
        Interface { entry, is_there }: Interface,
    ) -> Result<InterfaceName, Breach> {
        let process = self.process;
        let breach = |violation: &str| Breach::new(process, violation);
        let entry = usize::from(entry);
        let named = listen.get(entry).and_then(|entry| entry.interface);
        let name = named.ok_or_else(|| breach("spoke of an interface that no entry names"))?;
        // Every entry of the plan has its place.
        let (missing, pace) =
            self.missing.get_mut(entry).ok_or_else(|| breach("named an impossible entry"))?;
        if *missing != is_there {
            return Err(breach("said twice the same of an interface"));
        }
        if !pace.keeps(now) {
            return Err(breach("spoke of an interface more than once a second"));
        }
        *missing = !is_there;
        Ok(name)
    }

    /// Those of the entries whose interface is missing. Only the first that names it is told of.
    pub fn unserved<'l>(&self, listen: &'l [ServedAt]) -> impl Iterator<Item = &'l ServedAt> {
        let missing = listen.iter().zip(&self.missing).filter(|(_, (missing, _))| *missing);
        let missing: Vec<_> = missing.filter_map(|(entry, _)| entry.interface).collect();
        listen.iter().filter(move |entry| entry.interface.is_some_and(|name| missing.contains(&name)))
    }
}

const _: () = assert!(ipc::message::launch::MAX_KEY_LISTEN <= MAX_LISTEN);
