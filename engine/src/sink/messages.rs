//! Columns that hold messages as they lay in their topic, for bronze tables and dead letters.

use std::sync::Arc;

use arrow_array::builder::{BinaryBuilder, ListBuilder, StringBuilder, StructBuilder};
use arrow_array::{ArrayRef, TimestampMillisecondArray};
use arrow_schema::{DataType, Field, Fields, TimeUnit};

use crate::batch::Message;
use crate::offsets::LaneId;

/// Bytes of messages in one record batch. Text and binary columns count their bytes in 31 bits; one message has less
/// than a GiB (the Kafka client's own limit), so a batch that is cut here stays far below.
const MOST_BATCH_BYTES: usize = 64 << 20;

/// What an epoch adds to each of its rows.
#[derive(Clone, Copy, Debug)]
pub struct Provenance<'a> {
    /// The lane: tenant, plugin, topic, partition.
    pub lane: &'a LaneId,
    /// Hex digest of the plugin's artifact; empty where no plugin is involved.
    pub plugin_digest: &'a str,
    /// The value of `_plugin`, where the tables have that column.
    pub made_by: Option<&'a str>,
    /// The lane's generation.
    pub generation: u16,
    /// The epoch's number.
    pub epoch: u64,
    /// The epoch's clock, ms since 1970-01-01 UTC.
    pub now_ms: i64,
}

impl Provenance<'_> {
    /// The value of `_epoch`: generation << 48 | epoch.
    pub(crate) fn epoch_column(&self) -> u64 {
        epoch_column(self.generation, self.epoch)
    }
}

/// The value of `_epoch`: grows with the generation, then with the epoch.
#[must_use]
pub fn epoch_column(generation: u16, epoch: u64) -> u64 {
    (u64::from(generation) << 48) | (epoch & 0xffff_ffff_ffff)
}

/// Milliseconds, UTC.
pub(super) fn milliseconds() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}

/// `timestamp`, `key`, `value`, `headers`: a message's content, exact to the byte. Headers keep their order and may
/// repeat a key, so they are a list of pairs and no map.
pub(super) fn message_fields() -> Vec<Field> {
    vec![
        Field::new("timestamp", milliseconds(), true),
        Field::new("key", DataType::Binary, true),
        Field::new("value", DataType::Binary, true),
        Field::new("headers", DataType::List(header_field()), false),
    ]
}

fn header_field() -> Arc<Field> {
    Arc::new(Field::new("item", DataType::Struct(header_fields()), false))
}

fn header_fields() -> Fields {
    vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Binary, true)].into()
}

/// The columns of [`message_fields`].
pub(super) fn message_columns<'a>(messages: impl Iterator<Item = &'a Message> + Clone) -> Vec<ArrayRef> {
    let timestamps: TimestampMillisecondArray = messages.clone().map(|message| message.timestamp).collect();
    let (mut keys, mut values) = (BinaryBuilder::new(), BinaryBuilder::new());
    let mut headers = ListBuilder::new(StructBuilder::from_fields(header_fields(), 0)).with_field(header_field());
    for message in messages {
        keys.append_option(message.key());
        values.append_option(message.value());
        for (key, value) in message.headers() {
            append_header(headers.values(), &key, value.as_deref());
        }
        headers.append(true);
    }
    vec![
        Arc::new(timestamps.with_timezone("UTC")),
        Arc::new(keys.finish()),
        Arc::new(values.finish()),
        Arc::new(headers.finish()),
    ]
}

fn append_header(builder: &mut StructBuilder, key: &str, value: Option<&[u8]>) {
    const FIELDS: &str = "built from header_fields";
    builder.field_builder::<StringBuilder>(0).expect(FIELDS).append_value(key);
    builder.field_builder::<BinaryBuilder>(1).expect(FIELDS).append_option(value);
    builder.append(true);
}

/// Cuts messages into runs of at most [`MOST_BATCH_BYTES`], or of one message.
pub(super) fn runs<T>(items: &[T], bytes: impl Fn(&T) -> usize) -> Vec<&[T]> {
    let (mut runs, mut start, mut filled) = (Vec::new(), 0, 0);
    for (index, item) in items.iter().enumerate() {
        let more = bytes(item);
        if index > start && filled + more > MOST_BATCH_BYTES {
            runs.extend(items.get(start..index));
            (start, filled) = (index, 0);
        }
        filled += more;
    }
    runs.extend(items.get(start..).filter(|run| !run.is_empty()));
    runs
}

/// The same value in each row.
pub(super) fn same<A: FromIterator<V> + 'static + arrow_array::Array, V: Clone>(value: V, rows: usize) -> ArrayRef {
    Arc::new(std::iter::repeat_n(value, rows).collect::<A>())
}
