//! How far tables have come, and what they remember: whether a token can still be known.
//!
//! A part gets the next block number of its table partition, so the sum of the partitions' greatest numbers grows by at
//! least one with each part that any writer adds (mutations take numbers as well: then it grows faster than the parts do, and
//! a token is given up too early, never too late).

use std::time::{Duration, Instant};

use super::existing::Existing;
use super::retry::Attempt;
use super::trouble::{Cause, Trouble};
use super::{ClickHouse, Guarantee};
use crate::sink::settle::Memory;
use crate::table::Table;

/// How old a mark may be that is written into an intent. An older mark is only more careful.
const MARK_AGE: Duration = Duration::from_secs(5);

/// What is known of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) memory: Memory,
    mark: Option<(u64, Instant)>,
}

impl ClickHouse {
    /// Remembers what `prepare` found.
    pub(super) fn learn(&self, table: &Table, guarantee: Guarantee, existing: &Existing) {
        let window = match guarantee {
            Guarantee::Window { parts } => parts,
            Guarantee::None => 0,
        };
        let (countable, telling) = (existing.keeps_rows(), existing.tells_rows());
        let known = Known { memory: Memory { window, countable, telling }, mark: None };
        self.known().insert(table.quoted(), known);
    }

    pub(super) fn memory(&self, table: &Table) -> Memory {
        let nothing = Memory { window: 0, countable: false, telling: false };
        self.known().get(&table.quoted()).map_or(nothing, |known| known.memory)
    }

    /// The last mark, or a fresh one; `None` where the server does not say at once: an epoch does not wait for it.
    pub(super) async fn mark_of(&self, table: &Table) -> Option<u64> {
        let last = self.known().get(&table.quoted()).and_then(|known| known.mark);
        if let Some((mark, at)) = last
            && at.elapsed() < MARK_AGE
        {
            return Some(mark);
        }
        let fresh = self.ask_mark(table, Attempt::once(Duration::from_secs(2))).await.ok();
        fresh.or(last.map(|(mark, _)| mark))
    }

    pub(super) async fn ask_mark(&self, table: &Table, attempt: Attempt) -> Result<u64, Trouble> {
        let settings = [("param_database", table.database.to_string()), ("param_table", table.name.to_string())];
        let query = "SELECT toString(sum(last)) FROM (SELECT max(max_block_number) AS last FROM system.parts \
                     WHERE database = {database:String} AND table = {table:String} GROUP BY partition) FORMAT TSV";
        let answer = self.statement(query, &settings, attempt).await?;
        let mark = answer.text.trim().parse().map_err(|_| Trouble {
            cause: Cause::NoVerdict,
            code: 0,
            message: format!("the answer about a table's parts is not understood: {}", answer.text.trim()),
        })?;
        if let Some(known) = self.known().get_mut(&table.quoted()) {
            known.mark = Some((mark, Instant::now()));
        }
        Ok(mark)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, std::collections::HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
