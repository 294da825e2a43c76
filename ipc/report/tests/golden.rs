//! The documents as they stand on the control socket. `engine/src/answers/tests.rs` holds that the engine writes them
//! to the octet, chimerctl's tests that it shows them; here, that reading them loses nothing.

use report::read::{Done, KeysReply, RefusedReply, ReloadedReply, ServerReply, SourcesReply, StatusReply};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

fn said_again<T: DeserializeOwned + Serialize>(text: &str) -> (Value, Value) {
    let document: Value = serde_json::from_str(text).expect("a golden document is JSON");
    let read: T = serde_json::from_str(text).expect("it is of the form");
    (document, serde_json::to_value(read).expect("it is JSON again"))
}

#[test]
fn what_is_written_is_read_to_the_last_field() {
    for (document, read) in [
        said_again::<StatusReply>(include_str!("status.json")),
        said_again::<SourcesReply>(include_str!("sources.json")),
        said_again::<ServerReply>(include_str!("server.json")),
        said_again::<KeysReply>(include_str!("keys.json")),
        said_again::<ReloadedReply>(include_str!("reload.json")),
        said_again::<Done>(include_str!("done.json")),
        said_again::<RefusedReply>(include_str!("refused.json")),
    ] {
        assert_eq!(document, read);
    }
}

#[test]
fn what_a_newer_daemon_says_more_is_passed_over_and_what_an_older_one_leaves_out_is_none() {
    let newer =
        r#"{"report":{"stratum":3,"moon":{"full":[true]}},"processes":[{"pid":1,"age":2}],"sun":null}"#;
    let read: StatusReply = serde_json::from_str(newer).expect("it is of the form");
    assert_eq!(read.report.expect("it is there").stratum, Some(3));
    assert_eq!(read.processes.expect("they are there")[0].pid, Some(1));
    assert_eq!((read.version, read.shortfalls), (None, None));
    assert!(serde_json::from_str::<StatusReply>(r#"{"report":{"stratum":"high"}}"#).is_err());
}
