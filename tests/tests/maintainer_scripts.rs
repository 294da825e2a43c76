//! The package's scripts where dpkg works on another root without a chroot (`DPKG_ROOT`).

use bench::programs::{Place, program, put_script, workspace};
use ipc::process::Process;
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
    let files = [
        "var/lib/truechimer/governor",
        "run/truechimer/control.sock",
        "etc/default/truechimer",
        "etc/truechimer/truechimer.d/50-imported.toml",
    ];
    for file in files {
        fs::create_dir_all(root.join(file).parent().expect("a folder")).expect("ours");
        let text = if file.ends_with("imported.toml") { "# Made by chimerctl import\n" } else { "x" };
        fs::write(root.join(file), text).expect("ours");
    }
    let purged = run("postrm", root.path(), &["purge"]);
    assert!(purged.status.success(), "{purged:?}");
    for file in files {
        assert!(!root.join(file).exists(), "{file} is left: it was looked for elsewhere");
    }
    assert!(root.join("etc/default").exists());
}

/// A folder with all programs of this machine but those that make users and units by themselves.
fn programs_without_systemd(place: &Place) -> std::path::PathBuf {
    let programs = place.join("programs");
    fs::create_dir(&programs).expect("ours");
    for folder in ["/usr/sbin", "/usr/bin", "/sbin", "/bin"] {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if !entry.file_name().to_string_lossy().contains("systemd") {
                let _ = std::os::unix::fs::symlink(entry.path(), programs.join(entry.file_name()));
            }
        }
    }
    programs
}

#[test]
fn without_systemd_the_users_of_the_processes_are_made_of_the_file_that_systemd_reads() {
    if is_installed_here() || !nix::unistd::geteuid().is_root() {
        return bench::skip("making users in a folder needs root, and truechimer not installed");
    }
    let place = Place::new("users");
    let programs = programs_without_systemd(&place);
    if !programs.join("useradd").exists() {
        return bench::skip("there is no useradd");
    }
    let root = place.join("root");
    for folder in ["etc", "usr/lib/sysusers.d", "run"] {
        fs::create_dir_all(root.join(folder)).expect("ours");
    }
    for file in ["passwd", "group", "shadow", "gshadow"] {
        fs::write(root.join("etc").join(file), "").expect("ours");
    }
    fs::write(root.join("usr/lib/sysusers.d/truechimer.conf"), bench::users::sysusers()).expect("ours");
    for _ in ["at first", "where they are there"] {
        let script = workspace().join("packaging/deb/postinst");
        let mut command = Command::new("/bin/sh");
        command.arg(script).arg("configure").env("DPKG_ROOT", &root).env("PATH", &programs);
        let installed = command.output().expect("there is a shell");
        assert!(installed.status.success(), "{installed:?}");
        let read = |file: &str| fs::read_to_string(root.join("etc").join(file)).expect("it is there");
        let passwd = read("passwd");
        let lines: Vec<Vec<&str>> = passwd.lines().map(|line| line.split(':').collect()).collect();
        let made: Vec<(&str, &str, &str)> = lines.iter().map(|line| (line[0], line[4], line[6])).collect();
        let comments = Process::ALL.map(|process| format!("truechimer, {}", process.does()));
        let due: Vec<(&str, &str, &str)> = Process::ALL
            .into_iter()
            .zip(&comments)
            .map(|(process, comment)| (process.user(), comment.as_str(), "/usr/sbin/nologin"))
            .collect();
        assert_eq!(made, due);
        assert!(read("group").lines().any(|line| line.starts_with("truechimer:")), "{}", read("group"));
    }
}

