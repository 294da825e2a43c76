//! The ground on which truechimer's processes meet: units, messages and their bytes.
//!
//! ```text
//!   units      what a number means: nanoseconds, 2^-16 ppm, signs, ranges
//!   calendar   days and dates, and how an instant is written
//!   address    where a packet goes or came from
//!   process    the processes of the daemon: names, users, exit codes; a value for each
//!   packet     the octets of a datagram or of a cookie, bounded
//!   served_at  where a server answers, and on which interface
//!   departure  how packets to a source leave
//!   list       up to so many values of a kind
//!   file_path  the name of a file that the configuration gives to the launch
//!   paths      where a daemon's files are, as its launch tells chimerctl
//!   leave      the operator's leave for a step, as a signal has it
//!   permissions  who may change or read a file
//!   aead       the algorithms of NTS, and lists of them
//!   secret     keys on their way from one process to another
//!   message    one enum for each direction of each link, one doc line for each variant
//!   text       text from outside, as it can be shown; checksum: against accidents
//!   codec      message <-> octets; the only file that knows bincode
//!   audit_line the form of the governor's log; governor_record: that of its memory
//!   history    the form of the record of each minute, for auditors
//!   anchor     the form of signed answers that prove when log and history ended there
//!   clock_page a clock that isn't the kernel's: an offset and a rate over CLOCK_MONOTONIC_RAW
//! ```
//!
//! Values are checked when they are built (`try_new`), and decoding builds them the same way: every
//! [`Offset`](units::Offset) is in range. There are no floats, no allocations except for keys, and no I/O: `ipc/link`
//! has the sockets. Nothing in this crate depends on another crate of the project.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

#[macro_use]
mod codec;
#[macro_use]
mod bounded;
pub mod address;
pub mod aead;
pub mod anchor;
pub mod audit_line;
pub mod calendar;
pub mod checksum;
pub mod clock_page;
pub mod departure;
pub mod file_path;
pub mod governor_record;
pub mod history;
pub mod leave;
pub mod list;
pub mod message;
pub mod packet;
pub mod paths;
pub mod permissions;
pub mod plan;
pub mod process;
pub mod secret;
pub mod served_at;
pub mod symmetric_key;
pub mod text;
pub mod units;

pub use codec::{CodecError, MAX_FRAME, Message, Record, decode, encode};
