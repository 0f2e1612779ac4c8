//! Column types: what an Arrow column becomes in ClickHouse, and which other types can hold it without loss.
//!
//! ClickHouse converts what it reads to the column's type and is generous: integers wrap, decimals and timestamps are
//! cut, days before 1970 become 1970, all without a word. So nothing is left to it: a column is written only if its
//! type *holds* every value of the declared one ([`ColumnType::holds`]).
//!
//! | Arrow | ClickHouse | may be declared instead |
//! |---|---|---|
//! | Boolean | Bool | UInt8 |
//! | Int8…Int64, UInt8…UInt64, Float32, Float64 | the same | |
//! | Utf8 | String | UUID, JSON |
//! | Binary | String | |
//! | FixedSizeBinary(n) | FixedString(n) | UUID if n = 16 |
//! | … with extension `arrow.uuid` | UUID | |
//! | Date32 | Date32 | Date |
//! | Time32, Time64 (s, ms, µs, ns) | Time64(0, 3, 6, 9) | |
//! | Timestamp(s, ms, µs, ns) | DateTime64(0, 3, 6, 9, 'UTC') | DateTime if seconds |
//! | Decimal128(p, s), Decimal256(p, s) | Decimal(p, s) | |
//! | List, Struct, Map | Array, Tuple, Map; never null themselves, because ClickHouse has no such nulls | |
//!
//! Time64 needs ClickHouse 25.6, a UUID of 16 bytes 26.3.
//!
//! Any of them may be declared `LowCardinality(…)` where ClickHouse allows it, or as a wider type.

use std::fmt;

use arrow_schema::{DataType, Field, TimeUnit};

use crate::table::{CLICKHOUSE_TYPE, EXTENSION_NAME};

/// A ClickHouse column type, as far as the engine writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ColumnType {
    pub(crate) low_cardinality: bool,
    pub(crate) nullable: bool,
    pub(crate) base: Base,
}

/// A type without its wrappers. Time zones only matter for display and are not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    Bool,
    /// Bits: 8, 16, 32, 64.
    Int(u16),
    UInt(u16),
    Float(u16),
    String,
    FixedString(usize),
    Uuid,
    Json,
    Date,
    Date32,
    DateTime,
    /// Digits after the second.
    DateTime64(u8),
    Time64(u8),
    Decimal {
        precision: u8,
        scale: u8,
    },
    Array(Box<ColumnType>),
    /// Keys and values.
    Map(Box<(ColumnType, ColumnType)>),
    Tuple(Vec<(String, ColumnType)>),
}

/// The type that a field declares: its own [`CLICKHOUSE_TYPE`], else the default of its Arrow type.
///
/// # Errors
/// Says why there is none, or why the declared one can't hold the field's values.
pub(crate) fn declared(field: &Field) -> Result<ColumnType, String> {
    let natural = natural(field)?;
    let Some(text) = field.metadata().get(CLICKHOUSE_TYPE) else { return Ok(natural) };
    let mut wanted = ColumnType::parse(text)
        .ok_or_else(|| format!("`{text}` is not a type that can be declared for {}", field.data_type()))?;
    wanted.nullable |= natural.nullable;
    if wanted.holds(&natural) || on_request(field.data_type(), &wanted.base) {
        return Ok(wanted);
    }
    Err(format!("{wanted} can't hold every value of {} ({natural})", field.data_type()))
}

/// Types that hold not every value, but those that [`crate::sink::out_of_range`] lets through.
fn on_request(arrow: &DataType, wanted: &Base) -> bool {
    matches!(
        (arrow, wanted),
        (DataType::Utf8, Base::Uuid | Base::Json)
            | (DataType::FixedSizeBinary(16), Base::Uuid)
            | (DataType::Date32, Base::Date)
            | (DataType::Timestamp(TimeUnit::Second, _), Base::DateTime)
    )
}

