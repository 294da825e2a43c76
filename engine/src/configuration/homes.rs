//! Where each key belongs, for one that stands elsewhere.

use super::{clock, key_service, nts, server, source};

/// The section that has this key, if there is exactly one.
pub fn of(key: &str) -> Option<&'static str> {
    let sections: [(&str, &[&str]); 6] = [
        ("[[source]]", &source::KEYS),
        ("[clock]", &clock::KEYS),
        ("[governor]", &clock::GOVERNOR_KEYS),
        ("[nts]", &nts::KEYS),
        ("[server]", &server::KEYS),
        ("[server.nts]", &key_service::KEYS),
    ];
    let mut homes = sections.into_iter().filter(|(_, keys)| keys.contains(&key)).map(|(home, _)| home);
    homes.next().filter(|_| homes.next().is_none())
}
