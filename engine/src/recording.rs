//! The file of a recording, and its replay.

use crate::documents;
use engine_core::recording::replay::replay;
use engine_core::recording::{MAX_OCTETS, Tape};
use report::Verdict;
use sentence::Sentence;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

/// The file that the launch opened for `--record`. Its length is known, since no other process writes to it.
#[derive(Debug)]
pub struct RecordingFile {
    file: File,
    written: u64,
}

impl RecordingFile {
    /// Takes an empty file.
    pub fn new(fd: OwnedFd) -> Self {
        Self { file: File::from(fd), written: 0 }
    }
}

impl Tape for RecordingFile {
    /// Writes to the page cache and does not wait for the disk: a restart does not need the recording.
    fn write(&mut self, octets: &[u8]) -> bool {
        let done = self.file.write_all_at(octets, self.written).is_ok();
        self.written += octets.len() as u64;
        done
    }

    fn entropy(&mut self) -> Option<[u8; 16]> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).ok().map(|()| random)
    }
}

/// Exit codes of `truechimer-engine replay`.
const EQUAL: i32 = 0;
const DIFFERENT: i32 = 1;
const UNREADABLE: i32 = 2;

/// Replays the recording on standard input and prints one line of JSON: for chimerctl. Returns the exit code.
pub fn replay_standard_input() -> i32 {
    match read_and_replay(&mut std::io::stdin().lock()) {
        Ok((text, code)) => {
            println!("{text}");
            code
        }
        Err(why) => {
            crate::log::write_to_stderr(&format!("{why}\n"));
            UNREADABLE
        }
    }
}

fn read_and_replay(input: &mut dyn Read) -> Result<(String, i32), String> {
    // At once: twice the octets, as a growing vector would take, need not fit the limit of memory.
    let mut octets = Vec::with_capacity(MAX_OCTETS + 1);
    input
        .take(MAX_OCTETS as u64 + 1)
        .read_to_end(&mut octets)
        .map_err(|error| format!("the recording cannot be read: {error}"))?;
    if octets.len() > MAX_OCTETS {
        return Err("longer than any recording".to_owned());
    }
    let found = documents::replay(replay(&octets).map_err(|error| error.sentence().into_owned())?);
    let code = if found.verdict == Verdict::Equal { EQUAL } else { DIFFERENT };
    let text = serde_json::to_string(&found).map_err(|error| error.to_string())?;
    Ok((text, code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine_core::io::{Input, Now, Start};
    use engine_core::recording::Recorder;
    use engine_core::settings::{ClockSettings, Settings};
    use ipc::units::{RawInstant, Span, WallTime};

    fn record() -> Vec<u8> {
        let path = std::env::temp_dir().join(format!("truechimer-tape-{}", std::process::id()));
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path);
        let file = file.expect("a temporary file");
        let reader = file.try_clone().expect("a descriptor");
        std::fs::remove_file(&path).expect("it is ours");
        let settings = Settings {
            sources: Vec::new(),
            clock: ClockSettings { start_step_threshold: Span::ZERO, ..ClockSettings::DEFAULT },
            forward_step: None,
            leap_seconds: true,
            leap_list: None,
            strict_quorum: false,
            roughtime: None,
            server: None,
        };
        let start = Start {
            settings,
            saved: None,
            associations: Vec::new(),
            addresses: Vec::new(),
            seed: [0; 32],
            precision: -24,
        };
        let mut engine = Recorder::new(start, Some(Box::new(RecordingFile::new(file.into()))));
        let now = Now { raw: RawInstant::saturating(9), wall: WallTime::saturating(11) };
        engine.handle_input(now, Input::Timeout);
        engine.finish();
        let mut octets = vec![0; 4096];
        let length = reader.read_at(&mut octets, 0).expect("a file can be read");
        octets.truncate(length);
        octets
    }

    #[test]
    fn what_was_written_to_the_file_replays() {
        let (text, code) = read_and_replay(&mut record().as_slice()).expect("a recording");
        assert!(code == EQUAL && text.contains("\"orderly\"") && text.contains("\"timeout\":1"), "{text}");
    }

    #[test]
    fn what_is_no_record_is_refused_with_a_sentence() {
        assert!(read_and_replay(&mut &b"hello"[..]).unwrap_err().contains("not a recording"));
        assert!(read_and_replay(&mut std::io::repeat(0)).unwrap_err().contains("longer"));
    }
}
