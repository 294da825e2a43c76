//! include, confdir and sourcedir.

use super::{Found, file};
use crate::files::{FileError, MAX_DEPTH, Reader};
use crate::plan::{Part, Plan};
use crate::words::{Line, Words};

/// Reads the files of the directive where it stands.
pub fn read(
    plan: &mut Plan,
    reader: &mut Reader<'_>,
    found: &mut Found,
    line: &Line,
    directive: &str,
    words: &mut Words,
    depth: usize,
) {
    let is_list = directive == "sourcedir";
    let folders = if directive == "include" { words.take().into_iter().collect() } else { words.rest() };
    let (of_dhcp, folders): (Vec<String>, Vec<String>) =
        folders.into_iter().partition(|folder| is_list && is_of_dhcp(folder));
    let item = plan.item(if of_dhcp.is_empty() { Part::Rest } else { Part::Dhcp }, line);
    if !of_dhcp.is_empty() {
        plan.set(Part::Dhcp, "use", "true".to_owned(), item);
        plan.has_leases |= of_dhcp
            .iter()
            .any(|folder| reader.names(folder, ".sources").is_ok_and(|names| !names.is_empty()));
        plan.note(
            item,
            &of_dhcp.join(" "),
            "servers of DHCP leases. The package's hooks for dhclient, dhcpcd and NetworkManager leave them in \
             /run/truechimer/sources.d; for systemd-networkd enable truechimer-networkd.path. See SOURCES OF PROGRAMS in \
             truechimer.toml(5)",
        );
        if folders.is_empty() {
            return;
        }
    }
    plan.leftover(item, words);
    if depth >= MAX_DEPTH {
        return plan.unread(item, "", "not read: files include each other more deeply than chronyd allows");
    }
    let paths = match directive {
        "include" => included(plan, reader, item, &folders),
        _ => listed(plan, reader, item, &folders, if is_list { ".sources" } else { ".conf" }),
    };
    let mut read = Vec::new();
    for path in paths {
        match reader.text(&path) {
            Ok(text) => {
                file(plan, reader, found, (&path, &text), depth + 1, is_list);
                read.push(path);
            }
            Err(error) => {
                let why = match &error {
                    FileError::Absent => "there is no such file",
                    FileError::Other(why) => why,
                };
                // A list of sources lets nobody in and keeps nobody out.
                if is_list { plan.lose_source(item, &path, why) } else { plan.unread(item, &path, why) }
            }
        }
    }
    if !read.is_empty() {
        plan.note(item, "", &format!("read here: {}", read.join(", ")));
    }
}

/// Whether a hook for DHCP leaves its sources there.
fn is_of_dhcp(folder: &str) -> bool {
    (folder.starts_with("/run/") || folder.starts_with("/var/run/")) && folder.contains("dhcp")
}

fn included(plan: &mut Plan, reader: &mut Reader<'_>, item: usize, patterns: &[String]) -> Vec<String> {
    let Some(pattern) = patterns.first() else {
        plan.unread(item, "", "there is no file");
        return Vec::new();
    };
    match reader.matching(pattern) {
        Ok(paths) if paths.is_empty() => {
            plan.unread(item, pattern, "no file is there, without which chronyd does not start");
            paths
        }
        Ok(paths) => paths,
        Err(why) => {
            plan.unread(item, pattern, &format!("not read: {why}"));
            Vec::new()
        }
    }
}

/// The files of folders in the order of their names; of two with one name that of the first folder.
fn listed(
    plan: &mut Plan,
    reader: &mut Reader<'_>,
    item: usize,
    folders: &[String],
    suffix: &str,
) -> Vec<String> {
    let mut paths: Vec<(String, String)> = Vec::new();
    for folder in folders {
        if !folder.starts_with('/') {
            plan.unread(item, folder, "not read: no absolute path");
            continue;
        }
        match reader.names(folder, suffix) {
            Ok(names) if names.is_empty() => plan.note(item, folder, &format!("no *{suffix} is there")),
            Ok(names) => {
                for name in names {
                    let path = format!("{}/{name}", folder.trim_end_matches('/'));
                    match paths.iter().any(|(known, _)| *known == name) {
                        true => plan.note(
                            item,
                            &path,
                            "not read, as chronyd does not: a folder before has one of this name",
                        ),
                        false => paths.push((name, path)),
                    }
                }
            }
            Err(FileError::Absent) => plan.note(item, folder, "there is no such folder"),
            Err(FileError::Other(why)) if suffix == ".sources" => plan.lose_source(item, folder, &why),
            Err(FileError::Other(why)) => plan.unread(item, folder, &why),
        }
    }
    paths.sort();
    paths.into_iter().map(|(_, path)| path).collect()
}
