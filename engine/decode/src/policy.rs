//! What becomes of values that have no exact cell: named cases, each with the policies that make sense for it.
//!
//! | case | what it is | policies, the default first |
//! |---|---|---|
//! | `infinity` | PostgreSQL's `infinity` and `-infinity` of dates, times and decimals | `reject`, `null`, `clamp` |
//! | `nan` | NaN, and the infinities of floating point numbers | `keep` for floats, else `reject`; `null` |
//! | `zero_date` | MySQL's `0000-00-00`, where the connector tells it | `reject`, `null` |
//! | `out_of_range` | does not fit the declared type; with `null` or `clamp` also what ClickHouse can't hold of it | `reject`, `null`, `clamp` |
//! | `unavailable` | the placeholder for a value that was not in the log (TOAST) | `reject`, `null`, `keep` |
//! | `missing` | null or absent, for a column that can't be null | `reject`, `zero` |
//! | `unsigned` | a negative number for UInt64: `BIGINT UNSIGNED` beyond 2^63 in the mode `long` | `wrap` where the envelope's connector is MySQL or MariaDB, else `reject`; `wrap`, `reject` |
//!
//! `reject` sets the message aside, `null` makes the cell null, `clamp` takes the nearest value that ClickHouse's type
//! holds (dates and timestamps: 1900 to 2299), `keep` takes the value as it stands, `zero` the type's zero, `wrap` reads
//! the 64 bits as unsigned. A MySQL zero date in a column that may be null comes as null, in one that may not as
//! 1970-01-01: that is the connector's doing, and nothing in the message tells.

use std::collections::BTreeMap;

use arrow_schema::{DataType, Field};
use serde::{Deserialize, Serialize};

/// A kind of value that has no exact cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Case {
    /// An infinite date, time or decimal.
    Infinity,
    /// Not a number; for floating point numbers the infinities as well.
    Nan,
    /// A date without month or day.
    ZeroDate,
    /// Beyond the column's type, or ClickHouse's.
    OutOfRange,
    /// A placeholder in the value's place.
    Unavailable,
    /// Null or absent, for a column that can't be null.
    Missing,
    /// Negative, for a column of UInt64.
    Unsigned,
}

/// What to do in a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// Set the message aside.
    Reject,
    /// Make the cell null.
    Null,
    /// Take the nearest value that ClickHouse's type holds.
    Clamp,
    /// Take the value as it stands.
    Keep,
    /// Take the type's zero.
    Zero,
    /// Read the bits as unsigned.
    Wrap,
}

/// How a column's strings are written, where no embedded schema says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// Base64, of either alphabet: bytes.
    Base64,
    /// Hexadecimal digits: bytes.
    Hex,
    /// Base64 of little-endian bits: `BIT(n)`, as an integer or as bytes.
    Bits,
    /// Base64 of an unscaled big-endian integer: decimals, and integers of `BIGINT UNSIGNED` as `precise`.
    Precise,
    /// Decimal digits.
    Text,
}

impl Case {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 7] =
        [Self::Infinity, Self::Nan, Self::ZeroDate, Self::OutOfRange, Self::Unavailable, Self::Missing, Self::Unsigned];

    /// The word for settings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Infinity => "infinity",
            Self::Nan => "nan",
            Self::ZeroDate => "zero_date",
            Self::OutOfRange => "out_of_range",
            Self::Unavailable => "unavailable",
            Self::Missing => "missing",
            Self::Unsigned => "unsigned",
        }
    }

    /// What can be done in this case.
    #[must_use]
    pub fn policies(self) -> &'static [Policy] {
        match self {
            Self::Infinity | Self::OutOfRange => &[Policy::Reject, Policy::Null, Policy::Clamp],
            Self::Nan => &[Policy::Keep, Policy::Reject, Policy::Null],
            Self::ZeroDate => &[Policy::Reject, Policy::Null],
            Self::Unavailable => &[Policy::Reject, Policy::Null, Policy::Keep],
            Self::Missing => &[Policy::Reject, Policy::Zero],
            Self::Unsigned => &[Policy::Reject, Policy::Wrap],
        }
    }
}

