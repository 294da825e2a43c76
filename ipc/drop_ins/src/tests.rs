use super::*;
use nix::sys::stat::{Mode, mknod};
use nix::unistd::{Uid, chown, mkfifo};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("truechimer-drop-ins-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        set_mode(&path, 0o755);
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        set_mode(&path, 0o644);
        path
    }

    fn all(&self) -> Vec<Result<Found, Refused>> {
        open(&self.0, Limits::DROP_INS).unwrap()
    }

    /// Names of the files that may be read.
    fn names(&self) -> Vec<String> {
        self.all().into_iter().map(|found| found.unwrap().name).collect()
    }

    /// Why the only one is not.
    fn why(&self) -> String {
        let [Err(refused)] = &self.all()[..] else { panic!("one, and refused: {:?}", self.all()) };
        refused.to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn files_come_in_the_order_of_their_octets_and_what_is_no_drop_in_is_left() {
    let folder = Folder::new("order");
    assert!(open(&folder.0.join("none"), Limits::DROP_INS).unwrap().is_empty());
    for name in
        ["b.toml", "10-x.toml", "9-x.toml", "B.toml", "README", ".hidden.toml", "c.toml.dpkg-old", "d.toml~"]
    {
        folder.write(name, "x");
    }
    assert_eq!(folder.names(), ["10-x.toml", "9-x.toml", "B.toml", "b.toml"]);
}

#[test]
fn the_folder_is_named_for_its_configuration() {
    for (file, folder) in [
        ("/etc/truechimer/truechimer.toml", Some("/etc/truechimer/truechimer.d")),
        ("/etc/x/other", Some("/etc/x/other.d")),
        ("relative.conf", Some("relative.d")),
        ("/etc/x/other.d", None),
        ("/", None),
    ] {
        assert_eq!(beside(Path::new(file)), folder.map(PathBuf::from), "{file}");
    }
}

#[test]
fn a186_what_is_no_file_of_roots_is_named_with_the_remedy_and_nothing_waits_for_it() {
    let folder = Folder::new("kinds");
    let path = folder.0.join("x.toml");
    let outside = folder.write("outside", "x");
    let removed = |make: &dyn Fn(), expected: &str| {
        make();
        let why = folder.why();
        assert!(why.starts_with(&format!("{}: ", path.display())) && why.contains(expected), "{why}");
        assert_eq!(why.lines().count(), 1);
        if path.is_dir() { fs::remove_dir(&path).unwrap() } else { fs::remove_file(&path).unwrap() }
    };
    removed(&|| mkfifo(&path, Mode::from_bits_truncate(0o644)).unwrap(), "is no regular file; remove it");
    removed(&|| drop(UnixListener::bind(&path).unwrap()), "is no regular file");
    removed(&|| fs::create_dir(&path).unwrap(), "is no regular file");
    removed(&|| symlink(&outside, &path).unwrap(), "is a symbolic link, which is not followed");
    removed(&|| symlink("nowhere", &path).unwrap(), "is a symbolic link");
    for (mode, chmod) in [(0o646, "chmod 0644"), (0o664, "chmod 0644"), (0o602, "chmod 0600")] {
        removed(&|| set_mode(&folder.write("x.toml", "x"), mode), chmod);
    }
    if geteuid().is_root() {
        let device = nix::sys::stat::makedev(1, 3);
        removed(
            &|| mknod(&path, SFlag::S_IFCHR, Mode::from_bits_truncate(0o644), device).unwrap(),
            "is no regular file",
        );
        removed(
            &|| chown(&folder.write("x.toml", "x"), Some(Uid::from_raw(1_234)), None).unwrap(),
            "(owner 1234, mode 0644), and with it the time; chown root:root",
        );
    }
    assert!(folder.names().is_empty());
}

#[test]
fn a186_a_folder_that_others_can_write_or_that_is_none_is_refused_whole() {
    let folder = Folder::new("folder");
    folder.write("x.toml", "x");
    for mode in [0o777, 0o1_777, 0o775, 0o757] {
        set_mode(&folder.0, mode);
        let why = open(&folder.0, Limits::DROP_INS).unwrap_err().to_string();
        assert!(
            why.contains("others than root can change what is in it") && why.contains("chmod 0755"),
            "{why}"
        );
    }
    set_mode(&folder.0, 0o755);
    let link = folder.0.with_extension("link");
    let _ = fs::remove_file(&link);
    symlink(&folder.0, &link).unwrap();
    let file = folder.write("file", "x");
    for place in [&link, &file] {
        let refused = open(place, Limits::DROP_INS).unwrap_err();
        assert!(refused.to_string().contains("make it a directory, or remove it"), "{refused}");
    }
    fs::remove_file(&link).unwrap();
    assert_eq!(folder.names(), ["x.toml"]);
    folder.write("\u{1b}[2J.toml", "x");
    // A bad name is one of its file.
    let [good, bad] = &open(&folder.0, Limits::DROP_INS).unwrap()[..] else { panic!("two files") };
    assert_eq!(good.as_ref().unwrap().name, "x.toml");
    let why = bad.as_ref().unwrap_err().to_string();
    assert!(why.contains("rename or remove it") && !why.contains('\u{1b}'), "{why}");
}

#[test]
fn neither_number_nor_length_is_without_a_bound() {
    let folder = Folder::new("bounds");
    let limits = Limits { files: 3, each: 10, together: 20, last: "" };
    let read = || -> Vec<Result<String, String>> {
        let all = open(&folder.0, limits).unwrap().into_iter();
        all.map(|found| found.map(|found| found.name).map_err(|refused| refused.to_string())).collect()
    };
    for name in ["a.toml", "b.toml", "c.toml"] {
        folder.write(name, "123456");
    }
    assert!(read().iter().all(Result::is_ok));
    // Those that come last take no room from the others.
    let last = Limits { files: 2, last: "a", ..limits };
    let in_order = open(&folder.0, last).unwrap().into_iter().map(|found| found.map(|found| found.name));
    let in_order: Vec<Option<String>> = in_order.map(Result::ok).collect();
    assert_eq!(in_order, [Some("b.toml".to_owned()), Some("c.toml".to_owned()), None]);
    folder.write("d.toml", "");
    assert!(read()[3].as_ref().unwrap_err().contains("more than 3 files"), "{:?}", read());
    fs::remove_file(folder.0.join("d.toml")).unwrap();
    folder.write("b.toml", "1234567890");
    assert!(read()[2].as_ref().unwrap_err().contains("longer than 20 octets"), "{:?}", read());
    folder.write("a.toml", "12345678901");
    assert!(read()[0].as_ref().unwrap_err().contains("longer than 10 octets"), "{:?}", read());
    assert!(read()[1].is_ok() && read()[2].is_ok(), "{:?}", read());
}
