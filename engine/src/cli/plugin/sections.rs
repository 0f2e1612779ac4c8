//! A WebAssembly binary as it lies in its file: nothing of it is run.

use std::collections::BTreeMap;
use std::ops::Range;

use wasmparser::{Encoding, Parser, Payload};

/// What a binary is made of, as far as it can be read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Binary {
    /// Core module or component; `None` where not even that can be told.
    pub kind: Option<&'static str>,
    /// Where its imports come from, and their names.
    pub imports: BTreeMap<String, Vec<String>>,
    /// Bytes of its sections, by name, nested modules as a whole; largest first.
    pub sections: Vec<(String, usize)>,
    /// Where reading ended, and why, if it is damaged.
    pub damage: Option<String>,
}

/// Names of a core module's sections, by their number.
const CORE: [&str; 14] = [
    "custom",
    "types",
    "imports",
    "functions",
    "tables",
    "memories",
    "globals",
    "exports",
    "start",
    "elements",
    "code",
    "data",
    "data count",
    "tags",
];

impl Binary {
    #[expect(clippy::wildcard_enum_match_arm, reason = "of thirty kinds of payload four say how deep this is")]
    pub(super) fn read(bytes: &[u8]) -> Self {
        let mut binary = Self::default();
        let (mut depth, mut sizes) = (0_usize, BTreeMap::<String, usize>::new());
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = match payload {
                Ok(payload) => payload,
                Err(error) => {
                    binary.damage = Some(error.to_string());
                    break;
                }
            };
            if depth == 0 {
                if let Err(error) = binary.take_imports(&payload) {
                    binary.damage.get_or_insert(error.to_string());
                }
                if let Some((name, size)) = binary.section(&payload) {
                    *sizes.entry(name).or_default() += size;
                }
            }
            match payload {
                Payload::Version { encoding, .. } if depth == 0 => {
                    binary.kind = Some(match encoding {
                        Encoding::Module => "core module",
                        Encoding::Component => "component",
                    });
                }
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        binary.sections = sizes.into_iter().collect();
        binary.sections.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
        binary
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "of thirty kinds of payload two are imports")]
    fn take_imports(&mut self, payload: &Payload<'_>) -> wasmparser::Result<()> {
        match payload {
            Payload::ImportSection(section) => {
                for import in section.clone().into_imports() {
                    let import = import?;
                    self.imports.entry(import.module.to_owned()).or_default().push(import.name.to_owned());
                }
            }
            Payload::ComponentImportSection(section) => {
                for import in section.clone() {
                    self.imports.entry(import?.name.name.to_owned()).or_default();
                }
            }
            _ => {}
        }
        Ok(())
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "most kinds of payload are sections with a number")]
    fn section(&self, payload: &Payload<'_>) -> Option<(String, usize)> {
        match payload {
            Payload::CustomSection(custom) => Some((format!("custom {:?}", custom.name()), custom.data().len())),
            Payload::ModuleSection { unchecked_range, .. } => Some(("core module".to_owned(), len(unchecked_range))),
            Payload::ComponentSection { unchecked_range, .. } => Some(("component".to_owned(), len(unchecked_range))),
            other => {
                let (id, range) = other.as_section()?;
                let core = CORE.get(usize::from(id)).filter(|_| self.kind == Some("core module"));
                let name = core.map_or_else(|| "types, instances, links".to_owned(), |name| (*name).to_owned());
                Some((name, len(&range)))
            }
        }
    }

    /// The version of the plugin contract that it imports.
    pub(super) fn contract(&self) -> Option<&str> {
        let ours = self.imports.keys().find(|from| from.starts_with("engine:plugin/"))?;
        ours.rsplit_once('@').map(|(_, version)| version)
    }
}

/// Bytes of a range, which lies within a file that is in memory.
fn len(range: &Range<u64>) -> usize {
    usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_core_modules_imports_and_sections_are_told() {
        let module = wat::parse_str(
            r#"(module (import "engine:plugin/host@0.1.0" "log" (func)) (memory 1) (data (i32.const 0) "0123456789"))"#,
        );
        let binary = Binary::read(&module.unwrap());
        assert_eq!(binary.kind, Some("core module"));
        assert_eq!(binary.contract(), Some("0.1.0"));
        assert_eq!(binary.imports["engine:plugin/host@0.1.0"], ["log"]);
        let names: Vec<_> = binary.sections.iter().map(|(name, _)| name.as_str()).collect();
        assert!(names.contains(&"data") && names.contains(&"imports"), "{names:?}");
        assert_eq!(binary.damage, None);
    }

    #[test]
    fn a_component_is_told_from_a_core_module() {
        let component = r#"(component (import "engine:plugin/types@0.2.0" (instance)) (core module (memory 1)))"#;
        let binary = Binary::read(&wat::parse_str(component).unwrap());
        assert_eq!((binary.kind, binary.contract()), (Some("component"), Some("0.2.0")));
        assert!(binary.sections.iter().any(|(name, _)| name == "core module"));
    }

    #[test]
    fn what_is_damaged_is_read_as_far_as_it_goes() {
        let mut bytes = wat::parse_str("(module (memory 1) (func) (func) (func))").unwrap();
        bytes.truncate(bytes.len() - 3);
        let binary = Binary::read(&bytes);
        assert_eq!(binary.kind, Some("core module"));
        assert!(binary.damage.is_some());
        assert!(Binary::read(b"not wasm at all").kind.is_none());
    }
}
