//! Look-ups and key exchanges whose entry is gone. The exchange role isn't told: it ends each of them once, within its
//! own deadline, and what it says of them until then is ignored.

use crate::exchanges::Breach;
use alloc::vec::Vec;
use ipc::message::exchange::{Cookie, ExchangeId, MAX_COOKIES};

/// What was going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Abandonee {
    LookUp,
    /// So many cookies came since.
    KeyExchange(u8),
}

/// Those that have not ended yet.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Abandoned(Vec<(ExchangeId, Abandonee)>);

impl Abandoned {
    /// They still take the room of others.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn look_up(&mut self, id: ExchangeId) {
        self.0.push((id, Abandonee::LookUp));
    }

    pub(crate) fn key_exchange(&mut self, id: ExchangeId) {
        self.0.push((id, Abandonee::KeyExchange(0)));
    }

    /// A look-up has ended; false where it is none of these.
    pub(crate) fn end_look_up(&mut self, id: ExchangeId) -> bool {
        self.end(|(open, what)| *open == id && *what == Abandonee::LookUp)
    }

    /// A key exchange has ended; false where it is none of these.
    pub(crate) fn end_key_exchange(&mut self, id: ExchangeId) -> bool {
        self.end(|(open, what)| *open == id && matches!(what, Abandonee::KeyExchange(_)))
    }

    fn end(&mut self, is_it: impl Fn(&(ExchangeId, Abandonee)) -> bool) -> bool {
        let at = self.0.iter().position(is_it);
        at.map(|at| self.0.swap_remove(at)).is_some()
    }

    /// A cookie came; it is dropped.
    ///
    /// # Errors
    /// [`Breach`] where it belongs to none of these, or is one too many.
    pub(crate) fn drop_cookie(&mut self, cookie: &Cookie) -> Result<(), Breach> {
        let count = self.0.iter_mut().find_map(|(open, what)| match what {
            Abandonee::KeyExchange(count) if *open == cookie.id => Some(count),
            Abandonee::KeyExchange(_) | Abandonee::LookUp => None,
        });
        match count {
            Some(count) if *count < MAX_COOKIES => {
                *count += 1;
                Ok(())
            }
            Some(_) => Err("it passed on more than eight cookies of one key exchange"),
            None => Err("it passed on a cookie of a key exchange that was not open"),
        }
    }
}
