//! `#[derive(Table)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::ParseStream;
use syn::punctuated::Punctuated;
use syn::{DeriveInput, Error, Ident, LitStr, Result, Token};

use crate::columns::{Struct, static_type};

/// What `#[table(…)]` says.
struct Options {
    name: LitStr,
    kind: TokenStream,
    sort_key: Vec<LitStr>,
    partition_by: Option<LitStr>,
}

pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let table = Struct::new(input, &["name", "from", "clickhouse"])?;
    let Options { name, kind, sort_key, partition_by } = options(input)?;
    let (builders, builders_tokens) = table.builders();
    let write = table.write_function();
    let (this, of) = (table.with_lifetime(&quote!('_)), table.with_lifetime(&quote!('row)));
    let partition_by = option(partition_by.as_ref());
    let columns = table.columns.iter().map(|column| {
        let (name, ty, clickhouse) = (&column.name, static_type(&column.ty), option(column.clickhouse.as_ref()));
        let from = column.from.as_ref().unwrap_or(name);
        let misplaced = column.from.as_ref().map(|from| {
            let message = format!("`from = \"{}\"` is for columns of type Pass<T>", from.value());
            quote! { const { assert!(<#ty as ::plugin_sdk::WriteColumn>::PASSED, #message) } }
        });
        quote! {{
            #misplaced
            ::plugin_sdk::description::OutputColumn {
                column: ::plugin_sdk::description::Column {
                    name: #name,
                    data_type: <#ty as ::plugin_sdk::ColumnType>::TYPE,
                    nullable: <#ty as ::plugin_sdk::ColumnType>::NULLABLE,
                },
                passed_from: if <#ty as ::plugin_sdk::WriteColumn>::PASSED {
                    ::core::option::Option::Some(#from)
                } else {
                    ::core::option::Option::None
                },
                clickhouse_type: #clickhouse,
            }
        }}
    });
    Ok(quote! {
        #builders_tokens

        impl ::plugin_sdk::Table for #this {
            type Of<'row> = #of;
            type Builders = #builders;

            fn describe() -> ::plugin_sdk::description::Output {
                ::plugin_sdk::description::Output {
                    table: #name,
                    kind: #kind,
                    columns: ::std::vec![#(#columns),*],
                    sort_key: ::std::vec![#(#sort_key),*],
                    partition_by: #partition_by,
                }
            }

            #write
        }
    })
}

fn option(value: Option<&LitStr>) -> TokenStream {
    match value {
        Some(value) => quote!(::core::option::Option::Some(#value)),
        None => quote!(::core::option::Option::None),
    }
}

fn options(input: &DeriveInput) -> Result<Options> {
    let (mut name, mut kind, mut sort_key, mut partition_by) = (None, None, Vec::new(), None);
    for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("table")) {
        attribute.parse_nested_meta(|meta| {
            match meta.path.get_ident().map(Ident::to_string).unwrap_or_default().as_str() {
                "name" => name = Some(meta.value()?.parse()?),
                "kind" => kind = Some(table_kind(&meta.value()?.parse()?)?),
                "sort_key" => sort_key = texts(meta.value()?)?,
                "partition_by" => partition_by = Some(meta.value()?.parse()?),
                _ => return Err(meta.error("a table has name, kind, sort_key and partition_by")),
            }
            Ok(())
        })?;
    }
    let example = "#[table(name = \"orders\", kind = \"current\", sort_key = [\"id\"])]";
    let missing = |what| Error::new(input.ident.span(), format!("the table's {what} is missing, as in {example}"));
    Ok(Options {
        name: name.ok_or_else(|| missing("name"))?,
        kind: kind.ok_or_else(|| missing("kind"))?,
        sort_key,
        partition_by,
    })
}

fn table_kind(kind: &LitStr) -> Result<TokenStream> {
    match kind.value().as_str() {
        "append" => Ok(quote!(::plugin_sdk::TableKind::Append)),
        "current" => Ok(quote!(::plugin_sdk::TableKind::Current)),
        _ => Err(Error::new(
            kind.span(),
            "a table is of kind \"append\" (each row stays) or \"current\" (the newest row counts)",
        )),
    }
}

/// `"id"` or `["region", "id"]`.
fn texts(input: ParseStream<'_>) -> Result<Vec<LitStr>> {
    if !input.peek(syn::token::Bracket) {
        return Ok(vec![input.parse()?]);
    }
    let list;
    syn::bracketed!(list in input);
    Ok(Punctuated::<LitStr, Token![,]>::parse_terminated(&list)?.into_iter().collect())
}
