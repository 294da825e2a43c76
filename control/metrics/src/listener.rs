//! The socket at which requests arrive, and its connections: over TCP, or a socket in the file system.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

/// A listening socket.
#[derive(Debug)]
pub enum Listener {
    /// Over TCP.
    Tcp(TcpListener),
    /// A socket in the file system.
    Unix(UnixListener),
}

/// A connection.
#[derive(Debug)]
pub enum Stream {
    /// Over TCP.
    Tcp(TcpStream),
    /// Of a socket in the file system.
    Unix(UnixStream),
}

impl Listener {
    /// Listens at this address.
    ///
    /// # Errors
    /// The kernel's.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        TcpListener::bind(address).map(Self::Tcp)
    }

    /// Standard input, where it is a listening socket: a unit with `StandardInput=socket` gets it from its socket unit.
    ///
    /// # Errors
    /// It is no socket.
    pub fn inherited() -> io::Result<Self> {
        Self::from_descriptor(io::stdin().as_fd().try_clone_to_owned()?)
    }

    fn from_descriptor(socket: OwnedFd) -> io::Result<Self> {
        // Each knows the addresses of its own family only.
        let tcp = TcpListener::from(socket);
        // Service managers hand over sockets that do not wait.
        if tcp.local_addr().is_ok() {
            return tcp.set_nonblocking(false).map(|()| Self::Tcp(tcp));
        }
        let unix = UnixListener::from(OwnedFd::from(tcp));
        unix.local_addr().and_then(|_| unix.set_nonblocking(false)).map(|()| Self::Unix(unix))
    }

    /// The next connection.
    ///
    /// # Errors
    /// The kernel's; of one connection, or of a socket that does not listen.
    pub fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => listener.accept().map(|(stream, _)| Stream::Tcp(stream)),
            Self::Unix(listener) => listener.accept().map(|(stream, _)| Stream::Unix(stream)),
        }
    }
}

impl Stream {
    /// The same connection once more.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(stream) => stream.try_clone().map(Self::Tcp),
            Self::Unix(stream) => stream.try_clone().map(Self::Unix),
        }
    }

    /// Ends the connection for everybody who holds it.
    pub fn end(&self) {
        let _ = match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Both),
            Self::Unix(stream) => stream.shutdown(Shutdown::Both),
        };
    }

    /// From now on neither reading nor writing waits for longer; `wait` is not zero.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_timeout(&self, wait: Duration) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => {
                stream.set_read_timeout(Some(wait))?;
                stream.set_write_timeout(Some(wait))
            }
            Self::Unix(stream) => {
                stream.set_read_timeout(Some(wait))?;
                stream.set_write_timeout(Some(wait))
            }
        }
    }
}

impl Read for Stream {
    fn read(&mut self, octets: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(octets),
            Self::Unix(stream) => stream.read(octets),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(octets),
            Self::Unix(stream) => stream.write(octets),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn a_socket_of_either_family_is_taken_and_a_file_is_not() {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(matches!(Listener::from_descriptor(tcp.into()), Ok(Listener::Tcp(_))));
        let path = std::env::temp_dir().join(format!("truechimer-metrics-{}", std::process::id()));
        let unix = UnixListener::bind(&path).unwrap();
        assert!(matches!(Listener::from_descriptor(unix.into()), Ok(Listener::Unix(_))));
        std::fs::remove_file(path).unwrap();
        assert!(Listener::from_descriptor(File::open("/dev/null").unwrap().into()).is_err());
    }
}
