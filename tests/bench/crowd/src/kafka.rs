//! Topics and messages.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, ThreadedProducer};

use crate::{Failure, pause};

pub(crate) type Many = ThreadedProducer<DefaultProducerContext>;

/// Topics that are made with one request.
const AT_ONCE: usize = 50;

pub(crate) fn create(kafka: &str, topics: &[String], partitions: i32) -> Result<(), Failure> {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new().set("bootstrap.servers", kafka).create()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let options = AdminOptions::new().request_timeout(Some(Duration::from_secs(120)));
    for some in topics.chunks(AT_ONCE) {
        let new = some
            .iter()
            .map(|topic| NewTopic::new(topic, partitions, TopicReplication::Fixed(1)).set("retention.ms", "-1"));
        let new: Vec<_> = new.collect();
        for result in runtime.block_on(admin.create_topics(&new, &options))? {
            result.map_err(|(name, code)| format!("topic {name}: {code}"))?;
        }
    }
    Ok(())
}

pub(crate) fn delete(kafka: &str, topics: &[String]) -> Result<(), Failure> {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new().set("bootstrap.servers", kafka).create()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for some in topics.chunks(AT_ONCE) {
        let names: Vec<&str> = some.iter().map(String::as_str).collect();
        runtime.block_on(admin.delete_topics(&names, &AdminOptions::new()))?;
    }
    Ok(())
}

pub(crate) fn producer(kafka: &str) -> Result<Many, Failure> {
    let producer = ClientConfig::new()
        .set("bootstrap.servers", kafka)
        .set("compression.type", "lz4")
        .set("linger.ms", "5")
        .set("enable.idempotence", "true") // in order, each once
        .create()?;
    Ok(producer)
}

/// Sends order `n` of a tenant.
pub(crate) fn send(producer: &Many, topic: &str, partition: i32, tenant: &str, n: u64) -> Result<(), Failure> {
    const STATUSES: [&str; 4] = ["PENDING", "Confirmed", "SHIPPED", "delivered"];
    let (key, status) = (format!("{{\"id\":{n}}}"), STATUSES[usize::try_from(n % 4)?]);
    let value = format!(
        "{{\"before\":null,\"after\":{{\"id\":{n},\"tenant\":\"{tenant}\",\"amount\":{},\"status\":\"{status}\",\
         \"email\":\"Ada.{}@Example.org\"}},\
         \"source\":{{\"version\":\"3.7.0.Final\",\"connector\":\"postgresql\",\"name\":\"shop\",\"ts_ms\":1767225600000,\
         \"snapshot\":\"false\",\"db\":\"shop\",\"schema\":\"public\",\"table\":\"orders\",\"lsn\":{n}}},\"op\":\"c\",\
         \"ts_ms\":1767225600005}}",
        n.wrapping_mul(7_919) % 100_000,
        n % 9_973,
    );
    let mut record = BaseRecord::to(topic).partition(partition).key(&key).payload(&value);
    while let Err((error, back)) = producer.send(record) {
        if !matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)) {
            return Err(error.into());
        }
        pause(Duration::from_millis(1));
        record = back;
    }
    Ok(())
}
