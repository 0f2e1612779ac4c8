//! The sink's simulated twin: tables in memory that know tokens as ClickHouse does, behind a server that fails.
//!
//! **Promise.** That of [`Sink`]: passing trouble is repeated inside, with the same token.
//! **A server goes on without its client**: a request that was sent lands, whoever still waits for the answer, unless the
//! fence refuses it when it arrives or it is killed on its way. A table has two partitions, even and odd `_row`s, and
//! remembers the tokens of the last `window` parts, first in first out; a repeat refreshes nothing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::{UInt32Type, UInt64Type};
use arrow_array::{BooleanArray, RecordBatch};
use arrow_select::filter::filter_record_batch;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::{Notify, oneshot};
use tokio::time::{sleep, timeout};

use super::claim::Fence;
use super::settle::{self, Memory, Names, Present, Server, names};
use super::{Claim, Guarantee, Inserted, Sending, Sink, SinkError};
use crate::batch::Block;
use crate::journal::Owner;
use crate::offsets::LaneId;
use crate::simulation::{Chance, Phase, Process, Step, locked};
use crate::table::{Table, TableKind};

/// A server answers within this.
const LATENCY_MS: u32 = 50;
/// Pause before an attempt is repeated.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest that an attempt waits for its answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// A request that sleeps somewhere on its way lands within one of these: while its process lives, or long after.
const DELAYS_MS: [u32; 3] = [500, 4_000, 20_000];

/// What goes wrong with one attempt of an insert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InsertFault {
    /// Refused for now; nothing was written.
    FailBefore,
    /// Written, and the answer was lost.
    FailAfterWrite,
    /// The client gives up, and the request lands later all the same.
    Late,
    /// One of the two table partitions was written; then the connection broke.
    HalfWritten,
    /// No answer, nothing written, until [`SimulatedTables::release`] or the client loses patience.
    Hang,
    /// Refused for good.
    Refused,
}

/// Tables of a server. Clones are the same server.
#[derive(Clone)]
pub struct SimulatedTables {
    state: Arc<Mutex<State>>,
    released: Arc<Notify>,
    window: usize,
    chance: Chance,
}

#[derive(Default)]
struct State {
    tables: BTreeMap<String, Landed>,
    script: VecDeque<Option<InsertFault>>,
    /// Attempts that fail, of a thousand.
    trouble: u32,
    /// Attempts that failed so far.
    faults: u64,
    watcher: Option<Watcher>,
    /// The server may not keep fences.
    unfenced: bool,
    /// The greatest claim of each lane.
    fences: BTreeMap<LaneId, Fence>,
    /// Requests that have begun and not ended, and whose they are.
    under_way: BTreeMap<u64, LaneId>,
    requests: u64,
}

type Watcher = Box<dyn FnMut(&Block, &str) + Send>;

/// What a table holds, and the tokens that it knows.
#[derive(Default)]
struct Landed {
    blocks: Vec<Vec<RecordBatch>>,
    tokens: VecDeque<String>,
    /// Parts that any writer added.
    parts: u64,
}

/// What a server told its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Done,
    Fenced,
    /// Killed, refused for now, or nothing at all.
    Nothing {
        may_land: bool,
    },
}

/// Why an attempt was no success.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Nothing was written.
    NotNow,
    /// Nobody knows.
    Unknown,
    /// For good.
    Refused(SinkError),
}

impl SimulatedTables {
    /// A server whose tables know the tokens of the last `window` blocks.
    #[must_use]
    pub fn new(window: usize, chance: Chance) -> Self {
        Self { state: Arc::default(), released: Arc::default(), window, chance }
    }

    /// A process's way to the server.
    #[must_use]
    pub fn open(&self, process: Process) -> SimulatedSink {
        SimulatedSink { tables: self.clone(), process }
    }

    /// What becomes of the next attempts, in order; `None` is a success. Behind them chance decides.
    pub fn script(&self, faults: impl IntoIterator<Item = Option<InsertFault>>) {
        locked(&self.state).script = faults.into_iter().collect();
    }

    /// How many of a thousand attempts fail.
    pub fn trouble(&self, per_mille: u32) {
        locked(&self.state).trouble = per_mille;
    }

