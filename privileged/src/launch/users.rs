//! The users of the processes. The passwd file is parsed here: no name service runs in this process.

use crate::options::Options;
use ipc::message::launch::LaunchPlan;
use ipc::process::{PerProcess, Process};
use keeper::ending::Ending;

const GROUP: &str = "truechimer";

/// Uids and gids, if this process may change to them.
#[derive(Debug)]
pub struct Users {
    identities: Option<PerProcess<(u32, u32)>>,
    /// The group that may read the control socket.
    pub group: Option<u32>,
    /// The group is missing.
    pub lacks_group: bool,
    /// A missing user, if the start continues without it.
    pub missing: Option<&'static str>,
    /// The processes that few configurations want and whose users are missing.
    pub lacking: Vec<Process>,
}

/// The message about a missing user.
pub fn no_user(name: &str) -> String {
    format!(
        "there is no user {name}: run systemd-sysusers (the package does), or useradd --system --user-group --no-create-home {name}, \
         or give --first-uid N"
    )
}

impl Users {
    /// Finds them.
    ///
    /// # Errors
    /// The user that is missing, and how to create it.
    pub fn find(options: &Options) -> Result<Self, Ending> {
        if !nix::unistd::geteuid().is_root() {
            return Ok(Self {
                identities: None,
                group: None,
                lacks_group: false,
                missing: None,
                lacking: Vec::new(),
            });
        }
        if let Some(first) = options.first_uid {
            let identities = PerProcess::from_fn(|process| (first + process as u32, first + process as u32));
            return Ok(Self {
                identities: Some(identities),
                group: None,
                lacks_group: false,
                missing: None,
                lacking: Vec::new(),
            });
        }
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let mut identities = PerProcess::default();
        let mut lacking = Vec::new();
        for process in Process::ALL {
            let name = process.user();
            match fields(&passwd, name).map(|line| (number(&line, 2), number(&line, 3))) {
                Some((Some(uid), Some(gid))) if uid != 0 && gid != 0 => identities[process] = (uid, gid),
                // Whether it is needed says the configuration, which is read later.
                _ if matches!(process, Process::Samba | Process::Refclock) => lacking.push(process),
                _ if options.insecure || options.check => {
                    return Ok(Self {
                        identities: None,
                        group: None,
                        lacks_group: false,
                        missing: Some(name),
                        lacking: Vec::new(),
                    });
                }
                _ => return Err(Ending::Launch(no_user(name))),
            }
        }
        let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
        let group = fields(&groups, GROUP).and_then(|line| number(&line, 2));
        Ok(Self { identities: Some(identities), group, lacks_group: group.is_none(), missing: None, lacking })
    }

    /// Uid and gid of a process.
    pub fn identity(&self, process: Process) -> Option<(u32, u32)> {
        self.identities.map(|all| all[process]).filter(|(uid, gid)| *uid != 0 && *gid != 0)
    }

    /// The user that this plan needs and that is missing.
    pub fn needed(&self, plan: &LaunchPlan) -> Option<&'static str> {
        self.lacking.iter().find(|process| process.is_wanted(plan)).map(|process| process.user())
    }

    /// The same as words for a child.
    pub fn words(&self, process: Process) -> Vec<String> {
        let (identity, keeper) = (self.identity(process), self.identity(Process::Privileged));
        let words = identity.map(|(uid, gid)| [format!("uid={uid}"), format!("gid={gid}")]);
        let keeper = keeper.map(|(uid, _)| format!("keeper-uid={uid}"));
        words.into_iter().flatten().chain(keeper).collect()
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
