//! What the rules leave out: values become as long ones of nothing. Which rows are null, and how long texts and lists are,
//! stays: that is what plugins mostly stumble on.

use arrow_array::{ArrayRef, RecordBatch, UInt32Array, make_array};
use arrow_buffer::Buffer;
use arrow_data::{ArrayData, ArrayDataBuilder};
use arrow_schema::{ArrowError, DataType};
use arrow_select::take::take_record_batch;

use super::{Capsule, Rules, STATE, Seen, parameter_of};
use crate::plugin::{Description, ParameterType};

/// What stands for each byte of a text.
const IN_PLACE: u8 = b'x';

/// The capsule without what the rules name.
pub(super) fn redacted(mut capsule: Capsule, rules: &Rules, description: &Description) -> Capsule {
    capsule.about.redacted.clone_from(&rules.redact);
    for (name, value) in &mut capsule.about.parameters {
        if rules.redact.iter().any(|rule| parameter_of(rule) == Some(name)) {
            let described = description.parameters.iter().find(|parameter| parameter.name == *name);
            *value = parameter(described.map_or(ParameterType::Text, |parameter| parameter.kind), value);
        }
    }
    if rules.redact.iter().any(|rule| rule == STATE) {
        for (_, key, entry) in &mut capsule.state {
            key.fill(IN_PLACE);
            if let Some((value, _)) = entry {
                value.fill(IN_PLACE);
            }
        }
        for call in &mut capsule.calls {
            if let Seen::Expired(due) = call {
                due.keys.fill(IN_PLACE);
                due.values.fill(IN_PLACE);
            }
        }
    }
    for call in &mut capsule.calls {
        if let Seen::Rows(rows) = call {
            // Without its columns rather than with one too many.
            *rows = batch(rows, &rules.redact).unwrap_or_else(|_| RecordBatch::new_empty(rows.schema()));
        }
    }
    capsule
}

/// A value of the type, which the plugin accepts.
fn parameter(kind: ParameterType, value: &str) -> String {
    match kind {
        ParameterType::Text => "x".repeat(value.len()),
        ParameterType::Integer | ParameterType::Number => "0".to_owned(),
        ParameterType::Boolean => "false".to_owned(),
    }
}

/// A batch of its own memory: a row of a large one shares the memory of all.
fn batch(rows: &RecordBatch, redact: &[String]) -> Result<RecordBatch, ArrowError> {
    let all: UInt32Array = (0..u32::try_from(rows.num_rows()).unwrap_or(u32::MAX)).collect();
    let own = take_record_batch(rows, &all)?;
    let schema = own.schema();
    let column = |(index, column): (usize, &ArrayRef)| {
        if redact.iter().any(|name| name == schema.field(index).name()) {
            Ok(make_array(nothing(column.to_data())?))
        } else {
            Ok(column.clone())
        }
    };
    let columns = own.columns().iter().enumerate().map(column).collect::<Result<Vec<_>, ArrowError>>()?;
    RecordBatch::try_new(own.schema(), columns)
}

/// The same lengths and nulls; values are `x`, 0 or false.
#[expect(clippy::wildcard_enum_match_arm, reason = "all others have values of one width, in one buffer")]
fn nothing(data: ArrayData) -> Result<ArrayData, ArrowError> {
    let filled = |buffer: &Buffer, byte: u8| Buffer::from(vec![byte; buffer.len()]);
    let (mut buffers, mut children) = (data.buffers().to_vec(), data.child_data().to_vec());
    match data.data_type() {
        DataType::Utf8 | DataType::Binary => {
            if let Some(values) = buffers.get_mut(1) {
                *values = filled(values, IN_PLACE);
            }
        }
        DataType::List(_) | DataType::Map(..) | DataType::Struct(_) => {
            children = children.into_iter().map(nothing).collect::<Result<_, _>>()?;
        }
        _ => buffers = buffers.iter().map(|buffer| filled(buffer, 0)).collect(),
    }
    let data = ArrayDataBuilder::from(data).buffers(buffers).child_data(children);
    data.build()
}
