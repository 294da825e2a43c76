//! The pictures of the book: what chimerctl shows, and the dashboard, of a daemon that really runs, on a virtual clock.
//!
//! ```text
//!   scene       the daemon, its sources and its clients
//!   terminal    why, status and top, as a terminal shows them
//!   page        the page of plot, as a browser shows it
//!   dashboard   the dashboard's file, with the answers of Prometheus
//!   prometheus  a Prometheus that scrapes the daemon's exporter
//!   panel       how a panel is drawn
//! ```

mod dashboard;
mod page;
mod panel;
mod prometheus;
mod scene;
mod terminal;

use crate::cargo;
use bench::exporter::Exporter;
use bench::interrupted::end_all_when_interrupted;
use prometheus::Prometheus;
use scene::Scene;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

/// How long the daemon runs, unless another time is asked for.
pub const SECONDS: u64 = 300;
/// In place of the name of this machine.
const HOST: &str = "clock.example";
/// The largest picture, in octets, and the largest of those that a browser or Prometheus has a part in.
const MOST: usize = 60_000;
const MOST_OF_OTHERS: usize = 150_000;
const DASHBOARD: &str = "packaging/monitoring/truechimer.dashboard.json";

/// Writes docs/pictures.
///
/// # Errors
/// If the daemon is not synchronised, or a picture cannot be made or is too large. Without Chromium or Prometheus the pictures that
/// need it stay as they are, which is said.
pub fn run(seconds: u64) -> Result<(), String> {
    end_all_when_interrupted();
    let programs = cargo::build_release()?;
    bench::programs::look_in(&programs);
    let scene = Scene::start();
    let daemon = scene.daemon();
    let exporter = Exporter::start(&daemon.socket());
    let prometheus = Prometheus::start(exporter.address)?;
    println!(
        "a daemon runs for {seconds} s, with five sources and two clients on loopback and a clock that was 3.7 s slow"
    );
    let begun = Instant::now();
    let until = |share: f64| {
        let at = Duration::from_secs_f64(seconds as f64 * share);
        std::thread::sleep(at.saturating_sub(begun.elapsed()));
    };
    until(0.05);
    scene.sources_answer();
    until(0.4);
    scene.one_falls_silent();
    until(0.6);
    scene.one_becomes_wrong();
    until(1.0);
    if !daemon.is_synchronised() {
        return Err(format!("the daemon is not synchronised:\n{}", daemon.log()));
    }
    let chimerctl = || {
        let mut command = Command::new(programs.join("chimerctl"));
        command.arg("--socket").arg(daemon.socket());
        command
    };
    for word in ["why", "status"] {
        write(&format!("{word}.svg"), terminal::printed(&mut chimerctl(), word)?.as_bytes(), MOST)?;
    }
    write("top.svg", terminal::live(&mut chimerctl())?.as_bytes(), MOST)?;
    let plot = cargo::read(chimerctl().arg("plot"))?;
    write("plot.svg", anonymous(&plot).as_bytes(), MOST)?;
    let html = cargo::read(chimerctl().args(["plot", "--span", "hour", "--html"]))?;
    match page::shown(&anonymous(&html))? {
        Some(pictures) => {
            for (name, octets) in pictures {
                write(name, &octets, MOST_OF_OTHERS)?;
            }
        }
        None => {
            println!("no Chromium here (apt-get install chromium): the pictures of the page stay as they are")
        }
    }
    let Some(prometheus) = prometheus else {
        println!(
            "no Prometheus here (`cargo xtask peers` fetches it on Debian): that of the dashboard stays as it is"
        );
        return Ok(());
    };
    let file = cargo::workspace().join(DASHBOARD);
    let file = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let sentence = format!(
        "Drawn by `cargo xtask pictures` from {DASHBOARD} and what Prometheus answers to its queries; Grafana's own drawing differs. \
         {seconds} s, UTC."
    );
    let dashboard = dashboard::draw(&file, &prometheus, seconds, &sentence)?;
    write("dashboard.svg", dashboard.as_bytes(), MOST_OF_OTHERS)
}

/// Without the name of this machine.
fn anonymous(text: &str) -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    renamed(text, name.trim())
}

/// With [`HOST`] where this name stands as a word of its own: a short one is in other words too.
fn renamed(text: &str, name: &str) -> String {
    if name.is_empty() {
        return text.to_owned();
    }
    let of_word = |sign: char| sign.is_alphanumeric() || matches!(sign, '-' | '_');
    let (mut out, mut from) = (String::new(), 0);
    for (at, _) in text.match_indices(name) {
        let end = at + name.len();
        let is_whole = !text[..at].ends_with(of_word) && !text[end..].starts_with(of_word);
        out += &text[from..at];
        out += if is_whole { HOST } else { name };
        from = end;
    }
    out + &text[from..]
}

/// As text of XML.
fn xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn write(name: &str, octets: &[u8], most: usize) -> Result<(), String> {
    if octets.len() > most {
        return Err(format!("{name} has {} octets, and may have {most}", octets.len()));
    }
    let folder = cargo::workspace().join("docs/pictures");
    let file = folder.join(name);
    fs::create_dir_all(&folder)
        .and_then(|()| fs::write(&file, octets))
        .map_err(|error| format!("{}: {error}", file.display()))?;
    println!("docs/pictures/{name}: {} octets", octets.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_this_machine_is_replaced_and_other_words_with_its_letters_stay() {
        let text = "vm: no vmclock on vm (avm, vm-1); vm";
        assert_eq!(
            renamed(text, "vm"),
            "clock.example: no vmclock on clock.example (avm, vm-1); clock.example"
        );
        assert_eq!((renamed(text, "").as_str(), renamed("ü vm", "vm")), (text, format!("ü {HOST}")));
    }
}
