//! A block into its table: attempts, and what became of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::fence::condition;
use super::retry::{Attempt, What};
use super::storage::string;
use super::trouble::{Cause, Decision, Trouble};
use super::{ClickHouse, INSERT, Inserted, Sending, SinkError, encode, types};
use crate::batch::Block;
use crate::offsets::LaneId;
use crate::sink::claim::Claim;
use crate::sink::settle::{self, Memory, Present, Server, names};
use crate::table::{Table, quote};

/// A run of rows that a table holds: a row of [`ClickHouse::present`]'s query.
#[derive(Deserialize)]
struct Run {
    first: u32,
    last: u32,
    rows: u64,
}

impl ClickHouse {
    pub(super) async fn insert_block(&self, send: &Sending) -> Result<Inserted, SinkError> {
        let (block, token) = (&send.block, send.token.as_str());
        if block.rows == 0 {
            return Ok(Inserted { bytes: 0, attempts: 0, encoding: Duration::ZERO });
        }
        let table = block.table.quoted();
        let (started, lane, encoding) = (Instant::now(), &send.claim.lane, &Arc::default());
        let attempt = |attempt: Attempt| async move {
            let _turn = self.server.gate.turn(&lane.tenant).await;
            settle::attempt(&Asked { sink: self, attempt, encoding }, send, attempt.unsettled).await
        };
        let name = What { table: &table, name: token };
        let settled = self.patience.until_settled(&self.stats, name, self.timeout, attempt).await;
        let encoding = Duration::from_nanos(encoding.load(Ordering::Relaxed));
        self.stats.encoded(encoding);
        let (bytes, attempts) = match settled {
            Ok(sent) => sent,
            Err(trouble) if trouble.cause == Cause::Fenced => return Err(self.fenced(trouble, send).await),
            Err(trouble) => return Err(insert_error(trouble, send)),
        };
        self.stats.inserted(block.rows, bytes, started.elapsed());
        if attempts > 1 {
            tracing::info!(block = token, attempts, "ClickHouse confirmed after all");
        }
        Ok(Inserted { bytes, attempts, encoding })
    }

    /// Whether rows of a lane's later epochs are there.
    pub(super) async fn later_rows(
        &self,
        table: &Table,
        lane: &LaneId,
        epoch: u64,
        since_ms: i64,
    ) -> Result<bool, SinkError> {
        let query = format!(
            "SELECT 1 AS found FROM {} WHERE _ingested_at >= fromUnixTimestamp64Milli({since_ms}, 'UTC') AND _lane = {} AND _epoch > {epoch} AND NOT bitTest(_epoch, 47) \
             LIMIT 1",
            table.quoted(),
            lane.number()
        );
        let found: Vec<serde_json::Value> = self.rows(table, "look for rows of later epochs", &query, &[]).await?;
        Ok(!found.is_empty())
    }

    /// Who has the lane, as far as the fence says: the server's refusal only says that it is somebody else.
    async fn fenced(&self, trouble: Trouble, send: &Sending) -> SinkError {
        let claim = &send.claim;
        let now = self.fence(&claim.lane, &send.block.table, Attempt::once(Duration::from_secs(5))).await;
        let reason = now.map_or(trouble.message, |now| now.words(claim.fence(0)));
        SinkError::Fenced { lane: Box::new(claim.lane.clone()), reason }
    }
}

fn insert_error(trouble: Trouble, send: &Sending) -> SinkError {
    let Trouble { cause, code, message } = trouble;
    let (table, rows) = (send.block.table.quoted(), send.block.rows);
    match cause.decision() {
        Decision::Denied => SinkError::Denied { message },
        Decision::Table => SinkError::Table { table, mismatch: message, statement: None },
        Decision::Bug => SinkError::Encode { table, source: arrow_schema::ArrowError::IpcError(message) },
        Decision::Fenced => SinkError::Fenced { lane: Box::new(send.claim.lane.clone()), reason: message },
        Decision::Refused | Decision::NotNow | Decision::Unknown => SinkError::Refused { table, rows, code, message },
    }
}

/// The server, asked within one attempt.
struct Asked<'a> {
    sink: &'a ClickHouse,
    attempt: Attempt,
    /// CPU time of writing the block, ns.
    encoding: &'a Arc<AtomicU64>,
}

