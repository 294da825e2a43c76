//! The device by which a hypervisor tells that it has migrated the machine or restored it from a saved state (vmclock). It is
//! only read.

use super::{diagnosis, rtc};
use ipc::message::privileged::{ClockKind, ForwardSteps, Pauses, Profile};
use ipc::units::Span;
use keeper::ending::say;
use std::fs::{File, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// There is one at most.
const DEVICE: &str = "/dev/vmclock0";

/// The device; none where there is none, where it is not fit, and for a clock that is not the kernel's. `stand_in` is a file
/// that is read in its place, with a virtual clock.
pub fn open(kind: ClockKind, stand_in: Option<&Path>) -> Option<File> {
    match (kind, stand_in) {
        (ClockKind::Kernel, _) => open_device(Path::new(DEVICE)),
        (ClockKind::Virtual, Some(file)) => take(file).inspect_err(|why| unused(file, why)).ok(),
        (ClockKind::Virtual | ClockKind::None, _) => None,
    }
}

/// Whether every program may read it, so that ClockBound's clients can be told to: where they are and cannot, they have no time at all.
pub fn is_public(kind: ClockKind, stand_in: Option<&Path>) -> bool {
    let place = match (kind, stand_in) {
        (ClockKind::Kernel, _) => Path::new(DEVICE),
        (ClockKind::Virtual, Some(file)) => file,
        (ClockKind::Virtual | ClockKind::None, _) => return false,
    };
    place.symlink_metadata().is_ok_and(|facts| facts.mode() & 0o004 != 0)
}

/// Tells, for `--check`, by what pauses of this machine are shown. `leave`: how far steps forward without evidence may go.
pub fn tell_evidence(profile: Profile, leave: Span) {
    let is_root = nix::unistd::geteuid().is_root();
    // Only root may open the device.
    let has_vmclock =
        if is_root { open(ClockKind::Kernel, None).is_some() } else { Path::new(DEVICE).exists() };
    let pauses = Pauses { rtc: rtc::open(ClockKind::Kernel).is_some(), vmclock: has_vmclock };
    say(6, &format_args!("pauses of this machine: {}", pauses.shown(steps_forward(profile, leave))));
}

const fn steps_forward(profile: Profile, leave: Span) -> ForwardSteps {
    match profile {
        Profile::Strict => ForwardSteps::None,
        Profile::Standard if leave.nanos() == 0 => ForwardSteps::Closed,
        Profile::Standard => ForwardSteps::Allowed,
    }
}

fn open_device(path: &Path) -> Option<File> {
    let looked = path.symlink_metadata();
    if looked.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        return None;
    }
    let fit = || {
        // Before it is opened: opening a device may do something.
        looked.map_err(|error| explained(&error)).and_then(|before| check(&before))?;
        let file = take(path)?;
        check(&file.metadata().map_err(|error| explained(&error))?)?;
        Ok(file)
    };
    fit().inspect_err(|why: &String| unused(path, why)).ok()
}

fn take(path: &Path) -> Result<File, String> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    File::options().read(true).custom_flags(flags).open(path).map_err(|error| explained(&error))
}

fn check(metadata: &Metadata) -> Result<(), String> {
    if !metadata.file_type().is_char_device() {
        return Err("it is not a character device".into());
    }
    if metadata.uid() != 0 {
        return Err(format!("it belongs to uid {} and not to root", metadata.uid()));
    }
    if metadata.mode() & 0o022 != 0 {
        return Err("others than root may write to it".into());
    }
    Ok(())
}

fn explained(error: &std::io::Error) -> String {
    diagnosis::explain(diagnosis::errno(error)).to_string()
}

fn unused(path: &Path, why: &str) {
    say(
        4,
        &format_args!("{} is not used: {why}; migrations of this machine are not seen by it", path.display()),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::stat::{Mode, SFlag, makedev, mknod};
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn without_evidence_of_pauses_nothing_is_advised_that_the_profile_refuses() {
        for (profile, leave, advised) in [
            (Profile::Standard, Span::ZERO, "set allow-forward-steps"),
            (Profile::Standard, Span::from_secs(60), "allow-forward-steps is set"),
            (Profile::Strict, Span::ZERO, "chimerctl step --approve"),
        ] {
            let forward = steps_forward(profile, leave);
            let text = Pauses::default().shown(forward);
            assert!(text.contains(advised), "{text}");
            assert_eq!(text.contains("allow-forward-steps"), profile == Profile::Standard, "{text}");
            assert!(!Pauses { rtc: true, vmclock: false }.shown(forward).contains("nothing"));
        }
    }

    #[test]
    fn only_a_device_of_roots_that_nobody_else_may_write_to_is_taken() {
        let folder = std::env::temp_dir().join(format!("truechimer-vmclock-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let place = folder.join("vmclock0");
        assert!(open_device(&place).is_none(), "there is none");
        fs::write(&place, "VCLK").unwrap();
        assert!(open_device(&place).is_none(), "a file");
        symlink("/dev/zero", folder.join("link")).unwrap();
        assert!(open_device(&folder.join("link")).is_none(), "a link");
        let node = folder.join("node");
        // /dev/zero's numbers.
        if mknod(&node, SFlag::S_IFCHR, Mode::from_bits_truncate(0o600), makedev(1, 5)).is_ok()
            && File::open(&node).is_ok()
        {
            assert!(open_device(&node).is_some());
            for mode in [0o620, 0o602, 0o666] {
                fs::set_permissions(&node, Permissions::from_mode(mode)).unwrap();
                assert!(open_device(&node).is_none(), "{mode:o}");
            }
            fs::set_permissions(&node, Permissions::from_mode(0o444)).unwrap();
            assert!(open_device(&node).is_some());
            std::os::unix::fs::chown(&node, Some(65_534), None).unwrap();
            assert!(open_device(&node).is_none(), "another user's");
        }
        // A file stands in for it beside a virtual clock only.
        assert!(open(ClockKind::Virtual, Some(&place)).is_some());
        assert!(open(ClockKind::Virtual, None).is_none() && open(ClockKind::None, Some(&place)).is_none());
        fs::remove_dir_all(&folder).unwrap();
    }
}
