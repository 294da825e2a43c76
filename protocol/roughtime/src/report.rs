//! The proof that a server of a round signed a wrong time (RFC 10049 section 8.4): a JSON document of the whole chain up to the
//! answer that contradicts, which anybody can verify. Media type application/roughtime-malfeasance+json.

use crate::chain::nonces;
use crate::request::{Nonce, request};
use crate::version::Version;
use alloc::string::String;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ipc::anchor::Exchange;

/// The document of these exchanges, in the order of the round whose first nonce this is. None is sent of answers that are merely not
/// valid (section 8.4): exchanges of versions that are not known have no request, and are an error of the caller.
pub fn report(first: &Nonce, exchanges: &[Exchange]) -> String {
    let mut text = String::from("{\"responses\":[");
    for (at, (exchange, nonce)) in exchanges.iter().zip(nonces(first, exchanges)).enumerate() {
        let request =
            Version::of(exchange.version).map(|version| request(&nonce, &exchange.public_key, version));
        let request = request.as_ref().map_or(&[][..], |request| request);
        text.push_str(if at == 0 { "{" } else { ",{" });
        // The first nonce was made of no answer.
        if at > 0 {
            member(&mut text, "rand", &exchange.rand);
            text.push(',');
        }
        member(&mut text, "publicKey", &exchange.public_key);
        text.push(',');
        member(&mut text, "request", request);
        text.push(',');
        member(&mut text, "response", &exchange.response);
        text.push('}');
    }
    text.push_str("]}\n");
    text
}

fn member(text: &mut String, name: &str, octets: &[u8]) {
    text.push('"');
    text.push_str(name);
    text.push_str("\":\"");
    STANDARD.encode_string(octets, text);
    text.push('"');
}
