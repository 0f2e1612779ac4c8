//! Why a message is set aside: the words that dead letters are counted and searched by.

use crate::policy::Case;

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
    /// An update that says what changed, and not what the row is now.
    PartialUpdate,
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
    /// An infinite date, time or decimal.
    Infinity,
    /// Not a number.
    Nan,
    /// A date without month or day.
    ZeroDate,
    /// A placeholder stands for a value that was not in the source's log.
    Unavailable,
    /// One batch would hold 2 GiB of one column, or a message's lists, maps or schema are out of proportion to its bytes.
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
            Self::PartialUpdate => "partial_update",
            Self::MissingKey => "missing_key",
            Self::InvalidKey => "invalid_key",
            Self::MissingValue => "missing_value",
            Self::WrongType => "wrong_type",
            Self::OutOfRange => "out_of_range",
            Self::Inexact => "inexact",
            Self::InvalidValue => "invalid_value",
            Self::Infinity => "infinity",
            Self::Nan => "nan",
            Self::ZeroDate => "zero_date",
            Self::Unavailable => "unavailable",
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

pub(super) const POSITIVE_INFINITY: &Refusal =
    &Refusal { code: RejectCode::Infinity, reason: "the value is infinity (policy `infinity`: null or clamp)" };
pub(super) const NEGATIVE_INFINITY: &Refusal =
    &Refusal { code: RejectCode::Infinity, reason: "the value is -infinity (policy `infinity`: null or clamp)" };
pub(super) const NOT_A_NUMBER: &Refusal =
    &Refusal { code: RejectCode::Nan, reason: "the value is not a number (policy `nan`: null)" };
pub(super) const ZERO_DATE: &Refusal =
    &Refusal { code: RejectCode::ZeroDate, reason: "the date has no month or no day (policy `zero_date`: null)" };
pub(super) const ABOVE: &Refusal = &Refusal {
    code: RejectCode::OutOfRange,
    reason: "the value is above what the column can hold (policy `out_of_range`: null, or clamp for dates and timestamps)",
};
pub(super) const BELOW: &Refusal = &Refusal {
    code: RejectCode::OutOfRange,
    reason: "the value is below what the column can hold (policy `out_of_range`: null, or clamp for dates and timestamps)",
};
pub(super) const UNAVAILABLE: &Refusal = &Refusal {
    code: RejectCode::Unavailable,
    reason: "the value was not in the source's log: the connector wrote its placeholder (policy `unavailable`: null or \
             keep; or set the table's replica identity to full)",
};
pub(super) const NEGATIVE_UNSIGNED: &Refusal = &Refusal {
    code: RejectCode::OutOfRange,
    reason: "a negative number for an unsigned column: where it is a BIGINT UNSIGNED written as long, set the policy \
             `unsigned` to wrap",
};

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

impl Refusal {
    /// The case for which a policy may decide otherwise.
    pub(super) fn case(&self) -> Option<Case> {
        Some(match self.code {
            RejectCode::Infinity => Case::Infinity,
            RejectCode::Nan => Case::Nan,
            RejectCode::ZeroDate => Case::ZeroDate,
            RejectCode::Unavailable => Case::Unavailable,
            RejectCode::OutOfRange if self == NEGATIVE_UNSIGNED => Case::Unsigned,
            RejectCode::OutOfRange => Case::OutOfRange,
            RejectCode::InvalidUtf8
            | RejectCode::InvalidJson
            | RejectCode::DuplicateKey
            | RejectCode::WrongFormat
            | RejectCode::InvalidSchema
            | RejectCode::UnknownOp
            | RejectCode::MissingRow
            | RejectCode::PartialUpdate
            | RejectCode::MissingKey
            | RejectCode::InvalidKey
            | RejectCode::MissingValue
            | RejectCode::WrongType
            | RejectCode::Inexact
            | RejectCode::InvalidValue
            | RejectCode::TooLarge
            | RejectCode::InvalidAvro
            | RejectCode::UnknownSchema
            | RejectCode::NoRegistry => return None,
        })
    }

    /// At which end of the type the value lies, where that is known.
    pub(super) fn end(&self) -> Option<End> {
        if self == POSITIVE_INFINITY || self == ABOVE {
            Some(End::High)
        } else if self == NEGATIVE_INFINITY || self == BELOW {
            Some(End::Low)
        } else {
            None
        }
    }
}

/// An end of what a type can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Low,
    High,
}

impl From<&'static Refusal> for Refused {
    fn from(refusal: &'static Refusal) -> Self {
        Self { place: Place::Value, refusal }
    }
}
