//! Symmetric keys (RFC 5905 section 7.3, RFC 8573) on their way from one process to another.

use crate::codec::{
    BorrowDecode, BorrowDecoder, Decode, DecodeError, Decoder, Encode, EncodeError, Encoder, Reader, Writer,
};
use crate::list::Empty;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use zeroize::{Zeroize, Zeroizing};

/// Octets of the longest key: a block of SHA-512, beyond which a longer one gains nothing.
pub const MAX_SYMMETRIC_KEY: usize = 128;

/// How a message is authenticated under a symmetric key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum MacKind {
    /// AES-CMAC with a key of 16 octets (RFC 8573, RFC 4493).
    Aes128,
    /// The same with a key of 32 octets.
    Aes256,
    /// MD5 of key and message (RFC 5905); forgeable in principle, so only where it is allowed by name.
    Md5,
    /// SHA-1 of key and message.
    Sha1,
    /// SHA-256 of key and message.
    Sha256,
    /// SHA-384 of key and message.
    Sha384,
    /// SHA-512 of key and message.
    Sha512,
}

impl MacKind {
    /// All of them, the recommended ones first.
    pub const ALL: [Self; 7] =
        [Self::Aes128, Self::Aes256, Self::Sha256, Self::Sha384, Self::Sha512, Self::Sha1, Self::Md5];

    /// Its name, as chrony writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aes128 => "AES128",
            Self::Aes256 => "AES256",
            Self::Md5 => "MD5",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
            Self::Sha384 => "SHA384",
            Self::Sha512 => "SHA512",
        }
    }

    /// Whether FIPS 140 approves it: AES-CMAC (NIST SP 800-38B). The others are hashes of key and packet, which no standard of NIST
    /// has.
    pub const fn is_approved(self) -> bool {
        matches!(self, Self::Aes128 | Self::Aes256)
    }

    /// The one of that name; letters may be small.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(name))
    }

    /// A type of other implementations that is none of these, by its name as they write it; `None`: the word is none, and may be a
    /// key that stands in the wrong place, which no message repeats.
    pub fn foreign(name: &str) -> Option<&'static str> {
        const FOREIGN: [&str; 17] = [
            "SHA3-224",
            "SHA3-256",
            "SHA3-384",
            "SHA3-512",
            "SHA224",
            "SHA-224",
            "SHA512-256",
            "TIGER",
            "WHIRLPOOL",
            "RMD160",
            "RIPEMD160",
            "MDC2",
            "MD4",
            "DSA",
            "DSA-SHA",
            "BLAKE2B512",
            "BLAKE2S256",
        ];
        FOREIGN.into_iter().find(|foreign| foreign.eq_ignore_ascii_case(name))
    }

    /// Whether a key may have so many octets: of a cipher exactly as many as it takes, of a hash 1 to
    /// [`MAX_SYMMETRIC_KEY`].
    pub fn takes(self, octets: usize) -> bool {
        match self {
            Self::Aes128 => octets == 16,
            Self::Aes256 => octets == 32,
            Self::Md5 | Self::Sha1 | Self::Sha256 | Self::Sha384 | Self::Sha512 => {
                (1..=MAX_SYMMETRIC_KEY).contains(&octets)
            }
        }
    }
}

/// The octets of a key as chrony's file has them: hexadecimal behind `HEX:`, else the text itself, also behind `ASCII:`. `None`:
/// what follows `HEX:` is not hexadecimal.
pub fn written_octets(secret: &str) -> Option<Zeroizing<Vec<u8>>> {
    match secret.strip_prefix("HEX:") {
        Some(digits) => hexadecimal_octets(digits),
        None => Some(Zeroizing::new(secret.strip_prefix("ASCII:").unwrap_or(secret).as_bytes().to_vec())),
    }
}

/// The octets of a row of pairs of hexadecimal digits; `None` if it is not one. No copy of them is left behind.
pub fn hexadecimal_octets(digits: &str) -> Option<Zeroizing<Vec<u8>>> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let mut octets = Zeroizing::new(Vec::with_capacity(pairs.len()));
    for pair in pairs {
        let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
        octets.push((high? << 4 | low?) as u8);
    }
    Some(octets)
}

/// One key. Having it proves that number and length are possible. Wiped when dropped, never printed, compared in constant time; it
/// stays at one address when what holds it is moved.
#[derive(Clone)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead))]
pub struct SymmetricKey {
    number: u32,
    kind: MacKind,
    length: u8,
    octets: Box<[u8; MAX_SYMMETRIC_KEY]>,
}

impl SymmetricKey {
    /// Copies the octets, which the caller wipes. None: the number is 0, or the kind has no key of that length.
    pub fn new(number: u32, kind: MacKind, octets: &[u8]) -> Option<Self> {
        let length = u8::try_from(octets.len()).ok().filter(|_| number != 0 && kind.takes(octets.len()))?;
        let mut key = Self { number, kind, length, octets: Box::new([0; MAX_SYMMETRIC_KEY]) };
        key.octets.get_mut(..octets.len())?.copy_from_slice(octets);
        Some(key)
    }

    /// The key id: 1 to 2^32 − 1.
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// What is done with it.
    pub const fn kind(&self) -> MacKind {
        self.kind
    }

