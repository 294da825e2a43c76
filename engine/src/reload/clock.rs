//! What of `[clock]` is in force at once.

use super::InForce;
use engine_core::io::Now;
use engine_core::recording::Recorder;
use engine_core::settings::{ClockSettings, Settings};
use ipc::message::launch::LaunchPlan;

impl InForce {
    /// Puts in force what the engine alone decides by, and names the keys that have another value now, and those that wait: what
    /// demands more of the sources does so where some of the file's `waits`.
    pub(super) fn take_up_clock(
        &mut self,
        engine: &mut Recorder,
        now: Now,
        (settings, plan): (&Settings, &LaunchPlan),
        waits: bool,
    ) -> (Vec<&'static str>, Vec<&'static str>) {
        let old = self.settings.clock;
        let mut new = ClockSettings { attested: old.attested, ..settings.clock };
        let mut held = Vec::new();
        if waits && new.require_nts && !old.require_nts {
            new.require_nts = false;
            held.push("require-nts");
        }
        if waits && new.minimum_sources > old.minimum_sources {
            new.minimum_sources = old.minimum_sources;
            held.push("minimum-sources");
        }
        if plan.run_step != self.plan.run_step {
            // The governor was told at the start whether there may be such steps.
            new.run_step_threshold = old.run_step_threshold;
        }
        let ClockSettings {
            minimum_sources,
            start_step_threshold,
            run_step_threshold,
            max_slew_ppm,
            max_distance,
            max_jitter,
            require_nts,
            clockbound,
            max_error,
            // Of the profile, which takes a restart.
            attested: _,
        } = new;
        let keys = [
            ("minimum-sources", minimum_sources != old.minimum_sources),
            ("start-step-threshold", start_step_threshold != old.start_step_threshold),
            ("run-step-threshold", run_step_threshold != old.run_step_threshold),
            ("max-slew-ppm", max_slew_ppm != old.max_slew_ppm),
            ("max-distance", max_distance != old.max_distance),
            ("max-jitter", max_jitter != old.max_jitter),
            ("require-nts", require_nts != old.require_nts),
            ("clockbound", clockbound != old.clockbound),
            ("max-error", max_error != old.max_error),
        ];
        let changed: Vec<&'static str> = keys.into_iter().filter(|(_, is)| *is).map(|(key, _)| key).collect();
        if !changed.is_empty() {
            engine.change_clock(now, &new);
            self.settings.clock = new;
        }
        (changed, held)
    }
}
