use super::*;
use crate::configuration::texts::Texts;
use proptest::prelude::*;

fn read(text: &str, allows_md5: bool) -> Reading {
    Reading::of(&FileText::private("/etc/truechimer/truechimer.keys", text), allows_md5)
}

fn lines(faults: &[Fault]) -> Vec<(usize, &str)> {
    faults.iter().map(|fault| (fault.line, fault.text.as_str())).collect()
}

#[test]
fn a_file_of_chronys_is_read_as_it_is() {
    let text = "# comment\n\n! one\n% two\n; three\n10 AES128 HEX:2B7E151628aed2a6abf7158809cf4f3c\n\
        11 aes256 HEX:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n\
        12 SHA1 ASCII:secretkey0123456\n13\tSHA256   secretkey0123456\n  14 SHA384 HEX:00112233445566778899  \n\
        4294967295 SHA512 secretkey0123456\n";
    let reading = read(text, false);
    assert_eq!((reading.faults, reading.warnings), (vec![], vec![]));
    let found: Vec<_> = reading.file.keys().iter().map(|key| (key.number(), key.kind().name())).collect();
    let known = [
        (10, "AES128"),
        (11, "AES256"),
        (12, "SHA1"),
        (13, "SHA256"),
        (14, "SHA384"),
        (4_294_967_295, "SHA512"),
    ];
    assert_eq!(found, known);
    let octets = |number| reading.file.find(number).unwrap().octets().to_vec();
    assert_eq!(octets(10)[..3], [0x2b, 0x7e, 0x15]);
    assert_eq!(octets(12), b"secretkey0123456");
    assert_eq!(octets(13), b"secretkey0123456");
    assert_eq!(octets(14), [0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99]);
}

#[test]
fn a199_keys_of_md5_are_refused_unless_they_are_allowed_by_name() {
    let text = "7 MD5 secretkey0123456\n8 secretkey0123456\n";
    let reading = read(text, false);
    assert!(reading.faults.is_empty() && reading.file.keys().is_empty());
    for number in [7, 8] {
        let why = reading.file.find(number).unwrap_err();
        assert!(why.contains("MD5") && why.contains("allow-md5 = true"), "{why}");
    }
    // And said of those that nobody names, too: a server takes all that it can.
    let warned: Vec<_> = lines(&reading.warnings);
    assert_eq!(reading.warnings.len(), 2, "{warned:?}");
    assert!(reading.warnings.iter().all(|warning| warning.text.contains("allow-md5 = true")), "{warned:?}");
    assert!(read(text, true).warnings.is_empty());
    let kinds: Vec<_> = read(text, true).file.keys().iter().map(SymmetricKey::kind).collect();
    assert_eq!(kinds, [MacKind::Md5; 2]);
}

#[test]
fn what_is_no_key_is_named_by_its_line_and_never_printed() {
    let text = "1\n0 AES128 HEX:00\nx SHA1 verysecretkey\n2 AES128 HEX:00112233\n3 SHA1 HEX:0g112233445566778899\n\
        4 SHA1 verysecretkey\n4 SHA1 verysecretkey\n5 SHA1 verysecretkey more\n-6 SHA1 verysecretkey\n7 SHA1 HEX:001\n\
        4294967296 SHA1 verysecretkey\n8 SHA1 HEX:";
    let reading = read(text, false);
    let found: Vec<usize> = reading.faults.iter().map(|fault| fault.line).collect();
    assert_eq!(found, [1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12]);
    let all = format!("{:?}", lines(&reading.faults));
    assert!(!all.contains("verysecret") && !all.contains("0011"), "{all}");
    assert!(all.contains("AES128 has a key of 16 octets, and this one has 4"), "{all}");
    assert!(!format!("{reading:?}").contains("verysecret"));
}

#[test]
fn unknown_types_and_weak_keys_are_warnings() {
    let reading = read("1 TIGER secretkey0123456\n2 SHA1 short\n", false);
    assert!(reading.faults.is_empty(), "{:?}", reading.faults);
    let said = lines(&reading.warnings);
    assert!(said[0].0 == 1 && said[0].1.contains("no type TIGER"), "{said:?}");
    assert!(said[1].0 == 2 && said[1].1.contains("40 bits"), "{said:?}");
    assert!(reading.file.find(1).unwrap_err().contains("TIGER") && reading.file.find(2).is_ok());
}

