//! Compiles `policies/rules/*.toml` into the roles, their syscall filters, tables of the rules these were made of, and
//! whatever else confines them.
//!
//! A file directly in `rules` is a role; `rules/parts` holds what roles have in common. Names of constants
//! are those of the kernel's headers and are resolved by `rules/names.toml`; every number that is used is
//! compared with libc's when the generated file is compiled.

use seccompiler::{TargetArch, compile_from_json};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// The only file directly in `rules` that isn't a role.
const NAMES: &str = "names";

/// Octets in a MiB, the unit of sizes in the files.
const MIB: u64 = 1 << 20;

/// The C libraries that make the calls.
const LIBRARIES: [&str; 2] = ["gnu", "musl"];

/// Both, wherever the build runs: a name that one of them does not have is found here and not by a packager.
const ARCHITECTURES: [(&str, TargetArch); 2] =
    [("x86_64", TargetArch::x86_64), ("aarch64", TargetArch::aarch64)];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleFile {
    #[serde(default)]
    include: Vec<String>,
    /// Of roles; a part has none.
    confinement: Option<Confinement>,
    #[serde(default)]
    rule: Vec<Rule>,
}

/// Everything but the filter.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Confinement {
    /// What it is, as a sentence.
    role: String,
    /// Most open descriptors. poll(2) of more than that fails, so it is never below what the loop waits for.
    descriptors: u64,
    /// Most memory in MiB: of addresses, and of data.
    address_space: u64,
    data: Option<u64>,
    /// Most CPU time in seconds.
    cpu_time: Option<u64>,
    /// Whether it may start processes or threads once it is confined.
    #[serde(default)]
    starts_processes: bool,
    /// The largest size of a file that it writes, in MiB; without it, it writes to none, and no lines to standard error.
    largest_file: Option<u64>,
    /// The sockets to other hosts that it makes: `udp`, or `tcp` for both; without it none.
    network: Option<String>,
    /// Whether it resolves names.
    #[serde(default)]
    looks_up: bool,
    /// The words of its command line that name files that it reads; `*` stands for any end.
    #[serde(default)]
    sees: Vec<String>,
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
struct Rule {
    /// The kernel's name of the call.
    syscall: String,
    /// Conditions, all of which must hold.
    #[serde(default)]
    args: Vec<Argument>,
    /// The error that the call ends with; without it, the call is let through.
    answer: Option<String>,
    /// The only architecture that has the call, the only C library that makes it, or one of each.
    #[serde(default)]
    only: Vec<String>,
    /// The role that needs it, and why.
    reason: String,
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
struct Argument {
    /// 0 to 5.
    index: u8,
    /// `eq`, `masked_eq:MASK`, or `masked_eq:~MASK` for all bits but these.
    op: String,
    /// A number, or names joined by `|`.
    value: Number,
    /// `dword`: the lower 32 bits, as the kernel reads an int. `qword`: all 64.
    #[serde(default = "dword")]
    width: String,
}

#[derive(Deserialize, Clone)]
#[serde(untagged)]
enum Number {
    Plain(u64),
    Names(String),
}

fn dword() -> String {
    "dword".to_owned()
}

/// Names of constants, and which of them were used.
struct Names {
    known: BTreeMap<String, u64>,
    used: BTreeSet<String>,
}

impl Names {
    fn resolve(&mut self, text: &str) -> u64 {
        text.split('|').map(str::trim).fold(0, |sum, name| {
            let hexadecimal = name.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok());
            sum | name.parse().ok().or(hexadecimal).unwrap_or_else(|| {
                self.used.insert(name.to_owned());
                *self.known.get(name).unwrap_or_else(|| panic!("{name} is not in rules/names.toml"))
            })
        })
    }
}

/// An argument with its numbers.
#[derive(Clone, PartialEq)]
struct Condition {
    index: u8,
    mask: u64,
    value: u64,
    is_masked: bool,
    is_wide: bool,
}

