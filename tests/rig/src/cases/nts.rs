//! An NTS server under the unit on one machine, an NTS client under the unit on another: every process that there is,
//! in its full confinement.

use super::{BOOT, Case, Found, SOON, boot_right};
use crate::guest::{Guest, Stand};
use crate::machine::Start;
use bench::authority::{Authority, Identity, KeyKind, Order, Period};
use serde_json::Value;
use std::time::Instant;

pub const CASES: &[Case] = &[Case::new(
    "nts",
    "NTS server and client, fully confined, certificates of each kind in turn: client's restart to right",
    nts,
)
.ours()];

/// The server's name; there is no name server.
const NAME: &str = "time.rig.test";

/// Where the server has its certificate.
const FOLDER: &str = "/etc/truechimer/nts";

/// A day in seconds.
const DAY: i64 = 86_400;

/// Words in the log of processes that lack confinement, or that ended as they should not.
const TROUBLE: [&str; 4] = ["runs without:", "with less confinement", " was killed by ", " ended with code "];

fn nts(stand: &Stand) -> Result<Found, String> {
    let authority = Authority::new("the rig's authority");
    let mut server = boot_right(stand, &Start::default())?;
    // No two are valid for the same time, so that a client can tell which one it was shown.
    let mut days = 60;
    let mut issue = |key| {
        days += 1;
        let until = bench::authority::now() + days * DAY;
        (
            authority.issue_as(&Order {
                key,
                period: Period { until, ..Period::current() },
                ..Order::new(&[NAME])
            }),
            until,
        )
    };
    let configuration = format!(
        "[server]\nlisten = [\"0.0.0.0:123\"]\nallow = [\"10.77.0.0/24\"]\n[server.nts]\n\
         listen = [\"0.0.0.0:4460\"]\ncertificate = \"{FOLDER}/fullchain.pem\"\nkey = \"{FOLDER}/key.pem\"\n"
    );
    let (identity, until) = issue(KeyKind::P256);
    server.read(&format!("mkdir -p {FOLDER}"))?;
    install(&mut server, &identity)?;
    server.read(&format!(
        "cat >> /etc/truechimer/truechimer.toml <<'EOF'\n{configuration}EOF\nsystemctl restart truechimer"
    ))?;
    server.wait_until_active(Instant::now(), SOON)?;
    server.wait_for("chimerctl wait-sync --timeout 20", Instant::now(), SOON)?;

    let second = Start { second: true, ..Start::default() };
    let mut client = stand.boot_from(stand.second_disk()?, &second)?;
    client.wait_until_active(client.machine.started(), BOOT)?;
    let configuration = format!(
        "[[source]]\naddress = \"{NAME}\"\nmode = \"nts\"\n[nts]\nsystem-roots = \"/etc/ssl/rig.pem\"\n"
    );
    client.read(&format!("echo '10.77.0.2 {NAME}' >> /etc/hosts && mkdir -p /etc/ssl"))?;
    put(&mut client, "/etc/ssl/rig.pem", &authority.pem())?;
    put(&mut client, "/etc/truechimer/truechimer.toml", &configuration)?;
    // Wrong while nothing runs: what puts it right is the NTS source alone.
    client.read("systemctl stop truechimer && date -s '+0.7 seconds' > /dev/null")?;
    let since = Instant::now();
    client.read("systemctl start truechimer")?;
    let took = client.wait_until_right(since, SOON)?;
    authenticated_with(&mut client, until)?;

    for kind in [KeyKind::Ed25519, KeyKind::Rsa, KeyKind::P256] {
        let (identity, until) = issue(kind);
        renewed(&mut server, &identity)
            .and_then(|()| forget_keys(&mut client))
            .and_then(|()| authenticated_with(&mut client, until))
            .map_err(|error| format!("with a certificate of {kind:?}: {error}"))?;
    }
    for (name, guest) in [("server", &mut server), ("client", &mut client)] {
        unharmed(guest).map_err(|error| format!("{name}: {error}"))?;
    }
    let served = server.read("chimerctl server --json")?;
    client.found(took, &format!("server: {}", served.trim().chars().take(400).collect::<String>()))
}

