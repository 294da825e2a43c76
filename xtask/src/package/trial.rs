//! The package in a fresh root of each Debian release, without a service manager, as in a container or an image
//! that is being assembled: nothing is started there except by this code.

use crate::cargo::target;
use bench::forger::Forger;
use bench::programs::{Place, wait_for};
use rig::debian::{self, Release};
use rig::recipe::image::Packages;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The packages that the trials need beyond the essential ones.
const INCLUDED: &str = "systemd,lintian";

/// In each of these steps the shell ends at the first line that fails.
const STEPS: &[(&str, &str)] = &[
    (
        "installed: users are there, the unit is enabled, the others are not, nothing runs",
        "dpkg --install /package.deb
         for user in clock engine net serve kex ntske key; do getent passwd truechimer-$user; done >/dev/null
         test \"$(systemctl is-enabled truechimer.service)\" = enabled
         test \"$(systemctl is-enabled truechimer-wait.service)\" = disabled
         test \"$(systemctl is-enabled truechimer-metrics.socket)\" = disabled
         truechimer-metrics --once | grep -q '^truechimer_up 0'
         test \"$(systemctl is-enabled truechimer-chronyc-bridge.service)\" = disabled
         test \"$(systemctl is-enabled truechimer-chrony-logs.service)\" = disabled
         test \"$(systemctl is-enabled truechimer-networkd.path)\" = disabled
         test -d /etc/truechimer/truechimer.d
         test ! -e /run/truechimer/control.sock",
    ),
    (
        "systemd finds nothing to say against the units, and they are no more exposed than is known",
        "systemd-analyze verify truechimer.service truechimer-wait.service truechimer-bound@1ms.service truechimer-metrics.socket \
         truechimer-chronyc-bridge.service truechimer-chrony-logs.service truechimer-networkd.path >/said 2>&1
         cat /said
         if grep -q truechimer /said; then exit 1; fi
         systemd-analyze security --offline=true --threshold=32 /usr/lib/systemd/system/truechimer.service
         systemd-analyze security --offline=true --threshold=4 /usr/lib/systemd/system/truechimer-wait.service
         systemd-analyze security --offline=true --threshold=4 /usr/lib/systemd/system/truechimer-bound@.service
         systemd-analyze security --offline=true --threshold=4 /usr/lib/systemd/system/truechimer-metrics.service
         systemd-analyze security --offline=true --threshold=4 /usr/lib/systemd/system/truechimer-chronyc-bridge.service
         systemd-analyze security --offline=true --threshold=4 /usr/lib/systemd/system/truechimer-chrony-logs.service
         systemd-analyze security --offline=true --threshold=32 /usr/lib/systemd/system/truechimer-networkd.service",
    ),
    (
        "as delivered it names no source, and --check says so",
        "code=0; truechimerd --check 2>/said || code=$?; test $code = 78; grep -q source /said",
    ),
    (
        "removed and installed again it is enabled again",
        "dpkg --remove truechimer; dpkg --install /package.deb
         test \"$(systemctl is-enabled truechimer.service)\" = enabled",
    ),
    (
        "what was disabled stays disabled over upgrade, downgrade, and removal",
        "systemctl disable truechimer.service
         for package in /newer.deb /older.deb /package.deb; do
             dpkg --install $package
             test \"$(systemctl is-enabled truechimer.service)\" = disabled
         done
         dpkg --remove truechimer; dpkg --install /package.deb
         test \"$(systemctl is-enabled truechimer.service)\" = disabled",
    ),
    (
        "what was masked stays masked",
        "systemctl mask truechimer.service
         dpkg --install /newer.deb
         dpkg --remove truechimer; dpkg --install /package.deb
         test \"$(systemctl is-enabled truechimer.service)\" = masked
         systemctl unmask truechimer.service; systemctl enable truechimer.service",
    ),
    (
        "a wait, or metrics, that were enabled stay so",
        "systemctl enable truechimer-wait.service truechimer-metrics.socket
         dpkg --install /newer.deb; dpkg --install /package.deb
         test \"$(systemctl is-enabled truechimer-wait.service)\" = enabled
         test \"$(systemctl is-enabled truechimer-metrics.socket)\" = enabled",
    ),
    (
        "a changed configuration file outlives an upgrade, and no other file is said to be changed",
        "echo '# mine' >>/etc/truechimer/truechimer.toml
         dpkg --install /newer.deb; dpkg --install /package.deb
         grep -q mine /etc/truechimer/truechimer.toml
         dpkg --verify truechimer >/said; test \"$(grep -vc /etc/truechimer/truechimer.toml /said)\" = 0",
    ),
    (
        "purged nothing is left but the users",
        "touch /var/lib/truechimer/governor; mkdir -p /var/log/truechimer; echo 'OPTIONS=\"--clock none\"' >/etc/default/truechimer
         dpkg --purge truechimer
         test -z \"$(find /etc /usr /var/lib /var/log /run -name '*truechimer*' ! -path '/var/lib/dpkg/*')\"
         getent passwd truechimer-clock >/dev/null",
    ),
    (
        "lintian finds neither errors nor warnings",
        "lintian --allow-root --fail-on error,warning /package.deb",
    ),
];

