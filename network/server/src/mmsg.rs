//! The unsafe calls of this role: recvmmsg(2) and sendmmsg(2).
//!
//! All memory that the kernel reads and writes is allocated once, here, and accessed through one pointer. The slices
//! handed out end before the next call.
#![allow(unsafe_code)]

use nix::errno::Errno;
use nix::libc::{self, iovec, mmsghdr};
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::os::fd::{AsFd, AsRawFd};
use std::ptr::NonNull;

/// The most datagrams per call.
pub(super) const BATCH: usize = 64;

/// The most octets read of a datagram; a longer one is marked as truncated. A valid request is never longer than the
/// smallest path MTU allows.
pub(super) const ROOM: usize = 1344;

/// Space for the control messages of a received datagram: timestamps (64), destination address (40), an error and its
/// source (64).
const CONTROL_IN: usize = 192;

/// Space for the control messages of an outgoing message: source address (40), segment size (24), timestamp request
/// (24).
pub(super) const CONTROL_OUT: usize = 96;

/// Longest socket address of IPv4 and IPv6.
const NAME: usize = 28;

/// One datagram with its control messages. Its size is an odd number of cache lines, so that the first lines of the
/// slots map to different cache sets.
#[repr(C, align(64))]
struct Slot {
    octets: [u8; ROOM],
    control: [u8; CONTROL_IN],
    name: [u32; NAME / 4],
}

/// Everything, in one allocation. All zero octets are a valid value.
#[repr(C, align(64))]
struct Memory {
    incoming: [mmsghdr; BATCH],
    outgoing: [mmsghdr; BATCH],
    filled: [iovec; BATCH],
    drained: [iovec; BATCH],
    control: [[u64; CONTROL_OUT / 8]; BATCH],
    slots: [Slot; BATCH],
}

/// What a receive call waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReceiveMode {
    /// Waits for a datagram; the socket must be blocking.
    Wait,
    /// Does not wait.
    None,
    /// Does not wait; reads the error queue.
    Errors,
}

/// One outgoing message: replies of one length to one destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OutgoingMessage {
    /// Index of its first reply in the order of sending.
    pub first: usize,
    /// The number of replies; more than one are sent as segments (UDP_SEGMENT).
    pub count: usize,
    /// Octets of each of them.
    pub length: usize,
    /// Octets of control data.
    pub control: usize,
}

/// One received datagram.
#[derive(Clone, Copy, Debug)]
pub(super) struct Datagram<'a> {
    /// Its payload, at most [`ROOM`] octets.
    pub octets: &'a [u8],
    /// Whether it was truncated.
    pub is_truncated: bool,
    /// The sender's socket address, in the kernel's format.
    pub name: &'a [u8],
    /// Control messages, in the kernel's format.
    pub control: &'a [u8],
}

/// Buffers for one batch of received datagrams and of replies.
#[derive(Debug)]
pub(super) struct Batch {
    memory: NonNull<Memory>,
    /// Headers below this index were written by the kernel and must be reset.
    used: usize,
    /// Number of datagrams of the last call.
    received: usize,
}

impl Batch {
    /// Allocates; the kernel provides pages on first use.
    pub(super) fn new() -> Self {
        let layout = Layout::new::<Memory>();
        // SAFETY: the layout is not of size zero.
        let Some(memory) = NonNull::new(unsafe { alloc_zeroed(layout) }.cast::<Memory>()) else {
            handle_alloc_error(layout)
        };
        let batch = Self { memory, used: BATCH, received: 0 };
        for at in 0..BATCH {
            // SAFETY: `memory` is valid for the life of `batch`, all zero octets are a valid value of every
            // field, and `at` is below the length of all arrays. The pointers stored are into `memory` itself,
            // derived from the same pointer, and stay valid as long as it does.
            unsafe {
                let memory = memory.as_ptr();
                let slot = &raw mut (*memory).slots[at];
                let filled = &raw mut (*memory).filled[at];
                (*filled).iov_base = (&raw mut (*slot).octets).cast();
                (*filled).iov_len = ROOM;
                let header = &raw mut (*memory).incoming[at].msg_hdr;
                (*header).msg_name = (&raw mut (*slot).name).cast();
                (*header).msg_iov = filled;
                (*header).msg_iovlen = 1;
                (*header).msg_control = (&raw mut (*slot).control).cast();
            }
        }
        batch
    }

