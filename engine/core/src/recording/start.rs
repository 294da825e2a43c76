//! The encoding of how an engine was created.

mod saved;

use super::octets::{Malformed, Reader, Writer};
use super::redaction::Redaction;
use crate::io::{KeptAddresses, Saved, SavedAssociation, Start};
use crate::settings::{
    ClockSettings, LocalTime, NtsSettings, Place, ReferenceClock, RoughtimeSettings, ServerSettings,
    Settings, Signer, SourceSettings,
};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use ipc::address::Address;
use ipc::aead::{Aead, AeadOffer, MAX_OFFERED};
use ipc::departure::Departure;
use ipc::message::exchange::{
    CertifiedNames, Families, HostName, KeyServer, Operator, Organisation, RoundServer,
};
use ipc::packet::CookieOctets;
use ipc::secret::{KeyPair, MAX_KEY, Secret};
use ipc::served_at::InterfaceName;
use ipc::symmetric_key::{MacKind, SymmetricKey};
use ipc::units::{Frequency, Offset, Span, WallTime};
use protocol::leap_list::LeapList;
pub(super) use saved::write_saved;
use saved::{read_association, read_saved, write_association};

/// Most entries of a list: the configuration allows 32.
const MOST: usize = 255;

/// Writes a start, with its secrets redacted.
pub(super) fn write(out: &mut Writer, start: &Start, redaction: &mut Redaction) {
    let Start { settings, saved, associations, addresses, seed, precision } = start;
    write_settings(out, settings, redaction);
    out.option(saved.as_ref(), write_saved);
    list(out, associations, |out, association| write_association(out, association, redaction));
    list(out, addresses, |out, KeptAddresses { name, addresses, at }| {
        out.text(name.as_str());
        list(out, addresses, write_address);
        out.i64(at.nanos());
    });
    out.octets(seed);
    out.octets(&precision.to_le_bytes());
}

/// Reads a start.
pub(super) fn read(octets: &[u8]) -> Result<Start, Malformed> {
    let mut from = Reader::new(octets);
    let start = Start {
        settings: read_settings(&mut from)?,
        saved: from.option(read_saved)?,
        associations: read_list(&mut from, read_association)?,
        addresses: read_list(&mut from, |from| {
            Ok(KeptAddresses {
                name: HostName::parse(&from.text()?).map_err(|_| Malformed)?,
                addresses: read_list(from, read_address)?,
                at: wall(from)?,
            })
        })?,
        seed: from.array()?,
        precision: from.i8()?,
    };
    from.end()?;
    Ok(start)
}

fn list<T>(out: &mut Writer, items: &[T], mut write: impl FnMut(&mut Writer, &T)) {
    let count = items.len().min(MOST);
    out.u8(count as u8);
    items.iter().take(count).for_each(|item| write(out, item));
}

