//! What single lines become: keys, and conditions.

use super::*;

/// An imported text from these files, the first of which is named.
fn of_files(files: &[(&str, &str)]) -> Imported {
    let mut memory = Memory::default();
    for (path, text) in files {
        memory.0.insert((*path).to_owned(), text.as_bytes().to_vec());
    }
    import(&[files[0].0.to_owned()], None, &mut memory).unwrap()
}

#[test]
fn keys_of_chrony_come_over_with_the_sources_that_need_them_and_are_nowhere_in_the_text() {
    let conf = "server a.example key 10\nserver b.example key 11\nserver c.example key 12\nserver d.example key 13 nts\n\
        keyfile /etc/chrony/chrony.keys\n";
    let keys = "10 AES128 ASCII:secretkey0123456\n11 MD5 ASCII:anothersecret\n12 TIGER ASCII:anothersecret\n";
    let made = of_files(&[("/etc/chrony/chrony.conf", conf), ("/etc/chrony/chrony.keys", keys)]);
    let text = &made.text;
    assert!(text.contains("address = \"a.example\"\nkey = 10\n"), "{text}");
    assert!(text.contains("address = \"b.example\"\nkey = 11\n"), "{text}");
    assert!(text.contains("#address = \"c.example\"\n"), "{text}");
    assert!(text.contains("address = \"d.example\"\nmode = \"nts\"\n"), "{text}");
    assert!(text.contains("[keys]\nallow-md5 = true\n"), "{text}");
    assert!(!text.contains("secret") && !format!("{made:?}").contains("secret"), "{made:?}");
    let keys = made.keys.unwrap();
    assert_eq!(
        keys.as_str(),
        "10 AES128 HEX:7365637265746B657930313233343536\n11 MD5 HEX:616E6F74686572736563726574\n"
    );
    let lost = made.losses.join("\n");
    assert!(
        lost.contains("no type TIGER") && lost.contains("keys of MD5") && lost.contains("keys of its own"),
        "{lost}"
    );
}

#[test]
fn keys_of_ntpd_come_over_as_far_as_they_are_trusted() {
    let conf = "server a.example key 1\nserver b.example key 2\nkeys /etc/ntp.keys\ntrustedkey 1 (7 ... 9)\n";
    let keys =
        "1 AES128CMAC 2B7E151628AED2A6ABF7158809CF4F3C\n2 SHA1 secretkey0123456\n8 SHA1 secretkey0123456\n";
    let made = of_files(&[("/etc/ntp.conf", conf), ("/etc/ntp.keys", keys)]);
    let text = &made.text;
    assert!(text.contains("address = \"a.example\"\nkey = 1\n"), "{text}");
    // Without it, so that whoever takes the signs away has a source that is taken.
    assert!(text.contains("#address = \"b.example\"\n#burst"), "{text}");
    assert!(!text.contains("key = 2"), "{text}");
    let keys = made.keys.unwrap();
    let numbers: Vec<&str> = keys.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(numbers, ["1", "8"]);
    assert!(made.losses.iter().any(|loss| loss.contains("trustedkey does not have it")), "{:?}", made.losses);
}

#[test]
fn what_of_a_file_of_keys_is_not_carried_is_said_without_what_is_in_it() {
    let conf = "server a.example key 1\nkeys /etc/ntp.keys\ntrustedkey 1 2\n";
    let keys = "1 AES128CMAC 2B7E151628AED2A6ABF7158809CF4F3C 192.0.2.1\nsecretline\n";
    let made = of_files(&[("/etc/ntp.conf", conf), ("/etc/ntp.keys", keys)]);
    let lost = made.losses.join("\n");
    for part in
        ["key 1: carried, and without its list of addresses", "line 2 of /etc/ntp.keys is not carried"]
    {
        assert!(lost.contains(part), "{part}: {lost}");
    }
    assert!(!made.text.contains("secretline") && !lost.contains("secretline"), "{lost}");
    assert!(made.text.contains("address = \"a.example\"\nkey = 1\n"), "{}", made.text);
    // What is said of the keys alone.
    let of_keys = "server a.example key 1\nrefclock SHM 0\nkeyfile /etc/chrony.keys\n";
    let made = of_files(&[("/etc/chrony.conf", of_keys), ("/etc/chrony.keys", "1 SHA1 HEX:0g\n")]);
    assert_eq!((made.losses.len() > made.key_losses.len(), made.key_losses.len()), (true, 1), "{made:?}");
    assert!(made.key_losses[0].contains("pairs of hexadecimal digits"), "{made:?}");
}

