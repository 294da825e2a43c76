//! Why a source has no keys, or its name no address.

use super::{Sentence, Text};
use engine_core::notice::KeyExchangeFailure;
use ipc::message::exchange::{ExchangeFailure, LookupFailure};

/// Why a name has no address.
pub(super) fn lookup(failure: LookupFailure) -> Text {
    match failure {
        LookupFailure::Denied(call) => denied("looked it up", call).into(),
        other => other.sentence().into(),
    }
}

fn denied(did: &str, call: u16) -> String {
    let name = policies::call_name(call.into()).unwrap_or("unknown");
    format!(
        "the process that {did} was killed by its system call filter (SIGSYS): the call {name} ({call}) is not permitted; \
         please report it"
    )
}

impl Sentence for KeyExchangeFailure {
    fn sentence(&self) -> Text {
        match self {
            Self::Failed(failure) => failure.sentence(),
            Self::NoAddress => {
                "the key exchange names no address that a time server can have; use another server".into()
            }
            Self::Taken => {
                "the key exchange leads to a time server that is asked already, which would count twice; a pool tries another \
                 address and can have fewer members; of two sources with the same server, remove one"
                    .into()
            }
        }
    }
}

impl Sentence for ExchangeFailure {
    fn sentence(&self) -> Text {
        match self {
            Self::Lookup(failure) => return lookup(*failure),
            Self::Denied(call) => return denied("exchanged keys", *call).into(),
            Self::NotStarted => {
                "no process for the key exchange could be started; check the host's memory and limits"
            }
            Self::Deadline => "the key exchange took too long; check the firewall (TCP, usually port 4460)",
            Self::Broken => "the process that exchanged keys failed; the kernel's log may say why",
            Self::Refused => {
                "no server listens for key exchanges there; check the port (usually 4460) and whether it is an NTS \
                 server"
            }
            Self::Unreachable => "there is no route to the key exchange server",
            Self::NoInterface => {
                "this host has no interface of the name in `send-over` now, for the key exchange; ip link shows which there are"
            }
            Self::NoOwnAddress => {
                "no interface of this host has the address in `send-from` now, for the key exchange; ip address shows which there are"
            }
            Self::Reset => "the connection ended in the middle of the key exchange",
            Self::NoRoots => {
                "the root certificates cannot be read; check `roots` of the source and `system-roots` under [nts]"
            }
            Self::Tls => "TLS 1.3 failed; the server may be too old, or something on the path interferes",
            Self::NoAlpn => "the server does not speak NTS key exchange (protocol ntske/1)",
            Self::Expired => {
                "the server's certificate has expired by our clock; check the clock first, else its operator has to \
                 renew it"
            }
            Self::NotYetValid => {
                "the server's certificate is not valid yet by our clock; check the clock first"
            }
            Self::WrongName => "the certificate names another server; check the address of the source",
            Self::UnknownIssuer => {
                "no trusted authority vouches for the certificate; a private authority needs `roots` at the source"
            }
            Self::NotForServers => "the certificate is not one for servers",
            Self::BadCertificate => "the certificate is broken or too weak, or its chain is too long",
            Self::BadResponse => "the server's answer violates a rule of the key exchange",
            Self::ServerError(code) => {
                return format!("the server refused the key exchange with error {code}").into();
            }
            Self::NothingInCommon => {
                "the server supports none of the offered algorithms, or not NTPv4; see `aead` of the source"
            }
            Self::BadServer => "the key exchange names a time server that cannot be one",
        }
        .into()
    }
}
