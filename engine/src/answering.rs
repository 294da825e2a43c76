//! What is answered on the control socket, and what a request changes.

use crate::answers::{self, Besides, lasting};
use crate::control::{Answer, Verb};
use crate::documents::{self, report};
use crate::ending::Ending;
use crate::log::{Event, Log, Severity};
use crate::r#loop::Running;
use crate::reload::{self, ReloadError};
use engine_core::io::{Command, Input, Now};
use ipc::process::Process;

impl Running {
    /// Serves the control socket.
    pub fn answer(&mut self, now: Now) -> Result<(), Ending> {
        let Self {
            control,
            engine,
            begun,
            surroundings,
            elsewhere,
            links,
            in_force,
            log,
            keeping,
            stepping,
            history,
            anchors,
            writing,
            ..
        } = self;
        let mut breach = None;
        let told = self.told.take();
        control.serve(now.raw, &mut |verb| {
            Answer::Reply(match verb {
                Verb::Status => {
                    let signed = engine.signed_status(now);
                    let fault = writing.anchors.fault();
                    let unserved = links.unserved();
                    let besides = Besides {
                        elsewhere: elsewhere.as_deref(),
                        unserved: &unserved,
                        history: lasting::history(history),
                        roughtime: signed.map(|it| lasting::roughtime(it, anchors.as_ref(), fault)),
                    };
                    let mut status = engine.status(now);
                    status.system.resilience = engine.resilience(now);
                    answers::status(report(status), surroundings, besides, now.wall)
                }
                Verb::Keys => {
                    let known = surroundings.key_exchange.as_ref();
                    answers::keys(report(engine.status(now)), keeping.cookies(), known, now.wall)
                }
                Verb::Sources => {
                    answers::sources(report(engine.status(now)), |name| in_force.offered_by(name))
                }
                Verb::Measurements => {
                    let all = engine.measurements(now).into_iter().map(documents::measurements);
                    answers::measurements(all.collect())
                }
                Verb::Measured(after) => answers::measured(engine, *begun, after, now),
                Verb::Server => answers::server(surroundings),
                Verb::Clients(wanted) => {
                    let told = told.as_ref().filter(|told| told.wanted == wanted);
                    if told.is_none() && links.expects(Process::Server) {
                        breach = links.ask_for_clients(now.raw, wanted).err().or(breach.take());
                        return Answer::Later(Verb::Clients(wanted));
                    }
                    answers::clients(told, in_force.server().1)
                }
                Verb::Access(ip) => {
                    let (rules, policy) = in_force.server();
                    answers::access(ip, links.expects(Process::Server).then_some(rules), policy)
                }
                Verb::Step(false) => {
                    log.write_change(
                        now.raw,
                        Severity::NOTICE,
                        Event::StepByHand.says("a step to the time of the sources is asked for by hand"),
                    );
                    engine.handle_input(now, Input::Command(Command::Step));
                    if let Some(outcome) = engine.hand_step() {
                        return Answer::Reply(answers::stepped(outcome));
                    }
                    *stepping = true;
                    return Answer::Later(Verb::Step(true));
                }
                Verb::Step(true) => match engine.hand_step() {
                    Some(outcome) => answers::stepped(outcome),
                    None => return Answer::Later(Verb::Step(true)),
                },
                Verb::History(span) => answers::history(span, engine.history(span, now), now),
                Verb::Change(change, name) => match reload::command(engine, change, name.as_deref()) {
                    Ok(command) => {
                        engine.handle_input(now, Input::Command(command));
                        answers::done()
                    }
                    Err(why) => answers::refused(&why),
                },
                Verb::Log(level) => {
                    log.set_level(now.raw, level);
                    answers::done()
                }
                Verb::Add(text) => changed(log, now, in_force.add_source(now, &text, links, engine)),
                Verb::Remove(name) => changed(log, now, in_force.remove_source(now, &name, engine)),
                Verb::Reload(asked) => {
                    match in_force.reload(now, in_force.with_others(asked), (links, engine)) {
                        Ok(reloaded) => {
                            if let Some(sentence) = reloaded.sentence() {
                                log.write_change(
                                    now.raw,
                                    Severity::NOTICE,
                                    Event::ConfigurationReloaded.says(&sentence),
                                );
                            }
                            reloaded.tell_programs(|severity, line| {
                                log.write_limited(now.raw, severity, Event::OfferedUnused.says(line))
                            });
                            let readings = surroundings.key_exchange.map_or(0, |known| known.readings);
                            answers::reloaded(&reloaded, readings)
                        }
                        Err(ReloadError::Configuration(error)) => answers::refused(&error),
                        Err(ReloadError::Breach(found)) => {
                            breach = Some(found);
                            answers::refused(&"the daemon ends")
                        }
                    }
                }
            })
        });
        // Whoever awaited it has heard it, or is gone.
        *stepping &= engine.hand_step().is_none();
        if let Some(breach) = breach {
            return Err(breach.into());
        }
        self.carry_out(now)
    }
}

/// Reply to a change of the sources, which is logged too.
fn changed(log: &mut Log, now: Now, outcome: Result<String, String>) -> String {
    match outcome {
        Ok(sentence) => {
            log.write_change(now.raw, Severity::NOTICE, Event::SourceByHand.says(&sentence));
            answers::done()
        }
        Err(why) => answers::refused(&why),
    }
}
