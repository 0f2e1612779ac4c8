//! `engine plugin build`: compiles plugins as they run best, checks them, and puts them beside their plugin.toml.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use serde::Deserialize;
use toml::Value;

use super::describe::facts;
use super::project::{Project, Which, host};
use super::sdk::{self, SdkError, Unpacked};
use super::{Failure, files};
use crate::plugin::{Host, LoadError, Plugin};

/// Arguments of `plugin build`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct BuildArgs {
    /// Which plugins.
    #[command(flatten)]
    pub which: Which,
}

const EXAMPLES: &str = "\
Examples:
  engine plugin build                    all plugins that have a source
  engine plugin build customers
  cd plugins/customers && engine plugin build

plugin.wasm is replaced in one step, and only by a plugin that this engine loads: a running engine sees the old one or \
the new one. The target wasm32-unknown-unknown is added to the Rust toolchain where it is missing.

A plugin.wasm that `cargo build --release --target wasm32-unknown-unknown` made is as good.";

/// For the target alone: saves a tenth of the time per row, and every engine runs it.
pub(super) const SIMD: &str = "target-feature=+simd128";
const TARGET: &str = "wasm32-unknown-unknown";
/// Makes the target buildable and prints the toolchain to build with: the very script that builds the repository's own.
const WASM_TARGET: &str = include_str!("../../../../plugin-sdk/toolchain/wasm-target.sh");
/// Instructions of a profile that `cargo build` takes by this name.
const PROFILE: &str = "plugin";

/// Why a plugin is not built.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum BuildError {
    #[error("{program} can't be run: install Rust with rustup, and have its bin folder (~/.cargo/bin) in PATH")]
    Missing {
        program: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("the target {TARGET} can't be added to the Rust toolchain; what is said above says why")]
    Target,
    #[error("{} has no source (no Cargo.toml): what is there is the built plugin alone", .0.display())]
    NoSource(PathBuf),
    #[error("cargo can't read {}; what is said above says why", .0.display())]
    Manifest(PathBuf),
    #[error(
        "{} makes no plugin: below [lib] it needs crate-type = [\"cdylib\", \"rlib\"]", .0.display()
    )]
    NoCdylib(PathBuf),
    #[error("{0} does not compile; what is said above says why")]
    Compile(String),
    #[error("{name} compiles, but what comes out is no plugin; plugin.wasm is as it was")]
    NotAPlugin {
        name: String,
        #[source]
        source: Box<LoadError>,
    },
    #[error("{} can't be read or written", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Sdk(#[from] SdkError),
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        Self::failed(error)
    }
}

/// The command.
pub(super) fn build(args: &BuildArgs) -> Result<ExitCode, Failure> {
    let projects = args.which.projects()?;
    let host = host()?;
    for project in &projects {
        put(&host, project, &compiled(project)?)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A plugin's bytes, built now; progress and the compiler's words go to standard error as they are.
pub(in crate::cli) fn compiled(project: &Project) -> Result<Vec<u8>, BuildError> {
    refresh_sdk(project)?;
    let built = compile(project)?;
    fs::read(&built).map_err(|source| BuildError::File { path: built, source })
}

/// Brings the SDK's source up to date for a project that is built with it.
fn refresh_sdk(project: &Project) -> Result<(), BuildError> {
    let manifest = project.folder.join("Cargo.toml");
    let text = match fs::read_to_string(&manifest) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(BuildError::NoSource(project.folder.clone()));
        }
        Err(source) => return Err(BuildError::File { path: manifest, source }),
    };
    if !text.contains(&format!("../{}/", sdk::FOLDER)) {
        return Ok(());
    }
    let plugins = project.plugins();
    match sdk::unpack(plugins)? {
        Unpacked::Same => {}
        Unpacked::Written => eprintln!("{}: the SDK of this engine", plugins.join(sdk::FOLDER).display()),
        Unpacked::Edited(files) => eprintln!("note: {}", sdk::edited_note(plugins, &files)),
    }
    Ok(())
}

/// Runs cargo; its progress and the compiler's words go to standard error as they are.
fn compile(project: &Project) -> Result<PathBuf, BuildError> {
    let metadata = Metadata::of(project)?;
    let library = metadata.library(project)?;
    let mut cargo = Command::new("cargo");
    cargo
        .current_dir(&project.folder)
        .args(["build", "--lib", "--target", TARGET, "--profile", PROFILE])
        .arg("--message-format=json-render-diagnostics")
        .arg("--target-dir")
        .arg(target_folder(project, &metadata))
        .env("RUSTUP_TOOLCHAIN", toolchain(&project.folder)?)
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", format!("-C {SIMD}"))
        // Of a cargo that runs this program: not meant for the plugin's compiler.
        .env_remove("RUSTC")
        .stdout(Stdio::piped());
    for setting in profile() {
        cargo.args(["--config", &setting]);
    }
    let mut child = cargo.spawn().map_err(|source| BuildError::Missing { program: "cargo", source })?;
    let messages = child.stdout.take().map(BufReader::new).into_iter().flat_map(BufRead::lines);
    let artifacts = messages.map_while(Result::ok).filter_map(|line| serde_json::from_str::<Artifact>(&line).ok());
    let wasm = artifacts.filter_map(|artifact| artifact.wasm(&library)).last();
    let compiled = child.wait().is_ok_and(|status| status.success());
    wasm.filter(|_| compiled).ok_or_else(|| BuildError::Compile(project.name.clone()))
}

