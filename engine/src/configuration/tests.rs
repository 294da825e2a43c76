mod faults;
mod files;
mod imported;
mod nts;
mod roughtime;

use super::*;
use engine_core::settings::SourceSettings;
use ipc::departure::Departure;
use ipc::message::exchange::Families;
use ipc::message::server::{MAX_LIST, ServerPolicy, Smear};
use ipc::units::Offset;

const WHOLE: &str = r#"
[[source]]
address = "192.0.2.1"
mode = "ntp"
min-poll = 4
max-poll = 8
burst = false
prefer = true
trust = true
require = true
max-delay = 1
max-stratum = 3
min-stratum = 2
offset = -0.000_05
family = "ipv4"
send-from = ["192.0.2.7"]
send-over = "eth0"
dscp = 46
experimental-ntpv5 = true

[[source]]
address = "pool.example.org"
pool = true
members = 3
interleaved = true

[clock]
minimum-sources = 2
start-step-threshold = 0.128
run-step-threshold = 0.5
allow-forward-steps = 86400
max-slew-ppm = 83.5
max-distance = 10.5
leap-seconds = false
initial-frequency-ppm = -12.5

[history]
days = 30

[governor]
profile = "standard"

[server]
listen = ["0.0.0.0:123", "[::]:1123"]
allow = ["192.0.2.0/24", "2001:db8::/32"]
deny = ["192.0.2.66"]
local-stratum = 10
threads = 3
dscp = 46
rate-limit = true
address-rate = 5
network-rate = 50
total-rate = 5000
kiss = false
interleaved = false
unsynchronised = "silent"
leap-smear = "cosine"
experimental-ntpv5 = true

"#;

fn load(file: &std::fs::File, name: &str, is_private: bool) -> Result<Configuration, ConfigurationError> {
    let main = FileText { name: name.to_owned(), text: read_text(file, name)?, is_private };
    read(&mut Texts::only(main))
}

fn good(text: &str) -> Configuration {
    parse(text, "test.toml").unwrap_or_else(|error| panic!("{error}"))
}

fn bad(text: &str) -> String {
    parse(text, "test.toml").expect_err(text).to_string()
}

fn source(rest: &str) -> String {
    format!("[[source]]\naddress = \"a.example\"\n{rest}")
}

#[test]
fn every_key_reaches_its_place() {
    let Configuration {
        settings,
        plan,
        access,
        policy,
        client_keys,
        keys,
        warnings,
        offered,
        uses_dhcp,
        initial_frequency,
        history_days,
        uses_leap_list,
    } = good(WHOLE);
    assert!(!uses_leap_list);
    assert_eq!(history_days, 30);
    assert_eq!(
        initial_frequency,
        Some(ipc::units::Frequency::saturating(
            -12 * ipc::units::Frequency::PER_PPM - ipc::units::Frequency::PER_PPM / 2
        ))
    );
    assert!(offered.sources.is_empty() && !uses_dhcp && client_keys.is_empty());
    assert!(keys.is_none() && warnings.len() == 1, "{warnings:?}");
    assert!(warnings[0].contains("leap-smear: without leap seconds"), "{warnings:?}");
    let first = &settings.sources[0];
    assert_eq!(
        first,
        &SourceSettings {
            name: "192.0.2.1".into(),
            place: Place::Address("192.0.2.1:123".parse::<std::net::SocketAddr>().unwrap().into()),
            members: 1,
            min_poll: 4,
            max_poll: 8,
            burst: false,
            burst_always: false,
            prefer: true,
            noselect: false,
            min_stratum: 2,
            families: Families::V4,
            departure: Departure {
                from: [Some("192.0.2.7:0".parse::<std::net::SocketAddr>().unwrap().into()), None],
                interface: Some(ipc::served_at::InterfaceName::parse("eth0").unwrap()),
                dscp: 46,
            },
            correction: Offset::saturating(-50_000),
            trust: true,
            require: true,
            max_delay: Span::from_secs(1),
            max_stratum: 3,
            allow_link_local: false,
            offered: false,
            nts: None,
            key: None,
            version5: true,
            interleaved: false,
            refclock: None,
        }
    );
    assert!(settings.sources[1].interleaved);
    assert_eq!((settings.sources[1].name.as_str(), settings.sources[1].members), ("pool.example.org", 3));
    assert_eq!(settings.clock.minimum_sources, 2);
    assert_eq!(settings.clock.start_step_threshold, Span::from_millis(128));
    assert_eq!(settings.clock.run_step_threshold, Some(Span::from_millis(500)));
    assert_eq!(settings.forward_step, Some(Span::from_secs(86_400)));
    assert!((settings.clock.max_slew_ppm - 83.5).abs() < 1e-9);
    assert_eq!(settings.clock.max_distance, Span::from_millis(10_500));
    assert!(!settings.leap_seconds);
    assert_eq!(settings.server.unwrap().local.map(|local| local.stratum), Some(10));
    assert_eq!(plan.listen.len(), 2);
    assert_eq!(plan.listen[1].address.port(), 1123);
    assert!(plan.exchange && !plan.leap_seconds);
    assert_eq!((plan.profile, plan.run_step), (Profile::Standard, Span::from_secs(1)));
    assert_eq!((plan.threads, plan.dscp), (3, 46));
    assert_eq!(access.len(), 3);
    assert!(access[0].allow && access[1].ipv6 && !access[2].allow);
    assert_eq!(access[2].bits, 32);
    let expected = ServerPolicy {
        limited: true,
        address_rate: 5,
        network_rate: 50,
        total_rate: 5_000,
        kiss: false,
        interleaved: false,
        silent: true,
        smear: Smear::Cosine,
        version5: true,
    };
    assert_eq!(policy, expected);
}

