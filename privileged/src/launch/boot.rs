//! The number of this boot: start steps and an operator's approval hold for one boot.

use keeper::ending::Ending;

const FILE: &str = "/proc/sys/kernel/random/boot_id";

/// Under a unit that hides that file (ProcSubset=pid) the service manager passes it on.
const VARIABLE: &str = "TRUECHIMER_BOOT_ID";

/// Sixteen octets; the kernel's boot id is used if it can be read.
///
/// # Errors
/// There is neither a file of that name nor such a variable with 32 digits.
pub fn id() -> Result<[u8; 16], Ending> {
    let read = std::fs::read_to_string(FILE);
    let told = || std::env::var(VARIABLE).ok().as_deref().and_then(parse);
    match &read {
        Ok(text) => parse(text),
        Err(_) => None,
    }
    .or_else(told)
    .ok_or_else(|| {
        let why = read.err().map_or_else(|| "not a number".to_owned(), |error| error.to_string());
        Ending::Launch(format!(
            "{FILE}: {why}; mount /proc, or tell the number of this boot in {VARIABLE} (a unit: \
             Environment={VARIABLE}=%b)"
        ))
    })
}

/// 32 hexadecimal digits, with or without the dashes of a UUID.
fn parse(text: &str) -> Option<[u8; 16]> {
    let digits: Vec<u8> = text.trim_end().bytes().filter(|octet| *octet != b'-').collect();
    let text = str::from_utf8(&digits).ok().filter(|text| text.len() == 32)?;
    // A sign would be taken for a digit.
    let is_whole = text.bytes().all(|octet| octet.is_ascii_hexdigit());
    is_whole.then(|| u128::from_str_radix(text, 16).ok())?.map(u128::to_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_form_and_the_service_managers_are_the_same_number_and_nothing_else_is_one() {
        let expected = std::array::from_fn(|at| 0x11 * at as u8);
        for text in ["00112233-4455-6677-8899-aabbccddeeff\n", "00112233445566778899aabbccddeeff"] {
            assert_eq!(parse(text), Some(expected), "{text}");
        }
        for text in
            ["", "\n", "%b", "0", "+0112233445566778899aabbccddeeff", "00112233445566778899aabbccddeeff0"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
