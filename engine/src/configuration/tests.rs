mod files;
mod nts;

use super::*;
use engine_core::settings::SourceSettings;
use ipc::message::server::{MAX_LIST, ServerPolicy, Smear};

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

[[source]]
address = "pool.example.org"
pool = true
members = 3

[clock]
minimum-sources = 2
start-step-threshold = 0.128
run-step-threshold = 0.5
allow-forward-steps = 86400
max-slew-ppm = 83.5
leap-seconds = false

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

"#;

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
    let Configuration { settings, plan, access, policy, keys, warnings } = good(WHOLE);
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
            prefer: true,
            trust: true,
            require: true,
            max_delay: Span::from_secs(1),
            max_stratum: 3,
            allow_link_local: false,
            nts: None,
        }
    );
    assert_eq!((settings.sources[1].name.as_str(), settings.sources[1].members), ("pool.example.org", 3));
    assert_eq!(settings.minimum_sources, 2);
    assert_eq!(settings.start_step_threshold, Span::from_millis(128));
    assert_eq!(settings.run_step_threshold, Some(Span::from_millis(500)));
    assert_eq!(settings.forward_step, Some(Span::from_secs(86_400)));
    assert!((settings.max_slew_ppm - 83.5).abs() < 1e-9);
    assert!(!settings.leap_seconds);
    assert_eq!(settings.server.unwrap().local_stratum, Some(10));
    assert_eq!(plan.listen.len(), 2);
    assert_eq!(plan.listen[1].port(), 1123);
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
    };
    assert_eq!(policy, expected);
}