impl Server for Asked<'_> {
    type Trouble = Trouble;

    fn memory(&self, table: &Table) -> Memory {
        self.sink.memory(table)
    }

    async fn shut_out(&self, claim: &Claim, table: &Table, number: u32) -> Result<(), Trouble> {
        self.sink.raise(claim, table, claim.fence(number), self.attempt).await
    }

    async fn mark(&self, table: &Table) -> Result<u64, Trouble> {
        self.sink.ask_mark(table, self.attempt).await
    }

    async fn present(&self, block: &Block) -> Result<Vec<Present>, Trouble> {
        let names = names(block);
        let query = format!(
            "SELECT min(_row) AS first, max(_row) AS last, toUInt64(count()) AS rows FROM \
             (SELECT _row, toInt64(_row) - toInt64(dense_rank() OVER (ORDER BY _row)) AS run FROM {} \
             WHERE _lane = {} AND _epoch = {}) GROUP BY run ORDER BY first FORMAT JSONEachRow",
            block.table.quoted(),
            names.lane,
            names.epoch
        );
        let settings = [("output_format_json_quote_64bit_integers", "0".to_owned())];
        let answer = self.sink.statement(&query, &settings, self.attempt).await?;
        let runs: Result<Vec<Run>, _> = answer.text.lines().map(serde_json::from_str).collect();
        let runs = runs.map_err(|error| Trouble {
            cause: Cause::NoVerdict,
            code: 0,
            message: format!("the answer about a block's rows is not understood: {error}"),
        })?;
        Ok(runs.into_iter().map(|run| Present { rows: run.first..run.last + 1, count: run.rows }).collect())
    }

    async fn send(&self, block: &Block, token: &str, claim: &Claim, number: u32) -> Result<usize, Trouble> {
        let own = [
            ("insert_deduplication_token", token.to_owned()),
            // The server gives up when this attempt does, so that nobody's old request lands late.
            ("max_execution_time", self.attempt.timeout.as_secs().max(1).to_string()),
            ("query_id", format!("{token}-{}.{number}.{}", claim.owner.0, self.attempt.number)),
        ];
        let fixed = INSERT.iter().map(|(name, value)| (*name, (*value).to_owned()));
        let settings: Vec<(&str, String)> = fixed.chain(own).collect();
        let (body, encoding, sent) = encode::body(block, self.sink.compression, self.encoding);
        let query = query(&block.table, claim, number);
        let header = encoding.map(|encoding| ("content-encoding", encoding));
        let answer = self.sink.http.post(&query, &settings, Some((body, header)), self.attempt.timeout).await?;
        let trouble = |cause, message| Err(Trouble { cause, code: 0, message });
        if !answer.text.trim().is_empty() {
            return trouble(Cause::NoVerdict, "the answer to an insert has a body".into());
        }
        // A repeat that was dropped counts its rows like any other, and views add theirs.
        match answer.written_rows {
            Some(written) if written < block.rows as u64 => {
                trouble(Cause::Short, format!("the server says it wrote {written} of {} rows", block.rows))
            }
            Some(_) | None => Ok(sent.load(Ordering::Relaxed)),
        }
    }

    fn leaves_open(trouble: &Trouble) -> bool {
        trouble.cause.decision() == Decision::Unknown
    }

    fn refusal(error: SinkError) -> Trouble {
        Trouble { cause: Cause::Unsettled, code: 0, message: error.to_string() }
    }
}

/// The statement. With a fence the rows pass through a `SELECT` that the server begins only for the lane's owner; they are
/// read as the types that the table is planned with, as an insert without it would.
fn query(table: &Table, claim: &Claim, number: u32) -> String {
    let columns: Vec<String> = table.schema.fields().iter().map(|field| quote(field.name())).collect();
    let (name, columns) = (table.quoted(), columns.join(", "));
    if !claim.judged {
        return format!("INSERT INTO {name} ({columns}) FORMAT ArrowStream");
    }
    let typed = table.schema.fields().iter().map(|field| {
        let of = types::declared(field).expect("the table was planned with these types when it was prepared");
        format!("{} {of}", quote(field.name()))
    });
    let structure = string(&typed.collect::<Vec<_>>().join(", "));
    let condition = condition(claim, number, table);
    format!(
        "INSERT INTO {name} ({columns}) SELECT {columns} FROM input({structure}) WHERE {condition} FORMAT ArrowStream"
    )
}
