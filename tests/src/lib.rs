//! The bench: shared by the tests, the demo and the benchmarks, to start real processes and to play their
//! peers.
//!
//! ```text
//!   programs   where the built programs are, temporary places, free ports
//!   clock      readings of the host's clocks; the virtual clock from outside
//!   kernel_clock: what steers the kernel's clock; how a test that moves it puts it back
//!   process    the kernel's view of a process: uid, capabilities, filter, memory, wake-ups
//!   daemon     truechimerd with a configuration, its processes, its end
//!   exporter   truechimer-metrics, and its pages
//!   own_files  files that a daemon sees in the place of the host's
//!   packet     the 48 octets of NTP, implemented a second time, so that a double shares no bug with the daemon
//!   client     one SNTP query
//!   forger     a server that does what a test orders
//!   load       a load generator for any NTP server
//!   manager    the daemon's messages to the service manager
//!   peers      chronyd and ntpd as servers, without control of the clock
//!   clockbound   ClockBound's daemon without control of the clock, and its clients
//!   chronyd_client: chronyd as a client, its clock observed
//!   bridge     chronyc asking truechimer
//!   chrony_logs  truechimer-chrony-logs, and its files
//!   other_clients   NTPsec, OpenNTPD and busybox as clients, which insist on port 123
//!   memory     searches the memory of another process
//!   name_server a name server over UDP and TCP
//!   netns      network namespaces
//!   nts        servers and clients with NTS, ours and others
//!   ntpv5      the draft of NTP version 5: raw requests, and ntpd-rs
//!   relay      a path of known delays between a client and a server
//!   authority  a certificate authority for the duration of a test
//!   key_client a small client of the key exchange
//!   role       a role in a thread or as its program; the test plays the engine
//!   samba      Samba as a domain controller, a double of it, and a client of its domain
//!   seen       what many tests look for: the sources and processes of a daemon
//!   key_pair   the key exchange service and its key holder; the test plays the engine
//!   key_load   key exchanges in a closed loop
//!   key_server a key exchange server that does what a test orders
//!   terminal   a program in a pseudo terminal
//!   tracer     processes that are made to do what they never do
//!   tree       the source tree as text
//!   vmclock    a page as a hypervisor shows it
//!   users      the users that the package makes
//!   skip       how a test reports that it cannot run here
//! ```
//!
//! Nothing but `kernel_clock` touches the host's clock, and all traffic stays on the loopback interface or in a network
//! namespace that a test made.

pub mod authority;
pub mod bridge;
pub mod chrony_logs;
pub mod chronyd_client;
pub mod client;
pub mod clock;
pub mod clockbound;
pub mod daemon;
pub mod exporter;
pub mod forger;
pub mod interrupted;
pub mod kernel_clock;
pub mod key_client;
pub mod key_load;
pub mod key_pair;
pub mod key_server;
pub mod load;
pub mod manager;
pub mod memory;
pub mod name_server;
pub mod netns;
pub mod ntpv5;
pub mod nts;
pub mod other_clients;
pub mod own_files;
pub mod packet;
pub mod peers;
pub mod process;
pub mod programs;
pub mod relay;
pub mod role;
pub mod samba;
pub mod seen;
mod skip;
mod started;
pub mod terminal;
#[cfg(target_arch = "x86_64")]
pub mod tracer;
pub mod tree;
pub mod users;
pub mod vmclock;

pub use skip::{is_root, lacks_clock_control, left_for_later, skip};
