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
    /// Also write each change to `naive_orders_final`, as the plugin does.
    #[arg(long)]
    history: bool,
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
    order_number: Option<Cow<'a, str>>,
    order_date: i32,
    order_time: Option<i64>,
    purchaser: i32,
    quantity: i32,
    product_id: i32,
    #[serde(borrow)]
    unit_price: Option<Cow<'a, str>>,
    #[serde(borrow)]
    total_amount: Option<Cow<'a, str>>,
    #[serde(borrow)]
    status: Option<Cow<'a, str>>,
    created_at: Option<i64>,
    updated_at: Option<i64>,
}

/// A row of `naive_orders`, in the order of its columns.
#[derive(Row, Serialize)]
struct Silver<'a> {
    id: i32,
    order_number: Option<&'a str>,
    order_date: i32,
    order_time: Option<i64>,
    purchaser: i32,
    quantity: i32,
    product_id: i32,
    unit_price: Option<i64>,
    total_amount: Option<i64>,
    status: Option<&'a str>,
    created_at: Option<i64>,
    updated_at: Option<i64>,
    _op: &'a str,
    _deleted: u8,
    _version: u64,
    _source_ts: i64,
    _partition: i32,
    _offset: i64,
}

/// A row of `naive_orders_final`: the same, and what was done in two more forms.
#[derive(Row, Serialize)]
struct Historic<'a> {
    id: i32,
    order_number: Option<&'a str>,
    order_date: i32,
    order_time: Option<i64>,
    purchaser: i32,
    quantity: i32,
    product_id: i32,
    unit_price: Option<i64>,
    total_amount: Option<i64>,
    status: Option<&'a str>,
    created_at: Option<i64>,
    updated_at: Option<i64>,
    operation: &'a str,
    operation_name: &'a str,
    _op: &'a str,
    _deleted: u8,
    _version: u64,
    _source_ts: i64,
    _partition: i32,
    _offset: i64,
}

const OWN_COLUMNS: &str = "id Int32, order_number Nullable(String), order_date Date32,
    order_time Nullable(DateTime64(6, 'UTC')), purchaser Int32, quantity Int32, product_id Int32,
    unit_price Nullable(Decimal(10, 2)), total_amount Nullable(Decimal(12, 2)),
    status LowCardinality(Nullable(String)), created_at Nullable(DateTime64(6, 'UTC')),
    updated_at Nullable(DateTime64(6, 'UTC'))";
const CHANGE_COLUMNS: &str = "_op LowCardinality(String), _deleted UInt8, _version UInt64,
    _source_ts DateTime64(3, 'UTC'), _partition Int32, _offset Int64";

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
    let counts = consume(&consumer, partitions, &clickhouse, options.history).await?;
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
    let current = format!(
        "CREATE TABLE naive_orders ({OWN_COLUMNS}, {CHANGE_COLUMNS}) \
         ENGINE = ReplacingMergeTree(_version, _deleted) ORDER BY id"
    );
    let history = format!(
        "CREATE TABLE naive_orders_final ({OWN_COLUMNS}, operation LowCardinality(String), \
         operation_name LowCardinality(String), {CHANGE_COLUMNS}) \
         ENGINE = MergeTree PARTITION BY toYYYYMM(order_date) ORDER BY (order_date, id)"
    );
    client.query(&current).execute().await?;
    client.query(&history).execute().await?;
    Ok(client)
}

fn partitions(consumer: &StreamConsumer, topic: &str) -> Result<usize, Failure> {
    let metadata = consumer.fetch_metadata(Some(topic), std::time::Duration::from_secs(10))?;
    Ok(metadata.topics().iter().map(|topic| topic.partitions().len()).sum())
}

async fn consume(
    consumer: &StreamConsumer,
    partitions: usize,
    clickhouse: &Client,
    history: bool,
) -> Result<Counts, Failure> {
    let mut counts = Counts::default();
    let mut ended = 0;
    while ended < partitions {
        let mut current = clickhouse.insert::<Silver<'_>>("naive_orders").await?;
        let mut changes =
            if history { Some(clickhouse.insert::<Historic<'_>>("naive_orders_final").await?) } else { None };
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
            let parsed = parse(payload);
            let clean = |(envelope, order)| clean(envelope, order, message.partition(), message.offset());
            let Some(silver) = parsed.as_ref().map(|(envelope, order)| (envelope, order)).and_then(clean) else {
                counts.bad += 1;
                continue;
            };
            current.write(&silver).await?;
            if let Some(changes) = &mut changes {
                changes.write(&historic(&silver)).await?;
            }
            rows += 1;
        }
        if rows > 0 {
            current.end().await?;
            if let Some(changes) = changes {
                changes.end().await?;
            }
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

/// The clean row; nothing if the change is bad. Deletes are never bad.
fn clean<'a>(envelope: &'a Envelope<'_>, order: &'a Order<'_>, partition: i32, offset: i64) -> Option<Silver<'a>> {
    let deleted = envelope.op == "d";
    if !deleted && order.quantity <= 0 {
        return None;
    }
    let status = match order.status.as_deref() {
        Some(text) => match known_status(text) {
            Some(known) => Some(known),
            None if deleted => Some(text),
            None => return None,
        },
        None => None,
    };
    let unit_price = match &order.unit_price {
        Some(text) => Some(decimal(text)?),
        None => None,
    };
    let total_amount = match &order.total_amount {
        Some(text) => Some(decimal(text)?),
        None => unit_price.map(|price| price * i64::from(order.quantity)),
    };
    Some(Silver {
        id: order.id,
        order_number: order.order_number.as_deref(),
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
        _deleted: u8::from(deleted),
        _version: offset.cast_unsigned(),
        _source_ts: envelope.source.ts_ms,
        _partition: partition,
        _offset: offset,
    })
}

fn known_status(text: &str) -> Option<&'static str> {
    let text = text.trim();
    STATUSES.into_iter().find(|known| text.eq_ignore_ascii_case(known))
}

fn historic<'a>(row: &Silver<'a>) -> Historic<'a> {
    let operation_name = match row._op {
        "c" => "INSERT",
        "u" => "UPDATE",
        "d" => "DELETE",
        _ => "READ",
    };
    Historic {
        id: row.id,
        order_number: row.order_number,
        order_date: row.order_date,
        order_time: row.order_time,
        purchaser: row.purchaser,
        quantity: row.quantity,
        product_id: row.product_id,
        unit_price: row.unit_price,
        total_amount: row.total_amount,
        status: row.status,
        created_at: row.created_at,
        updated_at: row.updated_at,
        operation: row._op,
        operation_name,
        _op: row._op,
        _deleted: row._deleted,
        _version: row._version,
        _source_ts: row._source_ts,
        _partition: row._partition,
        _offset: row._offset,
    }
}

/// Base64 of a big-endian two's complement number of up to 8 bytes.
fn decimal(text: &str) -> Option<i64> {
    let mut bytes = [0; 9];
    let length = BASE64_STANDARD.decode_slice(text, &mut bytes).ok()?;
    let bytes = bytes.get(..length).filter(|bytes| (1..=8).contains(&bytes.len()))?;
    let sign = if bytes[0] & 0x80 == 0 { 0 } else { -1 };
    Some(bytes.iter().fold(sign, |value, byte| value << 8 | i64::from(*byte)))
}