fn main() {
    println!("cargo::rerun-if-changed=../rules");
    let rules = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("../rules");
    let output = PathBuf::from(env::var("OUT_DIR").expect("cargo sets it")).join("rules.rs");
    let target = env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets it");
    let target_library = env::var("CARGO_CFG_TARGET_ENV").expect("cargo sets it");
    let is_known = ARCHITECTURES.iter().any(|(name, _)| *name == target);
    if !is_known || !LIBRARIES.contains(&target_library.as_str()) {
        let refusal =
            format!("compile_error!(\"there are no syscall filters for {target} {target_library} yet\");\n");
        return fs::write(output, refusal).expect("OUT_DIR can be written");
    }

    let known = read(&rules.join(format!("{NAMES}.toml")));
    let known = toml::from_str(&known).expect("names.toml is a table of numbers");
    let mut names = Names { known, used: BTreeSet::new() };
    let mut roles = Vec::new();
    let mut generated = String::new();
    for role in roles_in(&rules) {
        let mut collected = Vec::new();
        let confinement = collect(&rules, &rules.join(format!("{role}.toml")), &mut collected);
        let confinement = confinement.unwrap_or_else(|| panic!("{role}.toml has no [confinement]"));
        for ((name, architecture), library) in
            ARCHITECTURES.iter().flat_map(|architecture| LIBRARIES.map(|library| (*architecture, library)))
        {
            let applicable: Vec<(Rule, Vec<Condition>)> = collected
                .iter()
                .filter(|rule| rule.only.iter().all(|only| only == name || only == library))
                .map(|rule| (rule.clone(), conditions(rule, &mut names)))
                .collect();
            reject_rules_that_say_nothing(&role, &applicable);
            let filters = compile(&role, &applicable, architecture);
            if name == target && library == target_library {
                emit(&mut generated, &role, &applicable, &filters);
            }
        }
        roles.push((role, confinement));
    }
    emit_roles(&mut generated, &roles);
    emit_checks(&mut generated, &names);
    fs::write(output, generated).expect("OUT_DIR can be written");
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// In the order of their names.
fn roles_in(rules: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(rules).expect("the folder of the rules can be read");
    let paths = entries.map(|entry| entry.expect("it has entries").path());
    let files = paths.filter(|path| path.extension().is_some_and(|end| end == "toml"));
    let stems = files.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()));
    stems.filter(|name| name != NAMES).collect()
}

