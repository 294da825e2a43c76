//! What a reload puts in force, and what it leaves to a restart.

use super::bench::Bench;
use crate::{KeyFile, NTS_SERVER, start_server};

#[test]
fn a_reload_leaves_in_force_what_belongs_to_a_section_that_waits_for_a_restart() {
    let file = KeyFile::new("waiting");
    let (mut bench, _) = start_server("waiting", &file);
    let serves = NTS_SERVER.replace("allow = []", "allow = [\"127.0.0.0/8\"]");
    let reload = |bench: &mut Bench, text: &str| {
        let reply = bench.request(&serde_json::json!({ "verb": "reload", "file": text }).to_string());
        (reply["changed"] == true, reply["waiting"].clone(), reply["other_files"] == true, reply)
    };
    assert!(reload(&mut bench, &serves).0, "new access rules");
    let source = "[[source]]\naddress = \"192.0.2.1\"\n";
    let (is_changed, waiting, ..) = reload(&mut bench, source);
    let said = serde_json::json!([
        "[server] was removed, and clients are still served",
        "[server.nts] was removed, and keys are still given to clients",
    ]);
    assert!(!is_changed, "the rules of no server would deny all clients");
    assert_eq!(waiting, said);
    // Keys would name a port at which nobody answers yet.
    let (is_changed, waiting, ..) = reload(&mut bench, &serves.replace("11125", "11127"));
    assert_eq!((is_changed, waiting), (false, serde_json::json!(["[server] has changed: listen"])));
    let (is_changed, waiting, other_files, reply) =
        reload(&mut bench, &serves.replace("/a/c.pem", "/b/c.pem"));
    assert_eq!((is_changed, waiting), (false, serde_json::json!(["[server.nts] has changed: certificate"])));
    assert!(
        other_files && reply["certificate_file"] == "/a/c.pem" && reply["key_file"] == "/a/k.pem",
        "{reply}"
    );
    let (log, _) = bench.stop();
    assert!(log.contains("certificate and key are read again: /a/c.pem and /a/k.pem; not in force"), "{log}");
}
