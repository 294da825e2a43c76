//! Events for the log.

use super::{Sentence, Text};
use engine_core::notice::{
    ClockNotice, EntryNotice, Kinship, ListNotice, Missing, NoSignedTime, Notice, SignerNotice, SourceNotice,
    SystemNotice,
};
use ipc::message::client::Silence;
use ipc::message::refclock::Discarded;
use ipc::units::Span;

/// A day in seconds.
const DAY: f64 = 86_400.0;

impl Sentence for Notice {
    fn sentence(&self) -> Text {
        match self {
            Self::Entry(name, notice) => format!("source {name}{}", entry(notice)).into(),
            Self::Source(name, address, notice) => {
                format!("source {name} ({address}) {}", source(notice)).into()
            }
            Self::Signer(name, notice) => format!("Roughtime server {name} {}", signer(*notice)).into(),
            Self::System(notice) => system(notice),
            Self::Clock(notice) => clock(notice),
        }
    }
}

/// The rest of a sentence that begins with the name.
fn entry(notice: &EntryNotice) -> Text {
    match notice {
        EntryNotice::Duplicate => " is configured twice; it has one vote".into(),
        EntryNotice::Unresolved(why) => {
            format!(": its name is not resolved: {}; it is looked up again", super::key_exchange::lookup(*why)).into()
        }
        EntryNotice::KeptAddresses(count) => {
            let addresses = if *count == 1 { "its address" } else { &format!("its {count} addresses") };
            format!(
                " is not resolved; {addresses} of the last run {} used until it is",
                if *count == 1 { "is" } else { "are" }
            )
            .into()
        }
        EntryNotice::NoUsableAddress => {
            ": none of the addresses of its name is one that a server can have; they are not used (link-local ones \
             only with allow-link-local = true)"
                .into()
        }
        EntryNotice::NoneAnswers(1) => {
            ": the only address of its name does not answer; it is asked again".into()
        }
        EntryNotice::NoneAnswers(count) => {
            format!(": none of the {count} addresses of its name answers; they are tried in turn").into()
        }
        EntryNotice::AddressTaken(address, by) => format!(": {address} belongs to {by}").into(),
        EntryNotice::Replaced(address, by) => format!(": {address} is replaced by {by}").into(),
        EntryNotice::CookiesRejected => {
            ": the server does not accept our cookies any more; exchanging keys".into()
        }
        EntryNotice::LeapNotListed => {
            " announces a leap second for today that the list of leap seconds does not have; it is not believed".into()
        }
        EntryNotice::KeysExchanged => ": keys were exchanged".into(),
        EntryNotice::KeysProvisional => {
            ": keys were exchanged, but our clock cannot judge its certificate; it has no vote".into()
        }
        EntryNotice::OneOperator { with, kinship, organisation } => {
            one_operator(with, *kinship, organisation.as_str()).into()
        }
        EntryNotice::NoKeys { failure, at, keeps, after_setting } => {
            let place = at.map_or(String::new(), |at| format!(" from {at}"));
            let meanwhile = if *keeps { "; the old keys stay in use" } else { "" };
            let alarm = match after_setting {
                true => {
                    ", although our clock was just set by such sources: old certificates may be misused; check the \
                     time by hand"
                }
                false => "",
            };
            format!(": no keys{place}: {}{meanwhile}{alarm}", failure.sentence()).into()
        }
    }
}

/// That certificates show one operator.
fn one_operator(with: &[String], kinship: Kinship, organisation: &str) -> String {
    const MOST_NAMES: usize = 4;
    let mut names = with.iter().take(MOST_NAMES).map(String::as_str).collect::<Vec<_>>().join(", ");
    if with.len() > MOST_NAMES {
        names += &format!(" and {} more", with.len() - MOST_NAMES);
    }
    let those = if with.len() == 1 { "that" } else { "those" };
    let by = match kinship {
        Kinship::Organisation => &format!("the organisation \"{organisation}\""),
        Kinship::Certificate => "a certificate that is for the names of both",
    };
    format!(
        ": its certificate shows the same operator as {those} of {names}, by {by}; this changes no vote: configure sources \
         of other operators too, if they are to check each other"
    )
}

