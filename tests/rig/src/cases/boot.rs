//! Power-on: with a clock that is right, and with clocks that are not.

use super::{Case, Found, boot_right, today};
use crate::guest::Stand;
use crate::machine::Start;

/// 19 January 2038, 4 h UTC: beyond what 32 bits hold.
const YEAR_2038: i64 = (1 << 31) + 2746;

pub const CASES: &[Case] = &[
    Case::new("boot", "power-on, clock right to half a second: power-on to right", |stand| {
        boot(stand, &Start::default())
    }),
    Case::new("boot-1970", "the same, clock in 1970", |stand| boot(stand, &Start::at(0))),
    Case::new("boot-days-behind", "the same, clock three days behind", |stand| {
        boot(stand, &Start::at(today() - 3 * 86_400))
    }),
    Case::new("boot-local-ahead", "the same, clock in local time of UTC+2", |stand| {
        boot(stand, &Start::at(today() + 7_200))
    }),
    Case::new("boot-local-behind", "the same, clock in local time of UTC-8", |stand| {
        boot(stand, &Start::at(today() - 8 * 3_600))
    }),
    Case::new("boot-2038", "the same, clock in 2038", |stand| boot(stand, &Start::at(YEAR_2038))),
    Case::new("rtc", "a real real-time clock, right", |stand| boot(stand, &Start::default())).whole(),
    Case::new("rtc-1970", "a real real-time clock, in 1970", |stand| boot(stand, &Start::at(0))).whole(),
    Case::new("rtc-local-ahead", "a real real-time clock, in local time of UTC+2", |stand| {
        boot(stand, &Start::at(today() + 7_200))
    })
    .whole(),
    Case::new("rtc-2038", "a real real-time clock, in 2038", |stand| boot(stand, &Start::at(YEAR_2038)))
        .whole(),
];

fn boot(stand: &Stand, start: &Start) -> Result<Found, String> {
    let mut guest = boot_right(stand, start)?;
    let seconds = guest.machine.started().elapsed().as_secs_f64();
    guest.found(seconds, "")
}
