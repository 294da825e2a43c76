//! An NTS server under the unit on one machine, an NTS client under the unit on another.

use super::{BOOT, Case, Found, SOON, boot_right};
use crate::guest::Stand;
use crate::machine::Start;
use bench::authority::Authority;
use std::time::Instant;

pub const CASES: &[Case] =
    &[Case::new("nts", "NTS server on one machine, client on another: client's restart to right", nts)
        .ours()];

/// The server's name; there is no name server.
const NAME: &str = "time.rig.test";

fn nts(stand: &Stand) -> Result<Found, String> {
    let authority = Authority::new("the rig's authority");
    let identity = authority.issue(&[NAME]);
    let mut server = boot_right(stand, &Start::default())?;
    let put = |path: &str, text: &str| format!("cat > {path} <<'EOF'\n{}\nEOF\n", text.trim_end());
    let configuration = "[server]\nlisten = [\"0.0.0.0:123\"]\nallow = [\"10.77.0.0/24\"]\n[server.nts]\n\
                         listen = [\"0.0.0.0:4460\"]\ncertificate = \"/etc/truechimer/nts/fullchain.pem\"\n\
                         key = \"/etc/truechimer/nts/key.pem\"\n";
    server.read(&format!(
        "mkdir -p /etc/truechimer/nts\n{}{}chown truechimer-key /etc/truechimer/nts/key.pem\nchmod 600 /etc/truechimer/nts/key.pem\n\
         cat >> /etc/truechimer/truechimer.toml <<'EOF'\n{configuration}EOF\nsystemctl restart truechimer",
        put("/etc/truechimer/nts/fullchain.pem", &identity.chain_pem),
        put("/etc/truechimer/nts/key.pem", &identity.key_pem),
    ))?;
    server.wait_until_active(Instant::now(), SOON)?;
    server.wait_for("chimerctl wait-sync --timeout 20", Instant::now(), SOON)?;

    let second = Start { second: true, ..Start::default() };
    let mut client = stand.boot_from(stand.second_disk()?, &second)?;
    client.wait_until_active(client.machine.started(), BOOT)?;
    let configuration = format!(
        "[[source]]\naddress = \"{NAME}\"\nmode = \"nts\"\n[nts]\nsystem-roots = \"/etc/ssl/rig.pem\"\n"
    );
    client.read(&format!(
        "echo '10.77.0.2 {NAME}' >> /etc/hosts\nmkdir -p /etc/ssl\n{}{}date -s '+0.7 seconds'\nsystemctl restart truechimer",
        put("/etc/ssl/rig.pem", &authority.pem()),
        put("/etc/truechimer/truechimer.toml", &configuration),
    ))?;
    let since = Instant::now();
    let took = client.wait_until_right(since, SOON)?;
    client.wait_for("chimerctl sources | grep -i nts", since, SOON)?;
    let served = server.read("chimerctl server --json")?;
    client.found(took, &format!("server: {}", served.trim().chars().take(400).collect::<String>()))
}
