//! The encoding of what an engine has kept over a restart: frequency, keys and cookies.

use super::*;

pub(in crate::recording) fn write_saved(out: &mut Writer, saved: &Saved) {
    let Saved { frequency, frequency_error_ppm, at } = saved;
    out.octets(&frequency.scaled().to_le_bytes());
    out.f64(*frequency_error_ppm);
    out.i64(at.nanos());
}

pub(super) fn read_saved(from: &mut Reader<'_>) -> Result<Saved, Malformed> {
    Ok(Saved {
        frequency: Frequency::try_new(from.array().map(i32::from_le_bytes)?).map_err(|_| Malformed)?,
        frequency_error_ppm: from.f64()?,
        at: wall(from)?,
    })
}

pub(super) fn write_association(out: &mut Writer, association: &SavedAssociation, redaction: &mut Redaction) {
    let SavedAssociation {
        server,
        roots,
        address,
        at,
        named,
        algorithm,
        keys,
        cookies,
        made,
        valid_until,
        operator,
    } = association;
    write_place(out, server);
    out.u8(*roots);
    write_address(out, address);
    out.option(at.as_ref(), write_address);
    out.option(named.as_ref(), |out, name| out.text(name.as_str()));
    out.u16(algorithm.id());
    let keys = redaction.pair(*algorithm, keys);
    out.octets(keys.client_to_server.octets());
    out.octets(keys.server_to_client.octets());
    list(out, cookies, |out, cookie| {
        let cookie = redaction.cookie_octets(cookie);
        out.u16(cookie.octets().len() as u16);
        out.octets(cookie.octets());
    });
    out.i64(made.nanos());
    out.i64(valid_until.nanos());
    for octets in [operator.organisation.octets(), operator.names.octets()] {
        out.u8(octets.len() as u8);
        out.octets(octets);
    }
    out.octets(&operator.fingerprint);
}

pub(super) fn read_association(from: &mut Reader<'_>) -> Result<SavedAssociation, Malformed> {
    let secret = |from: &mut Reader<'_>| from.array::<MAX_KEY>().map(|octets| Secret::new(&octets));
    Ok(SavedAssociation {
        server: read_place(from)?,
        roots: from.u8()?,
        address: read_address(from)?,
        at: from.option(read_address)?,
        named: from.option(|from| HostName::parse(&from.text()?).map_err(|_| Malformed))?,
        algorithm: Aead::from_id(from.u16()?).ok_or(Malformed)?,
        keys: KeyPair { client_to_server: secret(from)?, server_to_client: secret(from)? },
        cookies: read_list(from, |from| {
            let length = from.u16()?;
            CookieOctets::from_octets(from.octets(usize::from(length))?).map_err(|_| Malformed)
        })?,
        made: wall(from)?,
        valid_until: wall(from)?,
        operator: Operator {
            organisation: Organisation::from_octets(short(from)?).map_err(|_| Malformed)?,
            names: CertifiedNames::from_octets(short(from)?).map_err(|_| Malformed)?,
            fingerprint: from.array()?,
        },
    })
}
