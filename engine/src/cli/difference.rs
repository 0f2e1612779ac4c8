//! A difference between two versions, as text for people: `-` is the version that runs, `+` the newcomer.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::paint::Paint;
use super::table::harmless;
use crate::deploy::difference::{
    At, ColumnDifference, Cost, Difference, LetterDifference, LetterSample, RowSample, Sides, TableDifference,
    ValueSample, Values,
};

/// Rows of each below which their cost is not shown: making an instance would be most of it.
const FEWEST_FOR_COST: u64 = 1_000;

/// In lines; each ends with a line break.
pub(super) fn show(difference: &Difference, paint: Paint) -> String {
    let mut text = String::new();
    let Difference { batches, messages, tables, letters, no_ops, remembered, cost } = difference;
    let compared = format!("{} in {} compared", counted(*messages, "message"), counted(*batches, "batch"));
    let compared = match (batches, difference.is_equal()) {
        (0, _) => "nothing was compared yet".to_owned(),
        (_, true) => format!("{compared}: no difference"),
        (_, false) => compared,
    };
    line(&mut text, 0, &compared);
    for (name, table) in tables {
        show_table(&mut text, name, table, paint);
    }
    if letters.differing() > 0 {
        show_letters(&mut text, letters, paint);
    } else if letters.letters.before > 0 {
        line(&mut text, 0, &format!("dead letters  {}, the same", letters.letters.before));
    }
    for (kind, Sides { before, after }) in no_ops {
        line(&mut text, 0, &format!("without a row  {kind}: {before} before, {after} after"));
    }
    if *remembered > 0 {
        line(&mut text, 0, &format!("remembers something else after {}", counted(*remembered, "batch")));
    }
    show_cost(&mut text, cost);
    text
}

fn show_table(text: &mut String, name: &str, table: &TableDifference, paint: Paint) {
    let TableDifference { rows, changed, gone, new, columns, samples_gone, samples_new } = table;
    let head = paint.bold(name);
    if !table.differs() {
        return line(text, 0, &format!("{head}  {}, the same", counted(rows.before, "row")));
    }
    let Sides { before, after } = rows;
    line(text, 0, &format!("{head}  {before} rows before, {after} after: {changed} changed, {gone} gone, {new} new"));
    for (name, column) in columns {
        show_column(text, name, column, paint);
    }
    show_rows(text, samples_gone, *gone, &|row| paint.red(&format!("- {row}")));
    show_rows(text, samples_new, *new, &|row| paint.green(&format!("+ {row}")));
}

fn show_column(text: &mut String, name: &str, column: &ColumnDifference, paint: Paint) {
    let ColumnDifference { types, rows, samples } = column;
    let head = match (&types.before, &types.after) {
        (Some(before), None) => paint.red(&format!("- column {name} {before} is gone")),
        (None, Some(after)) => paint.green(&format!("+ column {name} {after} is new")),
        (Some(before), Some(after)) if before != after => {
            format!("~ {name}  {before} becomes {after}, differs in {rows}")
        }
        (_, _) => format!("~ {name}  differs in {rows}"),
    };
    line(text, 1, &head);
    for ValueSample { at, key, values } in samples {
        line(text, 3, &format!("{}  {}", place(at), listed(key)));
        if types.before.is_some() {
            line(text, 4, &paint.red(&format!("- {}", quoted(values.before.as_deref()))));
        }
        if types.after.is_some() {
            line(text, 4, &paint.green(&format!("+ {}", quoted(values.after.as_deref()))));
        }
    }
    more(text, 3, *rows, samples.len());
}

fn show_rows(text: &mut String, samples: &[RowSample], all: u64, shown: &dyn Fn(&str) -> String) {
    for RowSample { at, row } in samples {
        line(text, 1, &shown(&format!("{}  {}", place(at), listed(row))));
    }
    more(text, 1, all, samples.len());
}

fn show_letters(text: &mut String, letters: &LetterDifference, paint: Paint) {
    let LetterDifference { letters: Sides { before, after }, new, gone, changed, samples } = letters;
    let by_code = |codes: &BTreeMap<String, u64>| {
        let codes: Vec<_> = codes.iter().map(|(code, count)| format!("{code} {count}")).collect();
        if codes.is_empty() { "0".to_owned() } else { codes.join(", ") }
    };
    let (head, new, gone) = (paint.bold("dead letters"), by_code(new), by_code(gone));
    line(
        text,
        0,
        &format!("{head}  {before} before, {after} after: new {new}; gone {gone}; for another reason {changed}"),
    );
    for LetterSample { at, why: sides } in samples {
        line(text, 1, &place(at));
        let why_side = |why: &Option<String>| why.as_deref().map_or_else(|| "makes rows of it".to_owned(), harmless);
        line(text, 2, &paint.red(&format!("- {}", why_side(&sides.before))));
        line(text, 2, &paint.green(&format!("+ {}", why_side(&sides.after))));
    }
    more(text, 1, letters.differing(), samples.len());
}

