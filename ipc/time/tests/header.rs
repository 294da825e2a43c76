//! The C header computes what the crate computes, of any page at any time.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use truechimer_time::{
    LENGTH, Mark, Page, PageWriter, State, TimePage, Unknown, WORDS, WallCheck, Window, rate,
};

/// Reads words, two raw times and a wall time for each line, and says what follows from them: at the first raw time, and at the second
/// one from the window around the first.
const PROGRAM: &str = r#"
#include "truechimer_time.h"
#include <stdio.h>
#include <inttypes.h>
int main(void) {
    uint64_t w[TRUECHIMER_WORDS_];
    int64_t raw, wall, later;
    for (;;) {
        int i, status;
        struct truechimer_interval out = {0};
        struct truechimer_window_ window = {0};
        for (i = 0; i < TRUECHIMER_WORDS_; i++)
            if (scanf("%" SCNu64, &w[i]) != 1)
                return 0;
        if (scanf("%" SCNd64 "%" SCNd64 "%" SCNd64, &raw, &wall, &later) != 3)
            return 1;
        status = truechimer_at_(w, raw, &out);
        printf("%d ", status);
        printf("%" PRId64 " %" PRId64 " %" PRId64 " %d %d %d %d %d ", out.earliest, out.latest, out.estimate,
               out.synchronised, out.authenticated, out.attested, out.system_clock, out.sources);
        printf("%d ", truechimer_agrees_(w, raw, wall, raw, 20000000));
        if (status == TRUECHIMER_OK)
            truechimer_fill_(&window, w, 1, w, raw, &out, 0);
        status = truechimer_within_(&window, later, wall, &out);
        printf("%d %" PRId64 " %" PRId64 " %" PRId64 " %d %d %d %d\n", status, out.earliest, out.latest, out.estimate,
               out.synchronised, out.attested, out.system_clock, out.sources);
    }
}
"#;

/// For each line of its input, what it reads now.
const READER: &str = r#"
#include "truechimer_time.h"
#include <stdio.h>
int main(void) {
    while (getchar() != EOF) {
        struct truechimer_interval it = {0, 0, 0, 0, 0, 0, 0, 0};
        int status = truechimer_now(&it);
        printf("%d %lld %lld %d %d\n", status, (long long)it.earliest, (long long)it.latest, it.synchronised, it.sources);
        fflush(stdout);
    }
    return 0;
}
"#;

/// A folder that is removed in the end.
struct Folder(PathBuf);

