//! What an artifact is made of, counted before anything of it is compiled.
//!
//! **Promise.** What passes is a core module, or a component that does no more than wrap core modules: no components
//! within, no resources (their handles lie in the host's memory), no text but UTF-8, nothing asynchronous. There is not
//! more of anything than a plugin needs by far, so that whoever compiles and instantiates it takes bounded steps.
//! **Assumed.** Nothing: the bytes are anybody's. Types are counted here and not followed, however deep they nest.

use wasmparser::{
    BinaryReaderError, CanonicalFunction, CanonicalOption, ComponentCanonicalSectionReader, Parser, Payload,
};

use super::LoadError;
use super::sandbox::{CORE_INSTANCES, MEMORIES, TABLE_ELEMENTS, TABLES};

/// A large plugin has some thousand.
const FUNCTIONS: usize = 50_000;
/// Largest function: what the compiler does with one takes more than linear time. Rust's largest are a tenth of it.
const FUNCTION_BYTES: usize = 1 << 20;
/// Types of functions in core modules, and types of a component.
const TYPES: usize = 10_000;
/// The contract has a dozen.
const IMPORTS: usize = 1_000;
/// The contract has less than ten; a linker that is told to exports everything.
const EXPORTS: usize = 50_000;
/// Rust has three.
const GLOBALS: usize = 10_000;
/// Of data and of elements: a linker merges them to a few.
const SEGMENTS: usize = 10_000;

/// The two kinds of WebAssembly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Module,
    Component,
}

/// Tells what the bytes are, or refuses them.
pub(super) fn check(bytes: &[u8], most_code: usize) -> Result<Kind, LoadError> {
    let kind = match bytes.get(..8) {
        Some([0, b'a', b's', b'm', 1, 0, 0, 0]) => Kind::Module,
        Some([0, b'a', b's', b'm', _, 0, 1, 0]) => Kind::Component,
        _ if bytes.starts_with(b"\0asm") => return Err(LoadError::Invalid { message: "unknown version".to_owned() }),
        _ => return Err(LoadError::NotWasm),
    };
    let mut parts = Parts::default();
    for payload in Parser::new(0).parse_all(bytes) {
        let counted = payload.map_err(Wrong::from).and_then(|payload| parts.count(&payload));
        counted.map_err(Wrong::refusal)?;
        // Each time: a billion of something need not be counted to its end.
        parts.within(most_code)?;
    }
    Ok(kind)
}

/// How much there is of everything, in all modules of the artifact together.
#[derive(Debug, Default)]
struct Parts {
    code_bytes: usize,
    largest_function: usize,
    functions: usize,
    types: usize,
    imports: usize,
    exports: usize,
    globals: usize,
    segments: usize,
    tables: usize,
    elements: u64,
    memories: usize,
    modules: usize,
}

