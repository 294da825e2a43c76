//! Replies to clients of an Active Directory domain, signed by Samba: the real one, and doubles that do what it should not.

use bench::client::query;
use bench::daemon::{Daemon, Setup};
use bench::packet::{Header, nanos};
use bench::programs::{Place, free_port, wait_for};
use bench::samba::{Conduct, Domain, Double, Member, NO_SAMBA, digest, give, key_of};
use ipc::process::Process as Role;
use nix::sys::signal::Signal;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(60);

/// Silence is not waited for longer: whether there was no reply is seen by the counts.
const SHORT: Duration = Duration::from_millis(300);

fn count(server: &Daemon, name: &str) -> u64 {
    server.ask("server").and_then(|reply| reply["server"][name].as_u64()).unwrap_or(0)
}

fn setup(port: u16, folder: &Path) -> Setup {
    let configuration = format!(
        "[server]\nlisten = [\"127.0.0.1:{port}\"]\nallow = [\"127.0.0.0/8\"]\nlocal-stratum = 4\nrate-limit = false\n\
         samba-signd = \"{}\"\n",
        folder.display()
    );
    Setup::new("signing", &configuration)
}

/// A daemon that may use the folder.
fn start(port: u16, folder: &Path) -> Daemon {
    let setup = setup(port, folder);
    give(folder, setup.gid(Role::Samba));
    setup.start()
}

fn verify(reply: &[u8; 68], rid: u32, key: &[u8; 16]) {
    assert_eq!(reply[48..52], rid.to_le_bytes());
    assert_eq!(reply[52..], digest(key, &reply[..48]), "not signed by this key");
}

#[test]
fn a_member_of_a_real_domain_gets_time_under_its_own_password_and_no_other_account_does() {
    let Some(mut domain) = Domain::new() else { return bench::skip(NO_SAMBA) };
    let port = free_port();
    let server = start(port, &domain.folder());
    let address = format!("127.0.0.1:{port}");
    let (account, disabled) = (domain.account("MEMBER"), domain.account("DISABLED"));
    let key = account.nt_hash.expect("it has a password");
    let mut member = Member::new("127.0.0.1:0", &address, account.rid);
    // At first it may say that it is not synchronised, as to everybody.
    let header = wait_for(TIMEOUT, || {
        let reply = member.reply_sooner_or_later();
        verify(&reply, account.rid, &key);
        Header::from_octets(&reply).filter(|header| header.stratum != 0)
    });
    let header = header.expect("a synchronised server");
    assert_eq!((header.version, header.mode, header.stratum), (3, 4, 4));
    assert!(nanos(header.receive) <= nanos(header.transmit));
    server.wait_until("counted", TIMEOUT, |server| count(server, "signed") >= 1);

    // Each of these is refused by Samba in its own way, and the member is answered in between.
    let domain_admin = 500;
    for rid in [disabled.rid, domain_admin, 999_999] {
        let before = count(&server, "unsigned");
        let mut other = Member::new("127.0.0.1:0", &address, rid);
        other.ask();
        server.wait_until("a refusal", TIMEOUT, |server| count(server, "unsigned") > before);
        assert_eq!(other.reply(SHORT), None, "{rid}");
        member.ask();
        let reply = member.reply(TIMEOUT).unwrap_or_else(|| panic!("no reply after a refusal for {rid}"));
        verify(&reply, account.rid, &key);
    }

    // The mark of the password before reaches Samba, and the reply has it.
    let marked = account.rid | 0x8000_0000;
    let reply = Member::new("127.0.0.1:0", &address, marked).reply_sooner_or_later();
    verify(&reply, marked, &key);

    domain.stop();
    let before = count(&server, "unsigned_late");
    member.ask();
    server.wait_until("a loss", TIMEOUT, |server| count(server, "unsigned_late") > before);
    domain.start();
    verify(&member.reply_sooner_or_later(), account.rid, &key);
    assert!(server.log().contains("Samba signs no replies"), "{}", server.log());
}

