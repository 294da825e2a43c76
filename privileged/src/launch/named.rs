//! The files that the configuration names, for `--check`: roots, certificate, key. Other processes read them, as users of
//! their own when the daemon runs. The daemon also runs without them, so a fault is only a warning.

use super::diagnosis::{kind, noun, owner_and_mode};
use super::path_walk::PathWalk;
use super::users::{self, Users};
use ipc::file_path::FilePath;
use ipc::message::key_service::MAX_PEM;
use ipc::message::launch::{KeyService, LaunchPlan, MAX_ROOTS};
use ipc::permissions::Permissions;
use ipc::process::Process;
use keeper::ending::say;
use nix::sys::stat::{FileStat, SFlag};
use std::path::Path;

/// Warns of each file that its reader could not read.
pub fn warn(plan: &LaunchPlan, users: &Users) {
    for (_, path) in plan.root_files() {
        look(("the file of roots", path), users.identity(Process::Exchange), "chmod a+r", MAX_ROOTS);
    }
    if let Some(folder) = &plan.samba {
        warn_of_samba(Path::new(folder.as_str()), users.identity(Process::Samba));
    }
    for pair in plan.key_service.iter().flat_map(KeyService::pairs) {
        look(
            ("the certificate", &pair.certificate),
            users.identity(Process::KeyService),
            "chmod a+r",
            MAX_PEM as u64,
        );
        let user = Process::KeyHolder.user();
        let chown = format!("chmod u+r,go= {0}; chown {user}", pair.key.as_str());
        look(("the key", &pair.key), users.identity(Process::KeyHolder), &chown, MAX_PEM as u64);
        if let Some(why) = exposure(Path::new(pair.key.as_str())) {
            say(4, &format_args!("the key {} is not used: {why}", pair.key.as_str()));
        }
    }
}

/// Warns of a folder of Samba's socket that could not be used.
fn warn_of_samba(folder: &Path, reader: Option<(u32, u32)>) {
    let walk = PathWalk::of(folder);
    let (shown, user) = (folder.display(), Process::Samba.user());
    if let Some((place, line)) = walk.hidden() {
        let place = place.display();
        say(
            4,
            &format_args!(
                "samba-signd {shown} cannot be used under systemd: {line} in the unit hides {place}"
            ),
        );
    }
    if let Some((place, errno)) = &walk.broken {
        let place = place.display();
        let remedy = "start Samba once as a domain controller, which makes it";
        return say(
            4,
            &format_args!("samba-signd: no reply is signed yet: {place}: {}; {remedy}", errno.desc()),
        );
    }
    let Some((end, facts)) = walk.end() else { return };
    let seen = owner_and_mode(facts);
    if kind(facts) != SFlag::S_IFDIR {
        say(4, &format_args!("samba-signd: {shown} is {}; name the folder of Samba's socket", noun(facts)));
    } else if facts.st_mode & 0o022 != 0 {
        say(
            4,
            &format_args!(
                "samba-signd: {shown} has {seen}, so others could put a socket there: chmod 750 {shown}"
            ),
        );
    }
    let is_barred =
        |(_, facts): &&(std::path::PathBuf, FileStat)| reader.is_some_and(|it| !has(facts, it, 0o1));
    if let Some((place, facts)) = walk.places.iter().find(is_barred) {
        let (seen, is_end) = (owner_and_mode(facts), place == end);
        let (place, remedy) =
            (place.display(), if is_end { format!("chgrp {user}") } else { "chmod a+x".to_owned() });
        say(4, &format_args!("samba-signd: {user} may not enter {place} ({seen}): {remedy} {place}"));
    }
}

/// Folders of many programs.
const BROAD: [&str; 14] = [
    "/",
    "/run",
    "/var",
    "/var/run",
    "/var/lib",
    "/var/cache",
    "/tmp",
    "/var/tmp",
    "/etc",
    "/home",
    "/root",
    "/usr",
    "/opt",
    "/srv",
];

