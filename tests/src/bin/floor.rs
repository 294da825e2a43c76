//! The floor: a server that only sends a correct reply of 48 octets, with kernel receive timestamps, as
//! fast as recvmmsg and sendmmsg allow. No access rules, no limits, no sandbox, no choice of source address.
//!
//! `floor PORT [batch=64] [segments] [nts]`: with `segments` replies of a batch to one client are sent as one message.
//! With `nts` it answers only requests under NTS, with publicly known cookie keys, and does for them what cannot be
//! omitted: it opens cookie and tag, and seals a new cookie and a reply.

use bench::load::nts::cookie_keys;
use libc::{c_int, iovec, mmsghdr, sockaddr_in};
use protocol::header::Header;
use protocol::nts::cookie::CookieKeys;
use protocol::nts::server::{MAX_NONCES, Request, read_request};
use std::mem::{size_of, zeroed};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

const MOST: usize = 64;

fn now() -> (i64, i64) {
    // SAFETY: all zero octets are a timespec, and the pointer is to a live one.
    unsafe {
        let mut time: libc::timespec = zeroed();
        libc::clock_gettime(libc::CLOCK_REALTIME, &raw mut time);
        (time.tv_sec, time.tv_nsec)
    }
}

fn stamp((seconds, nanos): (i64, i64)) -> [u8; 8] {
    ((((seconds + 2_208_988_800) as u64) << 32) | (((nanos as u64) << 32) / 1_000_000_000)).to_be_bytes()
}

fn plain(reply: &mut [u8], arrived: (i64, i64)) {
    let t1: [u8; 8] = reply[40..48].try_into().expect("eight octets");
    reply[0] = 0x24;
    reply[1] = 2;
    reply[3] = 0xe8;
    reply[4..16].copy_from_slice(&[0, 0, 1, 0, 0, 0, 1, 0, 127, 127, 1, 1]);
    reply[16..24].copy_from_slice(&stamp(arrived));
    reply[24..32].copy_from_slice(&t1);
    reply[32..40].copy_from_slice(&stamp(arrived));
    reply[40..48].copy_from_slice(&stamp(now()));
}

