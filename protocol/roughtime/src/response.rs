//! An answer (RFC 10049 sections 5.2 to 5.4), and whether it is valid. A valid one proves that the server with the long-term key signed
//! this time after the nonce was known, and nothing about whether the time is right.

use crate::hash::{leaf, node};
use crate::message::{Message, Tag, unframe, word};
use crate::request::{Nonce, PublicKey, REQUEST, request};
use crate::version::Version;
use alloc::vec::Vec;
use core::fmt;
use ed25519_dalek::{Signature, VerifyingKey};

/// Most nodes between a request and the root of its tree.
const MAX_PATH: usize = 32;
/// Most versions that a server may name.
const MAX_VERSIONS: usize = 32;

/// What a server has signed: true time was inside of (midpoint - radius, midpoint + radius) when it answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Seconds since 1970-01-01 00:00 UTC, leap seconds not counted.
    pub midpoint: u64,
    /// Seconds, at least 1.
    pub radius: u32,
}

impl Signed {
    /// Before this true time was not, Unix seconds.
    pub const fn earliest(&self) -> u64 {
        self.midpoint.saturating_sub(self.radius as u64)
    }

    /// After this true time was not, Unix seconds.
    pub const fn latest(&self) -> u64 {
        self.midpoint.saturating_add(self.radius as u64)
    }
}

/// Why an answer is not valid. Servers send such answers on purpose now and then, to see that clients look (RFC 10049 section 7): it is
/// no proof against anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is longer than the request.
    TooLong,
    /// It does not begin with the header of a packet, or is not as long as that says.
    Frame,
    /// It, or a message in it, breaks the form: tags that do not ascend, values that are not where they are said to be.
    Form,
    /// A tag is missing that must be there, or has not the length that it must have.
    Lacks(Tag),
    /// It is no answer: its type is another one.
    Kind,
    /// It is about another request.
    Nonce,
    /// It has a version that was not offered.
    Version(u32),
    /// The server's versions do not ascend, are too many, or the one that it chose is not among them.
    Versions,
    /// The radius is zero.
    Radius,
    /// The request is not in the tree whose root was signed.
    Root,
    /// The key is no point of the curve, or a weak one.
    Key,
    /// The long-term key did not sign the delegation.
    Delegation,
    /// The key of the delegation did not sign the answer.
    Signature,
    /// The time is outside of what the delegation is for.
    Period,
    /// The version that is said to have been offered is none that is known.
    UnknownVersion(u32),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the answer is longer than its request",
            Self::Frame => "the answer is not one whole packet of Roughtime",
            Self::Form => "the answer breaks the form of messages",
            Self::Lacks(tag) => return write!(f, "the answer has no {tag}, or one of another length"),
            Self::Kind => "the packet is no answer",
            Self::Nonce => "the answer is about another request",
            Self::Version(number) => {
                return write!(f, "the answer has version {number:#x}, which was not offered");
            }
            Self::Versions => {
                "the server's list of versions breaks its form, or lacks the version of the answer"
            }
            Self::Radius => "the answer has a radius of zero",
            Self::Root => "the request is not in the tree that was signed",
            Self::Key => "the public key is none, or a weak one",
            Self::Delegation => "the delegation is not signed by the server's long-term key",
            Self::Signature => "the answer is not signed by the key of the delegation",
            Self::Period => "the time is outside of the period of the delegation",
            Self::UnknownVersion(number) => return write!(f, "version {number:#x} is not known"),
        })
    }
}

impl core::error::Error for Fault {}

/// What the server with this long-term key has signed in this packet, for a request of this nonce and version.
///
/// # Errors
/// [`Fault`]: the packet is not a valid answer to this request.
pub fn verify(packet: &[u8], nonce: &Nonce, key: &PublicKey, version: Version) -> Result<Signed, Fault> {
    if packet.len() > REQUEST {
        return Err(Fault::TooLong);
    }
    let message = unframe(packet).ok_or(Fault::Frame)?;
    let message = Message::read(message).ok_or(Fault::Form)?;
    if message.array(Tag::TYPE).ok_or(Fault::Lacks(Tag::TYPE))? != 1u32.to_le_bytes() {
        return Err(Fault::Kind);
    }
    if message.array(Tag::NONC).ok_or(Fault::Lacks(Tag::NONC))? != *nonce {
        return Err(Fault::Nonce);
    }
    let answer = message.value(Tag::SREP).ok_or(Fault::Lacks(Tag::SREP))?;
    let (signed, root) = read_answer(answer, version)?;
    if root_of(&message, &request(nonce, key, version))? != root {
        return Err(Fault::Root);
    }
    let delegate = read_certificate(&message, key, version, signed.midpoint)?;
    let signature = message.array(Tag::SIG).ok_or(Fault::Lacks(Tag::SIG))?;
    if !is_signed(&delegate, version.of_response(), answer, &signature)? {
        return Err(Fault::Signature);
    }
    Ok(signed)
}

