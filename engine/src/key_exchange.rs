//! The state of the key exchange service and of its certificates, as reported by its process.

use engine_core::io::Now;
use ipc::file_path::FilePath;
use ipc::message::key_service::{KeyCounters, Loaded, MAX_PEM, Objection, Unread};
use ipc::message::launch::{self, KeyService, MAX_PAIRS};
use ipc::units::{Span, WallTime};
use nix::errno::Errno;

/// Below this number of days a warning is logged.
pub const WARN_DAYS: i64 = 10;

const DAY: i64 = 86_400;

/// Files that may hold a better certificate than the one in use are read again this often.
const READ_AGAIN: Span = Span::from_secs(3_600);

/// The processes that read the files see only directories that existed at the start.
const LATE: &str = "if its folder came after the start: systemctl restart truechimer";

/// The certificates, and the counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyExchange {
    /// The one for clients that ask for no name, or for one that no certificate is for.
    pub first: Pair,
    /// Further ones.
    further: [Option<Pair>; MAX_PAIRS - 1],
    /// How often they were read, in this run.
    pub readings: u32,
    /// Counts; none: nothing counted yet.
    pub counters: Option<KeyCounters>,
}

/// A certificate and its key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pair {
    /// The files of certificate and key.
    files: Option<(FilePath, FilePath)>,
    /// It stands under `[[server.nts.pair]]`.
    is_further: bool,
    /// The result of the last reading; none: not read yet.
    pub last: Option<Loaded>,
    /// Since and until when the certificate in use is valid, in seconds since 1970; none: there is none.
    pub in_use: Option<(i64, i64)>,
    /// When the files were last read, or requested to be.
    asked: Option<Now>,
}

impl KeyExchange {
    /// Nothing has been reported yet.
    pub fn of(service: &KeyService) -> Self {
        let pair = |files: launch::Pair, is_further| Pair {
            files: Some((files.certificate, files.key)),
            is_further,
            ..Pair::default()
        };
        let further = service.further.map(|files| files.map(|files| pair(files, true)));
        Self { first: pair(service.first, false), further, ..Self::default() }
    }

    /// Further ones, in their order.
    pub fn further(&self) -> impl Iterator<Item = &Pair> {
        self.further.iter().flatten()
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut Pair> {
        [&mut self.first].into_iter().chain(self.further.iter_mut().flatten())
    }

    /// The certificate of this number was read.
    pub fn read(&mut self, number: u8, loaded: Loaded) {
        let last = self.further().count();
        if usize::from(number) == last {
            self.readings = self.readings.saturating_add(1);
        }
        if let Some(pair) = self.all_mut().nth(number.into()) {
            pair.read(loaded);
        }
    }

    /// The files were read now, or are requested to be.
    pub fn note_reading(&mut self, now: Now) {
        self.all_mut().for_each(|pair| pair.note_reading(now));
    }

    /// Whether the files are to be read again although nobody asks for it ([`Pair::is_reading_due`]).
    pub fn is_reading_due(&mut self, now: Now) -> bool {
        // Each is asked: it notes since when it waits.
        self.all_mut().filter_map(|pair| pair.is_reading_due(now).then_some(())).count() > 0
    }

    /// The counters have changed.
    pub fn count(&mut self, counters: KeyCounters) {
        self.counters = Some(counters);
    }

    /// A warning about each certificate that there is one about.
    pub fn warnings(&self, now: WallTime) -> Vec<String> {
        self.all().filter_map(|pair| self.warning(pair, now)).collect()
    }

    fn all(&self) -> impl Iterator<Item = &Pair> {
        [&self.first].into_iter().chain(self.further())
    }

    /// Whether keys are exchanged with any client.
    pub fn is_in_use(&self) -> bool {
        self.all().any(|pair| pair.in_use.is_some())
    }

    /// A warning about one of its certificates; none: there is none.
    pub fn warning(&self, pair: &Pair, now: WallTime) -> Option<String> {
        pair.warning(now, if pair.is_further { self.first.in_use.is_some() } else { self.is_in_use() })
    }
}

impl Pair {
    /// The file of the certificate; empty: it is not known.
    pub fn certificate(&self) -> &str {
        self.files.as_ref().map_or("", |(certificate, _)| certificate.as_str())
    }

    /// The certificate was read.
    fn read(&mut self, loaded: Loaded) {
        self.last = Some(loaded);
        if let Loaded::InUse { not_before, not_after } = loaded {
            self.in_use = Some((not_before, not_after));
        }
    }

    /// The files were read now, or are requested to be.
    const fn note_reading(&mut self, now: Now) {
        self.asked = Some(now);
    }

