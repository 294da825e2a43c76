//! NSS modules of the C library, loaded before the process can no longer load code.
//!
//! glibc loads the modules named in `/etc/nsswitch.conf` at the first look-up of a host. That needs executable file
//! mappings, which the filter forbids later; a module that is already loaded is used. Modules that query a daemon over
//! a unix socket get an error, and glibc tries the next module.

/// Loads those that exist.
#[cfg(all(target_env = "gnu", not(target_feature = "crt-static")))]
pub(crate) fn load() {
    let configuration = std::fs::read_to_string("/etc/nsswitch.conf").unwrap_or_default();
    for module in modules(&configuration) {
        if let Ok(library) = std::ffi::CString::new(format!("libnss_{module}.so.2")) {
            crate::kernel::keep_library(&library);
        }
    }
}

/// musl and static programs have none.
#[cfg(not(all(target_env = "gnu", not(target_feature = "crt-static"))))]
pub(crate) fn load() {}

/// The module names on the `hosts` line, without the bracketed actions. `files` and `dns` are part of the C library.
#[cfg_attr(not(target_env = "gnu"), allow(dead_code))]
fn modules(configuration: &str) -> Vec<&str> {
    let hosts = configuration.lines().find_map(|line| line.trim_start().strip_prefix("hosts:"));
    let line = hosts.and_then(|line| line.split('#').next()).unwrap_or_default();
    let mut modules = Vec::new();
    for part in line.split('[') {
        let words = part.rsplit(']').next().unwrap_or_default();
        modules.extend(words.split_whitespace().filter(|word| is_module_name(word)));
    }
    modules
}

fn is_module_name(word: &str) -> bool {
    !matches!(word, "files" | "dns")
        && word.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'_')
}

#[cfg(test)]
mod tests {
    use super::modules;

    #[test]
    fn actions_comments_and_what_the_c_library_has_are_no_modules() {
        let configuration = "passwd: files sss\nhosts: files mdns4_minimal [NOTFOUND=return] dns [ !UNAVAIL = return ] myhostname # mine\n";
        assert_eq!(modules(configuration), ["mdns4_minimal", "myhostname"]);
        assert_eq!(modules("hosts: ../evil resolve"), ["resolve"]);
        assert!(modules("").is_empty() && modules("hosts: [").is_empty());
    }
}
