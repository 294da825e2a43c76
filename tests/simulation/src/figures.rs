//! The results of a day.

use crate::reader::Reader;
use crate::scenario::Scenario;
use engine_core::bounds::Bounds;

/// The figures of one day.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Root mean square of the error at each full second, µs.
    pub time_rms_us: f64,
    /// The same of the engine's estimate of the time, µs.
    pub estimate_rms_us: f64,
    /// Root mean square of the frequency error, slews included, ppm.
    pub freq_rms_ppm: f64,
    /// Packets sent, all sources together.
    pub packets: f64,
    /// First second with an error below the scenario's `first`.
    pub first_s: f64,
    /// Seconds at which true time was outside [earliest, latest], but for those before the first reply after the machine had
    /// stood still.
    pub bound_violations: f64,
    /// The first such second.
    pub violated_at: f64,
    /// Median width of that interval, µs.
    pub bound_width_us: f64,
    /// Seconds at which true time was outside of the likely interval, but for those that do not count above either.
    pub unlikely: f64,
    /// Median width of that interval, µs.
    pub likely_width_us: f64,
    /// Seconds outside of what it would be if both ways of each path took equally long.
    pub not_symmetric: f64,
    /// Median width of that, µs.
    pub symmetric_width_us: f64,
    /// Median width by the rule of root distance, as chrony computes it, µs.
    pub rule_width_us: f64,
    /// Share of seconds with an error above three standard deviations, as published.
    pub beyond_three: f64,
    /// Largest error, µs.
    pub worst_us: f64,
    /// What followed each time that the machine stood still.
    pub standstills: Vec<Standstill>,
    /// Sources.
    pub sources: usize,
    /// Steps made.
    pub steps: u32,
    /// Orders refused.
    pub refusals: usize,
    /// The state of each source at the end.
    pub states: Vec<String>,
}

/// What the engine says of the clock's offset, and what follows from the page that it wrote last, seconds.
pub(crate) type Said = (Option<Bounds>, Option<(f64, f64)>);

/// What followed after the machine had stood still. Seconds; infinite if it did not come before the next time.
#[derive(Clone, Copy, Debug)]
pub struct Standstill {
    /// When it went on, from the beginning.
    pub resumed: f64,
    /// From then until a reply came to a query that was sent after it: the first that can show what happened.
    pub shown: f64,
    /// From then until the error was below 10 ms for good.
    pub within_10_ms: f64,
    /// The same for 1 ms.
    pub within_1_ms: f64,
    /// Seconds at which true time was outside [earliest, latest], before that reply and after it.
    pub outside: [u32; 2],
}

impl Standstill {
    fn second(&mut self, at: f64, error: f64, is_outside: bool) {
        let age = at - self.resumed;
        for (within, least) in [(&mut self.within_10_ms, 0.010), (&mut self.within_1_ms, 0.001)] {
            *within = if error.abs() < least { within.min(age) } else { f64::INFINITY };
        }
        self.outside[usize::from(age > self.shown)] += u32::from(is_outside);
    }
}

/// One second of a day. Seconds; `None` if nothing was published yet.
#[derive(Clone, Copy, Debug)]
pub struct Second {
    /// From the beginning.
    pub at: f64,
    /// Clock minus true time.
    pub error: f64,
    /// As published.
    pub bounds: Option<Bounds>,
}

/// The data that is collected while a day runs.
#[derive(Clone, Debug)]
pub struct Ledger {
    from: f64,
    first_below: f64,
    first: f64,
    packets: u64,
    last: Option<(f64, f64)>,
    errors: (f64, f64),
    estimates: (f64, f64),
    rates: (f64, f64),
    worst: f64,
    violations: u64,
    violated_at: f64,
    beyond: u64,
    unlikely: u64,
    not_symmetric: u64,
    widths: Vec<f64>,
    likely: Vec<f64>,
    symmetric: Vec<f64>,
    rules: Vec<f64>,
    standstills: Vec<Standstill>,
    /// A program that computes the time.
    pub(crate) reader: Reader,
    /// Each second, if a picture was requested.
    pub seconds: Option<Vec<Second>>,
}

