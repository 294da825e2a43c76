//! Replies: how they are judged, and what the source learns from them.

use super::Engine;
use crate::entries::Group;
use crate::exchanges::{Exchange, Readings};
use crate::filter::Outcome;
use crate::io::Now;
use crate::local_clock::from_scaled;
use crate::notice::{Notice, SourceNotice};
pub(super) use crate::sanity::Beyond;
use crate::sanity::{Expectations, unix_nanos};
use crate::source::Answer;
use crate::status::LastReply;
use crate::version5::Speech;
use ipc::message::client::{PlainReply, ReplyHeader, Stamp, Unanswered};
use ipc::process::Process;
use ipc::symmetric_key::SymmetricKey;
use protocol::ntpv5::UPGRADE;
use report::RejectReason;

impl Engine {
    pub(super) fn reply(&mut self, now: Now, reply: &PlainReply) {
        let exchange = match self.exchanges.end(reply.id) {
            Ok(Some(exchange)) => exchange,
            Ok(None) => return,
            Err(breach) => return self.distrust(Process::Client, breach),
        };
        if let Err(breach) = exchange.judged(false) {
            return self.distrust(Process::Client, breach);
        }
        let readings = match exchange.readings(reply.source, reply.t4, reply.stamp, now) {
            Ok(readings) => readings,
            Err(breach) => return self.distrust(Process::Client, breach),
        };
        if let Some((_, _, source)) = self.entries.source_mut(exchange.source) {
            source.counters.add_rejected(&reply.rejected);
        }
        let mut header = reply.header;
        if exchange.speech == Speech::Offer && header.reference_timestamp == UPGRADE {
            // A sign, and no date.
            header.reference_timestamp = 0;
        }
        self.learn_from(now, (&exchange, reply.stamp), readings, &header, None);
        self.note_version4(&exchange, &reply.header);
    }

    /// A reply in version 4 came.
    fn note_version4(&mut self, exchange: &Exchange, header: &ReplyHeader) {
        if let Some((_, _, source)) = self.entries.source_mut(exchange.source) {
            let sign = header.reference_timestamp == UPGRADE;
            let upstream = (1..16).contains(&header.stratum).then_some((header.stratum, header.reference_id));
            source.version5.heard_version4(exchange.speech, sign, upstream);
        }
    }

