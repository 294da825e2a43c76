//! The package's scripts where dpkg works on another root without a chroot (`DPKG_ROOT`).

use bench::programs::{Place, workspace};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Runs a script of the package on this root.
fn run(script: &str, root: &Path, words: &[&str]) -> std::process::Output {
    let script = workspace().join("packaging/deb").join(script);
    let mut command = Command::new("/bin/sh");
    command.arg(script).args(words).env("DPKG_ROOT", root);
    command.output().expect("there is a shell")
}

/// A script that ignores `DPKG_ROOT` would act on this machine.
fn is_installed_here() -> bool {
    ["/var/lib/truechimer", "/run/truechimer", "/etc/default/truechimer"]
        .into_iter()
        .any(|path| Path::new(path).exists())
}

#[test]
fn a_purge_of_another_root_deletes_what_is_there() {
    if is_installed_here() {
        return bench::skip("truechimer is installed on this machine");
    }
    let root = Place::new("purged");
    let files = ["var/lib/truechimer/governor", "run/truechimer/control.sock", "etc/default/truechimer"];
    for file in files {
        fs::create_dir_all(root.join(file).parent().expect("a folder")).expect("ours");
        fs::write(root.join(file), "x").expect("ours");
    }
    let purged = run("postrm", root.path(), &["purge"]);
    assert!(purged.status.success(), "{purged:?}");
    for file in files {
        assert!(!root.join(file).exists(), "{file} is left: it was looked for elsewhere");
    }
    assert!(root.join("etc/default").exists());
}

#[test]
fn each_path_in_a_script_is_one_of_the_root_that_dpkg_works_on() {
    for script in ["preinst", "postinst", "prerm", "postrm"] {
        let text = fs::read_to_string(workspace().join("packaging/deb").join(script)).expect("it is there");
        let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        for line in lines {
            for (at, _) in ["/var/", "/run/", "/etc/"].iter().flat_map(|folder| line.match_indices(folder)) {
                let rooted = line[..at].ends_with("${DPKG_ROOT:-}") || line[..at].ends_with("$DPKG_ROOT");
                // Commands that only a running system has, and output for people.
                let live = line.contains("[ -z \"${DPKG_ROOT:-}\" ] && [ -d /run/systemd/system ]");
                let said =
                    line.contains("say ") || line.contains("\"Mend ") || line.starts_with("CONFIGURATION=");
                assert!(rooted || live || said, "{script}: {line}");
            }
        }
    }
}
