//! The source of cookie keys: one secret for each epoch, each derived from the one before by a one-way
//! function, so that a secret stolen today opens no cookie of last week.
//!
//! ```text
//!   secret(e + 1) = HKDF-Expand(secret(e), "truechimer cookie secret" , e + 1)
//!   key(e)        = HKDF-Expand(secret(e), "truechimer cookie key", e)                    (SHA-256)
//! ```
//!
//! An epoch is a number of days since 1970 ([`EPOCH_SECONDS`]). Servers that begin with the same secret
//! at the same epoch have the same keys ever after, and open each other's cookies. The keys of the
//! [`GENERATIONS`] epochs before the current one are still valid, and so is the next one's, because the clocks of
//! a fleet differ slightly. [`Ratchet`] keeps the oldest secret that is still needed, and no older one.
//!
//! The ratchet never turns back, so turn it only by a clock that is known to be right.

use crate::primitives::Prk;
use core::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Seconds of an epoch.
pub const EPOCH_SECONDS: u64 = 86_400;

/// Epochs before the current one whose cookies are still opened.
pub const GENERATIONS: u32 = 2;

/// Keys at a time: the current one, two before, one after.
pub const MAX_EPOCH_KEYS: usize = GENERATIONS as usize + 2;

/// Octets of a secret, and of a key.
pub const SECRET: usize = 32;

/// The most epochs that one call turns the ratchet: 270 years of days, computed in a fraction of a second.
pub const MAX_TURN: u32 = 100_000;

/// The epoch of an instant, in seconds since 1970; the last possible epoch for instants beyond it.
pub const fn epoch_at(unix_seconds: u64) -> u32 {
    let epoch = unix_seconds / EPOCH_SECONDS;
    if epoch > u32::MAX as u64 { u32::MAX } else { epoch as u32 }
}

/// The key of one epoch. Wiped when dropped, never printed.
pub struct EpochKey {
    epoch: u32,
    octets: [u8; SECRET],
}

impl EpochKey {
    /// Copies a key that came from [`Ratchet::keys`] in another process. The caller wipes its copy.
    pub const fn from_octets(epoch: u32, octets: &[u8; SECRET]) -> Self {
        Self { epoch, octets: *octets }
    }

    /// Its epoch.
    pub const fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The secret itself, to be passed to the server's threads.
    pub const fn octets(&self) -> &[u8; SECRET] {
        &self.octets
    }
}

impl Drop for EpochKey {
    fn drop(&mut self) {
        self.octets.zeroize();
    }
}

impl ZeroizeOnDrop for EpochKey {}

impl fmt::Debug for EpochKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EpochKey").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

/// The secrets from some epoch on. Wiped when dropped, never printed.
pub struct Ratchet {
    /// The epoch that `secret` belongs to: at most [`GENERATIONS`] before `current`.
    oldest: u32,
    current: u32,
    secret: [u8; SECRET],
}

/// Why the ratchet was not turned; it is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnError {
    /// The epoch lies before the current one.
    Backward,
    /// The epoch lies more than [`MAX_TURN`] after the current one.
    TooFar,
}

impl fmt::Display for TurnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TurnError::Backward => {
                "the cookie keys are ahead of the clock: check the clock; if it is right, remove the stored \
                 keys, or give the fleet a secret of an earlier day"
            }
            TurnError::TooFar => {
                "the cookie keys are centuries behind the clock: check the clock, and the day of the fleet's \
                 secret"
            }
        })
    }
}

impl core::error::Error for TurnError {}

/// Why stored state is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateError;

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the stored cookie keys are damaged: remove them, and clients exchange keys anew")
    }
}

impl core::error::Error for StateError {}

/// Why a fleet's secret is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeakSecret;

impl fmt::Display for WeakSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the fleet's secret is shorter than {SECRET} octets: make one from random octets")
    }
}

impl core::error::Error for WeakSecret {}

/// The ratchet's state as it is stored: its epochs and its secret. Wiped when dropped, never printed.
pub struct State([u8; State::LENGTH]);

impl State {
    /// Octets of it.
    pub const LENGTH: usize = 8 + SECRET;

    /// Copies stored octets. The caller wipes its copy.
    pub const fn from_octets(octets: &[u8; Self::LENGTH]) -> Self {
        Self(*octets)
    }

