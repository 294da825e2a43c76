//! A slot of the state file: one line of text with a checksum, of fixed length.

use ipc::checksum::checksum;

/// Room for `check=` with its value, and the end of the line.
pub const TAIL: usize = 24;

/// What is wrong with one that was not written as a whole.
pub const TORN: &str = "cut short or altered";

/// The slot of this length with this body.
pub fn seal(body: &str, length: usize) -> Vec<u8> {
    let mut slot = format!("{body} check={:016x}", checksum(body.as_bytes())).into_bytes();
    slot.resize(length - 1, b' ');
    slot.push(b'\n');
    slot
}

/// What follows the head in the body of a slot.
///
/// # Errors
/// Why it cannot be used.
pub fn open<'a>(slot: &'a [u8], length: usize, head: &str) -> Result<&'a str, &'static str> {
    if slot.len() != length {
        return Err(TORN);
    }
    let text = std::str::from_utf8(slot).map_err(|_| "not text")?;
    let (body, check) = text.trim_end().rsplit_once(" check=").ok_or(TORN)?;
    if u64::from_str_radix(check, 16) != Ok(checksum(body.as_bytes())) {
        return Err(TORN);
    }
    body.strip_prefix(head).ok_or("of another version")
}

/// Whether nothing was written into it yet.
pub fn is_blank(slot: &[u8]) -> bool {
    slot.iter().all(|octet| matches!(octet, 0 | b' ' | b'\n'))
}
