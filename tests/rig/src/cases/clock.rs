//! Others who set the clock.

use super::{Case, Found, SOON, boot_right};
use crate::guest::Stand;
use crate::machine::Start;
use std::time::{Duration, Instant};

pub const CASES: &[Case] = &[
    Case::new("date-3s-back", "date set by hand, 3 s back: to right", |stand| by_hand(stand, "-3 seconds")),
    Case::new("date-1h-ahead", "date set by hand, an hour ahead", |stand| by_hand(stand, "+1 hour")),
    Case::new("date-1d-back", "date set by hand, a day back", |stand| by_hand(stand, "-1 day")),
    Case::new(
        "fight",
        "another program sets the clock 2 s ahead seven times in half a minute: from its last to right",
        fight,
    ),
    Case::new(
        "second-daemon",
        "chronyd started beside by hand, same servers: both run, right after a minute",
        beside,
    )
    .ours(),
    Case::new(
        "adjtime",
        "adjtime(3) of another program has 0.3 s to slew at our start, and again while we run: ended, and right",
        slewed,
    )
    .ours(),
    Case::new(
        "timedatectl",
        "timedatectl set-ntp false and true, timesyncd's unit installed: ours stops and starts",
        set_ntp,
    )
    .ours(),
];

fn by_hand(stand: &Stand, change: &str) -> Result<Found, String> {
    let mut guest = boot_right(stand, &Start::default())?;
    guest.read(&format!("date -s '{change}' > /dev/null"))?;
    let since = Instant::now();
    let (offset, _) = guest.offset()?;
    let took = guest.wait_until_right(since, SOON)?;
    guest.found(took, &format!("{offset:+.1} s after it"))
}

fn fight(stand: &Stand) -> Result<Found, String> {
    let mut guest = boot_right(stand, &Start::default())?;
    guest.read(
        "for time in 1 2 3 4 5 6; do date -s '+2 seconds' > /dev/null; sleep 5; done; date -s '+2 seconds'",
    )?;
    let took = guest.wait_until_right(Instant::now(), SOON)?;
    let lines = guest.journal()?.len();
    guest.found(took, &format!("{lines} lines in the journal"))
}

/// Others are unpacked and not installed, since Debian lets only one of them be; their folders go through the links of
/// a merged /usr.
fn beside(stand: &Stand) -> Result<Found, String> {
    let mut guest = boot_right(stand, &Start::default())?;
    guest.read(
        "dpkg-deb --fsys-tarfile /srv/rig/chrony_*.deb | tar -x --keep-directory-symlink -C / && mkdir -p /run/other && \
         printf 'server 10.77.0.11 iburst\\nserver 10.77.0.12 iburst\\nmakestep 0.1 -1\\ncmdport 0\\nbindcmdaddress /\\npidfile /run/other/pid\\n' > /run/other/conf && \
         systemd-run --unit=other chronyd -u root -d -f /run/other/conf",
    )?;
    std::thread::sleep(Duration::from_secs(60));
    let both = guest.read("systemctl is-active other truechimer | paste -sd ' '")?;
    if both.trim() != "active active" {
        return Err(format!("one of the two has ended: {}", both.trim()));
    }
    let since = Instant::now();
    let took = guest.wait_until_right(since, SOON)?;
    guest.found(took, "both active")
}

/// adjtime(3) of 0.3 s, for which the kernel needs ten minutes: struct timex by hand, for there is no program that does it.
const SLEW: &str = "perl -e '$timex = pack(\"L x4 q x192\", 0x8001, 300000); exit(syscall(159, $timex) < 0)'";

/// Ends with 0 when nothing is left of it.
const IS_OVER: &str = "perl -e '$timex = pack(\"L x4 q x192\", 0xa001, 0); \
                       syscall(159, $timex) < 0 and exit(2); exit(unpack(\"x8 q\", $timex) != 0)'";

fn slewed(stand: &Stand) -> Result<Found, String> {
    let mut guest = boot_right(stand, &Start::default())?;
    guest
        .read(&format!("systemctl stop truechimer && {SLEW} && ! {IS_OVER} && systemctl start truechimer"))?;
    let since = Instant::now();
    guest.wait_for(IS_OVER, since, SOON)?;
    let took = guest.wait_until_right(since, SOON)?;
    guest.read(SLEW)?;
    let since = Instant::now();
    // The keeper looks with each order, and each four minutes without.
    let ended = guest.wait_for(IS_OVER, since, Duration::from_secs(300))?;
    guest.wait_until_right(Instant::now(), SOON)?;
    guest.found(took, &format!("the one while we ran was ended within {ended:.1} s"))
}

fn set_ntp(stand: &Stand) -> Result<Found, String> {
    let mut guest = boot_right(stand, &Start::default())?;
    guest.read("dpkg-deb --fsys-tarfile /srv/rig/systemd-timesyncd_*.deb | tar -x --keep-directory-symlink -C / && systemctl daemon-reload")?;
    guest.read("timedatectl set-ntp false")?;
    let since = Instant::now();
    guest.wait_for("! systemctl is-active --quiet truechimer", since, SOON)?;
    guest.read("timedatectl set-ntp true")?;
    let since = Instant::now();
    let took = guest.wait_until_active(since, SOON)?;
    let other = guest.shell("systemctl is-active systemd-timesyncd")?.text;
    if other.trim() != "inactive" {
        return Err(format!("timesyncd is {}", other.trim()));
    }
    let said = guest.read("timedatectl show -p NTP -p CanNTP | paste -sd ' '")?;
    if !said.contains("NTP=yes") {
        return Err(format!("timedatectl says {}", said.trim()));
    }
    guest.found(took, said.trim())
}
