//! SPDX licence expressions: which ways a crate leaves to take it, and which of them we take.

use std::collections::BTreeSet;

/// What a crate's expression leaves: any one of these ways, each with all licences that it asks for.
#[derive(Debug, PartialEq, Eq)]
pub struct Ways(BTreeSet<BTreeSet<String>>);

impl Ways {
    /// Those of an expression. Manifests of old have a slash for OR.
    ///
    /// # Errors
    /// If it is none.
    pub fn of(expression: &str) -> Result<Self, String> {
        let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
        let mut words: Vec<&str> = spaced.split_whitespace().rev().collect();
        match any(&mut words) {
            Some(ways) if words.is_empty() => Ok(Self(ways)),
            _ => Err(format!("{expression:?} is no expression of licences")),
        }
    }

    /// Those with licences of the list alone, without those that ask for more than another one; none: it may not be linked.
    pub fn within(&self, allowed: &[String]) -> Option<Self> {
        let open = self.0.iter().filter(|way| way.iter().all(|name| allowed.contains(name)));
        let open: BTreeSet<_> = open.cloned().collect();
        let least = |way: &&BTreeSet<String>| !open.iter().any(|other| other != *way && other.is_subset(way));
        let least: BTreeSet<_> = open.iter().filter(least).cloned().collect();
        (!least.is_empty()).then_some(Self(least))
    }

    /// In the words of debian/copyright, where "and" binds before "or".
    pub fn in_debians_words(&self) -> String {
        let ways = self.0.iter().map(|way| way.iter().map(String::as_str).collect::<Vec<_>>().join(" and "));
        ways.collect::<Vec<_>>().join(" or ")
    }

    /// Each licence that is named.
    #[cfg(test)]
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.0.iter().flatten()
    }
}

/// What is taken from the end of the words, which are the wrong way round.
fn any(words: &mut Vec<&str>) -> Option<BTreeSet<BTreeSet<String>>> {
    let mut ways = all(words)?;
    while words.pop_if(|word| *word == "OR").is_some() {
        ways.extend(all(words)?);
    }
    Some(ways)
}

fn all(words: &mut Vec<&str>) -> Option<BTreeSet<BTreeSet<String>>> {
    let mut ways = one(words)?;
    while words.pop_if(|word| *word == "AND").is_some() {
        let others = one(words)?;
        ways = ways.iter().flat_map(|way| others.iter().map(move |other| way | other)).collect();
    }
    Some(ways)
}

fn one(words: &mut Vec<&str>) -> Option<BTreeSet<BTreeSet<String>>> {
    match words.pop()? {
        "(" => {
            let ways = any(words)?;
            (words.pop()? == ")").then_some(ways)
        }
        ")" | "AND" | "OR" | "WITH" => None,
        name => {
            let name = match words.pop_if(|word| *word == "WITH") {
                Some(_) => format!("{name} WITH {}", words.pop()?),
                None => name.to_owned(),
            };
            Some(BTreeSet::from([BTreeSet::from([name])]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(expression: &str) -> Option<String> {
        let allowed = ["Apache-2.0", "MIT", "ISC"].map(str::to_owned);
        Some(Ways::of(expression).expect("it is one").within(&allowed)?.in_debians_words())
    }

    #[test]
    fn of_a_choice_what_is_allowed_is_taken_and_of_a_sum_everything() {
        for (expression, words) in [
            ("MIT", Some("MIT")),
            ("MIT/Apache-2.0", Some("Apache-2.0 or MIT")),
            ("Unlicense OR MIT", Some("MIT")),
            ("Apache-2.0 WITH LLVM-exception OR MIT", Some("MIT")),
            ("ISC AND (Apache-2.0 OR ISC)", Some("ISC")),
            ("ISC AND (Apache-2.0 OR GPL-2.0-only)", Some("Apache-2.0 and ISC")),
            ("ISC OR MIT AND Apache-2.0", Some("Apache-2.0 and MIT or ISC")),
            ("(ISC OR MIT) AND Apache-2.0", Some("Apache-2.0 and ISC or Apache-2.0 and MIT")),
            ("MIT AND GPL-2.0-only", None),
            ("Apache-2.0 WITH LLVM-exception", None),
        ] {
            assert_eq!(taken(expression).as_deref(), words, "{expression}");
        }
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        for wrong in ["", "MIT OR", "AND MIT", "(MIT", "MIT)", "MIT ISC", "MIT WITH", "()"] {
            assert!(Ways::of(wrong).is_err(), "{wrong}");
        }
    }
}
