//! Violations of the client's protocol.

use super::{Sentence, Text};
use engine_core::Violation;

impl Sentence for Violation {
    /// The rest of a sentence that begins with the process.
    fn sentence(&self) -> Text {
        match self {
            Self::AnsweredUnopened => "answered a query that was not open",
            Self::PassedOnPlain => "passed on a reply that it should have judged itself",
            Self::JudgedProtected => "judged a reply that only the engine can judge",
            Self::OtherVersion => "passed on a reply in another version than that of its query",
            Self::TooManyPackets => "passed on more packets for one query than it may",
            Self::SentTwice => "reported twice that a query was sent",
            Self::SentUnopened => "reported that a query was sent that was not open",
            Self::EndedUnopened => "ended a query that was not open",
            Self::ReplyBeforeQuery => "passed on a reply before its query was sent",
            Self::WrongAddress => "passed on a reply from an address that was not queried",
            Self::SampleOfTheFuture => "sent a sample that is still to come",
            Self::ImpossibleTimestamps => "gave timestamps outside the duration of the exchange",
        }
        .into()
    }
}
