//! What lies between the function that checks a row and what is made of it: event time, late rows, duplicates.

use super::host::count;
use super::{Duplicates, Late, Times};
use crate::column::Ops;
use crate::description::{ChangeColumn, Source};
use crate::row::{Op, Row, RowFunction, RowsFunction};
use crate::table::{Outputs, Table};
use crate::view::{Buffers, Mismatch, View, bit};
use crate::{Ctx, Host, RawBatch, Reject, RejectedRow};

/// Index of the table of [`Dedup`](super::Dedup), which comes first where there is one.
const DEDUP: u32 = 0;

/// Index of the first table of what stands behind deduplication.
pub(super) fn first_table<R, D: Duplicates<R>>() -> u32 {
    u32::from(D::KNOWN)
}

/// The operations of a batch, where the plugin's input has them.
pub(super) fn operations<'a, I: Row>(batch: &RawBatch<'a>) -> Result<Option<Ops<'a>>, Mismatch> {
    let mut columns = Vec::new();
    I::describe(&mut columns);
    let Some(index) = columns.iter().position(|column| column.source == Source::Change(ChangeColumn::Op)) else {
        return Ok(None);
    };
    let before: usize = columns[..index].iter().map(|column| column.column.data_type.buffers()).sum();
    Ops::bind(&mut Buffers::new(batch.rows(), batch.buffers().get(before..).unwrap_or_default())).map(Some)
}

pub(super) fn op(ops: Option<&Ops<'_>>, row: usize) -> Op {
    // Without operations each message is a row of its own.
    ops.map_or(Op::Create, |ops| ops.get(row))
}

/// Updates and deletes are changes of a row that is there, so they are no duplicates of it.
pub(super) fn begins(op: Op) -> bool {
    matches!(op, Op::Create | Op::Read)
}

#[cold]
pub(super) fn late() -> Reject {
    Reject::new("late", "the watermark has passed the row's event time")
}

/// The epoch's watermark, ms.
pub(super) fn watermark<P>(ctx: &Ctx<P>) -> Option<i64> {
    ctx.watermark.map(crate::Timestamp::units)
}

/// When a key of this event time is forgotten. Late ones are remembered as long as others, from now on.
pub(super) fn remembered<P>(ctx: &Ctx<P>, at: Option<i64>, within: i64) -> i64 {
    let at = at.unwrap_or(ctx.now.units());
    watermark(ctx).map_or(at, |watermark| watermark.max(at)).saturating_add(within)
}

/// A row that was checked, is not late and no duplicate.
pub(super) struct Admitted<X> {
    pub(super) row: usize,
    /// Its event time, ms.
    pub(super) at: Option<i64>,
    /// What the plugin's function made of it.
    pub(super) made: X,
}

/// The checked rows that are neither late nor duplicates, in order; tells the host the greatest of their event times.
/// Each row's event time and key are looked at here for the first time, so the plugin's function has seen it before.
pub(super) fn admit<'a, I, P, T, D, X>(
    (times, dedup): (&T, &D),
    (columns, ops): (&I::Columns<'a>, Option<&Ops<'a>>),
    checked: Vec<(usize, X)>,
    rejected: &mut Vec<RejectedRow>,
    ctx: &Ctx<P>,
    host: &mut dyn Host,
) -> Vec<Admitted<X>>
where
    I: Row,
    T: Times<I::Of<'a>>,
    D: Duplicates<I::Of<'a>>,
{
    let watermark = watermark(ctx);
    let (mut greatest, mut dropped, mut duplicates) = (None, 0, 0);
    let (mut keys, mut expiries) = (dedup.keys(checked.len()), Vec::new());
    // Late rows with a key: they are dead letters unless they are duplicates.
    let (mut late_keys, mut late_rows) = (dedup.keys(0), Vec::new());
    let mut keyed = Vec::with_capacity(if D::KNOWN { checked.len() } else { 0 });
    let mut admitted = Vec::with_capacity(checked.len());
    for (row, made) in checked {
        let input = I::get(columns, row);
        let (at, op) = (times.ms(&input), op(ops, row));
        if op != Op::Delete && times.late() != Late::Process && watermark > at.or(watermark) {
            if times.late() == Late::Drop {
                dropped += 1;
            } else if begins(op) && dedup.push(&input, &mut late_keys) {
                late_rows.push(row);
            } else {
                rejected.push(RejectedRow { row, reject: late() });
            }
            continue;
        }
        greatest = greatest.max(at);
        if D::KNOWN {
            let has_key = begins(op) && dedup.push(&input, &mut keys);
            if let (true, Some(within)) = (has_key, dedup.within_ms()) {
                expiries.push(remembered(ctx, at, within));
            }
            keyed.push(has_key);
        }
        admitted.push(Admitted { row, at, made });
    }
    if !keys.is_empty() {
        let new = host.insert_if_absent_many(DEDUP, keys.cells(), &expiries);
        let (mut keyed, mut key) = (keyed.iter(), 0..);
        admitted.retain(|_| {
            let has_key = keyed.next().is_some_and(|keyed| *keyed);
            let stays = !has_key || key.next().is_some_and(|key| bit(&new, key));
            duplicates += u64::from(!stays);
            stays
        });
    }
    if !late_rows.is_empty() {
        let found = host.get_many(DEDUP, late_keys.cells());
        for (key, row) in late_rows.into_iter().enumerate() {
            if bit(&found.present, key) {
                duplicates += 1;
            } else {
                rejected.push(RejectedRow { row, reject: late() });
            }
        }
    }
    tell(greatest, dropped, duplicates, host);
    admitted
}

