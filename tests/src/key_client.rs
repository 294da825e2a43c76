//! A small client of the key exchange (RFC 8915 section 4), implemented a second time: doubles and
//! benchmarks query servers with it. It checks only what it needs.

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// A server's response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// The AEAD algorithm's number.
    pub algorithm: u16,
    /// Client to server.
    pub client_to_server: Vec<u8>,
    /// Server to client.
    pub server_to_client: Vec<u8>,
    /// In the order of the response.
    pub cookies: Vec<Vec<u8>>,
    /// The NTP server that the response names.
    pub server: Option<String>,
    /// Its port.
    pub port: Option<u16>,
    /// Whether the response has record 1024.
    pub is_compliant: bool,
    /// The server's error; all other fields are empty then.
    pub error: Option<u16>,
}

/// The request for NTPv4 with these algorithms, best first; with 30, record 1024 too.
pub fn request(algorithms: &[u16]) -> Vec<u8> {
    let list: Vec<u8> = algorithms.iter().flat_map(|id| id.to_be_bytes()).collect();
    let mut request = record(0x8001, &[0, 0]);
    request.extend(record(0x8004, &list));
    if algorithms.contains(&30) {
        request.extend(record(1024, &[]));
    }
    request.extend(record(0x8000, &[]));
    request
}

/// One record; the highest bit of `kind` makes it critical.
///
/// # Panics
/// If the body is longer than a record can be.
pub fn record(kind: u16, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).expect("a body that fits");
    [&kind.to_be_bytes()[..], &length.to_be_bytes(), body].concat()
}

/// Exchanges keys with the server at `address`, which must prove that it is `name`.
///
/// # Errors
/// Those of the connection and of TLS, and `InvalidData` for an invalid response.
///
/// # Panics
/// If `name` cannot be a server's name.
pub fn exchange(
    address: SocketAddr,
    name: &str,
    config: &Arc<ClientConfig>,
    algorithms: &[u16],
) -> io::Result<Keys> {
    let tcp = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    tcp.set_read_timeout(Some(Duration::from_secs(5)))?;
    tcp.set_nodelay(true)?;
    let name = ServerName::try_from(name.to_owned()).expect("a host name or an address");
    let connection = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(connection, tcp);
    stream.write_all(&request(algorithms))?;
    let answer = read_message(&mut stream)?;
    let mut keys = parse(&answer).ok_or(io::ErrorKind::InvalidData)?;
    // With record 1024 on both sides the context has the algorithm's own number; without, 15 stands for 30.
    let named = if keys.algorithm == 30 && !keys.is_compliant { 15 } else { keys.algorithm };
    let length = match keys.algorithm {
        17 => 64,
        30 => 16,
        _ => 32,
    };
    for (direction, key) in [(0, &mut keys.client_to_server), (1, &mut keys.server_to_client)] {
        let [high, low] = named.to_be_bytes();
        *key = stream
            .conn
            .export_keying_material(
                vec![0; length],
                b"EXPORTER-network-time-security",
                Some(&[0, 0, high, low, direction]),
            )
            .map_err(io::Error::other)?;
    }
    stream.conn.send_close_notify();
    let _ = stream.flush();
    Ok(keys)
}

/// Reads records up to End of Message.
fn read_message(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut message = Vec::new();
    loop {
        let start = message.len();
        message.resize(start + 4, 0);
        stream.read_exact(&mut message[start..])?;
        let length = usize::from(u16::from_be_bytes([message[start + 2], message[start + 3]]));
        message.resize(start + 4 + length, 0);
        stream.read_exact(&mut message[start + 4..])?;
        if message[start] & 0x7f == 0 && message[start + 1] == 0 {
            return Ok(message);
        }
    }
}

/// Reads a whole message; `None` if a record's body has an impossible length.
fn parse(mut message: &[u8]) -> Option<Keys> {
    let mut keys = Keys::default();
    while let Some((head, rest)) = message.split_first_chunk::<4>() {
        let kind = u16::from_be_bytes([head[0] & 0x7f, head[1]]);
        let (body, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([head[2], head[3]])))?;
        let number = body.first_chunk().copied().map(u16::from_be_bytes);
        match kind {
            2 => keys.error = Some(number?),
            4 => keys.algorithm = number.unwrap_or(0),
            5 => keys.cookies.push(body.to_vec()),
            6 => keys.server = Some(String::from_utf8(body.to_vec()).ok()?),
            7 => keys.port = Some(number?),
            1024 => keys.is_compliant = true,
            _ => {}
        }
        message = rest;
    }
    Some(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_and_an_answer_are_those_of_the_vectors() {
        let expected = "80010002000080040004001e000f0400000080000000";
        let octets: String = request(&[30, 15]).iter().map(|octet| format!("{octet:02x}")).collect();
        assert_eq!(octets, expected);
        let answer = [
            record(0x8001, &[0, 0]),
            record(0x8004, &[0, 15]),
            record(6, b"ntp.example.net"),
            record(7, &4123u16.to_be_bytes()),
            record(5, &[0, 1, 2, 3, 4, 5, 6, 7]),
            record(0x8000, &[]),
        ]
        .concat();
        let keys = parse(&read_message(&mut &answer[..]).unwrap()).unwrap();
        assert_eq!((keys.algorithm, keys.port), (15, Some(4123)));
        assert_eq!(keys.server.as_deref(), Some("ntp.example.net"));
        assert_eq!(keys.cookies, [[0, 1, 2, 3, 4, 5, 6, 7]]);
    }
}
