//! Tables made ready: what is there, what has to be done, and doing it.

use futures::FutureExt;
use serde::de::DeserializeOwned;

use super::ddl::{Plan, WINDOW_PARTS};
use super::existing::{self, Existing, Fit};
use super::http::Answer;
use super::retry::{Attempt, What};
use super::trouble::{Cause, Decision, Trouble};
use super::{ClickHouse, Guarantee, SinkError};
use crate::table::{Table, TableKind};

/// What `prepare` would do to a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TablePlan {
    /// There is no such table: this makes it.
    Create {
        /// In the order in which they are run.
        statements: Vec<String>,
        /// What the table will be worth.
        guarantee: Guarantee,
    },
    /// The table is there and fits, once columns are added (none: as it is).
    Keep {
        /// The columns that it lacks.
        adds: Vec<String>,
        /// What adds them.
        statements: Vec<String>,
        /// What the table is worth.
        guarantee: Guarantee,
    },
}

const FIND_DATABASE: &str = "SELECT 1 AS found FROM system.databases WHERE name = {database:String} FORMAT JSONEachRow";

impl ClickHouse {
    /// What preparing the table would do, without doing it.
    ///
    /// # Errors
    /// The table is there and does not fit, or the server can't be asked.
    pub async fn plan(&self, table: &Table) -> Result<TablePlan, SinkError> {
        let plan = checked(table)?;
        match self.find(table, &table.name).await? {
            None => {
                let creation = self.creation(&plan).await?.into_iter().map(|(_, statement)| statement);
                let statements = creation.chain(self.view(&plan).await?).collect();
                Ok(TablePlan::Create { statements, guarantee: Guarantee::Window { parts: WINDOW_PARTS } })
            }
            Some(existing) => {
                let additions = additions(&existing, &plan)?;
                let view = self.view(&plan).await?;
                Ok(TablePlan::Keep {
                    adds: additions.iter().flat_map(|(columns, _)| columns.iter().map(|&it| it.to_owned())).collect(),
                    statements: additions.into_iter().map(|(_, statement)| statement).chain(view).collect(),
                    guarantee: self.guarantee(table, &existing).await?,
                })
            }
        }
    }

    pub(super) async fn prepare_table(&self, table: &Table) -> Result<Guarantee, SinkError> {
        let plan = checked(table)?;
        let _turn = self.preparing.lock().await;
        let mut existing = self.find(table, &table.name).await?;
        if existing.is_none() {
            for (what, statement) in self.creation(&plan).await? {
                self.run(table, what, &statement).await?;
            }
            existing = self.find(table, &table.name).await?;
        }
        let gone = || SinkError::Table { table: table.quoted(), mismatch: "it is gone again".into(), statement: None };
        let existing = existing.ok_or_else(gone)?;
        if let Some((_, statement)) = additions(&existing, &plan)? {
            self.run(table, "add columns", &statement).await?;
        }
        if let Some(statement) = self.view(&plan).await? {
            self.run(table, "create the view", &statement).await?;
        }
        let guarantee = self.guarantee(table, &existing).await?;
        self.learn(table, guarantee, existing.keeps_rows());
        Ok(guarantee)
    }

    async fn guarantee(&self, table: &Table, existing: &Existing) -> Result<Guarantee, SinkError> {
        let defaults = self.rows(table, "read the server's windows", existing::DEFAULT_WINDOWS, &table.name).await?;
        Ok(existing.guarantee(&defaults))
    }

    /// The statements that make a table which is not there, each with what it does.
    async fn creation(&self, plan: &Plan<'_>) -> Result<Vec<(&'static str, String)>, SinkError> {
        // Asked first: a user who may not create databases may well use one that is there.
        let found: Vec<serde_json::Value> = self.rows(plan.table, "find the database", FIND_DATABASE, "").await?;
        let database = found.is_empty().then(|| ("create the database", plan.create_database()));
        Ok(database.into_iter().chain([("create the table", plan.create_table())]).collect())
    }

