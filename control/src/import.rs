//! `chimerctl import`: another daemon's configuration, as one of ours. What is made of it is the library's (`control/import`); here
//! are the files, read as whoever runs this, and what is written.

use crate::file::Modes;
use crate::screen::{Form, complain, print};
use crate::{Failure, exit, file};
use command_line::{Daemon, ImportArguments};
use import::{FileError, Files, Imported, Kind, MAX_FILE, USUAL};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// Names of a folder.
const MAX_NAMES: usize = 10_000;

/// Files of this host, or below another root.
struct OnDisk {
    root: Option<PathBuf>,
    /// Those that were read, by which nothing that is written replaces one of them.
    read: Vec<PathBuf>,
}

impl OnDisk {
    /// Where a path is, of which no link was followed.
    fn named(&self, path: &str) -> PathBuf {
        let Some(root) = &self.root else { return PathBuf::from(path) };
        let inner = Path::new(path).components().filter(|part| !matches!(part, Component::RootDir));
        std::iter::once(root.as_os_str()).chain(inner.map(Component::as_os_str)).collect()
    }

    /// Where a path is. Below another root no link leads out of it.
    fn place(&self, path: &str) -> Result<PathBuf, FileError> {
        let place = self.named(path);
        let Some(root) = &self.root else { return Ok(place) };
        let real = place.canonicalize().map_err(|error| of_error(&error))?;
        let real_root = root.canonicalize().map_err(|error| of_error(&error))?;
        match real.starts_with(real_root) {
            true => Ok(real),
            false => {
                Err(FileError::Other("a link in it leads out of the root, and was not followed".to_owned()))
            }
        }
    }
}

/// Whether a file is a link to /dev/null, with which systemd masks a drop-in: it is empty for whoever opens it.
fn is_masked(place: &Path) -> bool {
    let null = Path::new("/dev/null");
    std::fs::read_link(place).is_ok_and(|target| target == null)
}

fn of_error(error: &std::io::Error) -> FileError {
    match error.kind() {
        ErrorKind::NotFound => FileError::Absent,
        _ => FileError::Other(error.to_string()),
    }
}

/// What the daemon would refuse of its own: whoever else may write to it would decide whom it asks and answers.
fn judge(file: &File) -> Result<(), FileError> {
    let about = file.metadata().map_err(|error| of_error(&error))?;
    let (mode, own) = (about.mode() & 0o7777, nix::unistd::geteuid().as_raw());
    let is_others = about.uid() != 0 && about.uid() != own;
    let is_groups = mode & 0o020 != 0 && about.gid() != 0;
    if is_others || is_groups || mode & 0o002 != 0 {
        return Err(FileError::Other(format!(
            "others than root may write to it (owner {}, group {}, mode {mode:04o}), and it was not read: chown root:root, chmod go-w",
            about.uid(),
            about.gid()
        )));
    }
    Ok(())
}

/// At most as many octets as are looked at, and one more.
fn bounded(file: File) -> Result<Vec<u8>, FileError> {
    let mut octets = Vec::new();
    file.take(MAX_FILE as u64 + 1).read_to_end(&mut octets).map_err(|error| of_error(&error))?;
    Ok(octets)
}

/// Why the installation of the package opens no server.
const NOT_OPENED: &str = "not without a look of the administrator: the file may be older than what ran here last; take the signs away, and \
                          chimerctl reload or restart";

impl Files for OnDisk {
    fn read(&mut self, path: &str) -> Result<Vec<u8>, FileError> {
        if is_masked(&self.named(path)) {
            return Ok(Vec::new());
        }
        let place = self.place(path)?;
        let opened = file::open(&place).map_err(|error| of_error(&error))?;
        judge(&opened)?;
        self.read.push(place);
        bounded(opened)
    }

    fn read_learned(&mut self, path: &str) -> Result<Vec<u8>, FileError> {
        let place = self.place(path)?;
        let opened = file::open_itself(&place).map_err(|error| of_error(&error))?;
        self.read.push(place);
        bounded(opened)
    }

    fn list(&mut self, folder: &str) -> Result<Vec<String>, FileError> {
        let entries = std::fs::read_dir(self.place(folder)?).map_err(|error| of_error(&error))?;
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| of_error(&error))?;
            names.push(entry.file_name().to_string_lossy().into_owned());
            if names.len() > MAX_NAMES {
                return Err(FileError::Other(format!("there are more than {MAX_NAMES} files in it")));
            }
        }
        Ok(names)
    }
}

