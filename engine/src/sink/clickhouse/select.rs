//! Reading: rows of a query, for commands that look at what the engine has written.

use futures::FutureExt;
use serde::de::DeserializeOwned;

use super::http::Answer;
use super::retry::{Attempt, What};
use super::trouble::{Cause, Decision, Trouble};
use super::{ClickHouse, SinkError};
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
        let query = format!("{query} FORMAT JSONEachRow");
        let fixed = [
            ("wait_end_of_query", "1".to_owned()),
            // Whatever the user's profile says.
            ("output_format_json_quote_64bit_integers", "0".to_owned()),
            ("join_use_nulls", "0".to_owned()),
        ];
        let names: Vec<String> = parameters.iter().map(|(name, _)| format!("param_{name}")).collect();
        let parameters = names.iter().zip(parameters).map(|(name, (_, value))| (name.as_str(), escaped(value)));
        let settings: Vec<(&str, String)> = fixed.into_iter().chain(parameters).collect();
        let attempt = |attempt: Attempt| {
            self.http.post(&query, &settings, None, attempt.timeout).map(|answer| answer.map_err(no_repeat))
        };
        let table = from.quoted();
        let name = What { table: &table, name: "read" };
        let settled = self.patience.until_settled(&self.stats, name, self.timeout, attempt).await;
        read(from, settled)
    }
}

/// The rows of an answer in `JSONEachRow`.
pub(super) fn read<T: DeserializeOwned>(
    from: &Table,
    settled: Result<(Answer, u32), Trouble>,
) -> Result<Vec<T>, SinkError> {
    let refused = |mismatch| SinkError::Table { table: from.quoted(), mismatch, statement: None };
    let row =
        |line| serde_json::from_str(line).map_err(|error| refused(format!("the answer is not understood: {error}")));
    match settled {
        Ok((answer, _)) => answer.text.lines().map(row).collect(),
        Err(trouble) if trouble.cause.decision() == Decision::Denied => {
            Err(SinkError::Denied { message: trouble.message })
        }
        Err(trouble) => Err(refused(format!("{} (ClickHouse code {})", trouble.message, trouble.code))),
    }
}

/// ClickHouse reads a parameter as it reads a field of TSV.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n")
}

/// A query that the server does not understand is refused, and not repeated for ever.
pub(super) fn no_repeat(trouble: Trouble) -> Trouble {
    let cause = if trouble.cause == Cause::UnknownCode { Cause::TableChanged } else { trouble.cause };
    Trouble { cause, ..trouble }
}
