//! The key holder as a real process: which orders it follows, and where its key can be found.

#[path = "../../key_service/tests/support/mod.rs"]
mod support;

use bench::authority::KeyKind;
use bench::key_client::exchange;
use bench::key_pair::{GENEROUS, Holder, KeyPair};
use bench::{is_root, skip};
use ipc::message::Shortfall;
use ipc::message::key_service::{FromKeyHolder, KeyRead, Scheme, Sign, ToKeyHolder, TranscriptHash, Unread};
use rustls::SignatureScheme;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};
use support::{Setting, plan};

const SCHEMES: [(Scheme, KeyKind, SignatureScheme); 5] = [
    (Scheme::EcdsaP256, KeyKind::P256, SignatureScheme::ECDSA_NISTP256_SHA256),
    (Scheme::Ed25519, KeyKind::Ed25519, SignatureScheme::ED25519),
    (Scheme::RsaPss256, KeyKind::Rsa, SignatureScheme::RSA_PSS_SHA256),
    (Scheme::RsaPss384, KeyKind::Rsa, SignatureScheme::RSA_PSS_SHA384),
    (Scheme::RsaPss512, KeyKind::Rsa, SignatureScheme::RSA_PSS_SHA512),
];

fn order(scheme: Scheme, octet: u8) -> ToKeyHolder {
    ToKeyHolder::Sign(Sign { key: 0, scheme, transcript: TranscriptHash::from_octets(&[octet; 32]).unwrap() })
}

fn start(setting: &Setting) -> Holder {
    let mut holder = Holder::start(&plan(setting, 2, false));
    assert_eq!(holder.hear(0), FromKeyHolder::Hello(Shortfall::NONE));
    assert_eq!(holder.hear(0), FromKeyHolder::Key(KeyRead::Read(setting.fingerprint())));
    holder
}

/// Whether a signature is that of the certificate's key over the content with this hash.
fn is_valid(setting: &Setting, scheme: SignatureScheme, octet: u8, signature: &[u8]) -> bool {
    let content = [&[0x20; 64][..], b"TLS 1.3, server CertificateVerify\0", &[octet; 32]].concat();
    setting.verifies(scheme, &content, signature)
}

