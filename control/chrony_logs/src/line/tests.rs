use super::*;
use serde_json::{Value, json};

/// The examples of chrony.conf(5) with other numbers: columns and widths.
const MEASUREMENT: &str = "2027-01-15 08:00:00 192.0.2.15      N  2 111 111 1111   6 10 0.00 -4.966e-03  2.296e-01  1.577e-05  1.615e-01  7.446e-03 CB00717B 4B D K";
const STATISTIC: &str = "2027-01-15 08:00:00 192.0.2.15       6.261e-03 -3.247e-03  2.220e-03  1.874e-06  1.080e-06 0.0e+00  16   0   0  0.00";
const CORRECTION: &str = "2027-01-15 08:00:00 192.0.2.15       3     -3.541      0.075 -8.621e-06 N  2  2.940e-03 -2.084e-04  1.534e-02  3.472e-04  8.304e-03";

fn reply(changes: Value) -> MeasuredReport {
    let mut all = json!({
        "at_unix_s": 1_800_000_000.75, "address": "192.0.2.15:123", "leap": "none", "stratum": 2, "poll": 6, "reply_poll": 10,
        "offset_s": -4.966e-3, "delay_s": 0.2296, "dispersion_s": 1.577e-5, "root_delay_s": 0.1615,
        "root_dispersion_s": 7.446e-3, "reference_id": "cb00717b", "sent_stamp": "user", "received_stamp": "kernel",
        "outcome": "used", "deviation_s": 6.261e-3, "estimate_s": 3.247e-3, "estimate_error_s": 2.22e-3,
        "frequency_ppm": -1.874, "frequency_error_ppm": 1.08, "samples": 16,
    });
    let changed = changes.as_object().expect("an object").clone();
    all.as_object_mut().expect("an object").extend(changed);
    serde_json::from_value(all).expect("of the form")
}

fn correction(changes: Value) -> CorrectionReport {
    let mut all = json!({
        "at_unix_s": 1_800_000_000.5, "address": "192.0.2.15:123", "stratum": 3, "leap": "none", "used": 2,
        "offset_s": 8.621e-6, "estimated_error_s": 2.94e-3, "error_bound_s": 8.304e-3, "slew_left_s": -2.084e-4,
        "frequency_ppm": 3.541, "frequency_error_ppm": 0.075, "root_delay_s": 1.534e-2, "root_dispersion_s": 3.472e-4,
    });
    let changed = changes.as_object().expect("an object").clone();
    all.as_object_mut().expect("an object").extend(changed);
    serde_json::from_value(all).expect("of the form")
}

#[test]
fn each_line_has_the_columns_of_chrony() {
    assert_eq!(measurement(&reply(json!({})), false).as_deref(), Some(MEASUREMENT));
    assert_eq!(statistics(&reply(json!({}))).as_deref(), Some(STATISTIC));
    assert_eq!(tracking(&correction(json!({}))).as_deref(), Some(CORRECTION));
}

#[test]
fn a_reply_that_failed_a_test_is_there_only_if_all_are_wanted() {
    for (test, shown) in [
        ("bad_origin", Some("101 111 0000")),
        ("bad_interval", Some("110 111 0000")),
        ("other_timescale", Some("111 111 0111")),
        ("bad_reference_ids", Some("111 111 1110")),
        ("outside_certificate", Some("111 011 0000")),
        ("leap_unknown", Some("111 101 0000")),
        ("kiss", Some("111 101 0000")),
        ("root_distance", Some("111 110 0000")),
        ("delay_limit", Some("111 111 0111")),
        ("a_test_of_another_version", Some("111 111 0111")),
        ("loop", Some("111 111 1110")),
        ("bad_mode", None),
    ] {
        let failed = reply(json!({
            "test": test, "offset_s": null, "delay_s": null, "dispersion_s": null, "sent_stamp": null, "received_stamp": null,
        }));
        assert_eq!(measurement(&failed, false), None, "{test}");
        let line = measurement(&failed, true);
        assert_eq!(line.as_ref().and_then(|line| line.get(41..53)), shown, "{test}");
        if let Some(line) = line {
            assert_eq!(line.len(), MEASUREMENT.len(), "{line}");
            assert!(line.contains(" 0.00  0.000e+00  0.000e+00  0.000e+00  1.615e-01 "), "{line}");
            assert!(line.ends_with(" 4B D D"), "{line}");
        }
    }
}

#[test]
fn what_is_not_known_is_no_line_and_no_made_up_number() {
    let unknown = [json!({ "address": "" }), json!({ "address": null }), json!({ "address": "a b\n:1" })];
    for address in unknown {
        assert_eq!(measurement(&reply(address), false), None);
    }
    for field in
        ["deviation_s", "estimate_s", "estimate_error_s", "frequency_ppm", "frequency_error_ppm", "samples"]
    {
        assert_eq!(statistics(&reply(json!({ field: null }))), None, "{field}");
    }
    for field in [
        "offset_s",
        "frequency_ppm",
        "frequency_error_ppm",
        "estimated_error_s",
        "slew_left_s",
        "root_delay_s",
        "root_dispersion_s",
        "error_bound_s",
        "stratum",
        "used",
        "at_unix_s",
    ] {
        assert_eq!(tracking(&correction(json!({ field: null }))), None, "{field}");
    }
}

#[test]
fn a_reference_that_is_gone_has_the_address_that_chronyd_shows_of_none() {
    let line = tracking(&correction(json!({ "address": "", "leap": "delete" }))).expect("a line");
    assert!(line.starts_with("2027-01-15 08:00:00 0.0.0.0          3     -3.541"), "{line}");
    assert!(line.contains(" -  2 "), "{line}");
}

#[test]
fn an_ipv6_address_widens_its_column_as_in_chrony() {
    let line = measurement(&reply(json!({ "address": "[2001:db8:1:2:3:4:5:6]:123" })), false).unwrap();
    assert!(line.starts_with("2027-01-15 08:00:00 2001:db8:1:2:3:4:5:6 N  2 "), "{line}");
}

#[test]
fn a_banner_is_as_wide_as_its_lines_or_nearly_so() {
    for (banner, line, over) in
        [(MEASUREMENTS, MEASUREMENT, 1), (STATISTICS, STATISTIC, 0), (TRACKING, CORRECTION, 0)]
    {
        assert!(banner.len().abs_diff(line.len()) <= over, "{} {}", banner.len(), line.len());
    }
}

proptest::proptest! {
    #[test]
    fn whatever_the_daemon_says_it_is_one_line(
        address in ".*", id in ".*", leap in ".*", at in proptest::num::f64::ANY, offset in proptest::num::f64::ANY,
        stratum: u8, poll: i8,
    ) {
        let said = reply(json!({ "leap": leap, "stratum": stratum, "poll": poll }));
        for address in [address, "192.0.2.1:1".to_owned()] {
            let said = MeasuredReport {
                address: Some(address), reference_id: Some(id.clone()), at_unix_s: Some(at), offset_s: Some(offset), ..said.clone()
            };
            let line = measurement(&said, true).unwrap_or_default();
            proptest::prop_assert!(line.len() < 200 && line.bytes().all(|octet| (b' '..=b'~').contains(&octet)), "{line}");
        }
    }
}
