//! A person's statements: each is run once, in one database, and its answer is the server's own.
//!
//! **Promise.** Nothing is repeated: what an answer that got lost means is for the caller to say, who knows what the
//! statement does. The server answers when a statement has ended. Statements have ids, by whose beginning a later command
//! finds and ends what an earlier one left running.

use std::time::Duration;

use serde::de::DeserializeOwned;

use super::select::escaped;
use super::storage::string;
use super::trouble::{Decision, Trouble};
use super::{ClickHouse, QUOTE_NO_NUMBERS};

/// A statement to run.
#[derive(Clone, Copy, Debug)]
pub struct Statement<'a> {
    /// The database of tables that it names without one.
    pub database: &'a str,
    /// The statement; of a query, without `FORMAT`.
    pub sql: &'a str,
    /// Values of what stands in it as `{name:Type}`.
    pub values: &'a [(&'a str, &'a str)],
    /// Its id at the server, which no other statement has.
    pub id: &'a str,
    /// How long its answer is waited for.
    pub timeout: Duration,
}

/// A statement has no answer.
#[derive(Debug, thiserror::Error)]
#[error("{message}{}", if *code == 0 { String::new() } else { format!(" (ClickHouse code {code})") })]
pub struct StatementError {
    /// ClickHouse's error code; 0 where the words are not the server's.
    pub code: u32,
    /// The server's words, or the HTTP client's.
    pub message: String,
    /// Nobody can tell whether it was done, or still is under way.
    pub open: bool,
}

impl ClickHouse {
    /// Runs a statement and gives back its answer.
    ///
    /// # Errors
    /// The server refuses it, or does not answer.
    pub async fn run_once(&self, statement: &Statement<'_>) -> Result<String, StatementError> {
        let Statement { database, sql, values, id, timeout } = *statement;
        let fixed = [("wait_end_of_query", "1"), ("database", database), ("query_id", id), QUOTE_NO_NUMBERS];
        let names: Vec<String> = values.iter().map(|(name, _)| format!("param_{name}")).collect();
        let values = names.iter().zip(values).map(|(name, (_, value))| (name.as_str(), escaped(value)));
        let settings: Vec<_> = fixed.into_iter().map(|(name, value)| (name, value.to_owned())).chain(values).collect();
        Ok(self.http.post(sql, &settings, None, timeout).await?.text)
    }

    /// The rows of a query.
    ///
    /// # Errors
    /// The server refuses it, does not answer, or answers something else.
    pub async fn rows_once<T: DeserializeOwned>(&self, query: &Statement<'_>) -> Result<Vec<T>, StatementError> {
        let sql = format!("{} FORMAT JSONEachRow", query.sql);
        let text = self.run_once(&Statement { sql: &sql, ..*query }).await?;
        let rows: Result<Vec<T>, _> = text.lines().map(serde_json::from_str).collect();
        rows.map_err(|error| StatementError {
            code: 0,
            message: format!("the server's answer is not understood: {error}"),
            open: false,
        })
    }

    /// Ends this user's statements whose ids begin so, and waits until they have ended.
    ///
    /// # Errors
    /// The server refuses, or does not answer.
    pub async fn end_statements(&self, beginning: &str, timeout: Duration) -> Result<(), StatementError> {
        let sql = format!("KILL QUERY WHERE startsWith(query_id, {}) SYNC", string(beginning));
        let settings = [("wait_end_of_query", "1".to_owned())];
        Ok(self.http.post(&sql, &settings, None, timeout).await.map(drop)?)
    }
}

impl From<Trouble> for StatementError {
    fn from(trouble: Trouble) -> Self {
        // A code that is not known is still the server's own refusal.
        let open = trouble.code == 0 && trouble.cause.decision() == Decision::Unknown;
        Self { open, code: trouble.code, message: trouble.message }
    }
}
