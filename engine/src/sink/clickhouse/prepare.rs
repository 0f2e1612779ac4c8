//! Tables made ready: what is there, what has to be done, and doing it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::ddl::{Plan, WINDOW_PARTS};
use super::existing::{self, Existing, Fit};
use super::fence::no_fence;
use super::http::Answer;
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

/// Tables that are prepared at a time: each takes some questions and statements.
const AT_ONCE: usize = 8;

/// Who prepares which table. Lanes of one table do it one after the other; what they do is also safe beside another process.
#[derive(Debug)]
pub(super) struct Preparing {
    at_once: Arc<Semaphore>,
    tables: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl Default for Preparing {
    fn default() -> Self {
        Self { at_once: Arc::new(Semaphore::new(AT_ONCE)), tables: Mutex::default() }
    }
}

impl Preparing {
    /// Waits until nobody else prepares the table, and then until few prepare others.
    async fn turn(&self, table: &str) -> (tokio::sync::OwnedMutexGuard<()>, Option<OwnedSemaphorePermit>) {
        let of_table = {
            let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
            tables.retain(|_, turn| Arc::strong_count(turn) > 1); // what nobody prepares
            tables.entry(table.to_owned()).or_default().clone()
        };
        (of_table.lock_owned().await, self.at_once.clone().acquire_owned().await.ok())
    }
}

const FIND_DATABASE: &str = "SELECT 1 AS found FROM system.databases WHERE name = {database:String}";

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
        let _turn = self.preparing.turn(&table.quoted()).await;
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
        self.prepare_fences(table).await.unwrap_or_else(|error| no_fence(table, &error));
        let guarantee = self.guarantee(table, &existing).await?;
        self.learn(table, guarantee, existing.keeps_rows());
        Ok(guarantee)
    }

    async fn guarantee(&self, table: &Table, existing: &Existing) -> Result<Guarantee, SinkError> {
        let defaults = self.rows(table, "read the server's windows", existing::DEFAULT_WINDOWS, &[]).await?;
        Ok(existing.guarantee(&defaults))
    }

    /// The statements that make a table which is not there, each with what it does.
    async fn creation(&self, plan: &Plan<'_>) -> Result<Vec<(&'static str, String)>, SinkError> {
        // Asked first: a user who may not create databases may well use one that is there.
        let database = [("database", plan.table.database.to_string())];
        let found: Vec<serde_json::Value> =
            self.rows(plan.table, "find the database", FIND_DATABASE, &database).await?;
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
        let place = [("database", table.database.to_string()), ("table", name.to_owned())];
        let found: Vec<Existing> = self.rows(table, "look at the table", existing::TABLE, &place).await?;
        let Some(mut found) = found.into_iter().next() else { return Ok(None) };
        found.columns = self.rows(table, "look at the columns", existing::COLUMNS, &place).await?;
        Ok(Some(found))
    }

    /// Runs a statement that has no rows.
    pub(super) async fn run(&self, table: &Table, what: &str, statement: &str) -> Result<Answer, SinkError> {
        let mut answer = self.ask(table, what, statement, &[]).await;
        match &mut answer {
            Ok(_) => tracing::info!(table = table.quoted(), "{what}"),
            Err(SinkError::Table { statement: to_run, .. }) => *to_run = Some(statement.to_owned()),
            Err(_) => {}
        }
        answer
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
