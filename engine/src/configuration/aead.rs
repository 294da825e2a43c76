//! `aead`: the algorithms of NTS that a source is offered, or that the key exchange service agrees to.

use super::document::{Faults, Section};
use super::words::{nearest, shorten};
use ipc::aead::{Aead, AeadOffer};
use protocol::nts::aead::is_available;

/// What a client offers without a word about it: the best of what this build has.
pub const USUAL_OFFER: AeadOffer = usual(AeadOffer::GCM_SIV_FIRST);

/// What a server agrees to without a word about it.
pub const USUAL_AGREEMENT: AeadOffer = usual(AeadOffer::RESISTANT);

const fn usual(offer: AeadOffer) -> AeadOffer {
    if is_available(Aead::Aes128GcmSiv) { offer } else { AeadOffer::only(Aead::Aes256Gcm) }
}

/// The list under this key, best first; `None` if the key is absent, or wrong. As a text, `"gcm-siv"` is that and, for
/// servers that do not have it, the mandatory `"siv"`; any other name is that algorithm alone.
pub fn read_aead(section: &Section<'_>, faults: &mut Faults<'_>) -> Option<AeadOffer> {
    if section.is_text("aead") {
        let (at, name) = section.text("aead", "gcm-siv", faults)?;
        return match algorithm(at, name, faults)? {
            Aead::Aes128GcmSiv => Some(AeadOffer::GCM_SIV_FIRST),
            other => Some(AeadOffer::only(other)),
        };
    }
    let names = section.texts("aead", "gcm-siv\", \"siv", faults)?;
    let known: Vec<Aead> = names.iter().filter_map(|(at, name)| algorithm(*at, name, faults)).collect();
    if known.len() < names.len() {
        return None;
    }
    let offer = AeadOffer::new(known).ok();
    if offer.is_none() {
        let text = "aead: expected a list of at least one algorithm, none of them twice; leave it out";
        faults.add(section.place_of("aead"), text);
    }
    offer
}

fn algorithm(at: usize, name: &str, faults: &mut Faults<'_>) -> Option<Aead> {
    let text = match Aead::ALL.into_iter().find(|aead| aead.name() == name) {
        Some(aead) if is_available(aead) => return Some(aead),
        Some(_) => format!(
            "aead: \"{name}\" is not approved by FIPS 140, and this build for it has \"gcm\" alone, which of time servers only \
             truechimer's has; leave aead out, or use a symmetric key of AES128 or AES256 with this peer (key = ...)"
        ),
        None => {
            let names = Aead::ALL.map(Aead::name);
            let near = nearest(name, &names).map(|near| format!("write \"{near}\", or ")).unwrap_or_default();
            format!(
                "aead: expected \"gcm-siv\" (AEAD_AES_128_GCM_SIV), \"siv\" (AEAD_AES_SIV_CMAC_256), \"siv-512\" \
                 (AEAD_AES_SIV_CMAC_512) or \"gcm\" (AEAD_AES_256_GCM), or a list of them, found \"{}\"; {near}leave it out",
                shorten(name)
            )
        }
    };
    faults.add(at, text);
    None
}