    /// Receives up to [`BATCH`] datagrams and tells how many.
    ///
    /// # Errors
    /// The error of the failed system call; with [`ReceiveMode::None`] and [`ReceiveMode::Errors`] EAGAIN if there are
    /// none.
    pub(super) fn receive(&mut self, socket: &impl AsFd, mode: ReceiveMode) -> Result<usize, Errno> {
        self.received = 0;
        let flags = match mode {
            ReceiveMode::Wait => libc::MSG_WAITFORONE,
            ReceiveMode::None => libc::MSG_DONTWAIT,
            ReceiveMode::Errors => libc::MSG_DONTWAIT | libc::MSG_ERRQUEUE,
        };
        for at in 0..self.used {
            // SAFETY: as in `new`; no reference into `memory` lives, for all that are handed out borrow `self`.
            unsafe {
                let header = &raw mut (*self.memory.as_ptr()).incoming[at].msg_hdr;
                (*header).msg_namelen = NAME as _;
                (*header).msg_controllen = CONTROL_IN as _;
                (*header).msg_flags = 0;
            }
        }
        self.used = 0;
        // SAFETY: `incoming` holds BATCH headers; each points to a name, one iovec and a control buffer of the
        // lengths that it says, all in `memory`, which is valid and not borrowed. No timeout is given.
        let count = unsafe {
            let headers = (&raw mut (*self.memory.as_ptr()).incoming).cast::<mmsghdr>();
            libc::recvmmsg(socket.as_fd().as_raw_fd(), headers, BATCH as _, flags as _, std::ptr::null_mut())
        };
        // The kernel may have written into the header after the last one that it counts.
        let count = Errno::result(count).map(|count| usize::try_from(count).unwrap_or(0).min(BATCH));
        self.used = count.map_or(1, |count| (count + 1).min(BATCH));
        self.received = count?;
        Ok(self.received)
    }

