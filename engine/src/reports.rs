//! The file with the last proof that a Roughtime server signed a wrong time: a report as RFC 10049 section 8.4 has it, for whoever
//! judges such servers.

use engine_core::io::Proof;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

/// Octets of the file once there was a report, more than the longest has: the process may not cut a file, and what is left of a
/// longer one would be no JSON.
const LENGTH: usize = 40 * 1_024;

/// See the module's head.
#[derive(Debug)]
pub struct Reports {
    file: File,
    /// One that could not be written yet.
    waiting: Option<Proof>,
}

impl Reports {
    /// In this file, whatever is in it.
    pub fn new(file: OwnedFd) -> Self {
        Self { file: file.into(), waiting: None }
    }

    /// Writes this one in the place of the one before; if it cannot be written, it waits for [`Self::retry`].
    ///
    /// # Errors
    /// The kernel's.
    pub fn keep(&mut self, proof: Proof) -> io::Result<()> {
        let mut text = roughtime::report(&proof.first_nonce, &proof.exchanges).into_bytes();
        text.resize(text.len().max(LENGTH), b'\n');
        let written = self.file.write_all_at(&text, 0).and_then(|()| self.file.sync_data());
        self.waiting = written.is_err().then_some(proof);
        written
    }

    /// Writes what waits.
    pub fn retry(&mut self) -> Option<io::Result<()>> {
        self.waiting.take().map(|proof| self.keep(proof))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipc::anchor::{Exchange, MAX_RESPONSE};
    use ipc::message::exchange::{MAX_ROUND, PASSES};

    #[test]
    fn a_report_is_json_whatever_was_in_its_place_and_the_longest_has_room() {
        let path = std::env::temp_dir().join(format!("truechimer-report-{}", std::process::id()));
        std::fs::write(&path, "x".repeat(LENGTH)).unwrap();
        let mut reports = Reports::new(File::options().write(true).open(&path).unwrap().into());
        for count in [usize::from(PASSES) * MAX_ROUND, 2] {
            let exchange =
                Exchange { public_key: [1; 32], rand: [2; 32], version: 1, response: vec![3; MAX_RESPONSE] };
            reports.keep(Proof { first_nonce: [4; 32], exchanges: vec![exchange; count] }).unwrap();
            let kept = std::fs::read(&path).unwrap();
            let report: serde_json::Value = serde_json::from_slice(&kept).unwrap();
            assert_eq!((kept.len(), report["responses"].as_array().unwrap().len()), (LENGTH, count));
        }
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_proof_that_cannot_be_written_waits_until_it_can() {
        let path = std::env::temp_dir().join(format!("truechimer-report-full-{}", std::process::id()));
        std::fs::write(&path, b"").unwrap();
        let mut reports = Reports::new(File::options().write(true).open("/dev/full").unwrap().into());
        assert!(reports.keep(Proof { first_nonce: [4; 32], exchanges: Vec::new() }).is_err());
        assert!(reports.retry().is_some_and(|tried| tried.is_err()));
        reports.file = File::options().write(true).open(&path).unwrap();
        assert!(reports.retry().is_some_and(|tried| tried.is_ok()) && reports.retry().is_none());
        let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert!(report["responses"].as_array().is_some());
        std::fs::remove_file(&path).unwrap();
    }
}