    /// The octets: oldest epoch, current epoch, secret.
    pub const fn octets(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl ZeroizeOnDrop for State {}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").finish_non_exhaustive()
    }
}

impl Ratchet {
    /// Begins with random octets at `epoch`: for one server alone. The caller wipes its copy.
    pub const fn from_random(secret: &[u8; SECRET], epoch: u32) -> Self {
        Self { oldest: epoch, current: epoch, secret: *secret }
    }

    /// Begins with a fleet's secret, which was made on the day `epoch`: the same on every server, at least
    /// [`SECRET`] unpredictable octets, in any form. Turn the ratchet to the current epoch before use.
    ///
    /// # Errors
    /// [`WeakSecret`].
    pub fn from_fleet_secret(secret: &[u8], epoch: u32) -> Result<Self, WeakSecret> {
        if secret.len() < SECRET {
            return Err(WeakSecret);
        }
        let mut ratchet = Self { oldest: epoch, current: epoch, secret: [0; SECRET] };
        expand(&Prk::extract(b"truechimer fleet secret", secret), b"", epoch, &mut ratchet.secret);
        Ok(ratchet)
    }

    /// The current epoch, whose key seals.
    pub const fn epoch(&self) -> u32 {
        self.current
    }

    /// Makes `epoch` the current one, and forgets secrets that are no longer needed.
    ///
    /// # Errors
    /// [`TurnError`].
    pub fn turn(&mut self, epoch: u32) -> Result<(), TurnError> {
        let by = epoch.checked_sub(self.current).ok_or(TurnError::Backward)?;
        if by > MAX_TURN {
            return Err(TurnError::TooFar);
        }
        self.current = epoch;
        while self.oldest < epoch.saturating_sub(GENERATIONS) {
            self.oldest += 1;
            step(&mut self.secret, self.oldest);
        }
        Ok(())
    }

    /// The valid keys, oldest first: at most two before the current epoch's, that one, and the next.
    pub fn keys(&self) -> impl Iterator<Item = EpochKey> + use<> {
        let mut walk = Self { secret: self.secret, ..*self };
        (self.oldest..=self.current.saturating_add(1)).map(move |epoch| {
            if walk.oldest < epoch {
                walk.oldest = epoch;
                step(&mut walk.secret, epoch);
            }
            let mut key = EpochKey { epoch, octets: [0; SECRET] };
            expand(&from_secret(&walk.secret), b"truechimer cookie key", epoch, &mut key.octets);
            key
        })
    }

    /// The state to be stored, in a file that no other user can read, so that cookies survive a restart.
    pub fn state(&self) -> State {
        let mut octets = [0; State::LENGTH];
        octets[..4].copy_from_slice(&self.oldest.to_be_bytes());
        octets[4..8].copy_from_slice(&self.current.to_be_bytes());
        octets[8..].copy_from_slice(&self.secret);
        State(octets)
    }

    /// Continues from stored state.
    ///
    /// # Errors
    /// [`StateError`]: epochs that no ratchet can have.
    pub fn from_state(state: &State) -> Result<Self, StateError> {
        let (epochs, secret) = state.0.split_first_chunk::<8>().ok_or(StateError)?;
        let epochs = u64::from_be_bytes(*epochs);
        let (oldest, current) = ((epochs >> 32) as u32, epochs as u32);
        if current.checked_sub(oldest).is_none_or(|age| age > GENERATIONS) {
            return Err(StateError);
        }
        Ok(Self { oldest, current, secret: secret.try_into().map_err(|_| StateError)? })
    }
}

impl Drop for Ratchet {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

impl ZeroizeOnDrop for Ratchet {}

impl fmt::Debug for Ratchet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ratchet").field("epoch", &self.current).finish_non_exhaustive()
    }
}

/// Turns the secret of the previous epoch into that of `epoch`.
fn step(secret: &mut [u8; SECRET], epoch: u32) {
    let before = from_secret(secret);
    expand(&before, b"truechimer cookie secret", epoch, secret);
}

fn from_secret(secret: &[u8; SECRET]) -> Prk {
    Prk::from_octets(secret)
}

fn expand(from: &Prk, label: &[u8], epoch: u32, out: &mut [u8; SECRET]) {
    from.expand(&[label, &epoch.to_be_bytes()], out);
}

#[cfg(test)]
mod tests;
