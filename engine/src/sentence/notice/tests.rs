use super::*;
use engine_core::io::OrderKind;
use engine_core::notice::{
    AfterRefusal, EntryCounts, Hold, Impasse, KeyExchangeFailure, Kinship, ListNotice, Missing, NoSelection,
    RecordingFailure, Short, Slewing, Weight,
};
use ipc::message::exchange::{ExchangeFailure, LookupFailure, Organisation};
use ipc::message::privileged::Refusal;
use protocol::kiss::KissCode;
use report::RejectReason;
use std::net::SocketAddr;

/// Every kind of notice once, with weight, severity and sentence as they stand in the log.
#[test]
fn each_notice_has_its_line() {
    let address: SocketAddr = "192.0.2.1:123".parse().unwrap();
    let other: SocketAddr = "[2001:db8::1]:123".parse().unwrap();
    let entry = |news| Notice::Entry("a.example".to_string(), news);
    let source = |news| Notice::Source("a.example".to_string(), address, news);
    let stuck =
        |impasse| NoSelection { impasse, minimum: 2, of: 3, missing: Missing::default(), answered: false };
    let no_keys = |keeps, after_setting| {
        entry(EntryNotice::NoKeys {
            failure: KeyExchangeFailure::Failed(ExchangeFailure::NoAlpn),
            at: None,
            keeps,
            after_setting,
        })
    };
    let one_operator = |count, kinship| {
        let with = (0..count).map(|n| format!("s{n}.example")).collect();
        let organisation = Organisation::of("Example \"Ltd\"");
        entry(EntryNotice::OneOperator { with, kinship, organisation })
    };
    let refused = |then| Notice::Clock(ClockNotice::Refused(OrderKind::Step, Refusal::TooSoon, then));
    let asked = EntryCounts { of: 2, queried: 1, ..EntryCounts::default() };
    let hour = Span::from_secs(7_200);
    use Weight::{Change, Clock, Fault, Line};
    let lines: &[(Notice, Weight, u8, &str)] = &[
        (entry(EntryNotice::Duplicate), Line, 4, "source a.example is configured twice; it has one vote"),
        (
            one_operator(1, Kinship::Organisation),
            Line,
            4,
            "source a.example: its certificate shows the same operator as that of s0.example, by the organisation \
             \"Example \\\"Ltd\\\"\"; this changes no vote: configure sources of other operators too, if they are to check \
             each other",
        ),
        (
            one_operator(6, Kinship::Certificate),
            Line,
            4,
            "source a.example: its certificate shows the same operator as those of s0.example, s1.example, s2.example, \
             s3.example and 2 more, by a certificate that is for the names of both; this changes no vote: configure \
             sources of other operators too, if they are to check each other",
        ),
        (
            entry(EntryNotice::Unresolved(LookupFailure::NoSuchName)),
            Fault,
            4,
            "source a.example: its name is not resolved: the name does not exist; check its spelling; it is looked up \
             again",
        ),
        (
            entry(EntryNotice::KeptAddresses(1)),
            Line,
            4,
            "source a.example is not resolved; its address of the last run is used until it is",
        ),
        (
            entry(EntryNotice::KeptAddresses(4)),
            Line,
            4,
            "source a.example is not resolved; its 4 addresses of the last run are used until it is",
        ),
        (
            entry(EntryNotice::NoUsableAddress),
            Fault,
            4,
            "source a.example: none of the addresses of its name is one that a server can have; they are not used \
             (link-local ones only with allow-link-local = true)",
        ),
        (
            entry(EntryNotice::NoneAnswers(1)),
            Line,
            4,
            "source a.example: the only address of its name does not answer; it is asked again",
        ),
        (
            entry(EntryNotice::NoneAnswers(8)),
            Line,
            4,
            "source a.example: none of the 8 addresses of its name answers; they are tried in turn",
        ),
        (
            entry(EntryNotice::AddressTaken(address, "b.example".to_string())),
            Line,
            5,
            "source a.example: 192.0.2.1:123 belongs to b.example",
        ),
        (
            entry(EntryNotice::Replaced(address, other)),
            Line,
            5,
            "source a.example: 192.0.2.1:123 is replaced by [2001:db8::1]:123",
        ),
        (
            entry(EntryNotice::CookiesRejected),
            Line,
            6,
            "source a.example: the server does not accept our cookies any more; exchanging keys",
        ),
        (entry(EntryNotice::KeysExchanged), Line, 6, "source a.example: keys were exchanged"),
        (
            entry(EntryNotice::KeysProvisional),
            Line,
            4,
            "source a.example: keys were exchanged, but our clock cannot judge its certificate; it has no vote",
        ),
        (
            no_keys(true, false),
            Line,
            4,
            "source a.example: no keys: the server does not speak NTS key exchange (protocol ntske/1); the old keys \
             stay in use",
        ),
        (
            no_keys(false, true),
            Line,
            1,
            "source a.example: no keys: the server does not speak NTS key exchange (protocol ntske/1), \
             although our clock was just set by such sources: old certificates may be misused; check the time by hand",
        ),
        (
            source(SourceNotice::Unused(RejectReason::Loop)),
            Line,
            5,
            "source a.example (192.0.2.1:123) is not used: it gets its time from this host",
        ),
        (
            source(SourceNotice::Kissed(KissCode::Rate)),
            Line,
            4,
            "source a.example (192.0.2.1:123) answers with kiss code RATE instead of the time",
        ),
        (source(SourceNotice::Heard), Line, 6, "source a.example (192.0.2.1:123) is heard"),
        (
            source(SourceNotice::FirstHeard(Span::from_secs(119))),
            Change,
            5,
            "source a.example (192.0.2.1:123) is the first to answer, after 119 s",
        ),
        (source(SourceNotice::UsableAgain), Line, 5, "source a.example (192.0.2.1:123) is usable again"),
        (
            source(SourceNotice::Restarted),
            Line,
            4,
            "source a.example (192.0.2.1:123) changed by more than noise explains; its measurement is started again",
        ),
        (
            source(SourceNotice::Silent(Silence::Prohibited, None)),
            Line,
            4,
            "source a.example (192.0.2.1:123) has not answered eight times in a row: a firewall forbids it",
        ),
        (
            source(SourceNotice::NeverHeard {
                obstacle: Some(Silence::PortUnreachable),
                cause: None,
                key: None,
            }),
            Line,
            4,
            "source a.example (192.0.2.1:123) has not answered since it is asked: no server listens on its port",
        ),
        (
            source(SourceNotice::NeverHeard { obstacle: None, cause: None, key: None }),
            Line,
            4,
            "source a.example (192.0.2.1:123) has not answered since it is asked; check its address and the firewall \
             (UDP port 123)",
        ),
        (
            source(SourceNotice::NeverHeard { obstacle: None, cause: None, key: Some(10) }),
            Line,
            4,
            "source a.example (192.0.2.1:123) has not answered since it is asked; check its address and the firewall \
             (UDP port 123); or the server does not have key 10 as it is here (number, type and key must be the same on both sides)",
        ),
        (
            source(SourceNotice::UnderAttack),
            Line,
            3,
            "source a.example (192.0.2.1:123) is under attack: eight replies in a row had a wrong authentication tag; \
             they have no effect",
        ),
        (
            Notice::System(SystemNotice::Bounded),
            Line,
            4,
            "the estimate left the hard bounds of the measurements and was held there",
        ),
        (Notice::System(SystemNotice::Agreed), Change, 5, "the sources agree again"),
        (
            Notice::System(SystemNotice::NoSelection(stuck(Impasse::NoMajority))),
            Change,
            3,
            "the sources do not agree, and no more than half of them agree on anything; the clock runs on as it is: \
             find out which are wrong",
        ),
        (
            Notice::System(SystemNotice::Excused(Missing { heard: 1, absent: 2, ..Missing::default() })),
            Change,
            4,
            "2 of 3 sources with a vote have not answered since the start: their votes no longer count, and the one \
             that answers is followed; chimerctl sources says why they are silent (minimum-sources sets how many must \
             agree)",
        ),
        (
            Notice::System(SystemNotice::StillNoSelection(hour, stuck(Impasse::TooFew))),
            Change,
            4,
            "for 2 h no source could be followed: fewer sources agree than the 2 that minimum-sources asks for (those \
             of one operator count once); the clock runs on",
        ),
        (
            Notice::System(SystemNotice::NoReplies(hour, asked)),
            Change,
            4,
            "no source has answered for 2 h: 1 of 2 sources was asked, and none answered; check the network, the \
             firewall (UDP port 123) and the addresses",
        ),
        (Notice::System(SystemNotice::Following), Change, 5, "the clock follows its sources"),
        (Notice::System(SystemNotice::Suspended), Change, 5, "the host was suspended; measuring afresh"),
        (
            Notice::System(SystemNotice::Paused(Span::from_secs(3_600))),
            Change,
            5,
            "the machine was paused for about 3600 s, as its hardware clock shows; measuring afresh",
        ),
        (
            Notice::System(SystemNotice::Disrupted),
            Change,
            5,
            "the machine was migrated or restored, as its hypervisor says (vmclock); measuring afresh",
        ),
        (Notice::System(SystemNotice::LeapSecond), Change, 5, "a leap second has passed"),
        (
            Notice::System(SystemNotice::LeapList(ListNotice::Ending(27))),
            Change,
            4,
            "the list of leap seconds ends in 27 days; install a newer tzdata, then chimerctl reload",
        ),
        (
            Notice::System(SystemNotice::LeapList(ListNotice::Renewed)),
            Change,
            5,
            "the list of leap seconds is in force again",
        ),
        (
            Notice::System(SystemNotice::RecordingEnded(RecordingFailure::Full)),
            Line,
            4,
            "the recording is full and ends here; a restart begins a new one",
        ),
        (Notice::Clock(ClockNotice::Stepped(-1.5)), Clock, 5, "the clock was stepped by -1.500000 s"),
        (
            Notice::Clock(ClockNotice::SteppedByOther(0.25)),
            Clock,
            4,
            "another program moved the clock by +0.250000 s",
        ),
        (
            Notice::Clock(ClockNotice::Kept(60.0, 3)),
            Clock,
            5,
            "the change of the clock by +60.000000 s is kept: 3 sources agree with the new time",
        ),
        (
            Notice::Clock(ClockNotice::FrequencyChangedByOther),
            Clock,
            4,
            "another program changed the clock's frequency; it was set back",
        ),
        (
            Notice::Clock(ClockNotice::BandNarrowed),
            Clock,
            4,
            "the governor's band has narrowed: the clock's frequency was outside it, and is at its edge now",
        ),
        (
            Notice::Clock(ClockNotice::NoOrders),
            Clock,
            3,
            "no order for three hours: the clock was marked unsynchronised",
        ),
        (
            refused(AfterRefusal::Nothing),
            Clock,
            4,
            "the governor refused a step (too-soon): the last such step was too recent, or those of the last 24 \
             hours used up what is allowed of them",
        ),
        (
            refused(AfterRefusal::Slewed),
            Clock,
            4,
            "the governor refused a step (too-soon): the last such step was too recent, or those of the last 24 \
             hours used up what is allowed of them; it is slewed \
             instead",
        ),
        (
            Notice::Clock(ClockNotice::Held(Hold {
                offset: -1800.0,
                refusal: Some(Refusal::TooSoon),
                is_unallowed: false,
            })),
            Clock,
            3,
            "the clock is 1800 s fast and stays so: the governor refused to set it (too-soon), and it is too far off \
             to slew; run chimerctl step --approve 1819 to step it",
        ),
        (
            Notice::Clock(ClockNotice::Held(Hold {
                offset: 1800.0,
                refusal: Some(Refusal::Evidence),
                is_unallowed: true,
            })),
            Clock,
            3,
            "the clock is 1800 s slow and stays so: the governor refused to set it (evidence), and it is too far off \
             to slew; run chimerctl step --approve 1819 to step it, or allow such steps with allow-forward-steps, if \
             the machine may be paused and has no hardware clock that shows it",
        ),
        (
            Notice::Clock(ClockNotice::Slewing(Slewing {
                offset: 100.0,
                rate_ppm: 10.0,
                left: Some(Span::from_secs(10_000_000)),
                short: None,
                is_reduced: true,
                is_unallowed: false,
            })),
            Clock,
            4,
            "the clock is 100 s slow and is slewed to the time of its sources, which takes about 115 days at 10.0 ppm, as \
             the governor's allowance is used up; run chimerctl step --approve 102 to step it at once",
        ),
        (
            Notice::Clock(ClockNotice::Slewing(Slewing {
                offset: 8.25,
                rate_ppm: -32.0,
                left: None,
                short: Some(Short { needed_ppm: 132.0, granted_ppm: 100.0, is_strict: true }),
                is_reduced: true,
                is_unallowed: false,
            })),
            Clock,
            4,
            "the clock is 8.2 s slow and goes 2.8 s a day farther from the time of its sources, as the governor's allowance \
             is used up: its oscillator needs a base frequency of +132 ppm, and the governor's band ends at +100 ppm; the band \
             follows it slowly and no farther than the profile allows: check the sources and the oscillator, or begin the band \
             anew, once and by hand (commands: truechimerd(8), \"A lost record\")",
        ),
        (
            Notice::Clock(ClockNotice::Slewing(Slewing {
                offset: -0.0125,
                rate_ppm: -300.0,
                left: None,
                short: Some(Short { needed_ppm: -151.0, granted_ppm: -50.0, is_strict: false }),
                is_reduced: false,
                is_unallowed: false,
            })),
            Clock,
            4,
            "the clock is 0.013 s fast and goes 25.9 s a day farther from the time of its sources: its oscillator needs a base \
             frequency of -151 ppm, and the governor's band ends at -50 ppm; hardly any quartz is so far off, but a clock \
             source that the kernel or the hypervisor has calibrated wrongly may be: boot with another one (kernel option \
             clocksource=; those that this machine has are in \
             /sys/devices/system/clocksource/clocksource0/available_clocksource), or begin the band anew, once and by hand \
             (commands: truechimerd(8), \"A lost record\")",
        ),
        (
            Notice::Clock(ClockNotice::Slewing(Slewing {
                offset: -0.35,
                rate_ppm: 0.0,
                left: None,
                short: None,
                is_reduced: true,
                is_unallowed: false,
            })),
            Clock,
            4,
            "the clock is 0.350 s fast and does not come nearer now: at the edge of the governor's band a slew is paid from \
             its allowance, which is used up and earned back over a day; run chimerctl step --approve 2 to step it at \
             once",
        ),
        (
            Notice::Clock(ClockNotice::Slewing(Slewing {
                offset: 60.0,
                rate_ppm: 200.0,
                left: Some(Span::from_secs(300_000)),
                short: None,
                is_reduced: false,
                is_unallowed: true,
            })),
            Clock,
            4,
            "the clock is 60 s slow and is slewed to the time of its sources, which takes at least 3 days at 200.0 ppm; \
             run chimerctl step --approve 62 to step it at once, or allow such steps with allow-forward-steps, if the machine may \
             be paused and has no hardware clock that shows it",
        ),
        (
            Notice::Clock(ClockNotice::CertificatesInvalid(60.0)),
            Clock,
            1,
            "our clock is +60 s off according to NTS sources whose certificates it finds invalid; that is too little \
             to ignore their certificates: check them, or set the clock by hand",
        ),
        (
            Notice::Clock(ClockNotice::SetProvisionally(172_800.0, 2)),
            Clock,
            4,
            "our clock is 2.0 days off, and no certificate can be judged by it; 2 NTS sources agree on the time, so it \
             is set to theirs, and then all keys are exchanged anew",
        ),
    ];
    for (notice, weight, severity, sentence) in lines {
        assert_eq!(notice.sentence(), *sentence);
        assert_eq!((notice.weight(), notice.severity()), (*weight, *severity), "{sentence}");
    }
}
