//! A server with certificates for several names, which a client is shown by the name that it asks for (SNI, RFC 6066 section 3):
//! our client, chronyd and openssl, in a network of its own.

use bench::authority::{Authority, DAY, Order, Period, now};
use bench::daemon::{Daemon, Setup, spawn};
use bench::netns::Network;
use bench::own_files;
use bench::peers::{NO_CHRONYD, behind, chronyd_program};
use bench::programs::Place;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::process::{Command, Stdio};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(90);
const NO_NETWORK: &str = "network namespaces need root and the program ip";
const HOSTS: &str = "127.0.0.1 localhost\n10.77.0.1 a.example b.example c.example d.example\n";

/// A server at 10.77.0.1 that has certificates for a.example, for b.example and for all below c.example.
struct World {
    network: Network,
    authority: Authority,
    place: Place,
    files: [Place; 3],
    server: Daemon,
}

const NAMES: [&str; 3] = ["a.example", "b.example", "*.c.example"];

impl World {
    fn start(word: &str) -> Option<Self> {
        let network = Network::new()?;
        assert!(network.ip(&["addr", "add", "10.77.0.1/32", "dev", "lo"]));
        let (authority, place) = (Authority::new(word), Place::new(word));
        authority.write(&place.join("roots.pem"));
        let files = NAMES.map(|name| Place::new(&format!("{word}-{}", &name[name.len() - 9..])));
        let paths: Vec<_> =
            NAMES.iter().zip(&files).map(|(name, place)| authority.issue(&[name]).write(place)).collect();
        let pair = |at: usize| {
            let (chain, key) = &paths[at];
            format!("certificate = \"{}\"\nkey = \"{}\"\n", chain.display(), key.display())
        };
        let configuration = format!(
            "[server]\nlisten = [\"10.77.0.1:123\"]\nallow = [\"10.77.0.0/24\"]\nlocal-stratum = 1\nrate-limit = false\n\
             [server.nts]\nlisten = [\"10.77.0.1:4460\"]\n{}[[server.nts.pair]]\n{}[[server.nts.pair]]\n{}",
            pair(0),
            pair(1),
            pair(2)
        );
        let setup = Setup::new(word, &configuration).within(&network);
        for (_, key) in &paths {
            setup.give(key);
        }
        let server = setup.start();
        Some(Self { network, authority, place, files, server })
    }

    fn client(&self, name: &str) -> Setup {
        let configuration = format!(
            "[[source]]\naddress = \"{name}\"\nmode = \"nts\"\nroots = \"{}\"\nmin-poll = 0\nmax-poll = 0\n",
            self.place.join("roots.pem").display()
        );
        let setup = Setup::new("nts-names-client", &configuration);
        let etc = own_files::etc_of_hosts(&setup, &format!("{HOSTS}10.77.0.1 x.c.example\n"));
        let mounts = format!("mount --bind '{}' /etc", etc.display());
        setup.with_virtual_clock(-1_300_000_000, 30.0).with_mounts(&self.network, &mounts)
    }

    /// What openssl is shown: the names of the certificate; none: no connection.
    fn shown(&self, name: Option<&str>) -> Option<String> {
        let asked = name.map_or_else(|| "-noservername".to_owned(), |name| format!("-servername {name}"));
        let script = format!(
            "openssl s_client -connect 10.77.0.1:4460 -tls1_3 -alpn ntske/1 {asked} </dev/null 2>/dev/null | \
             openssl x509 -noout -ext subjectAltName 2>/dev/null"
        );
        let entrance = self.network.entrance();
        let mut command = Command::new(&entrance[0]);
        command.args(&entrance[1..]).args(["sh", "-c", &script]).stdin(Stdio::null());
        let text = String::from_utf8(command.output().expect("nsenter is there").stdout).expect("text");
        text.split("DNS:").nth(1).map(|name| name.trim().trim_end_matches(',').to_owned())
    }
}

