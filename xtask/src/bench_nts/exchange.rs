//! Key exchanges a second and their CPU time on one core, in the same alternating runs: the floor (rustls with the
//! private key in the process, and without any limits), the whole daemon in its sandboxes with the private
//! key in the key holder (CPU time of service and holder together), chronyd and ntpd-rs. Then this daemon with two
//! threads, on both cores, beside the generator; and memory for each idle connection.

use crate::bench_server::figures::{median, spread};
use crate::bench_server::{Bench, GENERATOR_CORE, SERVER_CORE, built};
use bench::daemon::spawn;
use bench::nts::{NtsPeer, NtsServer, Trust};
use bench::process::{Process, children};
use bench::programs::{free_port, wait_for};
use serde_json::{Value, json};
use std::any::Any;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Clients in a closed loop, and seconds of a run.
const CLIENTS: &str = "clients=8";
const SECONDS: &str = "seconds=2";

/// Number of idle connections over which memory is averaged.
const IDLE: u16 = 500;

struct Server {
    name: &'static str,
    address: SocketAddr,
    pids: Vec<u32>,
    _owner: Box<dyn Any>,
    /// For each run: exchanges a second, and CPU time of one in microseconds.
    runs: Vec<(f64, f64)>,
}

/// Measures and prints.
///
/// # Errors
/// A server that does not answer, or wrongly.
pub fn run(runs: usize, as_json: bool) -> Result<(), String> {
    let bench = Bench::build(runs, as_json)?;
    let trust = Trust::new("bench");
    let mut servers = vec![floor(&bench, &trust)?, ours(1, "truechimer, key in its holder")];
    for (name, peer) in [
        ("chronyd", NtsPeer::chronyd("chronyd")),
        ("chronyd, newer", NtsPeer::chronyd("chronyd-newest")),
        ("ntpd-rs", NtsPeer::ntpd_rs()),
    ] {
        match peer {
            Some(peer) => servers.push(other(name, peer)),
            None if !as_json => println!("{name:<32} not here, not measured"),
            None => {}
        }
    }
    for server in &servers {
        server.pin(SERVER_CORE)?;
    }
    measure(&bench, &mut servers, runs)?;
    show(&servers, as_json, "one core");
    drop(servers);

    let mut threads = vec![ours(1, "one thread"), ours(2, "two threads")];
    measure(&bench, &mut threads, runs)?;
    show(&threads, as_json, "both cores, generator beside");
    drop(threads);
    memory(as_json)
}

fn measure(bench: &Bench, servers: &mut [Server], runs: usize) -> Result<(), String> {
    for round in 0..runs {
        let count = servers.len();
        for at in 0..count {
            // The order rotates: the first after a pause may have an advantage.
            let server = &mut servers[(at + round) % count];
            let before = server.cpu_nanos();
            let said = load(bench, server.address)?;
            let cpu = server.cpu_nanos().saturating_sub(before) as f64 / 1e3;
            let number = |name: &str| said[name].as_f64().unwrap_or(f64::NAN);
            if number("failed") > 0.0 || number("exchanged") == 0.0 {
                return Err(format!("{}: {said}", server.name));
            }
            server.runs.push((number("rate"), cpu / number("exchanged")));
        }
    }
    Ok(())
}

