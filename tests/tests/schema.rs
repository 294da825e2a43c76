//! What `chimerctl --json` prints is what packaging/schema/chimerctl.schema.json says, and that says nothing else: documents of
//! real daemons, and the golden ones, judged by the jsonschema package of Python (`schema/judge.py`).

#[path = "evidence/month.rs"]
mod month;

use bench::daemon::{Daemon, Setup, source};
use bench::forger::Forger;
use bench::nts::NtsServer;
use bench::programs::{Place, free_port, program, workspace};
use bench::tree::read;
use history::testing::Writer;
use ipc::audit_line::{LENGTH, LINE, ORDERS, STEPS, TEXT, finish};
use ipc::history::{RECORD, Said};
use month::Month;
use proof::testing::{Disk, Host};
use report::{RejectReason, Words};
use serde_json::{Value, json};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const TIMEOUT: Duration = Duration::from_secs(30);

fn schema() -> Value {
    serde_json::from_str(&read("packaging/schema/chimerctl.schema.json")).expect("the schema is JSON")
}

/// What the judge says; none: there is no Python with jsonschema here.
fn judge(documents: &[(&str, Value)]) -> Option<String> {
    let script = workspace().join("tests/tests/schema/judge.py");
    let mut command = Command::new("python3");
    command
        .arg("-W")
        .arg("ignore")
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let has_package =
        Command::new("python3").args(["-c", "import jsonschema"]).stderr(Stdio::null()).status();
    if !has_package.is_ok_and(|status| status.success()) {
        return None;
    }
    let mut child = command.spawn().expect("python3 was there");
    let given = json!({ "schema": schema(), "documents": documents });
    child.stdin.take().expect("piped").write_all(given.to_string().as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).expect("text"))
}

const NO_JUDGE: &str = "python3 with jsonschema is missing: apt-get install python3-jsonschema";

fn json_of(daemon: &Daemon, words: &[&str]) -> Value {
    let output = daemon.chimerctl(&[words, &["--json"]].concat());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{words:?}: {error}: {output:?}"))
}

/// A document of each command that only reads, from this daemon.
fn read_from(daemon: &Daemon) -> Vec<(&'static str, Value)> {
    let mut documents = vec![
        ("status", json_of(daemon, &["status"])),
        ("sources", json_of(daemon, &["sources"])),
        ("why", json_of(daemon, &["why"])),
        ("activity", json_of(daemon, &["activity"])),
        ("server", json_of(daemon, &["server"])),
        ("keys", json_of(daemon, &["keys"])),
        ("clients", json_of(daemon, &["clients"])),
        ("access", json_of(daemon, &["access", "127.0.0.1"])),
        ("plot", json_of(daemon, &["plot", "--span", "day"])),
    ];
    // The keeper makes it when it has something to say.
    if daemon.setup().place().join("state/audit.log").exists() {
        documents.push(("audit", json_of(daemon, &["audit"])));
        documents.push(("auditVerified", json_of(daemon, &["audit", "--verify"])));
    }
    for source in daemon.sources() {
        let name = source["name"].as_str().expect("a text");
        documents.push(("source", json_of(daemon, &["source", name])));
    }
    documents
}

/// An audit log with a line of each kind that a daemon does not write without trouble, in the forms of the keeper.
fn rare_records(place: &Place) -> String {
    let cut = format!("event=applied asked=adjust was=35 is={}", "1".repeat(300));
    let history = format!("event=history records=61 hash={}", "0a".repeat(32));
    let lines = [
        "event=unwritten kind=adjust unwritten=3 charged_ns=3000000 frequency_least=-7 frequency_greatest=9 slew_net_ns=-5 \
         slew_sum_ns=15",
        "event=refused asked=step why=Run delta_ns=-5 code=Budget limit=100 found=5 unwritten=0",
        "event=refused asked=status leap=None synchronised=true code=Range limit=0 found=0 unwritten=2",
        "event=foreign-step moved_ns=-500000000 epoch=4",
        "event=approved approved_ns=42000000000 for_ns=60000000000",
        "event=approval-ended",
        "event=panic beside_ns=700000 undone=true",
        &history,
        "event=stop code=79 released=false",
        &cut,
    ];
    let mut octets = vec![0; usize::try_from(LENGTH).expect("it fits")];
    let mut before = [0; 32];
    for (sequence, words) in lines.into_iter().enumerate() {
        let mut line = [b' '; LINE];
        let text = format!("sequence={sequence} at=2026-11-24T19:30:01.123456789Z raw={sequence} {words}");
        let length = text.len().min(TEXT);
        line[..length].copy_from_slice(&text.as_bytes()[..length]);
        before = finish(&mut line, &before);
        let at = usize::try_from(ORDERS.place(sequence as u64)).expect("it fits");
        octets[at..at + LINE].copy_from_slice(&line);
    }
    let file = place.join("rare.log");
    std::fs::write(&file, octets).expect("a new folder can be written");
    file.display().to_string()
}