impl Policy {
    /// The word for settings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reject => "reject",
            Self::Null => "null",
            Self::Clamp => "clamp",
            Self::Keep => "keep",
            Self::Zero => "zero",
            Self::Wrap => "wrap",
        }
    }
}

impl Encoding {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Base64, Self::Hex, Self::Bits, Self::Precise, Self::Text];

    /// The word for settings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Base64 => "base64",
            Self::Hex => "hex",
            Self::Bits => "bits",
            Self::Precise => "precise",
            Self::Text => "text",
        }
    }
}

/// How a column is read beside its type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// How its strings are written, where no schema says it; by default as Debezium's defaults have it.
    pub encoding: Option<Encoding>,
    /// What differs from the default policies.
    pub policies: BTreeMap<Case, Policy>,
}

impl Reading {
    /// What was chosen for a case.
    #[must_use]
    pub fn policy(&self, case: Case) -> Option<Policy> {
        self.policies.get(&case).copied()
    }

    /// Adds policies for cases that have none yet, as far as they make sense for the column.
    pub fn add_defaults(&mut self, policies: &BTreeMap<Case, Policy>, field: &Field) {
        for (case, policy) in policies {
            let alone = Self { encoding: None, policies: BTreeMap::from([(*case, *policy)]) };
            if alone.check(field).is_ok() {
                self.policies.entry(*case).or_insert(*policy);
            }
        }
    }

    /// What of this makes no sense for a column, in words.
    pub(super) fn check(&self, field: &Field) -> Result<(), String> {
        let name = field.name();
        let problem = |words: String| Err(format!("column {name} ({}): {words}", field.data_type()));
        if let Some(encoding) = self.encoding.filter(|encoding| !encodes(*encoding, field)) {
            return problem(format!("the encoding {} is not for this type", encoding.as_str()));
        }
        for (case, policy) in &self.policies {
            let (case_word, word) = (case.as_str(), policy.as_str());
            if !case.policies().contains(policy) {
                let possible: Vec<_> = case.policies().iter().map(|policy| policy.as_str()).collect();
                return problem(format!("{case_word} = {word} is not possible, but {}", possible.join(", ")));
            }
            if *policy == Policy::Null && !field.is_nullable() {
                return problem(format!("{case_word} = null needs a column that may be null"));
            }
            if !fits(*case, *policy, field) {
                return problem(format!("{case_word} = {word} is not for this type"));
            }
        }
        Ok(())
    }
}

/// The type that values are read as: a list's is that of its elements.
fn innermost(field: &Field) -> &Field {
    if let DataType::List(element) = field.data_type() { innermost(element) } else { field }
}

fn encodes(encoding: Encoding, field: &Field) -> bool {
    let data_type = innermost(field).data_type();
    let decimal = matches!(data_type, DataType::Decimal128(..) | DataType::Decimal256(..));
    match encoding {
        Encoding::Base64 | Encoding::Hex => *data_type == DataType::Binary,
        Encoding::Bits => data_type.is_integer(),
        Encoding::Precise => decimal || data_type.is_integer(),
        Encoding::Text => decimal,
    }
}

fn fits(case: Case, policy: Policy, field: &Field) -> bool {
    let data_type = field.data_type();
    let point_in_time = matches!(data_type, DataType::Date32 | DataType::Timestamp(..));
    match (case, policy) {
        (Case::Infinity | Case::OutOfRange, Policy::Clamp) => point_in_time,
        (Case::Nan, Policy::Keep) => data_type.is_floating(),
        (Case::Unavailable, Policy::Keep) => !matches!(data_type, DataType::FixedSizeBinary(_)),
        (Case::Unsigned, _) => *data_type == DataType::UInt64,
        _ => true,
    }
}
