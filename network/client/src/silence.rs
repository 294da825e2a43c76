//! What an error of the kernel means for a query.

use crate::datagram::Trouble;
use ipc::message::client::Silence;
use network::departure::Lack;
use nix::errno::Errno;
use nix::libc::{SO_EE_ORIGIN_ICMP, SO_EE_ORIGIN_ICMP6};

/// A socket cannot be made as the query is to leave.
pub(super) fn of_lack(lack: Lack) -> Silence {
    match lack {
        Lack::Interface => Silence::NoInterface,
        Lack::Address => Silence::NoAddress,
        Lack::Other(errno) => of_sending(errno),
    }
}

/// A socket, a connection or a packet was refused: the query never left.
pub(super) fn of_sending(errno: Errno) -> Silence {
    match errno {
        Errno::ECONNREFUSED => Silence::PortUnreachable,
        Errno::ENETUNREACH | Errno::EHOSTUNREACH | Errno::ENETDOWN | Errno::EHOSTDOWN | Errno::ENONET => {
            Silence::Unreachable
        }
        Errno::EPERM | Errno::EACCES => Silence::Prohibited,
        _ => Silence::Local,
    }
}

/// An error that reading the socket gave; `None` if it says nothing about the network path.
pub(super) fn of_receiving(errno: Errno) -> Option<Silence> {
    match errno {
        Errno::ECONNREFUSED => Some(Silence::PortUnreachable),
        Errno::ENETUNREACH
        | Errno::EHOSTUNREACH
        | Errno::ENETDOWN
        | Errno::EHOSTDOWN
        | Errno::ENONET
        | Errno::ENOPROTOOPT
        | Errno::EPROTO => Some(Silence::Unreachable),
        Errno::EPERM | Errno::EACCES => Some(Silence::Prohibited),
        // "Too big" among them: our packets fit every path (A044).
        _ => None,
    }
}

/// A report from the error queue (RFC 792, RFC 1812 section 5.2.7.1, RFC 4443 section 3).
pub(super) fn of_trouble(trouble: Trouble) -> Option<Silence> {
    match (trouble.origin, trouble.kind, trouble.code) {
        (SO_EE_ORIGIN_ICMP, 3, 3) => Some(Silence::PortUnreachable),
        (SO_EE_ORIGIN_ICMP, 3, 9 | 10 | 13) => Some(Silence::Prohibited),
        // Fragmentation needed.
        (SO_EE_ORIGIN_ICMP, 3, 4) => None,
        (SO_EE_ORIGIN_ICMP, 3 | 11 | 12, _) => Some(Silence::Unreachable),
        (SO_EE_ORIGIN_ICMP6, 1, 4) => Some(Silence::PortUnreachable),
        (SO_EE_ORIGIN_ICMP6, 1, 1 | 5 | 6) => Some(Silence::Prohibited),
        (SO_EE_ORIGIN_ICMP6, 1 | 3 | 4, _) => Some(Silence::Unreachable),
        (SO_EE_ORIGIN_ICMP | SO_EE_ORIGIN_ICMP6, _, _) => None,
        _ => of_receiving(trouble.errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn icmp(origin: u8, kind: u8, code: u8) -> Option<Silence> {
        of_trouble(Trouble { origin, kind, code, errno: Errno::EHOSTUNREACH })
    }

    #[test]
    fn a044_icmp_errors_have_their_reasons_and_too_big_has_none() {
        for (origin, kind, code, expected) in [
            (2, 3, 0, Some(Silence::Unreachable)),
            (2, 3, 1, Some(Silence::Unreachable)),
            (2, 3, 3, Some(Silence::PortUnreachable)),
            (2, 3, 4, None),
            (2, 3, 10, Some(Silence::Prohibited)),
            (2, 3, 13, Some(Silence::Prohibited)),
            (2, 11, 0, Some(Silence::Unreachable)),
            (2, 5, 0, None),
            (3, 1, 0, Some(Silence::Unreachable)),
            (3, 1, 1, Some(Silence::Prohibited)),
            (3, 1, 4, Some(Silence::PortUnreachable)),
            (3, 2, 0, None),
            (3, 3, 0, Some(Silence::Unreachable)),
        ] {
            assert_eq!(icmp(origin, kind, code), expected, "{origin} {kind} {code}");
        }
    }

    #[test]
    fn a168_what_this_host_lacks_is_local_and_what_the_way_lacks_is_not() {
        for errno in [
            Errno::EMFILE,
            Errno::ENFILE,
            Errno::ENOBUFS,
            Errno::ENOMEM,
            Errno::EADDRNOTAVAIL,
            Errno::EAGAIN,
            Errno::EAFNOSUPPORT,
            Errno::EMSGSIZE,
            Errno::EINVAL,
        ] {
            assert_eq!(of_sending(errno), Silence::Local, "{errno}");
        }
        for errno in [Errno::ENETDOWN, Errno::ENETUNREACH, Errno::EHOSTUNREACH] {
            assert_eq!(of_sending(errno), Silence::Unreachable, "{errno}");
        }
        for (lack, silence) in [
            (Lack::Interface, Silence::NoInterface),
            (Lack::Address, Silence::NoAddress),
            (Lack::Other(Errno::EMFILE), Silence::Local),
            (Lack::Other(Errno::ENETUNREACH), Silence::Unreachable),
        ] {
            assert_eq!(of_lack(lack), silence, "{lack:?}");
        }
        assert_eq!(of_sending(Errno::EPERM), Silence::Prohibited);
        assert_eq!(of_receiving(Errno::EMSGSIZE), None);
        assert_eq!(of_receiving(Errno::ENOBUFS), None);
    }
}
