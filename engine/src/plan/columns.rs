//! A plugin's input beside the rows that its topics hold, column by column.

use std::collections::HashSet;
use std::fmt;

use arrow_schema::{DataType, Field};

use super::format_word;
use super::sample::{Sample, Shape};
use crate::decode::source::{SourceField, Written};
use crate::input::Format;

/// Something that an author or operator should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it means for the lane.
    pub weight: Weight,
    /// In words.
    pub message: String,
}

/// What a finding means for the lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// Good to know: nothing is lost.
    Note,
    /// Some values may be set aside, or be null where nobody expects it.
    Risk,
    /// Every message would be set aside, or the lane would stop.
    Stops,
    /// It could not be found out.
    Unknown,
}

/// How a type at the source fits the declared one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    Same,
    /// Every value fits.
    Widened,
    /// Values may not fit: those are set aside.
    Narrowed,
    /// Another kind of type: values are read if they can be written so.
    Converted,
}

/// A field of the source's rows that the plugin reads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    /// Its name at the source.
    pub(super) name: &'a str,
    /// Type and nullability, as the plugin declares them.
    pub(super) field: &'a Field,
    /// Whether a message without it is set aside.
    pub(super) required: bool,
}

/// All differences: wrapping first, then the plugin's columns in its order, then what it does not name. `rest`: what
/// becomes of that, where the plugin asks for it.
pub(super) fn compare(format: Format, wanted: &[Wanted<'_>], rest: Option<&str>, sample: &Sample) -> Vec<Finding> {
    if !same_shape(format, sample.shape) {
        let found = match sample.shape {
            Shape::Envelope => "envelopes",
            Shape::Flat => "flat rows",
        };
        let message = format!(
            "the messages are {found}, the plugin reads {}: set `format` in its export!, or change the connector's \
             transforms",
            format_word(format)
        );
        return vec![Finding { weight: Weight::Stops, message }];
    }
    let mut findings: Vec<_> = wanted.iter().filter_map(|wanted| column(*wanted, sample)).collect();
    let kept = |wanted: &&Wanted<'_>| !sample.nulls.contains(wanted.name);
    findings.extend(replaced_nulls(wanted.iter().filter(kept), &sample.fields));
    let unread = sample.fields.iter().filter(|source| wanted.iter().all(|wanted| wanted.name != source.name));
    // Two underscores begin the fields that ExtractNewRecordState adds.
    findings.extend(unread.filter(|source| !source.name.starts_with("__")).map(|source| Finding {
        weight: Weight::Note,
        message: format!("column {}: {}, {}", source.name, source.written, rest.unwrap_or("not read by the plugin")),
    }));
    each_once(findings)
}

/// A field may be read as the row's and as the row before's.
pub(super) fn each_once(mut findings: Vec<Finding>) -> Vec<Finding> {
    let mut said = HashSet::new();
    findings.retain(|finding| said.insert(finding.message.clone()));
    findings
}

fn same_shape(format: Format, shape: Shape) -> bool {
    matches!((format, shape), (Format::Envelope, Shape::Envelope) | (Format::Flat, Shape::Flat))
}

fn column(wanted: Wanted<'_>, sample: &Sample) -> Option<Finding> {
    match sample.fields.iter().find(|source| source.name == wanted.name) {
        Some(source) => misfit(wanted, source),
        None => Some(absent(wanted, sample)),
    }
}

/// How the type at the source differs from the declared one.
pub(super) fn misfit(wanted: Wanted<'_>, source: &SourceField) -> Option<Finding> {
    let SourceField { name, written: Written::As(from), .. } = source else { return None };
    let to = wanted.field.data_type();
    let (weight, what) = match fit(from, to) {
        Fit::Same => return None,
        Fit::Widened => (Weight::Note, "widened"),
        Fit::Narrowed => (Weight::Risk, "narrowed: a message whose value does not fit is set aside"),
        Fit::Converted => (Weight::Risk, "read as another type: a message whose value can't be read so is set aside"),
    };
    Some(Finding { weight, message: format!("column {name}: {from} → {to}, {what}") })
}

/// The columns in which a default may stand for a null: nobody can tell from the messages.
pub(super) fn replaced_nulls<'w>(
    wanted: impl Iterator<Item = &'w Wanted<'w>>,
    fields: &[SourceField],
) -> Option<Finding> {
    let may_be = |wanted: &&Wanted<'_>| fields.iter().any(|it| it.default_for_null && it.name == wanted.name);
    let mut names: Vec<_> = wanted.filter(may_be).map(|wanted| wanted.name).collect();
    let mut said = HashSet::new();
    names.retain(|name| said.insert(*name));
    if names.is_empty() {
        return None;
    }
    let message = format!(
        "{}: NULL at the source may come as the column's default, and nothing in a message tells which it was. To keep \
         nulls: replace.null.with.default=false in Kafka's JSON converter and in ExtractNewRecordState, \
         ignore.default.for.nullables=true in Confluent's Avro converter",
        names.join(", ")
    );
    Some(Finding { weight: Weight::Risk, message })
}

