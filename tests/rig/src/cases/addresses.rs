//! Sources that are configured and not all there: dead addresses of a name, the host's own, servers that are gone.

use super::{BOOT, Case, Found, boot_right, today};
use crate::guest::Stand;
use crate::machine::Start;
use crate::recipe::image::Daemon;
use std::time::{Duration, Instant};

pub const CASES: &[Case] = &[
    Case::new(
        "pool-dead",
        "a pool of four dead IPv6 and three living IPv4 addresses, clock a minute behind: active to right",
        |stand| started(stand, DEAD, POOL),
    )
    .waiting(),
    Case::new("pool-dead-4", "a pool of four dead IPv4 addresses, listed first, and a living one", |stand| {
        started(stand, DEAD_4, POOL)
    })
    .waiting(),
    Case::new("pool-self", "a pool in which the host's own address is the first of four", |stand| {
        started(stand, SELF, POOL_AND_SERVER)
    })
    .waiting(),
    Case::new("one-of-three", "three servers configured, one of them there", |stand| {
        started(stand, "", ["server 10.77.0.11", "server 10.77.0.21", "server 10.77.0.22"].as_slice())
    })
    .waiting(),
    Case::new("two-of-five", "five servers configured, two of them there", |stand| {
        let five = [
            "server 10.77.0.21",
            "server 10.77.0.11",
            "server 10.77.0.22",
            "server 10.77.0.12",
            "server 10.77.0.23",
        ];
        started(stand, "", five.as_slice())
    })
    .waiting(),
];

/// For the hosts file. Nobody has the addresses from 21 on.
const DEAD: &str =
    "2001:db8:77::21 2001:db8:77::22 2001:db8:77::23 2001:db8:77::24 10.77.0.11 10.77.0.12 10.77.0.13";
const DEAD_4: &str = "10.77.0.21 10.77.0.22 10.77.0.23 10.77.0.24 10.77.0.12";
const SELF: &str = "10.77.0.2 10.77.0.11 10.77.0.12 10.77.0.13";

const POOL: &[&str] = &["pool servers.rig"];
const POOL_AND_SERVER: &[&str] = &["pool servers.rig", "serve"];

/// Beyond this it will not come.
const LIMIT: Duration = Duration::from_secs(180);

/// Our words for what is said in chrony's.
fn ours(words: &[&str]) -> String {
    let source = |word: &&str| match word.split_once(' ') {
        Some(("pool", name)) => format!("[[source]]\naddress = \"{name}\"\npool = true\n"),
        Some((_, address)) => format!("[[source]]\naddress = \"{address}\"\n"),
        None => "[server]\nlisten = [\"10.77.0.2:123\"]\nallow = [\"10.77.0.0/24\"]\n".to_owned(),
    };
    words.iter().map(source).collect()
}

fn theirs(words: &[&str]) -> String {
    let source = |word: &&str| match word.contains(' ') {
        true => format!("{word} iburst\n"),
        false => "allow 10.77.0.0/24\n".to_owned(),
    };
    words.iter().map(source).collect::<String>() + "driftfile /var/lib/chrony/chrony.drift\nmakestep 1 3\n"
}

fn started(stand: &Stand, addresses: &str, words: &[&str]) -> Result<Found, String> {
    let mut guest = boot_right(stand, &Start::default())?;
    for address in addresses.split_whitespace() {
        guest.read(&format!("echo '{address} servers.rig' >> /etc/hosts"))?;
    }
    let (file, text) = match stand.daemon {
        Daemon::Truechimer => ("/etc/truechimer/truechimer.toml", ours(words)),
        _ => ("/etc/chrony/chrony.conf", theirs(words)),
    };
    guest.read(&format!("printf '{}' > {file}; sync", text.replace('\n', "\\n")))?;
    let disk = guest.machine.shut_down(BOOT)?;
    let mut guest = stand.boot_from(disk, &Start::at(today() - 60))?;
    guest.wait_until_active(guest.machine.started(), BOOT)?;
    let took = guest.wait_until_right(Instant::now(), LIMIT)?;
    guest.found(took, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_daemons_are_told_the_same() {
        assert_eq!(theirs(&["pool a"]).lines().next(), Some("pool a iburst"));
        assert_eq!(ours(&["pool a"]), "[[source]]\naddress = \"a\"\npool = true\n");
        assert!(ours(POOL_AND_SERVER).contains("[server]"));
        assert!(theirs(POOL_AND_SERVER).contains("allow 10.77.0.0/24"));
        assert!(ours(&["server 10.0.0.1"]).ends_with("address = \"10.0.0.1\"\n"));
    }
}
