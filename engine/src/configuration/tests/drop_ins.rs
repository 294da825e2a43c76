//! Drop-ins of the administrator, and what programs leave.

use super::*;

fn texts(main: &str, drop_ins: &[(&str, &str)], programs: &[(&str, &str)]) -> Texts {
    let all = |folder: &str, files: &[(&str, &str)]| {
        files.iter().map(|(name, text)| FileText::private(&format!("{folder}/{name}"), text)).collect()
    };
    Texts {
        leap_list: None,
        keys: None,
        main: FileText::private("/e/t.toml", main),
        drop_ins: all("/e/t.d", drop_ins),
        programs: all("/r/sources.d", programs),
    }
}

fn with(main: &str, drop_ins: &[(&str, &str)]) -> Result<Configuration, String> {
    super::read(&mut texts(main, drop_ins, &[])).map_err(|error| error.to_string())
}

fn offered(main: &str, programs: &[(&str, &str)]) -> Configuration {
    super::read(&mut texts(main, &[], programs)).unwrap_or_else(|error| panic!("{error}"))
}

fn names(found: &Configuration) -> Vec<&str> {
    found.settings.sources.iter().map(|source| source.name.as_str()).collect()
}

fn addresses(count: usize) -> String {
    (1..=count).map(|n| format!("[[source]]\naddress = \"192.0.2.{n}\"\n")).collect()
}

const MAIN: &str = "[[source]]\naddress = \"192.0.2.1\"\n[clock]\nmax-slew-ppm = 100\nminimum-sources = 1\n";

#[test]
fn sources_are_added_and_keys_take_the_place_of_those_before() {
    let found = with(
        MAIN,
        &[
            ("10-a.toml", "[[source]]\naddress = \"192.0.2.2\"\n[clock]\nmax-slew-ppm = 50\n"),
            ("20-b.toml", "# nothing but a comment\n"),
            ("30-c.toml", "[[source]]\naddress = \"192.0.2.3\"\n[server]\nlisten = [\"127.0.0.1\"]\nallow = [\"127.0.0.0/8\"]\n"),
            ("40-d.toml", "[server]\nlisten = [\"127.0.0.2\"]\n"),
        ],
    )
    .unwrap();
    assert_eq!(names(&found), ["192.0.2.1", "192.0.2.2", "192.0.2.3"]);
    assert!((found.settings.clock.max_slew_ppm - 50.0).abs() < 1e-9);
    assert_eq!(found.settings.clock.minimum_sources, 1);
    assert_eq!(found.plan.listen.iter().map(ToString::to_string).collect::<Vec<_>>(), ["127.0.0.2:123"]);
    assert_eq!(found.access.len(), 1);
    // That a drop-in changes the configuration is what it is for; that one changes another is said.
    assert_eq!(
        found.warnings,
        ["/e/t.d/40-d.toml:2: server.listen: /e/t.d/30-c.toml:4 says it too; this one counts"]
    );
    // The configuration itself may be empty.
    assert_eq!(names(&with("", &[("a.toml", MAIN)]).unwrap()), ["192.0.2.1"]);
}

#[test]
fn one_server_in_two_files_is_one_source_as_the_later_one_says() {
    let nts =
        |roots: &str| format!("[[source]]\naddress = \"a.example\"\nmode = \"nts\"\nroots = \"{roots}\"\n");
    let main = nts("/r/one.pem") + "[[source]]\naddress = \"b.example\"\n";
    let later = nts("/r/two.pem") + "prefer = true\n";
    let found = with(&main, &[("a.toml", later.as_str())]).unwrap();
    assert_eq!(names(&found), ["a.example", "b.example"]);
    assert!(found.settings.sources[0].prefer);
    assert_eq!(
        found.warnings,
        ["/e/t.d/a.toml:2: address: \"a.example\" is in /e/t.toml:1 too; this one counts"]
    );
    // No process is shown a file that no source names.
    let roots: Vec<&str> = found.plan.roots.iter().flatten().map(|file| file.as_str()).collect();
    assert_eq!((roots, found.settings.sources[0].nts.unwrap().roots), (vec!["/r/two.pem"], 1));
    // In one file it stays a fault.
    let error = with(MAIN, &[("a.toml", &addresses(2).repeat(2))]).unwrap_err();
    assert!(
        error.starts_with("/e/t.d/a.toml:6: address: the source \"192.0.2.1\" is there already"),
        "{error}"
    );
}

