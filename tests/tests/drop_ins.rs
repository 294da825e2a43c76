//! Drop-ins beside the configuration, and what programs leave in the run directory: read at a start and at a reload.

use bench::daemon::{Daemon, Setup, source};
use bench::own_files::put;
use bench::seen::{all_answer, names, pids, server};
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(20);

fn drop_in(setup: &Setup, name: &str, text: Option<&str>) -> PathBuf {
    put(setup, "truechimer.d", name, text)
}

fn program(setup: &Setup, name: &str, text: Option<&str>) -> PathBuf {
    put(setup, "run/sources.d", name, text)
}

fn says(daemon: &Daemon, words: &[&str]) -> (bool, String) {
    let output = daemon.chimerctl(words);
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    (output.status.success(), text)
}

#[test]
fn drop_ins_are_read_at_the_start_and_at_each_reload() {
    let (_server, places) = server(3);
    let setup = Setup::new("drop-ins", &source(&places[0])).with_virtual_clock(-2_000_000_000, 20.0);
    drop_in(&setup, "10-a.toml", Some(&source(&places[1])));
    drop_in(&setup, "20-b.toml", Some("[clock]\nmax-slew-ppm = 50\n"));
    let checked = setup.clone().with_argument("--check").run_to_end();
    assert_eq!(checked.code, Some(0), "{}", checked.log);
    let client = setup.start();
    assert_eq!(names(&client), places[..2]);
    client.wait_until_synchronised(TIMEOUT);
    client.wait_until("both answer", TIMEOUT, all_answer);
    let (began, sent) = (pids(&client), client.sources()[0]["sent"].as_u64());
    // One goes, one comes, one is changed.
    drop_in(&setup, "10-a.toml", None);
    drop_in(&setup, "20-b.toml", Some("[clock]\nmax-slew-ppm = 60\n"));
    drop_in(&setup, "30-c.toml", Some(&source(&places[2])));
    let (is_done, said) = says(&client, &["reload"]);
    let expected = format!(
        "/truechimer.toml, 2 drop-ins: in force now: sources added: {}; sources removed: {}; [clock]: max-slew-ppm\n",
        places[2], places[1]
    );
    assert!(is_done && said.ends_with(&expected), "{said}");
    assert!(client.is_synchronised() && pids(&client) == began);
    assert!(client.sources()[0]["sent"].as_u64() >= sent, "it was not begun anew");
    // A signal, on which no process opens anything by name, takes nothing of it away.
    client.signal(client.pid(), nix::sys::signal::Signal::SIGHUP);
    client.wait_until("told how drop-ins are read", TIMEOUT, |client| {
        client.lines("drop-ins, keys and files of programs are read by chimerctl reload") == 1
    });
    assert_eq!(names(&client), [places[0].clone(), places[2].clone()]);
    // A faulty one changes nothing, and is named with its line.
    let faulty = drop_in(&setup, "40-d.toml", Some("[clock]\nmax-slew-ppm = 0\n"));
    drop_in(&setup, "30-c.toml", None);
    let (is_done, said) = says(&client, &["reload"]);
    assert!(!is_done && said.contains(&format!("{}:2: max-slew-ppm: expected", faulty.display())), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert_eq!(names(&client), [places[0].clone(), places[2].clone()]);
    assert!(client.is_synchronised());
    client.stop();
    let refused = setup.run_to_end();
    assert_eq!(refused.code, Some(78), "{}", refused.log);
    assert!(refused.log.contains("/truechimer.d/40-d.toml:2: max-slew-ppm: expected"), "{}", refused.log);
}

#[test]
fn the_check_names_the_files_that_were_read_and_the_key_that_two_drop_ins_set() {
    let setup = Setup::new("check", &source("192.0.2.1"));
    let one = drop_in(&setup, "1.toml", Some("[clock]\nmax-slew-ppm = 50\n"));
    let two = drop_in(&setup, "2.toml", Some("[clock]\nmax-slew-ppm = 60\n"));
    let three = program(&setup, "cloud.toml", Some(&source("192.0.2.2").replace("burst = true\n", "")));
    let output = setup.clone().with_argument("--check").command().output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let doubts = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{doubts}");
    assert!(said.contains(&format!("drop-ins: {}, {}\n", one.display(), two.display())), "{said}");
    assert!(said.contains(&format!("files of programs: {}\n", three.display())), "{said}");
    let doubt =
        format!("{}:2: clock.max-slew-ppm: {}:2 says it too; this one counts", two.display(), one.display());
    assert!(doubts.contains(&doubt), "{doubts}");
}

#[test]
fn a186_a_drop_in_that_is_no_file_of_roots_stops_a_start_and_changes_nothing_at_a_reload() {
    let (_server, places) = server(2);
    let setup = Setup::new("kinds", &source(&places[0])).with_virtual_clock(0, 0.0);
    let path = drop_in(&setup, "x.toml", Some(&source(&places[1])));
    let client = setup.start();
    client.wait_until_synchronised(TIMEOUT);
    let folder = path.parent().expect("a folder").to_owned();
    let mode = |mode: u32| fs::set_permissions(&path, Permissions::from_mode(mode)).expect("ours");
    let other = setup.clone();
    let again = || drop(drop_in(&other, "x.toml", Some("[clock]\nmax-slew-ppm = 1\n")));
    let kinds: [(&str, &dyn Fn()); 6] = [
        ("is no regular file", &|| {
            nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o644)).expect("ours");
        }),
        ("is no regular file", &|| fs::create_dir(&path).expect("ours")),
        ("is a symbolic link, which is not followed here", &|| {
            symlink(setup.place().join("truechimer.toml"), &path).expect("ours");
        }),
        ("others than root can change it", &|| {
            again();
            mode(0o646);
        }),
        ("others than root can change it", &|| {
            again();
            mode(0o664);
        }),
        ("others than root can change what is in it", &|| {
            again();
            fs::set_permissions(&folder, Permissions::from_mode(0o777)).expect("ours");
        }),
    ];
    let second = Setup::new("kinds-start", &source(&places[0]));
    for (expected, make) in kinds {
        if path.is_dir() {
            fs::remove_dir(&path).expect("ours")
        } else {
            fs::remove_file(&path).expect("ours")
        }
        make();
        let (is_done, said) = says(&client, &["reload"]);
        assert!(!is_done && said.contains(expected) && said.lines().count() == 1, "{said}");
        assert!(said.contains("what is in force stays in force"), "{said}");
        assert_eq!(names(&client), places);
        // The same folder, as a start sees it.
        let start = second
            .clone()
            .with_argument("--config")
            .with_argument(&setup.place().join("truechimer.toml").display().to_string())
            .run_to_end();
        assert_eq!(start.code, Some(78), "{}", start.log);
        assert_eq!(start.log.lines().count(), 1, "{}", start.log);
        assert!(start.log.contains(expected), "{}", start.log);
    }
    assert!(client.is_synchronised());
}

