//! The index of a network interface: from its name, and of the one over which a connection has come. For the first musl's
//! own function asks only over a socket of another family, which the filter refuses, and glibc's goes on to one of IPv4; for
//! the second no library has one.
#![allow(unsafe_code)]

use nix::libc::{
    IFNAMSIZ, IP_PKTINFO, IP_PKTOPTIONS, IPPROTO_IP, IPPROTO_IPV6, IPV6_2292PKTOPTIONS, IPV6_PKTINFO,
    SIOCGIFINDEX, c_char, getsockopt, ifreq, ioctl, socklen_t,
};
use std::os::fd::{AsFd, AsRawFd};

/// The index of the interface that has this name now, in the network of the socket `asked`.
pub fn index(asked: &impl AsFd, name: &str) -> Option<u32> {
    // The last octet stays zero.
    if name.len() >= IFNAMSIZ {
        return None;
    }
    // SAFETY: the structure consists of numbers, for which all zeros are lawful.
    let mut request: ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name.iter_mut().zip(name.bytes()).for_each(|(place, octet)| *place = octet as c_char);
    // The C libraries differ in the type of the number.
    // SAFETY: the descriptor is open, and the kernel reads and writes no more than the structure, which lives.
    if unsafe { ioctl(asked.as_fd().as_raw_fd(), SIOCGIFINDEX as _, &raw mut request) } != 0 {
        return None;
    }
    // SAFETY: the call has succeeded, so the kernel has filled this field.
    let index = unsafe { request.ifr_ifru.ifru_ifindex };
    u32::try_from(index).ok().filter(|index| *index > 0)
}

/// Octets of a control message before its data: length, level, kind.
const WORD: usize = size_of::<usize>();
const HEAD: usize = WORD + 8;

/// The index of the interface over which the handshake of this TCP connection came. `None` if the kernel does not say so: its
/// listening socket must have had IP_PKTINFO or IPV6_RECVPKTINFO before.
pub fn of_connection(connection: &impl AsFd, is_ipv6: bool) -> Option<u32> {
    let (level, option, kind) = match is_ipv6 {
        false => (IPPROTO_IP, IP_PKTOPTIONS, IP_PKTINFO),
        true => (IPPROTO_IPV6, IPV6_2292PKTOPTIONS, IPV6_PKTINFO),
    };
    let mut room = [0_u8; 128];
    let mut length: socklen_t = size_of_val(&room) as socklen_t;
    let fd = connection.as_fd().as_raw_fd();
    // SAFETY: the descriptor is open, and the kernel writes at most `length` octets into the room, which lives, and into `length`.
    if unsafe { getsockopt(fd, level, option, room.as_mut_ptr().cast(), &raw mut length) } != 0 {
        return None;
    }
    let said = room.get(..usize::try_from(length).ok()?)?;
    let number = |at: usize| said.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes);
    if (number(WORD)?, number(WORD + 4)?) != (level as u32, kind as u32) {
        return None;
    }
    // The index is before the addresses in the one family, and behind the address in the other.
    number(if is_ipv6 { HEAD + 16 } else { HEAD }).filter(|index| *index > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{setsockopt, sockopt};
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_connection_has_come_over_the_interface_of_its_handshake() {
        let loopback = TcpListener::bind("127.0.0.1:0").map(|it| index(&it, "lo")).unwrap();
        assert!(loopback.is_some());
        for (any, here) in [("0.0.0.0:0", "127.0.0.1"), ("[::]:0", "::1")] {
            let Ok(listener) = TcpListener::bind(any) else { continue };
            let address = listener.local_addr().unwrap();
            let over = |listener: &TcpListener| {
                let near = TcpStream::connect((here, address.port())).ok()?;
                let (stream, _) = listener.accept().unwrap();
                drop(near);
                Some(of_connection(&stream, address.is_ipv6()))
            };
            let Some(unasked) = over(&listener) else { continue };
            assert_eq!(unasked, None, "{any}: without the option of the listening socket");
            match address.is_ipv6() {
                false => setsockopt(&listener, sockopt::Ipv4PacketInfo, &true),
                true => setsockopt(&listener, sockopt::Ipv6RecvPacketInfo, &true),
            }
            .unwrap();
            assert_eq!(over(&listener), Some(loopback), "{any}");
        }
    }
}