/// The rest of a sentence that begins with name and address.
fn source(notice: &SourceNotice) -> Text {
    match notice {
        SourceNotice::Unused(reason) => format!("is not used: {}", reason.sentence()).into(),
        SourceNotice::Kissed(code) => format!("answers with kiss code {code} instead of the time").into(),
        SourceNotice::Heard => "is heard".into(),
        SourceNotice::FirstHeard(after) => {
            format!("is the first to answer, after {}", duration(*after)).into()
        }
        SourceNotice::UsableAgain => "is usable again".into(),
        SourceNotice::Restarted => {
            "changed by more than noise explains; its measurement is started again".into()
        }
        SourceNotice::Silent(why, key) => {
            let said = format!("has not answered eight times in a row: {}", why.sentence());
            super::packet_test::keyed(said.into(), *key)
        }
        SourceNotice::NeverHeard { obstacle, cause, key } => {
            let why = super::packet_test::silence(*obstacle, *cause);
            super::packet_test::keyed(format!("has not answered since it is asked{why}").into(), *key)
        }
        SourceNotice::Chosen(chosen) => format!("may be under attack: {}", chosen.sentence()).into(),
        SourceNotice::ChosenNoMore => "loses replies by chance again, if at all".into(),
        SourceNotice::Refuted => {
            "is not used: signed answers of most Roughtime servers exclude its time, however many sources agree with it".into()
        }
        SourceNotice::ClockSilent => {
            "has said nothing of use in its last eight intervals; look at its receiver, and at the program that sends its time: if that was started \
             before this daemon, restart it"
                .into()
        }
        SourceNotice::ClockDiscarded(discarded) => clock_discarded(discarded).into(),
        SourceNotice::UnderAttack => {
            "is under attack: eight replies in a row had a wrong authentication tag; they have no effect"
                .into()
        }
    }
}

/// What came from a reference clock and was no sample.
fn clock_discarded(discarded: &Discarded) -> String {
    let Discarded { malformed, untimely, excess, .. } = *discarded;
    let parts = [
        (malformed, "no samples of SOCK"),
        (untimely, "more than 2 s old, or still to come, by the system's clock"),
        (excess, "more than 20 a second"),
    ];
    let said: Vec<String> = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} were {what}"))
        .collect();
    format!("sends what is not used: {}; look at the program that sends its time", said.join(", "))
}

/// What is said of a Roughtime server, behind its name.
pub fn signer(notice: SignerNotice) -> Text {
    match notice {
        SignerNotice::Sound => "answers and agrees with the others again".into(),
        SignerNotice::Unheard(heard) => format!("gave no valid answer: {}", heard.sentence()).into(),
        SignerNotice::Outside => {
            "has signed a time that most of the others exclude; it counts for nothing, and if it lasts, take it out of [roughtime]"
                .into()
        }
        SignerNotice::Contradictory => {
            "has signed times that exclude each other; it counts for nothing, and if it lasts, take it out of [roughtime]"
                .into()
        }
        SignerNotice::Reversed => {
            "has signed a time that excludes what was signed before, which another server and this host's sources support; \
             if it lasts, take it out of [roughtime]"
                .into()
        }
    }
}

fn no_signed_time(why: NoSignedTime) -> &'static str {
    match why {
        NoSignedTime::Failed(reason) => reason.sentence(),
        NoSignedTime::Unverified => {
            "the process that asked says of answers that they are valid, and they are not; the kernel's log may say why"
        }
        NoSignedTime::NoMajority => {
            "no time is one that more than half of the servers that were asked have signed; the log has more on each of them"
        }
        NoSignedTime::Implausible => {
            "it would be before the earliest plausible time, so that most of the servers are wrong, or this host's record is"
        }
        NoSignedTime::Reversed => {
            "most of the servers exclude what was signed before, and another one and this host's sources support that; it counts on \
             for a day at most: replace the servers that are wrong"
        }
    }
}

fn system(notice: &SystemNotice) -> Text {
    match notice {
        SystemNotice::SignedTime(within) => {
            let seconds = within.nanos() as f64 * 1e-9;
            format!("Roughtime servers have signed what time it is, to ±{seconds:.1} s; no source is followed beyond that").into()
        }
        SystemNotice::NoSignedTime(why) => {
            format!("no signed time of Roughtime servers: {}", no_signed_time(*why)).into()
        }
        SystemNotice::Malfeasance => {
            "signed answers of Roughtime servers exclude each other: at least one of them has signed a wrong time".into()
        }
        SystemNotice::Bounded => {
            "the estimate left the hard bounds of the measurements and was held there".into()
        }
        SystemNotice::Agreed => "the sources agree again".into(),
        SystemNotice::NoSelection(found) => found.sentence(),
        SystemNotice::Excused(missing) => excused(*missing),
        SystemNotice::StillNoSelection(age, found) => {
            format!("for {} no source could be followed: {}", duration(*age), found.sentence()).into()
        }
        SystemNotice::NoReplies(age, counts) if counts.unusable > 0 => {
            format!("no source could be used for {}: {}", duration(*age), counts.sentence()).into()
        }
        SystemNotice::NoReplies(age, counts) => {
            format!("no source has answered for {}: {}", duration(*age), counts.sentence()).into()
        }
        SystemNotice::Following => "the clock follows its sources".into(),
        SystemNotice::Suspended => "the host was suspended; measuring afresh".into(),
        SystemNotice::Paused(size) => format!(
            "the machine was paused for about {} s, as its hardware clock shows; measuring afresh",
            size.seconds()
        )
        .into(),
        SystemNotice::Disrupted => {
            "the machine was migrated or restored, as its hypervisor says (vmclock); measuring afresh".into()
        }
        SystemNotice::LeapSecond => "a leap second has passed".into(),
        SystemNotice::LeapByList => "the list of leap seconds has one at the end of this day, and no source announces it; it is made all \
                                     the same (leap-seconds-list = false if the sources smear it, truechimer.toml(5))"
            .into(),
        SystemNotice::LeapList(list) => leap_list(*list),
        SystemNotice::RecordingEnded(failure) => failure.sentence(),
    }
}

