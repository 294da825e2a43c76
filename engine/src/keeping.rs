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
                if self.file.is_left_alone() {
                    // It will never be written by this run.
                    cookies.release();
                } else {
                    let kept = Kept { ratchet: cookies.state(), associations: associations(), left_out: 0 };
                    let written = self.file.replace(&kept);
                    self.is_unwritten = written.is_err();
                    let withheld = if self.is_unwritten { cookies.withhold() } else { None };
                    match withheld {
                        Some(why) => news.line = Some((why.to_owned(), true)),
                        None => cookies.release(),
                    }
                    news.written = Some(written);
                    self.synced = Some(now.raw);
                }
                news.keys = cookies.keys();
            }
        }
        news
    }

    /// Saves the associations.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn save(&mut self, now: RawInstant, associations: Vec<SavedAssociation>) -> std::io::Result<()> {
        if self.is_unwritten || self.file.is_left_alone() {
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
        if self.file.is_left_alone() {
            self.is_unwritten = false;
            return Ok(());
        }
        let kept = self.kept(associations);
        self.file.replace(&kept)?;
        (self.is_unwritten, self.synced) = (false, Some(now));
        if let Some(cookies) = &mut self.cookies {
            cookies.release();
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configuration::Fleet;
    use crate::keys::{Origin, Roots};
    use ipc::message::launch::LaunchPlan;
    use std::fs::File;

    const TODAY: i64 = 20_789;

    fn now(day: i64, second: i64) -> Now {
        let raw = RawInstant::MIN.after(Span::from_secs(100 * 86_400 + day * 86_400 + second));
        Now { raw, wall: WallTime::try_new((day * 86_400 + second) * 1_000_000_000).unwrap() }
    }

    fn full() -> File {
        File::options().read(true).write(true).open("/dev/full").unwrap()
    }

    fn keys_in(file: File) -> KeyFile {
        KeyFile::new(file.into(), 7, Roots::of(&LaunchPlan::CLIENT))
    }

    fn keeping(file: File, cookies: CookieSource) -> Keeping {
        Keeping::new(keys_in(file), Some(cookies), WallTime::MIN, false)
    }

    /// A file that can be read again.
    fn room(name: &str) -> File {
        let path = std::env::temp_dir().join(format!("truechimer-keeping-{name}-{}", std::process::id()));
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        file
    }

    #[test]
    fn a_new_secret_is_not_used_before_it_is_on_the_disk() {
        let (cookies, _) = CookieSource::new(None, None);
        let mut keeping = keeping(full(), cookies);
        let news = keeping.look(now(TODAY, 0), true, Vec::new);
        assert!(news.keys.is_none() && matches!(news.written, Some(Err(_))));
        let (line, is_trouble) = news.line.unwrap();
        assert!(is_trouble && line.contains("cannot be written"), "{line}");
        let cookies = keeping.cookies().unwrap();
        assert_eq!((cookies.keys(), cookies.epochs(), cookies.trouble()), (None, None, Some(line.as_str())));
        // Still full, also on another day.
        assert!(keeping.retry(now(TODAY, 60).raw, Vec::new).unwrap().is_err());
        assert!(keeping.look(now(TODAY, 120), true, Vec::new).keys.is_none());
        assert!(keeping.look(now(TODAY + 1, 0), true, Vec::new).keys.is_none());
        assert!(keeping.cookies().unwrap().keys().is_none());
        // Room again: it is written, and then it is in use.
        let room = room("waits");
        keeping.file = keys_in(room.try_clone().unwrap());
        assert!(keeping.retry(now(TODAY + 1, 60).raw, Vec::new).unwrap().is_ok());
        assert!(keeping.is_due(now(TODAY + 1, 60).raw));
        let news = keeping.look(now(TODAY + 1, 60), true, Vec::new);
        assert!(news.keys.is_some() && news.keys == keeping.cookies().unwrap().keys());
        assert_eq!(keeping.cookies().unwrap().trouble(), None);
        let (kept, _) = keys_in(room).load();
        let (again, _) = CookieSource::new(None, kept.ratchet.as_ref());
        assert_eq!(again.keys(), news.keys, "a restart opens what is sealed");
        assert!(keeping.look(now(TODAY + 1, 120), true, Vec::new).keys.is_none(), "it is told once");
    }

    #[test]
    fn keys_that_a_restart_makes_again_are_used_although_they_cannot_be_written() {
        let (mut first, _) = CookieSource::new(None, None);
        first.look(now(TODAY, 0), true, WallTime::MIN, random);
        let kept = first.state().unwrap();
        assert_eq!(kept.0, Origin::Own);
        let (cookies, _) = CookieSource::new(None, Some(&kept));
        let mut turned = keeping(full(), cookies);
        let news = turned.look(now(TODAY + 1, 0), true, Vec::new);
        assert!(news.keys.is_some() && matches!(news.written, Some(Err(_))));
        let fleet = Fleet { secret: Zeroizing::new(vec![1; 48]), since: TODAY as u32 - 9 };
        let mut of_fleet = keeping(full(), CookieSource::new(Some(fleet), None).0);
        assert!(of_fleet.look(now(TODAY, 0), true, Vec::new).keys.is_some());
    }

    #[test]
    fn beside_a_file_of_a_later_build_a_secret_is_of_this_run() {
        use std::os::unix::fs::FileExt;
        let room = room("later");
        let (cookies, _) = CookieSource::new(None, None);
        keeping(room.try_clone().unwrap(), cookies).look(now(TODAY, 0), true, Vec::new);
        // A later form has another digit, and the checksum that belongs to it.
        let mut slot = [0; 36];
        room.read_exact_at(&mut slot, 0).unwrap();
        let length = 36 + u32::from_be_bytes(slot[32..].try_into().unwrap()) as usize;
        let mut slot = vec![0; length];
        room.read_exact_at(&mut slot, 0).unwrap();
        slot[15] += 1;
        let check = ipc::checksum::checksum(&slot).to_be_bytes();
        room.write_all_at(&[slot, check.to_vec()].concat(), 0).unwrap();
        let octets = || {
            let mut octets = vec![0; room.metadata().unwrap().len() as usize];
            room.read_exact_at(&mut octets, 0).unwrap();
            octets
        };
        let before = octets();
        let mut file = keys_in(room.try_clone().unwrap());
        assert!(file.load().1.is_some());
        let (cookies, _) = CookieSource::new(None, None);
        let mut keeping = Keeping::new(file, Some(cookies), WallTime::MIN, false);
        let news = keeping.look(now(TODAY, 0), true, Vec::new);
        assert!(news.keys.is_some() && news.written.is_none());
        assert!(keeping.save(now(TODAY, 9).raw, Vec::new()).is_ok());
        assert!(keeping.retry(now(TODAY, 60).raw, Vec::new).is_none());
        assert_eq!(octets(), before);
    }
}
