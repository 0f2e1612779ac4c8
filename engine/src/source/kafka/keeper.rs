//! The work beside the messages, on one thread that may block: mirrored positions, the watchdog, and the questions
//! whether a broker that was gone is back and whether the topics are still there.
//!
//! Best effort: nothing here is needed for a row to arrive once, and nothing here can hold a row up.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Bound;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::time::Instant;

use super::Pool;
use super::catalog::Catalog;
use super::inbox::{Failure, lock};
use super::mirror::Mirror;
use crate::offsets::TopicPartition;

/// How often positions are written, at most.
const ROUND: Duration = Duration::from_secs(1);

/// Clients for mirrored positions: each is some threads and connections, and hundreds of plugins would have as many. Where there
/// are more groups, they take turns, and a client lives for one turn: at rest it would cost more than its turn does.
const MOST_MIRRORS: usize = 16;
/// Clients that are made in a round then, each for some milliseconds of CPU time.
const NEW_MIRRORS: usize = 1;

/// How often the topics that are read are looked up. A deleted topic is given up after it was missed twice.
const LOOK_UP: Duration = Duration::from_secs(5);

/// How long a partition may be without a sign of life before its end is asked for.
const STALL: Duration = Duration::from_secs(30);

/// Positions to write, by group.
type Positions = HashMap<String, HashMap<TopicPartition, i64>>;

/// The running thread. When dropped, it writes what is left and ends.
#[derive(Debug)]
pub(super) struct Keeper {
    positions: Arc<Mutex<Positions>>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    pub(super) fn start(catalog: Arc<Catalog>, pool: Arc<Pool>) -> std::io::Result<Self> {
        let positions: Arc<Mutex<Positions>> = Arc::default();
        let (stop, stopped) = channel();
        let work = Work {
            positions: positions.clone(),
            catalog,
            pool,
            groups: HashSet::new(),
            mirrors: Vec::new(),
            last: String::new(),
            looked_up: Instant::now(),
            missed: HashSet::new(),
        };
        let thread = std::thread::Builder::new().name("kafka-keep".into()).spawn(move || work.run(&stopped))?;
        Ok(Self { positions, stop: Some(stop), thread: Some(thread) })
    }

    /// Notes a position; it is written within a round, if nothing newer comes.
    pub(super) fn mirror(&self, group: String, partition: TopicPartition, offset: i64) {
        lock(&self.positions).entry(group).or_default().insert(partition, offset);
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join()); // at most one question and one write long
        }
    }
}

struct Work {
    positions: Arc<Mutex<Positions>>,
    catalog: Arc<Catalog>,
    pool: Arc<Pool>,
    /// All groups that there ever were.
    groups: HashSet<String>,
    mirrors: Vec<(String, Mirror)>,
    /// The last group that was given a client.
    last: String,
    looked_up: Instant,
    /// Topics that were not there at the last look-up.
    missed: HashSet<String>,
}

impl Work {
    fn run(mut self, stopped: &Receiver<()>) {
        while stopped.recv_timeout(ROUND) == Err(RecvTimeoutError::Timeout) {
            self.write_positions();
            self.look_for_brokers();
            self.look_topics_up();
            self.look_for_stalls();
        }
        self.write_positions();
    }

    /// Writes the positions of the groups that have a client, and of as many others as clients are made for in a round.
    fn write_positions(&mut self) {
        let mut positions = std::mem::take(&mut *lock(&self.positions));
        self.groups.extend(positions.keys().cloned());
        if self.groups.len() > MOST_MIRRORS {
            self.mirrors.clear();
        }
        let of_clients: Vec<_> =
            self.mirrors.iter().filter_map(|(group, _)| positions.remove_entry(group.as_str())).collect();
        for (group, positions) in of_clients {
            self.write(&group, positions);
        }
        for group in self.turns(&positions) {
            let Some(positions) = positions.remove(&group) else { continue };
            self.write(&group, positions);
        }
        let mut newer = lock(&self.positions);
        for (group, left) in positions {
            let noted = newer.entry(group).or_default();
            left.into_iter().for_each(|(partition, offset)| _ = noted.entry(partition).or_insert(offset));
        }
    }

