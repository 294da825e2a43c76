//! Answers requests: as many threads as places, and a deadline for each connection.

use crate::listener::{Listener, Stream};
use crate::places::{PLACES, Places};
use crate::question::{Daemon, PATIENCE};
use crate::request::{MAX_REQUEST, Request, Status, answer, end_of_headers, parse};
use std::io::{self, ErrorKind, Read, Write};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a client may take to send its request.
const ASKING: Duration = Duration::from_secs(2);

/// How long a connection may live: until its request is there, the daemon has answered, and the page is read.
const LIFETIME: Duration = Duration::from_secs(ASKING.as_secs() + PATIENCE.as_secs() + 5);

/// How long nothing is accepted after the kernel had no descriptor or no memory for a connection.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers requests until the listening socket is of no more use.
pub fn serve(listener: &Listener, daemon: &Arc<Daemon>) -> io::Error {
    let places = Arc::new(Places::default());
    let (give, take) = mpsc::channel();
    let take = Arc::new(Mutex::new(take));
    for _ in 0..PLACES {
        let (daemon, places, take) = (Arc::clone(daemon), Arc::clone(&places), Arc::clone(&take));
        let work = move || attend_all(&daemon, &places, &take);
        if let Err(error) = thread::Builder::new().name("connection".to_owned()).spawn(work) {
            return error;
        }
    }
    for number in 0_u64.. {
        let stream = match listener.accept() {
            Ok(stream) => stream,
            // It does not listen.
            Err(error) if error.kind() == ErrorKind::InvalidInput => return error,
            Err(error) => {
                if !matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) {
                    thread::sleep(PAUSE);
                }
                continue;
            }
        };
        let Ok(known) = stream.try_clone() else { continue };
        // As many connections as threads: one of them is free, or about to be.
        if places.take(number, known) && give.send((number, stream)).is_err() {
            break;
        }
    }
    io::Error::other("no thread is left that answers")
}

/// What each of the threads does for ever.
fn attend_all(daemon: &Arc<Daemon>, places: &Places, take: &Mutex<Receiver<(u64, Stream)>>) {
    loop {
        let next = take.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((number, stream)) = next else { return };
        // How a connection ended is of no interest: its client knows.
        let _ = attend(stream, daemon, || places.has_asked(number));
        places.leave(number);
    }
}

fn attend(mut stream: Stream, daemon: &Arc<Daemon>, has_asked: impl FnOnce()) -> io::Result<()> {
    let begun = Instant::now();
    let request = read_request(&mut stream, begun)?;
    has_asked();
    let text = answer(request, |format| daemon.page().write(format));
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        stream.set_timeout(left(begun, LIFETIME)?)?;
        match stream.write(rest) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    stream.end();
    Ok(())
}

/// A request, or how it is refused.
fn read_request(stream: &mut Stream, begun: Instant) -> io::Result<Result<Request, Status>> {
    let mut octets = Vec::new();
    let mut part = [0; 1024];
    loop {
        if let Some(end) = end_of_headers(&octets) {
            return Ok(parse(octets.get(..end).unwrap_or_default()));
        }
        if octets.len() > MAX_REQUEST {
            return Ok(Err(Status::TooLong));
        }
        stream.set_timeout(left(begun, ASKING)?)?;
        match stream.read(&mut part) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => octets.extend(part.iter().take(count)),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// What is left of this time; never nothing.
fn left(begun: Instant, whole: Duration) -> io::Result<Duration> {
    let left = whole.checked_sub(begun.elapsed()).filter(|left| !left.is_zero());
    left.ok_or_else(|| ErrorKind::TimedOut.into())
}
