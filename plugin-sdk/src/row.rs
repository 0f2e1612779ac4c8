//! Row style: input rows, one change at a time.

use crate::builder::Bits;
use crate::column::Ops;
use crate::description::{ChangeColumn, InputColumn, Source};
use crate::view::{Buffers, Mismatch, View, bit};
use crate::{Builder, ColumnType, Ctx, FixedBuilder, Host, Outputs, RawBatch, Reject, RejectedRow, Table};

/// An input row: a struct whose fields are columns. Derived.
///
/// `()` is the row without columns. `Option` of a row is one that may be missing: it is there where all columns that
/// can't be null have a value; if all its columns can be null, where one of them has.
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
    fn describe(columns: &mut Vec<InputColumn>);
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
    /// A bit for each row: whether it deletes its key in the table. Empty: each does what its input row does.
    fn deletes(&self) -> &[u8] {
        &[]
    }
    /// The first column that does not have so many rows, and how many it has.
    fn odd_column(&self, rows: usize) -> Option<(&'static str, usize)>;
    /// Writes a row of nulls, or zeros where a column cannot be null.
    fn push_zero(&mut self);
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

/// A row and what happened to it.
///
/// With `Change<User, Option<User>>` as the input, `change.before` is the row as it was, where the message says so: with
/// PostgreSQL's replica identity FULL, MySQL's full row images. `B` may be another struct with fewer fields: what is not
/// in it does not cross the border.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change<R, B = ()> {
    /// What happened.
    pub op: Op,
    /// The row as it is afterwards; for a delete, as it was.
    pub row: R,
    /// The row as it was before an update or delete; `()` where the plugin does not ask.
    pub before: B,
}

impl<R> Change<R> {
    /// A row that was inserted.
    pub fn create(row: R) -> Self {
        Self { op: Op::Create, row, before: () }
    }

    /// A row that was changed.
    pub fn update(row: R) -> Self {
        Self { op: Op::Update, row, before: () }
    }

    /// A row that was deleted.
    pub fn delete(row: R) -> Self {
        Self { op: Op::Delete, row, before: () }
    }

    /// A row that a snapshot found.
    pub fn read(row: R) -> Self {
        Self { op: Op::Read, row, before: () }
    }

    /// The same change for a plugin that asks for the row before it.
    pub fn with_before<B>(self, before: Option<B>) -> Change<R, Option<B>> {
        Change { op: self.op, row: self.row, before }
    }
}

impl<R, B> Change<R, B> {
    /// Whether the row is gone.
    #[inline(always)]
    pub fn deleted(&self) -> bool {
        matches!(self.op, Op::Delete)
    }
}

/// Columns of a [`Change`].
#[derive(Clone, Copy, Debug)]
pub struct ChangeColumns<'a, R, B> {
    /// What happened to each row.
    pub op: Ops<'a>,
    /// The row's own columns.
    pub row: R,
    /// The columns of the row before.
    pub before: B,
}

/// Builders of a [`Change`].
#[derive(Clone, Debug)]
pub struct ChangeBuilders<R, B> {
    op: FixedBuilder<u8>,
    row: R,
    before: B,
}

impl<R: Builders, B: Builders> Builders for ChangeBuilders<R, B> {
    fn with_capacity(rows: usize) -> Self {
        Self { op: Builder::with_capacity(rows), row: R::with_capacity(rows), before: B::with_capacity(rows) }
    }
    fn buffers<'b>(&'b self, buffers: &mut Vec<&'b [u8]>) {
        self.op.buffers(buffers);
        self.row.buffers(buffers);
        self.before.buffers(buffers);
    }
    fn odd_column(&self, rows: usize) -> Option<(&'static str, usize)> {
        self.row.odd_column(rows).or_else(|| self.before.odd_column(rows))
    }
    fn push_zero(&mut self) {
        self.op.push(Op::Create.letter());
        self.row.push_zero();
        self.before.push_zero();
    }
}

impl<R: Row, B: Row> Row for Change<R, B> {
    type Of<'a> = Change<R::Of<'a>, B::Of<'a>>;
    type Columns<'a> = ChangeColumns<'a, R::Columns<'a>, B::Columns<'a>>;
    type Builders = ChangeBuilders<R::Builders, B::Builders>;

