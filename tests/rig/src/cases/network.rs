//! A network that comes late: it is not there when the daemon starts.

use super::{BOOT, Case, Found, boot_right, today};
use crate::guest::Stand;
use crate::machine::Start;
use std::time::{Duration, Instant};

pub const CASES: &[Case] = &[
    Case::new(
        "network-late-5s",
        "network 5 s after the daemon, clock a minute behind: network to right",
        |stand| late(stand, 5),
    )
    .waiting(),
    Case::new("network-late-1m", "network a minute after the daemon", |stand| late(stand, 60)).waiting(),
    Case::new("network-late-20m", "network 20 minutes after the daemon", |stand| late(stand, 1_200))
        .newer()
        .waiting(),
    Case::new(
        "servers-late-1m",
        "network at once, no answer for a minute: first answer to right",
        servers_late,
    )
    .waiting(),
    Case::new(
        "late-address",
        "a server's address that comes 20 s after the boot, goes and comes back: each time to its first answer",
        late_address,
    )
    .ours()
    .waiting(),
    Case::new(
        "without-ipv6",
        "a kernel without IPv6 (ipv6.disable=1) and the example's addresses to listen on: boot to right",
        without_ipv6,
    )
    .ours()
    .waiting(),
];

/// A guest's device, in its shell.
const DEVICE: &str = "$(basename $(dirname $(grep -l 52:54:00:77:00:02 /sys/class/net/*/address | head -1)))";

/// Beyond this a late network has not been noticed.
const LIMIT: Duration = Duration::from_secs(180);

fn late(stand: &Stand, seconds: u64) -> Result<Found, String> {
    let words = ["systemd.mask=systemd-networkd.service", "systemd.mask=systemd-networkd.socket"];
    let start = Start { words: words.map(str::to_owned).to_vec(), ..Start::at(today() - 60) };
    let mut guest = stand.boot(&start)?;
    guest.wait_until_active(guest.machine.started(), BOOT)?;
    let waiting = Instant::now();
    std::thread::sleep(Duration::from_secs(seconds));
    guest.read(&format!("ip address add 10.77.0.2/24 dev {DEVICE} && ip link set {DEVICE} up"))?;
    let since = Instant::now();
    let took = guest.wait_until_right(since, LIMIT)?;
    guest.found(took, &format!("waited {:.0} s for the network", (since - waiting).as_secs_f64()))
}

fn servers_late(stand: &Stand) -> Result<Found, String> {
    stand.world.answer(false);
    let mut guest = stand.boot(&Start::at(today() - 60))?;
    guest.wait_until_active(guest.machine.started(), BOOT)?;
    std::thread::sleep(Duration::from_secs(60));
    stand.world.answer(true);
    let took = guest.wait_until_right(Instant::now(), LIMIT)?;
    guest.found(took, "")
}

fn without_ipv6(stand: &Stand) -> Result<Found, String> {
    let mut guest = boot_right(stand, &Start::default())?;
    // As the example has it.
    let server = "[server]\\nlisten = [\"0.0.0.0:123\", \"[::]:123\"]\\nallow = [\"10.77.0.0/24\"]\\n";
    guest.read(&format!("printf '{server}' >> /etc/truechimer/truechimer.toml; sync"))?;
    let disk = guest.machine.shut_down(BOOT)?;
    let start = Start { words: vec!["ipv6.disable=1".to_owned()], ..Start::at(today() - 60) };
    let mut guest = stand.boot_from(disk, &start)?;
    guest.wait_until_active(guest.machine.started(), BOOT)?;
    let took = guest.wait_until_right(Instant::now(), LIMIT)?;
    if guest.read("test -e /proc/net/if_inet6 && echo there; true")?.contains("there") {
        return Err("this kernel has IPv6 all the same".into());
    }
    if !stand.world.is_served("10.77.0.2:123".parse().map_err(|_| "no address")?)? {
        return Err("the other family is not served".into());
    }
    let told = guest.read("journalctl -b -u truechimer | grep -c 'this kernel or unit has no IPv6'; true")?;
    if told.trim() != "1" {
        return Err(format!("{} lines say that there is no IPv6", told.trim()));
    }
    if guest.read("systemctl show -P NRestarts truechimer")?.trim() != "0" {
        return Err("the daemon was restarted meanwhile".into());
    }
    guest.found(took, "")
}

fn late_address(stand: &Stand) -> Result<Found, String> {
    const PRESENT: &str = "10.77.0.2:123";
    const LATE: &str = "10.77.0.9:123";
    let mut guest = boot_right(stand, &Start::default())?;
    let server = format!(
        "[server]\\nlisten = [\"{PRESENT}\", \"{LATE}\", \"[2001:db8:77::9]:123\"]\\nallow = [\"10.77.0.0/24\"]\\n"
    );
    guest.read(&format!("printf '{server}' >> /etc/truechimer/truechimer.toml"))?;
    let disk = guest.machine.shut_down(BOOT)?;
    let mut guest = stand.boot_from(disk, &Start::default())?;
    let up = Instant::now();
    guest.wait_until_active(guest.machine.started(), BOOT)?;
    guest.wait_until_right(up, LIMIT)?;
    let is_served = |address: &str| stand.world.is_served(address.parse().map_err(|_| "no address")?);
    let wait_until_served = |address: &str| -> Result<f64, String> {
        let since = Instant::now();
        while !is_served(address)? {
            if since.elapsed() > LIMIT {
                return Err(format!("{address} is not served after {LIMIT:?}"));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(since.elapsed().as_secs_f64())
    };
    wait_until_served(PRESENT)?;
    std::thread::sleep(Duration::from_secs(20).saturating_sub(up.elapsed()));
    let mut slowest = 0.0_f64;
    for _ in 0..2 {
        if is_served(LATE)? {
            return Err(format!("{LATE} is served before this host has it"));
        }
        guest.read(&format!("ip address add 10.77.0.9/24 dev {DEVICE}"))?;
        slowest = slowest.max(wait_until_served(LATE)?);
        guest.read(&format!("ip address del 10.77.0.9/24 dev {DEVICE}"))?;
    }
    if guest.read("systemctl show -P NRestarts truechimer")?.trim() != "0" {
        return Err("the daemon was restarted meanwhile".into());
    }
    guest.found(slowest, "slowest of two")
}
