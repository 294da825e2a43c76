//! What the daemon said at one moment.

use crate::reply::Address;
use crate::request::Which;
use report::read::{ClientReport, SourceReport, StatusReply, SystemReport};
use report::{SourceState, Word};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// The daemon's documents.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The clock.
    pub system: SystemReport,
    /// The sources, in the order of the configuration.
    pub sources: Vec<Source>,
    /// Counters of the server by name; empty: there is no server, or nothing has been counted yet.
    pub server: BTreeMap<String, u64>,
    /// Those of the key exchange service.
    pub key_exchange: BTreeMap<String, u64>,
    /// Clients of the server, by address; none: nobody has asked for them, or the server did not answer.
    pub clients: Option<Vec<Client>>,
}

/// A client, and where it is.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its report.
    pub report: ClientReport,
    /// Its address, or the first one of its network.
    pub ip: IpAddr,
}

/// A source, and where it is.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its report.
    pub report: SourceReport,
    /// Its address and port; none: not known.
    pub place: Option<SocketAddr>,
    /// The number that stands for its address while that is not known: its position, from 1.
    pub number: u32,
}

impl Snapshot {
    /// From the replies to `status` and `sources`.
    pub fn new(status: StatusReply, sources: Vec<SourceReport>) -> Self {
        let sources = sources.into_iter().zip(1..).map(|(report, number)| Source {
            place: report.address.as_deref().and_then(|address| address.parse().ok()),
            report,
            number,
        });
        Self {
            system: status.report.unwrap_or_default(),
            sources: sources.collect(),
            server: status.server.unwrap_or_default(),
            key_exchange: status.key_exchange.and_then(|service| service.counters).unwrap_or_default(),
            clients: None,
        }
    }

    /// The source at this position.
    pub fn at(&self, index: u32) -> Option<&Source> {
        self.sources.get(index as usize)
    }

    /// The first source with this address or number.
    pub fn find(&self, which: Which) -> Option<&Source> {
        self.sources.iter().find(|source| match (which, source.place) {
            (Which::Address(address), Some(place)) => place.ip() == address,
            (Which::Number(number), None) => source.number == number,
            _ => false,
        })
    }

    /// The source that the clock follows.
    pub fn reference(&self) -> Option<&Source> {
        self.sources.iter().find(|source| source.state() == Some(SourceState::Selected))
    }
}

impl Client {
    /// In the order of addresses, which stays the same from one question to the next.
    pub fn list(reports: Vec<ClientReport>) -> Vec<Self> {
        let client = |report: ClientReport| {
            let ip = report.address.as_deref()?.split('/').next()?.parse().ok()?;
            Some(Self { report, ip })
        };
        let mut all: Vec<Self> = reports.into_iter().filter_map(client).collect();
        all.sort_by_key(|client| client.ip);
        all
    }
}

impl Source {
    /// Its state, if it is one of this version.
    pub fn state(&self) -> Option<SourceState> {
        self.report.state.as_ref().and_then(Word::known)
    }

    /// Its address, or the number that stands for it.
    pub fn address(&self) -> Address {
        self.place.map_or(Address::Number(self.number), |place| Address::Known(place.ip()))
    }

    /// Its reference id, where it is the address itself; of IPv6 addresses 0.
    pub fn reference_id(&self) -> u32 {
        match self.place {
            Some(SocketAddr::V4(place)) => place.ip().to_bits(),
            _ => 0,
        }
    }
}
