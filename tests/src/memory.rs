//! Searches the memory of another process. This needs root.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

/// How often these octets occur in the writable memory of a process.
///
/// # Panics
/// If its memory cannot be read.
pub fn count(pid: u32, octets: &[u8]) -> usize {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("the process runs");
    let memory = File::open(format!("/proc/{pid}/mem")).expect("root may look");
    maps.lines().filter_map(writable).map(|(from, until)| count_between(&memory, from, until, octets)).sum()
}

/// The bounds of a writable mapping.
fn writable(line: &str) -> Option<(u64, u64)> {
    let mut words = line.split_whitespace();
    let (from, until) = words.next()?.split_once('-')?;
    words.next().filter(|rights| rights.starts_with("rw"))?;
    Some((u64::from_str_radix(from, 16).ok()?, u64::from_str_radix(until, 16).ok()?))
}

fn count_between(memory: &File, from: u64, until: u64, octets: &[u8]) -> usize {
    let mut found = 0;
    let mut part = vec![0; 1 << 20];
    let mut at = from;
    while at < until {
        let wanted = part.len().min(usize::try_from(until - at).unwrap_or(usize::MAX));
        // Guard pages and reserved ranges cannot be read; what follows them can.
        let read = memory.read_at(&mut part[..wanted], at).unwrap_or(0);
        found += part[..read].windows(octets.len()).filter(|window| *window == octets).count();
        let step = match read {
            0 => 4096,
            // Octets across the end of a part are found in the next one.
            _ if read == wanted && at + (wanted as u64) < until => read - octets.len() + 1,
            _ => read,
        };
        at += step as u64;
    }
    found
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_a_process_has_in_memory_is_found() {
        if !crate::is_root() {
            return crate::skip("looking into memory needs root");
        }
        let secret: Vec<u8> = (0..32).map(|at: u8| at.wrapping_mul(37) ^ 0xa5).collect();
        let copies = [secret.clone(), secret.clone()];
        assert!(super::count(std::process::id(), &secret) >= 3);
        assert_eq!(copies[0], copies[1]);
        let mut other =
            std::process::Command::new("sleep").arg("60").spawn().expect("every system has sleep");
        let found = super::count(other.id(), &secret);
        let _ = other.kill();
        let _ = other.wait();
        assert_eq!(found, 0, "it stands in a process that never saw it");
    }
}
