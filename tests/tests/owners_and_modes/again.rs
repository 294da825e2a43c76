//! Repeated starts: what one of them repaired stays in order for the next.

use super::*;

#[test]
fn a130_files_that_were_set_aside_by_a_start_that_failed_are_no_first_start_of_the_next() {
    let forger = Forger::honest(HERE, 0);
    let setup = used(&forger);
    for name in ["governor", "audit.log"] {
        mode(&setup.place().join("state").join(name), 0o666);
    }
    setup.configure("nonsense");
    assert_eq!(setup.run_to_end().code, Some(78));
    setup.configure(&source(forger.address()));
    let daemon = setup.start();
    assert!(daemon.log().contains("budgets start empty"), "{}", daemon.log());
}

#[test]
fn a_lock_that_another_user_takes_on_the_directory_prevents_no_start() {
    let setup = idle("locked");
    let directory = fs::File::open(setup.place().join("state")).expect("ours");
    directory.lock().expect("a user who may read it may lock it");
    assert_eq!(setup.start().stop().code, Some(0));
    let lock = fs::metadata(setup.place().join("state/lock")).expect("it is there");
    assert_eq!(lock.mode() & 0o777, 0o600);
}

#[test]
fn what_is_in_the_place_of_a_file_is_moved_aside_as_often_as_it_is_there() {
    let setup = idle("again");
    for _ in 0..4 {
        let place = setup.place().join("state/engine.state");
        let _ = fs::remove_file(&place);
        fs::create_dir_all(place.join("full")).expect("ours");
        let daemon = setup.start();
        assert!(daemon.log().contains("moved to engine.state.distrusted"), "{}", daemon.log());
        assert_eq!(daemon.stop().code, Some(0));
    }
}

#[test]
fn a130_a_record_and_a_log_that_are_set_aside_together_are_no_first_start() {
    let forger = Forger::honest(HERE, 0);
    let setup = used(&forger);
    for name in ["governor", "audit.log"] {
        mode(&setup.place().join("state").join(name), 0o666);
    }
    let daemon = setup.start();
    assert!(daemon.log().contains("budgets start empty"), "{}", daemon.log());
    assert_eq!(daemon.stop().code, Some(0));
    let setup = used(&forger);
    mode(&setup.place().join("state/audit.log"), 0o666);
    fs::remove_file(setup.place().join("state/governor")).expect("ours");
    let daemon = setup.start();
    assert!(daemon.log().contains("budgets start empty"), "{}", daemon.log());
}

/// A script acts by the exit code: what a start would be refused for is no warning.
#[test]
fn a_check_ends_with_78_for_a_directory_or_a_file_with_which_a_start_does() {
    if lacks_root() {
        return;
    }
    type Spoil = fn(&Path);
    let faults: [(Spoil, &str); 4] = [
        (|place| give_to_nobody(&place.join("state")), "owner nobody"),
        (|place| mode(&place.join("state"), 0o777), "mode 0777"),
        (|place| mode(&place.join("run"), 0o777), "mode 0777"),
        (
            |place| {
                let _ = fs::remove_file(place.join("state/governor"));
                symlink("elsewhere", place.join("state/governor")).expect("ours");
            },
            "is a symbolic link",
        ),
    ];
    for (spoil, said) in faults {
        let setup = idle("refused");
        assert_eq!(setup.start().stop().code, Some(0));
        assert_eq!(check(&setup).code, Some(0));
        spoil(setup.place().path());
        let exit = check(&setup);
        let is_said = exit
            .log
            .lines()
            .any(|line| line.contains(said) && line.contains("until then a start is refused"));
        assert!(exit.code == Some(78) && is_said, "{said}: {exit:?}");
        assert_eq!(setup.run_to_end().code, Some(78), "{said}");
    }
}

#[test]
fn a_check_names_a_file_that_nobody_can_read_also_where_the_users_are_missing() {
    let passwd = fs::read_to_string("/etc/passwd").expect("it is there");
    if lacks_root() || passwd.contains("truechimer-clock:") {
        return;
    }
    let server = NtsServer::new("nobody-reads", &["127.0.0.1"], "");
    let config = server.setup.place().join("truechimer.toml");
    let check = || {
        let program = bench::programs::program("truechimerd");
        let output = std::process::Command::new(program).arg("--check").arg("--config").arg(&config).output();
        String::from_utf8_lossy(&output.expect("it can be executed").stderr).into_owned()
    };
    assert!(!check().contains("nobody can read it"), "{}", check());
    for (file, what) in [(server.trust.key(), "the key "), (server.trust.chain(), "the certificate ")] {
        mode(file, 0);
        let said = check();
        let is_said = said.lines().any(|line| line.contains(what) && line.contains("nobody can read it"));
        assert!(is_said, "{what}: {said}");
    }
}
