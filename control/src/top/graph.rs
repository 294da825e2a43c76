//! Pictures of characters: the course of the offset, and the bar of a source.

use crate::plot::Course;

/// The characters of a picture.
struct Signs {
    mean: char,
    range: char,
    zero: char,
    gap: char,
    error: char,
    middle: char,
}

const UTF8: Signs = Signs { mean: '●', range: '│', zero: '─', gap: '░', error: '─', middle: '┼' };
const ASCII: Signs = Signs { mean: '*', range: '|', zero: '-', gap: ':', error: '-', middle: '+' };

const fn signs(is_utf8: bool) -> &'static Signs {
    if is_utf8 { &UTF8 } else { &ASCII }
}

/// The offset over the whole course in rows of `width` characters: the mean, from the least to the largest, S where the clock was
/// stepped, and where nothing is known of it. The uppermost row is `most` seconds, the lowest one the same below zero;
/// a mean beyond them is an arrow.
pub fn course(course: &Course, most: f64, width: usize, height: usize, is_utf8: bool) -> Vec<String> {
    let signs = signs(is_utf8);
    let mut rows = vec![vec![' '; width]; height];
    let (Some((begin, end)), true) = (course.period(), width > 0 && height > 0) else { return text(rows) };
    let row = |offset: f64| {
        let share = (offset / most.max(f64::MIN_POSITIVE)).clamp(-1.0, 1.0);
        ((1.0 - share) / 2.0 * (height - 1) as f64).round() as usize
    };
    let column = |time: f64| {
        let share = ((time - begin) / (end - begin).max(f64::MIN_POSITIVE)).clamp(0.0, 1.0);
        ((share * width as f64) as usize).min(width - 1)
    };
    let mut set = |row: usize, column: usize, sign: char| {
        if let Some(cell) = rows.get_mut(row).and_then(|row| row.get_mut(column)) {
            *cell = sign;
        }
    };
    (0..width).for_each(|column| set(row(0.0), column, signs.zero));
    // What is known of a part of a column is drawn over it.
    for (begin, end) in &course.gaps {
        for column in column(*begin)..column(*end) {
            (0..height).for_each(|row| set(row, column, signs.gap));
        }
    }
    let columns = |spot: &crate::plot::Spot| {
        // Its end is the beginning of the next one.
        let first = column(spot.time.0);
        first..column(spot.time.1).max(first + 1)
    };
    for spot in &course.spots {
        let Some((_, least, largest)) = spot.offset else { continue };
        for column in columns(spot) {
            (row(largest)..=row(least)).for_each(|row| set(row, column, signs.range));
        }
    }
    for spot in &course.spots {
        let Some((mean, ..)) = spot.offset else { continue };
        // Beyond the scale, as at a start.
        let sign = match mean {
            _ if mean > most => '^',
            _ if mean < -most => 'v',
            _ => signs.mean,
        };
        columns(spot).for_each(|column| set(row(mean), column, sign));
    }
    for (begin, _) in course.gaps.iter().filter(|(begin, end)| begin == end) {
        (0..height).for_each(|row| set(row, column(*begin), signs.gap));
    }
    for spot in course.spots.iter().filter(|spot| spot.stepped.is_some()) {
        set(0, column((spot.time.0 + spot.time.1) / 2.0), 'S');
    }
    text(rows)
}

fn text(rows: Vec<Vec<char>>) -> Vec<String> {
    rows.into_iter().map(|row| row.into_iter().collect()).collect()
}

/// A bar of `width` characters from `-most` to `most` seconds: an offset with its error on both sides, around zero.
pub fn bar(offset: f64, error: f64, most: f64, width: usize, is_utf8: bool) -> String {
    let signs = signs(is_utf8);
    let mut cells = vec![' '; width];
    let Some(last) = width.checked_sub(1) else { return String::new() };
    let place = |value: f64| {
        let share = (value / most.max(f64::MIN_POSITIVE)).clamp(-1.0, 1.0);
        ((1.0 + share) / 2.0 * last as f64).round() as usize
    };
    for cell in cells.iter_mut().take(place(offset + error) + 1).skip(place(offset - error)) {
        *cell = signs.error;
    }
    let mut set = |at: usize, sign: char| {
        if let Some(cell) = cells.get_mut(at) {
            *cell = sign;
        }
    };
    set(place(0.0), if offset.abs() <= error { signs.middle } else { signs.range });
    set(place(offset), signs.mean);
    cells.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::Spot;

    fn spot(time: (f64, f64), offset: Option<(f64, f64, f64)>) -> Spot {
        Spot {
            time,
            offset,
            bound: None,
            likely: None,
            frequency: None,
            used: 1,
            is_synchronised: true,
            stepped: None,
        }
    }

    #[test]
    fn the_course_is_drawn_from_its_beginning_to_its_end_around_zero() {
        let stepped = Spot { stepped: Some(1.0), ..spot((0.0, 10.0), Some((-1.0, -2.0, 0.0))) };
        let spots = vec![stepped, spot((10.0, 20.0), Some((0.5, 0.0, 1.0))), spot((30.0, 40.0), None)];
        let drawn = Course { spots, gaps: vec![(20.0, 30.0)] };
        let expected = [" S||::  ", "  **::  ", "||||::--", "||  ::  ", "**  ::  "];
        assert_eq!(course(&drawn, 1.0, 8, 5, false), expected);
        for (width, height) in [(0, 5), (5, 0), (1, 1), (2, 1)] {
            assert_eq!(course(&drawn, 0.0, width, height, true).len(), height);
        }
        assert_eq!(course(&Course::default(), 1.0, 3, 2, true), ["   ", "   "]);
    }

    #[test]
    fn a_bar_shows_whether_zero_is_within_the_error() {
        assert_eq!(bar(0.0, 0.5, 1.0, 9, false), "  --*--  ");
        assert_eq!(bar(0.5, 0.25, 1.0, 9, false), "    |-*- ");
        assert_eq!(bar(0.25, 0.5, 1.0, 9, false), "   -+*-- ");
        assert_eq!(bar(-7.0, 0.1, 1.0, 9, true), "●   │    ");
        assert_eq!(bar(f64::NAN, 1.0, 1.0, 3, true).chars().count(), 3);
        assert_eq!(
            (bar(1.0, 1.0, 0.0, 0, true), bar(0.0, 0.0, 0.0, 1, true)),
            (String::new(), "●".to_owned())
        );
    }
}
