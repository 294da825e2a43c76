//! The encoding of one output, for comparison. Of a protected query, only what does not depend on keys is compared: its
//! header and its length.

use super::octets::Writer;
use crate::io::Output;
use alloc::format;
use ipc::message::client::{Query, ToClient};
use ipc::message::exchange::ToExchange;
use ipc::message::privileged::ToPrivileged;
use ipc::message::server::ToServer;
use ipc::packet::Packet;
use ipc::process::Parting;
use protocol::header::LENGTH;

/// Writes an output.
pub(super) fn write(out: &mut Writer, output: &Output) {
    match output {
        Output::Query(query) => {
            out.u8(0);
            out.u16(u16::try_from(query.packet.octets().len()).unwrap_or(u16::MAX));
            out.message(&ToClient::Query(comparable(query)));
        }
        Output::Cancel(id) => {
            out.u8(1);
            out.message(&ToClient::Cancel(*id));
        }
        Output::Resolve(resolve) => {
            out.u8(2);
            out.message(&ToExchange::Resolve(*resolve));
        }
        Output::Exchange(exchange) => {
            out.u8(3);
            out.message(&ToExchange::Exchange(*exchange));
        }
        Output::Measure(measure) => {
            out.u8(13);
            out.message(&ToExchange::Measure(*measure));
        }
        Output::Malfeasance(proof) => {
            out.u8(14);
            out.octets(&proof.first_nonce);
            for exchange in &proof.exchanges {
                out.octets(&exchange.response);
            }
        }
        Output::Anchor(anchor) => {
            out.u8(15);
            out.octets(&anchor.commitment());
            out.u8(anchor.exchanges.len() as u8);
        }
        Output::Adjust(adjust) => {
            out.u8(4);
            out.message(&ToPrivileged::Adjust(*adjust));
        }
        Output::Step(step) => {
            out.u8(5);
            out.message(&ToPrivileged::Step(*step));
        }
        Output::SetStatus(status) => {
            out.u8(6);
            out.message(&ToPrivileged::SetStatus(*status));
        }
        Output::SetTai(tai) => {
            out.u8(17);
            out.message(&ToPrivileged::SetTai(*tai));
        }
        Output::Serve(state) => {
            out.u8(7);
            out.message(&ToServer::State(*state));
        }
        Output::ServeReferenceIds(filter) => {
            out.u8(16);
            out.message(&ToServer::ReferenceIds(*filter));
        }
        Output::Page(page) => {
            out.u8(12);
            page.to_words().iter().for_each(|word| out.i64(*word as i64));
        }
        Output::Save(saved) => {
            out.u8(8);
            super::start::write_saved(out, saved);
        }
        Output::SaveAssociations => out.u8(9),
        Output::Log(notice) => {
            out.u8(10);
            // A notice is only compared by the same build, so the form that `Debug` gives it will do.
            out.text(&format!("{notice:?}"));
        }
        Output::Distrust(process, violation) => {
            out.u8(11);
            out.message(&ToPrivileged::Goodbye(Parting::Lost(*process)));
            out.u8(*violation as u8);
        }
    }
}

fn comparable(query: &Query) -> Query {
    let octets = query.packet.octets();
    let header = octets.get(..LENGTH).filter(|_| query.protected).unwrap_or(octets);
    Query { packet: Packet::from_octets(header).unwrap_or(query.packet), ..*query }
}