    /// Learns from the reply to a query.
    pub(super) fn learn_from(
        &mut self,
        now: Now,
        (exchange, came): (&Exchange, Stamp),
        readings: Readings,
        header: &ReplyHeader,
        beyond: Option<Beyond>,
    ) {
        let prior = self.prior_frequency(now);
        let need = self.need();
        let group = exchange.group;
        let decides = group == Group::Deciding;
        let Some(basis) = &self.basis else { return };
        let clock = basis.clock.frequency() + basis.clock.natural(now.raw, now.wall).0;
        let Some((settings, _, source)) = self.entries.source_mut(exchange.source) else { return };
        let times = match readings {
            Readings::Inside(times) => times,
            Readings::Useless => {
                let reason = match exchange.cut {
                    true => RejectReason::Discontinuity,
                    false => RejectReason::Readings,
                };
                source.discard(reason, &source.came(header, None, now));
                source.history.count(&mut self.counted, 0.0);
                return;
            }
        };
        let interleaved = exchange.interleaved(header.origin_timestamp);
        let expected = Expectations {
            nonce: exchange.origin(header.origin_timestamp),
            precision: self.precision,
            floor: basis.welcome.floor.nanos(),
            latest: basis.welcome.latest.nanos(),
            max_delay: settings.max_delay.nanos() as f64 * 1e-9,
            correction: settings.correction.nanos(),
            max_stratum: settings.max_stratum,
            own_ids: &self.own_ids,
            served: self.system.served,
            slack: self.latency.slack(),
            beyond,
        };
        let leap = self.system.leap;
        let heard_before = source.is_heard();
        let was_silent = source.poll_process.reach == 0 || source.poll_process.is_silent();
        let kiss_before = source.kiss;
        let unused_before = source.unused;
        let chosen_before = source.arrivals.chosen().is_some();
        let answer =
            source.answer(header, (times, interleaved), &expected, |time| leap.is_close(time), prior, now);
        if let (Answer::Sample(_) | Answer::Known | Answer::Unusable(_), Some(journey)) =
            (answer, exchange.journey(came))
        {
            let reply = LastReply::new(header, &journey, expected.floor);
            let t3 = unix_nanos(header.transmit_timestamp, expected.floor);
            source.last_reply = Some(reply.of_mode(interleaved.map(|asked| asked.times(t3))));
        }
        source.history.count(&mut self.counted, clock);
        let address = source.address().socket_address();
        let name = settings.name.clone();
        let chosen = source.arrivals.chosen();
        let mut doubts = false;
        match answer {
            Answer::Silent(_) => return,
            Answer::Known => {}
            Answer::Unusable(reason) => {
                if unused_before != Some(reason) {
                    self.tell(Notice::Source(name, address, SourceNotice::Unused(reason)));
                }
            }
            Answer::Kiss(code) => {
                if kiss_before != Some(code) {
                    self.tell(Notice::Source(name, address, SourceNotice::Kissed(code)));
                }
            }
            Answer::Sample(outcome) => {
                if decides {
                    self.latency.learn(&times);
                    self.system.heard.first.get_or_insert(now.raw);
                }
                doubts = outcome == Outcome::Doubtful;
                if !heard_before {
                    self.tell(Notice::Source(name.clone(), address, SourceNotice::Heard));
                } else if unused_before.is_some() {
                    self.tell(Notice::Source(name.clone(), address, SourceNotice::UsableAgain));
                }
                if outcome == Outcome::Restarted {
                    self.tell(Notice::Source(name.clone(), address, SourceNotice::Restarted));
                }
                match chosen {
                    Some(chosen) if !chosen_before => {
                        self.tell(Notice::Source(name, address, SourceNotice::Chosen(chosen)));
                    }
                    None if chosen_before => {
                        self.tell(Notice::Source(name, address, SourceNotice::ChosenNoMore));
                    }
                    Some(_) | None => {}
                }
            }
        }
        if !decides {
            return;
        }
        if let Answer::Sample(_) = answer {
            self.note_heard(exchange.source, now.raw);
        }
        self.blocked.clear(address.into());
        self.system.dirty = true;
        if doubts {
            self.ask_about_standstill(now);
        }
        if was_silent {
            self.find_network(need, now.raw);
        }
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
        let need = self.need_of(exchange.group);
        let Some((settings, _, source)) = self.entries.source_mut(exchange.source) else { return };
        source.counters.add_rejected(&unanswered.rejected);
        // A firewall may tell of a packet that it does not know, too.
        if !unanswered.reason.is_local() {
            source.version5.missed(exchange.speech);
            source.interleaving.missed(exchange.asks_interleaved());
        }
        source.unanswered(unanswered.reason, need, now.raw, self.nonces.of(exchange.group));
        if exchange.group == Group::Deciding {
            self.blocked.note(source.address(), unanswered.reason, now.raw);
        }
        let survives = source.track.standing == Some(crate::select::Standing::Survivor);
        self.system.dirty |= source.poll_process.reach == 0 && survives;
        // While none was ever heard, one line for all of them is enough.
        if self.system.heard.first.is_some() && source.begins_silence() {
            let (name, address) = (settings.name.clone(), source.address().socket_address());
            let (obstacle, key) = (source.obstacle, settings.key.as_ref().map(SymmetricKey::number));
            let news = match source.is_heard() {
                true => SourceNotice::Silent(obstacle.unwrap_or(unanswered.reason), key),
                false => SourceNotice::NeverHeard { obstacle, cause: source.likely_cause(), key },
            };
            self.tell(Notice::Source(name, address, news));
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