/// Histories with everything that there can be: before the first record, and of months with a power cut and an edit.
fn histories(place: &Place) -> Vec<(&'static str, Value)> {
    let mut writer = Writer::simulated(30, 40, 3);
    let mut minute = writer.minute();
    (minute.leap, minute.stepped_by_another, minute.signed) = (true, true, true);
    writer.append(Said::Minute(minute));
    writer.append(Said::Configuration { configuration: [1; 32] });
    let (before, synced) = (writer.octets().to_vec(), writer.end().lines);
    (0..3).for_each(|_| writer.hour());
    writer.cut_power(&before, synced);
    let edited = writer.octets_mut();
    edited[3_000 * RECORD..3_001 * RECORD].fill(0);
    edited[0] = 9;
    let file = place.join("copy.history");
    let shown = |octets: &[u8], words: &[&str]| -> Value {
        std::fs::write(&file, octets).expect("a new folder can be written");
        let mut command = Command::new(program("chimerctl"));
        let output = command.args(["history", "--json"]).args(words).arg(&file).output().expect("it runs");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    };
    vec![
        ("history", shown(&[], &[])),
        ("history", shown(writer.octets(), &[])),
        ("history", shown(writer.octets(), &["--minutes"])),
    ]
}

/// What is said of the files of a host: as they are, after a power cut, and with something altered in each.
fn verified(place: &Place) -> Vec<(&'static str, Value)> {
    let folder = place.join("copies");
    std::fs::create_dir_all(&folder).expect("a new folder can be made");
    let list = r#"{ "servers": [{ "name": "server-1", "version": 1, "publicKeyType": "ed25519", "publicKey": "KEY",
        "addresses": [{ "protocol": "udp", "address": "192.0.2.1:2002" }] }] }"#;
    let key = &proof::testing::keys()[0].public_key;
    let coded = Command::new("python3")
        .args([
            "-c",
            "import base64,sys;print(base64.b64encode(bytes(map(int,sys.argv[1:]))).decode(),end='')",
        ])
        .args(key.iter().map(u8::to_string))
        .output();
    let coded =
        coded.map_or_else(|_| String::new(), |output| String::from_utf8(output.stdout).expect("text"));
    std::fs::write(folder.join("keys.json"), list.replace("KEY", &coded)).expect("it can be written");
    let shown = |disk: &Disk| -> Value {
        let files = [
            ("audit.log", &disk.log),
            ("governor", &disk.governor),
            ("engine.history", &disk.history),
            ("engine.anchors", &disk.anchors),
        ];
        for (name, octets) in files {
            std::fs::write(folder.join(name), octets).expect("it can be written");
        }
        let mut command = Command::new(program("chimerctl"));
        command.args(["audit", "--verify", "--json", "--file"]).arg(folder.join("audit.log"));
        if !coded.is_empty() {
            command.arg("--keys").arg(folder.join("keys.json"));
        }
        let output = command.output().expect("it runs");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    };
    let mut host = Host::new(2, 16, 5);
    for _ in 0..6 {
        host.hour();
        host.write_step("event=permitted asked=step why=Start delta_ns=1 any_size=false by_leave=false");
        host.anchor();
        host.keep_anchors();
    }
    let whole = shown(&host.disk());
    let mut altered = host.disk();
    altered.log[100] ^= 1;
    altered.log[usize::try_from(STEPS.place(1)).expect("it fits") + 100] ^= 1;
    altered.history[77 * RECORD + 40] ^= 1;
    altered.anchors[200] ^= 1;
    let altered = shown(&altered);
    host.orders();
    host.cut_power();
    host.restart();
    vec![("auditVerified", whole), ("auditVerified", altered), ("auditVerified", shown(&host.disk()))]
}