    /// Lets hanging attempts go on, and so fail.
    pub fn release(&self) {
        self.released.notify_waiters();
    }

    /// Sees each block with its token when its client begins to send it.
    pub fn watch(&self, watcher: impl FnMut(&Block, &str) + Send + 'static) {
        locked(&self.state).watcher = Some(Box::new(watcher));
    }

    /// The blocks of a table, in the order in which they landed, by its quoted name.
    #[must_use]
    pub fn blocks(&self, table: &str) -> Vec<Vec<RecordBatch>> {
        locked(&self.state).tables.get(table).map(|landed| landed.blocks.clone()).unwrap_or_default()
    }

    /// Attempts that failed so far.
    #[must_use]
    pub fn faults(&self) -> u64 {
        locked(&self.state).faults
    }

    fn next_fault(&self, block: &Block, token: &str) -> Option<InsertFault> {
        let mut state = locked(&self.state);
        if let Some(watcher) = &mut state.watcher {
            watcher(block, token);
        }
        let fault = match state.script.pop_front() {
            Some(scripted) => scripted,
            None if self.chance.per_mille(state.trouble) => Some(match self.chance.below(40) {
                0..12 => InsertFault::FailAfterWrite,
                12..16 => InsertFault::HalfWritten,
                16..24 => InsertFault::FailBefore,
                24..35 => InsertFault::Late,
                35..39 => InsertFault::Refused,
                _ => InsertFault::Hang,
            }),
            None => None,
        };
        state.faults += u64::from(fault.is_some());
        fault
    }

    /// The engine may not make a fence table from now on.
    pub fn refuse_fences(&self) {
        locked(&self.state).unfenced = true;
    }

    /// Another writer's parts: they push tokens out of a table's window.
    pub fn crowd(&self, table: &str, parts: u64) {
        let mut state = locked(&self.state);
        let landed = state.tables.entry(table.to_owned()).or_default();
        for _ in 0..parts {
            let token = format!("another writer's {}", landed.parts);
            landed.part(token, self.window);
        }
    }

    /// Sends a block to the server, which goes on by itself. The answer comes when the rows are in.
    fn send(&self, request: Request, delay: Duration, work: Duration) -> oneshot::Receiver<Told> {
        let (answer, answered) = oneshot::channel();
        let tables = self.clone();
        tokio::spawn(async move {
            sleep(delay).await;
            let told = tables.serve(request, work).await;
            answer.send(told).ok(); // nobody waits any more
        });
        answered
    }

    async fn serve(&self, request: Request, work: Duration) -> Told {
        let Some(id) = self.begin(&request) else { return Told::Fenced };
        sleep(work).await;
        if locked(&self.state).under_way.remove(&id).is_none() {
            return Told::Nothing { may_land: false }; // killed
        }
        for &half in request.halves {
            self.land(&request.block, &request.token, half);
        }
        if request.halves.len() == 2 { Told::Done } else { Told::Nothing { may_land: true } }
    }

    /// The server's judgement when a request arrives.
    fn begin(&self, request: &Request) -> Option<u64> {
        let mut state = locked(&self.state);
        if let Some(fence) = request.fence
            && state.fences.get(&request.lane) != Some(&fence)
        {
            return None;
        }
        state.requests += 1;
        let id = state.requests;
        state.under_way.insert(id, request.lane.clone());
        Some(id)
    }

    /// One table partition of a block: lands whole, or is dropped because its token is known.
    fn land(&self, block: &Block, token: &str, half: u32) {
        let batches: Vec<_> =
            block.batches.iter().map(|batch| of_half(batch, half)).filter(|it| it.num_rows() > 0).collect();
        let mut state = locked(&self.state);
        let landed = state.tables.entry(block.table.quoted()).or_default();
        let token = format!("{token} {half}");
        if batches.is_empty() || landed.tokens.contains(&token) {
            return;
        }
        landed.blocks.push(batches);
        landed.part(token, self.window);
    }

    fn raise(&self, lane: &LaneId, fence: Fence) -> Result<(), SinkError> {
        let mut state = locked(&self.state);
        let greatest = state.fences.entry(lane.clone()).or_default();
        *greatest = (*greatest).max(fence);
        if *greatest != fence {
            let reason = greatest.words(fence);
            return Err(SinkError::Fenced { lane: Box::new(lane.clone()), reason });
        }
        state.under_way.retain(|_, of| of != lane);
        Ok(())
    }

