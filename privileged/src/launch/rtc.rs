//! The battery-backed clock (RTC), which runs on while a virtual machine is paused. It is only read, as text in sysfs.

use ipc::message::privileged::ClockKind;
use std::fs::{self, File};
use std::path::Path;

/// More than this many are not looked through.
const MOST: u32 = 16;

/// The attribute of the one that the kernel has set its clock by, or else of the first; none where there is none, for
/// a clock that is not the kernel's, and where it may be in local time.
pub fn open(kind: ClockKind) -> Option<File> {
    let is_evidence = kind == ClockKind::Kernel && !ipc_clock::has_zone();
    is_evidence.then(|| open_in(Path::new("/sys/class/rtc")))?
}

fn open_in(folder: &Path) -> Option<File> {
    let place = |number: u32| folder.join(format!("rtc{number}"));
    let is_used = |number: &u32| {
        fs::read_to_string(place(*number).join("hctosys")).is_ok_and(|text| text.trim() == "1")
    };
    let number = (0..MOST).find(is_used).unwrap_or(0);
    File::open(place(number).join("since_epoch")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rtc_that_the_kernel_was_set_by_is_taken_or_else_the_first_or_none() {
        let folder = std::env::temp_dir().join(format!("truechimer-rtc-{}", std::process::id()));
        let make = |number: u32, hctosys: &str| {
            let place = folder.join(format!("rtc{number}"));
            fs::create_dir_all(&place).unwrap();
            fs::write(place.join("hctosys"), hctosys).unwrap();
            fs::write(place.join("since_epoch"), number.to_string()).unwrap();
        };
        let read = || open_in(&folder).map(|file| std::io::read_to_string(file).unwrap());
        assert_eq!(read(), None);
        make(0, "0\n");
        make(2, "0\n");
        assert_eq!(read().as_deref(), Some("0"));
        make(1, "1\n");
        assert_eq!(read().as_deref(), Some("1"));
        fs::remove_dir_all(&folder).unwrap();
        assert!(open(ClockKind::Virtual).is_none() && open(ClockKind::None).is_none());
    }
}