enum Wrong {
    Damaged(BinaryReaderError),
    Feature(&'static str),
}

impl From<BinaryReaderError> for Wrong {
    fn from(error: BinaryReaderError) -> Self {
        Self::Damaged(error)
    }
}

impl Wrong {
    fn refusal(self) -> LoadError {
        match self {
            Self::Damaged(error) => LoadError::Invalid { message: error.to_string() },
            Self::Feature(what) => LoadError::NotAllowed { what: what.to_owned() },
        }
    }
}

impl Parts {
    #[expect(clippy::wildcard_enum_match_arm, reason = "what is not counted is bounded by the artifact's bytes")]
    fn count(&mut self, payload: &Payload<'_>) -> Result<(), Wrong> {
        let add = |to: &mut usize, count: u32| *to = to.saturating_add(count as usize);
        match payload {
            Payload::TypeSection(section) => add(&mut self.types, section.count()),
            Payload::CoreTypeSection(section) => add(&mut self.types, section.count()),
            Payload::ComponentTypeSection(section) => add(&mut self.types, section.count()),
            Payload::ImportSection(section) => add(&mut self.imports, section.count()),
            Payload::ComponentImportSection(section) => add(&mut self.imports, section.count()),
            Payload::FunctionSection(section) => add(&mut self.functions, section.count()),
            Payload::TableSection(section) => {
                add(&mut self.tables, section.count());
                for table in section.clone() {
                    self.elements = self.elements.max(table?.ty.initial);
                }
            }
            Payload::MemorySection(section) => add(&mut self.memories, section.count()),
            Payload::GlobalSection(section) => add(&mut self.globals, section.count()),
            Payload::ExportSection(section) => add(&mut self.exports, section.count()),
            Payload::ComponentExportSection(section) => add(&mut self.exports, section.count()),
            Payload::ElementSection(section) => add(&mut self.segments, section.count()),
            Payload::DataSection(section) => add(&mut self.segments, section.count()),
            Payload::CodeSectionStart { size, .. } => add(&mut self.code_bytes, *size),
            Payload::CodeSectionEntry(body) => {
                self.largest_function = self.largest_function.max(body.as_bytes().len());
            }
            Payload::ModuleSection { .. } => self.modules += 1,
            Payload::InstanceSection(section) => add(&mut self.modules, section.count()),
            Payload::ComponentSection { .. } => return Err(Wrong::Feature("components within the component")),
            Payload::ComponentStartSection { .. } => return Err(Wrong::Feature("a start function of the component")),
            Payload::ComponentCanonicalSection(section) => canonical(section)?,
            _ => {}
        }
        Ok(())
    }

    fn within(&self, most_code: usize) -> Result<(), LoadError> {
        if self.code_bytes > most_code {
            return Err(LoadError::TooMuchCode { bytes: self.code_bytes, limit_bytes: most_code });
        }
        let counts = [
            ("functions", self.functions, FUNCTIONS),
            ("bytes in one function", self.largest_function, FUNCTION_BYTES),
            ("types", self.types, TYPES),
            ("imports", self.imports, IMPORTS),
            ("exports", self.exports, EXPORTS),
            ("globals", self.globals, GLOBALS),
            ("segments of data or elements", self.segments, SEGMENTS),
            ("tables", self.tables, TABLES as usize),
            ("elements in a table", usize::try_from(self.elements).unwrap_or(usize::MAX), TABLE_ELEMENTS),
            ("memories", self.memories, MEMORIES as usize),
            // Each module comes once as itself and once as its instance; so do the bundles of what is handed to them.
            ("modules and instances of them", self.modules, 4 * CORE_INSTANCES as usize),
        ];
        match counts.into_iter().find(|(_, found, most)| found > most) {
            Some((what, found, most)) => Err(LoadError::TooMany { what: what.to_owned(), found, most }),
            None => Ok(()),
        }
    }
}

/// Functions across the component's border: those that carry the contract's values and no others.
#[expect(clippy::wildcard_enum_match_arm, reason = "all others are refused, those of future proposals as well")]
fn canonical(section: &ComponentCanonicalSectionReader<'_>) -> Result<(), Wrong> {
    for function in section.clone() {
        let options = match function? {
            CanonicalFunction::Lift { options, .. } | CanonicalFunction::Lower { options, .. } => options,
            CanonicalFunction::ResourceNew { .. }
            | CanonicalFunction::ResourceDrop { .. }
            | CanonicalFunction::ResourceRep { .. } => return Err(Wrong::Feature("resources")),
            _ => return Err(Wrong::Feature("asynchronous functions or threads")),
        };
        for option in &options {
            match option {
                CanonicalOption::UTF8
                | CanonicalOption::Memory(_)
                | CanonicalOption::Realloc(_)
                | CanonicalOption::PostReturn(_) => {}
                CanonicalOption::UTF16 | CanonicalOption::CompactUTF16 => {
                    return Err(Wrong::Feature("text that is not UTF-8"));
                }
                _ => return Err(Wrong::Feature("functions with asynchronous or garbage-collected values")),
            }
        }
    }
    Ok(())
}
