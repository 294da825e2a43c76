//! Keys in the running process: when the keys of cookies change, and when the file of keys is written.

use crate::cookie_keys::{CookieSource, Turned};
use crate::keys::{Kept, KeyFile};
use engine_core::io::{Now, SavedAssociation};
use ipc::message::server::CookieKeys;
use ipc::units::{RawInstant, Span, WallTime};
use protocol::nts::ratchet::SECRET;
use protocol::primitives;
use zeroize::Zeroizing;

/// The file is synchronised to the disk at most this often if only associations have changed.
const SYNC: Span = Span::from_secs(3_600);

/// The file, and the source of the cookies' keys.
#[derive(Debug)]
pub struct Keeping {
    file: KeyFile,
    /// None: no NTS for clients.
    cookies: Option<CookieSource>,
    floor: WallTime,
    synced: Option<RawInstant>,
    /// What the file should hold could not be written into it.
    is_unwritten: bool,
}

/// The result of a check of the clock.
#[derive(Debug)]
pub struct News {
    /// Keys to be sent.
    pub keys: Option<CookieKeys>,
    /// For the log; a line, and whether something is wrong.
    pub line: Option<(String, bool)>,
    /// How the file was written, if it was.
    pub written: Option<std::io::Result<()>>,
}

impl Keeping {
    /// Takes both. No step leads to a time before `floor`. `is_unwritten`: the file could not be written yet.
    pub fn new(file: KeyFile, cookies: Option<CookieSource>, floor: WallTime, is_unwritten: bool) -> Self {
        Self { file, cookies, floor, synced: None, is_unwritten }
    }

    /// The source of the cookies' keys.
    pub fn cookies(&self) -> Option<&CookieSource> {
        self.cookies.as_ref()
    }

    /// Whether a check of the clock is due.
    pub fn is_due(&self, now: RawInstant) -> bool {
        self.cookies.as_ref().is_some_and(|cookies| cookies.is_due(now))
    }

    /// The clock has been synchronised: the next check is due immediately.
    pub fn hurry(&mut self) {
        if let Some(cookies) = self.cookies.as_mut().filter(|cookies| !cookies.is_settled()) {
            cookies.hurry();
        }
    }

    /// Checks the clock, and stores a new secret before any process gets keys derived from it.
    pub fn look(
        &mut self,
        now: Now,
        synchronised: bool,
        associations: impl FnOnce() -> Vec<SavedAssociation>,
    ) -> News {
        let mut news = News { keys: None, line: None, written: None };
        let Some(cookies) = &mut self.cookies else { return news };
        match cookies.look(now, synchronised, self.floor, random) {
            Turned::Same => {}
            Turned::Trouble(line) => news.line = Some((line, true)),
            Turned::New(line) => {
                news.line = Some((line, false));
                news.keys = cookies.keys();
                let kept = Kept { ratchet: cookies.state(), associations: associations(), left_out: 0 };
                let written = self.file.replace(&kept);
                self.is_unwritten = written.is_err();
                news.written = Some(written);
                self.synced = Some(now.raw);
            }
        }
        news
    }

    /// Saves the associations.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn save(&mut self, now: RawInstant, associations: Vec<SavedAssociation>) -> std::io::Result<()> {
        if self.is_unwritten {
            return self.replace(now, associations);
        }
        let kept = self.kept(associations);
        self.is_unwritten = true;
        self.file.save(&kept)?;
        if self.synced.is_none_or(|synced| now.since(synced).nanos() >= SYNC.nanos()) {
            self.file.sync()?;
            self.synced = Some(now);
        }
        self.is_unwritten = false;
        Ok(())
    }

    /// Writes what could not be written.
    pub fn retry(
        &mut self,
        now: RawInstant,
        associations: impl FnOnce() -> Vec<SavedAssociation>,
    ) -> Option<std::io::Result<()>> {
        self.is_unwritten.then(|| self.replace(now, associations()))
    }

    /// Both slots: which of them is whole is not known.
    fn replace(&mut self, now: RawInstant, associations: Vec<SavedAssociation>) -> std::io::Result<()> {
        let kept = self.kept(associations);
        self.file.replace(&kept)?;
        (self.is_unwritten, self.synced) = (false, Some(now));
        Ok(())
    }

    fn kept(&self, associations: Vec<SavedAssociation>) -> Kept {
        let ratchet = self.cookies.as_ref().and_then(CookieSource::state);
        Kept { ratchet, associations, left_out: 0 }
    }
}

fn random() -> Option<Zeroizing<[u8; SECRET]>> {
    let mut secret = Zeroizing::new([0; SECRET]);
    // A validated module makes its own keys.
    let is_filled = match primitives::random(&mut secret) {
        Some(filled) => filled.is_ok(),
        None => getrandom::fill(&mut *secret).is_ok(),
    };
    is_filled.then_some(secret)
}
