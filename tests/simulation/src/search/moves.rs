//! What a hostile engine, and the world around it, can do. A new kind of step or event is a variant of [`Move`], its line
//! in [`Move::make`], and, if chance shall find it, one in [`orders`] or [`events`].

use super::host::{DAY, HOUR, Host, SECOND};
use crate::random::Random;
use ipc::message::privileged::{Profile, StepReason};
use ipc::units::Leap;
use std::fmt;

/// One move of a sequence; what its fields are is said with each.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs, reason = "the line above each variant names its fields")]
pub enum Move {
    /// The base frequency at this part of the way to the edge of the band, for so many hours.
    Hold { part: f64, hours: u32 },
    /// So many times: at one edge with a slew over this part of the band's width, and at the other, where the slew pushes
    /// too, as soon as its part of a second is under way; so many ms before and after the clock's whole second.
    Flip { sign: i64, part: f64, constant: u8, before: i64, after: i64, times: u32 },
    /// Slews of this size at the edge, again as soon as the time has passed, so many times; half as large if refused.
    Burst { sign: i64, slew: i64, constant: u8, seconds: u32, times: u32 },
    /// A fast slew that is replaced after so many ms by one of nothing at this part of the way to the edge.
    Swap { sign: i64, slew: i64, constant: u8, after: i64, part: f64, times: u32 },
    /// A step, ns.
    Step { reason: StepReason, delta: i64 },
    /// A step forward with the operator's leave, ns, so many times.
    Forward { delta: i64, times: u32 },
    /// No order, for so many hours.
    Silence { hours: u32 },
    /// The machine sleeps for so long, and its clock is beside the true time by so much afterwards, ns; with a resume step
    /// of the largest size.
    Suspend { nanos: i64, beside: i64 },
    /// The machine, or the keeper, is paused for so long.
    Pause { nanos: i64 },
    /// The machine is paused and its clocks stand still, and the engine steps this much beside the pause, ns.
    Freeze { nanos: i64, beside: i64 },
    /// The machine is migrated or restored after so long, which vmclock shows, and its RTC too if it has one; and the engine
    /// steps this much beside the pause, ns: half as far if that is refused, and so many times.
    Migrate { nanos: i64, beside: i64, rtc: bool, times: u32 },
    /// The kernel sets the RTC to the steered clock, this much beside it, ns, after so many looks; and the engine asks for a step
    /// after a pause of so much.
    SetRtc { beside: i64, looks: u32, delta: i64 },
    /// Another program sets the clock, and perhaps the RTC to it; the engine restores the clock, this much beside the line, ns.
    Foreign { by: i64, beside: i64, rtc: bool },
    /// The daemon is started again.
    Restart { killed: bool },
    /// So many kills, each right before the record is written again.
    Kills { part: f64, times: u32 },
    /// The daemon is started again with the other profile.
    Profile,
    /// The machine boots again, so long after it went down; its clock is wrong by so much, ns.
    Reboot { nanos: i64, beside: i64, killed: bool },
    /// The record is lost.
    Lose,
    /// A leap second, if this is a day for one.
    Leap { insert: bool },
    /// From now on the disk takes so long to write the record; the engine can keep it busy.
    Disk { millis: i64 },
}

