//! `chimerctl import` with real files, and what the real daemons make of what goes in and of what comes out.

use bench::daemon::{Setup, source};
use bench::programs::{Place, find_peer, program, wait_for, workspace};
use bench::seen::server;
use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

fn import(words: &[&str]) -> Output {
    Command::new(program("chimerctl"))
        .arg("import")
        .args(words)
        .stdin(Stdio::null())
        .output()
        .expect("it runs")
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

fn data() -> std::path::PathBuf {
    workspace().join("control/import/tests/data")
}

fn path(path: &Path) -> &str {
    path.to_str().expect("ours")
}

fn put(place: &Place, file: &str, text: &str) -> std::path::PathBuf {
    let file = place.join(file);
    fs::create_dir_all(file.parent().expect("a folder")).expect("ours");
    fs::write(&file, text).expect("ours");
    file
}

#[test]
fn the_daemon_takes_the_file_that_is_written_and_nothing_is_written_over() {
    let place = Place::new("import");
    let (out, link) = (place.join("truechimer.toml"), place.join("link.toml"));
    // As Debian's package leaves it nothing is lost; a lease that has brought a server makes it one thing.
    let stock = import(&["--root", path(&data().join("debian"))]);
    assert!(stock.status.success() && stock.stderr.is_empty(), "{stock:?}");
    let root = place.join("root");
    let copied = Command::new("cp").arg("-a").arg(data().join("debian")).arg(&root).status();
    assert!(copied.expect("it runs").success());
    put(&place, "root/run/chrony-dhcp/eth0.sources", "server 192.0.2.1 iburst\n");
    let made = import(&["--root", path(&root), "--output", path(&out)]);
    // The stock file has servers of DHCP leases beside a pool.
    let said = text(&made.stderr);
    assert!(made.status.code() == Some(1) && made.stdout.is_empty(), "{made:?}");
    assert!(
        said.contains("servers of DHCP leases are not asked while") && said.contains("1 thing is"),
        "{said}"
    );
    let words = ["--check", "--first-uid", "61400", "--config", path(&out)];
    let checked = Command::new(program("truechimerd")).args(words).output();
    let checked = checked.expect("it runs");
    assert!(checked.status.success(), "{checked:?}\n{}", fs::read_to_string(&out).expect("ours"));
    // The same on standard output.
    let shown = import(&["--root", path(&root)]);
    assert_eq!(text(&shown.stdout), fs::read_to_string(&out).expect("ours"));
    fs::write(&out, "mine").expect("ours");
    symlink(&out, &link).expect("ours");
    for (words, is_written) in [
        (&["--output", path(&out)][..], false),
        (&["--output", path(&link)], false),
        (&["--force", "--output", path(&link)], false),
        (&["--output", "/nonexistent/a.toml"], false),
        (&["--force", "--output", path(&out)], true),
    ] {
        let again = import(&[&["--root", path(&root)], words].concat());
        let code = if is_written { 1 } else { 3 };
        assert_eq!(again.status.code(), Some(code), "{words:?}: {again:?}");
        assert_eq!(fs::read_to_string(&out).expect("ours") != "mine", is_written, "{words:?}");
    }
    assert!(fs::symlink_metadata(&link).expect("ours").is_symlink());
}

#[test]
fn what_is_replaced_keeps_its_mode_keys_are_renewed_alone_and_nothing_is_written_over_what_is_read() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new("import-modes");
    let (out, keys) = (place.join("truechimer.toml"), place.join("truechimer.keys"));
    let of_keys = put(&place, "chrony.keys", "1 SHA1 ASCII:secretkey0123456\n");
    let conf = put(
        &place,
        "chrony.conf",
        &format!("server 192.0.2.1 iburst key 1\nkeyfile {}\nrefclock SHM 0\n", path(&of_keys)),
    );
    let modes =
        || [&out, &keys].map(|file| fs::metadata(file).expect("written").permissions().mode() & 0o7777);
    let run = |words: &[&str]| import(&[&["--from", "chrony"], words, &[path(&conf)]].concat());
    let both = ["--output", path(&out), "--keys", path(&keys)];
    assert_eq!(run(&both).status.code(), Some(1));
    assert_eq!(modes(), [0o600, 0o600]);
    for (before, after) in [([0o644, 0o640], [0o644, 0o640]), ([0o640, 0o644], [0o640, 0o640])] {
        for (file, mode) in [&out, &keys].into_iter().zip(before) {
            fs::set_permissions(file, fs::Permissions::from_mode(mode)).expect("ours");
        }
        let forced = run(&[&both[..], &["--force"]].concat());
        assert_eq!(forced.status.code(), Some(1), "{forced:?}");
        assert_eq!(modes(), after);
    }
    // The keys alone, which says nothing of what else is lost.
    let before = fs::read_to_string(&out).expect("ours");
    put(&place, "chrony.keys", "1 SHA1 ASCII:anotherkey012345\n");
    let alone = ["--keys", path(&keys), "--keys-only"];
    assert_eq!(run(&alone).status.code(), Some(3), "it is there");
    let renewed = run(&[&alone[..], &["--force"]].concat());
    assert!(
        renewed.status.success() && renewed.stdout.is_empty() && renewed.stderr.is_empty(),
        "{renewed:?}"
    );
    assert!(fs::read_to_string(&keys).expect("ours").contains("616E6F74686572"));
    assert_eq!((fs::read_to_string(&out).expect("ours"), modes()), (before.clone(), [0o640, 0o640]));
    // Neither over the other, nor over what was read.
    let same = place.join("../").join(place.path().file_name().expect("a name")).join("truechimer.toml");
    for (words, said) in [
        (&["--force", "--output", path(&out), "--keys", path(&same)][..], "name one file"),
        (&["--force", "--output", path(&conf)], "is what is imported"),
        (&["--force", "--keys", path(&of_keys), "--keys-only"], "is what is imported"),
    ] {
        let refused = run(words);
        assert_eq!(refused.status.code(), Some(2), "{words:?}: {refused:?}");
        assert!(text(&refused.stderr).contains(said), "{words:?}: {refused:?}");
        assert!(refused.stdout.is_empty(), "{refused:?}");
    }
    assert_eq!(fs::read_to_string(&out).expect("ours"), before);
    assert!(fs::read_to_string(&conf).expect("ours").starts_with("server 192.0.2.1"));
    // Without keys there is nothing to renew.
    let bare = put(&place, "bare.conf", "server 192.0.2.1 iburst\n");
    let none = import(&["--from", "chrony", "--keys", path(&keys), "--keys-only", "--force", path(&bare)]);
    assert_eq!(none.status.code(), Some(2), "{none:?}");
    assert!(fs::read_to_string(&keys).expect("ours").contains("616E6F74686572"), "they stay");
}

