//! What the engine has to say, as types. The process that runs it makes lines of it, each for a person: what kind of
//! line, how urgent, and the sentence stand in one table for each list, in these files and nowhere else.
//!
//! Names come from the configuration, never from the network.

mod refusal;
mod want;

pub use refusal::{AfterRefusal, Hold};
pub(crate) use want::sources;
pub use want::{Asked, Stuck};

use crate::io::OrderKind;
use crate::sanity::RejectReason;
use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use core::net::SocketAddr;
use ipc::message::client::Silence;
use ipc::message::exchange::LookupFailure;
use ipc::message::privileged::Refusal;
use ipc::units::Span;
use protocol::kiss::KissCode;

pub use crate::nts::Trouble;
pub use crate::select::Impasse;

/// What a line may be held back for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// May be held back where there are many like it.
    Line,
    /// Another state of the whole: held back only in a flood.
    Change,
    /// The clock itself: a step, a change of it by another program, a refusal. No flood of others pushes it out.
    Clock,
}

/// One thing to say.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// Of an entry of the configuration, by its name.
    Entry(String, EntryNews),
    /// Of a source that is asked at an address.
    Source(String, SocketAddr, SourceNews),
    /// Of the whole.
    Whole(WholeNews),
    /// Of the clock.
    Clock(ClockNews),
}

/// What there is to say of an entry of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryNews {
    /// Another entry names the same.
    Twice,
    /// Its name was looked up in vain.
    Unresolved(LookupFailure),
    /// Its name has addresses, but none that a server can have.
    NoServers,
    /// An address of it is another entry's from now on.
    Taken(SocketAddr, String),
    /// An address that is dead was replaced by another one.
    Replaced(SocketAddr, SocketAddr),
    /// An NTS NAK came.
    CookiesForgotten,
    /// It has keys.
    KeysExchanged,
    /// It has keys, and a certificate that our clock can't judge.
    KeysUnjudged,
    /// A key exchange failed.
    NoKeys {
        /// Why.
        trouble: Trouble,
        /// The keys before it are still good.
        keeps: bool,
        /// The clock was just set by sources whose certificates it could not judge.
        after_setting: bool,
    },
}

/// What there is to say of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceNews {
    /// Its replies can't be used.
    NotUsed(RejectReason),
    /// It asks us to keep away.
    Kissed(KissCode),
    /// Its first valid reply came.
    Heard,
    /// It is the first of all, after so long.
    FirstHeard(Span),
    /// Its replies can be used again.
    UsableAgain,
    /// It changed by more than noise explains.
    Restarted,
    /// It has not answered eight times in a row.
    Silent(Silence),
    /// Eight replies in a row had a wrong authentication tag.
    UnderAttack,
}

/// What there is to say of the whole.
#[derive(Clone, Debug, PartialEq)]
pub enum WholeNews {
    /// The estimate was held at the hard bounds.
    Bounded,
    /// The sources agree again.
    Agreed,
    /// There is nobody to follow.
    Stuck(Stuck),
    /// There was nobody to follow for so long.
    StillStuck(Span, Stuck),
    /// Nobody has answered for so long.
    Unanswered(Span, Asked),
    /// The first correction was made.
    Following,
    /// The machine slept.
    Slept,
    /// A leap second has passed.
    Leapt,
    /// The record of the engine ends, with the reason.
    Unrecorded(&'static str),
}

/// What there is to say of the clock.
#[derive(Clone, Debug, PartialEq)]
pub enum ClockNews {
    /// It was stepped by so many seconds.
    Stepped(f64),
    /// Somebody else moved it by so many seconds.
    Moved(f64),
    /// Somebody else changed its frequency.
    Detuned,
    /// No order came for hours.
    Abandoned,
    /// The governor refused an order.
    Refused(OrderKind, Refusal, AfterRefusal),
    /// It may neither be stepped nor slewed.
    Held(Hold),
    /// It is so many seconds off by sources whose certificates it can't judge: too few to pass over that.
    SlightlyInvalid(f64),
    /// It is so many seconds off, and is set to what so many of such sources agree on.
    SetUnjudged(f64, usize),
}

const A_DAY: f64 = 86_400.0;

impl Notice {
    /// What it may be held back for.
    pub const fn weight(&self) -> Weight {
        match self {
            Self::Entry(..) | Self::Whole(WholeNews::Bounded | WholeNews::Unrecorded(_)) => Weight::Line,
            Self::Source(_, _, SourceNews::FirstHeard(_)) | Self::Whole(_) => Weight::Change,
            Self::Source(..) => Weight::Line,
            Self::Clock(_) => Weight::Clock,
        }
    }

    /// As in syslog: 1 alert, 3 error, 4 warning, 5 notice, 6 info.
    pub fn severity(&self) -> u8 {
        match self {
            Self::Entry(_, news) => news.row().0,
            Self::Source(_, _, news) => news.row().0,
            Self::Whole(news) => news.row().0,
            Self::Clock(news) => news.row().0,
        }
    }