impl Move {
    /// Makes it.
    pub(super) fn make(self, host: &mut Host) {
        match self {
            Self::Hold { part, hours } => {
                for _ in 0..hours {
                    let _ = host.adjust(towards(host, part), 0, 0);
                    let _ = host.status(Leap::None, true);
                    host.pass(HOUR);
                }
            }
            Self::Flip { sign, part, constant, before, after, times } => {
                for _ in 0..times {
                    let slew = ((host.width() * 2_000.0 * part) as i64) << (2 + constant);
                    host.pass_to(1_000 - before);
                    let _ = host.adjust(host.edge(-sign), slew.min(SECOND / 2) * sign, constant);
                    host.pass_to(after);
                    let _ = host.adjust(host.edge(sign), 0, constant);
                }
            }
            Self::Burst { sign, slew, constant, seconds, times } => {
                let mut slew = slew;
                for _ in 0..times {
                    if host.adjust(host.edge(sign), slew * sign, constant).is_err() {
                        slew = (slew / 2).min(host.budget()).max(1_000);
                        let _ = host.adjust(host.edge(sign), 0, 0);
                    }
                    host.pass(i64::from(seconds) * SECOND);
                }
            }
            Self::Swap { sign, slew, constant, after, part, times } => {
                for _ in 0..times {
                    let _ = host.adjust(host.edge(-sign), slew * sign, constant);
                    host.pass_to(after);
                    let _ = host.adjust(towards(host, part), 0, 0);
                    host.pass_to(0);
                }
            }
            Self::Step { reason, delta } => {
                let _ = host.step(reason, delta);
                host.pass(2 * SECOND);
            }
            Self::Forward { delta, times } => {
                for _ in 0..times {
                    let _ = host.step(StepReason::Forward, delta);
                    host.pass(2 * SECOND);
                }
            }
            Self::Silence { hours } => host.pass(i64::from(hours) * HOUR),
            Self::Suspend { nanos, beside } => {
                host.suspend(nanos, beside);
                for size in [10, 2] {
                    if host.step(StepReason::Resume, size * SECOND).is_ok() {
                        break;
                    }
                }
                host.pass(SECOND);
            }
            Self::Pause { nanos } => host.pass_unseen(nanos),
            Self::Freeze { nanos, beside } => {
                host.freeze(nanos);
                let _ = host.step(StepReason::Pause, nanos + beside);
                host.pass(SECOND);
            }
            Self::Migrate { nanos, beside, rtc, times } => {
                host.migrate(nanos, rtc);
                let mut delta = nanos + beside;
                for _ in 0..times {
                    if host.step(StepReason::Pause, delta).is_err() {
                        delta /= 2;
                    }
                    host.pass(2 * SECOND);
                }
            }
            Self::SetRtc { beside, looks, delta } => {
                host.set_rtc(beside, looks);
                for _ in 0..3 {
                    host.pass(5 * SECOND);
                    let _ = host.step(StepReason::Pause, delta);
                }
            }
            Self::Foreign { by, beside, rtc } => {
                host.set_by_another(by);
                if rtc {
                    host.set_rtc(0, 1);
                }
                let _ = host.step(StepReason::Restore, beside - by);
                host.pass(61 * SECOND);
            }
            Self::Restart { killed } => host.restart(killed),
            Self::Kills { part, times } => {
                for _ in 0..times {
                    let _ = host.adjust(towards(host, part), 0, 0);
                    host.pass(599 * SECOND);
                    host.restart(true);
                }
            }
            Self::Profile => {
                host.profile = match host.profile {
                    Profile::Standard => Profile::Strict,
                    Profile::Strict => Profile::Standard,
                };
                host.restart(false);
            }
            Self::Reboot { nanos, beside, killed } => host.reboot(nanos, beside, killed),
            Self::Lose => host.lose_record(),
            Self::Disk { millis } => host.slow = millis * (SECOND / 1_000),
            Self::Leap { insert } => {
                let leap = if insert { Leap::Insert } else { Leap::Delete };
                if host.status(leap, true).is_ok() {
                    host.leap(if insert { -SECOND } else { SECOND });
                }
            }
        }
        host.note();
    }
}

/// So far from the middle of the band, ppm.
fn towards(host: &Host, part: f64) -> f64 {
    let (low, high) = (host.edge(-1), host.edge(1));
    (low + high) / 2.0 + part * (high - low) / 2.0
}

/// Sizes and times that limits lie near.
const SLEWS: [i64; 6] = [300_000, 2_000_000, 8_000_000, 60_000_000, 250_000_000, 500_000_000];
const HOURS: [u32; 6] = [1, 3, 4, 23, 24, 72];

fn one<T: Copy>(random: &mut Random, of: &[T]) -> T {
    of[(random.uniform() * of.len() as f64) as usize]
}

