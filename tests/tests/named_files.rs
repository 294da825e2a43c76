//! Files that are named to the daemon and to chimerctl: what lies in their place may be no file at all, and a private key
//! may be open to others. Nothing waits for the other end of a fifo, and what was in use stays in use.

use bench::daemon::{Daemon, Setup};
use bench::nts::NtsServer;
use bench::programs::{Place, program};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(20);

fn reload(daemon: &Daemon) -> (bool, String) {
    let file = daemon.setup().place().join("truechimer.toml").display().to_string();
    let output = daemon.chimerctl(&["reload", "--config", &file]);
    let all = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&all).into_owned())
}

fn certificate(daemon: &Daemon) -> String {
    String::from_utf8_lossy(&daemon.chimerctl(&["keys"]).stdout).into_owned()
}

/// Whether a new client gets keys.
fn serves(server: &NtsServer) -> bool {
    let client = Setup::new("nts-client", &server.source("127.0.0.1", "")).start();
    let ended = |client: &Daemon| {
        let nts = client.sources()[0]["nts"].clone();
        nts["exchanges"].as_u64() > Some(0) || nts["failures"].as_u64() > Some(0)
    };
    client.wait_until("told how its key exchange ended", TIMEOUT, ended);
    client.sources()[0]["nts"]["exchanges"].as_u64() > Some(0)
}

#[test]
fn a149_a_private_key_that_others_may_read_is_refused_with_the_remedy_at_a_start_and_at_a_reload() {
    let server = NtsServer::new("exposed", &["127.0.0.1"], "");
    let mode = |bits: u32| fs::set_permissions(server.trust.key(), Permissions::from_mode(bits)).unwrap();
    mode(0o644);
    let daemon = server.setup.start();
    let read = |daemon: &Daemon| !certificate(daemon).contains("not read yet");
    daemon.wait_until("done with the first reading", TIMEOUT, read);
    let said = certificate(&daemon);
    assert!(said.contains("every user may read or change it (mode 0644)"), "{said}");
    assert!(said.contains(&format!("chmod 640 {}", server.trust.key().display())), "{said}");
    assert!(!serves(&server), "the exposed key is used");
    mode(0o640);
    let (is_done, said) = reload(&daemon);
    assert!(is_done && serves(&server), "a key that its group may read: {said}");
    for (bits, why) in [(0o604, "every user"), (0o642, "every user"), (0o660, "its group may change it")] {
        mode(bits);
        let (is_done, said) = reload(&daemon);
        assert!(!is_done && said.contains(why) && said.contains("stays in use"), "{bits:o}: {said}");
    }
    assert!(serves(&server), "the key that was read before is no longer used");
    mode(0o600);
    let (is_done, said) = reload(&daemon);
    assert!(is_done, "{said}");
}

#[test]
fn a149_a_check_warns_of_a_private_key_that_others_may_read() {
    let server = NtsServer::new("exposed-check", &["127.0.0.1"], "");
    for (bits, is_told) in [(0o600, false), (0o640, false), (0o644, true), (0o620, true)] {
        fs::set_permissions(server.trust.key(), Permissions::from_mode(bits)).unwrap();
        let said = check(&server.setup);
        assert_eq!(said.contains("others may read or change it"), is_told, "{bits:o}: {said}");
    }
}

