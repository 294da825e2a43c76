//! The flags of a header. Which value of a bit means what is known here alone.

/// "Synchronised", in replies.
const SYNCHRONISED: u16 = 0x1;

/// "Interleaved mode", in requests and replies.
const INTERLEAVED: u16 = 0x2;

/// "Authentication NAK", in replies.
const NAK: u16 = 0x4;

/// Flags as on the wire. Unknown ones are carried, and mean nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u16);

impl Flags {
    /// From the wire.
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// To the wire.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Of a request for a reply in basic mode.
    pub const REQUEST: Self = Self(0);

    /// Of a reply.
    pub const fn of_reply(is_synchronised: bool, is_interleaved: bool) -> Self {
        let first = if is_synchronised { SYNCHRONISED } else { 0 };
        Self(first | if is_interleaved { INTERLEAVED } else { 0 })
    }

    /// Of a reply that only says that the request was not authentic.
    pub const fn of_nak() -> Self {
        Self(NAK)
    }

    /// Of a reply: the server's clock is synchronised.
    pub const fn is_synchronised(self) -> bool {
        self.0 & SYNCHRONISED != 0
    }

    /// Of a request: interleaved mode is wanted. Of a reply: its transmit timestamp is that of an earlier one.
    pub const fn is_interleaved(self) -> bool {
        self.0 & INTERLEAVED != 0
    }

    /// Of a reply: the server could not authenticate the request.
    pub const fn is_nak(self) -> bool {
        self.0 & NAK != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_flag_has_its_bit_and_unknown_ones_mean_nothing() {
        assert_eq!(Flags::of_reply(true, false).bits(), 1);
        assert_eq!(Flags::of_reply(false, true).bits(), 2);
        assert_eq!(Flags::of_nak().bits(), 4);
        let unknown = Flags::from_bits(0xfff8);
        assert!(!unknown.is_synchronised() && !unknown.is_interleaved() && !unknown.is_nak());
        assert_eq!(unknown.bits(), 0xfff8);
    }
}
