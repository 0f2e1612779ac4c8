//! The fields of a struct as columns.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Fields, GenericParam, Ident, Lifetime, LitStr, Result, Token, Type};

use crate::doc::doc;

/// A field, and what its attributes say.
pub(crate) struct Column {
    pub(crate) field: Ident,
    pub(crate) ty: Type,
    pub(crate) name: LitStr,
    pub(crate) source: Option<Source>,
    pub(crate) required: Option<Span>,
    pub(crate) clickhouse: Option<LitStr>,
    pub(crate) codec: Option<LitStr>,
    pub(crate) doc: String,
}

/// Where a column comes from, as its attribute says.
pub(crate) enum Source {
    /// `from = "field"`
    Row(LitStr),
    /// `rest`
    Rest,
    /// `before` or `before = "field"`
    Before(LitStr),
    /// `header = "name"`
    Header(LitStr),
    /// `change = "offset"`
    Change(LitStr),
}

/// The change columns: their words, the names in `ChangeColumn`, and the types that hold them.
const CHANGE_COLUMNS: [(&str, &str, &str); 8] = [
    ("op", "Op", "Op"),
    ("deleted", "Deleted", "bool"),
    ("version", "Version", "u64"),
    ("source_timestamp", "SourceTimestamp", "Option<Timestamp<Millis>>"),
    ("topic", "Topic", "&'a str"),
    ("partition", "Partition", "i32"),
    ("offset", "Offset", "i64"),
    ("key", "Key", "Option<&'a [u8]>"),
];

