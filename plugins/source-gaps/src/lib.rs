//! What a connector has skipped: gaps in the numbers of a row that the source database counts up by itself.
//!
//! Log positions, transaction ids and GTIDs of the changes of one table have holes by nature: other tables, other transactions
//! lie between. So a jump among them proves nothing, and a connector that goes on behind a range it never read leaves no trace
//! in the messages. A row that is counted up at a known pace goes through the same log as all tables of the connector. Its
//! numbers have no holes, and where one is skipped, so is all that was written beside it.

use plugin_sdk::{Change, Ctx, Entry, KeyedState, Millis, Reject, Row, StateValue, Table, Timestamp, count};

/// A row that is counted up.
#[derive(Clone, Copy, Debug, Row)]
pub struct Beat<'a> {
    /// Its key: one for each connector, where several read the database.
    pub name: &'a str,
    /// Greater by one each time.
    pub n: i64,
    /// When it was counted up, by the database's clock.
    pub at: Timestamp<Millis>,
}

/// What was seen last of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, StateValue)]
pub struct Last {
    n: i64,
    at_ms: i64,
}

/// Beats that never came. Whatever was written to the other tables of the connector between `after` and `before` may lack as
/// well; where `_op` is r a snapshot has come instead, in which rows are as they are by then.
#[derive(Table)]
#[table(name = "source_gaps", kind = "append", sort_key = ["name", "before"])]
pub struct Gap<'a> {
    name: &'a str,
    /// How many are missing.
    missing: i64,
    /// The last one that had come, and when it was counted up.
    last_n: i64,
    after: Timestamp<Millis>,
    /// The one that came instead.
    next_n: i64,
    before: Timestamp<Millis>,
}

fn listen<'a>(change: Change<Beat<'a>>, last: &mut Entry<Last>, _: &Ctx) -> Result<Option<Gap<'a>>, Reject> {
    if change.deleted() {
        // Whoever takes the row away may begin again with any number.
        last.remove();
        return Ok(None);
    }
    let Beat { name, n, at } = change.row;
    let Some(before) = last.get().copied() else {
        last.set(Last { n, at_ms: at.units() });
        return Ok(None);
    };
    if n <= before.n {
        // A connector that starts again repeats what it had not noted as sent: nothing is missing.
        count("repeated_beats", 1);
        return Ok(None);
    }
    last.set(Last { n, at_ms: at.units() });
    let missing = n.saturating_sub(before.n) - 1;
    if missing == 0 {
        return Ok(None);
    }
    count("missing_beats", missing.unsigned_abs());
    Ok(Some(Gap { name, missing, last_n: before.n, after: Timestamp::new(before.at_ms), next_n: n, before: at }))
}

plugin_sdk::export! {
    plugin: SourceGaps,
    input: Change<Beat>,
    output: Option<Gap>,
    state: KeyedState<&str, Last>,
    key: |change| change.row.name,
    row: listen,
}
