//! A state directory that cannot be written: the clock is kept, nothing is refilled, and it is told.
//!
//! Each daemon is started in a mount namespace of its own, in which its state directory is another file system.

use bench::daemon::{Daemon, Setup, source};
use bench::forger::Forger;
use bench::manager::Manager;
use bench::nts::{NtsServer, counts};
use bench::programs::{Place, scripts, wait_for};
use ipc::governor_record::{PLACES, Record, SLOT};
use nix::fcntl::{FallocateFlags, fallocate};
use nix::sched::{CloneFlags, unshare};
use std::fs::File;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const TIMEOUT: Duration = Duration::from_secs(30);

/// Mounts over the state directory, whose path is `$state`.
const READ_ONLY: &str = "mount -t tmpfs -o size=64k,mode=755 tmpfs $state && mount -o remount,ro $state";
const FULL: &str =
    "mount -t tmpfs -o size=64k,mode=755 tmpfs $state; head -c 1M /dev/zero > $state/filler; true";
const WITHOUT_INODES: &str = "mount -t tmpfs -o nr_inodes=1,mode=755 tmpfs $state";
const TOO_SMALL: &str = "mount -t tmpfs -o size=16k,mode=755 tmpfs $state";
/// All files are there in full length, as after a restore of a backup, and nothing can be written into them.
const SPARSE: &str = "mount -t tmpfs -o size=64k,mode=755 tmpfs $state && (umask 077; cd $state; \
                      touch lock engine.state engine.keys engine.history engine.malfeasance engine.anchors; truncate -s 8192 governor; truncate -s 4718592 audit.log; \
                      head -c 1M /dev/zero > filler; true)";
/// What is there stays, and is read-only.
const REMOUNTED: &str = "mount --bind $state $state && mount -o remount,bind,ro $state";

fn trouble(setup: &Setup, script: &str) -> Setup {
    let script = format!(
        "state={}; {{ {script}; }} 2> /dev/null && exec \"$@\"",
        setup.place().join("state").display()
    );
    setup.clone().with_wrapper(&["unshare", "--mount", "--propagation", "private", "sh", "-c", &script, "sh"])
}

fn displace(setup: &Setup) {
    let far = ipc::units::Offset::saturating(700_000_000);
    setup.virtual_clock().meddle(|page| page.wall = page.wall.checked_add(far).expect("in range"));
}

/// `start_steps=` of the last start in this audit log.
fn start_steps(setup: &Setup, folder: &str) -> u32 {
    let log = std::fs::read(setup.place().join(folder).join("audit.log")).expect("the daemon made it");
    let log = String::from_utf8_lossy(&log).into_owned();
    let last = log.rfind(" start_steps=").unwrap_or_else(|| panic!("no start: {log}"));
    let number = log[last..].split(['=', ' ']).nth(2).expect("a number");
    number.parse().unwrap_or_else(|_| panic!("no number: {number}"))
}

fn is_told(daemon: &Daemon) {
    let status = daemon.ask("status").expect("it answers");
    assert!(status["state_elsewhere"].as_str().is_some_and(|why| why.contains("/state")), "{status:#}");
    let shown = daemon.chimerctl(&["status"]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("the state directory is not used"), "{shown:?}");
    let audit = daemon.chimerctl(&["audit"]);
    assert!(String::from_utf8_lossy(&audit.stdout).contains("event=start"), "{audit:?}");
    let told = daemon.log().lines().filter(|line| line.contains("the clock is kept")).count();
    assert_eq!(told, 1, "{}", daemon.log());
}

#[test]
fn a164_a_clock_is_kept_while_the_state_directory_cannot_be_written_and_a_restart_refills_nothing() {
    if !bench::is_root() {
        return bench::skip("mounts need root");
    }
    let forger = Forger::honest(HERE, 0);
    for script in [READ_ONLY, FULL, WITHOUT_INODES, TOO_SMALL, SPARSE] {
        let setup = Setup::new("unwritable", &source(forger.address())).with_virtual_clock(0, 0.0);
        let setup = trouble(&setup, script);
        let mut left = Vec::new();
        for _ in 0..3 {
            displace(&setup);
            let daemon = setup.start();
            is_told(&daemon);
            daemon.wait_until_synchronised(TIMEOUT);
            daemon
                .wait_until("right to 2 ms", TIMEOUT, |_| setup.virtual_clock().error_ns().abs() < 2_000_000);
            left.push(start_steps(&setup, "run"));
            assert_eq!(daemon.stop().code, Some(0), "{script}");
        }
        assert_eq!(left, [left[0], left[0] - 1, left[0] - 2], "{script}");
        // Where it can be written again, what was spent meanwhile stays spent.
        let setup = setup.with_wrapper(&[]);
        let daemon = setup.start();
        assert!(daemon.log().contains("was taken back"), "{script}: {}", daemon.log());
        assert_eq!(daemon.ask("status").expect("it answers")["state_elsewhere"], serde_json::Value::Null);
        assert_eq!(start_steps(&setup, "state"), left[0] - 3, "{script}");
        assert!(!setup.place().join("run/governor").exists());
        assert_eq!(daemon.stop().code, Some(0), "{script}");
    }
}

