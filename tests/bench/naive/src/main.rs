//! The consumer that one would write by hand for one topic: `StreamConsumer`, serde structs, RowBinary inserts.
//!
//! It does what the `orders` plugin does with the same messages, and it is no straw man: borrowed strings, no
//! compression on loopback, blocks of 100,000 rows. What it leaves out is what an engine is for: it commits
//! offsets after an insert, so a crash repeats rows; it knows one table; it counts bad messages and forgets them.
//!
//! Reads the topic from its beginning to its present end, and prints `{"messages":…,"rows":…,"bad":…}`.

use std::borrow::Cow;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use clap::Parser;
use clickhouse::{Client, Compression, Row};
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, Message};
use serde::{Deserialize, Serialize};

const BLOCK_ROWS: u64 = 100_000;
const STATUSES: [&str; 5] = ["PENDING", "CONFIRMED", "SHIPPED", "DELIVERED", "CANCELLED"];

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Parser)]
struct Options {
    /// Bootstrap servers.
    #[arg(long)]
    kafka: String,
    /// The topic, read whole.
    #[arg(long)]
    topic: String,
    /// URL of ClickHouse's HTTP interface.
    #[arg(long)]
    clickhouse: String,
    /// Database of the table `naive_orders`; both are created.
    #[arg(long)]
    database: String,
}

/// With an embedded schema the envelope is under `payload`, without one it is the message.
#[derive(Deserialize)]
struct WithSchema<'a> {
    #[serde(borrow)]
    payload: Envelope<'a>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    before: Option<Order<'a>>,
    #[serde(borrow)]
    after: Option<Order<'a>>,
    #[serde(borrow)]
    op: Cow<'a, str>,
    source: Source,
}

#[derive(Deserialize)]
struct Source {
    ts_ms: i64,
}

#[derive(Deserialize)]
struct Order<'a> {
    id: i32,
    #[serde(borrow)]
    order_number: Cow<'a, str>,
    order_date: i32,
    order_time: Option<i64>,
    purchaser: i32,
    quantity: i32,
    product_id: i32,
    #[serde(borrow)]
    unit_price: Cow<'a, str>,
    #[serde(borrow)]
    total_amount: Option<Cow<'a, str>>,
    #[serde(borrow)]
    status: Option<Cow<'a, str>>,
    created_at: Option<i64>,
    updated_at: Option<i64>,
}

/// A row of the table, in the order of its columns.
#[derive(Row, Serialize)]
struct Silver<'a> {
    id: i32,
    order_number: &'a str,
    order_date: i32,
    order_time: Option<i64>,
    purchaser: i32,
    quantity: i32,
    product_id: i32,
    unit_price: i64,
    total_amount: i64,
    status: &'a str,
    created_at: Option<i64>,
    updated_at: Option<i64>,
    _op: &'a str,
    _deleted: u8,
    _version: u64,
    _source_ts: i64,
    _partition: i32,
    _offset: i64,
}

const TABLE: &str = "CREATE TABLE IF NOT EXISTS naive_orders (
    id Int32, order_number String, order_date Date32, order_time Nullable(DateTime64(6, 'UTC')),
    purchaser Int32, quantity Int32, product_id Int32, unit_price Decimal(10, 2), total_amount Decimal(12, 2),
    status LowCardinality(String), created_at Nullable(DateTime64(6, 'UTC')), updated_at Nullable(DateTime64(6, 'UTC')),
    _op LowCardinality(String), _deleted UInt8, _version UInt64, _source_ts DateTime64(3, 'UTC'),
    _partition Int32, _offset Int64
) ENGINE = ReplacingMergeTree(_version, _deleted) ORDER BY id";

#[derive(Default)]
struct Counts {
    messages: u64,
    rows: u64,
    bad: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let options = Options::parse();
    let clickhouse = prepare(&options).await?;
    let consumer: StreamConsumer = ClientConfig::new()
        .set("bootstrap.servers", &options.kafka)
        .set("group.id", format!("naive-{}", std::process::id()))
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .create()?;
    let partitions = partitions(&consumer, &options.topic)?;
    consumer.subscribe(&[&options.topic])?;
    let counts = consume(&consumer, partitions, &clickhouse).await?;
    println!("{{\"messages\":{},\"rows\":{},\"bad\":{}}}", counts.messages, counts.rows, counts.bad);
    Ok(())
}

