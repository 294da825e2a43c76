//! Configurations of the shape that real hosts have, each with what is made of it (`tests/data`). The engine's tests show that
//! its reader takes what is made.

use crate::{FileError, Files, Imported, import};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Files in memory.
#[derive(Default)]
pub struct Memory(pub BTreeMap<String, Vec<u8>>);

impl Files for Memory {
    fn read(&mut self, path: &str) -> Result<Vec<u8>, FileError> {
        self.0.get(path).cloned().ok_or(FileError::Absent)
    }

    fn list(&mut self, folder: &str) -> Result<Vec<String>, FileError> {
        let folder = format!("{}/", folder.trim_end_matches('/'));
        let inside = self.0.keys().filter_map(|path| path.strip_prefix(&folder));
        let names: Vec<String> = inside.filter(|name| !name.contains('/')).map(str::to_owned).collect();
        if names.is_empty() { Err(FileError::Absent) } else { Ok(names) }
    }
}

/// Each case with the file that is named, and its root.
pub const CASES: [(&str, &str); 16] = [
    ("debian", "/etc/chrony/chrony.conf"),
    ("fedora", "/etc/chrony.conf"),
    ("aws", "/etc/chrony.conf"),
    ("gcp", "/etc/chrony/chrony.conf"),
    ("azure", "/etc/chrony.conf"),
    ("gps", "/etc/chrony/chrony.conf"),
    ("pool", "/etc/chrony/chrony.conf"),
    ("nts", "/etc/chrony/chrony.conf"),
    ("idm", "/etc/chrony.conf"),
    ("ad", "/etc/chrony/chrony.conf"),
    ("node", "/etc/chrony/chrony.conf"),
    ("database", "/etc/chrony.conf"),
    ("ntp", "/etc/ntpsec/ntp.conf"),
    ("timesyncd", "/etc/systemd/timesyncd.conf"),
    ("openntpd", "/etc/openntpd/ntpd.conf"),
    ("ntpd-rs", "/etc/ntpd-rs/ntp.toml"),
];

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

fn gather(root: &Path, folder: &Path, into: &mut Memory) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            gather(root, &path, into);
        } else if let Ok(inner) = path.strip_prefix(root) {
            into.0.insert(format!("/{}", inner.to_str().unwrap()), std::fs::read(&path).unwrap());
        }
    }
}

fn case(name: &str, path: &str) -> (Memory, Imported) {
    let mut files = Memory::default();
    gather(&data().join(name), &data().join(name), &mut files);
    let imported = import(&[path.to_owned()], None, &mut files).unwrap();
    (files, imported)
}

/// An imported text from one file.
pub fn of(path: &str, text: &str) -> Imported {
    let mut files = Memory::default();
    files.0.insert(path.to_owned(), text.as_bytes().to_vec());
    import(&[path.to_owned()], None, &mut files).unwrap()
}

