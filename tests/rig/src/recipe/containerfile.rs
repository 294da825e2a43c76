//! What packaging/container/Containerfile says of how its images are run.

/// The file.
pub const TEXT: &str = include_str!("../../../../packaging/container/Containerfile");

/// The words of the `podman run` at the head between these two and the name of the image, without the ports, which belong
/// to the server.
///
/// # Errors
/// There is no such command.
pub fn options() -> Result<Vec<String>, String> {
    let lines = TEXT.lines().skip_while(|line| !line.starts_with("#   podman run "));
    let mut text = String::new();
    for line in lines {
        let line = line.trim_start_matches('#').trim();
        text.push_str(line.trim_end_matches('\\'));
        if !line.ends_with('\\') {
            break;
        }
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    let Some((["podman", "run"], [options @ .., "truechimer-server"])) = words.split_at_checked(2) else {
        return Err(format!("Containerfile: no `podman run ... truechimer-server` at its head: {text}"));
    };
    let mut kept = Vec::new();
    let mut options = options.iter();
    while let Some(word) = options.next() {
        match *word {
            "-p" => drop(options.next()),
            word => kept.push(word.to_owned()),
        }
    }
    Ok(kept)
}

/// The command of the image that this stage makes, as a JSON array.
///
/// # Errors
/// There is no such stage, or it has no ENTRYPOINT.
pub fn entry_point(stage: &str) -> Result<&'static str, String> {
    let end = format!(" AS {stage}");
    let lines = TEXT.lines().skip_while(|line| !(line.starts_with("FROM ") && line.ends_with(&end)));
    let of_stage = lines.skip(1).take_while(|line| !line.starts_with("FROM "));
    let found = of_stage.filter_map(|line| line.strip_prefix("ENTRYPOINT ")).next();
    found.ok_or_else(|| format!("Containerfile: no ENTRYPOINT in the stage {stage}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_at_the_head_is_read_to_its_end() {
        let options = options().unwrap();
        assert_eq!(options.first().map(String::as_str), Some("-d"));
        assert!(options.contains(&"--read-only".to_owned()), "{options:?}");
        assert!(options.last().is_some_and(|last| last.ends_with(":/var/lib/truechimer")), "{options:?}");
        assert!(!options.iter().any(|word| word.contains("4460")), "{options:?}");
    }

    #[test]
    fn each_image_has_its_own_command() {
        assert_eq!(entry_point("client"), Ok("[\"/usr/sbin/truechimerd\", \"--container\"]"));
        assert!(entry_point("server").unwrap().contains("none"));
        assert!(entry_point("root").is_err());
    }
}
