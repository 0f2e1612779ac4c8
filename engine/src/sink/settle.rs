//! What to do about a block that may be in its table, or in parts of it: after a crash, or an answer that got lost.
//!
//! The caller has shut out everything old (see `claim`), so that what the table holds now is all it will ever hold of the
//! former attempts.
//!
//! | table | within half of the token's window | beyond |
//! |---|---|---|
//! | append, the engine's columns | send again: the token drops what is there, and repairs views behind it | ask which `_row`s are there, send the others |
//! | current state | send again | send again: the same key, version and content |
//! | anything else | send again | stop: nobody can tell |
//!
//! A token is not proof of its rows. A server notes it in the table's deduplication log before it gives the part its name
//! (`MergeTreeSink::commitPart`): one that is killed between the two drops each repeat of a block that it does not have. So where
//! the table can be asked, it is asked once more behind a repeat, and rows that it lacks go under a token of their own.

use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::types::{UInt32Type, UInt64Type};
use arrow_array::{BooleanArray, RecordBatch};
use arrow_schema::ArrowError;
use arrow_select::filter::filter_record_batch;

use super::{Claim, Sending, SinkError};
use crate::batch::Block;
use crate::table::{Table, TableKind};

/// What one attempt asks of a server. ClickHouse is one, the simulated tables are another.
pub(super) trait Server: Sync {
    /// Why the server did not do it.
    type Trouble: Send;

    /// What it knows a table by.
    fn memory(&self, table: &Table) -> Memory;
    /// Raises the fence to this attempt and ends what is under way: after this nothing that was sent before lands.
    fn shut_out(
        &self,
        claim: &Claim,
        table: &Table,
        number: u32,
    ) -> impl Future<Output = Result<(), Self::Trouble>> + Send;
    /// How far a table has come.
    fn mark(&self, table: &Table) -> impl Future<Output = Result<u64, Self::Trouble>> + Send;
    /// The runs of a block's `_row`s that its table holds.
    fn present(&self, block: &Block) -> impl Future<Output = Result<Vec<Present>, Self::Trouble>> + Send;
    /// Sends a block once; gives the bytes sent.
    fn send(
        &self,
        block: &Block,
        token: &str,
        claim: &Claim,
        number: u32,
    ) -> impl Future<Output = Result<usize, Self::Trouble>> + Send;
    /// Whether the rows may be in all the same, or land later.
    fn leaves_open(trouble: &Self::Trouble) -> bool;
    /// No repeating changes this.
    fn refusal(error: SinkError) -> Self::Trouble;
}

/// One attempt: beside the lane's other inserts while all is well; alone, and only after nothing old can land any more,
/// where it is not known what became of one.
pub(super) async fn attempt<S: Server>(server: &S, send: &Sending, unsettled: bool) -> Result<usize, S::Trouble> {
    let claim = &*send.claim;
    if !send.again && !unsettled {
        let number = claim.beside_others().await;
        if claim.is_clear() {
            return try_once(server, &send.block, send, *number).await;
        }
    }
    let mut number = claim.alone().await;
    if !claim.judged {
        // Without a fence a plain repeat is all there is: exactly once within the window.
        return try_once(server, &send.block, send, 0).await;
    }
    if !claim.is_clear() {
        server.shut_out(claim, &send.block.table, *number + 1).await?;
        *number += 1;
        claim.set_clear(true);
    }
    let block = &send.block;
    let now = server.mark(&block.table).await?;
    let sent = match way(block, server.memory(&block.table), send.mark, now).map_err(S::refusal)? {
        Way::Resend => {
            tracing::info!(block = send.token, "sent again: its table still knows the token");
            try_once(server, block, send, *number).await?
        }
        Way::Probe => {
            let lacking = missing(block, &server.present(block).await?).map_err(S::refusal)?;
            let (rows, lacks) = (block.rows, lacking.as_ref().map_or(0, |block| block.rows));
            tracing::info!(block = send.token, rows, lacks, "its table may have forgotten the token: rows counted");
            let Some(lacking) = lacking else { return Ok(0) };
            try_once(server, &lacking, send, *number).await?
        }
    };
    Ok(sent + mend(server, send, *number).await?)
}

/// Sends what a repeat has not brought into the table, because the server knew the token and not the rows. Of a table of
/// current state that may be rows whose keys have newer ones by now: to send them again changes nothing.
async fn mend<S: Server>(server: &S, send: &Sending, number: u32) -> Result<usize, S::Trouble> {
    let block = &send.block;
    if !server.memory(&block.table).telling {
        return Ok(0);
    }
    let mut present = server.present(block).await?;
    if block.table.kind == TableKind::Current {
        present.iter_mut().for_each(|run| run.count = u64::from(run.rows.end - run.rows.start)); // repeats are merged
    }
    let Some(lacking) = missing(block, &present).map_err(S::refusal)? else { return Ok(0) };
    tracing::warn!(
        block = send.token,
        lacks = lacking.rows,
        "its table knows the token, and lacks rows: they are sent"
    );
    // Whatever went under the former attempts' tokens is shut out, so it can't land beside this.
    let token = format!("{}.{}.{number}", send.token, send.claim.owner.0);
    try_once(server, &lacking, &Sending { token, ..send.clone() }, number).await
}

