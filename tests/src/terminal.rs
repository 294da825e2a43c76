//! A program in a pseudo terminal: what it writes, which keys it is given, and the settings of the terminal.

use crate::programs::wait_for;
use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, Termios, tcgetattr};
use nix::unistd::Pid;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(30);

/// So many control characters of a terminal are the kernel's. C libraries have room for more of them; musl leaves there whatever
/// was in the memory.
const CHARACTERS: usize = 19;

/// See the module's head. What fails in it is a panic, as in a test.
pub struct Terminal {
    child: Child,
    master: File,
    /// For its settings.
    slave: OwnedFd,
    shown: Arc<Mutex<Vec<u8>>>,
    before: Termios,
}

impl Terminal {
    /// Starts a program in a new terminal of this size.
    ///
    /// # Panics
    /// If it cannot be executed.
    pub fn start(command: &mut Command, width: u16, height: u16) -> Self {
        let size = Winsize { ws_row: height, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 };
        let terminal = openpty(&size, None).expect("a pseudo terminal");
        let before = tcgetattr(&terminal.slave).expect("a terminal");
        let end = || terminal.slave.try_clone().expect("a descriptor");
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().expect("it can be executed");
        let shown = Arc::new(Mutex::new(Vec::new()));
        let master = File::from(terminal.master);
        let (mut reader, all) = (master.try_clone().expect("a descriptor"), Arc::clone(&shown));
        thread::spawn(move || {
            let mut part = [0; 4096];
            while let Ok(length @ 1..) = reader.read(&mut part) {
                all.lock().expect("it is whole").extend_from_slice(&part[..length]);
            }
        });
        Self { child, master, slave: terminal.slave, shown, before }
    }

    /// Sends the program a signal.
    ///
    /// # Panics
    /// If it is gone.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).expect("it runs");
    }

    /// Everything that was written since the start, or since [`Self::forget`].
    ///
    /// # Panics
    /// Never.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().expect("it is whole")).into_owned()
    }

    /// What was written up to now is forgotten.
    ///
    /// # Panics
    /// Never.
    pub fn forget(&self) {
        self.shown.lock().expect("it is whole").clear();
    }

    /// Waits until this is written.
    ///
    /// # Panics
    /// If it is not within half a minute.
    pub fn wait_for(&self, words: &str) {
        let found = wait_for(TIMEOUT, || self.text().contains(words).then_some(()));
        let text: String = self.text().chars().take(4_000).collect();
        assert!(found.is_some(), "{words}: {text:?}");
    }

    /// Waits until this is on the screen: a program that only writes what has changed writes all of it after SIGWINCH, which is
    /// sent again and again.
    ///
    /// # Panics
    /// If it is not within half a minute.
    pub fn wait_for_redrawn(&self, words: &str) {
        let found = wait_for(TIMEOUT, || {
            self.forget();
            self.signal(Signal::SIGWINCH);
            thread::sleep(Duration::from_millis(200));
            self.text().contains(words).then_some(())
        });
        let text: String = self.text().chars().take(4_000).collect();
        assert!(found.is_some(), "{words}: {text:?}");
    }

    /// Presses keys, as their octets.
    ///
    /// # Panics
    /// If the terminal is closed.
    pub fn press(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).expect("it is open");
    }

    /// Whether keys reach the program one by one.
    ///
    /// # Panics
    /// Never.
    pub fn is_raw(&self) -> bool {
        !tcgetattr(&self.slave).expect("a terminal").local_flags.contains(LocalFlags::ICANON)
    }

    /// Whether the settings are those from before the program.
    ///
    /// # Panics
    /// Never.
    pub fn is_as_before(&self) -> bool {
        let all = |it: &Termios| {
            let characters = it.control_chars[..CHARACTERS].to_vec();
            (it.input_flags, it.output_flags, it.control_flags, it.local_flags, characters)
        };
        all(&tcgetattr(&self.slave).expect("a terminal")) == all(&self.before)
    }

    /// Whether the kernel has the program stopped.
    ///
    /// # Panics
    /// If it is gone.
    pub fn is_stopped(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("it is there");
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    }

    /// Waits for the end of the program: how it ended, whether the settings are as before, and what it wrote.
    ///
    /// # Panics
    /// If it goes on for half a minute.
    pub fn end(mut self) -> (ExitStatus, bool, String) {
        let ended = wait_for(TIMEOUT, || self.child.try_wait().expect("it is ours"));
        let status = ended.expect("it ends");
        // What it wrote last may be under way to the thread that reads.
        thread::sleep(Duration::from_millis(200));
        (status, self.is_as_before(), self.text())
    }
}
