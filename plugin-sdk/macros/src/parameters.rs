//! `#[derive(Parameters)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, Data, DeriveInput, Error, Expr, ExprLit, Fields, Lit, LitStr, Meta, Result};

pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let fields = match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => &fields.named,
            Fields::Unnamed(_) | Fields::Unit => return Err(no_struct(input)),
        },
        Data::Enum(_) | Data::Union(_) => return Err(no_struct(input)),
    };
    let (ident, count) = (&input.ident, fields.len());
    let (mut descriptions, mut values) = (Vec::new(), Vec::new());
    for (index, field) in fields.iter().enumerate() {
        let (name, ty) = (&field.ident, &field.ty);
        let text = name.as_ref().map(ToString::to_string).unwrap_or_default();
        let doc = doc(&field.attrs);
        if doc.is_empty() {
            return Err(Error::new_spanned(field, "a parameter needs a doc comment: it tells users what to set"));
        }
        let default = match default(&field.attrs)? {
            Some(default) => quote!(::core::option::Option::Some(#default)),
            None => quote!(::core::option::Option::None),
        };
        descriptions.push(quote! {
            ::plugin_sdk::description::Parameter { name: #text, doc: #doc, default: #default }
        });
        values.push(quote! {
            #name: <#ty as ::core::str::FromStr>::from_str(&values[#index])
                .map_err(|error| ::std::format!("parameter `{}`: {}", #text, error))?
        });
    }
    Ok(quote! {
        impl ::plugin_sdk::Parameters for #ident {
            fn describe() -> ::std::vec::Vec<::plugin_sdk::description::Parameter> {
                ::std::vec![#(#descriptions),*]
            }

            fn parse(values: &[::std::string::String]) -> ::core::result::Result<Self, ::std::string::String> {
                if values.len() != #count {
                    return ::core::result::Result::Err(
                        ::std::format!("{} values for {} parameters", values.len(), #count),
                    );
                }
                ::core::result::Result::Ok(Self { #(#values),* })
            }
        }
    })
}

fn no_struct(input: &DeriveInput) -> Error {
    Error::new(input.ident.span(), "only a struct with named fields can be parameters: each field is one")
}

/// The doc comment's lines, joined.
fn doc(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| {
        let Meta::NameValue(meta) = &attribute.meta else { return None };
        let Expr::Lit(ExprLit { lit: Lit::Str(line), .. }) = &meta.value else { return None };
        meta.path.is_ident("doc").then(|| line.value().trim().to_owned())
    });
    lines.collect::<Vec<_>>().join(" ").trim().to_owned()
}

fn default(attributes: &[Attribute]) -> Result<Option<LitStr>> {
    let mut default = None;
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("parameter")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("default") {
                return Err(meta.error("a parameter has a default, written as text: #[parameter(default = \"5\")]"));
            }
            default = Some(meta.value()?.parse()?);
            Ok(())
        })?;
    }
    Ok(default)
}
