//! The derives of plugin-sdk: `Row`, `Table`, `Parameters`, `StateKey` and `StateValue`. They only put the fields of a struct one behind the other;
//! what a field means is said by the traits of its type.

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

mod columns;
mod doc;
mod parameters;
mod row;
mod state;
mod table;

/// Makes a struct an input row. Each field is a column: the row's field of the same name, or what `#[column]` says:
///
/// | | the column is |
/// |---|---|
/// | `name = "Order ID"` | the row's field of that name, where it is no Rust name or not a good one |
/// | `required` | set aside is a message whose row does not name the field at all; else the column is null there |
/// | `before`, `before = "plan"` | the field as it was before the change: an `Option` |
/// | `rest` | all fields of the row that no other column reads, as one object: `Json` |
/// | `header = "trace-id"` | the message's last header of that name: an `Option` of text or bytes |
/// | `change = "offset"` | what the engine knows of the change: `op`, `deleted`, `version`, `source_timestamp`, `topic`, `partition`, `offset`, `key` |
#[proc_macro_derive(Row, attributes(column))]
pub fn derive_row(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    row::derive(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes a struct a row of an output table. Doc comments of fields become comments of the table's columns.
///
/// On the struct: `#[table(name = "orders", kind = "current", sort_key = ["id"], partition_by = "toYYYYMM(day)")]`; the kind is
/// `append` or `current`, the partition may be left out, the sort key too for `append`. Any number of
/// `index(name = "by_user", expression = "user_id", kind = "bloom_filter(0.01)")` may follow.
///
/// On a field, `#[column(…)]` with
///
/// | | |
/// |---|---|
/// | `name = "…"` | the column's name, where it is not the field's |
/// | `clickhouse = "LowCardinality(String)"` | its ClickHouse type, where it is not the default one |
/// | `codec = "Delta, ZSTD(1)"` | its codec |
/// | `from = "field"`, `rest`, `before`, `header = "…"`, `change = "…"`, `required` | for a field of type `Pass<T>`: which input column it takes over, as in a row |
#[proc_macro_derive(Table, attributes(table, column))]
pub fn derive_table(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    table::derive(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes a struct the parameters of a plugin. Each field is a parameter of the same name, and its doc comment tells users
/// what it is for. `#[parameter(default = 5)]` gives its default; without, it must be set.
///
/// Integers, floats and decimals, and `bool` are declared as such: the engine refuses another text before the plugin
/// starts. Every other type is text, read by its `FromStr`, so that an enum says itself what it takes.
#[proc_macro_derive(Parameters, attributes(parameter))]
pub fn derive_parameters(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    parameters::derive(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes a struct a key of state: its fields are the parts of the key.
#[proc_macro_derive(StateKey)]
pub fn derive_state_key(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    state::derive_key(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes a struct, or an enum without fields, a value of state: its fields, one after the other.
///
/// `#[state(version = 2, from = AccountV1)]` says that its fields have changed: raise the version each time, keep the older
/// struct, and say with `impl From<AccountV1>` how to come from it. Without it the version is 1.
#[proc_macro_derive(StateValue, attributes(state))]
pub fn derive_state_value(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    state::derive_value(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}
