//! A guest's root file system: a small Debian with systemd, the rig's agent, and the packages that cases install
//! themselves.

use super::tools;
use crate::architecture::Architecture;
use crate::command;
use crate::debian::{Release, archive};
use crate::store::Store;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// In every guest; among them what chronyd is linked with, so that its package can be installed without a network.
const PACKAGES: &[&str] = &[
    "systemd",
    "systemd-sysv",
    "udev",
    "dbus",
    "kmod",
    "iproute2",
    "procps",
    "util-linux-extra",
    "libcap2-bin",
    "libpam-systemd",
    "libedit2",
    "libseccomp2",
    "ucf",
    "tzdata",
    "init-system-helpers",
    "adduser",
    "strace",
];

/// Beside those: other names in other releases.
fn more_packages(release: Release) -> &'static [&'static str] {
    match release {
        Release::Bookworm => &["libgnutls30", "libnettle8"],
        Release::Trixie => &["libgnutls30t64", "libnettle8t64"],
    }
}

/// Downloaded into the guest's [`DEBS`], not installed: only one time daemon can be, and apparmor loads a hundred profiles at
/// each boot.
const BESIDE: &str = "chrony systemd-timesyncd apparmor";

/// Where a guest has packages to install.
pub const DEBS: &str = "/srv/rig";

/// Other time daemons, and what runs containers, each downloaded with what it needs into a folder of its name in [`DEBS`].
pub fn peers(release: Release) -> &'static [&'static str] {
    match release {
        Release::Bookworm => &["chrony", "systemd-timesyncd", "ntpsec", "openntpd"],
        Release::Trixie => &["chrony", "systemd-timesyncd", "ntpsec", "openntpd", "ntpd-rs", "podman"],
    }
}

const AGENT: &str = include_str!("../../guest/agent.sh");
const START: &str = include_str!("../../guest/start.sh");

const AGENT_UNIT: &str = "\
[Unit]
Description=The rig's agent
DefaultDependencies=no
[Service]
ExecStart=/srv/rig/agent.sh
Restart=always
RestartSec=1
OOMScoreAdjust=-1000
[Install]
WantedBy=multi-user.target
";

/// The interface towards the rig's network; the last octet of its address is the last digit of the guest's own.
const NETWORK: &str = "\
[Match]
MACAddress=52:54:00:77:00:0@N@
[Network]
Address=10.77.0.@N@/24
LinkLocalAddressing=no
IPv6AcceptRA=no
[Link]
RequiredForOnline=yes
";

/// Units that cost time and show nothing, and every time daemon that Debian brings along.
const OFF: &[&str] = &[
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "dpkg-db-backup.timer",
    "getty@tty1.service",
    "systemd-pcrlock.socket",
];

/// The folder with the root of this release, as Debian makes it.
///
/// # Errors
/// Those of mmdebstrap.
pub fn folder(store: &Store, release: Release, architecture: Architecture) -> Result<PathBuf, String> {
    let recipe =
        format!("{}{PACKAGES:?}{:?}{BESIDE}{:?}", release.suite(), more_packages(release), peers(release));
    let name = format!("root-{}{}", architecture.mark(), release.number());
    store.have(&name, recipe.as_bytes(), |place| {
        tools::install(architecture)?;
        make(release, architecture, place)
    })
}

/// What [`dress`] puts there, for the names of what is made with it.
pub fn dress_recipe() -> String {
    format!("{AGENT}{START}{AGENT_UNIT}{NETWORK}{OFF:?}")
}

fn make(release: Release, architecture: Architecture, place: &Path) -> Result<(), String> {
    let include: Vec<&str> = PACKAGES.iter().chain(more_packages(release)).copied().collect();
    let hook = format!(
        "mkdir -p \"$1{DEBS}\" && cd \"$1{DEBS}\" && export APT_CONFIG=$MMDEBSTRAP_APT_CONFIG && \
         apt-get download {BESIDE} && for peer in {}; do mkdir -p $peer/partial && \
         apt-get --yes --download-only --no-install-recommends -o Dir::Cache::archives=\"$1{DEBS}/$peer/\" install $peer \
         && rm -rf $peer/partial $peer/lock || exit 1; done",
        peers(release).join(" ")
    );
    let mut command = architecture.command("mmdebstrap");
    command.args(["--variant=minbase", "--mode=root", "--format=directory"]);
    command.arg(format!("--architectures={}", architecture.name()));
    command.arg(format!("--include={}", include.join(",")));
    command.args(["--aptopt=APT::Install-Recommends \"false\"", "--aptopt=Acquire::Languages \"none\""]);
    for folder in ["doc", "man", "locale"] {
        command.arg(format!("--dpkgopt=path-exclude=/usr/share/{folder}/*"));
    }
    command.arg(format!("--customize-hook={hook}"));
    command.arg(release.suite()).arg(place).arg(archive()?);
    command::run(&mut command).map(drop)
}

/// Adds the agent, the network, and what makes a first boot an ordinary one.
///
/// # Errors
/// A file that cannot be written.
pub fn dress(root: &Path, architecture: Architecture) -> Result<(), String> {
    let put = |path: &str, text: &str, mode: u32| -> std::io::Result<()> {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap_or(root))?;
        fs::write(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))
    };
    let wants = root.join("etc/systemd/system/multi-user.target.wants");
    let write = || -> std::io::Result<()> {
        put("srv/rig/agent.sh", AGENT, 0o755)?;
        put("srv/rig/start.sh", START, 0o755)?;
        put("etc/systemd/system/rig-agent.service", AGENT_UNIT, 0o644)?;
        fs::create_dir_all(&wants)?;
        symlink("../rig-agent.service", wants.join("rig-agent.service"))?;
        for number in ["2", "3"] {
            let file = format!("etc/systemd/network/10-rig-{number}.network");
            put(&file, &NETWORK.replace("@N@", number), 0o644)?;
        }
        put("etc/hostname", "rig\n", 0o644)?;
        put("etc/fstab", "", 0o644)?;
        put("etc/machine-id", "0123456789abcdef0123456789abcdef\n", 0o444)?;
        put("etc/resolv.conf", "", 0o644)
    };
    write().map_err(|error| format!("{}: {error}", root.display()))?;
    for unit in OFF {
        // Not every release has each of them.
        let _ = systemctl(root, architecture, &["mask", unit]);
    }
    systemctl(root, architecture, &["enable", "systemd-networkd.service"])?;
    // Else each boot looks for what an update of /usr would ask for.
    for stamp in ["etc/.updated", "var/.updated"] {
        put(stamp, "", 0o644).map_err(|error| format!("{stamp}: {error}"))?;
        command::run(Command::new("touch").args(["--date=+1 day"]).arg(root.join(stamp)))?;
    }
    Ok(())
}

fn systemctl(root: &Path, architecture: Architecture, words: &[&str]) -> Result<(), String> {
    let mut command = architecture.command("chroot");
    command.arg(root).arg("systemctl").args(words);
    command::run(&mut command).map(drop)
}
