use super::*;
use engine_core::settings::Place;
use ipc::address::Address;
use ipc::aead::Aead;
use ipc::file_path::FilePath;
use ipc::message::exchange::{CertifiedNames, HostName, Operator, Organisation};
use ipc::message::launch::LaunchPlan;
use ipc::packet::{CookieOctets, MAX_COOKIE};
use ipc::secret::{KeyPair, Secret};
use ipc::units::WallTime;
use proptest::prelude::*;
use std::net::SocketAddr;
use std::path::PathBuf;

const INODE: u64 = 77;

struct Stored(PathBuf);

impl Stored {
    fn new(name: &str, octets: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("truechimer-keys-{name}-{}", std::process::id()));
        std::fs::write(&path, octets).unwrap();
        Self(path)
    }

    fn open(&self) -> KeyFile {
        let file = File::options().read(true).write(true).open(&self.0).unwrap();
        KeyFile::new(file.into(), INODE, Roots::of(&plan()))
    }

    fn octets(&self) -> Vec<u8> {
        std::fs::read(&self.0).unwrap()
    }

    fn edit(&self, edit: impl FnOnce(&mut Vec<u8>)) {
        let mut octets = self.octets();
        edit(&mut octets);
        std::fs::write(&self.0, octets).unwrap();
    }
}