impl Ledger {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        Self {
            from: scenario.from,
            first_below: scenario.first,
            first: f64::INFINITY,
            packets: 0,
            last: None,
            errors: (0.0, 0.0),
            estimates: (0.0, 0.0),
            rates: (0.0, 0.0),
            worst: 0.0,
            violations: 0,
            violated_at: f64::INFINITY,
            beyond: 0,
            unlikely: 0,
            not_symmetric: 0,
            widths: Vec::new(),
            likely: Vec::new(),
            symmetric: Vec::new(),
            rules: Vec::new(),
            standstills: Vec::new(),
            reader: Reader::default(),
            seconds: None,
        }
    }

    pub(crate) fn packet(&mut self) {
        self.packets += 1;
    }

    /// The next second has no predecessor.
    pub(crate) fn pause(&mut self) {
        self.last = None;
    }

    /// The machine stood still until now, seconds from the beginning.
    pub(crate) fn stood_still(&mut self, resumed: f64) {
        let open = f64::INFINITY;
        self.standstills.push(Standstill {
            resumed,
            shown: open,
            within_10_ms: open,
            within_1_ms: open,
            outside: [0; 2],
        });
    }

    /// A reply has come; seconds from the beginning. What was under way while the machine stood still is lost.
    pub(crate) fn replied(&mut self, at: f64) {
        if let Some(last) = self.standstills.last_mut() {
            last.shown = last.shown.min(at - last.resumed);
        }
    }

    /// A second right after the machine has gone on.
    pub(crate) fn resuming(&mut self, at: f64, error: f64, said: Said) {
        self.pause();
        if let Some(last) = self.standstills.last_mut() {
            last.second(at, error, is_outside(error, said));
        }
    }

    pub(crate) fn second(&mut self, at: f64, error: f64, said: Said) {
        let (bounds, _) = said;
        if let Some(seconds) = &mut self.seconds {
            seconds.push(Second { at, error, bounds });
        }
        if error.abs() < self.first_below && self.first.is_infinite() {
            self.first = at;
        }
        let is_outside = is_outside(error, said);
        let mut is_shown = true;
        if let Some(last) = self.standstills.last_mut() {
            last.second(at, error, is_outside);
            is_shown = at - last.resumed > last.shown;
        }
        if is_outside && is_shown {
            self.violations += 1;
            self.violated_at = self.violated_at.min(at);
        }
        if let Some(it) = bounds.filter(|_| is_shown) {
            self.unlikely += u64::from(!holds(error, it.likely));
            self.not_symmetric += u64::from(!holds(error, it.symmetric));
        }
        if at < self.from {
            return;
        }
        self.errors = (self.errors.0 + error * error, self.errors.1 + 1.0);
        self.worst = self.worst.max(error.abs());
        if let Some((then, before)) = self.last
            && at - then < 1.5
        {
            let rate = (error - before) / (at - then);
            self.rates = (self.rates.0 + rate * rate, self.rates.1 + 1.0);
        }
        self.last = Some((at, error));
        if let Some(bounds) = bounds {
            self.widths.push(bounds.high - bounds.low);
            self.likely.push(bounds.likely.1 - bounds.likely.0);
            self.symmetric.push(bounds.symmetric.1 - bounds.symmetric.0);
            self.rules.push(2.0 * bounds.distance);
            let wrong = error + bounds.offset;
            self.estimates = (self.estimates.0 + wrong * wrong, self.estimates.1 + 1.0);
            self.beyond += u64::from(wrong.abs() > 3.0 * bounds.deviation);
        }
    }

    pub(crate) fn close(self, sources: usize, steps: u32, refusals: usize, states: Vec<String>) -> Figures {
        let rms = |(sum, count): (f64, f64)| (sum / count.max(1.0)).sqrt() * 1e6;
        let counted = self.widths.len().max(1) as f64;
        Figures {
            time_rms_us: rms(self.errors),
            estimate_rms_us: rms(self.estimates),
            freq_rms_ppm: rms(self.rates),
            packets: self.packets as f64,
            first_s: self.first,
            bound_violations: self.violations as f64,
            violated_at: self.violated_at,
            bound_width_us: median(self.widths) * 1e6,
            unlikely: self.unlikely as f64,
            likely_width_us: median(self.likely) * 1e6,
            not_symmetric: self.not_symmetric as f64,
            symmetric_width_us: median(self.symmetric) * 1e6,
            rule_width_us: median(self.rules) * 1e6,
            beyond_three: self.beyond as f64 / counted,
            worst_us: self.worst * 1e6,
            standstills: self.standstills,
            sources,
            steps,
            refusals,
            states,
        }
    }
}

/// Whether true time is outside [earliest, latest].
fn is_outside(error: f64, (bounds, page): Said) -> bool {
    let bounds = bounds.map(|it| (it.low, it.high));
    bounds.into_iter().chain(page).any(|said| !holds(error, said))
}

/// Whether these bounds of the offset hold.
fn holds(error: f64, (low, high): (f64, f64)) -> bool {
    // Rounding costs up to a nanosecond.
    (low - 2e-9..=high + 2e-9).contains(&-error)
}

/// The median; infinite if there are none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::INFINITY)
}
