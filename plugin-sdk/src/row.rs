//! Row style: input rows, one change at a time.

use crate::description::Column;
use crate::view::{Buffers, Mismatch, View};
use crate::{Builder, Ctx, Host, Outputs, RawBatch, Reject, RejectedRow};

/// An input row: a struct whose fields are columns. Derived.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no input row",
    note = "put #[derive(Row)] on a struct whose fields are columns; wrap it as Change<{Self}> to learn the operation"
)]
pub trait Row {
    /// `Self` for the lifetime of a batch.
    type Of<'a>;
    /// The views of its columns: a struct of the same field names, called `<Name>Columns`.
    type Columns<'a>;
    /// The builders of its columns, with which tests make batches.
    type Builders: Builders;
    /// Adds its columns, in order.
    fn describe(columns: &mut Vec<Column>);
    /// Takes the buffers of its columns.
    ///
    /// # Errors
    /// The host's buffers are not those of the description.
    fn bind<'a>(buffers: &mut Buffers<'a>) -> Result<Self::Columns<'a>, Mismatch>;
    /// The row of an index. Panics if the batch has no such row.
    fn get<'a>(columns: &Self::Columns<'a>, row: usize) -> Self::Of<'a>;
    /// Writes the row.
    fn write(self, builders: &mut Self::Builders);
}

/// The builders of all columns of a row or table. Derived.
pub trait Builders: Sized {
    /// Empty columns with room for so many rows.
    fn with_capacity(rows: usize) -> Self;
    /// The buffers of all columns, one column after the other.
    fn buffers<'b>(&'b self, buffers: &mut Vec<&'b [u8]>);
    /// The first column that does not have so many rows, and how many it has.
    fn odd_column(&self, rows: usize) -> Option<(&'static str, usize)>;
}

/// What happened to a row at its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Op {
    /// It was inserted.
    Create = b'c',
    /// It was changed.
    Update = b'u',
    /// It was deleted. Where the source's replica identity is the key alone, all other columns are null, or zero and
    /// empty where they cannot be null.
    Delete = b'd',
    /// It was found by a snapshot.
    Read = b'r',
}

impl Op {
    /// The operation of Debezium's letter.
    #[must_use]
    pub fn from_letter(letter: u8) -> Option<Self> {
        Some(match letter {
            b'c' => Self::Create,
            b'u' => Self::Update,
            b'd' => Self::Delete,
            b'r' => Self::Read,
            _ => return None,
        })
    }

    /// Debezium's letter, in ASCII.
    #[must_use]
    pub const fn letter(self) -> u8 {
        self as u8
    }

    /// Debezium's letter, as text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "c",
            Self::Update => "u",
            Self::Delete => "d",
            Self::Read => "r",
        }
    }

    /// The statement that the letter stands for: INSERT, UPDATE, DELETE or READ.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "INSERT",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Read => "READ",
        }
    }
}

/// A row and what happened to it. Other change columns are fields of the row like any other: `_offset: i64`,
/// `_version: u64`, `_source_ts: Option<Timestamp<Millis>>`, `_topic: &str`, `_partition: i32`, `_key: Option<&[u8]>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change<R> {
    /// What happened.
    pub op: Op,
    /// The row as it is afterwards; for a delete, as it was.
    pub row: R,
}

impl<R> Change<R> {
    /// A row that was inserted.
    pub fn create(row: R) -> Self {
        Self { op: Op::Create, row }
    }

    /// A row that was changed.
    pub fn update(row: R) -> Self {
        Self { op: Op::Update, row }
    }

    /// A row that was deleted.
    pub fn delete(row: R) -> Self {
        Self { op: Op::Delete, row }
    }

    /// A row that a snapshot found.
    pub fn read(row: R) -> Self {
        Self { op: Op::Read, row }
    }

    /// Whether the row is gone.
    #[inline(always)]
    pub fn deleted(&self) -> bool {
        matches!(self.op, Op::Delete)
    }
}

/// Columns of a [`Change`].
#[derive(Clone, Copy, Debug)]
pub struct ChangeColumns<'a, C> {
    /// What happened to each row.
    pub op: crate::column::Ops<'a>,
    /// The row's own columns.
    pub row: C,
}

