//! The course of the clock as a real daemon tells it, and the two programs that show it: a picture, and a live screen in a
//! pseudo terminal, whose settings are afterwards what they were.

use bench::daemon::{Daemon, Setup, source};
use bench::forger::Forger;
use bench::programs::{Place, program, wait_for};
use bench::terminal::Terminal;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::fs::File;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::Duration;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const TIMEOUT: Duration = Duration::from_secs(30);

/// A daemon with an honest source, whose clock was 3.7 s slow.
fn setup(word: &str) -> (Setup, Forger) {
    let forger = Forger::honest(HERE, 0);
    (Setup::new(word, &source(forger.address())).with_virtual_clock(-3_700_000_000, 25.0), forger)
}

fn chimerctl(daemon: &Daemon, words: &[&str]) -> Command {
    let mut command = Command::new(program("chimerctl"));
    command.arg("--socket").arg(daemon.socket()).args(words).stdin(Stdio::null());
    command
}

fn run(command: &mut Command) -> Output {
    command.output().expect("chimerctl can be executed")
}

fn json_of(daemon: &Daemon, span: &str) -> Value {
    let output = run(&mut chimerctl(daemon, &["plot", "--json", "--span", span]));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// Whether Python's parser takes it for XML; none: there is no Python here.
fn is_xml(text: &[u8]) -> Option<bool> {
    let parse = "import sys, xml.dom.minidom as d; d.parseString(sys.stdin.buffer.read())";
    let mut child = Command::new("python3")
        .args(["-c", parse])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    child.stdin.take().expect("piped").write_all(text).expect("it reads");
    Some(child.wait().expect("it ends").success())
}

#[test]
fn a_real_daemon_tells_its_course_and_pictures_of_it_are_xml() {
    let (setup, _forger) = setup("course");
    let daemon = setup.start();
    daemon.wait_until_synchronised(TIMEOUT);
    daemon.wait_until("a course with its step", TIMEOUT, |daemon| {
        let points = json_of(daemon, "hour")["points"].as_array().cloned().unwrap_or_default();
        points.iter().any(|point| point["stepped_s"].is_number() && point["offset_s"].is_number())
    });
    for (span, resolution) in [("hour", 15), ("day", 360), ("week", 3600)] {
        let course = json_of(&daemon, span);
        assert_eq!((&course["span"], &course["resolution_s"]), (&span.into(), &resolution.into()));
        let points = course["points"].as_array().expect("a list").clone();
        let stepped: f64 = points.iter().filter_map(|point| point["stepped_s"].as_f64()).sum();
        assert!((stepped - 3.7).abs() < 0.2, "{span}: {stepped}");
        assert!(points[0]["offset_largest_s"].as_f64() > Some(3.0), "it was behind: {points:?}");
        let last = points.last().expect("there is one");
        assert_eq!(last["used"], if points.len() == 1 { 0 } else { 1 }, "{last}");
    }

    let place = Place::new("course-files");
    let (svg, page) = (place.join("clock.svg"), place.join("clock.html"));
    let written = |words: &[&str], file: &std::path::Path| {
        let name = file.display().to_string();
        let output = run(&mut chimerctl(&daemon, &[words, &["--output", &name]].concat()));
        assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
        std::fs::read(file).expect("it was written")
    };
    let picture = written(&["plot"], &svg);
    assert!(picture.starts_with(b"<svg ") && picture.ends_with(b"</svg>\n"));
    let page = written(&["plot", "--html", "--span", "day"], &page);
    let page = String::from_utf8(page).expect("text");
    let (doctype, page) = page.split_once('\n').expect("lines");
    assert_eq!(doctype, "<!DOCTYPE html>");
    for text in [&picture[..], page.as_bytes()] {
        match is_xml(text) {
            Some(is_xml) => assert!(is_xml, "{}", String::from_utf8_lossy(text)),
            None => bench::skip("python3 is missing: apt-get install python3"),
        }
    }
    assert!(String::from_utf8_lossy(&picture).contains("step +3.7"));
    assert!(!is_xml(b"<svg><a></svg>").unwrap_or(false));

    // What cannot be written is an error, and what is no file stays.
    for (file, code) in [("/dev/null", 3), ("/nonexistent/clock.svg", 3)] {
        let output = run(&mut chimerctl(&daemon, &["plot", "--output", file]));
        assert_eq!(output.status.code(), Some(code), "{output:?}");
    }
    let full = File::options().write(true).open("/dev/full").expect("it is there");
    let ended = chimerctl(&daemon, &["plot"]).stdout(full).stderr(Stdio::null()).status();
    assert_eq!(ended.expect("it can be executed").code(), Some(3));
}

/// `chimerctl top` in a pseudo terminal.
fn top(daemon: &Daemon) -> Terminal {
    let mut command = chimerctl(daemon, &["top", "--interval", "0.3"]);
    Terminal::start(command.env("TERM", "xterm").env("LC_ALL", "C.UTF-8"), 80, 24)
}

/// How it has ended: the settings of the terminal are what they were, and its cursor is seen.
fn end(top: Terminal) -> ExitStatus {
    let (status, is_as_before, text) = top.end();
    assert!(is_as_before, "the settings of the terminal");
    assert!(text.contains("\u{1b}[?1049l"), "{text:?}");
    assert!(text.rfind("\u{1b}[?25h") > text.rfind("\u{1b}[?25l"), "the cursor: {text:?}");
    status
}

#[test]
fn the_terminal_is_afterwards_what_it_was_however_the_screen_ends() {
    let (setup, _forger) = setup("top");
    let daemon = setup.start();
    daemon.wait_until_synchronised(TIMEOUT);

    let mut screen = top(&daemon);
    screen.wait_for_redrawn("SYNCHRONISED");
    assert!(screen.is_raw() && !screen.is_as_before());
    screen.press("\r");
    screen.wait_for_redrawn("authenticated");
    screen.press("q");
    screen.press("h");
    screen.wait_for_redrawn("choose");
    screen.press("qq");
    assert_eq!(end(screen).code(), Some(0));

    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT] {
        let screen = top(&daemon);
        screen.wait_for_redrawn("SYNCHRONISED");
        assert!(screen.is_raw());
        screen.signal(signal);
        assert_eq!(end(screen).signal(), Some(signal as i32));
    }
    let mut screen = top(&daemon);
    screen.wait_for_redrawn("SYNCHRONISED");
    screen.press("\u{3}");
    assert_eq!(end(screen).signal(), Some(Signal::SIGINT as i32));

    // Stopped by a key and by a signal, and continued.
    let mut screen = top(&daemon);
    screen.wait_for_redrawn("SYNCHRONISED");
    for is_key in [true, false] {
        if is_key {
            screen.press("\u{1a}");
        } else {
            screen.signal(Signal::SIGTSTP);
        }
        assert!(wait_for(TIMEOUT, || screen.is_stopped().then_some(())).is_some(), "it stops");
        assert!(screen.is_as_before());
        screen.signal(Signal::SIGCONT);
        screen.wait_for_redrawn("SYNCHRONISED");
        assert!(screen.is_raw());
    }
    screen.press("q");
    assert_eq!(end(screen).code(), Some(0));
}

