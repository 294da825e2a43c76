extern crate std;
use super::*;
use crate::nts::hex::hex;
use core::net::Ipv4Addr;
use std::string::ToString;
use std::vec::Vec;

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

fn read(message: &str, offer: Offer) -> Result<(Algorithm, Exporter, usize), ResponseError> {
    Response::decode(&hex(message), offer, PEER)
        .map(|response| (response.algorithm, response.exporter, response.cookies().count()))
}

#[test]
fn the_answer_of_the_vectors_is_read() {
    let message =
        hex("80010002000080040002000f0006000f6e74702e6578616d706c652e6e657400070002101b000500080001020304\
                       05060780000000");
    let response = Response::decode(&message, Offer::GCM_SIV_FIRST, PEER).unwrap();
    assert_eq!((response.algorithm, response.exporter), (Algorithm::AesSivCmac256, Exporter::Standard));
    assert_eq!(response.server, Some(ServerName::Host("ntp.example.net")));
    assert_eq!(response.port, 4123);
    assert_eq!(response.cookies().collect::<Vec<_>>(), [[0, 1, 2, 3, 4, 5, 6, 7]]);
    let plain = hex("80010002000080040002000f000500010080000000");
    let plain = Response::decode(&plain, Offer::GCM_SIV_FIRST, PEER).unwrap();
    assert_eq!((plain.server, plain.port), (None, 123));
}

#[test]
fn record_1024_tells_the_exporters_apart() {
    let both = Offer::GCM_SIV_FIRST;
    let gcm_siv = Algorithm::Aes128GcmSiv;
    assert_eq!(
        read("80010002000080040002001e0400000000050001ff80000000", both),
        Ok((gcm_siv, Exporter::Standard, 1))
    );
    assert_eq!(read("80010002000080040002001e00050001ff80000000", both), Ok((gcm_siv, Exporter::Legacy, 1)));
    assert_eq!(
        read("80010002000080040002000f0400000000050001ff80000000", both),
        Ok((Algorithm::AesSivCmac256, Exporter::Standard, 1))
    );
}

#[test]
fn a054_an_algorithm_that_was_not_offered_is_refused() {
    use ResponseError::*;
    let both = Offer::GCM_SIV_FIRST;
    let siv = Offer::only(Algorithm::AesSivCmac256);
    for (message, offer, error) in [
        ("800100020000 80040002001e 00050001ff 80000000", siv, AlgorithmNotOffered(30)),
        ("800100020000 800400020011 00050001ff 80000000", both, AlgorithmNotOffered(17)),
        ("800100020000 800400020000 00050001ff 80000000", both, AlgorithmNotOffered(0)),
        ("800100020000 80040000 00050001ff 80000000", both, NoAlgorithm),
        ("800100020000 80040000 80000000", both, NoAlgorithm),
        ("800100020000 00050001ff 80000000", both, NoAlgorithmRecord),
        ("800100020000 80040004001e000f 00050001ff 80000000", both, SeveralAlgorithms),
        ("800100020000 80040004000f000f 00050001ff 80000000", both, SeveralAlgorithms),
        ("800100020000 80040001 0f 00050001ff 80000000", both, Body(AEAD)),
        ("800100020000 80040003000f00 00050001ff 80000000", both, Body(AEAD)),
    ] {
        assert_eq!(read(message, offer), Err(error), "{message}");
    }
}

#[test]
fn a054_another_protocol_is_refused() {
    use ResponseError::*;
    for (first, error) in [
        ("80010000", NoProtocol),
        ("800100028001", ProtocolNotOffered(0x8001)),
        ("8001000400008001", ProtocolNotOffered(0x8001)),
        ("8001000400000000", Body(NEXT_PROTOCOL)),
        ("8001000100", Body(NEXT_PROTOCOL)),
        ("000100020000", ProtocolNotCritical),
        ("", NoProtocolRecord),
    ] {
        let message = [first, "80040002000f 00050001ff 80000000"].concat();
        assert_eq!(read(&message, Offer::GCM_SIV_FIRST), Err(error), "{message}");
    }
}

