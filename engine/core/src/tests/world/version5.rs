//! Servers that speak version 5 too.

use super::*;
use ipc::message::client::{Version5Header, Version5Reply};
use ipc::packet::FilterOctets;
use protocol::ntpv5::client::asked;
use protocol::ntpv5::{Filter, UPGRADE, VERSION};

pub type Version5Edit = Box<dyn Fn(&mut Version5Header)>;

/// How a server speaks version 5, and what the path makes of it.
pub struct Version5 {
    /// Replies of version 4 show that it does.
    pub sign: bool,
    /// Requests of version 5 and their replies come through.
    pub answers: bool,
    /// What it says of where its time comes from.
    pub filter: Option<Filter>,
    /// What devices on the path say.
    pub held_up: Option<(i64, i64)>,
    pub edit: Option<Version5Edit>,
}

impl Version5 {
    /// An honest one with this filter.
    pub fn of(filter: Filter) -> Self {
        Self { sign: true, answers: true, filter: Some(filter), held_up: None, edit: None }
    }
}

impl World {
    /// Answers a query of version 5, and shows the sign where that is asked for. Whether the reply is one of version 4.
    pub(super) fn speaks(
        &mut self,
        at: usize,
        query: &Query,
        header: &mut ReplyHeader,
        returned: i64,
    ) -> bool {
        let octets = query.packet.octets();
        let request = Header::decode(octets).unwrap();
        let version5 = self.servers[at].version5.as_ref();
        if request.version != VERSION {
            if request.reference_timestamp == UPGRADE && version5.is_some_and(|it| it.sign) {
                header.reference_timestamp = UPGRADE;
            }
            return true;
        }
        let (cookie, wanted) = asked(octets).unwrap();
        let Some(version5) = version5.filter(|it| it.answers) else {
            self.plan_silence(query);
            return false;
        };
        let mut told = Version5Header {
            leap: header.leap,
            stratum: header.stratum,
            poll: 0,
            precision: header.precision,
            root_delay: header.root_delay << 12,
            root_dispersion: header.root_dispersion << 12,
            timescale: 0,
            era: 0,
            flags: 1,
            client_cookie: cookie,
            receive_timestamp: header.receive_timestamp,
            transmit_timestamp: header.transmit_timestamp,
        };
        if let Some(edit) = &version5.edit {
            edit(&mut told);
        }
        let filter = version5.filter.filter(|_| wanted.reference_ids);
        let reply = Version5Reply {
            id: query.id,
            source: query.destination,
            t4: self.raw_at(returned),
            stamp: Stamp::Kernel,
            header: told,
            filter: filter.map(|filter| FilterOctets::from(filter.octets())),
            held_up: version5.held_up.filter(|_| wanted.correction),
            rejected: Rejected::NONE,
        };
        self.plan(returned + LINK, Happening::Fact(Input::Version5(reply)));
        false
    }
}
