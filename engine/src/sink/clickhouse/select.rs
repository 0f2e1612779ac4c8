//! Asking: statements, and the rows of queries.

use futures::FutureExt;
use serde::de::DeserializeOwned;

use super::http::Answer;
use super::retry::{Attempt, What};
use super::trouble::{Cause, Decision, Trouble};
use super::{ClickHouse, QUOTE_NO_NUMBERS, SinkError};
use crate::table::Table;

impl ClickHouse {
    /// The rows of a query, which ends without `FORMAT`. `parameters` are those that stand in it as `{name:Type}`. The
    /// answer is read as a whole and may have 16 MiB.
    ///
    /// # Errors
    /// The server refuses the query. A server that is away is waited for.
    pub async fn select<T: DeserializeOwned>(
        &self,
        from: &Table,
        query: &str,
        parameters: &[(&str, String)],
    ) -> Result<Vec<T>, SinkError> {
        self.rows(from, "read it", query, parameters).await
    }

    /// The same, for a purpose of these words.
    pub(super) async fn rows<T: DeserializeOwned>(
        &self,
        from: &Table,
        what: &str,
        query: &str,
        parameters: &[(&str, String)],
    ) -> Result<Vec<T>, SinkError> {
        let query = format!("{query} FORMAT JSONEachRow");
        let fixed = [
            // Whatever the user's profile says.
            (QUOTE_NO_NUMBERS.0, QUOTE_NO_NUMBERS.1.to_owned()),
            ("join_use_nulls", "0".to_owned()),
        ];
        let names: Vec<String> = parameters.iter().map(|(name, _)| format!("param_{name}")).collect();
        let parameters = names.iter().zip(parameters).map(|(name, (_, value))| (name.as_str(), escaped(value)));
        let settings: Vec<(&str, String)> = fixed.into_iter().chain(parameters).collect();
        let text = self.ask(from, what, &query, &settings).await?.text;
        parsed(from, what, &text)
    }

    /// The answer to a statement, once it has one.
    pub(super) async fn ask(
        &self,
        table: &Table,
        what: &str,
        statement: &str,
        settings: &[(&str, String)],
    ) -> Result<Answer, SinkError> {
        let quoted = table.quoted();
        let whole = [("wait_end_of_query", "1".to_owned())];
        let settings: Vec<_> = whole.into_iter().chain(settings.iter().cloned()).collect();
        let attempt = |attempt: Attempt| {
            self.http.post(statement, &settings, None, attempt.timeout).map(|answer| answer.map_err(statement_trouble))
        };
        let name = What { table: &quoted, name: what };
        answered(table, what, self.patience.until_settled(&self.stats, name, self.timeout, attempt).await)
    }
}

/// The answer, or why there will never be one.
pub(super) fn answered(
    table: &Table,
    what: &str,
    settled: Result<(Answer, u32), Trouble>,
) -> Result<Answer, SinkError> {
    match settled {
        Ok((answer, _)) => Ok(answer),
        Err(trouble) if trouble.cause.decision() == Decision::Denied => {
            Err(SinkError::Denied { message: trouble.message })
        }
        Err(trouble) => Err(SinkError::Table {
            table: table.quoted(),
            mismatch: format!("the server refused to {what}: {} (ClickHouse code {})", trouble.message, trouble.code),
            statement: None,
        }),
    }
}

/// The rows of an answer in `JSONEachRow`.
pub(super) fn parsed<T: DeserializeOwned>(from: &Table, what: &str, text: &str) -> Result<Vec<T>, SinkError> {
    let rows: Result<Vec<T>, _> = text.lines().map(serde_json::from_str).collect();
    rows.map_err(|error| SinkError::Table {
        table: from.quoted(),
        mismatch: format!("the server's answer to \"{what}\" is not understood: {error}"),
        statement: None,
    })
}

/// ClickHouse reads a parameter as it reads a field of TSV.
pub(super) fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n")
}

/// For statements a code that is not known ends it: they have no rows to lose, and most codes mean that the statement
/// itself is refused.
pub(super) fn statement_trouble(trouble: Trouble) -> Trouble {
    let cause = if trouble.cause == Cause::UnknownCode { Cause::TableChanged } else { trouble.cause };
    Trouble { cause, ..trouble }
}
