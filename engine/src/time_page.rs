//! The pages of shared memory from which programs compute the time: our own, and those of ClockBound's clients.
//!
//! They are mapped before the filter is in force, and written whenever the engine has something new to say. No reader can hold
//! up a write, or see a part of it.

mod clockbound;

use clockbound::{Ratio, Segment};
use ipc_clock::{Counter, monotonic_coarse};
use policies::Inherited;
use std::os::fd::{AsFd, BorrowedFd};
use truechimer_time::{Mark, OpenError, Page, PageWriter, State, WordsWriter};

/// The pages that the launch has given.
#[derive(Debug)]
pub struct Pages {
    own: Option<PageWriter>,
    /// ClockBound's layouts 2 and 3.
    system_clock: Option<Segment<WordsWriter>>,
    counter: Option<Segment<WordsWriter>>,
    /// What a tick of the counter is.
    ratio: Ratio,
    /// ClockBound's clients may read the hypervisor's vmclock.
    marker: bool,
    /// The last marker that these were shown: one that compares takes a page without any for a broken one.
    shown: Option<u64>,
}

impl Pages {
    /// Maps them, and says which cannot be mapped: time is kept all the same. A page that an earlier run has left, and that still holds,
    /// stays until there is a better one.
    pub fn take(words: &Inherited) -> (Self, Vec<String>) {
        let mut lacking = Vec::new();
        let own = map(words, "time-page", &mut lacking, PageWriter::map);
        let [system_clock, counter] =
            ["shm0", "shm1"].map(|key| map(words, key, &mut lacking, WordsWriter::map).map(Segment::new));
        let ratio = Ratio::new(words.flag("counter"));
        let mut pages = Self { own, system_clock, counter, ratio, marker: words.flag("marker"), shown: None };
        if let Some(own) = &mut pages.own {
            let before = ipc_clock::raw().nanos();
            let (wall, after) = (ipc_clock::realtime(), ipc_clock::raw().nanos());
            let found = own.page().filter(|page| still_holds(page, before, wall, after));
            own.write(&found.map_or(Page::unknown(after, State::Unknown), left_behind));
        }
        (pages, lacking)
    }

    /// Whether ClockBound's page of the counter can be written.
    pub fn counts(&self) -> bool {
        self.counter.is_some() && self.ratio.is_used()
    }

    /// Replaces what readers read. `clockbound`: ClockBound's pages are wanted; where they are not, but were once, they say that
    /// nothing is known.
    pub fn write(&mut self, page: &Page, clockbound: bool) {
        if let Some(own) = &mut self.own {
            own.write(page);
        }
        // Where clients cannot read vmclock they are not told to, or they would have no time at all.
        self.shown = page.marker.filter(|_| self.marker).or(self.shown);
        let shown = Page { marker: self.shown, ..*page };
        let unknown = Page { marker: self.shown, ..Page::unknown(page.as_of, State::Unknown) };
        let said = if clockbound { &shown } else { &unknown };
        if let Some(segment) = self.system_clock.as_mut().filter(|it| clockbound || it.is_used()) {
            segment.write(&clockbound::by_system_clock(said, monotonic_coarse()));
        }
        if let Some(segment) = self.counter.as_mut().filter(|it| clockbound || it.is_used()) {
            let counted = Counter::read().and_then(|now| self.ratio.look(now, page.continuous_since));
            segment.write(&clockbound::by_counter(said, counted));
        }
    }
}

fn map<T>(
    words: &Inherited,
    key: &str,
    lacking: &mut Vec<String>,
    mapped: impl FnOnce(BorrowedFd<'_>) -> Result<T, OpenError>,
) -> Option<T> {
    let found = words.optional_fd(key).map_err(|error| error.to_string());
    let page =
        found.and_then(|fd| fd.map(|fd| mapped(fd.as_fd()).map_err(|error| error.to_string())).transpose());
    page.unwrap_or_else(|error| {
        lacking.push(format!(
            "the page of shared memory {key} cannot be mapped ({error}); time is kept, but programs find none there: \
             is it a security module that forbids it?"
        ));
        None
    })
}

/// Whether a page of an earlier run says something of now: CLOCK_REALTIME showed `wall` between these raw times, and the page knows what it
/// should show, so that it is of this boot and nothing has happened since.
fn still_holds(page: &Page, before: i64, wall: i64, after: i64) -> bool {
    let is_of_this_boot = page.wall.is_some() && page.as_of <= before;
    is_of_this_boot && page.agrees(before, wall, after, 0) && page.at(after).is_ok()
}

/// The page of an earlier run, as this one may let it stand: whether its sources answer, are still configured and are still believed, is
/// not known.
fn left_behind(page: Page) -> Page {
    let mark = Mark { authenticated: false, attested: false, system_clock: false, ..page.mark };
    Page { state: State::FreeRunning, mark, ..page }
}

#[cfg(test)]
mod tests {
    use super::*;
    use truechimer_time::{SEGMENTS, WallCheck};

    #[test]
    fn a_page_of_an_earlier_run_stays_while_it_holds_and_nothing_has_happened() {
        const SECOND: i64 = 1_000_000_000;
        let check = WallCheck { wall: 900 * SECOND, frequency: 0, low: -5, high: 5, rate: 1 };
        let page = Page {
            as_of: 100 * SECOND,
            earliest: 900 * SECOND,
            latest: 901 * SECOND,
            estimate: 900 * SECOND,
            frequency: 0,
            void_after: 200 * SECOND,
            continuous_since: 50 * SECOND,
            synchronised_until: 150 * SECOND,
            state: State::Synchronised,
            mark: Mark::default(),
            wall: Some(check),
            marker: None,
            rates: [1; SEGMENTS],
        };
        let holds = |page: &Page, raw: i64, wall: i64| still_holds(page, raw, wall, raw);
        assert!(holds(&page, 160 * SECOND, 960 * SECOND));
        assert!(!holds(&page, 201 * SECOND, 1_001 * SECOND), "too old");
        assert!(!holds(&page, 160 * SECOND, 961 * SECOND), "the clock was set, or the machine slept");
        assert!(!holds(&page, 60 * SECOND, 860 * SECOND), "another boot");
        assert!(!holds(&Page { wall: None, ..page }, 160 * SECOND, 960 * SECOND), "a virtual clock");
        assert!(!holds(&Page { state: State::Disrupted, ..page }, 160 * SECOND, 960 * SECOND));
    }
}
