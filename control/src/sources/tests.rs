//! What is shown of the sources.

use super::*;

const TEXT: Form = Form::Text(Screen::WIDE);

fn answer() -> Value {
    json!({ "sources": [
        {
            "name": "ntp.example.org", "address": "192.0.2.1:123", "state": "selected", "reason": "best",
            "authenticated": false, "stratum": 2, "reach": 255, "poll": 6, "offset_s": -2e-6,
            "rejected": { "bad_origin": 3 }, "colour": "blue",
        },
        {
            "name": "[2001:db8::1]:1123", "address": "[2001:db8::1]:1123", "state": "\u{1b}c",
            "offset_s": null, "delay_s": null, "rejected": {},
        },
    ] })
}

fn sources(answer: &Value) -> Vec<SourceReport> {
    read::<SourcesReply>(answer).unwrap().sources.unwrap()
}

#[test]
fn sources_of_one_operator_are_named_below_the_table_and_on_their_pages() {
    let nts = json!({ "organisation": "Example\u{1b} Ltd", "one_operator": ["b.example", "c.example"] });
    let other = json!({ "name": "b.example", "nts": { "organisation": "", "one_operator": [] } });
    let answer = json!({ "sources": [{ "name": "a.example", "nts": nts }, other, { "name": "d.example" }] });
    let page = list_page(&read(&answer).unwrap(), false, Screen::WIDE);
    let lines: Vec<&str> = page.lines().skip(4).collect();
    assert_eq!(lines, ["one operator:  a.example and b.example, c.example, as certificates show"]);
    let detail = find(&answer, &Value::Null, "a.example", TEXT).ok().unwrap();
    assert!(detail.contains("Example\\u{1b} Ltd") && detail.contains("b.example, c.example"), "{detail}");
    let row = |begin: &str| {
        let page = find(&answer, &Value::Null, "b.example", TEXT).ok().unwrap();
        let line = page.lines().find(|line| line.starts_with(begin)).unwrap().to_owned();
        line.split_whitespace().last().unwrap().to_owned()
    };
    assert_eq!((row("organisation"), row("one operator with")), ("-".to_owned(), "-".to_owned()));
}

#[test]
fn each_source_is_one_line() {
    let page = list_page(&read(&answer()).unwrap(), false, Screen::WIDE);
    assert_eq!(page.lines().count(), 3);
    let line = page.lines().nth(1).unwrap();
    for part in ["selected", "ntp.example.org", "192.0.2.1:123", "377", "-2.000 µs"] {
        assert!(line.contains(part), "{line}");
    }
    assert!(!page.contains('\u{1b}'));
    assert_eq!(list_page(&SourcesReply::default(), false, Screen::WIDE), "no source is configured\n");
}

#[test]
fn a_long_line_has_what_is_measured_and_the_whole_reason() {
    let answer: Value = serde_json::from_str(include_str!("../../../ipc/report/tests/sources.json")).unwrap();
    let page = list_page(&read(&answer).unwrap(), true, Screen::WIDE);
    let lines: Vec<&str> = page.lines().collect();
    let end = "SPAN    DEVIATION  FREQUENCY   ± ERROR    WHY";
    assert!(lines[0].ends_with(end), "{page}");
    let end = "68 min  35.000 µs  -0.125 ppm  0.062 ppm  it agrees with the majority and is the nearest to true time";
    assert!(lines[1].ends_with(end), "{page}");
    assert!(lines[2].ends_with("its name is not resolved yet; it is being looked up"), "{page}");
}

#[test]
fn a_source_that_is_not_used_says_why_on_its_line_and_others_do_not() {
    let said = |state: &str, reason: &str| SourceReport {
        state: Some(state.into()),
        reason: Some(reason.to_owned()),
        ..SourceReport::default()
    };
    let reason = |state: &str, reason: &str| short_reason(&said(state, reason));
    let never = "it has never answered; check its address and the firewall (UDP port 123)";
    assert_eq!(reason("unreachable", never), "it has never answered");
    for used in ["selected", "combined"] {
        assert_eq!(reason(used, never), "");
    }
    let long = "é".repeat(MAX_REASON + 1);
    assert_eq!(reason("x", &long), "é".repeat(MAX_REASON) + "…");
    assert_eq!(reason("x", &long[2..]), long[2..]);
    assert_eq!(short_reason(&SourceReport::default()), "");

    let unreachable = SourceReport { last_valid_s: Some(9.0), ..said("unreachable", never) };
    let page =
        list_page(&SourcesReply { sources: Some(vec![unreachable]), format: None }, false, Screen::WIDE);
    assert!(page.lines().next().unwrap().ends_with("LAST     ADDRESS  WHY"), "{page}");
    assert!(page.lines().nth(1).unwrap().ends_with("9.000 s  -        it has never answered"), "{page}");
}

#[test]
fn a_source_is_found_by_name_by_address_and_without_its_port() {
    let sources = sources(&answer());
    let found = |name: &str| sources.iter().filter(|source| is_called(source, name)).count();
    for name in ["ntp.example.org", "192.0.2.1:123", "192.0.2.1", "2001:db8::1", "[2001:db8::1]:1123"] {
        assert_eq!(found(name), 1, "{name}");
    }
    assert_eq!((found("192.0.2"), found("")), (0, 0));
}