#[test]
fn as_many_files_as_there_may_be_are_read_at_a_start_and_all_of_them_at_a_reload() {
    let (_server, places) = server(1);
    let setup = Setup::new("many", &source(&places[0])).with_virtual_clock(0, 0.0);
    for n in 0..64 {
        drop_in(&setup, &format!("{n:02}.toml"), Some(&format!("[clock]\nmax-slew-ppm = {}\n", 100 + n)));
    }
    for n in 0..32 {
        program(&setup, &format!("{n:02}.toml"), Some("# nothing\n"));
    }
    let client = setup.start();
    client.wait_until_synchronised(TIMEOUT);
    let (is_done, said) = says(&client, &["reload"]);
    assert!(is_done && said.contains(", 64 drop-ins, 32 files of programs: nothing new"), "{said}");
    // Connections are accepted as before: no descriptor is left of them.
    let engine = client.process("engine").pid;
    let open = fs::read_dir(format!("/proc/{engine}/fd")).expect("it runs").count();
    assert!(open < 40, "{open} descriptors");
    drop_in(&setup, "64.toml", Some("# one too many\n"));
    let (is_done, said) = says(&client, &["reload"]);
    assert!(!is_done && said.contains("more than 64 files"), "{said}");
    let refused = {
        client.stop();
        setup.run_to_end()
    };
    assert_eq!(refused.code, Some(78));
    assert!(refused.log.contains("64.toml: there are more than 64 files in this folder"), "{}", refused.log);
}

/// A source as a program writes it.
fn plain(place: &str) -> String {
    format!("[[source]]\naddress = \"{place}\"\nmin-poll = 0\nmax-poll = 2\n")
}