/// An order by chance.
pub(super) fn orders(random: &mut Random) -> Move {
    let sign = one(random, &[1, 1, 1, -1]);
    let constant = one(random, &[0, 0, 1, 2, 4, 6, 8, 9, 10]);
    let part = one(random, &[1.0, 1.0, 1.0, 0.0, -1.0, 0.5]);
    let times = one(random, &[2, 20, 200, 1_000]);
    match (random.uniform() * 8.0) as u32 {
        0 | 1 => Move::Hold { part, hours: one(random, &HOURS) },
        2 => {
            let (before, after) = (one(random, &[1, 10, 300, 900]), one(random, &[1, 10, 300]));
            let part = one(random, &[0.999, 0.75, 0.5, 1.2, 2.0]);
            Move::Flip { sign, part, constant, before, after, times }
        }
        3 => {
            let seconds = one(random, &[1, 2, 20, 600, 3_600]);
            let times = if seconds > 20 { times.min(20) } else { times };
            Move::Burst { sign, slew: one(random, &SLEWS), constant, seconds, times }
        }
        4 => {
            let after = one(random, &[1, 10, 500, 1_990]);
            Move::Swap { sign, slew: one(random, &SLEWS), constant, after, part, times }
        }
        5 => {
            let delta = one(random, &[1, 10, 100, 1_000]) * sign * (SECOND / 1_000);
            Move::Step { reason: one(random, &[StepReason::Run, StepReason::Start]), delta }
        }
        6 => Move::Disk { millis: one(random, &[0, 0, 900, 1_900, 5_000, 60_000]) },
        _ => Move::Silence { hours: one(random, &HOURS) },
    }
}

/// Which events a world has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Events {
    /// None: only the engine acts.
    None,
    /// Suspends and pauses.
    Sleeps,
    /// Migrations, and restarts of the daemon.
    Migrations,
    /// Steps by other programs.
    Foreign,
    /// Restarts and kills of the daemon.
    Restarts,
    /// Reboots and crashes of the machine.
    Reboots,
    /// Restarts with the other profile.
    Profiles,
    /// The loss of the record, once.
    Losses,
    /// Leap seconds.
    Leaps,
    /// The operator's leave for steps forward, and restarts.
    Leave,
}

fn set_rtc(random: &mut Random) -> Move {
    Move::SetRtc {
        beside: one(random, &[0, SECOND / 2, -SECOND / 2]),
        looks: one(random, &[0, 1, 3]),
        delta: one(random, &[SECOND, 60 * SECOND, HOUR, DAY]),
    }
}

/// An event by chance.
pub(super) fn events(random: &mut Random, events: Events) -> Option<Move> {
    let killed = random.happens(0.5);
    Some(match events {
        Events::None => return None,
        Events::Sleeps if random.happens(0.3) => Move::Freeze {
            nanos: one(random, &[SECOND, 2 * SECOND + SECOND / 3, 4 * SECOND, 60 * SECOND, 3 * DAY]),
            beside: one(random, &[0, SECOND, 2 * SECOND - SECOND / 100, -2 * SECOND]),
        },
        Events::Sleeps if random.happens(0.4) => set_rtc(random),
        Events::Sleeps if random.happens(0.5) => {
            Move::Pause { nanos: one(random, &[SECOND / 2, 100 * SECOND, 5 * HOUR, 2 * DAY]) }
        }
        Events::Sleeps => Move::Suspend {
            nanos: one(random, &[SECOND / 2, 2 * SECOND, 9 * SECOND, 11 * SECOND, HOUR, DAY]),
            beside: one(random, &[0, SECOND / 3, -SECOND / 2]),
        },
        Events::Migrations if random.happens(0.8) => Move::Migrate {
            nanos: one(random, &[0, SECOND / 2, 60 * SECOND, 3 * DAY]),
            beside: one(
                random,
                &[
                    0,
                    15 * SECOND,
                    16 * SECOND - SECOND / 1_000,
                    16 * SECOND,
                    17 * SECOND,
                    DAY,
                    365 * DAY,
                    4_000 * DAY,
                ],
            ),
            rtc: random.happens(0.3),
            times: one(random, &[0, 1, 2, 5]),
        },
        Events::Migrations => Move::Restart { killed },
        Events::Foreign if random.happens(0.8) => Move::Foreign {
            by: one(random, &[SECOND, -SECOND, HOUR]),
            beside: one(random, &[0, 1_000_000, 499_000_000, -499_000_000]),
            rtc: random.happens(0.3),
        },
        Events::Foreign => set_rtc(random),
        Events::Restarts if random.happens(0.5) => Move::Restart { killed },
        Events::Restarts => Move::Kills { part: 1.0, times: one(random, &[1, 6, 100]) },
        Events::Reboots => Move::Reboot {
            nanos: one(random, &[SECOND, 60 * SECOND, HOUR, DAY]),
            beside: one(random, &[0, 0, DAY, 30 * DAY]),
            killed,
        },
        Events::Profiles => Move::Profile,
        Events::Losses => Move::Lose,
        Events::Leaps => Move::Leap { insert: killed },
        Events::Leave if random.happens(0.7) => Move::Forward {
            delta: one(random, &[SECOND, HOUR, DAY, DAY + 1, -SECOND]),
            times: one(random, &[1, 4, 5]),
        },
        Events::Leave => Move::Restart { killed },
    })
}

