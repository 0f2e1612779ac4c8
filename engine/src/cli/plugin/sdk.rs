//! The SDK's source, which the program carries within itself: a plugin can be written with nothing but the program and
//! a Rust toolchain, and is built with the SDK that its engine was tested with.
//!
//! It is unpacked to `<plugins>/.sdk/`, which the search for plugins leaves out, in the order of the repository, and
//! projects depend on it by a relative path: the folder of plugins can be committed and built on any machine.
//!
//! **Promise.** What somebody has edited there is never overwritten; files that are the same are not touched, so that
//! nothing is compiled again. **After a crash** halfway the next call goes on: the list of digests is written last.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use toml::{Table, Value};

/// Each file's path in the repository, and its bytes.
static FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/sdk_files.rs"));
/// The folder below that of the plugins.
pub(super) const FOLDER: &str = ".sdk";
/// What was written, as `sha256sum` writes it: tells an edited file from one of another engine.
const DIGESTS: &str = "files.sha256";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What became of the folder.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unpacked {
    /// It was this engine's already.
    Same,
    /// It was not there, or another engine's.
    Written,
    /// It is not this engine's, and these files were edited: all is as it was.
    Edited(Vec<String>),
}

/// The SDK's source can't be unpacked.
#[derive(Debug, thiserror::Error)]
#[error("the SDK's source can't be unpacked: {path}")]
pub(in crate::cli) struct SdkError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Unpacks the SDK below a folder of plugins, or brings what is there to this engine's version.
///
/// # Errors
/// The file that can't be read or written.
pub(super) fn unpack(plugins: &Path) -> Result<Unpacked, SdkError> {
    let folder = plugins.join(FOLDER);
    let wanted = contents();
    let digests: BTreeMap<&str, String> = wanted.iter().map(|(name, bytes)| (name.as_str(), sha256(bytes))).collect();
    let recorded = recorded(&folder.join(DIGESTS))?;

    let (mut stale, mut edited) = (Vec::new(), Vec::new());
    let names: BTreeSet<&str> = wanted.keys().map(String::as_str).chain(recorded.keys().map(String::as_str)).collect();
    for name in names {
        let there = read(&folder.join(name))?.map(|bytes| sha256(&bytes));
        if there.as_ref() == digests.get(name) {
            continue;
        }
        if there.is_some() && there.as_ref() != recorded.get(name) {
            edited.push(name.to_owned());
        }
        stale.push(name);
    }
    let list: String = digests.iter().map(|(name, digest)| format!("{digest}  {name}\n")).collect();
    match (stale.is_empty(), edited.is_empty()) {
        (true, _) if recorded.len() == digests.len() => return Ok(Unpacked::Same),
        (_, false) => return Ok(Unpacked::Edited(edited)),
        (_, true) => {}
    }
    for name in stale {
        match wanted.get(name) {
            Some(bytes) => write(&folder.join(name), bytes)?,
            None => remove(&folder.join(name))?,
        }
    }
    write(&folder.join(DIGESTS), list.as_bytes())?;
    Ok(Unpacked::Written)
}

/// Says of a folder that was left as it is why, and what to do.
pub(super) fn edited_note(plugins: &Path, edited: &[String]) -> String {
    let folder = plugins.join(FOLDER);
    format!(
        "{} is not the SDK of this engine ({VERSION}), and was edited: {}. It is used as it is; to take this engine's, \
         delete the folder and build again",
        folder.display(),
        edited.join(", "),
    )
}

/// The workspace's manifest as the program was built from it.
pub(super) fn workspace() -> Table {
    file("Cargo.toml").parse().expect("cargo has read this manifest")
}

/// The text of a file that the program carries.
pub(super) fn file(name: &str) -> &'static str {
    let found = FILES.iter().find(|(path, _)| *path == name);
    let (_, bytes) = found.unwrap_or_else(|| unreachable!("{name} is listed by the build script"));
    std::str::from_utf8(bytes).expect("source files are text")
}

/// All files below [`FOLDER`].
fn contents() -> BTreeMap<String, Vec<u8>> {
    let source = FILES.iter().filter(|(path, _)| !["Cargo.toml", "Cargo.lock"].contains(path));
    let mut files: BTreeMap<_, _> = source.map(|(path, bytes)| ((*path).to_owned(), bytes.to_vec())).collect();
    files.insert("Cargo.toml".to_owned(), manifest().into_bytes());
    files.insert("README.md".to_owned(), README.replace("{{version}}", VERSION).into_bytes());
    files.insert(".gitignore".to_owned(), b"/target\n".to_vec());
    files
}

const README: &str = "\
# The SDK of engine {{version}}

Written by `engine plugin new` and brought up to date by `engine plugin build`: what the plugins beside this folder are
built with. Commit it with them. What you edit here is kept, and then no longer brought up to date.

`plugin-sdk/README.md` is the guide.
";