#[test]
fn a_daemon_that_goes_away_is_said_and_waited_for() {
    let (setup, _forger) = setup("top-gone");
    let daemon = setup.start();
    daemon.wait_until_synchronised(TIMEOUT);
    let mut screen = top(&daemon);
    screen.wait_for_redrawn("SYNCHRONISED");
    daemon.stop();
    screen.wait_for_redrawn("NO ANSWER");
    let daemon = setup.start();
    daemon.wait_until_synchronised(TIMEOUT);
    screen.wait_for_redrawn(&format!("truechimer {} on ", env!("CARGO_PKG_VERSION")));
    screen.press("q");
    assert_eq!(end(screen).code(), Some(0));
}

#[test]
fn what_is_no_terminal_with_a_cursor_is_refused_with_a_hint() {
    let (setup, _forger) = setup("top-dumb");
    let daemon = setup.start();
    let refused = |command: &mut Command| {
        let output = run(command);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains("chimerctl") && text.contains("status") && text.lines().count() == 1, "{text}");
    };
    refused(&mut chimerctl(&daemon, &["top"]));
    refused(&mut chimerctl(&daemon, &["top", "--json"]));
    let screen = Terminal::start(chimerctl(&daemon, &["top"]).env("TERM", "dumb"), 80, 24);
    screen.wait_for("chimerctl status");
    let (status, is_as_before, _) = screen.end();
    assert_eq!((status.code(), is_as_before), (Some(2), true));
}