#[test]
fn json_of_one_source_is_what_the_daemon_says_of_it_and_of_no_other() {
    let of = |name: &str, address: &str, kept: Value| json!({ "name": name, "address": address, "measurements": kept });
    let others = of("ntp.example.org", "192.0.2.7:123", json!([1]));
    let own = of("ntp.example.org", "192.0.2.1:123", json!([{ "ago_s": 1, "colour": "blue" }]));
    let kept = json!({ "sources": [others, own] });
    let said = |kept: &Value| -> Value {
        let Ok(text) = find(&answer(), kept, "192.0.2.1", Form::Json) else { panic!("it is there") };
        serde_json::from_str(&text).unwrap()
    };
    let mut expected = answer()["sources"][0].clone();
    expected["measurements"] = kept["sources"][1]["measurements"].clone();
    assert_eq!(said(&kept), json!({ "format": null, "sources": [expected] }), "a newer daemon's fields too");
    assert_eq!(said(&Value::Null)["sources"][0]["measurements"], Value::Null, "an older daemon's");
}

#[test]
fn the_detail_says_what_was_thrown_away() {
    let sources = sources(&answer());
    assert!(detail(&sources[0], Screen::WIDE).contains("thrown away    bad_origin 3"));
    assert!(detail(&sources[1], Screen::WIDE).contains("thrown away    nothing"));
    assert!(detail(&SourceReport::default(), Screen::WIDE).contains("name"));
}

/// `engine/src/answers/tests.rs` checks that the engine writes the same.
#[test]
fn the_golden_documents_are_read_to_the_last_field() {
    let answer: Value = serde_json::from_str(include_str!("../../../ipc/report/tests/sources.json")).unwrap();
    let expected = "name                a.example\n\
        address             [2001:db8::1]:123\n\
        state               selected\n\
        why                 it agrees with the majority and is the nearest to true time\n\
        change              it is used no longer if it falls silent\n\
        authenticated       NTS 8\n\
        stratum             2\n\
        reference id        c0000201\n\
        activity            bursting\n\
        reach               377 (octal; the last eight polls)\n\
        poll                -2 (log2 s)\n\
        next poll           12.500 s\n\
        offset              -2.000 µs\n\
        offset error        100.000 ns\n\
        delay               10.000 ms\n\
        jitter              25.000 µs\n\
        root distance       6.000 ms\n\
        samples             18 in 68 min\n\
        deviation           35.000 µs\n\
        frequency           -0.125 ppm ± 0.062 ppm\n\
        queries sent        20\n\
        valid replies       19\n\
        last valid          51.500 s\n\
        NTP version         4\n\
        server's leap       insert\n\
        server's precision  -23 (log2 s)\n\
        server's root       delay 1.000 ms, dispersion 2.000 ms\n\
        server's update     1800000000 s since 1970\n\
        stamps              departure kernel, arrival hardware\n\
        mode                interleaved\n\
        asked from          192.0.2.7\n\
        correction          -250.000 ms (in the offset)\n\
        least stratum       2 (a lower one counts as this)\n\
        family              ipv6 alone\n\
        sent from           2001:db8::7\n\
        sent over           eth0 alone\n\
        DSCP                46\n\
        marks               prefer, trust, require\n\
        keys                ready, kept over a restart\n\
        last exchange       keys were exchanged\n\
        next exchange       28 d\n\
        exchanges           1, failed: 2\n\
        AEAD                AES-128-GCM-SIV (30)\n\
        key age             3 s\n\
        cookies             8\n\
        NTS NAKs            4\n\
        certificate until   2027-01-15\n\
        another server      named by the key exchange\n\
        organisation        Example Ltd\n\
        one operator with   c.example\n\
        thrown away         bad_origin 3, nts_nak 4\n";
    assert_eq!(detail(&sources(&answer)[0], Screen::WIDE), expected);
    let unheard = detail(&sources(&answer)[1], Screen::WIDE);
    assert!(unheard.contains("authenticated  no\n") && unheard.contains("offset         -\n"), "{unheard}");
    assert!(unheard.contains("offered by     sources.d/dhcp-eth0.toml\n"), "{unheard}");
    let page = list_page(&read(&answer).unwrap(), false, Screen::WIDE);
    assert!(page.ends_with("from a program:  b.example (sources.d/dhcp-eth0.toml)\n"), "{page}");

    let kept: Value =
        serde_json::from_str(include_str!("../../../ipc/report/tests/measurements.json")).unwrap();
    let Ok(page) = find(&answer, &kept, "a.example", TEXT) else { panic!("it is there") };
    let expected = "\n\
        \n\
        AGO  OFFSET     DELAY      ROOT DISTANCE  STAMPS  RESULT\n\
        2 s  -2.000 µs  10.000 ms  6.000 ms       kernel  used\n\
        4 s  -          -          -              -       leap_unknown: it reports that it is not synchronised\n";
    assert!(page.ends_with(expected), "{page}");
    let Ok(page) = find(&answer, &kept, "b.example", TEXT) else { panic!("it is there") };
    assert!(!page.contains("AGO"), "{page}");
}
