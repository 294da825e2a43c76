//! One question and one answer on the control socket, for every program that asks. What is not understood, too long or too
//! late is an error: the engine is not trusted.
#![forbid(unsafe_code)]

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Time limit of a whole exchange. A daemon that has ended is noticed immediately: this is for one that hangs, and not
/// for a busy host or a slow start.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// The longest reply that is read, in octets.
const MAX_REPLY: usize = 256 * 1024;

/// Why there is no answer.
#[derive(Debug)]
pub enum AskError {
    /// No process listens on the socket.
    NotRunning(PathBuf),
    /// The socket's mode does not admit this user.
    Forbidden(PathBuf),
    /// No complete answer within the deadline.
    TooSlow(Duration),
    /// More than [`MAX_REPLY`] octets.
    TooLong,
    /// Not one line of JSON with an object in it, or not the expected object.
    NotUnderstood,
    /// The engine refuses.
    Refused(String),
    /// Another error of the connection.
    Broken(std::io::Error),
}

impl AskError {
    /// 1 if the daemon refuses, and 2 if there is no answer.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Refused(_) => 1,
            _ => 2,
        }
    }
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRunning(path) => write!(
                f,
                "no truechimer daemon answers at {}; start it (systemctl start truechimer), or name its socket \
                 with --socket",
                path.display()
            ),
            Self::Forbidden(path) => write!(
                f,
                "{} may not be opened by this user; use sudo, which changes need in any case; or, to read, have root put the user into \
                 the group of the socket (usermod -a -G truechimer NAME), and log in anew",
                path.display()
            ),
            Self::TooSlow(deadline) => {
                let seconds = deadline.as_secs_f64();
                write!(
                    f,
                    "the daemon does not answer within {seconds:.0} s: it is starting, or hangs (then systemd restarts it \
                     within 4 minutes; at once: systemctl restart truechimer)"
                )
            }
            Self::TooLong => {
                f.write_str("the answer is longer than an engine's can be; see the daemon's log")
            }
            Self::NotUnderstood => {
                f.write_str("the answer is not understood; are chimerctl and the daemon of the same version?")
            }
            Self::Refused(why) => write!(f, "the daemon refused: {why}"),
            Self::Broken(error) => write!(f, "the connection to the daemon broke: {error}"),
        }
    }
}

impl std::error::Error for AskError {}

/// Sends `verb`, one of the engine's, and returns the answer.
///
/// # Errors
/// [`AskError`], within [`DEADLINE`] whatever the peer does.
pub fn ask(path: &Path, verb: &str) -> Result<Value, AskError> {
    ask_within(path, verb, DEADLINE)
}

/// The same with another deadline.
///
/// # Errors
/// As [`ask`].
pub fn ask_within(path: &Path, verb: &str, deadline: Duration) -> Result<Value, AskError> {
    request(path, question(verb), deadline)
}

/// A file that a reload reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileText {
    /// Its path, for messages.
    pub name: String,
    /// Only its owner may read or change it.
    pub is_private: bool,
    /// What is in it.
    pub text: String,
}

/// What an administrator writes and what the system brings along; none of an optional one: there is no such file.
#[derive(Clone, Copy, Debug)]
pub struct Administrators<'a> {
    /// The configuration.
    pub main: &'a FileText,
    /// Its drop-ins.
    pub drop_ins: &'a [FileText],
    /// The symmetric keys.
    pub keys: Option<&'a FileText>,
    /// The list of leap seconds.
    pub leap_list: Option<&'a FileText>,
    /// Names may go that the certificates in use have.
    pub drops_names: bool,
}

