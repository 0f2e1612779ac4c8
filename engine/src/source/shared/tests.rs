#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::batch::RawBatch;
use crate::input::{SelectBy, Selection};
use crate::random::Random;
use crate::simulation::{Chance, Process};
use crate::source::{BatchLimits, Claims, Filter, Lag, SimulatedSource, SimulatedTopics};

const BOUND: Duration = Duration::from_secs(3600);
const LIMITS: BatchLimits = BatchLimits { max_messages: 1000, max_bytes: 1 << 20, linger: Duration::from_millis(200) };

/// Counts what is read.
struct Counted {
    inner: SimulatedSource,
    messages: Arc<AtomicUsize>,
    readers: Arc<AtomicUsize>,
}

struct CountedReader {
    inner: Box<dyn Reader>,
    messages: Arc<AtomicUsize>,
}

impl Source for Counted {
    fn discover<'a>(&'a self, topics: &'a [String]) -> BoxFuture<'a, Result<Vec<Found>, SourceError>> {
        self.inner.discover(topics)
    }

    fn open<'a>(&'a self, found: &'a Found, start: Start) -> BoxFuture<'a, Result<Box<dyn Reader>, SourceError>> {
        async move {
            let (inner, messages) = (self.inner.open(found, start).await?, self.messages.clone());
            self.readers.fetch_add(1, Ordering::Relaxed);
            Ok(Box::new(CountedReader { inner, messages }) as Box<dyn Reader>)
        }
        .boxed()
    }

    fn bounds<'a>(&'a self, partition: &'a TopicPartition) -> BoxFuture<'a, Result<(i64, i64), SourceError>> {
        self.inner.bounds(partition)
    }

    fn at_time<'a>(&'a self, partition: &'a TopicPartition, time_ms: i64) -> BoxFuture<'a, Result<i64, SourceError>> {
        self.inner.at_time(partition, time_ms)
    }

    fn mirror(&self, _: &TopicPartition, _: &str, _: i64) {}
}

impl Reader for CountedReader {
    fn next_batch(&mut self, limits: BatchLimits) -> BoxFuture<'_, Result<Option<RawBatch>, SourceError>> {
        async move {
            let batch = self.inner.next_batch(limits).await?;
            self.messages.fetch_add(batch.as_ref().map_or(0, |batch| batch.messages.len()), Ordering::Relaxed);
            Ok(batch)
        }
        .boxed()
    }

    fn lag(&self) -> Option<Lag> {
        self.inner.lag()
    }
}

/// A topic of one partition that tenants share.
struct World {
    topics: SimulatedTopics,
    source: Arc<SharedSource>,
    budget: Arc<Budget>,
    found: Found,
    messages: Arc<AtomicUsize>,
    readers: Arc<AtomicUsize>,
}

fn part(tenant: &str) -> Part {
    Part::Selected(Selection { by: SelectBy::Column("tenant".to_owned()), value: tenant.to_owned() })
}

fn unclaimed(tenants: &[&str]) -> Part {
    let selections = tenants.iter().filter_map(|tenant| match part(tenant) {
        Part::Selected(selection) => Some(selection),
        Part::Whole | Part::Unclaimed(_) => None,
    });
    Part::Unclaimed(Arc::new(selections.map(|selection| (vec!["shop".to_owned()], selection)).collect::<Claims>()))
}

impl World {
    fn new(seed: u64, budget: usize) -> Self {
        let topics = SimulatedTopics::new(Chance::new(seed));
        topics.create("shop", 1);
        let found = topics.partitions().remove(0);
        let (messages, readers) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let inner = topics.open(Process::default());
        let counted = Counted { inner, messages: messages.clone(), readers: readers.clone() };
        let budget = Budget::new(budget);
        let source = Arc::new(SharedSource::new(Arc::new(counted), budget.clone(), None));
        Self { topics, source, budget, found, messages, readers }
    }

