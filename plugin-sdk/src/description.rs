//! What a plugin says of itself: the description of `wit/transform.wit`, in plain Rust, put together from the derived
//! types of a plugin.

use std::borrow::Cow;
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

/// The type of a single value. Its buffers are Apache Arrow's, as the contract lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are Arrow's")]
pub enum ScalarType {
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

impl ScalarType {
    /// Buffers of a column of this type, validity among them.
    const fn buffers(self) -> usize {
        if matches!(self, Self::Utf8 | Self::Binary | Self::Json) { 3 } else { 2 }
    }
}

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataType {
    /// One value a row.
    Scalar(ScalarType),
    /// A list of values a row.
    List {
        /// Type of the elements.
        element: ScalarType,
        /// Whether an element may be null.
        nullable: bool,
    },
    /// Keys and their values.
    Map {
        /// Type of the keys, which are never null.
        key: ScalarType,
        /// Type of the values.
        value: ScalarType,
        /// Whether a value may be null.
        nullable: bool,
    },
}

impl DataType {
    /// The type as an element of a list or map. A list of lists does not compile: types are constants.
    #[must_use]
    pub const fn element(self) -> ScalarType {
        match self {
            Self::Scalar(scalar) => scalar,
            Self::List { .. } | Self::Map { .. } => panic!("lists and maps hold single values, no other lists or maps"),
        }
    }

    /// Buffers of a column of this type, validity among them.
    pub(crate) const fn buffers(self) -> usize {
        match self {
            Self::Scalar(scalar) => scalar.buffers(),
            Self::List { element, .. } => 2 + element.buffers(),
            Self::Map { key, value, .. } => 2 + key.buffers() + value.buffers(),
        }
    }
}

/// The type as an author writes it: `Int64`, `Decimal(12, 2)`, `list of Utf8`.
impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scalar(ScalarType::Decimal { precision, scale }) => write!(f, "Decimal({precision}, {scale})"),
            Self::Scalar(ScalarType::Timestamp { unit, utc: true }) => write!(f, "Timestamp({unit:?}, UTC)"),
            Self::Scalar(ScalarType::Timestamp { unit, utc: false }) => write!(f, "Timestamp({unit:?})"),
            Self::Scalar(scalar) => write!(f, "{scalar:?}"),
            Self::List { element, .. } => write!(f, "list of {}", Self::Scalar(*element)),
            Self::Map { key, value, .. } => write!(f, "map of {} to {}", Self::Scalar(*key), Self::Scalar(*value)),
        }
    }
}

/// A column: its name and type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name: in an input as its [`Source`] says, in an output as in the table.
    pub name: Cow<'static, str>,
    /// Type of its values.
    pub data_type: DataType,
    /// Whether it may be null.
    pub nullable: bool,
}

/// What the engine knows of a change beside its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeColumn {
    /// The letter of the [`Op`](crate::Op).
    Op,
    /// Whether the row is gone.
    Deleted,
    /// Orders all changes of a key.
    Version,
    /// When the source database made the change.
    SourceTimestamp,
    /// The message's topic.
    Topic,
    /// The message's partition.
    Partition,
    /// The message's offset.
    Offset,
    /// The message key's bytes.
    Key,
}

impl ChangeColumn {
    /// The word for it in `#[column(change = "…")]`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Op => "op",
            Self::Deleted => "deleted",
            Self::Version => "version",
            Self::SourceTimestamp => "source_timestamp",
            Self::Topic => "topic",
            Self::Partition => "partition",
            Self::Offset => "offset",
            Self::Key => "key",
        }
    }

    /// Whether a column of this type holds it. Where it may be missing the column has to be nullable.
    #[must_use]
    pub const fn fits(self, data_type: DataType, nullable: bool) -> bool {
        let DataType::Scalar(scalar) = data_type else { return false };
        match self {
            Self::Op => matches!(scalar, ScalarType::UInt8),
            Self::Deleted => matches!(scalar, ScalarType::Boolean),
            Self::Version => matches!(scalar, ScalarType::UInt64),
            Self::SourceTimestamp => {
                nullable && matches!(scalar, ScalarType::Timestamp { unit: TimeUnit::Millisecond, utc: true })
            }
            Self::Topic => matches!(scalar, ScalarType::Utf8),
            Self::Partition => matches!(scalar, ScalarType::Int32),
            Self::Offset => matches!(scalar, ScalarType::Int64),
            Self::Key => nullable && matches!(scalar, ScalarType::Binary),
        }
    }
}

/// Where an input column comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// This field of the row: after the change; of a delete, the row that was deleted.
    Row(&'static str),
    /// This field of the row before the change.
    Before(&'static str),
    /// The last header of this name.
    Header(&'static str),
    /// What the engine knows beside the row.
    Change(ChangeColumn),
}

impl Source {
    /// All fields of the row that no other column reads, as one object: what has no name.
    pub const REST: Self = Self::Row("");

    /// The input column's name: the field's own, or with its kind in front of it; `*` for the rest of the row.
    #[must_use]
    pub fn column_name(self) -> Cow<'static, str> {
        match self {
            Self::REST => "*".into(),
            Self::Before("") => "before.*".into(),
            Self::Row(field) => field.into(),
            Self::Before(field) => format!("before.{field}").into(),
            Self::Header(header) => format!("header.{header}").into(),
            Self::Change(change) => format!("change.{}", change.name()).into(),
        }
    }
}

/// A column that the plugin reads or passes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputColumn {
    /// Name and type.
    pub column: Column,
    /// Where it comes from.
    pub source: Source,
    /// True: a message whose row does not name the field is set aside.
    pub required: bool,
    /// False: it is only passed on, so it stays in the host.
    pub crosses: bool,
}