    /// The groups that get a client now. Those behind the last one in order go first, so that each has its turn.
    fn turns(&mut self, waiting: &Positions) -> Vec<String> {
        let room = if self.groups.len() > MOST_MIRRORS { NEW_MIRRORS } else { MOST_MIRRORS };
        let waiting: BTreeSet<&String> = waiting.keys().collect();
        let behind = (Bound::Excluded(&self.last), Bound::Unbounded);
        let turns: Vec<String> =
            waiting.range::<String, _>(behind).chain(&waiting).take(room).map(|&it| it.clone()).collect();
        self.last = turns.last().unwrap_or(&self.last).clone();
        turns
    }

    fn write(&mut self, group: &str, positions: HashMap<TopicPartition, i64>) {
        let positions: Vec<_> = positions.into_iter().collect();
        if let Err(error) = self.mirror(group).and_then(|mirror| mirror.commit(&positions)) {
            tracing::warn!(group, error, "positions were not mirrored; lag tools show old ones");
        }
    }

    fn mirror(&mut self, group: &str) -> Result<&Mirror, String> {
        let there = self.mirrors.iter().position(|(of, _)| of == group);
        let index = match there {
            Some(index) => index,
            None => {
                let mirror = Mirror::start(&self.pool.configs.few, group).map_err(|error| error.to_string())?;
                self.mirrors.push((group.to_owned(), mirror));
                self.mirrors.len() - 1
            }
        };
        Ok(&self.mirrors[index].1)
    }

    /// A quiet client does not notice that its brokers are back.
    fn look_for_brokers(&self) {
        let troubled = self.pool.fetchers().into_iter().filter(|it| it.client().events().trouble().is_some());
        let troubled: Vec<_> = troubled.collect();
        if !troubled.is_empty() && self.catalog.broker().is_ok() {
            troubled.iter().for_each(|fetcher| fetcher.client().events().clear_trouble());
        }
    }

    /// Are the topics that are read still there, and still the same ones? The client says nothing of a topic that was
    /// deleted while its end was being waited for, and this is the second look-out for one that was created again (the first: `events`).
    fn look_topics_up(&mut self) {
        if self.looked_up.elapsed() < LOOK_UP {
            return;
        }
        self.looked_up = Instant::now();
        let fetchers = self.pool.fetchers();
        let inboxes: Vec<_> = fetchers.iter().flat_map(|fetcher| fetcher.inboxes()).collect();
        let names: BTreeSet<&str> = inboxes.iter().map(|inbox| &*inbox.partition().topic).collect();
        let names: Vec<&str> = names.into_iter().collect();
        let Ok(topics) = self.catalog.describe(&names) else { return };
        for topic in topics.iter().filter(|topic| !topic.id.is_empty()) {
            fetchers.iter().for_each(|fetcher| fetcher.topic_is(&topic.name, &topic.id));
        }
        let there: HashSet<&str> = topics.iter().map(|topic| topic.name.as_str()).collect();
        let missing: HashSet<String> =
            names.iter().filter(|name| !there.contains(*name)).map(|&it| it.into()).collect();
        for inbox in &inboxes {
            let topic = &*inbox.partition().topic;
            if missing.contains(topic) && self.missed.contains(topic) {
                inbox.fail(Failure::Missing); // the reader asks once more
            }
        }
        self.missed = missing;
    }

    /// A partition whose end moves on while nothing comes in is taken up anew: seen with clients after a broker's
    /// restart (librdkafka issue 5153).
    fn look_for_stalls(&self) {
        let Some(before) = Instant::now().checked_sub(STALL) else { return };
        for fetcher in self.pool.fetchers() {
            for inbox in fetcher.inboxes() {
                let Some(position) = inbox.stalled_at(before) else { continue };
                let Ok((_, end)) = self.catalog.bounds(inbox.partition()) else { return };
                if end > position && inbox.stalled_at(before) == Some(position) {
                    tracing::warn!(partition = %inbox.partition(), position, end, "fetch is stuck; taking it up anew");
                    fetcher.restart(&inbox);
                } else {
                    inbox.excused();
                }
            }
        }
    }
}
