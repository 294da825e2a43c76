//! Who does the cryptography of time packets, cookies and their keys: RustCrypto's crates, or in a build with the feature `fips` the
//! FIPS 140 module of AWS-LC, which has what is approved and nothing else.
//!
//! ```text
//!   portable  RustCrypto: all algorithms
//!   module    AWS-LC's FIPS module: AES-256-GCM with nonces of its own, AES-CMAC, HKDF
//! ```

#[cfg(feature = "fips")]
mod module;
#[cfg(not(feature = "fips"))]
mod portable;

#[cfg(feature = "fips")]
pub(crate) use module::{Cmac128, Cmac256, CookieCipher, DRAWS_NONCES, Prk, open, seal};
#[cfg(feature = "fips")]
pub use module::{name, random, start, test};
#[cfg(not(feature = "fips"))]
pub(crate) use portable::{Cmac128, Cmac256, CookieCipher, DRAWS_NONCES, Prk, open, seal};
#[cfg(not(feature = "fips"))]
pub use portable::{name, random, start, test};

use crate::nts::aead::SealError;

/// [`test`] and [`start`], for a process with one thread: before the filter, since a module tests itself and gathers entropy.
///
/// # Errors
/// As these.
pub fn begin() -> Result<(), SealError> {
    test().and_then(|()| start())
}