    /// For a person.
    pub fn sentence(&self) -> String {
        match self {
            Self::Entry(name, EntryNews::NoServers) => {
                format!("the addresses of source {name} are none that a server can have; they are not used")
            }
            Self::Entry(name, news) => format!("source {name}{}", news.row().1),
            Self::Source(name, address, news) => format!("source {name} ({address}) {}", news.row().1),
            Self::Whole(news) => news.row().1.into_owned(),
            Self::Clock(news) => news.row().1.into_owned(),
        }
    }
}

/// Severity and sentence.
type Row = (u8, Cow<'static, str>);

impl EntryNews {
    /// The sentence goes on after the name.
    fn row(&self) -> Row {
        match self {
            Self::Twice => (4, " is configured twice; it has one vote".into()),
            Self::Unresolved(why) => {
                (4, format!(": its name is not resolved: {}; it is looked up again", why.sentence()).into())
            }
            // It has a sentence of its own.
            Self::NoServers => (4, "".into()),
            Self::Taken(address, by) => (5, format!(": {address} belongs to {by}").into()),
            Self::Replaced(address, by) => (5, format!(": {address} is replaced by {by}").into()),
            Self::CookiesForgotten => {
                (6, ": the server does not know our cookies any more; exchanging keys".into())
            }
            Self::KeysExchanged => (6, ": keys were exchanged".into()),
            Self::KeysUnjudged => {
                (4, ": keys were exchanged, but our clock can't judge its certificate; it has no vote".into())
            }
            Self::NoKeys { trouble, keeps, after_setting } => {
                let meanwhile = if *keeps { "; the old keys stay in use" } else { "" };
                let (severity, alarm) = match after_setting {
                    true => (
                        1,
                        "; and that although our clock was just set by such sources: somebody may be misusing old \
                         certificates; check the time by hand",
                    ),
                    false => (4, ""),
                };
                (severity, format!(": no keys: {}{meanwhile}{alarm}", trouble.sentence()).into())
            }
        }
    }
}

impl SourceNews {
    /// The sentence goes on after name and address.
    fn row(&self) -> Row {
        match self {
            Self::NotUsed(reason) => (5, format!("is not used: {}", reason.sentence()).into()),
            Self::Kissed(code) => (4, format!("answers with kiss code {code}").into()),
            Self::Heard => (6, "is heard".into()),
            Self::FirstHeard(after) => {
                (5, format!("is the first to answer, after {}", want::length(*after)).into())
            }
            Self::UsableAgain => (5, "is usable again".into()),
            Self::Restarted => (4, "changed by more than noise explains; starting again with it".into()),
            Self::Silent(why) => {
                (4, format!("has not answered eight times in a row: {}", silence(*why)).into())
            }
            Self::UnderAttack => (
                3,
                "is under attack: eight replies in a row had a wrong authentication tag; they have no effect"
                    .into(),
            ),
        }
    }
}

impl WholeNews {
    fn row(&self) -> Row {
        match self {
            Self::Bounded => {
                (4, "the estimate left the hard bounds of the measurements and was held there".into())
            }
            Self::Agreed => (5, "the sources agree again".into()),
            Self::Stuck(stuck) => {
                let divided = matches!(stuck.impasse, Impasse::NoMajority | Impasse::NoQuorum);
                (if divided { 3 } else { 4 }, stuck.sentence().into())
            }
            Self::StillStuck(age, stuck) => {
                let age = want::length(*age);
                (4, format!("for {age} no source could be followed: {}", stuck.sentence()).into())
            }
            Self::Unanswered(age, asked) => {
                let age = want::length(*age);
                (4, format!("no source has answered for {age}: {}", asked.sentence()).into())
            }
            Self::Following => (5, "the clock follows its sources".into()),
            Self::Slept => (5, "the machine slept; measuring afresh".into()),
            Self::Leapt => (5, "a leap second has passed".into()),
            Self::Unrecorded(why) => (4, (*why).into()),
        }
    }
}

impl ClockNews {
    fn row(&self) -> Row {
        match self {
            Self::Stepped(by) => (5, format!("the clock was stepped by {by:+.6} s").into()),
            Self::Moved(by) => (4, format!("somebody else moved the clock by {by:+.6} s").into()),
            Self::Detuned => (4, "somebody else changed the clock's frequency; it was set back".into()),
            Self::Abandoned => {
                (3, "no order for three hours: the clock was marked unsynchronised".into())
            }
            Self::Refused(kind, code, then) => (4, refusal::sentence(*kind, *code, *then).into()),
            Self::Held(hold) => (3, hold.sentence().into()),
            Self::SlightlyInvalid(offset) => (
                1,
                format!(
                    "our clock is {offset:+.0} s off by the word of NTS sources whose certificates it finds invalid; \
                     that is too little to pass over their certificates: check them, or set the clock by hand"
                )
                .into(),
            ),
            Self::SetUnjudged(offset, witnesses) => (
                4,
                format!(
                    "our clock is {:.1} days off, and no certificate can be judged by it; {witnesses} NTS sources \
                     agree on the time, so it is set to theirs, and then all keys are exchanged anew",
                    offset / A_DAY
                )
                .into(),
            ),
        }
    }
}

const fn silence(why: Silence) -> &'static str {
    match why {
        Silence::Deadline => "no reply in time",
        Silence::PortUnreachable => "nobody listens on its port",
        Silence::Unreachable => "there is no route to it",
        Silence::Prohibited => "a firewall forbids it",
        Silence::Local => "no socket could be had here",
    }
}

#[cfg(test)]
mod tests;
