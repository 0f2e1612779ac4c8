//! `engine plugin inspect`: what a WebAssembly file is, or why it is no plugin.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bytes::Bytes;
use serde_json::{Value, json};

use super::Failure;
use super::build::size;
use super::describe::{as_json, parameter_type, reads, remembers, source, table, type_of};
use super::project::{NotFound, Project, host};
use super::sdk::sha256;
use super::sections::Binary;
use crate::disposition::in_words;
use crate::plugin::{Description, Origin, Output, Plugin};
use crate::sink::create_statements;
use crate::table::Table;
use crate::transform::{Kind, TransformSettings};

/// Arguments of `plugin inspect`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct InspectArgs {
    /// A WebAssembly file, or a plugin's name or folder.
    #[arg(value_name = "FILE|NAME|DIR")]
    pub what: String,
    /// The folder of plugins.
    #[arg(long, value_name = "DIR", default_value = "plugins", env = "ENGINE_PLUGINS")]
    pub plugins: PathBuf,
    /// One JSON object in place of text.
    #[arg(long)]
    pub json: bool,
}

const EXAMPLES: &str = "\
Examples:
  engine plugin inspect customers
  engine plugin inspect ./plugin.wasm --json

The exit code is 0 for a plugin, 1 for a file that is none.";

/// The command.
pub(super) fn inspect(args: &InspectArgs) -> Result<ExitCode, Failure> {
    let path = file(&args.plugins, &args.what)?;
    let bytes: Bytes = match fs::read(&path) {
        Ok(bytes) => bytes.into(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(NotFound::NotBuilt { path, name: args.what.clone() }.into());
        }
        Err(source) => return Err(NotFound::Unreadable { path, source }.into()),
    };
    let binary = Binary::read(&bytes);
    let plugin = host()?.load(bytes.clone()).map_err(|error| in_words(&error));
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{:#}", json(&path, &bytes, &binary, &plugin))?;
    } else {
        show(&mut out, &path, &bytes, &binary, &plugin)?;
    }
    Ok(if plugin.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A file as it is, else the plugin of that name.
fn file(plugins: &Path, what: &str) -> Result<PathBuf, NotFound> {
    if Path::new(what).is_file() {
        return Ok(PathBuf::from(what));
    }
    Project::find(plugins, what).map(|project| project.artifact())
}

fn show(
    out: &mut impl Write,
    path: &Path,
    bytes: &Bytes,
    binary: &Binary,
    plugin: &Result<Plugin, String>,
) -> io::Result<()> {
    writeln!(out, "{}", path.display())?;
    writeln!(out, "  size      {} ({})", size(bytes.len()), binary.kind.unwrap_or("no WebAssembly"))?;
    writeln!(out, "  sha256    {}", sha256(bytes))?;
    if let Some(version) = binary.contract() {
        writeln!(out, "  contract  engine:plugin {version}")?;
    }
    match plugin {
        Ok(plugin) => show_description(out, plugin.description())?,
        Err(why) => writeln!(out, "\nno plugin: {}", why.replace('\n', "\n  "))?,
    }
    if !binary.imports.is_empty() {
        writeln!(out, "\nimports")?;
        for (from, names) in &binary.imports {
            writeln!(out, "  {from}  {}", names.join(", "))?;
        }
    }
    if !binary.sections.is_empty() {
        writeln!(out, "\nsections")?;
        for (name, bytes) in &binary.sections {
            writeln!(out, "  {:>12}  {name}", size(*bytes))?;
        }
    }
    Ok(())
}

fn show_description(out: &mut impl Write, description: &Description) -> io::Result<()> {
    writeln!(out, "  plugin    {} {}", description.name, description.version)?;
    writeln!(out, "\n{}", reads(description))?;
    let columns = description.columns.iter().zip(&description.crosses);
    let names = description.input.fields().iter().map(|field| field.name().chars().count()).max().unwrap_or(0);
    for (column, crosses) in columns {
        let crosses = if *crosses { "into the plugin" } else { "passed on by the engine" };
        let (field, source) = (&column.field, source(column));
        writeln!(out, "  {:names$}  {:<24} {crosses}{source}", field.name(), type_of(field))?;
    }
    for output in &description.outputs {
        writeln!(out, "\nwrites {}", table(output))?;
        let passed: Vec<_> = output
            .columns
            .iter()
            .filter(|(_, origin)| matches!(origin, Origin::Input(_)))
            .map(|(field, _)| field.name().as_str())
            .collect();
        if !passed.is_empty() {
            writeln!(out, "  as they come: {}", passed.join(", "))?;
        }
        for statement in statements(description, output) {
            writeln!(out, "  {}", statement.replace('\n', "\n  "))?;
        }
    }
    let remembers = remembers(description);
    if !remembers.is_empty() {
        writeln!(out, "\n{}", remembers.join("\n"))?;
    }
    if !description.parameters.is_empty() {
        writeln!(out, "\nparameters")?;
        for parameter in &description.parameters {
            writeln!(out, "  {}  {}  {}", parameter.name, parameter_type(parameter), parameter.doc)?;
        }
    }
    Ok(())
}

/// What would create the table, or why nothing can.
fn statements(description: &Description, output: &Output) -> Vec<String> {
    let settings = TransformSettings::new("default", &description.name, Kind::Plugin, "default");
    let tables = settings.tables(description).unwrap_or_else(|_| std::sync::Arc::from([]));
    let made = |table: &Table| create_statements(table).unwrap_or_else(|why| vec![format!("no table: {why}")]);
    let table = tables.iter().find(|table| *table.name == *output.table);
    table.map(|table| made(table)).unwrap_or_default()
}

fn json(path: &Path, bytes: &Bytes, binary: &Binary, plugin: &Result<Plugin, String>) -> Value {
    let sections: serde_json::Map<_, _> =
        binary.sections.iter().map(|(name, bytes)| (name.clone(), json!(bytes))).collect();
    let mut value = json!({
        "file": path.display().to_string(),
        "bytes": bytes.len(),
        "sha256": sha256(bytes),
        "kind": binary.kind,
        "contract": binary.contract(),
        "imports": binary.imports,
        "sections": sections,
        "damage": binary.damage,
        "plugin": null,
        "no_plugin": null,
    });
    match plugin {
        Ok(plugin) => {
            let description = plugin.description();
            let tables = description.outputs.iter();
            let ddl: serde_json::Map<_, _> =
                tables.map(|output| (output.table.clone(), json!(statements(description, output)))).collect();
            value["plugin"] = as_json(description);
            value["plugin"]["statements"] = Value::Object(ddl);
        }
        Err(why) => value["no_plugin"] = json!(why),
    }
    value
}
