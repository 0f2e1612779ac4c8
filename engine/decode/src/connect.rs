//! Kafka Connect's schemas: what the semantic types of Connect and Debezium mean, for reading values and for telling of them
//! (<https://debezium.io/documentation/reference/stable/connectors/postgresql.html>, "Data type mappings").

use arrow_schema::{DataType, TimeUnit};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::schema::{Shape, Wire};
use super::source::Written;

/// A schema as Kafka Connect's JSON converter writes it (KIP-301 names the fields; `JsonSchema` is its source).
#[derive(Debug, Deserialize)]
pub(super) struct ConnectSchema {
    #[serde(rename = "type")]
    kind: String,
    name: Option<String>,
    pub(super) field: Option<String>,
    fields: Option<Vec<ConnectSchema>>,
    parameters: Option<Parameters>,
    items: Option<Box<ConnectSchema>>,
    optional: Option<Value>,
    default: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
struct Parameters {
    scale: Option<String>,
    #[serde(rename = "connect.decimal.precision")]
    precision: Option<Value>,
}

impl ConnectSchema {
    /// The fields of a struct's field of this name.
    pub(super) fn fields_of(&self, name: &str) -> &[Self] {
        let field = self.fields.iter().flatten().find(|field| field.field.as_deref() == Some(name));
        field.and_then(|field| field.fields.as_deref()).unwrap_or_default()
    }

    /// The fields of the row after the change.
    pub(super) fn row(&self, shape: Shape) -> &[Self] {
        match shape {
            Shape::Envelope => self.fields_of("after"),
            Shape::Row => self.fields.as_deref().unwrap_or_default(),
        }
    }

    /// Whether it may be null.
    pub(super) fn is_optional(&self) -> bool {
        self.optional == Some(Value::Bool(true))
    }

    /// Whether a null may have become a default on its way, which nothing in a message tells.
    pub(super) fn has_default_for_null(&self) -> bool {
        self.is_optional() && self.default.is_some()
    }

    /// How values are written: what of it the decoder needs to know.
    pub(super) fn wire(&self) -> Wire {
        let scale = || self.parameters.as_ref()?.scale.as_ref()?.parse().ok();
        match (self.name.as_deref().unwrap_or_default(), self.kind.as_str()) {
            ("org.apache.kafka.connect.data.Decimal", "bytes") => {
                scale().map_or(Wire::Bytes, |scale| Wire::Decimal { scale })
            }
            ("io.debezium.time.Date" | "org.apache.kafka.connect.data.Date", _) => Wire::Days,
            ("io.debezium.time.Time", _) | ("org.apache.kafka.connect.data.Time", "int32") => {
                Wire::Time(TimeUnit::Millisecond)
            }
            ("io.debezium.time.MicroTime" | "org.apache.kafka.connect.data.Time", _) => {
                Wire::Time(TimeUnit::Microsecond)
            }
            ("io.debezium.time.NanoTime", _) => Wire::Time(TimeUnit::Nanosecond),
            ("io.debezium.time.Timestamp" | "org.apache.kafka.connect.data.Timestamp", _) => {
                Wire::Timestamp(TimeUnit::Millisecond)
            }
            ("io.debezium.time.MicroTimestamp", _) => Wire::Timestamp(TimeUnit::Microsecond),
            ("io.debezium.time.NanoTimestamp", _) => Wire::Timestamp(TimeUnit::Nanosecond),
            ("io.debezium.data.Bits", _) => Wire::Bits,
            ("io.debezium.data.EnumSet", _) => Wire::Set,
            (_, "array") => Wire::List(Box::new(self.items.as_ref().map_or(Wire::Unknown, |items| items.wire()))),
            (_, "string") => Wire::Text,
            (_, "bytes") => Wire::Bytes,
            _ => Wire::Unknown,
        }
    }

    /// The Arrow type that is exactly this, or the type's name.
    pub(super) fn written(&self) -> Written {
        let utc = |unit| DataType::Timestamp(unit, Some("UTC".into()));
        Written::As(match (self.name.as_deref().unwrap_or_default(), self.kind.as_str()) {
            ("org.apache.kafka.connect.data.Decimal", _) => return self.decimal(),
            ("io.debezium.time.Date" | "org.apache.kafka.connect.data.Date", _) => DataType::Date32,
            ("io.debezium.time.Time", _) | ("org.apache.kafka.connect.data.Time", "int32") => {
                DataType::Time32(TimeUnit::Millisecond)
            }
            ("io.debezium.time.MicroTime" | "org.apache.kafka.connect.data.Time", _) => {
                DataType::Time64(TimeUnit::Microsecond)
            }
            ("io.debezium.time.NanoTime", _) => DataType::Time64(TimeUnit::Nanosecond),
            ("io.debezium.time.Timestamp" | "org.apache.kafka.connect.data.Timestamp", _) => {
                DataType::Timestamp(TimeUnit::Millisecond, None)
            }
            ("io.debezium.time.MicroTimestamp", _) => DataType::Timestamp(TimeUnit::Microsecond, None),
            ("io.debezium.time.NanoTimestamp", _) => DataType::Timestamp(TimeUnit::Nanosecond, None),
            ("io.debezium.time.ZonedTimestamp", _) => utc(TimeUnit::Microsecond),
            ("", "boolean") => DataType::Boolean,
            ("", "int8") => DataType::Int8,
            ("", "int16") => DataType::Int16,
            ("", "int32") => DataType::Int32,
            ("", "int64") => DataType::Int64,
            ("", "float" | "float32") => DataType::Float32,
            ("", "double" | "float64") => DataType::Float64,
            ("", "string") => DataType::Utf8,
            ("", "bytes") => DataType::Binary,
            ("", other) => return Written::Named(other.to_owned()),
            (named, _) => return Written::Named(named.rsplit('.').next().unwrap_or(named).to_owned()),
        })
    }

    fn decimal(&self) -> Written {
        let exact = || {
            let parameters = self.parameters.as_ref()?;
            let precision: u8 = parameters.precision.as_ref()?.as_str()?.parse().ok()?;
            let scale: i8 = parameters.scale.as_ref()?.parse().ok()?;
            Some(if precision <= 38 {
                DataType::Decimal128(precision, scale)
            } else {
                DataType::Decimal256(precision, scale)
            })
        };
        exact().map_or_else(|| Written::Named("Decimal".to_owned()), Written::As)
    }
}