#[test]
fn a179_a_signature_is_over_the_content_of_a_certificate_verify_and_by_the_schemes_of_the_key_alone() {
    for kind in [KeyKind::P256, KeyKind::Ed25519, KeyKind::Rsa] {
        let setting = Setting::with(kind);
        let mut holder = start(&setting);
        for (scheme, of, name) in SCHEMES {
            holder.order(1, &order(scheme, 7));
            match holder.hear(1) {
                FromKeyHolder::Signed(signature) => {
                    assert_eq!(of, kind);
                    assert!(is_valid(&setting, name, 7, signature.octets()), "{scheme:?}");
                    assert!(!is_valid(&setting, name, 8, signature.octets()));
                }
                FromKeyHolder::NotSigned => assert_ne!(of, kind),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn a179_a_million_orders_get_no_more_signatures_than_the_rate() {
    let setting = Setting::with(KeyKind::Ed25519);
    let mut holder = start(&setting);
    let begin = Instant::now();
    let (mut signed, mut answered, mut ordered) = (0u64, 0u64, 0u64);
    while answered < 1_000_000 && begin.elapsed() < Duration::from_secs(10) {
        while ordered < answered + 32 {
            holder.order(1, &order(Scheme::Ed25519, 7));
            ordered += 1;
        }
        match holder.hear(1) {
            FromKeyHolder::Signed(_) => signed += 1,
            FromKeyHolder::NotSigned => {}
            other => panic!("{other:?}"),
        }
        answered += 1;
    }
    let most = 2_000 + 20_000 * (begin.elapsed().as_millis() as u64 + 1) / 1_000;
    assert!(signed >= 1_000.min(answered) && signed <= most, "{signed} of {answered}, at most {most}");
}

#[test]
fn a179_a_thread_that_orders_and_never_reads_gets_no_further_and_others_are_served() {
    let setting = Setting::new();
    let mut holder = start(&setting);
    let mut ordered = 0;
    while ordered < 100_000 && holder.try_order(1, &order(Scheme::EcdsaP256, 7)) {
        ordered += 1;
    }
    assert!(ordered < 100_000, "an end that is not read is full some day");
    holder.order(2, &order(Scheme::EcdsaP256, 7));
    assert!(matches!(holder.hear(2), FromKeyHolder::Signed(_)));
    for _ in 0..ordered {
        assert!(matches!(holder.hear(1), FromKeyHolder::Signed(_) | FromKeyHolder::NotSigned));
    }
}

#[test]
fn a_key_is_used_from_use_on_and_by_that_link_alone() {
    let setting = Setting::new();
    let mut holder = start(&setting);
    setting.replace(KeyKind::Ed25519);
    holder.order(0, &ToKeyHolder::Reload(0));
    assert_eq!(holder.hear(0), FromKeyHolder::Key(KeyRead::Read(setting.fingerprint())));
    let signs = |holder: &mut Holder, link: usize, scheme: Scheme| {
        holder.order(link, &order(scheme, 7));
        matches!(holder.hear(link), FromKeyHolder::Signed(_))
    };
    assert!(signs(&mut holder, 1, Scheme::EcdsaP256) && !signs(&mut holder, 1, Scheme::Ed25519));
    holder.order(1, &ToKeyHolder::Use(0));
    assert!(signs(&mut holder, 1, Scheme::Ed25519) && !signs(&mut holder, 1, Scheme::EcdsaP256));
    assert!(signs(&mut holder, 2, Scheme::EcdsaP256), "the other link has the key from before");
}

/// What the file of the key may hold when the holder starts and after a renewal; `None`: it is not there.
const KEYS: [Option<KeyKind>; 7] = [
    None,
    Some(KeyKind::Ed25519),
    Some(KeyKind::P256),
    Some(KeyKind::P384),
    Some(KeyKind::Rsa),
    Some(KeyKind::Rsa4096),
    None,
];

/// The first use of a library asks the kernel for things: it must come before the filter, whichever key is the first.
#[test]
fn a_holder_that_starts_with_any_key_or_none_takes_up_and_uses_any_other_under_its_filter() {
    let made: Vec<_> = KEYS.iter().map(|kind| kind.map(Setting::with)).collect();
    let place = |setting: &Setting, source: &Option<Setting>| match source {
        Some(source) => {
            setting.write(&setting.key, &std::fs::read(&source.key).unwrap());
            setting.write(&setting.chain, &std::fs::read(&source.chain).unwrap());
        }
        None => std::fs::remove_file(&setting.key).unwrap_or_default(),
    };
    for (first, began) in KEYS.iter().zip(&made) {
        for (next, renewed) in KEYS.iter().zip(&made) {
            let setting = Setting::new();
            place(&setting, began);
            let mut holder = Holder::start(&plan(&setting, 1, false));
            assert_eq!(holder.hear(0), FromKeyHolder::Hello(Shortfall::NONE));
            holder.hear(0);
            place(&setting, renewed);
            holder.order(0, &ToKeyHolder::Reload(0));
            let read = holder.hear(0);
            let is_known = next.is_some_and(|kind| kind != KeyKind::P384);
            assert_eq!(matches!(read, FromKeyHolder::Key(KeyRead::Read(_))), is_known, "{first:?} {next:?}");
            holder.order(1, &ToKeyHolder::Use(0));
            for (scheme, ..) in SCHEMES {
                holder.order(1, &order(scheme, 7));
                holder.hear(1);
            }
        }
    }
}

#[test]
fn a_use_that_was_ordered_before_a_reload_means_the_key_before_it() {
    let setting = Setting::new();
    let mut holder = start(&setting);
    for _ in 0..20 {
        setting.replace(KeyKind::Ed25519);
        holder.order(0, &ToKeyHolder::Reload(0));
        if holder.hear(0) == FromKeyHolder::Key(KeyRead::Unreadable(Unread::TooOften)) {
            // Too many within too short a time.
            break;
        }
        setting.replace(KeyKind::P256);
        holder.order(1, &ToKeyHolder::Use(0));
        holder.order(0, &ToKeyHolder::Reload(0));
        holder.hear(0);
        holder.order(1, &order(Scheme::Ed25519, 7));
        assert!(matches!(holder.hear(1), FromKeyHolder::Signed(_)));
    }
}

#[test]
fn a179_the_key_is_read_ten_times_at_once_and_then_once_a_second() {
    let setting = Setting::new();
    let mut holder = start(&setting);
    let begin = Instant::now();
    let read = (0..100).filter(|_| {
        holder.order(0, &ToKeyHolder::Reload(0));
        matches!(holder.hear(0), FromKeyHolder::Key(KeyRead::Read(_)))
    });
    let read = read.count() as u64;
    assert!((10..=11 + begin.elapsed().as_secs()).contains(&read), "{read}");
}

#[test]
fn a_holder_without_a_key_says_so_and_signs_nothing() {
    let setting = Setting::new();
    let unlike = [
        (&b""[..], Unread::Unsupported),
        (b"nothing", Unread::Unsupported),
        (&[0xff; 70_000], Unread::TooLong),
    ];
    for (bad, why) in unlike {
        setting.write(&setting.key, bad);
        let mut holder = Holder::start(&plan(&setting, 1, false));
        assert_eq!(holder.hear(0), FromKeyHolder::Hello(Shortfall::NONE));
        assert_eq!(holder.hear(0), FromKeyHolder::Key(KeyRead::Unreadable(why)));
        holder.order(1, &order(Scheme::EcdsaP256, 7));
        assert_eq!(holder.hear(1), FromKeyHolder::NotSigned);
    }
}

#[test]
fn an_order_on_the_wrong_link_ends_the_holder() {
    let setting = Setting::new();
    for (link, word) in
        [(0, order(Scheme::EcdsaP256, 7)), (0, ToKeyHolder::Use(0)), (1, ToKeyHolder::Reload(0))]
    {
        let mut holder = start(&setting);
        holder.order(link, &word);
        assert_eq!(holder.ending().code(), Some(70), "{word:?}");
    }
}

/// The readable memory of a process.
fn memory(pid: u32) -> Vec<u8> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let file = File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut all = Vec::new();
    for line in
        maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|rights| rights.starts_with("rw")))
    {
        let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let [from, to] = [from, to].map(|text| u64::from_str_radix(text, 16).unwrap());
        let start = all.len();
        all.resize(start + (to - from) as usize, 0);
        if file.read_exact_at(&mut all[start..], from).is_err() {
            all.truncate(start);
        }
    }
    all
}

fn contains(memory: &[u8], secret: &[u8]) -> bool {
    memory.windows(secret.len()).any(|window| window == secret)
}

#[test]
fn a179_no_octets_of_the_private_key_are_in_the_process_that_talks_tls() {
    if !is_root() {
        return skip("only root may read the memory of these processes");
    }
    for kind in [KeyKind::P256, KeyKind::Ed25519, KeyKind::Rsa] {
        let setting = Setting::with(kind);
        let mut pair = KeyPair::start(&plan(&setting, 2, false));
        pair.open(GENEROUS);
        let config = setting.authority.client_config();
        for _ in 0..50 {
            exchange(pair.addresses[0], "localhost", &config, &[15]).unwrap();
        }
        let (service, holder) = pair.pids();
        let secrets = setting.secrets();
        let (service, holder) = (memory(service), memory(holder.unwrap()));
        assert!(service.len() > 100_000);
        for secret in &secrets {
            assert!(!contains(&service, secret), "{kind:?}: {} octets of the key", secret.len());
        }
        let text = std::fs::read(&setting.key).unwrap();
        let lines: Vec<&[u8]> = text.split(|octet| *octet == b'\n').filter(|line| line.len() > 30).collect();
        assert!(!lines.is_empty());
        for line in lines.iter().filter(|line| !line.starts_with(b"-")) {
            assert!(!contains(&service, line), "{kind:?}: the key as text");
            assert!(!contains(&holder, line), "{kind:?}: the key as text, which its holder has no use for");
        }
        let is_there = secrets.iter().any(|secret| contains(&holder, secret));
        assert!(is_there, "{kind:?}: where it is, it is found: the search works");
    }
}
