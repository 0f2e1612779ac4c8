//! `#[derive(Parameters)]`.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::{Attribute, Data, DeriveInput, Error, Fields, Ident, Lit, LitStr, Result, Token, Type};

use crate::doc::doc;

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
        let (parameter_type, reads) = parameter_type(ty);
        let parameter_type = Ident::new(parameter_type, Span::call_site());
        let default = match default(&field.attrs)? {
            Some(default) if reads.is_some_and(|reads| !reads(&default.value())) => {
                let message = format!("the default `{}` is no {}", default.value(), quote!(#ty));
                return Err(Error::new(default.span(), message));
            }
            Some(default) => quote!(::core::option::Option::Some(#default)),
            None => quote!(::core::option::Option::None),
        };
        descriptions.push(quote! {
            ::plugin_sdk::description::Parameter {
                name: #text,
                doc: #doc,
                parameter_type: ::plugin_sdk::ParameterType::#parameter_type,
                default: #default,
            }
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

/// Whether a default is of its type.
type Reads = fn(&str) -> bool;

/// What the engine checks of the text. By the name of the type: every other type is text to the engine, and its
/// `FromStr` says what it takes.
fn parameter_type(ty: &Type) -> (&'static str, Option<Reads>) {
    let path = if let Type::Path(path) = ty { path.path.segments.last() } else { None };
    let name = path.map(|segment| segment.ident.to_string()).unwrap_or_default();
    macro_rules! reads {
        ($type:ty) => {
            Some(|text: &str| text.parse::<$type>().is_ok())
        };
    }
    match name.as_str() {
        "i8" => ("Integer", reads!(i8)),
        "i16" => ("Integer", reads!(i16)),
        "i32" => ("Integer", reads!(i32)),
        "i64" => ("Integer", reads!(i64)),
        "u8" => ("Integer", reads!(u8)),
        "u16" => ("Integer", reads!(u16)),
        "u32" | "usize" => ("Integer", reads!(u32)),
        "u64" => ("Integer", reads!(u64)),
        "f32" | "f64" => ("Number", Some(|text: &str| text.parse::<f64>().is_ok_and(f64::is_finite))),
        "Decimal" => ("Number", None),
        "bool" => ("Boolean", reads!(bool)),
        _ => ("Text", None),
    }
}

/// `#[parameter(default = 5)]`: text, or a number or truth value as it would be written in Rust.
fn default(attributes: &[Attribute]) -> Result<Option<LitStr>> {
    let mut default = None;
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("parameter")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("default") {
                return Err(meta.error("a parameter has a default: #[parameter(default = 5)]"));
            }
            let value = meta.value()?;
            let minus = value.parse::<Option<Token![-]>>()?.map_or("", |_| "-");
            let literal: Lit = value.parse()?;
            let text = match &literal {
                Lit::Str(text) => text.value(),
                Lit::Int(number) => format!("{minus}{}", number.base10_digits()),
                Lit::Float(number) => format!("{minus}{}", number.base10_digits()),
                Lit::Bool(truth) => truth.value.to_string(),
                Lit::ByteStr(_) | Lit::CStr(_) | Lit::Byte(_) | Lit::Char(_) | Lit::Verbatim(_) | _ => {
                    return Err(Error::new_spanned(literal, "a default is text, a number, true or false"));
                }
            };
            default = Some(LitStr::new(&text, literal.span()));
            Ok(())
        })?;
    }
    Ok(default)
}
