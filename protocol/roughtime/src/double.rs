//! A server for tests: it signs whatever time it is told, in whatever form a test wants.

use crate::hash::{leaf, node};
use crate::message::{Tag, header};
use crate::request::{Nonce, PublicKey, request};
use crate::response::Signed;
use crate::version::Version;
use alloc::vec::Vec;
use ed25519_dalek::{Signer, SigningKey};

/// Its keys, of one octet each.
#[derive(Debug)]
pub struct Server {
    long_term: SigningKey,
    online: SigningKey,
}

/// An answer before it is signed. What a field is not set to is as an honest server would have it.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The time.
    pub signed: Signed,
    /// What the request offered.
    pub version: Version,
    /// When the delegation begins and ends.
    pub period: (u64, u64),
    /// The versions that the server speaks.
    pub versions: Vec<u32>,
    /// The version that it says it answers in.
    pub chosen: u32,
    /// TYPE.
    pub kind: u32,
    /// Other requests of its tree, before this one and after it.
    pub others: (usize, usize),
}

impl Answer {
    /// Of an honest server that takes one request at a time.
    pub fn of(signed: Signed, version: Version) -> Self {
        let number = version.number();
        let period = (0, u64::MAX);
        Self { signed, version, period, versions: [number].into(), chosen: number, kind: 1, others: (0, 0) }
    }
}

impl Server {
    /// One whose keys are made of this octet.
    pub fn new(seed: u8) -> Self {
        let online = SigningKey::from_bytes(&[seed ^ 0x80; 32]);
        Self { long_term: SigningKey::from_bytes(&[seed; 32]), online }
    }

    /// Its long-term key.
    pub fn public_key(&self) -> PublicKey {
        self.long_term.verifying_key().to_bytes()
    }

    /// The whole packet that answers the request with this nonce.
    pub fn answer(&self, nonce: &Nonce, answer: &Answer) -> Vec<u8> {
        let version = answer.version;
        let leaves: Vec<[u8; 32]> = leaves(&request(nonce, &self.public_key(), version), answer.others);
        let (path, root) = path(leaves, answer.others.0);
        let versions = answer.versions.iter().flat_map(|number| number.to_le_bytes()).collect();
        let signed = message(&[
            (Tag::VER, answer.chosen.to_le_bytes().into()),
            (Tag::RADI, answer.signed.radius.to_le_bytes().into()),
            (Tag::MIDP, answer.signed.midpoint.to_le_bytes().into()),
            (Tag::VERS, versions),
            (Tag::ROOT, root.into()),
        ]);
        let delegation = message(&[
            (Tag::PUBK, self.online.verifying_key().to_bytes().into()),
            (Tag::MINT, answer.period.0.to_le_bytes().into()),
            (Tag::MAXT, answer.period.1.to_le_bytes().into()),
        ]);
        let certificate = message(&[
            (Tag::SIG, sign(&self.long_term, version.of_delegation(), &delegation)),
            (Tag::DELE, delegation),
        ]);
        let index = u32::try_from(answer.others.0).unwrap_or(u32::MAX);
        let message = message(&[
            (Tag::SIG, sign(&self.online, version.of_response(), &signed)),
            (Tag::NONC, nonce.as_slice().into()),
            (Tag::TYPE, answer.kind.to_le_bytes().into()),
            (Tag::PATH, path),
            (Tag::SREP, signed),
            (Tag::CERT, certificate),
            (Tag::INDX, index.to_le_bytes().into()),
        ]);
        frame(&message)
    }
}

/// A packet of this message.
pub fn frame(message: &[u8]) -> Vec<u8> {
    [&header(message.len())[..], message].concat()
}

/// A message of these values, in the order of their tags.
pub(crate) fn message(values: &[(Tag, Vec<u8>)]) -> Vec<u8> {
    let mut values: Vec<_> = values.iter().collect();
    values.sort_by_key(|(tag, _)| *tag);
    let mut octets: Vec<u8> = (values.len() as u32).to_le_bytes().into();
    let ends = values.iter().scan(0u32, |end, (_, value)| {
        *end += value.len() as u32;
        Some(*end)
    });
    octets.extend(ends.take(values.len() - 1).flat_map(u32::to_le_bytes));
    octets.extend(values.iter().flat_map(|(tag, _)| tag.octets()));
    octets.extend(values.iter().flat_map(|(_, value)| value.iter().copied()));
    octets
}

fn sign(key: &SigningKey, context: &[u8], text: &[u8]) -> Vec<u8> {
    key.sign(&[context, text].concat()).to_bytes().into()
}

fn leaves(request: &[u8], (before, after): (usize, usize)) -> Vec<[u8; 32]> {
    let other = |at: usize| leaf(&at.to_le_bytes());
    let before = (0..before).map(other);
    before.chain([leaf(request)]).chain((1..=after).map(|at| other(usize::MAX - at))).collect()
}

/// The nodes between this leaf and the root, and the root; where a node has no neighbour, a copy of it stands there.
fn path(mut row: Vec<[u8; 32]>, mut at: usize) -> (Vec<u8>, [u8; 32]) {
    let mut path = Vec::new();
    while row.len() > 1 {
        if row.len() % 2 == 1 {
            row.extend(row.last().copied());
        }
        path.extend(row[at ^ 1]);
        row = row.chunks(2).map(|pair| node(&pair[0], &pair[1])).collect();
        at /= 2;
    }
    (path, row[0])
}
