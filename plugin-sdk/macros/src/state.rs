//! `#[derive(StateKey)]` and `#[derive(StateValue)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, Fields, GenericParam, Index, LitInt, Member, Result, Type};

use crate::columns::static_type;

/// The fields of a struct, in order.
fn fields(input: &DeriveInput, what: &str) -> Result<Vec<(Member, Type)>> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new(
            input.ident.span(),
            format!("only a struct can be {what}: its fields, one after the other"),
        ));
    };
    let member = |(index, field): (usize, &syn::Field)| {
        let member = field.ident.clone().map_or_else(|| Member::Unnamed(Index::from(index)), Member::Named);
        (member, field.ty.clone())
    };
    Ok(data.fields.iter().enumerate().map(member).collect())
}

/// The fields of a struct are the parts of the key.
pub(crate) fn derive_key(input: &DeriveInput) -> Result<TokenStream> {
    let ident = &input.ident;
    let lifetime = match input.generics.params.iter().collect::<Vec<_>>().as_slice() {
        [] => false,
        [GenericParam::Lifetime(_)] => true,
        [other, ..] => {
            return Err(Error::new_spanned(other, "a key has at most one lifetime, and no other parameters"));
        }
    };
    let (this, of) =
        if lifetime { (quote!(#ident<'_>), quote!(#ident<'key>)) } else { (quote!(#ident), quote!(#ident)) };
    let fields = fields(input, "a key")?;
    let Some(((last, last_type), first)) = fields.split_last() else {
        return Err(Error::new(ident.span(), "a key has at least one field"));
    };
    let last_type = static_type(last_type);
    let (members, types): (Vec<_>, Vec<_>) = first.iter().map(|(member, ty)| (member, static_type(ty))).unzip();
    let key = quote!(::plugin_sdk::StateKey);
    Ok(quote! {
        impl #key for #this {
            type Of<'key> = #of;
            const WIDTH: ::core::option::Option<usize> = <(#(#types,)* #last_type,) as #key>::WIDTH;
            #[inline(always)]
            fn write(&self, out: &mut ::std::vec::Vec<u8>) {
                #(#key::write_part(&self.#members, out);)*
                #key::write(&self.#last, out);
            }
            #[inline(always)]
            fn write_part(&self, out: &mut ::std::vec::Vec<u8>) {
                #(#key::write_part(&self.#members, out);)*
                #key::write_part(&self.#last, out);
            }
            fn read(mut bytes: &[u8]) -> ::core::option::Option<Self::Of<'_>> {
                let bytes = &mut bytes;
                ::core::option::Option::Some(#ident {
                    #(#members: <#types as #key>::read_part(bytes)?,)*
                    #last: <#last_type as #key>::read(bytes)?,
                })
            }
            fn read_part<'key>(bytes: &mut &'key [u8]) -> ::core::option::Option<Self::Of<'key>> {
                ::core::option::Option::Some(#ident {
                    #(#members: <#types as #key>::read_part(bytes)?,)*
                    #last: <#last_type as #key>::read_part(bytes)?,
                })
            }
        }
    })
}

/// What `#[state(…)]` says.
struct Options {
    version: TokenStream,
    from: Option<Type>,
}

pub(crate) fn derive_value(input: &DeriveInput) -> Result<TokenStream> {
    let ident = &input.ident;
    if let Some(param) = input.generics.params.first() {
        return Err(Error::new_spanned(
            param,
            "what is kept outlives its batch: no lifetimes or other parameters; text is a String",
        ));
    }
    let (write, read) = match &input.data {
        Data::Struct(_) => struct_field(input)?,
        Data::Enum(data) => enum_field(input, data)?,
        Data::Union(_) => return Err(Error::new(ident.span(), "a union can't be kept in state")),
    };
    let Options { version, from } = options(input)?;
    let (older, reads) = match &from {
        None => (quote!(::core::option::Option::None), quote!()),
        Some(from) => (
            quote!(<#from as ::plugin_sdk::StateValue>::read_version(version, bytes).map(::core::convert::Into::into)),
            quote!(<#from as ::plugin_sdk::StateValue>::reads(versions);),
        ),
    };
    let newer = from.as_ref().map(|from| {
        let message = "the version is to be greater than that of the type in `from`";
        quote! {
            const _: () = assert!(
                <#ident as ::plugin_sdk::StateValue>::VERSION > <#from as ::plugin_sdk::StateValue>::VERSION, #message
            );
        }
    });
    Ok(quote! {
        impl ::plugin_sdk::StateField for #ident {
            #[inline]
            fn write(&self, out: &mut ::std::vec::Vec<u8>) {
                #write
            }
            #[inline]
            fn read(bytes: &mut &[u8]) -> ::core::option::Option<Self> {
                #read
            }
        }

        impl ::plugin_sdk::StateValue for #ident {
            const VERSION: u32 = #version;
            fn reads(versions: &mut ::std::vec::Vec<u32>) {
                versions.push(Self::VERSION);
                #reads
            }
            #[inline]
            fn read_version(version: u32, bytes: &mut &[u8]) -> ::core::option::Option<Self> {
                if version == Self::VERSION {
                    return <Self as ::plugin_sdk::StateField>::read(bytes);
                }
                #older
            }
        }

        #newer
    })
}

fn struct_field(input: &DeriveInput) -> Result<(TokenStream, TokenStream)> {
    let ident = &input.ident;
    let (members, types): (Vec<_>, Vec<_>) = fields(input, "kept in state")?.into_iter().unzip();
    let field = quote!(::plugin_sdk::StateField);
    let write = quote!(#(<#types as #field>::write(&self.#members, out);)*);
    let read = quote!(::core::option::Option::Some(#ident { #(#members: <#types as #field>::read(bytes)?,)* }));
    Ok((write, read))
}

/// A variant is its number, so new ones are added at the end.
fn enum_field(input: &DeriveInput, data: &syn::DataEnum) -> Result<(TokenStream, TokenStream)> {
    let ident = &input.ident;
    let (mut writes, mut reads) = (Vec::new(), Vec::new());
    for (number, variant) in data.variants.iter().enumerate() {
        if !matches!(variant.fields, Fields::Unit) {
            return Err(Error::new_spanned(
                variant,
                "a variant that is kept in state has no fields: use a struct with an Option",
            ));
        }
        let (name, number) = (&variant.ident, number as u64);
        writes.push(quote!(Self::#name => #number,));
        reads.push(quote!(#number => ::core::option::Option::Some(#ident::#name),));
    }
    let field = quote!(<u64 as ::plugin_sdk::StateField>);
    let write = quote!(#field::write(&match self { #(#writes)* }, out););
    let read = quote!(match #field::read(bytes)? { #(#reads)* _ => ::core::option::Option::None });
    Ok((write, read))
}

fn options(input: &DeriveInput) -> Result<Options> {
    let mut options = Options { version: quote!(1), from: None };
    for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("state")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("version") {
                let version: LitInt = meta.value()?.parse()?;
                if version.base10_parse::<u32>()? == 0 {
                    return Err(Error::new(version.span(), "versions begin with 1"));
                }
                options.version = quote!(#version);
            } else if meta.path.is_ident("from") {
                options.from = Some(meta.value()?.parse()?);
            } else {
                return Err(meta.error("a value has version and from, as in #[state(version = 2, from = AccountV1)]"));
            }
            Ok(())
        })?;
    }
    Ok(options)
}
