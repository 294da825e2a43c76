use super::*;
use ipc::aead::{Aead, AeadOffer};
use ipc::message::exchange::HostName;
use ipc::message::key_service::KeyPolicy;

const SECRET: &str = "kT9sV2mQ8xL4pR7wB1nZ6cJ3fH5dG0yA";

const WHOLE: &str = r#"
[[source]]
address = "time.example.org"
mode = "nts"

[[source]]
address = "192.0.2.7"
mode = "nts"
roots = "/etc/truechimer/office-ca.pem"
aead = "siv"

[[source]]
address = "c.example.org:4461"
mode = "nts"
roots = "/etc/truechimer/office-ca.pem"
aead = "gcm-siv"

[[source]]
address = "192.0.2.9"

[clock]
require-nts = true

[nts]
system-roots = "/etc/pki/tls/certs/ca-bundle.crt"

[server]
listen = ["0.0.0.0:123"]
allow = ["192.0.2.0/24"]

[server.nts]
listen = ["0.0.0.0:4460", "::"]
certificate = "/etc/truechimer/nts/fullchain.pem"
key = "/etc/truechimer/nts/key.pem"
threads = 3
aead = ["gcm", "siv-512"]
ntp-server = "ntp.example.org"
ntp-port = 124
fleet-secret = "kT9sV2mQ8xL4pR7wB1nZ6cJ3fH5dG0yA"
fleet-since = "2026-11-01"
connections = 100
network-connections = 4
rate = 1000
network-rate = 50
"#;

fn server(rest: &str) -> String {
    source(&format!("[server]\nlisten = [\"::\"]\nallow = [\"::/0\"]\n[server.nts]\n{rest}"))
}

const FILES: &str = "listen = [\"::\"]\ncertificate = \"/a/c.pem\"\nkey = \"/a/k.pem\"\n";

#[test]
fn every_key_of_nts_reaches_its_place() {
    let Configuration { settings, plan, keys, warnings, .. } = good(WHOLE);
    assert!(warnings.is_empty());
    let nts: Vec<_> =
        settings.sources.iter().map(|source| source.nts.map(|nts| (nts.roots, nts.offer))).collect();
    assert_eq!(
        nts,
        [
            Some((0, AeadOffer::GCM_SIV_FIRST)),
            Some((1, AeadOffer::only(Aead::AesSivCmac256))),
            Some((1, AeadOffer::GCM_SIV_FIRST)),
            None
        ]
    );
    assert!(settings.clock.require_nts && plan.exchange);
    let ports: Vec<u16> = settings
        .sources
        .iter()
        .map(|source| match source.place {
            Place::Address(address) => address.port(),
            Place::Name(_, port) => port,
        })
        .collect();
    assert_eq!(ports, [4460, 4460, 4461, 123]);
    assert_eq!(plan.system_roots.unwrap().as_str(), "/etc/pki/tls/certs/ca-bundle.crt");
    let files: Vec<_> = plan.roots.iter().flatten().map(|file| file.as_str().to_owned()).collect();
    assert_eq!(files, ["/etc/truechimer/office-ca.pem"]);
    let service = plan.key_service.unwrap();
    assert_eq!((service.listen.len(), service.threads), (2, 3));
    assert_eq!(service.listen[1].address.port(), 4460);
    assert_eq!(service.first.certificate.as_str(), "/etc/truechimer/nts/fullchain.pem");
    assert_eq!(service.first.key.as_str(), "/etc/truechimer/nts/key.pem");
    let keys = keys.unwrap();
    let expected = KeyPolicy {
        ntp_server: Some(HostName::parse("ntp.example.org").unwrap()),
        ntp_port: Some(124),
        connections: 100,
        network_connections: 4,
        rate: 1000,
        network_rate: 50,
        aead: AeadOffer::new([Aead::Aes256Gcm, Aead::AesSivCmac512]).unwrap(),
    };
    assert_eq!(keys.policy, expected);
    let fleet = keys.fleet.unwrap();
    assert_eq!((fleet.secret.as_slice(), fleet.since), (SECRET.as_bytes(), 20_758));
}

#[test]
fn algorithms_are_named_alone_or_in_a_list_whose_order_counts() {
    let offer = |value: &str| {
        let text = source(&format!("mode = \"nts\"\naead = {value}\n"));
        good(&text).settings.sources[0].nts.unwrap().offer
    };
    let list = |algorithms: &[Aead]| AeadOffer::new(algorithms.iter().copied()).unwrap();
    assert_eq!(offer("\"gcm-siv\""), list(&[Aead::Aes128GcmSiv, Aead::AesSivCmac256]));
    assert_eq!(offer("\"siv-512\""), list(&[Aead::AesSivCmac512]));
    assert_eq!(offer("\"gcm\""), list(&[Aead::Aes256Gcm]));
    assert_eq!(offer("[\"gcm-siv\"]"), list(&[Aead::Aes128GcmSiv]));
    assert_eq!(
        offer("[\"siv-512\", \"siv\", \"gcm\", \"gcm-siv\"]"),
        list(&[Aead::AesSivCmac512, Aead::AesSivCmac256, Aead::Aes256Gcm, Aead::Aes128GcmSiv])
    );
}

