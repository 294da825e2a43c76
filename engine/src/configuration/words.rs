//! Words of a configuration file in messages: shortened, and the known one that was probably meant.

/// At most 40 characters of a text, for a message.
pub fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(40).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// The known word that is nearest to `word`, if one is near at all: at most a third of it differs.
pub fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let word: Vec<char> = shorten(word).to_lowercase().replace('_', "-").chars().collect();
    let allowed = (word.len() / 3).max(1);
    let distances = known.iter().map(|candidate| (distance(&word, candidate), *candidate));
    let (near, candidate) = distances.min_by_key(|(distance, _)| *distance)?;
    (near <= allowed).then_some(candidate)
}

/// Insertions, deletions and replacements from one word to the other (Levenshtein).
fn distance(word: &[char], other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, left) in word.iter().enumerate() {
        let mut diagonal = line;
        let mut before = line + 1;
        for (right, cell) in other.iter().zip(row.iter_mut().skip(1)) {
            let replaced = diagonal + usize::from(left != right);
            diagonal = *cell;
            before = replaced.min(diagonal + 1).min(before + 1);
            *cell = before;
        }
        if let Some(first) = row.first_mut() {
            *first = line + 1;
        }
    }
    row.last().copied().unwrap_or(word.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_counts_single_edits() {
        let distance = |left: &str, right: &str| distance(&left.chars().collect::<Vec<_>>(), right);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("min-poll", "min-poll"), 0);
        assert_eq!(distance("minpoll", "min-poll"), 1);
    }
}
