//! Why there are no keys, in sentences that say what to do.

use alloc::format;
use alloc::string::String;
use ipc::message::exchange::{ExchangeFailure, LookupFailure};

/// Why a key exchange brought nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It failed.
    Failed(ExchangeFailure),
    /// None of the addresses is one that a server can have.
    NoAddress,
}

impl Trouble {
    /// Whether no server has seen anything of it.
    pub(crate) fn is_local(self) -> bool {
        matches!(
            self,
            Self::Failed(
                ExchangeFailure::Lookup(_)
                    | ExchangeFailure::NotStarted
                    | ExchangeFailure::Unreachable
                    | ExchangeFailure::NoRoots
                    | ExchangeFailure::Broken
            )
        )
    }

    /// Why the server's name has no address, where that is what failed.
    pub(crate) fn of_name(self) -> Option<LookupFailure> {
        match self {
            Self::Failed(ExchangeFailure::Lookup(failure)) => Some(failure),
            _ => None,
        }
    }

    /// Whether time alone is wrong with the certificate.
    pub(crate) fn is_of_time(self) -> bool {
        matches!(self, Self::Failed(ExchangeFailure::Expired | ExchangeFailure::NotYetValid))
    }

    /// For a person.
    pub fn sentence(self) -> String {
        use ExchangeFailure as Failure;
        let failure = match self {
            Self::Failed(failure) => failure,
            Self::NoAddress => {
                return "the key exchange names no address that a time server can have; use another server"
                    .into();
            }
        };
        match failure {
            Failure::Lookup(failure) => failure.sentence(),
            Failure::NotStarted => {
                "no process for the key exchange could be started; check the host's memory and limits"
            }
            Failure::Deadline => "the key exchange took too long; check the firewall (TCP, usually port 4460)",
            Failure::Broken => "the process that exchanged keys failed",
            Failure::Refused => {
                "nobody listens for key exchanges there; check the port (usually 4460) and whether it is an NTS \
                 server"
            }
            Failure::Unreachable => "there is no route to the key exchange server",
            Failure::Reset => "the connection ended in the middle of the key exchange",
            Failure::NoRoots => {
                "the root certificates can't be read; check `roots` of the source and `system-roots` under [nts]"
            }
            Failure::Tls => "TLS 1.3 failed; the server may be too old, or something on the path interferes",
            Failure::NoAlpn => "the server does not speak NTS key exchange (protocol ntske/1)",
            Failure::Expired => {
                "the server's certificate has expired by our clock; look at the clock, else its operator has to renew \
                 it"
            },
            Failure::NotYetValid => "the server's certificate is not valid yet by our clock; look at the clock first",
            Failure::WrongName => "the certificate names another server; check the address of the source",
            Failure::UnknownIssuer => {
                "nobody whom we trust vouches for the certificate; a private authority needs `roots` at the source"
            }
            Failure::NotForServers => "the certificate isn't one for servers",
            Failure::BadCertificate => "the certificate is broken, too weak, or its chain too long",
            Failure::BadResponse => "the server's answer breaks a rule of the key exchange",
            Failure::ServerError(code) => {
                return format!("the server refused the key exchange with error {code}");
            }
            Failure::NothingInCommon => {
                "the server supports none of the offered algorithms, or not NTPv4; see `aead` of the source"
            }
            Failure::BadServer => "the key exchange names a time server that can't be one",
        }
        .into()
    }
}
