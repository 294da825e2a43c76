//! A network that comes late: it is not there when the daemon starts.

use super::{BOOT, Case, Found, today};
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
];

/// Beyond this a late network has not been noticed.
const LIMIT: Duration = Duration::from_secs(180);

fn late(stand: &Stand, seconds: u64) -> Result<Found, String> {
    let words = ["systemd.mask=systemd-networkd.service", "systemd.mask=systemd-networkd.socket"];
    let start = Start { words: words.map(str::to_owned).to_vec(), ..Start::at(today() - 60) };
    let mut guest = stand.boot(&start)?;
    guest.wait_until_active(guest.machine.started(), BOOT)?;
    let waiting = Instant::now();
    std::thread::sleep(Duration::from_secs(seconds));
    let name = "$(basename $(dirname $(grep -l 52:54:00:77:00:02 /sys/class/net/*/address | head -1)))";
    guest.read(&format!("ip address add 10.77.0.2/24 dev {name} && ip link set {name} up"))?;
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
