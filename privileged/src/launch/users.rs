//! Who the processes run as. The passwd file is read here, by hand: no name service runs in this process.

use crate::ending::Ending;
use crate::options::Options;

/// How many users there are: one for each process.
pub const USERS: usize = 7;

/// The place of the last one, who alone may read the private key.
pub const KEY_HOLDER: usize = 6;

/// The packaged users, in the order privileged, engine, client, server, exchange, key service, key holder.
const NAMES: [&str; USERS] = [
    "truechimer-clock",
    "truechimer-engine",
    "truechimer-net",
    "truechimer-serve",
    "truechimer-kex",
    "truechimer-ntske",
    "truechimer-key",
];
const GROUP: &str = "truechimer";

/// Uids and gids, where this process may change to them.
#[derive(Debug)]
pub struct Users {
    identities: Option<[(u32, u32); USERS]>,
    /// The group that may read the control socket.
    pub group: Option<u32>,
    /// That group is not there, and should be.
    pub lacks_group: bool,
    /// A user that is not there, where the start goes on without.
    pub missing: Option<&'static str>,
}

/// What a user's absence means.
pub fn no_user(name: &str) -> String {
    format!("there is no user {name}: run systemd-sysusers (the package does), or give --first-uid N")
}

impl Users {
    /// Finds them.
    ///
    /// # Errors
    /// The user that is missing, and how to make it.
    pub fn find(options: &Options) -> Result<Self, Ending> {
        if !nix::unistd::geteuid().is_root() {
            return Ok(Self { identities: None, group: None, lacks_group: false, missing: None });
        }
        if let Some(first) = options.first_uid {
            let identities = [0, 1, 2, 3, 4, 5, 6].map(|at| (first + at, first + at));
            return Ok(Self { identities: Some(identities), group: None, lacks_group: false, missing: None });
        }
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let mut identities = [(0, 0); USERS];
        for (identity, name) in identities.iter_mut().zip(NAMES) {
            match fields(&passwd, name).map(|line| (number(&line, 2), number(&line, 3))) {
                Some((Some(uid), Some(gid))) if uid != 0 && gid != 0 => *identity = (uid, gid),
                _ if options.insecure || options.check => {
                    return Ok(Self {
                        identities: None,
                        group: None,
                        lacks_group: false,
                        missing: Some(name),
                    });
                }
                _ => return Err(Ending::Launch(no_user(name))),
            }
        }
        let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
        let group = fields(&groups, GROUP).and_then(|line| number(&line, 2));
        Ok(Self { identities: Some(identities), group, lacks_group: group.is_none(), missing: None })
    }

    /// Of this process.
    pub fn privileged(&self) -> Option<(u32, u32)> {
        self.identities.map(|all| all[0])
    }

    /// Of a child, by its place as below.
    pub fn identity(&self, child: usize) -> Option<(u32, u32)> {
        self.identities.map(|all| all[child])
    }

    /// As the words for a child: 1 engine, 2 client, 3 server, 4 exchange, 5 key service, 6 key holder.
    pub fn words(&self, child: usize) -> Vec<String> {
        self.identities.map_or_else(Vec::new, |all| {
            vec![format!("uid={}", all[child].0), format!("gid={}", all[child].1)]
        })
    }
}

/// The user's name with the number, or the number alone.
pub fn name_of(uid: u32) -> String {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let found = named.filter(|line| number(line, 2) == Some(uid)).map(|line| line[0].to_owned()).next();
    found.map_or_else(|| uid.to_string(), |name| format!("{name} ({uid})"))
}

fn fields<'a>(file: &'a str, name: &str) -> Option<Vec<&'a str>> {
    file.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|line| line[0] == name)
}

fn number(line: &[&str], at: usize) -> Option<u32> {
    line.get(at)?.parse().ok()
}
