//! Why a reply is not used.

use super::{Sentence, Text};
use ipc::message::client::Silence;
use report::RejectReason;

impl Sentence for RejectReason {
    fn sentence(&self) -> Text {
        self.meaning().into()
    }
}

/// Why a source has never answered, as the end of a sentence.
pub(super) fn silence(obstacle: Option<Silence>, cause: Option<RejectReason>) -> Text {
    match obstacle {
        Some(why) => format!(": {}", why.sentence()).into(),
        None => hint(cause).into(),
    }
}

/// What is said of a silent source that is asked with a symmetric key: its server is silent, too, where it cannot verify what comes
/// with a key.
pub fn keyed(said: Text, key: Option<u32>) -> Text {
    match key {
        Some(number) => format!(
            "{said}; or the server does not have key {number} as it is here (number, type and key must be the same on both sides)"
        )
        .into(),
        None => said,
    }
}

/// What the most frequent reason for discarding the replies of a source suggests, as the end of a sentence.
pub(super) fn hint(cause: Option<RejectReason>) -> &'static str {
    match cause {
        Some(RejectReason::Origin) => ": replies came that do not belong to our queries",
        Some(RejectReason::Date) => ": its date is impossible",
        Some(RejectReason::UnexpectedMac) => ": its replies are signed with a key that is not shared with us",
        Some(RejectReason::Unprotected) => {
            ": its replies carry no authentication, it may have been removed on the path"
        }
        Some(RejectReason::Forged) => ": the authentication tags of its replies are wrong",
        Some(RejectReason::CryptoNak) => ": it does not accept our symmetric key (crypto-NAK)",
        Some(RejectReason::NtsNak) => ": it does not accept our cookies",
        Some(_) => ": what came from there was not a proper reply",
        None => "; check its address and the firewall (UDP port 123)",
    }
}
