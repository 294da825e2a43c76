//! A machine that its hypervisor has restored from a saved state: vmclock tells, and the sources are ahead.

use bench::clock;
use bench::clockbound::{Client, NO_CLIENTS, counts_with_the_kernel};
use bench::daemon::{Daemon, Setup, source};
use bench::forger::Forger;
use bench::programs::wait_for;
use bench::vmclock::{create, page, show};
use nix::sys::signal::Signal;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};
use truechimer_time::{TimePage, Unknown};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const TIMEOUT: Duration = Duration::from_secs(20);
/// Two looks, and the questions.
const SOON: Duration = Duration::from_secs(45);
const HOUR: i64 = 3_600_000_000_000;

/// A daemon with a vmclock in a file, and a server whose time can be moved: that is how a restored machine sees it.
struct Machine {
    daemon: Daemon,
    page: PathBuf,
    true_time: Arc<AtomicI64>,
    forger: Forger,
}

impl Machine {
    fn start(word: &str, first: &[u8]) -> Self {
        Self::configured(word, first, "")
    }

    fn configured(word: &str, first: &[u8], more: &str) -> Self {
        let true_time = Arc::new(AtomicI64::new(0));
        let moved = Arc::clone(&true_time);
        let forger = Forger::start_with_clock(
            HERE,
            move |wall| wall + moved.load(Ordering::SeqCst),
            |request| vec![request.with(|_| ())],
        );
        let setup = Setup::new(word, &(source(forger.address()) + more)).with_virtual_clock(1_000_000, 10.0);
        let page = setup.place().join("vmclock");
        create(&page, first);
        let setup = setup.with_argument("--vmclock").with_argument(&page.display().to_string());
        let daemon = setup.start();
        daemon.wait_until_synchronised(TIMEOUT);
        Self { daemon, page, true_time, forger }
    }

    fn shows(&self, octets: &[u8]) {
        show(&self.page, octets);
    }

    fn is_right(&self) -> bool {
        let beside = self.daemon.setup().virtual_clock().error_ns() - self.true_time.load(Ordering::SeqCst);
        beside.abs() < 10_000_000
    }
}

#[test]
fn a161_a_restored_machine_is_set_right_by_its_sources_once_vmclock_has_told_and_the_log_names_it() {
    let machine = Machine::start("restored", &page(2, 1));
    assert_eq!(machine.daemon.status()["pauses_shown_by"], serde_json::json!(["vmclock"]));
    assert_eq!(machine.daemon.status()["pauses"], "shown by vmclock");
    let heard = machine.forger.heard();
    machine.shows(&page(4, 2));
    machine.true_time.store(HOUR, Ordering::SeqCst);
    machine.daemon.wait_until("right again", SOON, |_| machine.is_right());
    assert!(machine.forger.heard() > heard, "it has asked");
    machine.daemon.wait_until("synchronised again", SOON, |daemon| daemon.is_synchronised());
    let log = machine.daemon.log();
    for line in [
        "the machine was migrated or restored, as its hypervisor says (vmclock); measuring afresh",
        "as its hypervisor says (vmclock); its sources say by how much",
    ] {
        assert!(log.contains(line), "{log}");
    }
    let audit = machine.daemon.setup().audit_log();
    assert!(audit.contains("event=disruption") && audit.contains("why=Pause"), "{audit}");
}

#[test]
fn a135_a_page_that_is_torn_cut_or_foreign_ends_nothing_and_is_no_evidence_and_a_good_one_counts_again() {
    let machine = Machine::start("torn", &[0xff; 4_096]);
    let is_told = |daemon: &Daemon| daemon.setup().audit_log().contains("event=disruption");
    for (marker, wrong) in
        [(7, page(3, 7)), (8, page(3, 8)), (9, page(2, 9)[..0x18].to_vec()), (10, Vec::new())]
    {
        let heard = machine.forger.heard();
        machine.shows(&wrong);
        machine.daemon.wait_until("asking on", TIMEOUT, |_| machine.forger.heard() > heard + 1);
        assert!(!is_told(&machine.daemon), "{marker}");
    }
    // The first that is understood is what later ones are compared with; it is looked at anew within seconds.
    let begin = Instant::now();
    machine.daemon.wait_until("told", Duration::from_secs(90), |daemon| {
        machine.shows(&page(4, 100 + begin.elapsed().as_secs() / 20));
        is_told(daemon)
    });
    assert!(machine.daemon.is_synchronised() || machine.is_right());
}

