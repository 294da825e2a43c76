//! replay: an engine that is confined like the daemon's handles a recording again. The recording is untrusted, so it is
//! parsed nowhere else.

use crate::screen::{Form, Screen, print};
use crate::text::{UNKNOWN, known, plain};
use crate::{Failure, exit, file, text};
use report::read::Replay;
use report::{EndName, Verdict};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where packages put the engine, if it is not beside this program.
const ELSEWHERE: [&str; 2] = ["/usr/lib/truechimer", "/usr/local/lib/truechimer"];

/// The most octets that are read of its answer.
const MAX_ANSWER: u64 = 1 << 20;

/// The user `nobody`, to which root changes for this.
const NOBODY: u32 = 65_534;

/// The verdict, with a summary.
pub fn show(path: &Path, form: Form) -> Result<String, Failure> {
    let unable = |text: String| Failure { text, code: exit::UNABLE };
    let recording = file::open(path).map_err(|error| unable(format!("{}: {error}", path.display())))?;
    let engine = find_engine().ok_or_else(|| {
        unable("truechimer-engine is neither beside chimerctl nor in /usr/lib/truechimer".to_owned())
    })?;
    let mut command = Command::new(&engine);
    command.env_clear().arg("replay").stdin(recording).stdout(Stdio::piped()).stderr(Stdio::piped());
    if is_root() {
        command.arg(format!("uid={NOBODY}")).arg(format!("gid={NOBODY}"));
    }
    let failed = |error: std::io::Error| unable(format!("{}: {error}", engine.display()));
    let mut child = command.spawn().map_err(failed)?;
    let read = |stream: Option<&mut dyn Read>| {
        let mut octets = Vec::new();
        let _ = stream.map(|stream| stream.take(MAX_ANSWER).read_to_end(&mut octets));
        String::from_utf8_lossy(&octets).into_owned()
    };
    let answer = read(child.stdout.as_mut().map(|stream| stream as &mut dyn Read));
    let complaint = read(child.stderr.as_mut().map(|stream| stream as &mut dyn Read));
    // Its output is closed, or too long to be right.
    let _ = child.kill();
    child.wait().map_err(failed)?;
    let said = serde_json::from_str::<Value>(&answer);
    let Some((said, found)) = said.ok().and_then(|said| {
        let found = Replay::deserialize(&said).ok()?;
        Some((said, found))
    }) else {
        let why = complaint.trim();
        let why = if why.is_empty() { "the replay ended without an answer" } else { why };
        return Err(unable(format!("{}: {why}", path.display())));
    };
    let shown = match form {
        Form::Json => text::json(&said),
        Form::Text(screen) => describe(&found, screen),
    };
    if known(found.verdict.as_ref()) == Some(Verdict::Equal) {
        return Ok(shown);
    }
    print(&shown)?;
    let detail = format!(
        "{} at input {}: {}",
        plain(found.verdict.as_ref()),
        plain(found.at_input.as_ref()),
        plain(found.detail.as_ref())
    );
    Err(Failure { text: detail, code: exit::NO })
}

fn describe(found: &Replay, screen: Screen) -> String {
    let counts = |counted: &Option<BTreeMap<String, u64>>| {
        let all = counted.iter().flatten().map(|(kind, count)| format!("{count} {kind}"));
        let all = all.collect::<Vec<_>>().join(", ");
        if all.is_empty() { "none".to_owned() } else { all }
    };
    let number = |number: Option<f64>| number.map_or(UNKNOWN.to_owned(), |number| format!("{number:?}"));
    let verdict = match known(found.verdict.as_ref()) {
        Some(Verdict::Equal) => "equal: every output is as it was".to_owned(),
        _ => plain(found.verdict.as_ref()),
    };
    let end = match known(found.end.as_ref()) {
        Some(EndName::Orderly) => "with its engine".to_owned(),
        Some(EndName::Full) => "it was full, the engine went on".to_owned(),
        Some(EndName::Cut) => "cut off: the process was killed, or the file is incomplete".to_owned(),
        None => plain(found.end.as_ref()),
    };
    let rows = [
        ("replay", verdict),
        ("made by", format!("truechimer {}", plain(found.build.as_ref()))),
        ("length", format!("{} s", number(found.seconds))),
        ("ends", end),
        ("inputs", counts(&found.inputs)),
        ("outputs", counts(&found.outputs)),
        ("state then", plain(found.state.as_ref())),
        ("reason", plain(found.reason.as_ref())),
        ("offset then", text::seconds(found.offset_s, true)),
        ("frequency then", format!("{} ppm", number(found.frequency_ppm))),
        ("digest", plain(found.digest.as_ref())),
    ];
    text::list(screen, &rows)
}

fn find_engine() -> Option<PathBuf> {
    let own = std::env::current_exe().ok();
    let beside = own.as_deref().and_then(Path::parent).map(Path::to_path_buf);
    beside
        .into_iter()
        .chain(ELSEWHERE.map(PathBuf::from))
        .map(|folder| folder.join("truechimer-engine"))
        .find(|file| file.is_file())
}

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let uids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    uids.and_then(|uids| uids.split_whitespace().nth(1)) == Some("0")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_summary_names_verdict_counts_and_state() {
        let found = json!({
            "verdict": "equal", "detail": "", "at_input": 0, "end": "full", "build": "1.2.3", "seconds": 12.5,
            "inputs": { "reply": 4, "timeout": 9 }, "outputs": {}, "state": "synchronised", "reason": "a\u{1b}b",
            "offset_s": -0.000_001_5, "frequency_ppm": 3.25, "digest": "00ff",
        });
        let text = describe(&Replay::deserialize(&found).unwrap(), Screen::WIDE);
        for part in
            ["equal", "1.2.3", "12.5 s", "full", "4 reply, 9 timeout", "none", "-1.500 µs", "3.25 ppm"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn a_summary_of_an_engine_of_another_version_says_what_is_known() {
        let text = describe(&Replay::default(), Screen::WIDE);
        assert!(text.lines().count() == 11 && text.starts_with("replay          -\n"), "{text}");
        assert!(Replay::deserialize(json!({ "verdict": {} })).is_err());
    }
}
