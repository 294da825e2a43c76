use super::*;
use crate::screen::Screen;
use proof::testing::{Disk, Host};
use std::process;

const TEXT: Form = Form::Text(Screen::WIDE);

/// A folder with the files of a host, and a list of the servers that signed.
struct Folder(PathBuf);

impl Folder {
    fn of(test: &str, disk: &Disk) -> Self {
        let folder = std::env::temp_dir().join(format!("chimerctl-verify-{test}-{}", process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for (name, octets) in [
            ("audit.log", &disk.log),
            (GOVERNOR, &disk.governor),
            (HISTORY, &disk.history),
            (ANCHORS, &disk.anchors),
        ] {
            std::fs::write(folder.join(name), octets).unwrap();
        }
        let servers: Vec<Value> = proof::testing::keys().iter().map(server).collect();
        std::fs::write(folder.join("keys.json"), json!({ "servers": servers }).to_string()).unwrap();
        Self(folder)
    }

    fn verify(&self, asked: &AuditArguments, form: Form) -> Result<String, String> {
        verify(&self.0.join("audit.log"), asked, form).map_err(|failure| failure.text)
    }

    fn keys(&self) -> AuditArguments {
        AuditArguments { keys: Some(self.0.join("keys.json")), ..asked() }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn asked() -> AuditArguments {
    AuditArguments {
        verify: true,
        history: None,
        anchors: None,
        governor: None,
        keys: None,
        steps: false,
        file: None,
        last: None,
    }
}

fn server(key: &Key) -> Value {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in key.public_key.chunks(3) {
        let octet = |at: usize| u32::from(three.get(at).copied().unwrap_or(0));
        let bits = octet(0) << 16 | octet(1) << 8 | octet(2);
        for at in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * at) & 63) as usize];
            text.push(if at <= three.len() { char::from(digit) } else { '=' });
        }
    }
    json!({
        "name": key.name,
        "version": 1,
        "publicKeyType": "ed25519",
        "publicKey": text,
        "addresses": [{ "protocol": "udp", "address": "192.0.2.1:2002" }],
    })
}

fn host() -> Host {
    let mut host = Host::new(2, 16, 5);
    for _ in 0..5 {
        host.hour();
        host.anchor();
        host.keep_anchors();
    }
    host.hour();
    host.persist();
    host
}

#[test]
fn what_is_proven_until_when_is_the_end_of_what_is_said() {
    let host = host();
    let folder = Folder::of("proven", &host.disk());
    let text = folder.verify(&folder.keys(), TEXT).unwrap();
    for part in [
        "audit.log: the audit log is in order: records 0 to ",
        "its end, by the governor's record: it had ",
        "engine.history: the history is in order: records 0 to ",
        "engine.anchors: 5 anchors, 5 signed by servers of --keys\n",
        "  anchor 0: records 0 to ",
        "\nproven: records 0 to ",
        " s, signed by server-",
        "\nin order, and not proven: record",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let document: Value = serde_json::from_str(&folder.verify(&folder.keys(), Form::Json).unwrap()).unwrap();
    assert_eq!((&document["whole"], document["claims"].as_array().unwrap().len()), (&json!(true), 5));
    assert_eq!(document["proven"]["anchor"], 4);
    assert_eq!(document["findings"], json!([]));
}

#[test]
fn where_no_file_says_where_it_ended_that_is_said() {
    let folder = Folder::of("alone", &host().disk());
    for name in [GOVERNOR, HISTORY, ANCHORS] {
        std::fs::remove_file(folder.0.join(name)).unwrap();
    }
    let text = folder.verify(&asked(), TEXT).unwrap();
    for part in [
        "  where it ended is not proven: no file says that nothing came behind record ",
        "engine.anchors: is not there; no anchor was looked at\n",
        "proven: nothing; who could write these files could have computed all of them anew\n",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let named = AuditArguments { history: Some(folder.0.join("nothing")), ..asked() };
    assert!(folder.verify(&named, TEXT).unwrap_err().contains("nothing: No such file"));
}

#[test]
fn what_was_altered_is_printed_and_said_on_standard_error_with_exit_code_1() {
    let host = host();
    let mut disk = host.disk();
    disk.history[77 * 128 + 40] ^= 1;
    let folder = Folder::of("altered", &disk);
    let failure = verify(&folder.0.join("audit.log"), &folder.keys(), Form::Json).err().unwrap();
    assert_eq!(failure.code, exit::NO);
    assert!(failure.text.contains("audit.log: history: record 77 was altered"), "{}", failure.text);
}

#[test]
fn a_list_that_is_none_is_refused_with_the_reason() {
    let folder = Folder::of("keys", &host().disk());
    std::fs::write(folder.0.join("keys.json"), "[]").unwrap();
    let failure = folder.verify(&folder.keys(), TEXT).unwrap_err();
    assert!(failure.contains("keys.json: it is not a list of Roughtime servers in JSON"), "{failure}");
}

#[test]
fn a_file_that_is_named_is_one_of_its_kind_or_there_is_no_answer() {
    let folder = Folder::of("named", &host().disk());
    let place = |name: &str| folder.0.join(name);
    std::fs::write(place("short"), b"x").unwrap();
    std::fs::write(place("long"), [b'x'; 3 * SLOT]).unwrap();
    std::fs::create_dir(place("folder")).unwrap();
    type Name = fn(PathBuf) -> AuditArguments;
    let options: [(Name, &str); 4] = [
        (|path| AuditArguments { history: Some(path), ..asked() }, "is no history"),
        (|path| AuditArguments { anchors: Some(path), ..asked() }, "is no file of anchors"),
        (|path| AuditArguments { governor: Some(path), ..asked() }, "is no governor's record"),
        (|path| AuditArguments { keys: Some(path), ..asked() }, "it is not a list of Roughtime servers"),
    ];
    for (option, is_none) in options {
        for (name, expected) in [
            ("absent", "No such file"),
            ("folder", "is no regular file"),
            ("short", is_none),
            ("long", is_none),
            ("audit.log", is_none),
        ] {
            let failure = verify(&place("audit.log"), &option(place(name)), TEXT).err();
            let failure = failure.unwrap_or_else(|| panic!("{name}: {is_none}"));
            let is_too_long = failure.text.contains("is longer than such a file can be");
            let said = is_too_long && name != "short" || failure.text.contains(expected);
            assert!(said && failure.code == exit::UNABLE, "{name}: {}", failure.text);
        }
    }
    // Nobody named it: it was put in the place of the history, and that is what is to be seen.
    std::fs::copy(place("long"), place(HISTORY)).unwrap();
    let failure = verify(&place("audit.log"), &asked(), TEXT).err().unwrap();
    assert_eq!(failure.code, exit::NO, "{}", failure.text);
}