#[test]
fn check_warns_of_a_state_directory_without_room_and_is_content_with_one_that_has_it() {
    if !bench::is_root() {
        return bench::skip("mounts need root");
    }
    let setup = Setup::new("room", &source("192.0.2.1"));
    let few_inodes = "mount -t tmpfs -o nr_inodes=4,mode=755 tmpfs $state";
    let enough = "mount -t tmpfs -o nr_inodes=9,mode=755 tmpfs $state";
    for (script, words) in [
        ("true", None),
        (READ_ONLY, Some("Read-only")),
        (FULL, Some("too little free space")),
        (SPARSE, Some("too little free space")),
        (WITHOUT_INODES, Some("too few free inodes")),
        (few_inodes, Some("too few free inodes")),
        (enough, None),
    ] {
        let checked = trouble(&setup, script).with_argument("--check").run_to_end();
        assert_eq!(checked.code, Some(0), "{script}: {checked:?}");
        let told = checked.log.lines().find(|line| line.contains("/state: "));
        assert_eq!(told.is_some(), words.is_some(), "{script}: {checked:?}");
        assert!(words.is_none_or(|words| told.is_some_and(|told| told.contains(words))), "{checked:?}");
    }
}

/// Takes the room away that the next write of the governor's record needs: the older slot becomes a hole, and all else is filled.
fn fill(state: &Path) {
    let record = File::options().read(true).write(true).open(state.join("governor")).expect("ours");
    let slots = PLACES.map(|place| {
        let mut slot = [0; SLOT];
        record.read_exact_at(&mut slot, place).expect("two slots");
        slot
    });
    let newest = Record::newest(&slots).expect("it was written").place();
    let older = PLACES.into_iter().find(|place| *place != newest).expect("another");
    let hole = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    fallocate(&record, hole, older as i64, 4096).expect("a tmpfs has holes");
    let mut filler = File::create(state.join("filler")).expect("ours");
    while filler.write_all(&[1; 4096]).is_ok() {}
}

/// On a thread with a mount namespace of its own: its mounts are seen by the daemons that it starts, and by nobody else.
fn with_own_mounts(test: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNS).expect("root may");
            mount(&["--make-rprivate", "/"]);
            test();
        });
        thread.join().expect("see above");
    });
}

fn mount(words: &[&str]) {
    let status = Command::new("mount").args(words).status().expect("there is a mount");
    assert!(status.success(), "mount {words:?}: {status}");
}

/// A daemon whose state directory, on a file system that `mount` makes, cannot be written any more before its sources answer: what
/// `spoil` does shows as this `error`. Returns it after the start that follows, the clock being right.
fn moves(word: &str, mounts: impl FnOnce(&Path), spoil: impl FnOnce(&Path), error: &str) -> (Setup, u32) {
    let forger = Forger::start(HERE, 0, |_| Vec::new());
    let setup = Setup::new(word, &source(forger.address())).with_virtual_clock(700_000_000, 0.0);
    let place = Place::new(word);
    let manager = Manager::listen(&place);
    let state = setup.place().join("state");
    mounts(&state);
    let watched = manager.watch(setup.clone());
    let mut daemon = watched.start();
    assert!(daemon.ask("status").expect("it answers")["state_elsewhere"].is_null(), "{}", daemon.log());
    let all = start_steps(&setup, "state");
    spoil(&state);
    forger.change(|request| vec![request.with(|_| ())]);
    daemon.wait_until("refused", TIMEOUT, |daemon| daemon.status()["state"] == "refused");
    let status = daemon.status();
    let reason = status["reason"].as_str().expect("a sentence");
    assert!(reason.contains("(no-persist): the state directory cannot be written"), "{reason}");
    // It hears of the same state, a little later.
    let heard = || manager.heard().contains("STATUS=held by the governor (no-persist)").then_some(());
    assert!(wait_for(TIMEOUT, heard).is_some(), "{}", manager.heard());
    let exit = daemon.wait_for_end(Duration::from_secs(150));
    assert_eq!(exit.code, Some(75), "{exit:?}");
    assert!(exit.log.contains(&format!("cannot be written ({error}): the daemon ends")), "{exit:?}");
    assert!(setup.virtual_clock().error_ns().abs() > 600_000_000, "nothing was done before");
    // The start that follows goes on from the record on the disk, and sets the clock.
    let daemon = watched.start();
    is_told(&daemon);
    daemon.wait_until_synchronised(TIMEOUT);
    assert_eq!(start_steps(&setup, "run"), all);
    daemon.wait_until("right to 2 ms", TIMEOUT, |_| setup.virtual_clock().error_ns().abs() < 2_000_000);
    assert_eq!(daemon.stop().code, Some(0));
    (setup, all)
}

