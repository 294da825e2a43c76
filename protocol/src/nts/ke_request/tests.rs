extern crate std;
use super::*;
use crate::nts::hex::hex;

fn agree(message: &str) -> Agreement {
    Request::decode(&hex(message)).unwrap().agree(Offer::RESISTANT)
}

fn agreed(algorithm: Algorithm, exporter: Exporter, says_compliant_exporter: bool) -> Agreement {
    Agreement::Agreed { algorithm, exporter, says_compliant_exporter }
}

#[test]
fn the_clients_first_known_algorithm_is_taken() {
    let siv = agreed(Algorithm::AesSivCmac256, Exporter::Standard, false);
    let gcm_siv = agreed(Algorithm::Aes128GcmSiv, Exporter::Standard, true);
    // 15; 13 and 15; 15 and 30; 15 twice; with an unknown protocol beside NTPv4.
    assert_eq!(agree("80010002000080040002000f80000000"), siv);
    assert_eq!(agree("80010002000080040004000d000f80000000"), siv);
    assert_eq!(agree("8001000200000004 0004000f001e 04000000 80000000"), siv);
    assert_eq!(agree("80010002000080040004000f000f80000000"), siv);
    assert_eq!(agree("8001000480010000 80040002000f 80000000"), siv);
    // 30 and 15, record 1024.
    assert_eq!(agree("80010002000080040004001e000f0400000080000000"), gcm_siv);
}

#[test]
fn the_doubtful_exporter_is_avoided_where_it_can_be() {
    assert_eq!(
        agree("80010002000080040004001e000f80000000"),
        agreed(Algorithm::AesSivCmac256, Exporter::Standard, false)
    );
    assert_eq!(
        agree("80010002000080040002001e80000000"),
        agreed(Algorithm::Aes128GcmSiv, Exporter::Legacy, false)
    );
    assert_eq!(
        agree("80010002000080040002001e0400000080000000"),
        agreed(Algorithm::Aes128GcmSiv, Exporter::Standard, true)
    );
}

#[test]
fn without_common_ground_there_is_no_agreement() {
    assert_eq!(agree("80010002800180040002000f80000000"), Agreement::NoProtocol);
    assert_eq!(agree("80010002800180000000"), Agreement::NoProtocol);
    assert_eq!(agree("80010002000080040002000d 80000000"), Agreement::NoAlgorithm);
}

#[test]
fn what_a_client_would_like_is_passed_over_if_its_form_is_right() {
    let siv = agreed(Algorithm::AesSivCmac256, Exporter::Standard, false);
    assert_eq!(agree("800100020000 80040002000f 00060001 61 00070002007b 0bad0003010203 80000000"), siv);
}

#[test]
fn a089_malformed_requests_are_answered_with_an_error() {
    use RequestError::*;
    for (message, error) in [
        ("800100020000800100020000800100020000 80040002000f 80000000", Duplicate(NEXT_PROTOCOL)),
        ("800100020000 80040002000f 80040002000f 80000000", Duplicate(AEAD)),
        ("800100020000 80040002000f 04000000 04000000 80000000", Duplicate(COMPLIANT_EXPORTER)),
        ("800100020000 80040002000f 0006000161 0006000161 80000000", Duplicate(SERVER)),
        ("800100020000 80040002000f 00070002007b 00070002007b 80000000", Duplicate(NTP_PORT)),
        ("800100020000 80040002000f 80020002000080000000", ServerRecord(ERROR)),
        ("800100020000 80040002000f 80030002000080000000", ServerRecord(WARNING)),
        ("800100020000 80040002000f 00050002000080000000", ServerRecord(COOKIE)),
        ("80040002000f 80000000", NoProtocolRecord),
        ("80000000", NoProtocolRecord),
        ("000100020000 80040002000f 80000000", ProtocolNotCritical),
        ("800100020000 80000000", NoAlgorithmRecord),
        ("80010000 80040002000f 80000000", List(NEXT_PROTOCOL)),
        ("80010003000000 80040002000f 80000000", List(NEXT_PROTOCOL)),
        ("800100020000 80040000 80000000", List(AEAD)),
        ("800100020000 80040003000f00 80000000", List(AEAD)),
        ("800100020000 80040002000f 00060000 80000000", Body(SERVER)),
        ("800100020000 80040002000f 00060001ff 80000000", Body(SERVER)),
        ("800100020000 80040002000f 0007000101 80000000", Body(NTP_PORT)),
        ("800100020000 80040002000f 04000001ff 80000000", Body(COMPLIANT_EXPORTER)),
        ("800100020000 80040009000f 80000000", Message(MessageError::Unfinished)),
        ("800100020000 80040002000f", Message(MessageError::Unfinished)),
    ] {
        let found = Request::decode(&hex(message));
        assert_eq!(found, Err(error), "{message}");
        assert_eq!(error.code(), ErrorCode::BadRequest);
    }
    let unknown = Request::decode(&hex("800100020000 8bad0000 80040002000f 80000000"));
    assert_eq!(unknown, Err(UnknownCritical(0x0bad)));
    assert_eq!(UnknownCritical(1).code(), ErrorCode::UnrecognizedCriticalRecord);
}