    /// Whether the files are to be read again although nobody asks for it: as soon as the certificate in use has ended,
    /// whatever was found before, and each hour while there is none that is valid, or while the time of a newer one may
    /// come (or this host's clock may have been wrong).
    fn is_reading_due(&mut self, now: Now) -> bool {
        let Some(last) = self.last else { return false };
        let asked = *self.asked.get_or_insert(now);
        let has_ended = |at: WallTime| self.has_ended(at);
        let waits = matches!(last, Loaded::Kept(Objection::Expired | Objection::NotYetValid));
        let is_late = now.raw.since(asked.raw).nanos() >= READ_AGAIN.nanos();
        let is_missing = self.in_use.is_none() || has_ended(now.wall);
        (has_ended(now.wall) && !has_ended(asked.wall)) || (is_late && (is_missing || waits))
    }

    /// Whether there is a certificate in use that has expired.
    fn has_ended(&self, at: WallTime) -> bool {
        self.in_use.is_some_and(|(_, until)| seconds(at) > until)
    }

    /// Whole days that the certificate in use is still valid for, rounded down; negative: it has expired.
    pub fn days_left(&self, now: WallTime) -> Option<i64> {
        let (_, until) = self.in_use?;
        Some(until.saturating_sub(seconds(now)).div_euclid(DAY))
    }

    /// A warning about the certificate; none: there is none. `has_others`: of a further one, that the first is in use, and of the first,
    /// that any is.
    fn warning(&self, now: WallTime, has_others: bool) -> Option<String> {
        let text = self.trouble(now, has_others)?;
        if !self.is_further {
            return Some(text);
        }
        let file = self.certificate();
        let whose = match text.contains(file) {
            true => "[[server.nts.pair]]".to_owned(),
            false => format!("[[server.nts.pair]] ({file})"),
        };
        Some(text.replacen("[server.nts]", &whose, 1))
    }

