//! `engine capsule`: what a plugin was doing when it failed, listed, shown, and done again.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use arrow_array::RecordBatch;
use bytes::Bytes;
use clap::{Args, Subcommand};
use terminal_size::{Width, terminal_size_of};

use super::paint::Paint;
use super::plugin::{Failure, ended};
use super::table::{harmless, table};
use crate::capsule::{Capsule, Outcome, Seen, list, replay};
use crate::cell;
use crate::plugin::{Answer, Compiler, Fault, Host, HostSettings};

/// Rows of each call that are shown.
const ROWS: usize = 20;

/// What to do with crash capsules.
#[derive(Clone, Debug, Subcommand)]
pub enum CapsuleCommand {
    /// Those of a data folder, by tenant and plugin.
    List(ListArgs),
    /// What was being done, and what went wrong.
    Show(ShowArgs),
    /// Do it again, with the plugin that it was, or another. 0: the same fault again, or none where --plugin is given; else 1.
    Replay(ReplayArgs),
}

/// Arguments of `list`.
#[derive(Clone, Debug, Args)]
pub struct ListArgs {
    /// Journal, artifacts and capsules.
    #[arg(long, value_name = "DIR", default_value = "data", env = "ENGINE_DATA_DIR")]
    pub data_dir: PathBuf,
}

/// Arguments of `show`.
#[derive(Clone, Debug, Args)]
pub struct ShowArgs {
    /// The capsule.
    pub file: PathBuf,
}

/// Arguments of `replay`.
#[derive(Clone, Debug, Args)]
pub struct ReplayArgs {
    /// The capsule.
    pub file: PathBuf,
    /// Another plugin, such as a fixed one, in place of the one that failed, which lies in the data folder's artifacts.
    #[arg(long, value_name = "FILE")]
    pub plugin: Option<PathBuf>,
    /// A parameter of the plugin: one that is redacted, or new.
    #[arg(long, value_name = "NAME=VALUE")]
    pub parameter: Vec<String>,
}

/// The command.
pub(super) fn capsule(command: &CapsuleCommand) -> ExitCode {
    ended(match command {
        CapsuleCommand::List(args) => list_all(&args.data_dir),
        CapsuleCommand::Show(args) => show(&args.file),
        CapsuleCommand::Replay(args) => again(args),
    })
}

fn list_all(data: &Path) -> Result<ExitCode, Failure> {
    let mut rows = Vec::new();
    for path in list(data)? {
        let row = match Capsule::read(&path) {
            Ok(Capsule { about, .. }) => {
                [cell::utc(about.clock_ms), about.lane.to_string(), about.plugin, first_line(&about.message)]
            }
            Err(error) => [String::new(), String::new(), String::new(), error.to_string()],
        };
        rows.push(row.into_iter().chain([path.display().to_string()]).map(|text| Some(harmless(&text))).collect());
    }
    if rows.is_empty() {
        eprintln!("{} has no capsules: keep = 8 below [capsule] in plugin.toml turns them on", data.display());
        return Ok(ExitCode::SUCCESS);
    }
    print!("{}", table(&["at", "lane", "plugin", "fault", "file"], &rows, None, Paint::stdout()));
    Ok(ExitCode::SUCCESS)
}

fn read(file: &Path) -> Result<Capsule, Failure> {
    Capsule::read(file).map_err(Failure::mistake)
}

