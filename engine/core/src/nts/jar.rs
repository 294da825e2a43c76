//! Cookies: at most eight, the oldest first, each used once (RFC 8915 section 5.7).

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use ipc::packet::{CookieOctets, MAX_COOKIE};
use protocol::nts::MAX_COOKIES;

/// The cookies of one association that were never sent. Not printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Jar(VecDeque<Box<[u8]>>);

impl Jar {
    /// Adds a cookie; the oldest one is dropped if there is no room. A cookie that fits no packet is ignored.
    pub(crate) fn put(&mut self, cookie: &[u8]) {
        if cookie.is_empty() || cookie.len() > MAX_COOKIE {
            return;
        }
        if self.0.len() == MAX_COOKIES {
            self.0.pop_front();
        }
        self.0.push_back(cookie.into());
    }

    /// Removes and returns the oldest cookie.
    pub(crate) fn take(&mut self) -> Option<Box<[u8]>> {
        self.0.pop_front()
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Copies for the file of keys.
    pub(crate) fn copies(&self) -> Vec<CookieOctets> {
        self.0.iter().filter_map(|cookie| CookieOctets::from_octets(cookie).ok()).collect()
    }
}

impl core::fmt::Debug for Jar {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Jar({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a057_eight_are_kept_the_newest_and_none_that_fits_no_packet() {
        let mut jar = Jar::default();
        jar.put(&[]);
        jar.put(&[0; MAX_COOKIE + 1]);
        assert_eq!(jar.count(), 0);
        for number in 0..10u8 {
            jar.put(&[number; 3]);
        }
        assert_eq!(jar.count(), 8);
        assert_eq!(jar.copies().len(), 8);
        for number in 2..10u8 {
            assert_eq!(jar.take().as_deref(), Some(&[number; 3][..]));
        }
        assert_eq!(jar.take(), None);
    }
}