/// Evidence of a bad month and of a good one, and what it can be of.
fn evidence(place: &Place) -> Vec<(&'static str, Value)> {
    let file = |month: Month| {
        let file = place.join(&format!("{month:?}.history")).display().to_string();
        std::fs::write(&file, month::written(month).octets()).expect("a new folder can be written");
        file
    };
    let shown = |words: &[&str]| -> Value {
        let mut command = Command::new(program("chimerctl"));
        let output = command.args(["evidence", "--json"]).args(words).output().expect("it runs");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    };
    let (good, bad) = (file(Month::Good), file(Month::Bad));
    let period = ["--from", month::FROM, "--to", month::TO];
    let of = |history: &str, words: &[&str]| {
        ("evidence", shown(&[&period[..], &["--history", history], words].concat()))
    };
    // What `verified` has left there.
    let copies = place.join("copies/engine.history").display().to_string();
    let last = ["--from", "6h", "--to", "0h", "--history", &copies];
    vec![
        ("evidence", shown(&[&last[..], &["--rule", "pci-dss"]].concat())),
        ("evidenceRules", shown(&["--rule", "list"])),
        of(&good, &["--rule", "stig"]),
        of(&bad, &["--rule", "csbr", "--host", "clock.example", "--authorised", month::SOURCES[0]]),
        of(&bad, &["--rule", "mifid-ii", "--activity", "hft", "--by", "likely"]),
    ]
}

/// Roughtime servers, of which none is there.
fn roughtime() -> String {
    const KEYS: [&str; 3] = [
        "AW5uAoTSTDfG5NfY1bTh08GUnOqlRb+HVhbJ3ODJvsE=",
        "etPaaIxcBMY1oUeGpwvPMCJMwlRVNxv51KK/tktoJTQ=",
        "gD63hSj3ScS+wuOeGrubXlq35N1c5Lby/S+T7MNTjxo=",
    ];
    let entry = |(at, key): (usize, &&str)| {
        let (port, operator) = (free_port(), format!("operator {at}"));
        format!(
            "[[roughtime.server]]\naddress = \"127.0.0.1:{port}\"\nkey = \"{key}\"\noperator = \"{operator}\"\n"
        )
    };
    KEYS.iter().enumerate().map(entry).collect()
}

/// The replies on the socket that chimerctl passes on as they are, with everything that there can be.
fn golden() -> Vec<(&'static str, Value)> {
    let names = [
        ("sources", "sources"),
        ("server", "server"),
        ("keys", "keys"),
        ("done", "done"),
        ("plot", "history"),
        ("clients", "clients"),
        ("access", "access"),
        ("step", "step"),
    ];
    let read = |name: &str| -> Value {
        serde_json::from_str(&read(format!("ipc/report/tests/{name}.json")))
            .expect("a golden document is JSON")
    };
    let mut documents: Vec<_> =
        names.into_iter().map(|(definition, name)| (definition, read(name))).collect();
    // From another reply.
    let keys = documents.iter_mut().filter(|(definition, _)| *definition == "keys");
    keys.for_each(|(_, document)| document["symmetric"] = json!([]));
    documents
}

