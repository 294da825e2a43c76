//! The page of `chimerctl plot --html` as a browser shows it, wide and narrow.

use bench::daemon::spawn;
use bench::programs::{Place, find_peer, wait_for};
use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Names of Chromium.
const BROWSERS: [&str; 2] = ["chromium", "chromium-browser"];
/// The pictures, each with the width and height of its window.
const WINDOWS: [(&str, (u32, u32)); 2] = [("page.png", (1136, 930)), ("page-narrow.png", (396, 1150))];
/// Names of files, and what is in them.
type Pictures = Vec<(&'static str, Vec<u8>)>;
const DEADLINE: Duration = Duration::from_secs(120);

/// The pictures of this page; `None`: there is no browser.
///
/// # Errors
/// If the browser fails, or its picture has another size than the window.
pub fn shown(html: &str) -> Result<Option<Pictures>, String> {
    let Some(browser) = BROWSERS.into_iter().find_map(find_peer) else { return Ok(None) };
    let place = Place::new("page");
    let (page, picture) = (place.join("page.html"), place.join("page.png"));
    fs::write(&page, html).map_err(|error| format!("{}: {error}", page.display()))?;
    let shoot = |(name, (width, height)): (&'static str, (u32, u32))| {
        let mut command = Command::new(&browser);
        command.args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]);
        command.arg(format!("--window-size={width},{height}"));
        command.arg(format!("--screenshot={}", picture.display()));
        command.arg(format!("--user-data-dir={}", place.join("profile").display()));
        command.arg(format!("file://{}", page.display()));
        let mut child = spawn(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()));
        let ended = wait_for(DEADLINE, || child.try_wait().ok().flatten());
        if ended.is_none() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let octets = fs::read(&picture).unwrap_or_default();
        let _ = fs::remove_file(&picture);
        match size(&octets) {
            Some(size) if size == (width, height) => Ok((name, octets)),
            other => Err(format!("{}: {ended:?}, a picture of {other:?}", browser.display())),
        }
    };
    WINDOWS.into_iter().map(shoot).collect::<Result<_, _>>().map(Some)
}

/// Width and height of a PNG.
fn size(png: &[u8]) -> Option<(u32, u32)> {
    let numbers = png.strip_prefix(b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR")?;
    let number = |from: usize| Some(u32::from_be_bytes(numbers.get(from..from + 4)?.try_into().ok()?));
    Some((number(0)?, number(4)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_a_png_is_read_and_what_is_none_has_none() {
        let png = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\x04\x70\0\0\x03\xe8\x08\x06";
        assert_eq!(size(png), Some((1136, 1000)));
        assert_eq!((size(&png[..20]), size(b"GIF89a"), size(b"")), (None, None, None));
    }
}