#[test]
fn what_no_member_of_a_domain_asks_is_answered_as_without_samba() {
    let (port, place) = (free_port(), Place::new("folder"));
    let server = start(port, &place.join(""));
    let address: SocketAddr = ([127, 0, 0, 1], port).into();
    let _samba = Double::listen(&place.join(""), Conduct::Sign);
    assert_eq!(query(address, TIMEOUT).expect("a reply").length, 48);
    let header = Header { version: 3, ..Header::query(7) }.octets();
    // The extended authenticator, one with a digest, and one of version 4.
    let digest = [&header[..], &[1; 20]].concat();
    let extended = [&header[..], &[0; 72]].concat();
    let fourth = [&Header::query(7).octets()[..], &[0x4e, 4, 0, 0], &[0; 16]].concat();
    for (number, request) in (1..).zip([digest, extended, fourth]) {
        assert!(bench::client::send(address, &request, SHORT).is_none());
        server.wait_until("silence", TIMEOUT, |server| count(server, "unauthenticated") == number);
    }
    assert_eq!(count(&server, "signed"), 0);
}

#[test]
fn samba_may_come_late_go_and_come_again() {
    let (port, place) = (free_port(), Place::new("folder"));
    let server = start(port, &place.join(""));
    server.wait_until("said what is missing", TIMEOUT, |server| server.log().contains("start Samba"));
    let mut member = Member::new("127.0.0.1:0", &format!("127.0.0.1:{port}"), 1105);
    for _ in 0..3 {
        let samba = Double::listen(&place.join(""), Conduct::Sign);
        verify(&member.reply_sooner_or_later(), 1105, &key_of(1105));
        drop(samba);
        let before = count(&server, "unsigned_late");
        member.ask();
        server.wait_until("a loss", TIMEOUT, |server| count(server, "unsigned_late") > before);
    }
}

#[test]
fn a_folder_that_is_made_after_the_start_is_found() {
    let (port, place) = (free_port(), Place::new("folder"));
    let folder = place.join("ntp_signd");
    let setup = setup(port, &folder);
    let server = setup.start();
    server.wait_until("said what is missing", TIMEOUT, |server| server.log().contains("start Samba"));
    std::fs::create_dir(&folder).expect("ours");
    give(&folder, setup.gid(Role::Samba));
    let _samba = Double::listen(&folder, Conduct::Sign);
    let mut member = Member::new("127.0.0.1:0", &format!("127.0.0.1:{port}"), 1105);
    verify(&member.reply_sooner_or_later(), 1105, &key_of(1105));
}

#[test]
fn a_folder_that_is_not_given_to_the_daemon_is_named_with_what_to_do() {
    if !bench::is_root() {
        return bench::skip("not root: all users are one");
    }
    let (port, place) = (free_port(), Place::new("folder"));
    give(&place.join(""), 0);
    let samba = Double::listen(&place.join(""), Conduct::Sign);
    let server = setup(port, &place.join("")).start();
    let remedy = "chgrp truechimer-samba ";
    server.wait_until("said what to do", TIMEOUT, |server| server.log().contains(remedy));
    give(&place.join(""), server.setup().gid(Role::Samba));
    let mut member = Member::new("127.0.0.1:0", &format!("127.0.0.1:{port}"), 1105);
    verify(&member.reply_sooner_or_later(), 1105, &key_of(1105));
    // A folder in which others could put another socket is left alone as long as it is like that.
    std::fs::set_permissions(place.join(""), std::os::unix::fs::PermissionsExt::from_mode(0o777))
        .expect("ours");
    drop(samba);
    let _other = Double::listen(&place.join(""), Conduct::Forge);
    let is_said = || {
        member.ask();
        member.reply(SHORT);
        server.log().contains("has the mode 777").then_some(())
    };
    assert!(wait_for(TIMEOUT, is_said).is_some(), "{}", server.log());
}

