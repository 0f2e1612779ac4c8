//! The way of messages into the plugin: the engine's own decoder, and its columns as the buffers that cross the border.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{Array, RecordBatch};
use arrow_buffer::Buffer;
use arrow_data::ArrayData;
use arrow_schema::{DataType as Arrow, Field, Schema, TimeUnit as ArrowUnit};
use debezium_decode::input::{self as decode, EXTENSION_NAME};
use debezium_decode::{Decoded, Decoder, Input, OwnedMessage, TopicPartition};

use super::cells::cells;
use super::lane::Running;
use super::{Answer, Fed, Harness, Lane, Message, Rejected};
use crate::description::{Column, DataType, InputColumn, ScalarType, TimeUnit};
use crate::view::Buffers;
use crate::{ChangeColumn, Description, Format, Plugin, Source};

impl<P: Plugin> Harness<P> {
    /// Decodes messages as the engine does, each partition's in offset order, and runs the plugin over what they say.
    ///
    /// # Panics
    /// Where [`Self::try_run_messages`] fails, or the plugin breaks the contract.
    #[track_caller]
    pub fn run_messages(&self, messages: impl IntoIterator<Item = Message>) -> Answer {
        self.try_run_messages(messages).unwrap_or_else(|failure| panic!("the plugin failed: {failure}"))
    }

    /// Decodes messages as the engine does, each partition's in offset order, and runs the plugin over what they say.
    ///
    /// # Errors
    /// The plugin's own, of its start or of the batch.
    ///
    /// # Panics
    /// The plugin asks for columns that can't be decoded, or breaks the contract.
    pub fn try_run_messages(&self, messages: impl IntoIterator<Item = Message>) -> Result<Answer, String> {
        let mut answer = self.empty_answer();
        for (partition, messages) in partitions(messages) {
            answer.add(self.lane().decode(&partition, messages)?);
        }
        answer.rejected.sort_by_key(|rejected| rejected.index);
        answer.ignored.sort_unstable();
        Ok(answer)
    }
}

impl<P: Plugin> Lane<'_, P> {
    /// An epoch of these messages, of one partition, decoded as the engine does, in one call or in several of
    /// [`Harness::batch_rows`].
    ///
    /// # Panics
    /// The plugin fails or breaks the contract, or asks for columns that can't be decoded.
    #[track_caller]
    pub fn run_messages(&mut self, messages: impl IntoIterator<Item = Message>) -> Answer {
        let mut partitions = partitions(messages);
        assert!(partitions.len() <= 1, "a lane is one partition of one topic: these are {}", partitions.len());
        let Some((partition, messages)) = partitions.pop() else { return self.harness.empty_answer() };
        self.decode(&partition, messages).unwrap_or_else(|failure| panic!("the plugin failed: {failure}"))
    }

    fn decode(&mut self, partition: &TopicPartition, messages: Vec<(usize, OwnedMessage)>) -> Result<Answer, String> {
        let harness = self.harness;
        let mut input = input(harness.description());
        input.tombstone = harness.tombstone.unwrap_or(input.tombstone);
        input.decimals = harness.decimals.unwrap_or(input.decimals);
        let mut decoder =
            Decoder::new(&input, partition, 0).unwrap_or_else(|error| panic!("the plugin's input: {error}"));
        let (indices, messages): (Vec<_>, Vec<_>) = messages.into_iter().unzip();
        let mut epoch = self.begin()?;
        let chunk = harness.batch_rows.min(messages.len().max(1));
        for (messages, indices) in messages.chunks(chunk).zip(indices.chunks(chunk)) {
            let decoded = decoder.decode(messages);
            let index_of = |offset| {
                let place = messages.iter().position(|message| message.offset == offset);
                indices[place.expect("the decoder names offsets of its messages")]
            };
            let rejected = decoded.rejects.iter().map(|reject| Rejected {
                index: index_of(reject.offset),
                stage: reject.stage.as_str(),
                code: reject.code.clone(),
                column: reject.column.clone(),
                reason: reject.reason.clone(),
            });
            let answer = &mut epoch.answer;
            answer.rejected.extend(rejected);
            answer.ignored.extend(decoded.no_ops.iter().map(|(offset, what)| (index_of(*offset), what.as_str())));
            let rows: Vec<_> = decoded.changes.offset.values().iter().map(|offset| index_of(*offset)).collect();
            answer.ops.extend(rows.iter().copied().zip(decoded.changes.op.values().iter().copied()));
            self.decoded(&mut epoch, &decoded, &rows)?;
        }
        let mut answer = self.end(epoch);
        answer.rejected.sort_by_key(|rejected| rejected.index);
        answer.ignored.sort_unstable();
        Ok(answer)
    }

    fn decoded(&mut self, epoch: &mut Running, decoded: &Decoded, indices: &[usize]) -> Result<(), String> {
        let columns = owned_buffers(&decoded.rows);
        let description = self.harness.description();
        let crossing = description.input.iter().zip(&columns).filter(|(input, _)| input.crosses);
        let buffers: Vec<&[u8]> = crossing.flat_map(|(_, buffers)| buffers.iter().map(Buffer::as_slice)).collect();
        let rows = decoded.rows.num_rows();
        let stays = |input: &InputColumn| {
            let place = description.input_index(input.source).expect("it is one of them");
            let buffers: Vec<_> = columns[place].iter().map(Buffer::as_slice).collect();
            cells(&input.column, &mut Buffers::new(rows, &buffers))
                .unwrap_or_else(|mismatch| panic!("the decoder's column `{}`: {mismatch}", input.column.name))
        };
        self.call(epoch, &Fed { rows, buffers: &buffers, indices }, stays)
    }
}

