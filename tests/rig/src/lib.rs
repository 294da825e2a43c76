//! Real machines for tests: guests with a kernel, a service manager and a clock of their own, from Debian's packages
//! alone. What is promised of a unit, a package, a boot or the kernel's clock is tried here, as it is installed.
//!
//! ```text
//!   store      the folder where everything that takes long to make is kept, outside of the tree
//!   architecture  this machine's, or another one that is emulated
//!   debian     the releases, and where this machine has its packages from
//!   recipe     how a kernel, a root file system and an image are made
//!   world      what is outside of a guest: a network of its own, and servers whose time is the truth
//!   machine    a guest that runs: its power switch, its disk, and a shell in it
//!   guest      what a case asks of a guest: is its clock right, what does the journal say
//!   cases      the table of cases, and the known failures by name
//!   runner     runs them, a few at a time, and judges them
//!   report     the table
//!   command    programs of the host, run to their end
//!   days       whole days of the real daemons on the real kernel's clock, in simulated time
//! ```
//!
//! The host's clock is out of reach: this process gives up CAP_SYS_TIME for good before it starts anything, and a
//! guest's kernel has a clock of its own.

pub mod architecture;
pub mod cases;
pub mod days;
pub mod debian;
pub mod guest;
pub mod machine;
pub mod recipe;
pub mod report;
pub mod runner;
pub mod store;
pub mod world;

mod command;