#[test]
fn what_nts_needs_has_good_defaults() {
    let plain = good(&source(""));
    assert_eq!((plan_files(&plain), plain.settings.clock.require_nts), (0, false));
    let Configuration { plan, settings, .. } = good(&source("mode = \"nts\"\n"));
    assert_eq!(plan.system_roots.unwrap().as_str(), "/etc/ssl/certs/ca-certificates.crt");
    assert_eq!(settings.sources[0].nts.unwrap().offer, AeadOffer::GCM_SIV_FIRST);
    let own = good(&source("mode = \"nts\"\nroots = \"/a.pem\"\n"));
    assert_eq!((own.plan.system_roots, plan_files(&own)), (None, 1));

    let found = good(&server(FILES));
    let keys = found.keys.unwrap();
    assert_eq!((keys.policy, keys.fleet), (KeyPolicy::DEFAULT, None));
    assert_eq!(found.plan.key_service.unwrap().threads, 0);
    let few = good(&server(&format!("{FILES}connections = 3\nrate = 20\n"))).keys.unwrap().policy;
    assert_eq!((few.network_connections, few.network_rate), (3, 20));
}

fn plan_files(configuration: &Configuration) -> usize {
    configuration.plan.roots.iter().flatten().count()
}

#[test]
fn clients_are_told_the_port_where_they_would_not_find_it() {
    let policy = |listen: &str| {
        let text =
            source(&format!("[server]\nlisten = [{listen}]\nallow = [\"::/0\"]\n[server.nts]\n{FILES}"));
        good(&text).keys.unwrap().policy.ntp_port
    };
    assert_eq!(policy("\"127.0.0.1:11123\", \"[::1]:11123\""), Some(11_123));
    assert_eq!(policy("\"127.0.0.1:11123\", \"[::1]:123\""), None);
    assert_eq!(policy("\"127.0.0.1:123\""), None);
}

#[test]
fn addresses_of_a_key_exchange_may_not_overlap_either() {
    let wrong = bad(&server(&FILES.replace("\"::\"", "\"[::]:4460\", \"2001:db8::1\"")));
    assert!(wrong.contains("\"2001:db8::1\" and \"[::]:4460\" overlap"), "{wrong}");
}

#[test]
fn a_server_of_a_fleet_may_leave_key_exchange_to_others() {
    let found = good(&server(&format!("fleet-secret = \"{SECRET}\"\nfleet-since = 2026-11-01\n")));
    assert_eq!(found.plan.key_service, None);
    assert_eq!(found.keys.unwrap().fleet.unwrap().since, 20_758);
}

#[test]
fn a_pool_may_have_nts_and_its_members_count_as_sources() {
    let pool =
        |name: &str| format!("[[source]]\naddress = \"{name}\"\nmode = \"nts\"\npool = true\nmembers = 16\n");
    let settings = good(&format!("{}{}", pool("a"), pool("b"))).settings;
    assert!(settings.sources.iter().all(|source| source.is_nts_pool() && source.members == 16));
    assert!(bad(&format!("{}{}{}", pool("a"), pool("b"), pool("c"))).contains("more than 32 sources"));
    let plain = good("[[source]]\naddress = \"a\"\nmode = \"nts\"\npool = true\n").settings;
    assert_eq!(plain.sources[0].members, 4);
    assert!(!plain.sources[0].is_shared_out());
    let shared =
        good("[[source]]\naddress = \"a\"\nmode = \"nts\"\npool = true\nexperimental-nts-pool = true\n")
            .settings;
    assert!(shared.sources[0].is_shared_out());
}

