use super::*;
use crate::access::AccessList;
use crate::interleave::Departures;
use crate::limit::Limiter;
use crate::source::Source;
use ipc::message::server::ServerPolicy;
use ipc::units::RawInstant;
use protocol::header::MODE_SERVER;
use protocol::ntpv5::Header;
use protocol::ntpv5::client::{self, Wanted, put_request};
use protocol::ntpv5::field::put;
use protocol::reply::SystemVariables;

const COOKIE: u64 = 0x0102_0304_0506_0708;
const RECEIVED: i64 = 1_784_462_400_500_000_000;
const RECEIVE: u64 = 0xee07_3ac0_8000_0001;

struct Bench {
    access: AccessList,
    limiter: Option<Limiter>,
    departures: Departures,
    filter: Filter,
    smear: Smear,
    rng: SplitMix64,
    system: SystemVariables,
}

impl Bench {
    fn new() -> Self {
        Self {
            access: AccessList::empty(),
            limiter: None,
            departures: Departures::new(),
            filter: Filter::from_octets([0x11; 512]),
            smear: Smear::Off,
            rng: SplitMix64::new(),
            system: SystemVariables {
                leap: 0,
                stratum: 2,
                precision: -23,
                root_delay: 0x100,
                root_dispersion: 0x80,
                reference_id: 1,
                reference_timestamp: Timestamp::from_bits(0xe500_0000_0000_0000),
            },
        }
    }

    fn answer(&mut self, request: &[u8], client: u8, receive: u64) -> Result<(Written, Vec<u8>), Refusal> {
        let source = Source { ip: [192, 0, 2, client].into(), port: 4444 };
        let asked = Asked { source, target: None, is_unicast: true };
        let version5 = Version5 { filter: Some(&self.filter), smear: self.smear };
        let context = RequestContext {
            system: self.system,
            is_silent: false,
            access: &self.access,
            limiter: self.limiter.as_ref(),
            keys: None,
            signs: false,
            departures: Some(&self.departures),
            version5: Some(version5),
            now: RawInstant::saturating(1_000_000_000),
        };
        let mut packet = request.to_vec();
        let times = (RECEIVED, Timestamp::from_bits(receive));
        let written = write(&mut packet, &asked, times, &version5, &context, &mut self.rng)?;
        assert_eq!(packet.len(), request.len(), "a reply has the length of its request");
        Ok((written, packet))
    }
}

fn request(wanted: Wanted, change: impl FnOnce(&mut Header)) -> Vec<u8> {
    let mut out = [0; 1232];
    let length = put_request(&mut out, COOKIE, wanted).unwrap();
    let mut header = client::header(COOKIE);
    change(&mut header);
    out[..LENGTH].copy_from_slice(&header.encode());
    out[..length].to_vec()
}

const NOTHING: Wanted = Wanted { reference_ids: false, correction: false };

fn header_of(packet: &[u8]) -> Header {
    Header::decode(packet).unwrap().unwrap()
}

#[test]
fn a_request_in_basic_mode_is_answered_with_the_time_and_what_it_asks_for() {
    let mut bench = Bench::new();
    let asked = request(Wanted { reference_ids: true, correction: true }, |_| {});
    let (written, packet) = bench.answer(&asked, 1, RECEIVE).unwrap();
    assert_eq!((written.kind, written.departure), (ReplyKind::Basic, None));
    let reply = client::read(&packet, COOKIE).unwrap();
    assert_eq!(reply.filter, Some(bench.filter));
    let header = reply.header;
    assert_eq!((header.mode, header.stratum, header.timescale, header.era), (MODE_SERVER, 2, 0, 0));
    assert_eq!((header.receive_timestamp, header.transmit_timestamp), (RECEIVE, 0));
    assert!(header.flags.is_synchronised() && !header.flags.is_interleaved());
    assert_eq!(header.server_cookie, 0, "only where interleaved mode is asked for");
}

