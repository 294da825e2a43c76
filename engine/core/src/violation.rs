//! What ends the trust in the client, or in the process that reads reference clocks.

/// A violation of the client's protocol, after which the client is no longer trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// It answered a query that was not open.
    AnsweredUnopened,
    /// It passed on a plain reply, which it should have judged itself.
    PassedOnPlain,
    /// It judged a protected reply, which only the engine can judge.
    JudgedProtected,
    /// It passed on a reply in another version than the query's.
    OtherVersion,
    /// It passed on more packets for one query than it may.
    TooManyPackets,
    /// It reported twice that a query was sent.
    SentTwice,
    /// It reported that a query was sent which was not open.
    SentUnopened,
    /// It ended a query that was not open.
    EndedUnopened,
    /// It passed on a reply before it reported that the query was sent.
    ReplyBeforeQuery,
    /// It passed on a reply from an address that was not queried.
    WrongAddress,
    /// It sent a sample of a reference clock that is still to come.
    SampleOfTheFuture,
    /// It gave timestamps outside the duration of the exchange.
    ImpossibleTimestamps,
}