#[test]
fn who_reads_the_page_of_a_restored_machine_knows_nothing_before_the_daemon_has_noticed_and_then_what_is_true()
 {
    let machine = Machine::start("restored-page", &page(2, 1));
    let open = || {
        let place = machine.daemon.setup().place().join("run/time");
        TimePage::open_at(&place).expect("the launch made it").with_vmclock(&machine.page).expect("a path")
    };
    let mut reader = open();
    let mut is_true = || -> Result<bool, Unknown> {
        let ahead = machine.true_time.load(Ordering::SeqCst);
        let (before, said, after) = (clock::wall() + ahead, reader.now()?, clock::wall() + ahead);
        Ok(said.earliest <= after && before <= said.latest)
    };
    let known = wait_for(TIMEOUT, || is_true().ok());
    assert_eq!(known, Some(true));
    // Nobody is there who could notice.
    let processes = machine.daemon.processes();
    processes.iter().for_each(|process| machine.daemon.signal(process.pid, Signal::SIGSTOP));
    assert_eq!(is_true(), Ok(true));
    machine.shows(&page(4, 2));
    machine.true_time.store(HOUR, Ordering::SeqCst);
    for _ in 0..1_000 {
        assert_eq!(is_true(), Err(Unknown::Disrupted));
    }
    assert_eq!(open().now(), Err(Unknown::Disrupted), "one that begins now");
    processes.iter().for_each(|process| machine.daemon.signal(process.pid, Signal::SIGCONT));
    let again = wait_for(SOON, || is_true().ok());
    assert_eq!(again, Some(true), "{}", machine.daemon.log());
    for _ in 0..1_000 {
        assert!(matches!(is_true(), Ok(true) | Err(_)));
    }
    // Once more with the daemon there: it looks each second, and asks.
    machine.shows(&page(6, 3));
    machine.true_time.store(2 * HOUR, Ordering::SeqCst);
    let begun = Instant::now();
    let again = wait_for(SOON, || is_true().ok());
    assert_eq!(again, Some(true), "{}", machine.daemon.log());
    println!("known again {:.2} s after the marker changed", begun.elapsed().as_secs_f64());
}

#[test]
fn clockbounds_clients_of_a_restored_machine_know_nothing_before_the_daemon_has_noticed_and_then_what_is_true()
 {
    let machine = Machine::configured("restored-clockbound", &page(2, 1), "[clock]\nclockbound = true\n");
    let segment = machine.daemon.setup().place().join("run/clockbound/shm1");
    let Some(mut client) = Client::start("3", &segment, 100, Some(&machine.page)) else {
        return bench::skip(NO_CLIENTS);
    };
    if !counts_with_the_kernel() {
        return bench::skip("the kernel does not keep time by a counter that programs can read");
    }
    assert!(client.answers().is_some());
    // Their words, where none promises what is not true.
    let mut ask = |ahead: i64| -> Vec<String> {
        let answers = client.ask().expect("it runs");
        let answers = answers.into_iter().map(|answer| answer.expect("it can read both pages"));
        let judged = answers.map(|it| {
            let is_true = it.earliest <= it.after + ahead && it.before + ahead <= it.latest;
            assert!(is_true || !it.is_promise(), "{it:?}");
            it.status
        });
        judged.collect()
    };
    let are_known = |statuses: Vec<String>| statuses.iter().all(|it| it == "Synchronized").then_some(());
    assert!(wait_for(SOON, || are_known(ask(0))).is_some(), "{}", machine.daemon.log());
    let processes = machine.daemon.processes();
    processes.iter().for_each(|process| machine.daemon.signal(process.pid, Signal::SIGSTOP));
    machine.shows(&page(4, 2));
    machine.true_time.store(HOUR, Ordering::SeqCst);
    for _ in 0..10 {
        assert!(ask(HOUR).iter().all(|status| status == "Disrupted"));
    }
    processes.iter().for_each(|process| machine.daemon.signal(process.pid, Signal::SIGCONT));
    assert!(wait_for(SOON, || are_known(ask(HOUR))).is_some(), "{}", machine.daemon.log());
}
