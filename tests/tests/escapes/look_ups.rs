//! The exchange process and its children, which look names up and exchange keys.

use super::*;

#[test]
fn a177_a_rogue_child_starts_nothing_signals_nobody_and_reads_no_memory() {
    for cases in [A112, A113, A114, A116, A117, ONLY_HERE] {
        none_gets_through(&["exchange_child"], cases);
    }
    none_gets_through(&["exchange_child"], &["socketpair", "bind", "recvmsg", "pidfd_getfd", "kill:now"]);
}

#[test]
fn a177_a_rogue_child_reads_resolver_files_and_nothing_else() {
    for start in starts() {
        for case in ["openat:proc", "openat:out"] {
            let ending = try_in(start, "exchange_child", case);
            if ending.fell_short_of("file_view") && ending.fell_short_of("landlock") {
                return bench::skip("neither namespaces nor Landlock are permitted here");
            }
            let (result, error) = ending.returned.unwrap_or_else(|| panic!("{start:?} {case}: {ending:?}"));
            assert_eq!(result, -1, "{start:?} {case}: {ending:?}");
            assert!([libc::ENOENT, libc::EACCES].contains(&error), "{start:?} {case}: {ending:?}");
        }
        for case in OPENINGS {
            let resolver = try_in(start, "exchange_child", case);
            assert!(resolver.returned.is_some_and(|(fd, _)| fd >= 0), "{start:?}: {resolver:?}");
        }
        let ours = try_in(start, "exchange_child", "openat:truechimer");
        assert!(ours.returned.is_some_and(|(fd, _)| fd < 0), "{start:?}: {ours:?}");
    }
}

#[test]
fn a177_a_rogue_child_reads_of_run_what_the_resolver_needs_and_nothing_else() {
    if !bench::is_root() {
        return bench::skip("a file in /run needs root");
    }
    let name = format!("/run/truechimer-test-{}", std::process::id());
    std::fs::write(&name, "what everybody may read").unwrap();
    let endings: Vec<_> = starts()
        .into_iter()
        .map(|start| (start, try_in(start, "exchange_child", &format!("openat:own:{name}"))))
        .collect();
    std::fs::remove_file(&name).unwrap();
    for (start, ending) in endings {
        if ending.fell_short_of("file_view") && ending.fell_short_of("landlock") {
            return bench::skip("neither namespaces nor Landlock are permitted here");
        }
        let (result, error) = ending.returned.unwrap_or_else(|| panic!("{start:?}: {ending:?}"));
        assert!(result == -1 && [libc::ENOENT, libc::EACCES].contains(&error), "{start:?}: {ending:?}");
    }
}

#[test]
fn a177_a_rogue_child_connects_to_the_port_of_its_exchange_and_to_no_other() {
    let listen = || TcpListener::bind("127.0.0.1:0").expect("a port of this host");
    let (server, other) = (listen(), listen());
    let port = |listener: &TcpListener| listener.local_addr().expect("it is bound").port();
    let (server, other) = (port(&server), port(&other));
    for start in starts() {
        let connects = |words: &[&str]| run(probe(start, &[&["role=exchange_child"], words].concat()));
        let told = format!("server-port={server}");
        let lawful = connects(&[&told, &format!("case=tcp:{server}")]);
        assert_eq!(lawful.returned, Some((0, 0)), "{start:?}: {lawful:?}");
        if lawful.fell_short_of("landlock") || lawful.fell_short_of("ports") {
            return bench::skip("Landlock of this kernel knows no ports: use Linux 6.7 or newer");
        }
        let unlawful =
            [connects(&[&told, &format!("case=tcp:{other}")]), connects(&[&format!("case=tcp:{server}")])];
        for ending in unlawful {
            assert_eq!(ending.returned, Some((-1, libc::EACCES)), "{start:?}: {ending:?}");
        }
        // The kernel does not ask Landlock for a connection that is made by sending.
        let fast = connects(&[&told, &format!("case=fastopen:{other}")]);
        assert!(fast.was_killed_by_the_filter(), "{start:?}: {fast:?}");
    }
}

#[test]
fn a177_a_child_still_looks_names_up() {
    for start in starts() {
        let ending = try_in(start, "exchange_child", "resolve:localhost");
        assert!(ending.text.contains("resolved [") && ending.code == Some(0), "{start:?}: {ending:?}");
        // Not in any file: the resolver is asked, over a network or none.
        let ending = try_in(start, "exchange_child", "resolve:truechimer.invalid");
        assert!(ending.text.contains("unresolved ") && ending.code == Some(0), "{start:?}: {ending:?}");
    }
}

#[test]
fn a178_a_rogue_parent_of_look_ups_forks_and_waits_and_no_more() {
    for cases in [A112, A113, A114, A116, A117, ONLY_HERE] {
        none_gets_through(&["exchange"], cases);
    }
    for start in starts() {
        let ending = try_in(start, "exchange", "clone");
        assert!(ending.returned.is_some_and(|(result, _)| result >= 0), "{start:?}: {ending:?}");
    }
}

#[test]
fn a178_a_rogue_parent_raises_no_limit_and_kills_nobody_else() {
    for start in starts() {
        // The limits asked for are all zero: allowed for the process itself, killed for another.
        let own = try_in(start, "exchange", "prlimit64");
        assert_eq!(own.returned, Some((0, 0)), "{start:?}: {own:?}");
        let victim = Victim::start();
        let killing = run(probe(start, &["role=exchange", "case=kill:now", &victim.word()]));
        if killing.fell_short_of("landlock") {
            return bench::skip("the kernel has no Landlock");
        }
        assert_eq!(killing.returned, Some((-1, libc::EPERM)), "{start:?}: {killing:?}");
    }
}