/// What is said of a start is so: without a source there is none, but for a server that had its own time alone from the beginning.
#[test]
fn the_daemon_refuses_a_server_that_has_lost_its_sources_and_takes_one_without_any() {
    let place = Place::new("import-bereft");
    for (name, lost, is_taken) in [
        ("gps", "refclock SHM 0 refid GPS\n", false),
        ("keyed", "server a.example iburst key 1\n", false),
        ("isolated", "", true),
    ] {
        let conf = put(&place, &format!("{name}/chrony.conf"), &format!("{lost}allow\nlocal stratum 10\n"));
        let out = place.join(&format!("{name}.toml"));
        let made = import(&["--from", "chrony", "--output", path(&out), path(&conf)]);
        let said = text(&made.stderr);
        assert_eq!(made.status.code(), Some(i32::from(!is_taken)), "{name}: {made:?}");
        assert_eq!(said.contains("the daemon refuses to start"), !is_taken, "{name}: {said}");
        assert_eq!(said.contains("[server] is written as a comment"), !is_taken, "{name}: {said}");
        let words = ["--check", "--first-uid", "61400", "--config", path(&out)];
        let checked = Command::new(program("truechimerd")).args(words).output().expect("it runs");
        assert_eq!(checked.status.success(), is_taken, "{name}: {checked:?}");
    }
}