/// What the repository's own plugins are compiled with, as settings of cargo's: whatever the project's manifest says.
fn profile() -> Vec<String> {
    let workspace = sdk::workspace();
    let profile = workspace.get("profile").and_then(|it| it.get(PROFILE)).and_then(Value::as_table);
    let profile = profile.expect("the repository's manifest has the profile");
    profile.iter().map(|(key, value)| format!("profile.{PROFILE}.{key}={value}")).collect()
}

/// Where cargo works: one folder for all plugins that share an SDK, so that the SDK is compiled once. Not the folder of
/// native builds: the toolchain may be another one, and one folder for both would be rebuilt with each change of hands.
fn target_folder(project: &Project, metadata: &Metadata) -> PathBuf {
    let shared = project.plugins().join(sdk::FOLDER);
    match std::env::var_os("CARGO_TARGET_DIR") {
        None if shared.is_dir() => absolute(&shared.join("target")),
        None | Some(_) => metadata.target_directory.join("plugins"),
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// The toolchain to compile with, which has the target.
fn toolchain(folder: &Path) -> Result<String, BuildError> {
    let script = printed(Command::new("bash").args(["-c", WASM_TARGET, "wasm-target"]).current_dir(folder));
    let (success, printed) = script.map_err(|source| BuildError::Missing { program: "bash", source })?;
    let toolchain = printed.trim();
    if success && !toolchain.is_empty() { Ok(toolchain.to_owned()) } else { Err(BuildError::Target) }
}

/// Whether a program succeeded, and what it printed; its standard error goes where this program's goes.
fn printed(command: &mut Command) -> io::Result<(bool, String)> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    Ok((output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned()))
}

/// What of `cargo metadata` is used.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    target_directory: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Clone, Deserialize, PartialEq, Eq)]
struct Target {
    crate_types: Vec<String>,
    src_path: PathBuf,
}

/// What of cargo's messages is used.
#[derive(Deserialize)]
struct Artifact {
    target: Target,
    filenames: Vec<PathBuf>,
}

impl Metadata {
    fn of(project: &Project) -> Result<Self, BuildError> {
        let mut cargo = Command::new("cargo");
        cargo.current_dir(&project.folder).args(["metadata", "--no-deps", "--format-version", "1"]);
        let (success, printed) =
            printed(&mut cargo).map_err(|source| BuildError::Missing { program: "cargo", source })?;
        let metadata = serde_json::from_str(&printed).ok().filter(|_| success);
        metadata.ok_or_else(|| BuildError::Manifest(project.folder.join("Cargo.toml")))
    }

    /// The library that becomes the plugin.
    fn library(&self, project: &Project) -> Result<Target, BuildError> {
        let manifest = project.folder.join("Cargo.toml");
        let same = |path: &Path| fs::canonicalize(path).ok() == fs::canonicalize(&manifest).ok();
        let package = self.packages.iter().find(|package| same(&package.manifest_path));
        let mut targets = package.into_iter().flat_map(|package| &package.targets);
        let library = targets.find(|target| target.crate_types.iter().any(|it| it == "cdylib")).cloned();
        library.ok_or(BuildError::NoCdylib(manifest))
    }
}

impl Artifact {
    /// The plugin, if this is the library.
    fn wasm(self, library: &Target) -> Option<PathBuf> {
        let own = self.target.src_path == library.src_path;
        self.filenames.into_iter().find(|path| own && path.extension().is_some_and(|it| it == "wasm"))
    }
}

/// Puts a built plugin in its place, if it is one and not there already, and says what is new.
pub(in crate::cli) fn put(host: &Host, project: &Project, bytes: &[u8]) -> Result<(), BuildError> {
    let file = |path: &Path, source| BuildError::File { path: path.to_owned(), source };
    let place = project.artifact();
    let before = fs::read(&place).ok();
    let plugin = host
        .load(bytes.to_vec())
        .map_err(|source| BuildError::NotAPlugin { name: project.name.clone(), source: Box::new(source) })?;
    let line = format!("{}  {}  {}", place.display(), size(bytes.len()), short(plugin.digest()));
    if before.as_deref() == Some(bytes) {
        println!("{line}  unchanged");
        return Ok(());
    }
    files::write(&place, bytes).map_err(|source| file(&place, source))?;
    match before {
        None => println!("{line}  new"),
        Some(before) => {
            println!("{line}  was {}  {}", size(before.len()), short(&sdk::sha256(&before)));
            changes(host.load(before).ok().as_ref(), &plugin).iter().for_each(|change| println!("  {change}"));
        }
    }
    Ok(())
}

/// What a plugin says of itself that its predecessor did not, and the other way round.
fn changes(before: Option<&Plugin>, after: &Plugin) -> Vec<String> {
    let Some(before) = before else { return Vec::new() };
    let (old, new) = (facts(before.description()), facts(after.description()));
    let gone = old.iter().filter(|fact| !new.contains(fact)).map(|fact| format!("- {fact}"));
    let come = new.iter().filter(|fact| !old.contains(fact)).map(|fact| format!("+ {fact}"));
    gone.chain(come).collect()
}

/// A size as people read it.
pub(super) fn size(bytes: usize) -> String {
    match bytes {
        0..10_000 => format!("{bytes} bytes"),
        10_000..10_000_000 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

/// So much of a digest that two are told apart.
pub(super) fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_are_those_of_the_repositorys_own_plugins() {
        let script = include_str!("../../../../plugin-sdk/toolchain/build-plugins.sh");
        for flag in [SIMD, TARGET, &format!("--profile {PROFILE}")] {
            assert!(script.contains(flag), "{flag} is not in build-plugins.sh");
        }
        let settings = profile();
        assert!(settings.contains(&"profile.plugin.lto=\"fat\"".to_owned()), "{settings:?}");
    }
}
