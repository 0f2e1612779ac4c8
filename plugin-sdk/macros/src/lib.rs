//! The derives of plugin-sdk: `Row`, `Table` and `Parameters`. They only put the fields of a struct one behind the other;
//! what a field means is said by the traits of its type.

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

mod columns;
mod parameters;
mod row;
mod table;

/// Makes a struct an input row. Each field is a column of the same name.
///
/// `#[column(name = "Order ID")]` on a field gives the column's name where it is no Rust name.
#[proc_macro_derive(Row, attributes(column))]
pub fn derive_row(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    row::derive(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes a struct a row of an output table.
///
/// On the struct: `#[table(name = "orders", kind = "current", sort_key = ["id"], partition_by = "toYYYYMM(day)")]`; the kind is
/// `append` or `current`, the partition may be left out, the sort key too for `append`.
///
/// On a field: `#[column(name = "…")]`, `#[column(clickhouse = "LowCardinality(String)")]`, and for a field of type
/// `Pass<T>` `#[column(from = "input column")]` where that has another name.
#[proc_macro_derive(Table, attributes(table, column))]
pub fn derive_table(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    table::derive(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes a struct the parameters of a plugin. Each field is a parameter of the same name, read by its `FromStr`, and its
/// doc comment tells users what it is for. `#[parameter(default = "text")]` gives its default; without, it must be set.
#[proc_macro_derive(Parameters, attributes(parameter))]
pub fn derive_parameters(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    parameters::derive(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}