#[test]
fn exit_codes_tell_losses_from_nothing_to_import() {
    let place = Place::new("import-codes");
    let root = place.path();
    let of_root = || import(&["--root", path(root)]);
    let none = of_root();
    assert_eq!(none.status.code(), Some(2), "{none:?}");
    put(&place, "etc/systemd/timesyncd.conf", "[Time]\n");
    let silent = of_root();
    assert_eq!(silent.status.code(), Some(1), "{silent:?}");
    assert!(text(&silent.stderr).contains("timesyncd.conf names no server"), "{silent:?}");
    put(&place, "etc/chrony.conf", "server a.example iburst\nrefclock SHM 0\n");
    let one = of_root();
    assert_eq!(one.status.code(), Some(1), "{one:?}");
    assert!(
        text(&one.stderr).contains("chrony.conf:2: refclock SHM 0: there are no reference clocks"),
        "{one:?}"
    );
    assert!(text(&one.stdout).contains("address = \"a.example\""), "{one:?}");
    put(&place, "etc/ntp.conf", "server b.example\n");
    let two = of_root();
    assert_eq!(two.status.code(), Some(2), "{two:?}");
    assert!(text(&two.stderr).contains("/etc/chrony.conf, /etc/ntp.conf"), "{two:?}");
    let named = import(&["--root", path(root), "--from", "ntp"]);
    assert!(text(&named.stdout).contains("b.example"), "{named:?}");
    let json = import(&["--json", "--root", path(root), "--from", "ntp"]);
    assert_eq!(json.status.code(), Some(2), "{json:?}");
}

#[test]
fn what_is_no_regular_file_is_neither_waited_for_nor_read_and_no_link_leads_out_of_the_root() {
    let place = Place::new("import-files");
    let fifo = place.join("fifo.conf");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("ours");
    for irregular in [path(&fifo), "/dev/zero", "/", "/nonexistent"] {
        let refused = import(&["--from", "chrony", irregular]);
        assert_eq!(refused.status.code(), Some(2), "{irregular}: {refused:?}");
        let included = put(&place, "a.conf", &format!("server a.example iburst\ninclude {irregular}\n"));
        let made = import(&["--from", "chrony", path(&included)]);
        assert_eq!(made.status.code(), Some(1), "{irregular}: {made:?}");
        assert!(text(&made.stderr).contains(&format!("a.conf:2: {irregular}: ")), "{made:?}");
    }
    let outside = put(&place, "outside.conf", "server secret.example iburst\n");
    let root = place.join("root");
    fs::create_dir_all(root.join("etc")).expect("ours");
    fs::write(
        root.join("etc/chrony.conf"),
        "server a.example iburst\ninclude /etc/link.conf\ninclude /../outside.conf\n",
    )
    .expect("ours");
    symlink(&outside, root.join("etc/link.conf")).expect("ours");
    let made = import(&["--root", path(&root)]);
    assert_eq!(made.status.code(), Some(1), "{made:?}");
    assert!(!text(&made.stdout).contains("secret.example"), "{made:?}");
    assert!(text(&made.stderr).contains("a link in it leads out of the root"), "{made:?}");
}

