//! `engine plugin new`: a project that builds and passes its tests at once.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ValueEnum;
use toml::{Table, Value};

use super::sdk::{self, SdkError, Unpacked};
use super::{Failure, files, lock};

/// Path below the templates, and text: `project` is what all have in common.
static FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/template_files.rs"));

/// Arguments of `plugin new`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct NewArgs {
    /// Its name: of the folder, the crate and the transform. Lower-case letters, digits, - and _.
    pub name: String,
    /// What to start from.
    #[arg(long, value_enum, default_value = "clean")]
    pub template: Template,
    /// The folder of plugins; the project becomes a folder in it.
    #[arg(long, value_name = "DIR", default_value = "plugins", env = "ENGINE_PLUGINS")]
    pub plugins: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  engine plugin new customers
  engine plugin new payments --template route --plugins ./transforms

The project needs Rust (rustup) to build, and nothing of this engine's source: the SDK is unpacked to DIR/.sdk, which is \
meant to be committed with the plugins.";

/// What a project starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Template {
    /// Row style: one table, values cleaned, bad rows rejected.
    Clean,
    /// Row style: one input, two tables.
    Route,
    /// Batch style: whole columns, a parameter.
    Batch,
    /// Row style: what is sent again counts once, by a key that is remembered for a week.
    Dedup,
    /// Row style: events grouped into the sessions of their user, and a row for each session.
    Sessions,
}

/// Why there is no project.
#[derive(Debug, thiserror::Error)]
pub(super) enum NewError {
    #[error("{name:?} is no name for a plugin: {why}")]
    Name { name: String, why: &'static str },
    #[error("{} is there already: choose another name, or remove the folder", .0.display())]
    Exists(PathBuf),
    #[error(
        "the workspace {} takes {} as its member (members = [{pattern:?}]): add exclude = [{plugin:?}, {sdk:?}] to it, \
         or choose another folder with --plugins",
        manifest.display(), folder.display()
    )]
    Member { manifest: PathBuf, folder: PathBuf, pattern: String, plugin: String, sdk: String },
    #[error("{} can't be written", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Sdk(#[from] SdkError),
}

impl From<NewError> for Failure {
    fn from(error: NewError) -> Self {
        match error {
            NewError::Write { .. } | NewError::Sdk(_) => Self::failed(error),
            NewError::Name { .. } | NewError::Exists(_) | NewError::Member { .. } => Self::mistake(error),
        }
    }
}