#[test]
fn each_fault_names_its_file_and_its_line_in_the_order_of_the_files() {
    let error = with(
        "[clock]\nmax-slew-ppm = 0\n",
        &[("a.toml", "# x\n\n[[source]]\naddress = 7\n"), ("b.toml", "[clok]\n[clock]\nleap-seconds = 1\n")],
    )
    .unwrap_err();
    let begins = [
        "/e/t.toml:2: max-slew-ppm: ",
        "/e/t.d/a.toml:4: address: ",
        "/e/t.d/b.toml:1: clok: no such section",
        "/e/t.d/b.toml:3: leap-seconds: ",
    ];
    assert_eq!(error.lines().count(), begins.len(), "{error}");
    assert!(error.lines().zip(begins).all(|(line, begin)| line.starts_with(begin)), "{error}");
    // What is no TOML, too, and at the very end of a file.
    for (text, line) in [("[clock\n", 1), ("\n\nx = ", 3), ("[[source]]\naddress = \"192.0.2.1", 2)] {
        let error =
            with(MAIN, &[("a.toml", "# fine\n"), ("b.toml", text), ("c.toml", "# fine\n")]).unwrap_err();
        assert!(error.starts_with(&format!("/e/t.d/b.toml:{line}: ")), "{text:?}: {error}");
    }
    // A name is text of somebody else's.
    let mut evil = texts(MAIN, &[("\u{1b}[2J.toml", "x = 1")], &[]);
    let error = super::read(&mut evil).unwrap_err().to_string();
    assert!(error.contains("\\u{1b}[2J.toml:1: x: no such section"), "{error}");
}

#[test]
fn what_is_of_another_kind_is_a_fault_wherever_it_stands() {
    for (main, drop_in, place) in [
        ("clock = 5\n", "[clock]\nleap-seconds = true\n", "/e/t.toml:1: clock: expected a table"),
        ("[clock]\nleap-seconds = true\n", "clock = 5\n", "/e/t.d/a.toml:1: clock: expected a table"),
        ("source = 5\n", MAIN, "/e/t.toml:1: source: expected a list of tables"),
        (MAIN, "source = 5\n", "/e/t.d/a.toml:1: source: expected a list of tables"),
        (MAIN, "[source]\naddress = \"192.0.2.2\"\n", "/e/t.d/a.toml:1: source: expected a list of tables"),
    ] {
        let error = with(main, &[("a.toml", drop_in)]).unwrap_err();
        assert!(error.contains(place), "{main:?} {drop_in:?}: {error}");
    }
}

#[test]
fn a_secret_in_a_drop_in_that_others_can_read_is_refused_by_its_name() {
    let secret =
        "[server.nts]\nfleet-secret = \"0123456789abcdef0123456789abcdef\"\nfleet-since = \"2026-11-01\"\n";
    let main = format!(
        "{MAIN}[server]\nlisten = [\"127.0.0.1\"]\nallow = [\"127.0.0.0/8\"]\n[server.nts]\nlisten = [\"127.0.0.1\"]\n\
         certificate = \"/a/c.pem\"\nkey = \"/a/k.pem\"\n"
    );
    let read_with = |main_is_private: bool, drop_in_is_private: bool| {
        let mut texts = texts(&main, &[("a.toml", secret)], &[]);
        texts.main.is_private = main_is_private;
        texts.drop_ins[0].is_private = drop_in_is_private;
        super::read(&mut texts).map(|_| ())
    };
    assert_eq!(read_with(false, true), Ok(()));
    let exposed = Err(ConfigurationError::Exposed("/e/t.d/a.toml".to_owned()));
    assert_eq!(read_with(true, false), exposed);
}