/// What the stand-ins of the programs that postinst calls do: a service manager that says this of the service, and a daemon whose
/// check ends with this code. Nothing of this machine is changed by them.
const STAND_INS: [(&str, &str); 6] = [
    ("systemctl", "case \"$*\" in *ActiveState*) echo $STATE;; *ExecMainStatus*) echo $STATUS;; esac"),
    // postinst discards its output.
    ("deb-systemd-invoke", "echo \"$@\" >>\"$ASKED\""),
    ("deb-systemd-helper", "exit 0"),
    ("systemd-sysusers", "exit 0"),
    ("systemd-tmpfiles", "exit 0"),
    ("truechimerd", "echo the key of tomorrow is unknown >&2; exit $CHECK"),
];

/// What postinst asks of the service manager with these words, and what it says, where that has this state and this exit status
/// of the service, and the daemon's check ends with this code.
fn asked_of(words: &[&str], [state, status, check]: [&str; 3]) -> (String, String) {
    let place = Place::new("postinst");
    for (name, script) in STAND_INS {
        put_script(&place.join(name), script);
    }
    let log = place.join("asked");
    fs::write(&log, "").expect("ours");
    let own_run = "mount --make-rprivate / && mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system && exec /bin/sh \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--", "sh", "-c", own_run, "sh"]);
    command.arg(workspace().join("packaging/deb/postinst")).args(words);
    let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", place.path().display());
    command.env_clear().env("PATH", path).env("ASKED", &log);
    command.env("STATE", state).env("STATUS", status).env("CHECK", check);
    let output = command.output().expect("there is a shell");
    assert!(output.status.success(), "{words:?} {state} {status}: {output:?}");
    (fs::read_to_string(&log).expect("ours"), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// On booted machines `cargo xtask rig upgrade-failed` shows the same of one of these states with the real service manager.
#[test]
fn an_upgrade_starts_a_service_that_it_may_have_mended_and_says_of_others_that_it_does_not() {
    if is_installed_here() || !bench::is_root() {
        return bench::skip("it needs root, and truechimer not installed");
    }
    let none: &[&str] = &[];
    for (state, status, check, asked, said) in [
        ("failed", "78", "0", "start truechimer.service\n", none),
        ("failed", "77", "0", "start truechimer.service\n", none),
        ("failed", "216", "0", "start truechimer.service\n", none),
        ("failed", "78", "78", "", &["the service is not started", "the key of tomorrow is unknown"]),
        ("failed", "79", "0", "", &["has failed and is not started", "systemctl start truechimer"]),
        ("failed", "0", "0", "", &["has failed and is not started"]),
        ("inactive", "78", "0", "", none),
        ("active", "0", "0", "try-restart truechimer.service\n", none),
        ("activating", "75", "0", "try-restart truechimer.service\n", none),
        ("active", "0", "78", "", &["was NOT restarted"]),
    ] {
        let (own, found) = asked_of(&["configure", "0.0.1~older"], [state, status, check]);
        let own = own.split_inclusive('\n').filter(|line| line.trim_end().ends_with(" truechimer.service"));
        assert_eq!(own.collect::<String>(), asked, "{state} {status} {check}: {found}");
        assert_eq!(found.is_empty(), said.is_empty(), "{state} {status} {check}: {found}");
        assert!(said.iter().all(|words| found.contains(words)), "{state} {status} {check}: {found}");
    }
}

#[test]
fn what_a_removal_has_stopped_beside_the_daemon_is_started_again_where_it_is_enabled() {
    if is_installed_here() || !bench::is_root() {
        return bench::skip("it needs root, and truechimer not installed");
    }
    for words in [&["configure"][..], &["abort-remove"]] {
        let (asked, _) = asked_of(words, ["inactive", "0", "0"]);
        for unit in [
            "truechimer.service",
            "truechimer-metrics.socket",
            "truechimer-chronyc-bridge.service",
            "truechimer-chrony-logs.service",
            "truechimer-networkd.path",
        ] {
            assert!(asked.contains(&format!("start {unit}\n")), "{words:?}: {asked}");
        }
    }
    let (asked, _) = asked_of(&["configure", "0.0.1"], ["inactive", "0", "0"]);
    assert!(!asked.contains("start truechimer-metrics.socket"));
}

/// What postinst makes in `/etc/truechimer`, and says, where `/etc` has these files and the package's own.
fn taken_over(words: &[&str], files: &[(&str, &str)]) -> (Option<String>, String) {
    taken_over_from(words, files, &[])
}

/// The same where these packages were removed, in this order.
fn taken_over_from(words: &[&str], files: &[(&str, &str)], removed: &[&str]) -> (Option<String>, String) {
    let place = Place::new("taken-over");
    for (name, script) in STAND_INS {
        put_script(&place.join(name), script);
    }
    // Users of this machine are none of the package's.
    for (name, words) in [("chimerctl", ""), ("truechimerd", "--first-uid 61400")] {
        put_script(&place.join(name), &format!("exec {} {words} \"$@\"", program(name).display()));
    }
    let etc = place.join("etc");
    fs::create_dir_all(etc.join("truechimer/truechimer.d")).expect("ours");
    fs::copy(workspace().join("packaging/truechimer.toml"), etc.join("truechimer/truechimer.toml"))
        .expect("ours");
    for file in ["passwd", "group", "nsswitch.conf", "ld.so.cache"] {
        let _ = fs::copy(Path::new("/etc").join(file), etc.join(file));
    }
    for (file, text) in files {
        fs::create_dir_all(etc.join(file).parent().expect("a folder")).expect("ours");
        fs::write(etc.join(file), text).expect("ours");
    }
    let info = place.join("dpkg/info");
    fs::create_dir_all(&info).expect("ours");
    for (second, package) in (1_000_000_000..).zip(removed) {
        let list = fs::File::create(info.join(format!("{package}.list"))).expect("ours");
        list.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(second)).expect("ours");
    }
    let own = "mount --make-rprivate / && mount --bind \"$1\" /etc && mount --bind \"$2\" /var/lib/dpkg && \
               mount -t tmpfs tmpfs /run && shift 2 && exec /bin/sh \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--", "sh", "-c", own, "sh"]).arg(&etc).arg(place.join("dpkg"));
    command.arg(workspace().join("packaging/deb/postinst")).args(words);
    let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", place.path().display());
    command.env_clear().env("PATH", path).env("ASKED", place.join("asked"));
    let output = command.output().expect("there is a shell");
    assert!(output.status.success(), "{words:?}: {output:?}");
    let made = fs::read_to_string(etc.join("truechimer/truechimer.d/50-imported.toml")).ok();
    (made, String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_first_installation_takes_over_what_another_daemon_was_configured_with_and_no_later_one_does() {
    if is_installed_here() || !bench::is_root() {
        return bench::skip("it needs root, and truechimer not installed");
    }
    let chrony =
        ("chrony/chrony.conf", "pool a.example iburst\nserver b.example key 1\nallow 192.0.2.0/24\n");
    let timesyncd = ("systemd/timesyncd.conf", "[Time]\n#NTP=\n");
    let (made, said) = taken_over(&["configure", ""], &[chrony, timesyncd]);
    let made = made.unwrap_or_else(|| panic!("{said}"));
    assert!(
        made.contains("\naddress = \"a.example\"\n") && made.contains("\n#address = \"b.example\"\n"),
        "{made}"
    );
    assert!(said.contains("was taken over into /etc/truechimer/truechimer.d/50-imported.toml"), "{said}");
    assert!(said.contains("chrony.conf:2: key 1: no file of keys is named"), "{said}");
    // An upgrade, and a host whose administrator has said something already.
    for (words, file) in [
        (["configure", "0.0.1"], ("truechimer/unrelated", "")),
        (["configure", ""], ("truechimer/truechimer.toml", "[[source]]\naddress = \"own.example\"\n")),
        (["configure", ""], ("truechimer/truechimer.d/10-own.toml", "[clock]\n")),
    ] {
        let (made, said) = taken_over(&words, &[chrony, file]);
        assert_eq!((made, said.as_str()), (None, ""), "{words:?} {file:?}");
    }
    // Of two it is not known which is meant, and one without a server is of no use: nothing is left, and it is said.
    let (made, said) = taken_over(&["configure", ""], &[chrony, ("ntp.conf", "server c.example\n")]);
    assert!(
        made.is_none() && said.contains("there are several: /etc/chrony/chrony.conf, /etc/ntp.conf"),
        "{said}"
    );
    let (made, said) = taken_over(&["configure", ""], &[timesyncd]);
    assert!(made.is_none() && said.contains("timesyncd.conf names no server"), "{said}");
    // A server that has lost its receiver would serve its own clock.
    let gps = ("chrony/chrony.conf", "refclock SHM 0\nallow\nlocal stratum 10\n");
    let (made, said) = taken_over(&["configure", ""], &[gps]);
    assert!(
        made.is_none() && said.contains("was not taken over, because with it the daemon would not start"),
        "{said}"
    );
    let (made, said) = taken_over(&["configure", ""], &[]);
    assert_eq!((made, said.as_str()), (None, ""));
}

#[test]
fn of_several_configurations_that_of_the_package_which_was_removed_last_is_taken_over() {
    if is_installed_here() || !bench::is_root() {
        return bench::skip("it needs root, and truechimer not installed");
    }
    let chrony = ("chrony/chrony.conf", "server chrony.example iburst\n");
    let ntpsec = ("ntpsec/ntp.conf", "server ntpsec.example iburst\n");
    let stray = ("ntp.conf", "server stray.example iburst\n");
    let named = ("systemd/timesyncd.conf", "[Time]\nNTP=timesyncd.example\n");
    let empty = ("systemd/timesyncd.conf", "[Time]\n#NTP=\n");
    for (files, removed, taken, passed_over) in [
        (
            &[chrony, stray, named][..],
            &["systemd-timesyncd", "chrony"][..],
            "chrony.example",
            &["/etc/ntp.conf"][..],
        ),
        (
            &[chrony, named],
            &["chrony", "systemd-timesyncd"],
            "timesyncd.example",
            &["/etc/chrony/chrony.conf"],
        ),
        (&[chrony, empty], &["chrony", "systemd-timesyncd"], "chrony.example", &[]),
        (
            &[chrony, ntpsec, stray],
            &["chrony", "ntpsec"],
            "ntpsec.example",
            &["/etc/chrony/chrony.conf", "/etc/ntp.conf"],
        ),
        // Its configuration has been deleted by hand.
        (&[ntpsec], &["ntpsec", "chrony"], "ntpsec.example", &[]),
    ] {
        let (made, said) = taken_over_from(&["configure", ""], files, removed);
        let made = made.unwrap_or_else(|| panic!("{removed:?}: {said}"));
        let sources: Vec<&str> = made.lines().filter(|line| line.starts_with("address = ")).collect();
        assert_eq!(sources, [format!("address = \"{taken}\"")], "{removed:?}: {said}");
        assert!(said.contains("the configuration of ") && said.contains(" (/etc/"), "{said}");
        let lines = said.lines().filter(|line| line.contains("was the last to be removed: "));
        let found: Vec<&str> = lines.filter_map(|line| line.rsplit(": ").next()).collect();
        assert_eq!(found, passed_over, "{removed:?}: {said}");
    }
    // What cannot be read is not replaced by what nobody means, and timesyncd's own servers are not those of a stray file.
    let (made, said) = taken_over_from(
        &["configure", ""],
        &[("chrony/chrony.conf", "server a.example\0\n"), stray, ntpsec],
        &["ntpsec", "chrony"],
    );
    assert!(made.is_none() && said.contains("was not taken over"), "{said}");
    let (made, said) = taken_over_from(&["configure", ""], &[empty, stray], &["systemd-timesyncd"]);
    assert!(made.is_none() && said.contains("timesyncd.conf names no server"), "{said}");
    assert!(said.contains("was the last to be removed: /etc/ntp.conf"), "{said}");
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
