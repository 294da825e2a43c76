//! Which services the C library asks for the addresses of a name: of those in `/etc/nsswitch.conf` only the two that are
//! part of the C library, `files` and `dns`, in the order that is given there.
//!
//! Every other one is a module that glibc loads at the first look-up, or whenever the file names a new one: code for
//! which the filter has no rules, from files that this process does not see. Those that exist ask a daemon over a unix
//! socket, which a look-up has not got; without them it goes on to the next service, as it does where the daemon does not
//! run.

/// The file that names the services.
#[cfg(target_env = "gnu")]
const FILE: &str = "/etc/nsswitch.conf";

/// The most octets that are read of it.
#[cfg(target_env = "gnu")]
const MAX_FILE: usize = 64 * 1024;

/// From now on the host look-ups of this process ask no other services. Where the file names neither, or does not exist,
/// the C library's own default stays, which has no others.
#[cfg(target_env = "gnu")]
pub(crate) fn restrict() {
    use std::io::Read;
    // Not `std::fs::read`: it asks for the size with a call that the filter of this process does not permit.
    let mut text = Vec::with_capacity(MAX_FILE + 1);
    let read = std::fs::File::open(FILE).and_then(|file| file.take(MAX_FILE as u64).read_to_end(&mut text));
    let services = services(&String::from_utf8_lossy(&text));
    if let (Ok(_), Ok(services)) = (read, std::ffi::CString::new(services)) {
        crate::kernel::ask_for_hosts(&services);
    }
}

/// musl has no others.
#[cfg(not(target_env = "gnu"))]
pub(crate) fn restrict() {}

/// The services of the `hosts` line that are part of the C library, each with the bracketed actions that follow it. Where
/// a line has none of them, its modules would ask the name server that `dns` asks, or nobody.
#[cfg_attr(not(target_env = "gnu"), allow(dead_code))]
fn services(configuration: &str) -> String {
    const DEFAULT: &str = "files dns";
    let hosts = configuration.lines().find_map(|line| line.trim_start().strip_prefix("hosts:"));
    let Some(line) = hosts.and_then(|line| line.split('#').next()) else { return DEFAULT.to_owned() };
    let mut kept: Vec<String> = Vec::new();
    let mut is_kept = false;
    for (at, part) in line.split('[').enumerate() {
        let (actions, names) = if at == 0 { ("", part) } else { part.split_once(']').unwrap_or_default() };
        if let Some(last) = kept.last_mut().filter(|_| is_kept && !actions.is_empty()) {
            last.push_str(&format!(" [{actions}]"));
        }
        for name in names.split_whitespace() {
            is_kept = matches!(name, "files" | "dns");
            if is_kept {
                kept.push(name.to_owned());
            }
        }
    }
    if kept.is_empty() { DEFAULT.to_owned() } else { kept.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::services;

    #[test]
    fn only_what_the_c_library_has_itself_is_asked_in_the_order_of_the_file() {
        let of = |hosts: &str| services(&format!("passwd: files sss\n {hosts}\nnetworks: files\n"));
        for (hosts, expected) in [
            ("hosts: files dns", "files dns"),
            ("hosts:dns files # mine", "dns files"),
            ("hosts: files", "files"),
            ("hosts: files mdns4_minimal [NOTFOUND=return] dns mymachines", "files dns"),
            ("hosts: files myhostname resolve [!UNAVAIL=return] dns", "files dns"),
            (
                "hosts: files [ NOTFOUND=continue ] dns [!UNAVAIL=return] sss",
                "files [ NOTFOUND=continue ] dns [!UNAVAIL=return]",
            ),
            ("hosts: resolve [!UNAVAIL=return] myhostname", "files dns"),
            ("hosts: files [NOTFOUND=return", "files"),
            ("hosts:", "files dns"),
            ("hosts: ../evil [", "files dns"),
        ] {
            assert_eq!(of(hosts), expected, "{hosts}");
        }
        assert_eq!(services(""), "files dns");
    }
}