fn check(setup: &Setup) -> String {
    let mut command = Command::new(program("truechimerd"));
    command.args(["--check", "--config"]).arg(setup.place().join("truechimer.toml"));
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// What is no regular file, each in a place of its own. Their listeners hold the socket open.
fn impostors(place: &Place) -> (Vec<PathBuf>, UnixListener) {
    let at = |name: &str| place.join(name);
    mkfifo(&at("fifo"), Mode::from_bits_truncate(0o644)).unwrap();
    let listener = UnixListener::bind(at("socket")).unwrap();
    fs::create_dir(at("directory")).unwrap();
    symlink("/dev/zero", at("device")).unwrap();
    symlink(at("fifo"), at("link")).unwrap();
    (["fifo", "socket", "directory", "device", "link"].map(at).to_vec(), listener)
}

#[test]
fn what_is_no_regular_file_in_the_place_of_key_or_certificate_is_neither_waited_for_nor_read() {
    let server = NtsServer::new("impostors", &["127.0.0.1"], "");
    let daemon = server.setup.start();
    daemon.wait_until("in possession of a certificate", TIMEOUT, |daemon| {
        certificate(daemon).contains("in use until")
    });
    for (file, what) in [(server.trust.key(), "private key"), (server.trust.chain(), "certificate")] {
        let folder = file.parent().unwrap();
        let aside = folder.join("aside");
        for kind in ["fifo", "socket", "directory", "long"] {
            fs::rename(file, &aside).unwrap();
            let mut held = None;
            match kind {
                "fifo" => mkfifo(file, Mode::from_bits_truncate(0o600)).unwrap(),
                "socket" => held = Some(UnixListener::bind(file).unwrap()),
                "directory" => fs::create_dir(file).unwrap(),
                _ => {
                    // Sparse: no octet of it is on the disk.
                    fs::File::create(file).unwrap().set_len(1 << 40).unwrap();
                }
            }
            if bench::is_root() {
                let owner = fs::metadata(&aside).unwrap();
                let (uid, gid) = (
                    std::os::unix::fs::MetadataExt::uid(&owner),
                    std::os::unix::fs::MetadataExt::gid(&owner),
                );
                std::os::unix::fs::chown(file, Some(uid), Some(gid)).unwrap();
            }
            if kind != "directory" {
                fs::set_permissions(
                    file,
                    Permissions::from_mode(if what == "certificate" { 0o644 } else { 0o600 }),
                )
                .unwrap();
            }
            let (is_done, said) = reload(&daemon);
            let why = if kind == "long" { "is longer than" } else { "is no regular file and was not read" };
            assert!(!is_done && said.contains(why) && said.contains(what), "{what} as {kind}: {said}");
            assert!(said.contains("stays in use"), "{said}");
            drop(held);
            if kind == "directory" { fs::remove_dir(file) } else { fs::remove_file(file) }.unwrap();
            fs::rename(&aside, file).unwrap();
            // The key is read ten times at once, and then once a second.
            std::thread::sleep(Duration::from_millis(1100));
        }
    }
    assert!(serves(&server));
    let (is_done, said) = reload(&daemon);
    assert!(is_done, "{said}");
}

#[test]
fn roots_that_are_no_regular_file_end_a_key_exchange_with_its_reason() {
    let server = NtsServer::new("roots", &["127.0.0.1"], "");
    let _daemon = server.setup.start();
    let place = Place::new("no-roots");
    let (files, _listener) = impostors(&place);
    for file in files {
        let configuration = format!(
            "[[source]]\naddress = \"127.0.0.1:{}\"\nmode = \"nts\"\nroots = \"{}\"\n",
            server.key_port,
            file.display()
        );
        let client = Setup::new("roots", &configuration).start();
        let told = |client: &Daemon| client.sources()[0]["nts"]["last_exchange"].to_string().contains("root");
        client.wait_until(&format!("told of {}", file.display()), TIMEOUT, told);
    }
}

fn chimerctl(words: &[&str], file: &Path) -> Output {
    Command::new(program("chimerctl")).args(words).arg(file).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn chimerctl_neither_waits_for_nor_reads_what_is_no_regular_file() {
    let place = Place::new("chimerctl-files");
    let (files, _listener) = impostors(&place);
    for file in files {
        for words in
            [&["audit", "--file"][..], &["audit", "--verify", "--file"], &["replay"], &["reload", "--config"]]
        {
            let output = chimerctl(words, &file);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(
                !output.status.success() && said.contains("no regular file"),
                "{words:?} {}: {said}",
                file.display()
            );
        }
    }
}

/// What chimerctl says to these words, and whether it is content.
fn says(daemon: &Daemon, words: &[&str]) -> (bool, String) {
    let output = daemon.chimerctl(words);
    let all = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&all).into_owned())
}