#[test]
fn one_line_of_address_is_enough_and_the_rest_has_defaults() {
    let Configuration { settings, plan, access, policy, keys: _, warnings } = good(&source(""));
    let first = &settings.sources[0];
    assert_eq!((first.min_poll, first.max_poll, first.members, first.max_stratum), (6, 10, 1, 15));
    assert_eq!(first.max_delay, Span::from_secs(3));
    assert!(first.burst && !first.prefer && !first.trust && !first.require);
    assert_eq!((settings.minimum_sources, settings.run_step_threshold), (1, None));
    assert_eq!(settings.start_step_threshold, Span::from_millis(10));
    assert!((settings.max_slew_ppm - 200.0).abs() < 1e-9);
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
fn a_server_that_answers_nobody_is_doubted_but_lawful() {
    let text = source("[server]\nlisten = [\"0.0.0.0\"]\nallow = []\n");
    assert_eq!(good(&text).warnings, ["test.toml:5: allow: the list is empty, so no client is answered"]);
}

/// Each broken file with the parts that its message must have.
const BROKEN: &[(&str, &[&str])] = &[
    ("", &["test.toml:1:", "says nothing", "add at least a [[source]]"]),
    ("# only a comment\n\n", &["test.toml:1:", "says nothing"]),
    ("[clock]\nminimum-sources = 1\n", &["nothing to do", "[[source]]", "[server]"]),
    (
        "[[source]]\naddress = \"a\"\nmode = \"npt\"\n",
        &["test.toml:3: mode: expected \"nts\" (authenticated) or \"ntp\", found \"npt\""],
    ),
    (
        "[[source]]\nadress = \"a\"\n",
        &["test.toml:2: adress: no such key in [[source]]; did you mean address?"],
    ),
    (
        "[[source]]\naddress = \"a\"\niburst = true\n",
        &["test.toml:3: iburst: no such key in [[source]]; did you mean burst?"],
    ),
    (
        "[[source]]\naddress = \"a\"\ndriftfile = \"x\"\n",
        &["test.toml:3: driftfile: no such key", "nothing to write: the frequency is kept"],
    ),
    (
        "server ntp.example.org iburst\n",
        &["test.toml:1: server: as in another daemon's file", "a source is a [[source]] with address"],
    ),
    (
        "[[source]]\naddress = \"a\"\nmakestep 1.0 3\n",
        &["test.toml:3: makestep: as in another daemon's file", "write start-step-threshold under [clock]"],
    ),
    ("pool = \"ntp.example.org\"\n", &["test.toml:1: pool: no such section; a pool is a [[source]]"]),
    ("server = \"a\"\n", &["test.toml:1: server: expected a table", "a source is a [[source]] with address"]),
    (
        "[[source]]\naddress = \"a\"\nrestrict default kod\n",
        &["test.toml:3: restrict: as in another daemon's file", "write allow and deny under [server]"],
    ),
    ("stratumweight 0.001\n", &["test.toml:1: stratumweight: as in", "there is nothing like it here"]),
    ("rtcsync\n", &["test.toml:1: rtcsync: as in another daemon's file", "nothing to write"]),
    ("[[source]]\naddress = \"https://a.example\"\n", &["test.toml:2: address: ", "a URL or path"]),
    ("[[source]]\naddress = \"a\"\nnot_toml 1\n", &["test.toml:3: not TOML: "]),
    ("[[sources]]\naddress = \"a\"\n", &["test.toml:1: sources: no such section; did you mean source?"]),
    (
        "[[source]]\naddress = \"a\"\n\n[klock]\n",
        &["test.toml:4: klock: no such section; did you mean clock?"],
    ),
    (
        "[[source]]\nburst = true\n",
        &["[[source]]: the address is missing; add address = \"ntp.example.org\""],
    ),
    (
        "[[source]]\naddress = 4\n",
        &["test.toml:2: address: expected a text, found 4; write address = \"ntp.example.org\""],
    ),
    (
        "[source]\naddress = \"a\"\n",
        &["test.toml:1: source: expected a list of tables, found a table; write [[source]]"],
    ),
    (
        "[[source]]\naddress = \"192.0.2.300\"\n",
        &["test.toml:2: address: \"192.0.2.300\" is not an IPv4 address"],
    ),
    ("[[source]]\naddress = \"224.0.1.1\"\n", &["not an address that one host answers at"]),
    ("[[source]]\naddress = \"a b\"\n", &["neither an address nor a host name"]),
    ("[[source]]\naddress = \"a:99999\"\n", &["no port of 1 to 65535"]),
    (
        "[[source]]\naddress = \"a\"\nmin-poll = 18\n",
        &["test.toml:3: min-poll: expected a whole number from 0 to 17, found 18; write min-poll = 6"],
    ),
    (
        "[[source]]\naddress = \"a\"\nmin-poll = \"fast\"\n",
        &["min-poll: expected a whole number", "the text \"fast\""],
    ),
    (
        "[[source]]\naddress = \"a\"\nmax-poll = 6.5\n",
        &["max-poll: expected a whole number from 0 to 17, found 6.5"],
    ),
    (
        "[[source]]\naddress = \"a\"\nmin-poll = 9\nmax-poll = 7\n",
        &["test.toml:3: min-poll: 9 is above max-poll = 7; exchange them"],
    ),
    (
        "[[source]]\naddress = \"a\"\nburst = \"yes\"\n",
        &[
            "test.toml:3: burst: expected true or false, found the text \"yes\"; write burst = true, without quotes",
        ],
    ),
    (
        "[[source]]\naddress = \"a\"\nmax-delay = 0\n",
        &["max-delay: expected a number of seconds from 0.00001 to 16, found 0"],
    ),
    ("[[source]]\naddress = \"a\"\nmax-delay = nan\n", &["max-delay: expected a number of seconds"]),
    ("[[source]]\naddress = \"a\"\nmax-delay = 1e308\n", &["max-delay: expected a number of seconds"]),
    ("[[source]]\naddress = \"a\"\nmax-stratum = 16\n", &["from 1 to 15, found 16"]),
    (
        "[[source]]\naddress = \"169.254.169.123\"\nallow-link-local = true\n",
        &["allow-link-local: an address is used as it is written; leave it out"],
    ),
    (
        "[[source]]\naddress = \"a\"\nmax-stratum = 99999999999999999999\n",
        &["max-stratum: expected a whole number"],
    ),
    ("[[source]]\naddress = \"192.0.2.1\"\npool = true\n", &["test.toml:3: pool: an address is one server"]),
    (
        "[[source]]\naddress = \"a\"\nmembers = 2\n",
        &["test.toml:3: members: only a pool has members; add pool = true"],
    ),
    (
        "[[source]]\naddress = \"a\"\npool = true\nmembers = 17\n",
        &["members: expected a whole number from 1 to 16"],
    ),
    (
        "[[source]]\naddress = \"a\"\n[[source]]\naddress = \"a\"\n",
        &["test.toml:4: address: the source \"a\" is there already"],
    ),
    (
        "[[source]]\naddress = \"a\"\n[clock]\nminimum-sources = 2\n",
        &["test.toml:4: minimum-sources: asks for 2 sources that agree, but 1 source is configured"],
    ),
    (
        "[[source]]\naddress = \"a\"\n[clock]\nrun-step-threshold = \"allways\"\n",
        &["test.toml:4: run-step-threshold: expected \"never\" or a number of seconds"],
    ),
    (
        "[[source]]\naddress = \"a\"\n[clock]\nrun-step-threshold = 2.0\n",
        &["run-step-threshold: expected a number of seconds"],
    ),
    (
        "[[source]]\naddress = \"a\"\n[clock]\nallow-forward-steps = 60.0\n[governor]\nprofile = \"strict\"\n",
        &[
            "test.toml:4: allow-forward-steps: the strict profile allows no step that nothing on this host confirms",
        ],
    ),
    (
        "[[source]]\naddress = \"a\"\n[clock]\nallow-forward-steps = true\n",
        &["test.toml:4: allow-forward-steps: expected a number of seconds"],
    ),
    (
        "[[source]]\naddress = \"a\"\n[clock]\nrun-step-threshold = 0.5\n[governor]\nprofile = \"strict\"\n",
        &["test.toml:4: run-step-threshold: the strict profile allows no step while running"],
    ),
    (
        "[[source]]\naddress = \"a\"\n[clock]\nmax-slew-ppm = 1000\n",
        &["max-slew-ppm: expected a number of ppm from 1 to 500"],
    ),
    (
        "[[source]]\naddress = \"a\"\n[clock]\nmax_slew_ppm = 100\n",
        &["max_slew_ppm: no such key in [clock]; did you mean max-slew-ppm?"],
    ),
    ("[[source]]\naddress = \"a\"\n[governor]\nprofile = \"strickt\"\n", &["write profile = \"strict\""]),
    (
        "[[source]]\naddress = \"a\"\n[server]\nallow = []\n",
        &["test.toml:3: listen: where to serve is missing"],
    ),
    (
        "[[source]]\naddress = \"a\"\n[server]\nlisten = [\"0.0.0.0\"]\n",
        &["test.toml:3: allow: no client is answered without a rule"],
    ),
    (
        "[[source]]\naddress = \"a\"\n[server]\nlisten = \"0.0.0.0\"\nallow = []\n",
        &[
            "test.toml:4: listen: expected a list of texts, found the text \"0.0.0.0\"; write listen = [\"0.0.0.0:123\"]",
        ],
    ),
    (
        "[[source]]\naddress = \"a\"\n[server]\nlisten = [\"eth0\"]\nallow = []\n",
        &["listen: \"eth0\" is not an address of this host"],
    ),
    (
        "[[source]]\naddress = \"a\"\n[server]\nlisten = [\"::\", \"[::]:123\"]\nallow = []\n",
        &["\"[::]:123\" is there twice"],
    ),
    (
        "[[source]]\naddress = \"a\"\n[server]\nallow = []\nlisten = [\n\"0.0.0.0:123\",\n\"10.0.0.2\"]\n",
        &["test.toml:7: listen: \"10.0.0.2\" and \"0.0.0.0:123\" overlap", "leave one out"],
    ),
    (
        "[[source]]\naddress = \"a\"\n[server]\nallow = []\nlisten = [\"[fe80::1]:123\"]\n",
        &["test.toml:5: listen: \"[fe80::1]:123\" is an address of one link without the number"],
    ),
    (
        "[[source]]\naddress = \"a\"\n[server]\nlisten = [\"::\"]\nallow = [\"10.0.0.1/8\"]\n",
        &["test.toml:5: allow: \"10.0.0.1/8\" has bits beyond its prefix; write \"10.0.0.0/8\""],
    ),
    (
        "[[source]]\naddress = \"a\"\n[server]\nlisten = [\"::\"]\nallow = [\"all\"]\n",
        &["allow: \"all\" is not a network"],
    ),
    (
        "[[source]]\naddress = \"a\"\n[server]\nlisten = [\"::\"]\nallow = [\"::/0\"]\ndeny = [\"::/0\"]\n",
        &["test.toml:6: deny: \"::/0\" is there already, in allow or deny"],
    ),
    (
        "[[source]]\naddress = \"a\"\n[server]\nlisten = [\"::\"]\nallow = [\"::/0\"]\nthreads = 0\n",
        &["test.toml:6: threads: expected a whole number from 1 to 32, found 0"],
    ),
    (
        "[[source]]\naddress = \"a\"\n[server]\nlisten = [\"::\"]\nallow = [\"::/0\"]\ndscp = 64\n",
        &["dscp: expected a whole number from 0 to 63, found 64"],
    ),
    (
        "[[source]]\naddress = \"a\"\n[server]\nlisten = [\"::\"]\nallow = [\"::/0\"]\naddress-rate = 0\n",
        &["address-rate: expected a whole number from 1 to 10000"],
    ),
    (
        "[[source]]\naddress = \"a\"\n[server]\nlisten = [\"::\"]\nallow = [\"::/0\"]\nnetwork-rate = 4\n",
        &["test.toml:6: network-rate: 4 is below address-rate = 16"],
    ),
    (
        "[[source]]\naddress = \"a\"\n[server]\nlisten = [\"::\"]\nallow = [\"::/0\"]\ntotal-rate = -1\n",
        &["total-rate: expected a whole number from 1 to 100000000"],
    ),
    (
        "[[source]]\naddress = \"a\"\n[server]\nlisten = [\"::\"]\nallow = [\"::/0\"]\nrate-limit = \"on\"\n",
        &["rate-limit: expected true or false"],
    ),
    (
        "[[source]]\naddress = \"a\"\n[server]\nlisten = [\"::\"]\nallow = [\"::/0\"]\nkiss = 1\n",
        &["kiss: expected true or false"],
    ),
    (
        "[[source]]\naddress = \"a\"\n[server]\nlisten = [\"::\"]\nallow = [\"::/0\"]\ninterleaved = 1\n",
        &["interleaved: expected true or false"],
    ),
    (
        "[[source]]\naddress = \"a\"\n[server]\nlisten = [\"::\"]\nallow = [\"::/0\"]\nunsynchronised = \"quiet\"\n",
        &["unsynchronised: expected \"answer\""],
    ),
    (
        "[[source]]\naddress = \"a\"\n[server]\nlisten = [\"::\"]\nallow = [\"::/0\"]\nleap-smear = \"google\"\n",
        &["leap-smear: expected \"off\", \"linear\" or \"cosine\""],
    ),
    (
        "[server]\nlisten = [\"::\"]\nallow = [\"::/0\"]\n",
        &["test.toml:1: [server]: without a [[source]]", "local-stratum = 10"],
    ),
    (
        "[[source]]\naddress = time.example.org # ours\n",
        &["test.toml:2: not TOML: a text stands in quotes; write address = \"time.example.org\""],
    ),
    (
        "[[source]]\naddress = 192.0.2.1\n",
        &["test.toml:2: not TOML: a text", "write address = \"192.0.2.1\""],
    ),
    (
        "[[source]]\nburst = True\n",
        &["test.toml:2: not TOML: a line reads", "true and false in small letters"],
    ),
    (
        "minimum-sources = 2\n[[source]]\naddress = \"a\"\n",
        &["test.toml:1: minimum-sources: not known here; it belongs under [clock]"],
    ),
    (
        "[[source]]\naddress = \"a\"\nrequire-nts = true\n",
        &["test.toml:3: require-nts: not known in [[source]]; it belongs under [clock]"],
    ),
    ("[[source]\naddress = \"a\"\n", &["test.toml:1: not TOML"]),
    ("[[source]]\naddress = \"a\"\naddress = \"b\"\n", &["test.toml:3:", "there twice"]),
    (
        "clock = 1\n[[source]]\naddress = \"a\"\n",
        &["test.toml:1: clock: expected a table, found 1; write [clock]"],
    ),
    ("source = [1]\n", &["test.toml:1: source: expected a table, found 1"]),
    ("[[source]]\naddress = \"a\"\nmin-poll = 2024-01-01\n", &["found a date"]),
];

#[test]
fn a151_each_fault_is_named_with_line_key_expectation_and_remedy() {
    for (text, parts) in BROKEN {
        let message = bad(text);
        for part in *parts {
            assert!(message.contains(part), "{text:?}\n  says    {message}\n  without {part}");
        }
    }
}

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

#[test]
fn a_name_may_be_permitted_to_have_link_local_addresses() {
    for (line, expected) in
        [("", false), ("allow-link-local = true\n", true), ("allow-link-local = false\n", false)]
    {
        let text = format!("[[source]]\naddress = \"metadata.example\"\n{line}");
        assert_eq!(good(&text).settings.sources[0].allow_link_local, expected, "{line}");
    }
}