impl InputColumn {
    /// A column that the plugin reads.
    #[must_use]
    pub fn read(source: Source, data_type: DataType, nullable: bool, required: bool) -> Self {
        let column = Column { name: source.column_name(), data_type, nullable };
        Self { column, source, required, crosses: true }
    }

    /// The same column of the row before the change, which not every message has.
    pub(crate) fn before(mut self) -> Self {
        if let Source::Row(field) = self.source {
            self.source = Source::Before(field);
            self.column.name = self.source.column_name();
        }
        self.column.nullable = true;
        self.required = false;
        self
    }
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
    pub passed_from: Option<Source>,
    /// Of a passed column: a message whose row does not name the field is set aside.
    pub required: bool,
    /// The ClickHouse type to use in place of the default one.
    pub clickhouse_type: Option<&'static str>,
    /// ClickHouse's codec.
    pub codec: Option<&'static str>,
    /// What the column means: its comment in the table.
    pub doc: Option<&'static str>,
}

/// A data skipping index of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// Its name.
    pub name: &'static str,
    /// A ClickHouse expression over the columns.
    pub expression: &'static str,
    /// Such as `bloom_filter(0.01)`, `minmax`, `set(100)`.
    pub kind: &'static str,
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
    /// Its data skipping indexes.
    pub indexes: Vec<Index>,
}

/// How a parameter's text is written: the engine refuses another text before the plugin starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterType {
    /// Any text.
    Text,
    /// A decimal integer of 64 bits.
    Integer,
    /// A decimal number, neither infinite nor NaN.
    Number,
    /// `true` or `false`.
    Boolean,
}

/// A parameter that `plugin.toml` may set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// One line for the user.
    pub doc: &'static str,
    /// How its text is written.
    pub parameter_type: ParameterType,
    /// `None`: must be set.
    pub default: Option<&'static str>,
}

/// What becomes of an entry of state when the watermark has reached its expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnExpire {
    /// It is gone.
    Drop,
    /// The plugin is called with it.
    Call,
}

/// A table of keyed state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateTable {
    /// Its name.
    pub name: &'static str,
    /// What becomes of its entries in the end.
    pub on_expire: OnExpire,
}

/// The state that a plugin keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateDescription {
    /// Of the entries' bytes.
    pub version: u32,
    /// Older versions that can be read.
    pub reads: Vec<u32>,
    /// Its tables.
    pub tables: Vec<StateTable>,
}

/// Event time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventTimeDescription {
    /// How far out of order events may come, ms.
    pub delay_ms: u64,
    /// When a quiet partition lets the watermark follow the clock, ms.
    pub idle_ms: Option<u64>,
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
    /// What it keeps; `None`: nothing.
    pub state: Option<StateDescription>,
    /// When rows happen; `None`: there is no watermark.
    pub event_time: Option<EventTimeDescription>,
}

impl Description {
    /// Puts a description together: input columns that are only passed on are added behind those that are read.
    ///
    /// # Errors
    /// Where the parts contradict each other, in words.
    pub fn new(
        (name, version): (&'static str, &'static str),
        format: Format,
        read: Vec<InputColumn>,
        outputs: Vec<Output>,
        parameters: Vec<Parameter>,
    ) -> Result<Self, Contradiction> {
        unique("input column", read.iter().map(|input| &*input.column.name))?;
        unique("output table", outputs.iter().map(|output| output.table))?;
        unique("parameter", parameters.iter().map(|parameter| parameter.name))?;
        let mut input = read;
        for output in &outputs {
            unique("output column", output.columns.iter().map(|column| &*column.column.name))?;
            unique("index", output.indexes.iter().map(|index| index.name))?;
            check_sort_key(output)?;
            for column in &output.columns {
                pass(&mut input, output.table, column)?;
            }
        }
        Ok(Self { name, version, format, input, outputs, parameters, state: None, event_time: None })
    }

    /// Index of an input column.
    #[must_use]
    pub fn input_index(&self, source: Source) -> Option<usize> {
        self.input.iter().position(|input| input.source == source)
    }
}

/// Parts of a plugin that do not fit together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contradiction(pub(crate) String);

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Contradiction {}

fn unique<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> Result<(), Contradiction> {
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
    let Some(source) = output.passed_from else { return Ok(()) };
    let Column { data_type, nullable, .. } = output.column;
    let wanted = InputColumn { crosses: false, ..InputColumn::read(source, data_type, nullable, output.required) };
    let Some(known) = input.iter_mut().find(|input| input.source == source) else {
        input.push(wanted);
        return Ok(());
    };
    if known.column == wanted.column {
        known.required |= wanted.required;
        return Ok(());
    }
    let shown = |column: &Column| format!("{}{}", column.data_type, if column.nullable { ", nullable" } else { "" });
    Err(Contradiction(format!(
        "column `{}` of table `{table}` passes `{}` on as {}, but elsewhere it is {}",
        output.column.name,
        wanted.column.name,
        shown(&wanted.column),
        shown(&known.column)
    )))
}