/// Each broken file with the parts that its message must have.
const BROKEN: &[(&str, &[&str])] = &[
    (
        "[[source]]\naddress = \"a\"\nmode = \"NTS\"\n",
        &["test.toml:3: mode: expected \"nts\"", "write mode = \"nts\""],
    ),
    (
        "[[source]]\naddress = \"a\"\nmode = \"nts\"\nexperimental-nts-pool = true\n",
        &["test.toml:4: experimental-nts-pool: only a pool has it; add pool = true"],
    ),
    (
        "[[source]]\naddress = \"a\"\npool = true\nexperimental-nts-pool = true\n",
        &["test.toml:4: experimental-nts-pool: plain NTP has no use for it; add mode = \"nts\""],
    ),
    (
        "[[source]]\naddress = \"192.0.2.1\"\nmode = \"nts\"\npool = true\n",
        &["test.toml:4: pool: an address is one server; leave pool out"],
    ),
    (
        "[[source]]\naddress = \"a\"\nroots = \"/a.pem\"\n",
        &["test.toml:3: roots: plain NTP has no use for it; add mode = \"nts\""],
    ),
    ("[[source]]\naddress = \"a\"\naead = \"siv\"\n", &["test.toml:3: aead: plain NTP has no use for it"]),
    (
        "[[source]]\naddress = \"a\"\nmode = \"nts\"\naead = \"aes\"\n",
        &["test.toml:4: aead: expected \"gcm-siv\"", "found \"aes\"; leave it out"],
    ),
    (
        "[[source]]\naddress = \"a\"\nmode = \"nts\"\naead = []\n",
        &["test.toml:4: aead: expected a list of at least one algorithm"],
    ),
    (
        "[[source]]\naddress = \"a\"\nmode = \"nts\"\naead = [\"siv\", \"siv\"]\n",
        &["test.toml:4: aead: expected a list of at least one algorithm, none of them twice"],
    ),
    (
        "[[source]]\naddress = \"a\"\nmode = \"nts\"\naead = [\"siv\", \"gcm-siw\"]\n",
        &["test.toml:4: aead: expected", "found \"gcm-siw\"; write \"gcm-siv\", or leave it out"],
    ),
    (
        "[[source]]\naddress = \"a\"\nmode = \"nts\"\naead = 15\n",
        &["test.toml:4: aead: expected a list of texts, found 15; write aead = [\"gcm-siv\", \"siv\"]"],
    ),
    (
        "[[source]]\naddress = \"a\"\nmode = \"nts\"\nroots = \"ca.pem\"\n",
        &["test.toml:4: roots: \"ca.pem\" is not the whole path of a file"],
    ),
    (
        "[[source]]\naddress = \"a\"\nmode = \"nts\"\nroots = \"/a/../b\"\n",
        &["roots: \"/a/../b\" is not the whole path"],
    ),
    (
        "[[source]]\naddress = \"a\"\nmode = \"nts\"\nroot = \"/a\"\n",
        &["test.toml:4: root: no such key in [[source]]; did you mean roots?"],
    ),
    (
        "[[source]]\naddress = \"a\"\n[clock]\nrequire-nts = true\n",
        &["test.toml:4: require-nts: no [[source]] has mode = \"nts\""],
    ),
    (
        "[[source]]\naddress = \"a\"\n[nts]\nsystem_roots = \"/a\"\n",
        &["test.toml:4: system_roots: no such key in [nts]; did you mean system-roots?"],
    ),
    (
        "[[source]]\naddress = \"a\"\n[nts]\nsystem-roots = \"\"\n",
        &["test.toml:4: system-roots: \"\" is not the whole path of a file"],
    ),
];

#[test]
fn a151_each_fault_of_nts_is_named_with_line_key_expectation_and_remedy() {
    for (text, parts) in BROKEN {
        let message = bad(text);
        for part in *parts {
            assert!(message.contains(part), "{text:?}\n  says    {message}\n  without {part}");
        }
    }
    let many: String = (0..5)
        .map(|n| format!("[[source]]\naddress = \"s{n}\"\nmode = \"nts\"\nroots = \"/{n}.pem\"\n"))
        .collect();
    assert_eq!(bad(&many).lines().count(), 1);
    assert!(bad(&many).contains("test.toml:20: roots: more than 4 different files"), "{}", bad(&many));
}