/// Tries three versions of the package in a root of each release.
///
/// # Errors
/// The step that failed. Without root and a tool that makes roots nothing is tried, and a message says so.
pub fn run(packages: &Packages) -> Result<(), String> {
    let present = Command::new("mmdebstrap").arg("--version").stdout(Stdio::null()).status().is_ok();
    if !bench::is_root() || !present {
        println!("not tried: that needs root and mmdebstrap (apt-get install mmdebstrap)");
        return Ok(());
    }
    for release in Release::ALL.map(Release::suite) {
        let root = fresh(release)?;
        let Packages { older, current, newer } = packages;
        for (file, name) in [(older, "older.deb"), (current, "package.deb"), (newer, "newer.deb")] {
            fs::copy(file, root.join(name)).map_err(|error| error.to_string())?;
        }
        for (claim, script) in STEPS {
            inside(root.path(), script).map_err(|error| format!("{release}: not so: {claim}: {error}"))?;
            println!("{release}: {claim}");
        }
        start(&root)?;
        println!("{release}: installed, started, asked, stopped and purged");
    }
    Ok(())
}

/// A copy of a root that is made once.
fn fresh(release: &str) -> Result<Place, String> {
    let base = target().join("package").join(release);
    if !base.join("var/lib/dpkg/status").exists() {
        let unfinished: PathBuf = target().join("package").join(format!("{release}.unfinished"));
        let _ = fs::remove_dir_all(&unfinished);
        run_quietly(
            Command::new("mmdebstrap")
                .args(["--variant=minbase", &format!("--include={INCLUDED}"), release])
                .arg(&unfinished)
                .arg(debian::archive()?),
        )?;
        // No service may start there; this is Debian's own interface for that.
        let policy = unfinished.join("usr/sbin/policy-rc.d");
        fs::write(&policy, "#!/bin/sh\nexit 101\n").map_err(|error| error.to_string())?;
        fs::set_permissions(&policy, fs::Permissions::from_mode(0o755)).map_err(|error| error.to_string())?;
        fs::rename(&unfinished, &base).map_err(|error| error.to_string())?;
    }
    let root = Place::new(release);
    run_quietly(
        Command::new("cp").args(["--archive", "--reflink=auto"]).arg(base.join(".")).arg(root.path()),
    )?;
    Ok(root)
}

fn run_quietly(command: &mut Command) -> Result<(), String> {
    crate::cargo::run(command.stdin(Stdio::null()))
}

/// The installed daemon with a source, started by hand.
fn start(root: &Place) -> Result<(), String> {
    inside(root.path(), "dpkg --install /package.deb")?;
    let forger = Forger::honest([127, 0, 0, 1].into(), 0);
    let configuration = format!("[[source]]\naddress = \"{}\"\nmin-poll = 2\n", forger.address());
    fs::write(root.join("etc/truechimer/truechimer.toml"), configuration)
        .map_err(|error| error.to_string())?;
    let script = "truechimerd --check
                  mkdir -p /run/truechimer /var/lib/truechimer
                  truechimerd --clock none & daemon=$!
                  for try in $(seq 300); do
                      if chimerctl sources --json 2>/dev/null | grep -q '\"reach\": *[1-9]'; then break; fi
                      kill -0 $daemon; sleep 0.1
                  done
                  chimerctl status; chimerctl sources
                  chimerctl sources --json | grep -q '\"reach\": *[1-9]'
                  kill $daemon; wait $daemon
                  dpkg --purge truechimer";
    inside(root.path(), script)?;
    if wait_for(Duration::from_secs(1), || (forger.heard() > 0).then_some(())).is_none() {
        return Err("the installed daemon never queried its source".into());
    }
    Ok(())
}

/// Runs a script in the root with separate mount and process namespaces: no mount and no
/// process remains.
fn inside(root: &Path, script: &str) -> Result<(), String> {
    let script = format!("set -e\nmount -t proc proc /proc; mount -t tmpfs tmpfs /run\n{script}");
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child", "--"]);
    // Bound onto itself it is the root of a mount, as on a machine: the daemon's own views need that.
    let enter = "mount --bind \"$0\" \"$0\" && exec chroot \"$0\" /bin/sh -c \"$1\"";
    command.args(["sh", "-c", enter]).arg(root).arg(script);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("DEBIAN_FRONTEND", "noninteractive");
    run_quietly(&mut command)
}
