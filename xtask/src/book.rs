//! The book: the pages in docs, README.md and what they link to, and a reference that is made from the manual pages and the
//! tables of messages. Its pages and links are checked, and mdbook makes HTML of it.

mod links;
mod manual;
mod messages;

use crate::cargo::{run as run_command, target, workspace};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The folder of the pages.
const DOCS: &str = "docs";

/// Checks the book and builds it.
///
/// # Errors
/// If a page is not in SUMMARY.md, a link leads nowhere, a file cannot be written, or mdbook fails or is missing.
pub fn run() -> Result<(), String> {
    let pages = check(workspace())?;
    let source = target().join("book/source");
    write(workspace(), &pages, &source)?;
    println!("{} pages, each in SUMMARY.md, and all links lead somewhere", pages.len());
    let there = Command::new("mdbook").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !there.is_ok_and(|status| status.success()) {
        return Err("mdbook is missing: cargo install mdbook --locked".to_owned());
    }
    let html = target().join("book/html");
    run_command(Command::new("mdbook").arg("build").arg(&source).arg("--dest-dir").arg(&html))?;
    println!("{}", html.join("index.html").display());
    Ok(())
}

/// The Markdown pages of the book: all of docs, README.md, and what these link to.
///
/// # Errors
/// All faults, one a line.
fn check(root: &Path) -> Result<BTreeSet<PathBuf>, String> {
    let mut faults = Vec::new();
    let begin: BTreeSet<PathBuf> = in_docs(root)?.into_iter().chain([PathBuf::from("README.md")]).collect();
    let summary = read(&root.join(DOCS).join("SUMMARY.md"))?;
    let listed: Vec<PathBuf> =
        links::targets(&summary).iter().map(|link| Path::new(DOCS).join(link)).collect();
    for page in begin.iter().filter(|page| page.starts_with(DOCS)) {
        match listed.iter().filter(|listed| *listed == page).count() {
            1 => {}
            0 => faults.push(format!("{}: SUMMARY.md does not list it", page.display())),
            _ => faults.push(format!("{}: SUMMARY.md lists it twice", page.display())),
        }
    }
    let missing = listed.iter().filter(|listed| !begin.contains(*listed));
    faults.extend(missing.map(|page| format!("docs/SUMMARY.md: there is no {}", page.display())));
    let (pages, broken) = links::follow(root, begin)?;
    faults.extend(broken);
    if faults.is_empty() { Ok(pages) } else { Err(faults.join("\n")) }
}

fn in_docs(root: &Path) -> Result<Vec<PathBuf>, String> {
    let folder = root.join(DOCS);
    let entries = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let names = entries.flatten().map(|entry| PathBuf::from(entry.file_name()));
    let is_page =
        |name: &PathBuf| name.extension().is_some_and(|end| end == "md") && name != Path::new("SUMMARY.md");
    Ok(names.filter(is_page).map(|name| Path::new(DOCS).join(name)).collect())
}

/// Writes what mdbook reads: the pages where they are in the tree, so that their links hold, and the reference.
fn write(root: &Path, pages: &BTreeSet<PathBuf>, to: &Path) -> Result<(), String> {
    let _ = fs::remove_dir_all(to);
    put(&to.join("book.toml"), &read(&root.join(DOCS).join("book.toml"))?)?;
    let mut summary = "# Summary\n\n[truechimer](index.md)\n\n".to_owned();
    let listed = read(&root.join(DOCS).join("SUMMARY.md"))?;
    summary += &listed.trim_start_matches("# Summary").replace("](", "](docs/");
    summary += "\n# Reference\n\n";
    for page in manual::PAGES {
        let (name, text) = manual::page(&read(&root.join("packaging/man").join(page))?);
        put(&to.join(format!("reference/{page}.md")), &text)?;
        summary += &format!("- [{name}](reference/{page}.md)\n");
    }
    put(&to.join("reference/messages.md"), messages::page())?;
    summary += "- [What messages mean](reference/messages.md)\n\n# Beside it\n\n";
    for page in pages {
        let text = read(&root.join(page))?;
        let shown = staged(page).display().to_string();
        if page != Path::new("README.md") && !page.starts_with(DOCS) {
            let title = text.lines().find_map(|line| line.strip_prefix("# ")).unwrap_or("A page");
            summary += &format!("- [{title}]({shown})\n");
        }
        let depth = "../".repeat(page.components().count() - 1);
        let shown_text = text.replace("README.md)", "index.md)").replace("README.md#", "index.md#");
        put(&to.join(&shown), manual::linked(&shown_text, &depth))?;
        for link in links::targets(&text) {
            copy(root, &links::resolve(page, &link), to)?;
        }
    }
    put(&to.join("SUMMARY.md"), &summary)
}