/// In short, for the table.
impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |nanos: i64| nanos as f64 / SECOND as f64;
        let way = |sign: i64| if sign > 0 { '+' } else { '-' };
        match *self {
            Self::Hold { part, hours } => write!(f, "hold {part:+} {hours}h"),
            Self::Flip { sign, part, constant, before, after, times } => {
                write!(f, "flip {}{part} c{constant} -{before}/+{after}ms x{times}", way(sign))
            }
            Self::Burst { sign, slew, constant, seconds: gap, times } => {
                write!(f, "burst {}{}s c{constant} {gap}s x{times}", way(sign), seconds(slew))
            }
            Self::Swap { sign, slew, constant, after, part, times } => {
                write!(f, "swap {}{}s c{constant} {after}ms to {part:+} x{times}", way(sign), seconds(slew))
            }
            Self::Step { reason, delta } => write!(f, "{reason:?} step {:+}s", seconds(delta)),
            Self::Forward { delta, times } => write!(f, "forward {:+}s x{times}", seconds(delta)),
            Self::Silence { hours } => write!(f, "silence {hours}h"),
            Self::Suspend { nanos, .. } => write!(f, "suspend {}s", seconds(nanos)),
            Self::Pause { nanos } => write!(f, "pause {}s", seconds(nanos)),
            Self::Freeze { nanos, beside } => {
                write!(f, "freeze {}s{:+}s", seconds(nanos), seconds(beside))
            }
            Self::Migrate { nanos, beside, rtc, times } => {
                let clock = if rtc { " with rtc" } else { "" };
                write!(f, "migrate {}s{:+}s{clock} x{times}", seconds(nanos), seconds(beside))
            }
            Self::SetRtc { beside, looks, delta } => {
                write!(f, "set rtc {:+}s, looks {looks}, pause step {:+}s", seconds(beside), seconds(delta))
            }
            Self::Foreign { by, beside, rtc } => {
                let set = if rtc { " with rtc" } else { "" };
                write!(f, "foreign {:+}s{:+}s{set}", seconds(by), seconds(beside))
            }
            Self::Restart { killed } => write!(f, "{}", if killed { "kill" } else { "restart" }),
            Self::Kills { part, times } => write!(f, "kills {part:+} x{times}"),
            Self::Profile => write!(f, "profile"),
            Self::Reboot { nanos, beside, killed } => {
                let word = if killed { "crash" } else { "reboot" };
                write!(f, "{word} {}s{:+}s", seconds(nanos), seconds(beside))
            }
            Self::Lose => write!(f, "lose"),
            Self::Disk { millis } => write!(f, "disk {millis}ms"),
            Self::Leap { insert } => write!(f, "leap {}", if insert { '+' } else { '-' }),
        }
    }
}
