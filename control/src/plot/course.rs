//! The course of the clock as it is drawn: points on one line of time, from the daemon's answer.

use report::read::{HistoryPoint, HistoryReply};

/// Most points that are drawn, however many the daemon names.
const MOST: usize = 400;

/// A part of the course; offsets and errors in seconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Spot {
    /// Beginning and end, in seconds since 1970.
    pub time: (f64, f64),
    /// Mean, least and largest.
    pub offset: Option<(f64, f64, f64)>,
    pub bound: Option<f64>,
    pub likely: Option<f64>,
    /// In ppm.
    pub frequency: Option<f64>,
    pub used: u8,
    pub is_synchronised: bool,
    pub stepped: Option<f64>,
}

/// See the module's head.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Course {
    /// The oldest first, none overlapping the one before.
    pub spots: Vec<Spot>,
    /// Times of which nothing is known, and moments at which the clock stood still.
    pub gaps: Vec<(f64, f64)>,
}

impl Course {
    /// What the daemon's answer says, as far as it makes sense.
    ///
    /// A time is what the clock said then, and the steps since, by which it turned out to be wrong. A clock that stood still was
    /// right before, and its step only makes up for the pause.
    pub fn of(reply: &HistoryReply) -> Self {
        let points = reply.points.as_deref().unwrap_or_default();
        let points = points.get(points.len().saturating_sub(MOST)..).unwrap_or_default();
        let length = f64::from(reply.resolution_s.unwrap_or(0));
        let mut course = Self::default();
        let mut stepped = 0.0;
        let mut next: Option<(f64, f64)> = None;
        for (at, point) in points.iter().enumerate().rev() {
            let (Some(ago), Some(until)) = (finite(point.ago_s), finite(point.until_unix_s)) else {
                continue;
            };
            let end = next.map_or(until + stepped, |(begin, _)| (until + stepped).min(begin));
            if let Some((begin, _)) = next.filter(|(begin, _)| begin - end > 1.0) {
                course.gaps.push((end, begin));
            }
            let before = at.checked_sub(1).and_then(|at| finite(points.get(at)?.ago_s));
            let begin = end - before.map_or(length, |before| (before - ago).clamp(0.0, length));
            let stood_still = point.gap == Some(true);
            if stood_still {
                course.gaps.push((begin, begin));
            } else {
                stepped += finite(point.stepped_s).unwrap_or(0.0);
            }
            course.spots.push(spot((begin, end), point));
            next = Some((begin, end));
        }
        course.spots.reverse();
        course.gaps.reverse();
        course
    }

    /// How far the offset is from zero as a rule, in seconds: where the clock was synchronised and not stepped, if it ever was.
    pub fn scale(&self) -> f64 {
        let most = |spot: &Spot| spot.offset.map(|(_, least, largest)| least.abs().max(largest.abs()));
        let all = || self.usual().filter_map(most);
        all().fold(1e-9, f64::max)
    }

    /// The points by which a picture has its scale.
    pub fn usual(&self) -> impl Iterator<Item = &Spot> {
        let is_usual = |spot: &Spot| spot.is_synchronised && spot.stepped.is_none() && spot.offset.is_some();
        let is_ever = self.spots.iter().any(is_usual);
        self.spots.iter().filter(move |spot| !is_ever || is_usual(spot))
    }

    /// From the first point to the end of the last one.
    pub fn period(&self) -> Option<(f64, f64)> {
        Some((self.spots.first()?.time.0, self.spots.last()?.time.1))
    }
}

fn finite(value: Option<f64>) -> Option<f64> {
    // Beyond this nothing is a time or an offset, and sums stay exact enough.
    value.filter(|value| value.abs() < 1e12)
}

fn spot(time: (f64, f64), point: &HistoryPoint) -> Spot {
    let offset = || {
        let mean = finite(point.offset_s)?;
        let least = finite(point.offset_least_s).unwrap_or(mean).min(mean);
        Some((mean, least, finite(point.offset_largest_s).unwrap_or(mean).max(mean)))
    };
    Spot {
        time,
        offset: offset(),
        bound: finite(point.error_bound_s).map(f64::abs),
        likely: finite(point.likely_error_s).map(f64::abs),
        frequency: finite(point.frequency_ppm),
        used: point.used.unwrap_or(0),
        is_synchronised: point.synchronised == Some(true),
        stepped: finite(point.stepped_s),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(ago: f64, until: f64) -> HistoryPoint {
        HistoryPoint { ago_s: Some(ago), until_unix_s: Some(until), ..HistoryPoint::default() }
    }

    fn course(points: Vec<HistoryPoint>) -> Course {
        Course::of(&HistoryReply { resolution_s: Some(15), points: Some(points), ..HistoryReply::default() })
    }

    #[test]
    fn a_clock_that_was_wrong_before_a_step_is_drawn_at_the_time_that_it_was() {
        let stepped = HistoryPoint { stepped_s: Some(1000.0), ..point(30.0, 2000.0) };
        let course = course(vec![point(45.0, 985.0), stepped, point(15.0, 2015.0), point(0.0, 2030.0)]);
        let times: Vec<(f64, f64)> = course.spots.iter().map(|spot| spot.time).collect();
        assert_eq!(times, [(1970.0, 1985.0), (1985.0, 2000.0), (2000.0, 2015.0), (2015.0, 2030.0)]);
        assert_eq!(course.gaps, []);
        assert_eq!(course.period(), Some((1970.0, 2030.0)));
    }

    #[test]
    fn a_time_that_nobody_saw_is_a_gap_and_so_is_a_suspend_of_a_clock_that_was_right() {
        let missing = course(vec![point(100.0, 900.0), point(15.0, 985.0), point(0.0, 1000.0)]);
        assert_eq!(missing.gaps, [(900.0, 970.0)]);
        // Asleep for an hour; the step made up for it.
        let woken = HistoryPoint { gap: Some(true), stepped_s: Some(3600.0), ..point(15.0, 4615.0) };
        let asleep = course(vec![point(30.0, 1000.0), woken, point(0.0, 4630.0)]);
        assert_eq!(asleep.gaps, [(1000.0, 4600.0), (4600.0, 4600.0)]);
        assert_eq!(asleep.spots[0].time, (985.0, 1000.0));
    }

    #[test]
    fn what_makes_no_sense_is_left_out_and_nothing_overlaps() {
        let nonsense = course(vec![
            point(f64::NAN, 1.0),
            point(1.0, f64::INFINITY),
            point(30.0, 5_000.0),
            HistoryPoint { stepped_s: Some(1e300), ..point(15.0, 1_000.0) },
            HistoryPoint::default(),
            point(-4.0, 900.0),
        ]);
        assert_eq!(nonsense.spots.len(), 3);
        assert!(nonsense.spots.windows(2).all(|two| two[0].time.1 <= two[1].time.0), "{nonsense:?}");
        assert_eq!(course(Vec::new()).period(), None);
        let many = course((0..5_000).map(|at| point(f64::from(5_000 - at), f64::from(at))).collect());
        assert_eq!(many.spots.len(), MOST);
    }
}