/// What the process that asks Samba is told of its folder. Where that is not there, the one above it is seen, so that it is seen as soon as
/// Samba makes it; but not one in which others have their sockets too.
pub fn samba_words(folder: &FilePath) -> Vec<String> {
    let path = Path::new(folder.as_str());
    let is_narrow = path.parent().and_then(Path::to_str).is_some_and(|parent| !BROAD.contains(&parent));
    let shown = (is_narrow && !path.is_dir()).then(|| format!("folder={}", folder.as_str()));
    [format!("socket={}/socket", folder.as_str())].into_iter().chain(shown).collect()
}

fn look((what, path): (&str, &FilePath), reader: Option<(u32, u32)>, remedy: &str, longest: u64) {
    let path = Path::new(path.as_str());
    let walk = PathWalk::of(path);
    if let Some((place, line)) = walk.hidden() {
        let (path, place) = (path.display(), place.display());
        say(4, &format_args!("{what} {path} cannot be used under systemd: {line} in the unit hides {place}"));
    }
    if let Some(why) = fault(&walk, reader, remedy, longest) {
        say(4, &format_args!("{what} {} cannot be used: {why}", path.display()));
    }
}

/// Why it cannot be read by this user and group.
fn fault(walk: &PathWalk, reader: Option<(u32, u32)>, remedy: &str, longest: u64) -> Option<String> {
    if let Some((place, errno)) = &walk.broken {
        return Some(format!("{}: {}", place.display(), errno.desc()));
    }
    let (end, facts) = walk.end()?;
    if kind(facts) != SFlag::S_IFREG {
        return Some(format!("it is {}", noun(facts)));
    }
    if u64::try_from(facts.st_size).is_ok_and(|size| size > longest) {
        return Some(format!("it is longer than {longest} octets"));
    }
    let is_barred = |(place, facts): &&(std::path::PathBuf, FileStat)| {
        let right = if place == end { 0o4 } else { 0o1 };
        match reader {
            Some(reader) => !has(facts, reader, right),
            // Without the users it is only known what nobody may do.
            None => [right << 6, right << 3, right].iter().all(|right| facts.st_mode & right == 0),
        }
    };
    let (place, facts) = walk.places.iter().find(is_barred)?;
    let remedy = match reader {
        _ if place != end => "chmod a+x",
        // Its reader has it already, without the right.
        Some((uid, _)) if facts.st_uid == uid => "chmod u+r",
        _ => remedy,
    };
    let who = reader.map_or_else(
        || "nobody can read it".to_owned(),
        |(uid, _)| format!("{} reads it", users::name_of(uid)),
    );
    let (place, seen) = (place.display(), owner_and_mode(facts));
    Some(format!("{who}, and {place} has {seen}; {remedy} {place}"))
}

/// Who may read or change the private key whom it does not concern, and what to do.
fn exposure(path: &Path) -> Option<String> {
    let walk = PathWalk::of(path);
    let (place, facts) =
        walk.end().filter(|(_, facts)| walk.broken.is_none() && kind(facts) == SFlag::S_IFREG)?;
    let permissions = Permissions { owner: facts.st_uid, mode: facts.st_mode };
    permissions.is_exposed().then(|| {
        let place = place.display();
        format!(
            "{place} has {}, so others may read or change it; make a new key and certificate if they may have it, and: \
             chgrp {} {place}; chmod 640 {place}",
            owner_and_mode(facts),
            Process::KeyHolder.user()
        )
    })
}

/// Whether the mode gives this right to a user without supplementary groups.
fn has(facts: &FileStat, (uid, gid): (u32, u32), right: u32) -> bool {
    let shift = match (facts.st_uid == uid, facts.st_gid == gid) {
        (true, _) => 6,
        (false, true) => 3,
        (false, false) => 0,
    };
    facts.st_mode >> shift & right != 0
}
