//! Lines of the log that only a search for a fault needs (`chimerctl log debug`): each query and each order. They contain no
//! keys and no cookies.

use engine_core::io::Output;
use ipc::message::exchange::KeyServer;
use ipc::units::Frequency;

/// The line of what the engine wants done; none: there is one in any case, or nothing to say.
pub fn line(output: &Output) -> Option<String> {
    Some(match output {
        Output::Query(query) => format!("query {} to {}", query.id.0, query.destination.socket_address()),
        Output::Cancel(id) => format!("query {} is waited for no longer", id.0),
        Output::Resolve(resolve) => format!("look-up {} of {}", resolve.id.0, resolve.name.as_str()),
        Output::Exchange(exchange) => {
            let server = match &exchange.server {
                KeyServer::Name(name) => name.as_str().to_owned(),
                KeyServer::Address(address) => address.socket_address().ip().to_string(),
            };
            format!("key exchange {} with {server}, port {}", exchange.id.0, exchange.port)
        }
        Output::Adjust(adjust) => format!(
            "order: frequency {:+.4} ppm, slew {:+.3} µs, time constant 2^{} s",
            f64::from(adjust.frequency.scaled()) / f64::from(Frequency::PER_PPM),
            adjust.slew.nanos() as f64 / 1e3,
            adjust.time_constant.exponent()
        ),
        Output::Step(step) => format!("order: step by {:+.9} s", step.delta.nanos() as f64 / 1e9),
        Output::SetStatus(status) => format!(
            "order: {}, maximum error {:.6} s",
            if status.synchronised { "synchronised" } else { "unsynchronised" },
            status.maxerror.nanos() as f64 / 1e9
        ),
        Output::SetTai(tai) => format!("order: TAI − UTC {} s", tai.seconds),
        Output::Measure(round) => {
            format!("round {} of Roughtime with {} servers", round.id.0, round.servers.len())
        }
        Output::Serve(_)
        | Output::ServeReferenceIds(_)
        | Output::Malfeasance(_)
        | Output::Anchor(_)
        | Output::Page(_)
        | Output::Save(_)
        | Output::SaveAssociations
        | Output::Log(_)
        | Output::Distrust(..) => {
            return None;
        }
    })
}
