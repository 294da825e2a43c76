//! The kernel's clocks, read in one place. It contains the only unsafe code that reading them needs: the standard library
//! has no CLOCK_MONOTONIC_RAW, and nix is not linked into the keeper.

use ipc::units::{BootInstant, Offset, RawInstant, Span};

/// Readings of which the tightest is the pair.
const TRIES: usize = 3;

/// Readings this close are of one moment, ns.
const TIGHT: i64 = 1_000_000;

/// A pair that is not is read so many times more.
const MORE: usize = 32;

/// A time of CLOCK_REALTIME farther than this from a pair is not converted by it.
const FARTHEST: Span = Span::from_secs(1);

/// CLOCK_MONOTONIC_RAW.
pub fn raw() -> RawInstant {
    RawInstant::saturating(nanos(libc::CLOCK_MONOTONIC_RAW))
}

/// CLOCK_REALTIME in nanoseconds since 1970.
pub fn realtime() -> i64 {
    nanos(libc::CLOCK_REALTIME)
}

/// CLOCK_BOOTTIME.
pub fn boot() -> BootInstant {
    BootInstant::saturating(nanos(libc::CLOCK_BOOTTIME))
}

/// CLOCK_BOOTTIME, and the time that the machine has been suspended in this boot, CLOCK_BOOTTIME − CLOCK_MONOTONIC. They are
/// read one after the other, a few times, and the tightest pair counts: what else a process waits for between two readings
/// (another has the processor, the machine stands still) must not look like a suspend.
pub fn boot_and_asleep() -> (BootInstant, Span) {
    let (gap, before, boot) = read_between(libc::CLOCK_MONOTONIC, libc::CLOCK_BOOTTIME, TIGHT);
    let (boot, after) = (BootInstant::saturating(boot), BootInstant::saturating(before.saturating_add(gap)));
    // The machine has slept for at least this long.
    (boot, boot.elapsed_since(after))
}

/// CLOCK_MONOTONIC_COARSE, nanoseconds: the time of the last tick.
pub fn monotonic_coarse() -> i64 {
    nanos(libc::CLOCK_MONOTONIC_COARSE)
}

/// The processor's counter, at a moment of CLOCK_MONOTONIC_RAW.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter {
    /// Its value: the time-stamp counter of x86, the virtual count of ARM.
    pub ticks: u64,
    /// When it had this value.
    pub raw: RawInstant,
    /// Nanoseconds by which that may be wrong.
    pub gap: i64,
}

impl Counter {
    /// Reads both, a few times, and keeps the tightest. `None`: programs cannot read it on this architecture.
    pub fn read() -> Option<Self> {
        let mut best: Option<Self> = None;
        for _ in 0..TRIES {
            let before = raw();
            let ticks = ticks()?;
            let gap = raw().since(before).nanos();
            if best.is_none_or(|best| gap < best.gap) {
                best = Some(Self { ticks, raw: before.after(Span::saturating(gap / 2)), gap });
            }
        }
        best
    }
}

/// The counter, read after all that is before it in the program and before all that follows.
#[cfg(target_arch = "x86_64")]
fn ticks() -> Option<u64> {
    use core::arch::x86_64::{_mm_lfence, _rdtsc};
    // SAFETY: every x86_64 has these instructions, which touch no memory. If the process was forbidden to read the counter
    // (prctl PR_SET_TSC), it ends with a signal.
    #[allow(unused_unsafe, reason = "newer compilers know that a fence is safe")]
    unsafe {
        _mm_lfence();
        let ticks = _rdtsc();
        _mm_lfence();
        Some(ticks)
    }
}

/// The same.
#[cfg(target_arch = "aarch64")]
fn ticks() -> Option<u64> {
    let ticks: u64;
    // SAFETY: Linux lets programs read the virtual count of every ARMv8; the instructions touch no memory.
    unsafe {
        core::arch::asm!("isb", "mrs {}, cntvct_el0", "isb", out(reg) ticks, options(nostack, nomem));
    }
    Some(ticks)
}

/// The same.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn ticks() -> Option<u64> {
    None
}

/// Reads `inner` between two readings of `outer`, a few times at most until these are closer than `enough`, ns. Of the tightest:
/// how far they were apart, the first of them, and `inner`.
fn read_between(outer: libc::clockid_t, inner: libc::clockid_t, enough: i64) -> (i64, i64, i64) {
    let mut best = (i64::MAX, 0, 0);
    let mut before = nanos(outer);
    for _ in 0..TRIES {
        let between = nanos(inner);
        let after = nanos(outer);
        let gap = after.saturating_sub(before);
        if gap < best.0 {
            best = (gap, before, between);
        }
        if best.0 < enough {
            break;
        }
        before = after;
    }
    best
}