/// Puts texts in force, as far as that is possible without a restart: the configuration with its drop-ins and its symmetric keys, and
/// what programs have left; what is not given stays as it is.
///
/// # Errors
/// As [`ask`].
pub fn reload(
    path: &Path,
    configuration: Option<Administrators<'_>>,
    programs: Option<&[FileText]>,
) -> Result<Value, AskError> {
    let quoted = |text: &str| Value::from(text).to_string();
    let list = |files: &[FileText]| {
        let file = |FileText { name, is_private, text }: &FileText| {
            format!("{{\"name\":{},\"private\":{is_private},\"text\":{}}}", quoted(name), quoted(text))
        };
        files.iter().map(file).collect::<Vec<_>>().join(",")
    };
    // The verb first: it tells the engine that the line may be long.
    let mut line = "{\"verb\":\"reload\"".to_owned();
    if let Some(Administrators { main, drop_ins, keys, leap_list, drops_names }) = configuration {
        let FileText { name: _, is_private, text } = main;
        line +=
            &format!(",\"private\":{is_private},\"file\":{},\"drop_ins\":[{}]", quoted(text), list(drop_ins));
        if let Some(keys) = keys {
            line += &format!(",\"keys\":{}", list(core::slice::from_ref(keys)));
        }
        if drops_names {
            line += ",\"drops_names\":true";
        }
        if let Some(leaps) = leap_list {
            line += &format!(",\"leap_list\":{}", list(core::slice::from_ref(leaps)));
        }
    }
    if let Some(programs) = programs {
        line += &format!(",\"programs\":[{}]", list(programs));
    }
    request(path, line + "}\n", DEADLINE)
}

/// Has one more source asked, whose `[[source]]` this is.
///
/// # Errors
/// As [`ask`].
pub fn add(path: &Path, source: &str) -> Result<Value, AskError> {
    with(path, "add", "source", source)
}

/// Has the source of this name asked no longer.
///
/// # Errors
/// As [`ask`].
pub fn remove(path: &Path, name: &str) -> Result<Value, AskError> {
    with(path, "remove", "source", name)
}

/// Has the source of this name polled now (`burst`), no longer (`offline`), or again (`online`).
///
/// # Errors
/// As [`ask`].
pub fn change(path: &Path, verb: &str, name: &str) -> Result<Value, AskError> {
    with(path, verb, "source", name)
}

/// Has lines of this severity and worse logged from now on.
///
/// # Errors
/// As [`ask`].
pub fn log(path: &Path, level: &str) -> Result<Value, AskError> {
    with(path, "log", "level", level)
}

/// Clients of the server, the first `limit` of this order (`requests`, `dropped`, `interval` or `last`).
///
/// # Errors
/// As [`ask`].
pub fn clients(path: &Path, sort: &str, limit: u16) -> Result<Value, AskError> {
    request(path, format!("{{\"verb\":\"clients\",\"sort\":\"{sort}\",\"limit\":{limit}}}\n"), DEADLINE)
}

/// Whether the server answers this address.
///
/// # Errors
/// As [`ask`].
pub fn access(path: &Path, address: IpAddr) -> Result<Value, AskError> {
    with(path, "access", "address", &address.to_string())
}

/// Sends a request with one member beside its verb.
fn with(path: &Path, verb: &str, member: &str, value: &str) -> Result<Value, AskError> {
    request(path, format!("{{\"verb\":\"{verb}\",\"{member}\":{}}}\n", Value::from(value)), DEADLINE)
}

/// The course of the clock over the last `span`: hour, day or week.
///
/// # Errors
/// As [`ask`].
pub fn history(path: &Path, span: &str) -> Result<Value, AskError> {
    with(path, "history", "span", span)
}

/// An answer as a document of `report::read`. Missing and additional members are no error: the daemon may be of
/// another version.
///
/// # Errors
/// [`AskError::NotUnderstood`]: the answer has another form.
pub fn read<T: DeserializeOwned>(answer: &Value) -> Result<T, AskError> {
    T::deserialize(answer).map_err(|_| AskError::NotUnderstood)
}

/// The same in the calling thread, for programs that go on running: no thread is left behind by a question that nobody
/// answers. A daemon whose queue of connections is full is too slow at once.
///
/// # Errors
/// As [`ask`].
pub fn ask_here(path: &Path, verb: &str, deadline: Duration) -> Result<Value, AskError> {
    understand(&exchange(connect_at_once(path, deadline)?, &question(verb), deadline)?)
}

