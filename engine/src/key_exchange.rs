//! What is known of the key exchange service.

use ipc::message::key_service::{KeyCounters, Loaded};
use ipc::units::WallTime;

/// With fewer days left, people are told.
pub const WARN_DAYS: i64 = 10;

const DAY: i64 = 86_400;

/// The certificate, and the counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyExchange {
    /// What became of the last reading; none: not read yet.
    pub last: Option<Loaded>,
    /// Since and until when the certificate in use is valid, in seconds since 1970; none: there is none.
    pub in_use: Option<(i64, i64)>,
    /// How often it was read, in this run.
    pub readings: u32,
    /// Counts; none: nothing counted yet.
    pub counters: Option<KeyCounters>,
}

impl KeyExchange {
    /// The certificate was read.
    pub fn read(&mut self, loaded: Loaded) {
        self.last = Some(loaded);
        self.readings = self.readings.saturating_add(1);
        if let Loaded::InUse { not_before, not_after } = loaded {
            self.in_use = Some((not_before, not_after));
        }
    }

    /// The counts rose.
    pub fn count(&mut self, counters: KeyCounters) {
        self.counters = Some(counters);
    }

    /// Whole days that the certificate in use is still valid for, rounded down; negative: it has expired.
    pub fn days_left(&self, now: WallTime) -> Option<i64> {
        let (_, until) = self.in_use?;
        Some(until.saturating_sub(seconds(now)).div_euclid(DAY))
    }

    /// What people should know of the certificate; none: it is as it should be.
    pub fn warning(&self, now: WallTime) -> Option<String> {
        let in_use = if self.in_use.is_some() { "; the one before stays in use" } else { "" };
        let without = "; no keys are exchanged until that is mended";
        let rest = if self.in_use.is_some() { in_use } else { without };
        match self.last {
            None => return None,
            Some(Loaded::NoCertificate) => {
                return Some(format!(
                    "the certificate of [server.nts] cannot be read: give a PEM file that the user \
                     truechimer-ntske can read{rest}"
                ));
            }
            Some(Loaded::NoKey) => {
                return Some(format!(
                    "the private key of [server.nts] cannot be read: give a PEM file with a key of ECDSA P-256, \
                     Ed25519 or RSA that the user truechimer-key can read{rest}"
                ));
            }
            Some(Loaded::Mismatch) => {
                return Some(format!("the private key of [server.nts] is not that of its certificate{rest}"));
            }
            Some(Loaded::InUse { .. }) => {}
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
            let text = "the certificate of [server.nts] has expired: renew it, then chimerctl reload";
            return Some(text.to_owned());
        }
        (left < WARN_DAYS).then(|| {
            let days = if left == 1 { "day" } else { "days" };
            format!(
                "the certificate of [server.nts] expires in {left} {days}: renew it, then chimerctl reload"
            )
        })
    }
}

fn seconds(wall: WallTime) -> i64 {
    wall.nanos() / 1_000_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> WallTime {
        WallTime::try_new(seconds * 1_000_000_000).unwrap()
    }

    #[test]
    fn a_certificate_is_warned_about_ten_days_before_its_end_and_after_it() {
        let mut state = KeyExchange::default();
        assert_eq!(state.warning(at(0)), None);
        state.read(Loaded::InUse { not_before: 100, not_after: 100 + 90 * DAY });
        assert!(state.warning(at(99)).unwrap().contains("not valid yet"));
        assert_eq!(state.warning(at(100)), None);
        assert_eq!(state.warning(at(100 + 80 * DAY)), None);
        assert!(state.warning(at(101 + 80 * DAY)).unwrap().contains("expires in 9 days"));
        assert!(state.warning(at(101 + 88 * DAY)).unwrap().contains("expires in 1 day:"));
        assert!(state.warning(at(101 + 90 * DAY)).unwrap().contains("has expired"));
        assert_eq!(state.days_left(at(101 + 90 * DAY)), Some(-1));
    }

    #[test]
    fn a_certificate_that_cannot_be_read_leaves_the_one_before_in_use() {
        let mut state = KeyExchange::default();
        state.read(Loaded::NoKey);
        assert!(state.warning(at(1)).unwrap().contains("no keys are exchanged"));
        state.read(Loaded::InUse { not_before: 0, not_after: 90 * DAY });
        state.read(Loaded::Mismatch);
        assert!(state.warning(at(1)).unwrap().contains("stays in use"));
        assert_eq!((state.in_use, state.readings), (Some((0, 90 * DAY)), 3));
    }
}
