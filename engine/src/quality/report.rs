//! What came of the checks: for people a line each, for programs one JSON object.

use std::fmt;

use serde::Serialize;

/// What came of all checks.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The time that they were looked at from, ISO 8601.
    pub at: String,
    /// The file of rules.
    pub rules: String,
    /// The database of the tables.
    pub database: String,
    /// None failed, and all could be looked at.
    pub passed: bool,
    /// Each check.
    pub checks: Vec<Finding>,
    /// What became of the alert; none: there was nobody to tell, or nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alert: Option<Alert>,
}

/// What came of one check.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// Its name.
    pub name: String,
    /// freshness, volume, nulls, dead_letters or query.
    pub kind: &'static str,
    /// The table that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// Whether it holds.
    pub status: Status,
    /// What was measured: seconds of age, a share, a deviation as a share of the mean, or the query's number.
    pub value: Option<f64>,
    /// What must hold, in words.
    pub limit: String,
    /// What is, in words.
    pub message: String,
}

/// Whether a check holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It does.
    Passed,
    /// It does not.
    Failed,
    /// It can't be judged yet.
    Skipped,
    /// It could not be looked at.
    Error,
}

/// What became of an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Alert {
    /// Whether it was taken.
    pub delivered: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Finding {
    /// Whether somebody has to look.
    #[must_use]
    pub fn is_alarming(&self) -> bool {
        matches!(self.status, Status::Failed | Status::Error)
    }
}

impl Report {
    /// Whether some check could not be looked at.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.checks.iter().any(|finding| finding.status == Status::Error)
    }

    /// What is wrong, in a few lines: for a chat, say.
    #[must_use]
    pub fn summary(&self) -> String {
        let alarming: Vec<_> = self.checks.iter().filter(|finding| finding.is_alarming()).collect();
        let mut lines = vec![format!(
            "{} of {} checks of {} do not hold in {}",
            alarming.len(),
            self.checks.len(),
            self.rules,
            self.database
        )];
        lines.extend(
            alarming.iter().map(|finding| format!("{}: {} ({})", finding.name, finding.message, finding.limit)),
        );
        lines.join("\n")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.checks.iter().map(|finding| finding.name.chars().count()).max().unwrap_or(0);
        for Finding { name, status, limit, message, .. } in &self.checks {
            writeln!(f, "{status:<7}  {name:<width$}  {message} ({limit})")?;
        }
        let verdict = if self.passed { "all hold".to_owned() } else { self.summary().lines().take(1).collect() };
        write!(f, "{verdict}, as of {}", self.at)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Passed => "passed",
            Self::Failed => "FAILED",
            Self::Skipped => "skipped",
            Self::Error => "ERROR",
        })
    }
}
