//! The socket in chronyd's place.

use std::fs::{self, DirBuilder, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

/// Its directory, as chrony makes it: for its owner, and to be entered by its group.
const DIRECTORY: u32 = 0o750;

/// Who may send: its owner and its group.
const SOCKET: u32 = 0o660;

/// Binds the socket. What an earlier run left is replaced, and nothing else.
///
/// # Errors
/// A sentence that says what to do.
pub fn take(path: &Path) -> Result<UnixDatagram, String> {
    let shown = path.display();
    let failed = |error: std::io::Error| format!("{shown}: {error}");
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists()) {
        DirBuilder::new()
            .mode(DIRECTORY)
            .create(folder)
            .map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(format!(
                "{shown} is no socket, and is left as it is; name another place with --listen"
            ));
        }
        Ok(_) => {
            let probe = UnixDatagram::unbound().map_err(failed)?;
            if probe.connect(path).is_ok() {
                return Err(format!(
                    "{shown} belongs to a program that runs; stop it (systemctl stop chrony), or name another place \
                     with --listen"
                ));
            }
            fs::remove_file(path).map_err(failed)?;
        }
    }
    let socket = UnixDatagram::bind(path).map_err(failed)?;
    fs::set_permissions(path, Permissions::from_mode(SOCKET)).map_err(failed)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_taken_from_nobody_who_runs_and_from_no_file() {
        let folder = std::env::temp_dir().join(format!("chronyc-bridge-place-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        let path = folder.join("chronyd.sock");
        let first = take(&path).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&path)), (0o750 & mode(&folder), 0o660));
        assert_eq!(mode(&folder) & 0o007, 0, "nobody else may enter");
        let refused = take(&path).unwrap_err();
        assert!(refused.contains("systemctl stop chrony"), "{refused}");
        first.send_to(b"still there", &path).unwrap();
        drop(first);
        take(&path).expect("what an earlier run left is replaced");
        fs::remove_file(&path).unwrap();
        fs::write(&path, "a file").unwrap();
        assert!(take(&path).unwrap_err().contains("no socket"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "a file");
        fs::remove_dir_all(&folder).unwrap();
    }
}