    /// One of the datagrams of the last call; nothing beyond them.
    pub(super) fn datagram(&self, at: usize) -> Option<Datagram<'_>> {
        if at >= self.received {
            return None;
        }
        // SAFETY: `at` is below BATCH; the kernel has finished writing, and nothing else does while `self` is
        // borrowed. The name is read as the octets that it is made of.
        unsafe {
            let memory = self.memory.as_ref();
            let (header, slot) = (&memory.incoming[at], &memory.slots[at]);
            let name: &[u8; NAME] = &*(&raw const slot.name).cast();
            #[allow(clippy::unnecessary_cast, reason = "a shorter type in musl")]
            let control = header.msg_hdr.msg_controllen as usize;
            Some(Datagram {
                octets: slot.octets.get(..(header.msg_len as usize).min(ROOM))?,
                is_truncated: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
                name: name.get(..(header.msg_hdr.msg_namelen as usize).min(NAME))?,
                control: slot.control.get(..control.min(CONTROL_IN))?,
            })
        }
    }

    /// The octets of one slot, to write a reply over its request.
    ///
    /// # Panics
    /// If there is no such slot.
    pub(super) fn octets_mut(&mut self, at: usize) -> &mut [u8; ROOM] {
        assert!(at < BATCH);
        // SAFETY: the memory is valid, and `self` is borrowed exclusively.
        unsafe { &mut self.memory.as_mut().slots[at].octets }
    }

    /// Writes to whom a reply in one slot goes, in the kernel's format, where no request came in that slot.
    ///
    /// # Panics
    /// If there is no such slot, or the name is longer than an address.
    pub(super) fn address(&mut self, at: usize, name: &[u8]) {
        assert!(at < BATCH && name.len() <= NAME);
        // SAFETY: in bounds, exclusively borrowed; a name has room for NAME octets, and is not where `name` lies, for nothing
        // of this memory is borrowed.
        unsafe {
            let memory = self.memory.as_ptr();
            let place: *mut u8 = (&raw mut (*memory).slots[at].name).cast();
            std::ptr::copy_nonoverlapping(name.as_ptr(), place, name.len());
            (*memory).incoming[at].msg_hdr.msg_namelen = name.len() as _;
        }
    }

    /// All datagrams of the last call with their slots, in order, to be read and changed at the same time.
    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = (usize, &mut [u8])> {
        // SAFETY: the memory is valid, and `self` is borrowed exclusively as long as the iterator or an item lives.
        let memory = unsafe { self.memory.as_mut() };
        let slots = memory.slots.iter_mut().zip(&memory.incoming).take(self.received);
        slots.enumerate().map(|(at, (slot, header))| {
            let length = (header.msg_len as usize).min(ROOM);
            (at, slot.octets.get_mut(..length).unwrap_or_default())
        })
    }

    /// Room for the control data of one message.
    ///
    /// # Panics
    /// If there is no such message.
    pub(super) fn control_mut(&mut self, message: usize) -> &mut [u8; CONTROL_OUT] {
        assert!(message < BATCH);
        // SAFETY: in bounds, exclusively borrowed; CONTROL_OUT octets are CONTROL_OUT / 8 words.
        unsafe { &mut *(&raw mut (*self.memory.as_ptr()).control[message]).cast() }
    }

    /// Sends messages; `order` has the slots of their replies. Returns how many messages went out; the one after
    /// them, if there is one, is refused with the errno.
    pub(super) fn send(
        &mut self,
        socket: &impl AsFd,
        (from, messages): (usize, &[OutgoingMessage]),
        order: &[u8],
    ) -> (usize, Option<Errno>) {
        assert!(from + messages.len() <= BATCH && order.len() <= BATCH);
        for (at, message) in (from..).zip(messages) {
            let slots = &order[message.first..message.first + message.count];
            assert!(!slots.is_empty() && message.control <= CONTROL_OUT && message.length <= ROOM);
            // SAFETY: every index is in bounds: `at` by the first assertion, the iovecs because `order` has at
            // most BATCH entries and `slots` is a part of it, the slots by the assertion. The pointers stored
            // are into `memory`. The name of the first slot is the sender's as the kernel wrote it, with its
            // length in the slot's own header.
            unsafe {
                let memory = self.memory.as_ptr();
                for (place, slot) in (message.first..).zip(slots) {
                    let slot = usize::from(*slot);
                    assert!(slot < BATCH);
                    let part = &raw mut (*memory).drained[place];
                    (*part).iov_base = (&raw mut (*memory).slots[slot].octets).cast();
                    (*part).iov_len = message.length;
                }
                let addressee = usize::from(slots[0]);
                let header = &raw mut (*memory).outgoing[at].msg_hdr;
                (*header).msg_name = (&raw mut (*memory).slots[addressee].name).cast();
                (*header).msg_namelen = (*memory).incoming[addressee].msg_hdr.msg_namelen.min(NAME as _);
                (*header).msg_iov = &raw mut (*memory).drained[message.first];
                (*header).msg_iovlen = message.count as _;
                (*header).msg_control = if message.control == 0 {
                    std::ptr::null_mut()
                } else {
                    (&raw mut (*memory).control[at]).cast()
                };
                (*header).msg_controllen = message.control as _;
            }
        }
        // The kernel's call, not musl's function of that name, which makes another one for each message, past the filter. It
        // does so because the kernel's lengths are longer than its own; what is between those is 0 from the start.
        // SAFETY: the headers from `from` on were just made ready; they point to names, iovecs and control data
        // in `memory` of the lengths that they say.
        let count = unsafe {
            let headers = (&raw mut (*self.memory.as_ptr()).outgoing).cast::<mmsghdr>().add(from);
            let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
            let [socket, flags] = [socket.as_fd().as_raw_fd(), flags].map(libc::c_long::from);
            libc::syscall(libc::SYS_sendmmsg, socket, headers, messages.len(), flags)
        };
        match Errno::result(count) {
            Ok(count) => (usize::try_from(count).unwrap_or(0).min(messages.len()), None),
            Err(errno) => (0, Some(errno)),
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with the same layout, and nothing of it is borrowed any more.
        unsafe { dealloc(self.memory.as_ptr().cast(), Layout::new::<Memory>()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    fn pair() -> (UdpSocket, UdpSocket) {
        let (one, other) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        one.connect(other.local_addr().unwrap()).unwrap();
        (one, other)
    }

    #[test]
    fn many_come_with_one_call_and_go_back_to_their_senders_with_another() {
        let (one, other) = pair();
        let mut batch = Batch::new();
        assert_eq!(batch.receive(&other, ReceiveMode::None), Err(Errno::EAGAIN));
        for n in 0..100u8 {
            one.send(&[n; 60]).unwrap();
        }
        let mut seen = 0u8;
        for expected in [BATCH, 100 - BATCH] {
            assert_eq!(batch.receive(&other, ReceiveMode::Wait), Ok(expected));
            for at in 0..expected {
                let datagram = batch.datagram(at).unwrap();
                assert_eq!((datagram.octets, datagram.is_truncated), (&[seen; 60][..], false));
                assert_eq!(datagram.name.len(), 16);
                seen += 1;
            }
            assert!(batch.datagram(expected).is_none());
            let order: Vec<u8> = (0..expected as u8).collect();
            let messages: Vec<OutgoingMessage> = (0..expected)
                .map(|first| OutgoingMessage { first, count: 1, length: 48, control: 0 })
                .collect();
            assert_eq!(batch.send(&other, (0, &messages), &order), (expected, None));
            for at in 0..expected as u8 {
                let mut reply = [0; 100];
                assert_eq!(one.recv(&mut reply).unwrap(), 48);
                assert_eq!(reply[0], seen - expected as u8 + at);
            }
        }
        assert_eq!(batch.receive(&other, ReceiveMode::None), Err(Errno::EAGAIN));
    }

    #[test]
    fn a_datagram_that_is_longer_than_a_slot_is_cut_and_shows_it() {
        let (one, other) = pair();
        let mut batch = Batch::new();
        one.send(&[7; ROOM + 1]).unwrap();
        one.send(&[]).unwrap();
        assert_eq!(batch.receive(&other, ReceiveMode::Wait), Ok(2));
        let datagram = batch.datagram(0).unwrap();
        assert_eq!((datagram.octets.len(), datagram.is_truncated), (ROOM, true));
        assert!(batch.datagram(1).unwrap().octets.is_empty());
    }

    #[test]
    fn a_parcel_of_several_replies_arrives_as_so_many_datagrams() {
        let (one, other) = pair();
        let mut batch = Batch::new();
        for n in 0..3u8 {
            one.send(&[n; 60]).unwrap();
        }
        assert_eq!(batch.receive(&other, ReceiveMode::Wait), Ok(3));
        let control = crate::control_message::Writer::new(batch.control_mut(0)).segments(48).length();
        let message = OutgoingMessage { first: 0, count: 3, length: 48, control };
        assert_eq!(batch.send(&other, (0, &[message]), &[2, 0, 1]), (1, None));
        for expected in [2, 0, 1] {
            let mut reply = [0; 200];
            assert_eq!((one.recv(&mut reply).unwrap(), reply[0]), (48, expected));
        }
    }

    #[test]
    fn the_first_lines_of_the_slots_are_spread_over_the_cache() {
        assert_eq!(size_of::<Slot>() / 64 % 2, 1);
    }
}