#[test]
fn a055_an_ntp_server_that_can_not_be_one_is_refused() {
    use ResponseError::{Body, Port, Server};
    for (record, error) in [
        ("00060009 3132372e302e302e31", Server(NameError::Loopback)),
        ("00060009 3232342e302e302e31", Server(NameError::Address)),
        ("00060007 302e302e302e30", Server(NameError::Address)),
        ("00060000", Server(NameError::Form)),
        ("00060003 610061", Server(NameError::Form)),
        ("000700020000", Port),
        ("0007000101", Body(NTP_PORT)),
        ("00070003000101", Body(NTP_PORT)),
        ("00070002007b 00070002007b", ResponseError::Duplicate(NTP_PORT)),
        ("0006000161 0006000161", ResponseError::Duplicate(SERVER)),
    ] {
        let message = ["800100020000 80040002000f", record, "00050001ff 80000000"].concat();
        assert_eq!(read(&message, Offer::GCM_SIV_FIRST), Err(error), "{record}");
    }
    // Another name or another port only changes where packets are sent.
    let message = hex("800100020000 80040002000f 00060009 3139382e35312e312e 00050001ff 80000000");
    assert!(Response::decode(&message, Offer::GCM_SIV_FIRST, PEER).is_err());
    let message = hex("800100020000 80040002000f 0006000161 000700020035 00050001ff 80000000");
    let response = Response::decode(&message, Offer::GCM_SIV_FIRST, PEER).unwrap();
    assert_eq!((response.server, response.port), (Some(ServerName::Host("a")), 53));
}

#[test]
fn a057_cookies_of_any_number_and_length() {
    let cookies = |count: usize, length: usize| {
        let mut message = hex("800100020000 80040002000f");
        for _ in 0..count {
            message.extend([0, 5, (length >> 8) as u8, length as u8]);
            message.resize(message.len() + length, 1);
        }
        message.extend(hex("80000000"));
        let response = Response::decode(&message, Offer::GCM_SIV_FIRST, PEER);
        response.map(|response| response.cookies().filter(|cookie| cookie.len() == length).count())
    };
    assert_eq!(cookies(0, 0), Err(ResponseError::NoCookie));
    for (count, kept) in [(1, 1), (8, 8), (9, 8), (1000, 8)] {
        assert_eq!(cookies(count, 3), Ok(kept));
        assert_eq!(cookies(count, 0), Err(ResponseError::CookieLength(0)));
    }
    assert_eq!(cookies(2, 1024), Ok(2));
    for length in [1025, 65_535] {
        assert_eq!(cookies(1, length), Err(ResponseError::CookieLength(length)));
    }
}

#[test]
fn a058_records_that_should_not_be_there() {
    use ResponseError::*;
    for (record, error) in [
        ("8bad0000", UnknownCritical(0x0bad)),
        ("800100020000", Duplicate(NEXT_PROTOCOL)),
        ("80040002000f", Duplicate(AEAD)),
        ("0400000004000000", Duplicate(COMPLIANT_EXPORTER)),
        ("0400000101", Body(COMPLIANT_EXPORTER)),
        ("800200020000", Refused(ErrorCode::UnrecognizedCriticalRecord)),
        ("800200020001", Refused(ErrorCode::BadRequest)),
        ("000200020002", Refused(ErrorCode::InternalServerError)),
        ("800200028000", Refused(ErrorCode::Other(0x8000))),
        ("80020000", Body(ERROR)),
        ("80020003000000", Body(ERROR)),
        ("800300020007", Warned(7)),
        ("80030000", Body(WARNING)),
        ("80000000", Message(MessageError::AfterEnd)),
        ("80000001ff", Message(MessageError::End)),
        ("00000000", Message(MessageError::End)),
        ("00ffffff", Message(MessageError::Unfinished)),
    ] {
        let message = ["800100020000 80040002000f", record, "00050001ff 80000000"].concat();
        assert_eq!(read(&message, Offer::GCM_SIV_FIRST), Err(error), "{record}");
    }
    let unfinished = "800100020000 80040002000f 00050001ff";
    assert_eq!(read(unfinished, Offer::GCM_SIV_FIRST), Err(Message(MessageError::Unfinished)));
    let early = "800200020001 800100020000 80040002000f 00050001ff 80000000";
    assert_eq!(read(early, Offer::GCM_SIV_FIRST), Err(Refused(ErrorCode::BadRequest)));
    let ignored = "800100020000 0bad0003010203 80040002000f 00050001ff 80000000";
    assert!(read(ignored, Offer::GCM_SIV_FIRST).is_ok());
}

#[test]
fn every_failure_says_what_to_do() {
    use ResponseError::*;
    for error in [
        Message(MessageError::Unfinished),
        Refused(ErrorCode::BadRequest),
        Refused(ErrorCode::InternalServerError),
        Warned(1),
        UnknownCritical(1),
        Duplicate(1),
        Body(1),
        ProtocolNotCritical,
        NoProtocolRecord,
        NoProtocol,
        ProtocolNotOffered(1),
        NoAlgorithmRecord,
        NoAlgorithm,
        SeveralAlgorithms,
        AlgorithmNotOffered(1),
        NoCookie,
        CookieLength(0),
        Server(NameError::Form),
        Port,
    ] {
        let said = error.to_string();
        assert!(said.contains("another server") || said.contains("asked again later"), "{said}");
    }
}
