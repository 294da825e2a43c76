//! The last measurements of all sources, and the last corrections of the clock, in the order in which they came, each with a
//! number: for who writes each of them down once. The number counts on over all of them for as long as the engine runs, so that one
//! that is missing shows.

use crate::filter::Filter;
use crate::io::Now;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;
use ipc::message::client::{ReplyHeader, Stamp};
use ipc::units::{Leap, WallTime};
use report::{MeasurementOutcome, RejectReason, StampOrigin};

/// How many corrections are kept, 16 KiB: those of the first seconds with 32 sources.
pub(crate) const CORRECTIONS: usize = 128;

/// Who took a time of departure or arrival.
pub const fn origin(stamp: Stamp) -> StampOrigin {
    match stamp {
        Stamp::Hardware => StampOrigin::Hardware,
        Stamp::Kernel => StampOrigin::Kernel,
        Stamp::User => StampOrigin::User,
    }
}

/// What came since a measurement or correction.
#[derive(Clone, Debug, PartialEq)]
pub struct MeasuredSince {
    /// How many of both there were in this run of the engine, kept or not.
    pub counted: u64,
    /// Seconds until the next query of any source; none: no query is scheduled.
    pub next_query_s: Option<f64>,
    /// Measurements, the oldest first.
    pub measured: Vec<Measured>,
    /// Corrections, the oldest first.
    pub corrections: Vec<Correction>,
}

impl MeasuredSince {
    /// The first `most` of both together.
    pub(crate) fn limited(mut self, most: usize) -> Self {
        let of_measured = self.measured.iter().map(|it| it.known.number);
        let mut numbers: Vec<u64> = of_measured.chain(self.corrections.iter().map(|it| it.number)).collect();
        numbers.sort_unstable();
        if let Some(beyond) = numbers.get(most) {
            self.measured.retain(|it| it.known.number < *beyond);
            self.corrections.retain(|it| it.number < *beyond);
        }
        self
    }
}

/// A correction of the clock, and what was known then, before it was ordered. The units and signs are those of
/// [`report::CorrectionReport`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Correction {
    /// Its number in this run of the engine.
    pub number: u64,
    /// The clock.
    pub wall: WallTime,
    /// The address of the reference; none: it is gone.
    pub address: Option<SocketAddr>,
    /// Stratum that follows from that of the reference.
    pub stratum: u8,
    /// What the sources announce.
    pub leap: Leap,
    /// Sources that are used.
    pub used: usize,
    /// Estimated offset of the clock, seconds.
    pub offset_s: f64,
    /// Its standard deviation, seconds.
    pub estimated_error_s: f64,
    /// Bound of its error, seconds.
    pub error_bound_s: f64,
    /// What was left of the slew before, seconds.
    pub slew_left_s: f64,
    /// Base frequency in force, ppm.
    pub frequency_ppm: f64,
    /// Standard deviation of the frequency, ppm.
    pub frequency_error_ppm: f64,
    /// Root delay, seconds.
    pub root_delay_s: f64,
    /// Root dispersion, seconds.
    pub root_dispersion_s: f64,
}

/// One measurement, or one reply that failed a packet test.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Name of its source, as configured.
    pub name: String,
    /// Address of its source.
    pub address: SocketAddr,
    /// What is known of it.
    pub known: Known,
}

/// What is known of a measurement. The units and signs are those of [`report::MeasuredReport`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Known {
    /// Its number in this run of the engine, from 1; 0: not yet numbered.
    pub number: u64,
    /// The clock when the reply came, as it was then.
    pub wall: WallTime,
    /// The poll exponent of the source when the reply came.
    pub poll: i8,
    /// What the reply said.
    pub said: Said,
    /// Offset, round trip, dispersion and root distance, seconds; none: it was not measured.
    pub measured: Option<[f64; 4]>,
    /// What became of it.
    pub outcome: MeasurementOutcome,
    /// The test that it failed.
    pub test: Option<RejectReason>,
    /// Who took T1 and T4; none: they were not looked at.
    pub stamps: Option<(Stamp, Stamp)>,
    /// The reply came in interleaved mode: the exchange before is measured.
    pub interleaved: bool,
    /// The estimate of its source with this measurement; none: it was not measured.
    pub learned: Option<Learned>,
}

/// The estimate of a source after a measurement. Errors are standard deviations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Learned {
    /// Offset of the clock at that time, seconds; positive: it was behind.
    pub offset: f64,
    /// Its error, seconds.
    pub offset_error: f32,
    /// That of a single measurement, seconds.
    pub deviation: f32,
    /// How much faster the time of the source runs than the clock did then, beside its slew, s/s; until it is numbered: than
    /// CLOCK_MONOTONIC_RAW.
    pub frequency: f64,
    /// Its error, s/s.
    pub frequency_error: f32,
    /// Measurements on which it rests.
    pub samples: u32,
}

impl Learned {
    pub(crate) fn by(filter: &Filter, now: Now) -> Option<Self> {
        let estimate = filter.estimate(now.raw)?;
        Some(Self {
            offset: estimate.offset_of(now.wall.nanos()),
            offset_error: libm::sqrt(estimate.variance) as f32,
            deviation: filter.deviation() as f32,
            frequency: estimate.frequency,
            frequency_error: estimate.frequency_deviation(0.0) as f32,
            samples: filter.samples(),
        })
    }
}

/// What a reply said of its server, as it stands in the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    /// The leap indicator.
    pub leap: Leap,
    /// The stratum.
    pub stratum: u8,
    /// The poll exponent, log2 s.
    pub poll: i8,
    /// The reference id.
    pub reference_id: u32,
    /// Root delay, 2^-16 s.
    pub root_delay: u32,
    /// Root dispersion, 2^-16 s.
    pub root_dispersion: u32,
}

impl Said {
    pub(crate) fn by(header: &ReplyHeader) -> Self {
        let ReplyHeader { leap, stratum, poll, reference_id, root_delay, root_dispersion, .. } = *header;
        Self { leap, stratum, poll, reference_id, root_delay, root_dispersion }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corrections_take_no_more_room_than_is_said() {
        assert!(size_of::<Correction>() * CORRECTIONS <= 16 * 1024, "{}", size_of::<Correction>());
    }
}