#[test]
fn a_file_that_others_may_write_says_nothing_and_an_installation_opens_no_server() {
    use std::os::unix::fs::{PermissionsExt, chown};
    let place = Place::new("import-others");
    let file = put(&place, "chrony.conf", "server 192.0.2.1\nallow\n");
    let output = import(&["--from", "chrony", path(&file)]);
    assert!(text(&output.stdout).contains("\n[server]\n"), "{output:?}");
    let output = import(&["--from", "chrony", "--no-server", path(&file)]);
    let made = text(&output.stdout);
    assert!(!made.contains("\n[server]\n") && made.contains("#[server]"), "{made}");
    assert_eq!(output.status.code(), Some(1));
    let target = place.join("made.toml");
    assert!(import(&["--from", "chrony", "--output", path(&target), path(&file)]).status.code() < Some(2));
    assert_eq!(fs::metadata(&target).expect("made").permissions().mode() & 0o777, 0o600);
    for mode in [0o666, 0o602] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("ours");
        let output = import(&["--from", "chrony", path(&file)]);
        assert_eq!(output.status.code(), Some(2), "{mode:o}: {output:?}");
        assert!(text(&output.stderr).contains("others than root may write to it"), "{output:?}");
    }
    if bench::is_root() {
        fs::set_permissions(&file, fs::Permissions::from_mode(0o664)).expect("ours");
        assert!(import(&["--from", "chrony", path(&file)]).status.code() < Some(2), "root's group");
        chown(&file, None, Some(61_399)).expect("root may");
        assert_eq!(import(&["--from", "chrony", path(&file)]).status.code(), Some(2));
        // What the daemon writes itself is a number, and no link.
        let drift = put(&place, "drift", "12.5 0.1\n");
        chown(&drift, Some(61_399), Some(61_399)).expect("root may");
        let link = place.join("link");
        std::os::unix::fs::symlink(&drift, &link).expect("ours");
        for (of, is_taken) in [(&drift, true), (&link, false)] {
            let file = put(&place, "own.conf", &format!("server 192.0.2.1\ndriftfile {}\n", path(of)));
            let made = text(&import(&["--from", "chrony", path(&file)]).stdout).to_owned();
            assert_eq!(made.contains("initial-frequency-ppm = -12.5"), is_taken, "{made}");
        }
    }
}

#[test]
fn a_drop_in_that_is_masked_is_an_empty_file() {
    let place = Place::new("import-masked");
    put(&place, "etc/systemd/timesyncd.conf", "[Time]\nNTP=a.example\n");
    put(&place, "usr/lib/systemd/timesyncd.conf.d/10-vendor.conf", "[Time]\nNTP=vendor.example\n");
    fs::create_dir_all(place.join("etc/systemd/timesyncd.conf.d")).expect("ours");
    symlink("/dev/null", place.join("etc/systemd/timesyncd.conf.d/10-vendor.conf")).expect("ours");
    let own = place.join("etc/systemd/timesyncd.conf");
    for words in [&["--root", path(place.path())][..], &["--from", "timesyncd", path(&own)]] {
        let made = import(words);
        assert!(made.status.success() && made.stderr.is_empty(), "{words:?}: {made:?}");
        let made = text(&made.stdout);
        assert!(made.contains("a.example") && !made.contains("vendor.example"), "{words:?}: {made}");
    }
}

/// What a start makes of such a frequency is judged in virtual time (`behaviour.rs` of the engine).
#[test]
fn the_frequency_of_another_daemon_is_begun_with_until_there_is_one_of_its_own() {
    const SAID: &str = "frequency of the configuration 40.000 ppm";
    let (_server, places) = server(1);
    let text = source(&places[0]) + "[clock]\ninitial-frequency-ppm = 40\n";
    let setup = Setup::new("initial-frequency", &text).with_virtual_clock(0, 40.0);
    let client = setup.start();
    client.wait_until_synchronised(Duration::from_secs(20));
    assert_eq!(client.lines(SAID), 1, "{}", client.log());
    assert_eq!(client.stop().code, Some(0));
    let client = setup.start();
    client.wait_until_synchronised(Duration::from_secs(20));
    assert_eq!(client.lines(SAID), 0, "{}", client.log());
}

/// What it reads has to be what chronyd reads: with `-p` it says whether a configuration is one.
#[test]
fn chronyd_takes_the_configurations_that_are_imported() {
    let Some(chronyd) = find_peer("chronyd") else { return bench::skip(bench::peers::NO_CHRONYD) };
    let mut count = 0;
    for entry in fs::read_dir(data()).expect("ours").flatten().filter(|entry| entry.path().is_dir()) {
        let etc = entry.path().join("etc");
        for file in
            [etc.join("chrony.conf"), etc.join("chrony/chrony.conf")].iter().filter(|file| file.exists())
        {
            let place = Place::new("import-chronyd");
            let root = entry.path();
            let moved = fs::read_to_string(file).expect("ours");
            let moved = moved.replace("/etc/chrony/", &format!("{}/etc/chrony/", path(&root)));
            let moved = put(&place, "chrony.conf", &moved);
            let output = Command::new(&chronyd).args(["-p", "-f", path(&moved)]).output().expect("it runs");
            assert!(output.status.success(), "{}: {output:?}", file.display());
            count += 1;
        }
    }
    assert_eq!(count, 12);
}