#[test]
fn one_line_of_address_is_enough_and_the_rest_has_defaults() {
    let Configuration { settings, plan, access, policy, warnings, history_days, .. } = good(&source(""));
    assert_eq!(history_days, 400);
    let first = &settings.sources[0];
    assert_eq!((first.min_poll, first.max_poll, first.members, first.max_stratum), (6, 10, 1, 15));
    assert_eq!(first.max_delay, Span::from_secs(3));
    assert!(first.burst && !first.prefer && !first.trust && !first.require);
    assert_eq!((settings.clock.minimum_sources, settings.clock.run_step_threshold), (1, None));
    assert_eq!(settings.clock.start_step_threshold, Span::from_millis(10));
    assert!((settings.clock.max_slew_ppm - 200.0).abs() < 1e-9);
    assert_eq!(settings.clock.max_distance, Span::from_secs(3));
    assert!(settings.leap_seconds && settings.server.is_none());
    assert_eq!((plan.listen.len(), plan.run_step, plan.profile), (0, Span::ZERO, Profile::Standard));
    assert_eq!((plan.forward_step, settings.forward_step), (Span::ZERO, None));
    assert!(plan.exchange && warnings.is_empty());
    assert_eq!((access.len(), policy), (0, ServerPolicy::DEFAULT));
    assert_eq!((plan.threads, plan.dscp), (0, 0));
    assert!(!good("[[source]]\naddress = \"127.0.0.1:11123\"\n").plan.exchange, "no name, no look-ups");
}

#[test]
fn the_strict_profile_passes_leap_seconds_on_only_when_asked() {
    let strict = "[governor]\nprofile = \"strict\"\n";
    assert!(!good(&source(strict)).plan.leap_seconds);
    assert!(good(&source(&format!("{strict}[clock]\nleap-seconds = true\n"))).plan.leap_seconds);
}

#[test]
fn one_poll_limit_moves_the_other_one() {
    let longer = good(&source("min-poll = 12")).settings.sources;
    assert_eq!((longer[0].min_poll, longer[0].max_poll), (12, 12));
    let shorter = good(&source("max-poll = 4")).settings.sources;
    assert_eq!((shorter[0].min_poll, shorter[0].max_poll), (4, 4));
}

#[test]
fn a_pool_has_four_members_unless_told_otherwise() {
    assert_eq!(good(&source("pool = true")).settings.sources[0].members, 4);
}

#[test]
fn sources_on_several_links_or_ports_are_different_ones() {
    let text: String =
        ["fe80::1%eth0", "fe80::1%eth1", "fe80::2%3", "fe80::2%4", "[fe80::1%eth0]:1123", "a", "a:1123"]
            .map(|address| format!("[[source]]\naddress = \"{address}\"\n"))
            .concat();
    assert_eq!(good(&text).settings.sources.len(), 7);
}

#[test]
fn a_family_that_is_listened_on_and_not_allowed_or_the_reverse_is_doubted() {
    for (listen, allow, line, doubt) in [
        ("\"0.0.0.0:123\"", "\"::/0\"", 5, "allow: it has no IPv4 network, so no IPv4 client is answered"),
        ("\"0.0.0.0:123\"", "\"::/0\"", 4, "listen: it has no IPv6 address, so no IPv6 client is answered"),
        ("\"0.0.0.0\", \"::\"", "\"10.0.0.0/8\"", 5, "allow: it has no IPv6 network"),
        ("\"[::]\"", "\"10.0.0.0/8\", \"::/0\"", 4, "listen: it has no IPv4 address"),
    ] {
        let text = source(&format!("[server]\nlisten = [{listen}]\nallow = [{allow}]\n"));
        let warnings = good(&text).warnings;
        let start = format!("test.toml:{line}: {doubt}");
        assert!(warnings.iter().any(|warning| warning.starts_with(&start)), "{start}: {warnings:?}");
    }
    for (listen, allow) in [
        ("\"0.0.0.0\", \"::\"", "\"0.0.0.0/0\", \"::/0\""),
        ("\"0.0.0.0\"", "\"10.0.0.0/8\""),
        ("\"::1\"", "\"::1\""),
    ] {
        let text = source(&format!("[server]\nlisten = [{listen}]\nallow = [{allow}]\n"));
        assert_eq!(good(&text).warnings, [""; 0], "{listen} {allow}");
    }
}