fn show_cost(text: &mut String, cost: &Sides<Cost>) {
    let enough = |cost: &&Cost| cost.rows >= FEWEST_FOR_COST;
    let per_row = |cost: &Cost| Some(cost).filter(enough)?.per_row_ns().map(|ns| format!("{ns:.0} ns"));
    if let (Some(before), Some(after)) = (per_row(&cost.before), per_row(&cost.after)) {
        let times = cost.ratio().map(|ratio| format!(" (× {ratio:.2})")).unwrap_or_default();
        line(text, 0, &format!("cost  {before} of CPU time a row before, {after} after{times}"));
    }
}

fn place(At { topic, partition, offset }: &At) -> String {
    format!("{topic}/{partition} offset {offset}")
}

fn listed(values: &Values) -> String {
    let values: Vec<_> = values.iter().map(|(name, value)| format!("{name}={}", quoted(value.as_deref()))).collect();
    values.join(" ")
}

/// Text in quotes, with what can't be seen written out; null without.
fn quoted(value: Option<&str>) -> String {
    value.map_or_else(|| "null".to_owned(), |value| format!("{value:?}"))
}

fn more(text: &mut String, depth: usize, all: u64, shown: usize) {
    let left = all.saturating_sub(shown as u64);
    if left > 0 && shown > 0 {
        line(text, depth, &format!("… and {left} more"));
    }
}

fn line(text: &mut String, depth: usize, words: &str) {
    writeln!(text, "{}{words}", "  ".repeat(depth)).expect("a string takes all that is written");
}

pub(super) fn counted(number: u64, what: &str) -> String {
    let plural = if what.ends_with("ch") { "es" } else { "s" };
    format!("{number} {what}{}", if number == 1 { "" } else { plural })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(offset: i64) -> At {
        At { topic: "shop.users".to_owned(), partition: 0, offset }
    }

    fn values(values: &[(&str, Option<&str>)]) -> Values {
        values.iter().map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned))).collect()
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn each_kind_of_difference_has_its_lines() {
        let types = |before: Option<&str>, after: Option<&str>| Sides {
            before: before.map(str::to_owned),
            after: after.map(str::to_owned),
        };
        let value = |before, after| ValueSample {
            at: at(7),
            key: values(&[("id", Some("3"))]),
            values: Sides { before, after },
        };
        let email = ColumnDifference {
            types: types(Some("Utf8"), Some("Utf8")),
            rows: 2,
            samples: vec![value(some("A\n"), some("a"))],
        };
        let plan = ColumnDifference { types: types(None, Some("Utf8")), rows: 1, samples: vec![value(None, None)] };
        let users = TableDifference {
            rows: Sides { before: 9, after: 8 },
            changed: 2,
            gone: 1,
            columns: BTreeMap::from([("email".to_owned(), email), ("plan".to_owned(), plan)]),
            samples_gone: vec![RowSample { at: at(8), row: values(&[("id", Some("4")), ("email", None)]) }],
            ..TableDifference::default()
        };
        let same = TableDifference { rows: Sides { before: 1, after: 1 }, ..TableDifference::default() };
        let letter = LetterSample { at: at(9), why: Sides { before: None, after: some("transform bad: \u{1b}[31m") } };
        let letters = LetterDifference {
            letters: Sides { before: 0, after: 1 },
            new: BTreeMap::from([("bad".to_owned(), 1)]),
            samples: vec![letter],
            ..LetterDifference::default()
        };
        let cost = |us| Cost { rows: 1_000, plugin: Duration::from_micros(us) };
        let difference = Difference {
            batches: 1,
            messages: 12,
            tables: BTreeMap::from([("users".to_owned(), users), ("visits".to_owned(), same)]),
            letters,
            no_ops: BTreeMap::from([("tombstone".to_owned(), Sides { before: 1, after: 2 })]),
            remembered: 1,
            cost: Sides { before: cost(100), after: cost(200) },
        };
        let expected = "12 messages in 1 batch compared\n\
            users  9 rows before, 8 after: 2 changed, 1 gone, 0 new\n  \
              ~ email  differs in 2\n      shop.users/0 offset 7  id=\"3\"\n        - \"A\\n\"\n        + \"a\"\n      … and 1 more\n  \
              + column plan Utf8 is new\n      shop.users/0 offset 7  id=\"3\"\n        + null\n  \
              - shop.users/0 offset 8  id=\"4\" email=null\n\
            visits  1 row, the same\n\
            dead letters  0 before, 1 after: new bad 1; gone 0; for another reason 0\n  \
              shop.users/0 offset 9\n    - makes rows of it\n    + transform bad: \u{fffd}[31m\n\
            without a row  tombstone: 1 before, 2 after\n\
            remembers something else after 1 batch\n\
            cost  100 ns of CPU time a row before, 200 ns after (× 2.00)\n";
        assert_eq!(show(&difference, Paint::PLAIN), expected);
    }

    #[test]
    fn no_difference_is_said_in_a_line() {
        let difference = Difference { batches: 2, messages: 5, ..Difference::default() };
        assert_eq!(show(&difference, Paint::PLAIN), "5 messages in 2 batches compared: no difference\n");
    }
}