/// The first of these readings that is close enough, or the closest of those that may be made. Each is how far its two outer
/// ones are apart, ns, and what was read.
fn closest(first: (i64, i64, i64), more: impl Iterator<Item = (i64, i64, i64)>) -> (i64, i64, i64) {
    let mut best = first;
    let mut more = more.take(MORE);
    while best.0 >= TIGHT {
        let Some(reading) = more.next() else { break };
        if reading.0 < best.0 {
            best = reading;
        }
    }
    best
}

/// Whether the kernel has a time zone other than UTC: then it may set the battery-backed clock to local time. True, too, if
/// it does not say.
pub fn has_zone() -> bool {
    let mut zone = [0_i32; 2];
    // SAFETY: without a place for the time, the call fills a timezone of two integers, which `zone` is.
    let outcome = unsafe {
        libc::syscall(libc::SYS_gettimeofday, std::ptr::null_mut::<libc::timeval>(), zone.as_mut_ptr())
    };
    outcome < 0 || zone[0] != 0
}

/// A clock, ns. Every supported kernel has these clocks. Where another filter refuses them to this process all the same,
/// it ends: with a clock that stands still none of its deadlines would ever come.
fn nanos(clock: libc::clockid_t) -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live timespec that the call fills.
    let outcome = unsafe { libc::clock_gettime(clock, &raw mut time) };
    if outcome < 0 {
        std::process::abort();
    }
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}

/// CLOCK_REALTIME and CLOCK_MONOTONIC_RAW at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// CLOCK_REALTIME, nanoseconds since 1970.
    pub realtime: i64,
    /// CLOCK_MONOTONIC_RAW.
    pub raw: RawInstant,
}

impl Pair {
    /// Reads both, a few times, and keeps the tightest. Where another program had the processor in the middle of each, more
    /// often: by such a pair a clock that is right would be found tens of milliseconds off.
    pub fn read() -> Self {
        let read = || read_between(libc::CLOCK_MONOTONIC_RAW, libc::CLOCK_REALTIME, 0);
        let (gap, before, realtime) = closest(read(), std::iter::repeat_with(read));
        Self { realtime, raw: RawInstant::saturating(before.saturating_add(gap / 2)) }
    }

    /// The raw instant of a time of CLOCK_REALTIME; `None` if that is more than 1 s away from this pair.
    pub fn to_raw(self, realtime: i64) -> Option<RawInstant> {
        let distance = Offset::saturating(realtime.saturating_sub(self.realtime));
        let instant = RawInstant::saturating(self.raw.nanos().saturating_add(distance.nanos()));
        (distance.magnitude() <= FARTHEST).then_some(instant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_of_one_moment() {
        let (before, pair, after) = (raw(), Pair::read(), raw());
        assert!(before <= pair.raw && pair.raw <= after);
        assert_eq!(pair.to_raw(pair.realtime), Some(pair.raw));
    }

    #[test]
    fn a_pair_that_was_torn_apart_is_read_again_until_one_is_whole_or_so_often() {
        let wide = |gap: i64| (gap * TIGHT, gap, gap);
        let whole = (TIGHT - 1, 7, 8);
        assert_eq!(closest(whole, std::iter::repeat_with(|| unreachable!())), whole);
        assert_eq!(closest(wide(30), [wide(40), wide(9), whole, wide(1)].into_iter()), whole);
        let mut read = 0;
        let all = std::iter::from_fn(|| {
            read += 1;
            Some(wide(if read == 5 { 3 } else { 20 }))
        });
        assert_eq!(closest(wide(30), all), wide(3));
        assert_eq!(read, MORE);
    }

    #[test]
    fn a_time_is_converted_within_a_second_of_the_pair() {
        let pair = Pair { realtime: 7_000_000_000, raw: RawInstant::saturating(5_000_000_000) };
        for (realtime, raw) in [
            (8_000_000_000, Some(6_000_000_000)),
            (8_000_000_001, None),
            (6_000_000_000, Some(4_000_000_000)),
            (5_999_999_999, None),
            (i64::MIN, None),
            (i64::MAX, None),
        ] {
            assert_eq!(pair.to_raw(realtime).map(RawInstant::nanos), raw, "{realtime}");
        }
    }

    #[test]
    fn the_counter_goes_forward_with_the_raw_clock() {
        let (first, before) = (Counter::read().expect("x86_64 or aarch64"), raw());
        while raw().since(before).nanos() < 1_000_000 {}
        let second = Counter::read().unwrap();
        assert!(second.ticks > first.ticks && second.raw > first.raw && first.gap >= 0);
        assert!(first.raw <= before && before <= second.raw);
    }

    #[test]
    fn the_clocks_of_this_boot_go_forward_and_agree_on_its_sleep() {
        let (first, (second, asleep)) = (boot(), boot_and_asleep());
        assert!(first > BootInstant::MIN && second >= first);
        assert!(asleep <= second.elapsed_since(BootInstant::MIN));
    }
}