    fn parts(&self, table: &str) -> u64 {
        locked(&self.state).tables.get(table).map_or(0, |landed| landed.parts)
    }

    fn present(&self, table: &str, of: Names) -> Vec<Present> {
        let blocks = self.blocks(table);
        let mut counts: BTreeMap<u32, u64> = BTreeMap::new();
        for batch in blocks.iter().flatten().filter(|batch| named(batch) == of) {
            let rows = batch.column_by_name("_row").map(|rows| rows.as_primitive::<UInt32Type>().clone());
            rows.iter().flat_map(|rows| rows.values()).for_each(|row| *counts.entry(*row).or_default() += 1);
        }
        counts.into_iter().map(|(row, count)| Present { rows: row..row + 1, count }).collect()
    }

    fn within(&self, ms: u32) -> Duration {
        Duration::from_millis(self.chance.below(ms).into())
    }
}

impl Landed {
    fn part(&mut self, token: String, window: usize) {
        self.parts += 1;
        self.tokens.push_back(token);
        if self.tokens.len() > window {
            self.tokens.pop_front();
        }
    }
}

/// An insert on its way.
struct Request {
    block: Block,
    token: String,
    lane: LaneId,
    /// What the lane's fence has to be when it arrives; none: it is not judged.
    fence: Option<Fence>,
    /// The table partitions that are written.
    halves: &'static [u32],
}

fn named(batch: &RecordBatch) -> Names {
    let value = |name: &str| batch.column_by_name(name).map_or(0, |it| it.as_primitive::<UInt64Type>().value(0));
    Names { lane: value("_lane"), epoch: value("_epoch") }
}

fn of_half(batch: &RecordBatch, half: u32) -> RecordBatch {
    let rows = batch.column_by_name("_row").expect("every table has the engine's columns").as_primitive::<UInt32Type>();
    let keep: BooleanArray = rows.values().iter().map(|row| Some(row % 2 == half)).collect();
    filter_record_batch(batch, &keep).expect("a filter as long as its batch")
}

/// A process's way to such a server.
pub struct SimulatedSink {
    tables: SimulatedTables,
    process: Process,
}

impl Server for SimulatedSink {
    type Trouble = Trouble;

    fn memory(&self, table: &Table) -> Memory {
        Memory { window: self.tables.window as u64, countable: table.kind == TableKind::Append }
    }

    async fn shut_out(&self, claim: &Claim, _: &Table, number: u32) -> Result<(), Trouble> {
        self.process.step(Step::Claim(Phase::Before)).await;
        self.tables.raise(&claim.lane, claim.fence(number)).map_err(Trouble::Refused)?;
        self.process.step(Step::Claim(Phase::After)).await;
        Ok(())
    }

    async fn mark(&self, table: &Table) -> Result<u64, Trouble> {
        Ok(self.tables.parts(&table.quoted()))
    }

    async fn present(&self, block: &Block) -> Result<Vec<Present>, Trouble> {
        self.process.step(Step::Probe).await;
        Ok(self.tables.present(&block.table.quoted(), names(block)))
    }