#[test]
fn a151_each_fault_of_a_key_exchange_service_is_named() {
    let secret = format!("fleet-secret = \"{SECRET}\"\n");
    for (rest, parts) in [
        (String::new(), vec!["listen: where to exchange keys is missing", "certificate = ", "key = "]),
        (FILES.replace("\"::\"", ""), vec!["test.toml:7: listen: where to exchange keys is missing"]),
        (FILES.replace("\"::\"", "\"eth0\""), vec!["listen: \"eth0\" is not an address of this host"]),
        (FILES.replace("\"::\"", "\"::\", \"[::]:4460\""), vec!["\"[::]:4460\" is there twice"]),
        (FILES.replace("/a/k.pem", "/a/c.pem"), vec!["key: the same file as certificate"]),
        (FILES.replace("/a/c.pem", "c.pem"), vec!["certificate: \"c.pem\" is not the whole path"]),
        (
            FILES.replace("/a/c.pem", "/etc/truechimer/c.pem"),
            vec!["test.toml:8: certificate: what lies in /etc/truechimer"],
        ),
        (
            FILES.replace("/a/k.pem", "/etc/truechimer/k.pem"),
            vec!["key: what lies in /etc/truechimer itself"],
        ),
        (FILES.replace("certificate", "certificat"), vec!["did you mean certificate?"]),
        (format!("{FILES}threads = 17\n"), vec!["threads: expected a whole number from 0 to 16"]),
        (
            format!("{FILES}ntp-server = \"2001:db8::1\"\n"),
            vec!["ntp-server: \"2001:db8::1\" is not a host name"],
        ),
        (format!("{FILES}ntp-port = 0\n"), vec!["ntp-port: expected a whole number from 1 to 65535"]),
        (format!("{FILES}connections = 513\n"), vec!["connections: expected a whole number from 1 to 512"]),
        (
            format!("{FILES}connections = 4\nnetwork-connections = 5\n"),
            vec!["network-connections: expected a whole number from 1 to 4, found 5"],
        ),
        (format!("{FILES}rate = 0\n"), vec!["rate: expected a whole number from 1 to 100000"]),
        (
            format!("{FILES}rate = 10\nnetwork-rate = 11\n"),
            vec!["network-rate: expected a whole number from 1 to 10"],
        ),
        (format!("{FILES}fleet-since = 2026-11-01\n"), vec!["fleet-since: without fleet-secret"]),
        (
            format!("{FILES}{secret}"),
            vec!["test.toml:10: fleet-secret: the day on which it was made is missing"],
        ),
        (
            format!("{FILES}{secret}fleet-since = \"2026-02-30\"\n"),
            vec!["fleet-since: expected a day from 1970 on"],
        ),
        (format!("{FILES}{secret}fleet-since = 20758\n"), vec!["fleet-since: expected a day", "found 20758"]),
        (format!("{FILES}{secret}fleet-since = 2026-11-01T00:00:00Z\n"), vec!["fleet-since: expected a day"]),
    ] {
        let message = bad(&server(&rest));
        for part in parts {
            assert!(message.contains(part), "{rest:?}\n  says    {message}\n  without {part}");
        }
        assert!(!message.contains(&SECRET[..8]), "{message}");
    }
    let listen: String = (1..10).map(|n| format!("\"10.0.0.{n}\",")).collect();
    assert!(bad(&server(&FILES.replace("\"::\"", &listen))).contains("listen: more than 8 addresses"));
    assert!(bad("[server]\nnts = 1\n").contains("nts: expected a table, found 1; write [server.nts]"));
}

#[test]
fn no_message_repeats_a_fleets_secret() {
    for value in ["\"hunter2 hunter2\"", "2718281828459045", "[\"hunter2\"]", "{ a = \"hunter2\" }"] {
        let message = bad(&server(&format!("{FILES}fleet-secret = {value}\nfleet-since = 2026-11-01\n")));
        assert!(message.contains("fleet-secret: expected a text of at least 32 octets"), "{message}");
        assert!(!message.contains("hunter2") && !message.contains("2718281828"), "{message}");
    }
    // Without quotation marks it is not TOML.
    for value in ["hunter2", "h\"unter2", "hunter2\\", "\"hunter2", "hunter2 hunter2"] {
        let message = bad(&server(&format!("{FILES}fleet-secret = {value}\nfleet-since = 2026-11-01\n")));
        assert!(message.contains("not TOML") && !message.contains("unter2"), "{message}");
    }
    let printed = format!("{:?}", good(WHOLE));
    assert!(
        printed.contains("20758") && !printed.contains(SECRET) && !printed.contains("107, 84"),
        "{printed}"
    );
}

#[test]
fn a149_a_file_with_a_secret_that_others_may_read_is_refused() {
    let path = std::env::temp_dir().join(format!("truechimer-toml-secret-{}", std::process::id()));
    std::fs::write(&path, WHOLE).unwrap();
    let open = || std::fs::File::open(&path).unwrap();
    let exposed = load(&open(), "name.toml", false).unwrap_err().to_string();
    assert!(exposed.contains("chmod 600 name.toml") && !exposed.contains(SECRET), "{exposed}");
    assert!(load(&open(), "name.toml", true).is_ok());
    std::fs::remove_file(path).unwrap();
}

mod any_text {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a151_no_edit_of_a_file_with_nts_makes_the_reader_panic(
            at in any::<prop::sample::Index>(),
            length in 0usize..40,
            with in "[\\[\\]{}=\",.0-9a-z\n-]{0,12}",
        ) {
            let start = at.index(WHOLE.len());
            let end = (start + length).min(WHOLE.len());
            let _ = parse(&format!("{}{with}{}", &WHOLE[..start], &WHOLE[end..]), "any.toml");
        }
    }
}
