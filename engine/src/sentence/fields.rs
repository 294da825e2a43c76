//! Events for programs: a word for each, which stays as it is, and what it is about in fields (systemd.journal-fields(7)).

use engine_core::notice::{
    ClockNotice, EntryNotice, Hold, Impasse, NoSelection, Notice, SignerNotice, Slewing, SourceNotice,
    SystemNotice,
};
use ipc::units::Span;

/// A field of a journal entry, with its value.
pub type Field = (&'static str, String);

/// The field with the word of the event.
pub const EVENT: &str = "TRUECHIMER_EVENT";
const SOURCE: &str = "TRUECHIMER_SOURCE";
const SERVER: &str = "TRUECHIMER_ROUGHTIME_SERVER";
const ADDRESS: &str = "TRUECHIMER_ADDRESS";
const REASON: &str = "TRUECHIMER_REASON";
const OFFSET: &str = "TRUECHIMER_OFFSET_SECONDS";
const DURATION: &str = "TRUECHIMER_DURATION_SECONDS";
const COUNT: &str = "TRUECHIMER_COUNT";
const BY: &str = "TRUECHIMER_BY";

/// The fields of an event; the first one is its word.
pub fn fields(notice: &Notice) -> Vec<Field> {
    match notice {
        Notice::Entry(name, notice) => {
            let (event, more) = entry(notice);
            with(event, [Some((SOURCE, name.clone())), more])
        }
        Notice::Source(name, address, notice) => {
            let (event, more) = source(notice);
            with(event, [Some((SOURCE, name.clone())), Some((ADDRESS, address.to_string())), more])
        }
        Notice::Signer(name, notice) => with(signer(*notice), [Some((SERVER, name.clone()))]),
        Notice::System(notice) => {
            let (event, more) = system(notice);
            with(event, more)
        }
        Notice::Clock(notice) => {
            let (event, more) = clock(notice);
            with(event, more)
        }
    }
}

fn with<const N: usize>(event: &str, more: [Option<Field>; N]) -> Vec<Field> {
    std::iter::once((EVENT, event.to_owned())).chain(more.into_iter().flatten()).collect()
}

fn entry(notice: &EntryNotice) -> (&'static str, Option<Field>) {
    match notice {
        EntryNotice::Duplicate => ("source-duplicate", None),
        EntryNotice::Unresolved(_) => ("source-unresolved", None),
        EntryNotice::KeptAddresses(count) => ("source-addresses-kept", Some((COUNT, count.to_string()))),
        EntryNotice::NoUsableAddress => ("source-no-usable-address", None),
        EntryNotice::AddressTaken(address, _) => {
            ("source-address-taken", Some((ADDRESS, address.to_string())))
        }
        EntryNotice::NoneAnswers(count) => ("source-none-answers", Some((COUNT, count.to_string()))),
        EntryNotice::Replaced(_, by) => ("source-address-replaced", Some((ADDRESS, by.to_string()))),
        EntryNotice::CookiesRejected => ("nts-cookies-rejected", None),
        EntryNotice::LeapNotListed => ("source-leap-not-listed", None),
        EntryNotice::KeysExchanged => ("nts-keys-exchanged", None),
        EntryNotice::KeysProvisional => ("nts-keys-provisional", None),
        EntryNotice::OneOperator { with, .. } => ("source-one-operator", Some((BY, with.join(",")))),
        EntryNotice::NoKeys { .. } => ("nts-key-exchange-failed", None),
    }
}

fn source(notice: &SourceNotice) -> (&'static str, Option<Field>) {
    match notice {
        SourceNotice::Unused(reason) => ("source-unused", Some((REASON, reason.name().to_owned()))),
        SourceNotice::Kissed(code) => ("source-kiss", Some((REASON, code.to_string()))),
        SourceNotice::Heard | SourceNotice::FirstHeard(_) => ("source-heard", None),
        SourceNotice::UsableAgain => ("source-usable-again", None),
        SourceNotice::Restarted => ("source-restarted", None),
        SourceNotice::Silent(..) | SourceNotice::ClockSilent => ("source-silent", None),
        SourceNotice::ClockDiscarded(_) => ("refclock-discarded", None),
        SourceNotice::NeverHeard { cause, .. } => {
            ("source-never-heard", cause.map(|cause| (REASON, cause.name().to_owned())))
        }
        SourceNotice::UnderAttack => ("source-under-attack", None),
        SourceNotice::Refuted => ("source-refuted", None),
        SourceNotice::Chosen(_) => ("source-replies-chosen", None),
        SourceNotice::ChosenNoMore => ("source-replies-chosen-no-more", None),
    }
}

const fn signer(notice: SignerNotice) -> &'static str {
    match notice {
        SignerNotice::Sound => "roughtime-server-sound",
        SignerNotice::Unheard(_) => "roughtime-server-unheard",
        SignerNotice::Outside | SignerNotice::Contradictory | SignerNotice::Reversed => {
            "roughtime-server-wrong"
        }
    }
}

