//! `engine demo`: the demo's parts around an engine as `run` puts it together.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use super::run::{Running, engine_runtime, start};
use crate::config::{Config, Overlay};
use crate::demo::{self, BoxError, EngineHandle, EngineSettings, Progress, Verdict};
use crate::disposition::in_words;
use crate::server::Shown;
use crate::stop::stop;

/// Arguments of `demo`.
#[derive(Clone, Debug, clap::Args)]
pub struct DemoArgs {
    /// The folder with the plugins `orders` and `users`.
    #[arg(long, value_name = "DIR", default_value = "plugins")]
    pub plugins: PathBuf,
    /// How much, how fast.
    #[command(flatten)]
    pub options: demo::Options,
}

/// The command: success only if the tables hold exactly what they must.
pub(super) fn demo(args: &DemoArgs) -> ExitCode {
    let runtime = match engine_runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("engine: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(demo::run(&args.options, &args.plugins, start_engine)) {
        Ok(Verdict::AsExpected) => ExitCode::SUCCESS,
        Ok(Verdict::Different) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("engine: {}", in_words(&error));
            ExitCode::FAILURE
        }
    }
}

fn start_engine(settings: EngineSettings) -> Result<EngineHandle, BoxError> {
    let flag = |flag: &str, value: String| ("demo".to_owned(), flag.to_owned(), value);
    let overlay = Overlay {
        flags: vec![
            flag("kafka.brokers", settings.kafka),
            flag("clickhouse.url", settings.clickhouse),
            flag("clickhouse.database", settings.database),
            flag("plugins", settings.plugins.display().to_string()),
            flag("data_dir", settings.data_dir.display().to_string()),
        ],
        ignore_default_file: true,
        no_source: false,
        ..Overlay::default()
    };
    let (stopper, stopped) = stop();
    let Running { engine, shown, .. } = start(Config::read(&overlay)?, stopped)?;
    let task = tokio::spawn(async move { Ok(engine.run().await?) });
    Ok(EngineHandle { progress: Arc::new(move || progress(&shown)), stop: stopper, task })
}

fn progress(shown: &Shown) -> Progress {
    let totals = shown.metrics.totals();
    let views: Vec<_> = shown.lanes.all().iter().map(|lane| (lane.id.clone(), lane.view())).collect();
    let lag = views.iter().filter_map(|(_, view)| Some(view.lag?.end - view.committed.unwrap_or(0)));
    Progress {
        rows_in: totals.messages,
        rows_out: totals.rows_out,
        dead: totals.dead_letters.values().sum(),
        lag: lag.map(|lag| u64::try_from(lag).unwrap_or(0)).sum(),
        positions: views
            .iter()
            .map(|(lane, view)| (lane.topic.as_str().into(), lane.partition, view.committed.unwrap_or(0)))
            .collect(),
    }
}
