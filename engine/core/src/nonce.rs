//! Random numbers of the engine: nonces and the spread of polls. From one seed, so that a recorded day can
//! be replayed; the stream is ChaCha20's, so that no nonce tells anything about another one.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The source of all chance in the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Nonces(ChaCha20Rng);

impl Nonces {
    pub(crate) fn from_seed(seed: [u8; 32]) -> Self {
        Self(ChaCha20Rng::from_seed(seed))
    }

    /// 64 random bits, never all zero: zero means "unknown" on the wire.
    pub(crate) fn nonce(&mut self) -> u64 {
        loop {
            let bits = self.0.next_u64();
            if bits != 0 {
                return bits;
            }
        }
    }

    /// Fills `octets` with random ones.
    pub(crate) fn fill(&mut self, octets: &mut [u8]) {
        self.0.fill_bytes(octets);
    }

    /// A factor between 1 − `spread` and 1 + `spread`.
    pub(crate) fn factor(&mut self, spread: f64) -> f64 {
        let unit = f64::from(self.0.next_u32()) / f64::from(u32::MAX);
        1.0 + spread * (2.0 * unit - 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_nonces_and_another_seed_others() {
        let draw = |seed| {
            let mut nonces = Nonces::from_seed([seed; 32]);
            core::array::from_fn::<u64, 8, _>(|_| nonces.nonce())
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn a001_each_bit_of_a_nonce_is_random() {
        let mut nonces = Nonces::from_seed([9; 32]);
        let mut ones = [0u32; 64];
        for _ in 0..4096 {
            let nonce = nonces.nonce();
            for (bit, count) in ones.iter_mut().enumerate() {
                *count += (nonce >> bit & 1) as u32;
            }
        }
        assert!(ones.iter().all(|count| (1850..2250).contains(count)), "{ones:?}");
    }

    #[test]
    fn a_spread_of_two_percent_stays_within_it() {
        let mut nonces = Nonces::from_seed([3; 32]);
        for _ in 0..1000 {
            assert!((0.98..=1.02).contains(&nonces.factor(0.02)));
        }
    }
}