/// The measurements of all sources with a higher number than `after`, asked for in the same way.
///
/// # Errors
/// As [`ask`].
pub fn measured_here(path: &Path, after: u64, deadline: Duration) -> Result<Value, AskError> {
    let question = format!("{{\"verb\":\"measured\",\"after\":{after}}}\n");
    understand(&exchange(connect_at_once(path, deadline)?, &question, deadline)?)
}

/// Connects, and does not wait for room in the queue of the socket.
fn connect_at_once(path: &Path, deadline: Duration) -> Result<UnixStream, AskError> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None).map_err(broken_by)?;
    let place = UnixAddr::new(path).map_err(broken_by)?;
    match connect(socket.as_raw_fd(), &place) {
        Ok(()) => {}
        Err(Errno::EAGAIN) => return Err(AskError::TooSlow(deadline)),
        Err(errno) => return Err(unconnected(path, errno.into())),
    }
    let stream = UnixStream::from(socket);
    stream.set_nonblocking(false).map_err(AskError::Broken)?;
    Ok(stream)
}

fn broken_by(errno: Errno) -> AskError {
    AskError::Broken(errno.into())
}

fn unconnected(path: &Path, error: std::io::Error) -> AskError {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused | ErrorKind::NotADirectory => {
            AskError::NotRunning(path.to_owned())
        }
        ErrorKind::PermissionDenied => AskError::Forbidden(path.to_owned()),
        _ => AskError::Broken(error),
    }
}

fn question(verb: &str) -> String {
    format!("{{\"verb\":\"{verb}\"}}\n")
}

fn request(path: &Path, request: String, deadline: Duration) -> Result<Value, AskError> {
    let (send, receive) = mpsc::channel();
    let place = path.to_owned();
    // A thread, because connect() to a full queue waits without a limit; it ends with this program.
    thread::spawn(move || {
        let stream = UnixStream::connect(&place).map_err(|error| unconnected(&place, error));
        let _ = send.send(stream.and_then(|stream| exchange(stream, &request, deadline)));
    });
    let line = receive.recv_timeout(deadline).map_err(|_| AskError::TooSlow(deadline))??;
    understand(&line)
}

fn exchange(mut stream: UnixStream, request: &str, deadline: Duration) -> Result<Vec<u8>, AskError> {
    let begun = Instant::now();
    let mut line = Vec::new();
    let mut part = [0; 16 * 1024];
    stream.set_write_timeout(Some(deadline)).map_err(AskError::Broken)?;
    stream.write_all(request.as_bytes()).map_err(|error| broken(error, deadline))?;
    loop {
        // Anew each time: an answer that drips is late too.
        let left = deadline.checked_sub(begun.elapsed()).filter(|left| !left.is_zero());
        let left = left.ok_or(AskError::TooSlow(deadline))?;
        stream.set_read_timeout(Some(left)).map_err(AskError::Broken)?;
        let count = match stream.read(&mut part) {
            Ok(0) => return Err(AskError::NotUnderstood),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(broken(error, deadline)),
        };
        line.extend(part.iter().take(count));
        if let Some(end) = line.iter().position(|octet| *octet == b'\n') {
            line.truncate(end);
            return Ok(line);
        }
        if line.len() > MAX_REPLY {
            return Err(AskError::TooLong);
        }
    }
}

fn broken(error: std::io::Error, deadline: Duration) -> AskError {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => AskError::TooSlow(deadline),
        _ => AskError::Broken(error),
    }
}

