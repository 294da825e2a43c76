//! Links between pages: where they lead, and whether anything is there.

use super::read;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

/// The lines of a page outside of its fenced blocks.
pub fn prose(page: &str) -> impl Iterator<Item = &str> {
    let mut is_fenced = false;
    page.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_fenced ^= is_fence;
        !is_fenced && !is_fence
    })
}

/// The targets of the links of a page that lead to files, with their anchors.
pub fn targets(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in prose(page) {
        // What stands between ` is no link.
        let plain: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        let links = plain.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        found.extend(links.filter(|link| !link.contains("://")).map(str::to_owned));
    }
    found
}

/// The file to which a link of a page leads, without its anchor, from the top of the tree.
pub fn resolve(page: &Path, link: &str) -> PathBuf {
    let file = link.split('#').next().unwrap_or_default();
    if file.is_empty() {
        return page.to_owned();
    }
    let mut path = page.parent().map(Path::to_path_buf).unwrap_or_default();
    for part in Path::new(file).components() {
        match part {
            Component::ParentDir => drop(path.pop()),
            other => path.push(other),
        }
    }
    path
}

/// All pages that are reached from these, and the links that lead nowhere.
///
/// # Errors
/// If a page cannot be read.
pub fn follow(root: &Path, begin: BTreeSet<PathBuf>) -> Result<(BTreeSet<PathBuf>, Vec<String>), String> {
    let (mut faults, mut anchors) = (Vec::new(), BTreeMap::new());
    let mut pages = begin.clone();
    let mut left: Vec<PathBuf> = begin.into_iter().rev().collect();
    while let Some(page) = left.pop() {
        for link in targets(&read(&root.join(&page))?) {
            let file = resolve(&page, &link);
            let (from, to) = (page.display(), file.display());
            if !root.join(&file).exists() {
                faults.push(format!("{from}: there is no {to}"));
                continue;
            }
            if file.extension().is_none_or(|end| end != "md") {
                continue;
            }
            if let Some((_, anchor)) = link.split_once('#') {
                if !anchors.contains_key(&file) {
                    anchors.insert(file.clone(), headings(&read(&root.join(&file))?));
                }
                if !anchors[&file].contains(anchor) {
                    faults.push(format!("{from}: {to} has no heading #{anchor}"));
                }
            }
            if pages.insert(file.clone()) {
                left.push(file);
            }
        }
    }
    Ok((pages, faults))
}

/// The anchors of the headings of a page, as mdbook and the usual forges make them.
fn headings(page: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in prose(page).filter(|line| line.starts_with('#')) {
        let text = line.trim_start_matches('#').trim().to_lowercase();
        let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let again = (1..).map(|number| format!("{anchor}-{number}")).find(|other| !found.contains(other));
        let is_new = found.insert(anchor);
        found.extend(again.filter(|_| !is_new));
    }
    found
}