/// Builders of a [`Change`].
#[derive(Clone, Debug)]
pub struct ChangeBuilders<B> {
    op: crate::FixedBuilder<u8>,
    row: B,
}

impl<B: Builders> Builders for ChangeBuilders<B> {
    fn with_capacity(rows: usize) -> Self {
        Self { op: Builder::with_capacity(rows), row: B::with_capacity(rows) }
    }
    fn buffers<'b>(&'b self, buffers: &mut Vec<&'b [u8]>) {
        self.op.buffers(buffers);
        self.row.buffers(buffers);
    }
    fn odd_column(&self, rows: usize) -> Option<(&'static str, usize)> {
        self.row.odd_column(rows)
    }
}

impl<R: Row> Row for Change<R> {
    type Of<'a> = Change<R::Of<'a>>;
    type Columns<'a> = ChangeColumns<'a, R::Columns<'a>>;
    type Builders = ChangeBuilders<R::Builders>;

    fn describe(columns: &mut Vec<Column>) {
        columns.push(Column { name: "_op", data_type: crate::DataType::UInt8, nullable: false });
        R::describe(columns);
    }
    fn bind<'a>(buffers: &mut Buffers<'a>) -> Result<Self::Columns<'a>, Mismatch> {
        let op = View::bind(buffers).map_err(|mismatch: Mismatch| mismatch.of_column("_op"))?;
        Ok(ChangeColumns { op, row: R::bind(buffers)? })
    }
    #[inline(always)]
    fn get<'a>(columns: &Self::Columns<'a>, row: usize) -> Self::Of<'a> {
        Change { op: columns.op.get(row), row: R::get(&columns.row, row) }
    }
    fn write(self, builders: &mut Self::Builders) {
        builders.op.push(self.op.letter());
        self.row.write(&mut builders.row);
    }
}

/// A function of one row: `fn(I, &Ctx<P>) -> Result<O, Reject>`. For functions of that form alone; a trait, because the
/// lifetime of the batch is in both `I` and `O`, which a bound on `Fn` cannot say.
#[diagnostic::on_unimplemented(
    message = "the row function does not fit the types in `export!`",
    label = "this is not a `fn(input, &Ctx<parameters>) -> Result<output, Reject>`",
    note = "`export!` says: input `{I}`, output `{O}`, parameters `{P}`",
    note = "with text in its rows the function has one lifetime for input and output: `fn clean<'a>(row: In<'a>, ctx: &Ctx) -> Result<Out<'a>, Reject>`"
)]
pub trait RowFunction<'a, I: Row, O: Outputs, P> {
    /// Calls it.
    ///
    /// # Errors
    /// The row is rejected.
    fn call(&self, row: I::Of<'a>, ctx: &Ctx<P>) -> Result<O::Of<'a>, Reject>;
}

impl<'a, I, O, P, F> RowFunction<'a, I, O, P> for F
where
    I: Row,
    O: Outputs,
    F: Fn(I::Of<'a>, &Ctx<P>) -> Result<O::Of<'a>, Reject>,
{
    #[inline(always)]
    fn call(&self, row: I::Of<'a>, ctx: &Ctx<P>) -> Result<O::Of<'a>, Reject> {
        self(row, ctx)
    }
}

/// Runs a row function over a batch. Called by [`export!`](crate::export).
///
/// # Errors
/// The host's buffers are not those of the description.
pub fn process_rows<I, O, P, F>(
    batch: &RawBatch<'_>,
    ctx: &Ctx<P>,
    host: &mut dyn Host,
    transform: &F,
) -> Result<Vec<RejectedRow>, String>
where
    I: Row,
    O: Outputs,
    F: for<'a> RowFunction<'a, I, O, P>,
{
    let columns = batch.bind::<I>().map_err(|mismatch| mismatch.to_string())?;
    let mut tables = O::writers(batch.rows());
    let mut rejected = Vec::new();
    for row in 0..batch.rows() {
        match transform.call(I::get(&columns, row), ctx) {
            Ok(output) => output.write(row, &mut tables),
            Err(reject) => rejected.push(RejectedRow { row, reject }),
        }
    }
    O::emit(&tables, &mut 0, host)?;
    Ok(rejected)
}
