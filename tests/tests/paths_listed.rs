//! The table of paths for packagers (docs/packaging.md) against what a running daemon has made.

use bench::daemon::{Setup, source};
use bench::forger::Forger;
use bench::programs::workspace;
use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

/// Path, owner and mode of each row below this folder.
fn rows(folder: &str) -> BTreeMap<String, (String, String)> {
    let page = fs::read_to_string(workspace().join("docs/packaging.md")).expect("the page is there");
    let mut rows = BTreeMap::new();
    for line in page.lines().filter(|line| line.starts_with(&format!("| `{folder}/"))) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let mode = cells[2].split(' ').next().unwrap_or_default();
        rows.insert(cells[0].trim_matches('`').to_owned(), (cells[1].to_owned(), mode.to_owned()));
    }
    rows
}

/// The same of what is in this folder, where the daemon's user stands for root.
fn found(place: &Path, folder: &str) -> BTreeMap<String, (String, String)> {
    let entries = fs::read_dir(place).expect("ours").flatten();
    let mut rows = BTreeMap::new();
    for entry in entries {
        let about = fs::symlink_metadata(entry.path()).expect("it is there");
        let owner = if about.uid() == nix::unistd::geteuid().as_raw() { "root" } else { "another" };
        let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if about.is_dir() {
            rows.extend(found(&entry.path(), &name));
        }
        rows.insert(name, (owner.to_owned(), format!("{:o}", about.mode() & 0o7777)));
    }
    rows
}

#[test]
fn the_page_for_packagers_lists_what_a_daemon_makes_with_owner_and_mode() {
    let forger = Forger::honest(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
    let setup = Setup::new("listed", &source(forger.address())).with_virtual_clock(1_000_000, 0.0);
    let daemon = setup.start();
    daemon.wait_until_synchronised(Duration::from_secs(30));
    for (name, folder) in [("state", "/var/lib/truechimer"), ("run", "/run/truechimer")] {
        let listed = rows(folder);
        assert!(listed.len() > 2, "{listed:?}");
        assert_eq!(found(&setup.place().join(name), folder), listed);
    }
    assert_eq!(daemon.stop().code, Some(0));
}
