//! Control messages (cmsg(3)) of received datagrams and of replies, without pointers.

use nix::libc;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const WORD: usize = size_of::<usize>();
/// Length, level, type.
const HEAD: usize = WORD + 8;

/// The control messages of a received datagram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ControlMessages {
    /// The kernel's timestamp, nanoseconds of CLOCK_REALTIME.
    pub stamp: Option<i64>,
    /// The destination.
    pub target: Option<Target>,
}

/// The destination of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// The local address from which a reply must be sent.
    pub local: IpAddr,
    /// The interface index.
    pub interface: u32,
    /// Whether a reply must leave by that interface; otherwise the routing table chooses, but for link-local addresses.
    pub is_held: bool,
    /// Whether it was sent by unicast, not by multicast or broadcast.
    pub is_unicast: bool,
}

impl ControlMessages {
    /// Reads the control messages of one datagram; unknown ones are skipped.
    pub(super) fn read(mut octets: &[u8]) -> Self {
        let mut messages = Self::default();
        while let Some((length, level, kind)) = head(octets) {
            let Some(data) = octets.get(HEAD..length) else { break };
            match (level, kind) {
                (libc::SOL_SOCKET, libc::SCM_TIMESTAMPING) => messages.stamp = stamp(data),
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => messages.target = target_v4(data),
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => messages.target = target_v6(data),
                _ => {}
            }
            octets = octets.get(align(length)..).unwrap_or_default();
        }
        messages
    }
}

fn head(octets: &[u8]) -> Option<(usize, i32, i32)> {
    let length = usize::from_ne_bytes(*octets.first_chunk()?);
    let level = i32::from_ne_bytes(*octets.get(WORD..)?.first_chunk()?);
    let kind = i32::from_ne_bytes(*octets.get(WORD + 4..)?.first_chunk()?);
    (length >= HEAD).then_some((length, level, kind))
}

const fn align(length: usize) -> usize {
    length.saturating_add(WORD - 1) & !(WORD - 1)
}

/// The first of three timestamps, the software one; zero if there is none.
fn stamp(data: &[u8]) -> Option<i64> {
    let seconds = i64::from_ne_bytes(*data.first_chunk()?);
    let nanos = i64::from_ne_bytes(*data.get(8..)?.first_chunk()?);
    let stamp = seconds.saturating_mul(1_000_000_000).saturating_add(nanos);
    (stamp != 0).then_some(stamp)
}

fn target_v4(data: &[u8]) -> Option<Target> {
    let interface = u32::from_ne_bytes(*data.first_chunk()?);
    let local: [u8; 4] = *data.get(4..)?.first_chunk()?;
    let asked: [u8; 4] = *data.get(8..)?.first_chunk()?;
    Some(Target {
        local: Ipv4Addr::from(local).into(),
        interface,
        is_held: false,
        is_unicast: local == asked,
    })
}

fn target_v6(data: &[u8]) -> Option<Target> {
    let local = Ipv6Addr::from(*data.first_chunk::<16>()?);
    let interface = u32::from_ne_bytes(*data.get(16..)?.first_chunk()?);
    Some(Target {
        local: local.into(),
        interface,
        is_held: false,
        is_unicast: !local.to_canonical().is_multicast(),
    })
}

/// Writes the control messages of a reply.
pub(super) struct Writer<'a> {
    room: &'a mut [u8],
    length: usize,
}

impl<'a> Writer<'a> {
    pub(super) fn new(room: &'a mut [u8]) -> Self {
        Self { room, length: 0 }
    }

    /// The reply is sent from the address that was queried.
    pub(super) fn from(self, target: &Target) -> Self {
        match target.local {
            IpAddr::V4(local) => {
                let mut data = [0; 12];
                if target.is_held {
                    data[..4].copy_from_slice(&target.interface.to_ne_bytes());
                }
                data[4..8].copy_from_slice(&local.octets());
                self.put(libc::IPPROTO_IP, libc::IP_PKTINFO, &data)
            }
            IpAddr::V6(local) => {
                let mut data = [0; 20];
                data[..16].copy_from_slice(&local.octets());
                if target.is_held || local.is_unicast_link_local() {
                    data[16..].copy_from_slice(&target.interface.to_ne_bytes());
                }
                self.put(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &data)
            }
        }
    }

    /// The payload is a sequence of datagrams of this length (UDP_SEGMENT).
    pub(super) fn segments(self, length: u16) -> Self {
        self.put(libc::SOL_UDP, libc::UDP_SEGMENT, &length.to_ne_bytes())
    }

    /// The kernel timestamps this reply when it is sent.
    pub(super) fn stamped(self) -> Self {
        let flags = libc::SOF_TIMESTAMPING_TX_SOFTWARE;
        self.put(libc::SOL_SOCKET, libc::SO_TIMESTAMPING, &flags.to_ne_bytes())
    }

    /// Octets written.
    pub(super) fn length(self) -> usize {
        self.length
    }

    fn put(mut self, level: i32, kind: i32, data: &[u8]) -> Self {
        let length = HEAD + data.len();
        let end = self.length + align(length);
        if let Some(place) = self.room.get_mut(self.length..end) {
            place.fill(0);
            place[..WORD].copy_from_slice(&length.to_ne_bytes());
            place[WORD..WORD + 4].copy_from_slice(&level.to_ne_bytes());
            place[WORD + 4..HEAD].copy_from_slice(&kind.to_ne_bytes());
            place[HEAD..length].copy_from_slice(data);
            self.length = end;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for local in ["192.0.2.7", "2001:db8::7"] {
            let target =
                Target { local: local.parse().unwrap(), interface: 3, is_held: false, is_unicast: true };
            let mut room = [0xff; super::super::mmsg::CONTROL_OUT];
            let length = Writer::new(&mut room).from(&target).segments(48).stamped().length();
            assert!(length <= room.len(), "{length}");
            let read = ControlMessages::read(&room[..length]).target.unwrap();
            assert_eq!(read.local, target.local);
        }
    }

    #[test]
    fn no_octets_of_the_kernel_lead_astray() {
        let mut numbers = 1u64;
        for _ in 0..100_000 {
            let mut octets = [0u8; 64];
            for place in octets.chunks_exact_mut(8) {
                numbers = numbers.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                place.copy_from_slice(&(numbers >> 40).to_le_bytes());
            }
            ControlMessages::read(&octets);
        }
        let mut long = [0xff; 32];
        ControlMessages::read(&long);
        long[..WORD].copy_from_slice(&(HEAD - 1).to_ne_bytes());
        assert_eq!(ControlMessages::read(&long), ControlMessages::default());
    }
}