    fn produce(&self, tenant: &str, bytes: usize) -> i64 {
        let value = format!(r#"{{"id":1,"tenant":"{tenant}","text":"{}"}}"#, "x".repeat(bytes));
        self.topics.produce(&self.found.partition, None, Some(value.as_bytes()))
    }

    async fn follow(&self, part: &Part, start: Start) -> Box<dyn Reader> {
        self.source.follow(&self.found, start, part).await.unwrap()
    }

    /// The offsets of a part's messages, filtered one by one.
    fn of(&self, part: &Part) -> Vec<i64> {
        let mut filter = Filter::new(part.clone());
        let all = self.topics.messages(&self.found.partition);
        let messages =
            all.into_iter().map(|(offset, value)| crate::batch::Message::owned(offset, None, None, value, vec![]));
        messages.filter(|message| filter.holds(message)).map(|message| message.offset).collect()
    }
}

/// Reads until the partition's end, and checks that ranges meet.
async fn read_to(reader: &mut Box<dyn Reader>, from: i64, end: i64) -> (Vec<i64>, i64) {
    let (mut offsets, mut position) = (Vec::new(), from);
    while reader.lag().is_none_or(|lag| lag.position < end) {
        if let Ok(batch) = timeout(Duration::from_millis(100), reader.next_batch(LIMITS)).await {
            let batch = batch.unwrap().unwrap();
            assert_eq!(batch.range.start, position, "ranges meet");
            offsets.extend(batch.messages.iter().map(|message| message.offset));
            position = batch.range.end;
        }
    }
    (offsets, position)
}

#[tokio::test(start_paused = true)]
async fn a_partition_is_read_once_for_all_and_by_whom_each_message_is_for() {
    let world = World::new(1, 64 << 20);
    let tenants = ["a", "b", "c", "quiet"];
    for number in 0..3000 {
        world.produce(["a", "b", "a", "c", "stranger"][number % 5], 100);
    }
    let mut parts: Vec<Part> = tenants.map(part).to_vec();
    parts.push(unclaimed(&tenants));
    let mut readers = Vec::new();
    for part in &parts {
        readers.push(world.follow(part, Start::Earliest).await);
    }
    let mut reading = JoinSet::new();
    for (index, mut reader) in readers.into_iter().enumerate() {
        reading.spawn(async move { (index, read_to(&mut reader, 0, 3000).await) });
    }
    while let Some(read) = timeout(BOUND, reading.join_next()).await.unwrap() {
        let (index, (offsets, _)) = read.unwrap();
        assert_eq!(offsets, world.of(&parts[index]), "{:?}", parts[index]);
    }
    assert_eq!(world.messages.load(Ordering::Relaxed), 3000, "each message once");
    assert_eq!(world.readers.load(Ordering::Relaxed), 1);
    assert_eq!(world.budget.held(), 0, "everything is given back");
}

#[tokio::test(start_paused = true)]
async fn a_quiet_lane_is_given_its_position_now_and_then_and_is_at_the_end_all_the_while() {
    let world = World::new(2, 64 << 20);
    let mut quiet = world.follow(&part("quiet"), Start::Earliest).await;
    let (began, mut batches, mut position) = (Instant::now(), 0, 0);
    while began.elapsed() < Duration::from_secs(360) {
        world.produce("others", 10);
        if let Ok(batch) = timeout(Duration::from_millis(50), quiet.next_batch(LIMITS)).await {
            let batch = batch.unwrap().unwrap();
            assert!(batch.messages.is_empty());
            assert_eq!(batch.range.start, position);
            (batches, position) = (batches + 1, batch.range.end);
        }
        if began.elapsed() > Duration::from_secs(5) {
            let lag = quiet.lag().unwrap();
            assert!(lag.position >= lag.end, "nothing of its own is behind it: {lag:?}");
        }
    }
    assert!((5..=7).contains(&batches), "{batches} in six minutes");
    assert!(position > 500, "{position}");
}

#[tokio::test(start_paused = true)]
async fn who_does_not_take_its_messages_leaves_and_comes_back() {
    let world = World::new(3, 8 << 20);
    let mut stalled = world.follow(&part("stalled"), Start::Earliest).await;
    let mut lively = world.follow(&part("lively"), Start::Earliest).await;
    let first = loop {
        world.produce("stalled", 1000);
        if let Ok(batch) = timeout(Duration::from_millis(500), stalled.next_batch(LIMITS)).await {
            break batch.unwrap().unwrap();
        }
    };
    // Far more than the budget holds.
    let (mut last, mut position, mut read) = (0, 0, Vec::new());
    for _ in 0..20 {
        for _ in 0..1000 {
            world.produce("stalled", 1000);
            last = world.produce("lively", 1000);
        }
        let (offsets, now) = timeout(BOUND, read_to(&mut lively, position, last + 1)).await.unwrap();
        (position, read) = (now, [read, offsets].concat());
        assert!(world.budget.held() <= 10 << 20, "{} bytes held", world.budget.held());
    }
    assert_eq!(read, world.of(&part("lively")), "nobody waits for the stalled one");
    let held: Vec<i64> = first.messages.iter().map(|message| message.offset).collect();
    let rest = timeout(BOUND, read_to(&mut stalled, first.range.end, last + 1)).await.unwrap().0;
    assert_eq!([held, rest].concat(), world.of(&part("stalled")));
}

#[tokio::test(start_paused = true)]
async fn an_offset_behind_the_end_is_an_error_and_so_is_one_that_is_gone() {
    let world = World::new(4, 8 << 20);
    for _ in 0..100 {
        world.produce("a", 10);
    }
    world.topics.truncate(&world.found.partition, 50);
    let error = world.source.follow(&world.found, Start::Offset(101), &part("a")).await.err().unwrap();
    assert!(matches!(error, SourceError::OffsetAhead { wanted: 101, end: 100, .. }), "{error}");
    let mut gone = world.follow(&part("a"), Start::Offset(49)).await;
    let mut there = world.follow(&part("a"), Start::Offset(50)).await;
    let (gone, there) = tokio::join!(timeout(BOUND, gone.next_batch(LIMITS)), timeout(BOUND, there.next_batch(LIMITS)));
    let error = gone.unwrap().unwrap_err();
    assert!(matches!(error, SourceError::OffsetGone { wanted: 49, .. }), "{error}");
    assert_eq!(there.unwrap().unwrap().unwrap().range.start, 50, "who began at another offset goes on");
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_was_cut_short_is_noticed_by_all_that_were_further() {
    let world = World::new(5, 8 << 20);
    for number in 0..100 {
        world.produce(["a", "b"][number % 2], 10);
    }
    let mut readers =
        [world.follow(&part("a"), Start::Earliest).await, world.follow(&part("b"), Start::Earliest).await];
    for reader in &mut readers {
        read_to(reader, 0, 100).await;
    }
    world.topics.cut(&world.found.partition, 60);
    world.produce("a", 10);
    for reader in &mut readers {
        let error = timeout(BOUND, reader.next_batch(LIMITS)).await.unwrap().unwrap_err();
        assert!(matches!(error, SourceError::OffsetAhead { end: 61, .. }), "{error}");
    }
}

/// What a lane does, as chance has it: it takes batches, pauses, and is restarted where its last commit was.
async fn lane(world: Arc<World>, part: Part, seed: u64, end: Arc<Mutex<Option<i64>>>) -> Vec<i64> {
    let mut chance = Random::new(seed);
    sleep(Duration::from_millis(u64::from(chance.below(4) * chance.below(2000)))).await;
    let (mut read, mut position) = (Vec::new(), 0);
    loop {
        let start = if position == 0 { Start::Earliest } else { Start::Offset(position) };
        let Ok(mut reader) = world.source.follow(&world.found, start, &part).await else {
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        let limits = BatchLimits {
            max_messages: 1 + chance.below(500) as usize,
            linger: Duration::from_millis(u64::from(chance.below(3000))),
            ..LIMITS
        };
        loop {
            let at_end = end.lock().unwrap().is_some_and(|end| reader.lag().is_some_and(|lag| lag.position >= end));
            if at_end {
                return read;
            }
            let patience = Duration::from_millis(10 + u64::from(chance.below(200)));
            if let Ok(batch) = timeout(patience, reader.next_batch(limits)).await {
                let Ok(batch) = batch else { break };
                let batch = batch.unwrap();
                if chance.below(100) == 0 {
                    break; // it was not committed
                }
                assert_eq!(batch.range.start, position, "ranges meet");
                assert!(batch.range.end > position, "a batch brings the lane along");
                assert!(batch.messages.iter().all(|it| (position..batch.range.end).contains(&it.offset)));
                read.extend(batch.messages.iter().map(|message| message.offset));
                position = batch.range.end;
            }
            match chance.below(60) {
                0 => sleep(Duration::from_millis(u64::from(chance.below(20_000)))).await,
                1 => break,
                _ => {}
            }
        }
    }
}

/// What all lanes read of a topic, whatever stalls, falls behind and is restarted, is what a filter of each finds.
#[test]
fn lanes_together_read_what_each_would_alone() {
    let given = std::env::var("SEED").ok().map(|seed| seed.parse::<u64>().unwrap());
    let first = given.unwrap_or_else(|| RandomState::new().hash_one(7));
    for seed in (0..if given.is_some() { 1 } else { 8 }).map(|round| first.wrapping_add(round)) {
        println!("SEED={seed}");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async { timeout(BOUND * 24, chaos(seed)).await.expect("it comes to an end") });
    }
}

async fn chaos(seed: u64) {
    let mut chance = Random::new(seed);
    let budget = [100_000, 2 << 20, 64 << 20][chance.below(3) as usize];
    let world = Arc::new(World::new(seed, budget));
    world.topics.trouble(20);
    let names: Vec<String> = (0..2 + chance.below(8)).map(|number| format!("t{number}")).collect();
    let tenants: Vec<&str> = names.iter().map(String::as_str).collect();
    let end = Arc::new(Mutex::new(None));
    let mut lanes = JoinSet::new();
    let mut parts: BTreeMap<usize, Part> = BTreeMap::new();
    // Two plugins of the first tenant, one of each other, and what nobody claims.
    let all = tenants.iter().chain(tenants.first()).map(|tenant| part(tenant)).chain([unclaimed(&tenants)]);
    for (index, part) in all.enumerate() {
        parts.insert(index, part.clone());
        let (world, end, seed) = (world.clone(), end.clone(), seed.wrapping_mul(31).wrapping_add(index as u64));
        lanes.spawn(async move { (index, lane(world, part, seed, end).await) });
    }
    for _ in 0..200 {
        for _ in 0..chance.below(100) {
            // The first tenants have the most; one in ten is a stranger.
            let most = 1 + chance.below(u32::try_from(tenants.len()).unwrap());
            let tenant = tenants.get(chance.below(most) as usize);
            let stranger = chance.below(10) == 0;
            world.produce(tenant.filter(|_| !stranger).unwrap_or(&"stranger"), chance.below(2000) as usize);
        }
        if chance.below(10) == 0 {
            world.topics.hole(&world.found.partition, i64::from(chance.below(5)));
        }
        sleep(Duration::from_millis(u64::from(chance.below(300)))).await;
    }
    *end.lock().unwrap() = Some(world.topics.messages(&world.found.partition).last().unwrap().0 + 1);
    while let Some(read) = lanes.join_next().await {
        let (index, offsets) = read.unwrap();
        assert_eq!(offsets, world.of(&parts[&index]), "{:?}", parts[&index]);
    }
    assert_eq!(world.budget.held(), 0, "everything is given back");
}
