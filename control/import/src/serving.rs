//! Where time is served, and to whom.

use crate::access::Rules;
use crate::plan::{Part, Plan, quoted};
use ipc::file_path::FilePath;
use ipc::process::Process;
use ipc::served_at::{InterfaceName, is_index};

/// Most networks in `allow` and `deny` together.
pub const MAX_RULES: usize = 4096;

/// What the other daemon serves.
#[derive(Clone, Debug, Default)]
pub struct Serving {
    /// Who is answered.
    pub rules: Rules,
    /// Addresses, with or without an interface; empty: all.
    pub listen: Vec<String>,
    /// The port; none: the usual one.
    pub port: Option<u16>,
    /// Why nobody is answered here although the other daemon may answer somebody: the section is written as a comment.
    pub blocked: Option<String>,
    /// Why nothing is served, as it was.
    pub unwanted: Option<String>,
    /// The daemon that answers everybody where nothing says whom, as it did here.
    pub open: Option<&'static str>,
    /// Whether keys are exchanged with clients.
    pub nts: Option<KeyExchange>,
}

/// Where keys are exchanged.
#[derive(Clone, Debug, Default)]
pub struct KeyExchange {
    /// Addresses; empty: those of the server.
    pub listen: Vec<String>,
    /// The port; none: the usual one.
    pub port: Option<u16>,
    /// Further certificates, for clients that ask for a name of theirs: the files of certificate and key, and the key's line.
    pub further: Vec<(String, String, usize)>,
}

/// Whether it is the name of an interface, as it can stand in `listen`.
pub fn is_interface(name: &str) -> bool {
    InterfaceName::parse(name).is_ok() && !is_index(name) && !name.contains([':', ']', '[', '%', '/', '"'])
}

impl Serving {
    /// The entries of a `listen` for these addresses, in TOML; families of which no client is answered are left out.
    pub fn entries(&self, listen: &[String], port: u16) -> String {
        let all = ["0.0.0.0".to_owned(), "::".to_owned()];
        let listen = if listen.is_empty() { &all[..] } else { listen };
        let wanted = listen.iter().filter(|address| self.rules.allow_family(address.contains(':')));
        let entries: Vec<String> = wanted
            .map(|address| match address.contains(':') {
                true => format!("\"[{address}]:{port}\""),
                false => format!("\"{address}:{port}\""),
            })
            .collect();
        format!("[{}]", entries.join(", "))
    }

    /// Does not answer anybody, for the first reason that is given.
    pub fn block(&mut self, why: &str) {
        self.blocked.get_or_insert_with(|| why.to_owned());
    }
}

/// The folder of Samba's socket for signatures; the group that may enter it has to change.
pub fn sign(plan: &mut Plan, item: usize, folder: &str) {
    let folder = folder.trim_end_matches('/');
    if FilePath::parse(folder).is_err() {
        return plan.loss(item, "", "not carried: no whole path of a folder that can be used");
    }
    plan.set(Part::Server, "samba-signd", quoted(folder), item);
    let user = Process::Samba.user();
    let by_hand = format!("as samba-signd; another user needs the folder here: chgrp {user} {folder}");
    plan.loss(item, "", &by_hand);
}

/// The least `local-stratum` with `local-orphan`.
pub const LEAST_OF_ORPHANS: u8 = 5;

/// What is said of one that is lower.
pub fn too_low(used: u8) -> String {
    format!(
        "{used} here, which is the least with orphan: no source of that stratum or above has a vote; all servers that are orphans \
         together need the same one"
    )
}
