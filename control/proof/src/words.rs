//! The words of a line of the audit log.

use ipc::audit_line::End;
use ipc::message::handover::LogIntegrity;

/// The value of the first word with this key.
pub fn word<'a>(text: &'a [u8], key: &str) -> Option<&'a str> {
    let mut words = text.split(|octet| *octet == b' ');
    let value = words.find_map(|word| word.strip_prefix(key.as_bytes())?.strip_prefix(b"="))?;
    core::str::from_utf8(value).ok()
}

/// Whether the line is of this event.
pub fn is_event(text: &[u8], event: &str) -> bool {
    word(text, "event") == Some(event)
}

/// The end of the history that this line names.
pub fn head(text: &[u8]) -> Option<End> {
    let lines = word(text, "records").filter(|_| is_event(text, "history"))?.parse().ok()?;
    let digits = word(text, "hash")?.as_bytes();
    let digit = |octet: u8| char::from(octet).to_digit(16).filter(|_| !octet.is_ascii_uppercase());
    let mut hash = [0; 32];
    if digits.len() != 64 {
        return None;
    }
    for (octet, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        *octet = u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok()?;
    }
    Some(End { lines, hash })
}

/// What a start says of the log that it found.
pub fn found(text: &[u8]) -> Option<LogIntegrity> {
    let word = ipc::audit_line::found_at_start(text)?;
    let all = [LogIntegrity::Whole, LogIntegrity::Torn, LogIntegrity::Cut, LogIntegrity::Altered];
    all.into_iter().find(|integrity| integrity.word().as_bytes() == word)
}

/// Whether the line was synchronised before another one followed it.
pub fn is_synchronised(text: &[u8]) -> bool {
    ["history", "permitted", "approved", "approval-ended"].into_iter().any(|event| is_event(text, event))
}