async fn prepare(options: &Options) -> Result<Client, Failure> {
    // RowBinary without names and types: the cheapest that the crate has.
    let client = Client::default()
        .with_url(&options.clickhouse)
        .with_compression(Compression::None)
        .with_validation(false)
        .with_setting("async_insert", "0");
    client.query(&format!("CREATE DATABASE IF NOT EXISTS `{}` ENGINE = Atomic", options.database)).execute().await?;
    let client = client.with_database(&options.database);
    client.query(TABLE).execute().await?;
    Ok(client)
}

fn partitions(consumer: &StreamConsumer, topic: &str) -> Result<usize, Failure> {
    let metadata = consumer.fetch_metadata(Some(topic), std::time::Duration::from_secs(10))?;
    Ok(metadata.topics().iter().map(|topic| topic.partitions().len()).sum())
}

async fn consume(consumer: &StreamConsumer, partitions: usize, clickhouse: &Client) -> Result<Counts, Failure> {
    let mut counts = Counts::default();
    let mut ended = 0;
    while ended < partitions {
        let mut insert = clickhouse.insert::<Silver<'_>>("naive_orders").await?;
        let mut rows = 0;
        while rows < BLOCK_ROWS && ended < partitions {
            let message = match consumer.recv().await {
                Ok(message) => message,
                Err(KafkaError::PartitionEOF(_)) => {
                    ended += 1;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            counts.messages += 1;
            let Some(payload) = message.payload() else { continue };
            match parse(payload) {
                Some((envelope, order)) if is_good(&order) => {
                    let Some(silver) = clean(&envelope, &order, message.partition(), message.offset()) else {
                        counts.bad += 1;
                        continue;
                    };
                    insert.write(&silver).await?;
                    rows += 1;
                }
                _ => counts.bad += 1,
            }
        }
        if rows > 0 {
            insert.end().await?;
            consumer.commit_consumer_state(CommitMode::Async)?;
        }
        counts.rows += rows;
    }
    Ok(counts)
}

/// The envelope, and the row that it is about: `after`, or `before` for a delete.
fn parse(payload: &[u8]) -> Option<(Envelope<'_>, Order<'_>)> {
    let text = std::str::from_utf8(payload).ok()?;
    let mut envelope = if text.starts_with("{\"schema\":") {
        serde_json::from_str::<WithSchema<'_>>(text).ok()?.payload
    } else {
        serde_json::from_str::<Envelope<'_>>(text).ok()?
    };
    let order = envelope.after.take().or_else(|| envelope.before.take())?;
    Some((envelope, order))
}

fn is_good(order: &Order<'_>) -> bool {
    order.quantity > 0
}

fn clean<'a>(envelope: &'a Envelope<'_>, order: &'a Order<'_>, partition: i32, offset: i64) -> Option<Silver<'a>> {
    let status = order.status.as_deref().unwrap_or("PENDING").trim();
    let status = STATUSES.into_iter().find(|known| status.eq_ignore_ascii_case(known))?;
    let unit_price = decimal(&order.unit_price)?;
    let total_amount = match &order.total_amount {
        Some(text) => decimal(text)?,
        None => unit_price * i64::from(order.quantity),
    };
    Some(Silver {
        id: order.id,
        order_number: order.order_number.trim(),
        order_date: order.order_date,
        order_time: order.order_time,
        purchaser: order.purchaser,
        quantity: order.quantity,
        product_id: order.product_id,
        unit_price,
        total_amount,
        status,
        created_at: order.created_at,
        updated_at: order.updated_at,
        _op: &envelope.op,
        _deleted: u8::from(envelope.op == "d"),
        _version: offset.cast_unsigned(),
        _source_ts: envelope.source.ts_ms,
        _partition: partition,
        _offset: offset,
    })
}

/// Base64 of a big-endian two's complement number of up to 8 bytes.
fn decimal(text: &str) -> Option<i64> {
    let mut bytes = [0; 9];
    let length = BASE64_STANDARD.decode_slice(text, &mut bytes).ok()?;
    let bytes = bytes.get(..length).filter(|bytes| (1..=8).contains(&bytes.len()))?;
    let sign = if bytes[0] & 0x80 == 0 { 0 } else { -1 };
    Some(bytes.iter().fold(sign, |value, byte| value << 8 | i64::from(*byte)))
}
