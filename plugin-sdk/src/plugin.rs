//! The entry: what [`export!`](crate::export) makes of a plugin, and the host as it sees it.

use crate::description::{Contradiction, Description, Format};
use crate::{Outputs, Parameters, RawBatch, RejectedRow, Row};

/// A plugin. Implemented by [`export!`](crate::export).
pub trait Plugin {
    /// What the plugin reads and writes.
    ///
    /// # Errors
    /// Its types contradict each other.
    fn description() -> Result<Description, Contradiction>;
    /// Reads the parameters; what comes back transforms batches with them.
    ///
    /// # Errors
    /// One of them is wrong.
    fn start(parameters: &[String], now_ms: i64) -> Result<Process, String>;
}

/// Transforms a batch: gives rows to the host, and back the rejected ones. An error fails the batch as a whole.
pub type Process = Box<dyn Fn(&RawBatch<'_>, &mut dyn Host) -> Result<Vec<RejectedRow>, String> + Send + Sync>;

/// The plugin's one way out, beside what it returns.
pub trait Host {
    /// Gives rows for an output table: the buffers of its made columns.
    fn emit(&mut self, output: u32, from: RowsFrom<'_>, buffers: &[&[u8]]);
}

/// Which input row each output row was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowsFrom<'a> {
    /// All rows of the batch, in order.
    All,
    /// The rows whose bit is set, in order.
    Selected(&'a [u8]),
    /// The row at each index.
    Taken(&'a [u32]),
}

/// Describes a plugin of these types. Called by [`export!`](crate::export).
///
/// # Errors
/// The types contradict each other.
pub fn describe<I: Row, O: Outputs, P: Parameters>(
    name_and_version: (&'static str, &'static str),
    format: Format,
) -> Result<Description, Contradiction> {
    let mut columns = Vec::new();
    I::describe(&mut columns);
    let mut outputs = Vec::new();
    O::describe(&mut outputs);
    Description::new(name_and_version, format, columns, outputs, P::describe())
}

/// Makes a crate a plugin.
///
/// ```
/// use plugin_sdk::{Change, Ctx, Reject, Row, Table};
///
/// #[derive(Row)]
/// struct Customer<'a> {
///     id: i64,
///     name: &'a str,
/// }
///
/// #[derive(Table)]
/// #[table(name = "customers", kind = "current", sort_key = ["id"])]
/// struct Clean<'a> {
///     id: i64,
///     name: &'a str,
/// }
///
/// fn clean<'a>(change: Change<Customer<'a>>, _: &Ctx) -> Result<Option<Clean<'a>>, Reject> {
///     let name = change.row.name.trim();
///     if name.is_empty() && !change.deleted() {
///         return Err(Reject::new("no_name", "a customer has a name"));
///     }
///     Ok(Some(Clean { id: change.row.id, name }))
/// }
///
/// plugin_sdk::export! {
///     plugin: Customers,           // the type that tests and the engine know the plugin by
///     input: Change<Customer>,     // or the row alone, where the operation does not matter
///     output: Option<Clean>,       // what the function gives back
///     row: clean,                  // or `rows: function`, or `batch: function`
/// }
/// # fn main() {}
/// ```
///
/// Between `plugin` and `input` may stand `format: Flat` (default: `Envelope`), between `output` and the function
/// `parameters: Type`. The function is one of
///
/// | style | function | output |
/// |---|---|---|
/// | `row` | `fn(In, &Ctx) -> Result<Out, Reject>` | what it gives back: a row, an `Option`, `Vec` or array of rows, a tuple of these |
/// | `rows` | `fn(In, &Ctx) -> Result<impl Iterator<Item = Out>, Reject>` | the row |
/// | `batch` | `fn(&Batch<In>, &mut Emit<Out>, &Ctx) -> Result<(), String>` | as for `row` |
#[macro_export]
macro_rules! export {
    (@format) => { $crate::Format::Envelope };
    (@format $format:ident) => { $crate::Format::$format };
    (@process row $($call:tt)*) => { $crate::process_row $($call)* };
    (@process rows $($call:tt)*) => { $crate::process_rows $($call)* };
    (@process batch $($call:tt)*) => { $crate::process_batch $($call)* };
    (@process $style:ident $($call:tt)*) => {
        compile_error!(concat!("`", stringify!($style), "`: a plugin has `row: function`, `rows: function` or `batch: function`"))
    };
    (
        plugin: $plugin:ident,
        $(format: $format:ident,)?
        input: $input:ty,
        output: $output:ty,
        parameters: $parameters:ty,
        $style:ident: $function:path $(,)?
    ) => {
        #[doc = concat!("The plugin `", env!("CARGO_PKG_NAME"), "`.")]
        #[derive(Clone, Copy, Debug)]
        pub struct $plugin;

        impl $crate::Plugin for $plugin {
            fn description() -> ::core::result::Result<$crate::Description, $crate::Contradiction> {
                $crate::plugin::describe::<$input, $output, $parameters>(
                    (env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")),
                    $crate::export!(@format $($format)?),
                )
            }

            fn start(
                parameters: &[String],
                now_ms: i64,
            ) -> ::core::result::Result<$crate::plugin::Process, String> {
                let parameters: $parameters = $crate::Parameters::parse(parameters)?;
                let context = $crate::Ctx { parameters, now: $crate::Timestamp::new(now_ms) };
                Ok(Box::new(move |batch: &$crate::RawBatch<'_>, host: &mut dyn $crate::Host| {
                    $crate::export!(@process $style ::<$input, $output, _, _>(batch, &context, host, &$function))
                }))
            }
        }

        #[cfg(target_family = "wasm")]
        $crate::export_plugin!($plugin);
    };
    (
        plugin: $plugin:ident,
        $(format: $format:ident,)?
        input: $input:ty,
        output: $output:ty,
        $style:ident: $function:path $(,)?
    ) => {
        $crate::export! {
            plugin: $plugin,
            $(format: $format,)?
            input: $input,
            output: $output,
            parameters: (),
            $style: $function,
        }
    };
    ($($other:tt)*) => {
        compile_error!(
            "export! takes, in this order: `plugin: Name, format: Flat, input: Row, output: Table, parameters: Type, \
             row: function`; format and parameters may be left out, `rows: function` or `batch: function` may stand in \
             place of row"
        );
    };
}