#[test]
fn a_server_that_answers_nobody_is_doubted_but_lawful() {
    let text = source("[server]\nlisten = [\"0.0.0.0\"]\nallow = []\n");
    assert_eq!(good(&text).warnings, ["test.toml:5: allow: the list is empty, so no client is answered"]);
}

/// Each broken file with the parts that its message must have.
#[test]
fn all_faults_are_said_at_once_in_the_order_of_the_file() {
    let text = "[[source]]\naddress = \"a\"\nmin-poll = 99\nprefere = true\n[clock]\nmax-slew-ppm = 0\n";
    let message = bad(text);
    let lines: Vec<&str> = message.lines().collect();
    assert_eq!(lines.len(), 3);
    for (line, number) in lines.iter().zip(["3", "4", "6"]) {
        assert!(line.starts_with(&format!("test.toml:{number}: ")), "{line}");
    }
    let many = "[clock]\n".to_owned() + &(0..100).map(|n| format!("key{n} = 1\n")).collect::<String>();
    assert!(bad(&many).ends_with("and 81 more"), "{}", bad(&many));
}

#[test]
fn a_misspelt_address_is_one_fault_not_two() {
    assert_eq!(bad("[[source]]\nadress = \"a\"\n").lines().count(), 1);
}

#[test]
fn a151_deep_nesting_is_refused_and_costs_nothing() {
    for text in [
        format!("x = {}", "[".repeat(30_000)),
        format!("x = {}{}", "[".repeat(30_000), "]".repeat(30_000)),
        format!("x = {}", "{a=".repeat(20_000)),
        format!("{} = 1", vec!["a"; 30_000].join(".")),
        format!("[{}]", vec!["a"; 30_000].join(".")),
    ] {
        bad(&text);
    }
}

#[test]
fn a152_hostile_text_in_a_value_or_key_comes_out_escaped_on_one_line() {
    let text = "[[source]]\naddress = \"a\\n\\u001b[2J\\u202e\"\n\"k\\u0007y\\n\" = 1\n";
    let message = bad(text);
    assert_eq!(message.lines().count(), 2);
    assert!(!message.contains(['\u{1b}', '\u{202e}', '\u{7}']), "{message}");
}

#[test]
fn thousands_of_networks_are_read_and_too_many_are_refused() {
    let networks = |count: usize| {
        let list: String = (0..count).map(|n| format!("\"10.{}.{}.0/24\", ", n / 256, n % 256)).collect();
        source(&format!("[server]\nlisten = [\"::\"]\nallow = [{list}]\n"))
    };
    assert_eq!(good(&networks(MAX_LIST)).access.len(), MAX_LIST);
    assert!(bad(&networks(MAX_LIST + 1)).contains("more than 4096 networks"));
}

#[test]
fn more_sources_than_the_engine_can_follow_are_refused() {
    let pools: String =
        (0..3).map(|n| format!("[[source]]\naddress = \"p{n}\"\npool = true\nmembers = 16\n")).collect();
    assert!(bad(&pools).contains("more than 32 sources"));
}

mod any_text;
mod drop_ins;

#[test]
fn a_name_may_be_permitted_to_have_link_local_addresses() {
    for (line, expected) in
        [("", false), ("allow-link-local = true\n", true), ("allow-link-local = false\n", false)]
    {
        let text = format!("[[source]]\naddress = \"metadata.example\"\n{line}");
        assert_eq!(good(&text).settings.sources[0].allow_link_local, expected, "{line}");
    }
}

#[test]
fn a_list_of_leap_seconds_is_used_where_the_file_says_so_and_told_of_where_sources_smear() {
    let list = include_str!("../../../protocol/src/leap_list/published.list");
    let read_with = |text: &str, list: &str| {
        let mut texts = Texts::only(FileText::private("test.toml", text));
        texts.leap_list = Some(FileText::private("/usr/share/zoneinfo/leap-seconds.list", list));
        read(&mut texts).unwrap()
    };
    let plain = "[[source]]\naddress = \"a.example\"\n";
    let smeared = "[[source]]\naddress = \"time.google.com\"\n";
    let said = |is: bool| format!("[clock]\nleap-seconds-list = {is}\n");
    for (text, is_used, warnings) in [
        (plain.to_owned(), false, 0),
        (format!("{plain}{}", said(true)), true, 0),
        (format!("{plain}{}", said(false)), false, 0),
        (smeared.to_owned(), false, 0),
        (format!("{smeared}{}", said(true)), true, 1),
    ] {
        let found = read_with(&text, list);
        assert_eq!(found.settings.leap_list.is_some(), is_used, "{text}");
        assert_eq!(found.warnings.len(), warnings, "{:?}", found.warnings);
    }
    // One that is not in order is left out, and the daemon starts all the same.
    let found = read_with(&format!("{plain}{}", said(true)), &list.replace("3692217600", "3692217601"));
    assert!(found.settings.leap_list.is_none());
    assert!(found.warnings[0].contains("leap-seconds.list: its hash (#h)"), "{:?}", found.warnings);
}
