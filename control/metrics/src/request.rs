//! The little of HTTP that a scrape needs: one request without a body, one answer, the end of the connection.

use crate::page::Format;
use std::fmt::Write as _;

/// The longest request in octets, with all its headers. Prometheus sends some 300.
pub const MAX_REQUEST: usize = 8192;

/// How an answer begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// 200
    Fine,
    /// 400
    NotUnderstood,
    /// 404
    NotThere,
    /// 405
    NotAllowed,
    /// 431
    TooLong,
}

impl Status {
    const fn line(self) -> &'static str {
        match self {
            Self::Fine => "200 OK",
            Self::NotUnderstood => "400 Bad Request",
            Self::NotThere => "404 Not Found",
            Self::NotAllowed => "405 Method Not Allowed",
            Self::TooLong => "431 Request Header Fields Too Large",
        }
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The metrics.
    Metrics(Format),
    /// The page that says where they are.
    Signpost,
}

/// A request that is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// What it asks for.
    pub wanted: Wanted,
    /// HEAD: the answer is its headers.
    pub is_head: bool,
}

/// Where the headers end, if they do. Lines may end without a carriage return.
pub fn end_of_headers(octets: &[u8]) -> Option<usize> {
    let ends = [&b"\r\n\r\n"[..], b"\n\n"];
    let found = ends.iter().filter_map(|end| octets.windows(end.len()).position(|part| part == *end));
    found.min()
}

/// Reads the headers of a request.
///
/// # Errors
/// How it is answered otherwise.
pub fn parse(headers: &[u8]) -> Result<Request, Status> {
    let text = std::str::from_utf8(headers).map_err(|_| Status::NotUnderstood)?;
    let mut lines = text.split('\n').map(|line| line.trim_end_matches('\r'));
    let words: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    let [method, target, version] = words[..] else { return Err(Status::NotUnderstood) };
    if !version.starts_with("HTTP/1.") || !target.starts_with('/') {
        return Err(Status::NotUnderstood);
    }
    let is_head = match method {
        "GET" => false,
        "HEAD" => true,
        _ => return Err(Status::NotAllowed),
    };
    let wanted = match target.split('?').next().unwrap_or_default() {
        "/metrics" => Wanted::Metrics(choose(lines)),
        "/" => Wanted::Signpost,
        _ => return Err(Status::NotThere),
    };
    Ok(Request { wanted, is_head })
}

/// The format that these headers prefer: OpenMetrics only for those who name it and like nothing else better.
fn choose<'h>(headers: impl Iterator<Item = &'h str>) -> Format {
    let accepted = headers.filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("accept").then_some(value)
    });
    let (mut open, mut text) = (0.0, 0.0);
    for range in accepted.flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let parameters: Vec<(&str, &str)> = parts.filter_map(|part| part.split_once('=')).collect();
        let of = |wanted: &str| {
            parameters
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
                .map(|(_, value)| value.trim())
        };
        let quality = of("q").map_or(1.0, |q| q.parse().unwrap_or(0.0));
        match name.as_str() {
            "application/openmetrics-text" if matches!(of("version"), None | Some("1.0.0" | "0.0.1")) => {
                open = f64::max(open, quality);
            }
            "text/plain" | "text/*" | "*/*" => text = f64::max(text, quality),
            _ => {}
        }
    }
    if open > 0.0 && open >= text { Format::OpenMetrics } else { Format::Text }
}

/// The page that says where the metrics are.
const SIGNPOST: &str = "truechimer: the metrics are at /metrics\n";