fn show(file: &Path) -> Result<ExitCode, Failure> {
    let capsule = read(file)?;
    let about = &capsule.about;
    let line = |name: &str, value: &str| println!("{name:10} {}", harmless(value));
    line("plugin", &format!("{}, contract {}, {}", about.plugin, about.contract, about.plugin_digest));
    line("lane", &about.lane.to_string());
    line("epoch", &format!("{} of generation {}, at {}", about.epoch, about.generation, cell::utc(about.clock_ms)));
    if let Some(watermark) = about.watermark_ms {
        line("watermark", &cell::utc(watermark));
    }
    for (name, value) in &about.parameters {
        line("parameter", &format!("{name} = {value}"));
    }
    if !about.redacted.is_empty() {
        line("left out", &about.redacted.join(", "));
    }
    if !about.complete {
        line("note", "earlier calls of the instance, or entries of its state, were too many to be kept");
    }
    println!();
    print_fault(&about.message, &about.frames);
    let entries = capsule.state.iter().filter(|(.., entry)| entry.is_some()).count();
    println!("\n{} keys of its state were asked for, {entries} were there", capsule.state.len());
    let last = capsule.calls.len().saturating_sub(1);
    for (index, seen) in capsule.calls.iter().enumerate() {
        let how = if index == last { "failed" } else { "went well" };
        match seen {
            Seen::Rows(rows) => {
                println!("\ncall {}, which {how}: {} rows", index + 1, rows.num_rows());
                print_rows(rows, if index == last { &about.offsets } else { &[] });
            }
            Seen::Expired(due) => println!("\ncall {}, which {how}: {} expired entries", index + 1, due.len()),
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn again(args: &ReplayArgs) -> Result<ExitCode, Failure> {
    let capsule = read(&args.file)?;
    let wasm = match &args.plugin {
        Some(plugin) => plugin.clone(),
        None => artifact(&args.file, &capsule.about.plugin_digest)?,
    };
    let bytes = std::fs::read(&wasm).map_err(|error| Failure::in_words(format!("{}: {error}", wasm.display())))?;
    let settings = HostSettings { instances: 2, ..HostSettings::default() };
    let host = Host::with(settings, Compiler::of_this_program(), None).map_err(Failure::failed)?;
    let plugin = host.load(Bytes::from(bytes)).map_err(Failure::failed)?;
    let pair = |text: &String| {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        (name.to_owned(), value.to_owned())
    };
    let parameters: Vec<_> = args.parameter.iter().map(pair).collect();
    let replayed = replay(&capsule, &plugin, &parameters).map_err(Failure::failed)?;
    let differ = replayed.as_recorded.iter().filter(|same| !**same).count();
    if differ > 0 {
        println!(
            "{differ} of {} earlier calls of the instance answered otherwise than then",
            replayed.as_recorded.len()
        );
    }
    if !capsule.about.redacted.is_empty() {
        println!(
            "left out of the capsule, and so otherwise than then: {}",
            harmless(&capsule.about.redacted.join(", "))
        );
    }
    let (words, reproduced) = match &replayed.outcome {
        Outcome::Same(fault) => (said("the same fault again", fault), true),
        Outcome::Other(fault) => (said("another fault than then", fault), false),
        Outcome::Succeeds(answer) => {
            println!("no fault: {}", rows_of(answer));
            for emitted in &answer.emitted {
                let table = plugin.description().outputs.get(emitted.output).map_or("", |output| &output.table);
                println!("\n{}: {} rows", harmless(table), emitted.made.num_rows());
                print_rows(&emitted.made, &[]);
            }
            (None, args.plugin.is_some())
        }
    };
    if let Some((heading, message)) = words {
        println!("{heading}");
        print_fault(&message, &replayed.frames);
    }
    Ok(if reproduced { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn said(heading: &str, fault: &Fault) -> Option<(String, String)> {
    Some((heading.to_owned(), fault.to_string()))
}

/// The plugin's file in the data folder that the capsule lies in.
fn artifact(capsule: &Path, digest: &str) -> Result<PathBuf, Failure> {
    let whole = std::path::absolute(capsule)?;
    // data/capsules/TENANT/PLUGIN/FILE
    let found = whole.ancestors().nth(4).map(|data| data.join("artifacts").join(format!("{digest}.wasm")));
    found.filter(|path| path.is_file()).ok_or_else(|| {
        Failure::in_words(format!("the plugin {digest} does not lie beside the capsule: give its file with --plugin"))
    })
}

/// What a fault says, with all of the guest's functions: those that its words name are among them.
fn print_fault(message: &str, frames: &[String]) {
    let paint = Paint::stdout();
    let lines = message.lines().filter(|line| frames.is_empty() || !line.starts_with("  at "));
    lines.for_each(|line| println!("{}", paint.red(&harmless(line))));
    frames.iter().for_each(|frame| println!("  at {}", harmless(frame)));
}

fn rows_of(answer: &Answer) -> String {
    let rows: usize = answer.emitted.iter().map(|emitted| emitted.made.num_rows()).sum();
    format!("{rows} rows made, {} rejected", answer.rejected.len())
}

/// The first rows, with their offsets where they are known.
fn print_rows(rows: &RecordBatch, offsets: &[i64]) {
    let schema = rows.schema();
    let mut names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    if !offsets.is_empty() {
        names.insert(0, "offset");
    }
    let row = |row: usize| {
        let offset = offsets.get(row).map(|offset| Some(offset.to_string()));
        offset.into_iter().chain(rows.columns().iter().map(|column| cell::text(column, row))).collect()
    };
    let shown: Vec<Vec<Option<String>>> = (0..rows.num_rows().min(ROWS)).map(row).collect();
    let width = terminal_size_of(io::stdout()).filter(|_| io::stdout().is_terminal());
    let width = width.map(|(Width(width), _)| usize::from(width));
    if !names.is_empty() {
        print!("{}", table(&names, &shown, width, Paint::stdout()));
    }
    if rows.num_rows() > ROWS {
        println!("and {} more", rows.num_rows() - ROWS);
    }
}

fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or_default().to_owned()
}
