//! One datagram from a socket, with the kernel's information about it.

use network::clock::nanos;
use nix::errno::Errno;
use nix::libc::{SO_EE_ORIGIN_TIMESTAMPING, sock_extended_err};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, RecvMsg, Timestamps, recvmsg};
use nix::sys::time::TimeSpec;
use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd};

/// Space for the kernel's information about one datagram: its timestamps (64 octets) and an error (64).
const CONTROL: usize = 256;

/// Aligned as the kernel's headers in it require.
#[repr(align(16))]
struct Control([u8; CONTROL]);

/// The control messages of a received datagram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// Octets in the buffer.
    pub length: usize,
    /// Whether it was truncated.
    pub is_truncated: bool,
    /// The kernel's timestamp, nanoseconds of CLOCK_REALTIME.
    pub stamp: Option<i64>,
}

/// A report from a socket's error queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// The packet left at this time: nanoseconds of CLOCK_REALTIME.
    Left(i64),
    /// An error on the path.
    Trouble(Trouble),
    /// Nothing of interest.
    Other,
}

/// An error from the kernel, caused by an ICMP message or local.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// `ee_origin`.
    pub origin: u8,
    /// `ee_type`: the ICMP type.
    pub kind: u8,
    /// `ee_code`: the ICMP code.
    pub code: u8,
    /// `ee_errno`.
    pub errno: Errno,
}

/// Receives one datagram from the peer of a connected socket; never blocks.
pub(crate) fn receive(socket: &impl AsFd, buffer: &mut [u8]) -> Result<Arrival, Errno> {
    let mut control = Control([0; CONTROL]);
    let mut slices = [IoSliceMut::new(buffer)];
    let fd = socket.as_fd().as_raw_fd();
    let message = recvmsg::<()>(fd, &mut slices, Some(&mut control.0), MsgFlags::MSG_DONTWAIT)?;
    Ok(arrival(&message))
}

/// Takes one report from the error queue; never blocks.
pub(crate) fn report(socket: &impl AsFd) -> Result<Report, Errno> {
    let mut control = Control([0; CONTROL]);
    // A returned packet is of no interest; without space for it, the kernel drops it.
    let mut nothing = [0u8; 1];
    let mut slices = [IoSliceMut::new(&mut nothing)];
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<()>(socket.as_fd().as_raw_fd(), &mut slices, Some(&mut control.0), flags)?;
    let mut stamp = None;
    let mut error: Option<sock_extended_err> = None;
    for item in message.cmsgs().into_iter().flatten() {
        match item {
            ControlMessageOwned::ScmTimestampsns(stamps) => stamp = software(stamps),
            ControlMessageOwned::Ipv4RecvErr(found, _) | ControlMessageOwned::Ipv6RecvErr(found, _) => {
                error = Some(found);
            }
            _ => {}
        }
    }
    Ok(match (error, stamp) {
        (Some(error), Some(stamp)) if error.ee_origin == SO_EE_ORIGIN_TIMESTAMPING => Report::Left(stamp),
        (Some(error), _) if error.ee_origin != SO_EE_ORIGIN_TIMESTAMPING => Report::Trouble(Trouble {
            origin: error.ee_origin,
            kind: error.ee_type,
            code: error.ee_code,
            errno: Errno::from_raw(i32::try_from(error.ee_errno).unwrap_or(0)),
        }),
        _ => Report::Other,
    })
}

fn arrival<S>(message: &RecvMsg<'_, '_, S>) -> Arrival {
    let mut arrival = Arrival {
        length: message.bytes,
        is_truncated: message.flags.contains(MsgFlags::MSG_TRUNC),
        ..Arrival::default()
    };
    for item in message.cmsgs().into_iter().flatten() {
        if let ControlMessageOwned::ScmTimestampsns(stamps) = item {
            arrival.stamp = software(stamps);
        }
    }
    arrival
}

fn software(stamps: Timestamps) -> Option<i64> {
    (stamps.system != TimeSpec::new(0, 0)).then(|| nanos(stamps.system))
}