/// The name of a page in the book: mdbook makes index.html of README.md, and leaves links to it as they are.
fn staged(page: &Path) -> PathBuf {
    match page.ends_with("README.md") {
        true => page.with_file_name("index.md"),
        false => page.to_owned(),
    }
}

/// Copies what a page links to, if it is no page itself.
fn copy(root: &Path, file: &Path, to: &Path) -> Result<(), String> {
    let from = root.join(file);
    if from.is_dir() {
        let entries = fs::read_dir(&from).map_err(|error| format!("{}: {error}", from.display()))?;
        return entries.flatten().try_for_each(|entry| copy(root, &file.join(entry.file_name()), to));
    }
    match from.extension().is_some_and(|end| end == "md") {
        true => Ok(()),
        false => put(&to.join(file), octets(&from)?),
    }
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn octets(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn put(path: &Path, what: impl AsRef<[u8]>) -> Result<(), String> {
    let folder = path.parent().unwrap_or(path);
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(path, what));
    written.map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bench::programs::Place;

    #[test]
    fn each_page_is_in_the_summary_and_each_link_leads_somewhere() {
        let pages = check(workspace()).unwrap_or_else(|faults| panic!("{faults}"));
        assert!(pages.len() > 20, "the pages were not found: {pages:?}");
    }

    #[test]
    fn a_page_without_a_place_a_dead_link_and_a_dead_anchor_are_named() {
        let place = Place::new("book");
        for (file, text) in [
            ("README.md", "# R\n[a](docs/a.md) [b](docs/a.md#the-first-one)\n"),
            ("docs/SUMMARY.md", "- [A](a.md)\n- [C](c.md)\n"),
            (
                "docs/a.md",
                "# A\n## The `first` one!\n[up](../README.md#r) `[x](x.md)`\n```\n[y](y.md)\n```\n",
            ),
            ("docs/b.md", "[dead](gone.md) [anchor](a.md#nowhere)\n[own](#none)\n"),
        ] {
            put(&place.join(file), text).expect("a new folder can be written");
        }
        let faults = check(place.path()).expect_err("there are faults");
        let expected = [
            "docs/b.md: SUMMARY.md does not list it",
            "docs/SUMMARY.md: there is no docs/c.md",
            "docs/b.md: there is no docs/gone.md",
            "docs/b.md: docs/a.md has no heading #nowhere",
            "docs/b.md: docs/b.md has no heading #none",
        ];
        assert_eq!(faults.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_mdbook_reads_has_each_page_once_and_no_link_that_leads_out_of_it() {
        let place = Place::new("book-source");
        let pages = check(workspace()).unwrap_or_else(|faults| panic!("{faults}"));
        write(workspace(), &pages, place.path()).expect("it can be written");
        let summary = read(&place.join("SUMMARY.md")).expect("it is there");
        let listed: BTreeSet<PathBuf> = links::targets(&summary).into_iter().map(PathBuf::from).collect();
        assert_eq!(listed.len(), links::targets(&summary).len(), "a page stands there twice: {summary}");
        let staged: BTreeSet<PathBuf> = pages.iter().map(|page| staged(page)).collect();
        assert!(staged.is_subset(&listed) && listed.len() > pages.len() + 5, "{summary}");
        let (all, broken) = links::follow(place.path(), listed.clone()).expect("they can be read");
        assert!(broken.is_empty() && all == listed, "{broken:?}");
    }
}