    fn describe(columns: &mut Vec<InputColumn>) {
        columns.push(InputColumn::read(Source::Change(ChangeColumn::Op), Op::TYPE, false, false));
        R::describe(columns);
        let mut before = Vec::new();
        B::describe(&mut before);
        columns.extend(before.into_iter().map(InputColumn::before));
    }
    fn bind<'a>(buffers: &mut Buffers<'a>) -> Result<Self::Columns<'a>, Mismatch> {
        let op = Ops::bind(buffers).map_err(|mismatch| mismatch.of_column("change.op"))?;
        Ok(ChangeColumns { op, row: R::bind(buffers)?, before: B::bind(buffers)? })
    }
    #[inline(always)]
    fn get<'a>(columns: &Self::Columns<'a>, row: usize) -> Self::Of<'a> {
        Change { op: columns.op.get(row), row: R::get(&columns.row, row), before: B::get(&columns.before, row) }
    }
    fn write(self, builders: &mut Self::Builders) {
        builders.op.push(self.op.letter());
        self.row.write(&mut builders.row);
        self.before.write(&mut builders.before);
    }
}

impl Builders for () {
    fn with_capacity(_rows: usize) -> Self {}
    fn buffers<'b>(&'b self, _buffers: &mut Vec<&'b [u8]>) {}
    fn odd_column(&self, _rows: usize) -> Option<(&'static str, usize)> {
        None
    }
    fn push_zero(&mut self) {}
}

impl Row for () {
    type Of<'a> = ();
    type Columns<'a> = ();
    type Builders = ();

    fn describe(_columns: &mut Vec<InputColumn>) {}
    fn bind<'a>(_buffers: &mut Buffers<'a>) -> Result<(), Mismatch> {
        Ok(())
    }
    #[inline(always)]
    fn get<'a>((): &Self::Columns<'a>, _row: usize) -> Self::Of<'a> {}
    fn write(self, (): &mut ()) {}
}

/// Columns of a row that may be missing.
#[derive(Clone, Debug)]
pub struct OptionColumns<C> {
    present: Vec<u8>,
    columns: C,
}

impl<C> OptionColumns<C> {
    /// Whether a row is there. Panics if the batch has no such row.
    #[inline(always)]
    #[must_use]
    pub fn is_present(&self, row: usize) -> bool {
        bit(&self.present, row)
    }

    /// The columns; values of rows that are not there are arbitrary.
    #[must_use]
    pub fn columns(&self) -> &C {
        &self.columns
    }
}

/// Builders of a row that may be missing.
#[derive(Clone, Debug)]
pub struct OptionBuilders<R: Row> {
    present: Bits,
    row: R::Builders,
    /// Which buffers are validities.
    validities: Vec<usize>,
}

impl<R: Row> Builders for OptionBuilders<R> {
    fn with_capacity(rows: usize) -> Self {
        let mut columns = Vec::new();
        R::describe(&mut columns);
        let next = |place: &mut usize, input: &InputColumn| {
            let validity = *place;
            *place += input.column.data_type.buffers();
            Some(validity)
        };
        let validities = columns.iter().scan(0, next).collect();
        Self { present: Bits::default(), row: R::Builders::with_capacity(rows), validities }
    }
    fn buffers<'b>(&'b self, buffers: &mut Vec<&'b [u8]>) {
        let start = buffers.len();
        self.row.buffers(buffers);
        for validity in &self.validities {
            // A column that can be null has written its own nulls.
            if let Some(buffer) = buffers.get_mut(start + validity).filter(|buffer| buffer.is_empty()) {
                *buffer = self.present.as_bytes();
            }
        }
    }
    fn odd_column(&self, rows: usize) -> Option<(&'static str, usize)> {
        self.row.odd_column(rows)
    }
    fn push_zero(&mut self) {
        self.present.push(false);
        self.row.push_zero();
    }
}

impl<R: Row> Row for Option<R> {
    type Of<'a> = Option<R::Of<'a>>;
    type Columns<'a> = OptionColumns<R::Columns<'a>>;
    type Builders = OptionBuilders<R>;

