//! Against librdkafka's mock cluster. What it can't do (transactions with holes, deletion, restarts) is tested against
//! a real broker in the workspace's `tests`.
#![expect(clippy::unwrap_used, reason = "tests")]

use rdkafka::ClientConfig;
use rdkafka::bindings as sys;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use rdkafka::{Offset, TopicPartitionList};
use tokio::time::timeout;

use super::*;
use crate::batch::RawBatch;
use crate::source::{BatchLimits, Lag};

const BOUND: Duration = Duration::from_secs(30);
const ALL: BatchLimits = BatchLimits { max_messages: 1000, max_bytes: 1 << 30, linger: Duration::ZERO };

struct Cluster(MockCluster<'static, DefaultProducerContext>);

impl Cluster {
    fn new(topic: &str, partitions: i32) -> Self {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic(topic, partitions, 1).unwrap();
        Self(cluster)
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.0.bootstrap_servers());
        config
    }

    fn source(&self, prefetch_bytes: usize) -> KafkaSource {
        let settings = KafkaSettings {
            brokers: self.0.bootstrap_servers(),
            group: "engine".into(),
            properties: [("reconnect.backoff.max.ms".to_owned(), "200".to_owned())].into(),
            prefetch_bytes,
        };
        KafkaSource::new(&settings).unwrap()
    }

    /// Numbered messages of `size` bytes.
    fn produce(&self, topic: &str, partition: i32, numbers: std::ops::Range<i64>, size: usize) {
        let producer: BaseProducer = self.config().set("linger.ms", "5").create().unwrap();
        for number in numbers {
            let value = format!("{number:0size$}");
            while producer.send(BaseRecord::<(), _>::to(topic).partition(partition).payload(&value)).is_err() {
                producer.poll(Duration::from_millis(10)); // its queue is full
            }
        }
        producer.flush(BOUND).unwrap();
    }
}

