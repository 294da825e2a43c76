//! Files of wrong owners, modes and types: a refusal contains the remedy, and a repair is reported once.

#[path = "owners_and_modes/again.rs"]
mod again;

use bench::daemon::{Exit, Setup, source};
use bench::forger::Forger;
use bench::manager::Manager;
use bench::nts::NtsServer;
use bench::programs::free_port;
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const TIMEOUT: Duration = Duration::from_secs(30);
const NOBODY: u32 = 65_534;

const STATE: &str =
    "governor audit.log engine.state engine.keys engine.history engine.malfeasance engine.anchors";

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("ours");
}

fn give_to_nobody(path: &Path) {
    chown(path, Some(NOBODY), Some(NOBODY)).expect("root may");
}

fn lacks_root() -> bool {
    let lacks = !bench::is_root();
    if lacks {
        bench::skip("only root gives files away");
    }
    lacks
}

/// A daemon whose source does not have to answer.
fn idle(word: &str) -> Setup {
    Setup::new(word, &source(format!("127.0.0.1:{}", free_port())))
}

fn check(setup: &Setup) -> Exit {
    let output = setup.command().arg("--check").output().expect("it can be executed");
    Exit {
        code: output.status.code(),
        signal: None,
        log: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Check and start end with 78 and report all of this in one line.
fn are_refused(setup: &Setup, words: &[&str]) {
    for exit in [check(setup), setup.run_to_end()] {
        assert_eq!(exit.code, Some(78), "{exit:?}");
        let says = |line: &&str| words.iter().all(|word| line.contains(word));
        assert!(exit.log.lines().any(|line| says(&line)), "not {words:?}: {exit:?}");
        assert!(exit.log.lines().count() == 1, "{exit:?}");
    }
}

#[test]
fn check_and_start_read_a_configuration_by_its_owner_and_mode_alone() {
    if lacks_root() {
        return;
    }
    for (owner, bits, remedy) in [
        (NOBODY, 0o600, "chown root:root"),
        (0, 0, "chmod 0600"),
        (0, 0o200, "chmod 0600"),
        (NOBODY, 0, "chown root:root"),
    ] {
        let setup = idle("unreadable");
        let file = setup.place().join("truechimer.toml");
        chown(&file, Some(owner), Some(owner)).expect("root may");
        mode(&file, bits);
        are_refused(&setup, &[&file.display().to_string(), &format!("mode {bits:04o}"), remedy]);
    }
    let setup = idle("barred");
    let (file, inner) = (setup.place().join("truechimer.toml"), setup.place().join("inner"));
    fs::create_dir(&inner).expect("ours");
    fs::rename(&file, inner.join("real.toml")).expect("ours");
    symlink("inner/real.toml", &file).expect("ours");
    mode(&inner, 0o755);
    assert_eq!(check(&setup).code, Some(0));
    mode(&inner, 0);
    are_refused(&setup, &[&inner.display().to_string(), "mode 0000", "chmod 0755"]);
    give_to_nobody(&inner);
    mode(&inner, 0o700);
    are_refused(&setup, &["owner nobody (65534), mode 0700", "put the file into a directory of root's"]);
}

#[test]
fn a_configuration_that_is_no_file_is_named_with_what_it_is() {
    type Kind = (&'static str, fn(&Path));
    let kinds: [Kind; 6] = [
        ("is a directory; name a regular file", |path| fs::create_dir(path).expect("ours")),
        ("is a fifo; name a regular file", |path| mkfifo(path, Mode::S_IRUSR).expect("ours")),
        ("is a socket or a device; name a regular file", |path| {
            drop(UnixListener::bind(path).expect("ours"))
        }),
        ("points to nowhere, and ", |path| symlink("nowhere", path).expect("ours")),
        ("symbolic links in a circle; remove them", |path| symlink("truechimer.toml", path).expect("ours")),
        ("is not there; the service unit hides /root/no-such", |path| {
            symlink("/root/no-such/file", path).expect("ours");
        }),
    ];
    for (sentence, make) in kinds {
        if sentence.contains("/root") && !bench::is_root() {
            continue;
        }
        let setup = idle("kind");
        let file = setup.place().join("truechimer.toml");
        fs::remove_file(&file).expect("ours");
        make(&file);
        are_refused(&setup, &[&file.display().to_string(), sentence]);
    }
}

#[test]
fn check_warns_of_what_the_unit_hides_and_of_users_that_are_missing() {
    let setup = idle("hidden");
    let hidden =
        ["/tmp", "/var/tmp", "/home", "/root"].iter().any(|place| setup.place().path().starts_with(place));
    let record = check(&setup.clone().with_argument("--record").with_argument("/home/x/record"));
    assert_eq!(record.code, Some(0), "{record:?}");
    assert!(record.log.contains("--record /home/x/record leads to /home"), "{record:?}");
    assert!(record.log.contains("ProtectHome="), "{record:?}");
    assert_eq!(record.log.contains("truechimerd: the configuration "), hidden, "{record:?}");
    let passwd = fs::read_to_string("/etc/passwd").expect("it is there");
    if lacks_root() || passwd.contains("truechimer-clock:") {
        return;
    }
    let program = bench::programs::program("truechimerd");
    let config = setup.place().join("truechimer.toml");
    let output = std::process::Command::new(program).arg("--check").arg("--config").arg(config).output();
    let output = output.expect("it can be executed");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("no user truechimer-clock"), "{output:?}");
}

#[test]
fn a_configuration_that_others_can_change_is_refused_and_one_that_a_group_can_move_is_told() {
    let setup = idle("shared");
    let file = setup.place().join("truechimer.toml");
    for bits in [0o664, 0o646, 0o666] {
        mode(&file, bits);
        are_refused(&setup, &[&format!("mode {bits:04o}"), "chmod 0644"]);
    }
    mode(&file, 0o644);
    mode(setup.place().path(), 0o777);
    are_refused(&setup, &["can be written by everybody", "mode 0777", "chmod 0755"]);
    mode(setup.place().path(), 0o1777);
    assert_eq!(check(&setup).code, Some(0));
    mode(setup.place().path(), 0o775);
    let told = check(&setup);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(told.log.contains("can be written by a group"), "{told:?}");
    let daemon = setup.start();
    assert_eq!(daemon.log().matches("can be written by a group").count(), 1, "{}", daemon.log());
    assert_eq!(daemon.stop().code, Some(0));
    mode(setup.place().path(), 0o755);
    if lacks_root() {
        return;
    }
    give_to_nobody(&file);
    are_refused(&setup, &["owner nobody (65534)", "chown root:root"]);
    chown(&file, Some(0), Some(0)).expect("root may");
    give_to_nobody(setup.place().path());
    are_refused(&setup, &["belongs to another user", "chown root:root"]);
}

/// A daemon that has corrected its clock once, so that it has state to lose.
fn used(forger: &Forger) -> Setup {
    let setup = Setup::new("used", &source(forger.address())).with_virtual_clock(1_000_000, 0.0);
    let daemon = setup.start();
    daemon.wait_until_synchronised(TIMEOUT);
    assert_eq!(daemon.stop().code, Some(0));
    setup
}

type Wrong = (&'static str, fn(&Path));

/// The faults of a file; a word of the message about each.
const MENDED: [Wrong; 3] = [
    ("mode 0600 again", |file| mode(file, 0)),
    ("mode 0600 again", |file| mode(file, 0o400)),
    ("mode 0600 again", |file| mode(file, 0o700)),
];

const SET_ASIDE: [Wrong; 6] = [
    ("could be written by others", |file| mode(file, 0o666)),
    ("has 2 names", |file| fs::hard_link(file, file.with_extension("other")).expect("ours")),
    ("is a directory", |file| {
        fs::remove_file(file).expect("ours");
        fs::create_dir(file).expect("ours");
        fs::write(file.join("inside"), "x").expect("ours");
    }),
    ("is a fifo", |file| {
        fs::remove_file(file).expect("ours");
        mkfifo(file, Mode::S_IRUSR | Mode::S_IWUSR).expect("ours");
    }),
    ("is a socket", |file| {
        fs::remove_file(file).expect("ours");
        drop(UnixListener::bind(file).expect("ours"));
    }),
    ("belongs to another user (owner nobody (65534)", |file| {
        mode(file, 0o600);
        give_to_nobody(file);
    }),
];

#[test]
fn a146_state_files_of_wrong_owner_mode_or_kind_are_mended_or_begun_afresh_and_said_once() {
    let forger = Forger::honest(HERE, 0);
    let root = bench::is_root();
    for name in STATE.split(' ') {
        let setup = used(&forger);
        let file = setup.place().join("state").join(name);
        let readable: Wrong = match name {
            "engine.keys" => ("could be read by others", |file| mode(file, 0o644)),
            _ => ("mode 0600 again", |file| mode(file, 0o644)),
        };
        for (word, spoil) in MENDED.into_iter().chain([readable]).chain(SET_ASIDE) {
            if word.contains("nobody") && !root {
                continue;
            }
            spoil(&file);
            let daemon = setup.start();
            let log = daemon.log();
            let said: Vec<&str> =
                log.lines().filter(|line| line.contains(&file.display().to_string())).collect();
            assert!(said.len() == 1 && said[0].contains(word), "{name}, {word}: {log}");
            let facts = fs::symlink_metadata(&file).expect("it is there");
            let is_ours = facts.is_file() && facts.nlink() == 1 && facts.mode() & 0o7777 == 0o600;
            assert!(is_ours && facts.uid() == nix::unistd::geteuid().as_raw(), "{name}, {word}: {facts:?}");
            // A missing record refills no budget; nor does the loss of the log that would show it.
            if name == "governor" && !word.contains("again") {
                assert!(log.contains("budgets start empty"), "{word}: {log}");
            }
            assert_eq!(daemon.stop().code, Some(0), "{name}, {word}");
            let daemon = setup.start();
            let log = daemon.log();
            assert!(!log.contains(&file.display().to_string()), "{name}, {word}, said twice: {log}");
            assert_eq!(daemon.stop().code, Some(0), "{name}, {word}");
            let _ = fs::remove_file(file.with_extension("other"));
        }
    }
}

#[test]
fn a_link_of_another_user_on_the_way_to_the_configuration_is_refused() {
    if lacks_root() {
        return;
    }
    let setup = idle("linked");
    let (file, link) = (setup.place().join("truechimer.toml"), setup.place().join("link.toml"));
    fs::rename(&file, setup.place().join("real.toml")).expect("ours");
    symlink("real.toml", &link).expect("ours");
    std::os::unix::fs::lchown(&link, Some(NOBODY), Some(NOBODY)).expect("root may");
    symlink("link.toml", &file).expect("ours");
    are_refused(&setup, &["link.toml, a symbolic link that belongs to another user", "chown -h root:root"]);
    std::os::unix::fs::lchown(&link, Some(0), Some(0)).expect("root may");
    assert_eq!(setup.start().stop().code, Some(0));
}

#[test]
fn a146_no_name_in_the_state_directory_leads_to_a_file_outside() {
    let forger = Forger::honest(HERE, 0);
    for name in STATE.split(' ') {
        for is_hard in [false, true] {
            let setup = used(&forger);
            let (file, victim) = (setup.place().join("state").join(name), setup.place().join("victim"));
            fs::write(&victim, "precious").expect("ours");
            mode(&victim, 0o640);
            fs::remove_file(&file).expect("ours");
            if is_hard {
                fs::hard_link(&victim, &file).expect("ours");
                assert_eq!(setup.start().stop().code, Some(0), "{name}");
            } else {
                symlink(&victim, &file).expect("ours");
                let exit = setup.run_to_end();
                assert_eq!(exit.code, Some(78), "{exit:?}");
                assert!(exit.log.contains(&format!("remove it (rm {})", file.display())), "{exit:?}");
            }
            let facts = fs::metadata(&victim).expect("it is there");
            assert_eq!(fs::read_to_string(&victim).expect("ours"), "precious", "{name}");
            assert_eq!(
                (facts.mode() & 0o7777, facts.uid()),
                (0o640, nix::unistd::geteuid().as_raw()),
                "{name}"
            );
        }
    }
}

#[test]
fn a157_a_file_of_a_running_instance_is_not_moved_out_of_its_way() {
    let setup = idle("first");
    let first = setup.start();
    mode(&setup.place().join("state/governor"), 0o666);
    let second = setup.command().output().expect("it can be executed");
    assert_eq!(second.status.code(), Some(75), "{second:?}");
    assert!(!setup.place().join("state/governor.distrusted").exists());
    assert_eq!(first.stop().code, Some(0));
}

#[test]
fn directories_in_wrong_hands_and_what_is_in_the_sockets_place_are_named_with_a_remedy() {
    let refused = |setup: &Setup, words: &[&str]| {
        let exit = setup.run_to_end();
        assert_eq!(exit.code, Some(78), "{exit:?}");
        assert!(words.iter().all(|word| exit.log.contains(word)), "not {words:?}: {exit:?}");
    };
    let setup = idle("place");
    let socket = setup.place().join("run/control.sock");
    fs::create_dir(&socket).expect("ours");
    assert_eq!(setup.start().stop().code, Some(0));
    let _ = fs::remove_file(&socket);
    fs::create_dir_all(socket.join("inside")).expect("ours");
    refused(&setup, &["control.sock", "a directory is in the place of a file: remove it"]);
    fs::remove_dir_all(&socket).expect("ours");
    for name in ["state", "run"] {
        let directory = setup.place().join(name);
        mode(&directory, 0o777);
        refused(&setup, &["writable by others", "mode 0777", "chmod 0755"]);
        mode(&directory, 0o755);
        if bench::is_root() {
            give_to_nobody(&directory);
            for bits in [0o700, 0o755] {
                mode(&directory, bits);
                refused(&setup, &["owner nobody (65534)", "chown root:root"]);
            }
            chown(&directory, Some(0), Some(0)).expect("root may");
        }
        let elsewhere = setup.place().join("elsewhere");
        fs::rename(&directory, &elsewhere).expect("ours");
        refused(&setup, &["no such directory; make it"]);
        fs::write(&directory, "x").expect("ours");
        refused(&setup, &["is not a directory; name a directory, or remove"]);
        fs::remove_file(&directory).expect("ours");
        fs::rename(&elsewhere, &directory).expect("ours");
    }
    assert_eq!(setup.start().stop().code, Some(0));
}

#[test]
fn a_start_that_fails_leaves_its_reason_with_the_service_manager() {
    type Break = (&'static str, fn(&Setup) -> Setup);
    let breaks: [Break; 5] = [
        ("STATUS=--clok: no such option", |setup| setup.clone().with_argument("--clok")),
        ("is a symbolic link, which is not followed; remove it", |setup| {
            symlink("x", setup.place().join("state/engine.state")).expect("ours");
            setup.clone()
        }),
        ("STATUS=the configuration is not in order; the log says what", |setup| {
            setup.configure("nonsense");
            setup.clone()
        }),
        ("mode 0666", |setup| {
            mode(&setup.place().join("truechimer.toml"), 0o666);
            setup.clone()
        }),
        ("truechimer-keeper-virtual cannot be started", |setup| {
            setup.clone().with_argument("--programs").with_argument("/usr/share")
        }),
    ];
    for (word, spoil) in breaks {
        let setup = spoil(&idle("status"));
        let manager = Manager::listen(setup.place());
        let exit = manager.watch(setup).run_to_end();
        assert!(exit.code.is_some_and(|code| code != 0), "{exit:?}");
        let heard = manager.heard();
        let last = heard.lines().last().unwrap_or_default();
        assert!(last.starts_with("STATUS=") && last.contains(word), "{word}: {heard}");
        assert!(last.chars().count() < 420, "{heard}");
    }
    // A check does not report to the service manager.
    let setup = idle("status");
    let manager = Manager::listen(setup.place());
    setup.configure("nonsense");
    assert_eq!(check(&manager.watch(setup.clone())).code, Some(78));
    assert_eq!(manager.heard(), "");
}

#[test]
fn a140_an_audit_log_that_was_overwritten_is_told_at_the_next_start_and_only_there() {
    let forger = Forger::honest(HERE, 0);
    let spoil: [fn(&mut Vec<u8>); 3] =
        [|log| log[384..484].fill(b'x'), |log| log[..384].fill(0), |log| log.truncate(384)];
    for change in spoil {
        let setup = used(&forger);
        assert_eq!(setup.start().stop().code, Some(0));
        let file = setup.place().join("state/audit.log");
        let mut octets = fs::read(&file).expect("ours");
        change(&mut octets);
        fs::write(&file, octets).expect("ours");
        for times in [1, 0] {
            let daemon = setup.start();
            let said = || daemon.log().matches("truechimerd: audit.log does not ").count();
            assert_eq!(said(), times, "{}", daemon.log());
            assert_eq!(daemon.stop().code, Some(0));
        }
    }
}

#[test]
fn check_warns_of_roots_certificates_and_keys_that_their_readers_cannot_read() {
    if lacks_root() {
        return;
    }
    let server = NtsServer::new("named", &["127.0.0.1"], "");
    let roots = server.trust.roots().display().to_string();
    let client = Setup::new(
        "named",
        &format!(
            "[[source]]\naddress = \"127.0.0.1:{}\"\nmode = \"nts\"\nroots = \"{roots}\"\n",
            server.key_port
        ),
    );
    let says = |setup: &Setup, words: &[&str]| {
        let exit = check(setup);
        assert_eq!(exit.code, Some(0), "{exit:?}");
        let is_said = exit.log.lines().any(|line| words.iter().all(|word| line.contains(word)));
        assert!(is_said, "not {words:?}: {exit:?}");
    };
    for setup in [&server.setup, &client] {
        assert!(!check(setup).log.contains("cannot be used: "), "{:?}", check(setup));
    }
    mode(server.trust.key(), 0);
    says(&server.setup, &["the key ", "mode 0000; chmod u+r"]);
    mode(server.trust.chain(), 0o600);
    chown(server.trust.chain(), Some(0), Some(0)).expect("root may");
    says(&server.setup, &["the certificate ", "mode 0600; chmod a+r"]);
    fs::remove_file(server.trust.key()).expect("ours");
    says(&server.setup, &["the key ", "No such file"]);
    fs::remove_file(server.trust.chain()).expect("ours");
    says(&server.setup, &["the certificate ", "No such file"]);
    mode(server.trust.roots().as_path(), 0o600);
    says(&client, &["the file of roots ", "mode 0600; chmod a+r"]);
    fs::remove_file(&roots).expect("ours");
    says(&client, &["the file of roots ", "No such file"]);
    fs::create_dir(&roots).expect("ours");
    says(&client, &["the file of roots ", "it is a directory"]);
}

#[test]
fn a_reload_refuses_what_a_start_would_and_leaves_all_as_it_was() {
    if lacks_root() {
        return;
    }
    let text = format!(
        "[server]\nlisten = [\"127.0.0.1:{}\"]\nallow = [\"127.0.0.0/8\"]\nlocal-stratum = 3\n",
        free_port()
    );
    let setup = Setup::new("reload", &text);
    let file = setup.place().join("truechimer.toml");
    let daemon = setup.start();
    let config = file.display().to_string();
    let reload = || daemon.chimerctl(&["reload", "--config", &config]);
    for (owner, bits) in [(NOBODY, 0o644), (0, 0o666), (0, 0o664)] {
        chown(&file, Some(owner), Some(owner)).expect("root may");
        mode(&file, bits);
        let seen = format!(
            "(owner {owner}, mode {bits:04o}), and with it the time; chown root:root {config}; chmod 0644"
        );
        let refused = reload();
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains(&seen), "{said}");
        let before = daemon.log();
        daemon.signal(daemon.pid(), Signal::SIGHUP);
        daemon.wait_until("a reload that is refused", TIMEOUT, |daemon| {
            daemon.log()[before.len()..].contains(&seen)
        });
        assert!(
            daemon.log()[before.len()..].contains("is not in order and stays as it was"),
            "{}",
            daemon.log()
        );
    }
    chown(&file, Some(0), Some(0)).expect("root may");
    let secret =
        "[server.nts]\nfleet-secret = \"kT9sV2mQ8xL4pR7wB1nZ6cJ3fH5dG0yA\"\nfleet-since = \"2026-11-01\"\n";
    setup.configure(&format!("{text}{secret}"));
    for (bits, is_taken) in [(0o644, false), (0o600, true)] {
        mode(&file, bits);
        let reloaded = reload();
        assert_eq!(reloaded.status.success(), is_taken, "{bits:o}: {reloaded:?}");
        let said = String::from_utf8_lossy(&reloaded.stderr).into_owned();
        assert!(is_taken || said.contains("others than its owner may read or change it"), "{said}");
        let page = String::from_utf8_lossy(&reloaded.stdout).into_owned();
        assert!(!is_taken || page.contains("not in force before a restart: [server.nts] is new"), "{page}");
    }
}