fn collect(rules: &Path, path: &Path, collected: &mut Vec<Rule>) -> Option<Confinement> {
    let file: RuleFile =
        toml::from_str(&read(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    for part in &file.include {
        let of_part = collect(rules, &rules.join("parts").join(format!("{part}.toml")), collected);
        assert!(of_part.is_none(), "parts/{part}.toml: only a role has a [confinement]");
    }
    collected.extend(file.rule);
    file.confinement
}

fn conditions(rule: &Rule, names: &mut Names) -> Vec<Condition> {
    let mut resolve = |argument: &Argument| {
        let is_wide = match argument.width.as_str() {
            "dword" => false,
            "qword" => true,
            other => panic!("{}: width {other} is neither dword nor qword", rule.syscall),
        };
        let whole = if is_wide { u64::MAX } else { u64::from(u32::MAX) };
        let (mask, is_masked) = match argument.op.split_once(':') {
            None if argument.op == "eq" => (whole, false),
            Some(("masked_eq", mask)) => match mask.strip_prefix('~') {
                Some(complement) => (whole & !names.resolve(complement), true),
                None => (names.resolve(mask), true),
            },
            _ => panic!("{}: op {} is neither eq nor masked_eq:MASK", rule.syscall, argument.op),
        };
        let value = match &argument.value {
            Number::Plain(number) => *number,
            Number::Names(text) => names.resolve(text),
        };
        assert!(mask <= whole && value & !mask == 0, "{}: the value does not fit the mask", rule.syscall);
        assert!(argument.index < 6, "{}: a call has six arguments", rule.syscall);
        Condition { index: argument.index, mask, value, is_masked, is_wide }
    };
    rule.args.iter().map(&mut resolve).collect()
}

/// A rule next to an unconditional one for the same call, or one that is there twice, would make the table
/// say something else than the filter does.
fn reject_rules_that_say_nothing(role: &str, rules: &[(Rule, Vec<Condition>)]) {
    for (index, (rule, conditions)) in rules.iter().enumerate() {
        assert!(!rule.reason.trim().is_empty(), "{role}: {} has no reason", rule.syscall);
        for (other, others) in &rules[..index] {
            let is_same = other.syscall == rule.syscall;
            assert!(
                !is_same || !(conditions.is_empty() || others.is_empty() || conditions == others),
                "{role}: {} is there twice",
                rule.syscall
            );
        }
    }
}

/// One filter for each error that is answered, then the one that ends the process. The kernel asks all of them, and
/// a trap goes before an error, an error before letting through.
fn compile(role: &str, rules: &[(Rule, Vec<Condition>)], architecture: TargetArch) -> Vec<Vec<[u32; 4]>> {
    let answers: BTreeSet<u32> =
        rules.iter().filter_map(|(rule, _)| rule.answer.as_deref()).map(error_number).collect();
    let mut filters: Vec<Vec<[u32; 4]>> = answers
        .into_iter()
        .map(|error| {
            let answered: Vec<Value> = rules
                .iter()
                .filter(|(rule, _)| rule.answer.as_deref().map(error_number) == Some(error))
                .map(to_json)
                .collect();
            assemble(role, json!("allow"), json!({ "errno": error }), &answered, architecture)
        })
        .collect();
    let permitted: Vec<Value> = rules.iter().map(to_json).collect();
    filters.push(assemble(role, json!("trap"), json!("allow"), &permitted, architecture));
    filters
}

fn assemble(
    role: &str,
    otherwise: Value,
    on_match: Value,
    rules: &[Value],
    architecture: TargetArch,
) -> Vec<[u32; 4]> {
    let text = json!({ "filter": {
        "mismatch_action": otherwise, "match_action": on_match, "filter": rules,
    }})
    .to_string();
    let mut programs = compile_from_json(text.as_bytes(), architecture)
        .unwrap_or_else(|error| panic!("rules of {role}: {error}"));
    let program = programs.remove("filter").expect("the only one");
    program.iter().map(|line| [line.code.into(), line.jt.into(), line.jf.into(), line.k]).collect()
}

fn to_json((rule, conditions): &(Rule, Vec<Condition>)) -> Value {
    let mut value = json!({ "syscall": rule.syscall });
    if !conditions.is_empty() {
        let to_json = |condition: &Condition| {
            let op = if condition.is_masked { json!({ "masked_eq": condition.mask }) } else { json!("eq") };
            let width = if condition.is_wide { "qword" } else { "dword" };
            json!({ "index": condition.index, "type": width, "op": op, "val": condition.value })
        };
        value["args"] = conditions.iter().map(to_json).collect();
    }
    value
}

fn error_number(name: &str) -> u32 {
    match name {
        "EPERM" => 1,
        "ENOSYS" => 38,
        other => panic!("no rule answers {other} yet"),
    }
}

fn emit(out: &mut String, role: &str, rules: &[(Rule, Vec<Condition>)], filters: &[Vec<[u32; 4]>]) {
    let name = role.to_uppercase();
    let mut text =
        format!("/// What `{role}` may ask for.\npub const {name}: RuleSet = RuleSet {{\nrules: &[\n");
    for (rule, conditions) in rules {
        let answer = rule.answer.as_deref().map(error_number);
        let _ = write!(
            text,
            "Rule {{ syscall: {:?}, number: libc::SYS_{}, answer: {answer:?}, reason: {:?}, conditions: &[",
            rule.syscall, rule.syscall, rule.reason
        );
        for Condition { index, mask, value, .. } in conditions {
            let _ = write!(text, "Condition {{ index: {index}, mask: {mask:#x}, value: {value:#x} }}, ");
        }
        text.push_str("] },\n");
    }
    text.push_str("],\nfilters: &[\n");
    for filter in filters {
        text.push_str("&[");
        for [code, jt, jf, k] in filter {
            let _ = write!(text, "sock_filter {{ code: {code}, jt: {jt}, jf: {jf}, k: {k:#x} }}, ");
        }
        text.push_str("],\n");
    }
    text.push_str("],\n};\n\n");
    out.push_str(&text);
}

fn emit_roles(out: &mut String, roles: &[(String, Confinement)]) {
    let variant = |name: &str| -> String {
        let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
        name.split('_').map(capital).collect()
    };
    let (mut variants, mut all, mut names, mut rules, mut confinements) =
        (String::new(), String::new(), String::new(), String::new(), String::new());
    for (name, confinement) in roles {
        let (role, set) = (variant(name), name.to_uppercase());
        let _ = writeln!(variants, "/// {}\n{role},", confinement.role);
        let _ = write!(all, "Self::{role}, ");
        let _ = writeln!(names, "Self::{role} => {name:?},");
        let _ = writeln!(rules, "Self::{role} => &{set},");
        let _ = writeln!(confinements, "Self::{role} => &{},", literal(name, confinement));
    }
    let _ = write!(
        out,
        "/// Which process this is: a file of `policies/rules`.\n\
         #[derive(Debug, Clone, Copy, PartialEq, Eq)]\npub enum Role {{\n{variants}}}\n\n\
         impl Role {{\n\
         /// All of them.\npub const ALL: [Self; {count}] = [{all}];\n\n\
         /// That of its file.\n#[must_use]\npub const fn name(self) -> &'static str {{ match self {{\n{names}}} }}\n\n\
         /// What it may ask of the kernel.\n#[must_use]\npub const fn rules(self) -> &'static RuleSet {{ match self {{\n{rules}}} }}\n\n\
         /// What confines it besides.\n#[must_use]\npub const fn confinement(self) -> &'static Confinement {{ match self {{\n{confinements}}} }}\n\
         }}\n\n",
        count = roles.len(),
    );
}

fn literal(name: &str, confinement: &Confinement) -> String {
    let Confinement { descriptors, cpu_time, starts_processes, looks_up, sees, .. } = confinement;
    let octets = |size: Option<u64>| size.map(|size| size * MIB);
    let network = match confinement.network.as_deref() {
        None => "None",
        Some("udp") => "Udp",
        Some("tcp") => "Tcp",
        Some(other) => panic!("{name}: network {other} is neither udp nor tcp"),
    };
    format!(
        "Confinement {{ descriptors: {descriptors}, address_space: {}, data: {:?}, cpu_time: {cpu_time:?}, \
         starts_processes: {starts_processes}, largest_file: {:?}, network: Network::{network}, looks_up: {looks_up}, \
         sees: &{sees:?} }}",
        confinement.address_space * MIB,
        octets(confinement.data),
        octets(confinement.largest_file),
    )
}

fn emit_checks(out: &mut String, names: &Names) {
    let unused: Vec<&String> = names.known.keys().filter(|name| !names.used.contains(*name)).collect();
    assert!(unused.is_empty(), "rules/names.toml has names that no rule uses: {unused:?}");
    for name in &names.used {
        let number = names.known[name];
        // Only glibc's bindings have them all; the numbers are the kernel's.
        let _ = writeln!(
            out,
            "#[cfg(target_env = \"gnu\")]\n#[allow(clippy::unnecessary_cast)]\nconst _: () = assert!(libc::{name} as u64 == {number}, \"{name}\");"
        );
    }
}
