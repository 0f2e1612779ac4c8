//! What a transform knows beside its rows: parameters and the epoch's clock; and what it says of a bad row.

use std::borrow::Cow;

use crate::description::Parameter;
use crate::time::{Millis, Timestamp};

/// The parameters of a plugin: a struct whose fields are read from text. Derived. `()` has none.
pub trait Parameters: Sized + Send + Sync + 'static {
    /// The parameters, in order.
    fn describe() -> Vec<Parameter>;
    /// Reads the values, in the order of [`Self::describe`].
    ///
    /// # Errors
    /// A value is not of its parameter's type; in words for the user.
    fn parse(values: &[String]) -> Result<Self, String>;
}

impl Parameters for () {
    fn describe() -> Vec<Parameter> {
        Vec::new()
    }
    fn parse(values: &[String]) -> Result<Self, String> {
        if values.is_empty() { Ok(()) } else { Err(format!("{} values for no parameters", values.len())) }
    }
}

/// Everything that a transform may depend on beside its rows.
#[derive(Clone, Copy, Debug)]
pub struct Ctx<P = ()> {
    /// The plugin's parameters.
    pub parameters: P,
    /// The epoch's clock. A replay of the epoch sees the same.
    pub now: Timestamp<Millis>,
    /// No event before this time is expected any more; the same for all rows of an epoch. `None` where the plugin has no
    /// event time, and before the first event.
    pub watermark: Option<Timestamp<Millis>>,
}

/// Why a row cannot be taken. It lands in the dead-letter table with its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// A stable word to count and search by, such as `bad_email`.
    pub code: Cow<'static, str>,
    /// What is wrong, in words.
    pub reason: Cow<'static, str>,
}

impl Reject {
    /// A reject. Constant text costs no allocation.
    #[cold]
    #[must_use]
    pub fn new(code: impl Into<Cow<'static, str>>, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { code: code.into(), reason: reason.into() }
    }
}

/// A reject and the row of the batch that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedRow {
    /// Index in the batch.
    pub row: usize,
    /// Why.
    pub reject: Reject,
}
