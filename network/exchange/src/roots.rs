//! Root certificates, read from files for each key exchange.

use ipc::message::key_service::Unread;
use ipc::message::launch::{MAX_ROOTS, ROOT_WORDS};
use network::small_file;
use policies::Inherited;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tls::validity::Validity;
use webpki::{EndEntityCert, Error, KeyUsage, anchor_from_trusted_cert};

/// Most certificates in one file.
const MAX_CERTIFICATES: usize = 1024;

/// The files of the sets of root certificates.
#[derive(Clone, Debug, Default)]
pub struct RootFiles([Option<PathBuf>; ROOT_WORDS.len()]);

impl RootFiles {
    /// From the arguments named by [`ROOT_WORDS`], in the order of a request's `roots`.
    pub fn from_words(inherited: &Inherited) -> Self {
        Self(ROOT_WORDS.map(|word| inherited.text(word).map(PathBuf::from)))
    }

    /// The file of a request's `roots`.
    pub(super) fn path(&self, roots: u8) -> Option<&Path> {
        self.0.get(usize::from(roots))?.as_deref()
    }
}

/// The certificates of one file.
#[derive(Debug, Default)]
pub(super) struct Roots {
    /// Those that may sign other certificates.
    anchors: Vec<TrustAnchor<'static>>,
    /// All of them: each one is trusted directly.
    certificates: Vec<CertificateDer<'static>>,
}

impl Roots {
    /// Reads a file of certificates in PEM.
    ///
    /// # Errors
    /// The error of the failed system call; `InvalidData` for what is no regular file, and for a file that is too long, has
    /// too many certificates, has none, or has an invalid one.
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        let file = match small_file::open(path) {
            Ok((file, _)) => file,
            Err(Unread::Refused(errno)) => return Err(io::Error::from_raw_os_error(errno.into())),
            Err(_) => return Err(io::ErrorKind::InvalidData.into()),
        };
        let mut text = Vec::new();
        file.take(MAX_ROOTS + 1).read_to_end(&mut text)?;
        let is_short = text.len() as u64 <= MAX_ROOTS;
        Self::parse(&text).filter(|_| is_short).ok_or(io::ErrorKind::InvalidData.into())
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let mut roots = Self::default();
        for certificate in CertificateDer::pem_slice_iter(text) {
            let certificate = certificate.ok().filter(|_| roots.certificates.len() < MAX_CERTIFICATES)?;
            if may_vouch(&certificate)
                && let Ok(anchor) = anchor_from_trusted_cert(&certificate)
            {
                roots.anchors.push(anchor.to_owned());
            }
            roots.certificates.push(certificate);
        }
        (!roots.certificates.is_empty()).then_some(roots)
    }

    pub(super) fn anchors(&self) -> &[TrustAnchor<'static>] {
        &self.anchors
    }

    /// Whether the file contains exactly this certificate.
    pub(super) fn pin(&self, certificate: &CertificateDer<'_>) -> bool {
        self.certificates.iter().any(|known| known == certificate)
    }
}

/// Whether a certificate is a CA certificate. A server certificate in this file authenticates no other server.
fn may_vouch(certificate: &CertificateDer<'_>) -> bool {
    let from = Validity::of(certificate).map_or(0, |period| period.from.max(0).unsigned_abs());
    let at = UnixTime::since_unix_epoch(Duration::from_secs(from));
    let as_server = EndEntityCert::try_from(certificate).and_then(|server| {
        server.verify_for_usage(&[], &[], &[], at, KeyUsage::server_auth(), None, None).map(drop)
    });
    // The oldest root certificates do not state a version.
    matches!(as_server, Err(Error::CaUsedAsEndEntity | Error::UnsupportedCertVersion))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bench::authority::{Authority, Identity, Order};
    use bench::programs::Place;
    use std::fs;

    #[test]
    fn authorities_vouch_and_servers_are_only_themselves() {
        let (one, two) = (Authority::new("one"), Authority::new("two"));
        let server = Identity::self_signed(&Order::new(&["a.example"]));
        let text = format!("a note\n{}{}\n{}", one.pem(), server.chain_pem, two.pem());
        let roots = Roots::parse(text.as_bytes()).unwrap();
        assert_eq!(roots.anchors().len(), 2);
        assert!(roots.pin(&server.chain[0]) && roots.pin(one.certificate()));
        assert!(!roots.pin(&one.issue(&["a.example"]).chain[0]));
    }

    #[test]
    fn a_file_that_is_none_is_refused() {
        let place = Place::new("roots");
        let path = place.join("roots.pem");
        assert_eq!(Roots::read(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        let one = Authority::new("one").pem();
        let many = one.repeat(MAX_CERTIFICATES + 1);
        let cut = &one[..one.len() - 40];
        let long = format!("{one}{}", "x".repeat(MAX_ROOTS as usize));
        for (text, why) in
            [("", "empty"), ("nothing", "no PEM"), (&many, "many"), (cut, "cut"), (&long, "long")]
        {
            fs::write(&path, text).unwrap();
            assert_eq!(Roots::read(&path).unwrap_err().kind(), io::ErrorKind::InvalidData, "{why}");
        }
        fs::write(&path, one.repeat(MAX_CERTIFICATES)).unwrap();
        assert_eq!(Roots::read(&path).unwrap().anchors().len(), MAX_CERTIFICATES);
    }
}
