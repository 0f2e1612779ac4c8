//! Avro schemas (Avro 1.12 specification, "Schema declaration"), parsed into a flat list of types, so that a type that
//! is named again, or contains itself, is an index and not a copy.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Map, Value};

/// A type's place in its schema.
pub(super) type TypeId = usize;

/// The schema that a message was written with.
#[derive(Debug)]
pub struct Schema {
    kinds: Vec<Kind>,
    meanings: Vec<Meaning>,
    root: TypeId,
}

/// What a type looks like in bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    /// Of so many bytes.
    Fixed(usize),
    /// Its symbols.
    Enum(Box<[Box<str>]>),
    Array(TypeId),
    /// Of values under text keys.
    Map(TypeId),
    Union(Box<[TypeId]>),
    Record(Box<[Field]>),
}

/// A field of a record.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: Box<str>,
    pub(super) of: TypeId,
    /// In Avro's words; never used to fill anything.
    pub(super) default: Option<Value>,
}

/// What Kafka Connect's Avro converter adds to a type, and Avro's own logical types.
#[derive(Debug, Default)]
pub(super) struct Meaning {
    /// `connect.name`: the semantic type.
    pub(super) name: Option<Box<str>>,
    /// `connect.type`: int8 and int16, which Avro writes as int.
    pub(super) connect_type: Option<Box<str>>,
    /// `connect.parameters`.
    pub(super) parameters: BTreeMap<String, String>,
    /// `logicalType`.
    pub(super) logical: Option<Box<str>>,
    /// `precision` and `scale` of Avro's own decimals.
    pub(super) precision: Option<u64>,
    pub(super) scale: Option<u64>,
    /// Whether this record is a pair of a map whose keys are no text: `connect.internal.type`,
    /// or the name that converters give such a record.
    pub(super) map_entry: bool,
}

/// A text that is no Avro schema.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// No JSON.
    #[error("the schema is not JSON")]
    Json(#[from] serde_json::Error),
    /// In words.
    #[error("the schema is not Avro: {0}")]
    Avro(&'static str),
}

impl Schema {
    /// Parses a schema. `references` are the schemas whose named types it uses, those first that others use.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, references: &[String]) -> Result<Self, SchemaError> {
        let mut parser = Parser::default();
        for reference in references {
            parser.schema(&serde_json::from_str(reference)?, "")?;
        }
        // A text that is no JSON may be a primitive's name: the registry takes `string` as well as `"string"`.
        let text = text.trim();
        let value = match primitive(text) {
            Some(_) => Value::String(text.to_owned()),
            None => serde_json::from_str(text)?,
        };
        let root = parser.schema(&value, "")?;
        Ok(Self { kinds: parser.kinds, meanings: parser.meanings, root })
    }

    /// The type of the whole.
    pub(super) fn root(&self) -> TypeId {
        self.root
    }

    /// What a type looks like in bytes.
    pub(super) fn kind(&self, id: TypeId) -> &Kind {
        &self.kinds[id]
    }

    /// What is said of a type beyond that.
    pub(super) fn meaning(&self, id: TypeId) -> &Meaning {
        &self.meanings[id]
    }

    /// All types, by their ids.
    pub(super) fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    /// A type without its alternative of null.
    pub(super) fn not_null(&self, id: TypeId) -> TypeId {
        if let Kind::Union(branches) = self.kind(id)
            && let [one, other] = **branches
        {
            match (self.kind(one), self.kind(other)) {
                (Kind::Null, _) => return other,
                (_, Kind::Null) => return one,
                _ => {}
            }
        }
        id
    }

    /// The fields of a record, or of a record that may be null.
    pub(super) fn fields(&self, id: TypeId) -> Option<&[Field]> {
        if let Kind::Record(fields) = self.kind(self.not_null(id)) { Some(fields) } else { None }
    }
}

#[derive(Default)]
struct Parser {
    kinds: Vec<Kind>,
    meanings: Vec<Meaning>,
    named: HashMap<String, TypeId>,
}

impl Parser {
    fn schema(&mut self, value: &Value, namespace: &str) -> Result<TypeId, SchemaError> {
        match value {
            Value::String(name) => self.named(name, namespace),
            Value::Array(branches) => {
                let branches: Result<_, _> = branches.iter().map(|branch| self.schema(branch, namespace)).collect();
                self.union(branches?)
            }
            Value::Object(object) => self.object(object, namespace),
            Value::Null | Value::Bool(_) | Value::Number(_) => Err(SchemaError::Avro("a type is no text or object")),
        }
    }

