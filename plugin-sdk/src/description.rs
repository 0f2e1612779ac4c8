//! What a plugin says of itself: the description of `schemas/wit/0.1/transform.wit`, in plain Rust, put together from the
//! derived types of a plugin.

use std::collections::BTreeSet;
use std::fmt;

/// The unit of a time or timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUnit {
    /// Seconds.
    Second,
    /// 1/1,000 s.
    Millisecond,
    /// 1/1,000,000 s.
    Microsecond,
    /// 1/1,000,000,000 s.
    Nanosecond,
}

/// The type of a column. Its buffers are Apache Arrow's, as the contract lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are Arrow's")]
pub enum DataType {
    Boolean,
    Int8,
    Int16,
    Int32,
    Int64,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
    Float32,
    Float64,
    Utf8,
    Binary,
    Json,
    Uuid,
    Date,
    Time(TimeUnit),
    Timestamp {
        unit: TimeUnit,
        /// True: an instant; false: a wall-clock time without zone.
        utc: bool,
    },
    Decimal {
        precision: u8,
        scale: i8,
    },
}

/// A column: its name and type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Name, as in the row (input) or the table (output).
    pub name: &'static str,
    /// Type of its values.
    pub data_type: DataType,
    /// Whether it may be null.
    pub nullable: bool,
}

/// A column that the plugin reads or passes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputColumn {
    /// Name and type.
    pub column: Column,
    /// False: it is only passed on, so it stays in the host.
    pub crosses: bool,
}

/// How Debezium wrote the messages of the plugin's topics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// `before`, `after`, `source`, `op`: Debezium's own.
    #[default]
    Envelope,
    /// The row alone, as `ExtractNewRecordState` leaves it.
    Flat,
}

/// How the rows of one sort key add up in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableKind {
    /// Each row stays.
    Append,
    /// The newest row of a sort key counts, and a delete hides it.
    Current,
}

/// A column of an output table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputColumn {
    /// Name and type.
    pub column: Column,
    /// The input column that the host takes over as it is; `None`: the plugin makes the column.
    pub passed_from: Option<&'static str>,
    /// The ClickHouse type to use in place of the default one.
    pub clickhouse_type: Option<&'static str>,
}

/// An output table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Its default name.
    pub table: &'static str,
    /// How its rows add up.
    pub kind: TableKind,
    /// Its columns, without the engine's own.
    pub columns: Vec<OutputColumn>,
    /// Column names or ClickHouse expressions.
    pub sort_key: Vec<&'static str>,
    /// A ClickHouse expression.
    pub partition_by: Option<&'static str>,
}

/// A parameter that `plugin.toml` may set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// One line for the user.
    pub doc: &'static str,
    /// `None`: must be set.
    pub default: Option<&'static str>,
}

/// Everything that the host learns of a plugin before it runs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The plugin's name: its crate's.
    pub name: &'static str,
    /// The plugin's version: its crate's.
    pub version: &'static str,
    /// How the messages are written.
    pub format: Format,
    /// Columns read or passed on.
    pub input: Vec<InputColumn>,
    /// Tables written.
    pub outputs: Vec<Output>,
    /// Parameters, in the order in which their values come.
    pub parameters: Vec<Parameter>,
}

impl Description {
    /// Puts a description together: input columns that are only passed on are added behind those that are read.
    ///
    /// # Errors
    /// Where the parts contradict each other, in words.
    pub fn new(
        (name, version): (&'static str, &'static str),
        format: Format,
        read: Vec<Column>,
        outputs: Vec<Output>,
        parameters: Vec<Parameter>,
    ) -> Result<Self, Contradiction> {
        unique("input column", read.iter().map(|column| column.name))?;
        unique("output table", outputs.iter().map(|output| output.table))?;
        unique("parameter", parameters.iter().map(|parameter| parameter.name))?;
        let mut input: Vec<_> = read.into_iter().map(|column| InputColumn { column, crosses: true }).collect();
        for output in &outputs {
            unique("output column", output.columns.iter().map(|column| column.column.name))?;
            check_sort_key(output)?;
            for column in &output.columns {
                pass(&mut input, output.table, column)?;
            }
        }
        Ok(Self { name, version, format, input, outputs, parameters })
    }

    /// Index of an input column.
    #[must_use]
    pub fn input_index(&self, name: &str) -> Option<usize> {
        self.input.iter().position(|input| input.column.name == name)
    }
}

/// Parts of a plugin that do not fit together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contradiction(String);

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Contradiction {}

fn unique(what: &str, names: impl Iterator<Item = &'static str>) -> Result<(), Contradiction> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(Contradiction(format!("{what} `{name}` is declared twice")));
        }
    }
    Ok(())
}

/// A sort key may be an expression, so only plain names are looked up.
fn check_sort_key(output: &Output) -> Result<(), Contradiction> {
    if output.kind == TableKind::Current && output.sort_key.is_empty() {
        return Err(Contradiction(format!("table `{}` is `current` and so needs a sort_key", output.table)));
    }
    let plain = |key: &&str| key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    for key in output.sort_key.iter().copied().filter(plain) {
        // The engine's own columns begin with an underscore.
        if !key.starts_with('_') && !output.columns.iter().any(|column| column.column.name == key) {
            return Err(Contradiction(format!("sort_key `{key}` is no column of table `{}`", output.table)));
        }
    }
    Ok(())
}

fn pass(input: &mut Vec<InputColumn>, table: &str, output: &OutputColumn) -> Result<(), Contradiction> {
    let Some(name) = output.passed_from else { return Ok(()) };
    let wanted = Column { name, ..output.column.clone() };
    let Some(known) = input.iter().find(|input| input.column.name == name) else {
        input.push(InputColumn { column: wanted, crosses: false });
        return Ok(());
    };
    if known.column == wanted {
        return Ok(());
    }
    let shown = |column: &Column| format!("{:?}{}", column.data_type, if column.nullable { ", nullable" } else { "" });
    Err(Contradiction(format!(
        "column `{}` of table `{table}` passes `{name}` on as {}, but elsewhere it is {}",
        output.column.name,
        shown(&wanted),
        shown(&known.column)
    )))
}
