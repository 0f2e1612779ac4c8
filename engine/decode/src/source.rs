//! What messages say of the rows that they carry: for those who compare a topic with what is read of it.

use std::fmt;
use std::sync::Arc;

use arrow_schema::DataType;

use super::connect::ConnectSchema;
use super::schema::Shape;

/// Descriptions of rows that one decoder remembers. A topic has one or two at a time; more are not worth the memory.
const MAX_SEEN: usize = 16;

/// The fields of a topic's rows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RowSchema {
    /// In the order in which messages have them.
    pub fields: Vec<SourceField>,
}

/// A field of the source's rows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SourceField {
    /// Its name.
    pub name: String,
    /// How its values are written.
    pub written: Written,
    /// Whether the schema says that it may be null.
    pub optional: bool,
    /// Whether it may be null and has a default: converters write the default in place of a null unless they are told not
    /// to, and nothing in the message says which it was.
    pub default_for_null: bool,
}

/// How values are written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Written {
    /// The schema says, and there is an Arrow type for exactly that.
    As(DataType),
    /// The schema says, in these words.
    Named(String),
    /// There is no schema: this is the kind of the JSON value; `None` where all were null.
    Json(Option<&'static str>),
    /// There is no schema, and values were not looked at.
    Untold,
}

impl RowSchema {
    /// What an embedded schema, as Connect's JSON converter writes it, says of the row after the change; `None`: nothing.
    #[must_use]
    pub fn of_envelope(schema: &[u8]) -> Option<Self> {
        Self::of_schema(schema, Shape::Envelope)
    }

    /// The same of a schema whose struct is the row.
    #[must_use]
    pub fn of_flat(schema: &[u8]) -> Option<Self> {
        Self::of_schema(schema, Shape::Row)
    }

    fn of_schema(schema: &[u8], shape: Shape) -> Option<Self> {
        let schema: ConnectSchema = serde_json::from_slice(schema).ok()?;
        Self::of(schema.row(shape))
    }

    pub(super) fn of(fields: &[ConnectSchema]) -> Option<Self> {
        let field = |field: &ConnectSchema| {
            Some(SourceField {
                name: field.field.clone()?,
                written: field.written(),
                optional: field.is_optional(),
                default_for_null: field.has_default_for_null(),
            })
        };
        let fields: Vec<_> = fields.iter().filter_map(field).collect();
        (!fields.is_empty()).then_some(Self { fields })
    }

    /// What keys alone say.
    pub(super) fn of_keys(keys: Vec<String>) -> Option<Self> {
        let field = |name| SourceField { name, written: Written::Untold, optional: false, default_for_null: false };
        let fields: Vec<_> = keys.into_iter().map(field).collect();
        (!fields.is_empty()).then_some(Self { fields })
    }

    /// The field of this name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&SourceField> {
        self.fields.iter().find(|field| field.name == name)
    }
}

impl Written {
    /// Whether a schema says so: two such can be compared.
    #[must_use]
    pub fn is_told(&self) -> bool {
        match self {
            Self::As(_) | Self::Named(_) => true,
            Self::Json(_) | Self::Untold => false,
        }
    }
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::As(data_type) => data_type.fmt(f),
            Self::Named(name) => f.write_str(name),
            Self::Json(kind) => f.write_str(kind.unwrap_or("always null")),
            Self::Untold => f.write_str("without a schema"),
        }
    }
}

/// Descriptions met so far, each once, in the order in which they came first.
#[derive(Debug, Default)]
pub(super) struct SeenSchemas(Vec<Arc<RowSchema>>);

impl SeenSchemas {
    pub(super) fn add(&mut self, row: Option<RowSchema>) {
        if let Some(row) = row
            && self.0.len() < MAX_SEEN
            && self.0.iter().all(|seen| **seen != row)
        {
            self.0.push(Arc::new(row));
        }
    }

    pub(super) fn all(&self) -> &[Arc<RowSchema>] {
        &self.0
    }
}
