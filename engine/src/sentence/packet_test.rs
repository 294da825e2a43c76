//! Why a reply is not used.

use super::{Sentence, Text};
use ipc::message::client::Silence;
use report::RejectReason;

impl Sentence for RejectReason {
    fn sentence(&self) -> Text {
        match self {
            Self::Origin => "its replies do not belong to our queries; they may be forged",
            Self::Version => "it answers in another protocol version",
            Self::Mode => "it does not answer as a server",
            Self::BadInterval => "its receive and transmit times are impossible",
            Self::NegativeDelay => "its replies claim a negative delay",
            Self::Date => "its date is before this program was built or absurdly late",
            Self::Discontinuity => {
                "the clock changed during the last exchange; the next exchange is not affected"
            }
            Self::Readings => {
                "the timestamps of the last exchange are outside its duration; the host may be overloaded"
            }
            Self::Malformed => "its replies are not NTP packets",
            Self::Source => "replies come from another address",
            Self::UnexpectedMac => "its replies are signed with a key that is not shared with us",
            Self::Unprotected => "its replies carry no authentication; it may have been removed on the path",
            Self::Forged => "the authentication tags of its replies are wrong; they may be forged",
            Self::Identifier => "its replies do not carry our queries' identifiers",
            Self::NtsFields => "the NTS fields of its replies are malformed",
            Self::NtsNak => "it does not accept our cookies any more; keys will be exchanged anew",
            Self::Precision => "it claims a precision that no clock has",
            Self::LeapUnknown => "it reports that it is not synchronised",
            Self::Kiss => "it refuses to tell the time (kiss-o'-death)",
            Self::Unsynchronised => "it reports that it is not synchronised (its stratum is 0 or 16)",
            Self::StratumLimit => "its stratum is above the configured limit",
            Self::RootDistance => "it is too far from its reference clock",
            Self::DelayLimit => "the round trip to it is longer than the configured limit",
            Self::Loop => "it gets its time from this host",
            Self::Itself => "it is this host",
            Self::Certificate => "its time lies outside the validity of its own certificate",
        }
        .into()
    }
}

/// Why a source has never answered, as the end of a sentence.
pub(super) fn silence(obstacle: Option<Silence>, cause: Option<RejectReason>) -> Text {
    match obstacle {
        Some(why) => format!(": {}", why.sentence()).into(),
        None => hint(cause).into(),
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
        Some(RejectReason::NtsNak) => ": it does not accept our cookies",
        Some(_) => ": what came from there was not a proper reply",
        None => "; check its address and the firewall (UDP port 123)",
    }
}
