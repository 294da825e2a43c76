//! A server's reply: the request's own numbers, the system variables, and two times.
//!
//! A reply is a bare header: never longer than the request, which has at least one.

use crate::header::{
    Header, LEAP_UNKNOWN, MODE_CLIENT, MODE_SERVER, MODE_SYMMETRIC_ACTIVE, MODE_SYMMETRIC_PASSIVE,
};
use crate::timestamp::Timestamp;

/// A server's system variables (RFC 5905 section 11.2), in the form of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SystemVariables {
    /// Leap indicator, 0 to 3; 3: not synchronised.
    pub leap: u8,
    /// 1 to 15; 0 or from 16 on: not synchronised (sent as 0).
    pub stratum: u8,
    /// log2 s.
    pub precision: i8,
    /// Short format, rounded up.
    pub root_delay: u32,
    /// Short format, rounded up.
    pub root_dispersion: u32,
    /// Reference id.
    pub reference_id: u32,
    /// When the clock was last corrected.
    pub reference_timestamp: Timestamp,
}

impl SystemVariables {
    /// A server without any information yet: leap 3, stratum 0.
    pub const fn unsynchronised(precision: i8) -> Self {
        Self {
            leap: LEAP_UNKNOWN,
            stratum: 0,
            precision,
            root_delay: 0,
            root_dispersion: 0,
            reference_id: 0,
            reference_timestamp: Timestamp::UNKNOWN,
        }
    }
}

/// The mode of the reply to a request of this mode and version; `None` if none may be sent, that is
/// for everything but requests of versions 1 to 4 from clients and from symmetric peers. A peer without an association
/// here, such as Windows in its default configuration, is answered like a client, in mode 2 and without a state.
pub const fn mode(request: &Header) -> Option<u8> {
    match (request.version, request.mode) {
        (1..=4, MODE_CLIENT) => Some(MODE_SERVER),
        (1..=4, MODE_SYMMETRIC_ACTIVE) => Some(MODE_SYMMETRIC_PASSIVE),
        _ => None,
    }
}

/// The reply to `request`, which arrived at `receive`; `transmit` may be written later, right before sending
/// (see [`crate::header::TRANSMIT_AT`]). `None` for a request that gets no reply.
pub fn to_request(
    request: &Header,
    system: &SystemVariables,
    receive: Timestamp,
    transmit: Timestamp,
) -> Option<Header> {
    let synchronised = matches!(system.stratum, 1..=15) && system.leap != LEAP_UNKNOWN;
    Some(Header {
        leap: if synchronised { system.leap } else { LEAP_UNKNOWN },
        version: request.version,
        mode: mode(request)?,
        stratum: if synchronised { system.stratum } else { 0 },
        poll: request.poll,
        precision: system.precision,
        root_delay: system.root_delay,
        root_dispersion: system.root_dispersion,
        reference_id: if synchronised { system.reference_id } else { 0 },
        reference_timestamp: system.reference_timestamp.bits(),
        origin_timestamp: request.transmit_timestamp,
        receive_timestamp: receive.bits(),
        transmit_timestamp: transmit.bits(),
    })
}

/// A kiss-o'-death (RFC 5905 section 7.4) with this code instead of a time; `None` for a request that
/// gets no reply. All four timestamps but the origin are zero, so it cannot be used as a measurement.
pub fn kiss(request: &Header, code: [u8; 4]) -> Option<Header> {
    Some(Header {
        leap: LEAP_UNKNOWN,
        version: request.version,
        mode: mode(request)?,
        stratum: 0,
        poll: request.poll,
        reference_id: u32::from_be_bytes(code),
        origin_timestamp: request.transmit_timestamp,
        ..Header::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::minimal;

    const SYSTEM: SystemVariables = SystemVariables {
        leap: 1,
        stratum: 2,
        precision: -23,
        root_delay: 0x100,
        root_dispersion: 0x80,
        reference_id: 0xc000_0201,
        reference_timestamp: Timestamp::from_bits(0xe500_0000_0000_0000),
    };

    fn reply(request: &Header, system: &SystemVariables) -> Option<Header> {
        to_request(request, system, Timestamp::from_bits(2), Timestamp::from_bits(3))
    }

    #[test]
    fn a_client_gets_its_nonce_back_in_its_own_version() {
        for version in 1..=4 {
            let request = Header { version, poll: 6, ..minimal(0x0123_4567_89ab_cdef) };
            let reply = reply(&request, &SYSTEM).unwrap();
            assert_eq!((reply.leap, reply.version, reply.mode), (1, version, MODE_SERVER));
            assert_eq!((reply.stratum, reply.poll, reply.precision), (2, 6, -23));
            assert_eq!(reply.origin_timestamp, request.transmit_timestamp);
            assert_eq!((reply.receive_timestamp, reply.transmit_timestamp), (2, 3));
            assert_eq!((reply.root_delay, reply.root_dispersion), (0x100, 0x80));
        }
    }

    #[test]
    fn a074_a075_only_clients_and_symmetric_peers_are_answered() {
        for version in 0..8 {
            for mode in 0..8 {
                let answer = reply(&Header { version, mode, ..minimal(1) }, &SYSTEM).map(|reply| reply.mode);
                let expected = match (version, mode) {
                    (1..=4, 3) => Some(4),
                    (1..=4, 1) => Some(2),
                    _ => None,
                };
                assert_eq!(answer, expected, "version {version} mode {mode}");
                assert_eq!(
                    kiss(&Header { version, mode, ..minimal(1) }, *b"RATE").map(|kiss| kiss.mode),
                    expected
                );
            }
        }
    }

    #[test]
    fn a092_an_unsynchronised_server_never_looks_good() {
        for system in [
            SystemVariables::unsynchronised(-20),
            SystemVariables { stratum: 16, ..SYSTEM },
            SystemVariables { stratum: 0, ..SYSTEM },
            SystemVariables { leap: 3, ..SYSTEM },
            SystemVariables { stratum: 255, ..SYSTEM },
        ] {
            let reply = reply(&minimal(1), &system).unwrap();
            assert_eq!((reply.leap, reply.stratum), (3, 0), "{system:?}");
        }
    }

    #[test]
    fn a_kiss_carries_its_code_and_no_time() {
        let kiss = kiss(&minimal(9), *b"RATE").unwrap();
        assert_eq!(kiss.reference_id, 0x5241_5445);
        assert_eq!((kiss.leap, kiss.stratum, kiss.origin_timestamp), (3, 0, 9));
        assert_eq!((kiss.receive_timestamp, kiss.transmit_timestamp), (0, 0));
    }
}