impl Folder {
    fn new(word: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("truechimer-time-{word}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    /// Compiles a program that includes the header.
    fn compile(&self, text: &str, how: &[&str]) -> PathBuf {
        let (source, program) = (self.0.join("it.c"), self.0.join("it"));
        std::fs::write(&source, text).unwrap();
        let include = concat!(env!("CARGO_MANIFEST_DIR"), "/include");
        let compiled = Command::new("cc")
            .args(how)
            .args(["-O2", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I", include])
            .arg(format!("-DTRUECHIMER_PAGE=\"{}\"", self.0.join("time").display()))
            .arg(format!("-DTRUECHIMER_VMCLOCK=\"{}\"", self.0.join("vmclock").display()))
            .arg("-o")
            .args([&program, &source])
            .output()
            .expect("a C compiler, which the build needs in any case");
        assert!(compiled.status.success(), "{how:?}: {}", String::from_utf8_lossy(&compiled.stderr));
        program
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Starts a program with pipes at both ends.
fn start(program: &Path) -> (Child, ChildStdin) {
    let mut command = Command::new(program);
    let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = started.expect("what was compiled runs");
    let input = child.stdin.take().expect("a pipe");
    (child, input)
}

/// A new file for a page.
fn page_file(path: &Path) -> PageWriter {
    let _ = std::fs::remove_file(path);
    std::fs::write(path, [0; LENGTH]).unwrap();
    PageWriter::map(File::options().read(true).write(true).open(path).unwrap().as_fd()).unwrap()
}

#[test]
fn a_program_in_c_reads_what_one_in_rust_reads() {
    let folder = Folder::new("reader");
    // As C++ too, where its compiler is there.
    if Command::new("c++").arg("--version").output().is_ok() {
        folder.compile(READER, &["-x", "c++", "-std=gnu++17"]);
    }
    let program = folder.compile(READER, &["-std=c11", "-D_GNU_SOURCE"]);
    let (mut child, mut input) = start(&program);
    let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut ask = move || -> Vec<i64> {
        input.write_all(b"\n").unwrap();
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        line.split_whitespace().map(|word| word.parse().unwrap()).collect()
    };
    let path = folder.0.join("time");
    assert_eq!(ask()[0], -1, "no page");
    std::fs::write(&path, "short").unwrap();
    assert_eq!(ask()[0], -1, "no page");
    let mut writer = page_file(&path);
    assert_eq!(ask()[0], -2, "nothing written");
    let mut random = Random(7);
    for turn in 0..200 {
        let raw = raw_now();
        let (words, ..) = case(&mut random);
        let Ok(page) = Page::from_words(&words) else { continue };
        let moved = raw - page.as_of;
        writer.write(&Page {
            as_of: raw,
            void_after: page.void_after.saturating_add(moved),
            continuous_since: page.continuous_since.saturating_add(moved),
            synchronised_until: page.synchronised_until.saturating_add(moved),
            wall: None,
            ..page
        });
        let before = TimePage::open_at(&path).unwrap().now();
        let said = ask();
        match before {
            Ok(it) => {
                // A moment later, and not much wider.
                let later = (said[1] - it.earliest, said[2] - it.latest);
                assert!(said[0] == 0 && (0..2_000_000_000).contains(&later.0), "{turn}: {it:?} {said:?}");
                assert!((0..2_000_000_000).contains(&later.1), "{turn}: {it:?} {said:?}");
                assert_eq!(said[4], i64::from(it.mark.sources));
            }
            Err(_) => assert_ne!(said[0], 0, "{turn}: {said:?}"),
        }
    }
    drop(ask);
    child.wait().unwrap();
}

/// Given a hypervisor that shows by vmclock that it has migrated or restored the machine, when the daemon has not noticed yet, then readers
/// know nothing.
#[test]
fn a_marker_of_vmclock_that_the_page_does_not_know_is_a_disruption() {
    let folder = Folder::new("vmclock");
    let program = folder.compile(READER, &["-std=gnu11"]);
    let (page, vmclock) = (folder.0.join("time"), folder.0.join("vmclock"));
    let mut writer = page_file(&page);
    let mut write = |marker: Option<u64>| {
        let as_of = raw_now();
        let nothing = Page::unknown(as_of, State::Synchronised);
        let until = as_of + 1_000_000_000_000;
        writer.write(&Page { latest: 1, void_after: until, marker, ..nothing });
    };
    let show = |marker: u64, magic: &[u8; 4]| {
        let mut octets = vec![0; LENGTH];
        octets[..4].copy_from_slice(magic);
        octets[4..8].copy_from_slice(&4_096u32.to_le_bytes());
        octets[8] = 1;
        octets[16..24].copy_from_slice(&marker.to_le_bytes());
        // In place: it is mapped.
        let file = File::options().write(true).create(true).truncate(false).open(&vmclock).unwrap();
        (&file).write_all(&octets).unwrap();
    };
    // What a reader says from its start on, in both languages: each opens vmclock when it reads the first page that has a marker.
    let begin = || {
        let (mut child, mut input) = start(&program);
        let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut rust = TimePage::open_at(&page).unwrap().with_vmclock(&vmclock).unwrap();
        move |end: bool| -> [bool; 2] {
            input.write_all(b"\n").unwrap();
            let mut line = String::new();
            output.read_line(&mut line).unwrap();
            if end {
                child.kill().unwrap();
                child.wait().unwrap();
            }
            let in_c = match line.split(' ').next() {
                Some("0") => true,
                Some("-3") => false,
                other => panic!("{other:?}"),
            };
            let in_rust = rust.now().map(drop);
            assert!(matches!(in_rust, Ok(()) | Err(Unknown::Disrupted)), "{in_rust:?}");
            [in_c, in_rust.is_ok()]
        }
    };
    const KNOWN: [bool; 2] = [true; 2];
    const DISRUPTED: [bool; 2] = [false; 2];
    // Nothing to compare with: none, one that is no page of vmclock, a page that knows none.
    write(Some(5));
    assert_eq!(begin()(true), KNOWN);
    show(6, b"none");
    assert_eq!(begin()(true), KNOWN);
    show(6, b"VCLK");
    write(None);
    assert_eq!(begin()(true), KNOWN);

    show(u64::MAX, b"VCLK");
    write(Some(u64::MAX));
    let mut ask = begin();
    assert_eq!(ask(false), KNOWN);
    show(7, b"VCLK");
    assert_eq!(ask(false), DISRUPTED);
    assert_eq!(begin()(true), DISRUPTED, "one that begins now");
    write(Some(7));
    assert_eq!(ask(false), KNOWN);
    show(8, b"VCLK");
    assert_eq!(ask(true), DISRUPTED);

    // One that is there only later is found with the next page.
    std::fs::remove_file(&vmclock).unwrap();
    let mut ask = begin();
    write(Some(8));
    assert_eq!(ask(false), KNOWN);
    show(9, b"VCLK");
    assert_eq!(ask(false), KNOWN);
    write(Some(8));
    assert_eq!(ask(false), DISRUPTED);
    write(Some(9));
    assert_eq!(ask(true), KNOWN);
}

/// CLOCK_MONOTONIC_RAW, as the crate reads it: a page of this moment is not too early.
fn raw_now() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live timespec, which the call fills.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_RAW, &raw mut time) };
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// A small generator.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, most: u64) -> i64 {
        (self.next() % most) as i64
    }
}

/// Words, a raw time, what CLOCK_REALTIME shows near it, and another raw time in the same window as often as not.
fn case(random: &mut Random) -> ([u64; WORDS], i64, i64, i64) {
    const SECOND: i64 = 1_000_000_000;
    let now = 1_800_000_000 * SECOND + random.below(1 << 50);
    let as_of = random.below(1 << 50);
    let mut rates = [(); 6].map(|()| rate(random.below(20_000) as f64 * 1e-9));
    rates.sort_unstable();
    let wall = WallCheck {
        wall: now + random.below(2_000_000) - 1_000_000,
        frequency: rate(random.below(500_000) as f64 * 1e-9) as i64
            * if random.below(2) == 0 { 1 } else { -1 },
        low: -random.below(10_000_000),
        high: random.below(10_000_000),
        rate: rate(50e-6),
    };
    let page = Page {
        as_of,
        earliest: now - random.below(10_000_000),
        latest: now + random.below(10_000_000),
        estimate: now,
        frequency: rate(random.below(100_000) as f64 * 1e-9) as i64
            * if random.below(2) == 0 { 1 } else { -1 },
        void_after: as_of + random.below(12_000 * SECOND as u64),
        synchronised_until: as_of + random.below(9_000 * SECOND as u64),
        continuous_since: as_of - random.below(12_000 * SECOND as u64),
        state: [
            State::Synchronised,
            State::FreeRunning,
            State::Synchronised,
            State::Unknown,
            State::Disrupted,
        ][random.below(5) as usize],
        mark: Mark {
            authenticated: random.below(2) == 0,
            attested: random.below(2) == 0,
            system_clock: random.below(2) == 0,
            sources: random.below(256) as u8,
        },
        wall: (random.below(3) != 0).then_some(wall),
        marker: (random.below(2) == 0).then(|| random.next()),
        rates,
    };
    let mut words = page.to_words();
    // Now and then a word of anything.
    if random.below(8) == 0 {
        words[random.below(20) as usize] = random.next();
    }
    let raw = as_of + random.below(24_000 * SECOND as u64) - 12_000 * SECOND;
    let raw = if random.below(50) == 0 { random.next() as i64 } else { raw };
    let shown = wall
        .wall
        .saturating_add(raw.saturating_sub(as_of))
        .saturating_add(random.below(40_000_000) - 20_000_000);
    (words, raw, shown, raw.saturating_add(random.below(10_000_000) - 5_000_000))
}

#[test]
fn the_header_computes_what_the_crate_computes() {
    let folder = Folder::new("arithmetic");
    let program = folder.compile(PROGRAM, &["-std=gnu11"]);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let cases: Vec<_> = (0..20_000).map(|_| case(&mut random)).collect();
    let (child, mut input) = start(&program);
    let text: String = cases
        .iter()
        .map(|(words, raw, wall, later)| {
            let words: Vec<String> = words.iter().map(u64::to_string).collect();
            format!("{} {raw} {wall} {later}\n", words.join(" "))
        })
        .collect();
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    let (mut known, mut agreed, mut inside) = (0, 0, 0);
    for ((words, raw, wall, later), line) in cases.iter().zip(lines.lines()) {
        let said: Vec<i64> = line.split(' ').map(|word| word.parse().unwrap()).collect();
        let Ok(page) = Page::from_words(words) else {
            assert_eq!(said[0], -6, "{words:?}");
            continue;
        };
        match page.at(*raw) {
            Ok(it) => {
                let flags = [it.synchronised, it.mark.authenticated, it.mark.attested, it.mark.system_clock]
                    .map(i64::from);
                let expected = [
                    0,
                    it.earliest,
                    it.latest,
                    it.estimate,
                    flags[0],
                    flags[1],
                    flags[2],
                    flags[3],
                    it.mark.sources.into(),
                ];
                assert_eq!(said[..9], expected, "{page:?} {raw}");
                known += 1;
            }
            Err(why) => {
                let expected = match why {
                    Unknown::NotWritten | Unknown::NoTime => -2,
                    Unknown::Disrupted => -3,
                    Unknown::Expired => -4,
                    Unknown::TooEarly => -5,
                    Unknown::OtherVersion => -6,
                };
                assert_eq!(said[0], expected, "{page:?} {raw}");
            }
        }
        if page.wall.is_some() {
            assert_eq!(said[9] == 1, page.agrees(*raw, *wall, *raw, 20_000_000), "{page:?} {raw} {wall}");
            agreed += said[9];
        }
        let window = Window::around(&page, *raw, 20_000_000);
        let found = window.at(*later).filter(|_| page.wall.is_none() || window.agrees(*later, *wall));
        assert_eq!(said[10], i64::from(found.is_some()), "{page:?} {raw} {later} {wall}");
        if let Some(it) = found {
            let flags = [it.synchronised, it.mark.attested, it.mark.system_clock].map(i64::from);
            let [is_there, attested, system_clock] = flags;
            let expected = [
                it.earliest,
                it.latest,
                it.estimate,
                is_there,
                attested,
                system_clock,
                it.mark.sources.into(),
            ];
            assert_eq!(said[11..], expected, "{page:?} {raw} {later}");
            inside += 1;
        }
    }
    assert_eq!(lines.lines().count(), cases.len());
    assert!(known > 2_000 && (1_000..19_000).contains(&agreed) && inside > 500, "{known} {agreed} {inside}");
}
