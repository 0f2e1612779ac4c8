//! `engine plugin test`: the built plugin over its cases, in the sandbox and on the path that a lane runs it.

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::process::ExitCode;

use bytes::Bytes;

use super::Failure;
use super::cases::{Case, CaseError};
use super::diff::{differences, line};
use super::messages::{EPOCH, Epochs, RecordedBatch, recorded};
use super::outcome::{Outcome, outcomes};
use super::project::{Project, Which, host};
use crate::cli::paint::Paint;
use crate::disposition::in_words;
use crate::plugin::Host;
use crate::source::BatchLimits;

/// Differences of one case that are shown.
const MOST_SHOWN: usize = 20;

/// Arguments of `plugin test`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct TestArgs {
    /// Which plugins.
    #[command(flatten)]
    pub which: Which,
    /// Accept what comes out: write it to expected.jsonl.
    #[arg(long)]
    pub update: bool,
}

const EXAMPLES: &str = "\
Examples:
  engine plugin test                     all plugins that have a source
  engine plugin test customers --update  accept what comes out, then look at it with git diff

A case is a folder cases/NAME of the plugin with input.jsonl, recorded messages, and expected.jsonl, what becomes of \
them:
  {\"table\":\"customers\",\"row\":{\"id\":\"1\",\"email\":\"ada@example.org\",\"_op\":\"c\"}}
  {\"dead\":{\"offset\":2,\"stage\":\"transform\",\"code\":\"bad_email\",\"column\":null}}
A case.toml beside them may set clock = 2025-01-01T00:00:00Z and [parameters]; where the messages are Avro, a \
schemas.json has what the schema registry answers, by id: {\"7\":{\"schema\":\"…\"}}.

The exit code is 0 if all cases are as expected, 1 if one is not or has no expected.jsonl, 2 if a file is wrong.";

impl From<CaseError> for Failure {
    fn from(error: CaseError) -> Self {
        Self::mistake(error)
    }
}

/// What became of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    AsExpected,
    Accepted,
    Different,
}

/// The command.
pub(super) fn test(args: &TestArgs) -> Result<ExitCode, Failure> {
    let projects = args.which.projects()?;
    let host = host()?;
    let paint = Paint::stdout();
    let (mut cases, mut different) = (0, 0);
    for project in &projects {
        let all = Case::of(&project.folder)?;
        let wasm = project.wasm()?;
        for case in all {
            cases += 1;
            let verdict = one(&host, project, (&case, &wasm), args.update, paint)?;
            different += usize::from(verdict == Verdict::Different);
        }
        if let Some(source) = project.stale() {
            let (source, name) = (source.display(), &project.name);
            eprintln!("note: {source} is younger than plugin.wasm, which was tested: engine plugin build {name}");
        }
    }
    let as_expected = cases - different;
    println!("\n{as_expected} of {cases} {} as expected", if cases == 1 { "case" } else { "cases" });
    Ok(if different == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs all cases of a project with these bytes: how many there are, and how many of them differ, which is shown.
pub(in crate::cli) fn cases(host: &Host, project: &Project, wasm: &Bytes) -> Result<(usize, usize), Failure> {
    let cases = match Case::of(&project.folder) {
        Ok(cases) => cases,
        Err(CaseError::None(_)) => return Ok((0, 0)),
        Err(error) => return Err(error.into()),
    };
    let mut different = 0;
    for case in &cases {
        let verdict = one(host, project, (case, wasm), false, Paint::stdout())?;
        different += usize::from(verdict == Verdict::Different);
    }
    Ok((cases.len(), different))
}

fn one(
    host: &Host,
    project: &Project,
    (case, wasm): (&Case, &Bytes),
    update: bool,
    paint: Paint,
) -> Result<Verdict, Failure> {
    print!("{}/{} … ", project.name, case.name);
    let _ = io::stdout().flush(); // progress: a plugin may take its time
    let found = match run(host, project, case, wasm) {
        Ok(found) => found,
        Err(failure) => {
            println!("{}", paint.red("can't be run"));
            return Err(failure);
        }
    };
    let expected = case.expected()?;
    if expected.as_ref().is_some_and(|expected| *expected == found) {
        println!("{}", paint.green("as expected"));
        return Ok(Verdict::AsExpected);
    }
    if update {
        case.accept(&found)?;
        println!("accepted: {} lines in expected.jsonl", found.len());
        return Ok(Verdict::Accepted);
    }
    match expected {
        Some(expected) => show_differences(&expected, &found, paint),
        None => {
            println!("{}", paint.red("nothing is expected yet"));
            show_some(found.iter().map(line));
            println!("  If that is right, accept it: engine plugin test {} --update", project.name);
        }
    }
    Ok(Verdict::Different)
}

/// What becomes of a case's messages. Tables have the names that the plugin gives them, wherever it is deployed.
fn run(host: &Host, project: &Project, case: &Case, wasm: &Bytes) -> Result<Vec<Outcome>, Failure> {
    let file = project.file()?;
    let mut settings = file.settings;
    settings.tables.clear();
    settings.parameters.extend(case.settings.parameters.clone());
    let dead_letters = settings.dead_letters.clone();
    let transform = project.transform_of(host, settings, wasm.clone())?;
    let input = case.input();
    let case = &case.settings;
    let clock_ms = case.clock_ms;
    let limits =
        BatchLimits { max_messages: case.epoch_messages.map_or(EPOCH.max_messages, NonZeroUsize::get), ..EPOCH };
    let mut lanes: Vec<(Epochs, Vec<Outcome>)> = Vec::new();
    for RecordedBatch { found, raw, schemas } in recorded(&input, &file.topics, limits)? {
        if !lanes.last().is_some_and(|(epochs, _)| epochs.are_of(&found)) {
            lanes.push((Epochs::new(&transform, &found), Vec::new()));
        }
        let Some((epochs, outcome)) = lanes.last_mut() else { continue };
        let epoch = epochs.epoch(&transform, &raw, &schemas, clock_ms);
        outcome.extend(outcomes(&epoch.map_err(|error| Failure::in_words(in_words(&error)))?.blocks, &dead_letters));
    }
    for (epochs, outcome) in &mut lanes {
        let Some(watermark_ms) = case.watermark_ms else { continue };
        let epoch = epochs.pass(&transform, watermark_ms, clock_ms);
        outcome.extend(outcomes(&epoch.map_err(|error| Failure::in_words(in_words(&error)))?.blocks, &dead_letters));
    }
    Ok(lanes.into_iter().flat_map(|(_, outcome)| outcome).collect())
}

fn show_differences(expected: &[Outcome], found: &[Outcome], paint: Paint) {
    let differences = differences(expected, found);
    let (count, word) = (differences.len(), if differences.len() == 1 { "difference" } else { "differences" });
    println!("{}", paint.red(&format!("{count} {word}: - expected, + found")));
    show_some(differences.iter().map(|difference| difference.show(paint)));
}

fn show_some(texts: impl ExactSizeIterator<Item = String>) {
    let more = texts.len().saturating_sub(MOST_SHOWN);
    for text in texts.take(MOST_SHOWN) {
        println!("  {}", text.replace('\n', "\n  "));
    }
    if more > 0 {
        println!("  … and {more} more");
    }
}
