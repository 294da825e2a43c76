//! A client's request, which reveals as little as possible.
//!
//! Nothing in a request reveals anything about this host's clock to a server or an eavesdropper: all
//! fields are zero but version, mode, a constant precision, and the transmit timestamp, which is a random
//! number. The true T1 stays with the sender.

use crate::header::{Header, MODE_CLIENT};

/// A version 4 client request whose transmit timestamp is `nonce`: a fresh number of 64 random bits,
/// which a reply returns as its origin timestamp. A nonce of 0 cannot be told from "unknown": never use it.
pub const fn minimal(nonce: u64) -> Header {
    Header {
        leap: 0,
        version: 4,
        mode: MODE_CLIENT,
        stratum: 0,
        poll: 0,
        // 2^32 s, the value that all implementations of data minimisation send.
        precision: 32,
        root_delay: 0,
        root_dispersion: 0,
        reference_id: 0,
        reference_timestamp: 0,
        origin_timestamp: 0,
        receive_timestamp: 0,
        transmit_timestamp: nonce,
    }
}

/// The same in interleaved mode (RFC 9769 section 2): it asks when the reply left whose receive timestamp was `earlier`, and a reply
/// that tells that returns `second` as its origin timestamp, which is a number like `nonce` and another one. The server has told
/// `earlier` itself: nothing but that these are queries of one client is revealed by it.
pub const fn interleaved(nonce: u64, earlier: u64, second: u64) -> Header {
    Header { origin_timestamp: earlier, receive_timestamp: second, ..minimal(nonce) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a068_a_request_carries_nothing_but_its_nonce() {
        let mut expected = [0u8; 48];
        expected[0] = 0x23;
        expected[3] = 0x20;
        expected[40..].copy_from_slice(&[0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef]);
        assert_eq!(minimal(0x0123_4567_89ab_cdef).encode(), expected);
        expected[24..40].copy_from_slice(&[9, 0, 0, 0, 0, 0, 0, 1, 8, 0, 0, 0, 0, 0, 0, 2]);
        let request = interleaved(0x0123_4567_89ab_cdef, 9 << 56 | 1, 8 << 56 | 2);
        assert_eq!(request.encode(), expected);
    }
}
