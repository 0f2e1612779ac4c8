//! `engine dlq replay`: letters through the plugin as it is now.

use std::process::ExitCode;
use std::sync::Arc;

use super::{DlqError, ReplayArgs, in_time};
use crate::artifacts::Artifacts;
use crate::cli::run::{load_plugin, registry};
use crate::clock::SystemClock;
use crate::cpu::Cpu;
use crate::dead_letters::Letters;
use crate::dead_letters::replay::{Outcome, Replay, ReplayError, lock};
use crate::plugin::{Compiler, Host, HostSettings};
use crate::sink::ClickHouses;

pub(super) async fn replay(args: &ReplayArgs) -> Result<ExitCode, DlqError> {
    let config = args.at.config()?;
    let Some(plugin) = &args.which.plugin else {
        return Err(DlqError::Asked("flag --plugin: which plugin's letters are to be replayed?".to_owned()));
    };
    let host = Host::with(HostSettings::default(), Compiler::of_this_program(), None)
        .map_err(|error| DlqError::Asked(error.to_string()))?;
    let deployed = load_plugin(&config, &host, plugin)?;
    let table = args.at.table.clone().unwrap_or_else(|| deployed.file.settings.dead_letters.clone());
    let tenant = &deployed.file.tenant;
    let clickhouse = ClickHouses::default().of(tenant)?;
    let letters = Letters::new(clickhouse.clone(), &tenant.database, &table);
    if !in_time(&config, letters.exist()).await? {
        println!("there is no table {} yet, so nothing to replay", letters.table());
        return Ok(ExitCode::SUCCESS);
    }
    let filter = args.which.filter(false)?;
    let _lock = lock(&config.data_dir)?;
    let artifacts = Artifacts::open(&config.data_dir).map_err(ReplayError::from)?;
    let replay = Replay {
        letters,
        clickhouse,
        transform: deployed.transform,
        registry: registry(&config, &artifacts).map_err(ReplayError::from)?,
        artifacts,
        host,
        cpu: Cpu::start(1).map_err(|source| DlqError::Io { what: "threads can't be started".to_owned(), source })?,
        clock: Arc::new(SystemClock),
    };
    let outcome = replay.run(&filter).await?;
    println!("{}", in_words(outcome));
    Ok(if outcome.failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn in_words(outcome: Outcome) -> String {
    let Outcome { replayed, ended, rows, failed, cut } = outcome;
    let mut words = format!("{replayed} replayed ({rows} rows), {failed} failed again");
    if ended > 0 {
        words.push_str(&format!("; {ended} of these ended a replay that was interrupted"));
    }
    if cut > 0 {
        words.push_str(&format!("; {cut} left alone, as they hold only the beginning of their message"));
    }
    words
}
