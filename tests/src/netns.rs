//! Network namespaces for a test. They end with their owner, and nothing in them is visible outside.

use nix::sched::{CloneFlags, setns, unshare};
use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};

/// A network of its own, with its loopback interface up.
#[derive(Debug)]
pub struct Network {
    /// The file that keeps it alive.
    file: File,
}

impl Network {
    /// Creates one; `None` without the permission, or without the program `ip`.
    pub fn new() -> Option<Self> {
        if !crate::is_root() {
            return None;
        }
        // A thread has its own network; the open file outlives it.
        let make = || {
            unshare(CloneFlags::CLONE_NEWNET).ok()?;
            File::open("/proc/thread-self/ns/net").ok()
        };
        let network = Self { file: std::thread::spawn(make).join().ok()?? };
        network.ip(&["link", "set", "lo", "up"]).then_some(network)
    }

    /// The words that run a program in it.
    pub fn entrance(&self) -> [String; 3] {
        ["nsenter".into(), format!("--net={}", self.path()), "--".into()]
    }

    /// For a thread that enters it.
    ///
    /// # Panics
    /// If no file can be opened any more.
    pub fn file(&self) -> File {
        self.file.try_clone().expect("a descriptor can be doubled")
    }

    /// A veth pair to another network: addresses of this end and of that one, one /24. Returns whether it worked.
    pub fn connect(&self, other: &Self, ours: Ipv4Addr, theirs: Ipv4Addr) -> bool {
        let cable = ["link", "add", "near", "type", "veth", "peer", "name", "far", "netns", &other.path()];
        self.ip(&cable)
            && [(self, "near", ours), (other, "far", theirs)].iter().all(|(network, device, address)| {
                network.ip(&["addr", "add", &format!("{address}/24"), "dev", device])
                    && network.ip(&["link", "set", device, "up"])
            })
    }

    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd())
    }

    /// Runs a closure in it, in a separate thread: sockets that it creates there stay there.
    ///
    /// # Panics
    /// If the network cannot be entered, or `what` panics.
    pub fn within<T: Send>(&self, what: impl FnOnce() -> T + Send) -> T {
        let enter = || {
            setns(&self.file, CloneFlags::CLONE_NEWNET).expect("root may enter a network of its own");
            what()
        };
        std::thread::scope(|scope| scope.spawn(enter).join()).expect("what was done there does not panic")
    }

    /// Runs the program `ip` in it; returns whether it succeeded.
    pub fn ip(&self, words: &[&str]) -> bool {
        let [enter, network, end] = self.entrance();
        let mut command = Command::new(enter);
        command.args([&network, &end, "ip"]).args(words).stdin(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_networks_hear_each_other_through_their_cable_and_nothing_else() {
        let (Some(near), Some(far)) = (Network::new(), Network::new()) else {
            return crate::skip("network namespaces need root and the program ip");
        };
        let (a, b) = (Ipv4Addr::new(10, 77, 0, 1), Ipv4Addr::new(10, 77, 0, 2));
        assert!(near.connect(&far, a, b));
        let devices = |network: &Network| {
            let entrance = network.entrance();
            let output = Command::new(&entrance[0])
                .args([&entrance[1], &entrance[2], "cat", "/proc/net/dev"])
                .output()
                .expect("nsenter is there");
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            text.lines().skip(2).filter_map(|line| Some(line.split(':').next()?.trim().to_owned())).collect()
        };
        let mut seen: Vec<String> = devices(&near);
        seen.sort();
        assert_eq!(seen, ["lo", "near"]);
    }
}
