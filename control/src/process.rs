//! What the kernel reports of a process, read from outside in /proc: not what the process says of itself.

use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Namespaces that are compared with our own.
const NAMESPACES: [&str; 5] = ["net", "mnt", "user", "ipc", "uts"];

/// The longest file of /proc, or password file, that is read, in octets.
const MAX_FILE: u64 = 1 << 20;

/// Names of the capabilities by number (linux/capability.h).
const CAPABILITIES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// One process as seen from outside. What cannot be read is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Process {
    /// Its role, as the engine names it.
    pub name: String,
    /// Its pid.
    pub pid: u32,
    /// The kernel's name of its program.
    pub program: Option<String>,
    /// Effective user.
    pub uid: Option<u32>,
    /// That user's name on this host.
    pub user: Option<String>,
    /// Effective capabilities.
    pub capabilities: Option<Vec<String>>,
    /// 0 none, 1 strict, 2 filter.
    pub seccomp: Option<u32>,
    /// Whether an exec can gain privileges.
    pub no_new_privs: Option<bool>,
    /// For each namespace `own` (another one than that of this process), `shared`, or `unknown`.
    pub namespaces: BTreeMap<&'static str, &'static str>,
    /// Resident memory.
    pub rss_kib: Option<u64>,
    /// Resident memory, shared pages divided among their users.
    pub pss_kib: Option<u64>,
}

impl Process {
    /// Reads everything that is readable.
    pub fn observe(name: &str, pid: u32) -> Self {
        let place = Path::new("/proc").join(pid.to_string());
        let mut process = Self { name: name.to_owned(), pid, ..Self::default() };
        process.take_status(&read(&place.join("status")).unwrap_or_default());
        process.user = process.uid.and_then(|uid| user_name(&read(Path::new("/etc/passwd"))?, uid));
        process.pss_kib = read(&place.join("smaps_rollup")).and_then(|text| kib(field(&text, "Pss")?));
        process.namespaces = NAMESPACES
            .into_iter()
            .map(|kind| {
                let theirs = std::fs::read_link(place.join("ns").join(kind));
                let ours = std::fs::read_link(Path::new("/proc/self/ns").join(kind));
                let state = match (theirs, ours) {
                    (Ok(theirs), Ok(ours)) if theirs == ours => "shared",
                    (Ok(_), Ok(_)) => "own",
                    _ => "unknown",
                };
                (kind, state)
            })
            .collect();
        process
    }

    fn take_status(&mut self, text: &str) {
        self.program = field(text, "Name").map(str::to_owned);
        self.uid = field(text, "Uid").and_then(|uids| uids.split_whitespace().nth(1)?.parse().ok());
        self.capabilities = field(text, "CapEff").and_then(capability_names);
        self.seccomp = field(text, "Seccomp").and_then(|mode| mode.parse().ok());
        self.no_new_privs = field(text, "NoNewPrivs").map(|set| set == "1");
        self.rss_kib = field(text, "VmRSS").and_then(kib);
    }

    /// Whether it is one of our programs (or gone): the pid comes from the engine and may belong to any process.
    pub fn is_ours(&self) -> bool {
        self.program.as_ref().is_none_or(|name| name.starts_with("truechimer"))
    }
}

/// Processor time that it has used, in seconds.
pub fn cpu_seconds(pid: u32) -> Option<f64> {
    cpu_of(&read(&Path::new("/proc").join(pid.to_string()).join("stat"))?)
}

fn cpu_of(stat: &str) -> Option<f64> {
    // The name may have blanks and parentheses in it. The kernel counts in hundredths of a second for everybody.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some((next()?.saturating_add(next()?)) as f64 / 100.0)
}

fn read(path: &Path) -> Option<String> {
    let mut octets = Vec::new();
    File::open(path).ok()?.take(MAX_FILE).read_to_end(&mut octets).ok()?;
    Some(String::from_utf8_lossy(&octets).into_owned())
}