impl Source {
    /// The value of the SDK's type.
    pub(crate) fn tokens(&self) -> TokenStream {
        let source = quote!(::plugin_sdk::Source);
        match self {
            Self::Row(name) => quote!(#source::Row(#name)),
            Self::Rest => quote!(#source::REST),
            Self::Before(name) => quote!(#source::Before(#name)),
            Self::Header(name) => quote!(#source::Header(#name)),
            Self::Change(name) => {
                let variant = change_column(name).map(|(_, variant, _)| Ident::new(variant, name.span()));
                quote!(#source::Change(::plugin_sdk::ChangeColumn::#variant))
            }
        }
    }

    /// What identifies the column among those of a row.
    fn key(&self) -> String {
        match self {
            Self::Row(name) => name.value(),
            Self::Rest => "*".to_owned(),
            Self::Before(name) => format!("before.{}", name.value()),
            Self::Header(name) => format!("header.{}", name.value()),
            Self::Change(name) => format!("change.{}", name.value()),
        }
    }

    /// Assertions that the column's type fits where it comes from.
    fn checks(&self, ty: &TokenStream, span: Span) -> TokenStream {
        let (fits, message) = match self {
            Self::Row(_) => return TokenStream::new(),
            Self::Rest => (
                quote!(matches!(
                    <#ty as ::plugin_sdk::ColumnType>::TYPE,
                    ::plugin_sdk::DataType::Scalar(::plugin_sdk::description::ScalarType::Json)
                )),
                "the rest of the row is one object: the column has to be Json".to_owned(),
            ),
            Self::Before(_) => (
                quote!(<#ty as ::plugin_sdk::ColumnType>::NULLABLE),
                "not every change has a row before it: the column has to be an Option".to_owned(),
            ),
            Self::Header(_) => (
                quote!(<#ty as ::plugin_sdk::ColumnType>::NULLABLE),
                "not every message has the header: the column has to be an Option".to_owned(),
            ),
            Self::Change(name) => {
                let holds = change_column(name).map_or("", |(.., holds)| holds);
                let source = self.tokens();
                (
                    quote!(match #source {
                        ::plugin_sdk::Source::Change(change) => change.fits(
                            <#ty as ::plugin_sdk::ColumnType>::TYPE,
                            <#ty as ::plugin_sdk::ColumnType>::NULLABLE,
                        ),
                        _ => true,
                    }),
                    format!("the change column `{}` has the type {holds}", name.value()),
                )
            }
        };
        quote_spanned!(span=> const _: () = assert!(#fits, #message);)
    }
}

fn change_column(name: &LitStr) -> Option<(&'static str, &'static str, &'static str)> {
    CHANGE_COLUMNS.into_iter().find(|(word, ..)| *word == name.value())
}

impl Column {
    /// Where the column comes from if nothing else is said: the field of its name.
    pub(crate) fn source(&self) -> Source {
        match &self.source {
            None => Source::Row(self.name.clone()),
            Some(Source::Row(name)) => Source::Row(name.clone()),
            Some(Source::Rest) => Source::Rest,
            Some(Source::Before(name)) => Source::Before(name.clone()),
            Some(Source::Header(name)) => Source::Header(name.clone()),
            Some(Source::Change(name)) => Source::Change(name.clone()),
        }
    }

    /// What is asserted of the column beside the traits of its type, as items.
    pub(crate) fn checks(&self) -> TokenStream {
        let ty = static_type(&self.ty);
        let span = self.ty.span();
        let source = self.source.as_ref().map(|source| source.checks(&ty, span));
        // Evaluated here, so that a type that contradicts itself is an error of this field and not of its use.
        quote_spanned!(span=> const _: ::plugin_sdk::DataType = <#ty as ::plugin_sdk::ColumnType>::TYPE; #source)
    }
}

/// A struct of columns with at most one lifetime.
pub(crate) struct Struct<'a> {
    pub(crate) input: &'a DeriveInput,
    pub(crate) columns: Vec<Column>,
    lifetime: Option<Lifetime>,
}

impl<'a> Struct<'a> {
    /// `key` says which columns are the same.
    pub(crate) fn new(input: &'a DeriveInput, allowed: &[&str], key: fn(&Column) -> String) -> Result<Self> {
        let lifetime = lifetime(input)?;
        let columns = named_fields(input)?.iter().map(|field| column(field, allowed)).collect::<Result<Vec<_>>>()?;
        for (index, column) in columns.iter().enumerate() {
            if columns.iter().take(index).any(|other| key(other) == key(column)) {
                return Err(Error::new(column.name.span(), format!("column `{}` is here twice", key(column))));
            }
        }
        Ok(Self { input, columns, lifetime })
    }

    /// A row's columns are the same where they come from the same place.
    pub(crate) fn by_source(column: &Column) -> String {
        column.source().key()
    }

    /// A table's columns are the same where they have the same name.
    pub(crate) fn by_name(column: &Column) -> String {
        column.name.value()
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
                fn push_zero(&mut self) {
                    #(::plugin_sdk::Builder::push_zero(&mut self.#fields);)*
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
        source: None,
        required: None,
        clickhouse: None,
        codec: None,
        doc: doc(&field.attrs),
    };
    let one_place = "a column comes from one place: from, rest, before, header or change";
    let mut before_itself = None;
    for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("column")) {
        attribute.parse_nested_meta(|meta| {
            let key = meta.path.get_ident().map(Ident::to_string).unwrap_or_default();
            if !allowed.contains(&key.as_str()) {
                return Err(meta.error(format!("a column here has {}", allowed.join(", "))));
            }
            match key.as_str() {
                "required" => column.required = Some(meta.path.span()),
                "before" if !meta.input.peek(Token![=]) => before_itself = Some(meta.path.span()),
                "name" => column.name = not_empty(meta.value()?.parse()?)?,
                "clickhouse" => column.clickhouse = Some(meta.value()?.parse()?),
                "codec" => column.codec = Some(meta.value()?.parse()?),
                _ if column.source.is_some() => return Err(meta.error(one_place)),
                "rest" => column.source = Some(Source::Rest),
                other => column.source = Some(source(other, meta.value()?.parse()?)?),
            }
            Ok(())
        })?;
    }
    if let Some(span) = before_itself {
        if column.source.is_some() {
            return Err(Error::new(span, one_place));
        }
        column.source = Some(Source::Before(column.name.clone()));
    }
    if let (Some(span), Some(Source::Rest | Source::Before(_) | Source::Header(_) | Source::Change(_))) =
        (column.required, &column.source)
    {
        return Err(Error::new(span, "only a field of the row can be required"));
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

/// The SDK's word for a field without a name is `rest`.
fn not_empty(name: LitStr) -> Result<LitStr> {
    if name.value().is_empty() { Err(Error::new(name.span(), "a column has a name")) } else { Ok(name) }
}

fn source(key: &str, value: LitStr) -> Result<Source> {
    match key {
        "from" => Ok(Source::Row(not_empty(value)?)),
        "before" => Ok(Source::Before(not_empty(value)?)),
        "header" => Ok(Source::Header(value)),
        _ if change_column(&value).is_some() => Ok(Source::Change(value)),
        _ => {
            let words = CHANGE_COLUMNS.map(|(word, ..)| word).join(", ");
            Err(Error::new(value.span(), format!("a change column is one of {words}")))
        }
    }
}
