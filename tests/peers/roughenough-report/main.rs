//! `roughenough-report FILE`: judges a report of malfeasance (RFC 10049 section 8.4.1) by roughenough's library, in the order in which its
//! reporting server does, which no registry has: its form, each answer by the key beside it, each nonce but the first one by the answer before,
//! and that two of them contradict each other. It writes a line for each such pair, the places of the two from 0, and ends with 1 at
//! what is wrong.

use data_encoding::BASE64;
use roughenough_client::measurement::Measurement;
use roughenough_client::{MalfeasanceReport, ReportEntry, ResponseValidator};
use roughenough_common::crypto::calculate_chained_nonce;
use roughenough_protocol::cursor::ParseCursor;
use roughenough_protocol::request::Request;
use roughenough_protocol::response::Response;
use roughenough_protocol::tags::PublicKey;
use roughenough_protocol::wire::FromFrame;
use std::fmt::Display;
use std::process::ExitCode;

fn octets(text: &str) -> Result<Vec<u8>, String> {
    BASE64.decode(text.as_bytes()).map_err(|error| error.to_string())
}

fn shown(error: impl Display) -> String {
    error.to_string()
}

/// A valid answer, whose nonce is made of the one before.
fn measurement(entry: &ReportEntry, before: Option<&Measurement>) -> Result<Measurement, String> {
    let (request, response) = (octets(entry.request())?, octets(entry.response())?);
    let key: [u8; 32] = octets(entry.public_key())?.try_into().map_err(|_| "the key has not 32 octets")?;
    let rand = entry.rand().map(octets).transpose()?;
    let rand: Option<[u8; 32]> =
        rand.map(|rand| rand.try_into().map_err(|_| "rand has not 32 octets")).transpose()?;
    let mut copy = request.clone();
    let asked = Request::from_frame(&mut ParseCursor::new(&mut copy)).map_err(shown)?;
    let mut copy = response.clone();
    let answered = Response::from_frame(&mut ParseCursor::new(&mut copy)).map_err(shown)?;
    let key = PublicKey::from(key);
    ResponseValidator::new_with_key(key).validate(&request, &response, &answered).map_err(shown)?;
    if let Some(before) = before {
        let rand = rand.ok_or("rand is missing")?;
        let expected = calculate_chained_nonce(before.response_bytes(), &rand);
        if *asked.nonc() != expected {
            return Err("the nonce is not made of the answer before".to_owned());
        }
    }
    Measurement::builder()
        .server("192.0.2.1:2002".parse().map_err(shown)?)
        .hostname("as its key says".to_owned())
        .public_key(Some(key))
        .request(asked)
        .response(answered)
        .response_bytes(response)
        .rand_value(rand)
        .build()
        .map_err(shown)
}

fn judge(path: &str) -> Result<(), String> {
    let file = std::fs::read(path).map_err(shown)?;
    let report: MalfeasanceReport = serde_json::from_slice(&file).map_err(shown)?;
    let mut chain: Vec<Measurement> = Vec::new();
    for (place, entry) in report.responses().iter().enumerate() {
        let next = measurement(entry, chain.last()).map_err(|error| format!("answer {place}: {error}"))?;
        chain.push(next);
    }
    let violations = ResponseValidator::validate_causality(&chain);
    for violation in &violations {
        println!("{} {}", violation.index_i(), violation.index_j());
    }
    if violations.is_empty() { Err("no two answers contradict each other".to_owned()) } else { Ok(()) }
}

fn main() -> ExitCode {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("roughenough-report FILE");
        return ExitCode::from(2);
    };
    match judge(&path) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
