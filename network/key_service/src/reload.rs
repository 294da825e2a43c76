//! Reloading the certificate: this process reads the certificate, the key holder its key. If they match, each thread
//! adopts both between two of its handshakes.

use super::certificate::Certificate;
use super::shared::Shared;
use ipc::message::key_service::{KeyRead, Loaded, Objection, Unread};
use ipc::units::{Span, WallTime};
use std::path::PathBuf;
use std::sync::Arc;

/// How long after a certificate was refused for lack of a name a second request means that the name is to go: later ones
/// have other reasons, such as the renewal of another certificate or a change of the access rules.
const CONSENT: Span = Span::from_secs(600);

/// The state of a reload, and whether another one is requested.
pub(super) struct Reload {
    path: PathBuf,
    stage: Stage,
    /// The time of the last request.
    now: WallTime,
    is_ordered: bool,
    /// What the last reload did not take, for lack of a name, and when: requested again within [`CONSENT`], it is meant.
    refused: Option<(Arc<Certificate>, WallTime)>,
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
    /// The key holder reads its key by itself at start.
    pub(super) fn at_start(path: PathBuf) -> Self {
        let certificate = Certificate::read(&path).map(Arc::new);
        Self { path, stage: Stage::Reads(certificate), now: WallTime::MIN, is_ordered: false, refused: None }
    }

    /// Requests a reload. Several outstanding requests are one.
    pub(super) const fn order(&mut self, now: WallTime) {
        self.now = now;
        self.is_ordered = true;
    }

    /// Whether a reload is requested and can begin.
    pub(super) const fn is_due(&self) -> bool {
        self.is_ordered && matches!(self.stage, Stage::Rests)
    }

    /// Reads the certificate; returns whether the key holder is to read the key.
    pub(super) fn begin(&mut self) -> bool {
        self.is_ordered = false;
        self.stage = match Certificate::read(&self.path) {
            Ok(certificate) => Stage::Reads(Ok(Arc::new(certificate))),
            Err(why) => Stage::Ends(Loaded::NoCertificate(why)),
        };
        matches!(self.stage, Stage::Reads(_))
    }

    /// The key holder has read the key; `None` if no reload was requested.
    pub(super) fn hear(&mut self, read: KeyRead, shared: &Shared) -> Option<()> {
        let Stage::Reads(certificate) = &self.stage else { return None };
        let loaded = match (certificate.clone(), read) {
            (Err(why), _) => Loaded::NoCertificate(why),
            (Ok(_), KeyRead::Unreadable(why)) => Loaded::NoKey(why),
            (Ok(certificate), KeyRead::Read(fingerprint)) if certificate.fingerprint == fingerprint => {
                let now = self.now.nanos().div_euclid(1_000_000_000);
                let newest = shared.settings.newest();
                let in_use = newest.certificate.as_ref();
                let refused = self.refused.take();
                let is_meant = refused.is_some_and(|(refused, at)| {
                    let since = self.now.minus(at).nanos();
                    refused.chain == certificate.chain && (0..=CONSENT.nanos()).contains(&since)
                });
                match in_use.and_then(|in_use| certificate.objection(in_use, now)) {
                    Some(objection) if objection != Objection::LacksName || !is_meant => {
                        self.refused = (objection == Objection::LacksName).then_some((certificate, self.now));
                        Loaded::Kept(objection)
                    }
                    _ => {
                        let validity = certificate.validity;
                        shared.change(|settings| settings.certificate = Some(certificate));
                        Loaded::InUse { not_before: validity.from, not_after: validity.until }
                    }
                }
            }
            _ => Loaded::Mismatch,
        };
        self.stage = Stage::Ends(loaded);
        Some(())
    }

    /// The result, once; a certificate is in use when all threads have adopted it. Until then the key
    /// holder must not read another key, which threads would use with this certificate.
    pub(super) fn conclude(&mut self, shared: &Shared) -> Option<Loaded> {
        let Stage::Ends(loaded) = self.stage else { return None };
        if matches!(loaded, Loaded::InUse { .. }) && !shared.is_adopted() {
            return None;
        }
        self.stage = Stage::Rests;
        Some(loaded)
    }
}