fn load(bench: &Bench, address: SocketAddr) -> Result<Value, String> {
    let mut command = Command::new("taskset");
    command.args(["-c", GENERATOR_CORE]).arg(bench.programs.join("key_load")).arg(address.to_string());
    let output = command.args([CLIENTS, SECONDS]).output().map_err(|error| format!("key_load: {error}"))?;
    serde_json::from_slice(&output.stdout).map_err(|_| String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Ratios are those of each run, then their median.
fn show(servers: &[Server], as_json: bool, what: &str) {
    let ours = servers.iter().find(|server| server.name.starts_with("truechimer")).or(servers.first());
    let list =
        |server: &Server, pick: fn(&(f64, f64)) -> f64| server.runs.iter().map(pick).collect::<Vec<_>>();
    if !as_json {
        println!("{what}");
        let heads = ["", "exchanges/s min/med/max", "CPU us an exchange", "ours/theirs, rate"];
        println!("  {:<32} {:>24} {:>20} {:>18}", heads[0], heads[1], heads[2], heads[3]);
    }
    for server in servers {
        let (rates, cpus) = (list(server, |run| run.0), list(server, |run| run.1));
        let pairs = ours.into_iter().flat_map(|ours| list(ours, |run| run.0)).zip(&rates);
        let ratio = median(&pairs.map(|(ours, theirs)| ours / theirs).collect::<Vec<_>>());
        if as_json {
            let line = json!({
                "what": what,
                "server": server.name,
                "runs": rates.len(),
                "exchanges_per_s": median(&rates),
                "exchanges_per_s_min_med_max": spread(&rates),
                "cpu_us_per_exchange": median(&cpus),
                "cpu_us_min_med_max": spread(&cpus),
                "ours_to_theirs": ratio,
            });
            println!("{line}");
            continue;
        }
        let [rate, cpu] = [&rates, &cpus]
            .map(|list| spread(list))
            .map(|[least, median, most]| format!("{least:.0}/{median:.0}/{most:.0}"));
        println!("  {:<32} {rate:>24} {cpu:>20} {ratio:>18.2}", server.name);
    }
}

impl Server {
    fn new(name: &'static str, address: SocketAddr, pids: Vec<u32>, owner: Box<dyn Any>) -> Self {
        Self { name, address, pids, _owner: owner, runs: Vec::new() }
    }

    /// CPU time of all its threads so far.
    fn cpu_nanos(&self) -> u64 {
        let threads = |pid: &u32| fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let of_thread = |entry: fs::DirEntry| -> Option<u64> {
            let stat = fs::read_to_string(entry.path().join("schedstat")).ok()?;
            stat.split(' ').next()?.parse().ok()
        };
        self.pids.iter().flat_map(threads).filter_map(of_thread).sum()
    }

    fn pin(&self, core: &str) -> Result<(), String> {
        for pid in &self.pids {
            let mut command = Command::new("taskset");
            command.args(["-a", "-p", "-c", core, &pid.to_string()]).stdout(Stdio::null());
            let status = command.status().map_err(|error| format!("taskset: {error}"))?;
            if !status.success() {
                return Err(format!("{} cannot be held on core {core}", self.name));
            }
        }
        Ok(())
    }
}

struct Owned(Child);

impl Drop for Owned {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn floor(bench: &Bench, trust: &Trust) -> Result<Server, String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let mut command = built(&bench.programs, "key_floor");
    command.arg(address.to_string()).args([trust.chain(), trust.key()]).stdin(Stdio::null());
    let child = spawn(&mut command);
    let pids = vec![child.id()];
    let owner = Owned(child);
    let up = wait_for(Duration::from_secs(5), || TcpStream::connect(address).ok());
    up.ok_or("key_floor does not listen")?;
    Ok(Server::new("floor (rustls, key in the process)", address, pids, Box::new(owner)))
}

fn ours(threads: usize, name: &'static str) -> Server {
    let server = NtsServer::unlimited("bench", threads, "");
    let daemon = server.setup.start();
    let pids = ["key-holder", "key-service"].map(|role| daemon.process(role).pid);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, server.key_port));
    Server::new(name, address, pids.into(), Box::new((daemon, server)))
}

fn other(name: &'static str, peer: NtsPeer) -> Server {
    let pid = peer.peer.pid();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, peer.peer.port));
    let mut pids = vec![pid];
    pids.extend(children(pid).iter().map(|child| child.pid));
    Server::new(name, address, pids, Box::new(peer))
}

/// Memory of the service before and with idle connections: those that send nothing, and those that stop in the
/// middle of their first message.
fn memory(as_json: bool) -> Result<(), String> {
    for (what, says) in
        [("silent", &[][..]), ("in the middle of a hello", &[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3])]
    {
        let server = ours(1, "truechimer");
        let service = *server.pids.last().ok_or("no process")?;
        let resident = || Process::read(service).map_or(0, |process| process.resident);
        let before = resident();
        let mut connections = Vec::new();
        for _ in 0..IDLE {
            let mut connection = TcpStream::connect(server.address).map_err(|error| error.to_string())?;
            std::io::Write::write_all(&mut connection, says).map_err(|error| error.to_string())?;
            connections.push(connection);
        }
        std::thread::sleep(Duration::from_millis(300));
        let each = resident().saturating_sub(before) / u64::from(IDLE);
        if as_json {
            println!("{}", json!({ "what": "memory of an idle connection", "kind": what, "octets": each }));
        } else {
            println!("memory of the service for each of {IDLE} connections, {what}: {each} octets");
        }
    }
    Ok(())
}
