//! Days as lines, for people.

use super::daemons::Daemon;
use super::outcome::{Outcome, Process};
use simulation::figures::{Figures, median};
use std::fmt::Write;

/// What the columns are.
pub const HEAD: &str = "\
                              whole day    settled   least to most      worst   mean    freq   base  first  pkts   wall
day             of                   µs         µs              µs         µs     µs     ppb    ppb      s            s";

/// One day, as several seeds gave it.
#[derive(Clone, Debug)]
pub struct Row<'a> {
    /// The day's name.
    pub day: &'a str,
    /// Of both daemons.
    pub outcomes: &'a [Outcome],
    /// The same days of the engine in the pure simulation.
    pub pure: &'a [Figures],
}

impl Row<'_> {
    /// A line for each daemon, one for the simulation, and one for each daemon that ended early; medians over seeds.
    pub fn lines(&self) -> String {
        let mut text = String::new();
        for daemon in Daemon::ALL.map(|daemon| daemon.to_string()) {
            let of: Vec<&Outcome> = self.outcomes.iter().filter(|outcome| outcome.daemon == daemon).collect();
            if of.is_empty() {
                continue;
            }
            let middle =
                |value: &dyn Fn(&Outcome) -> f64| median(of.iter().map(|outcome| value(outcome)).collect());
            let all = || of.iter().map(|outcome| outcome.settled.time_rms_us);
            let (least, most) =
                all().fold((f64::INFINITY, 0.0), |(least, most), rms| (rms.min(least), rms.max(most)));
            let _ = writeln!(
                text,
                "{:<15} {:<12} {:>10.1} {:>10.1} {:>7.1} {:>7.1} {:>10.1} {:>6.1} {:>7.1} {:>6.1} {:>6.1} {:>5.0} {:>6.1}",
                self.day,
                daemon,
                middle(&|o| o.whole.time_rms_us),
                middle(&|o| o.settled.time_rms_us),
                least,
                most,
                middle(&|o| o.settled.worst_us),
                middle(&|o| o.settled.mean_us),
                middle(&|o| o.settled.rate_rms_ppb),
                middle(&|o| o.settled.base_rms_ppb),
                middle(&|o| o.first_s.unwrap_or(9_999.9)),
                middle(&|o| o.packets.iter().sum::<u64>() as f64),
                middle(&|o| o.wall_s),
            );
            for outcome in of {
                let open = |process: &&Process| !process.filtered || !process.no_new_privs;
                if daemon == Daemon::Truechimer.to_string()
                    && let Some(process) = outcome.processes.iter().find(open)
                {
                    let _ = writeln!(text, "    seed {}: {} was not confined", outcome.seed, process.name);
                }
                if let Some(how) = &outcome.ended {
                    let _ = writeln!(text, "    {daemon}, seed {}, ended early: {how}", outcome.seed);
                }
            }
        }
        if !self.pure.is_empty() {
            let middle = |value: &dyn Fn(&Figures) -> f64| median(self.pure.iter().map(value).collect());
            let all = || self.pure.iter().map(|figures| figures.time_rms_us);
            let (least, most) =
                all().fold((f64::INFINITY, 0.0), |(least, most), rms| (rms.min(least), rms.max(most)));
            let _ = writeln!(
                text,
                "{:<15} {:<12} {:>10} {:>10.1} {:>7.1} {:>7.1} {:>10.1} {:>6} {:>7.1} {:>6} {:>6.1} {:>5.0}",
                self.day,
                "(simulate)",
                "",
                middle(&|f| f.time_rms_us),
                least,
                most,
                middle(&|f| f.worst_us),
                "",
                middle(&|f| f.freq_rms_ppm) * 1e3,
                "",
                middle(&|f| f.first_s).min(9_999.9),
                middle(&|f| f.packets),
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::days::outcome::tests::outcome;

    #[test]
    fn a_day_is_a_line_for_each_daemon_with_medians_over_the_seeds() {
        let outcomes = [
            outcome("lan_calm", "truechimer", 3.0),
            outcome("lan_calm", "chrony", 8.0),
            outcome("lan_calm", "truechimer", 5.0),
            outcome("lan_calm", "truechimer", 50.0),
        ];
        let lines = Row { day: "lan_calm", outcomes: &outcomes, pure: &[] }.lines();
        let lines: Vec<Vec<&str>> = lines.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0][..6], ["lan_calm", "truechimer", "5.0", "5.0", "3.0", "50.0"]);
        assert_eq!(lines[1][..6], ["lan_calm", "chrony", "8.0", "8.0", "8.0", "8.0"]);
        assert_eq!(lines[0].len(), 13);
    }

    #[test]
    fn a_process_of_ours_that_was_not_confined_is_told_of_and_chronys_are_as_they_are() {
        let open = Process { name: "free".into(), uid: 0, filtered: false, no_new_privs: true };
        let [mut ours, mut theirs] = ["truechimer", "chrony"].map(|daemon| outcome("liar", daemon, 1.0));
        ours.processes = vec![open.clone()];
        theirs.processes = vec![open];
        let lines = Row { day: "liar", outcomes: &[ours, theirs], pure: &[] }.lines();
        assert_eq!(lines.matches("free was not confined").count(), 1, "{lines}");
    }

    #[test]
    fn a_daemon_that_ended_early_is_told_of() {
        let mut early = outcome("outage", "truechimer", 1.0);
        early.ended = Some("exit status: 81 after 40000 s".into());
        let lines = Row { day: "outage", outcomes: &[early], pure: &[] }.lines();
        assert!(lines.contains("truechimer, seed 1, ended early: exit status: 81 after 40000 s"), "{lines}");
    }
}
