//! The same in the format of debian/copyright, where each source has its holders and its licence.

use super::{files, read, taken};
use std::fmt::Write;
use std::path::Path;

/// A stanza for each linked crate of others, at the place where the released source has it.
///
/// # Errors
/// As [`taken`].
pub fn stanzas() -> Result<String, String> {
    let mut text = String::new();
    for ((name, version), (found, ways)) in taken()? {
        let mut holders = Vec::new();
        // What a crate says of its examples and tests is not of what is linked.
        for file in files(&found.folder)?.iter().filter(|file| !is_of_others(file)) {
            for holder in read(file)?.lines().filter_map(holder) {
                if !holders.contains(&holder) {
                    holders.push(holder);
                }
            }
        }
        if holders.is_empty() {
            holders = found.authors;
        }
        if holders.is_empty() {
            holders.push(format!("The authors of {name}"));
        }
        let (holders, licence) = (holders.join("\n           "), ways.in_debians_words());
        let _ =
            write!(text, "\nFiles: vendor/{name}-{version}/*\nCopyright: {holders}\nLicense: {licence}\n");
    }
    Ok(text)
}

fn is_of_others(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name.to_string_lossy().contains("THIRD-PARTY"))
}

/// Whom a line of a licence names, if it is one that does: the forms that licences have to be filled in are none, nor are their
/// sentences.
fn holder(line: &str) -> Option<String> {
    let rest = line.trim().strip_prefix("Copyright")?;
    let rest = rest.strip_prefix(':').or_else(|| rest.strip_prefix(' '))?.trim();
    let rest = ["(c)", "(C)", "©"].iter().find_map(|sign| rest.strip_prefix(sign)).unwrap_or(rest).trim();
    let rest =
        rest.trim_end_matches(" or").trim_end_matches(" (see").trim_end_matches(" All rights reserved.");
    let rest = rest.trim_end_matches(" All Rights Reserved.");
    let is_name = !rest.is_empty() && !rest.starts_with("notice") && !rest.contains(['[', '{']);
    is_name.then(|| rest.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cargo::workspace;
    use crate::licences::taken;
    use std::collections::BTreeSet;

    #[test]
    fn a_holder_is_what_a_notice_names_and_no_form_and_no_sentence() {
        for (line, name) in [
            ("Copyright (c) 2014 Alex Crichton", Some("2014 Alex Crichton")),
            ("   Copyright 2019 The Fuchsia Authors.", Some("2019 The Fuchsia Authors.")),
            ("Copyright © 1993,2004 Sun Microsystems or", Some("1993,2004 Sun Microsystems")),
            ("Copyright: 2017-2019, Project contributors", Some("2017-2019, Project contributors")),
            ("Copyright (c) 2016 A B <a@b.example>", Some("2016 A B <a@b.example>")),
            ("Copyright [yyyy] [name of copyright owner]", None),
            ("Copyright {yyyy} {name of copyright owner}", None),
            ("Copyright notices are retained in src/* files where relevant.", None),
            ("COPYRIGHT AND/OR OTHER APPLICABLE LAW.", None),
            ("Copyrights in the project are retained by their contributors.", None),
            ("copyright notice and this permission notice appear in all copies.", None),
        ] {
            assert_eq!(holder(line).as_deref(), name, "{line}");
        }
    }

    /// The format asks for the text of each licence that a stanza names.
    #[test]
    fn each_licence_of_a_stanza_has_its_text_in_the_file() {
        let file = std::fs::read_to_string(workspace().join("packaging/deb/copyright")).expect("it is there");
        let taken = taken().expect("each is allowed");
        let named: BTreeSet<&String> = taken.values().flat_map(|(_, ways)| ways.names()).collect();
        for name in named {
            let start = format!("\nLicense: {name}\n ");
            assert!(file.contains(&start), "packaging/deb/copyright has no text of {name}");
        }
        let stanzas = stanzas().expect("each is allowed");
        assert_eq!(stanzas.matches("\nFiles: vendor/").count(), taken.len());
    }
}
