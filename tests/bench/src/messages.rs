//! How the benchmarks' messages are written: the same changes of orders in each shape.

/// The beginning of a message with embedded schema, up to `"payload"`, as Debezium 3.7 wrote it for `inventory.orders`.
pub(crate) const SCHEMA: &str = include_str!("orders-schema-prefix.json");

/// How the messages of a topic are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// The envelope alone.
    Plain,
    /// With the schema in each message.
    Schema,
}

impl Shape {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Schema => "schema",
        }
    }

    /// A message of this shape, from its envelope.
    pub(crate) fn write(self, envelope: &[u8]) -> Vec<u8> {
        match self {
            Self::Plain => envelope.to_vec(),
            Self::Schema => [SCHEMA.as_bytes(), b"\"payload\":", envelope, b"}"].concat(),
        }
    }
}
