//! Debian's kernel with the profile of packaging/apparmor enforced, and every process of the daemon under it.

use super::nts::{put, read_json};
use super::process::{everything, strike_each};
use super::{BOOT, Case, Found, SOON, boot_right};
use crate::guest::{Guest, Stand};
use crate::machine::Start;
use crate::recipe::root::DEBS;
use bench::authority::Authority;
use std::time::Instant;

pub const CASES: &[Case] = &[Case::new(
    "apparmor",
    "AppArmor enforces the profile: every role, reload, SIGKILL to each process, upgrade; nothing is denied but what has to be",
    apparmor,
)
.ours()
.whole()];

const PROFILE: &str = include_str!("../../../../packaging/apparmor/usr.lib.truechimer.truechimerd");
const PLACE: &str = "/etc/apparmor.d/usr.lib.truechimer.truechimerd";

/// What the kernel has denied to the daemon; also as a test of the command itself.
const DENIED: &str = "dmesg | grep 'apparmor=\"DENIED\"' | grep 'profile=\"truechimerd\"'";

fn apparmor(stand: &Stand) -> Result<Found, String> {
    let mut guest = boot_right(stand, &Start::default())?;
    // Installed, it would load the profiles of a hundred other programs, which takes minutes here.
    guest.read(&format!("dpkg-deb --extract {DEBS}/apparmor_*.deb /"))?;
    put(&mut guest, PLACE, PROFILE)?;
    guest.read(&format!("apparmor_parser --replace {PLACE}"))?;

    let authority = everything(&mut guest)?;
    are_confined(&mut guest)?;
    exchange_with_itself(&mut guest, &authority)?;
    guest.read("chimerctl reload")?;
    guest.read("setpriv --reuid=nobody --regid=truechimer --clear-groups chimerctl status")?;
    let (_, note) = strike_each(&mut guest, |pid| format!("kill -KILL {pid}"))?;
    are_confined(&mut guest)?;

    let since = Instant::now();
    guest.read(&format!("dpkg --install {DEBS}/truechimer-newer.deb"))?;
    guest.wait_until_active(since, BOOT)?;
    let took = guest.wait_until_right(since, SOON)?;
    are_confined(&mut guest)?;
    let denied = guest.shell(DENIED)?;
    if denied.code == 0 {
        return Err(format!("the profile denies what the daemon does: {}", denied.text.trim_end()));
    }

    // Root may read it, and the daemon may not.
    guest.read("head -c 1 /etc/shadow > /dev/null")?;
    let refused = guest.shell("truechimerd --check --config /etc/shadow")?;
    if !refused.text.contains("ermission denied") {
        return Err(format!("/etc/shadow as configuration: {}", refused.text.trim_end()));
    }
    guest.read(&format!("{DENIED} | grep 'name=\"/etc/shadow\"'"))?;
    guest.found(took, &format!("killed: {note}; upgrade to right"))
}

/// All processes of the daemon have the profile.
fn are_confined(guest: &mut Guest<'_>) -> Result<(), String> {
    for (name, pid) in guest.processes()? {
        let profile = guest.read(&format!("cat /proc/{pid}/attr/current"))?;
        if profile.trim() != "truechimerd (enforce)" {
            return Err(format!("{name} is confined by {:?}", profile.trim()));
        }
    }
    Ok(())
}

/// Exchanges keys with its own server, by name and over the network, with roots of its own: all that both ends open.
fn exchange_with_itself(guest: &mut Guest<'_>, authority: &Authority) -> Result<(), String> {
    guest.read("mkdir -p /etc/ssl/certs")?;
    put(guest, "/etc/ssl/certs/rig.pem", &authority.pem())?;
    guest.read(
        "echo '10.77.0.2 time.rig.test' >> /etc/hosts
         printf '[[source]]\naddress = \"time.rig.test\"\nmode = \"nts\"\nnoselect = true\n\
         [nts]\nsystem-roots = \"/etc/ssl/certs/rig.pem\"\n' >> /etc/truechimer/truechimer.toml
         systemctl restart truechimer",
    )?;
    guest.wait_until_active(Instant::now(), SOON)?;
    let since = Instant::now();
    loop {
        let keys = read_json(guest, "chimerctl keys --json")?;
        if keys["key_exchange"]["counters"]["exchanged"].as_u64() > Some(0) {
            return Ok(());
        }
        if since.elapsed() > SOON {
            return Err(format!("no keys were exchanged: {keys}"));
        }
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
}