#[test]
fn chimerctl_finds_the_configuration_and_the_audit_log_of_the_daemon_that_it_asks() {
    let server = "[server]\nlisten = [\"127.0.0.1:PORT\"]\nallow = [\"127.0.0.0/8\"]\n"
        .replace("PORT", &bench::programs::free_port().to_string());
    let sources = ["192.0.2.1", "192.0.2.2"].map(bench::daemon::source).concat();
    let setup = Setup::new("paths", &format!("{server}{sources}"));
    let daemon = setup.start();
    let (is_done, said) = says(&daemon, &["audit", "--verify"]);
    assert!(is_done && said.contains("in order"), "{said}");
    assert!(says(&daemon, &["audit"]).1.contains("event=start"));
    let file = setup.place().join("truechimer.toml");
    let read = format!("reload: read {}: nothing new\n", file.display());
    assert_eq!(says(&daemon, &["reload"]), (true, read));
    let named = says(&daemon, &["audit", "--last", "1"]).1;
    assert!(
        named.contains(&format!("chimerctl: read {}", setup.place().join("state/audit.log").display())),
        "{named}"
    );
    // A file that an editor has put in the place of the other.
    let replace = |text: &str| {
        fs::write(setup.place().join("new"), text).expect("ours");
        fs::rename(setup.place().join("new"), &file).expect("ours");
    };
    for (text, expected) in [
        (
            format!("{server}local-stratum = 3\nthreads = 3\n"),
            "sources removed: 192.0.2.1, 192.0.2.2; access rules, limits, keys or stratum of the server; not in force before a \
             restart: [server] has changed: threads",
        ),
        (sources.clone(), "[server] was removed, and clients are still served"),
        (
            format!("{server}{}", bench::daemon::source("ntp.example.org")),
            "in force now: access rules, limits, keys or stratum of the server; not in force before a restart: sources: \
             ntp.example.org (the process that looks up names",
        ),
        (
            format!(
                "{server}{}[clock]\nmax-slew-ppm = 50\n[governor]\nprofile = \"strict\"\n",
                ["192.0.2.1", "192.0.2.3"].map(bench::daemon::source).concat()
            ),
            "[clock]: max-slew-ppm; not in force before a restart: [clock] has changed: leap-seconds; [governor] has \
             changed: profile",
        ),
    ] {
        replace(&text);
        let (is_done, said) = says(&daemon, &["reload"]);
        assert!(
            is_done && said.contains("not in force before a restart") && said.contains(expected),
            "{said}"
        );
    }
    let asked: Vec<_> = daemon.sources().iter().map(|source| source["name"].clone()).collect();
    assert_eq!(asked, ["192.0.2.1", "192.0.2.3"]);
    let told = |daemon: &Daemon| daemon.log().contains("sources: added 192.0.2.3; removed 192.0.2.2");
    daemon.wait_until("told in the log as well", TIMEOUT, told);
    // The paths are those of the launch alone: whoever else could have written them is not believed.
    let paths = setup.place().join("run").join(ipc::paths::NAME);
    fs::set_permissions(&paths, Permissions::from_mode(0o666)).expect("ours");
    assert!(!says(&daemon, &["audit", "--file", "/nonexistent"]).0);
    for (words, option) in
        [(&["reload"][..], "--config"), (&["audit"], "--file"), (&["audit", "--verify"], "--file")]
    {
        let (is_done, said) = says(&daemon, words);
        assert!(!is_done && said.contains(&format!("name it with {option}")), "{said}");
    }
}

#[test]
fn a_certificate_elsewhere_is_not_read_by_a_reload_which_says_so_and_fails() {
    let server = NtsServer::new("elsewhere", &["127.0.0.1"], "");
    let daemon = server.setup.start();
    let chain = server.trust.chain().display().to_string();
    let (is_done, said) = reload(&daemon);
    assert!(is_done && said.contains(&format!("certificate: read {chain} and its key ")), "{said}");
    let file = server.setup.place().join("truechimer.toml");
    let elsewhere = Path::new(&chain).parent().unwrap().join("elsewhere.pem");
    fs::copy(&chain, &elsewhere).unwrap();
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace(&chain, &elsewhere.display().to_string())).unwrap();
    let (is_done, said) = reload(&daemon);
    assert!(!is_done && said.contains(&format!("certificate: read {chain} and its key ")), "{said}");
    assert!(said.contains("[server.nts] has changed: certificate"), "{said}");
    assert!(said.contains("the one that the file names is taken up by a restart"), "{said}");
}
