//! The command line: few options, parsed here, so that no parser library is linked into a program that hears the network.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

/// What `--help` prints.
pub const HELP: &str = "\
truechimer-metrics shows the state of truechimerd to monitoring systems.

Usage: truechimer-metrics [options]

  --listen ADDRESS      answer GET /metrics at this address (127.0.0.1:9975)
  --listen inherited    the same at the socket that is standard input (StandardInput=socket of a unit)
  --once                print the page once, in the text format of Prometheus, and end
  --socket PATH         the daemon's control socket (/run/truechimer/control.sock)
  --version, --help";

/// Where requests are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At this address.
    Address(SocketAddr),
    /// At the socket that is standard input.
    Inherited,
}

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Answer requests.
    Serve {
        /// Where.
        place: Place,
        /// The daemon's control socket.
        socket: PathBuf,
    },
    /// Print the page.
    Once {
        /// The daemon's control socket.
        socket: PathBuf,
    },
    /// Print the help.
    Help,
    /// Print the version.
    Version,
}

/// Reads the words behind the program's name.
///
/// # Errors
/// A message for the administrator.
pub fn parse(words: impl Iterator<Item = OsString>) -> Result<Asked, String> {
    let mut words = words;
    let mut socket = PathBuf::from("/run/truechimer/control.sock");
    let (mut place, mut is_once) = (None, false);
    while let Some(word) = words.next() {
        let name = word.to_string_lossy().into_owned();
        let mut value = |what: &str| words.next().ok_or_else(|| format!("{name} needs {what} behind it"));
        match name.as_str() {
            "--listen" => place = Some(parse_place(&value("an address")?.to_string_lossy())?),
            "--socket" => socket = value("a path")?.into(),
            "--once" => is_once = true,
            "--version" | "-V" => return Ok(Asked::Version),
            "--help" | "-h" => return Ok(Asked::Help),
            _ => return Err(format!("{name}: not an option; truechimer-metrics --help lists them")),
        }
    }
    match (is_once, place) {
        (true, Some(_)) => Err("--once prints and does not listen; leave out --listen".to_owned()),
        (true, None) => Ok(Asked::Once { socket }),
        (false, place) => {
            Ok(Asked::Serve { place: place.unwrap_or(Place::Address(([127, 0, 0, 1], 9975).into())), socket })
        }
    }
}

fn parse_place(text: &str) -> Result<Place, String> {
    match text {
        "inherited" => Ok(Place::Inherited),
        _ => text.parse().map(Place::Address).map_err(|_| {
            format!("--listen {text}: an address with its port is expected, as 127.0.0.1:9975 or [::1]:9975, or inherited")
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(words: &str) -> Result<Asked, String> {
        parse(words.split_whitespace().map(OsString::from))
    }

    #[test]
    fn without_options_it_answers_on_this_host_alone() {
        let socket = PathBuf::from("/run/truechimer/control.sock");
        let place = Place::Address("127.0.0.1:9975".parse().unwrap());
        assert_eq!(asked(""), Ok(Asked::Serve { place, socket: socket.clone() }));
        assert_eq!(asked("--once"), Ok(Asked::Once { socket }));
    }

    #[test]
    fn options_are_taken() {
        let place = Place::Address("[::1]:1".parse().unwrap());
        assert_eq!(asked("--listen [::1]:1 --socket /a"), Ok(Asked::Serve { place, socket: "/a".into() }));
        let inherited = Asked::Serve { place: Place::Inherited, socket: "/a".into() };
        assert_eq!(asked("--socket /a --listen inherited"), Ok(inherited));
        assert_eq!(asked("--once --socket /a"), Ok(Asked::Once { socket: "/a".into() }));
        assert_eq!((asked("--help"), asked("-V")), (Ok(Asked::Help), Ok(Asked::Version)));
    }

    #[test]
    fn what_is_wrong_is_said_with_the_remedy() {
        for (words, said) in [
            ("--listen", "--listen needs an address behind it"),
            ("--listen 9975", "as 127.0.0.1:9975 or [::1]:9975"),
            ("--listen localhost:9975", "an address with its port is expected"),
            ("--once --listen 127.0.0.1:1", "leave out --listen"),
            ("--port 1", "--port: not an option; truechimer-metrics --help lists them"),
        ] {
            let error = asked(words).unwrap_err();
            assert!(error.contains(said), "{words}: {error}");
        }
    }
}