/// The messages of each partition, partitions in the order of their first message, with the place of each.
fn partitions(messages: impl IntoIterator<Item = Message>) -> Vec<(TopicPartition, Vec<(usize, OwnedMessage)>)> {
    let (mut partitions, mut places) = (Vec::new(), BTreeMap::new());
    for (index, message) in messages.into_iter().enumerate() {
        let partition = TopicPartition { topic: message.topic.into(), partition: message.partition };
        let place = *places.entry(partition.clone()).or_insert_with(|| {
            partitions.push((partition, Vec::<(usize, OwnedMessage)>::new()));
            partitions.len() - 1
        });
        let before = &mut partitions[place].1;
        let next = before.last().map_or(0, |(_, last)| last.offset + 1);
        let offset = message.offset.unwrap_or(next);
        assert!(offset >= next, "message {index}: its offset is not above that of the message before it");
        before.push((
            index,
            OwnedMessage {
                offset,
                timestamp: message.timestamp,
                key: message.key,
                value: message.value,
                headers: message.headers,
            },
        ));
    }
    partitions
}

/// What the decoder is asked for, with the settings that `plugin.toml` has by default.
fn input(description: &Description) -> Input {
    let format = match description.format {
        Format::Envelope => decode::Format::Envelope,
        Format::Flat => decode::Format::Flat,
    };
    // By names first, so that whatever else there is to set is as it is by default.
    let fields: Vec<_> = description.input.iter().map(|input| field(&input.column)).collect();
    let mut decoded = Input::by_names(&Schema::new(fields), format);
    for (decoded, input) in decoded.columns.iter_mut().zip(&description.input) {
        decoded.source = source(input.source);
        decoded.required = input.required;
    }
    decoded
}

fn source(source: Source) -> decode::Source {
    match source {
        Source::Row(field) => decode::Source::Row(field.into()),
        Source::Before(field) => decode::Source::Before(field.into()),
        Source::Header(name) => decode::Source::Header(name.into()),
        Source::Change(change) => decode::Source::Change(match change {
            ChangeColumn::Op => decode::ChangeColumn::Op,
            ChangeColumn::Deleted => decode::ChangeColumn::Deleted,
            ChangeColumn::Version => decode::ChangeColumn::Version,
            ChangeColumn::SourceTimestamp => decode::ChangeColumn::SourceTs,
            ChangeColumn::Topic => decode::ChangeColumn::Topic,
            ChangeColumn::Partition => decode::ChangeColumn::Partition,
            ChangeColumn::Offset => decode::ChangeColumn::Offset,
            ChangeColumn::Key => decode::ChangeColumn::Key,
        }),
    }
}

