//! A connection over TCP.

use super::attempt;

/// Tries one to this port of the loopback interface; `is_fast`: by sending the first octet (TCP Fast Open).
pub fn connect(port: u16, is_fast: bool) {
    // SAFETY: no memory is read.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0) } as usize;
    let there = libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes([127, 0, 0, 1]) },
        sin_zero: [0; 8],
    };
    let place = (&raw const there) as usize;
    let size = size_of_val(&there);
    if is_fast {
        let flags = libc::MSG_FASTOPEN as usize;
        attempt((libc::SYS_sendto, [socket, c"x".as_ptr() as usize, 1, flags, place, size]));
    } else {
        attempt((libc::SYS_connect, [socket, place, size, 0, 0, 0]));
    }
}
