#![expect(clippy::unwrap_used, reason = "tests")]

use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::*;
use crate::demo::Random;

const TIMEOUT: Duration = Duration::from_secs(20);

fn consumer(broker: &Broker) -> BaseConsumer {
    let group = "broker-test";
    ClientConfig::new().set("bootstrap.servers", broker.addresses()).set("group.id", group).create().unwrap()
}

/// Sends so many of the largest messages, none of which can be compressed.
fn fill(broker: &Broker, messages: i64, random: &mut Random) {
    for _ in 0..messages {
        let value: Vec<u8> = (0..MAX_MESSAGE_BYTES.div_ceil(8)).flat_map(|_| random.bits().to_le_bytes()).collect();
        broker.send("t", 0, b"", Some(&value[..MAX_MESSAGE_BYTES])).unwrap();
    }
    broker.flush().unwrap();
}

#[test]
fn messages_lie_in_order_and_their_count_is_the_next_offset() {
    let broker = Broker::start(&[("t", 2)]).unwrap();
    for n in 0..1_000_u32 {
        let value = n.to_string();
        broker.send("t", 1, b"key", (n % 10 != 0).then_some(value.as_bytes())).unwrap();
    }
    broker.flush().unwrap();
    let consumer = consumer(&broker);
    assert_eq!(consumer.fetch_watermarks("t", 0, TIMEOUT).unwrap(), (0, 0));
    assert_eq!(consumer.fetch_watermarks("t", 1, TIMEOUT).unwrap(), (0, 1_000));

    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset("t", 1, Offset::Beginning).unwrap();
    consumer.assign(&assignment).unwrap();
    for n in 0..1_000_u32 {
        let message = consumer.poll(TIMEOUT).unwrap().unwrap();
        assert_eq!(message.offset(), i64::from(n));
        let value = message.payload().map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
        assert_eq!(value, (n % 10 != 0).then(|| n.to_string()));
    }
}

#[test]
fn what_may_be_in_flight_is_less_than_the_cluster_forgets() {
    let broker = Broker::start(&[("t", 1)]).unwrap();
    let consumer = consumer(&broker);
    let mut random = Random::new(1);
    fill(&broker, IN_FLIGHT, &mut random);
    assert_eq!(consumer.fetch_watermarks("t", 0, TIMEOUT).unwrap(), (0, IN_FLIGHT), "nothing may be forgotten");
    fill(&broker, IN_FLIGHT, &mut random);
    let (low, _) = consumer.fetch_watermarks("t", 0, TIMEOUT).unwrap();
    assert!(low > 0, "the cluster keeps more than is known of it: IN_FLIGHT may be raised");
}