fn field(column: &Column) -> Field {
    let (name, nullable) = (&*column.name, column.nullable);
    match column.data_type {
        DataType::Scalar(scalar) => named(name, scalar, nullable),
        DataType::List { element, nullable: elements } => {
            Field::new_list(name, named("item", element, elements), nullable)
        }
        DataType::Map { key, value, nullable: values } => {
            Field::new_map(name, "entries", named("key", key, false), named("value", value, values), false, nullable)
        }
    }
}

fn named(name: &str, scalar: ScalarType, nullable: bool) -> Field {
    let field = Field::new(name, arrow(scalar), nullable);
    let extension = |name: &str| [(EXTENSION_NAME.to_owned(), name.to_owned())];
    if scalar == ScalarType::Json {
        field.with_metadata(extension("arrow.json"))
    } else if scalar == ScalarType::Uuid {
        field.with_metadata(extension("arrow.uuid"))
    } else {
        field
    }
}

fn arrow(scalar: ScalarType) -> Arrow {
    match scalar {
        ScalarType::Boolean => Arrow::Boolean,
        ScalarType::Int8 => Arrow::Int8,
        ScalarType::Int16 => Arrow::Int16,
        ScalarType::Int32 => Arrow::Int32,
        ScalarType::Int64 => Arrow::Int64,
        ScalarType::UInt8 => Arrow::UInt8,
        ScalarType::UInt16 => Arrow::UInt16,
        ScalarType::UInt32 => Arrow::UInt32,
        ScalarType::UInt64 => Arrow::UInt64,
        ScalarType::Float32 => Arrow::Float32,
        ScalarType::Float64 => Arrow::Float64,
        ScalarType::Utf8 | ScalarType::Json => Arrow::Utf8,
        ScalarType::Binary => Arrow::Binary,
        ScalarType::Uuid => Arrow::FixedSizeBinary(16),
        ScalarType::Date => Arrow::Date32,
        ScalarType::Time(unit @ (TimeUnit::Second | TimeUnit::Millisecond)) => Arrow::Time32(arrow_unit(unit)),
        ScalarType::Time(unit) => Arrow::Time64(arrow_unit(unit)),
        ScalarType::Timestamp { unit, utc } => Arrow::Timestamp(arrow_unit(unit), utc.then(|| "UTC".into())),
        ScalarType::Decimal { precision: precision @ ..=38, scale } => Arrow::Decimal128(precision, scale),
        ScalarType::Decimal { precision, scale } => Arrow::Decimal256(precision, scale),
    }
}

fn arrow_unit(unit: TimeUnit) -> ArrowUnit {
    match unit {
        TimeUnit::Second => ArrowUnit::Second,
        TimeUnit::Millisecond => ArrowUnit::Millisecond,
        TimeUnit::Microsecond => ArrowUnit::Microsecond,
        TimeUnit::Nanosecond => ArrowUnit::Nanosecond,
    }
}

/// The buffers of each column, as the contract orders them.
fn owned_buffers(rows: &RecordBatch) -> Vec<Vec<Buffer>> {
    let column = |array: &Arc<dyn Array>| {
        let mut buffers = Vec::new();
        collect(&array.to_data(), &mut buffers);
        buffers
    };
    rows.columns().iter().map(column).collect()
}

fn collect(array: &ArrayData, buffers: &mut Vec<Buffer>) {
    assert_eq!(array.offset(), 0, "the decoder builds each column anew");
    let validity = array.nulls().filter(|nulls| nulls.null_count() > 0);
    buffers.push(validity.map_or_else(|| Buffer::from(&[]), |nulls| nulls.inner().sliced()));
    let width = if let Arrow::FixedSizeBinary(width) = array.data_type() {
        usize::try_from(*width).ok()
    } else {
        array.data_type().primitive_width()
    };
    let whole = |width| array.len() * width;
    let own = array.buffers().iter().enumerate().map(|(index, buffer)| match (width, index) {
        (Some(width), _) => buffer.slice_with_length(0, whole(width)),
        (None, 0) if *array.data_type() != Arrow::Boolean => buffer.slice_with_length(0, whole(4) + 4), // offsets
        (None, _) => buffer.clone(),
    });
    buffers.extend(own);
    for child in array.child_data() {
        // A map's entries are a struct, which has a validity of its own that the contract leaves out.
        if matches!(child.data_type(), Arrow::Struct(_)) {
            child.child_data().iter().for_each(|part| collect(part, buffers));
        } else {
            collect(child, buffers);
        }
    }
}
