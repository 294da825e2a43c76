//! A program that computes the time from the engine's page.

use engine_core::io::Now;
use truechimer_time::Page;

/// It, with the page that was written last.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reader(Option<Page>);

impl Reader {
    /// Another page was written.
    pub(crate) fn take(&mut self, page: Page) {
        self.0 = Some(page);
    }

    /// What it computes now: bounds of the clock's offset, seconds; none: it is told that nothing is known.
    pub(crate) fn bounds(&self, now: Now) -> Option<(f64, f64)> {
        let (page, raw, wall) = (self.0?, now.raw.nanos(), now.wall.nanos());
        let interval = page.at(raw).ok().filter(|_| page.agrees(raw, wall, raw, 0))?;
        let beside = |bound: i64| (i128::from(bound) - i128::from(wall)) as f64 * 1e-9;
        Some((beside(interval.earliest), beside(interval.latest)))
    }
}