/// A workspace of the SDK's crates alone: versions from the repository's manifest, warnings off, for an author wants
/// to see those of his plugin.
fn manifest() -> String {
    let crates: Vec<_> = FILES.iter().filter(|(path, _)| path.ends_with("/Cargo.toml")).collect();
    let members = crates.iter().map(|(path, _)| Value::from(path.trim_end_matches("/Cargo.toml"))).collect();
    let mut used = BTreeSet::new();
    for (path, _) in &crates {
        let manifest: Table = file(path).parse().expect("cargo has read this manifest");
        keys(&manifest, &mut used);
    }
    let mut root = workspace();
    let Some(Value::Table(workspace)) = root.get_mut("workspace") else { unreachable!("it is a workspace's") };
    workspace.retain(|key, _| matches!(key, "resolver" | "package" | "dependencies"));
    if let Some(Value::Table(dependencies)) = workspace.get_mut("dependencies") {
        dependencies.retain(|name, _| used.contains(name));
    }
    workspace.insert("members".to_owned(), Value::Array(members));
    let quiet = Table::from_iter([("warnings".to_owned(), Value::from("allow"))]);
    workspace.insert("lints".to_owned(), Value::Table(Table::from_iter([("rust".to_owned(), Value::Table(quiet))])));
    root.retain(|key, _| key == "workspace");
    toml::to_string(&root).expect("a part of a manifest is a manifest")
}

/// The keys of a table and of those within it.
fn keys(table: &Table, found: &mut BTreeSet<String>) {
    for (key, value) in table {
        found.insert(key.clone());
        if let Value::Table(inner) = value {
            keys(inner, found);
        }
    }
}

fn recorded(path: &Path) -> Result<BTreeMap<String, String>, SdkError> {
    let bytes = read(path)?.unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    Ok(text
        .lines()
        .filter_map(|line| line.split_once("  "))
        .map(|(digest, name)| (name.into(), digest.into()))
        .collect())
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, SdkError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(SdkError { path: path.to_owned(), source }),
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), SdkError> {
    super::files::write(path, bytes).map_err(|source| SdkError { path: path.to_owned(), source })
}

fn remove(path: &Path) -> Result<(), SdkError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(SdkError { path: path.to_owned(), source: error }),
        _ => Ok(()),
    }
}

/// SHA-256 in hexadecimal.
pub(super) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a string takes all that is written");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a temporary folder")
    }

    #[test]
    fn it_is_written_once_and_then_left_alone() {
        let plugins = folder();
        assert_eq!(unpack(plugins.path()).expect("unpacked"), Unpacked::Written);
        for name in ["Cargo.toml", "LICENSE", "plugin-sdk/src/lib.rs", "plugin-sdk/macros/src/lib.rs"] {
            assert!(plugins.path().join(FOLDER).join(name).is_file(), "{name}");
        }
        assert_eq!(unpack(plugins.path()).expect("unpacked"), Unpacked::Same);
    }

    #[test]
    fn another_engines_files_are_replaced_and_removed_and_edited_ones_kept() {
        let plugins = folder();
        unpack(plugins.path()).expect("unpacked");
        let sdk = plugins.path().join(FOLDER);
        // As another engine would have left it: other bytes under another digest, and a file that is gone now.
        let other = [("plugin-sdk/src/lib.rs", "old"), ("plugin-sdk/src/gone.rs", "gone")];
        let mut digests = fs::read_to_string(sdk.join(DIGESTS)).expect("digests");
        for (name, text) in other {
            fs::write(sdk.join(name), text).expect("written");
            digests.retain(|_| true);
            let kept: Vec<&str> = digests.lines().filter(|line| !line.ends_with(name)).collect();
            digests = format!("{}\n{}  {name}\n", kept.join("\n"), sha256(text.as_bytes()));
        }
        fs::write(sdk.join(DIGESTS), &digests).expect("written");

        fs::write(sdk.join("plugin-sdk/src/uuid.rs"), "mine").expect("written");
        assert_eq!(unpack(plugins.path()).expect("read"), Unpacked::Edited(vec!["plugin-sdk/src/uuid.rs".into()]));
        assert_eq!(fs::read_to_string(sdk.join("plugin-sdk/src/lib.rs")).expect("read"), "old");

        fs::remove_file(sdk.join("plugin-sdk/src/uuid.rs")).expect("removed");
        assert_eq!(unpack(plugins.path()).expect("unpacked"), Unpacked::Written);
        assert_eq!(fs::read_to_string(sdk.join("plugin-sdk/src/lib.rs")).expect("read"), file("plugin-sdk/src/lib.rs"));
        assert!(!sdk.join("plugin-sdk/src/gone.rs").exists());
        assert_eq!(unpack(plugins.path()).expect("unpacked"), Unpacked::Same);
    }

    #[test]
    fn the_manifest_has_the_versions_that_the_crates_inherit_and_no_others() {
        let manifest: Table = manifest().parse().expect("TOML");
        let dependencies = manifest["workspace"]["dependencies"].as_table().expect("a table");
        assert!(dependencies.contains_key("wit-bindgen") && dependencies.contains_key("plugin-sdk-macros"));
        assert!(!dependencies.contains_key("wasmtime"));
        let members = manifest["workspace"]["members"].as_array().expect("a list");
        assert!(members.contains(&Value::from("plugin-sdk/macros")), "{members:?}");
    }
}