    fn trouble(&self, now: WallTime, has_others: bool) -> Option<String> {
        let in_use = match (self.in_use, self.has_ended(now)) {
            (None, _) if self.is_further && has_others => {
                "; clients that ask for its names are shown the first one until that is mended"
            }
            (None, _) if self.is_further => {
                "; clients that ask for its names get no keys until that is mended"
            }
            (None, _) if has_others => {
                "; only clients that ask for a name of another certificate get keys until that is mended"
            }
            (None, _) => "; no keys are exchanged until that is mended",
            (Some(_), false) => "; the one before stays in use",
            (Some(_), true) => {
                "; the one before stays in use and has expired; the files are read again each hour"
            }
        };
        let (certificate, key) =
            self.files.as_ref().map_or(("", ""), |(one, other)| (one.as_str(), other.as_str()));
        match self.last {
            None => return None,
            Some(Loaded::NoCertificate(why)) => {
                let (why, remedy) =
                    unread(why, certificate, ("with a chain of at most 8", "truechimer-ntske"));
                return Some(format!(
                    "the certificate of [server.nts], {certificate}, {why}: {remedy}{in_use}"
                ));
            }
            Some(Loaded::NoKey(why)) => {
                let (why, remedy) = unread(why, key, ("with a private key", "truechimer-key"));
                return Some(format!("the private key of [server.nts], {key}, {why}: {remedy}{in_use}"));
            }
            Some(Loaded::Mismatch) => {
                return Some(format!(
                    "the private key of [server.nts], {key}, is not that of its certificate, {certificate}: write both of one \
                     pair, then chimerctl reload{in_use}"
                ));
            }
            Some(Loaded::Kept(objection)) if self.days_left(now).is_some_and(|left| left >= 0) => {
                let (why, remedy) = match objection {
                    Objection::Expired => (
                        "has expired",
                        "renew it, then chimerctl reload; systemctl restart truechimer takes it as it is",
                    ),
                    Objection::NotYetValid => (
                        "is not valid yet, or this host's clock is behind",
                        "it is read again each hour; systemctl restart truechimer takes it as it is",
                    ),
                    Objection::LacksName => (
                        "lacks a name that the one in use has",
                        "add the name, then chimerctl reload; chimerctl reload --drop-names, or the end of the one in \
                         use, takes it as it is",
                    ),
                };
                return Some(format!(
                    "the new certificate of [server.nts], {certificate}, {why}{in_use}: {remedy}"
                ));
            }
            Some(Loaded::Kept(_) | Loaded::InUse { .. }) => {}
        }
        let (since, until) = self.in_use?;
        let now_s = seconds(now);
        if now_s < since {
            return Some(
                "the certificate of [server.nts] is not valid yet, or this host's clock is behind".to_owned(),
            );
        }
        let left = self.days_left(now)?;
        if now_s > until {
            return Some(match self.last {
                Some(Loaded::Kept(_)) => format!(
                    "the certificate of [server.nts] has expired; a new one is on disk, {certificate}, and is read again"
                ),
                _ => {
                    "the certificate of [server.nts] has expired: renew it, then chimerctl reload".to_owned()
                }
            });
        }
        (left < WARN_DAYS).then(|| {
            let days = if left == 1 { "day" } else { "days" };
            format!(
                "the certificate of [server.nts] expires in {left} {days}: renew it, then chimerctl reload"
            )
        })
    }
}

/// Why a file is not used, and what to do: `what` it should hold, and the user who reads it.
fn unread(why: Unread, file: &str, (what, user): (&str, &str)) -> (String, String) {
    let give = format!("give a PEM file {what} for ECDSA P-256, Ed25519 or RSA");
    match why {
        Unread::Refused(errno) => (
            format!("cannot be read ({})", Errno::from_raw(errno.into()).desc()),
            format!("{give} that the user {user} can read; {LATE}"),
        ),
        Unread::NotRegular => ("is no regular file and was not read".to_owned(), give),
        Unread::TooLong => (format!("is longer than {MAX_PEM} octets"), give),
        Unread::Exposed(mode) => {
            let who = if mode & 0o006 == 0 {
                "its group may change it"
            } else {
                "every user may read or change it"
            };
            (
                format!("is not used, since {who} (mode {mode:04o})"),
                format!(
                    "make a new key and certificate if others may have it, and: chgrp {user} {file}; chmod 640 {file}"
                ),
            )
        }
        Unread::Unsupported => ("holds none that is done here".to_owned(), give),
        Unread::TooOften => (
            "was not read again, after ten times within seconds".to_owned(),
            "chimerctl reload later".to_owned(),
        ),
    }
}

fn seconds(wall: WallTime) -> i64 {
    wall.nanos() / 1_000_000_000
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipc::units::RawInstant;

    fn at(seconds: i64) -> WallTime {
        WallTime::try_new(seconds * 1_000_000_000).unwrap()
    }

    #[test]
    fn a_certificate_is_warned_about_ten_days_before_its_end_and_after_it() {
        let mut state = Pair::default();
        assert_eq!(state.warning(at(0), false), None);
        state.read(Loaded::InUse { not_before: 100, not_after: 100 + 90 * DAY });
        assert!(state.warning(at(99), false).unwrap().contains("not valid yet"));
        assert_eq!(state.warning(at(100), false), None);
        assert_eq!(state.warning(at(100 + 80 * DAY), false), None);
        assert!(state.warning(at(101 + 80 * DAY), false).unwrap().contains("expires in 9 days"));
        assert!(state.warning(at(101 + 88 * DAY), false).unwrap().contains("expires in 1 day:"));
        assert!(state.warning(at(101 + 90 * DAY), false).unwrap().contains("has expired"));
        assert_eq!(state.days_left(at(101 + 90 * DAY)), Some(-1));
    }

    #[test]
    fn the_files_are_read_again_when_the_certificate_in_use_ends_whatever_they_held_before() {
        let mut state = Pair::default();
        let now =
            |seconds: i64| Now { raw: RawInstant::MIN.after(Span::from_secs(seconds)), wall: at(seconds) };
        assert!(!state.is_reading_due(now(0)), "the reading of the start has not ended");
        for last in [
            Loaded::Kept(Objection::LacksName),
            Loaded::Kept(Objection::Expired),
            Loaded::Mismatch,
            Loaded::NoKey(Unread::Refused(13)),
            Loaded::NoCertificate(Unread::Unsupported),
            Loaded::InUse { not_before: 0, not_after: DAY },
        ] {
            state = Pair::default();
            state.read(Loaded::InUse { not_before: 0, not_after: DAY });
            state.read(last);
            state.note_reading(now(DAY - 9));
            assert!(!state.is_reading_due(now(DAY)), "{last:?}");
            assert!(state.is_reading_due(now(DAY + 1)), "{last:?}");
            let is_kept = matches!(last, Loaded::Kept(_));
            let said = state.warning(at(DAY + 1), false).unwrap();
            assert_eq!(said.contains("a new one is on disk"), is_kept, "{said}");
            assert!(said.contains("has expired"), "{said}");
            state.note_reading(now(DAY + 1));
            assert!(!state.is_reading_due(now(DAY + 3_600)), "{last:?}");
            assert!(state.is_reading_due(now(DAY + 3_601)), "{last:?}: each hour from then on");
        }
        state.read(Loaded::InUse { not_before: 0, not_after: 90 * DAY });
        assert!(!state.is_reading_due(now(80 * DAY)), "all is well");
        state.read(Loaded::Kept(Objection::LacksName));
        assert!(!state.is_reading_due(now(80 * DAY)), "its time has not come");
        state.read(Loaded::Kept(Objection::NotYetValid));
        assert!(state.is_reading_due(now(80 * DAY)), "its time may have come");
        state = Pair::default();
        state.read(Loaded::Mismatch);
        state.note_reading(now(0));
        assert!(
            !state.is_reading_due(now(3_599)) && state.is_reading_due(now(3_600)),
            "no keys are exchanged"
        );
    }

    #[test]
    fn a_certificate_that_cannot_be_read_leaves_the_one_before_in_use() {
        let path = |text| FilePath::parse(text).unwrap();
        let files = Some((path("/a/chain.pem"), path("/a/key.pem")));
        let mut state = Pair { files, ..Pair::default() };
        state.read(Loaded::NoKey(Unread::Refused(13)));
        let said = state.warning(at(1), false).unwrap();
        assert!(said.contains("no keys are exchanged") && said.contains("/a/key.pem"), "{said}");
        state.read(Loaded::NoCertificate(Unread::Refused(Errno::EACCES as u16)));
        let said = state.warning(at(1), false).unwrap();
        assert!(said.contains("/a/chain.pem, cannot be read (Permission denied): give"), "{said}");
        assert!(said.contains("came after the start: systemctl restart truechimer"), "{said}");
        state.read(Loaded::NoCertificate(Unread::Unsupported));
        assert!(state.warning(at(1), false).unwrap().contains("/a/chain.pem, holds none"));
        state.read(Loaded::NoKey(Unread::Exposed(0o644)));
        let said = state.warning(at(1), false).unwrap();
        assert!(said.contains("(mode 0644)"), "{said}");
        assert!(said.contains("chgrp truechimer-key /a/key.pem; chmod 640 /a/key.pem; no keys"), "{said}");
        state.read(Loaded::InUse { not_before: 0, not_after: 90 * DAY });
        state.read(Loaded::Mismatch);
        assert!(state.warning(at(1), false).unwrap().contains("stays in use"));
        assert_eq!(state.in_use, Some((0, 90 * DAY)));
    }

    #[test]
    fn each_of_several_certificates_is_told_of_by_its_file() {
        let path = |text: &str| FilePath::parse(text).unwrap();
        let files = |name| launch::Pair {
            certificate: path(format!("/a/{name}.pem").as_str()),
            key: path(format!("/a/{name}-key.pem").as_str()),
        };
        let service = KeyService {
            listen: ipc::list::Bounded::NOWHERE,
            threads: 1,
            first: files("one"),
            further: [Some(files("two")), Some(files("three")), None],
        };
        let mut state = KeyExchange::of(&service);
        assert!(state.warnings(at(1)).is_empty(), "none was read yet");
        state.read(0, Loaded::InUse { not_before: 0, not_after: 90 * DAY });
        state.read(1, Loaded::InUse { not_before: 0, not_after: 5 * DAY });
        assert_eq!(state.readings, 0);
        state.read(2, Loaded::NoKey(Unread::Refused(13)));
        assert_eq!(state.readings, 1, "all of them");
        let said = state.warnings(at(DAY));
        assert_eq!(said.len(), 2);
        assert!(
            said[0].starts_with("the certificate of [[server.nts.pair]] (/a/two.pem) expires in 4 days"),
            "{said:?}"
        );
        assert!(
            said[1].contains("/a/three-key.pem") && said[1].contains("are shown the first one"),
            "{said:?}"
        );
        let now =
            |seconds: i64| Now { raw: RawInstant::MIN.after(Span::from_secs(seconds)), wall: at(seconds) };
        state.note_reading(now(DAY));
        assert!(!state.is_reading_due(now(DAY + 1)));
        assert!(state.is_reading_due(now(5 * DAY + 1)), "one has ended");
        state.read(7, Loaded::Mismatch);
        assert_eq!(state.readings, 1);
        // What is said of keys is of those that clients get beside it.
        for (working, expected) in [
            (None, ["no keys are exchanged", "get no keys", "get no keys"]),
            (Some(0), ["", "are shown the first one", "are shown the first one"]),
            (Some(1), ["only clients that ask for a name of another certificate", "", "get no keys"]),
        ] {
            let mut state = KeyExchange::of(&service);
            (0..3).for_each(|number| state.read(number, Loaded::Mismatch));
            if let Some(number) = working {
                state.read(number, Loaded::InUse { not_before: 0, not_after: 90 * DAY });
            }
            assert_eq!(state.is_in_use(), working.is_some());
            let mut said = state.warnings(at(1)).into_iter();
            for (expected, file) in
                expected.iter().zip(["one", "two", "three"]).filter(|(text, _)| !text.is_empty())
            {
                let said = said.next().unwrap();
                let (key, certificate) = (format!("/a/{file}-key.pem"), format!("/a/{file}.pem"));
                assert!(
                    said.contains(expected) && said.contains(&key) && said.contains(&certificate),
                    "{said}"
                );
            }
        }
    }
}
