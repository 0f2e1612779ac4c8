//! Lists the files that the program carries within itself: the SDK's source and the templates of new plugins.
//!
//! A list made at build time, not by hand: a file that is added to the SDK is in the next program. (`include_dir` does
//! not see added files on stable Rust.)

use std::env;
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What a plugin's project is built with, by folder of the repository; one that does not exist is left out.
const SDK: [&str; 3] = ["plugin-sdk", "schemas/wit", "engine/decode"];
/// The workspace's manifest says which versions and which profile; its lock file says which exactly.
const WORKSPACE: [&str; 3] = ["Cargo.toml", "Cargo.lock", "LICENSE"];
const TEMPLATES: &str = "engine/src/cli/plugin/templates";
/// Folders that no project needs: the SDK's own tests, and scripts, which are carried where they are used.
const LEFT_OUT: [&str; 6] = ["target", "tests", "benches", "examples", "fuzz", "toolchain"];

fn main() -> io::Result<()> {
    let engine = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo says where the crate is"));
    let root = engine.parent().expect("the crate lies in the repository");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo says where to write"));

    let mut sdk = WORKSPACE.map(|file| root.join(file)).to_vec();
    for folder in SDK.map(|folder| root.join(folder)).iter().filter(|folder| folder.is_dir()) {
        files(folder, &LEFT_OUT, &mut sdk)?;
    }
    fs::write(out.join("sdk_files.rs"), list(root, &sdk))?;

    let mut templates = Vec::new();
    files(&root.join(TEMPLATES), &[], &mut templates)?;
    fs::write(out.join("template_files.rs"), list(&root.join(TEMPLATES), &templates))
}

/// The files of a folder and of those below it, by name, but for folders of these names.
fn files(folder: &Path, left_out: &[&str], found: &mut Vec<PathBuf>) -> io::Result<()> {
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut entries: Vec<_> = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() && !left_out.contains(&&*name) {
            files(&path, left_out, found)?;
        } else if path.is_file() && !name.starts_with('.') {
            found.push(path);
        }
    }
    Ok(())
}

/// A Rust expression: each file's path below the root, and its bytes.
fn list(root: &Path, files: &[PathBuf]) -> String {
    let mut list = "&[\n".to_owned();
    for file in files {
        println!("cargo::rerun-if-changed={}", file.display());
        let name = file.strip_prefix(root).unwrap_or(file);
        writeln!(list, "    ({:?}, include_bytes!({:?})),", name.display().to_string(), file.display().to_string())
            .expect("a string takes all that is written");
    }
    list + "]\n"
}