/// The default type: the first two columns of the table above.
#[expect(clippy::wildcard_enum_match_arm, reason = "what is not in the table is refused")]
fn natural(field: &Field) -> Result<ColumnType, String> {
    let base = match field.data_type() {
        DataType::Boolean => Base::Bool,
        DataType::Int8 => Base::Int(8),
        DataType::Int16 => Base::Int(16),
        DataType::Int32 => Base::Int(32),
        DataType::Int64 => Base::Int(64),
        DataType::UInt8 => Base::UInt(8),
        DataType::UInt16 => Base::UInt(16),
        DataType::UInt32 => Base::UInt(32),
        DataType::UInt64 => Base::UInt(64),
        DataType::Float32 => Base::Float(32),
        DataType::Float64 => Base::Float(64),
        DataType::Utf8 | DataType::Binary => Base::String,
        DataType::FixedSizeBinary(16) if is_uuid(field) => Base::Uuid,
        DataType::FixedSizeBinary(width) if *width > 0 => Base::FixedString(width.cast_unsigned() as usize),
        DataType::Date32 => Base::Date32,
        DataType::Time32(unit) | DataType::Time64(unit) => Base::Time64(digits(*unit)),
        DataType::Timestamp(unit, _) => Base::DateTime64(digits(*unit)),
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            let scale = u8::try_from(*scale).ok().filter(|scale| scale <= precision);
            let scale = scale.ok_or("the scale of a decimal must lie between 0 and its precision")?;
            Base::Decimal { precision: *precision, scale }
        }
        DataType::List(element) => Base::Array(Box::new(declared(element)?)),
        DataType::Struct(fields) => {
            let member = |field: &std::sync::Arc<Field>| Ok((field.name().clone(), declared(field)?));
            Base::Tuple(fields.iter().map(member).collect::<Result<_, String>>()?)
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => {
                Base::Map(Box::new((declared(&fields[0])?, declared(&fields[1])?)))
            }
            other => return Err(format!("a map has keys and values, not {other}")),
        },
        other => return Err(format!("ClickHouse has no type that holds every value of {other}")),
    };
    if base.is_nested() && field.is_nullable() {
        return Err(format!("{} can't be nullable in ClickHouse", field.data_type()));
    }
    Ok(ColumnType { low_cardinality: false, nullable: field.is_nullable(), base })
}

fn is_uuid(field: &Field) -> bool {
    field.metadata().get(EXTENSION_NAME).is_some_and(|name| name == "arrow.uuid")
}

/// Digits after the second.
fn digits(unit: TimeUnit) -> u8 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}

impl ColumnType {
    /// Whether every value of `narrow` is a value of this type.
    pub(crate) fn holds(&self, narrow: &Self) -> bool {
        (self.nullable || !narrow.nullable) && self.base.holds(&narrow.base)
    }

    /// Reads a type as ClickHouse writes it; `None` for those that the engine never writes.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let plain = |inner: &str| Self::parse(inner).filter(|inner| !inner.base.is_nested());
        if let Some(inner) = call(text, "LowCardinality") {
            return Some(Self { low_cardinality: true, ..plain(inner)? });
        }
        if let Some(inner) = call(text, "Nullable") {
            return Some(Self { nullable: true, ..plain(inner)? });
        }
        Some(Self { low_cardinality: false, nullable: false, base: Base::parse(text)? })
    }
}

impl Base {
    /// Made of other columns, and so without nulls of its own.
    fn is_nested(&self) -> bool {
        matches!(self, Self::Array(_) | Self::Map(_) | Self::Tuple(_))
    }

