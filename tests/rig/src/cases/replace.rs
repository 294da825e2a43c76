//! Our package in the place of another time daemon, which runs, and back.

mod peers;

use super::{BOOT, Case, Found, SOON};
use crate::debian::Release;
use crate::guest::{Guest, Stand};
use crate::machine::{Output, Start};
use crate::recipe::root::DEBS;
use peers::{CHRONY, NAMES, NTPD_RS, NTPSEC, OPENNTPD, Peer, TIMESYNCD};
use std::time::{Duration, Instant};

pub const CASES: &[Case] = &[
    Case::new(
        "replace-chrony",
        "chrony, which has learned 40 ppm, replaced by apt: unit's start to synchronised",
        |stand| replaced(stand, &CHRONY),
    )
    .bare(),
    Case::new("replace-timesyncd", "the same of systemd-timesyncd", |stand| replaced(stand, &TIMESYNCD)).bare(),
    Case::new("replace-ntpsec", "the same of ntpsec", |stand| replaced(stand, &NTPSEC)).bare(),
    Case::new("replace-openntpd", "the same of openntpd", |stand| replaced(stand, &OPENNTPD)).bare(),
    Case::new("replace-ntpd-rs", "the same of ntpd-rs", |stand| replaced(stand, &NTPD_RS)).bare().newer(),
    Case::new(
        "replace-stopped",
        "chrony with a drift of 40 ppm that has not run since the boot, replaced: start to synchronised",
        stopped,
    )
    .bare(),
    Case::new(
        "replace-several",
        "other configurations lie about: that of the package which was removed last is taken",
        several,
    )
    .bare(),
    Case::new(
        "replace-damaged",
        "an unknown line, no folder to include, a link, an unreadable configuration: what can be is taken, and all is said",
        damaged,
    )
    .bare(),
    Case::new("back-to-chrony", "chrony installed in the place of ours, and ours again", back).bare(),
];

/// What the oscillator of the guests loses, in ppm.
const LOSES: f64 = 40.0;

/// How far what a daemon has learned in a minute may be from that, and what comes of it from what it has left, in ppm.
const NEAR: f64 = 8.0;

/// For apt in a guest on a busy host.
const INSTALLING: Duration = Duration::from_secs(400);

/// apt-get with these words, and nothing to ask.
fn apt_get(words: &str) -> String {
    format!(
        "export DEBIAN_FRONTEND=noninteractive; apt-get --yes --quiet --no-install-recommends -o Dpkg::Use-Pty=0 \
         -o Dpkg::Options::=--force-confold {words}"
    )
}

/// Runs apt-get, which has no network, only what is in [`DEBS`].
fn apt(guest: &mut Guest<'_>, words: &str) -> Result<String, String> {
    let Output { code, text } = guest.machine.shell_within(INSTALLING, &apt_get(words))?;
    if code == 0 { Ok(text) } else { Err(format!("apt-get {words} ended with {code}: {text}")) }
}

/// Ours, installed while the clock is looked at.
struct Handover {
    /// What apt has said.
    text: String,
    /// The clock minus the truth as our process was about to start, and the doubt of that question, in seconds.
    found: (f64, f64),
}