#[test]
fn sources_of_programs_come_and_go_and_what_an_administrator_is_writing_is_left_alone() {
    let (_server, places) = server(3);
    let setup = Setup::new("programs", &source(&places[0])).with_virtual_clock(-2_000_000_000, 20.0);
    let client = setup.start();
    client.wait_until_synchronised(TIMEOUT);
    let began = pids(&client);
    setup.configure("[[source]\nhalf a line");
    program(&setup, "cloud.toml", Some(&plain(&places[1])));
    let (is_done, said) = says(&client, &["reload", "sources"]);
    let expected = format!("reload: read 1 file of a program: in force now: sources added: {}\n", places[1]);
    assert_eq!((is_done, said), (true, expected));
    client.wait_until("both answer", TIMEOUT, |client| client.sources().len() == 2 && all_answer(client));
    let offered: Vec<_> = client.sources().iter().map(|source| source["offered_by"].clone()).collect();
    assert_eq!(offered, [serde_json::Value::Null, "cloud.toml".into()]);
    let (_, page) = says(&client, &["sources"]);
    assert!(page.contains(&format!("from a program:  {} (sources.d/cloud.toml)", places[1])), "{page}");
    // What was done by hand stays as well.
    assert!(says(&client, &["add", &places[2], "min-poll=0"]).0);
    // A faulty file of one program takes nothing from another, and is named.
    program(&setup, "other.toml", Some("[[source]]\naddress = \"192.0.2.1\"\ntrust = true\n"));
    let (is_done, said) = says(&client, &["reload", "sources"]);
    assert!(is_done && said.contains("other.toml:3: trust: not in a file of a program"), "{said}");
    assert!(said.contains(": nothing new; of programs: "), "{said}");
    assert_eq!(client.lines("other.toml:3: trust: not in a file of a program"), 1);
    assert_eq!(names(&client), places);
    // One that others can write, or that is too long, too.
    let open = program(&setup, "other.toml", Some(&plain("192.0.2.1")));
    fs::set_permissions(&open, Permissions::from_mode(0o666)).expect("ours");
    program(&setup, "third.toml", Some(&"#".repeat(5_000)));
    let (is_done, said) = says(&client, &["reload", "sources"]);
    assert!(is_done && said.contains("others than root can change it"), "{said}");
    assert!(said.contains("third.toml: longer than 4096 octets"), "{said}");
    assert_eq!(names(&client), places);
    assert!(client.is_synchronised() && pids(&client) == began);
    // Over a restart, as long as the file is there; what was left out is told at the start too.
    setup.configure(&source(&places[0]));
    client.stop();
    let client = setup.start();
    assert_eq!(names(&client), places[..2]);
    assert!(
        client.log().contains("others than root can change it") && client.log().contains("it is left out")
    );
    client.wait_until_synchronised(TIMEOUT);
    program(&setup, "cloud.toml", None);
    let (_, said) = says(&client, &["reload", "sources"]);
    assert!(said.contains(&format!("in force now: sources removed: {}", places[1])), "{said}");
    assert_eq!(names(&client), places[..1]);
    assert!(client.is_synchronised());
}

#[test]
fn a188_sources_of_a_lease_stand_in_where_nothing_is_configured_and_go_when_something_is() {
    let (_server, places) = server(3);
    let setup = Setup::new("dhcp", "[dhcp]\nuse = true\n").with_virtual_clock(-2_000_000_000, 20.0);
    let lease = |places: &[String]| -> String {
        places.iter().map(|place| format!("[[source]]\naddress = \"{place}\"\n")).collect()
    };
    // It starts without any, and waits.
    let client = setup.start();
    assert!(names(&client).is_empty() && !client.is_synchronised());
    program(&setup, "dhcp-eth0.toml", Some(&lease(&places[..2])));
    assert!(says(&client, &["reload", "sources"]).0);
    assert_eq!(names(&client), places[..2]);
    client.wait_until_synchronised(TIMEOUT);
    // The lease changes.
    program(&setup, "dhcp-eth0.toml", Some(&lease(&places[1..])));
    assert!(says(&client, &["reload", "sources"]).0);
    assert_eq!(names(&client), places[1..]);
    assert!(client.is_synchronised());
    // A hostile one says more than it may.
    program(&setup, "dhcp-eth0.toml", Some(&(lease(&places[1..]) + "trust = true\n")));
    let (_, said) = says(&client, &["reload", "sources"]);
    assert!(said.contains("trust: not in a file of a program"), "{said}");
    assert_eq!(names(&client), places[1..2]);
    program(&setup, "dhcp-eth0.toml", Some(&lease(&places[1..])));
    assert!(says(&client, &["reload", "sources"]).0);
    assert_eq!(names(&client), places[1..]);
    // The administrator configures one: nothing of the lease has a vote against it.
    drop_in(&setup, "own.toml", Some(&source(&places[0])));
    assert!(says(&client, &["reload"]).0);
    assert_eq!(names(&client), places[..1]);
    assert_eq!(client.lines("sources of DHCP are not asked (dhcp-eth0.toml)"), 1, "{}", client.log());
    assert!(says(&client, &["reload", "sources"]).0);
    assert_eq!(names(&client), places[..1]);
    // And takes it out again.
    drop_in(&setup, "own.toml", None);
    assert!(says(&client, &["reload"]).0);
    assert_eq!(names(&client), places[1..]);
    // The lease goes.
    program(&setup, "dhcp-eth0.toml", None);
    assert!(says(&client, &["reload", "sources"]).0);
    assert!(names(&client).is_empty());
}