fn understand(line: &[u8]) -> Result<Value, AskError> {
    let reply: Value = serde_json::from_slice(line).map_err(|_| AskError::NotUnderstood)?;
    match reply.get("error").map(|error| error.as_str().unwrap_or("without a reason")) {
        Some(why) => Err(AskError::Refused(why.to_owned())),
        None if reply.is_object() => Ok(reply),
        None => Err(AskError::NotUnderstood),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    /// A daemon that answers one connection with this function.
    fn daemon(name: &str, answer: impl FnOnce(UnixStream) + Send + 'static) -> PathBuf {
        let path = std::env::temp_dir().join(format!("chimerctl-{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        let socket = path.clone();
        thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let _ = std::fs::remove_file(socket);
            answer(stream);
        });
        path
    }

    fn says(name: &str, reply: &'static [u8]) -> Result<Value, AskError> {
        let path = daemon(name, move |mut stream| {
            let mut request = [0; 64];
            let length = stream.read(&mut request).unwrap();
            assert_eq!(&request[..length], b"{\"verb\":\"status\"}\n");
            let _ = stream.write_all(reply);
        });
        ask(&path, "status")
    }

    #[test]
    fn a_reply_is_one_line_with_an_object() {
        assert_eq!(says("good", b"{\"a\":1}\n").unwrap()["a"], 1);
        let cut = says("cut", b"{\"a\":1}").unwrap_err();
        assert!(matches!(cut, AskError::NotUnderstood) && cut.exit_code() == 2);
        assert!(matches!(says("list", b"[1]\n"), Err(AskError::NotUnderstood)));
        assert!(matches!(says("text", b"hello\n"), Err(AskError::NotUnderstood)));
        assert!(matches!(says("none", b""), Err(AskError::NotUnderstood)));
        let refused = says("error", b"{\"error\":\"not for you\"}\n").unwrap_err();
        assert_eq!(
            (refused.to_string().as_str(), refused.exit_code()),
            ("the daemon refused: not for you", 1)
        );
    }

    #[test]
    fn no_daemon_is_said_with_the_remedy_and_code_two() {
        let error = ask(Path::new("/nonexistent/control.sock"), "status").unwrap_err();
        assert!(error.to_string().contains("systemctl start truechimer"));
        assert_eq!(error.exit_code(), 2);
    }

    #[test]
    fn a141_an_answer_that_never_ends_is_cut_off() {
        let path = daemon("endless", |mut stream| while stream.write_all(&[b'x'; 4096]).is_ok() {});
        assert!(matches!(ask(&path, "status"), Err(AskError::TooLong)));
    }

    #[test]
    fn a141_an_answer_that_never_comes_is_given_up_at_the_deadline() {
        // It closes the connection only after chimerctl has.
        let path =
            daemon("silent", |mut stream| while stream.read(&mut [0; 100]).is_ok_and(|length| length > 0) {});
        let start = Instant::now();
        let error = ask_within(&path, "status", Duration::from_secs(2)).unwrap_err();
        assert!(matches!(error, AskError::TooSlow(_)), "{error}");
        assert!(error.to_string().starts_with("the daemon does not answer within 2 s: "), "{error}");
        assert!(start.elapsed() >= Duration::from_secs(2));
    }

    #[test]
    fn a141_an_answer_that_drips_is_given_up_at_the_deadline() {
        let path = daemon("drip", |mut stream| {
            // Each wait is far below the deadline, and there is no end.
            while stream.write_all(b" ").is_ok() {
                thread::sleep(Duration::from_millis(50));
            }
        });
        let start = Instant::now();
        assert!(matches!(ask_within(&path, "status", Duration::from_secs(2)), Err(AskError::TooSlow(_))));
        assert!(start.elapsed() >= Duration::from_secs(2));
    }

    #[test]
    fn a141_who_asks_in_its_own_thread_has_the_same_deadline() {
        let drips = |mut stream: UnixStream| {
            while stream.write_all(b" ").is_ok() {
                thread::sleep(Duration::from_millis(50));
            }
        };
        let silent =
            |mut stream: UnixStream| while stream.read(&mut [0; 100]).is_ok_and(|length| length > 0) {};
        for path in [daemon("drip-here", drips), daemon("silent-here", silent)] {
            let start = Instant::now();
            let error = ask_here(&path, "status", Duration::from_secs(1)).unwrap_err();
            assert!(matches!(error, AskError::TooSlow(_)), "{error}");
            let took = start.elapsed();
            assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(20), "{took:?}");
        }
    }

    #[test]
    fn a141_deeply_nested_json_is_refused() {
        let deep = "[".repeat(200_000);
        assert!(matches!(understand(deep.as_bytes()), Err(AskError::NotUnderstood)));
    }
}
