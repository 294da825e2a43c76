//! Roughtime servers, asked as the exchange process asks them.

use super::*;
use crate::settings::{RoughtimeSettings, Signer};
use ipc::message::exchange::{
    Heard, HeardOf, KeyServer, Measure, Measured, PASSES, Response, RoundServer, Signed,
};
use roughtime::double::{Answer, Server as Double};
use roughtime::{Version, next_nonce, rand};

/// A Roughtime server.
pub struct SigningServer {
    double: Double,
    pub up: bool,
    /// How far its time is ahead, seconds.
    pub error: i64,
    /// Seconds on both sides of what it signs.
    pub radius: u32,
}

/// What one exchange takes, nanoseconds.
const TAKES: i64 = 20_000_000;

/// So many honest ones.
pub fn signers(count: u8) -> Vec<SigningServer> {
    (0..count).map(|n| SigningServer { double: Double::new(n + 1), up: true, error: 0, radius: 3 }).collect()
}

impl Setup {
    /// With these Roughtime servers, asked each hour.
    pub fn signed_by(mut self, signers: Vec<SigningServer>) -> Self {
        let signer = |(n, signer): (usize, &SigningServer)| Signer {
            name: std::format!("signer{n}"),
            server: RoundServer {
                public_key: signer.double.public_key(),
                version: 1,
                host: KeyServer::Address(address(&std::format!("192.0.2.{}:5319", 100 + n))),
                port: 5319,
            },
        };
        let servers = signers.iter().enumerate().map(signer).collect();
        self.settings.roughtime =
            Some(RoughtimeSettings { servers, interval: Span::from_secs(3_600), anchor: true });
        self.signers = signers;
        self
    }
}

impl World {
    /// Makes a round, all answers of which come at its end.
    pub fn measure(&mut self, measure: Measure) {
        self.rounds.push((self.time, measure));
        let (mut time, mut nonce, mut own, mut used) = (self.time + LINK, measure.first_nonce, [0; 32], 0);
        let mut facts = Vec::new();
        let mut heard = std::vec![Heard::Nothing; measure.servers.len()];
        for _ in 0..PASSES {
            for (server, asked) in (0u8..).zip(measure.servers.iter()) {
                let signer =
                    self.signers.iter().find(|it| it.double.public_key() == asked.public_key).unwrap();
                if !signer.up {
                    continue;
                }
                let midpoint = ((time + TAKES / 2) / SECOND + signer.error) as u64;
                let answer = Answer::of(roughtime::Signed { midpoint, radius: signer.radius }, Version::One);
                let octets = signer.double.answer(&nonce, &answer);
                let (sent, received) = (self.raw_at(time), self.raw_at(time + TAKES));
                let response = Response::from_octets(&octets).unwrap();
                facts.push(Input::Signed(Signed {
                    id: measure.id,
                    server,
                    rand: own,
                    sent,
                    received,
                    response,
                }));
                heard[usize::from(server)] = Heard::Answer;
                own = rand(&measure.seed, used);
                nonce = next_nonce(&octets, &own);
                (time, used) = (time + TAKES, used + 1);
            }
        }
        let answers = facts.len() as u8;
        let heard = HeardOf::new(heard).unwrap();
        facts.push(Input::Measured(Measured { id: measure.id, answers, heard }));
        facts.into_iter().for_each(|fact| self.plan(time + LINK, Happening::Fact(fact)));
    }
}
