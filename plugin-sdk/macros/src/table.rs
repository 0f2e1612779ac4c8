//! `#[derive(Table)]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::meta::ParseNestedMeta;
use syn::parse::ParseStream;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{DeriveInput, Error, Ident, LitStr, Result, Token};

use crate::columns::{Column, Struct, static_type};

/// What `#[table(…)]` says.
struct Options {
    name: LitStr,
    kind: Kind,
    sort_key: Vec<LitStr>,
    partition_by: Option<LitStr>,
    indexes: Vec<TokenStream>,
    /// Errors about which the struct is a table all the same: without one, each use of it would be an error as well.
    wrong: TokenStream,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Append,
    Current,
}

pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let allowed = ["name", "from", "rest", "before", "header", "change", "required", "clickhouse", "codec"];
    let table = Struct::new(input, &allowed, Struct::by_name)?;
    let Options { name, kind, sort_key, partition_by, indexes, mut wrong } = options(input)?;
    if let Err(error) = check_sort_key(input, kind, &sort_key, &table.columns) {
        wrong.extend(error.into_compile_error());
    }
    let kind = match kind {
        Kind::Append => quote!(::plugin_sdk::TableKind::Append),
        Kind::Current => quote!(::plugin_sdk::TableKind::Current),
    };
    let (builders, builders_tokens) = table.builders();
    let write = table.write_function();
    let (this, of) = (table.with_lifetime(&quote!('_)), table.with_lifetime(&quote!('row)));
    let partition_by = option(partition_by.as_ref());
    let columns = table.columns.iter().map(output_column);
    let checks = table.columns.iter().map(|column| {
        let (checks, misplaced) = (column.checks(), misplaced(column));
        quote!(#checks #misplaced)
    });
    Ok(quote! {
        #wrong
        #(#checks)*
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
                    indexes: ::std::vec![#(#indexes),*],
                }
            }

            #write
        }
    })
}

fn output_column(column: &Column) -> TokenStream {
    let (name, ty, source) = (&column.name, static_type(&column.ty), column.source().tokens());
    let (clickhouse, codec) = (option(column.clickhouse.as_ref()), option(column.codec.as_ref()));
    let doc = Some(&column.doc).filter(|doc| !doc.is_empty()).map(|doc| LitStr::new(doc, column.field.span()));
    let (doc, required) = (option(doc.as_ref()), column.required.is_some());
    quote! {
        ::plugin_sdk::description::OutputColumn {
            column: ::plugin_sdk::description::Column {
                name: ::std::borrow::Cow::Borrowed(#name),
                data_type: <#ty as ::plugin_sdk::ColumnType>::TYPE,
                nullable: <#ty as ::plugin_sdk::ColumnType>::NULLABLE,
            },
            passed_from: if <#ty as ::plugin_sdk::WriteColumn>::PASSED {
                ::core::option::Option::Some(#source)
            } else {
                ::core::option::Option::None
            },
            required: #required,
            clickhouse_type: #clickhouse,
            codec: #codec,
            doc: #doc,
        }
    }
}

/// Asserts that a column that says where it comes from is taken over from there.
fn misplaced(column: &Column) -> TokenStream {
    if column.source.is_none() && column.required.is_none() {
        return TokenStream::new();
    }
    let ty = static_type(&column.ty);
    let message = "from, rest, before, header, change and required are for columns of type Pass<T>: others are made";
    quote_spanned!(column.ty.span()=>
        const _: () = assert!(<#ty as ::plugin_sdk::WriteColumn>::PASSED, #message);
    )
}

fn option(value: Option<&LitStr>) -> TokenStream {
    match value {
        Some(value) => quote!(::core::option::Option::Some(#value)),
        None => quote!(::core::option::Option::None),
    }
}

fn options(input: &DeriveInput) -> Result<Options> {
    let (mut name, mut kind, mut sort_key, mut partition_by) = (None, None, Vec::new(), None);
    let (mut indexes, mut wrong) = (Vec::new(), TokenStream::new());
    for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("table")) {
        attribute.parse_nested_meta(|meta| {
            match meta.path.get_ident().map(Ident::to_string).unwrap_or_default().as_str() {
                "name" => name = Some(meta.value()?.parse()?),
                "kind" => {
                    let given = table_kind(&meta.value()?.parse()?);
                    kind = Some(given.unwrap_or_else(|error| {
                        wrong.extend(error.into_compile_error());
                        Kind::Append
                    }));
                }
                "sort_key" => sort_key = texts(meta.value()?)?,
                "partition_by" => partition_by = Some(meta.value()?.parse()?),
                "index" => indexes.push(index(&meta)?),
                _ => return Err(meta.error("a table has name, kind, sort_key, partition_by and index")),
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
        indexes,
        wrong,
    })
}

/// `index(name = "by_user", expression = "user_id", kind = "bloom_filter(0.01)")`.
fn index(meta: &ParseNestedMeta<'_>) -> Result<TokenStream> {
    let (mut name, mut expression, mut kind) = (None, None, None);
    meta.parse_nested_meta(|meta| {
        let value: LitStr = meta.value()?.parse()?;
        match meta.path.get_ident().map(Ident::to_string).unwrap_or_default().as_str() {
            "name" => name = Some(value),
            "expression" => expression = Some(value),
            "kind" => kind = Some(value),
            _ => return Err(meta.error("an index has name, expression and kind")),
        }
        Ok(())
    })?;
    let example = "index(name = \"by_user\", expression = \"user_id\", kind = \"bloom_filter(0.01)\")";
    let missing = |what| meta.error(format!("the index's {what} is missing, as in {example}"));
    let name = name.ok_or_else(|| missing("name"))?;
    let expression = expression.ok_or_else(|| missing("expression"))?;
    let kind = kind.ok_or_else(|| missing("kind"))?;
    Ok(quote!(::plugin_sdk::description::Index { name: #name, expression: #expression, kind: #kind }))
}

/// Keys may be expressions, so only plain names are looked up; the engine's own columns begin with an underscore.
fn check_sort_key(input: &DeriveInput, kind: Kind, sort_key: &[LitStr], columns: &[Column]) -> Result<()> {
    if kind == Kind::Current && sort_key.is_empty() {
        let message = "a table of kind \"current\" has a row for each key: say which, as in sort_key = [\"id\"]";
        return Err(Error::new(input.ident.span(), message));
    }
    for key in sort_key {
        let name = key.value();
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if plain && !name.starts_with('_') && !columns.iter().any(|column| column.name.value() == name) {
            let names: Vec<_> = columns.iter().map(|column| column.name.value()).collect();
            let message = format!("`{name}` is no column of the table; there are {}", names.join(", "));
            return Err(Error::new(key.span(), message));
        }
    }
    Ok(())
}

fn table_kind(kind: &LitStr) -> Result<Kind> {
    match kind.value().as_str() {
        "append" => Ok(Kind::Append),
        "current" => Ok(Kind::Current),
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
