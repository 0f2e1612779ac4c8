//! One command at a time in one database: a table that only one can create.
//!
//! The server decides, so it holds between machines as well. A command that ends in any way but by a kill takes it away, after
//! it has ended what it left running. One that is killed leaves it: the next one says whose it was, since when, whether
//! a statement of it still runs, and the statement that takes it away. Rejected: a lease that runs out. A statement
//! may take hours, and what would renew the lease meanwhile is the very process whose death is in question.

use serde::Deserialize;

use super::{Database, QUICK, SchemaError};

/// The table.
pub(super) const TABLE: &str = "engine_schema_lock";

/// ClickHouse's code for a table that is there already.
const ALREADY_EXISTS: u32 = 57;
/// ClickHouse's code for a database that is not.
const UNKNOWN_DATABASE: u32 = 81;

/// Does what is to be done alone, until somebody interrupts it.
///
/// # Errors
/// Somebody else has the lock, or there is no such database; what was done failed; it was interrupted.
pub async fn alone<T>(
    database: &Database,
    what: &str,
    work: impl Future<Output = Result<T, SchemaError>>,
    interrupted: impl Future<Output = ()>,
) -> Result<T, SchemaError> {
    take(database, what).await?;
    let work = async {
        // Of a command whose lock somebody took away, something may run still.
        database.end_statements().await?;
        work.await
    };
    let done = tokio::select! {
        done = work => done,
        () = interrupted => Err(SchemaError::Interrupted),
    };
    if done.is_err()
        && let Err(error) = database.end_statements().await
    {
        tracing::warn!(error = %crate::disposition::in_words(&error), "statements may still be under way");
    }
    let freed = database.run(&format!("DROP TABLE {TABLE} SYNC"), &[], QUICK).await;
    let done = done?;
    freed.map(|()| done)
}

async fn take(database: &Database, what: &str) -> Result<(), SchemaError> {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let holder = format!("{what}, process {} on {}", std::process::id(), host.trim());
    let holder = holder.replace(['\'', '\\'], " ");
    let create = format!("CREATE TABLE {TABLE} (nothing UInt8) ENGINE = Memory COMMENT '{holder}'");
    match database.run(&create, &[], QUICK).await {
        Ok(()) => Ok(()),
        Err(SchemaError::Statement { source, .. }) if source.code == ALREADY_EXISTS => Err(held(database).await?),
        Err(SchemaError::Statement { source, .. }) if source.code == UNKNOWN_DATABASE => {
            Err(SchemaError::NoDatabase { database: database.name.clone() })
        }
        Err(error) => Err(error),
    }
}

/// Says who has it.
async fn held(database: &Database) -> Result<SchemaError, SchemaError> {
    #[derive(Deserialize)]
    struct Found {
        holder: String,
        running: u64,
    }
    let query = format!(
        "SELECT concat(comment, ', since ', toString(metadata_modification_time, 'UTC'), ' UTC') AS holder, \
         (SELECT count() FROM system.processes WHERE startsWith(query_id, {{ids:String}}) AND query_id != queryID()) AS running \
         FROM system.tables WHERE database = currentDatabase() AND name = '{TABLE}'"
    );
    let found: Vec<Found> = database.rows(&query, &[("ids", &database.ids())], QUICK).await?;
    let (holder, running) = match found.into_iter().next() {
        None => ("it has ended just now".to_owned(), false),
        Some(Found { holder, running }) => (holder, running > 0),
    };
    Ok(SchemaError::Locked { database: database.name.clone(), holder, running })
}