fn read_list<T>(
    from: &mut Reader<'_>,
    read: impl Fn(&mut Reader<'_>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let count = from.u8()?;
    (0..count).map(|_| read(from)).collect()
}

fn write_settings(out: &mut Writer, settings: &Settings, redaction: &mut Redaction) {
    let Settings { sources, clock, forward_step, leap_seconds, leap_list, strict_quorum, server, roughtime } =
        settings;
    list(out, sources, |out, source| write_source(out, source, redaction));
    write_clock(out, clock);
    out.option(*forward_step, |out, span| out.i64(span.nanos()));
    out.bool(*leap_seconds);
    out.option(leap_list.as_ref(), write_leap_list);
    out.bool(*strict_quorum);
    out.option(server.as_ref(), |out, ServerSettings { local, listen, nts, version5 }| {
        out.option(*local, |out, local| write_local(out, &local));
        list(out, listen, write_address);
        out.bool(*nts);
        out.bool(*version5);
    });
    out.option(roughtime.as_ref(), |out, RoughtimeSettings { servers, interval, anchor }| {
        list(out, servers, |out, Signer { name, server }| {
            out.text(name);
            out.octets(&server.public_key);
            out.octets(&server.version.to_le_bytes());
            write_key_server(out, &server.host);
            out.u16(server.port);
        });
        out.i64(interval.nanos());
        out.bool(*anchor);
    });
}

pub(super) fn write_leap_list(out: &mut Writer, leaps: &LeapList) {
    out.i64(leaps.updated());
    out.i64(leaps.expires());
    list(out, leaps.entries(), |out, (from, offset)| {
        out.i64(*from);
        out.u8(*offset);
    });
}

pub(super) fn read_leap_list(from: &mut Reader<'_>) -> Result<LeapList, Malformed> {
    let (updated, expires) = (from.i64()?, from.i64()?);
    let entries = read_list(from, |from| Ok((from.i64()?, from.u8()?)))?;
    LeapList::try_new(updated, expires, &entries).map_err(|_| Malformed)
}

pub(super) fn write_local(out: &mut Writer, local: &LocalTime) {
    let LocalTime { stratum, distance, activate, wait_synchronised, wait_unsynchronised, orphan } = local;
    out.u8(*stratum);
    for limit in [distance, activate] {
        out.option(*limit, |out, span| out.i64(span.nanos()));
    }
    out.i64(wait_synchronised.nanos());
    out.i64(wait_unsynchronised.nanos());
    out.bool(*orphan);
}

pub(super) fn read_local(from: &mut Reader<'_>) -> Result<LocalTime, Malformed> {
    Ok(LocalTime {
        stratum: from.u8()?,
        distance: from.option(span)?,
        activate: from.option(span)?,
        wait_synchronised: span(from)?,
        wait_unsynchronised: span(from)?,
        orphan: from.bool()?,
    })
}

fn write_key_server(out: &mut Writer, host: &KeyServer) {
    match host {
        KeyServer::Address(address) => write_place(out, &Place::Address(*address)),
        KeyServer::Name(name) => write_place(out, &Place::Name(*name, 0)),
    }
}

fn read_key_server(from: &mut Reader<'_>) -> Result<KeyServer, Malformed> {
    match read_place(from)? {
        Place::Address(address) => Ok(KeyServer::Address(address)),
        Place::Name(name, 0) => Ok(KeyServer::Name(name)),
        Place::Name(..) => Err(Malformed),
    }
}

fn read_roughtime(from: &mut Reader<'_>) -> Result<RoughtimeSettings, Malformed> {
    let servers = read_list(from, |from| {
        let name = from.text()?;
        let (public_key, version) = (from.array()?, from.array().map(u32::from_le_bytes)?);
        let (host, port) = (read_key_server(from)?, from.u16()?);
        Ok(Signer { name, server: RoundServer { public_key, version, host, port } })
    })?;
    Ok(RoughtimeSettings { servers, interval: span(from)?, anchor: from.bool()? })
}

fn read_settings(from: &mut Reader<'_>) -> Result<Settings, Malformed> {
    Ok(Settings {
        sources: read_list(from, read_source)?,
        clock: read_clock(from)?,
        forward_step: from.option(span)?,
        leap_seconds: from.bool()?,
        leap_list: from.option(read_leap_list)?,
        strict_quorum: from.bool()?,
        server: from.option(|from| {
            Ok(ServerSettings {
                local: from.option(read_local)?,
                listen: read_list(from, read_address)?,
                nts: from.bool()?,
                version5: from.bool()?,
            })
        })?,
        roughtime: from.option(read_roughtime)?,
    })
}

pub(super) fn write_clock(out: &mut Writer, clock: &ClockSettings) {
    let ClockSettings {
        minimum_sources,
        start_step_threshold,
        run_step_threshold,
        max_slew_ppm,
        max_distance,
        max_jitter,
        require_nts,
        clockbound,
        max_error,
        attested,
    } = *clock;
    out.u8(minimum_sources);
    out.i64(start_step_threshold.nanos());
    out.option(run_step_threshold, |out, span| out.i64(span.nanos()));
    out.f64(max_slew_ppm);
    out.i64(max_distance.nanos());
    out.option(max_jitter, |out, most| out.i64(most.nanos()));
    out.bool(require_nts);
    out.bool(clockbound);
    out.option(max_error, |out, span| out.i64(span.nanos()));
    out.bool(attested);
}

pub(super) fn read_clock(from: &mut Reader<'_>) -> Result<ClockSettings, Malformed> {
    Ok(ClockSettings {
        minimum_sources: from.u8()?,
        start_step_threshold: span(from)?,
        run_step_threshold: from.option(span)?,
        max_slew_ppm: from.f64()?,
        max_distance: span(from)?,
        max_jitter: from.option(span)?,
        require_nts: from.bool()?,
        clockbound: from.bool()?,
        max_error: from.option(span)?,
        attested: from.bool()?,
    })
}

pub(super) fn write_source(out: &mut Writer, source: &SourceSettings, redaction: &mut Redaction) {
    let SourceSettings {
        name,
        place,
        nts,
        key,
        members,
        min_poll,
        max_poll,
        burst,
        prefer,
        trust,
        require,
        max_delay,
        max_stratum,
        allow_link_local,
        offered,
        noselect,
        min_stratum,
        correction,
        families,
        departure,
        burst_always,
        version5,
        interleaved,
        refclock,
    } = source;
    out.text(name);
    write_place(out, place);
    out.option(*nts, |out, NtsSettings { roots, offer, shares_out }| {
        out.u8(roots);
        out.u8(offer.algorithms().count() as u8);
        offer.algorithms().for_each(|algorithm| out.u16(algorithm.id()));
        out.bool(shares_out);
    });
    let key = key.as_ref().and_then(|key| redaction.symmetric_key(key));
    out.option(key.as_ref(), |out, key| {
        out.octets(&key.number().to_le_bytes());
        out.text(key.kind().name());
        out.u8(key.octets().len() as u8);
        out.octets(key.octets());
    });
    out.u8(*members);
    out.octets(&min_poll.to_le_bytes());
    out.octets(&max_poll.to_le_bytes());
    for flag in [burst, prefer, trust, require] {
        out.bool(*flag);
    }
    out.i64(max_delay.nanos());
    out.u8(*max_stratum);
    out.bool(*allow_link_local);
    out.bool(*offered);
    out.bool(*noselect);
    out.u8(*min_stratum);
    out.i64(correction.nanos());
    out.u8(match families {
        Families::Both => 0,
        Families::V4 => 1,
        Families::V6 => 2,
    });
    write_departure(out, departure);
    out.bool(*burst_always);
    out.bool(*version5);
    out.bool(*interleaved);
    out.option(*refclock, |out, clock| {
        let ReferenceClock { device, reference_id, stratum, delay, precision, filter, max_dispersion, lock } =
            clock;
        out.u8(device);
        out.octets(&reference_id.to_le_bytes());
        out.u8(stratum);
        out.i64(delay.nanos());
        out.i64(precision.nanos());
        out.u8(filter);
        out.option(max_dispersion, |out, most| out.i64(most.nanos()));
        out.option(lock, |out, lock| out.octets(&lock.to_le_bytes()));
    });
}

fn write_departure(out: &mut Writer, departure: &Departure) {
    let Departure { from, interface, dscp } = departure;
    for address in from {
        out.option(*address, |out, address| write_address(out, &address));
    }
    out.option(*interface, |out, interface| out.text(interface.as_str()));
    out.u8(*dscp);
}

fn read_departure(from: &mut Reader<'_>) -> Result<Departure, Malformed> {
    Ok(Departure {
        from: [from.option(read_address)?, from.option(read_address)?],
        interface: from.option(|from| InterfaceName::parse(&from.text()?).map_err(|_| Malformed))?,
        dscp: from.u8()?,
    })
}

pub(super) fn read_source(from: &mut Reader<'_>) -> Result<SourceSettings, Malformed> {
    Ok(SourceSettings {
        name: from.text()?,
        place: read_place(from)?,
        nts: from.option(|from| {
            let roots = from.u8()?;
            let count = usize::from(from.u8()?);
            let mut algorithms = [None; MAX_OFFERED];
            for place in algorithms.get_mut(..count).ok_or(Malformed)? {
                *place = Some(Aead::from_id(from.u16()?).ok_or(Malformed)?);
            }
            let offer = AeadOffer::new(algorithms.into_iter().flatten()).map_err(|_| Malformed)?;
            Ok(NtsSettings { roots, offer, shares_out: from.bool()? })
        })?,
        key: from.option(|from| {
            let number = from.array().map(u32::from_le_bytes)?;
            let kind = MacKind::from_name(&from.text()?).ok_or(Malformed)?;
            SymmetricKey::new(number, kind, short(from)?).ok_or(Malformed)
        })?,
        members: from.u8()?,
        min_poll: from.i8()?,
        max_poll: from.i8()?,
        burst: from.bool()?,
        prefer: from.bool()?,
        trust: from.bool()?,
        require: from.bool()?,
        max_delay: span(from)?,
        max_stratum: from.u8()?,
        allow_link_local: from.bool()?,
        offered: from.bool()?,
        noselect: from.bool()?,
        min_stratum: from.u8()?,
        correction: Offset::saturating(from.i64()?),
        families: match from.u8()? {
            0 => Families::Both,
            1 => Families::V4,
            2 => Families::V6,
            _ => return Err(Malformed),
        },
        departure: read_departure(from)?,
        burst_always: from.bool()?,
        version5: from.bool()?,
        interleaved: from.bool()?,
        refclock: from.option(|from| {
            Ok(ReferenceClock {
                device: from.u8()?,
                reference_id: from.array().map(u32::from_le_bytes)?,
                stratum: from.u8()?,
                delay: span(from)?,
                precision: span(from)?,
                filter: from.u8()?,
                max_dispersion: from.option(span)?,
                lock: from.option(|from| from.array().map(u32::from_le_bytes))?,
            })
        })?,
    })
}

fn write_place(out: &mut Writer, place: &Place) {
    match place {
        Place::Address(address) => {
            out.u8(0);
            write_address(out, address);
        }
        Place::Name(name, port) => {
            out.u8(1);
            out.text(name.as_str());
            out.u16(*port);
        }
    }
}

fn read_place(from: &mut Reader<'_>) -> Result<Place, Malformed> {
    match from.u8()? {
        0 => read_address(from).map(Place::Address),
        1 => Ok(Place::Name(
            HostName::from_octets(from.text()?.as_bytes()).map_err(|_| Malformed)?,
            from.u16()?,
        )),
        _ => Err(Malformed),
    }
}

fn write_address(out: &mut Writer, address: &Address) {
    out.ip(address.ip());
    out.octets(&address.scope().to_le_bytes());
    out.u16(address.port());
}

fn read_address(from: &mut Reader<'_>) -> Result<Address, Malformed> {
    let ip = from.ip()?;
    let scope = from.array().map(u32::from_le_bytes)?;
    let mut address = SocketAddr::new(ip, from.u16()?);
    if let SocketAddr::V6(address) = &mut address {
        address.set_scope_id(scope);
    }
    let address = Address::from(address);
    // Each address has one form.
    let is_lawful = address.ip() == ip && (scope == 0 || matches!(ip, IpAddr::V6(_)));
    if is_lawful { Ok(address) } else { Err(Malformed) }
}

fn short<'a>(from: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let length = from.u8()?;
    from.octets(usize::from(length))
}

fn span(from: &mut Reader<'_>) -> Result<Span, Malformed> {
    Span::try_new(from.i64()?).map_err(|_| Malformed)
}

fn wall(from: &mut Reader<'_>) -> Result<WallTime, Malformed> {
    WallTime::try_new(from.i64()?).map_err(|_| Malformed)
}