/// Time and root of an answer.
fn read_answer(answer: &[u8], version: Version) -> Result<(Signed, [u8; 32]), Fault> {
    let answer = Message::read(answer).ok_or(Fault::Form)?;
    let number = u32::from_le_bytes(answer.array(Tag::VER).ok_or(Fault::Lacks(Tag::VER))?);
    if number != version.number() {
        return Err(Fault::Version(number));
    }
    let versions = answer.value(Tag::VERS).ok_or(Fault::Lacks(Tag::VERS))?;
    if !may_be_versions(versions, number) {
        return Err(Fault::Versions);
    }
    let radius = u32::from_le_bytes(answer.array(Tag::RADI).ok_or(Fault::Lacks(Tag::RADI))?);
    if radius == 0 {
        return Err(Fault::Radius);
    }
    let midpoint = u64::from_le_bytes(answer.array(Tag::MIDP).ok_or(Fault::Lacks(Tag::MIDP))?);
    let root = answer.array(Tag::ROOT).ok_or(Fault::Lacks(Tag::ROOT))?;
    Ok((Signed { midpoint, radius }, root))
}

/// They ascend, and this one is among them.
fn may_be_versions(versions: &[u8], chosen: u32) -> bool {
    let count = versions.len() / 4;
    let at = |at: usize| word(versions, 4 * at);
    count <= MAX_VERSIONS
        && (1..count).all(|next| at(next - 1) < at(next))
        && (0..count).any(|one| at(one) == Some(chosen))
}

/// The root of the tree that the request is in, as the answer says (section 5.4).
fn root_of(message: &Message<'_>, request: &[u8]) -> Result<[u8; 32], Fault> {
    let path = message.value(Tag::PATH).ok_or(Fault::Lacks(Tag::PATH))?;
    let (nodes, rest) = path.as_chunks::<32>();
    if !rest.is_empty() || nodes.len() > MAX_PATH {
        return Err(Fault::Lacks(Tag::PATH));
    }
    let index = u32::from_le_bytes(message.array(Tag::INDX).ok_or(Fault::Lacks(Tag::INDX))?);
    let mut left = u64::from(index);
    let mut root = leaf(request);
    for other in nodes {
        root = if left & 1 == 0 { node(&root, other) } else { node(other, &root) };
        left >>= 1;
    }
    if left == 0 { Ok(root) } else { Err(Fault::Root) }
}

/// The key that the long-term key has put in its place for this time.
fn read_certificate(
    message: &Message<'_>,
    key: &PublicKey,
    version: Version,
    midpoint: u64,
) -> Result<PublicKey, Fault> {
    let certificate = message.value(Tag::CERT).ok_or(Fault::Lacks(Tag::CERT))?;
    let certificate = Message::read(certificate).ok_or(Fault::Form)?;
    let delegation = certificate.value(Tag::DELE).ok_or(Fault::Lacks(Tag::DELE))?;
    let signature = certificate.array(Tag::SIG).ok_or(Fault::Lacks(Tag::SIG))?;
    let terms = Message::read(delegation).ok_or(Fault::Form)?;
    let time = |tag| Ok(u64::from_le_bytes(terms.array(tag).ok_or(Fault::Lacks(tag))?));
    let delegate = terms.array(Tag::PUBK).ok_or(Fault::Lacks(Tag::PUBK))?;
    if !(time(Tag::MINT)?..=time(Tag::MAXT)?).contains(&midpoint) {
        return Err(Fault::Period);
    }
    if !is_signed(key, version.of_delegation(), delegation, &signature)? {
        return Err(Fault::Delegation);
    }
    Ok(delegate)
}

/// Strictly: one signature of a text has one form, and a weak key has none.
fn is_signed(key: &PublicKey, context: &[u8], text: &[u8], signature: &[u8; 64]) -> Result<bool, Fault> {
    let key = VerifyingKey::from_bytes(key).map_err(|_| Fault::Key)?;
    if key.is_weak() {
        return Err(Fault::Key);
    }
    let mut signed = Vec::with_capacity(context.len() + text.len());
    signed.extend_from_slice(context);
    signed.extend_from_slice(text);
    Ok(key.verify_strict(&signed, &Signature::from_bytes(signature)).is_ok())
}
