//! The fence table: who may insert for a lane, judged by the server when an insert begins.
//!
//! ```sql
//! INSERT INTO t (…) SELECT … FROM input('…')
//! WHERE throwIf((SELECT max(claim) FROM engine_fences WHERE lane = …) != (owner, attempt, nonce), '…') = 0
//! ```
//! The condition is evaluated before the first row is read, so a request that slept in a socket or in a stopped process is
//! refused. A missing fence refuses too. What passed the condition before a fence was raised is killed: raise, kill and
//! wait, then look, in this order (any other leaves a gap in which the old request lands).

use std::collections::HashSet;
use std::sync::PoisonError;

use super::http::Answer;
use super::retry::{Attempt, What};
use super::select::statement_trouble;
use super::storage::string;
use super::trouble::{Cause, Decision, Trouble};
use super::{ClickHouse, SinkError};
use crate::offsets::LaneId;
use crate::sink::claim::{Claim, Fence};
use crate::table::{Table, quote};

/// The table, in each database that the engine writes.
const TABLE: &str = "engine_fences";
/// By this the engine knows its own refusal.
pub(super) const WORD: &str = "engine: this lane was claimed by another owner";
/// How long the server may take to end a lane's queries before it is asked again: a stalled upload ends when the
/// server's own `http_receive_timeout` (30 s) does.
const KILL_SECONDS: &str = "40";

impl ClickHouse {
    /// Writes the fence, ends what is under way, and makes sure that nobody has a greater one.
    pub(super) async fn take_claim(
        &self,
        lane: &LaneId,
        owner: crate::journal::Owner,
        table: &Table,
    ) -> Result<Claim, SinkError> {
        if self.prepare_fences(table).await.is_err() {
            return Ok(Claim::new(lane.clone(), owner, 0, false)); // as was said when the table was prepared
        }
        let claim = Claim::new(lane.clone(), owner, random(), true);
        let what = What { table: &table.quoted(), name: "claim the lane" };
        let raise = |attempt: Attempt| self.raise(&claim, table, claim.fence(0), attempt);
        self.patience.until_settled(&self.stats, what, self.timeout, raise).await.map_err(|trouble| {
            self.known_fences().remove(&*table.database); // it may have been dropped
            refused(trouble, lane, table)
        })?;
        Ok(claim)
    }

    /// Makes the fence table beside a table, unless it was there before.
    pub(super) async fn prepare_fences(&self, table: &Table) -> Result<(), SinkError> {
        if !self.known_fences().contains(&*table.database) {
            self.run(table, "create the fence table", &create(table)).await?;
            self.known_fences().insert(table.database.to_string());
        }
        Ok(())
    }

