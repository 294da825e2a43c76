//! Manual pages as pages of the book: of troff what packaging/man uses of it (`man` macros, tables of tbl).

use super::links::prose;

/// The manual pages, in packaging/man.
pub const PAGES: [&str; 6] = [
    "truechimer.toml.5",
    "truechimerd.8",
    "chimerctl.1",
    "truechimer-metrics.8",
    "truechimer-chronyc-bridge.8",
    "truechimer-chrony-logs.8",
];

/// A page with the names of manual pages as links to them; `up`: from the page to the top.
pub fn linked(page: &str, up: &str) -> String {
    let inside: Vec<&str> = prose(page).collect();
    let mut inside = inside.into_iter().peekable();
    let mut text = String::new();
    for line in page.lines() {
        // The lines of prose come in the order of the page, so the next one is this one or a later one.
        let is_prose = inside.next_if(|next| std::ptr::eq(*next, line)).is_some();
        text += &if is_prose { names_linked(line, up) } else { line.to_owned() };
        text.push('\n');
    }
    text
}

fn names_linked(line: &str, up: &str) -> String {
    let mut parts: Vec<String> = line.split('`').map(str::to_owned).collect();
    // What stands between ` stays.
    for part in parts.iter_mut().step_by(2).filter(|part| !part.contains("](")) {
        for page in PAGES {
            let (name, section) = page.rsplit_once('.').unwrap_or((page, "8"));
            let name = format!("{name}({section})");
            *part = part.replace(&name, &format!("[{name}]({up}reference/{page}.md)"));
        }
    }
    parts.join("`")
}

/// Its name with the section, and its text in Markdown.
pub fn page(troff: &str) -> (String, String) {
    let mut page = Page::default();
    let mut lines = troff.lines();
    while let Some(line) = lines.next() {
        let Some(request) = line.strip_prefix('.') else {
            if !line.starts_with('\'') {
                page.say(&plain(line));
            }
            continue;
        };
        let (name, rest) = request.split_once(' ').unwrap_or((request, ""));
        match name {
            "TH" => page.begin(&words(rest)),
            "SH" => page.head("## ", rest),
            "SS" => page.head("### ", rest),
            "TP" => page.tag = Tag::Next,
            "TQ" => page.tag = Tag::More,
            "PP" => page.paragraph(false),
            "IP" => page.paragraph(true),
            "RS" => page.deeper(),
            "RE" => page.out(),
            "br" => page.say("<br>"),
            "nf" => page.block("```text", lines.by_ref().take_while(|line| *line != ".fi").map(bare)),
            "TS" => page.table(lines.by_ref().take_while(|line| *line != ".TE")),
            _ => page.say(&in_fonts(name, &words(rest))),
        }
    }
    page.end_of_paragraph();
    (page.name, page.text)
}

#[derive(Default, PartialEq)]
enum Tag {
    /// The text is no tag.
    #[default]
    No,
    /// The next line is a tag.
    Next,
    /// The next line is one more tag of the same item.
    More,
}

#[derive(Default)]
struct Page {
    name: String,
    text: String,
    /// What is not written yet.
    open: String,
    /// Whether an item begins with that.
    is_item: bool,
    tag: Tag,
    /// Whether paragraphs belong to an item.
    in_item: bool,
    /// How deep items are.
    depth: usize,
}

impl Page {
    fn begin(&mut self, words: &[String]) {
        let [name, section, ..] = words else { return };
        self.name = format!("{}({section})", bare(name).to_lowercase());
        self.text = format!("# {}\n", self.name);
    }

    fn say(&mut self, text: &str) {
        match self.tag {
            Tag::No => {}
            Tag::Next => {
                self.end_of_paragraph();
                (self.is_item, self.in_item) = (true, true);
                self.open = format!("{text}<br>");
            }
            Tag::More => self.open += &format!("{text}<br>"),
        }
        if self.tag == Tag::No {
            if !self.open.is_empty() && !self.open.ends_with("<br>") {
                self.open.push(' ');
            }
            self.open += text;
        }
        self.tag = Tag::No;
    }

    fn indent(&self) -> String {
        "  ".repeat(self.depth + usize::from(self.in_item))
    }

    fn end_of_paragraph(&mut self) {
        let open = std::mem::take(&mut self.open);
        let open = open.trim_end_matches("<br>");
        if !open.is_empty() {
            let indent = self.indent();
            let begin = if self.is_item { format!("{}- ", &indent[2..]) } else { indent };
            self.text += &format!("\n{begin}{open}\n");
        }
        self.is_item = false;
    }

    fn paragraph(&mut self, belongs: bool) {
        self.end_of_paragraph();
        self.in_item &= belongs;
    }

    fn deeper(&mut self) {
        self.end_of_paragraph();
        self.depth += 1;
        self.in_item = false;
    }

    fn out(&mut self) {
        self.end_of_paragraph();
        self.depth = self.depth.saturating_sub(1);
        self.in_item = true;
    }

    fn head(&mut self, level: &str, title: &str) {
        self.paragraph(false);
        self.text += &format!("\n{level}{}\n", plain(title.trim_matches('"')));
    }

