//! What is said on Samba's socket, version 0: a length, and as many octets; numbers in network order, but for the account, which
//! is little-endian as in the packets of clients.
//!
//! ```text
//!   request: length 64 | version | operation | number (2) | 0 (2) | account | header (48)
//!   answer:  length    | version | operation | number               | header (48) | account | digest (16)
//! ```
//!
//! Of an answer nothing is believed but its digest, and that only behind the header and the account that were sent.

/// Octets of a request.
pub const REQUEST: usize = 68;

/// Octets of a number.
const WORD: usize = 4;

/// Octets of an answer without a packet, behind its length.
const BARE: usize = 3 * WORD;

/// Octets of a bare NTP header.
const HEADER: usize = 48;

/// Octets of a digest.
const DIGEST: usize = 16;

/// Octets of a packet that was signed.
const SIGNED_PACKET: usize = HEADER + WORD + DIGEST;

/// Octets of the longest answer.
pub const ANSWER: usize = WORD + BARE + SIGNED_PACKET;

const VERSION: u32 = 0;
const SIGN: u32 = 0;
const SIGNED: u32 = 3;
const FAILED: u32 = 4;

/// A request for a signature, numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Repeated in the answer.
    pub number: u16,
    /// Whose password makes the key: a relative identifier.
    pub account: u32,
    /// What is to be signed.
    pub header: [u8; HEADER],
}

/// What an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The digest of the packet that was sent.
    Signed([u8; DIGEST]),
    /// Samba will not sign for this account.
    Refused,
}

/// Not an answer to the request: the connection is of no use any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wrong;

impl Request {
    /// As it is sent.
    pub fn encode(&self) -> [u8; REQUEST] {
        let mut octets = [0; REQUEST];
        let number = u32::from(self.number) << 16;
        let words = [(REQUEST - WORD) as u32, VERSION, SIGN, number].map(u32::to_be_bytes);
        let account = self.account.to_le_bytes();
        let parts = words.iter().chain([&account]).flatten().chain(&self.header);
        octets.iter_mut().zip(parts).for_each(|(place, octet)| *place = *octet);
        octets
    }

    /// How long the whole answer is that begins with these octets; none as long as that is not known.
    ///
    /// # Errors
    /// [`Wrong`]: a length that no answer has.
    pub fn length(octets: &[u8]) -> Result<Option<usize>, Wrong> {
        let Some(length) = word(octets, 0) else { return Ok(None) };
        let length = usize::try_from(length).map_err(|_| Wrong)?;
        if (BARE..=ANSWER - WORD).contains(&length) { Ok(Some(WORD + length)) } else { Err(Wrong) }
    }

    /// What a whole answer says to this request.
    ///
    /// # Errors
    /// [`Wrong`]: it is none to this one.
    pub fn judge(&self, answer: &[u8]) -> Result<Answer, Wrong> {
        if Self::length(answer)? != Some(answer.len())
            || word(answer, WORD) != Some(VERSION)
            || word(answer, 3 * WORD) != Some(self.number.into())
        {
            return Err(Wrong);
        }
        let packet = answer.get(WORD + BARE..).ok_or(Wrong)?;
        match word(answer, 2 * WORD) {
            Some(FAILED) => Ok(Answer::Refused),
            Some(SIGNED) => {
                let rest = packet.strip_prefix(&self.header).ok_or(Wrong)?;
                let digest = rest.strip_prefix(&self.account.to_le_bytes()).ok_or(Wrong)?;
                digest.try_into().map(Answer::Signed).map_err(|_| Wrong)
            }
            _ => Err(Wrong),
        }
    }
}

fn word(octets: &[u8], at: usize) -> Option<u32> {
    octets.get(at..)?.first_chunk().map(|four| u32::from_be_bytes(*four))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const REQUESTED: Request = Request { number: 0x0102, account: 0x0000_0451, header: [0x1c; HEADER] };

    fn signed(request: &Request, digest: [u8; DIGEST]) -> Vec<u8> {
        let mut octets = [80, VERSION, SIGNED, u32::from(request.number)].map(u32::to_be_bytes).concat();
        octets.extend(request.header);
        octets.extend(request.account.to_le_bytes());
        octets.extend(digest);
        octets
    }

    proptest! {
        #[test]
        fn a097_no_octets_panic_and_none_but_the_signature_of_what_was_sent_is_one(octets in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = Request::length(&octets);
            let is_signed = matches!(REQUESTED.judge(&octets), Ok(Answer::Signed(_)));
            prop_assert!(!is_signed);
        }

        #[test]
        fn an_answer_that_differs_anywhere_but_in_its_digest_is_no_signature(at in 0..ANSWER - DIGEST, flip in 1u8..) {
            let mut octets = signed(&REQUESTED, [9; DIGEST]);
            octets[at] ^= flip;
            prop_assert!(!matches!(REQUESTED.judge(&octets), Ok(Answer::Signed(_))));
        }
    }

    #[test]
    fn a_request_and_its_answer_have_the_account_as_clients_write_it() {
        let octets = REQUESTED.encode();
        assert_eq!(octets[..20], [0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0x51, 4, 0, 0]);
        assert_eq!(octets[20..], [0x1c; HEADER]);
        let answer = signed(&REQUESTED, [7; DIGEST]);
        assert_eq!(answer[64..68], [0x51, 4, 0, 0]);
        assert_eq!(Request::length(&answer), Ok(Some(ANSWER)));
        assert_eq!(REQUESTED.judge(&answer), Ok(Answer::Signed([7; DIGEST])));
    }

    #[test]
    fn an_answer_of_another_length_number_version_or_kind_is_none() {
        let whole = signed(&REQUESTED, [7; DIGEST]);
        for cut in 0..whole.len() {
            assert_eq!(REQUESTED.judge(&whole[..cut]), Err(Wrong), "{cut}");
        }
        for length in [0, 11, 81, 1 << 16, u32::MAX] {
            assert_eq!(Request::length(&length.to_be_bytes()), Err(Wrong), "{length}");
        }
        assert_eq!(Request::length(&[0, 0, 0]), Ok(None));
        let other = Request { number: 0x0103, ..REQUESTED };
        assert_eq!(other.judge(&whole), Err(Wrong), "of the request before");
        // A signature without a packet, and one that is too short for a digest.
        let bare = [12, VERSION, SIGNED, 0x0102].map(u32::to_be_bytes).concat();
        assert_eq!(REQUESTED.judge(&bare), Err(Wrong));
        let mut short = whole[..whole.len() - 1].to_vec();
        short[3] -= 1;
        assert_eq!(REQUESTED.judge(&short), Err(Wrong));
    }

    #[test]
    fn a_refusal_may_carry_a_packet_or_none() {
        let bare = [12, VERSION, FAILED, 0x0102].map(u32::to_be_bytes).concat();
        assert_eq!(REQUESTED.judge(&bare), Ok(Answer::Refused));
        let mut long = signed(&REQUESTED, [0; DIGEST]);
        long[11] = 4;
        assert_eq!(REQUESTED.judge(&long), Ok(Answer::Refused));
        assert_eq!(Request { number: 1, ..REQUESTED }.judge(&bare), Err(Wrong));
    }
}
