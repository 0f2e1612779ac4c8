//! A fetcher: one client and the thread that empties it into inboxes.
//!
//! All partitions of a client are assigned, stopped and begun again by this thread alone, and always in the same way:
//! taken off the assignment, put back at the inbox's `next`. librdkafka's pause and resume were rejected: they drop what
//! was fetched as well, and resume where the *client* thinks that the application is, which counts messages that the
//! budget did not admit.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, Thread};
use std::time::Duration;

use rdkafka::bindings::rd_kafka_resp_err_t as Code;
use tokio::time::Instant;

use super::client::{Client, words};
use super::inbox::{Accepted, Failure, Inbox, lock};
use super::message::RawMessage;
use super::settings::Configs;
use crate::offsets::TopicPartition;
use crate::source::SourceError;

/// How long the thread lets messages gather at the client before it takes them: the delay of a quiet topic. Longer saves
/// wake-ups, shorter is not noticed behind a batch's linger.
const GATHER: Duration = Duration::from_millis(20);
/// With so many at a time more is on its way, and the client stops for as long as its queue is full.
const PLENTY: usize = 2_000;

/// A client with more partitions than this has many...
const MANY: usize = 64;
/// ...and some patience: its brokers gather for longer.
const GATHER_MANY: Duration = Duration::from_millis(50);

/// What others ask of the thread.
#[derive(Debug)]
enum Command {
    Open(Arc<Inbox>),
    Close(Arc<Inbox>),
    /// Off the assignment and on again, at the inbox's position.
    Restart(Arc<Inbox>),
}

#[derive(Debug)]
struct Shared {
    configs: Configs,
    client: Mutex<Arc<Client>>,
    /// Every open partition, whether it is being fetched or not. At most one reader each: others use another fetcher.
    open: Mutex<HashMap<TopicPartition, Arc<Inbox>>>,
    commands: Mutex<Vec<Command>>,
    stop: AtomicBool,
}

/// A running fetcher. Ends when dropped.
#[derive(Debug)]
pub(super) struct Fetcher {
    shared: Arc<Shared>,
    thread: Thread,
}

impl Fetcher {
    pub(super) fn start(configs: &Configs) -> Result<Self, SourceError> {
        let shared = Arc::new(Shared {
            configs: configs.clone(),
            client: Mutex::new(Arc::new(Client::start(&configs.few)?)),
            open: Mutex::default(),
            commands: Mutex::default(),
            stop: AtomicBool::new(false),
        });
        let work = Work { shared: shared.clone(), fetching: HashMap::new(), full: Vec::new(), many: false };
        let thread = thread::Builder::new()
            .name("kafka-fetch".into())
            .spawn(move || work.run())
            .map_err(|error| SourceError::Refused { message: format!("can't start a thread: {error}") })?;
        Ok(Self { shared, thread: thread.thread().clone() })
    }

    /// Registers an inbox, if its partition has none here. From now on a changed topic id is noticed.
    pub(super) fn register(&self, inbox: &Arc<Inbox>) -> bool {
        let mut open = lock(&self.shared.open);
        if open.contains_key(inbox.partition()) {
            return false;
        }
        open.insert(inbox.partition().clone(), inbox.clone());
        true
    }

    /// Begins to fetch into a registered inbox, at its position.
    pub(super) fn open(&self, inbox: &Arc<Inbox>) {
        self.command(Command::Open(inbox.clone()));
    }

    pub(super) fn restart(&self, inbox: &Arc<Inbox>) {
        self.command(Command::Restart(inbox.clone()));
    }

    pub(super) fn close(&self, inbox: &Arc<Inbox>) {
        lock(&self.shared.open).remove(inbox.partition());
        self.command(Command::Close(inbox.clone()));
    }

    /// How many are registered.
    pub(super) fn partitions(&self) -> usize {
        lock(&self.shared.open).len()
    }

    pub(super) fn inboxes(&self) -> Vec<Arc<Inbox>> {
        lock(&self.shared.open).values().cloned().collect()
    }

