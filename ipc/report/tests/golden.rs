//! The documents as they stand on the control socket. `engine/src/answers/tests.rs` checks that the engine writes them
//! exactly, and the tests of chimerctl check how it shows them. This test checks that nothing is lost in reading.

use report::Word;
use report::read::{
    AccessReply, ClientsReply, Done, HistoryReply, KeysReply, MeasurementsReply, RefusedReply, ReloadedReply,
    ServerReply, SourcesReply, StatusReply, StepReply,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

fn read_and_write<T: DeserializeOwned + Serialize>(text: &str) -> (Value, Value) {
    let document: Value = serde_json::from_str(text).expect("a golden document is JSON");
    let read: T = serde_json::from_str(text).expect("it is of the form");
    (document, serde_json::to_value(read).expect("it is JSON again"))
}

#[test]
fn what_is_written_is_read_to_the_last_field() {
    for (document, read) in [
        read_and_write::<StatusReply>(include_str!("status.json")),
        read_and_write::<SourcesReply>(include_str!("sources.json")),
        read_and_write::<MeasurementsReply>(include_str!("measurements.json")),
        read_and_write::<HistoryReply>(include_str!("history.json")),
        read_and_write::<ServerReply>(include_str!("server.json")),
        read_and_write::<KeysReply>(include_str!("keys.json")),
        read_and_write::<ReloadedReply>(include_str!("reload.json")),
        read_and_write::<Done>(include_str!("done.json")),
        read_and_write::<RefusedReply>(include_str!("refused.json")),
        read_and_write::<ClientsReply>(include_str!("clients.json")),
        read_and_write::<AccessReply>(include_str!("access.json")),
        read_and_write::<StepReply>(include_str!("step.json")),
    ] {
        assert_eq!(document, read);
    }
}

#[test]
fn fields_of_a_newer_daemon_are_ignored_and_missing_fields_are_none() {
    let newer = r#"{"report":{"stratum":3,"state":"orbiting","moon":{"full":[true]}},"processes":[{"pid":1,"age":2}],"sun":null}"#;
    let read: StatusReply = serde_json::from_str(newer).expect("it is of the form");
    let report = read.report.expect("it is there");
    assert_eq!(report.stratum, Some(3));
    let state = report.state.expect("it is there");
    assert_eq!((state.known(), state.as_str()), (None, "orbiting"));
    assert_eq!(read.processes.expect("they are there")[0].pid, Some(1));
    assert_eq!((read.version, read.shortfalls), (None, None));
    assert!(serde_json::from_str::<StatusReply>(r#"{"report":{"stratum":"high"}}"#).is_err());
}

#[test]
fn a_word_is_read_as_it_is_written() {
    for state in report::SystemState::ALL {
        let written = serde_json::to_string(&state).expect("it is JSON");
        assert_eq!(written, format!("{:?}", state.name()));
        let read: Word<report::SystemState> = serde_json::from_str(&written).expect("it is a word");
        assert_eq!((read.known(), read.clone()), (Some(state), Word::from(state.name())));
    }
    let rejected = r#"{"rejected":{"nts_nak":4,"of_a_newer_version":1}}"#;
    let source: report::read::SourceReport = serde_json::from_str(rejected).expect("it is of the form");
    let rejected = source.rejected.expect("it is there");
    assert_eq!(rejected.get(&Word::from(report::RejectReason::NtsNak)), Some(&4));
    assert_eq!(rejected.get(&Word::from("of_a_newer_version")), Some(&1));
}
