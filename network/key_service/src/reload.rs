//! Reloading the certificates: this process reads a certificate, the key holder its key. If they match, each thread
//! adopts both between two of its handshakes. Of several pairs one is read after the other.

use super::certificate::Certificate;
use super::shared::Shared;
use ipc::message::key_service::{KeyRead, Loaded, Objection, Request, Unread};
use ipc::units::WallTime;
use std::path::PathBuf;
use std::sync::Arc;

/// The state of a reload, and whether another one is requested.
pub(super) struct Reload {
    pairs: Vec<Pair>,
    /// Which of them is read, or was read last.
    at: usize,
    stage: Stage,
    /// The time of the last request.
    now: WallTime,
    /// Whether an administrator has said that names may go. However often a reload is requested is no such word: renewal hooks
    /// request one for each certificate that they have renewed, of this program or not.
    drops_names: bool,
}

/// A certificate.
struct Pair {
    path: PathBuf,
    is_ordered: bool,
}

enum Stage {
    /// No reload is in progress.
    Rests,
    /// The key holder reads the key. An error: the certificate cannot be read ([`Certificate::read`]).
    Reads(Result<Arc<Certificate>, Unread>),
    /// The threads adopt the certificate, or it cannot be used.
    Ends(Loaded),
}

impl Reload {
    /// The key holder reads its first key by itself at start; the others follow.
    pub(super) fn at_start(paths: Vec<PathBuf>) -> Self {
        let first = paths.first().map_or(Err(Unread::Unsupported), |path| Certificate::read(path));
        let pair = |(at, path)| Pair { path, is_ordered: at > 0 };
        Self {
            pairs: paths.into_iter().enumerate().map(pair).collect(),
            at: 0,
            stage: Stage::Reads(first.map(Arc::new)),
            now: WallTime::MIN,
            drops_names: false,
        }
    }

    /// Requests a reload of all. Several outstanding requests are one.
    pub(super) fn order(&mut self, request: Request) {
        self.now = request.now;
        self.drops_names |= request.drops_names;
        self.pairs.iter_mut().for_each(|pair| pair.is_ordered = true);
    }

    /// Whether a reload is requested and can begin.
    pub(super) fn is_due(&self) -> bool {
        self.pairs.iter().any(|pair| pair.is_ordered) && matches!(self.stage, Stage::Rests)
    }

    /// Reads the next certificate; returns the number of the key that the key holder is to read.
    pub(super) fn begin(&mut self) -> Option<u8> {
        let at = self.pairs.iter().position(|pair| pair.is_ordered)?;
        let pair = self.pairs.get_mut(at)?;
        (self.at, pair.is_ordered) = (at, false);
        self.stage = match Certificate::read(&pair.path) {
            Ok(certificate) => Stage::Reads(Ok(Arc::new(certificate))),
            Err(why) => Stage::Ends(Loaded::NoCertificate(why)),
        };
        u8::try_from(at).ok().filter(|_| matches!(self.stage, Stage::Reads(_)))
    }

    /// The key holder has read the key; `None` if no reload was requested.
    pub(super) fn hear(&mut self, read: KeyRead, shared: &Shared) -> Option<()> {
        let Stage::Reads(certificate) = &self.stage else { return None };
        let loaded = match (certificate.clone(), read) {
            (Err(why), _) => Loaded::NoCertificate(why),
            (Ok(_), KeyRead::Unreadable(why)) => Loaded::NoKey(why),
            (Ok(certificate), KeyRead::Read(fingerprint)) if certificate.fingerprint == fingerprint => {
                self.take(certificate, shared)?
            }
            _ => Loaded::Mismatch,
        };
        self.stage = Stage::Ends(loaded);
        Some(())
    }

    /// Takes a certificate whose key is there, unless it would serve clients worse.
    fn take(&mut self, certificate: Arc<Certificate>, shared: &Shared) -> Option<Loaded> {
        let (at, now) = (self.at, self.now.nanos().div_euclid(1_000_000_000));
        let newest = shared.settings.newest();
        let in_use = newest.certificates.get(at)?.as_ref();
        Some(match in_use.and_then(|in_use| certificate.objection(in_use, now)) {
            Some(objection) if objection != Objection::LacksName || !self.drops_names => {
                Loaded::Kept(objection)
            }
            _ => {
                let validity = certificate.validity;
                shared.change(|settings| {
                    if let Some(in_use) = settings.certificates.get_mut(at) {
                        *in_use = Some(certificate);
                    }
                });
                Loaded::InUse { not_before: validity.from, not_after: validity.until }
            }
        })
    }

    /// The result and the number of the pair, once; a certificate is in use when all threads have adopted it. Until then the key
    /// holder must not read another key, which threads would use with this certificate.
    pub(super) fn conclude(&mut self, shared: &Shared) -> Option<(u8, Loaded)> {
        let Stage::Ends(loaded) = self.stage else { return None };
        if matches!(loaded, Loaded::InUse { .. }) && !shared.is_adopted() {
            return None;
        }
        self.stage = Stage::Rests;
        if !self.pairs.iter().any(|pair| pair.is_ordered) {
            self.drops_names = false;
        }
        Some((u8::try_from(self.at).ok()?, loaded))
    }
}
