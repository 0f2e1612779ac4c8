//! The Kafka source against a real broker: what a mock can't show.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

use engine::batch::RawBatch;
use engine::offsets::TopicPartition;
use engine::source::{BatchLimits, Found, KafkaSettings, KafkaSource, Lag, Reader, Source, SourceError, Start};
use harness::kafka::Kafka;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::time::{sleep, timeout};

const BOUND: Duration = Duration::from_secs(60);
const MIB: usize = 1 << 20;
const LIMITS: BatchLimits =
    BatchLimits { max_messages: 10_000, max_bytes: 16 * MIB, linger: Duration::from_millis(20) };

/// One broker for all tests of this file. It dies with the process.
static BROKER: LazyLock<Mutex<Kafka>> = LazyLock::new(|| Mutex::new(Kafka::start()));
/// The tests take turns: one of them kills the broker.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

fn broker() -> String {
    BROKER.lock().unwrap().address()
}

fn client() -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker());
    config
}

fn admin() -> AdminClient<DefaultClientContext> {
    client().create().unwrap()
}

/// A name that no other run has used.
fn fresh(name: &str) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    format!("{name}-{}-{}", std::process::id(), now.as_nanos())
}

async fn create(topic: &str, partitions: i32, settings: &[(&str, &str)]) {
    let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    for (key, value) in settings {
        new = new.set(key, value);
    }
    admin().create_topics(&[new], &AdminOptions::new()).await.unwrap().remove(0).unwrap();
}

async fn delete(topic: &str) {
    admin().delete_topics(&[topic], &AdminOptions::new()).await.unwrap().remove(0).unwrap();
}

/// Sends numbered messages of `size` bytes to each partition.
fn produce(topic: &str, partitions: i32, numbers: std::ops::Range<i64>, size: usize) {
    let producer: BaseProducer =
        client().set("compression.type", "lz4").set("linger.ms", "20").set("batch.size", "262144").create().unwrap();
    for number in numbers {
        for partition in 0..partitions {
            send(&producer, topic, partition, None, &format!("{number:0>12}{}", filler(number, size)));
        }
    }
    producer.flush(BOUND).unwrap();
}

/// Text that compresses about as well as JSON does.
fn filler(number: i64, size: usize) -> String {
    let mut text = String::with_capacity(size);
    let mut state = number.unsigned_abs().wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    while text.len() + 12 < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        text.push_str(&format!("\"field\":\"{:06x}\",", state & 0xFF_FFFF));
    }
    text
}

fn send(producer: &BaseProducer, topic: &str, partition: i32, key: Option<&str>, value: &str) {
    loop {
        let mut record = BaseRecord::<str, str>::to(topic).partition(partition).payload(value);
        if let Some(key) = key {
            record = record.key(key);
        }
        if producer.send(record).is_ok() {
            break;
        }
        producer.poll(Duration::from_millis(5)); // its queue is full
    }
}

fn source(prefetch_bytes: usize) -> KafkaSource {
    let properties = BTreeMap::from([("reconnect.backoff.max.ms".to_owned(), "500".to_owned())]);
    let settings = KafkaSettings { brokers: broker(), group: "engine".into(), properties, prefetch_bytes };
    KafkaSource::new(&settings).unwrap()
}