fn field<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(str::trim)
}

fn kib(value: &str) -> Option<u64> {
    value.strip_suffix("kB")?.trim().parse().ok()
}

fn capability_names(mask: &str) -> Option<Vec<String>> {
    let mask = u64::from_str_radix(mask, 16).ok()?;
    let held = (0..64_usize).filter(|number| mask >> number & 1 == 1);
    Some(
        held.map(|number| match CAPABILITIES.get(number) {
            Some(name) => (*name).to_owned(),
            None => format!("CAP_{number}"),
        })
        .collect(),
    )
}

fn user_name(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\ttruechimerd\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t77\nUid:\t0\t970\t970\t970\n\
        VmPeak:\t    9000 kB\nVmRSS:\t    2345 kB\nCapInh:\t0000000000000000\nCapPrm:\t0000000002000000\n\
        CapEff:\t0000000002000000\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n";

    #[test]
    fn the_fields_of_a_status_file_are_found() {
        let mut process = Process::default();
        process.take_status(STATUS);
        assert_eq!(process.program.as_deref(), Some("truechimerd"));
        assert_eq!(process.uid, Some(970), "the effective one");
        assert_eq!(process.capabilities, Some(vec!["CAP_SYS_TIME".to_owned()]));
        assert_eq!((process.seccomp, process.no_new_privs), (Some(2), Some(true)));
        assert_eq!(process.rss_kib, Some(2345));
    }

    #[test]
    fn processor_time_is_that_of_the_process_and_of_the_kernel_for_it() {
        let stat = "77 (a ) b) S 1 77 77 0 -1 4194560 10 0 0 0 250 31 0 0 20 0 1 0 5";
        assert_eq!(cpu_of(stat), Some(2.81));
        assert_eq!((cpu_of("77 (a) S 1"), cpu_of("")), (None, None));
        assert!(cpu_seconds(std::process::id()).is_some() && cpu_seconds(u32::MAX).is_none());
    }

    #[test]
    fn what_is_not_there_or_not_a_number_is_unknown() {
        for text in ["", "Uid:\nCapEff:\tzz\nSeccomp:\t-\nVmRSS:\t1 MB\n", "Uid:\t1\n", "\u{0}\u{0}"] {
            let mut process = Process::default();
            process.take_status(text);
            assert_eq!((process.uid, process.seccomp, process.rss_kib), (None, None, None), "{text:?}");
            assert_eq!(process.capabilities, None);
        }
    }

    #[test]
    fn capabilities_have_their_names() {
        assert_eq!(capability_names("0").unwrap(), Vec::<String>::new());
        assert_eq!(capability_names("0000000002000400").unwrap(), ["CAP_NET_BIND_SERVICE", "CAP_SYS_TIME"]);
        assert_eq!(capability_names("20000000000").unwrap(), ["CAP_41"]);
        assert_eq!(capability_names("000001ffffffffff").unwrap().len(), 41);
    }

    #[test]
    fn a_user_has_the_name_of_the_first_line_with_its_number() {
        let passwd = "root:x:0:0::/root:/bin/sh\nbroken\ntruechimer-engine:x:971:971::/:/bin/false\n";
        assert_eq!(user_name(passwd, 971).as_deref(), Some("truechimer-engine"));
        assert_eq!(user_name(passwd, 5), None);
    }

    #[test]
    fn this_process_shares_its_own_namespaces() {
        let own = Process::observe("self", std::process::id());
        assert!(own.namespaces.values().all(|state| *state == "shared"));
        assert!(own.rss_kib.is_some() && own.uid.is_some());
        assert!(!own.is_ours() || own.program.unwrap().starts_with("truechimer"));
        let gone = Process::observe("gone", u32::MAX);
        assert!(gone.namespaces.values().all(|state| *state == "unknown"));
        assert!(gone.program.is_none() && gone.is_ours());
    }
}
