//! How what was found differs from what was expected: row by row, column by column.

use std::fmt::Write;

use super::outcome::{Columns, Dead, Outcome, Row};
use crate::cli::paint::Paint;

/// Pairs of lines that are compared at most; beyond that rows are paired by their place.
const MOST_PAIRS: usize = 16_000_000;

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Difference {
    /// Expected and not there.
    Missing(Outcome),
    /// There and not expected.
    Unexpected(Outcome),
    /// The same row of a table with other values.
    Changed { table: String, line: usize, expected: Columns, found: Columns },
}

/// All differences, in the order of the lines. `line` counts the expected lines from 1.
pub(super) fn differences(expected: &[Outcome], found: &[Outcome]) -> Vec<Difference> {
    let mut differences = Vec::new();
    let (mut from, mut to) = (0, 0);
    for (e, f) in common(expected, found).into_iter().chain([(expected.len(), found.len())]) {
        differences.extend(between(&expected[from..e], &found[to..f], from));
        (from, to) = (e + 1, f + 1);
    }
    differences
}

/// A run of lines that all differ: rows of one table are paired in order, what is left over is missing or unexpected.
fn between(expected: &[Outcome], found: &[Outcome], first_line: usize) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut left: Vec<&Outcome> = found.iter().collect();
    for (index, outcome) in expected.iter().enumerate() {
        let Outcome::Row(Row { table, row }) = outcome else {
            differences.push(Difference::Missing(outcome.clone()));
            continue;
        };
        let of_table = |it: &&&Outcome| matches!(it, Outcome::Row(Row { table: other, .. }) if other == table);
        let alike = |it: &&Outcome| matches!(it, Outcome::Row(Row { table: other, row: found }) if other == table && likeness(row, found));
        let position = left.iter().position(alike).or_else(|| {
            // Nothing like it: in a run of one row for one row it is the same row all the same.
            (left.iter().filter(of_table).count() == 1 && expected.len() == 1)
                .then(|| left.iter().position(|it| of_table(&it)))
                .flatten()
        });
        match position.map(|position| left.remove(position)) {
            Some(Outcome::Row(pair)) => differences.push(Difference::Changed {
                table: table.clone(),
                line: first_line + index + 1,
                expected: row.clone(),
                found: pair.row.clone(),
            }),
            Some(Outcome::Dead { .. }) | None => differences.push(Difference::Missing(outcome.clone())),
        }
    }
    differences.extend(left.into_iter().cloned().map(Difference::Unexpected));
    differences
}

/// Whether half of the columns are the same: then it is one row that changed, not two rows.
fn likeness(expected: &Columns, found: &Columns) -> bool {
    let same = expected.0.iter().filter(|(name, value)| found.get(name) == Some(value.as_deref())).count();
    same * 2 >= expected.0.len()
}

/// The longest common subsequence, as pairs of places.
fn common(expected: &[Outcome], found: &[Outcome]) -> Vec<(usize, usize)> {
    let start = expected.iter().zip(found).take_while(|(e, f)| e == f).count();
    let (e, f) = (&expected[start..], &found[start..]);
    let end = e.iter().rev().zip(f.iter().rev()).take_while(|(e, f)| e == f).count();
    let (e, f) = (&e[..e.len() - end], &f[..f.len() - end]);
    let middle = if e.len().saturating_mul(f.len()) > MOST_PAIRS { in_place(e, f) } else { longest(e, f) };
    let tail = (0..end).map(|at| (expected.len() - end + at, found.len() - end + at));
    (0..start).map(|at| (at, at)).chain(middle.into_iter().map(|(e, f)| (e + start, f + start))).chain(tail).collect()
}

fn in_place(expected: &[Outcome], found: &[Outcome]) -> Vec<(usize, usize)> {
    let pairs = expected.iter().zip(found).enumerate();
    pairs.filter(|(_, (e, f))| e == f).map(|(at, _)| (at, at)).collect()
}

/// By the table of the lengths of all suffixes.
fn longest(expected: &[Outcome], found: &[Outcome]) -> Vec<(usize, usize)> {
    let width = found.len() + 1;
    let mut lengths = vec![0_u32; (expected.len() + 1) * width];
    for e in (0..expected.len()).rev() {
        for f in (0..found.len()).rev() {
            lengths[e * width + f] = if expected[e] == found[f] {
                lengths[(e + 1) * width + f + 1] + 1
            } else {
                lengths[(e + 1) * width + f].max(lengths[e * width + f + 1])
            };
        }
    }
    let (mut pairs, mut e, mut f) = (Vec::new(), 0, 0);
    while e < expected.len() && f < found.len() {
        if expected[e] == found[f] {
            pairs.push((e, f));
            (e, f) = (e + 1, f + 1);
        } else if lengths[(e + 1) * width + f] >= lengths[e * width + f + 1] {
            e += 1;
        } else {
            f += 1;
        }
    }
    pairs
}