#[test]
fn an_orphan_of_ntpd_is_one_here_with_its_stratum_and_its_wait() {
    let with = |tos: &str| of_files(&[("/etc/ntp.conf", &format!("server a.example iburst\n{tos}\n"))]);
    let made = with("tos orphan 7 orphanwait 60");
    for line in ["local-orphan = true", "local-stratum = 7", "local-wait-unsynchronised = 60.0"] {
        assert!(made.text.lines().any(|written| written == line), "{line}:\n{}", made.text);
    }
    assert!(made.losses.iter().all(|loss| !loss.contains("orphan")), "{:?}", made.losses);
    let low = with("tos orphan 3");
    assert!(low.text.contains("local-stratum = 5\n"), "{}", low.text);
    assert!(low.losses.iter().any(|loss| loss.contains("orphan 3: 5 here")), "{:?}", low.losses);
    for tos in ["tos orphan 16", "tos orphanwait 60"] {
        let made = with(tos);
        assert!(!made.text.contains("local-"), "{tos}:\n{}", made.text);
    }
    let odd = with("tos orphan many");
    assert!(odd.losses.iter().any(|loss| loss.contains("orphan many: not understood")), "{:?}", odd.losses);
}

#[test]
fn what_notrust_becomes_is_what_the_server_does() {
    let conf = "server a.example iburst\nrestrict 192.0.2.0 mask 255.255.255.0 notrust\n";
    let made = of_files(&[("/etc/ntp.conf", conf)]);
    assert!(made.text.contains("deny = [\"192.0.2.0/24\"]"), "{}", made.text);
    assert!(made.losses.iter().any(|loss| loss.contains("with a key or without")), "{:?}", made.losses);
}

#[test]
fn without_its_file_of_keys_a_source_with_a_key_is_a_comment() {
    for conf in ["server a.example key 10\n", "server a.example key 10\nkeyfile /etc/chrony.keys\n"] {
        let made = of_files(&[("/etc/chrony.conf", conf)]);
        assert!(made.text.contains("#address = \"a.example\"\n") && made.keys.is_none(), "{}", made.text);
        assert!(!made.text.contains("#key"), "{}", made.text);
        assert!(made.losses.iter().any(|loss| loss.contains("key 10")), "{:?}", made.losses);
    }
}

#[test]
fn the_conditions_of_local_are_carried_each_as_its_key() {
    let text = "server a.example\nallow\nlocal stratum 10 orphan distance 0.5 activate 0.1 waitsynced 10 waitunsynced 600\n";
    let imported = of_files(&[("/etc/chrony.conf", text)]);
    for line in [
        "local-orphan = true",
        "local-distance = 0.5",
        "local-activate = 0.1",
        "local-wait-synchronised = 10.0",
        "local-wait-unsynchronised = 600.0",
        "local-stratum = 10",
    ] {
        assert!(imported.text.lines().any(|written| written == line), "{line}:\n{}", imported.text);
    }
}

#[test]
fn servers_of_leases_are_lost_where_a_lease_has_brought_some() {
    for (lease, losses) in [(None, 0), (Some("/run/chrony-dhcp/eth0.sources"), 1)] {
        let mut files = Memory::default();
        files.0.insert("/c.conf".to_owned(), b"server a iburst\nsourcedir /run/chrony-dhcp\n".to_vec());
        files.0.extend(lease.map(|path| (path.to_owned(), b"server 192.0.2.1 iburst\n".to_vec())));
        let imported = import(&["/c.conf".to_owned()], Some(crate::Kind::Chrony), &mut files).unwrap();
        assert_eq!(imported.losses.len(), losses, "{:?}", imported.losses);
        assert!(
            !imported.text.contains("192.0.2.1"),
            "it is read by the hook of the next lease: {}",
            imported.text
        );
    }
}