fn system(notice: &SystemNotice) -> (&'static str, [Option<Field>; 2]) {
    let lasted = |span: &Span| Some((DURATION, seconds(span.nanos() as f64 * 1e-9)));
    let why = |found: &NoSelection| Some((REASON, impasse(found.impasse).to_owned()));
    match notice {
        SystemNotice::Bounded => ("estimate-bounded", [None, None]),
        SystemNotice::Agreed => ("sources-agree", [None, None]),
        SystemNotice::NoSelection(found) => ("sources-not-followed", [why(found), None]),
        SystemNotice::StillNoSelection(span, found) => ("sources-not-followed", [why(found), lasted(span)]),
        SystemNotice::Excused(missing) => {
            ("sources-missing", [Some((COUNT, missing.absent.to_string())), None])
        }
        SystemNotice::NoReplies(span, _) => ("sources-silent", [None, lasted(span)]),
        SystemNotice::Following => ("clock-synchronised", [None, None]),
        SystemNotice::Suspended => ("host-suspended", [None, None]),
        SystemNotice::Paused(span) => ("host-paused", [None, lasted(span)]),
        SystemNotice::Disrupted => ("host-disrupted", [None, None]),
        SystemNotice::SignedTime(_) => ("signed-time", [None, None]),
        SystemNotice::NoSignedTime(_) => ("signed-time-missing", [None, None]),
        SystemNotice::Malfeasance => ("roughtime-malfeasance", [None, None]),
        SystemNotice::LeapSecond => ("leap-second", [None, None]),
        SystemNotice::LeapByList => ("leap-second-listed", [None, None]),
        SystemNotice::LeapList(_) => ("leap-list", [None, None]),
        SystemNotice::RecordingEnded(_) => ("recording-ended", [None, None]),
    }
}

fn clock(notice: &ClockNotice) -> (&'static str, [Option<Field>; 2]) {
    let offset = |offset: f64| Some((OFFSET, seconds(offset)));
    match notice {
        ClockNotice::Stepped(by) | ClockNotice::SteppedForward(by) => ("clock-stepped", [offset(*by), None]),
        ClockNotice::SteppedByOther(by) => ("clock-stepped-by-other", [offset(*by), None]),
        ClockNotice::Kept(by, sources) => {
            ("clock-step-by-other-kept", [offset(*by), Some((COUNT, sources.to_string()))])
        }
        ClockNotice::FrequencyChangedByOther => ("clock-frequency-changed-by-other", [None, None]),
        ClockNotice::BandNarrowed => ("governor-band-narrowed", [None, None]),
        ClockNotice::NoOrders => ("governor-no-orders", [None, None]),
        ClockNotice::Refused(_, refusal, _) => {
            ("governor-refused", [Some((REASON, refusal.name().to_owned())), None])
        }
        ClockNotice::Held(Hold { offset: by, refusal, .. }) => {
            ("clock-held", [offset(*by), refusal.map(|refusal| (REASON, refusal.name().to_owned()))])
        }
        ClockNotice::Slewing(Slewing { offset: by, left, .. }) => {
            let left = left.map(|left| (DURATION, seconds(left.nanos() as f64 * 1e-9)));
            ("clock-slewing", [offset(*by), left])
        }
        ClockNotice::CertificatesInvalid(by) => ("clock-certificates-invalid", [offset(*by), None]),
        ClockNotice::SetProvisionally(by, sources) => {
            ("clock-set-provisionally", [offset(*by), Some((COUNT, sources.to_string()))])
        }
    }
}

const fn impasse(impasse: Impasse) -> &'static str {
    match impasse {
        Impasse::NoSources => "no-sources",
        Impasse::NoMajority => "no-majority",
        Impasse::NoQuorum => "no-quorum",
        Impasse::TooFew => "too-few",
        Impasse::Refuted => "refuted",
        Impasse::RequiredMissing => "required-missing",
        Impasse::Unauthenticated => "unauthenticated",
        Impasse::Silent => "silent",
    }
}

/// In seconds, to the nanosecond.
fn seconds(value: f64) -> String {
    format!("{value:.9}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipc::message::privileged::Refusal;

    fn texts(notice: &Notice) -> Vec<String> {
        fields(notice).into_iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    #[test]
    fn an_event_says_in_fields_what_its_sentence_says() {
        let address = "192.0.2.1:123".parse().expect("it is one");
        let silent = SourceNotice::Unused(report::RejectReason::Unsynchronised);
        let expected = [
            "TRUECHIMER_EVENT=source-unused",
            "TRUECHIMER_SOURCE=a.example",
            "TRUECHIMER_ADDRESS=192.0.2.1:123",
            "TRUECHIMER_REASON=unsynchronised",
        ];
        assert_eq!(texts(&Notice::Source("a.example".to_owned(), address, silent)), expected);
        let stepped = Notice::Clock(ClockNotice::Stepped(-0.25));
        assert_eq!(
            texts(&stepped),
            ["TRUECHIMER_EVENT=clock-stepped", "TRUECHIMER_OFFSET_SECONDS=-0.250000000"]
        );
        let hold = Hold { offset: 7.5, refusal: Some(Refusal::Budget), is_unallowed: false };
        let expected = [
            "TRUECHIMER_EVENT=clock-held",
            "TRUECHIMER_OFFSET_SECONDS=7.500000000",
            "TRUECHIMER_REASON=budget",
        ];
        assert_eq!(texts(&Notice::Clock(ClockNotice::Held(hold))), expected);
    }
}
