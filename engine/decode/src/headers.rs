//! Columns that are filled from the messages' headers.

use std::sync::Arc;

use arrow_array::builder::BinaryBuilder;
use arrow_array::{Array, ArrayRef, BinaryArray, StringArray};
use arrow_schema::DataType;

use crate::message::Message;
use crate::reject::{Place, Refusal, Refused, RejectCode};

const NOT_TEXT: &Refusal = &Refusal { code: RejectCode::InvalidUtf8, reason: "expected a header whose value is UTF-8" };

/// The header columns of the rows decoded so far.
#[derive(Debug)]
pub(super) struct Headers {
    columns: Vec<HeaderColumn>,
}

#[derive(Debug)]
struct HeaderColumn {
    /// Its index in the input.
    place: usize,
    name: String,
    text: bool,
    values: BinaryBuilder,
}

impl Headers {
    /// For columns with their index in the input, the header's name and their type.
    pub(super) fn new(columns: Vec<(usize, String, DataType)>) -> Self {
        let column = |(place, name, data_type)| HeaderColumn {
            place,
            name,
            text: data_type == DataType::Utf8,
            values: BinaryBuilder::new(),
        };
        Self { columns: columns.into_iter().map(column).collect() }
    }

    /// Whether the message's headers can be what the columns are.
    pub(super) fn check(&self, message: &impl Message) -> Result<(), Refused> {
        for column in self.columns.iter().filter(|column| column.text) {
            if std::str::from_utf8(message.header(&column.name).unwrap_or_default()).is_err() {
                return Err(Refused { place: Place::Column(column.place), refusal: NOT_TEXT });
            }
        }
        Ok(())
    }

    /// A row was decoded from this message, whose headers were checked.
    pub(super) fn push(&mut self, message: &impl Message) {
        for column in &mut self.columns {
            column.values.append_option(message.header(&column.name));
        }
    }

    /// Takes the columns, with their index in the input.
    pub(super) fn take(&mut self) -> impl Iterator<Item = (usize, ArrayRef)> {
        self.columns.iter_mut().map(|column| {
            let values = column.values.finish();
            let array: ArrayRef = if column.text { Arc::new(as_text(&values)) } else { Arc::new(values) };
            (column.place, array)
        })
    }
}

fn as_text(values: &BinaryArray) -> StringArray {
    StringArray::try_new(values.offsets().clone(), values.values().clone(), values.nulls().cloned())
        .expect("each header's text was checked when its row was made")
}