fn leap_list(notice: ListNotice) -> Text {
    match notice {
        ListNotice::Ending(days) => {
            format!("the list of leap seconds ends in {days} days; install a newer tzdata, then chimerctl reload").into()
        }
        ListNotice::Expired => "the list of leap seconds has ended and counts for nothing: leap seconds are believed by the majority \
                                of the sources; install a newer tzdata, then chimerctl reload"
            .into(),
        ListNotice::Future => "the list of leap seconds was written in the future, by the time of the sources, and counts for nothing; \
                               check both"
            .into(),
        ListNotice::Renewed => "the list of leap seconds is in force again".into(),
    }
}

fn excused(missing: Missing) -> Text {
    let Missing { heard, absent, .. } = missing;
    let (have, votes) = if absent == 1 {
        ("has", "its vote no longer counts")
    } else {
        ("have", "their votes no longer count")
    };
    let rest = if heard == 1 { "the one that answers is" } else { "those that answer are" };
    format!(
        "{absent} of {} with a vote {have} not answered since the start: {votes}, and {rest} followed; chimerctl \
         sources says why they are silent (minimum-sources sets how many must agree)",
        super::sources(heard + absent)
    )
    .into()
}

fn clock(notice: &ClockNotice) -> Text {
    match notice {
        ClockNotice::Stepped(by) => format!("the clock was stepped by {by:+.6} s").into(),
        ClockNotice::SteppedForward(by) => format!(
            "the clock was stepped forward by {by:+.6} s, as allow-forward-steps allows: the sources agree, and nothing on \
             this host shows why it was behind"
        )
        .into(),
        ClockNotice::SteppedByOther(by) => format!("another program moved the clock by {by:+.6} s").into(),
        ClockNotice::Kept(by, sources) => {
            let agree = if *sources == 1 { "source agrees" } else { "sources agree" };
            format!("the change of the clock by {by:+.6} s is kept: {sources} {agree} with the new time").into()
        }
        ClockNotice::FrequencyChangedByOther => {
            "another program changed the clock's frequency; it was set back".into()
        }
        ClockNotice::BandNarrowed => {
            "the governor's band has narrowed: the clock's frequency was outside it, and is at its edge now".into()
        }
        ClockNotice::NoOrders => "no order for three hours: the clock was marked unsynchronised".into(),
        ClockNotice::Refused(kind, refusal, then) => super::refusal::refused(*kind, *refusal, *then),
        ClockNotice::Slewing(slewing) => slewing.sentence(),
        ClockNotice::Held(hold) => hold.sentence(),
        ClockNotice::CertificatesInvalid(offset) => format!(
            "our clock is {offset:+.0} s off according to NTS sources whose certificates it finds invalid; that is \
             too little to ignore their certificates: check them, or set the clock by hand"
        )
        .into(),
        ClockNotice::SetProvisionally(offset, witnesses) => format!(
            "our clock is {:.1} days off, and no certificate can be judged by it; {witnesses} NTS sources agree on \
             the time, so it is set to theirs, and then all keys are exchanged anew",
            offset / DAY
        )
        .into(),
    }
}

/// Why a query was not answered.
impl Sentence for Silence {
    fn sentence(&self) -> Text {
        match self {
            Self::Deadline => "no reply in time",
            Self::PortUnreachable => "no server listens on its port",
            Self::Unreachable => "there is no route to it",
            Self::Prohibited => "a firewall forbids it",
            Self::Local => "no socket, port or buffer is free on this host; check its memory and its limits",
            Self::NoInterface => {
                "this host has no interface of the name in `send-over` now; ip link shows which there are"
            }
            Self::NoAddress => "no interface of this host has the address in `send-from` now; ip address shows which there are",
        }
        .into()
    }
}

/// In a suitable unit.
pub(super) fn duration(span: Span) -> String {
    match span.nanos() / 1_000_000_000 {
        seconds if seconds < 120 => format!("{seconds} s"),
        seconds if seconds < 7_200 => format!("{} min", seconds / 60),
        seconds if seconds < 172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests;