/// The command.
pub(super) fn new(args: &NewArgs) -> Result<ExitCode, Failure> {
    let folder = make(args)?;
    let name = &args.name;
    println!("{}: a plugin from template {}\n", folder.display(), args.template.name());
    let plugins = if args.plugins == Path::new("plugins") {
        String::new()
    } else {
        format!(" --plugins {}", args.plugins.display())
    };
    let input = folder.join("cases/changes/input.jsonl");
    let next = [
        (format!("(cd {} && cargo test)", folder.display()), "its tests, natively"),
        (format!("engine plugin build {name}{plugins}"), "makes plugin.wasm"),
        (format!("engine plugin test {name}{plugins}"), "plugin.wasm over cases/*, as the engine runs it"),
        (format!("engine plugin run {name}{plugins} --source {}", input.display()), "shows what it makes of messages"),
    ];
    for (command, about) in next {
        println!("  {command}\n      {about}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the project, all or nothing.
fn make(args: &NewArgs) -> Result<PathBuf, NewError> {
    check_name(&args.name)?;
    let folder = args.plugins.join(&args.name);
    if folder.exists() {
        return Err(NewError::Exists(folder));
    }
    refuse_membership(&args.plugins, &args.name)?;
    if let Unpacked::Edited(files) = sdk::unpack(&args.plugins)? {
        eprintln!("note: {}", sdk::edited_note(&args.plugins, &files));
    }
    // Beside its place under a hidden name, then renamed: there is no half a project, and the engine sees none.
    let new = args.plugins.join(format!(".{}.{}.new", args.name, std::process::id()));
    let written = project(args).into_iter().try_for_each(|(path, text)| {
        let path = new.join(path);
        files::write(&path, text.as_bytes()).map_err(|source| NewError::Write { path, source })
    });
    let moved = written
        .and_then(|()| fs::rename(&new, &folder).map_err(|source| NewError::Write { path: folder.clone(), source }));
    if moved.is_err() {
        let _ = fs::remove_dir_all(&new); // best effort: the error told is the first one
    }
    moved.map(|()| folder)
}

/// The project's files: path and text.
fn project(args: &NewArgs) -> Vec<(PathBuf, String)> {
    let template = args.template.name();
    let part = |name: &str| text(&format!("{template}/{name}")).trim_end();
    let table = args.name.replace('-', "_");
    let values = [
        ("{{name}}", args.name.as_str()),
        ("{{crate}}", &table),
        ("{{table}}", &table),
        ("{{topic}}", part("topic.txt")),
        ("{{template}}", template),
        ("{{about}}", part("about.txt")),
        ("{{sdk}}", "../.sdk/plugin-sdk"),
    ];
    let filled = |text: &str| values.iter().fold(text.to_owned(), |text, (key, value)| text.replace(key, value));
    let common = [
        ("Cargo.toml", "Cargo.toml.in"),
        (".cargo/config.toml", "cargo-config.toml.in"),
        (".gitignore", "gitignore.in"),
        ("plugin.toml", "plugin.toml.in"),
        ("README.md", "README.md.in"),
    ];
    let common = common.into_iter().map(|(path, file)| (path, text(&format!("project/{file}"))));
    let own = FILES.iter().filter_map(|(path, _)| Some((path.strip_prefix(template)?.strip_prefix('/')?, text(path))));
    let own = own.filter(|(path, _)| !["topic.txt", "about.txt"].contains(path));
    let mut files: Vec<_> = common.chain(own).map(|(path, text)| (PathBuf::from(path), filled(text))).collect();
    files.push(("Cargo.lock".into(), lock::lock_file(&args.name)));
    files
}

fn text(path: &str) -> &'static str {
    let found = FILES.iter().find(|(name, _)| *name == path);
    let (_, bytes) = found.unwrap_or_else(|| unreachable!("{path} is listed by the build script"));
    std::str::from_utf8(bytes).expect("templates are text")
}

/// What cargo takes as a package's name and Rust as a crate's, and what is a table's name without quotes.
fn check_name(name: &str) -> Result<(), NewError> {
    const KEYWORDS: &str = "abstract as async await become box break const continue crate do dyn else enum extern false \
                            final fn for gen if impl in let loop macro match mod move mut override priv pub ref return \
                            self static struct super trait true try type typeof unsafe unsized use virtual where while \
                            yield";
    const CRATES: [&str; 8] =
        ["alloc", "core", "plugin-sdk", "plugin_sdk", "plugin-sdk-macros", "proc_macro", "std", "test"];
    let wrong = |why| Err(NewError::Name { name: name.to_owned(), why });
    if !name.starts_with(|first: char| first.is_ascii_lowercase()) {
        wrong("it begins with a lower-case letter (a to z)")
    } else if !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_')) {
        wrong("it has only lower-case letters (a to z), digits, - and _")
    } else if name.len() > 64 {
        wrong("it has at most 64 characters")
    } else if KEYWORDS.split_whitespace().any(|word| word == name) {
        wrong("it is a word of Rust")
    } else if CRATES.contains(&name) {
        wrong("a crate that plugins are built with has this name")
    } else {
        Ok(())
    }
}

/// A workspace above that takes every folder of plugins as its member would not build any more.
fn refuse_membership(plugins: &Path, name: &str) -> Result<(), NewError> {
    let Ok(plugins) = std::path::absolute(plugins) else { return Ok(()) };
    for folder in plugins.ancestors() {
        let manifest = folder.join("Cargo.toml");
        let Ok(text) = fs::read_to_string(&manifest) else { continue };
        let Ok(table) = text.parse::<Table>() else { continue };
        let below = plugins.strip_prefix(folder).unwrap_or(Path::new("")).display().to_string();
        let (own, sdk) = (format!("{below}/{name}"), format!("{below}/{}", sdk::FOLDER));
        let list = |key: &str| {
            let list = table.get("workspace").and_then(|it| it.get(key)).and_then(Value::as_array);
            list.into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>()
        };
        let excluded = list("exclude").iter().any(|it| *it == below || *it == own);
        let takes = |pattern: &&str| *pattern == own || *pattern == format!("{below}/*");
        if let Some(pattern) = list("members").into_iter().find(takes).filter(|_| !excluded) {
            let (folder, pattern) = (plugins.join(name), pattern.to_owned());
            return Err(NewError::Member { manifest, folder, pattern, plugin: own, sdk });
        }
    }
    Ok(())
}

impl Template {
    fn name(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Route => "route",
            Self::Batch => "batch",
            Self::Dedup => "dedup",
            Self::Sessions => "sessions",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(name: &str, template: Template, plugins: &Path) -> NewArgs {
        NewArgs { name: name.to_owned(), template, plugins: plugins.to_owned() }
    }

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a temporary folder")
    }

    #[test]
    fn every_template_is_filled_in_completely() {
        for template in Template::value_variants().iter().copied() {
            let plugins = folder();
            let made = make(&args("my-plugin", template, plugins.path())).expect("a project");
            for path in ["Cargo.toml", "Cargo.lock", "src/lib.rs", "tests/native.rs", "plugin.toml", "README.md"] {
                let text = fs::read_to_string(made.join(path)).expect(path);
                assert!(!text.contains("{{"), "{path} of {template:?}");
            }
            for path in ["cases/changes/input.jsonl", ".gitignore", ".cargo/config.toml"] {
                assert!(made.join(path).is_file(), "{path} of {template:?}");
            }
            let left = fs::read_dir(plugins.path()).expect("the folder").count();
            assert_eq!(left, 2, "the project and .sdk");
        }
    }

    /// What the guide shows is what an author finds in his folder, so that its tests pass after each of its steps.
    #[test]
    fn the_guide_shows_the_template_as_it_is() {
        let guide = sdk::file("plugin-sdk/README.md").replace("# fn main() {}\n", "");
        let files = project(&args("customers", Template::Clean, Path::new("plugins")));
        for file in ["src/lib.rs", "tests/native.rs"] {
            let (_, text) = files.iter().find(|(path, _)| path == Path::new(file)).expect(file);
            let (_, code) = text.split_once("\n\n").expect("its first paragraph says what it is");
            assert!(guide.contains(&format!("{code}```\n")), "plugin-sdk/README.md has not what {file} has:\n{code}");
        }
    }

    #[test]
    fn names_that_cargo_or_rust_would_refuse_are_refused_in_words() {
        for (name, why) in [
            ("", "begins with"),
            ("1st", "begins with"),
            ("../up", "begins with"),
            ("a/b", "only lower-case"),
            ("Users", "begins with"),
            ("naïve", "only lower-case"),
            ("match", "word of Rust"),
            ("core", "crate that plugins"),
        ] {
            let error = check_name(name).expect_err(name).to_string();
            assert!(error.contains(why), "{name}: {error}");
        }
        check_name("silver-users_2").expect("a name");
    }

    #[test]
    fn a_folder_that_is_there_and_a_workspace_that_would_take_it_are_refused() {
        let root = folder();
        let plugins = root.path().join("plugins");
        make(&args("mine", Template::Clean, &plugins)).expect("a project");
        assert!(matches!(make(&args("mine", Template::Clean, &plugins)), Err(NewError::Exists(_))));
        fs::write(root.path().join("Cargo.toml"), "[workspace]\nmembers = [\"plugins/*\"]\n").expect("written");
        let error = make(&args("other", Template::Clean, &plugins)).expect_err("a member").to_string();
        assert!(error.contains("exclude = [\"plugins/other\", \"plugins/.sdk\"]"), "{error}");
    }

    #[test]
    fn plain_cargo_compiles_as_plugin_build_does() {
        let manifest: Table = text("project/Cargo.toml.in").parse().expect("TOML");
        let mut build = sdk::workspace()["profile"]["plugin"].as_table().expect("a table").clone();
        build.retain(|key, _| !["inherits", "debug"].contains(&key)); // what the release profile has by itself
        assert_eq!(manifest["profile"]["release"].as_table(), Some(&build));
        assert!(text("project/cargo-config.toml.in").contains(super::super::build::SIMD));
    }
}