#[test]
fn a164_a_disk_that_is_full_before_the_sources_answer_moves_the_record_and_the_clock_is_set() {
    if !bench::is_root() {
        return bench::skip("mounts need root");
    }
    with_own_mounts(|| {
        let mounts = |state: &Path| {
            mount(&["-t", "tmpfs", "-o", "size=6m,mode=755", "tmpfs", state.to_str().expect("plain")]);
        };
        let (setup, all) = moves("fills", mounts, fill, "No space left on device");
        // What was spent there is not given back by the disk that has room again.
        std::fs::remove_file(setup.place().join("state/filler")).expect("ours");
        let daemon = setup.start();
        assert!(daemon.log().contains("was taken back"), "{}", daemon.log());
        assert_eq!(start_steps(&setup, "state"), all - 1);
        assert_eq!(daemon.stop().code, Some(0));
    });
}

#[test]
fn a164_a_disk_that_fails_before_the_sources_answer_moves_the_record_and_the_clock_is_set() {
    let place = Place::new("disk");
    let disk = place.join("disk");
    let make = |program: &str, words: &[&str]| {
        Command::new(program).args(words).status().is_ok_and(|status| status.success())
    };
    let path = disk.to_str().expect("plain");
    let is_made = make("truncate", &["--size=40M", path]) && make("mkfs.ext4", &["-q", "-F", path]);
    if !bench::is_root() || !is_made || !Path::new("/sys/fs/ext4").exists() {
        return bench::skip("it needs root, mkfs.ext4 and a kernel with ext4");
    }
    with_own_mounts(|| {
        let options = ["-t", "ext4", "-o", "loop,errors=remount-ro", path];
        let mounts = |state: &Path| mount(&[&options[..], &[state.to_str().expect("plain")]].concat());
        // The kernel takes it for damaged: what is open for writing stays so, and nothing is written any more.
        let spoil = |state: &Path| {
            let found =
                Command::new("findmnt").args(["-n", "-o", "SOURCE"]).arg(state).output().expect("found");
            let device = String::from_utf8_lossy(&found.stdout).trim().replace("/dev/", "");
            std::fs::write(format!("/sys/fs/ext4/{device}/trigger_fs_error"), "1").expect("root may");
        };
        moves("fails", mounts, spoil, "Read-only file system");
    });
}

#[test]
fn what_was_spent_before_the_state_directory_became_read_only_stays_spent() {
    if !bench::is_root() {
        return bench::skip("mounts need root");
    }
    let forger = Forger::honest(HERE, 0);
    let setup = Setup::new("remounted", &source(forger.address())).with_virtual_clock(700_000_000, 0.0);
    let run = |setup: &Setup, folder: &str| {
        let daemon = setup.start();
        daemon.wait_until_synchronised(TIMEOUT);
        assert_eq!(daemon.stop().code, Some(0));
        displace(setup);
        start_steps(setup, folder)
    };
    let read_only = trouble(&setup, REMOUNTED);
    let all = run(&setup, "state");
    assert_eq!(run(&read_only, "run"), all - 1);
    assert_eq!(run(&setup, "state"), all - 2);
    // And once more: the older record of the first time is not taken for a newer one.
    assert_eq!(run(&read_only, "run"), 0);
}

