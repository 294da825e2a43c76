//! What is wrong in a file, and what is said of it.

use super::*;

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
        &["test.toml:3: min-poll: expected a whole number from -4 to 17, found 18; write min-poll = 6"],
    ),
    (
        "[[source]]\naddress = \"a\"\nmin-poll = \"fast\"\n",
        &["min-poll: expected a whole number", "the text \"fast\""],
    ),
    (
        "[[source]]\naddress = \"a\"\nmax-poll = 6.5\n",
        &["max-poll: expected a whole number from -4 to 17, found 6.5"],
    ),
    (
        "[[source]]\naddress = \"a\"\nmin-poll = 9\nmax-poll = 7\n",
        &["test.toml:3: min-poll: 9 is above max-poll = 7; exchange them"],
    ),
    (
        "[[source]]\naddress = \"a\"\nburst = \"yes\"\n",
        &[
            "test.toml:3: burst: expected true, false or \"always\" (at each poll too), found \"yes\"; leave it out",
        ],
    ),
    (
        "[[source]]\naddress = \"a\"\nmax-delay = 0\n",
        &["max-delay: expected a number of seconds from 0.00001 to 16, found 0"],
    ),
    ("[[source]]\naddress = \"a\"\nmax-delay = nan\n", &["max-delay: expected a number of seconds"]),
    ("[[source]]\naddress = \"a\"\nmax-delay = 1e308\n", &["max-delay: expected a number of seconds"]),
    (
        "[[source]]\naddress = \"a\"\nnoselect = true\ntrust = true\n",
        &["test.toml:3: noselect: such a source decides nothing; leave trust out, or noselect"],
    ),
    (
        "[[source]]\naddress = \"a\"\nnoselect = true\n[[source]]\naddress = \"b\"\n[clock]\nminimum-sources = 2\n",
        &["minimum-sources: asks for 2 sources that agree, but 1 source is configured"],
    ),
    (
        "[[source]]\naddress = \"a\"\nmode = \"nts\"\nnoselect = true\n[[source]]\naddress = \"b\"\n[clock]\nrequire-nts = true\n",
        &["require-nts: no [[source]] has mode = \"nts\""],
    ),
    (
        "[[source]]\naddress = \"a\"\nnoselect = true\n[server]\nlisten = [\"0.0.0.0\"]\nallow = [\"0.0.0.0/0\"]\n",
        &["[server]: without a [[source]] that decides"],
    ),
    ("[[source]]\naddress = \"a\"\noffset = 1.5\n", &["test.toml:3: offset:", "from -1 to 1"]),
    (
        "[[source]]\naddress = \"a\"\nmin-stratum = 9\nmax-stratum = 7\n",
        &["test.toml:3: min-stratum: 9 is above max-stratum = 7; exchange them"],
    ),
    ("[[source]]\naddress = \"a\"\nmax-stratum = 16\n", &["from 1 to 15, found 16"]),
    (
        "[[source]]\naddress = \"a\"\nfamily = \"inet6\"\n",
        &["test.toml:3: family: expected \"ipv4\" or \"ipv6\", found \"inet6\"; leave it out"],
    ),
    (
        "[[source]]\naddress = \"192.0.2.1\"\nfamily = \"ipv6\"\n",
        &["test.toml:3: family: the address is of the other family"],
    ),
    (
        "[[source]]\naddress = \"a\"\nsend-from = [\"fe80::1\"]\n",
        &["test.toml:3: send-from: \"fe80::1\" is not an address that a packet can be sent from"],
    ),
    (
        "[[source]]\naddress = \"a\"\nsend-from = [\"192.0.2.7:123\"]\n",
        &["test.toml:3: send-from: \"192.0.2.7:123\" is not an address; write one of this host"],
    ),
    (
        "[[source]]\naddress = \"a\"\nsend-from = [\"192.0.2.7\", \"192.0.2.8\"]\n",
        &["test.toml:3: send-from: \"192.0.2.8\" is the second address of its family"],
    ),
    (
        "[[source]]\naddress = \"a\"\nfamily = \"ipv6\"\nsend-from = [\"192.0.2.7\"]\n",
        &["test.toml:4: send-from: \"192.0.2.7\" is of another family than the source"],
    ),
    (
        "[[source]]\naddress = \"192.0.2.1\"\nsend-from = [\"2001:db8::7\"]\n",
        &["test.toml:3: send-from: \"2001:db8::7\" is of another family than the source"],
    ),
    (
        "[[source]]\naddress = \"a\"\nsend-over = \"3\"\n",
        &["test.toml:3: send-over: \"3\" is no name of an interface", "ip link"],
    ),
    ("[[source]]\naddress = \"a\"\ndscp = 64\n", &["test.toml:3: dscp:", "from 0 to 63, found 64"]),
    (
        "[server]\nlisten = [\"0.0.0.0\"]\nallow = [\"0.0.0.0/0\"]\nlocal-orphan = true\n[[source]]\naddress = \"a\"\n",
        &["test.toml:4: local-orphan: it is about local-stratum, which is not there; add local-stratum = 10"],
    ),
    (
        "[server]\nlisten = [\"0.0.0.0\"]\nallow = [\"0.0.0.0/0\"]\nlocal-stratum = 4\nlocal-orphan = true\n",
        &[
            "test.toml:4: local-stratum: with local-orphan no source of stratum 4 or above has a vote",
            "write 5 or more",
        ],
    ),
    (
        "[server]\nlisten = [\"0.0.0.0\"]\nallow = [\"0.0.0.0/0\"]\nlocal-stratum = 10\nlocal-distance = 17\n",
        &["test.toml:5: local-distance:", "from 0 to 16, found 17"],
    ),
    (
        "[[source]]\naddress = \"169.254.169.123\"\nallow-link-local = true\n",
        &["allow-link-local: an address is used as it is written; leave it out"],
    ),
    (
        "[[source]]\naddress = \"a\"\nmax-stratum = 99999999999999999999\n",
        &["max-stratum: expected a whole number"],
    ),
    (
        "[[source]]\naddress = \"fe80::1%lo\"\nallow-link-local = true\n",
        &["allow-link-local: an address is used as it is written; leave it out"],
    ),
    ("[[source]]\naddress = \"fe80::1%lo\"\npool = true\n", &["test.toml:3: pool: an address is one server"]),
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
        "[[source]]\naddress = \"a.example\"\n[[source]]\naddress = \"A.Example.:123\"\n",
        &["test.toml:4: address: the source \"a.example\" is there already"],
    ),
    (
        "[[source]]\naddress = \"2001:db8::1\"\n[[source]]\naddress = \"[2001:db8:0::1%3]:123\"\n",
        &["test.toml:4: address: the source \"2001:db8::1\" is there already"],
    ),
    (
        "[[source]]\naddress = \"fe80::1%lo\"\n[[source]]\naddress = \"fe80:0::1%lo\"\n[[source]]\naddress = \"fe80::1%1\"\n",
        &[
            "test.toml:4: address: the source \"fe80::1%lo\" is there already",
            "test.toml:6: address: \"fe80::1%1\" may be the source \"fe80::1%lo\", which is there already",
        ],
    ),
    (
        "[[source]]\naddress = \"fe80::1%1\"\n[[source]]\naddress = \"[FE80::1%lo]:123\"\n[clock]\nminimum-sources = 2\n",
        &[
            "test.toml:4: address: \"[FE80::1%lo]:123\" may be the source \"fe80::1%1\", which is there already",
            "test.toml:6: minimum-sources: asks for 2 sources that agree, but 1 source is configured",
        ],
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
        "[[source]]\naddress = \"a\"\n[clock]\nmax-distance = 17\n",
        &["max-distance: expected a number of seconds from 0.01 to 16"],
    ),
    ("maxdistance 10\n", &["write max-distance under [clock]"]),
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
        &["test.toml:5: listen: \"[fe80::1]:123\" is a link-local address (fe80::) without its interface"],
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