#[test]
fn a_key_in_the_place_of_the_type_is_in_no_message() {
    let reading = read("1 HEX:2B7E151628AED2A6 AES128\n2 mysecretpassword x\n", false);
    let all =
        format!("{:?} {:?} {:?}", reading.faults, reading.warnings, [1, 2].map(|key| reading.file.find(key)));
    assert!(all.contains("its second word is no type"), "{all}");
    assert!(!all.contains("2B7E") && !all.contains("mysecret"), "{all}");
}

#[test]
fn a_server_has_no_key_of_a_source_unless_it_is_listed_which_is_warned_of() {
    let of = |listed: &str| {
        let text = format!(
            "[[source]]\naddress = \"192.0.2.1\"\nkey = 1\n[server]\nlisten = [\"127.0.0.1:11123\"]\nallow = [\"127.0.0.0/8\"]\n{listed}"
        );
        let mut texts = Texts::only(FileText::private("c.toml", &text));
        let keys = "1 SHA1 secretkey0123456\n2 SHA1 otherkey01234567\n";
        texts.keys = Some(FileText::private("c.keys", keys));
        let found = crate::configuration::read(&mut texts).unwrap();
        let numbers: Vec<_> = found.client_keys.iter().map(SymmetricKey::number).collect();
        (numbers, found.warnings.concat())
    };
    assert_eq!(of("").0, [2]);
    assert_eq!(of("keys = [2]\n").0, [2]);
    assert!(!of("keys = [2]\n").1.contains("keys:"));
    let (both, warned) = of("keys = [1, 2]\n");
    assert!(both == [1, 2] && warned.contains("keys: 1 is the key of a source too"), "{both:?} {warned}");
}

#[test]
fn a_number_without_a_key_is_explained() {
    assert!(KeyFile::default().find(1).unwrap_err().contains("no file of keys"));
    assert!(read("1 SHA1 secretkey0123456", false).file.find(2).unwrap_err().contains("no key 2"));
}

#[test]
fn a_file_has_no_more_keys_than_a_server_takes() {
    let text =
        |count: usize| (1..=count).map(|at| format!("{at} SHA1 secretkey0123456\n")).collect::<String>();
    assert!(read(&text(MAX_KEY_RING), false).faults.is_empty());
    assert_eq!(read(&text(MAX_KEY_RING + 1), false).faults.len(), 1);
}

#[test]
fn the_line_of_a_key_that_has_a_fault_is_named_before_the_source_that_has_it() {
    let text = "[[source]]\naddress = \"192.0.2.1\"\nkey = 7\n";
    let mut texts = Texts::only(FileText::private("c.toml", text));
    texts.keys = Some(FileText::private("c.keys", "# a comment\n7 SHA1 HEX:0g\n"));
    let said = crate::configuration::read(&mut texts).unwrap_err().to_string();
    let said: Vec<&str> = said.lines().collect();
    assert!(said[0].starts_with("c.keys:2: key 7: what follows HEX:"), "{said:?}");
    let source = "c.toml:3: key: key 7 is not used while line 2 of c.keys has a fault";
    assert_eq!((said[1], said.len()), (source, 2));
}

#[test]
fn what_is_no_number_of_a_key_is_never_shown_and_the_remedy_names_the_file() {
    for value in ["\"verysecretkey\"", "0", "-1", "4294967296", "true", "[7]", "1.5"] {
        for text in [
            format!("[[source]]\naddress = \"192.0.2.1\"\nkey = {value}\n"),
            format!(
                "[server]\nlisten = [\"0.0.0.0:123\"]\nallow = [\"0.0.0.0/0\"]\nlocal-stratum = 10\nkeys = [{value}]\n"
            ),
            format!(
                "[server]\nlisten = [\"0.0.0.0:123\"]\nallow = [\"0.0.0.0/0\"]\nlocal-stratum = 10\nkeys = {value}\n"
            ),
        ] {
            if text.ends_with("keys = [7]\n") {
                continue;
            }
            let mut texts = Texts::only(FileText::private("c.toml", &text));
            texts.keys = Some(FileText::private("c.keys", "7 SHA1 secretkey0123456\n"));
            let said = crate::configuration::read(&mut texts).unwrap_err().to_string();
            assert!(said.contains("truechimer.keys beside truechimer.toml"), "{text}: {said}");
            assert!(said.lines().count() == 1 && !said.contains("verysecret"), "{text}: {said}");
        }
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in "(?s).{0,200}", rest in "[0-9 ]{0,4}[A-Z0-9]{0,7} (HEX:|ASCII:)?[0-9a-f]{0,40}") {
        let _ = read(&text, true);
        let _ = read(&rest, false);
    }
}