#[test]
fn a194_only_what_the_server_agrees_to_is_taken_and_gcm_only_if_it_is_told_to() {
    let siv_512 = agreed(Algorithm::AesSivCmac512, Exporter::Standard, false);
    let gcm = agreed(Algorithm::Aes256Gcm, Exporter::Standard, false);
    let all = Request::decode(&hex("800100020000 80040008 0002 0011 000f 001e 0400000080000000")).unwrap();
    assert_eq!(all.agree(Offer::RESISTANT), siv_512);
    assert_eq!(all.agree(Offer::new(Algorithm::ALL).unwrap()), gcm);
    assert_eq!(all.agree(Offer::only(Algorithm::Aes256Gcm)), gcm);
    let only_gcm = Request::decode(&hex("800100020000 80040002 0002 80000000")).unwrap();
    assert_eq!(only_gcm.agree(Offer::RESISTANT), Agreement::NoAlgorithm);
    // What is doubtful is passed over for what both have, and taken where it is all there is.
    let doubtful = Request::decode(&hex("800100020000 80040006 001e 0011 000f 80000000")).unwrap();
    assert_eq!(doubtful.agree(Offer::RESISTANT), siv_512);
    assert_eq!(
        doubtful.agree(Offer::only(Algorithm::Aes128GcmSiv)),
        agreed(Algorithm::Aes128GcmSiv, Exporter::Legacy, false)
    );
}

#[test]
fn servers_are_denied_as_far_as_a_request_has_room_that_each_server_takes() {
    let mut out = [0; MAX_ENCODED];
    let of = |names: &[&str], out: &mut [u8]| {
        let length = encode_request_denying(Offer::GCM_SIV_FIRST, names.iter().copied(), out).unwrap();
        out[..length].to_vec()
    };
    let plain = of(&[], &mut out);
    let denied = of(&["a.example", "192.0.2.7"], &mut out);
    let expected =
        [&plain[..plain.len() - 4], b"\x00\x0d\x00\x09a.example\x00\x0d\x00\x09192.0.2.7", &[0x80, 0, 0, 0]];
    assert_eq!(denied, expected.concat());
    assert!(Request::decode(&denied).is_ok(), "others ignore it");
    let long = "a".repeat(253);
    let most = of(&[long.as_str(); 7], &mut out);
    assert_eq!(most.len(), plain.len() + 3 * (4 + 253));
    assert!(most.len() <= MAX_ENCODED);
}

#[test]
fn every_offer_is_understood() {
    for (offer, expected) in [
        (Offer::GCM_SIV_FIRST, agreed(Algorithm::Aes128GcmSiv, Exporter::Standard, true)),
        (Offer::RESISTANT, agreed(Algorithm::Aes128GcmSiv, Exporter::Standard, true)),
        (Offer::new(Algorithm::ALL).unwrap(), agreed(Algorithm::Aes256Gcm, Exporter::Standard, false)),
        (Offer::only(Algorithm::AesSivCmac256), agreed(Algorithm::AesSivCmac256, Exporter::Standard, false)),
        (Offer::only(Algorithm::AesSivCmac512), agreed(Algorithm::AesSivCmac512, Exporter::Standard, false)),
        (Offer::only(Algorithm::Aes128GcmSiv), agreed(Algorithm::Aes128GcmSiv, Exporter::Standard, true)),
    ] {
        let mut out = [0; MAX_ENCODED];
        let length = encode_request(offer, &mut out).unwrap();
        assert_eq!(Request::decode(&out[..length]).unwrap().agree(offer), expected);
        for short in 0..length {
            assert_eq!(encode_request(offer, &mut out[..short]), Err(NoRoom));
        }
    }
}
