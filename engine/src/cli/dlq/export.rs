//! `engine dlq export`: letters as a recording.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use super::{DlqError, ExportArgs, in_time};
use crate::config::Config;
use crate::dead_letters::{Letter, Letters, recording};

/// Letters whose messages are in memory at a time.
const AT_A_TIME: usize = 1000;

pub(super) async fn export(args: &ExportArgs) -> Result<ExitCode, DlqError> {
    let config = args.at.config()?;
    let filter = args.which.filter(args.all)?;
    let mut out: Box<dyn Write> = match &args.output {
        None => Box::new(io::stdout().lock()),
        Some(path) => {
            let io = |source| DlqError::Io { what: format!("{} can't be written", path.display()), source };
            Box::new(File::create(path).map_err(io)?)
        }
    };
    let mut out = BufWriter::new(&mut *out);
    let (tables, all) = args.at.tables(&config, args.which.plugin.as_ref()).await?;
    let mut messages = BTreeMap::new();
    for (index, letters) in tables.iter().enumerate() {
        for letter in in_time(&config, letters.find(&filter)).await? {
            // Two plugins, or two generations, set the same message aside: a recording has it once.
            let place = (letter.topic.clone(), letter.partition, letter.offset);
            messages.insert(place, (index, letter));
        }
    }
    messages.retain(|_, (_, letter)| letter.offset >= 0); // an entry of a plugin's state is no message
    let total = messages.len();
    let whole: Vec<_> = messages.into_values().filter(|(_, letter)| !letter.cut).collect();
    for run in whole.chunk_by(|(a, one), (b, other)| a == b && one.lane() == other.lane()) {
        for page in run.chunks(AT_A_TIME) {
            let Some((table, _)) = page.first() else { continue };
            let page: Vec<Letter> = page.iter().map(|(_, letter)| letter.clone()).collect();
            write(&config, &tables[*table], &page, &mut out).await?;
        }
    }
    out.flush().map_err(unwritten)?;
    eprintln!("{} messages", whole.len());
    if total > whole.len() {
        eprintln!("{} letters are left out: they hold only the beginning of their message", total - whole.len());
    }
    Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn write(config: &Config, letters: &Letters, page: &[Letter], out: &mut impl Write) -> Result<(), DlqError> {
    let bodies = in_time(config, letters.bodies(page)).await?;
    for letter in page {
        if let Some(body) = bodies.get(&letter.offset) {
            let line = recording::line(&letter.topic, letter.partition, &body.message);
            writeln!(out, "{line}").map_err(unwritten)?;
        }
    }
    Ok(())
}

fn unwritten(source: io::Error) -> DlqError {
    DlqError::Io { what: "the recording can't be written".to_owned(), source }
}