#[test]
fn a_samba_that_takes_400_ms_signs_all_the_same_and_its_replies_say_when_they_leave() {
    let (port, place) = (free_port(), Place::new("folder"));
    let server = start(port, &place.join(""));
    let _samba = Double::listen(&place.join(""), Conduct::Dawdle(400));
    let mut member = Member::new("127.0.0.1:0", &format!("127.0.0.1:{port}"), 1105);
    // As Windows does, it waits longer than the signature takes.
    let mut patient = || {
        let asked = wait_for(TIMEOUT, || {
            member.ask();
            member.reply(Duration::from_secs(2))
        });
        asked.expect("a signed reply")
    };
    verify(&patient(), 1105, &key_of(1105));
    for _ in 0..3 {
        let header = Header::from_octets(&patient()).expect("48 octets");
        let taken = nanos(header.transmit) - nanos(header.receive);
        assert!(taken >= 390_000_000, "it left {taken} ns after its request");
    }
    server.wait_until("counted", TIMEOUT, |server| count(server, "signed") >= 3);
}

/// Nothing of it but the digest is handed on.
#[test]
fn a223_a_samba_that_lies_changes_no_octet_of_the_time() {
    let (port, place) = (free_port(), Place::new("folder"));
    let server = start(port, &place.join(""));
    let samba = Double::listen(&place.join(""), Conduct::Forge);
    let mut member = Member::new("127.0.0.1:0", &format!("127.0.0.1:{port}"), 1105);
    let reply = member.reply_sooner_or_later();
    let header = Header::from_octets(&reply).expect("48 octets");
    assert!((nanos(header.transmit) - bench::clock::wall()).abs() < 60_000_000_000, "our own time");
    assert_ne!(reply[52..], digest(&key_of(1105), &reply[..48]), "which no client believes");
    samba.conduct(Conduct::Lie);
    for _ in 0..3 {
        let before = count(&server, "unsigned_late");
        member.ask();
        server.wait_until("a loss", TIMEOUT, |server| count(server, "unsigned_late") > before);
        assert_eq!(member.reply(SHORT), None);
    }
    assert!(server.log().contains("something else than the signature"), "{}", server.log());
    samba.conduct(Conduct::Sign);
    verify(&member.reply_sooner_or_later(), 1105, &key_of(1105));
}

/// A flood of requests for signatures, at a Samba that says nothing: other clients lose nothing, and what waits is bounded.
#[test]
fn a221_a_flood_for_a_samba_that_is_silent_costs_no_other_client_a_reply() {
    let (port, place) = (free_port(), Place::new("folder"));
    let server = start(port, &place.join(""));
    let samba = Double::listen(&place.join(""), Conduct::Stall);
    let address = format!("127.0.0.1:{port}");
    let plain: SocketAddr = address.parse().expect("an address");
    // As many hosts as there are places, and more.
    let mut flood: Vec<Member> =
        (1..=100).map(|host| Member::new(&format!("127.0.1.{host}:0"), &address, 1_000 + host)).collect();
    let mut asked = 0;
    for _ in 0..50 {
        for member in &mut flood {
            member.ask();
            asked += 1;
        }
        assert!(query(plain, TIMEOUT).is_some());
    }
    assert_eq!(count(&server, "signed"), 0);
    server.wait_until("all are given up", TIMEOUT, |server| {
        count(server, "received") >= asked + 50 && count(server, "unsigned_late") >= asked - 1
    });
    assert!(samba.connections() <= 70, "{} connections", samba.connections());
    samba.conduct(Conduct::Sign);
    let mut member = Member::new("127.0.0.9:0", &address, 1105);
    verify(&member.reply_sooner_or_later(), 1105, &key_of(1105));
}

#[test]
fn a221_one_host_that_floods_keeps_no_other_host_of_its_domain_from_a_signature() {
    let (port, place) = (free_port(), Place::new("folder"));
    let _server = start(port, &place.join(""));
    let _samba = Double::listen(&place.join(""), Conduct::Sign);
    let address = format!("127.0.0.1:{port}");
    let mut honest = Member::new("127.0.0.9:0", &address, 1105);
    verify(&honest.reply_sooner_or_later(), 1105, &key_of(1105));
    let mut flood = Member::new("127.0.0.8:0", &address, 1200);
    for turn in 0..50 {
        (0..40).for_each(|_| flood.ask());
        honest.ask();
        let reply = honest.reply(TIMEOUT).unwrap_or_else(|| panic!("no reply in turn {turn}"));
        verify(&reply, 1105, &key_of(1105));
    }
}