/// Installs ours, and looks at the clock until our process runs: what the other daemon has left, and what became of that while
/// nobody kept it.
fn take_place(guest: &mut Guest<'_>) -> Result<Handover, String> {
    let words = format!("install {DEBS}/truechimer.deb");
    guest.read(&format!(
        "rm -f /run/rig/apt.code; ({{ {}; }}; echo $? >/run/rig/apt.code) >/run/rig/apt.text 2>&1 &",
        apt_get(&words)
    ))?;
    let since = Instant::now();
    let mut found = guest.offset()?;
    let mut has_started = false;
    loop {
        let looked = guest.offset()?;
        let text = guest.read(
            "systemctl show -P ExecMainStartTimestampMonotonic truechimer 2>/dev/null || echo 0; cat /run/rig/apt.code 2>/dev/null || true",
        )?;
        let mut numbers = text.lines().map(|line| line.trim().parse::<u64>().unwrap_or(0));
        has_started |= numbers.next().is_some_and(|micros| micros > 0);
        // One that was taken before a look at the unit that found no start.
        if !has_started {
            found = looked;
        }
        match numbers.next() {
            Some(code) => {
                let text = guest.read("cat /run/rig/apt.text")?;
                return match code {
                    0 => Ok(Handover { text, found }),
                    code => Err(format!("apt-get {words} ended with {code}: {text}")),
                };
            }
            None if since.elapsed() > INSTALLING => {
                return Err(format!(
                    "apt-get {words} has not ended: {}",
                    guest.read("cat /run/rig/apt.text")?
                ));
            }
            None => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

fn booted<'a>(stand: &'a Stand) -> Result<Guest<'a>, String> {
    stand.world.run_faster(LOSES);
    let mut guest = stand.boot(&Start::default())?;
    guest.wait_for("systemctl is-active --quiet multi-user.target", guest.machine.started(), BOOT)?;
    guest.read(NAMES)?;
    Ok(guest)
}

/// Installs it, configures it, and waits until it keeps the clock, and has learned the frequency where it does so in time.
fn install(guest: &mut Guest<'_>, peer: &Peer) -> Result<(), String> {
    apt(guest, &format!("install {DEBS}/{}/*.deb", peer.package))?;
    guest.read(peer.configure)?;
    if let Some((file, sign, false)) = peer.drift {
        guest.read(&format!(
            "systemctl stop {} && mkdir -p $(dirname {file}) && echo {:.3} > {file}",
            peer.unit,
            LOSES * sign
        ))?;
    }
    guest.read(&format!("systemctl restart {}", peer.unit))?;
    let since = Instant::now();
    guest.wait_for(&format!("systemctl is-active --quiet {}", peer.unit), since, SOON)?;
    guest.wait_until_right(since, Duration::from_secs(180))?;
    guest.wait_for(
        "timedatectl show -p NTPSynchronized --value | grep -q yes",
        since,
        Duration::from_secs(400),
    )?;
    if peer.package == "chrony" {
        let learned = format!(
            "chronyc -n -c tracking | awk -F, '{{ d = -$8 - {LOSES}; exit !(d < 3 && d > -3 && $10 < 5) }}'"
        );
        guest.wait_for(&learned, since, Duration::from_secs(240))?;
    }
    Ok(())
}

/// The frequency that the daemon has left, as a correction in ppm; none: it keeps none.
fn left(guest: &mut Guest<'_>, peer: &Peer) -> Result<Option<f64>, String> {
    let Some((file, sign, _)) = peer.drift else { return Ok(None) };
    let text = guest.read(&format!("cat {file}"))?;
    let first: Option<f64> = text.split_whitespace().next().and_then(|word| word.parse().ok());
    first.map(|ppm| Some(ppm * sign)).ok_or_else(|| format!("{file}: {text}"))
}

/// Base frequencies that the governor has granted in this life of the daemon, in ppm, in their order.
fn granted(guest: &mut Guest<'_>) -> Result<Vec<f64>, String> {
    let text = guest.read("grep -a event=applied /var/lib/truechimer/audit.log")?;
    let of = |line: &str| {
        let word = line.split_whitespace().find_map(|word| word.strip_prefix("frequency="))?;
        Some(word.parse::<f64>().ok()? / 65_536.0)
    };
    let all: Vec<f64> = text.lines().filter_map(of).collect();
    if all.is_empty() { Err(format!("no order has a frequency: {text}")) } else { Ok(all) }
}

/// Seconds from the start of the unit's process to the event that its clock is synchronised.
fn to_synchronised(guest: &mut Guest<'_>) -> Result<f64, String> {
    let since = Instant::now();
    loop {
        let text = guest.read(
            "systemctl show -P ExecMainStartTimestampMonotonic truechimer; \
             journalctl -b -u truechimer TRUECHIMER_EVENT=clock-synchronised -o export | \
             sed -n 's/^__MONOTONIC_TIMESTAMP=//p'",
        )?;
        let mut micros = text.lines().filter_map(|line| line.trim().parse::<f64>().ok());
        let started = micros.next().ok_or("the unit has not been started")?;
        // Of an earlier run there may be some too.
        if let Some(event) = micros.find(|event| *event > started && started > 0.0) {
            return Ok((event - started) / 1e6);
        }
        if since.elapsed() > SOON {
            return Err(format!("it was not synchronised within {} s of its installation", SOON.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// What holds of a machine on which ours has taken the place of this one.
fn judge(guest: &mut Guest<'_>, stand: &Stand, peer: &Peer, before: [u64; 4]) -> Result<(), String> {
    guest.read("systemctl is-enabled --quiet truechimer && systemctl is-active --quiet truechimer")?;
    guest.read(&format!(
        "! pgrep -x '{}' && ! systemctl is-active --quiet {} && \
         dpkg-query -W -f '${{db:Status-Abbrev}}' {} | grep -q ^r",
        peer.process, peer.unit, peer.package
    ))?;
    let made = guest.read("cat /etc/truechimer/truechimer.d/50-imported.toml")?;
    for line in peer.carried {
        if !made.lines().any(|found| found == *line) {
            return Err(format!("the drop-in has no line {line}: {made}"));
        }
    }
    // Each of them, nobody else, and nobody is answered.
    let since = Instant::now();
    while stand.world.asked().iter().zip(before).take(3).any(|(now, before)| *now == before) {
        if since.elapsed() > SOON {
            return Err(format!("queries before {before:?}, now {:?}", stand.world.asked()));
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    if stand.world.asked()[3] != 0 {
        return Err("a server of a configuration that does not count was asked".into());
    }
    if stand.world.is_served(([10, 77, 0, 2], 123).into())? {
        return Err("clients are answered, and the administrator has not looked".into());
    }
    guest.read("! ss -H -l -n -u sport = :123 | grep .")?;
    guest.read("timedatectl show -p NTP --value | grep -q yes").map(drop)
}

/// The largest error of the clock over some seconds, beyond the doubt of the question.
fn worst(guest: &mut Guest<'_>, over: Duration) -> Result<f64, String> {
    let since = Instant::now();
    let mut worst = 0.0_f64;
    while since.elapsed() < over {
        let (offset, doubt) = guest.offset()?;
        worst = worst.max(offset.abs() - doubt);
        std::thread::sleep(Duration::from_millis(200));
    }
    if worst > crate::guest::RIGHT {
        return Err(format!("its clock was {worst:.3} s off meanwhile"));
    }
    Ok(worst)
}

fn steps(guest: &mut Guest<'_>) -> Result<String, String> {
    let text = guest.read("chimerctl status | sed -n 's/^steps *//p'")?;
    Ok(text.trim().to_owned())
}

/// The line of the package's that begins so.
fn said<'t>(text: &'t str, begin: &str) -> Result<&'t str, String> {
    let line = text.lines().find(|line| line.contains(begin));
    line.ok_or_else(|| format!("nothing says {begin:?}: {text}"))
}

fn replaced(stand: &Stand, peer: &Peer) -> Result<Found, String> {
    let mut guest = booted(stand)?;
    install(&mut guest, peer)?;
    let before = stand.world.asked();
    let Handover { text, found } = take_place(&mut guest)?;
    let line = said(&text, "was taken over into /etc/truechimer/truechimer.d/50-imported.toml")?.to_owned();
    let took = to_synchronised(&mut guest)?;
    let worst = worst(&mut guest, Duration::from_secs(20))?;
    judge(&mut guest, stand, peer, before)?;
    let (left, granted) = (left(&mut guest, peer)?, granted(&mut guest)?);
    let first = granted.first().copied().unwrap_or_default();
    let of = left.unwrap_or(LOSES);
    // Without a file it goes on from what the other daemon has told the kernel, which says less.
    if left.is_some() && (first - of).abs() > NEAR {
        return Err(format!("the first order has {first:+.3} ppm, and the other daemon left {of:+.3} ppm"));
    }
    let steps = steps(&mut guest)?;
    // A clock that the other daemon has left wrong may be set right.
    let (offset, doubt) = found;
    if steps != "0" && offset.abs() + doubt < crate::guest::RIGHT {
        let log = guest.read("head -n 40 /var/lib/truechimer/audit.log")?;
        return Err(format!(
            "{steps} steps of a clock that was right ({:+.1} ms at our start, +-{:.1}): {log}",
            offset * 1e3,
            doubt * 1e3
        ));
    }
    // What has been left is purged, and the machine begins anew: nothing of ours depends on it.
    apt(&mut guest, &format!("purge {}", peer.package))?;
    guest.read("systemctl restart truechimer")?;
    let disk = guest.machine.shut_down(BOOT)?;
    let mut guest = stand.boot_from(disk, &Start::default())?;
    guest.wait_until_active(guest.machine.started(), BOOT)?;
    guest.wait_until_right(Instant::now(), SOON)?;
    guest.read(&format!("! pgrep -x '{}' && systemctl is-active --quiet truechimer", peer.process))?;
    let left = left.map_or("no frequency".to_owned(), |left| format!("{left:+.3} ppm"));
    let note = format!(
        "{left} left, {first:+.3} ppm in the first order, {:+.3} ppm in the last; {:+.1} ms off (+-{:.1}) at our start, {steps} \
         steps, then at most {:.1} ms off; {line}",
        granted.last().copied().unwrap_or_default(),
        offset * 1e3,
        doubt * 1e3,
        worst * 1e3
    );
    guest.found(took, &note)
}

/// A kernel that knows nothing of the frequency, as after each boot: there is but the file.
fn stopped(stand: &Stand) -> Result<Found, String> {
    let mut guest = booted(stand)?;
    install(&mut guest, &CHRONY)?;
    guest.read("systemctl disable --now --quiet chrony")?;
    let mut disk = guest.machine.shut_down(BOOT)?;
    let of = |guest: &mut Guest<'_>| left(guest, &CHRONY).map(Option::unwrap_or_default);
    let first_of = |disk, keeps: bool| -> Result<(f64, f64, Guest<'_>), String> {
        let mut guest = stand.boot_from(disk, &Start::default())?;
        guest.wait_for("systemctl is-active --quiet multi-user.target", guest.machine.started(), BOOT)?;
        let left = of(&mut guest)?;
        if !keeps {
            guest.read("rm /var/lib/chrony/chrony.drift")?;
        }
        let before = stand.world.asked();
        let text = apt(&mut guest, &format!("install {DEBS}/truechimer.deb"))?;
        said(&text, "was taken over into")?;
        let took = to_synchronised(&mut guest)?;
        guest.wait_until_right(Instant::now(), SOON)?;
        worst(&mut guest, Duration::from_secs(10))?;
        judge(&mut guest, stand, &CHRONY, before)?;
        let first = granted(&mut guest)?.first().copied().unwrap_or_default();
        if keeps && (first - left).abs() > NEAR {
            return Err(format!("the first order has {first:+.3} ppm, and chrony left {left:+.3} ppm"));
        }
        Ok((took, first, guest))
    };
    let (took, with, mut guest) = first_of(disk, true)?;
    let left = of(&mut guest)?;
    // Chrony has been removed by now, and its configuration is what a later installation finds.
    purge(&mut guest)?;
    disk = guest.machine.shut_down(BOOT)?;
    let (without_took, without, mut guest) = first_of(disk, false)?;
    let note = format!(
        "{left:+.3} ppm left; first order {with:+.3} ppm; without the drift file {without:+.3} ppm, after {without_took:.1} s"
    );
    guest.found(took, &note)
}

/// Removes ours with all it has, so that the next installation is a first one.
fn purge(guest: &mut Guest<'_>) -> Result<(), String> {
    apt(guest, "purge truechimer").map(drop)
}

fn several(stand: &Stand) -> Result<Found, String> {
    let mut guest = booted(stand)?;
    // Of no package, of a package that is purged by hand, and of one that was removed before the one that runs.
    guest.read("echo 'server 10.77.0.14 iburst' > /etc/ntp.conf")?;
    apt(&mut guest, &format!("install {DEBS}/systemd-timesyncd/*.deb"))?;
    guest.read("printf '[Time]\\nNTP=10.77.0.14\\n' > /etc/systemd/timesyncd.conf && systemctl stop systemd-timesyncd")?;
    let begun = stand.world.asked();
    install(&mut guest, &CHRONY)?;
    let text = apt(&mut guest, &format!("install {DEBS}/truechimer.deb"))?;
    let line =
        said(&text, "the configuration of chrony (/etc/chrony/chrony.conf) was taken over")?.to_owned();
    said(&text, "was the last to be removed: /etc/ntp.conf")?;
    let took = to_synchronised(&mut guest)?;
    guest.wait_until_right(Instant::now(), SOON)?;
    judge(&mut guest, stand, &CHRONY, begun)?;
    // The one that was removed before is installed again and replaced: now it is the last one.
    let timesyncd =
        |servers: &str| format!("printf '[Time]\\n{servers}\\n' > /etc/systemd/timesyncd.conf && sync");
    for (servers, of) in [
        ("NTP=10.77.0.11 10.77.0.12", "systemd-timesyncd (/etc/systemd/timesyncd.conf)"),
        // One that names no server says nothing: what was left before it counts.
        ("#NTP=", "chrony (/etc/chrony/chrony.conf)"),
    ] {
        purge(&mut guest)?;
        guest.read(&timesyncd(servers))?;
        apt(&mut guest, &format!("install {DEBS}/systemd-timesyncd/*.deb"))?;
        guest.wait_for("systemctl is-active --quiet systemd-timesyncd", Instant::now(), SOON)?;
        let text = apt(&mut guest, &format!("install {DEBS}/truechimer.deb"))?;
        said(&text, &format!("the configuration of {of} was taken over"))?;
        to_synchronised(&mut guest)?;
    }
    if stand.world.asked()[3] != begun[3] {
        return Err("the server of a configuration that does not count was asked".into());
    }
    guest.found(took, &line)
}

fn damaged(stand: &Stand) -> Result<Found, String> {
    let mut guest = booted(stand)?;
    install(&mut guest, &CHRONY)?;
    // chronyd, which runs, has not read these yet; some of them keep it from its next start.
    guest.read(
        "mv /etc/chrony/chrony.conf /etc/chrony/real.conf && ln -s real.conf /etc/chrony/chrony.conf && \
         printf 'a-word-of-tomorrow 3\\ninclude /etc/chrony/absent/*.conf\\nconfdir /etc/chrony/absent.d\\n' >> /etc/chrony/real.conf",
    )?;
    let before = stand.world.asked();
    let text = apt(&mut guest, &format!("install {DEBS}/truechimer.deb"))?;
    let line =
        said(&text, "the configuration of chrony (/etc/chrony/chrony.conf) was taken over")?.to_owned();
    said(&text, "a-word-of-tomorrow 3: no directive that is known here")?;
    said(&text, "absent/*.conf: no file is there")?;
    let took = to_synchronised(&mut guest)?;
    guest.wait_until_right(Instant::now(), SOON)?;
    judge(&mut guest, stand, &CHRONY, before)?;
    // What others may write is not read, and nothing else is taken in the place of it.
    purge(&mut guest)?;
    apt(&mut guest, &format!("install {DEBS}/chrony/*.deb"))?;
    guest.read("echo 'server 10.77.0.14 iburst' > /etc/ntp.conf && chmod o+w /etc/chrony/real.conf")?;
    let text = apt(&mut guest, &format!("install {DEBS}/truechimer.deb"))?;
    said(&text, "nothing was taken over from another time daemon")?;
    said(&text, "others than root may write to it")?;
    said(&text, "the service is not started")?;
    guest.read("systemctl is-enabled --quiet truechimer && ! systemctl is-active --quiet truechimer")?;
    guest.read("[ -z \"$(ls /etc/truechimer/truechimer.d)\" ]")?;
    if stand.world.asked()[3] != 0 {
        return Err("a server of a configuration that does not count was asked".into());
    }
    // As it is told to: the file is mended, taken over by hand, and the service started.
    guest.read(
        "chmod o-w /etc/chrony/real.conf && { chimerctl import --no-server --output /etc/truechimer/truechimer.d/50-imported.toml \
         /etc/chrony/chrony.conf || [ $? = 1 ]; } && systemctl start truechimer",
    )?;
    guest.wait_until_active(Instant::now(), SOON)?;
    guest.wait_until_right(Instant::now(), SOON)?;
    guest.found(took, &line)
}

fn back(stand: &Stand) -> Result<Found, String> {
    let mut guest = booted(stand)?;
    install(&mut guest, &CHRONY)?;
    apt(&mut guest, &format!("install {DEBS}/truechimer.deb"))?;
    to_synchronised(&mut guest)?;
    let mut slowest = 0.0_f64;
    for purges in [false, true] {
        let begun = Instant::now();
        if purges {
            apt(&mut guest, "purge truechimer")?;
        }
        apt(&mut guest, &format!("install {DEBS}/chrony/*.deb"))?;
        slowest = slowest.max(begun.elapsed().as_secs_f64());
        let since = Instant::now();
        guest.wait_for(
            "systemctl is-active --quiet chrony && systemctl is-enabled --quiet chrony",
            since,
            SOON,
        )?;
        guest.wait_for("chronyc waitsync 1 0.1 > /dev/null", since, Duration::from_secs(180))?;
        guest.read("! pgrep truechimer && timedatectl show -p NTP --value | grep -q yes")?;
        worst(&mut guest, Duration::from_secs(10))?;
        if purges {
            guest.read("[ ! -e /etc/truechimer ] && [ ! -e /var/lib/truechimer ]")?;
        }
        let before = stand.world.asked();
        apt(&mut guest, &format!("install {DEBS}/truechimer.deb"))?;
        to_synchronised(&mut guest)?;
        worst(&mut guest, Duration::from_secs(10))?;
        judge(&mut guest, stand, &CHRONY, before)?;
    }
    let release = if stand.release == Release::Trixie { "4.6" } else { "4.3" };
    guest.found(slowest, &format!("apt to chrony {release} and back, removed and purged"))
}
