//! From an artifact to machine code: everything that reads a plugin's bytes is behind [`compile`], so that all of it can be
//! done in a process of its own.

use std::borrow::Cow;

use wasmparser::{Parser, Payload};
use wasmtime::Engine;
use wit_component::ComponentEncoder;

use super::contract::{self, Version};
use super::parts::{self, Kind};
use super::sandbox::printable;
use super::{LoadError, metadata};

/// So many foreign imports are named: a module may have a thousand.
const NAMES_SHOWN: usize = 20;
/// As much of each.
const NAME_BYTES: usize = 200;

/// Compiles an artifact: a component, or a core module that is made one. What comes back is what
/// [`wasmtime::component::Component::deserialize`] takes.
pub(super) fn compile(engine: &Engine, bytes: &[u8], most_code: usize) -> Result<Vec<u8>, LoadError> {
    let component = match parts::check(bytes, most_code)? {
        Kind::Module => Cow::Owned(wrap(bytes)?),
        Kind::Component => Cow::Borrowed(bytes),
    };
    engine.precompile_component(&component).map_err(|error| LoadError::Invalid { message: format!("{error:#}") })
}

/// Makes a component of a core module, by the metadata that the SDK's bindings leave in it.
fn wrap(module: &[u8]) -> Result<Vec<u8>, LoadError> {
    let imports = core_imports(module).map_err(|error| LoadError::Invalid { message: error.to_string() })?;
    refuse_foreign(imports.iter().map(|(module, name)| (module.as_str(), format!("{module}/{name}"))))?;
    let packages = metadata::packages(module).map_err(|error| LoadError::Invalid { message: error.to_string() })?;
    if packages.len() > 1 {
        let message = format!("its metadata speaks of several packages: {}", shown(packages).join(", "));
        return Err(LoadError::NotAPlugin { message });
    }
    let encoded = ComponentEncoder::default().module(module).and_then(|encoder| encoder.encode());
    encoded.map_err(|error| LoadError::NotAPlugin {
        message: format!("its module can't be made a component; was it built with the engine's SDK? {error:#}"),
    })
}

/// Module and name of every import of a core module.
fn core_imports(module: &[u8]) -> Result<Vec<(String, String)>, wasmparser::BinaryReaderError> {
    let mut imports = Vec::new();
    for payload in Parser::new(0).parse_all(module) {
        let Payload::ImportSection(section) = payload? else { continue };
        for import in section.into_imports() {
            let import = import?;
            imports.push((import.module.to_owned(), import.name.to_owned()));
        }
    }
    Ok(imports)
}

/// Refuses imports outside the contract, and those of a version of it that is not here. Each is where it comes from, and
/// its name. Answers which version they are of; none where there are no imports.
pub(super) fn refuse_foreign<'a>(
    imports: impl Iterator<Item = (&'a str, String)> + Clone,
) -> Result<Option<Version>, LoadError> {
    let foreign = imports.clone().filter(|(from, _)| !from.starts_with(contract::PACKAGE));
    let names: Vec<String> = foreign.map(|(_, name)| name).collect();
    if !names.is_empty() {
        return Err(LoadError::Imports { names: shown(names) });
    }
    let mut version = None;
    for (from, _) in imports {
        let found = from.rsplit_once('@').map_or("unknown", |(_, version)| version);
        let of = Version::compatible(found).ok_or_else(|| other_version(found))?;
        if *version.get_or_insert(of) != of {
            let message = "it imports several versions of engine:plugin".to_owned();
            return Err(LoadError::NotAPlugin { message });
        }
    }
    Ok(version)
}

/// A guest's names for a message: not more than somebody reads.
fn shown(names: Vec<String>) -> Vec<String> {
    let more = names.len().saturating_sub(NAMES_SHOWN);
    let shown = names.into_iter().take(NAMES_SHOWN).map(|name| printable(&name, NAME_BYTES));
    shown.chain((more > 0).then(|| format!("and {more} more"))).collect()
}

fn other_version(found: &str) -> LoadError {
    let numbers = |version: &str| version.split('.').map(|number| number.parse::<u64>().ok()).collect::<Vec<_>>();
    let newer = Version::ALL.into_iter().all(|ours| numbers(found) > numbers(ours.name()));
    let supported = Version::ALL.map(Version::name).join(" and ");
    LoadError::Version { found: printable(found, NAME_BYTES), supported, newer }
}
