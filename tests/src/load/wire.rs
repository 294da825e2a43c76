//! Sends and receives many datagrams with one system call.

use libc::{c_int, c_void, iovec, mmsghdr, sockaddr_in};
use std::io::Error;
use std::mem::{size_of, zeroed};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Datagrams per call.
pub const BATCH: usize = 64;
/// Octets of the longest request, and of the longest reply.
pub const ROOM: usize = 512;
const CONTROL: usize = 128;

#[repr(C, align(64))]
struct Buffers {
    requests: [[u8; ROOM]; BATCH],
    lengths: [usize; BATCH],
    replies: [[u8; ROOM]; BATCH],
    said: [[u64; CONTROL / 8]; BATCH],
    told: [[u64; 4]; BATCH],
    segment: [u64; 3],
    out_parts: [iovec; BATCH],
    in_parts: [iovec; BATCH],
    outgoing: [mmsghdr; BATCH],
    incoming: [mmsghdr; BATCH],
    server: sockaddr_in,
}

/// One socket.
pub struct Wire {
    socket: OwnedFd,
    buffers: Box<Buffers>,
    is_connected: bool,
}

/// CLOCK_REALTIME, nanoseconds since 1970.
pub fn now() -> i64 {
    // SAFETY: all zero octets are a timespec.
    let mut time: libc::timespec = unsafe { zeroed() };
    // SAFETY: the pointer is to a live timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &raw mut time) };
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// Pins this thread to a core.
///
/// # Panics
/// If there is no such core.
pub fn pin(cpu: usize) {
    // SAFETY: all zero octets are a set.
    let mut set: libc::cpu_set_t = unsafe { zeroed() };
    // SAFETY: the set is live; CPU_SET checks its bounds.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: the set is live, and its size is given.
    let result = unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) };
    assert_eq!(result, 0, "core {cpu}: {}", Error::last_os_error());
}

fn check(result: c_int, what: &str) -> c_int {
    assert!(result >= 0, "{what}: {}", Error::last_os_error());
    result
}

fn set(fd: c_int, level: c_int, option: c_int, value: c_int) -> c_int {
    // SAFETY: the value is a live int of the size given.
    unsafe { libc::setsockopt(fd, level, option, (&raw const value).cast(), size_of::<c_int>() as u32) }
}