    pub(super) fn client(&self) -> Arc<Client> {
        lock(&self.shared.client).clone()
    }

    /// The topic of this name has this id: readers of another one fail.
    pub(super) fn topic_is(&self, topic: &str, id: &str) {
        self.shared.topic_is(topic, id);
    }

    fn command(&self, command: Command) {
        lock(&self.shared.commands).push(command);
        self.thread.unpark();
    }
}

impl Drop for Fetcher {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

impl Shared {
    fn topic_is(&self, topic: &str, id: &str) {
        for inbox in lock(&self.open).values() {
            let had = &inbox.found.topic_id;
            if &*inbox.partition().topic == topic && !had.is_empty() && **had != *id {
                inbox.fail(Failure::Replaced(id.into()));
            }
        }
    }
}

/// What the thread works on.
struct Work {
    shared: Arc<Shared>,
    /// The client's assignment, by topic and partition.
    fetching: HashMap<Arc<str>, HashMap<i32, Arc<Inbox>>>,
    /// Off the assignment until the budget allows.
    full: Vec<Arc<Inbox>>,
    /// It has, or once had, many partitions.
    many: bool,
}

impl Work {
    fn run(mut self) {
        let mut client = lock(&self.shared.client).clone();
        while !self.shared.stop.load(Ordering::Acquire) {
            self.steer(&client);
            let taken = client.take();
            let plenty = taken.len() > PLENTY;
            self.check_events(&client); // before the messages are used: a changed topic id came before them
            self.sort(&client, taken);
            if client.events().is_fatal() {
                tracing::warn!("Kafka client failed for good; starting a new one");
                client = self.rebuild(client);
            } else if !self.many && self.fetching.values().map(HashMap::len).sum::<usize>() > MANY {
                self.many = true; // for good: what there once was may come back
                client = self.rebuild(client);
            }
            if !plenty {
                thread::park_timeout(if self.many { GATHER_MANY } else { GATHER }); // a command ends it
            }
        }
    }

    /// Obeys commands, and lets partitions go on that were full.
    fn steer(&mut self, client: &Client) {
        let commands = std::mem::take(&mut *lock(&self.shared.commands));
        let (mut off, mut on) = (Vec::new(), Vec::new());
        let (resumed, full) = std::mem::take(&mut self.full).into_iter().partition(|inbox| inbox.may_resume());
        self.full = full;
        on.extend::<Vec<_>>(resumed);
        for command in commands {
            match command {
                Command::Open(inbox) => on.push(inbox),
                Command::Close(inbox) => {
                    inbox.close();
                    self.remove(&inbox, &mut on, &mut off);
                }
                Command::Restart(inbox) => {
                    self.remove(&inbox, &mut on, &mut off);
                    on.push(inbox);
                }
            }
        }
        self.unassign(client, &off);
        self.assign(client, on);
    }

    /// Takes an inbox out of whichever list it is in.
    fn remove(&mut self, inbox: &Arc<Inbox>, on: &mut Vec<Arc<Inbox>>, off: &mut Vec<Arc<Inbox>>) {
        let other = |candidate: &Arc<Inbox>| !Arc::ptr_eq(candidate, inbox);
        self.full.retain(other);
        on.retain(other);
        let here = self.find(&inbox.partition().topic, inbox.partition().partition);
        if here.is_some_and(|here| Arc::ptr_eq(here, inbox)) {
            off.push(inbox.clone());
        }
    }

    fn find(&self, topic: &str, partition: i32) -> Option<&Arc<Inbox>> {
        self.fetching.get(topic)?.get(&partition)
    }

    fn unassign(&mut self, client: &Client, inboxes: &[Arc<Inbox>]) {
        for inbox in inboxes {
            if let Some(partitions) = self.fetching.get_mut(&inbox.partition().topic) {
                partitions.remove(&inbox.partition().partition);
            }
        }
        if let Err(error) = client.unassign(inboxes.iter().map(|inbox| inbox.partition())) {
            tracing::warn!(error, "Kafka client did not give partitions up");
        }
    }

