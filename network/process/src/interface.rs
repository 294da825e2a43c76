//! The index of a network interface, from its name. musl's own function asks only over a socket of another family, which
//! the filter refuses; glibc's goes on to one of IPv4.
#![allow(unsafe_code)]

use nix::libc::{IFNAMSIZ, SIOCGIFINDEX, c_char, ifreq, ioctl};
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
    // SAFETY: the descriptor is open, and the kernel reads and writes no more than the structure, which lives.
    if unsafe { ioctl(asked.as_fd().as_raw_fd(), SIOCGIFINDEX, &raw mut request) } != 0 {
        return None;
    }
    // SAFETY: the call has succeeded, so the kernel has filled this field.
    let index = unsafe { request.ifr_ifru.ifru_ifindex };
    u32::try_from(index).ok().filter(|index| *index > 0)
}