#[test]
fn each_document_is_of_the_schema_and_each_key_of_the_schema_is_in_a_document() {
    let mut documents = golden();

    // Nothing measured, and nothing served on an interface that is not there; a clock that nobody steers.
    let nowhere = format!(
        "[server]\nlisten = [\"0.0.0.0%nowhere0:{}\"]\nallow = [\"127.0.0.0/8\"]\nlocal-stratum = 10\n",
        free_port()
    );
    let idle = Setup::new("schema-idle", &nowhere).start();
    idle.wait_until("told what is not served", TIMEOUT, |daemon| {
        let unserved = json_of(daemon, &["status"])["unserved"].clone();
        unserved.as_array().is_some_and(|entries| !entries.is_empty())
    });
    documents.extend(read_from(&idle));
    documents.extend(histories(idle.setup().place()));
    documents.extend(verified(idle.setup().place()));
    documents.extend(evidence(idle.setup().place()));

    // Plain sources: one that is used, one whose replies fail a test, one that is silent, one without an address.
    let forgers = [
        Forger::honest(HERE, 0),
        Forger::start([127, 0, 0, 2].into(), 0, |request| vec![request.with(|header| header.leap = 3)]),
        Forger::start([127, 0, 0, 3].into(), 0, |_| Vec::new()),
    ];
    let sources: String = forgers.iter().map(|forger| source(forger.address())).collect();
    let sources = sources
        + "[[source]]\naddress = \"nobody.invalid\"\n[[source]]\naddress = \"127.0.0.4:1\"\nkey = 10\nnoselect = true\n"
        + &roughtime();
    let setup = Setup::new("schema-plain", &sources)
        .with_keys("10 AES128 HEX:2B7E151628AED2A6ABF7158809CF4F3C\n")
        .with_virtual_clock(-700_000_000, 25.0);
    let recording = setup.place().join("state/record").display().to_string();
    let plain = setup.with_argument("--record").with_argument(&recording).start();
    documents.extend(read_from(&plain));
    documents.push(("waitSync", json_of(&plain, &["wait-sync", "--timeout", "30"])));
    documents.push(("now", json_of(&plain, &["now"])));
    documents.push(("now", json_of(&plain, &["assert"])));
    let key = json_of(&plain, &["keys"])["symmetric"][0]["key"].clone();
    assert_eq!(key, json!({ "number": 10, "kind": "AES128", "bits": 128 }));
    plain.wait_until("with replies that failed", TIMEOUT, |daemon| {
        daemon.sources()[1]["rejected"]["leap_unknown"].is_u64()
            && daemon.sources()[0]["samples"].as_u64() > Some(3)
    });
    for words in [&["burst"][..], &["online"], &["add", "127.0.0.9"], &["remove", "127.0.0.9"]] {
        documents.push(("done", json_of(&plain, words)));
    }
    documents.extend(read_from(&plain));
    documents.push(("reload", json_of(&plain, &["reload"])));
    documents.push(("reload", json_of(&plain, &["reload", "sources"])));
    documents.push(("audit", json_of(&plain, &["audit", "--file", &rare_records(plain.setup().place())])));
    documents.push(("audit", json_of(&plain, &["audit", "--steps"])));
    // Its folder stays as long as this.
    let stopped = plain.setup().clone();
    let place = stopped.place().join("state/audit.log").display().to_string();
    assert_eq!(plain.stop().code, Some(0));

    // NTS on both sides.
    let server = NtsServer::new("schema-nts", &["127.0.0.1"], "");
    let serving = server.setup.start();
    let client = Setup::new("schema-client", &server.source("127.0.0.1", ""))
        .with_virtual_clock(5_000_000, 0.0)
        .start();
    client.wait_until_synchronised(TIMEOUT);
    serving.wait_until("told of the exchange", TIMEOUT, |daemon| {
        let counts = json_of(daemon, &["status"]);
        counts["server"].is_object() && counts["key_exchange"]["counters"].is_object()
    });
    documents.extend(read_from(&client));
    documents.extend(read_from(&serving));
    let file = server.setup.place().join("truechimer.toml").display().to_string();
    documents.push(("reload", json_of(&serving, &["reload", "--config", &file])));
    documents.push(("audit", json_of(&serving, &["audit", "--file", &place])));

    let replayed = Command::new(program("chimerctl")).args(["replay", "--json", &recording]).output();
    let replayed = replayed.expect("chimerctl can be executed");
    documents.push(("replay", serde_json::from_slice(&replayed.stdout).expect("one JSON document")));
    assert!(Path::new(&recording).exists());

    let Some(faults) = judge(&documents) else { return bench::skip(NO_JUDGE) };
    assert!(faults.is_empty(), "{faults}");
    // A key more would be found, and a number that is a text.
    let mut wrong = documents.iter().find(|(name, _)| *name == "status").expect("it is there").1.clone();
    wrong["clock"]["colour"] = "blue".into();
    wrong["clock"]["steps"] = "1".into();
    let faults = judge(&[("status", wrong)]).expect("it was there before");
    assert!(
        faults.contains("'colour' was unexpected") && faults.contains("'1' is not of type 'integer'"),
        "{faults}"
    );
}

/// The words of an enumeration in the schema and in the code.
fn has_words<T: Words>(schema: &Value, name: &str) {
    let listed: Vec<&str> =
        schema["$defs"][name]["enum"].as_array().expect(name).iter().filter_map(Value::as_str).collect();
    assert_eq!(listed, T::ALL.iter().map(|word| word.name()).collect::<Vec<_>>(), "{name}");
}

#[test]
fn the_schema_has_the_words_of_the_documents_and_their_version() {
    let schema = schema();
    has_words::<RejectReason>(&schema, "rejectReason");
    has_words::<report::SystemState>(&schema, "systemState");
    has_words::<report::SourceState>(&schema, "sourceState");
    has_words::<report::SourceActivity>(&schema, "sourceActivity");
    has_words::<report::MeasurementOutcome>(&schema, "measurementOutcome");
    has_words::<report::StampOrigin>(&schema, "stampOrigin");
    has_words::<report::AssociationState>(&schema, "associationState");
    has_words::<report::ClockName>(&schema, "clockName");
    has_words::<report::LeapName>(&schema, "leapName");
    has_words::<report::Verdict>(&schema, "verdict");
    has_words::<report::EndName>(&schema, "endName");
    has_words::<report::CertificateState>(&schema, "certificateState");
    has_words::<report::CookieKeyOrigin>(&schema, "cookieKeyOrigin");
    let processes: Vec<&str> = ipc::process::Process::ALL.map(|process| process.name()).to_vec();
    assert_eq!(schema["$defs"]["process"]["properties"]["name"]["enum"], json!(processes));
    for (name, definition) in schema["$defs"].as_object().expect("definitions") {
        if let Some(format) = definition["properties"].get("format") {
            assert_eq!(format["const"], report::FORMAT, "{name}");
        }
    }
}
