//! What an input asks for, sorted by where it comes from; and everything that is wrong with it.

use arrow_schema::{DataType, Field};

use crate::columns;
use crate::input::{ChangeColumn, EXTENSION_NAME, Format, Input, InputColumn, REST, Source};
use crate::rows::RowColumn;
use crate::unavailable;

/// A column that is made of the changes: its index in the input, and its declared type.
pub(super) type MadeColumn = (usize, ChangeColumn, DataType);

/// The columns of an input, by where they come from.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) row: Vec<RowColumn>,
    pub(super) before: Vec<RowColumn>,
    /// Index in the input, name of the header, type.
    pub(super) headers: Vec<(usize, String, DataType)>,
    pub(super) changes: Vec<MadeColumn>,
}

/// An input that can't be decoded as declared.
#[derive(Debug, thiserror::Error)]
#[error("{}", problems.join("\n"))]
pub struct InputError {
    /// One line for each column: name, type, and what is possible instead.
    pub problems: Vec<String>,
}

impl Plan {
    /// Of this input, or everything that is wrong with it.
    pub(super) fn of(input: &Input) -> Result<Self, InputError> {
        let (mut plan, mut problems) = (Self::default(), Vec::new());
        for (index, column) in input.columns.iter().enumerate() {
            let name = column.field.name();
            let added = if input.columns[..index].iter().any(|other| other.field.name() == name) {
                Err(format!("column {name} occurs twice"))
            } else {
                plan.add(index, column, input)
            };
            problems.extend(added.err());
        }
        if problems.is_empty() { Ok(plan) } else { Err(InputError { problems }) }
    }

    fn add(&mut self, place: usize, column: &InputColumn, input: &Input) -> Result<(), String> {
        let field = &column.field;
        match &column.source {
            Source::Row(name) => self.row.push(row_column(place, column, name, input)?),
            Source::Before(name) => {
                if input.format == Format::Flat {
                    return Err(format!(
                        "column {} is of the row before the change, which flat messages do not have: set the input's \
                         format to envelope",
                        field.name()
                    ));
                }
                nullable(field, "not every change has a row before it")?;
                self.before.push(row_column(place, column, name, input)?);
            }
            Source::Header(name) => {
                nullable(field, "not every message has the header")?;
                if !matches!(field.data_type(), DataType::Utf8 | DataType::Binary) {
                    return Err(format!(
                        "column {} of the header {name} is declared as {}; possible are Utf8 and Binary",
                        field.name(),
                        field.data_type()
                    ));
                }
                self.headers.push((place, name.clone(), field.data_type().clone()));
            }
            Source::Change(change) => {
                made_column(field, *change)?;
                self.changes.push((place, *change, field.data_type().clone()));
            }
        }
        Ok(())
    }
}

fn row_column(place: usize, column: &InputColumn, field: &str, input: &Input) -> Result<RowColumn, String> {
    let verbatim = column.field.metadata().get(EXTENSION_NAME).is_some_and(|name| name == "arrow.json");
    let unavailable = if field == REST {
        check_rest(column, verbatim, input)?;
        unavailable::forms_of_any(&input.placeholder)
    } else {
        column.reading.check(&column.field)?;
        unavailable::forms(&column.field, &input.placeholder)
    };
    Ok(RowColumn {
        place,
        verbatim,
        reading: column.reading.clone(),
        unavailable,
        field: field.to_owned(),
        nullable: column.field.is_nullable(),
        required: column.required,
        column: columns::column(&column.field, &column.reading, input.decimals)?,
    })
}

fn check_rest(column: &InputColumn, is_json: bool, input: &Input) -> Result<(), String> {
    let name = column.field.name();
    if !is_json {
        return Err(format!("column {name} is the rest of the row, an object: declare it as Json"));
    }
    if input.columns.iter().any(|other| other.source == column.source && other.field.name() != name) {
        return Err(format!("column {name} is the rest of the row, and not the only one"));
    }
    // What is null here is a field of the object: it is left out.
    column.reading.check(&Field::clone(&column.field).with_nullable(true))
}

fn nullable(field: &Field, because: &str) -> Result<(), String> {
    if field.is_nullable() { Ok(()) } else { Err(format!("column {} must be nullable: {because}", field.name())) }
}

fn made_column(field: &Field, change: ChangeColumn) -> Result<(), String> {
    let made = change.field();
    if field.data_type() != made.data_type() {
        return Err(format!(
            "column {} is declared as {}, but the change column {} is {}",
            field.name(),
            field.data_type(),
            made.name(),
            made.data_type()
        ));
    }
    if made.is_nullable() { nullable(field, "not every message has one") } else { Ok(()) }
}
