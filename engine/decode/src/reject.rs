//! Why a message is set aside: the words that dead letters are counted and searched by.

/// The code of a decoding reject. Stable: dead letters, metrics and alerts use the words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RejectCode {
    /// The value's bytes are not UTF-8.
    InvalidUtf8,
    /// Not one JSON value: truncated, garbage behind it, a control character in a string, a lone surrogate.
    InvalidJson,
    /// A key that matters here occurs twice in one object. Neither value is taken: which one counts differs from
    /// reader to reader.
    DuplicateKey,
    /// The message is of the other [`Format`](crate::input::Format), or of none that is known.
    WrongFormat,
    /// The embedded schema is not a Kafka Connect schema, or the registered one not Avro.
    InvalidSchema,
    /// `op` or `__op` is a letter that Debezium does not define.
    UnknownOp,
    /// A change without the row that its kind must have.
    MissingRow,
    /// A delete whose row can only be told by the message's key, and there is none.
    MissingKey,
    /// The message's key is needed, and it can't be read.
    InvalidKey,
    /// Null or absent, and the column is not nullable.
    MissingValue,
    /// Another kind of JSON value, or another type in the schema, than the column can be made of.
    WrongType,
    /// The value does not fit into the column's type.
    OutOfRange,
    /// The value has digits that the column's type would lose.
    Inexact,
    /// Text that is not what its type says: date, UUID, base64, decimal, JSON.
    InvalidValue,
    /// One batch would hold 2 GiB of one column.
    TooLarge,
    /// Not the Avro value that its schema describes: truncated, garbage behind it, an impossible length.
    InvalidAvro,
    /// The schema registry does not know the message's schema.
    UnknownSchema,
    /// The message names a schema by its id, and there is no schema registry to ask.
    NoRegistry,
}

impl RejectCode {
    /// The word for tables, metrics and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidUtf8 => "invalid_utf8",
            Self::InvalidJson => "invalid_json",
            Self::DuplicateKey => "duplicate_key",
            Self::WrongFormat => "wrong_format",
            Self::InvalidSchema => "invalid_schema",
            Self::UnknownOp => "unknown_op",
            Self::MissingRow => "missing_row",
            Self::MissingKey => "missing_key",
            Self::InvalidKey => "invalid_key",
            Self::MissingValue => "missing_value",
            Self::WrongType => "wrong_type",
            Self::OutOfRange => "out_of_range",
            Self::Inexact => "inexact",
            Self::InvalidValue => "invalid_value",
            Self::TooLarge => "too_large",
            Self::InvalidAvro => "invalid_avro",
            Self::UnknownSchema => "unknown_schema",
            Self::NoRegistry => "no_registry",
        }
    }
}

/// What is wrong with bytes, as whoever reads them sees it: without a place, and without the value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: RejectCode,
    /// In words: what was expected.
    pub(super) reason: &'static str,
}

/// The result of reading something. Refusals are constants, so that an error is one pointer wide and the good case
/// of a hot function is not returned through memory.
pub(super) type Read<T> = Result<T, &'static Refusal>;

pub(super) const MALFORMED: &Refusal =
    &Refusal { code: RejectCode::InvalidJson, reason: "the message is not one well-formed JSON value" };
pub(super) const TRUNCATED: &Refusal =
    &Refusal { code: RejectCode::InvalidJson, reason: "the JSON ends before its time: a string or an object is open" };
pub(super) const TRAILING: &Refusal =
    &Refusal { code: RejectCode::InvalidJson, reason: "something follows the JSON value" };
pub(super) const CONTROL: &Refusal =
    &Refusal { code: RejectCode::InvalidJson, reason: "a string holds a control character that is not escaped" };
pub(super) const ESCAPE: &Refusal =
    &Refusal { code: RejectCode::InvalidJson, reason: "a string holds an escape that JSON does not know" };
pub(super) const SURROGATE: &Refusal =
    &Refusal { code: RejectCode::InvalidJson, reason: "a string holds half of a surrogate pair" };
pub(super) const NUMBER: &Refusal =
    &Refusal { code: RejectCode::InvalidJson, reason: "a number is not written as JSON wants it" };
pub(super) const UTF8: &Refusal = &Refusal { code: RejectCode::InvalidUtf8, reason: "the bytes are not UTF-8" };
pub(super) const DUPLICATE: &Refusal =
    &Refusal { code: RejectCode::DuplicateKey, reason: "a key occurs twice in one object" };
pub(super) const MISSING_VALUE: &Refusal =
    &Refusal { code: RejectCode::MissingValue, reason: "expected a value, found null or nothing" };
pub(super) const MISSING_FIELD: &Refusal =
    &Refusal { code: RejectCode::MissingValue, reason: "expected the row to name the field, even if it is null" };
pub(super) const TOO_LARGE: &Refusal =
    &Refusal { code: RejectCode::TooLarge, reason: "the column would exceed 2 GiB in one batch" };

/// Where in a message something is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The message's value as a whole.
    Value,
    /// The column of this index in the input.
    Column(usize),
    /// The message's key as a whole.
    Key,
}

/// A message refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) place: Place,
    pub(super) refusal: &'static Refusal,
}

impl From<&'static Refusal> for Refused {
    fn from(refusal: &'static Refusal) -> Self {
        Self { place: Place::Value, refusal }
    }
}