/// Answers a request under NTS in place and returns the length of the reply; `None` for anything else.
fn answer(
    packet: &mut [u8],
    length: usize,
    arrived: u64,
    keys: &CookieKeys,
    turn: &mut u64,
) -> Option<usize> {
    let mut reply = [0; 512];
    let Ok(Request::Protected(request)) = read_request(packet.get_mut(..length)?, keys) else { return None };
    let mut nonces = [0; MAX_NONCES];
    for eight in nonces[..request.nonces()].chunks_mut(8) {
        *turn = turn.wrapping_add(0x9e37_79b9_7f4a_7c15);
        eight.copy_from_slice(&turn.to_ne_bytes()[..eight.len()]);
    }
    let header = || Header {
        leap: 0,
        mode: 4,
        stratum: 2,
        precision: -24,
        root_delay: 256,
        root_dispersion: 256,
        reference_id: 0x7f7f_0101,
        reference_timestamp: arrived,
        origin_timestamp: request.header().transmit_timestamp,
        receive_timestamp: arrived,
        transmit_timestamp: u64::from_be_bytes(stamp(now())),
        ..*request.header()
    };
    let length = request.write_reply(keys, &nonces[..request.nonces()], header, &mut reply).ok()?;
    packet[..length].copy_from_slice(&reply[..length]);
    Some(length)
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let port: u16 = words[0].parse().expect("a port");
    let batch = words.iter().find_map(|word| word.strip_prefix("batch=")?.parse().ok()).unwrap_or(MOST);
    let [segments, nts] = ["segments", "nts"].map(|wanted| words.iter().any(|word| word == wanted));
    let room = if nts { 512 } else { 192 };
    let (keys, mut turn) = (cookie_keys(), 0);
    let socket = UdpSocket::bind(("127.0.0.1", port)).expect("a free port");
    let fd = socket.as_raw_fd();
    let flags = (libc::SOF_TIMESTAMPING_SOFTWARE | libc::SOF_TIMESTAMPING_RX_SOFTWARE) as c_int;
    let large: c_int = 4 << 20;
    for (option, value) in [(libc::SO_TIMESTAMPING, flags), (libc::SO_RCVBUF, large)] {
        // SAFETY: the value is a live int of the size given.
        unsafe {
            libc::setsockopt(
                fd,
                libc::SOL_SOCKET,
                option,
                (&raw const value).cast(),
                size_of::<c_int>() as u32,
            )
        };
    }
    let mut octets = vec![0u8; room * MOST];
    let mut said = vec![[0u64; 16]; MOST];
    let mut told = vec![[18u64, libc::SOL_UDP as u64 | (libc::UDP_SEGMENT as u64) << 32, 48]; MOST];
    // SAFETY: all zero octets are valid values of these plain structures.
    let (mut names, mut parts, mut headers, mut out, mut out_parts) = unsafe {
        (
            vec![zeroed::<sockaddr_in>(); MOST],
            vec![zeroed::<iovec>(); MOST],
            vec![zeroed::<mmsghdr>(); MOST],
            vec![zeroed::<mmsghdr>(); MOST],
            vec![zeroed::<iovec>(); MOST],
        )
    };
    loop {
        for at in 0..batch {
            parts[at] = iovec { iov_base: octets[at * room..].as_mut_ptr().cast(), iov_len: room };
            let header = &mut headers[at].msg_hdr;
            header.msg_name = (&raw mut names[at]).cast();
            header.msg_namelen = size_of::<sockaddr_in>() as u32;
            header.msg_iov = &raw mut parts[at];
            header.msg_iovlen = 1;
            header.msg_control = said[at].as_mut_ptr().cast();
            header.msg_controllen = 128;
        }
        // SAFETY: as many headers as said, each with live buffers of the lengths that it says.
        let count = unsafe {
            libc::recvmmsg(
                fd,
                headers.as_mut_ptr(),
                batch as u32,
                libc::MSG_WAITFORONE as _,
                std::ptr::null_mut(),
            )
        };
        let count = usize::try_from(count).unwrap_or(0);
        let mut messages = 0;
        let mut put = 0;
        for at in 0..count {
            let reply = &mut octets[at * room..][..room];
            let arrived = (said[at][2] as i64, said[at][3] as i64);
            let mut length = 48;
            if nts {
                let arrived = u64::from_be_bytes(stamp(arrived));
                match answer(reply, headers[at].msg_len as usize, arrived, &keys, &mut turn) {
                    Some(sealed) => length = sealed,
                    None => continue,
                }
            } else {
                if headers[at].msg_len != 48 || reply[0] & 7 != 3 {
                    continue;
                }
                plain(reply, arrived);
            }
            told[messages][2] = length as u64;
            let name = names[at];
            let same = segments && messages > 0 && {
                let last = out[messages - 1].msg_hdr;
                // SAFETY: a name of this batch.
                let other = unsafe { &*last.msg_name.cast::<sockaddr_in>() };
                (other.sin_port, other.sin_addr.s_addr) == (name.sin_port, name.sin_addr.s_addr)
            };
            out_parts[put] = iovec { iov_base: octets[at * room..].as_mut_ptr().cast(), iov_len: length };
            if same {
                let header = &mut out[messages - 1].msg_hdr;
                header.msg_iovlen += 1;
                header.msg_control = told[messages - 1].as_mut_ptr().cast();
                header.msg_controllen = 24;
            } else {
                let header = &mut out[messages].msg_hdr;
                header.msg_name = (&raw mut names[at]).cast();
                header.msg_namelen = headers[at].msg_hdr.msg_namelen;
                header.msg_iov = &raw mut out_parts[put];
                header.msg_iovlen = 1;
                header.msg_control = std::ptr::null_mut();
                header.msg_controllen = 0;
                messages += 1;
            }
            put += 1;
        }
        let mut sent = 0;
        while sent < messages {
            // SAFETY: the headers from `sent` on are ready.
            let gone = unsafe {
                libc::sendmmsg(
                    fd,
                    out.as_mut_ptr().add(sent),
                    (messages - sent) as u32,
                    libc::MSG_DONTWAIT as _,
                )
            };
            sent += usize::try_from(gone).unwrap_or(0).max(1);
        }
    }
}