async fn find(source: &KafkaSource, topic: &str, partitions: usize) -> Vec<Found> {
    let topics = [topic.to_owned()];
    let search = async {
        loop {
            let found = source.discover(&topics).await.unwrap();
            if found.len() >= partitions {
                return found;
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(BOUND, search).await.expect("the topic in time")
}

async fn next(reader: &mut Box<dyn Reader>) -> Result<RawBatch, SourceError> {
    timeout(BOUND, reader.next_batch(LIMITS)).await.expect("a batch in time").map(Option::unwrap)
}

/// Reads until the reader stands at its partition's end; gives offsets and values. Checks that ranges meet.
async fn read_all(reader: &mut Box<dyn Reader>, start: i64) -> Vec<(i64, String)> {
    let (mut position, mut messages) = (start, Vec::new());
    while reader.lag().is_none_or(|lag| lag.position != lag.end) {
        let Ok(batch) = timeout(Duration::from_millis(200), reader.next_batch(LIMITS)).await else { continue };
        let batch = batch.unwrap().unwrap();
        assert_eq!(batch.range.start, position, "ranges meet");
        position = batch.range.end;
        messages.extend(
            batch.messages.iter().map(|message| {
                (message.offset, String::from_utf8(message.value().unwrap_or_default().to_vec()).unwrap())
            }),
        );
    }
    messages
}

async fn failure(reader: &mut Box<dyn Reader>) -> SourceError {
    loop {
        match next(reader).await {
            Ok(_) => {}
            Err(error) => return error,
        }
    }
}

/// CPU time of this process, in seconds.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    ticks as f64 / 100.0
}

/// The most memory that this process has had, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_messages_arrive_once_in_order() {
    let _turn = TURN.lock().await;
    let topic = fresh("million");
    create(&topic, 4, &[]).await;
    produce(&topic, 4, 0..250_000, 1024);
    let source = source(128 * MIB);
    let found = find(&source, &topic, 4).await;
    let (before, begun) = (cpu_seconds(), Instant::now());
    let mut lanes = Vec::new();
    for found in found {
        let mut reader = source.open(&found, Start::Earliest).await.unwrap();
        lanes.push(tokio::spawn(async move {
            let mut position = 0;
            while position < 250_000 {
                let batch = next(&mut reader).await.unwrap();
                assert_eq!(batch.range.start, position);
                for (message, offset) in batch.messages.iter().zip(position..) {
                    assert_eq!(message.offset, offset);
                    let value = message.value().unwrap();
                    assert_eq!(std::str::from_utf8(&value[..12]).unwrap().parse::<i64>().unwrap(), offset);
                }
                position = batch.range.end;
                assert_eq!(batch.messages.last().unwrap().offset + 1, position);
            }
            position
        }));
    }
    let mut total = 0;
    for lane in lanes {
        total += timeout(BOUND, lane).await.unwrap().unwrap();
    }
    assert_eq!(total, 1_000_000);
    let (cpu, wall) = (cpu_seconds() - before, begun.elapsed());
    println!("fetch: {cpu:.2} µs of CPU per message, {:.0} messages/s", 1e6 / wall.as_secs_f64());
    delete(&topic).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn aborted_transactions_are_not_seen_and_their_holes_stop_nothing() {
    let _turn = TURN.lock().await;
    let topic = fresh("transactions");
    create(&topic, 1, &[]).await;
    let producer: BaseProducer = client().set("transactional.id", &topic).create().unwrap();
    producer.init_transactions(BOUND).unwrap();
    for round in 0..10 {
        producer.begin_transaction().unwrap();
        for number in 0..10 {
            send(&producer, &topic, 0, None, &format!("{round}-{number}"));
        }
        producer.flush(BOUND).unwrap();
        if round % 2 == 0 {
            producer.commit_transaction(BOUND).unwrap();
        } else {
            producer.abort_transaction(BOUND).unwrap();
        }
    }
    let source = source(64 * MIB);
    let found = find(&source, &topic, 1).await.remove(0);
    let mut reader = source.open(&found, Start::Earliest).await.unwrap();
    let messages = read_all(&mut reader, 0).await;
    // Each round takes 11 offsets: ten messages and a control record.
    let expected: Vec<_> = (0..10)
        .filter(|round| round % 2 == 0)
        .flat_map(|round| (0..10).map(move |number| (round * 11 + number, format!("{round}-{number}"))))
        .collect();
    assert_eq!(messages, expected);
    assert_eq!(reader.lag(), Some(Lag { end: 110, position: 110 }), "holes at the end are behind it");
    // An open transaction holds the end back.
    producer.begin_transaction().unwrap();
    send(&producer, &topic, 0, None, "open");
    producer.flush(BOUND).unwrap();
    assert!(timeout(Duration::from_secs(1), reader.next_batch(LIMITS)).await.is_err());
    producer.commit_transaction(BOUND).unwrap();
    let batch = next(&mut reader).await.unwrap();
    assert_eq!((batch.range.start, batch.range.end), (89 + 9, 111), "from the last message on, holes included");
    delete(&topic).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compacted_topic_is_read_over_its_holes_from_wherever_it_begins() {
    let _turn = TURN.lock().await;
    let topic = fresh("compacted");
    let settings = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "100"),
        ("segment.bytes", "1048576"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("max.compaction.lag.ms", "100"),
        ("delete.retention.ms", "100"),
    ];
    create(&topic, 1, &settings).await;
    let producer: BaseProducer = client().create().unwrap();
    let source = source(64 * MIB);
    let found = find(&source, &topic, 1).await.remove(0);
    send(&producer, &topic, 0, Some("once"), "it stays where it is");
    let compacted = async {
        for round in 0_i64.. {
            for key in 0..10 {
                send(&producer, &topic, 0, Some(&key.to_string()), &format!("{round}"));
            }
            producer.flush(BOUND).unwrap();
            let mut reader = source.open(&found, Start::Earliest).await.unwrap();
            let messages = read_all(&mut reader, 0).await;
            let written = 1 + (round + 1) * 10;
            assert!(messages.windows(2).all(|pair| pair[0].0 < pair[1].0));
            assert_eq!(messages.last().unwrap().0, written - 1);
            if (messages.len() as i64) < written - 20 {
                return messages;
            }
            sleep(Duration::from_millis(500)).await;
        }
        unreachable!()
    };
    let messages = timeout(2 * BOUND, compacted).await.expect("compaction in time");
    let hole = messages.windows(2).find(|pair| pair[1].0 - pair[0].0 > 1).expect("a hole");
    let mut reader = source.open(&found, Start::Offset(hole[0].0 + 1)).await.unwrap();
    let batch = next(&mut reader).await.unwrap();
    assert_eq!(batch.range.start, hole[0].0 + 1, "the range answers for the hole");
    assert!(batch.messages[0].offset >= hole[1].0, "the broker may have made the hole larger since");
    delete(&topic).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_begins_at_an_offset_at_the_beginning_or_at_the_end() {
    let _turn = TURN.lock().await;
    let topic = fresh("starts");
    create(&topic, 1, &[]).await;
    produce(&topic, 1, 0..100, 20);
    let source = source(64 * MIB);
    let found = find(&source, &topic, 1).await.remove(0);
    for (start, first) in [(Start::Earliest, 0), (Start::Offset(40), 40)] {
        let mut reader = source.open(&found, start).await.unwrap();
        let messages = read_all(&mut reader, first).await;
        assert_eq!((messages[0].0, messages.len() as i64), (first, 100 - first));
    }
    let mut reader = source.open(&found, Start::Latest).await.unwrap();
    let mut end = source.open(&found, Start::Offset(100)).await.unwrap();
    produce(&topic, 1, 100..101, 20);
    assert_eq!(next(&mut reader).await.unwrap().range.start, 100);
    assert_eq!(next(&mut end).await.unwrap().range.start, 100);
    let mut ahead = source.open(&found, Start::Offset(5000)).await.unwrap();
    let error = failure(&mut ahead).await;
    assert!(matches!(error, SourceError::OffsetAhead { wanted: 5000, end: 101, .. }), "{error}");
    delete(&topic).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_deleted_before_they_were_read_are_an_error_with_the_range() {
    let _turn = TURN.lock().await;
    let topic = fresh("deleted-records");
    create(&topic, 1, &[]).await;
    produce(&topic, 1, 0..100, 20);
    let source = source(64 * MIB);
    let found = find(&source, &topic, 1).await.remove(0);
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&topic, 0, Offset::Offset(60)).unwrap();
    admin().delete_records(&list, &AdminOptions::new()).await.unwrap();
    let mut reader = source.open(&found, Start::Offset(10)).await.unwrap();
    for _ in 0..2 {
        let error = failure(&mut reader).await;
        let SourceError::OffsetGone { wanted, earliest, end, lost, .. } = error else { panic!("{error}") };
        assert_eq!((wanted, earliest, end, lost), (10, 60, 100, 50));
    }
    let mut reader = source.open(&found, Start::Earliest).await.unwrap();
    assert_eq!(next(&mut reader).await.unwrap().range.start, 60);
    delete(&topic).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_partitions_are_found() {
    let _turn = TURN.lock().await;
    let topic = fresh("growing");
    create(&topic, 1, &[]).await;
    let source = source(64 * MIB);
    let one = find(&source, &topic, 1).await;
    admin().create_partitions(&[NewPartitions::new(&topic, 3)], &AdminOptions::new()).await.unwrap().remove(0).unwrap();
    let three = find(&source, &topic, 3).await;
    assert_eq!(three[0], one[0]);
    assert_eq!(three[0].topic_id.len(), 22, "base64 of 16 bytes");
    assert_eq!(three[2].partition, TopicPartition { topic: topic.as_str().into(), partition: 2 });
    produce(&topic, 3, 0..10, 20);
    let mut reader = source.open(&three[2], Start::Earliest).await.unwrap();
    assert_eq!(read_all(&mut reader, 0).await.len(), 10);
    delete(&topic).await;
}

/// The new topic is longer than the old reader's position when the reader meets it: nothing but the id tells them apart.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_deleted_and_created_again_ends_its_readers_and_gives_them_none_of_its_messages() {
    let _turn = TURN.lock().await;
    for round in 0..3 {
        let topic = fresh("replaced");
        create(&topic, 1, &[]).await;
        produce(&topic, 1, 0..10, 20);
        let source = source(64 * MIB);
        let old = find(&source, &topic, 1).await.remove(0);
        let mut reader = source.open(&old, Start::Earliest).await.unwrap();
        assert_eq!(read_all(&mut reader, 0).await.len(), 10);
        delete(&topic).await;
        let again = async {
            while admin()
                .create_topics(&[NewTopic::new(&topic, 1, TopicReplication::Fixed(1))], &AdminOptions::new())
                .await
                .unwrap()
                .remove(0)
                .is_err()
            {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(BOUND, again).await.unwrap();
        produce(&topic, 1, 0..1000, 20);
        let error = failure_without_messages(&mut reader).await;
        let SourceError::TopicReplaced { had, now, position, .. } = error else { panic!("{error}") };
        assert_eq!((&had, position), (&old.topic_id, 10), "round {round}");
        assert!(now != *had);
        let error = source.open(&old, Start::Offset(10)).await.err().unwrap();
        assert!(matches!(error, SourceError::TopicReplaced { position: 10, .. }), "{error}");
        sleep(Duration::from_millis(1100)).await; // the age of a list of partitions
        let new = find(&source, &topic, 1).await.remove(0);
        assert_ne!(new.topic_id, old.topic_id);
        drop(reader);
        let mut reader = source.open(&new, Start::Earliest).await.unwrap();
        assert_eq!(read_all(&mut reader, 0).await.len(), 1000);
        delete(&topic).await;
    }
}

async fn failure_without_messages(reader: &mut Box<dyn Reader>) -> SourceError {
    match next(reader).await {
        Err(error) => error,
        Ok(batch) => panic!("messages of another topic: {}", batch.range),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_topic_ends_its_readers() {
    let _turn = TURN.lock().await;
    let topic = fresh("deleted");
    create(&topic, 1, &[]).await;
    produce(&topic, 1, 0..10, 20);
    let source = source(64 * MIB);
    let found = find(&source, &topic, 1).await.remove(0);
    let mut reader = source.open(&found, Start::Earliest).await.unwrap();
    assert_eq!(read_all(&mut reader, 0).await.len(), 10);
    delete(&topic).await;
    let error = failure(&mut reader).await;
    assert!(matches!(&error, SourceError::TopicReplaced { now, position: 10, .. } if now.is_empty()), "{error}");
    assert!(source.discover(&[topic]).await.unwrap().is_empty(), "a topic that is not there is no error");
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_readers_hold_no_more_than_the_budget_and_lose_nothing() {
    let _turn = TURN.lock().await;
    let topic = fresh("slow");
    create(&topic, 8, &[]).await;
    produce(&topic, 8, 0..20_000, 1024);
    let budget = 32 * MIB;
    let before = resident();
    let source = source(budget);
    let mut readers = Vec::new();
    for found in find(&source, &topic, 8).await {
        readers.push((source.open(&found, Start::Earliest).await.unwrap(), 0_i64));
    }
    let (mut most, mut memory) = (0, 0);
    let small = BatchLimits { max_messages: 500, ..LIMITS };
    for step in 0.. {
        if readers.iter().all(|(_, position)| *position == 20_000) {
            break;
        }
        for (reader, position) in readers.iter_mut().filter(|(_, position)| *position < 20_000) {
            let batch = timeout(BOUND, reader.next_batch(small)).await.unwrap().unwrap().unwrap();
            assert_eq!(batch.range.start, *position);
            assert_eq!(batch.messages.len() as i64, batch.range.end - *position);
            *position = batch.range.end;
            most = most.max(source.held_bytes());
        }
        if step % 4 == 0 {
            sleep(Duration::from_millis(20)).await; // slow on purpose, not for a result
            memory = memory.max(resident());
        }
    }
    println!("held at most {} KiB; memory grew by {} KiB", most / 1024, memory.saturating_sub(before) / 1024);
    assert!(most > budget / 8, "the budget was used");
    assert!(most <= budget / 2, "{most} bytes held");
    assert!(memory.saturating_sub(before) < 3 * budget, "grew by {} bytes", memory - before);
    delete(&topic).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_killed_and_started_again_costs_no_message() {
    let _turn = TURN.lock().await;
    let topic = fresh("killed");
    create(&topic, 2, &[("flush.messages", "1")]).await; // acknowledged means on disk: kill -9 must not lose it
    produce(&topic, 2, 0..2000, 500);
    let source = source(64 * MIB);
    let found = find(&source, &topic, 2).await;
    let mut readers = Vec::new();
    for found in &found {
        readers.push(source.open(found, Start::Earliest).await.unwrap());
    }
    let first = next(&mut readers[0]).await.unwrap();
    BROKER.lock().unwrap().kill();
    let seen = async {
        while readers[0].trouble().is_none() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(BOUND, seen).await.expect("the trouble is seen");
    BROKER.lock().unwrap().restart();
    let admin_is_back = async { while source.discover(std::slice::from_ref(&topic)).await.is_err() {} };
    timeout(BOUND, admin_is_back).await.unwrap();
    produce(&topic, 2, 2000..3000, 500);
    for (reader, start) in readers.iter_mut().zip([first.range.end, 0]) {
        let mut position = start;
        while position < 3000 {
            let batch = next(reader).await.unwrap();
            assert_eq!(batch.range.start, position);
            assert_eq!(batch.messages.len() as i64, batch.range.end - position, "each once");
            position = batch.range.end;
        }
    }
    assert!(readers.iter().all(|reader| reader.trouble().is_none()));
    delete(&topic).await;
}
