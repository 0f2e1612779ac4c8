//! What an answer that is no success means: which cause, and what to do about it.
//!
//! Two steps, each a table. [`Cause::of_code`] reads ClickHouse's error code; what it does not know is
//! [`Cause::UnknownCode`], which is repeated: a row is never given up because of an answer nobody has seen before.
//! [`Cause::decision`] says what each cause does to the block.

use std::fmt;

/// An answer that is no success, or none.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) cause: Cause,
    /// ClickHouse's error code, 0 where there is none.
    pub(super) code: u32,
    /// The server's or the HTTP client's words.
    pub(super) message: String,
}

/// Why an attempt was no success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Nobody listens there, or no route.
    Connect,
    /// HTTP 429 or 503 without a code of ClickHouse: a proxy, or a server that starts or stops.
    Unavailable,
    /// Merges are behind.
    TooManyParts,
    /// Out of memory or disk.
    Resources,
    /// Too many queries at once, or the same one still runs.
    Busy,
    /// The table is read-only for the moment, or replicas or Keeper are missing.
    ReadOnly,
    /// A quota of an interval is used up.
    Quota,
    /// No answer in time.
    Timeout,
    /// The connection broke before the answer was complete.
    Broken,
    /// HTTP 5xx without a code of ClickHouse, or an answer that is not ClickHouse's.
    NoVerdict,
    /// Success, with fewer rows written than sent.
    Short,
    /// The server was shut down or the query killed in the middle.
    Cancelled,
    /// A code that this table does not know.
    UnknownCode,
    /// TLS: one side does not take the other's certificate, or the server speaks something else. Nothing was read by it.
    Certificate,
    /// User, password or network.
    Login,
    /// Grants, a read-only profile, or a setting that may not be changed.
    Grants,
    /// The address leads elsewhere.
    Redirect,
    /// Table or column is gone.
    TableChanged,
    /// The rows: a type, a constraint, a size.
    Rows,
    /// The rows of one block lie in more table partitions than tokens are remembered.
    TooManyPartitions,
    /// The block could not be encoded.
    Encode,
    /// The server's fence says that the lane is another engine's.
    Fenced,
    /// The rows that are there, or the table's memory, leave no way to go on.
    Unsettled,
}

/// What to do about a cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Nothing was written, and it passes: repeat.
    NotNow,
    /// The rows may be in, or be on their way: repeat with the same token.
    Unknown,
    /// The operator has to let the engine in.
    Denied,
    /// The table has to be prepared again.
    Table,
    /// Repeating changes nothing: these rows are refused.
    Refused,
    /// A bug of the engine.
    Bug,
    /// The lane is not this engine's.
    Fenced,
}

impl Cause {
    /// All causes, in the order of their discriminants.
    pub const ALL: [Self; 23] = [
        Self::Connect,
        Self::Unavailable,
        Self::TooManyParts,
        Self::Resources,
        Self::Busy,
        Self::ReadOnly,
        Self::Quota,
        Self::Timeout,
        Self::Broken,
        Self::NoVerdict,
        Self::Short,
        Self::Cancelled,
        Self::UnknownCode,
        Self::Certificate,
        Self::Login,
        Self::Grants,
        Self::Redirect,
        Self::TableChanged,
        Self::Rows,
        Self::TooManyPartitions,
        Self::Encode,
        Self::Fenced,
        Self::Unsettled,
    ];

    pub(super) fn decision(self) -> Decision {
        match self {
            Self::Connect
            | Self::Unavailable
            | Self::TooManyParts
            | Self::Resources
            | Self::Busy
            | Self::ReadOnly
            | Self::Quota => Decision::NotNow,
            Self::Timeout | Self::Broken | Self::NoVerdict | Self::Short | Self::Cancelled | Self::UnknownCode => {
                Decision::Unknown
            }
            Self::Certificate | Self::Login | Self::Grants | Self::Redirect => Decision::Denied,
            Self::TableChanged => Decision::Table,
            Self::Rows | Self::TooManyPartitions | Self::Unsettled => Decision::Refused,
            Self::Encode => Decision::Bug,
            Self::Fenced => Decision::Fenced,
        }
    }