impl Wire {
    /// A socket for queries to this server; with `open` from any address of this host, else from the kernel's choice
    /// or from `address`.
    ///
    /// # Panics
    /// If no socket is available.
    pub fn open(server: SocketAddrV4, open: bool, address: Option<Ipv4Addr>) -> Self {
        // SAFETY: makes a descriptor.
        let fd = unsafe {
            libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, 0)
        };
        check(fd, "a socket");
        // SAFETY: just created, and owned by no other value.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: all zero octets are valid buffers; the pointers in them are set before they are used.
        let mut buffers: Box<Buffers> = unsafe { Box::new(zeroed()) };
        let name = |address: SocketAddrV4| sockaddr_in {
            sin_family: libc::AF_INET as u16,
            sin_port: address.port().to_be(),
            sin_addr: libc::in_addr { s_addr: u32::from(*address.ip()).to_be() },
            sin_zero: [0; 8],
        };
        buffers.server = name(server);
        if let Some(address) = address {
            let bound = name(SocketAddrV4::new(address, 0));
            // SAFETY: a live name of the size given.
            let result =
                unsafe { libc::bind(fd, (&raw const bound).cast(), size_of::<sockaddr_in>() as u32) };
            check(result, "bind");
        }
        let is_connected = !open || address.is_some();
        if is_connected {
            // SAFETY: as above.
            let result = unsafe {
                libc::connect(fd, (&raw const buffers.server).cast(), size_of::<sockaddr_in>() as u32)
            };
            check(result, "connect");
        } else {
            check(set(fd, libc::IPPROTO_IP, libc::IP_PKTINFO, 1), "IP_PKTINFO");
        }
        if set(fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, 4 << 20) < 0 {
            set(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, 4 << 20);
        }
        let stamps = libc::SOF_TIMESTAMPING_SOFTWARE | libc::SOF_TIMESTAMPING_RX_SOFTWARE;
        check(set(fd, libc::SOL_SOCKET, libc::SO_TIMESTAMPING, stamps as c_int), "SO_TIMESTAMPING");
        Self { socket, buffers, is_connected }
    }

    /// Puts a request into a place of the next call, with this source address.
    ///
    /// # Panics
    /// If it has more than [`ROOM`] octets.
    pub fn put(&mut self, at: usize, request: &[u8], from: Option<Ipv4Addr>) {
        self.buffers.requests[at][..request.len()].copy_from_slice(request);
        self.buffers.lengths[at] = request.len();
        let head = (16 + 12) as u64;
        self.buffers.told[at] = match from {
            None => [0; 4],
            Some(from) => {
                let kind = u64::from(libc::IPPROTO_IP as u32) | (libc::IP_PKTINFO as u64) << 32;
                // Interface 0, the source, no header address.
                [head, kind, u64::from(u32::from(from).to_be()) << 32, 0]
            }
        };
    }

    /// Sends the requests in the first places; returns how many the kernel accepted. As segments, all have the length
    /// of the first.
    pub fn send(&mut self, count: usize, as_segments: bool) -> usize {
        let buffers = &raw mut *self.buffers;
        let fd = self.socket.as_raw_fd();
        // SAFETY: all pointers stored are into the live buffers, with their own lengths, and are used by the
        // call before anything moves; the box does not move its content.
        unsafe {
            for at in 0..count {
                let iov_len = (*buffers).lengths[at];
                (*buffers).out_parts[at] =
                    iovec { iov_base: (&raw mut (*buffers).requests[at]).cast::<c_void>(), iov_len };
            }
            if as_segments && count > 1 {
                // Length of the segments: one cmsg of SOL_UDP, UDP_SEGMENT.
                (*buffers).segment = [
                    18,
                    libc::SOL_UDP as u64 | (libc::UDP_SEGMENT as u64) << 32,
                    (*buffers).lengths[0] as u64,
                ];
                let header = &raw mut (*buffers).outgoing[0].msg_hdr;
                *header = zeroed();
                (*header).msg_iov = (&raw mut (*buffers).out_parts).cast();
                (*header).msg_iovlen = count as _;
                (*header).msg_control = (&raw mut (*buffers).segment).cast();
                (*header).msg_controllen = 24;
                let sent = libc::sendmsg(fd, header, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL);
                return if sent < 0 { 0 } else { count };
            }
            for at in 0..count {
                let header = &raw mut (*buffers).outgoing[at].msg_hdr;
                *header = zeroed();
                if !self.is_connected {
                    (*header).msg_name = (&raw mut (*buffers).server).cast();
                    (*header).msg_namelen = size_of::<sockaddr_in>() as u32;
                }
                (*header).msg_iov = &raw mut (*buffers).out_parts[at];
                (*header).msg_iovlen = 1;
                if (*buffers).told[at][0] != 0 {
                    (*header).msg_control = (&raw mut (*buffers).told[at]).cast();
                    (*header).msg_controllen = 32;
                }
            }
            let headers = (&raw mut (*buffers).outgoing).cast();
            let sent =
                libc::sendmmsg(fd, headers, count as u32, (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as _);
            usize::try_from(sent).unwrap_or(0)
        }
    }

    /// Receives what has arrived; returns the number of datagrams.
    pub fn receive(&mut self) -> usize {
        let buffers = &raw mut *self.buffers;
        // SAFETY: as in `send`.
        unsafe {
            for at in 0..BATCH {
                (*buffers).in_parts[at] =
                    iovec { iov_base: (&raw mut (*buffers).replies[at]).cast::<c_void>(), iov_len: ROOM };
                let header = &raw mut (*buffers).incoming[at].msg_hdr;
                (*header).msg_iov = &raw mut (*buffers).in_parts[at];
                (*header).msg_iovlen = 1;
                (*header).msg_control = (&raw mut (*buffers).said[at]).cast();
                (*header).msg_controllen = CONTROL as _;
            }
            let headers = (&raw mut (*buffers).incoming).cast();
            let flags = libc::MSG_DONTWAIT as _;
            let count =
                libc::recvmmsg(self.socket.as_raw_fd(), headers, BATCH as u32, flags, std::ptr::null_mut());
            usize::try_from(count).unwrap_or(0)
        }
    }

    /// One of them: its octets, the kernel's timestamp, and its destination address.
    pub fn reply(&self, at: usize) -> (&[u8], Option<i64>, Option<Ipv4Addr>) {
        let header = &self.buffers.incoming[at];
        let octets = &self.buffers.replies[at][..(header.msg_len as usize).min(ROOM)];
        let (mut stamp, mut to) = (None, None);
        let words = &self.buffers.said[at][..CONTROL.min(header.msg_hdr.msg_controllen as _) / 8];
        let mut place = 0;
        while let [length, kind, ..] = words.get(place..).unwrap_or_default() {
            let data = &words[place + 2..];
            match (*kind as u32 as c_int, (*kind >> 32) as c_int) {
                (libc::SOL_SOCKET, libc::SCM_TIMESTAMPING) if data.len() >= 2 && data[0] != 0 => {
                    stamp = Some(data[0] as i64 * 1_000_000_000 + data[1] as i64);
                }
                (libc::IPPROTO_IP, libc::IP_PKTINFO) if data.len() >= 2 => {
                    to = Some(Ipv4Addr::from(u32::from_be((data[0] >> 32) as u32)));
                }
                _ => {}
            }
            place += (*length as usize).max(16).div_ceil(8);
        }
        (octets, stamp, to)
    }
}

/// Waits for any of several sockets.
pub struct Watch(OwnedFd);

impl Watch {
    /// Of these, numbered in their order.
    ///
    /// # Panics
    /// If the kernel has no descriptors left.
    pub fn new<'w>(wires: impl Iterator<Item = &'w Wire>) -> Self {
        // SAFETY: makes a descriptor.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) }, "epoll");
        // SAFETY: just made.
        let watch = Self(unsafe { OwnedFd::from_raw_fd(fd) });
        for (number, wire) in wires.enumerate() {
            let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: number as u64 };
            // SAFETY: both descriptors are open, the event is live.
            let result =
                unsafe { libc::epoll_ctl(fd, libc::EPOLL_CTL_ADD, wire.socket.as_raw_fd(), &raw mut event) };
            check(result, "epoll_ctl");
        }
        watch
    }

    /// Writes the numbers of the readable sockets to `ready`, after at most this many milliseconds.
    pub fn ready(&self, ready: &mut Vec<usize>, milliseconds: c_int) {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 256];
        // SAFETY: the events are live, and as many as said.
        let count = unsafe {
            libc::epoll_wait(self.0.as_raw_fd(), events.as_mut_ptr(), events.len() as c_int, milliseconds)
        };
        ready.clear();
        ready.extend(events.iter().take(usize::try_from(count).unwrap_or(0)).map(|event| event.u64 as usize));
    }
}
