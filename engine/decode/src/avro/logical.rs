//! Avro's own words for types in those of Kafka Connect: what a writer that is not Connect says.

use std::collections::BTreeMap;

use super::schema::{Kind, Meaning};

/// The semantic type that the logical type stands for (Avro 1.12 specification, "Logical types"), with its
/// parameters. A logical type on a kind that it does not go with is ignored, as the specification wants it.
pub(super) fn logical(of: &Kind, meaning: &Meaning) -> (Option<&'static str>, BTreeMap<String, String>) {
    let mut parameters = BTreeMap::new();
    let Some(logical) = meaning.logical.as_deref() else { return (None, parameters) };
    let name = match (logical, of) {
        ("decimal", Kind::Bytes | Kind::Fixed(_)) => {
            parameters.insert("scale".to_owned(), meaning.scale.unwrap_or(0).to_string());
            // Connect's converters write 64 where Connect knows no precision; what it knows is among its own parameters.
            if let Some(precision) = meaning.precision.filter(|_| meaning.name.is_none()) {
                parameters.insert("connect.decimal.precision".to_owned(), precision.to_string());
            }
            "org.apache.kafka.connect.data.Decimal"
        }
        ("date", Kind::Int) => "io.debezium.time.Date",
        ("time-millis", Kind::Int) => "io.debezium.time.Time",
        ("time-micros", Kind::Long) => "io.debezium.time.MicroTime",
        ("timestamp-millis" | "local-timestamp-millis", Kind::Long) => "io.debezium.time.Timestamp",
        ("timestamp-micros" | "local-timestamp-micros", Kind::Long) => "io.debezium.time.MicroTimestamp",
        ("timestamp-nanos" | "local-timestamp-nanos", Kind::Long) => "io.debezium.time.NanoTimestamp",
        ("uuid", Kind::String) => "io.debezium.data.Uuid",
        _ => return (None, parameters),
    };
    (Some(name), parameters)
}

/// Connect's type of the same values. A union of more than null and one type has none of its own.
pub(super) fn connect_kind(of: &Kind) -> &'static str {
    match of {
        Kind::Null => "null",
        Kind::Boolean => "boolean",
        Kind::Int => "int32",
        Kind::Long => "int64",
        Kind::Float => "float",
        Kind::Double => "double",
        Kind::Bytes | Kind::Fixed(_) => "bytes",
        Kind::String | Kind::Enum(_) => "string",
        Kind::Array(_) => "array",
        Kind::Map(_) => "map",
        Kind::Union(_) => "union",
        Kind::Record(_) => "struct",
    }
}