#[test]
fn a_request_in_interleaved_mode_is_answered_with_the_departure_of_the_reply_that_it_names() {
    let mut bench = Bench::new();
    let interleaved = Flags::from_bits(2);
    let (first, packet) = bench.answer(&request(NOTHING, |it| it.flags = interleaved), 1, RECEIVE).unwrap();
    let header = header_of(&packet);
    assert_eq!((first.kind, header.server_cookie), (ReplyKind::Basic, RECEIVE));
    assert!(!header.flags.is_interleaved(), "nothing is known yet");
    bench.departures.put(first.departure.unwrap(), 0x1234, 0);
    let again = request(NOTHING, |it| (it.flags, it.server_cookie) = (interleaved, header.server_cookie));
    let (_, stranger) = bench.answer(&again, 2, RECEIVE + 2).unwrap();
    assert_eq!(header_of(&stranger).transmit_timestamp, 0, "another address");
    let (second, packet) = bench.answer(&again, 1, RECEIVE + 2).unwrap();
    let header = header_of(&packet);
    assert_eq!((second.kind, header.transmit_timestamp), (ReplyKind::Interleaved, 0x1234));
    assert!(header.flags.is_interleaved() && header.flags.is_synchronised());
    assert_eq!(header.server_cookie, RECEIVE + 2);
    // Without the flag a cookie means nothing.
    let basic = request(NOTHING, |it| it.server_cookie = RECEIVE);
    assert_eq!(bench.answer(&basic, 1, RECEIVE + 4).unwrap().0.kind, ReplyKind::Basic);
}

#[test]
fn a_timescale_that_is_not_served_is_answered_with_the_one_that_is() {
    let mut bench = Bench::new();
    for wanted in [0, 1, 2, 3, 4, 255] {
        let (_, packet) = bench.answer(&request(NOTHING, |it| it.timescale = wanted), 1, RECEIVE).unwrap();
        assert_eq!(header_of(&packet).timescale, 0, "{wanted}");
    }
    for smear in [Smear::Linear, Smear::Cosine] {
        bench.smear = smear;
        for wanted in [0, 3] {
            let (_, packet) =
                bench.answer(&request(NOTHING, |it| it.timescale = wanted), 1, RECEIVE).unwrap();
            assert_eq!(header_of(&packet).timescale, 3, "{wanted}: what is smeared is not said to be UTC");
        }
    }
}

#[test]
fn a216_who_asks_too_often_is_asked_to_be_slower_without_a_time() {
    let mut bench = Bench::new();
    let policy = ServerPolicy { address_rate: 1, network_rate: 1, ..ServerPolicy::DEFAULT };
    bench.limiter = Limiter::new(&policy);
    let asked = request(Wanted { reference_ids: true, correction: false }, |_| {});
    let outcomes: Vec<_> = (0..1_000).map(|_| bench.answer(&asked, 1, RECEIVE)).collect();
    let kisses = outcomes.iter().flatten().filter(|(written, _)| written.kind == ReplyKind::Kiss);
    let mut count = 0;
    for (_, packet) in kisses {
        let header = header_of(packet);
        assert_eq!((header.stratum, header.poll, header.flags.bits()), (0, 6, 0));
        assert_eq!((header.receive_timestamp, header.client_cookie), (0, COOKIE));
        assert_eq!(client::read(packet, COOKIE).unwrap().filter, None);
        count += 1;
    }
    assert!((1..200).contains(&count), "{count}");
    let refused = outcomes.iter().filter(|outcome| **outcome == Err(Refusal::Limited)).count();
    assert!(refused > 500, "{refused}");
}

#[test]
fn what_is_no_request_of_the_draft_is_not_answered() {
    let mut bench = Bench::new();
    let good = request(NOTHING, |_| {});
    let mut refusal = |packet: &[u8]| bench.answer(packet, 1, RECEIVE).map(|_| ());
    assert_eq!(refusal(&good), Ok(()));
    assert_eq!(refusal(&good[..48]), Err(Refusal::Malformed), "of no draft");
    let mut other = good.clone();
    other[74] = b'8';
    assert_eq!(refusal(&other), Err(Refusal::Malformed));
    let mut reply = good.clone();
    reply[0] = 0x2c;
    assert_eq!(refusal(&reply), Err(Refusal::Malformed));
    let mut longer = good.clone();
    longer.resize(good.len() + 24, 0);
    put(&mut longer, good.len(), 0xf502, 20).unwrap();
    assert_eq!(refusal(&longer), Err(Refusal::Unauthenticated));
    put(&mut longer, good.len(), 0x0204, 20).unwrap();
    assert_eq!(refusal(&longer), Err(Refusal::Malformed), "NTS without its other fields");
}

#[test]
fn a_server_that_is_not_synchronised_says_so() {
    let mut bench = Bench::new();
    bench.system = SystemVariables::unsynchronised(-20);
    let (_, packet) = bench.answer(&request(NOTHING, |_| {}), 1, RECEIVE).unwrap();
    let header = header_of(&packet);
    assert_eq!((header.stratum, header.leap, header.flags.bits()), (0, 3, 0));
}
