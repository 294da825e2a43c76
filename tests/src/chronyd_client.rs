//! chronyd as a client that cannot set the clock, observed from outside. With `-x` it keeps a clock
//! of its own, the host's plus a correction that takes effect immediately: a virtual clock with an ideal
//! actuator. `chronyc tracking` reports the correction.

use crate::clock;
use crate::daemon::spawn;
use crate::peers::chronyd;
use crate::programs::{Place, find_peer, wait_for};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

/// A running chronyd with a running chronyc; both are killed when dropped.
pub struct ChronydClient {
    daemon: Child,
    control: Child,
    ask: ChildStdin,
    answer: BufReader<ChildStdout>,
    place: Place,
}

/// Its report about its clock at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tracking {
    /// CLOCK_MONOTONIC_RAW of that moment, nanoseconds.
    pub raw: i64,
    /// Its clock, nanoseconds since 1970.
    pub clock: i64,
    /// Frequency correction, ppm; positive: the host's clock is made faster.
    pub frequency_ppm: f64,
    /// The error bound that it reports, seconds: root dispersion and half of root delay.
    pub distance_s: f64,
    /// Whether it has a source.
    pub synchronised: bool,
}

impl ChronydClient {
    /// Starts it with these sources (lines of chrony.conf), by way of another program if one is given. `None`
    /// if chronyd or chronyc is not installed.
    ///
    /// # Panics
    /// If its files cannot be written, or it does not answer within 5 s.
    pub fn start(sources: &str, wrapper: &[String]) -> Option<Self> {
        let chronyc = find_chronyc()?;
        let place = Place::new("chronyd-client");
        let socket = socket_in(&place);
        let configuration = format!(
            "{sources}\nport 0\ncmdport 0\nbindcmdaddress {}\npidfile {}",
            socket.display(),
            place.join("pid").display()
        );
        let plain = chronyd(&configuration)?;
        let mut words: Vec<_> = wrapper.iter().map(Into::into).collect();
        words.push(plain.get_program().to_owned());
        words.extend(plain.get_args().map(ToOwned::to_owned));
        let log = fs::File::create(place.join("log")).expect("a new folder can be written");
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).stdin(Stdio::null());
        command.stdout(log.try_clone().expect("a file can be shared")).stderr(log);
        let mut daemon = spawn(&mut command);
        let up = wait_for(Duration::from_secs(5), || {
            (socket.exists() || daemon.try_wait().ok().flatten().is_some()).then_some(())
        });
        let said = fs::read_to_string(place.join("log")).unwrap_or_default();
        assert!(up.is_some() && socket.exists(), "chronyd does not open its socket:\n{said}");
        let mut command = Command::new(chronyc);
        command.args(["-c", "-n", "-h"]).arg(&socket);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut control = spawn(&mut command);
        let ask = control.stdin.take().expect("it is piped");
        let answer = BufReader::new(control.stdout.take().expect("it is piped"));
        Some(Self { daemon, control, ask, answer, place })
    }

    /// One line of comma-separated values.
    fn ask(&mut self, word: &str) -> Option<Vec<String>> {
        writeln!(self.ask, "{word}").ok()?;
        self.ask.flush().ok()?;
        let mut line = String::new();
        self.answer.read_line(&mut line).ok()?;
        Some(line.trim().split(',').map(ToOwned::to_owned).collect())
    }

    /// Its clock now; `None` if it is gone.
    pub fn tracking(&mut self) -> Option<Tracking> {
        let before = clock::raw();
        let fields = self.ask("tracking")?;
        let after = clock::raw();
        let number = |index: usize| fields.get(index)?.parse::<f64>().ok();
        let (raw, wall) = clock::pair();
        let middle = before + (after - before) / 2;
        Some(Tracking {
            raw: middle,
            // The host's two clocks run at the same rate for a few milliseconds.
            clock: wall - (raw - middle) + (number(4)? * 1e9).round() as i64,
            frequency_ppm: -number(7)?,
            distance_s: number(11)? + number(10)? / 2.0,
            synchronised: fields.get(2)? != "0",
        })
    }

    /// The number of packets that it has sent to its first source; `None` if it is gone.
    pub fn sent(&mut self) -> Option<u64> {
        let fields = self.ask("ntpdata")?;
        fields.get(fields.len().checked_sub(4)?)?.parse().ok()
    }

    /// The socket on which it answers chronyc.
    pub fn socket(&self) -> PathBuf {
        socket_in(&self.place)
    }

    /// Its log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.place.join("log")).unwrap_or_default()
    }
}

impl Drop for ChronydClient {
    fn drop(&mut self) {
        for child in [&mut self.control, &mut self.daemon] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn socket_in(place: &Place) -> PathBuf {
    place.join("run/chronyd.sock")
}

/// What chronyc says to these words (options, then a command) about whatever answers on this socket, with addresses in place
/// of names; `None` if it is not installed.
///
/// # Panics
/// If it cannot be executed.
pub fn chronyc(socket: &Path, words: &[&str]) -> Option<Output> {
    let mut command = Command::new(find_chronyc()?);
    command.args(["-n", "-h"]).arg(socket).args(words).stdin(Stdio::null());
    Some(command.output().expect("chronyc can be executed"))
}

/// It is installed in `bin`, unlike chronyd in `sbin`.
fn find_chronyc() -> Option<PathBuf> {
    find_peer("chronyc").or_else(|| {
        let beside = find_peer("chronyd")?.parent()?.parent()?.join("bin/chronyc");
        beside.is_file().then_some(beside)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forger::Forger;
    use crate::peers::NO_CHRONYD;

    #[test]
    fn its_clock_follows_a_server_that_is_ahead() {
        let forger = Forger::honest([127, 0, 0, 1].into(), 40_000_000);
        let source = format!("server 127.0.0.1 port {} iburst minpoll 0 maxpoll 0", forger.address().port());
        let Some(mut chronyd) = ChronydClient::start(&source, &[]) else { return crate::skip(NO_CHRONYD) };
        let mut last = None;
        let followed = wait_for(Duration::from_secs(20), || {
            let tracking = chronyd.tracking()?;
            let (raw, wall) = clock::pair();
            let ahead = tracking.clock - (wall - (raw - tracking.raw));
            last = Some((ahead, tracking));
            (tracking.synchronised && (ahead - 40_000_000).abs() < 5_000_000).then_some(())
        });
        assert!(followed.is_some(), "{last:?}\n{}", chronyd.log());
        assert!(chronyd.sent().is_some_and(|sent| sent >= 1));
    }
}
