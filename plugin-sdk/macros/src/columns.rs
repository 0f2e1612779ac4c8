//! The fields of a struct as columns.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote};
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Fields, GenericParam, Ident, Lifetime, LitStr, Result, Type};

/// A field, and what its attributes say.
pub(crate) struct Column {
    pub(crate) field: Ident,
    pub(crate) ty: Type,
    pub(crate) name: LitStr,
    pub(crate) from: Option<LitStr>,
    pub(crate) clickhouse: Option<LitStr>,
}

/// A struct of columns with at most one lifetime.
pub(crate) struct Struct<'a> {
    pub(crate) input: &'a DeriveInput,
    pub(crate) columns: Vec<Column>,
    lifetime: Option<Lifetime>,
}

impl<'a> Struct<'a> {
    pub(crate) fn new(input: &'a DeriveInput, allowed: &[&str]) -> Result<Self> {
        let lifetime = lifetime(input)?;
        let columns = named_fields(input)?.iter().map(|field| column(field, allowed)).collect::<Result<Vec<_>>>()?;
        for (index, column) in columns.iter().enumerate() {
            if columns.iter().take(index).any(|other| other.name.value() == column.name.value()) {
                return Err(Error::new(column.name.span(), format!("column `{}` is here twice", column.name.value())));
            }
        }
        Ok(Self { input, columns, lifetime })
    }

    /// The type with a given lifetime: `Order<'a>`, or `Order` where it has none.
    pub(crate) fn with_lifetime(&self, lifetime: &TokenStream) -> TokenStream {
        let name = &self.input.ident;
        if self.lifetime.is_some() { quote!(#name<#lifetime>) } else { quote!(#name) }
    }

    /// The builders of the columns and their implementation.
    pub(crate) fn builders(&self) -> (Ident, TokenStream) {
        let builders = format_ident!("{}Builders", self.input.ident);
        let (vis, doc) = (&self.input.vis, format!("Builders of the columns of [`{}`].", self.input.ident));
        let fields: Vec<_> = self.columns.iter().map(|column| &column.field).collect();
        let names: Vec<_> = self.columns.iter().map(|column| &column.name).collect();
        let types: Vec<_> = self.columns.iter().map(|column| static_type(&column.ty)).collect();
        let docs: Vec<_> = names.iter().map(|name| format!("Builds `{}`.", name.value())).collect();
        let tokens = quote! {
            #[doc = #doc]
            #vis struct #builders {
                #(#[doc = #docs] #vis #fields: <#types as ::plugin_sdk::WriteColumn>::Builder,)*
            }

            impl ::plugin_sdk::Builders for #builders {
                fn with_capacity(rows: usize) -> Self {
                    Self { #(#fields: ::plugin_sdk::Builder::with_capacity(rows),)* }
                }
                fn buffers<'b>(&'b self, buffers: &mut ::std::vec::Vec<&'b [u8]>) {
                    #(::plugin_sdk::Builder::buffers(&self.#fields, buffers);)*
                }
                fn odd_column(&self, rows: usize) -> ::core::option::Option<(&'static str, usize)> {
                    #(
                        let written = ::plugin_sdk::Builder::len(&self.#fields);
                        if !<#types as ::plugin_sdk::WriteColumn>::PASSED && written != rows {
                            return ::core::option::Option::Some((#names, written));
                        }
                    )*
                    ::core::option::Option::None
                }
            }
        };
        (builders, tokens)
    }

    /// `fn write(self, …)`, the same for rows and tables.
    pub(crate) fn write_function(&self) -> TokenStream {
        let fields = self.columns.iter().map(|column| &column.field);
        quote! {
            #[inline(always)]
            fn write(self, builders: &mut Self::Builders) {
                #(::plugin_sdk::WriteColumn::write(self.#fields, &mut builders.#fields);)*
            }
        }
    }
}

/// A field's type with `'static` in place of the struct's lifetime: for places that have no lifetime.
pub(crate) fn static_type(ty: &Type) -> TokenStream {
    replace_lifetimes(quote!(#ty), &Lifetime::new("'static", Span::call_site()))
}

/// Replaces every lifetime in the tokens of a type.
pub(crate) fn replace_lifetimes(tokens: TokenStream, with: &Lifetime) -> TokenStream {
    let mut replaced = TokenStream::new();
    let mut tokens = tokens.into_iter();
    while let Some(token) = tokens.next() {
        match token {
            proc_macro2::TokenTree::Punct(punct) if punct.as_char() == '\'' => {
                // An apostrophe is always followed by the lifetime's name.
                tokens.next();
                replaced.extend(quote!(#with));
            }
            proc_macro2::TokenTree::Group(group) => {
                let mut inner = proc_macro2::Group::new(group.delimiter(), replace_lifetimes(group.stream(), with));
                inner.set_span(group.span());
                replaced.extend([proc_macro2::TokenTree::Group(inner)]);
            }
            other @ (proc_macro2::TokenTree::Punct(_)
            | proc_macro2::TokenTree::Ident(_)
            | proc_macro2::TokenTree::Literal(_)) => replaced.extend([other]),
        }
    }
    replaced
}

fn lifetime(input: &DeriveInput) -> Result<Option<Lifetime>> {
    let mut lifetime = None;
    for param in &input.generics.params {
        match param {
            GenericParam::Lifetime(param) if lifetime.is_none() => lifetime = Some(param.lifetime.clone()),
            GenericParam::Lifetime(param) => {
                return Err(Error::new(param.span(), "one lifetime is enough: all columns live as long as the batch"));
            }
            GenericParam::Type(_) | GenericParam::Const(_) => {
                return Err(Error::new(param.span(), "columns have fixed types: no type or const parameters here"));
            }
        }
    }
    Ok(lifetime)
}

fn named_fields(input: &DeriveInput) -> Result<&syn::punctuated::Punctuated<syn::Field, syn::Token![,]>> {
    let message = "only a struct with named fields can be a row: each field is a column";
    match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) if !fields.named.is_empty() => Ok(&fields.named),
            Fields::Named(_) | Fields::Unnamed(_) | Fields::Unit => Err(Error::new(input.ident.span(), message)),
        },
        Data::Enum(_) | Data::Union(_) => Err(Error::new(input.ident.span(), message)),
    }
}

fn column(field: &syn::Field, allowed: &[&str]) -> Result<Column> {
    let ident = field.ident.clone().ok_or_else(|| Error::new(field.span(), "a column has a name"))?;
    let name = ident.to_string();
    let mut column = Column {
        name: LitStr::new(name.strip_prefix("r#").unwrap_or(&name), ident.span()),
        field: ident,
        ty: field.ty.clone(),
        from: None,
        clickhouse: None,
    };
    for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("column")) {
        attribute.parse_nested_meta(|meta| {
            let key = meta.path.get_ident().map(Ident::to_string).unwrap_or_default();
            if !allowed.contains(&key.as_str()) {
                return Err(meta.error(format!("a column here has {}", allowed.join(", "))));
            }
            let value: LitStr = meta.value()?.parse()?;
            match key.as_str() {
                "name" => column.name = value,
                "from" => column.from = Some(value),
                _ => column.clickhouse = Some(value),
            }
            Ok(())
        })?;
    }
    if let Type::Reference(reference) = &column.ty
        && reference.lifetime.is_none()
    {
        return Err(Error::new(
            reference.and_token.span(),
            "the reference needs the struct's lifetime, such as &'a str",
        ));
    }
    Ok(column)
}