#[test]
fn what_is_wrong_in_the_programs_folder_takes_nothing_else_away() {
    let (_server, places) = server(2);
    let setup = Setup::new("programs", &source(&places[0])).with_virtual_clock(-2_000_000_000, 20.0);
    program(&setup, "cloud.toml", Some(&plain(&places[1])));
    let badly_named = program(&setup, "my lease.toml", Some(&plain("127.0.0.9")));
    let client = setup.clone().start();
    assert_eq!(names(&client), places, "at the start");
    let (is_done, said) = says(&client, &["reload", "sources"]);
    assert!(is_done && said.contains("my lease.toml: its name is not of letters"), "{said}");
    assert_eq!(names(&client), places);
    fs::remove_file(badly_named).expect("ours");
    // A folder that others can write is not read, and what was read before stays.
    let folder = setup.place().join("run/sources.d");
    fs::set_permissions(&folder, Permissions::from_mode(0o775)).expect("ours");
    let (is_done, said) = says(&client, &["reload", "sources"]);
    assert!(!is_done && said.contains("others than root can change what is in it"), "{said}");
    let (is_done, said) = says(&client, &["reload"]);
    assert!(is_done && said.contains("what programs had left before stays"), "{said}");
    assert_eq!(names(&client), places);
    fs::set_permissions(&folder, Permissions::from_mode(0o755)).expect("ours");
    // What was removed by hand is not brought back by a program that says the same again, but by the administrator.
    let before = client.lines("files of programs read again");
    assert!(says(&client, &["remove", &places[1]]).0);
    assert!(says(&client, &["reload", "sources"]).0);
    assert_eq!(names(&client), places[..1]);
    assert_eq!(client.lines("files of programs read again"), before, "nothing has changed");
    assert!(says(&client, &["reload"]).0);
    assert_eq!(names(&client), places);
    assert_eq!(client.stop().code, Some(0));
}

#[test]
fn a188_a_lease_has_no_vote_beside_a_configured_source_while_another_one_waits_for_a_restart() {
    let (_server, places) = server(2);
    let lease = |place: &str| format!("[[source]]\naddress = \"{place}\"\n");
    let setup = Setup::new("lease", "[dhcp]\nuse = true\n").with_virtual_clock(-2_000_000_000, 20.0);
    program(&setup, "dhcp-eth0.toml", Some(&lease(&places[0])));
    let client = setup.clone().start();
    assert_eq!(names(&client), places[..1]);
    let configuration = setup.place().join("truechimer.toml");
    let put = |text: &str| fs::write(&configuration, text).expect("ours");
    // No process of this start sees the root certificates: the lease is all that there is, and is followed as it changes.
    let nts = "[dhcp]\nuse = true\n[[source]]\naddress = \"nts.example\"\nmode = \"nts\"\n";
    put(nts);
    let (is_done, said) = says(&client, &["reload"]);
    assert!(is_done && said.contains("nts.example (no process can see"), "{said}");
    assert_eq!(names(&client), places[..1]);
    program(&setup, "dhcp-eth0.toml", Some(&lease(&places[1])));
    assert!(says(&client, &["reload", "sources"]).0);
    assert_eq!(names(&client), places[1..]);
    // With the first configured source that is asked it goes.
    put(&format!("{nts}{}", source(&places[0])));
    let (is_done, said) = says(&client, &["reload"]);
    assert!(is_done && said.contains(&format!("sources removed: {}", places[1])), "{said}");
    assert_eq!(names(&client), places[..1]);
    assert_eq!(client.stop().code, Some(0));
}

#[test]
fn a188_without_the_administrators_word_a_lease_is_ignored() {
    let setup = Setup::new("no-dhcp", &source("192.0.2.1"));
    program(&setup, "dhcp-eth0.toml", Some("[[source]]\naddress = \"192.0.2.2\"\n"));
    let client = setup.start();
    assert_eq!(names(&client), ["192.0.2.1"]);
    assert_eq!(client.lines("sources of DHCP are ignored (dhcp-eth0.toml)"), 1, "{}", client.log());
    let (is_done, said) = says(&client, &["reload"]);
    assert!(is_done && said.contains(", 1 file of a program: nothing new"), "{said}");
    assert_eq!(names(&client), ["192.0.2.1"]);
}
