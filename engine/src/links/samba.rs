//! The link to the process that asks Samba.

use super::counting::Pace;
use super::queued_link::QueuedLink;
use super::{Breach, Fact, Links, Process};
use ipc::file_path::FilePath;
use ipc::message::samba::{FromSamba, ToSamba};
use ipc::units::RawInstant;
use std::os::fd::OwnedFd;

/// Our end, and how often something came on it.
#[derive(Debug)]
pub struct SambaLink {
    pub(super) link: QueuedLink<ToSamba, FromSamba>,
    changes: Pace,
}

impl SambaLink {
    /// Takes the end.
    pub fn new(fd: OwnedFd) -> Result<Self, nix::Error> {
        Ok(Self { link: QueuedLink::new(Process::Samba, fd)?, changes: Pace::default() })
    }

    /// One record, checked.
    pub fn receive(&mut self, now: RawInstant) -> Result<Option<Fact>, Breach> {
        let Some(message) = self.link.receive_greeted()? else { return Ok(None) };
        Ok(Some(match message {
            FromSamba::Hello(shortfall) => Fact::Hello(Process::Samba, shortfall),
            FromSamba::Pong => Fact::Alive(Process::Samba),
            FromSamba::Contact(_) if !self.changes.keeps(now) => {
                return Err(Breach::new(Process::Samba, "told of Samba more than once a second"));
            }
            FromSamba::Contact(contact) => Fact::Samba(contact),
        }))
    }
}

impl Links {
    /// The folder of Samba's socket, if replies are signed there.
    pub fn samba_folder(&self) -> Option<FilePath> {
        self.plan?.samba
    }
}