    async fn send(&self, block: &Block, token: &str, claim: &Claim, number: u32) -> Result<usize, Trouble> {
        self.process.step(Step::Insert(Phase::Before)).await;
        let fault = self.tables.next_fault(block, token);
        let request = |halves: &'static [u32]| Request {
            block: block.clone(),
            token: token.to_owned(),
            lane: claim.lane.clone(),
            fence: claim.judged.then(|| claim.fence(number)),
            halves,
        };
        const BOTH: &[u32] = &[0, 1];
        let told = match fault {
            None => {
                let answered = self.tables.send(request(BOTH), Duration::ZERO, self.tables.within(LATENCY_MS));
                self.process.step(Step::Insert(Phase::Between)).await;
                let told = answered.await.unwrap_or(Told::Nothing { may_land: true });
                self.process.step(Step::Insert(Phase::After)).await;
                told
            }
            Some(InsertFault::FailBefore) => Told::Nothing { may_land: false },
            Some(InsertFault::FailAfterWrite) => {
                drop(self.tables.send(request(BOTH), Duration::ZERO, Duration::ZERO).await);
                Told::Nothing { may_land: true }
            }
            Some(InsertFault::HalfWritten) => {
                let answered = self.tables.send(request(&[1]), Duration::ZERO, Duration::ZERO).await;
                answered.unwrap_or(Told::Nothing { may_land: true })
            }
            Some(InsertFault::Late) => {
                let longest = DELAYS_MS[self.tables.chance.below(3) as usize];
                let (delay, work) = (self.tables.within(longest), self.tables.within(longest));
                drop(self.tables.send(request(BOTH), delay, work));
                Told::Nothing { may_land: true }
            }
            Some(InsertFault::Hang) => {
                drop(timeout(PATIENCE, self.tables.released.notified()).await);
                Told::Nothing { may_land: false }
            }
            Some(InsertFault::Refused) => return Err(Trouble::Refused(refusal(block))),
        };
        match told {
            Told::Done => Ok(0),
            Told::Nothing { may_land: true } => Err(Trouble::Unknown),
            Told::Nothing { may_land: false } => Err(Trouble::NotNow),
            Told::Fenced => {
                let fence = locked(&self.tables.state).fences.get(&claim.lane).copied().unwrap_or_default();
                let reason = fence.words(claim.fence(number));
                Err(Trouble::Refused(SinkError::Fenced { lane: Box::new(claim.lane.clone()), reason }))
            }
        }
    }

    fn leaves_open(trouble: &Trouble) -> bool {
        matches!(trouble, Trouble::Unknown)
    }

    fn refusal(error: SinkError) -> Trouble {
        Trouble::Refused(error)
    }
}

fn refusal(block: &Block) -> SinkError {
    let message = "the simulated server refuses".to_owned();
    SinkError::Refused { table: block.table.quoted(), rows: block.rows, code: 469, message }
}

impl Sink for SimulatedSink {
    fn prepare<'a>(&'a self, _: &'a Table) -> BoxFuture<'a, Result<Guarantee, SinkError>> {
        let parts = self.tables.window as u64;
        async move { Ok(if parts == 0 { Guarantee::None } else { Guarantee::Window { parts } }) }.boxed()
    }

    fn claim<'a>(
        &'a self,
        lane: &'a LaneId,
        owner: Owner,
        _: &'a [Arc<Table>],
    ) -> BoxFuture<'a, Result<Claim, SinkError>> {
        async move {
            self.process.step(Step::Claim(Phase::Before)).await;
            if locked(&self.tables.state).unfenced {
                return Ok(Claim::new(lane.clone(), owner, 0, false));
            }
            let claim = Claim::new(lane.clone(), owner, self.tables.chance.below(u32::MAX).into(), true);
            self.tables.raise(lane, claim.fence(0))?;
            self.process.step(Step::Claim(Phase::After)).await;
            Ok(claim)
        }
        .boxed()
    }

    fn holds_later<'a>(
        &'a self,
        table: &'a Table,
        lane: &'a LaneId,
        epoch: u64,
        _: i64,
    ) -> BoxFuture<'a, Result<bool, SinkError>> {
        let blocks = self.tables.blocks(&table.quoted());
        let later = move |batch: &RecordBatch| named(batch).lane == lane.number() && named(batch).epoch > epoch;
        async move { Ok(blocks.iter().flatten().any(later)) }.boxed()
    }

    fn mark<'a>(&'a self, table: &'a Table) -> BoxFuture<'a, Option<u64>> {
        async move { Some(self.tables.parts(&table.quoted())) }.boxed()
    }

    fn insert<'a>(&'a self, send: &'a Sending) -> BoxFuture<'a, Result<Inserted, SinkError>> {
        async move {
            let (mut attempts, mut unsettled) = (1, false);
            loop {
                match settle::attempt(self, send, unsettled).await {
                    Ok(bytes) => return Ok(Inserted { bytes, attempts, encoding: Duration::ZERO }),
                    Err(Trouble::NotNow) => {}
                    Err(Trouble::Unknown) => unsettled = true,
                    Err(Trouble::Refused(error)) => return Err(error),
                }
                attempts += 1;
                sleep(PAUSE).await;
            }
        }
        .boxed()
    }
}
