//! What a hypervisor shows of the clocks of a machine, in a file.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Octets of a page.
pub const LENGTH: usize = 4_096;

/// A page as QEMU's, with this sequence number and marker.
pub fn page(sequence: u32, marker: u64) -> Vec<u8> {
    let mut page = vec![0; LENGTH];
    let mut put = |place: usize, octets: &[u8]| page[place..place + octets.len()].copy_from_slice(octets);
    put(0x00, b"VCLK");
    put(0x04, &4_096u32.to_le_bytes());
    put(0x08, &1u16.to_le_bytes());
    put(0x0a, &[0xff]);
    put(0x0c, &sequence.to_le_bytes());
    put(0x10, &marker.to_le_bytes());
    page
}

/// Makes the file of a page.
///
/// # Panics
/// If it cannot be written.
pub fn create(path: &Path, octets: &[u8]) {
    fs::write(path, octets).expect("a new folder can be written");
}

/// Has the file show this, in one piece, as the driver hands it out; a page that is cut is the whole file then.
///
/// # Panics
/// If it cannot be written.
pub fn show(path: &Path, octets: &[u8]) {
    let file = OpenOptions::new().write(true).open(path).expect("the page is there");
    if octets.len() < LENGTH {
        file.set_len(0).expect("the page can be cut");
    }
    file.write_all_at(octets, 0).expect("the page can be written");
}
