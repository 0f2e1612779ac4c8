//! The metadata that bindings leave in a core module: looked at before anything believes it.
//!
//! It is WIT in binary form, and its reader follows the packages it names from one to the next. Two that depend on each
//! other, as one damaged byte can make them, would send it round until the stack ends, and with it the engine. So a
//! module that names any other package than one version of the contract is refused here.

use wasmparser::{
    BinaryReaderError, ComponentType, ComponentTypeDeclaration, InstanceTypeDeclaration, Parser, Payload,
};

/// Custom sections that hold metadata begin so.
const SECTION: &str = "component-type";

/// Every package that the metadata names, each once, as `namespace:name@version`.
pub(super) fn packages(module: &[u8]) -> Result<Vec<String>, BinaryReaderError> {
    let mut names = Vec::new();
    for payload in Parser::new(0).parse_all(module) {
        if let Payload::CustomSection(section) = payload?
            && section.name().starts_with(SECTION)
        {
            read(section.data(), &mut names)?;
        }
    }
    let mut packages: Vec<String> = names.into_iter().filter_map(package).collect();
    packages.sort_unstable();
    packages.dedup();
    Ok(packages)
}

fn read<'a>(component: &'a [u8], names: &mut Vec<&'a str>) -> Result<(), BinaryReaderError> {
    for payload in Parser::new(0).parse_all(component) {
        let payload = payload?;
        if let Payload::ComponentTypeSection(section) = payload {
            for declared in section {
                in_type(&declared?, names);
            }
        } else if let Payload::ComponentImportSection(section) = payload {
            for import in section {
                names.push(import?.name.name);
            }
        } else if let Payload::ComponentExportSection(section) = payload {
            for export in section {
                names.push(export?.name.name);
            }
        }
    }
    Ok(())
}

/// The names in a type; types lie within types as deep as the parser allows.
fn in_type<'a>(of: &ComponentType<'a>, names: &mut Vec<&'a str>) {
    match of {
        ComponentType::Component(declarations) => {
            for declaration in declarations {
                match declaration {
                    ComponentTypeDeclaration::Type(inner) => in_type(inner, names),
                    ComponentTypeDeclaration::Export { name, .. } => names.push(name.name),
                    ComponentTypeDeclaration::Import(import) => names.push(import.name.name),
                    ComponentTypeDeclaration::CoreType(_) | ComponentTypeDeclaration::Alias(_) => {}
                }
            }
        }
        ComponentType::Instance(declarations) => {
            for declaration in declarations {
                match declaration {
                    InstanceTypeDeclaration::Type(inner) => in_type(inner, names),
                    InstanceTypeDeclaration::Export { name, .. } => names.push(name.name),
                    InstanceTypeDeclaration::CoreType(_) | InstanceTypeDeclaration::Alias(_) => {}
                }
            }
        }
        ComponentType::Defined(_) | ComponentType::Func(_) | ComponentType::Resource { .. } => {}
    }
}

/// `ns:pkg/interface@1.0.0` is of `ns:pkg@1.0.0`; names without a package are of none.
fn package(name: &str) -> Option<String> {
    let (package, interface) = name.split_once('/')?;
    let version = interface.split_once('@').map_or("", |(_, version)| version);
    Some(format!("{package}@{version}"))
}