#[test]
fn a_record_that_cannot_be_read_counts_as_spent_also_where_nothing_can_be_written() {
    if !bench::is_root() {
        return bench::skip("mounts need root");
    }
    let forger = Forger::honest(HERE, 0);
    let setup = Setup::new("damaged", &source(forger.address())).with_virtual_clock(0, 0.0);
    assert_eq!(setup.start().stop().code, Some(0));
    std::fs::write(setup.place().join("state/governor"), [7; ipc::governor_record::LENGTH as usize])
        .expect("ours");
    let daemon = trouble(&setup, REMOUNTED).start();
    assert!(daemon.log().contains("budgets start empty"), "{}", daemon.log());
    assert_eq!(start_steps(&setup, "run"), 0);
}

fn nts(client: &Daemon, word: &str) -> u64 {
    client.sources()[0]["nts"][word].as_u64().unwrap_or_default()
}

/// Waits until this server has answered that many requests under the keys of its cookies.
fn wait_until_asked(server: &Daemon) {
    let protected = |server: &Daemon| counts(server)["server"]["protected"].as_u64().unwrap_or_default();
    server.wait_until("asked with cookies", TIMEOUT, |server| protected(server) > 2);
}

#[test]
fn a164_keys_and_cookies_go_along_to_the_run_directory_and_back() {
    if !bench::is_root() {
        return bench::skip("mounts need root");
    }
    for (script, starts) in [(READ_ONLY, "RR-"), (FULL, "R-"), (REMOUNTED, "-RR-R-")] {
        let server = NtsServer::new("nts-unwritable", &["127.0.0.1"], "");
        let setup =
            |step: char| if step == 'R' { trouble(&server.setup, script) } else { server.setup.clone() };
        let client =
            Setup::new("nts-client", &server.source("127.0.0.1", "")).with_virtual_clock(0, 0.0).start();
        for step in starts.chars() {
            let daemon = setup(step).start();
            wait_until_asked(&daemon);
            let elsewhere = daemon.ask("status").expect("it answers")["state_elsewhere"].is_string();
            assert_eq!(elsewhere, step == 'R', "{script}: {}", daemon.log());
            assert_eq!(daemon.stop().code, Some(0), "{script}");
        }
        // Every server opened the cookies of those before it.
        assert_eq!((nts(&client, "exchanges"), nts(&client, "naks")), (1, 0), "{script}");
        let left = std::fs::read(server.setup.place().join("run/engine.keys")).expect("the daemon made it");
        assert!(left.iter().all(|octet| *octet == 0), "{script}: keys are left in the run directory");
    }
}

#[test]
fn a164_a_client_of_nts_whose_state_directory_can_be_written_again_exchanges_no_keys() {
    if !bench::is_root() {
        return bench::skip("mounts need root");
    }
    let server = NtsServer::new("nts-server", &["127.0.0.1"], "");
    let _server = server.setup.start();
    let setup = Setup::new("nts-remounted", &server.source("127.0.0.1", "")).with_virtual_clock(0, 0.0);
    // What stands in a directory that cannot be written was perhaps sent by an earlier boot: it is not sent again.
    for (script, exchanges) in [("true", 1), (REMOUNTED, 1), (REMOUNTED, 0), ("true", 0), ("true", 0)] {
        let client = trouble(&setup, script).start();
        client.wait_until_synchronised(TIMEOUT);
        assert_eq!(nts(&client, "exchanges"), exchanges, "{script}: {}", client.log());
        assert_eq!(client.stop().code, Some(0));
    }
}

/// An upgrade that is taken back, and made again later.
#[test]
fn keys_that_a_later_build_wrote_are_there_when_it_comes_back() {
    let server = NtsServer::new("nts-later", &["127.0.0.1"], "");
    let _server = server.setup.start();
    let setup = Setup::new("nts-later-client", &server.source("127.0.0.1", "")).with_virtual_clock(0, 0.0);
    let client = setup.start();
    client.wait_until_synchronised(TIMEOUT);
    assert_eq!(client.stop().code, Some(0));
    let path = setup.place().join("state/engine.keys");
    let mut octets = std::fs::read(&path).expect("the daemon made it");
    let end = 36 + u32::from_be_bytes(octets[32..36].try_into().expect("four octets")) as usize;
    // Its form has another digit, and the checksum that belongs to it.
    octets[15] += 1;
    let check = ipc::checksum::checksum(&octets[..end]).to_be_bytes();
    octets[end..end + 8].copy_from_slice(&check);
    File::options().write(true).open(&path).expect("ours").write_all_at(&octets, 0).expect("ours");
    for _ in 0..2 {
        let client = setup.start();
        client.wait_until_synchronised(TIMEOUT);
        assert_eq!(nts(&client, "exchanges"), 1, "nothing of it is kept");
        assert!(client.log().contains("written by a later build"), "{}", client.log());
        assert_eq!(client.stop().code, Some(0));
        assert!(std::fs::read(&path).expect("it is there") == octets, "it was written");
    }
}