impl Drop for Stored {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn path(text: &str) -> Option<FilePath> {
    Some(FilePath::parse(text).unwrap())
}

fn plan() -> LaunchPlan {
    LaunchPlan {
        system_roots: path("/etc/roots.pem"),
        roots: [path("/a.pem"), path("/b.pem"), None, None],
        ..LaunchPlan::CLIENT
    }
}

fn association(number: u8) -> SavedAssociation {
    let address = |text: &str| Address::from(text.parse::<SocketAddr>().unwrap());
    let server = match number % 2 {
        0 => Place::Name(HostName::parse(&format!("s{number}.example")).unwrap(), 4460),
        _ => Place::Address(address("[fe80::1%3]:4461")),
    };
    SavedAssociation {
        server,
        roots: number % 3,
        address: if number.is_multiple_of(2) {
            address("192.0.2.1:123")
        } else {
            address("[2001:db8::1]:123")
        },
        at: (number % 3 == 1).then(|| address("192.0.2.2:4460")),
        named: (number % 4 == 1).then(|| HostName::parse(&format!("t{number}.example")).unwrap()),
        algorithm: if number.is_multiple_of(2) { Aead::AesSivCmac256 } else { Aead::Aes128GcmSiv },
        keys: KeyPair {
            client_to_server: Secret::of(&[number; 32]).unwrap(),
            server_to_client: Secret::of(&[number.wrapping_add(100); 32]).unwrap(),
        },
        cookies: (0..number % 9)
            .map(|cookie| CookieOctets::from_octets(&vec![cookie; 100 + usize::from(number)]).unwrap())
            .collect(),
        made: WallTime::try_new(1_800_000_000_000_000_000 + i64::from(number)).unwrap(),
        valid_until: WallTime::try_new(1_900_000_000_000_000_000 + i64::from(number)).unwrap(),
        operator: Operator {
            organisation: Organisation::of(&"o".repeat(usize::from(number) * 9 % 64)),
            names: CertifiedNames::of([format!("*.s{number}.example").as_bytes()].into_iter()),
            fingerprint: [number; 32],
        },
    }
}

fn kept(count: u8) -> Kept {
    let state = [count; State::LENGTH];
    Kept {
        ratchet: Some((
            if count.is_multiple_of(2) { Origin::Own } else { Origin::Fleet },
            State::from_octets(&state),
        )),
        associations: (0..count).map(association).collect(),
        left_out: 0,
    }
}

fn assert_same(found: &Kept, expected: &Kept) {
    assert_eq!(found.associations, expected.associations);
    let octets = |kept: &Kept| kept.ratchet.as_ref().map(|(origin, state)| (*origin, *state.octets()));
    assert_eq!(octets(found), octets(expected));
}

#[test]
fn what_was_kept_last_is_loaded() {
    let place = Stored::new("last", b"");
    let mut file = place.open();
    let (nothing, complaint) = file.load();
    assert_same(&nothing, &Kept::default());
    assert_eq!(complaint, None);
    for count in [1, 4, 0, 8, 3, 31, 2] {
        file.save(&kept(count)).unwrap();
        let (found, complaint) = place.open().load();
        assert_same(&found, &kept(count));
        assert_eq!(complaint, None);
    }
    file.save(&Kept::default()).unwrap();
    assert_same(&place.open().load().0, &Kept::default());
}

#[test]
fn the_later_one_of_two_files_counts_and_each_is_judged_by_its_own_inode() {
    for (here, there) in [(0, 3), (2, 3), (3, 2), (2, 2), (0, 0)] {
        let (ours, theirs) = (Stored::new("here", b""), Stored::new("there", b""));
        let open_theirs = |inode| {
            let file = File::options().read(true).write(true).open(&theirs.0).unwrap();
            KeyFile::new(file.into(), inode, Roots::of(&plan()))
        };
        let (mut file, mut aside) = (ours.open(), open_theirs(INODE + 1));
        (1..=here).for_each(|count| file.save(&kept(count)).unwrap());
        (1..=there).for_each(|count| aside.save(&kept(count)).unwrap());
        // A copy of our own file in the other directory is none.
        assert!(ours.open().continue_from(&mut open_theirs(INODE)).is_none(), "{here} {there}");
        let (mut file, mut aside) = (ours.open(), open_theirs(INODE + 1));
        file.load();
        let later = file.continue_from(&mut aside);
        assert_eq!(later.is_some(), there > here, "{here} {there}");
        if let Some(later) = later {
            assert_same(&later, &kept(there));
            file.replace(&later).unwrap();
            assert_same(&ours.open().load().0, &kept(there));
        }
        aside.void();
        assert!(std::fs::read(&theirs.0).unwrap().iter().all(|octet| *octet == 0), "{here} {there}");
    }
}

/// Clients of a server keep their keys over its upgrade, and it keeps its own.
#[test]
fn the_form_before_is_read() {
    let lacks = |number| SavedAssociation { at: None, named: None, ..association(number) };
    let plain = Kept { associations: vec![lacks(2)], ..kept(0) };
    let named = SavedAssociation { named: Some(HostName::parse("t.example").unwrap()), ..lacks(2) };
    let roots = Roots::of(&plan());
    let body = |kept: &Kept| write_body(kept, &roots, SLOT).to_vec();
    let (mut before, other) = (body(&plain), body(&Kept { associations: vec![named], ..kept(0) }));
    // The first difference is the length of that name; before it is where the keys were exchanged.
    let at = (0..before.len()).find(|at| before[*at] != other[*at]).unwrap() - 1;
    assert_eq!(before[at..at + 2], [0, 0]);
    before.drain(at..at + 2);
    let found = read_body(&before, &roots, Form::Before);
    let found = found.expect("as it was written");
    assert_same(&found, &plain);
    assert!(read_body(&before, &roots, Form::Current).is_none());
    // The whole file.
    let place = Stored::new("before", b"");
    place.open().save(&kept(0)).unwrap();
    place.edit(|octets| {
        let slot = octets.iter().position(|octet| *octet != 0).unwrap();
        octets[slot..slot + MAGIC.len()].copy_from_slice(&BEFORE);
        let body = u32::from_be_bytes(octets[slot + 32..slot + 36].try_into().unwrap()) as usize;
        let end = slot + HEAD + body;
        let check = checksum(&octets[slot..end]).to_be_bytes();
        octets[end..end + CHECK].copy_from_slice(&check);
    });
    let (found, complaint) = place.open().load();
    assert_same(&found, &kept(0));
    assert_eq!(complaint, None);
}

#[test]
fn a_restart_goes_on_counting() {
    let place = Stored::new("count", b"");
    place.open().save(&kept(1)).unwrap();
    let mut file = place.open();
    file.load();
    file.save(&kept(2)).unwrap();
    assert_same(&place.open().load().0, &kept(2));
}

#[test]
fn a072_a_write_that_was_cut_short_leaves_the_one_before() {
    let place = Stored::new("cut", b"");
    let mut file = place.open();
    for count in 1..=2 {
        file.save(&kept(count)).unwrap();
    }
    let before = place.octets();
    file.save(&kept(3)).unwrap();
    let after = place.octets();
    let (last, end) = {
        let differs = |at: &usize| before.get(*at) != after.get(*at);
        ((0..SLOT).rfind(differs).unwrap(), after.len())
    };
    assert!(end > SLOT);
    for cut in (1..=last + 1).step_by(7).chain([last, last + 1]) {
        let mut torn = after.clone();
        torn[cut..SLOT].copy_from_slice(&before[cut..SLOT]);
        let torn = Stored::new("torn", &torn);
        let (found, complaint) = torn.open().load();
        assert_same(&found, &kept(if cut > last { 3 } else { 2 }));
        assert!(complaint.is_none_or(|why| why.contains("the other one is used")), "{cut}");
    }
}

#[test]
fn a072_any_flipped_octet_of_the_only_slot_is_seen() {
    let place = Stored::new("flip", b"");
    place.open().save(&kept(3)).unwrap();
    let whole = place.octets();
    for at in 0..whole.len() {
        let place = Stored::new("flipped", &whole);
        place.edit(|octets| octets[at] ^= 1);
        let (found, complaint) = place.open().load();
        // A larger or smaller sequence is as good: the checksum still tells.
        assert_same(&found, &Kept::default());
        assert!(complaint.unwrap().contains("is ignored"), "octet {at}");
    }
}

#[test]
fn a072_a_truncated_file_is_ignored_with_a_reason() {
    let place = Stored::new("truncate", b"");
    place.open().save(&kept(3)).unwrap();
    let whole = place.octets();
    for length in (1..whole.len()).step_by(5) {
        let place = Stored::new("truncated", &whole[..length]);
        let (found, complaint) = place.open().load();
        assert_same(&found, &Kept::default());
        assert!(complaint.unwrap().contains("keys are exchanged anew"), "{length}");
    }
}

#[test]
fn a072_a_file_of_another_host_is_ignored_with_a_reason() {
    let place = Stored::new("host", b"");
    place.open().save(&kept(3)).unwrap();
    let file = File::options().read(true).write(true).open(&place.0).unwrap();
    let (found, complaint) = KeyFile::new(file.into(), INODE + 1, Roots::of(&plan())).load();
    assert_same(&found, &Kept::default());
    assert!(complaint.unwrap().contains("a copy of another host's or of an older file"));
}

#[test]
fn a148_whatever_else_the_file_holds_is_ignored_and_never_read_beyond_two_slots() {
    for (name, octets) in [
        ("text", b"keys = 12\n".to_vec()),
        ("binary", vec![0xff; 1000]),
        ("huge", vec![b'x'; 2 << 20]),
        ("long", [&MAGIC[..], &[0; 16], &[0xff; 4]].concat()),
    ] {
        let place = Stored::new(name, &octets);
        let mut file = place.open();
        let (found, complaint) = file.load();
        assert_same(&found, &Kept::default());
        assert!(complaint.unwrap().contains("ignored"), "{name}");
        file.save(&kept(2)).unwrap();
        assert_same(&place.open().load().0, &kept(2));
    }
}

#[test]
fn roots_are_found_again_by_their_files_and_an_association_without_them_is_left_out() {
    let place = Stored::new("roots", b"");
    place.open().save(&kept(6)).unwrap();
    let file = || File::options().read(true).write(true).open(&place.0).unwrap().into();
    // The other way round, and without the system's.
    let other =
        LaunchPlan { roots: [path("/b.pem"), path("/a.pem"), None, None], system_roots: None, ..plan() };
    let (found, complaint) = KeyFile::new(file(), INODE, Roots::of(&other)).load();
    assert_eq!(complaint, None);
    let found: Vec<(u8, i64)> =
        found.associations.iter().map(|one| (one.roots, one.made.nanos() % 10)).collect();
    assert_eq!(found, [(2, 1), (1, 2), (2, 4), (1, 5)]);
    // The system's file named by a source is another thing than the system's roots.
    let named =
        LaunchPlan { roots: [path("/etc/roots.pem"), None, None, None], system_roots: None, ..plan() };
    assert_eq!(KeyFile::new(file(), INODE, Roots::of(&named)).load().0.associations, []);
}

#[test]
fn the_file_never_grows_beyond_its_bound_whatever_servers_send() {
    let place = Stored::new("bound", b"");
    let mut file = place.open();
    let cookie = CookieOctets::from_octets(&[9; MAX_COOKIE]).unwrap();
    let most = Kept {
        ratchet: kept(1).ratchet,
        associations: (0..40)
            .map(|number| SavedAssociation { cookies: vec![cookie; 8], ..association(number) })
            .collect(),
        left_out: 0,
    };
    for _ in 0..4 {
        file.save(&most).unwrap();
    }
    assert!(place.octets().len() <= 2 * SLOT);
    let (found, complaint) = place.open().load();
    assert_eq!(complaint, None);
    assert!(found.associations.len() > 25, "{}", found.associations.len());
    assert!(found.ratchet.is_some());
}

#[test]
fn a_new_secret_leaves_nothing_of_the_old_one_in_the_file() {
    let place = Stored::new("erased", b"");
    let mut file = place.open();
    let old = |octets: &[u8]| octets.windows(32).any(|window| window == [7; 32]);
    file.save(&kept(7)).unwrap();
    file.save(&kept(7)).unwrap();
    assert!(old(&place.octets()));
    file.replace(&kept(2)).unwrap();
    assert!(!old(&place.octets()));
    assert_same(&place.open().load().0, &kept(2));
    // Shorter than before: the rest is gone too.
    assert!(!place.octets().windows(100).any(|window| window == [5; 100]));
}

proptest! {
    #[test]
    fn no_body_makes_the_reader_panic_and_what_it_takes_it_writes(octets in prop::collection::vec(any::<u8>(), 0..600)) {
        let roots = Roots::of(&plan());
        if let Some(kept) = read_body(&octets, &roots, Form::Current) {
            let again = write_body(&kept, &roots, SLOT);
            prop_assert!(read_body(&again, &roots, Form::Current).is_some());
        }
    }

    #[test]
    fn no_edit_of_a_body_makes_the_reader_panic(at in any::<prop::sample::Index>(), with in any::<u8>(), count in 1u8..9) {
        let roots = Roots::of(&plan());
        let mut body = write_body(&kept(count), &roots, SLOT).to_vec();
        let at = at.index(body.len());
        body[at] = with;
        let _ = read_body(&body, &roots, Form::Current);
        let _ = read_body(&body[..at], &roots, Form::Before);
    }
}

/// Makes it one of a later form, as a build after this one would write it.
fn of_a_later_build(slot: &mut [u8]) {
    slot[15] += 1;
    let body = u32::from_be_bytes(slot[32..36].try_into().unwrap()) as usize;
    let end = HEAD + body;
    let check = checksum(&slot[..end]).to_be_bytes();
    slot[end..end + CHECK].copy_from_slice(&check);
}

#[test]
fn a_file_that_a_later_build_wrote_is_never_written() {
    for later in [&[0][..], &[1], &[0, 1]] {
        let place = Stored::new(&format!("later-{}", later.len() + later[0]), b"");
        let mut file = place.open();
        file.replace(&kept(4)).unwrap();
        place.edit(|octets| later.iter().for_each(|slot| of_a_later_build(&mut octets[slot * SLOT..])));
        let before = place.octets();
        let mut file = place.open();
        let (found, complaint) = file.load();
        assert!(complaint.unwrap().contains("a later build"));
        assert!(
            file.is_left_alone() && found.associations.is_empty(),
            "no cookie is sent at each start again"
        );
        assert_eq!(found.ratchet.is_some(), later.len() == 1, "an earlier slot's secret is good");
        assert!(file.save(&kept(2)).is_err() && file.replace(&kept(2)).is_err());
        file.void();
        assert_eq!(place.octets(), before);
    }
}

#[test]
fn what_only_looks_like_a_later_form_is_damage_and_heals() {
    let damages: [fn(&mut Vec<u8>); 3] = [
        |octets| octets[15] += 1,
        // A copy of another host's.
        |octets| {
            octets[31] ^= 1;
            of_a_later_build(octets);
        },
        |octets| {
            octets[14] ^= 1;
            of_a_later_build(octets);
        },
    ];
    for damage in damages {
        let place = Stored::new("looks-later", b"");
        place.open().replace(&kept(4)).unwrap();
        place.edit(damage);
        let mut file = place.open();
        assert!(file.load().1.is_some() && !file.is_left_alone());
        file.replace(&kept(2)).unwrap();
        assert_eq!(place.open().load().1, None);
    }
}
