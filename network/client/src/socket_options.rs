//! The options of a socket that sends one query, two of which nix has no name for.

use nix::libc;
use nix::sys::socket::{TimestampingFlag, setsockopt, sockopt};
use nix::{setsockopt_impl, sockopt_impl};
use std::os::fd::AsFd;

sockopt_impl!(
    /// What packets of this socket do on paths with a smaller MTU (ip(7), IP_MTU_DISCOVER).
    MtuDiscover,
    SetOnly,
    libc::IPPROTO_IP,
    libc::IP_MTU_DISCOVER,
    i32
);

sockopt_impl!(
    /// The same for IPv6.
    Ipv6MtuDiscover,
    SetOnly,
    libc::IPPROTO_IPV6,
    libc::IPV6_MTU_DISCOVER,
    i32
);

/// For a socket that sends one query: stamps both ways, ICMP errors told, packets never cut into fragments.
/// If a kernel lacks one of them, this costs accuracy or information, not the query.
pub(crate) fn prepare_query(socket: &impl AsFd, is_ipv6: bool) {
    let stamps = TimestampingFlag::SOF_TIMESTAMPING_SOFTWARE
        | TimestampingFlag::SOF_TIMESTAMPING_TX_SOFTWARE
        | TimestampingFlag::SOF_TIMESTAMPING_RX_SOFTWARE
        | TimestampingFlag::SOF_TIMESTAMPING_OPT_TSONLY;
    let _ = setsockopt(socket, sockopt::Timestamping, &stamps);
    // PROBE and not DO: a forged "fragmentation needed" must not make the kernel believe in a path that
    // our packets do not fit (A044), nor allow fragments, in which others can put words (A043).
    let _ = if is_ipv6 {
        let _ = setsockopt(socket, sockopt::Ipv6RecvErr, &true);
        let _ = setsockopt(socket, sockopt::Ipv6DontFrag, &true);
        setsockopt(socket, Ipv6MtuDiscover, &libc::IPV6_PMTUDISC_PROBE)
    } else {
        let _ = setsockopt(socket, sockopt::Ipv4RecvErr, &true);
        setsockopt(socket, MtuDiscover, &libc::IP_PMTUDISC_PROBE)
    };
}