    fn holds(&self, narrow: &Self) -> bool {
        match (self, narrow) {
            (Self::Int(wide), Self::Int(bits))
            | (Self::UInt(wide), Self::UInt(bits))
            | (Self::Float(wide), Self::Float(bits)) => wide >= bits,
            (Self::Int(wide), Self::UInt(bits)) => wide > bits,
            (Self::UInt(8), Self::Bool) => true,
            // Nanoseconds end in 2262, before the other scales do.
            (Self::DateTime64(wide), Self::DateTime64(digits)) => wide == digits || (wide > digits && *wide < 9),
            (Self::Time64(wide), Self::Time64(digits)) => wide >= digits,
            (Self::Decimal { precision: p, scale: s }, Self::Decimal { precision, scale }) => {
                s >= scale && p - s >= precision - scale
            }
            (Self::Array(wide), Self::Array(element)) => wide.holds(element),
            (Self::Map(wide), Self::Map(narrow)) => wide.0.holds(&narrow.0) && wide.1.holds(&narrow.1),
            (Self::Tuple(wide), Self::Tuple(members)) => {
                wide.len() == members.len() && wide.iter().zip(members).all(|(w, m)| w.0 == m.0 && w.1.holds(&m.1))
            }
            (wide, narrow) => wide == narrow,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let number = |bits: &str| bits.parse().ok().filter(|bits| matches!(bits, 8 | 16 | 32 | 64));
        Some(match text {
            "Bool" => Self::Bool,
            "String" => Self::String,
            "UUID" => Self::Uuid,
            "JSON" => Self::Json,
            "Date" => Self::Date,
            "Date32" => Self::Date32,
            "DateTime" => Self::DateTime,
            _ => {
                if let Some(bits) = text.strip_prefix("UInt").and_then(number) {
                    return Some(Self::UInt(bits));
                }
                if let Some(bits) = text.strip_prefix("Int").and_then(number) {
                    return Some(Self::Int(bits));
                }
                if let Some(bits) = text.strip_prefix("Float").and_then(number) {
                    return (bits >= 32).then_some(Self::Float(bits));
                }
                return Self::parse_with_arguments(text);
            }
        })
    }

    fn parse_with_arguments(text: &str) -> Option<Self> {
        let (name, rest) = text.split_once('(')?;
        let arguments = split(rest.strip_suffix(')')?)?;
        let inside = |text: &str| text.strip_prefix('\'')?.strip_suffix('\'').map(str::to_owned);
        let zone = |text: &str| inside(text).is_some_and(|zone| !zone.contains(['\'', '\\']));
        let digits = |text: &str| text.parse().ok().filter(|digits| *digits <= 9);
        match (name, arguments.as_slice()) {
            ("DateTime", [tz]) if zone(tz) => Some(Self::DateTime),
            ("DateTime64", [scale]) => Some(Self::DateTime64(digits(scale)?)),
            ("DateTime64", [scale, tz]) if zone(tz) => Some(Self::DateTime64(digits(scale)?)),
            ("Time64", [scale]) => Some(Self::Time64(digits(scale)?)),
            ("FixedString", [width]) => Some(Self::FixedString(width.parse().ok()?)),
            ("Decimal", [precision, scale]) => {
                let (precision, scale) = (precision.parse().ok()?, scale.parse().ok()?);
                (precision <= 76 && scale <= precision).then_some(Self::Decimal { precision, scale })
            }
            ("Array", [element]) => Some(Self::Array(Box::new(ColumnType::parse(element)?))),
            ("Map", [key, value]) => Some(Self::Map(Box::new((ColumnType::parse(key)?, ColumnType::parse(value)?)))),
            ("Tuple", members) => members.iter().map(|text| member(text)).collect::<Option<_>>().map(Self::Tuple),
            _ => None,
        }
    }
}

/// A named member of a tuple. Only plain names: the engine's own tuples have no others.
fn member(text: &str) -> Option<(String, ColumnType)> {
    let (name, member_type) = text.split_once(' ')?;
    let name = name.trim_matches('`');
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    Some((name.to_owned(), ColumnType::parse(member_type)?)).filter(|_| plain)
}

/// The inside of `name(…)`.
fn call<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')')
}

/// Splits arguments at the commas that lie in no parentheses.
fn split(text: &str) -> Option<Vec<&str>> {
    let (mut depth, mut start, mut parts) = (0_u32, 0, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.checked_sub(1)?,
            ',' if depth == 0 => {
                parts.push(text.get(start..at)?.trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text.get(start..)?.trim());
    (depth == 0).then_some(parts)
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.low_cardinality, self.nullable) {
            (true, true) => write!(f, "LowCardinality(Nullable({}))", self.base),
            (true, false) => write!(f, "LowCardinality({})", self.base),
            (false, true) => write!(f, "Nullable({})", self.base),
            (false, false) => write!(f, "{}", self.base),
        }
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("Bool"),
            Self::Int(bits) => write!(f, "Int{bits}"),
            Self::UInt(bits) => write!(f, "UInt{bits}"),
            Self::Float(bits) => write!(f, "Float{bits}"),
            Self::String => f.write_str("String"),
            Self::FixedString(width) => write!(f, "FixedString({width})"),
            Self::Uuid => f.write_str("UUID"),
            Self::Json => f.write_str("JSON"),
            Self::Date => f.write_str("Date"),
            Self::Date32 => f.write_str("Date32"),
            Self::DateTime => f.write_str("DateTime('UTC')"),
            Self::DateTime64(digits) => write!(f, "DateTime64({digits}, 'UTC')"),
            Self::Time64(digits) => write!(f, "Time64({digits})"),
            Self::Decimal { precision, scale } => write!(f, "Decimal({precision}, {scale})"),
            Self::Array(element) => write!(f, "Array({element})"),
            Self::Map(pair) => write!(f, "Map({}, {})", pair.0, pair.1),
            Self::Tuple(members) => {
                f.write_str("Tuple(")?;
                for (index, (name, member)) in members.iter().enumerate() {
                    write!(f, "{}{name} {member}", if index == 0 { "" } else { ", " })?;
                }
                f.write_str(")")
            }
        }
    }
}

#[cfg(test)]
mod tests;
