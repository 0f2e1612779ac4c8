//! Tables as text: `a | b`, line by line, and what two of them differ in.

use std::fmt::{self, Write};

/// A header and rows, all of the header's length.
pub(super) struct Grid {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Grid {
    pub(super) fn new(header: Vec<String>, rows: impl Iterator<Item = Vec<String>>) -> Self {
        Self { header, rows: rows.collect() }
    }

    /// Reads what an author wrote: the first line that is not empty is the header.
    #[track_caller]
    pub(super) fn parse(text: &str) -> Self {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(cells);
        let header = lines.next().unwrap_or_else(|| panic!("the expected table has no header: a | b | c"));
        let rows: Vec<_> = lines.collect();
        if let Some(odd) = rows.iter().find(|row| row.len() != header.len()) {
            panic!("`{}` has {} cells where the header has {}", odd.join(" | "), odd.len(), header.len());
        }
        Self { header, rows }
    }

    pub(super) fn header(&self) -> &[String] {
        &self.header
    }

    fn widths(&self, widths: &mut Vec<usize>) {
        widths.resize(self.header.len(), 0);
        for row in self.rows.iter().chain([&self.header]) {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
    }
}

/// The cells of a line. A `|` within quotes is part of its cell.
fn cells(line: &str) -> Vec<String> {
    let (mut cells, mut cell, mut quoted, mut escaped) = (Vec::new(), String::new(), false, false);
    for character in line.chars() {
        if character == '|' && !quoted {
            cells.push(std::mem::take(&mut cell).trim().to_owned());
            continue;
        }
        quoted ^= character == '"' && !escaped;
        escaped = quoted && character == '\\' && !escaped;
        cell.push(character);
    }
    cells.push(cell.trim().to_owned());
    cells
}

fn line(out: &mut String, mark: char, row: &[String], widths: &[usize]) {
    let padded: Vec<_> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
    let _ = writeln!(out, "{}", format!("  {mark} {}", padded.join(" | ")).trim_end());
}

impl fmt::Display for Grid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut widths, mut text) = (Vec::new(), String::new());
        self.widths(&mut widths);
        line(&mut text, ' ', &self.header, &widths);
        self.rows.iter().for_each(|row| line(&mut text, ' ', row, &widths));
        f.write_str(&text)
    }
}

/// What two grids of one header differ in, as lines of both; `None` where they are equal.
pub(super) fn difference(expected: &Grid, actual: &Grid) -> Option<String> {
    if expected.rows == actual.rows {
        return None;
    }
    let mut widths = Vec::new();
    expected.widths(&mut widths);
    let mut more = Vec::new();
    actual.widths(&mut more);
    widths.iter_mut().zip(more).for_each(|(width, other)| *width = (*width).max(other));

    let mut text = String::new();
    line(&mut text, ' ', &expected.header, &widths);
    let common = common(&expected.rows, &actual.rows);
    let (mut left, mut right) = (0, 0);
    for (in_expected, in_actual) in common.into_iter().chain([(expected.rows.len(), actual.rows.len())]) {
        expected.rows[left..in_expected].iter().for_each(|row| line(&mut text, '-', row, &widths));
        actual.rows[right..in_actual].iter().for_each(|row| line(&mut text, '+', row, &widths));
        if let Some(row) = expected.rows.get(in_expected) {
            line(&mut text, ' ', row, &widths);
        }
        (left, right) = (in_expected + 1, in_actual + 1);
    }
    Some(text)
}

/// The places of a longest common subsequence.
fn common(left: &[Vec<String>], right: &[Vec<String>]) -> Vec<(usize, usize)> {
    let mut lengths = vec![vec![0_usize; right.len() + 1]; left.len() + 1];
    for (i, row) in left.iter().enumerate().rev() {
        for (j, other) in right.iter().enumerate().rev() {
            lengths[i][j] =
                if row == other { lengths[i + 1][j + 1] + 1 } else { lengths[i + 1][j].max(lengths[i][j + 1]) };
        }
    }
    let (mut i, mut j, mut places) = (0, 0, Vec::new());
    while i < left.len() && j < right.len() {
        if left[i] == right[j] {
            places.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if lengths[i + 1][j] >= lengths[i][j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_difference_shows_what_is_missing_and_what_is_there_instead() {
        let expected = Grid::parse("id | name\n 1 | a\n 2 | \"x | y\"\n 3 | c");
        let actual = Grid::parse("id | name\n 1 | a\n 2 | y\n 3 | c\n 4 | long name");
        let shown = "    id | name\n    1  | a\n  - 2  | \"x | y\"\n  + 2  | y\n    3  | c\n  + 4  | long name\n";
        assert_eq!(difference(&expected, &actual).as_deref(), Some(shown));
        assert_eq!(difference(&expected, &expected), None);
    }

    #[test]
    fn quotes_keep_what_stands_between_them() {
        assert_eq!(cells(r#"a | "b | \" c" | null |"#), ["a", r#""b | \" c""#, "null", ""]);
    }
}
