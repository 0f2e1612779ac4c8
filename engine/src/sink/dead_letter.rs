//! Dead letters: messages set aside, with their bytes and the reason, as rows of a table of their own.

use std::sync::Arc;

use crate::batch::{Block, Message, Reject};
use crate::table::Table;

/// A message set aside, and why.
#[derive(Debug)]
pub struct DeadLetter<'a> {
    /// The message as it lay in its topic.
    pub message: &'a Message,
    /// The reason.
    pub reject: &'a Reject,
}

/// The table for a tenant's dead letters.
#[must_use]
pub fn dead_letter_table(database: &str, name: &str) -> Table {
    let _ = (database, name);
    todo!()
}

/// One epoch's dead letters as a block of that table.
#[must_use]
pub fn dead_letter_block(table: &Arc<Table>, letters: &[DeadLetter<'_>]) -> Block {
    let _ = (table, letters);
    todo!()
}
