//! The time with how wrong it can be: an interval that contains true time, computed by the program that wants to know it.
//!
//! truechimer writes what it knows of true time into a page of shared memory, against CLOCK_MONOTONIC_RAW, which nobody can set
//! or steer. A program maps the page once and then asks as often as it likes: no lock, no message, no system call beyond reading
//! a clock. What the page says was true when it was written and says itself how it widens, so that it stays true until its stated
//! end, whatever becomes of the daemon.
//!
//! ```no_run
//! let mut page = truechimer_time::TimePage::open()?;
//! match page.now() {
//!     Ok(now) => println!("{} to {} ns since 1970", now.earliest, now.latest),
//!     Err(why) => println!("not known: {why}"),
//! }
//! # Ok::<(), truechimer_time::OpenError>(())
//! ```
//!
//! ```text
//!   page     what it contains, and the arithmetic: core alone
//!   window   what follows from it for a while, worked out in advance
//!   shared   the words of a page that one process writes and others read at the same time
//!   map      the page mapped, and the clocks
//! ```
#![no_std]

#[cfg(any(test, feature = "map"))]
extern crate std;

mod page;
mod shared;
mod window;

#[cfg(feature = "map")]
mod map;

#[cfg(feature = "map")]
pub use map::{DEFAULT_PATH, OpenError, PageWriter, TimePage, WordsWriter};
pub use page::{
    Interval, MOST_RATE, Mark, Page, SEGMENTS, SPANS, State, Unknown, Unreadable, WORDS, WallCheck,
    frequency, per_second, rate,
};
pub use shared::{LENGTH, SLOTS, Shared};
pub use window::Window;
