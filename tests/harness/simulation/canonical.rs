//! A plugin's description as it lies in its memory: values of the contract's types, laid out as the canonical ABI says.

use serde_json::Value;
use wit_parser::{Int, Resolve, SizeAlign, Type, TypeDefKind};

/// Values in a memory, from an address on.
pub struct Memory<'a> {
    resolve: &'a Resolve,
    sizes: SizeAlign,
    first: u32,
    /// The bytes at that address.
    pub bytes: Vec<u8>,
}

impl<'a> Memory<'a> {
    /// An empty one, for values of this contract.
    ///
    /// # Panics
    /// If the contract is none.
    #[must_use]
    pub fn new(resolve: &'a Resolve, first: u32) -> Self {
        let mut sizes = SizeAlign::default();
        sizes.fill(resolve).expect("the contract has sizes");
        Self { resolve, sizes, first, bytes: Vec::new() }
    }

    /// Puts a value of a type of the contract's interface `types` into the memory; gives its address. Records are objects,
    /// a case of a variant is its name or an object of its name and payload, an option that is absent is null.
    ///
    /// # Panics
    /// If it is none of the type.
    pub fn value(&mut self, type_name: &str, value: &Value) -> u32 {
        let types = self.resolve.interfaces.iter().find_map(|(_, interface)| interface.types.get(type_name));
        let ty = Type::Id(*types.expect("a type of the contract"));
        let at = self.room(&ty, 1);
        self.write(at, &ty, value);
        self.address(at)
    }

    fn address(&self, at: usize) -> u32 {
        self.first + u32::try_from(at).expect("a few kilobytes")
    }

    fn room(&mut self, ty: &Type, count: usize) -> usize {
        let at = self.bytes.len().next_multiple_of(self.sizes.align(ty).align_wasm32());
        self.bytes.resize(at + count * self.sizes.size(ty).size_wasm32(), 0);
        at
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn put_list(&mut self, at: usize, list: usize, length: usize) {
        let words = [self.address(list), u32::try_from(length).expect("short")];
        self.put(at, words.map(u32::to_le_bytes).as_flattened());
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "a description has few of the types that there are")]
    fn write(&mut self, at: usize, ty: &Type, value: &Value) {
        let number = || value.as_i64().unwrap_or_else(|| panic!("{value} is no number"));
        match ty {
            Type::Bool => self.put(at, &[u8::from(value.as_bool().expect("a boolean"))]),
            Type::U8 | Type::S8 => self.put(at, &number().to_le_bytes()[..1]),
            Type::U32 => self.put(at, &number().to_le_bytes()[..4]),
            Type::U64 | Type::S64 => self.put(at, &number().to_le_bytes()),
            Type::String => {
                let text = value.as_str().expect("a text");
                let list = self.bytes.len();
                self.bytes.extend_from_slice(text.as_bytes());
                self.put_list(at, list, text.len());
            }
            Type::Id(id) => self.write_defined(at, &self.resolve.types[*id].kind, value),
            other => panic!("{other:?} is in no description"),
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "a description has few of the types that there are")]
    fn write_defined(&mut self, at: usize, kind: &TypeDefKind, value: &Value) {
        match kind {
            TypeDefKind::Type(ty) => self.write(at, ty, value),
            TypeDefKind::Record(record) => {
                let offsets = self.sizes.field_offsets(record.fields.iter().map(|field| &field.ty));
                let offsets: Vec<_> = offsets.into_iter().map(|(offset, _)| offset.size_wasm32()).collect();
                for (field, offset) in record.fields.iter().zip(offsets) {
                    self.write(at + offset, &field.ty, &value[&field.name]);
                }
            }
            TypeDefKind::Enum(cases) => {
                let name = value.as_str().expect("a case");
                self.put(at, &[position(cases.cases.iter().map(|case| &*case.name), name)]);
            }
            TypeDefKind::Variant(variant) => {
                let (name, payload) = match value {
                    Value::Object(one) => one.iter().next().map(|(name, payload)| (&**name, payload)).expect("a case"),
                    name => (name.as_str().expect("a case"), &Value::Null),
                };
                let case = position(variant.cases.iter().map(|case| &*case.name), name);
                self.put(at, &[case]);
                let offset = self.sizes.payload_offset(Int::U8, variant.cases.iter().map(|case| case.ty.as_ref()));
                if let Some(ty) = &variant.cases[usize::from(case)].ty {
                    self.write(at + offset.size_wasm32(), ty, payload);
                }
            }
            TypeDefKind::Option(_) if value.is_null() => {}
            TypeDefKind::Option(ty) => {
                self.put(at, &[1]);
                let offset = self.sizes.payload_offset(Int::U8, [None, Some(ty)]);
                self.write(at + offset.size_wasm32(), ty, value);
            }
            TypeDefKind::List(ty) => {
                let values = value.as_array().unwrap_or_else(|| panic!("{value} is no list"));
                let list = self.room(ty, values.len());
                let size = self.sizes.size(ty).size_wasm32();
                for (index, value) in values.iter().enumerate() {
                    self.write(list + index * size, ty, value);
                }
                self.put_list(at, list, values.len());
            }
            other => panic!("{other:?} is in no description"),
        }
    }
}

fn position<'a>(mut names: impl Iterator<Item = &'a str>, name: &str) -> u8 {
    let position = names.position(|it| it == name).unwrap_or_else(|| panic!("no case {name}"));
    u8::try_from(position).expect("few cases")
}
