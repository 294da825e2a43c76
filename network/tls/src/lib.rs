//! Shared by programs that speak TLS, or sign for it: the cryptography beneath it, one of two libraries by the features
//! of this package, and the parsing of certificates and keys.
//!
//! ```text
//!   certificate_verify  the one content that is signed
//!   organisation        whose certificate it is
//!   subject_names       which names a certificate is for
//!   validity            when a certificate is valid
//! ```
#![forbid(unsafe_code)]

pub mod certificate_verify;
pub mod organisation;
pub mod subject_names;
pub mod validity;

#[cfg(feature = "aws-lc-rs")]
pub use rustls::crypto::aws_lc_rs as provider;
#[cfg(not(feature = "aws-lc-rs"))]
pub use rustls::crypto::ring as provider;

use rustls::crypto::CryptoProvider;
use std::sync::Arc;

/// The library, as rustls takes it. In a build with the feature `fips` all that it offers is approved.
///
/// # Panics
/// If it is not then: TLS is not spoken at all.
pub fn crypto() -> Arc<CryptoProvider> {
    #[cfg(not(feature = "fips"))]
    let crypto = provider::default_provider();
    #[cfg(feature = "fips")]
    let crypto = rustls::crypto::default_fips_provider();
    assert!(crypto.fips() || !cfg!(feature = "fips"), "the cryptographic module is not in FIPS mode");
    Arc::new(crypto)
}

/// All tests of a FIPS 140 module, once in a process, before the filter: otherwise each would run at the first use of what it tests.
/// Needs the stack of a main thread. Without a module there is nothing to test.
///
/// # Panics
/// If one cannot be run; where one fails, the module ends the process.
pub fn test() {
    #[cfg(feature = "fips")]
    aws_lc_rs::try_fips_self_test().expect("the cryptographic module can be tested");
}

/// Uses a library for the first time in this thread, because it then makes system calls that are not allowed later.
pub fn warm_up() {
    let crypto = crypto();
    let _ = crypto.secure_random.fill(&mut [0; 32]);
    for group in &crypto.kx_groups {
        let Ok(own) = group.start() else { continue };
        let public = own.pub_key().to_vec();
        let _ = own.complete(&public);
    }
}
