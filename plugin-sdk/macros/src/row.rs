//! `#[derive(Row)]`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{DeriveInput, Lifetime, Result};

use crate::columns::{Column, Struct, replace_lifetimes, static_type};

pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let row = Struct::new(input, &["name", "rest", "before", "header", "change", "required"], Struct::by_source)?;
    let (builders, builders_tokens) = row.builders();
    let (columns, columns_tokens) = columns(&row);
    let write = row.write_function();
    let (this, of) = (row.with_lifetime(&quote!('_)), row.with_lifetime(&quote!('row)));
    let ident = &input.ident;
    let fields: Vec<_> = row.columns.iter().map(|column| &column.field).collect();
    let names: Vec<_> = row.columns.iter().map(|column| &column.name).collect();
    let types: Vec<_> = row.columns.iter().map(|column| static_type(&column.ty)).collect();
    let sources: Vec<_> = row.columns.iter().map(|column| column.source().tokens()).collect();
    let required: Vec<_> = row.columns.iter().map(|column| column.required.is_some()).collect();
    let checks = row.columns.iter().map(Column::checks);
    Ok(quote! {
        #(#checks)*
        #columns_tokens
        #builders_tokens

        impl ::plugin_sdk::Row for #this {
            type Of<'row> = #of;
            type Columns<'row> = #columns<'row>;
            type Builders = #builders;

            fn describe(columns: &mut ::std::vec::Vec<::plugin_sdk::description::InputColumn>) {
                #(columns.push(::plugin_sdk::description::InputColumn::read(
                    #sources,
                    <#types as ::plugin_sdk::ColumnType>::TYPE,
                    <#types as ::plugin_sdk::ColumnType>::NULLABLE,
                    #required,
                ));)*
            }

            fn bind<'row>(
                buffers: &mut ::plugin_sdk::view::Buffers<'row>,
            ) -> ::core::result::Result<#columns<'row>, ::plugin_sdk::view::Mismatch> {
                ::core::result::Result::Ok(#columns {
                    #(#fields: ::plugin_sdk::view::View::bind(buffers)
                        .map_err(|mismatch: ::plugin_sdk::view::Mismatch| mismatch.of_column(#names))?,)*
                    batch__: ::core::marker::PhantomData,
                })
            }

            #[inline(always)]
            fn get<'row>(columns: &Self::Columns<'row>, row: usize) -> Self::Of<'row> {
                #ident { #(#fields: ::plugin_sdk::view::View::get(&columns.#fields, row),)* }
            }

            #write
        }
    })
}

/// The views of the columns, for batch style.
fn columns(row: &Struct<'_>) -> (proc_macro2::Ident, TokenStream) {
    let columns = format_ident!("{}Columns", row.input.ident);
    let (vis, doc) = (&row.input.vis, format!("Views of the columns of [`{}`].", row.input.ident));
    let lifetime = Lifetime::new("'row", proc_macro2::Span::call_site());
    let fields = row.columns.iter().map(|column| {
        let (field, ty, doc) = (&column.field, &column.ty, format!("Reads `{}`.", column.name.value()));
        let ty = replace_lifetimes(quote!(#ty), &lifetime);
        quote_spanned!(column.ty.span()=> #[doc = #doc] #vis #field: <#ty as ::plugin_sdk::ReadColumn>::View<'row>)
    });
    let tokens = quote! {
        #[doc = #doc]
        #vis struct #columns<'row> {
            #(#fields,)*
            // A row of columns without text has no other use for the lifetime.
            batch__: ::core::marker::PhantomData<&'row [u8]>,
        }
    };
    (columns, tokens)
}
