//! The lock file of a new project: of the SDK's dependencies, the very versions that the engine was tested with.

use std::collections::BTreeSet;
use std::fmt::Write;

use toml::{Table, Value};

use super::sdk;

/// A `Cargo.lock` for a project of this name that depends on the SDK alone. Cargo itself drops what it does not need.
pub(super) fn lock_file(project: &str) -> String {
    let lock: Table = sdk::file("Cargo.lock").parse().expect("cargo has written this file");
    let packages: Vec<&Table> = match lock.get("package") {
        Some(Value::Array(packages)) => packages.iter().filter_map(Value::as_table).collect(),
        _ => Vec::new(),
    };
    let mut needed = BTreeSet::new();
    follow("plugin-sdk", &packages, &mut needed);
    let version = lock.get("version").and_then(Value::as_integer).unwrap_or(4);
    let mut text = format!("# Written by `engine plugin new`.\nversion = {version}\n");
    let own = Table::from_iter([
        ("name".to_owned(), Value::from(project)),
        ("version".to_owned(), Value::from("0.1.0")),
        ("dependencies".to_owned(), Value::Array(vec![Value::from("plugin-sdk")])),
    ]);
    let needed = packages.into_iter().enumerate().filter(|(index, _)| needed.contains(index)).map(|(_, it)| it);
    for package in needed.chain([&own]) {
        let package = toml::to_string(package).expect("a part of a lock file is TOML");
        write!(text, "\n[[package]]\n{package}").expect("a string takes all that is written");
    }
    text
}

/// Notes a package, by `name`, `name version` or `name version (source)`, and all that it depends on.
fn follow(dependency: &str, packages: &[&Table], needed: &mut BTreeSet<usize>) {
    let mut words = dependency.split(' ');
    let (name, version) = (words.next(), words.next());
    let text = |package: &Table, key: &str| package.get(key).and_then(Value::as_str).map(str::to_owned);
    let meant = |package: &Table| {
        text(package, "name").as_deref() == name
            && (version.is_none() || text(package, "version").as_deref() == version)
    };
    let Some(index) = packages.iter().position(|package| meant(package)) else { return };
    if !needed.insert(index) {
        return;
    }
    for dependency in packages[index].get("dependencies").and_then(Value::as_array).into_iter().flatten() {
        follow(dependency.as_str().unwrap_or_default(), packages, needed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_what_the_sdk_depends_on_and_not_the_engines_dependencies() {
        let lock: Table = lock_file("mine").parse().expect("TOML");
        let packages = lock["package"].as_array().expect("a list");
        let names: Vec<_> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
        for name in ["mine", "plugin-sdk", "plugin-sdk-macros", "syn", "wit-bindgen"] {
            assert!(names.contains(&name), "{name} is not in {names:?}");
        }
        assert!(!names.contains(&"wasmtime") && !names.contains(&"engine"), "{names:?}");
    }
}