impl Difference {
    /// In lines of text.
    pub(super) fn show(&self, paint: Paint) -> String {
        match self {
            Self::Missing(outcome) => paint.red(&format!("- missing     {}", line(outcome))),
            Self::Unexpected(outcome) => paint.green(&format!("+ unexpected  {}", line(outcome))),
            Self::Changed { table, line, expected, found } => changed(table, *line, expected, found, paint),
        }
    }
}

fn changed(table: &str, line: usize, expected: &Columns, found: &Columns, paint: Paint) -> String {
    let mut text = format!("~ changed     {table}, line {line} of expected.jsonl: {}", names(expected, found));
    let columns = expected.0.iter().map(|(name, _)| name);
    let new = found.0.iter().map(|(name, _)| name).filter(|name| expected.get(name).is_none());
    for name in columns.chain(new).filter(|name| expected.get(name) != found.get(name)) {
        let shown = |value: Option<Option<&str>>| value.map_or("no such column".to_owned(), quoted);
        let minus = paint.red(&format!("- {}", shown(expected.get(name))));
        let plus = paint.green(&format!("+ {}", shown(found.get(name))));
        write!(text, "\n    {name}\n      {minus}\n      {plus}").expect("a string takes all that is written");
    }
    text
}

/// What the row is told by: its first columns that did not change.
fn names(expected: &Columns, found: &Columns) -> String {
    let same = expected.0.iter().filter(|(name, value)| found.get(name) == Some(value.as_deref()));
    let same: Vec<_> = same.take(3).map(|(name, value)| format!("{name}={}", quoted(value.as_deref()))).collect();
    if same.is_empty() { "no column is the same".to_owned() } else { same.join(" ") }
}

/// A line for one outcome.
pub(super) fn line(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Row(Row { table, row }) => {
            let row: Vec<_> =
                row.0.iter().map(|(name, value)| format!("{name}={}", quoted(value.as_deref()))).collect();
            format!("{table}  {}", row.join(" "))
        }
        Outcome::Dead { dead: Dead { offset, stage, code, column, reason } } => {
            let column = column.as_ref().map(|column| format!(" column={column}")).unwrap_or_default();
            let reason = if reason.is_empty() { String::new() } else { format!("  ({reason})") };
            format!("dead letter  offset={offset} stage={stage} code={code}{column}{reason}")
        }
    }
}

/// Text in quotes, with what can't be seen written out; null without.
fn quoted(value: Option<&str>) -> String {
    value.map_or_else(|| "null".to_owned(), |value| format!("{value:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: u32, name: &str) -> Outcome {
        let columns = [("id", Some(id.to_string())), ("name", Some(name.to_owned())), ("note", None), ("_op", None)];
        let row = Columns(columns.map(|(name, value)| (name.to_owned(), value)).to_vec());
        Outcome::Row(Row { table: "t".into(), row })
    }

    fn dead(offset: i64) -> Outcome {
        let (stage, code) = ("transform".to_owned(), "bad".to_owned());
        Outcome::Dead { dead: Dead { offset, stage, code, column: None, reason: String::new() } }
    }

    fn shown(expected: &[Outcome], found: &[Outcome]) -> Vec<String> {
        differences(expected, found).iter().map(|difference| difference.show(Paint::PLAIN)).collect()
    }

    #[test]
    fn equal_lines_have_no_differences() {
        let lines = [row(1, "a"), row(2, "b"), dead(3)];
        assert!(shown(&lines, &lines).is_empty());
        assert!(shown(&[], &[]).is_empty());
    }

    #[test]
    fn a_changed_value_is_told_by_row_and_column() {
        let found = shown(&[row(1, "a"), row(2, "b")], &[row(1, "a"), row(2, "B ")]);
        let expected = "~ changed     t, line 2 of expected.jsonl: id=\"2\" note=null _op=null\n    name\n      - \"b\"\n      + \"B \"";
        assert_eq!(found, [expected]);
    }

    #[test]
    fn a_row_that_is_gone_and_one_that_came_do_not_hide_the_others() {
        let found = shown(&[row(1, "a"), row(2, "b"), row(3, "c")], &[row(2, "b"), row(3, "c"), dead(1)]);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("- missing     t  id=\"1\""), "{found:?}");
        assert_eq!(found[1], "+ unexpected  dead letter  offset=1 stage=transform code=bad");
    }

    #[test]
    fn a_column_that_one_side_lacks_is_a_difference() {
        let mut less = row(1, "a");
        if let Outcome::Row(Row { row, .. }) = &mut less {
            row.0.retain(|(name, _)| name != "note");
        }
        let found = shown(&[less], &[row(1, "a")]);
        assert!(found[0].contains("note\n      - no such column\n      + null"), "{found:?}");
    }

    #[test]
    fn without_a_difference_every_line_is_common() {
        let lines: Vec<_> = (0..40).map(|id| row(id % 7, "x")).collect();
        assert_eq!(common(&lines, &lines).len(), 40);
        let other: Vec<_> = (3..20).map(|id| row(id, "x")).collect();
        let lines: Vec<_> = (0..10).map(|id| row(id, "x")).collect();
        assert_eq!(longest(&lines, &other).len(), 7);
        assert_eq!(in_place(&lines, &lines[..6]).len(), 6);
    }
}
