//! Data quality: what must hold of tables, declared in a file, looked at when somebody asks, reported, and told to whom it
//! concerns.
//!
//! **Promise.** Each check has one outcome: it holds, it does not, it can't be judged yet, or it could not be looked at. Nothing is
//! written; a query of the file's own is run as part of a `SELECT`. An alert is sent where a check does not hold or could not be
//! looked at, and what became of it stands in the report.
//! **Assumed.** The server's tables may change while the checks run: each is true of its own moment.
//!
//! ```text
//! rules (a file) ──► check (one question each, and what its answer means) ──► report ──► alert (a webhook)
//! ```

mod alert;
mod check;
mod report;
mod rules;
#[cfg(test)]
mod tests;

pub use alert::{AlertError, send};
pub use report::{Alert, Finding, Report, Status};
pub use rules::{Alerting, Rules};

use std::path::Path;

use crate::clock::iso;
use crate::sink::ClickHouse;

/// Looks at all that the rules say of the tables of this database, as of this time, in ms since 1970-01-01 UTC.
pub async fn run(rules: &Rules, file: &Path, clickhouse: &ClickHouse, database: &str, at_ms: i64) -> Report {
    let mut checks = Vec::new();
    for check in rules.checks() {
        checks.push(check.look(clickhouse, database, at_ms).await);
    }
    Report {
        at: iso(at_ms),
        rules: file.display().to_string(),
        database: database.to_owned(),
        passed: !checks.iter().any(Finding::is_alarming),
        checks,
        alert: None,
    }
}