/// Whatever leaves its outcome open leaves the claim unclear.
async fn try_once<S: Server>(server: &S, block: &Block, send: &Sending, number: u32) -> Result<usize, S::Trouble> {
    let outcome = server.send(block, &send.token, &send.claim, number).await;
    if outcome.as_ref().is_err_and(S::leaves_open) {
        send.claim.set_clear(!send.claim.judged);
    }
    outcome
}

/// What a server knows a table by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Memory {
    /// Parts whose tokens it remembers.
    pub(super) window: u64,
    /// Rows stay as they were inserted and can be counted: a plain table with the engine's columns.
    pub(super) countable: bool,
    /// Whoever asks for rows by the engine's columns sees those that have landed: a table of one server.
    pub(super) telling: bool,
}

/// How to complete a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Send all of it under its token.
    Resend,
    /// Ask which rows are there, send the others under the block's token.
    Probe,
}

/// Decides. `mark` is how far the table had come before the block was first sent, `now` how far it is.
pub(super) fn way(block: &Block, memory: Memory, mark: Option<u64>, now: u64) -> Result<Way, SinkError> {
    // A table that has gone back was emptied, and has forgotten its tokens.
    // Half of the window is for what others add between this moment and the one in which the repeat is judged.
    let remembered = mark.is_some_and(|mark| now >= mark && now - mark < memory.window / 2);
    match (block.table.kind, remembered) {
        (TableKind::Current, _) | (_, true) => Ok(Way::Resend),
        (TableKind::Append, false) if memory.countable => Ok(Way::Probe),
        (TableKind::Append, false) => Err(SinkError::Undecided { table: block.table.quoted() }),
    }
}

/// Which rows of which epoch a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) lane: u64,
    pub(crate) epoch: u64,
}

/// The lane and epoch of a block's rows.
///
/// # Panics
/// If the block is not of a table with the engine's columns: those that are countable are.
pub(crate) fn names(block: &Block) -> Names {
    let first = block.batches.iter().find(|batch| batch.num_rows() > 0).expect("a block that is sent has rows");
    let value = |name: &str| column(first, name).as_primitive::<UInt64Type>().value(0);
    Names { lane: value("_lane"), epoch: value("_epoch") }
}

/// What a block lacks in its table, given the runs of `_row` that are there; `None`: nothing.
///
/// # Errors
/// The table has rows of this epoch twice, or rows that the block does not have: whatever wrote them, it is not for this
/// engine to mend.
pub(super) fn missing(block: &Block, present: &[Present]) -> Result<Option<Block>, SinkError> {
    let surplus = |what: String| Err(SinkError::Surplus { table: block.table.quoted(), what });
    for run in present {
        if run.count != u64::from(run.rows.end - run.rows.start) {
            return surplus(format!(
                "rows {} to {} are there {} times in all",
                run.rows.start,
                run.rows.end - 1,
                run.count
            ));
        }
        if run.rows.end as usize > block.rows {
            return surplus(format!("it has row {}, and the epoch made only {}", run.rows.end - 1, block.rows));
        }
    }
    let there = |row: u32| present.iter().any(|run| run.rows.contains(&row));
    let lacking = without(block, there).map_err(|source| SinkError::Encode { table: block.table.quoted(), source })?;
    Ok((lacking.rows > 0).then_some(lacking))
}

/// A block without the rows that are there already, by their `_row`. Still the whole block's digest: it is a part of that,
/// under its token.
///
/// # Panics
/// If the block is not of a table with the engine's columns.
pub(crate) fn without(block: &Block, there: impl Fn(u32) -> bool) -> Result<Block, ArrowError> {
    let mut lacking = Block { batches: Vec::new(), rows: 0, ..block.clone() };
    for batch in &block.batches {
        let rows = column(batch, "_row").as_primitive::<UInt32Type>().values().iter();
        let keep: BooleanArray = rows.map(|row| Some(!there(*row))).collect();
        let batch = filter_record_batch(batch, &keep)?;
        lacking.rows += batch.num_rows();
        lacking.batches.extend((batch.num_rows() > 0).then_some(batch));
    }
    Ok(lacking)
}

/// A run of consecutive `_row`s in a table, and how many rows it has there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Present {
    pub(super) rows: Range<u32>,
    pub(super) count: u64,
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> &'a arrow_array::ArrayRef {
    batch.column_by_name(name).expect("a countable table has the engine's columns")
}

#[cfg(test)]
mod tests;