/// Makes it, and writes it.
pub fn show(asked: &ImportArguments, form: Form) -> Result<String, Failure> {
    let unable = |text: String| Failure { text, code: exit::UNABLE };
    if form == Form::Json {
        return Err(unable("import writes TOML; leave --json out".to_owned()));
    }
    if let Some(root) = &asked.root {
        let folder = std::fs::read_dir(root);
        folder.map_err(|error| unable(format!("{}: {error}; --root names a folder", root.display())))?;
    }
    let mut files = OnDisk { root: asked.root.clone(), read: Vec::new() };
    let kind = asked.from.map(of_daemon);
    let no_server = asked.no_server.then_some(NOT_OPENED);
    let imported = match asked.files.is_empty() {
        true => found(&mut files, kind, no_server),
        false => named(asked, &mut files, kind, no_server),
    }
    .map_err(unable)?;
    refuse_same(asked, &files.read).map_err(unable)?;
    let Imported { text, mut losses, key_losses, keys, .. } = imported;
    if asked.keys_only {
        let Some(keys) = keys else {
            let text = "there are no symmetric keys in it that can be carried, and nothing was written";
            return Err(unable(
                key_losses.into_iter().chain([text.to_owned()]).collect::<Vec<_>>().join("; "),
            ));
        };
        if let Some(place) = &asked.keys {
            write(place, keys.as_bytes(), asked.force.then_some(Modes::SECRET))?;
        }
        return ending(&key_losses, "as said above");
    }
    if asked.keys.is_none() && keys.is_some() {
        losses.push(
            "the symmetric keys are written with --keys /etc/truechimer/truechimer.keys alone; without that file the daemon takes no \
             source with a key"
                .to_owned(),
        );
    }
    match &asked.output {
        None => print(&text)?,
        Some(place) => write(place, text.as_bytes(), asked.force.then_some(Modes::OWN))?,
    }
    // Last: no keys are left behind of a configuration that could not be written.
    if let (Some(place), Some(keys)) = (&asked.keys, keys)
        && let Err(failure) = write(place, keys.as_bytes(), asked.force.then_some(Modes::SECRET))
    {
        if let Some(place) = asked.output.as_ref().filter(|_| !asked.force) {
            let _ = std::fs::remove_file(place);
        }
        return Err(failure);
    }
    ending(&losses, "as the new file says at its head")
}

/// Says what is to be looked at.
fn ending(losses: &[String], place: &str) -> Result<String, Failure> {
    losses.iter().for_each(|loss| complain(loss));
    let what = match losses.len() {
        0 => return Ok(String::new()),
        1 => "1 thing is".to_owned(),
        count => format!("{count} things are"),
    };
    Err(Failure { text: format!("{what} to be looked at, {place}"), code: exit::NO })
}

/// Refuses to write both into one file, or one of them over what it was made of.
fn refuse_same(asked: &ImportArguments, read: &[PathBuf]) -> Result<(), String> {
    let targets = [("--output", &asked.output), ("--keys", &asked.keys)];
    if let [(_, Some(output)), (_, Some(keys))] = targets
        && file::is_same(output, keys)
    {
        let place = output.display();
        return Err(format!("{place}: --output and --keys name one file, and nothing was written; name two"));
    }
    for (option, place) in targets {
        let Some(place) = place.as_ref().filter(|place| read.iter().any(|read| file::is_same(read, place)))
        else {
            continue;
        };
        let place = place.display();
        return Err(format!(
            "{place}: is what is imported, and was not replaced; name another file with {option}"
        ));
    }
    Ok(())
}

/// Writes a file: a new one, for its owner alone, unless it may replace another one, of whose mode so much is kept.
fn write(place: &Path, octets: &[u8], replaces: Option<Modes>) -> Result<(), Failure> {
    let written = match replaces {
        None => file::write_new(place, octets),
        Some(modes) => file::write(place, modes, octets),
    };
    written.map_err(|error| {
        let why = match error.kind() {
            // What --force would not replace either says so itself.
            ErrorKind::AlreadyExists => match file::refuse_irregular(place) {
                Ok(_) => "is there already, and was not replaced; --force replaces it".to_owned(),
                Err(error) => error.to_string(),
            },
            _ => error.to_string(),
        };
        Failure { text: format!("{}: {why}", place.display()), code: exit::UNWRITTEN }
    })
}

fn of_daemon(daemon: Daemon) -> Kind {
    match daemon {
        Daemon::Chrony => Kind::Chrony,
        Daemon::Ntp => Kind::Ntp,
        Daemon::Timesyncd => Kind::Timesyncd,
        Daemon::Openntpd => Kind::OpenNtpd,
        Daemon::NtpdRs => Kind::NtpdRs,
    }
}

fn named(
    asked: &ImportArguments,
    files: &mut OnDisk,
    kind: Option<Kind>,
    no_server: Option<&str>,
) -> Result<Imported, String> {
    let mut paths = Vec::new();
    for path in &asked.files {
        // Files that are included are named from the root, and so are drop-ins found.
        let whole = match asked.root {
            None => std::path::absolute(path).map_err(|error| format!("{}: {error}", path.display()))?,
            Some(_) => Path::new("/").join(path),
        };
        let text = whole.into_os_string().into_string();
        paths.push(text.map_err(|path| format!("{}: the name of the file is no text", path.display()))?);
    }
    import::import_for(&paths, kind, files, no_server).map_err(|error| error.to_string())
}

/// The one in a usual place. A timesyncd.conf that names no server is there on most hosts, whatever daemon runs: it counts only
/// where there is no other.
fn found(files: &mut OnDisk, kind: Option<Kind>, no_server: Option<&str>) -> Result<Imported, String> {
    let usual = USUAL.into_iter().filter(|(_, of)| kind.is_none_or(|kind| kind == *of));
    let mut there: Vec<(&str, Imported)> = Vec::new();
    for (path, of) in usual {
        match files.read(path) {
            Err(FileError::Absent) => continue,
            Err(FileError::Other(why)) => return Err(format!("{path}: {why}")),
            Ok(_) => {}
        }
        there.push((
            path,
            import::import_for(&[path.to_owned()], Some(of), files, no_server)
                .map_err(|error| error.to_string())?,
        ));
    }
    if there.len() > 1 {
        there.retain(|(path, imported)| !path.ends_with("/timesyncd.conf") || imported.sources > 0);
    }
    match there.len() {
        0 => Err("no other time daemon has its configuration in a usual place; name the file".to_owned()),
        1 => there.pop().map(|(_, imported)| imported).ok_or_else(String::new),
        _ => {
            let names: Vec<&str> = there.iter().map(|(path, _)| *path).collect();
            Err(format!("there are several: {}; name the one that is meant", names.join(", ")))
        }
    }
}