    fn block(&mut self, fence: &str, lines: impl Iterator<Item = String>) {
        self.end_of_paragraph();
        let indent = self.indent();
        let body: String = lines.map(|line| format!("{indent}{line}\n")).collect();
        self.text += &format!("\n{indent}{fence}\n{body}{indent}```\n");
    }

    fn table<'a>(&mut self, lines: impl Iterator<Item = &'a str>) {
        self.end_of_paragraph();
        // Options and formats end with the line that ends with a full stop.
        let rows = lines.skip_while(|line| !line.ends_with('.')).skip(1);
        self.text.push('\n');
        for (number, row) in rows.enumerate() {
            let cells: Vec<String> = row.split('|').map(plain).collect();
            self.text += &format!("| {} |\n", cells.join(" | "));
            if number == 0 {
                self.text += &format!("{}|\n", "|---".repeat(cells.len()));
            }
        }
    }
}

/// The words behind a macro: separated by spaces, or in quotation marks.
fn words(rest: &str) -> Vec<String> {
    let (mut words, mut word, mut is_quoted, mut is_begun) = (Vec::new(), String::new(), false, false);
    for letter in rest.trim().chars() {
        match letter {
            '"' => (is_quoted, is_begun) = (!is_quoted, true),
            ' ' if !is_quoted => {
                if is_begun {
                    words.push(std::mem::take(&mut word));
                }
                is_begun = false;
            }
            other => {
                word.push(other);
                is_begun = true;
            }
        }
    }
    if is_begun {
        words.push(word);
    }
    words
}

/// Words in the fonts of a macro: B and I all alike, BR, RB, IR, RI, BI in turn.
fn in_fonts(macro_name: &str, words: &[String]) -> String {
    let fonts: Vec<char> = macro_name.chars().collect();
    if let [font] = fonts[..] {
        return in_font(font, &words.join(" "));
    }
    let each = words.iter().zip(fonts.iter().cycle());
    each.map(|(word, font)| in_font(*font, word)).collect()
}

fn in_font(font: char, word: &str) -> String {
    match font {
        'B' => format!("<b>{}</b>", plain(word)),
        'I' => format!("<i>{}</i>", plain(word)),
        _ => plain(word),
    }
}

/// The characters of a line, without fonts.
fn bare(line: &str) -> String {
    let mut text = line.to_owned();
    for (escape, character) in [
        ("\\-", "-"),
        ("\\(dq", "\""),
        ("\\(aq", "'"),
        ("\\(lq", "“"),
        ("\\(rq", "”"),
        ("\\(+-", "±"),
        ("\\fI", ""),
        ("\\fB", ""),
        ("\\fR", ""),
        ("\\fP", ""),
    ] {
        text = text.replace(escape, character);
    }
    text
}

/// A line as Markdown that shows its characters.
fn plain(line: &str) -> String {
    let mut text = String::new();
    for letter in bare(line).chars() {
        match letter {
            '<' => text += "&lt;",
            '&' => text += "&amp;",
            '*' | '_' | '[' | ']' | '`' | '\\' | '|' | '#' => text.extend(['\\', letter]),
            other => text.push(other),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macros_become_markdown() {
        let troff = ".TH NAME 8 \"\" a \"b\"\n.SH WHAT\nText with\n.BR bold (8),\nand <this>.\n.TP\n.BR key \" = \\(dqVALUE\\(dq\"\n.TQ\n\
            .B \\-\\-other\nIts body.\n.IP\nMore of it.\n.RS\n.TP\n.I inner\nDeep.\n.RE\n.PP\nAfter it.\n.nf\ncode <x> \\-y\n.fi\n\
            .TS\ntab(|);\nlb lb\nl l.\nrow|limit\na|1\n.TE\n";
        let expected = "# name(8)\n\n## WHAT\n\nText with <b>bold</b>(8), and &lt;this>.\n\n\
            - <b>key</b> = \"VALUE\"<br><b>--other</b><br>Its body.\n\n  More of it.\n\n  - <i>inner</i><br>Deep.\n\nAfter it.\n\n\
            ```text\ncode <x> -y\n```\n\n| row | limit |\n|---|---|\n| a | 1 |\n";
        assert_eq!(page(troff), ("name(8)".to_owned(), expected.to_owned()));
    }

    #[test]
    fn no_request_and_no_escape_of_a_manual_page_is_left_over() {
        for name in PAGES {
            let (_, text) = page(&bench::tree::read(format!("packaging/man/{name}")));
            let is_left = |line: &&str| {
                line.starts_with('.') || line.contains("\\-") || line.contains("\\(") || line.contains("\\f")
            };
            assert_eq!(text.lines().find(is_left), None, "{name}");
            assert!(text.len() > 1000 && text.contains("\n## SEE ALSO\n"), "{name}: {text}");
        }
    }

    #[test]
    fn names_of_manual_pages_become_links_but_in_code_and_in_links() {
        let text =
            linked("truechimerd(8) `truechimerd(8)`\n```\nchimerctl(1)\n```\n[chimerctl(1)](x.md)\n", "../");
        let expected = "[truechimerd(8)](../reference/truechimerd.8.md) `truechimerd(8)`\n```\nchimerctl(1)\n```\n[chimerctl(1)](x.md)\n";
        assert_eq!(text, expected);
    }
}