/// The programs, with an engine that looks at the state directory more often than once a minute.
fn with_frequent_looks() -> Place {
    scripts("frequent-looks", &["truechimer-engine"], "set -- \"$@\" state-looks=200")
}

#[test]
fn a164_of_a_mount_that_is_read_only_by_itself_no_return_is_promised() {
    if !bench::is_root() {
        return bench::skip("mounts need root");
    }
    let setup = Setup::new("own-mount", &source("192.0.2.1")).with_virtual_clock(0, 0.0);
    // Its file system is writable all the time, and what becomes of a mount elsewhere cannot be seen.
    for (script, is_promised) in [(REMOUNTED, false), (READ_ONLY, true)] {
        let daemon = trouble(&setup, script).start();
        let status = daemon.ask("status").expect("it answers");
        let why = status["state_elsewhere"].as_str().expect("told");
        assert_eq!(why.contains("it then returns there by a restart of its own"), is_promised, "{why}");
        assert_eq!(why.contains("systemctl restart truechimer"), !is_promised, "{why}");
        assert_eq!(daemon.stop().code, Some(0), "{script}");
    }
}

#[test]
fn a164_a_state_directory_that_gets_room_is_returned_to_by_a_restart_that_the_daemon_asks_for() {
    if !bench::is_root() {
        return bench::skip("mounts need root");
    }
    let forger = Forger::honest(HERE, 0);
    let places = Place::new("returns");
    let programs = with_frequent_looks();
    for (script, mend) in [
        (
            "mount -t tmpfs -o size=16m,mode=755 tmpfs $state && mount -o remount,ro $state",
            "mount -o remount,rw $state",
        ),
        (
            "mount -t tmpfs -o size=16m,mode=755 tmpfs $state; { head -c 20M /dev/zero > $state/filler; true; }",
            "rm $state/filler",
        ),
        ("mount -t tmpfs -o nr_inodes=1,mode=755 tmpfs $state", "mount -o remount,nr_inodes=100 $state"),
    ] {
        for is_managed in [true, false] {
            let setup = Setup::new("returns", &source(forger.address()))
                .with_virtual_clock(0, 0.0)
                .with_programs(programs.path().into());
            let manager = is_managed.then(|| Manager::listen(&places));
            let setup = manager.as_ref().map_or(setup.clone(), |manager| manager.watch(setup));
            // What ends the trouble is done outside the daemon's mount namespace, as an administrator does it.
            let awaited = format!(
                "{script} && ( ( for turn in $(seq 600); do test -e $state/../mend && break; sleep 0.1; done; {mend} ) & ) \
                 && set -- unshare --mount --propagation private \"$@\""
            );
            let mut daemon = trouble(&setup, &awaited).start();
            is_told(&daemon);
            daemon.wait_until_synchronised(TIMEOUT);
            std::fs::write(setup.place().join("mend"), "").expect("ours");
            if is_managed {
                let exit = daemon.wait_for_end(TIMEOUT);
                assert_eq!(exit.code, Some(75), "{script}: {exit:?}");
                assert!(exit.log.contains("can be written again: the daemon ends"), "{exit:?}");
                // A start that finds no room all the same waits twice as long for the next one.
                let returns = setup.place().join("run/returns");
                assert_eq!(std::fs::read(&returns).expect("noted"), [1], "{script}");
                let daemon = setup.clone().with_wrapper(&[]).start();
                assert!(!returns.exists(), "{script}: {}", daemon.log());
                assert_eq!(daemon.stop().code, Some(0), "{script}");
            } else {
                let told =
                    |daemon: &Daemon| daemon.log().contains("can be written again: restart truechimer");
                daemon.wait_until("told", TIMEOUT, told);
                assert!(daemon.is_synchronised());
                assert_eq!(daemon.stop().code, Some(0), "{script}");
            }
            drop(manager);
            let _ = std::fs::remove_file(places.join("notify"));
        }
    }
}
