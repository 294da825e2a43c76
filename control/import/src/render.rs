//! The text of a plan.

use crate::kind::Kind;
use crate::place;
use crate::plan::{Item, Part, Plan, Source, quoted};
use ipc::text::escape;
use std::fmt::Write as _;

/// The longest configuration that the daemon reads, in octets.
pub const MAX_TEXT: usize = 256 * 1024;

/// Columns of a comment that is wrapped.
const WIDTH: usize = 118;

/// The sections after the sources, in order.
const SECTIONS: [(Part, &str); 6] = [
    (Part::Clock, "clock"),
    (Part::Nts, "nts"),
    (Part::Keys, "keys"),
    (Part::Server, "server"),
    (Part::ServerNts, "server.nts"),
    (Part::Dhcp, "dhcp"),
];

/// The whole file.
pub fn render(plan: &Plan, kind: Kind, paths: &[String]) -> String {
    let mut out = String::new();
    let files = paths.iter().map(|path| escape(path)).collect::<Vec<_>>().join(", ");
    comment(
        &mut out,
        "",
        &format!("Made by chimerctl import from the configuration of {}: {files}", kind.name()),
    );
    comment(&mut out, "", "Each line of it stands below with what became of it. Keys: truechimer.toml(5).");
    let losses = plan.losses();
    if !losses.is_empty() {
        out.push_str("#\n");
        comment(&mut out, "", "TO BE LOOKED AT: not carried, or not without a hand:");
        losses.iter().for_each(|loss| comment(&mut out, "  ", loss));
    }
    out.push('\n');
    let mut before = None;
    for source in &plan.sources {
        if let Some(item) = plan.items.get(source.item).filter(|_| before != Some(source.item)) {
            said(&mut out, item);
        }
        before = Some(source.item);
        if table(&mut out, source, plan.aead.as_ref()) {
            out.push('\n');
        }
    }
    // Lines of sources from which none came.
    let has_source = |place: usize| plan.sources.iter().any(|source| source.item == place);
    let bare = |(place, item): &(usize, &Item)| item.part == Part::Source && !has_source(*place);
    let mut is_any = false;
    for (_, item) in plan.items.iter().enumerate().filter(bare) {
        said(&mut out, item);
        is_any = true;
    }
    if is_any {
        out.push('\n');
    }
    SECTIONS.iter().for_each(|(part, title)| section(&mut out, plan, *part, title));
    let rest: Vec<&Item> = plan.items.iter().filter(|item| item.part == Part::Rest).collect();
    if !rest.is_empty() {
        comment(&mut out, "", "Without a key here:");
        rest.into_iter().for_each(|item| said(&mut out, item));
    }
    while out.ends_with("\n\n") {
        out.pop();
    }
    out
}

/// A comment of one line, wrapped between words.
fn comment(out: &mut String, indent: &str, text: &str) {
    let (mut column, mut is_first) = (0, true);
    for word in text.split(' ') {
        let width = word.chars().count();
        if column == 0 || (column + 1 + width > WIDTH && width > 0) {
            if column > 0 {
                out.push('\n');
            }
            let deeper = if is_first { "" } else { "  " };
            let _ = write!(out, "# {indent}{deeper}{word}");
            column = 2 + indent.len() + deeper.len() + width;
            is_first = false;
        } else {
            let _ = write!(out, " {word}");
            column += 1 + width;
        }
    }
    out.push('\n');
}

/// A line of the other configuration, never wrapped, and what is said of it.
fn said(out: &mut String, item: &Item) {
    let _ = writeln!(out, "# {}: {}", escape(&item.line.place()), escape(item.line.text.trim()));
    for note in &item.notes {
        let text = match note.words.is_empty() {
            true => note.why.clone(),
            false => format!("{}: {}", escape(&note.words), note.why),
        };
        comment(out, "    ", &escape(&text));
    }
}

/// A `[[source]]`; `false`: it is a twin, which has none.
fn table(out: &mut String, source: &Source, aead: Option<&String>) -> bool {
    if source.out.as_deref() == Some("") {
        return false;
    }
    let sign = if source.out.is_some() { "#" } else { "" };
    let mut line = |text: &str| {
        let _ = writeln!(out, "{sign}{text}");
    };
    line("[[source]]");
    line(&format!("address = {}", quoted(&place::written(&source.host, source.port))));
    if source.nts {
        line("mode = \"nts\"");
    }
    if let Some(key) = source.key {
        line(&format!("key = {key}"));
    }
    if let Some(file) = &source.roots {
        line(&format!("roots = {}", quoted(file)));
    }
    let has_own = source.keys.iter().any(|(name, _)| *name == "aead");
    if let Some(aead) = aead.filter(|_| source.nts && !has_own) {
        line(&format!("aead = {aead}"));
    }
    if let Some(members) = source.members {
        line("pool = true");
        line(&format!("members = {members}"));
    }
    // An option that is there twice counts once, as it was said last.
    for (place, (name, value)) in source.keys.iter().enumerate() {
        if !source.keys.iter().skip(place + 1).any(|(other, _)| other == name) {
            line(&format!("{name} = {value}"));
        }
    }
    true
}

fn section(out: &mut String, plan: &Plan, part: Part, title: &str) {
    let items: Vec<&Item> = plan.items.iter().filter(|item| item.part == part).collect();
    let mut keys: Vec<(&str, String)> =
        plan.keys.iter().filter(|key| key.part == part).map(|key| (key.name, key.value.clone())).collect();
    let serving = &plan.serving;
    let is_served = serving.blocked.is_none() && serving.unwanted.is_none();
    let mut sign = "";
    if part == Part::Server {
        if serving.rules.allow_any() {
            let list = |allow: bool| -> String {
                let networks: Vec<String> =
                    serving.rules.list(allow).map(|network| format!("\"{network}\"")).collect();
                format!("[{}]", networks.join(", "))
            };
            keys.insert(0, ("listen", serving.entries(&serving.listen, serving.port.unwrap_or(123))));
            keys.insert(1, ("allow", list(true)));
            if serving.rules.list(false).next().is_some() {
                keys.insert(2, ("deny", list(false)));
            }
        }
        sign = if is_served { "" } else { "#" };
    }
    if part == Part::ServerNts {
        if let Some(nts) = serving.nts.as_ref() {
            keys.insert(0, ("listen", serving.entries(&nts.listen, nts.port.unwrap_or(4460))));
        }
        sign = if is_served && serving.nts.is_some() { "" } else { "#" };
    }
    let remarks: Vec<&String> =
        plan.remarks.iter().filter(|(of, _)| *of == part).map(|(_, text)| text).collect();
    if items.is_empty() && keys.is_empty() && remarks.is_empty() {
        return;
    }
    items.into_iter().for_each(|item| said(out, item));
    remarks.into_iter().for_each(|remark| comment(out, "", remark));
    if let Some(why) = serving.unwanted.as_ref().filter(|_| part == Part::Server) {
        comment(out, "", &format!("Nothing is served: {why}."));
    }
    if !keys.is_empty() {
        let _ = writeln!(out, "{sign}[{title}]");
        for (name, value) in keys {
            let _ = writeln!(out, "{sign}{name} = {value}");
        }
    }
    for (certificate, key, _) in
        serving.nts.iter().filter(|_| part == Part::ServerNts).flat_map(|nts| &nts.further)
    {
        let _ = writeln!(out, "\n{sign}[[server.nts.pair]]");
        let _ = writeln!(out, "{sign}certificate = {}\n{sign}key = {}", quoted(certificate), quoted(key));
    }
    out.push('\n');
}
