use super::*;
use crate::configuration::FileText;
use report::HistorySpan;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

fn at(milliseconds: i64) -> RawInstant {
    RawInstant::try_new(milliseconds * 1_000_000).unwrap()
}

struct Bench {
    path: PathBuf,
    control: Control,
}

impl Bench {
    fn new(name: &str, owner: u32) -> Self {
        let path = std::env::temp_dir().join(format!("truechimer-control-{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        Self { path, control: Control::new(listener.into(), owner).unwrap() }
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.path).unwrap();
        stream.set_nonblocking(true).unwrap();
        stream
    }

    fn serve(&mut self, now: RawInstant) -> Vec<Verb> {
        let mut asked = Vec::new();
        self.control.serve(now, &mut |verb| {
            asked.push(verb);
            Answer::Reply("{\"fine\":true}".to_owned())
        });
        asked
    }

    fn ask(&mut self, request: &[u8]) -> (Vec<Verb>, String) {
        let mut stream = self.connect();
        stream.write_all(request).unwrap();
        let asked = self.serve(at(0));
        let mut reply = String::new();
        stream.set_nonblocking(false).unwrap();
        // To the line end: what the engine leaves unread of a bad request resets the connection after it.
        BufReader::new(stream).read_line(&mut reply).unwrap();
        (asked, reply)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn own_uid() -> u32 {
    let (left, _right) = UnixStream::pair().unwrap();
    peer_uid(&left).unwrap()
}

#[test]
fn one_request_gets_one_reply_with_a_line_end_and_the_connection_ends() {
    let mut bench = Bench::new("one", 0);
    for (request, verb) in [
        (&b"{\"verb\":\"status\"}\n"[..], Verb::Status),
        (b"{\"verb\":\"sources\"}\n", Verb::Sources),
        (b"{\"verb\":\"measurements\"}\n", Verb::Measurements),
        (b"{\"verb\":\"measured\",\"after\":18446744073709551615}\n", Verb::Measured(u64::MAX)),
        (b"{\"verb\":\"history\",\"span\":\"week\"}\n", Verb::History(HistorySpan::Week)),
        (b" { \"verb\" : \"server\" } \r\n{\"verb\":\"status\"}\n", Verb::Server),
    ] {
        assert_eq!(bench.ask(request), (vec![verb], "{\"fine\":true}\n".to_owned()));
    }
    assert_eq!(bench.control.connections.len(), 0);
}

#[test]
fn a_file_may_be_long_and_only_from_somebody_who_may_change_things() {
    let file = "# a comment\n".repeat(10_000);
    let request = format!("{{\"verb\":\"reload\",\"file\":{}}}\n", serde_json::Value::from(file.as_str()));
    let send = |owner: u32| {
        let mut bench = Bench::new(&format!("reload-{owner}"), owner);
        let mut stream = bench.connect();
        stream.set_nonblocking(false).unwrap();
        let whole = request.clone();
        let sender = std::thread::spawn(move || {
            let _ = stream.write_all(whole.as_bytes());
            let mut reply = String::new();
            let _ = BufReader::new(stream).read_line(&mut reply);
            reply
        });
        let mut asked = Vec::new();
        while !sender.is_finished() {
            asked.extend(bench.serve(at(0)));
        }
        (asked, sender.join().unwrap())
    };
    let main = FileText { is_private: false, ..FileText::private("the new file", &file) };
    let expected = Reload {
        main: Some(main),
        drop_ins: None,
        programs: None,
        keys: None,
        leap_list: None,
        drops_names: false,
    };
    assert_eq!(send(own_uid()).0, [Verb::Reload(expected)]);
    if own_uid() != 0 {
        assert_eq!(send(0).0, []);
    }
    for bad in [
        &b"{\"verb\":\"reload\"}\n"[..],
        b"{\"verb\":\"status\",\"file\":\"\"}\n",
        b"{\"verb\":\"status\",\"programs\":[]}\n",
        b"{\"verb\":\"reload\",\"drop_ins\":[],\"programs\":[]}\n",
        b"{\"verb\":\"reload\",\"private\":true,\"programs\":[]}\n",
        b"{\"verb\":\"reload\",\"drops_names\":true,\"programs\":[]}\n",
        b"{\"verb\":\"reload\",\"programs\":[{\"name\":\"a\",\"text\":\"\"}]}\n",
        b"{\"verb\":\"add\"}\n",
        b"{\"verb\":\"remove\",\"file\":\"a\"}\n",
        b"{\"verb\":\"status\",\"source\":\"a\"}\n",
        b"{\"verb\":\"measured\"}\n",
        b"{\"verb\":\"measured\",\"after\":-1}\n",
        b"{\"verb\":\"measurements\",\"after\":1}\n",
    ] {
        assert!(Bench::new("reload-bad", own_uid()).ask(bad).1.contains("not understood"));
    }
}

#[test]
fn the_files_of_a_reload_come_with_their_names_and_those_of_programs_may_come_alone() {
    let whole = b"{\"verb\":\"reload\",\"private\":true,\"file\":\"a\",\"drop_ins\":[{\"name\":\"/d/x.toml\",\"private\":false,\
        \"text\":\"b\"}],\"programs\":[],\"drops_names\":true}\n";
    let drop_in = FileText { is_private: false, ..FileText::private("/d/x.toml", "b") };
    let main = Some(FileText::private("the new file", "a"));
    let (drop_ins, programs) = (Some(vec![drop_in]), Some(Vec::new()));
    let expected = Reload { main, drop_ins, programs, keys: None, leap_list: None, drops_names: true };
    assert_eq!(Bench::new("reload-all", own_uid()).ask(whole).0, [Verb::Reload(expected)]);
    let alone =
        b"{\"verb\":\"reload\",\"programs\":[{\"name\":\"/r/p.toml\",\"private\":true,\"text\":\"c\"}]}\n";
    let programs = Some(vec![FileText::private("/r/p.toml", "c")]);
    let expected =
        Reload { main: None, drop_ins: None, programs, keys: None, leap_list: None, drops_names: false };
    assert_eq!(Bench::new("reload-programs", own_uid()).ask(alone).0, [Verb::Reload(expected)]);
}

#[test]
fn a_request_may_come_in_pieces() {
    let mut bench = Bench::new("pieces", 0);
    let mut stream = bench.connect();
    for piece in [&b"{\"ve"[..], b"rb\":\"sta", b"tus\"}"] {
        stream.write_all(piece).unwrap();
        assert_eq!(bench.serve(at(0)), []);
    }
    stream.write_all(b"\n").unwrap();
    assert_eq!(bench.serve(at(1)), [Verb::Status]);
}

#[test]
fn what_is_not_a_request_is_answered_with_an_error_and_never_followed() {
    let mut bench = Bench::new("not", 0);
    let deep = format!("{}\n", "[".repeat(4000));
    for request in [
        &b"\n"[..],
        b"status\n",
        b"{}\n",
        b"{\"verb\":\"leap\"}\n",
        b"{\"verb\":1}\n",
        b"{\"verb\":\"status\",\"more\":1}\n",
        b"{\"verb\":\"status\"}{\"verb\":\"burst\"}\n",
        b"\xff\xfe\n",
        deep.as_bytes(),
    ] {
        let (asked, reply) = bench.ask(request);
        assert_eq!(asked, []);
        assert!(reply.contains("not understood"), "{reply}");
    }
    let (asked, reply) = bench.ask(&[b' '; MAX_REQUEST + 100]);
    assert_eq!(asked, []);
    assert!(reply.contains("at most 4096 octets"), "{reply}");
}

#[test]
fn a144_only_root_or_the_owner_may_change_things() {
    let own = own_uid();
    let mut bench = Bench::new("owner", own);
    assert_eq!(bench.ask(b"{\"verb\":\"burst\"}\n").0, [Verb::Change(Change::Burst, None)]);
    assert_eq!(bench.ask(b"{\"verb\":\"offline\"}\n").0, [Verb::Change(Change::Offline, None)]);
    assert_eq!(bench.ask(b"{\"verb\":\"online\"}\n").0, [Verb::Change(Change::Online, None)]);
    let one = Verb::Change(Change::Offline, Some("a.example".to_owned()));
    assert_eq!(bench.ask(b"{\"verb\":\"offline\",\"source\":\"a.example\"}\n").0, [one]);
    assert_eq!(bench.ask(b"{\"verb\":\"step\"}\n").0, [Verb::Step(false)]);
    for change in [
        r#"{"verb":"burst"}"#,
        r#"{"verb":"offline"}"#,
        r#"{"verb":"online"}"#,
        r#"{"verb":"add","source":"a"}"#,
        r#"{"verb":"remove","source":"a"}"#,
        r#"{"verb":"reload","file":"a"}"#,
        r#"{"verb":"log","level":"debug"}"#,
        r#"{"verb":"step"}"#,
    ] {
        assert!(request::parse(change.as_bytes(), true).is_ok(), "{change}");
        let refused = request::parse(change.as_bytes(), false);
        assert_eq!(
            refused,
            Err(request::RequestError::Forbidden),
            "what a peer of another uid gets: {change}"
        );
    }
    assert_eq!(request::parse(b"{\"verb\":\"status\"}", false), Ok(Verb::Status));
}

#[test]
fn a_course_is_that_of_one_span_and_everybody_may_read_it() {
    let parse = |line: &str| request::parse(line.as_bytes(), false);
    assert_eq!(parse(r#"{"verb":"history","span":"hour"}"#), Ok(Verb::History(HistorySpan::Hour)));
    for wrong in [
        r#"{"verb":"history"}"#,
        r#"{"verb":"history","span":null}"#,
        r#"{"verb":"history","span":"year"}"#,
        r#"{"verb":"history","span":15}"#,
        r#"{"verb":"status","span":"hour"}"#,
    ] {
        assert_eq!(parse(wrong), Err(request::RequestError::NotUnderstood), "{wrong}");
    }
}

#[test]
fn a144_a_user_that_this_process_cannot_name_is_never_trusted() {
    for (uid, owner, trusted) in [
        (0, 1000, true),
        (1000, 1000, true),
        (1001, 1000, false),
        (1000, 0, false),
        // In a user namespace every unmapped user has this uid, including the one who started the daemon.
        (65534, 65534, false),
    ] {
        assert_eq!(is_trusted(uid, owner), trusted, "{uid} where {owner} started the daemon");
    }
}

#[test]
fn a145_a_hundred_half_open_connections_are_sixteen_and_end_after_five_seconds() {
    let mut bench = Bench::new("flood", 0);
    let streams: Vec<UnixStream> = (0..100).map(|_| bench.connect()).collect();
    for now in 0..10 {
        bench.serve(at(now));
        assert_eq!(bench.control.connections.len(), MAX_CONNECTIONS);
    }
    assert_eq!(bench.control.waits().count(), MAX_CONNECTIONS, "the listener is left alone");
    assert_eq!(bench.control.deadline(), Some(at(5_000)));
    bench.serve(at(5_000));
    assert_eq!(bench.control.connections.len(), MAX_CONNECTIONS, "the next sixteen");
    assert!(bench.control.connections.iter().all(|connection| connection.deadline() == at(10_000)));
    drop(streams);
    for now in 6_000..6_010 {
        bench.serve(at(now));
    }
    assert_eq!(bench.control.connections.len(), 0);
    assert_eq!(bench.control.deadline(), None);
}

#[test]
fn a145_a_peer_that_never_reads_blocks_nobody_and_ends() {
    let mut bench = Bench::new("unread", 0);
    let mut slow = bench.connect();
    slow.write_all(b"{\"verb\":\"sources\"}\n").unwrap();
    let long = "x".repeat(MAX_REPLY - 1);
    // More than one socket buffer: it takes several readings of the peer, or none is left of it.
    let serve = |bench: &mut Bench, now| bench.control.serve(at(now), &mut |_| Answer::Reply(long.clone()));
    serve(&mut bench, 0);
    let mut quick = bench.connect();
    quick.write_all(b"{\"verb\":\"status\"}\n").unwrap();
    serve(&mut bench, 1);
    let mut octets = vec![0; 64];
    assert_eq!(quick.read(&mut octets).unwrap(), 64);
    serve(&mut bench, 5_001);
    assert_eq!(bench.control.connections.len(), 0);
}

#[test]
fn a_reply_that_would_be_too_long_is_an_error_instead() {
    let mut bench = Bench::new("long", 0);
    let mut stream = bench.connect();
    stream.write_all(b"{\"verb\":\"sources\"}\n").unwrap();
    bench.control.serve(at(0), &mut |_| Answer::Reply("x".repeat(MAX_REPLY)));
    let mut reply = String::new();
    stream.set_nonblocking(false).unwrap();
    stream.read_to_string(&mut reply).unwrap();
    assert!(reply.contains("too long") && reply.len() < 100);
}

/// A turn in which the process that has to be asked has not answered.
fn wait_for_another(bench: &mut Bench, now: i64) {
    bench.control.serve(at(now), &mut Answer::Later);
}

#[test]
fn a_reply_may_wait_for_another_process_and_others_are_answered_meanwhile() {
    let mut bench = Bench::new("later", 0);
    let mut asked = bench.connect();
    asked.write_all(b"{\"verb\":\"clients\",\"sort\":\"dropped\",\"limit\":7}\n").unwrap();
    wait_for_another(&mut bench, 0);
    assert_eq!(bench.control.waits().count(), 1, "nothing of that peer wakes the engine");
    assert_eq!(bench.control.deadline(), Some(at(3_000)));
    assert_eq!(bench.ask(b"{\"verb\":\"status\"}\n").1, "{\"fine\":true}\n");
    // The same request again, at the next turn; `ask` has just answered it too.
    let mut reply = String::new();
    asked.set_nonblocking(false).unwrap();
    asked.read_to_string(&mut reply).unwrap();
    assert_eq!(reply, "{\"fine\":true}\n");
    assert_eq!(bench.control.connections.len(), 0);
}

#[test]
fn a145_a_reply_that_another_process_never_gives_is_an_error_after_three_seconds() {
    let mut bench = Bench::new("never", 0);
    let mut asked = bench.connect();
    asked.write_all(b"{\"verb\":\"clients\"}\n").unwrap();
    // Who is slow to ask has less patience left, and can still read what is said.
    let mut slow = bench.connect();
    wait_for_another(&mut bench, 0);
    wait_for_another(&mut bench, 2_999);
    assert_eq!(bench.control.connections.len(), 2);
    slow.write_all(b"{\"verb\":\"clients\"}\n").unwrap();
    wait_for_another(&mut bench, 3_000);
    assert_eq!((bench.control.connections.len(), bench.control.deadline()), (1, Some(at(4_000))));
    wait_for_another(&mut bench, 4_000);
    assert_eq!(bench.control.connections.len(), 0);
    for mut stream in [asked, slow] {
        let mut reply = String::new();
        stream.set_nonblocking(false).unwrap();
        stream.read_to_string(&mut reply).unwrap();
        assert!(reply.contains("the server did not answer in time"), "{reply}");
    }
}

#[test]
fn clients_and_access_have_bounded_arguments_of_their_own() {
    use ipc::message::server::{ClientOrder, ClientsWanted};
    let wanted = |by, most| Ok(Verb::Clients(ClientsWanted { by, most }));
    let ask = |line: &str| request::parse(line.as_bytes(), false);
    assert_eq!(ask("{\"verb\":\"clients\"}"), wanted(ClientOrder::Requests, 1_000));
    for (word, by) in [
        ("requests", ClientOrder::Requests),
        ("dropped", ClientOrder::Dropped),
        ("interval", ClientOrder::Interval),
        ("last", ClientOrder::Last),
    ] {
        let line = format!("{{\"verb\":\"clients\",\"sort\":\"{word}\",\"limit\":1}}");
        assert_eq!(ask(&line), wanted(by, 1));
    }
    assert_eq!(
        ask("{\"verb\":\"access\",\"address\":\"2001:db8::1\"}"),
        Ok(Verb::Access("2001:db8::1".parse().unwrap()))
    );
    for bad in [
        "{\"verb\":\"clients\",\"limit\":0}",
        "{\"verb\":\"clients\",\"limit\":1001}",
        "{\"verb\":\"clients\",\"limit\":-1}",
        "{\"verb\":\"clients\",\"sort\":\"name\"}",
        "{\"verb\":\"clients\",\"address\":\"192.0.2.1\"}",
        "{\"verb\":\"access\"}",
        "{\"verb\":\"access\",\"address\":\"a.example\"}",
        "{\"verb\":\"access\",\"address\":\"192.0.2.1\",\"limit\":1}",
        "{\"verb\":\"status\",\"sort\":\"last\"}",
    ] {
        assert_eq!(ask(bad), Err(request::RequestError::NotUnderstood), "{bad}");
    }
}