    fn assign(&mut self, client: &Client, inboxes: Vec<Arc<Inbox>>) {
        let starts: Vec<_> = inboxes.iter().map(|inbox| (inbox.partition(), inbox.begin())).collect();
        if let Err(error) = client.assign(starts) {
            tracing::warn!(error, "Kafka client did not take partitions; trying again");
            self.full.extend(inboxes); // not assigned: steer comes back to them
            return;
        }
        for inbox in inboxes {
            let topic = inbox.partition().topic.clone();
            self.fetching.entry(topic).or_default().insert(inbox.partition().partition, inbox);
        }
    }

    fn check_events(&self, client: &Client) {
        for (topic, id) in client.events().take_ids() {
            self.shared.topic_is(&topic, &id);
        }
        if let Some(reason) = client.events().refused() {
            for inbox in lock(&self.shared.open).values() {
                inbox.fail(Failure::Refused(reason.clone()));
            }
        }
    }

    /// Messages to their inboxes, errors to their readers.
    fn sort(&mut self, client: &Arc<Client>, taken: Vec<RawMessage>) {
        let now = Instant::now();
        if !taken.is_empty() {
            client.events().clear_trouble();
        }
        let mut full = Vec::new();
        let mut taken = taken.into_iter().peekable();
        while let Some(first) = taken.next() {
            if first.error() == Code::RD_KAFKA_RESP_ERR__FATAL {
                client.events().failed();
            }
            let Some(inbox) = self.find(first.topic(), first.partition()) else { continue };
            if first.error() != Code::RD_KAFKA_RESP_ERR_NO_ERROR {
                told(inbox, &first, now);
                continue;
            }
            let (topic, partition) = (first.topic_handle(), first.partition());
            let mut run = vec![first];
            while let Some(message) = taken.next_if(|next| {
                next.topic_handle() == topic
                    && next.partition() == partition
                    && next.error() == Code::RD_KAFKA_RESP_ERR_NO_ERROR
            }) {
                run.push(message);
            }
            if inbox.accept(run, self.many, client, now) == Accepted::Part {
                full.push(inbox.clone());
            }
        }
        self.unassign(client, &full);
        self.full.append(&mut full);
    }

    /// A client is replaced; its partitions go on where their inboxes are.
    fn rebuild(&mut self, old: Arc<Client>) -> Arc<Client> {
        let configs = &self.shared.configs;
        let config = if self.many { &configs.many } else { &configs.few };
        let client = match Client::start(config) {
            Ok(client) => Arc::new(client),
            Err(error) => {
                tracing::warn!(%error, "no new Kafka client; trying again");
                thread::sleep(Duration::from_secs(1));
                return old;
            }
        };
        *lock(&self.shared.client) = client.clone();
        let inboxes = std::mem::take(&mut self.fetching).into_values().flat_map(HashMap::into_values).collect();
        self.assign(&client, inboxes);
        client
    }
}

/// What the client has told about a partition, in place of a message.
fn told(inbox: &Inbox, event: &RawMessage, now: Instant) {
    let code = event.error();
    let missing = [
        Code::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
        Code::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_ID,
        Code::RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC,
        Code::RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION,
    ];
    if code == Code::RD_KAFKA_RESP_ERR__PARTITION_EOF {
        inbox.reached(event.offset(), now);
    } else if code == Code::RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET {
        inbox.fail(Failure::OutOfRange);
    } else if missing.contains(&code) {
        inbox.fail(Failure::Missing);
    } else if code == Code::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED {
        inbox.fail(Failure::Refused(words(code)));
    } else {
        // The client goes on by itself; if it does not, the watchdog will see it.
        tracing::warn!(partition = %inbox.partition(), error = words(code), reason = event.reason(), "fetch failed");
    }
}