fn page(daemon: &Daemon, words: &[&str]) -> String {
    let output = daemon.chimerctl(words);
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a207_each_client_is_shown_the_certificate_for_the_name_that_it_asks_for() {
    let Some(world) = World::start("names") else { return bench::skip(NO_NETWORK) };
    world.server.wait_until("with all certificates", TIMEOUT, |server| {
        let keys = page(server, &["keys"]);
        keys.matches("in use until").count() == 3
    });
    for name in ["a.example", "b.example", "x.c.example"] {
        let client = world.client(name).start();
        client.wait_until_synchronised(TIMEOUT);
        assert_eq!(client.stop().code, Some(0));
    }
    // One that none is for is answered with the first, which its client refuses, and says so.
    let client = world.client("d.example").start();
    client.wait_until("refusing it", TIMEOUT, |client| {
        client.log().contains("no keys: the certificate names another server")
    });
    assert_eq!(client.stop().code, Some(0));

    if Command::new("openssl").arg("version").output().is_err() {
        return bench::skip("openssl is missing");
    }
    for (asked, shown) in [
        (Some("a.example"), "a.example"),
        (Some("b.example"), "b.example"),
        (Some("B.EXAMPLE"), "b.example"),
        (Some("y.c.example"), "*.c.example"),
        (Some("d.example"), "a.example"),
        (Some("y.z.c.example"), "a.example"),
        (None, "a.example"),
    ] {
        assert_eq!(world.shown(asked).as_deref(), Some(shown), "{asked:?}");
    }

    // Each is renewed by itself, and what is wrong with one is told of it and changes nothing for the others.
    let soon = Period { from: now() - DAY, until: now() + 4 * DAY + 7_200 };
    world
        .authority
        .issue_as(&Order { period: soon, ..Order::new(&["b.example", "e.example"]) })
        .write(&world.files[1]);
    let key = world.files[1].join("key.pem");
    world.server.setup().give(&key);
    std::fs::write(world.files[2].join("key.pem"), "no key").expect("ours");
    let output = world.server.chimerctl(&["reload"]);
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("the private key of [[server.nts.pair]]"), "{said}");
    assert_eq!(world.shown(Some("e.example")).as_deref(), Some("b.example"), "the new one");
    assert_eq!(world.shown(Some("y.c.example")).as_deref(), Some("*.c.example"), "the one before");
    let log = world.server.log();
    for line in [
        "the certificate of [[server.nts.pair]] (",
        "expires in 4 days",
        "the private key of [[server.nts.pair]]",
    ] {
        assert!(log.contains(line), "{line}: {log}");
    }
}

#[test]
fn however_often_a_reload_is_asked_for_it_is_no_consent_to_a_certificate_that_lacks_a_name() {
    let Some(world) = World::start("names-consent") else { return bench::skip(NO_NETWORK) };
    world.server.wait_until("with all certificates", TIMEOUT, |server| {
        page(server, &["keys"]).matches("in use until").count() == 3
    });
    let renew = |at: usize, name: &str| {
        world.authority.issue(&[name]).write(&world.files[at]);
        world.server.setup().give(&world.files[at].join("key.pem"));
    };
    let reload = || page(&world.server, &["reload"]);
    let lacks = "lacks a name that the one in use has";
    renew(0, "z.example");
    assert!(reload().contains(lacks));
    // As a program that renews them all calls it: once for each.
    for at in [1, 2] {
        renew(at, NAMES[at]);
        let said = reload();
        assert!(said.contains(lacks), "{at}: {said}");
    }
    // A hook that asks twice in a row, for a certificate of another program: nobody has said that the name may go.
    for _ in 0..2 {
        assert!(reload().contains(lacks));
    }
    for _ in 0..2 {
        world.server.signal(world.server.pid(), Signal::SIGHUP);
    }
    assert_eq!(world.shown(Some("a.example")).as_deref(), Some("a.example"));
    assert!(reload().contains(lacks));
    let drop_names = || page(&world.server, &["reload", "--drop-names"]);
    let said = drop_names();
    assert!(!said.contains(lacks), "{said}");
    // Of several at once, too.
    renew(0, "y.example");
    renew(1, "x.example");
    assert_eq!(reload().matches(lacks).count(), 2);
    let said = drop_names();
    assert!(!said.contains(lacks), "{said}");
}

#[test]
fn chronyd_is_shown_the_certificate_for_the_name_that_it_asks_for() {
    let Some(world) = World::start("names-chronyd") else { return bench::skip(NO_NETWORK) };
    let Some(chronyd) = chronyd_program("chronyd") else { return bench::skip(NO_CHRONYD) };
    let etc = own_files::etc_of_hosts(world.server.setup(), HOSTS);
    let place = Place::new("names-chronyd-files");
    let lines = format!(
        "server b.example nts iburst minpoll -2 maxpoll -2\nserver d.example nts iburst minpoll -2 maxpoll -2\n\
         ntstrustedcerts {}\nport 0\ncmdport 0\nbindcmdaddress /\npidfile {}\nlogdir {}\nlog measurements",
        world.place.join("roots.pem").display(),
        place.join("pid").display(),
        place.path().display()
    );
    let entrance = own_files::entrance(&world.network, &format!("mount --bind '{}' /etc", etc.display()));
    let mut child = spawn(behind(&entrance, &chronyd).args(lines.lines()));
    let protected =
        |server: &Daemon| server.ask("status").map(|status| status["server"]["protected"].as_u64());
    world.server.wait_until("asked with keys", TIMEOUT, |server| protected(server).flatten() > Some(3));
    let exchanged = world.server.ask("status").map(|it| it["key_exchange"]["counters"]["exchanged"].as_u64());
    assert_eq!(exchanged.flatten(), Some(1), "the one of the other name refuses the certificate");
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).expect("it runs");
    child.wait().expect("it was started here");
}