fn absent(wanted: Wanted<'_>, sample: &Sample) -> Finding {
    let alike = |source: &SourceField| strsim::jaro_winkler(&source.name, wanted.name);
    let nearest = sample.fields.iter().max_by(|a, b| alike(a).total_cmp(&alike(b))).filter(|it| alike(it) > 0.85);
    let hint = nearest.map(|nearest| format!("; did you mean {}?", nearest.name)).unwrap_or_default();
    let (weight, becomes) = if wanted.required {
        (Weight::Stops, "each message is set aside, because the plugin requires it")
    } else {
        (Weight::Risk, "null in each row")
    };
    let message = format!("column {}: not in the {} newest messages: {becomes}{hint}", wanted.name, sample.messages);
    Finding { weight, message }
}

fn fit(from: &DataType, to: &DataType) -> Fit {
    use DataType::{Decimal128, Decimal256, Timestamp};
    if from == to {
        return Fit::Same;
    }
    match (from, to) {
        (
            Decimal128(precision, scale) | Decimal256(precision, scale),
            Decimal128(wider, larger) | Decimal256(wider, larger),
        ) => {
            let digits = |precision: u8, scale: i8| i16::from(precision) - i16::from(scale);
            widened(larger >= scale && digits(*wider, *larger) >= digits(*precision, *scale))
        }
        (Timestamp(from, from_zone), Timestamp(to, to_zone)) => match (from_zone.is_some(), to_zone.is_some()) {
            (a, b) if a != b => Fit::Converted,
            _ if from == to => Fit::Same,
            _ => widened(to > from),
        },
        (from, to) => match (integer(from), integer(to)) {
            (Some((signed, bits)), Some((to_signed, to_bits))) => {
                widened(if signed == to_signed { to_bits >= bits } else { to_signed && to_bits > bits })
            }
            _ if matches!((from, to), (DataType::Float32, DataType::Float64)) => Fit::Widened,
            _ => Fit::Converted,
        },
    }
}

fn widened(every_value_fits: bool) -> Fit {
    if every_value_fits { Fit::Widened } else { Fit::Narrowed }
}

/// Whether it is signed, and its bits.
#[expect(clippy::wildcard_enum_match_arm, reason = "all other types are no integers")]
fn integer(data_type: &DataType) -> Option<(bool, u8)> {
    Some(match data_type {
        DataType::Int8 => (true, 8),
        DataType::Int16 => (true, 16),
        DataType::Int32 => (true, 32),
        DataType::Int64 => (true, 64),
        DataType::UInt8 => (false, 8),
        DataType::UInt16 => (false, 16),
        DataType::UInt32 => (false, 32),
        DataType::UInt64 => (false, 64),
        _ => return None,
    })
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Note => "note",
            Self::Risk => "risk",
            Self::Stops => "wrong",
            Self::Unknown => "unknown",
        })
    }
}

#[cfg(test)]
mod tests;