    /// The cause behind an error code of ClickHouse.
    pub(super) fn of_code(code: u32, message: &str) -> Self {
        match code {
            // TOO_MANY_PARTS says two things: merges are behind, or the block's own rows are too scattered.
            252 if message.contains("Too many partitions for single INSERT block") => Self::TooManyPartitions,
            252 => Self::TooManyParts,
            // MEMORY_LIMIT_EXCEEDED, NOT_ENOUGH_SPACE, CANNOT_ALLOCATE_MEMORY, CANNOT_SCHEDULE_TASK
            241 | 243 | 173 | 439 => Self::Resources,
            // TOO_MANY_SIMULTANEOUS_QUERIES, QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING, DEADLOCK_AVOIDED, SERVER_OVERLOADED
            202 | 216 | 473 | 745 => Self::Busy,
            // TABLE_IS_READ_ONLY, NO_ZOOKEEPER, TOO_FEW_LIVE_REPLICAS, UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE
            242 | 225 | 285 | 286 => Self::ReadOnly,
            201 => Self::Quota,
            // TIMEOUT_EXCEEDED, SOCKET_TIMEOUT
            159 | 209 => Self::Timeout,
            // NETWORK_ERROR, ALL_CONNECTION_TRIES_FAILED, UNEXPECTED_PACKET_FROM_SERVER, UNKNOWN_STATUS_OF_INSERT
            210 | 279 | 102 | 319 => Self::Broken,
            // ABORTED, QUERY_WAS_CANCELLED
            236 | 394 => Self::Cancelled,
            // UNKNOWN_USER, WRONG_PASSWORD, REQUIRED_PASSWORD, IP_ADDRESS_NOT_ALLOWED, AUTHENTICATION_FAILED
            192..=195 | 516 => Self::Login,
            // READONLY, DATABASE_ACCESS_DENIED, SETTING_CONSTRAINT_VIOLATION, ACCESS_DENIED, UNKNOWN_SETTING
            164 | 291 | 452 | 497 | 115 => Self::Grants,
            // THERE_IS_NO_COLUMN, NO_SUCH_COLUMN_IN_TABLE, UNKNOWN_TABLE, UNKNOWN_DATABASE, TABLE_IS_DROPPED
            8 | 16 | 60 | 81 | 218 => Self::TableChanged,
            // CANNOT_PARSE_TEXT, _INPUT, _DATE, _DATETIME, _NUMBER, _UUID; TYPE_MISMATCH, CANNOT_CONVERT_TYPE
            6 | 27 | 38 | 41 | 72 | 376 | 53 | 70 => Self::Rows,
            // INCORRECT_DATA, ARGUMENT_OUT_OF_BOUND, VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE, DECIMAL_OVERFLOW
            117 | 69 | 321 | 407 => Self::Rows,
            // TOO_LARGE_ARRAY_SIZE, TOO_LARGE_STRING_SIZE, CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
            128 | 131 | 349 => Self::Rows,
            // FUNCTION_THROW_IF_VALUE_IS_NON_ZERO
            395 if message.contains(super::fence::WORD) => Self::Fenced,
            // The same from elsewhere, VIOLATED_CONSTRAINT, UNKNOWN_ELEMENT_OF_ENUM
            395 | 469 | 691 => Self::Rows,
            _ => Self::UnknownCode,
        }
    }

    /// The word for metrics and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Unavailable => "unavailable",
            Self::TooManyParts => "too_many_parts",
            Self::Resources => "resources",
            Self::Busy => "busy",
            Self::ReadOnly => "read_only",
            Self::Quota => "quota",
            Self::Timeout => "timeout",
            Self::Broken => "broken_connection",
            Self::NoVerdict => "no_verdict",
            Self::Short => "short",
            Self::Cancelled => "cancelled",
            Self::UnknownCode => "unknown_code",
            Self::Certificate => "certificate",
            Self::Login => "login",
            Self::Grants => "grants",
            Self::Redirect => "redirect",
            Self::TableChanged => "table_changed",
            Self::Rows => "rows",
            Self::TooManyPartitions => "too_many_partitions",
            Self::Encode => "encode",
            Self::Fenced => "fenced",
            Self::Unsettled => "unsettled",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_these_answers_end_the_repeating() {
        let ends = |decision| !matches!(decision, Decision::NotNow | Decision::Unknown);
        let codes: Vec<u32> = (0..2000).filter(|code| ends(Cause::of_code(*code, "").decision())).collect();
        let expected = [
            6, 8, 16, 27, 38, 41, 53, 60, 69, 70, 72, 81, 115, 117, 128, 131, 164, 192, 193, 194, 195, 218, 291, 321,
            349, 376, 395, 407, 452, 469, 497, 516, 691,
        ];
        assert_eq!(codes, expected);
    }

    #[test]
    fn scattered_rows_are_not_merges_that_are_behind() {
        let scattered = "Too many partitions for single INSERT block (more than 100).";
        assert_eq!(Cause::of_code(252, scattered).decision(), Decision::Refused);
        assert_eq!(Cause::of_code(252, "Too many parts (3000)").decision(), Decision::NotNow);
    }

    #[test]
    fn the_list_is_in_the_order_of_the_discriminants() {
        assert!(Cause::ALL.iter().enumerate().all(|(index, cause)| *cause as usize == index));
    }
}