    /// Its octets, for cipher or hash.
    pub fn octets(&self) -> &[u8] {
        self.octets.get(..usize::from(self.length)).unwrap_or_default()
    }
}

impl Encode for SymmetricKey {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.number.encode(encoder)?;
        self.kind.encode(encoder)?;
        self.length.encode(encoder)?;
        encoder.writer().write(&self.octets[..])
    }
}

impl<C> Decode<C> for SymmetricKey {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let (number, kind) = (u32::decode(decoder)?, MacKind::decode(decoder)?);
        let length = u8::decode(decoder)?;
        decoder.claim_bytes_read(MAX_SYMMETRIC_KEY)?;
        // Read straight into their final place.
        let mut key = Self { number, kind, length, octets: Box::new([0; MAX_SYMMETRIC_KEY]) };
        decoder.reader().read(&mut key.octets[..])?;
        let rest = key.octets.get(usize::from(length)..);
        let is_padded = rest.is_some_and(|rest| rest.iter().all(|octet| *octet == 0));
        let is_key = number != 0 && kind.takes(usize::from(length));
        if is_padded && (is_key || key == Self::empty()) {
            Ok(key)
        } else {
            Err(DecodeError::Other("out of range"))
        }
    }
}

impl<'de, C> BorrowDecode<'de, C> for SymmetricKey {
    fn borrow_decode<D: BorrowDecoder<'de, Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        Self::decode(decoder)
    }
}

/// What stands in an empty place of a list, and nowhere else.
impl Empty for SymmetricKey {
    fn empty() -> Self {
        Self { number: 0, kind: MacKind::Aes128, length: 0, octets: Box::new([0; MAX_SYMMETRIC_KEY]) }
    }
}

impl Drop for SymmetricKey {
    fn drop(&mut self) {
        self.octets.zeroize();
    }
}

impl PartialEq for SymmetricKey {
    fn eq(&self, other: &Self) -> bool {
        let different = self
            .octets
            .iter()
            .zip(other.octets.iter())
            .fold(0, |different, (one, two)| different | (one ^ two));
        (self.number, self.kind, self.length) == (other.number, other.kind, other.length) && different == 0
    }
}

impl Eq for SymmetricKey {}

impl fmt::Debug for SymmetricKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SymmetricKey({} {})", self.number, self.kind.name())
    }
}

#[cfg(test)]
impl proptest::arbitrary::Arbitrary for SymmetricKey {
    type Parameters = ();
    type Strategy = proptest::strategy::BoxedStrategy<Self>;
    fn arbitrary_with((): ()) -> Self::Strategy {
        use proptest::prelude::*;
        let hashed = proptest::collection::vec(any::<u8>(), 1..=MAX_SYMMETRIC_KEY);
        (1..=u32::MAX, any::<MacKind>(), hashed, any::<[u8; 32]>())
            .prop_map(|(number, kind, hashed, cipher)| {
                let octets = match kind {
                    MacKind::Aes128 => &cipher[..16],
                    MacKind::Aes256 => &cipher[..],
                    _ => &hashed,
                };
                Self::new(number, kind, octets).unwrap()
            })
            .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_a_number_and_a_length_that_its_kind_takes() {
        for (kind, good, bad) in [
            (MacKind::Aes128, &[16][..], &[0, 15, 17, 32][..]),
            (MacKind::Aes256, &[32], &[0, 16, 31, 33]),
            (MacKind::Sha1, &[1, 20, 128], &[0, 129, 300]),
        ] {
            for length in good {
                let key = SymmetricKey::new(7, kind, &[9; 300][..*length]).unwrap();
                assert_eq!((key.number(), key.kind(), key.octets().len()), (7, kind, *length));
                assert_eq!(SymmetricKey::new(0, kind, &[9; 300][..*length]), None);
            }
            bad.iter().for_each(|length| assert_eq!(SymmetricKey::new(7, kind, &[9; 300][..*length]), None));
        }
    }

    #[test]
    fn a_kind_is_found_by_its_name() {
        for kind in MacKind::ALL {
            assert_eq!(MacKind::from_name(&kind.name().to_lowercase()), Some(kind));
        }
        assert_eq!(MacKind::from_name("TIGER"), None);
    }

    #[test]
    fn a119_a_symmetric_key_is_never_printed() {
        let key = SymmetricKey::new(7, MacKind::Sha1, &[0xab; 20]).unwrap();
        assert_eq!(std::format!("{key:?} {key:#?}"), "SymmetricKey(7 SHA1) SymmetricKey(7 SHA1)");
    }

    #[test]
    fn a096_a_key_that_nobody_can_have_is_refused() {
        let octets = |number: u32, kind: u32, length: u8, last: u8| {
            let mut octets = [&number.to_le_bytes()[..], &kind.to_le_bytes(), &[length]].concat();
            octets.extend([1; 16]);
            octets.extend([0; MAX_SYMMETRIC_KEY - 17]);
            octets.push(last);
            octets
        };
        let read = |octets: &[u8]| crate::codec::one::<SymmetricKey>(octets).map(|(key, _)| key);
        assert_eq!(read(&octets(7, 0, 16, 0)).unwrap().octets(), [1; 16]);
        for bad in [octets(0, 0, 16, 0), octets(7, 0, 17, 0), octets(7, 0, 16, 1), octets(7, 3, 129, 0)] {
            assert!(read(&bad).is_err());
        }
    }
}
