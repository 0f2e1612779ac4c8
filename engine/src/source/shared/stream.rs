//! A stream: one reader of the partition, and the task that gives its messages to the lanes that they are for.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::partition::{Partition, Turn};
use crate::registry::Schemas;
use crate::source::chunk::cost;
use crate::source::{BatchLimits, SourceError, Start};

/// Messages in one go: how long the partition's lock is held, and what may come in beyond the budget.
const STEP: BatchLimits = BatchLimits { max_messages: 1024, max_bytes: 1 << 20, linger: Duration::ZERO };
/// How long lanes that begin at about the same time wait for each other.
const GATHER: Duration = Duration::from_millis(20);
/// A stream lets messages gather, for so long for each of its members and no longer than this: there are some for each of them at a
/// time then. Who is one of hundreds does not notice it behind how long it gathers rows itself.
const TOGETHER: (Duration, Duration) = (Duration::from_micros(320), Duration::from_millis(160));
/// How often a stream to which nothing comes says how far it is.
const LOOK: Duration = Duration::from_millis(100);

/// Tells of the end of a stream, however it ends.
struct End {
    partition: Arc<Partition>,
    name: u64,
}

impl Drop for End {
    fn drop(&mut self) {
        self.partition.gone(self.name);
    }
}

/// Runs a stream until nobody needs it.
pub(super) async fn run(partition: Arc<Partition>, name: u64) {
    let _end = End { partition: partition.clone(), name };
    sleep(GATHER).await;
    let Some(start) = partition.begin(name) else { return };
    if let Err(error) = read(&partition, name, start).await {
        partition.failed(name, error);
    }
}

async fn read(partition: &Arc<Partition>, name: u64, start: i64) -> Result<(), SourceError> {
    let mut reader = partition.source.open(&partition.found, Start::Offset(start)).await?;
    loop {
        let rung = partition.rung.notified();
        let linger = match partition.turn(name, cost(STEP.max_messages, STEP.max_bytes)) {
            Turn::End => return Ok(()),
            Turn::Wait => {
                drop(timeout(LOOK, rung).await);
                partition.show(name, reader.lag(), reader.trouble());
                continue;
            }
            Turn::Read { members } => TOGETHER.0.saturating_mul(members).min(TOGETHER.1),
        };
        match timeout(LOOK + linger, reader.next_batch(BatchLimits { linger, ..STEP })).await {
            Err(_) => partition.show(name, reader.lag(), reader.trouble()),
            Ok(batch) => {
                let Some(batch) = batch? else {
                    partition.ended(name);
                    return Ok(());
                };
                let schemas = match partition.registry.as_ref().filter(|_| partition.reads_columns(name)) {
                    Some(registry) => registry.schemas_of(&batch, |why| partition.show(name, None, why)).await?,
                    None => Schemas::default(),
                };
                if !partition.split(name, &batch, &schemas, reader.lag()) {
                    return Ok(());
                }
            }
        }
    }
}