/// A sequence that is the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

/// The networks of `allow` and `deny`, as the longest prefix decides.
fn verdict(server: Option<&toml::Value>, address: u32) -> bool {
    let list = |key: &str| -> Vec<(u32, u32)> {
        let list = server.and_then(|server| server.get(key)?.as_array());
        let networks = list.into_iter().flatten().filter_map(|network| network.as_str()?.split_once('/'));
        networks
            .filter_map(|(ip, bits)| Some((ip.parse::<Ipv4Addr>().ok()?.to_bits(), bits.parse().ok()?)))
            .filter(|(prefix, bits)| {
                address.checked_shr(32 - bits).unwrap_or(0) == prefix.checked_shr(32 - bits).unwrap_or(0)
            })
            .collect()
    };
    let longest = |key: &str| list(key).into_iter().map(|(_, bits)| bits).max();
    longest("allow") > longest("deny")
}

/// Its documentation leaves open what a rule overwrites; so it is asked itself.
#[test]
fn chronyd_answers_whom_the_imported_rules_let_in_and_nobody_else() {
    let Some(chronyd) = find_peer("chronyd") else {
        return bench::skip(bench::peers::NO_CHRONYD);
    };
    if !bench::is_root() {
        return bench::skip("a network namespace of its own needs root");
    }
    for seed in 1..=4 {
        let mut numbers = Numbers(seed);
        let mut rules = String::new();
        for _ in 0..40 {
            let word = if numbers.below(2) == 0 { "allow" } else { "deny" };
            let all = if numbers.below(6) == 0 { "all " } else { "" };
            let bits = 16 + numbers.below(17);
            let address =
                Ipv4Addr::from_bits(0x0a01_0000 | u32::try_from(numbers.below(1024)).expect("small"));
            rules += &format!("{word} {all}{address}/{bits}\n");
        }
        let place = Place::new("import-access");
        fs::create_dir(place.join("run")).expect("ours");
        fs::set_permissions(place.join("run"), std::os::unix::fs::PermissionsExt::from_mode(0o750))
            .expect("ours");
        let socket = place.join("run/sock");
        let own = format!(
            "port 11123\ncmdport 0\nuser root\nbindcmdaddress {}\npidfile {}\n",
            path(&socket),
            path(&place.join("run/pid"))
        );
        let file = put(&place, "chrony.conf", &format!("{rules}{own}"));
        let mut daemon = Command::new("unshare");
        daemon.args(["--net", "--", path(&chronyd), "-x", "-d", "-f", path(&file)]);
        let mut daemon = daemon.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs");
        let up = wait_for(Duration::from_secs(10), || socket.exists().then_some(()));
        let imported = import(&[path(&file)]);
        let made: toml::Table = text(&imported.stdout).parse().expect("it is TOML");
        let mut verdicts = Vec::new();
        for _ in 0..150 {
            let address = 0x0a01_0000 | u32::try_from(numbers.below(1100)).expect("small");
            let words = ["accheck", &Ipv4Addr::from_bits(address).to_string()];
            let Some(said) = bench::chronyd_client::chronyc(&socket, &words) else { break };
            let said = text(&said.stdout);
            verdicts.push((address, said.contains("208 Access allowed"), said));
        }
        daemon.kill().expect("ours");
        let _ = daemon.wait();
        assert!(up.is_some() && verdicts.len() == 150, "chronyd does not answer");
        assert!(
            verdicts.iter().all(|(.., said)| said.starts_with("208") || said.starts_with("209")),
            "{verdicts:?}"
        );
        for (address, theirs, _) in verdicts {
            let ours = verdict(made.get("server"), address);
            let address = Ipv4Addr::from_bits(address);
            assert_eq!(ours, theirs, "seed {seed}: {address}\n{rules}\n{}", text(&imported.stdout));
        }
    }
}
