//! Rows for a terminal: a table where it fits, one value a line where it does not.

use std::fmt::Write;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::paint::Paint;

/// A column that has to give way is not made narrower than this.
const NARROWEST: usize = 8;
/// Between columns.
const GAP: usize = 2;

/// Rows in columns, `None` is null. `width` is the terminal's, in cells; without it nothing is cut.
pub(super) fn table(names: &[&str], rows: &[Vec<Option<String>>], width: Option<usize>, paint: Paint) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(shown).collect()).collect();
    let natural = |column: usize| {
        let values = rows.iter().filter_map(|row| row.get(column)).map(|value| value.width());
        values.chain([names[column].width()]).max().unwrap_or(0)
    };
    let mut widths: Vec<usize> = (0..names.len()).map(natural).collect();
    if let Some(width) = width
        && !shrink(&mut widths, width)
    {
        return records(names, &rows, width, paint);
    }
    let mut text = paint.bold(&line(names.iter().copied(), &widths));
    text.push('\n');
    for row in &rows {
        text += &line(row.iter().map(String::as_str), &widths);
        text.push('\n');
    }
    text
}

/// Takes from the widest columns until all fit; whether they do.
fn shrink(widths: &mut [usize], width: usize) -> bool {
    let gaps = GAP * widths.len().saturating_sub(1);
    while widths.iter().sum::<usize>() + gaps > width {
        match widths.iter_mut().max() {
            Some(widest) if *widest > NARROWEST => *widest -= 1,
            Some(_) | None => return false,
        }
    }
    true
}

fn line<'a>(values: impl Iterator<Item = &'a str>, widths: &[usize]) -> String {
    let cells: Vec<_> = values.zip(widths).map(|(value, width)| padded(&cut(value, *width), *width)).collect();
    cells.join(&" ".repeat(GAP)).trim_end().to_owned()
}

fn records(names: &[&str], rows: &[Vec<String>], width: usize, paint: Paint) -> String {
    let name_width = names.iter().map(|name| name.width()).max().unwrap_or(0);
    let room = width.saturating_sub(name_width + GAP).max(NARROWEST);
    let mut text = String::new();
    for row in rows {
        for (name, value) in names.iter().zip(row) {
            let name = paint.bold(&padded(name, name_width));
            writeln!(text, "{name}  {}", cut(value, room)).expect("a string takes all that is written");
        }
        text.push('\n');
    }
    text
}

fn padded(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(text.width())))
}

/// As much of a text as fits, and a sign that there is more.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let (mut used, mut cut) = (1, String::new());
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > width {
            break;
        }
        cut.push(c);
    }
    cut + "…"
}

/// A value as it can be shown: it comes from a topic, and a terminal obeys what it reads.
fn shown(value: &Option<String>) -> String {
    value.as_deref().map_or_else(|| "null".to_owned(), harmless)
}

/// Text without control characters (escape sequences begin with one) and without the marks that turn its direction.
pub(super) fn harmless(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let shown = |c: char| match c {
        '\n' | '\r' | '\t' => ' ',
        c if c.is_control() || turns(c) => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: &[&[&str]]) -> Vec<Vec<Option<String>>> {
        let value = |value: &&str| (*value != "NULL").then(|| (*value).to_owned());
        rows.iter().map(|row| row.iter().map(value).collect()).collect()
    }

    #[test]
    fn columns_are_as_wide_as_their_values() {
        let text = table(&["id", "name"], &rows(&[&["1", "Ada"], &["22", "NULL"]]), None, Paint::PLAIN);
        assert_eq!(text, "id  name\n1   Ada\n22  null\n");
    }

    #[test]
    fn the_widest_column_gives_way() {
        let long = "x".repeat(50);
        let text = table(&["id", "text"], &rows(&[&["1", &long]]), Some(20), Paint::PLAIN);
        assert_eq!(text, format!("id  text\n1   {}…\n", "x".repeat(15)));
    }

    #[test]
    fn where_columns_do_not_fit_each_value_has_a_line() {
        let names = ["first_column", "second_column", "third_column"];
        let text = table(&names, &rows(&[&["1", "2", "a long text that is cut"]]), Some(24), Paint::PLAIN);
        assert_eq!(text, "first_column   1\nsecond_column  2\nthird_column   a long t…\n\n");
        assert!(text.lines().all(|line| line.width() <= 24));
    }

    #[test]
    fn wide_characters_count_twice_and_escape_sequences_do_nothing() {
        let text = table(&["a", "b"], &rows(&[&["日本", "\x1b[31mred\n"], &["x", "y"]]), None, Paint::PLAIN);
        assert_eq!(text, "a     b\n日本  \u{fffd}[31mred \nx     y\n".replace(" \n", "\n"));
    }
}
