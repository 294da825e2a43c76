//! The Debian archive that this machine takes its packages from.

use std::fs;

/// Its address.
///
/// # Errors
/// Where apt's sources name none.
pub fn archive() -> Result<String, String> {
    let files =
        fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten().map(|file| file.path());
    let texts: Vec<String> = std::iter::once("/etc/apt/sources.list".into())
        .chain(files)
        .filter(|path| path.extension().is_some_and(|end| end == "list" || end == "sources"))
        .filter_map(|path| fs::read_to_string(path).ok())
        .collect();
    find(&texts.concat()).map(str::to_owned).ok_or_else(|| "no Debian archive in apt's sources".into())
}

/// The first address of an archive whose path ends in `debian`, in either form of apt's sources.
fn find(sources: &str) -> Option<&str> {
    let lines = sources.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines
        .flat_map(str::split_whitespace)
        .find(|word| word.contains("://") && word.trim_end_matches('/').ends_with("/debian"))
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn the_archive_is_found_in_both_forms() {
        let old =
            "# deb http://a.example/debian x main\ndeb [arch=amd64] http://b.example/debian stable main\n";
        assert_eq!(find(old), Some("http://b.example/debian"));
        let new = "Types: deb\nURIs: https://s.example/debian-security\nURIs: https://c.example/debian/\n";
        assert_eq!(find(new), Some("https://c.example/debian/"));
        assert_eq!(find("deb https://d.example/apt main"), None);
    }
}