/// An answer, whose body is made only where it is sent.
pub fn answer(request: Result<Request, Status>, metrics: impl FnOnce(Format) -> String) -> String {
    let plain = "text/plain; charset=utf-8";
    let (status, kind, body) = match request {
        Ok(Request { wanted: Wanted::Metrics(format), .. }) => {
            (Status::Fine, format.content_type(), metrics(format))
        }
        Ok(Request { wanted: Wanted::Signpost, .. }) => (Status::Fine, plain, SIGNPOST.to_owned()),
        Err(status) => (status, plain, format!("{}\n", status.line())),
    };
    let mut text = format!("HTTP/1.1 {}\r\nContent-Type: {kind}\r\n", status.line());
    let _ = write!(text, "Content-Length: {}\r\n", body.len());
    if status == Status::NotAllowed {
        text.push_str("Allow: GET, HEAD\r\n");
    }
    text.push_str("Cache-Control: no-store\r\nConnection: close\r\n\r\n");
    if !request.is_ok_and(|request| request.is_head) {
        text.push_str(&body);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(format: Format) -> Result<Request, Status> {
        Ok(Request { wanted: Wanted::Metrics(format), is_head: false })
    }

    #[test]
    fn a_scrape_is_understood() {
        for request in [
            "GET /metrics HTTP/1.1",
            "GET /metrics?x=1 HTTP/1.0\r\nHost: a\r\nAccept: */*",
            "GET /metrics HTTP/1.1\nhost: b",
        ] {
            assert_eq!(parse(request.as_bytes()), metrics(Format::Text), "{request}");
        }
        let head = Request { wanted: Wanted::Signpost, is_head: true };
        assert_eq!(parse(b"HEAD / HTTP/1.1"), Ok(head));
    }

    #[test]
    fn what_is_no_scrape_has_its_status() {
        for (request, status) in [
            ("", Status::NotUnderstood),
            ("GET", Status::NotUnderstood),
            ("GET /metrics", Status::NotUnderstood),
            ("GET /metrics HTTP/2", Status::NotUnderstood),
            ("GET  /metrics HTTP/1.1", Status::NotUnderstood),
            ("GET http://host/metrics HTTP/1.1", Status::NotUnderstood),
            ("GET /metrics HTTP/1.1 x", Status::NotUnderstood),
            ("POST /metrics HTTP/1.1", Status::NotAllowed),
            ("get /metrics HTTP/1.1", Status::NotAllowed),
            ("GET /metrics/ HTTP/1.1", Status::NotThere),
            ("GET /../etc/passwd HTTP/1.1", Status::NotThere),
        ] {
            assert_eq!(parse(request.as_bytes()), Err(status), "{request}");
        }
        assert_eq!(parse(b"GET /\xff HTTP/1.1"), Err(Status::NotUnderstood));
    }

    #[test]
    fn the_format_is_the_one_that_is_preferred() {
        let with = |accept: &str| parse(format!("GET /metrics HTTP/1.1\r\nACCEPT: {accept}").as_bytes());
        for accept in [
            "application/openmetrics-text",
            "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,\
             text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            "text/plain, Application/OpenMetrics-Text; version=1.0.0",
        ] {
            assert_eq!(with(accept), metrics(Format::OpenMetrics), "{accept}");
        }
        for accept in [
            "",
            "*/*",
            "text/plain;version=0.0.4",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;q=0.1, text/plain",
            "application/openmetrics-text;version=2.0.0",
            "application/openmetrics-text;q=x",
            ";;;=,,,",
        ] {
            assert_eq!(with(accept), metrics(Format::Text), "{accept}");
        }
    }

    #[test]
    fn headers_end_at_an_empty_line() {
        assert_eq!(end_of_headers(b"GET / HTTP/1.1\r\nA: b\r\n\r\nbody"), Some(20));
        assert_eq!(end_of_headers(b"GET / HTTP/1.1\n\n"), Some(14));
        assert_eq!(end_of_headers(b"GET / HTTP/1.1\r\nA: b\r\n"), None);
    }

    #[test]
    fn an_answer_has_the_length_of_its_body_and_a_head_has_no_body() {
        let body = |format: Format| format!("{format:?}\n");
        let text = answer(metrics(Format::Text), body);
        assert!(
            text.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n")
        );
        assert!(
            text.ends_with("Content-Length: 5\r\nCache-Control: no-store\r\nConnection: close\r\n\r\nText\n"),
            "{text}"
        );
        let head = Request { wanted: Wanted::Metrics(Format::OpenMetrics), is_head: true };
        let text = answer(Ok(head), body);
        assert!(
            text.contains("Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"),
            "{text}"
        );
        assert!(text.contains("Content-Length: 12\r\n") && text.ends_with("\r\n\r\n"), "{text}");
        assert!(answer(Err(Status::NotAllowed), body).contains("405 Method Not Allowed\r\n"));
    }
}