/// Tells the host of event times and of rows that are left out.
pub(super) fn tell(greatest: Option<i64>, dropped: u64, duplicates: u64, host: &mut dyn Host) {
    if let Some(greatest) = greatest {
        host.event_time(greatest);
    }
    if dropped > 0 {
        count("late_rows", dropped);
    }
    if duplicates > 0 {
        count("duplicate_rows", duplicates);
    }
}

/// Runs a row function over a batch, of which late rows and duplicates are left out. Called by
/// [`export!`](crate::export).
///
/// # Errors
/// The host's buffers are not those of the description.
pub fn process_row_with<'a, I, O, P, T, D, F>(
    batch: &RawBatch<'a>,
    ctx: &'a Ctx<P>,
    host: &mut dyn Host,
    steps: (&T, &D),
    transform: &F,
) -> Result<Vec<RejectedRow>, String>
where
    I: Row,
    O: Outputs,
    P: 'static,
    T: Times<I::Of<'a>>,
    D: Duplicates<I::Of<'a>>,
    F: RowFunction<'a, I, O, P>,
{
    let columns = batch.bind::<I>().map_err(|mismatch| mismatch.to_string())?;
    let ops = operations::<I>(batch).map_err(|mismatch| mismatch.to_string())?;
    let (mut checked, mut rejected) = (Vec::with_capacity(batch.rows()), Vec::new());
    for row in 0..batch.rows() {
        match transform.call(I::get(&columns, row), ctx) {
            Ok(output) if output.is_none() => (),
            Ok(output) => checked.push((row, output)),
            Err(reject) => rejected.push(RejectedRow { row, reject }),
        }
    }
    let admitted = admit::<I, _, _, _, _>(steps, (&columns, ops.as_ref()), checked, &mut rejected, ctx, host);
    let mut tables = O::writers(batch.rows());
    admitted.into_iter().for_each(|admitted| admitted.made.write(admitted.row, &mut tables));
    O::emit(&tables, &mut 0, host)?;
    rejected.sort_by_key(|rejected| rejected.row);
    Ok(rejected)
}

/// Runs a function from one row to several over a batch, of which late rows and duplicates are left out. Called by
/// [`export!`](crate::export).
///
/// The function is called twice for each row that stays: first for its verdict. To keep its rows in between would take an
/// allocation for each.
///
/// # Errors
/// The host's buffers are not those of the description.
pub fn process_rows_with<'a, I, O, P, T, D, F>(
    batch: &RawBatch<'a>,
    ctx: &'a Ctx<P>,
    host: &mut dyn Host,
    steps: (&T, &D),
    transform: &F,
) -> Result<Vec<RejectedRow>, String>
where
    I: Row,
    O: Table,
    P: 'static,
    T: Times<I::Of<'a>>,
    D: Duplicates<I::Of<'a>>,
    F: RowsFunction<'a, I, O, P>,
{
    let columns = batch.bind::<I>().map_err(|mismatch| mismatch.to_string())?;
    let ops = operations::<I>(batch).map_err(|mismatch| mismatch.to_string())?;
    let (mut checked, mut rejected) = (Vec::with_capacity(batch.rows()), Vec::new());
    for row in 0..batch.rows() {
        let mut any = false;
        match transform.call(I::get(&columns, row), ctx, |_| any = true) {
            Ok(()) if any => checked.push((row, ())),
            Ok(()) => (),
            Err(reject) => rejected.push(RejectedRow { row, reject }),
        }
    }
    let admitted = admit::<I, _, _, _, _>(steps, (&columns, ops.as_ref()), checked, &mut rejected, ctx, host);
    let mut table = <O as Outputs>::writers(batch.rows());
    for Admitted { row, .. } in admitted {
        let again = transform.call(I::get(&columns, row), ctx, |output| table.push(row, output));
        again.map_err(|_| "a row was rejected that was not before: the function depends on more than its row")?;
    }
    <O as Outputs>::emit(&table, &mut 0, host)?;
    rejected.sort_by_key(|rejected| rejected.row);
    Ok(rejected)
}