    fn object(&mut self, object: &Map<String, Value>, namespace: &str) -> Result<TypeId, SchemaError> {
        let kind = object.get("type").ok_or(SchemaError::Avro("an object has no `type`"))?;
        let Value::String(kind) = kind else { return self.schema(kind, namespace) };
        let part = |key: &'static str| object.get(key).ok_or(SchemaError::Avro("an array or map says not of what"));
        let kind = match kind.as_str() {
            "record" | "error" => return self.record(object, namespace),
            "enum" => Kind::Enum(symbols(object)?),
            "fixed" => {
                let size = object.get("size").and_then(Value::as_u64).and_then(|size| u32::try_from(size).ok());
                Kind::Fixed(size.ok_or(SchemaError::Avro("a fixed has no size"))? as usize)
            }
            "array" => Kind::Array(self.schema(part("items")?, namespace)?),
            "map" => Kind::Map(self.schema(part("values")?, namespace)?),
            name => match primitive(name) {
                Some(kind) => kind,
                None => return self.named(name, namespace),
            },
        };
        let named = matches!(kind, Kind::Enum(_) | Kind::Fixed(_));
        let id = self.push(kind, meaning(object));
        if named {
            self.name(object, namespace, id)?;
        }
        Ok(id)
    }

    /// The record's name is known before its fields, which may contain it.
    fn record(&mut self, object: &Map<String, Value>, namespace: &str) -> Result<TypeId, SchemaError> {
        let id = self.push(Kind::Null, meaning(object));
        let namespace = self.name(object, namespace, id)?;
        let list = object.get("fields").and_then(Value::as_array).ok_or(SchemaError::Avro("a record has no fields"))?;
        let mut names = HashSet::new();
        let mut fields = Vec::with_capacity(list.len());
        for field in list {
            let name = field.get("name").and_then(Value::as_str).ok_or(SchemaError::Avro("a field has no name"))?;
            if !names.insert(name) {
                return Err(SchemaError::Avro("a record has two fields of one name"));
            }
            let of = field.get("type").ok_or(SchemaError::Avro("a field has no type"))?;
            let default = field.get("default").filter(|default| !default.is_null()).cloned();
            fields.push(Field { name: name.into(), of: self.schema(of, &namespace)?, default });
        }
        self.kinds[id] = Kind::Record(fields.into());
        Ok(id)
    }

    fn union(&mut self, branches: Box<[TypeId]>) -> Result<TypeId, SchemaError> {
        if branches.iter().any(|branch| matches!(self.kinds[*branch], Kind::Union(_))) {
            return Err(SchemaError::Avro("a union contains a union"));
        }
        Ok(self.push(Kind::Union(branches), Meaning::default()))
    }

    fn named(&mut self, name: &str, namespace: &str) -> Result<TypeId, SchemaError> {
        if let Some(kind) = primitive(name) {
            return Ok(self.push(kind, Meaning::default()));
        }
        let known = self.named.get(&full_name(name, namespace)).or_else(|| self.named.get(name));
        known.copied().ok_or(SchemaError::Avro("a type is named that is not defined before"))
    }

    /// Gives a type its name, and tells the namespace within it.
    fn name(&mut self, object: &Map<String, Value>, outer: &str, id: TypeId) -> Result<String, SchemaError> {
        let text = |key: &str| object.get(key).and_then(Value::as_str);
        let name = text("name").ok_or(SchemaError::Avro("a record, enum or fixed has no name"))?;
        let full = full_name(name, text("namespace").unwrap_or(outer));
        let namespace = full.rsplit_once('.').map(|(namespace, _)| namespace.to_owned()).unwrap_or_default();
        match self.named.insert(full, id) {
            None => Ok(namespace),
            Some(_) => Err(SchemaError::Avro("two types have one name")),
        }
    }

    fn push(&mut self, kind: Kind, meaning: Meaning) -> TypeId {
        self.kinds.push(kind);
        self.meanings.push(meaning);
        self.kinds.len() - 1
    }
}

fn primitive(name: &str) -> Option<Kind> {
    Some(match name {
        "null" => Kind::Null,
        "boolean" => Kind::Boolean,
        "int" => Kind::Int,
        "long" => Kind::Long,
        "float" => Kind::Float,
        "double" => Kind::Double,
        "bytes" => Kind::Bytes,
        "string" => Kind::String,
        _ => return None,
    })
}

fn full_name(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") }
}

fn symbols(object: &Map<String, Value>) -> Result<Box<[Box<str>]>, SchemaError> {
    let symbols = object.get("symbols").and_then(Value::as_array).ok_or(SchemaError::Avro("an enum has no symbols"))?;
    let symbol = |symbol: &Value| symbol.as_str().map(Into::into).ok_or(SchemaError::Avro("a symbol is no text"));
    symbols.iter().map(symbol).collect()
}

fn meaning(object: &Map<String, Value>) -> Meaning {
    let text = |key: &str| object.get(key).and_then(Value::as_str).map(Into::into);
    let is = |key: &str, word: &str| object.get(key).and_then(Value::as_str) == Some(word);
    let parameters = object.get("connect.parameters").and_then(Value::as_object);
    let parameters = parameters.into_iter().flatten().map(|(key, value)| {
        let value = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        (key.clone(), value)
    });
    Meaning {
        name: text("connect.name"),
        connect_type: text("connect.type"),
        parameters: parameters.collect(),
        logical: text("logicalType"),
        precision: object.get("precision").and_then(Value::as_u64),
        scale: object.get("scale").and_then(Value::as_u64),
        map_entry: is("connect.internal.type", "MapEntry")
            || is("name", "MapEntry") && is("namespace", "io.confluent.connect.avro"),
    }
}