#[test]
fn neither_number_nor_length_of_drop_ins_is_without_a_bound() {
    let many: Vec<(String, String)> = (0..65).map(|n| (format!("{n:02}.toml"), "# x\n".to_owned())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    assert!(with(MAIN, &many[..64]).is_ok());
    assert!(with(MAIN, &many).unwrap_err().starts_with("/e/t.d/64.toml: longer than"));
    let half = "#".repeat(MAX_FILE / 2);
    assert!(with(MAIN, &[("a.toml", &half), ("b.toml", &half)]).is_ok());
    assert!(with(MAIN, &[("a.toml", &half), ("b.toml", &half), ("c.toml", "#")]).is_err());
}

#[test]
fn programs_add_plain_sources_after_the_configured_ones() {
    let cloud = "[[source]]\naddress = \"192.0.2.9\"\nmin-poll = 4\n[[source]]\naddress = \"pool.example\"\npool = true\n";
    let found =
        offered(MAIN, &[("cloud.toml", cloud), ("same.toml", "[[source]]\naddress = \"192.0.2.1:123\"\n")]);
    assert_eq!(names(&found), ["192.0.2.1", "192.0.2.9", "pool.example"]);
    assert_eq!(found.configured().len(), 1);
    assert!(found.plan.exchange, "a name is looked up");
    assert!(found.offered.sources.iter().all(|(_, file)| file == "cloud.toml"));
    assert!(found.offered.warnings.is_empty() && found.warnings.is_empty(), "{found:?}");
    // An empty file is one of a program that has nothing to offer.
    assert!(offered(MAIN, &[("a.toml", ""), ("b.toml", "# x")]).offered.warnings.is_empty());
}

#[test]
fn a187_nothing_that_a_program_leaves_says_who_is_believed_and_a_faulty_file_keeps_nothing_from_running() {
    let good = ("z.toml", "[[source]]\naddress = \"192.0.2.9\"\n");
    for (text, expected) in [
        (
            "[[source]]\naddress = \"192.0.2.8\"\ntrust = true\n",
            "/r/sources.d/a.toml:3: trust: not in a file of a program",
        ),
        ("[[source]]\naddress = \"192.0.2.8\"\nprefer = true\n", "prefer: not in a file"),
        ("[[source]]\naddress = \"192.0.2.8\"\nrequire = true\n", "require: not in a file"),
        ("[[source]]\naddress = \"a.example\"\nmode = \"nts\"\n", "mode: not in a file"),
        ("[[source]]\naddress = \"192.0.2.8\"\nmax-delay = 9\n", "max-delay: not in a file"),
        ("[[source]]\naddress = \"192.0.2.8\"\nallow-link-local = true\n", "allow-link-local: not in a file"),
        ("[clock]\nminimum-sources = 1\n", "a.toml:1: clock: no such section"),
        ("[server]\nlisten = [\"0.0.0.0\"]\n", "server: no such section"),
        ("[dhcp]\nuse = true\n", "dhcp: no such section"),
        ("[[source]]\naddress = \"192.0.2.8\"\n[[source]]\n", "the address is missing"),
        ("[[source]]\naddress = \"$(reboot)\"\n", "neither an address nor a host name"),
        ("[[source]\n", "a.toml:1: not TOML"),
        ("\u{1b}]0;x\u{7}\n", "a.toml:1: "),
    ] {
        let found = offered(MAIN, &[("a.toml", text), good]);
        assert_eq!(names(&found), ["192.0.2.1", "192.0.2.9"], "{text:?}");
        let [warning] = found.offered.warnings.as_slice() else { panic!("{text:?}: {:?}", found.offered) };
        assert!(warning.contains(expected) && warning.ends_with("; the file is left out"), "{warning}");
        assert!(!warning.contains('\u{1b}') && warning.lines().count() == 1, "{warning:?}");
    }
    // Thirty-two in all, whoever offers more.
    let found = offered(&addresses(30), &[("a.toml", &addresses(60)), ("b.toml", good.1)]);
    assert_eq!(found.settings.sources.len(), 32);
    assert_eq!(found.offered.warnings.len(), 28, "{:?}", found.offered.warnings);
}

#[test]
fn a188_sources_of_dhcp_are_asked_only_if_they_are_wanted_and_nothing_is_configured() {
    let lease = ("dhcp-eth0.toml", "[[source]]\naddress = \"192.0.2.9\"\n");
    let wanted = "[dhcp]\nuse = true\n";
    let alone = offered(wanted, &[lease]);
    assert_eq!(names(&alone), ["192.0.2.9"]);
    assert!(alone.uses_dhcp && alone.plan.exchange && alone.offered.notes.is_empty());
    assert!(names(&offered(wanted, &[])).is_empty(), "a daemon that waits for a lease");
    let beside = offered(&format!("{MAIN}{wanted}"), &[lease]);
    assert_eq!(names(&beside), ["192.0.2.1"]);
    assert!(beside.offered.notes[0].contains("because there are others"), "{beside:?}");
    // What root's programs leave is known better than a neighbour's word.
    let cloud = ("cloud.toml", "[[source]]\naddress = \"192.0.2.7\"\n");
    let beside_cloud = offered(wanted, &[cloud, lease]);
    assert_eq!(names(&beside_cloud), ["192.0.2.7"]);
    assert!(beside_cloud.offered.notes[0].contains("because there are others"), "{beside_cloud:?}");
    for unwanted in [MAIN.to_owned(), format!("{MAIN}[dhcp]\nuse = false\n")] {
        let found = offered(&unwanted, &[lease]);
        assert_eq!(names(&found), ["192.0.2.1"]);
        let [note] = found.offered.notes.as_slice() else { panic!("{:?}", found.offered) };
        assert!(note.starts_with("sources of DHCP are ignored (dhcp-eth0.toml); "), "{note}");
    }
    assert!(with("[dhcp]\nuse = false\n", &[]).unwrap_err().contains("nothing to do"));
    assert!(with("[dhcp]\nuse = 1\n", &[]).unwrap_err().contains("use: expected true or false"));
}

#[test]
fn a188_a_lease_names_at_most_four_sources_all_of_them_sixteen_and_nothing_else() {
    let wanted = "[dhcp]\nuse = true\n";
    let of = |from: usize, count: usize| -> String {
        (from..from + count).map(|n| format!("[[source]]\naddress = \"192.0.2.{n}\"\n")).collect()
    };
    let files: Vec<(String, String)> =
        (0..6).map(|n| (format!("dhcp-e{n}.toml"), of(10 * n + 1, 5))).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let found = offered(wanted, &files);
    assert_eq!(found.settings.sources.len(), 16);
    assert_eq!(found.offered.warnings.len(), 6, "{:?}", found.offered.warnings);
    for key in ["pool = true", "min-poll = 0", "prefer = true"] {
        let text = format!("[[source]]\naddress = \"a.example\"\n{key}\n");
        let found = offered(wanted, &[("dhcp-e0.toml", text.as_str())]);
        assert!(names(&found).is_empty() && found.offered.warnings.len() == 1, "{key}: {found:?}");
    }
}

#[test]
fn a188_what_a_neighbour_says_wrongly_takes_no_other_server_of_the_lease_away() {
    let lease = "[[source]]\naddress = \"192.0.2.9\"\n[[source]]\naddress = \"fe8::1%eth0\"\n\
                 [[source]]\naddress = \"192.0.2.10\"\ntrust = true\n[[source]]\naddress = \"192.0.2.11\"\n";
    let found = offered("[dhcp]\nuse = true\n", &[("dhcp-eth0.toml", lease)]);
    assert_eq!(names(&found), ["192.0.2.9", "192.0.2.11"]);
    let [first, second] = found.offered.warnings.as_slice() else { panic!("{:?}", found.offered) };
    assert!(
        first.starts_with("/r/sources.d/dhcp-eth0.toml:4: ") && first.ends_with("; this source is left out"),
        "{first}"
    );
    assert!(second.contains("trust: not in a file of a program"), "{second}");
}

#[test]
fn a_configured_server_is_asked_as_configured_whatever_a_program_or_an_earlier_file_says() {
    let nts = "[[source]]\naddress = \"time.example\"\nmode = \"nts\"\n";
    let plain = "[[source]]\naddress = \"TIME.example.\"\n";
    let other_port = "[[source]]\naddress = \"192.0.2.1:1123\"\n";
    let found = offered(&format!("{MAIN}{nts}"), &[("a.toml", plain), ("b.toml", other_port)]);
    assert_eq!(names(&found), ["192.0.2.1", "time.example"]);
    assert!(found.settings.sources.iter().all(|source| !source.offered));
    assert!(offered(MAIN, &[("a.toml", plain)]).settings.sources[1].offered);
    // The later of the administrator's files counts, and a file may ask one server in both modes.
    for (first, second, is_nts) in [(plain, nts, true), (nts, plain, false)] {
        let found = with(first, &[("a.toml", second)]).unwrap();
        assert_eq!(found.settings.sources.len(), 1, "{found:?}");
        assert_eq!(found.settings.sources[0].nts.is_some(), is_nts);
        assert!(found.warnings[0].contains("this one counts"), "{:?}", found.warnings);
        assert_eq!(with(&format!("{first}{second}"), &[]).unwrap().settings.sources.len(), 2);
    }
}
