use super::*;
use std::fs::File;
use std::path::PathBuf;

fn file(name: &str, octets: &[u8]) -> PathBuf {
    let path = std::env::temp_dir().join(format!("truechimer-toml-{name}-{}", std::process::id()));
    std::fs::write(&path, octets).unwrap();
    path
}

fn load_once(name: &str, octets: &[u8]) -> Result<Configuration, ConfigurationError> {
    let path = file(name, octets);
    let loaded = load(&File::open(&path).unwrap(), "name.toml", false);
    std::fs::remove_file(path).unwrap();
    loaded
}

#[test]
fn a_file_is_read_to_its_end() {
    let padded = format!("{}\n#{}\n{WHOLE}", source(""), "x".repeat(40_000));
    assert_eq!(load_once("whole", padded.as_bytes()).unwrap().settings.sources.len(), 3);
}

#[test]
fn a151_empty_long_binary_and_unreadable_files_are_refused() {
    assert!(load_once("empty", b"").unwrap_err().to_string().contains("says nothing"));
    let long = "#".repeat(MAX_FILE) + "\n";
    assert_eq!(load_once("long", long.as_bytes()), Err(ConfigurationError::TooLong("name.toml".into())));
    // A text that a reload brings has another way.
    let sent = format!("{WHOLE}\n#{long}");
    assert_eq!(read_whole(&sent, "new", true), Err(ConfigurationError::TooLong("new".into())));
    let endless = load(&File::open("/dev/zero").unwrap(), "zero", false);
    assert_eq!(endless, Err(ConfigurationError::TooLong("zero".into())));
    let binary = load_once("binary", b"[[source]]\n\xff\xfe").unwrap_err().to_string();
    assert!(binary.contains("name.toml:2: not text in UTF-8"), "{binary}");
    let directory = load(&File::open("/").unwrap(), "root\n", false).unwrap_err().to_string();
    assert!(directory.contains("root\\n: cannot be read (Is a directory)"), "{directory}");
}