    /// The statement for a current-state table's view, unless it shows the right columns already.
    async fn view(&self, plan: &Plan<'_>) -> Result<Option<String>, SinkError> {
        let table = plan.table;
        if table.kind != TableKind::Current {
            return Ok(None);
        }
        match self.find(table, &plan.view_name()).await? {
            Some(view) if !view.is_view() => Err(SinkError::Table {
                table: table.quoted(),
                mismatch: format!("`{}`, the name of its view, is a table", plan.view_name()),
                statement: None,
            }),
            Some(view) if view.shows(table.schema.fields()) => Ok(None),
            Some(_) | None => Ok(Some(plan.create_view())),
        }
    }

    /// What the server has under this name in the table's database.
    pub(super) async fn find(&self, table: &Table, name: &str) -> Result<Option<Existing>, SinkError> {
        let found: Vec<Existing> = self.rows(table, "look at the table", existing::TABLE, name).await?;
        let Some(mut found) = found.into_iter().next() else { return Ok(None) };
        found.columns = self.rows(table, "look at the columns", existing::COLUMNS, name).await?;
        Ok(Some(found))
    }

    /// The rows of a query in `JSONEachRow` over the table's database and this name.
    pub(super) async fn rows<T: DeserializeOwned>(
        &self,
        table: &Table,
        what: &str,
        query: &str,
        name: &str,
    ) -> Result<Vec<T>, SinkError> {
        let parameters = [("param_database", table.database.to_string()), ("param_table", name.to_owned())];
        let text = self.ask(table, what, query, &parameters).await?.text;
        let rows: Result<Vec<T>, _> = text.lines().map(serde_json::from_str).collect();
        rows.map_err(|error| SinkError::Table {
            table: table.quoted(),
            mismatch: format!("the server's answer to \"{what}\" is not understood: {error}"),
            statement: Some(query.to_owned()),
        })
    }

    /// Runs a statement that has no rows.
    pub(super) async fn run(&self, table: &Table, what: &str, statement: &str) -> Result<Answer, SinkError> {
        let answer = self.ask(table, what, statement, &[]).await?;
        tracing::info!(table = table.quoted(), "{what}");
        Ok(answer)
    }

    async fn ask(
        &self,
        table: &Table,
        what: &str,
        statement: &str,
        parameters: &[(&str, String)],
    ) -> Result<Answer, SinkError> {
        let quoted = table.quoted();
        let settings = [("wait_end_of_query", "1".to_owned())];
        let settings: Vec<_> = settings.into_iter().chain(parameters.iter().cloned()).collect();
        let attempt = |attempt: Attempt| {
            self.http.post(statement, &settings, None, attempt.timeout).map(|answer| answer.map_err(statement_trouble))
        };
        let name = What { table: &quoted, name: what };
        match self.patience.until_settled(&self.stats, name, self.timeout, attempt).await {
            Ok((answer, _)) => Ok(answer),
            Err(trouble) if trouble.cause.decision() == Decision::Denied => {
                Err(SinkError::Denied { message: trouble.message })
            }
            Err(trouble) => Err(SinkError::Table {
                table: quoted,
                mismatch: format!(
                    "the server refused to {what}: {} (ClickHouse code {})",
                    trouble.message, trouble.code
                ),
                statement: Some(statement.to_owned()),
            }),
        }
    }
}

fn checked(table: &Table) -> Result<Plan<'_>, SinkError> {
    Plan::new(table).map_err(|mismatch| SinkError::Table { table: table.quoted(), mismatch, statement: None })
}

/// The columns that a table lacks and the statement that adds them, or why it never fits.
fn additions<'a>(existing: &Existing, plan: &Plan<'a>) -> Result<Option<(Vec<&'a str>, String)>, SinkError> {
    match existing.fit(plan) {
        Fit::Fits => Ok(None),
        Fit::Lacks(columns) => {
            let statement = plan.add_columns(&columns);
            Ok(Some((columns, statement)))
        }
        Fit::Never { mismatch, statement } => Err(SinkError::Table { table: plan.table.quoted(), mismatch, statement }),
    }
}

/// For statements a code that is not known ends it: they have no rows to lose, and most codes mean that the statement
/// itself is refused.
pub(super) fn statement_trouble(trouble: Trouble) -> Trouble {
    let cause = if trouble.cause == Cause::UnknownCode { Cause::TableChanged } else { trouble.cause };
    Trouble { cause, ..trouble }
}