    fn describe(columns: &mut Vec<InputColumn>) {
        let start = columns.len();
        R::describe(columns);
        columns.iter_mut().skip(start).for_each(|input| input.column.nullable = true);
    }
    fn bind<'a>(buffers: &mut Buffers<'a>) -> Result<Self::Columns<'a>, Mismatch> {
        let (present, columns) = buffers.optional(R::bind)?;
        Ok(OptionColumns { present, columns })
    }
    #[inline(always)]
    fn get<'a>(columns: &Self::Columns<'a>, row: usize) -> Self::Of<'a> {
        if columns.is_present(row) { Some(R::get(&columns.columns, row)) } else { None }
    }
    fn write(self, builders: &mut Self::Builders) {
        match self {
            Some(row) => {
                builders.present.push(true);
                row.write(&mut builders.row);
            }
            None => builders.push_zero(),
        }
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
pub trait RowFunction<'a, I: Row, O: Outputs, P: 'static> {
    /// Calls it. The context lives as long as the batch, so that a row may borrow a parameter's text.
    ///
    /// # Errors
    /// The row is rejected.
    fn call(&self, row: I::Of<'a>, ctx: &'a Ctx<P>) -> Result<O::Of<'a>, Reject>;
}

impl<'a, I, O, P, F> RowFunction<'a, I, O, P> for F
where
    I: Row,
    O: Outputs,
    P: 'static,
    F: Fn(I::Of<'a>, &'a Ctx<P>) -> Result<O::Of<'a>, Reject>,
{
    #[inline(always)]
    fn call(&self, row: I::Of<'a>, ctx: &'a Ctx<P>) -> Result<O::Of<'a>, Reject> {
        self(row, ctx)
    }
}

/// A function from one row to any number of rows of one table:
/// `fn(I, &Ctx<P>) -> Result<impl IntoIterator<Item = O>, Reject>`. An iterator allocates nothing.
#[diagnostic::on_unimplemented(
    message = "the function of `rows:` does not fit the types in `export!`",
    label = "this is not a `fn(input, &Ctx<parameters>) -> Result<impl Iterator<Item = output>, Reject>`",
    note = "`export!` says: input `{I}`, output `{O}`, parameters `{P}`",
    note = "with text in its rows the function has one lifetime for input, context and output: `fn split<'a>(row: In<'a>, ctx: &'a Ctx) -> Result<impl Iterator<Item = Out<'a>>, Reject>`"
)]
pub trait RowsFunction<'a, I: Row, O: Table, P: 'static> {
    /// Calls it and writes the rows that come out.
    ///
    /// # Errors
    /// The row is rejected.
    fn call(&self, row: I::Of<'a>, ctx: &'a Ctx<P>, write: impl FnMut(O::Of<'a>)) -> Result<(), Reject>;
}

impl<'a, I, O, P, F, R> RowsFunction<'a, I, O, P> for F
where
    I: Row,
    O: Table,
    P: 'static,
    F: Fn(I::Of<'a>, &'a Ctx<P>) -> Result<R, Reject>,
    R: IntoIterator<Item = O::Of<'a>>,
{
    #[inline(always)]
    fn call(&self, row: I::Of<'a>, ctx: &'a Ctx<P>, write: impl FnMut(O::Of<'a>)) -> Result<(), Reject> {
        self(row, ctx)?.into_iter().for_each(write);
        Ok(())
    }
}

/// Runs a row function over a batch. Called by [`export!`](crate::export).
///
/// # Errors
/// The host's buffers are not those of the description.
pub fn process_row<I, O, P, F>(
    batch: &RawBatch<'_>,
    ctx: &Ctx<P>,
    host: &mut dyn Host,
    transform: &F,
) -> Result<Vec<RejectedRow>, String>
where
    I: Row,
    O: Outputs,
    P: 'static,
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

/// Runs a function from one row to several over a batch. Called by [`export!`](crate::export).
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
    O: Table,
    P: 'static,
    F: for<'a> RowsFunction<'a, I, O, P>,
{
    let columns = batch.bind::<I>().map_err(|mismatch| mismatch.to_string())?;
    let mut table = <O as Outputs>::writers(batch.rows());
    let mut rejected = Vec::new();
    for row in 0..batch.rows() {
        if let Err(reject) = transform.call(I::get(&columns, row), ctx, |output| table.push(row, output)) {
            rejected.push(RejectedRow { row, reject });
        }
    }
    <O as Outputs>::emit(&table, &mut 0, host)?;
    Ok(rejected)
}
