//! The role between its link and sockets that a program sends to.

use super::*;
use crate::sample::tests::octets;
use ipc::message::refclock::{ClockSample, Discarded};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socketpair, sockopt};
use nix::sys::time::TimeVal;
use std::os::unix::net::UnixDatagram;
use std::thread::JoinHandle;

struct Bench {
    engine: Link<ToRefclock, FromRefclock>,
    feeders: Vec<UnixDatagram>,
    role: JoinHandle<Ending>,
}

impl Bench {
    fn start(count: usize) -> Self {
        let kind = SockType::SeqPacket;
        let (ours, theirs) = socketpair(AddressFamily::Unix, kind, None, SockFlag::SOCK_CLOEXEC).unwrap();
        setsockopt(&ours, sockopt::ReceiveTimeout, &TimeVal::new(60, 0)).unwrap();
        nix::fcntl::fcntl(&theirs, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK)).unwrap();
        let (feeders, clocks): (Vec<_>, Vec<_>) = (0..count)
            .map(|_| {
                let (ours, theirs) = UnixDatagram::pair().unwrap();
                theirs.set_nonblocking(true).unwrap();
                (ours, OwnedFd::from(theirs))
            })
            .unzip();
        let role = std::thread::spawn(move || run(Link::new(theirs), clocks, Shortfall::NONE));
        let mut bench = Self { engine: Link::new(ours), feeders, role };
        assert_eq!(bench.told(), FromRefclock::Hello(Shortfall::NONE));
        bench
    }

    fn told(&mut self) -> FromRefclock {
        self.engine.receive().unwrap().unwrap().1
    }

    fn sample(&mut self) -> ClockSample {
        match self.told() {
            FromRefclock::Sample(sample) => sample,
            other => panic!("{other:?}"),
        }
    }

    fn discarded(&mut self) -> Discarded {
        match self.told() {
            FromRefclock::Discarded(discarded) => discarded,
            other => panic!("{other:?}"),
        }
    }

    fn feed(&self, device: usize, offset: f64) {
        let now = clock::realtime();
        let sample = octets(now / 1_000_000_000, now % 1_000_000_000 / 1_000, offset, 0, 0);
        self.feeders[device].send(&sample).unwrap();
    }
}

#[test]
fn each_clock_is_heard_under_its_number_and_the_process_ends_with_its_link() {
    let mut bench = Bench::start(3);
    for device in [2, 0] {
        let before = Pair::read();
        bench.feed(device, -0.5);
        let sample = bench.sample();
        assert_eq!(usize::from(sample.device), device);
        assert!(sample.at <= sample.read && sample.read >= before.raw);
        let offset = sample.utc.nanos() - sample.at.nanos() - (before.realtime - before.raw.nanos());
        assert!((offset + 500_000_000).abs() < 1_000_000, "{offset}");
    }
    bench.engine.send(&ToRefclock::Ping).unwrap();
    assert_eq!(bench.told(), FromRefclock::Pong);
    drop(bench.engine);
    assert_eq!(bench.role.join().unwrap(), Ending::EngineGone);
}

#[test]
fn a227_one_clock_that_floods_takes_nothing_from_another_one() {
    let mut bench = Bench::start(2);
    bench.feeders[0].set_nonblocking(true).unwrap();
    let mut sent = 0;
    for _ in 0..20_000 {
        sent += usize::from(bench.feeders[0].send(&[0; 7]).is_ok());
    }
    assert!(sent > 0);
    let discarded = bench.discarded();
    assert_eq!(discarded.device, 0);
    assert!(discarded.malformed > 0);
    bench.feed(1, 0.0);
    assert_eq!(bench.sample().device, 1);
}
