//! The rig's line to the agent in a guest: a script out, a code and what it printed back.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// What a script left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Its exit code; 124: it took too long.
    pub code: i32,
    /// What it printed.
    pub text: String,
}

/// The line.
#[derive(Debug)]
pub struct Link {
    out: UnixStream,
    back: BufReader<UnixStream>,
}

/// What is said where the machine's program has ended by itself.
pub const MACHINE_ENDED: &str = "the machine has ended";

/// Octets of a script in a line, which has four times as many: a serial line has room for 4,096, and loses what is more.
const PART: usize = 500;

/// More than any script of ours prints.
const MOST: usize = 8 << 20;

impl Link {
    /// Over this connection.
    ///
    /// # Errors
    /// The connection's.
    pub fn over(stream: UnixStream) -> io::Result<Self> {
        Ok(Self { back: BufReader::new(stream.try_clone()?), out: stream })
    }

    /// Waits for the agent's first word.
    ///
    /// # Errors
    /// It does not come within `limit`, or the machine has ended.
    pub fn wait_until_up(&mut self, limit: Duration) -> Result<(), String> {
        let deadline = Instant::now() + limit;
        loop {
            let line = self.line(deadline)?;
            if line.trim_end().ends_with("ready") {
                return Ok(());
            }
        }
    }

    /// Runs a script.
    ///
    /// # Errors
    /// The machine has ended or does not answer three quarters of a minute beyond the script's time.
    pub fn run(&mut self, script: &str, limit: Duration) -> Result<Output, String> {
        self.send(script, limit)?;
        self.answer(Instant::now() + limit + Duration::from_secs(45))
    }

    /// The guest's clock in seconds since 1970, and the host's instants before the question and after the answer.
    ///
    /// # Errors
    /// The machine has ended or does not answer within a minute.
    pub fn clock(&mut self) -> Result<(f64, Instant, Instant), String> {
        let before = Instant::now();
        self.out.write_all(b"clock -\n").map_err(|error| format!("the guest is not to be asked: {error}"))?;
        let answer = self.answer(before + Duration::from_secs(60))?;
        let after = Instant::now();
        // Some locales have a comma there.
        let seconds = answer.text.replace(',', ".").parse();
        Ok((seconds.map_err(|_| format!("the guest's clock says {:?}", answer.text))?, before, after))
    }

    fn answer(&mut self, deadline: Instant) -> Result<Output, String> {
        let (code, length) = loop {
            let line = self.line(deadline)?;
            // An agent that was started again says so.
            if line.trim_end().ends_with("ready") {
                return Err("the guest's agent was started anew in the middle of a script".into());
            }
            let mut words = line.split_whitespace();
            if let (Some(Ok(code)), Some(Ok(length)), None) =
                (words.next().map(str::parse), words.next().map(str::parse::<usize>), words.next())
            {
                break (code, length.min(MOST));
            }
        };
        let mut text = vec![0; length];
        self.fill(&mut text, deadline)?;
        Ok(Output { code, text: String::from_utf8_lossy(&text).into_owned() })
    }

    /// Sends a script without waiting for what comes of it.
    ///
    /// # Errors
    /// The machine has ended, or does not take the parts before the last.
    pub fn send(&mut self, script: &str, limit: Duration) -> Result<(), String> {
        self.out.set_write_timeout(Some(Duration::from_secs(30))).map_err(|error| error.to_string())?;
        let mut parts = script.as_bytes().chunks(PART).peekable();
        while let Some(part) = parts.next() {
            // Escapes, for the agent reads by lines.
            let escaped: String = part.iter().map(|octet| format!("\\x{octet:02x}")).collect();
            let is_last = parts.peek().is_none();
            let word = if is_last { limit.as_secs().max(1).to_string() } else { "more".into() };
            self.out
                .write_all(format!("{word} {escaped}\n").as_bytes())
                .map_err(|error| format!("the guest does not take a script: {error}"))?;
            if !is_last {
                self.answer(Instant::now() + Duration::from_secs(60))?;
            }
        }
        Ok(())
    }

    fn line(&mut self, deadline: Instant) -> Result<String, String> {
        let mut line = Vec::new();
        loop {
            self.wait(deadline)?;
            match self.back.read_until(b'\n', &mut line) {
                Ok(0) => return Err(MACHINE_ENDED.into()),
                Ok(_) if line.ends_with(b"\n") => return Ok(String::from_utf8_lossy(&line).into_owned()),
                Ok(_) => {}
                Err(error) if is_passing(&error) => {}
                Err(error) => return Err(format!("the guest's line: {error}")),
            }
        }
    }

    fn fill(&mut self, text: &mut [u8], deadline: Instant) -> Result<(), String> {
        let mut at = 0;
        while at < text.len() {
            self.wait(deadline)?;
            match self.back.read(&mut text[at..]) {
                Ok(0) => return Err(MACHINE_ENDED.into()),
                Ok(count) => at += count,
                Err(error) if is_passing(&error) => {}
                Err(error) => return Err(format!("the guest's line: {error}")),
            }
        }
        Ok(())
    }

    fn wait(&mut self, deadline: Instant) -> Result<(), String> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err("the guest does not answer".into());
        }
        self.out.set_read_timeout(Some(left)).map_err(|error| error.to_string())
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_goes_out_whole_and_its_output_comes_back_whole() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let agent = std::thread::spawn(move || {
            let mut agent = BufReader::new(theirs);
            let mut line = String::new();
            agent.read_line(&mut line).unwrap();
            assert_eq!(line, "20 \\x61\\x0a\\xc3\\xbc\n");
            agent.into_inner().write_all(b"3 5\na\n\0 2").unwrap();
        });
        let mut link = Link::over(ours).unwrap();
        let output = link.run("a\nü", Duration::from_secs(20)).unwrap();
        assert_eq!(output, Output { code: 3, text: "a\n\0 2".into() });
        agent.join().unwrap();
    }

    #[test]
    fn a_long_script_goes_in_parts_that_a_serial_line_has_room_for() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let agent = std::thread::spawn(move || {
            let mut agent = BufReader::new(theirs);
            let mut parts = 0;
            loop {
                let mut line = String::new();
                agent.read_line(&mut line).unwrap();
                assert!(line.len() < 4_096);
                parts += 1;
                let answer: &[u8] = if line.starts_with("more ") { b"0 0\n" } else { b"0 2\nok" };
                agent.get_mut().write_all(answer).unwrap();
                if !line.starts_with("more ") {
                    return parts;
                }
            }
        });
        let mut link = Link::over(ours).unwrap();
        assert_eq!(link.run(&"x".repeat(1_700), Duration::from_secs(20)).unwrap().text, "ok");
        assert_eq!(agent.join().unwrap(), 4);
    }

    #[test]
    fn a_machine_that_has_ended_is_noticed() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        let error = Link::over(ours).unwrap().wait_until_up(Duration::from_secs(20)).unwrap_err();
        assert_eq!(error, "the machine has ended");
    }
}
