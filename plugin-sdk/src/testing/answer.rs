//! What a plugin made of what it was fed, and assertions that show the difference.

use std::collections::BTreeMap;
use std::fmt;

use super::grid::{Grid, difference};

/// What a plugin made of a batch, or of messages.
///
/// Rows and messages are counted as they were fed, from 0: in [`TableRow::from`], [`Rejected::index`] and
/// [`Self::ignored`].
#[derive(Debug)]
pub struct Answer {
    /// The tables of the description, in its order, those without rows too.
    pub(super) tables: Vec<(&'static str, Vec<TableRow>)>,
    pub(super) rejected: Vec<Rejected>,
    pub(super) ignored: Vec<(usize, &'static str)>,
    /// The letter of the operation of each message that is a row.
    #[cfg(feature = "testing")]
    pub(super) ops: BTreeMap<usize, u8>,
}

/// A row or message that was set aside: a row of the dead-letter table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Which of those fed.
    pub index: usize,
    /// Where: `decode`, or `transform` for the plugin's own.
    pub stage: &'static str,
    /// The word to count and search by.
    pub code: String,
    /// The column to blame, where the decoder names one.
    pub column: Option<String>,
    /// What is wrong, in words.
    pub reason: String,
}

impl Answer {
    /// Asserts what a table holds, written as a table: the columns to compare, then the rows, in order.
    ///
    /// ```text
    /// answer.assert_table("orders", "
    ///     id | status
    ///     1  | PENDING
    ///     2  | null
    /// ");
    /// ```
    ///
    /// Columns that are not named are not compared; `_deleted` may be named, for rows that delete their key. A text that is empty, has a space at its end, a `|`, or a line
    /// break stands in quotes, as Rust writes it: `""`, `" x"`.
    ///
    /// # Panics
    /// Where the table holds something else, with the difference line by line; where there is no such table or column.
    #[track_caller]
    pub fn assert_table(&self, name: &str, expected: &str) {
        let expected = Grid::parse(expected);
        let rows = self.rows(name);
        let actual = Grid::new(
            expected.header().to_vec(),
            rows.iter().map(|row| expected.header().iter().map(|column| shown(row.get(column))).collect()),
        );
        if let Some(difference) = difference(&expected, &actual) {
            panic!("table `{name}` is not as expected (- expected, + there):\n{difference}{}", self.rejects_note());
        }
    }

    /// The rows of a table, each as `column=value column=value`; none where nothing was emitted.
    ///
    /// # Panics
    /// The plugin has no such table.
    #[must_use]
    #[track_caller]
    pub fn table(&self, name: &str) -> Vec<String> {
        self.rows(name).iter().map(ToString::to_string).collect()
    }

    /// The rows of a table.
    ///
    /// # Panics
    /// The plugin has no such table.
    #[must_use]
    #[track_caller]
    pub fn rows(&self, name: &str) -> &[TableRow] {
        let table = self.tables.iter().find(|table| table.0 == name);
        &table.unwrap_or_else(|| panic!("the plugin has no table `{name}`, but {}", self.names())).1
    }

    /// What was set aside, and the codes.
    #[must_use]
    pub fn rejects(&self) -> Vec<(usize, &str)> {
        self.rejected.iter().map(|rejected| (rejected.index, &*rejected.code)).collect()
    }

    /// What was set aside, with the reasons.
    #[must_use]
    pub fn rejected(&self) -> &[Rejected] {
        &self.rejected
    }

    /// Messages that are no rows, such as tombstones, and why.
    #[must_use]
    pub fn ignored(&self) -> &[(usize, &'static str)] {
        &self.ignored
    }

    /// Adds what was made of another batch.
    pub(super) fn add(&mut self, other: Self) {
        for ((_, rows), (_, more)) in self.tables.iter_mut().zip(other.tables) {
            rows.extend(more);
        }
        self.rejected.extend(other.rejected);
        self.ignored.extend(other.ignored);
        #[cfg(feature = "testing")]
        self.ops.extend(other.ops);
    }

    fn names(&self) -> String {
        self.tables.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    }

    /// Most surprises in tables are rows that were rejected.
    fn rejects_note(&self) -> String {
        let counts = self.rejected.iter().fold(BTreeMap::new(), |mut counts, rejected| {
            *counts.entry(&*rejected.code).or_insert(0) += 1;
            counts
        });
        let counts: Vec<_> = counts.iter().map(|(code, count)| format!("{count} {code}")).collect();
        if counts.is_empty() { String::new() } else { format!("rejected: {}\n", counts.join(", ")) }
    }
}

/// A cell as it stands in an expectation.
fn shown(cell: Option<&str>) -> String {
    match cell {
        None => "null".into(),
        Some(text)
            if text.is_empty()
                || text == "null"
                || text.trim() != text
                || text.contains(['|', '"'])
                || text.chars().any(char::is_control) =>
        {
            format!("{text:?}")
        }
        Some(text) => text.into(),
    }
}

/// All tables, and what was rejected: for a look at it, `println!("{answer}")`.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, rows) in &self.tables {
            writeln!(f, "{name}: {} rows", rows.len())?;
            let Some(first) = rows.first() else { continue };
            let header = first.columns.iter().map(|(name, _)| name.clone()).collect();
            let cells = |row: &TableRow| row.columns.iter().map(|(_, cell)| shown(cell.as_deref())).collect();
            write!(f, "{}", Grid::new(header, rows.iter().map(cells)))?;
        }
        for rejected in &self.rejected {
            writeln!(f, "rejected {}: {}: {}", rejected.index, rejected.code, rejected.reason)?;
        }
        self.ignored.iter().try_for_each(|(index, what)| writeln!(f, "ignored {index}: {what}"))
    }
}

/// A row of a table: the values as text, dates and decimals as they are written, bytes in hexadecimal digits, lists as
/// `[a,b]`, maps as `{key:value}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableRow {
    /// Which of the rows or messages fed it was made from; `None`: of state alone.
    pub from: Option<usize>,
    /// Whether it deletes its key; `None`: that is for the operation of its row or message to say.
    pub deletes: Option<bool>,
    /// Names and values of the columns; `None` is null.
    pub columns: Vec<(String, Option<String>)>,
}

impl TableRow {
    /// The value of a column; `None` is null. `_deleted` is [`Self::deletes`].
    ///
    /// # Panics
    /// The table has no such column.
    #[must_use]
    #[track_caller]
    pub fn get(&self, name: &str) -> Option<&str> {
        if name == "_deleted" {
            return self.deletes.map(|deletes| if deletes { "true" } else { "false" });
        }
        let column = self.columns.iter().find(|column| column.0 == name);
        let names = || self.columns.iter().map(|column| column.0.as_str()).collect::<Vec<_>>().join(", ");
        column.unwrap_or_else(|| panic!("the table has no column `{name}`, but {}", names())).1.as_deref()
    }
}

impl fmt::Display for TableRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.columns.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{name}={}", value.as_deref().unwrap_or("null"))?;
        }
        if self.deletes == Some(true) { write!(f, " _deleted=true") } else { Ok(()) }
    }
}