async fn found(source: &KafkaSource, topic: &str, partitions: usize) -> Vec<Found> {
    let topics = [topic.to_owned()];
    timeout(BOUND, async {
        loop {
            let found = source.discover(&topics).await.unwrap();
            if found.len() >= partitions {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .unwrap()
}

async fn next(reader: &mut Box<dyn Reader>, limits: BatchLimits) -> RawBatch {
    timeout(BOUND, reader.next_batch(limits)).await.expect("a batch in time").unwrap().unwrap()
}

/// Reads up to an offset, and checks that ranges meet, and that numbers are those of the offsets.
async fn read_to(reader: &mut Box<dyn Reader>, from: i64, to: i64) {
    let mut position = from;
    while position < to {
        let batch = next(reader, ALL).await;
        assert_eq!(batch.range.start, position, "ranges meet");
        let offsets: Vec<i64> = batch.messages.iter().map(|message| message.offset).collect();
        assert_eq!(offsets, (position..batch.range.end).collect::<Vec<_>>());
        for message in &batch.messages {
            let number = std::str::from_utf8(message.value().unwrap()).unwrap();
            assert_eq!(number.parse::<i64>().unwrap(), message.offset);
        }
        position = batch.range.end;
    }
    assert_eq!(position, to);
}

/// Waits until `condition` holds.
async fn until(what: &str, condition: impl Fn() -> bool) {
    let waited = timeout(BOUND, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(waited.await.is_ok(), "in vain: {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_message_of_every_partition_arrives_once_in_order() {
    let cluster = Cluster::new("orders", 4);
    let source = cluster.source(64 << 20);
    let found = found(&source, "orders", 4).await;
    for (partition, found) in found.iter().enumerate() {
        cluster.produce("orders", found.partition.partition, 0..5000, 100);
        let mut reader = source.open(found, Start::Earliest).await.unwrap();
        read_to(&mut reader, 0, 5000).await;
        until(&format!("partition {partition} at its end"), || reader.lag() == Some(Lag { end: 5000, position: 5000 }))
            .await;
    }
    assert_eq!(source.pool.fetchers().len(), 0, "a client ends with its last reader");
    until("all bytes are given back", || source.held_bytes() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_readers_of_one_partition_have_positions_of_their_own() {
    let cluster = Cluster::new("orders", 1);
    cluster.produce("orders", 0, 0..3000, 10);
    let source = cluster.source(64 << 20);
    let found = found(&source, "orders", 1).await.remove(0);
    let mut one = source.open(&found, Start::Earliest).await.unwrap();
    let mut other = source.open(&found, Start::Offset(1000)).await.unwrap();
    let mut last = source.open(&found, Start::Latest).await.unwrap();
    read_to(&mut other, 1000, 3000).await;
    read_to(&mut one, 0, 3000).await;
    cluster.produce("orders", 0, 3000..3010, 10);
    read_to(&mut last, 3000, 3010).await;
    read_to(&mut one, 3000, 3010).await;
    assert_eq!(source.pool.fetchers().len(), 3);
    drop(one);
    // The free place is used, at another position.
    let mut again = source.open(&found, Start::Offset(5)).await.unwrap();
    read_to(&mut again, 5, 3010).await;
    assert!(source.pool.fetchers().len() <= 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_partitions_have_several_clients_and_thousands_no_more_than_eight() {
    let source = Cluster::new("orders", 1).source(64 << 20);
    let topic: Arc<str> = "orders".into();
    let place = |partition: i32| {
        let partition = TopicPartition { topic: topic.clone(), partition };
        let found = Found { partition, topic_id: "".into() };
        source.pool.place(&Inbox::new(found, source.pool.budget.clone())).unwrap()
    };
    let partitions = || source.pool.fetchers().iter().map(|fetcher| fetcher.partitions()).collect::<Vec<_>>();
    let mut readers: Vec<_> = (0..250).map(place).collect();
    assert_eq!(partitions(), [100, 100, 50]);
    readers.push(place(0));
    assert_eq!(partitions(), [100, 100, 51], "a second reader goes where there is room");
    readers.push(place(250));
    readers.push(place(0));
    assert_eq!(partitions(), [100, 100, 52, 1], "but the third is the first of its partition there");
    readers.extend((251..1600).map(place));
    assert_eq!(partitions().len(), 8);
    assert!(partitions().iter().all(|&count| count <= 201), "{:?}", partitions());
    drop(readers);
    assert_eq!(partitions(), [0; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_full_by_messages_by_bytes_or_by_age_and_survives_a_cancelled_call() {
    let cluster = Cluster::new("orders", 1);
    cluster.produce("orders", 0, 0..100, 100);
    let source = cluster.source(64 << 20);
    let found = found(&source, "orders", 1).await.remove(0);
    let mut reader = source.open(&found, Start::Earliest).await.unwrap();
    let hour = Duration::from_secs(3600);
    let seven = next(&mut reader, BatchLimits { max_messages: 7, max_bytes: 1 << 20, linger: hour }).await;
    assert_eq!((seven.messages.len(), seven.bytes), (7, 700));
    let five = next(&mut reader, BatchLimits { max_messages: 1000, max_bytes: 401, linger: hour }).await;
    assert_eq!((five.range.start, five.messages.len()), (7, 5), "the last message may go over");
    let patient = BatchLimits { max_messages: 1000, max_bytes: 1 << 20, linger: hour };
    assert!(timeout(Duration::from_millis(200), reader.next_batch(patient)).await.is_err(), "88 are not full");
    assert_eq!(reader.lag().unwrap().position, 12, "not given out");
    let rest = next(&mut reader, BatchLimits { linger: Duration::from_millis(1), ..patient }).await;
    assert_eq!((rest.range.start, rest.range.end, rest.messages.len()), (12, 100, 88));
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_in_memory_stay_below_the_budget_and_a_stalled_lane_does_not_stop_another() {
    let cluster = Cluster::new("orders", 2);
    for partition in 0..2 {
        cluster.produce("orders", partition, 0..4000, 1000); // 1.5 MB each with what a message costs beside
        cluster.produce("orders", partition, 4000..4010, 1000);
    }
    let source = cluster.source(2 << 20); // of which readers hold the half
    let limit = source.pool.budget.limit();
    let found = found(&source, "orders", 2).await;
    let mut stalled = source.open(&found[0], Start::Earliest).await.unwrap();
    let first = next(&mut stalled, BatchLimits { max_messages: 1, ..ALL }).await;
    until("the stalled one fills its share", || source.held_bytes() > limit / 3).await;
    let mut lively = source.open(&found[1], Start::Earliest).await.unwrap();
    let (mut position, mut most) = (0, 0);
    while position < 4010 {
        let batch = next(&mut lively, BatchLimits { max_messages: 100, ..ALL }).await;
        assert_eq!(batch.range.start, position);
        assert_eq!(batch.messages.len() as i64, batch.range.end - position);
        position = batch.range.end;
        most = most.max(source.held_bytes());
    }
    assert!(most <= limit, "{most} bytes held of {limit}");
    drop(first);
    read_to(&mut stalled, 1, 4010).await; // what was dropped at a full inbox came again, once
    drop((stalled, lively));
    until("all bytes are given back", || source.held_bytes() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_gone_is_trouble_and_no_error() {
    let cluster = Cluster::new("orders", 1);
    cluster.produce("orders", 0, 0..10, 10);
    let source = cluster.source(64 << 20);
    let found = found(&source, "orders", 1).await.remove(0);
    let mut reader = source.open(&found, Start::Earliest).await.unwrap();
    read_to(&mut reader, 0, 10).await;
    assert_eq!(reader.trouble(), None);
    cluster.0.broker_down(-1).unwrap();
    until("the trouble is seen", || reader.trouble().is_some()).await;
    assert!(timeout(Duration::from_millis(300), reader.next_batch(ALL)).await.is_err(), "waits");
    assert!(matches!(source.open(&found, Start::Earliest).await, Err(SourceError::Unavailable { .. })));
    cluster.0.broker_up(-1).unwrap();
    until("a quiet client sees that it is over", || reader.trouble().is_none()).await;
    cluster.produce("orders", 0, 10..20, 10);
    read_to(&mut reader, 10, 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_fails_for_good_is_replaced_and_no_message_is_lost() {
    let cluster = Cluster::new("orders", 2);
    let source = cluster.source(64 << 20);
    let found = found(&source, "orders", 2).await;
    let mut readers = Vec::new();
    for found in &found {
        cluster.produce("orders", found.partition.partition, 0..2000, 10);
        readers.push(source.open(found, Start::Earliest).await.unwrap());
    }
    let first = next(&mut readers[0], BatchLimits { max_messages: 500, ..ALL }).await;
    let broken = source.pool.fetchers()[0].client();
    // SAFETY: a valid client.
    unsafe {
        let code = sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID;
        sys::rd_kafka_test_fatal_error(broken.native(), code, c"planted".as_ptr());
    }
    until("a new client", || !Arc::ptr_eq(&broken, &source.pool.fetchers()[0].client())).await;
    cluster.produce("orders", 0, 2000..2100, 10);
    read_to(&mut readers[0], first.range.end, 2100).await;
    read_to(&mut readers[1], 0, 2000).await;
    drop(broken);
    assert_eq!(first.messages[0].value(), Some(&b"0000000000"[..]), "the old client lives as long as its messages");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_is_taken_up_anew_goes_on_where_it_was() {
    let cluster = Cluster::new("orders", 1);
    let source = cluster.source(64 << 20);
    let found = found(&source, "orders", 1).await.remove(0);
    let mut reader = source.open(&found, Start::Earliest).await.unwrap();
    for round in 0..20 {
        cluster.produce("orders", 0, round * 100..(round + 1) * 100, 10);
        let fetcher = source.pool.fetchers().remove(0);
        fetcher.inboxes().iter().for_each(|inbox| fetcher.restart(inbox)); // as the watchdog does
        read_to(&mut reader, round * 100, (round + 1) * 100).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_are_found_by_name_and_pattern_with_their_ids_also_later_ones() {
    let cluster = Cluster::new("shop.orders", 2);
    let source = cluster.source(64 << 20);
    let here = source.discover(&["shop.orders".into(), "not.there".into()]).await.unwrap();
    assert_eq!(here.len(), 2);
    assert!(!here[0].topic_id.is_empty() && here[0].topic_id == here[1].topic_id);
    let pattern = ["^shop\\.".to_owned()];
    assert_eq!(source.discover(&pattern).await.unwrap(), here);
    cluster.0.create_topic("shop.users", 1, 1).unwrap();
    until("the later topic", || {
        let found = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(source.discover(&pattern)).unwrap()
        });
        found.len() == 3 && found[2].partition.to_string() == "shop.users/0"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_topic_of_the_name_ends_the_reader() {
    let cluster = Cluster::new("orders", 1);
    cluster.produce("orders", 0, 0..10, 10);
    let source = cluster.source(64 << 20);
    let found = found(&source, "orders", 1).await.remove(0);
    let stale = Found { topic_id: "another-id".into(), ..found.clone() };
    let error = source.open(&stale, Start::Offset(3)).await.err().unwrap();
    assert!(matches!(error, SourceError::TopicReplaced { position: 3, .. }), "{error}");
    // The client learns the id with its first metadata: one that differs from the reader's is noticed there as well.
    let inbox = Inbox::new(stale, source.pool.budget.clone());
    let fetcher = source.pool.place(&inbox).unwrap();
    fetcher.open(&inbox);
    let mut reader = KafkaReader::new(inbox, fetcher, source.catalog.clone());
    let error = timeout(BOUND, reader.next_batch(ALL)).await.unwrap().unwrap_err();
    assert!(matches!(error, SourceError::TopicReplaced { position: 0, .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_failure_means_is_found_out_also_by_calls_that_wait_less_long_than_the_broker_takes() {
    let cluster = Cluster::new("orders", 1);
    cluster.produce("orders", 0, 0..10, 100);
    let source = cluster.source(64 << 20);
    let found = found(&source, "orders", 1).await.remove(0);
    let mut reader = source.open(&found, Start::Offset(1000)).await.unwrap();
    cluster.0.broker_round_trip_time(1, Duration::from_millis(200)).unwrap();
    let told = timeout(BOUND, async {
        loop {
            if let Ok(answer) = timeout(Duration::from_millis(50), reader.next_batch(ALL)).await {
                return answer;
            }
        }
    });
    let error = told.await.expect("an answer in time").unwrap_err();
    assert!(matches!(error, SourceError::OffsetAhead { wanted: 1000, end: 10, .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_are_mirrored_to_a_group_for_each_plugin() {
    let cluster = Cluster::new("orders", 1);
    let source = cluster.source(64 << 20);
    let partition = TopicPartition { topic: "orders".into(), partition: 0 };
    let committed = |group: &str| {
        let consumer: BaseConsumer = cluster.config().set("group.id", group).create().unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition("orders", 0);
        consumer.committed_offsets(list, BOUND).unwrap().elements()[0].offset()
    };
    source.mirror(&partition, "clean", 5);
    source.mirror(&partition, "clean", 7);
    source.mirror(&partition, "dedup", 3);
    until("the positions", || committed("engine-clean") == Offset::Offset(7)).await;
    until("the positions", || committed("engine-dedup") == Offset::Offset(3)).await;
    source.mirror(&partition, "clean", 9);
    drop(source);
    assert_eq!(committed("engine-clean"), Offset::Offset(9), "what is left is written at the end");
}