    /// Names are inserted whole, so a panic elsewhere leaves none half-made.
    fn known_fences(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.fences.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a fence, makes sure that nobody has a greater one, and ends what is under way.
    pub(super) async fn raise(
        &self,
        claim: &Claim,
        table: &Table,
        fence: Fence,
        attempt: Attempt,
    ) -> Result<(), Trouble> {
        let Fence { owner, attempt: number, nonce } = fence;
        let name = fence_name(&claim.lane);
        let insert = format!(
            "INSERT INTO {} (lane, claim) VALUES ({}, ({owner}, {number}, {nonce}))",
            fences(table),
            string(&name)
        );
        self.statement(&insert, &[("async_insert", "0".into())], attempt).await?;
        let found = self.fence(&claim.lane, table, attempt).await?;
        if found != fence {
            return Err(Trouble { cause: Cause::Fenced, code: 0, message: found.words(fence) });
        }
        let queries = string(&format!("{}-", claim.lane));
        let kill = format!("KILL QUERY WHERE startsWith(query_id, {queries}) SYNC");
        self.statement(&kill, &[("max_execution_time", KILL_SECONDS.into())], attempt).await?;
        let left = format!("SELECT count() FROM system.processes WHERE startsWith(query_id, {queries})");
        let left = self.statement(&left, &[], attempt).await?;
        if left.text.trim() == "0" {
            return Ok(());
        }
        let message = "requests of the lane's former owner are still being ended".to_owned();
        Err(Trouble { cause: Cause::Busy, code: 0, message })
    }

    /// The greatest fence of a lane.
    pub(super) async fn fence(&self, lane: &LaneId, table: &Table, attempt: Attempt) -> Result<Fence, Trouble> {
        let query = format!(
            "SELECT tupleElement(max(claim), 1), tupleElement(max(claim), 2), tupleElement(max(claim), 3) FROM {} WHERE lane = {} FORMAT TSV",
            fences(table),
            string(&fence_name(lane)),
        );
        let answer = self.statement(&query, &[], attempt).await?;
        let mut numbers = answer.text.trim().split('\t').map(str::parse::<u64>);
        let mut next = || numbers.next().and_then(Result::ok);
        let fence = (next(), next().and_then(|number| u32::try_from(number).ok()), next());
        match fence {
            (Some(owner), Some(attempt), Some(nonce)) => Ok(Fence { owner, attempt, nonce }),
            _ => Err(Trouble {
                cause: Cause::NoVerdict,
                code: 0,
                message: format!("the answer about a fence is not understood: {}", answer.text.trim()),
            }),
        }
    }

    /// One statement or question, once.
    pub(super) async fn statement(
        &self,
        sql: &str,
        settings: &[(&str, String)],
        attempt: Attempt,
    ) -> Result<Answer, Trouble> {
        let settings: Vec<_> =
            [("wait_end_of_query", "1".to_owned())].into_iter().chain(settings.iter().cloned()).collect();
        self.http.post(sql, &settings, None, attempt.timeout).await.map_err(statement_trouble)
    }
}

/// The condition that an insert carries.
pub(super) fn condition(claim: &Claim, number: u32, table: &Table) -> String {
    let Fence { owner, attempt, nonce } = claim.fence(number);
    format!(
        "throwIf((SELECT max(claim) FROM {} WHERE lane = {}) != ({owner}, {attempt}, {nonce}), '{WORD}') = 0",
        fences(table),
        string(&fence_name(&claim.lane)),
    )
}

/// The statement that makes the fence table of a table's database.
#[must_use]
pub fn fence_statement(table: &Table) -> String {
    create(table)
}

/// Says what a table is worth beside which there is no fence.
pub(super) fn no_fence(table: &Table, error: &SinkError) {
    tracing::warn!(
        table = table.quoted(),
        error = %crate::disposition::in_words(error),
        "no fence: a stalled engine that wakes up can't be kept from inserting, and rows are exactly once within the \
         tables' windows only. Let the engine create {}, or create it",
        fences(table)
    );
}

fn create(table: &Table) -> String {
    // Merges keep the greatest claim of each lane, so the table stays as small as the number of lanes.
    format!(
        "CREATE TABLE IF NOT EXISTS {} (lane String, \
         claim SimpleAggregateFunction(max, Tuple(owner UInt64, attempt UInt32, nonce UInt64)), \
         claimed_at SimpleAggregateFunction(max, DateTime64(3, 'UTC')) DEFAULT now64(3, 'UTC')) \
         ENGINE = AggregatingMergeTree ORDER BY lane",
        fences(table)
    )
}

fn fences(table: &Table) -> String {
    format!("{}.{}", quote(&table.database), quote(TABLE))
}

/// The topic's id belongs to a lane's name: a topic made again has other lanes.
fn fence_name(lane: &LaneId) -> String {
    if lane.topic_id.is_empty() { lane.to_string() } else { format!("{lane}/{}", lane.topic_id) }
}

/// 64 bits that the operating system made: std seeds its hashers so.
fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}

/// Why a lane can't be claimed.
fn refused(trouble: Trouble, lane: &LaneId, table: &Table) -> SinkError {
    match trouble.cause.decision() {
        Decision::Fenced => SinkError::Fenced { lane: Box::new(lane.clone()), reason: trouble.message },
        Decision::Denied => SinkError::Denied { message: trouble.message },
        Decision::NotNow | Decision::Unknown | Decision::Table | Decision::Refused | Decision::Bug => {
            SinkError::Table {
                table: fences(table),
                mismatch: format!("the lane can't be claimed: {}", trouble.message),
                statement: None,
            }
        }
    }
}
