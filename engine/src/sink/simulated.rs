//! The sink's simulated twin: tables in memory that know tokens as ClickHouse does, behind a server that fails.
//!
//! **Promise.** That of [`Sink`]: passing trouble is repeated inside, with the same token.
//! **A server goes on without its client**: a request that was sent lands, whoever still waits for the answer. A table
//! remembers the tokens of the last `window` blocks, first in first out; a repeat refreshes nothing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow_array::RecordBatch;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::{Notify, oneshot};
use tokio::time::sleep;

use super::{Guarantee, Inserted, Sink, SinkError};
use crate::batch::Block;
use crate::simulation::{Chance, Phase, Process, Step, locked};
use crate::table::Table;

/// A server answers within this.
const LATENCY_MS: u32 = 50;
/// Pause before an attempt is repeated.
const PAUSE: Duration = Duration::from_millis(100);
/// A request that sleeps somewhere on its way lands within this.
const DELAY_MS: u32 = 20_000;

/// What goes wrong with one attempt of an insert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InsertFault {
    /// Refused for now; nothing was written.
    FailBefore,
    /// Written, and the answer was lost.
    FailAfterWrite,
    /// The client gives up, and the request lands later all the same.
    Late,
    /// No answer, nothing written, until [`SimulatedTables::release`].
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
}

type Watcher = Box<dyn FnMut(&Block, &str) + Send>;

/// What a table holds, and the tokens that it knows.
#[derive(Default)]
struct Landed {
    blocks: Vec<Vec<RecordBatch>>,
    tokens: VecDeque<String>,
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
            None if self.chance.per_mille(state.trouble) => Some(match self.chance.below(10) {
                0..4 => InsertFault::FailAfterWrite,
                4..6 => InsertFault::FailBefore,
                6..9 => InsertFault::Late,
                _ => InsertFault::Refused,
            }),
            None => None,
        };
        state.faults += u64::from(fault.is_some());
        fault
    }

    /// Sends a block to the server, which goes on by itself. The answer comes when the rows are in.
    fn send(&self, block: &Block, token: &str, after: Duration) -> oneshot::Receiver<()> {
        let (answer, answered) = oneshot::channel();
        let (tables, token) = (self.clone(), token.to_owned());
        let (table, batches) = (block.table.quoted(), block.batches.clone());
        tokio::spawn(async move {
            sleep(after).await;
            tables.land(table, batches, token);
            answer.send(()).ok(); // nobody waits any more
        });
        answered
    }

    fn land(&self, table: String, batches: Vec<RecordBatch>, token: String) {
        let mut state = locked(&self.state);
        let landed = state.tables.entry(table).or_default();
        if landed.tokens.contains(&token) {
            return;
        }
        landed.blocks.push(batches);
        landed.tokens.push_back(token);
        if landed.tokens.len() > self.window {
            landed.tokens.pop_front();
        }
    }

    fn within(&self, ms: u32) -> Duration {
        Duration::from_millis(self.chance.below(ms).into())
    }
}

/// A process's way to such a server.
pub struct SimulatedSink {
    tables: SimulatedTables,
    process: Process,
}

impl SimulatedSink {
    /// One attempt: whether the client was told of success.
    async fn attempt(&self, block: &Block, token: &str) -> Result<bool, SinkError> {
        self.process.step(Step::Insert(Phase::Before)).await;
        match self.tables.next_fault(block, token) {
            None => {
                let answered = self.tables.send(block, token, self.tables.within(LATENCY_MS));
                self.process.step(Step::Insert(Phase::Between)).await;
                let told = answered.await.is_ok();
                self.process.step(Step::Insert(Phase::After)).await;
                return Ok(told);
            }
            Some(InsertFault::FailBefore) => {}
            Some(InsertFault::FailAfterWrite) => {
                drop(self.tables.send(block, token, Duration::ZERO).await);
            }
            Some(InsertFault::Late) => drop(self.tables.send(block, token, self.tables.within(DELAY_MS))),
            Some(InsertFault::Hang) => {
                self.tables.released.notified().await;
            }
            Some(InsertFault::Refused) => return Err(refusal(block)),
        }
        Ok(false)
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

    fn insert<'a>(&'a self, block: &'a Block, token: &'a str) -> BoxFuture<'a, Result<Inserted, SinkError>> {
        async move {
            let mut attempts = 1;
            while !self.attempt(block, token).await? {
                attempts += 1;
                sleep(PAUSE).await;
            }
            Ok(Inserted { bytes: 0, attempts })
        }
        .boxed()
    }
}
