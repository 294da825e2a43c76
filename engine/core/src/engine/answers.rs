//! What becomes of a reply.

use super::Engine;
use crate::exchanges::{Exchange, Readings};
use crate::filter::Outcome;
use crate::io::Now;
use crate::local_clock::from_scaled;
use crate::measurement::Times;
use crate::sanity::{Expectations, RejectReason};
use crate::source::Answer;
use alloc::format;
use ipc::message::client::{PlainReply, ReplyHeader, Silence, Unanswered};
use ipc::process::Process;
use protocol::kiss::KissCode;

impl Engine {
    pub(super) fn reply(&mut self, now: Now, reply: &PlainReply) {
        let exchange = match self.exchanges.end(reply.id) {
            Ok(Some(exchange)) => exchange,
            Ok(None) => return,
            Err(breach) => return self.distrust(Process::Client, breach),
        };
        if exchange.is_protected() {
            return self.distrust(Process::Client, "it judged a reply that only we can judge");
        }
        let readings = match exchange.readings(reply.source, reply.t4, reply.stamp, now) {
            Ok(readings) => readings,
            Err(breach) => return self.distrust(Process::Client, breach),
        };
        if let Some((_, _, source)) = self.entries.source_mut(exchange.source) {
            source.counters.add_rejected(&reply.rejected);
        }
        self.learn_from(now, &exchange, readings, &reply.header);
    }

    /// Learns from a reply that is the one to this query, as far as anybody can tell.
    pub(super) fn learn_from(
        &mut self,
        now: Now,
        exchange: &Exchange,
        readings: Readings,
        header: &ReplyHeader,
    ) {
        let prior = self.prior_frequency(now);
        let Some(basis) = &self.basis else { return };
        let Some((settings, _, source)) = self.entries.source_mut(exchange.source) else { return };
        let times = match readings {
            Readings::Inside(times) => times,
            Readings::Useless => {
                source.counters.reject(if exchange.cut {
                    RejectReason::Discontinuity
                } else {
                    RejectReason::Readings
                });
                return;
            }
        };
        let expected = Expectations {
            nonce: exchange.nonce,
            precision: self.precision,
            floor: basis.welcome.floor.nanos(),
            latest: basis.welcome.latest.nanos(),
            max_delay: settings.max_delay.nanos() as f64 * 1e-9,
            max_stratum: settings.max_stratum,
            own_ids: &self.own_ids,
            served: self.system.served,
            slack: self.latency.slack(),
        };
        let leap = self.system.leap;
        let heard_before = source.is_heard();
        let kiss_before = source.kiss;
        let trouble_before = source.trouble;
        let answer = source.answer(
            header,
            |t2, t3| Times { t2, t3, ..times },
            &expected,
            |time| leap.is_close(time),
            prior,
            now,
        );
        let address = source.address().socket_address();
        let name = settings.name.clone();
        match answer {
            Answer::Silent(_) => return,
            Answer::Unusable(reason) => {
                if trouble_before != Some(reason) {
                    self.say(5, format!("source {name} ({address}) is not used: {}", reason.sentence()));
                }
            }
            Answer::Kiss(code) => {
                if kiss_before != Some(code) {
                    self.say(4, format!("source {name} ({address}) answers with kiss code {code}"));
                }
                if matches!(code, KissCode::Other(_) | KissCode::NtsNak) {
                    return;
                }
            }
            Answer::Sample(outcome) => {
                self.latency.learn(&times);
                if !heard_before {
                    self.system.first_heard.get_or_insert(now.raw);
                    self.say(6, format!("source {name} ({address}) is heard"));
                } else if trouble_before.is_some() {
                    self.say(5, format!("source {name} ({address}) is usable again"));
                }
                if outcome == Outcome::Restarted {
                    self.say(
                        4,
                        format!("source {name} ({address}) changed by more than noise explains; starting again with it"),
                    );
                }
            }
        }
        self.system.dirty = true;
    }

    pub(super) fn unanswered(&mut self, now: Now, unanswered: &Unanswered) {
        let exchange = match self.exchanges.end(unanswered.id) {
            Ok(Some(exchange)) => exchange,
            Ok(None) => return,
            Err(breach) => return self.distrust(Process::Client, breach),
        };
        if exchange.is_protected() {
            self.protected_silence(exchange.source, exchange.has_nak(), now);
        }
        let Some((settings, _, source)) = self.entries.source_mut(exchange.source) else { return };
        source.counters.add_rejected(&unanswered.rejected);
        if source.asking.reach == 0 && source.track.standing == Some(crate::select::Standing::Survivor) {
            self.system.dirty = true;
            let line = format!(
                "source {} ({}) has not answered eight times in a row: {}",
                settings.name,
                source.address().socket_address(),
                why(unanswered.reason)
            );
            self.say(4, line);
        }
    }

    /// What is known of the frequency before a source has been measured: mean and standard deviation, s/s.
    pub(super) fn prior_frequency(&self, now: Now) -> (f64, f64) {
        let Some(basis) = &self.basis else { return (0.0, 200e-6) };
        let (natural, variance) = basis.clock.natural(now.raw, now.wall);
        if let Some(line) = &self.system.line {
            let (frequency, deviation) = line.frequency();
            return (frequency, (2.0 * deviation).max(1e-6));
        }
        let (ordered, deviation) = match self.saved {
            Some(saved) => (from_scaled(saved.frequency), saved.frequency_error_ppm.clamp(0.1, 60.0) * 1e-6),
            None if basis.welcome.base_frequency.scaled() != 0 => {
                (from_scaled(basis.welcome.base_frequency), 5e-6)
            }
            None => (from_scaled(basis.welcome.found.frequency), 200e-6),
        };
        (ordered + natural, libm::hypot(deviation, libm::sqrt(variance)))
    }
}

fn why(silence: Silence) -> &'static str {
    match silence {
        Silence::Deadline => "no reply in time",
        Silence::PortUnreachable => "nobody listens on its port",
        Silence::Unreachable => "there is no route to it",
        Silence::Prohibited => "a firewall forbids it",
        Silence::Local => "no socket could be had here",
    }
}