#[test]
fn each_configuration_becomes_what_is_written_beside_it() {
    let mut differing = Vec::new();
    for (name, path) in CASES {
        let (_, imported) = case(name, path);
        let mut found = imported.text.clone();
        found += "\n# losses:\n";
        imported.losses.iter().for_each(|loss| found += &format!("# {loss}\n"));
        let golden = data().join(format!("{name}.toml"));
        if std::env::var_os("TRUECHIMER_WRITE_GOLDEN").is_some() {
            std::fs::write(&golden, &found).unwrap();
        }
        let expected = std::fs::read_to_string(&golden).unwrap_or_default();
        if expected != found {
            differing.push(format!("{name}: expected\n{expected}\nfound\n{found}"));
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n\n"));
}

/// Lines of a file of theirs that say something: comments are theirs to keep.
fn says_something(path: &str, line: &str) -> bool {
    let line = line.trim();
    let is_toml_head = path.ends_with(".toml") && line.starts_with('[') && !line.contains('=');
    !line.is_empty() && !line.starts_with(['#', ';', '!', '%']) && !is_toml_head && line != "[Time]"
}

#[test]
fn each_line_of_each_file_stands_in_the_new_one() {
    for (name, path) in CASES {
        let (files, imported) = case(name, path);
        // As one line: a long note is wrapped.
        let flat = imported.text.replace("\n# ", " ").split_whitespace().collect::<Vec<_>>().join(" ");
        for (path, octets) in
            files.0.iter().filter(|(path, _)| path.starts_with("/etc/") || path.starts_with("/usr/"))
        {
            if name == "timesyncd" && path.starts_with("/usr/") && path.contains("10-more") {
                // Of two drop-ins with one name, timesyncd reads the first.
                assert!(!flat.contains("never.example.org"));
                continue;
            }
            if flat.contains(&format!("{path}: not read, as chronyd does not")) {
                continue;
            }
            let text = std::str::from_utf8(octets).unwrap();
            for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| says_something(path, line)) {
                for word in line.split('#').next().unwrap().split_whitespace() {
                    let word = word.trim_matches('"').trim_end_matches('\\');
                    assert!(flat.contains(word), "{name}: {path}:{number}: {word} of {line}");
                }
                if !path.ends_with(".toml") {
                    let is_there = flat.contains(&format!("{path}:{number}: "));
                    assert!(is_there || line.starts_with([' ', '\t']), "{name}: {path}:{number} is missing");
                }
            }
        }
    }
}

/// What one line becomes: of each option either a key, or a note that names it.
#[test]
fn each_option_of_a_source_is_a_key_or_is_named_with_what_became_of_it() {
    for (option, key) in [
        ("minpoll 5", "min-poll = 5"),
        ("maxpoll 12", "max-poll = 12"),
        ("maxdelay 0.5", "max-delay = 0.5"),
        ("port 1123", "address = \"a.example:1123\""),
        ("nts ntsport 4461", "address = \"a.example:4461\""),
        ("nts", "mode = \"nts\""),
        ("prefer", "prefer = true"),
        ("trust", "trust = true"),
        ("require", "require = true"),
        ("noselect", "noselect = true"),
        ("minstratum 4", "min-stratum = 4"),
        ("offset -0.01", "offset = -0.01"),
        ("offline", "#     offline: "),
        ("xleave", "interleaved = true"),
        ("version 3", "#     version 3: "),
        ("extfield F323", "#     extfield F323: "),
        ("maxsources 3", "#     maxsources 3: "),
        ("certset 4", "#     certset 4: "),
        ("nts port 1123", "#     port 1123: "),
        ("ipv4", "family = \"ipv4\""),
        ("unheard-of", "#     unheard-of: "),
    ] {
        let text = of("/etc/chrony.conf", &format!("server a.example iburst {option}")).text;
        assert!(text.lines().any(|line| line.starts_with(key)), "{option}: {text}");
        assert!(!text.contains("burst = false"), "{text}");
        let other = of("/etc/chrony.conf", "server a.example iburst").text;
        assert!(!other.lines().any(|line| line.starts_with(key)), "{option}: {other}");
    }
}

/// Losses of authentication and of access are told, and nothing is wider or weaker than it was.
#[test]
fn what_cannot_be_carried_without_a_loss_is_a_comment_and_is_told() {
    let is_key = |text: &str, line: &str| text.lines().any(|found| found.starts_with(line));
    for (path, lines, absent) in [
        ("/etc/chrony.conf", "server a iburst key 1", "address"),
        ("/etc/chrony.conf", "server a nts certset 9", "address"),
        ("/etc/chrony.conf", "server a nts\nnosystemcert", "address"),
        ("/etc/chrony.conf", "server a\nauthselectmode require", "address"),
        ("/etc/chrony.conf", "server a\nallow\ndeny host.example", "allow"),
        ("/etc/chrony.conf", "server a\nallow\ndeny 1.2.3.4/40", "allow"),
        ("/etc/chrony.conf", "server a\nallow\ninclude /etc/no/such.conf", "allow"),
        ("/etc/chrony.conf", "server a\nallow\ninclude /etc/chrony.conf", "allow"),
        ("/etc/chrony.conf", "server a\nallow\n\u{1}deny 10.0.0.0/8", "allow"),
        ("/etc/ntp.conf", "server a\nrestrict \"10.0.0.1 ignore", "allow"),
        ("/etc/ntp.conf", "server a\nincludefile /etc/no/such.conf", "allow"),
        ("/etc/ntp.conf", "server a\nrestrict 10.0.0.\u{fffd} ignore", "allow"),
        ("/etc/chrony.conf", "server a\nallow\nbindaddress fe80::1", "listen"),
        ("/etc/chrony.conf", "server a\nallow\nbindaddress # 192.0.2.1", "listen"),
        ("/etc/chrony.conf", "server a\nallow\nbinddevice # eth0", "listen"),
        ("/etc/chrony.conf", "server a\nallow\nport # 0", "listen"),
        ("/etc/ntp.conf", "server a autokey", "address"),
        ("/etc/ntp.conf", "server a\nrestrict host.example ignore", "allow"),
        ("/etc/ntp.conf", "server a\nrestrict 10.0.0.0 mask 255.0.255.0 noserve", "allow"),
        ("/etc/ntp.conf", "server a\ninterface ignore eth0", "listen"),
        ("/etc/openntpd/ntpd.conf", "server a\nlisten on 192.0.2.1 rtable 2", "listen"),
        ("/etc/ntpd-rs/ntp.toml", "[[server]]\nlisten = \"0.0.0.0:123\"\nrequire-nts = true", "listen"),
        (
            "/etc/ntpd-rs/ntp.toml",
            "[[source]]\nmode = \"nts\"\naddress = \"a\"\ncertificate-authority = \"x\"",
            "address",
        ),
    ] {
        let imported = of(path, lines);
        assert!(!is_key(&imported.text, absent), "{lines}: {}", imported.text);
        assert!(!imported.losses.is_empty(), "{lines}: {}", imported.text);
    }
}

#[test]
fn the_frequency_of_chrony_has_the_opposite_sign_of_ntpds() {
    for (path, text, expected) in [
        ("/etc/chrony.conf", "driftfile /d", "initial-frequency-ppm = -12.5"),
        ("/etc/ntp.conf", "driftfile /d", "initial-frequency-ppm = 12.5"),
    ] {
        let mut files = Memory::default();
        files.0.insert(path.to_owned(), text.into());
        for (drift, is_taken) in [("12.5 0.1\n", true), ("1e9\n", false), ("nan", false), ("", false)] {
            files.0.insert("/d".to_owned(), drift.into());
            let imported = import(&[path.to_owned()], None, &mut files).unwrap();
            assert_eq!(imported.text.contains(expected), is_taken, "{drift}: {}", imported.text);
            assert_eq!(
                imported.text.contains("initial-frequency-ppm"),
                is_taken,
                "{drift}: {}",
                imported.text
            );
        }
    }
}

#[test]
fn files_that_include_each_other_and_files_without_end_are_bounded() {
    let mut files = Memory::default();
    files.0.insert("/a.conf".to_owned(), "include /a.conf\ninclude /*.conf\n".into());
    let imported = import(&["/a.conf".to_owned()], Some(crate::Kind::Chrony), &mut files);
    assert!(imported.is_ok_and(|imported| imported.losses.len() > 1) || imported_is_too_long(&mut files));
    files.0.insert("/long.conf".to_owned(), vec![b'x'; crate::MAX_FILE + 1]);
    let long = import(&["/long.conf".to_owned()], Some(crate::Kind::Chrony), &mut files);
    assert_eq!(long.unwrap_err().to_string(), "/long.conf: not read: longer than 1 MiB");
    let many = "allow 10.0.0.1/31\n".repeat(40_000);
    files.0.insert("/many.conf".to_owned(), many.into());
    let many = import(&["/many.conf".to_owned()], Some(crate::Kind::Chrony), &mut files);
    assert_eq!(many, Err(crate::ImportError::TooLong));
}

fn imported_is_too_long(files: &mut Memory) -> bool {
    import(&["/a.conf".to_owned()], Some(crate::Kind::Chrony), files) == Err(crate::ImportError::TooLong)
}

#[test]
fn what_is_no_text_is_refused_line_by_line() {
    let mut files = Memory::default();
    files.0.insert(
        "/etc/chrony.conf".to_owned(),
        b"server a iburst\nserver b\xff iburst\nserver c\x1b[2J iburst\nlogdir /\xff\n".to_vec(),
    );
    let imported = import(&["/etc/chrony.conf".to_owned()], None, &mut files).unwrap();
    assert_eq!(imported.sources, 1);
    assert_eq!(imported.losses.len(), 3);
    assert!(imported.text.chars().all(|letter| letter == '\n' || !letter.is_control()), "{}", imported.text);
}

#[test]
fn who_is_answered_is_said_where_it_is_everybody_and_nobody_is_for_ntpqs_sake() {
    let open = of("/etc/ntp.conf", "server a\nrestrict default limited kod\n");
    assert!(open.text.contains("\nallow = [\"0.0.0.0/0\", \"::/0\"]\n"), "{}", open.text);
    assert!(
        open.losses.iter().any(|loss| loss.contains("answers everybody, as ntpd did")),
        "{:?}",
        open.losses
    );
    let closed = of("/etc/ntp.conf", "server a\nrestrict default ignore\nrestrict 127.0.0.1\nrestrict ::1\n");
    assert!(closed.text.contains("\n#[server]\n") && closed.losses.is_empty(), "{closed:?}");
    let some = of("/etc/ntp.conf", "server a\nrestrict default ignore\nrestrict 10.0.0.0 mask 255.0.0.0\n");
    assert!(some.text.contains("\nallow = [\"10.0.0.0/8\"]\n") && some.losses.is_empty(), "{some:?}");
}

/// Without what it had its time from, a server would hand out a clock that runs free.
#[test]
fn a_server_that_has_lost_its_sources_answers_nobody_and_one_without_any_is_as_it_was() {
    const CHRONY: &str = "/etc/chrony.conf";
    const NTP: &str = "/etc/ntp.conf";
    const RS: &str = "/etc/ntpd-rs/ntp.toml";
    let rs_server = "[[server]]\nlisten = \"0.0.0.0:123\"\n[synchronization]\nlocal-stratum = 9\n";
    let served = "allow\nlocal stratum 10\n";
    for (path, lines, is_served) in [
        (CHRONY, format!("refclock SHM 0\n{served}"), false),
        (CHRONY, format!("server a iburst key 1\nserver b iburst key 1\n{served}"), false),
        (CHRONY, format!("refclock SHM 0\nserver a iburst noselect\n{served}"), false),
        (CHRONY, format!("peer a\n{served}"), false),
        (CHRONY, format!("server a\nauthselectmode require\n{served}"), false),
        (CHRONY, format!("refclock SHM 0\nsourcedir /run/chrony-dhcp\n{served}"), false),
        (CHRONY, format!("initstepslew 10 a\n{served}"), false),
        (CHRONY, format!("server b\u{1}\n{served}"), false),
        (CHRONY, served.to_owned(), true),
        (CHRONY, format!("refclock SHM 0\nserver a iburst\n{served}"), true),
        (NTP, "server a key 3\nserver 127.127.1.0\n".to_owned(), false),
        (NTP, "server 127.127.20.0\nserver 127.127.1.0\nfudge 127.127.1.0 stratum 8\n".to_owned(), false),
        (NTP, "broadcastclient\nserver 127.127.1.0\n".to_owned(), false),
        (NTP, "refclock shm unit 0\nserver 127.127.1.0\n".to_owned(), false),
        (NTP, "server 127.127.1.0\nfudge 127.127.1.0 stratum 8\n".to_owned(), true),
        (NTP, "server a\nserver 127.127.20.0\nserver 127.127.1.0\n".to_owned(), true),
        (RS, format!("[[source]]\nmode = \"pps\"\npath = \"/dev/pps0\"\n{rs_server}"), false),
        (RS, rs_server.to_owned(), true),
    ] {
        let imported = of(path, &lines);
        let section = if is_served { "\n[server]\n" } else { "\n#[server]\n" };
        assert!(imported.text.contains(section), "{lines}: {}", imported.text);
        assert_eq!(imported.text.contains("\nlocal-stratum"), is_served, "{lines}: {}", imported.text);
        let is_told = imported.losses.iter().any(|loss| loss.starts_with("[server] is written as a comment"));
        assert_eq!(is_told, !is_served, "{lines}: {:?}", imported.losses);
        // A claim about the daemon: it takes a server of its own time, and nothing without a source.
        let refuses = imported.losses.iter().any(|loss| loss.contains("the daemon refuses to start"));
        let is_refused = !is_served && !lines.contains("noselect") && !lines.contains("dhcp");
        assert_eq!(refuses, is_refused, "{lines}: {:?}", imported.losses);
    }
}

/// What one line of a file becomes, and whether it counts as a loss.
#[test]
fn what_is_no_alarm_is_a_note_and_what_is_one_is_told_at_the_head() {
    const CHRONY: &str = "/etc/chrony.conf";
    const NTP: &str = "/etc/ntp.conf";
    const RS: &str = "/etc/ntpd-rs/ntp.toml";
    let leases = "servers of DHCP leases are not asked while there is a [[source]]";
    let everybody = "[server] answers everybody, as ntpd did";
    let everybody_rs = "[server] answers everybody, as ntpd-rs did";
    let rs = |more: &str| {
        format!("[[source]]\nmode = \"server\"\naddress = \"a\"\n[[server]]\nlisten = \"[::]:123\"\n{more}")
    };
    for (path, lines, said, losses) in [
        (CHRONY, "server a iburst\nsourcedir /run/chrony-dhcp".to_owned(), leases, 0),
        (CHRONY, "sourcedir /run/chrony-dhcp".to_owned(), "truechimer-networkd.path", 0),
        (CHRONY, "sourcedir /run/chrony-dhcp /etc/no".to_owned(), "/etc/no: there is no such folder", 0),
        (CHRONY, "sourcedir /etc/no /run/chrony-dhcp\nminsources 3".to_owned(), "minimum-sources = 3", 0),
        (CHRONY, "server a iburst\nminsources 2".to_owned(), "1 here, because that many sources are left", 1),
        (CHRONY, "minsources 2\nserver a key 1".to_owned(), "1 here, because no source is left", 4),
        (
            CHRONY,
            "pool p iburst nts maxsources 3".to_owned(),
            "\nmode = \"nts\"\npool = true\nmembers = 3\n",
            0,
        ),
        (CHRONY, "pool 192.0.2.1 iburst nts".to_owned(), "an address is one server here", 0),
        (CHRONY, "server a iburst # noselect key 1".to_owned(), "# noselect key 1: left out", 0),
        (CHRONY, "server a iburst\nallow 10.0.0.0/8 #all".to_owned(), "allow = [\"10.0.0.0/8\"]", 0),
        (CHRONY, "server a iburst\nallow # 10.0.0.0/8".to_owned(), "there is no network before the #", 1),
        (
            CHRONY,
            "server a iburst\ncommandkey 1\nlinux_hz 100\nacquisitionport 123".to_owned(),
            "later versions",
            0,
        ),
        (
            CHRONY,
            "server a iburst\ngeneratecommandkey\nlinux_freq_scale 0.99".to_owned(),
            "later versions",
            0,
        ),
        (CHRONY, "server a iburst\ndriftfile /d interval 3600".to_owned(), "interval 3600: fixed", 0),
        (CHRONY, "server a iburst\nmakestep".to_owned(), "makestep: not carried: no number", 1),
        (
            CHRONY,
            "server a iburst\ninclude /etc/no.conf".to_owned(),
            "/etc/no.conf: there is no such file",
            1,
        ),
        (
            CHRONY,
            "server a iburst\nbindacqaddress 192.0.2.1".to_owned(),
            "\nsend-from = [\"192.0.2.1\"]\n",
            0,
        ),
        (CHRONY, "server a iburst\nbindacqaddress fe80::1".to_owned(), "no address that can be used", 1),
        (
            CHRONY,
            "bindacqdevice eth0\nserver a iburst\ndscp 46".to_owned(),
            "send-over = \"eth0\"\ndscp = 46\n",
            0,
        ),
        (CHRONY, "server 192.0.2.1 iburst ipv4".to_owned(), "the address is of one family", 0),
        (CHRONY, "server [2001:db8::1] iburst\nserver b iburst".to_owned(), "write it without brackets", 1),
        (CHRONY, "\u{feff}server a iburst".to_owned(), "\naddress = \"a\"\n", 0),
        (CHRONY, "server b iburst\nserver a\0 iburst".to_owned(), "there is a NUL in it", 1),
        (NTP, "server -6 a iburst\nrestrict default ignore".to_owned(), "family = \"ipv6\"", 0),
        (
            NTP,
            "pool p iburst nts\nrestrict default ignore".to_owned(),
            "\nmode = \"nts\"\npool = true\nmembers = 4\n",
            0,
        ),
        (NTP, "server a\nrestrict default ignore\nbroadcast 192.0.2.255".to_owned(), "docs/from-ntpd.md", 1),
        (
            NTP,
            "server a\nfudge 127.127.20.0 flag1 1".to_owned(),
            "reference clocks, of which there are none",
            1,
        ),
        (NTP, "server a iburst\ntos maxclock 5".to_owned(), everybody, 1),
        (NTP, "server a key 1\nserver 127.127.1.0".to_owned(), "[server] is written as a comment", 4),
        ("/etc/openntpd/ntpd.conf", "server a\nlisten on *".to_owned(), everybody, 1),
        ("/etc/openntpd/ntpd.conf", "server a\nlisten on 127.0.0.1".to_owned(), "everybody is answered", 0),
        ("/etc/openntpd/ntpd.conf", "server a\nquery from 192.0.2.1".to_owned(), "the kernel chooses", 1),
        (RS, rs(""), everybody_rs, 1),
        (RS, rs("allowlist = { filter = [\"::/0\"], action = \"ignore\" }"), "\nallow = [\"::/0\"]", 0),
        (
            RS,
            rs("allowlist = { filter = [\"10.0.0.0/8\"], action = \"ignore\" }"),
            "because listen has addresses of IPv6 alone",
            0,
        ),
    ] {
        let imported = of(path, &lines);
        let flat = imported.text.replace("\n#       ", " ").replace("\n#     ", " ");
        assert!(flat.contains(said), "{lines}: {flat}");
        assert_eq!(imported.losses.len(), losses, "{lines}: {:?}", imported.losses);
        assert!(!flat.contains("noselect = true"), "{lines}: {flat}");
        assert!(losses == 0 || !flat.contains("read here: /etc/no"), "{lines}: {flat}");
    }
}

/// Whom the lists of the text let in, as the server decides: by the longest prefix.
fn lets_in(text: &str, address: std::net::Ipv4Addr) -> bool {
    let made: toml::Table = text.parse().unwrap();
    let host = crate::Network::new(address.into(), 32).unwrap();
    let longest = |key: &str| {
        let list = made.get("server").and_then(|server| server.get(key)?.as_array());
        let texts = list.into_iter().flatten().filter_map(toml::Value::as_str);
        let networks = texts.map(|text| crate::access::parse(text).unwrap().unwrap());
        networks.filter(|network| network.contains(&host)).map(|network| network.bits).max()
    };
    longest("allow") > longest("deny")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// ntpd answers whoever is not kept out by the most specific line about him, whose flags add up; lines about port 123 alone
    /// come after the others of the same network. Here nobody is let in whom ntpd keeps out, from whatever port he asks; and
    /// without such lines nobody is kept out whom ntpd lets in.
    #[test]
    fn whoever_is_let_in_by_ntpds_lines_is_let_in_here_and_nobody_else(
        lines in prop::collection::vec((0u32..512, 22u8..=32, prop::sample::select(vec!["", "noserve", "ignore kod", "nomodify", "ntpport", "ntpport noserve"])), 0..16),
        addresses in prop::collection::vec(0u32..600, 40),
    ) {
        let mut text = String::from("server a\n");
        let mut flags: BTreeMap<(u8, u32, bool), bool> = BTreeMap::new();
        flags.insert((0, 0, false), false);
        for (low, bits, said) in &lines {
            let mask = u32::MAX << (32 - bits);
            let address = (0x0a00_0000 | low) & mask;
            let words = [std::net::Ipv4Addr::from_bits(address), std::net::Ipv4Addr::from_bits(mask)];
            text += &format!("restrict {} mask {} {said}\n", words[0], words[1]);
            let denies = said.contains("noserve") || said.contains("ignore");
            *flags.entry((*bits, address, said.contains("ntpport"))).or_default() |= denies;
        }
        let imported = of("/etc/ntp.conf", &text).text;
        let has_port = lines.iter().any(|(.., said)| said.contains("ntpport"));
        for low in addresses {
            let address = 0x0a00_0000 | low;
            let model = |from_port: bool| {
                let matching = flags.iter().filter(|((bits, network, of_port), _)| {
                    let mask = u32::MAX.checked_shl(32 - u32::from(*bits)).unwrap_or(0);
                    address & mask == *network && (from_port || !of_port)
                });
                // The map has them in this order: of one length those about the port come last.
                !matching.max_by_key(|((bits, _, of_port), _)| (*bits, *of_port)).is_some_and(|(_, denies)| *denies)
            };
            let ours = lets_in(&imported, std::net::Ipv4Addr::from_bits(address));
            prop_assert!(!ours || (model(false) && model(true)), "{low}: wider\n{text}\n{imported}");
            prop_assert!(has_port || ours == model(false), "{low}: narrower\n{text}\n{imported}");
        }
    }
}

#[test]
fn what_chronyd_would_slew_within_seconds_is_not_slewed_here_for_half_an_hour() {
    for (text, carried) in [
        ("makestep 1 3\n", None),
        ("initstepslew 30 a\n", None),
        ("makestep 1 3\nmaxslewrate 1000\n", None),
        ("makestep 0.005 3\n", Some("0.005")),
        ("maxslewrate 500\nmakestep 1 3\n", Some("1.0")),
        ("makestep 1 3\nmaxslewrate 100\nmakestep 0.5 3\n", Some("0.5")),
        ("makestep 1 0\n", None),
    ] {
        let imported = of("/etc/chrony.conf", &format!("server a iburst\n{text}"));
        let found = imported.text.lines().find_map(|line| line.strip_prefix("start-step-threshold = "));
        assert_eq!(found, carried, "{text}: {}", imported.text);
        assert!(imported.losses.is_empty(), "{text}: {:?}", imported.losses);
    }
}

mod carried;
