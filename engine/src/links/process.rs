//! Our processes, and what one of them did that ends the daemon.

use ipc::message::privileged::Farewell;
use std::fmt;

/// What a process did whose link is closed.
pub(super) const GONE: &str = "is gone";

/// Our processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Process {
    /// truechimerd.
    Privileged,
    /// This one.
    Engine,
    /// truechimer-network, client role.
    Client,
    /// truechimer-network, server role.
    Server,
    /// truechimer-network, exchange role.
    Exchange,
    /// truechimer-network, key exchange service.
    KeyService,
    /// truechimer-network, key holder; it speaks to the key exchange service alone.
    KeyHolder,
}

impl Process {
    /// How many there are.
    pub const COUNT: usize = 7;

    /// In the order of `Welcome::processes`.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Privileged,
        Self::Engine,
        Self::Client,
        Self::Server,
        Self::Exchange,
        Self::KeyService,
        Self::KeyHolder,
    ];

    /// As in status replies.
    pub fn name(self) -> &'static str {
        match self {
            Self::Privileged => "privileged",
            Self::Engine => "engine",
            Self::Client => "client",
            Self::Server => "server",
            Self::Exchange => "exchange",
            Self::KeyService => "key service",
            Self::KeyHolder => "key holder",
        }
    }

    fn of(farewell: Farewell) -> Self {
        match farewell {
            Farewell::Engine => Self::Engine,
            Farewell::Client => Self::Client,
            Farewell::Server => Self::Server,
            Farewell::Exchange => Self::Exchange,
        }
    }
}

/// A process that is no longer trusted, and what it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// Who.
    pub process: Process,
    /// What, as the rest of a sentence that starts with the process.
    pub deed: String,
}

impl Breach {
    /// A process did this.
    pub fn new(process: Process, deed: impl fmt::Display) -> Self {
        Self { process, deed: deed.to_string() }
    }

    /// What the engine found by its own checks.
    pub fn found(farewell: Farewell, deed: &str) -> Self {
        Self::new(Process::of(farewell), deed)
    }

    /// Whether the process merely ended.
    pub fn is_gone(&self) -> bool {
        self.deed == GONE
    }

    /// What privileged is told; nothing where it is privileged itself that can't be trusted.
    pub fn farewell(&self) -> Option<Farewell> {
        match self.process {
            Process::Privileged => None,
            Process::Engine => Some(Farewell::Engine),
            Process::Client => Some(Farewell::Client),
            Process::Server | Process::KeyService | Process::KeyHolder => Some(Farewell::Server),
            Process::Exchange => Some(Farewell::Exchange),
        }
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} process {}; the daemon ends", self.process.name(), self.deed)
    }
}

impl std::error::Error for Breach {}
