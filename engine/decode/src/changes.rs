//! The change columns: what is known of each row beside its columns.

use std::sync::Arc;

use arrow_array::builder::BinaryBuilder;
use arrow_array::{
    ArrayRef, BooleanArray, Int32Array, Int64Array, StringArray, TimestampMillisecondArray, UInt8Array, UInt64Array,
};
use arrow_buffer::{NullBufferBuilder, OffsetBuffer};
use arrow_schema::DataType;

use crate::decoded::{Changes, Op};
use crate::input::{ChangeColumn, version};
use crate::message::Message;
use crate::partition::TopicPartition;

/// The changes of the rows decoded so far.
#[derive(Debug)]
pub(super) struct ChangeLog {
    partition: TopicPartition,
    generation: u16,
    op: Vec<u8>,
    offset: Vec<i64>,
    source_ts: Vec<i64>,
    source_ts_known: NullBufferBuilder,
    /// Index of each row's message in its batch.
    message: Vec<usize>,
}

impl ChangeLog {
    pub(super) fn new(partition: TopicPartition, generation: u16) -> Self {
        Self {
            partition,
            generation,
            op: Vec::new(),
            offset: Vec::new(),
            source_ts: Vec::new(),
            source_ts_known: NullBufferBuilder::new(0),
            message: Vec::new(),
        }
    }

    /// Makes room for so many rows.
    pub(super) fn reserve(&mut self, rows: usize) {
        self.op.reserve(rows);
        self.offset.reserve(rows);
        self.source_ts.reserve(rows);
        self.message.reserve(rows);
    }

    /// A row was decoded from the message of this index.
    pub(super) fn push(&mut self, op: Op, source_ts: Option<i64>, offset: i64, message: usize) {
        self.op.push(op as u8);
        self.offset.push(offset);
        self.source_ts.push(source_ts.unwrap_or_default());
        self.source_ts_known.append(source_ts.is_some());
        self.message.push(message);
    }

    /// Takes the changes, and the columns of the input that are made of them.
    pub(super) fn take<M: Message>(
        &mut self,
        wanted: &[(usize, ChangeColumn, DataType)],
        messages: &[M],
    ) -> (Changes, Vec<(usize, ArrayRef)>) {
        let source_ts = std::mem::take(&mut self.source_ts).into();
        let changes = Changes {
            op: std::mem::take(&mut self.op).into(),
            offset: std::mem::take(&mut self.offset).into(),
            source_ts: TimestampMillisecondArray::new(source_ts, self.source_ts_known.finish()),
        };
        let indices = std::mem::take(&mut self.message);
        let columns = wanted
            .iter()
            .map(|(place, column, data_type)| (*place, self.column(*column, data_type, &changes, messages, &indices)));
        let columns = columns.collect();
        (changes, columns)
    }

    fn column<M: Message>(
        &self,
        column: ChangeColumn,
        data_type: &DataType,
        changes: &Changes,
        messages: &[M],
        indices: &[usize],
    ) -> ArrayRef {
        let rows = changes.offset.len();
        match column {
            ChangeColumn::Op => Arc::new(changes.op.clone()),
            ChangeColumn::Deleted => Arc::new(deleted(&changes.op)),
            ChangeColumn::Version => {
                let versions = changes.offset.values().iter().map(|offset| version(self.generation, *offset));
                Arc::new(UInt64Array::from_iter_values(versions))
            }
            ChangeColumn::SourceTs => Arc::new(changes.source_ts.clone().with_data_type(data_type.clone())),
            ChangeColumn::Topic => {
                let topic = self.partition.topic.as_bytes();
                let offsets = OffsetBuffer::from_repeated_length(topic.len(), rows);
                Arc::new(StringArray::new(offsets, topic.repeat(rows).into(), None))
            }
            ChangeColumn::Partition => Arc::new(Int32Array::from_value(self.partition.partition, rows)),
            ChangeColumn::Offset => Arc::new(Int64Array::clone(&changes.offset)),
            ChangeColumn::Key => {
                let mut keys = BinaryBuilder::with_capacity(rows, 0);
                indices.iter().for_each(|index| keys.append_option(messages[*index].key()));
                Arc::new(keys.finish())
            }
        }
    }
}

fn deleted(op: &UInt8Array) -> BooleanArray {
    op.values().iter().map(|op| Some(*op == Op::Delete as u8)).collect()
}
