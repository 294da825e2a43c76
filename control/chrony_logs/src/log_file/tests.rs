use super::*;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

const FORM: Form = Form { banner: 3, most: 1 << 20 };

struct Bench {
    path: PathBuf,
    folder: Folder,
    file: LogFile,
}

impl Bench {
    fn new(name: &str, form: Form) -> Self {
        let path = std::env::temp_dir().join(format!("chrony-logs-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).unwrap();
        let folder = Folder::open(&path).unwrap();
        Self { path, folder, file: LogFile::new("a", "B C", form) }
    }

    fn write(&mut self, line: &str) -> Option<String> {
        self.file.write(&self.folder, line)
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path.join(name)).unwrap()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.path).unwrap();
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_banner_comes_first_and_after_each_so_many_lines() {
    let mut bench = Bench::new("banner", FORM);
    for line in ["1", "2", "3", "4"] {
        assert_eq!(bench.write(line), None);
    }
    assert_eq!(bench.text("a.log"), "===\nB C\n===\n1\n2\n3\n===\nB C\n===\n4\n");
    assert_eq!(mode(&bench.path.join("a.log")) & 0o137, 0);
    let mut bench = Bench::new("no-banner", Form { banner: 0, ..FORM });
    bench.write("1");
    assert_eq!(bench.text("a.log"), "1\n");
}

#[test]
fn a_file_that_was_renamed_or_removed_is_begun_anew() {
    let mut bench = Bench::new("renamed", FORM);
    bench.write("1");
    std::fs::rename(bench.path.join("a.log"), bench.path.join("old")).unwrap();
    bench.write("2");
    std::fs::remove_file(bench.path.join("a.log")).unwrap();
    bench.write("3");
    assert_eq!(bench.text("old"), "===\nB C\n===\n1\n");
    assert_eq!(bench.text("a.log"), "===\nB C\n===\n3\n");
}

#[test]
fn no_file_has_more_octets_than_it_may_and_one_old_one_is_kept() {
    let mut bench = Bench::new("most", Form { banner: 0, most: 100 });
    let line = |number: u32| format!("{number:>9}");
    for number in 1..=25 {
        assert_eq!(bench.write(&line(number)), None);
    }
    let lines = |numbers: std::ops::RangeInclusive<u32>| {
        numbers.map(|number| line(number) + "\n").collect::<String>()
    };
    assert_eq!(bench.text("a.log"), lines(21..=25));
    assert_eq!(bench.text("a.log.old"), lines(11..=20));
    assert_eq!(std::fs::read_dir(&bench.path).unwrap().count(), 2);
}

#[test]
fn an_old_file_that_cannot_be_replaced_ends_the_growth_and_not_the_program() {
    let mut bench = Bench::new("stuck", Form { banner: 0, most: 10 });
    std::fs::create_dir_all(bench.path.join("a.log.old/x")).unwrap();
    assert_eq!(bench.write("12345678"), None);
    assert!(bench.write("b").is_some_and(|said| said.contains("its lines are lost")));
    assert_eq!(bench.write("c"), None, "it was said");
    std::fs::remove_dir_all(bench.path.join("a.log.old")).unwrap();
    assert_eq!(bench.write("d").as_deref(), Some("a.log is written again; 2 lines are lost"));
    assert_eq!((bench.text("a.log.old"), bench.text("a.log")), ("12345678\n".to_owned(), "d\n".to_owned()));
}

#[test]
fn a_link_is_not_followed_and_nothing_else_is_taken_for_a_file() {
    let mut bench = Bench::new("link", FORM);
    let victim = bench.path.join("victim");
    let name = bench.path.join("a.log");
    symlink(&victim, &name).unwrap();
    assert!(bench.write("1").is_some_and(|said| said.contains("it is a link")));
    assert!(!victim.exists(), "nothing is made where a link points to");
    std::fs::write(&victim, "mine\n").unwrap();
    assert_eq!(bench.write("2"), None);
    std::fs::remove_file(&name).unwrap();
    std::fs::hard_link(&victim, &name).unwrap();
    assert!(bench.write("3").is_some_and(|said| said.contains("hard link")));
    std::fs::remove_file(&name).unwrap();
    nix::unistd::mkfifo(&name, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(bench.write("4").is_some_and(|said| said.contains("no file")));
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "mine\n");
    std::fs::remove_file(&name).unwrap();
    assert_eq!(bench.write("5").as_deref(), Some("a.log is written again; 4 lines are lost"));
}

#[test]
fn a_torn_line_at_the_end_is_taken_away() {
    for (before, after) in [
        ("1\ntorn", "1\n".to_owned()),
        ("torn", String::new()),
        ("1\n", "1\n".to_owned()),
        (&format!("1\n{}", "x".repeat(5000)), format!("1\n{}\n", "x".repeat(5000))),
    ] {
        let mut bench = Bench::new("torn", Form { banner: 0, ..FORM });
        std::fs::write(bench.path.join("a.log"), before).unwrap();
        assert_eq!(bench.write("2"), None);
        assert_eq!(bench.text("a.log"), after + "2\n");
    }
}