/// Writes a file, a few lines at a time: the guest's line loses what comes in one piece and is too long.
pub(super) fn put(guest: &mut Guest<'_>, path: &str, text: &str) -> Result<(), String> {
    guest.read(&format!(": > {path}"))?;
    let lines: Vec<&str> = text.lines().collect();
    for some in lines.chunks(8) {
        guest.read(&format!("cat >> {path} <<'EOF'\n{}\nEOF", some.join("\n")))?;
    }
    Ok(())
}

/// Puts certificate and key where the daemon reads them, the key for the key holder alone.
fn install(server: &mut Guest<'_>, identity: &Identity) -> Result<(), String> {
    let (chain, key) = (format!("{FOLDER}/fullchain.pem"), format!("{FOLDER}/key.pem"));
    put(server, &format!("{chain}.new"), &identity.chain_pem)?;
    put(server, &format!("{key}.new"), &identity.key_pem)?;
    let rights = format!("chown truechimer-key {key}.new && chmod 600 {key}.new");
    server.read(&format!("{rights} && mv {key}.new {key} && mv {chain}.new {chain}")).map(drop)
}

/// Renews the certificate as the documentation says.
fn renewed(server: &mut Guest<'_>, identity: &Identity) -> Result<(), String> {
    install(server, identity)?;
    server.read("chimerctl reload").map(drop)
}

/// Has the client begin without keys and cookies, so that it needs a key exchange.
fn forget_keys(client: &mut Guest<'_>) -> Result<(), String> {
    client
        .read("systemctl stop truechimer && rm /var/lib/truechimer/engine.keys && systemctl start truechimer")
        .map(drop)
}

/// Waits until the client is synchronised to its one source by what it has authenticated, with keys from a server that
/// showed a certificate which is valid until then.
fn authenticated_with(client: &mut Guest<'_>, until: i64) -> Result<(), String> {
    client.wait_for("chimerctl wait-sync --timeout 20", Instant::now(), SOON)?;
    let sources = read_json(client, "chimerctl sources --json")?;
    let source = &sources["sources"][0];
    let holds = source["authenticated"] == true
        && source["nts"]["state"] == "ready"
        && source["nts"]["certificate_until"] == until
        && source["reach"].as_u64() > Some(0);
    if holds {
        Ok(())
    } else {
        Err(format!("not authenticated with the certificate until {until}: {source}"))
    }
}

/// Every process runs since its start, in its full confinement.
fn unharmed(guest: &mut Guest<'_>) -> Result<(), String> {
    let restarts = guest.read("systemctl show truechimer.service -P NRestarts")?;
    if restarts.trim() != "0" {
        return Err(format!("it was restarted {} times", restarts.trim()));
    }
    let journal = guest.journal()?;
    if let Some(line) = journal.iter().find(|line| TROUBLE.iter().any(|word| line.contains(word))) {
        return Err(format!("the journal says: {line}"));
    }
    confined(guest, "chimerctl").map(drop)
}

/// How many processes there are, each of which has its full confinement as this chimerctl tells.
pub(super) fn confined(guest: &mut Guest<'_>, chimerctl: &str) -> Result<usize, String> {
    let status = read_json(guest, &format!("{chimerctl} status --json"))?;
    let shortfalls = status["shortfalls"].as_object().filter(|all| !all.is_empty());
    let shortfalls = shortfalls.ok_or_else(|| format!("no process says how it is confined: {status}"))?;
    let short =
        shortfalls.iter().find(|(_, missing)| missing.as_array().is_none_or(|missing| !missing.is_empty()));
    short.map_or(Ok(shortfalls.len()), |(process, missing)| Err(format!("{process} runs without {missing}")))
}

pub(super) fn read_json(guest: &mut Guest<'_>, command: &str) -> Result<Value, String> {
    let text = guest.read(command)?;
    serde_json::from_str(&text).map_err(|error| format!("{command}: {error}: {text}"))
}