#[test]
fn a224_nothing_is_signed_for_whom_the_rules_deny_or_the_rate_limit_holds_back() {
    let (port, place) = (free_port(), Place::new("folder"));
    let configuration = format!(
        "[server]\nlisten = [\"127.0.0.1:{port}\"]\nallow = [\"127.0.0.0/8\"]\ndeny = [\"127.0.0.66/32\"]\nlocal-stratum = 4\n\
         address-rate = 1\nkiss = false\nsamba-signd = \"{}\"\n",
        place.join("").display()
    );
    let setup = Setup::new("limited", &configuration);
    give(&place.join(""), setup.gid(Role::Samba));
    let server = setup.start();
    let _samba = Double::listen(&place.join(""), Conduct::Sign);
    let address = format!("127.0.0.1:{port}");
    let mut member = Member::new("127.0.0.1:0", &address, 1105);
    verify(&member.reply_sooner_or_later(), 1105, &key_of(1105));
    let (signed, mut denied) = (count(&server, "signed"), Member::new("127.0.0.66:0", &address, 1105));
    (0..20).for_each(|_| denied.ask());
    server.wait_until("all denied", TIMEOUT, |server| count(server, "denied") == 20);
    assert_eq!(denied.reply(SHORT), None);
    assert!(count(&server, "signed") <= signed + 1, "what was counted late");
    // Who tries one account after the other.
    for rid in 0..200 {
        Member::new("127.0.0.1:0", &address, 2_000 + rid).ask();
    }
    server.wait_until("held back", TIMEOUT, |server| count(server, "limited") >= 100);
}

#[test]
fn a225_the_process_that_asks_samba_has_its_own_user_filter_and_view_and_is_not_there_without_it() {
    let (port, place) = (free_port(), Place::new("folder"));
    let server = start(port, &place.join(""));
    let process = server.process("samba");
    assert_eq!((process.seccomp, process.permitted), (2, 0), "{process:?}");
    if bench::is_root() {
        assert_eq!(process.uid, server.setup().gid(Role::Samba));
        let root = format!("/proc/{}/root", process.pid);
        let names = |folder: &str| -> Vec<String> {
            let entries = std::fs::read_dir(format!("{root}/{folder}")).expect("root may");
            entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect()
        };
        // Nothing but the way to the folder, and a link of the view's own.
        let way = place.join("");
        let (first, name) = (names("."), way.file_name().expect("a name").to_str().expect("UTF-8"));
        assert!(first.iter().all(|name| ["tmp", "var"].contains(&name.as_str())), "{first:?}");
        assert_eq!((names("tmp"), names(&format!("tmp/{name}"))), (vec![name.to_owned()], vec![]));
    }
    let without = Setup::new(
        "plain",
        &format!(
            "[server]\nlisten = [\"127.0.0.1:{}\"]\nallow = [\"127.0.0.0/8\"]\nlocal-stratum = 4\n",
            free_port()
        ),
    );
    let plain = without.start();
    assert!(plain.processes().iter().all(|process| process.role != "samba"));
}

#[test]
fn a_process_that_asks_samba_and_is_killed_or_stopped_ends_the_daemon_and_is_named() {
    for (signal, said) in [
        (Signal::SIGKILL, "the process that asks Samba"),
        (Signal::SIGSTOP, "the process that asks Samba hangs, or was stopped"),
    ] {
        let (port, place) = (free_port(), Place::new("folder"));
        let setup = setup(port, &place.join(""));
        give(&place.join(""), setup.gid(Role::Samba));
        // The service manager's watchdog, so that it is asked for signs of life.
        let mut daemon = setup.with_environment("WATCHDOG_USEC", "18000000").start();
        daemon.signal(daemon.process("samba").pid, signal);
        let exit = daemon.wait_for_end(TIMEOUT);
        assert_eq!(exit.code, Some(83), "{exit:?}");
        assert!(exit.log.contains(said), "{signal}: {exit:?}");
    }
}
