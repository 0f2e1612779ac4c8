//! Plays recorded messages to an engine, again and again, through an embedded broker: as a topic on which there is always
//! something going on.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::batch::Message;
use crate::cli::plugin::Failure;
use crate::cli::plugin::messages::EPOCH;
use crate::demo::Broker;
use crate::source::{FileSource, Source, SourceError, Start};

/// Between two rounds. The broker holds 5 MiB of each partition, which an engine has read long before that.
const PAUSE: Duration = Duration::from_millis(250);
/// Bytes of a partition's messages that a round plays at most: what the broker surely holds until it is read.
const MOST_BYTES: usize = 1 << 20;

/// The broker and the thread that fills it. Ends when dropped.
pub(super) struct Player {
    addresses: String,
    ends: Arc<AtomicBool>,
}

/// A recorded message: topic, partition, and itself.
type Recorded = (String, i32, Message);

impl Player {
    /// Begins to play the messages of these topics.
    pub(super) async fn start(files: &[PathBuf], topics: &[String]) -> Result<Self, Failure> {
        let messages = recorded(files, topics).await?;
        let mut partitions: BTreeMap<&str, i32> = BTreeMap::new();
        for (topic, partition, _) in &messages {
            let count = partitions.entry(topic).or_default();
            *count = (*count).max(partition + 1);
        }
        let topics: Vec<_> = partitions.into_iter().collect();
        let broker = Broker::start(&topics).map_err(Failure::failed)?;
        let (addresses, ends) = (broker.addresses().to_owned(), Arc::new(AtomicBool::new(false)));
        let told = ends.clone();
        thread::Builder::new().name("engine-player".into()).spawn(move || play(&broker, &messages, &told))?;
        Ok(Self { addresses, ends })
    }

    /// Where the broker is.
    pub(super) fn addresses(&self) -> &str {
        &self.addresses
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
    }
}

/// A broker that takes no more messages has ended with the program.
fn play(broker: &Broker, messages: &[Recorded], ends: &AtomicBool) {
    while !ends.load(Ordering::Relaxed) {
        for (topic, partition, message) in messages {
            let sent = broker.send(topic, *partition, message.key().unwrap_or_default(), message.value());
            if sent.is_err() {
                return;
            }
        }
        thread::sleep(PAUSE);
    }
}

async fn recorded(files: &[PathBuf], topics: &[String]) -> Result<Vec<Recorded>, Failure> {
    let refused = |error: SourceError| Failure::mistake(error);
    let source = FileSource::new(files.to_vec());
    let mut messages = Vec::new();
    for found in source.discover(topics).await.map_err(refused)? {
        let (first, end) = source.bounds(&found.partition).await.map_err(refused)?;
        if first == end {
            continue;
        }
        let mut reader = source.open(&found, Start::Earliest).await.map_err(refused)?;
        let mut bytes = 0;
        while let Some(batch) = reader.next_batch(EPOCH).await.map_err(refused)? {
            for message in batch.messages {
                bytes += message.bytes();
                if bytes > MOST_BYTES {
                    break;
                }
                messages.push((found.partition.topic.to_string(), found.partition.partition, message.into_owned()));
            }
        }
    }
    if messages.is_empty() {
        let topics = topics.join(", ");
        return Err(Failure::in_words(format!("no recorded message is of the topics of plugin.toml, {topics}")));
    }
    Ok(messages)
}
