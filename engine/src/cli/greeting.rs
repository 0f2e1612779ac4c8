//! What a person at a terminal is told of a start: what begins, and then which lanes run. Logs are quiet while all goes
//! well, and a program that says nothing can't be told from one that does nothing. Where nobody reads along it is in the log.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::config::{Config, Input};
use crate::deploy::Plugins;
use crate::engine::Lanes;
use crate::offsets::PluginKey;

/// How often lanes are looked for.
const LOOK: Duration = Duration::from_millis(200);
/// How long a plugin may be without a lane before it is said: a broker's first answer takes a second.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is told at once: the way of the rows, and where to look.
pub(super) fn begins(config: &Config) -> String {
    let source = match &config.input {
        Input::Kafka(kafka) => format!("Kafka {}", kafka.brokers),
        Input::Files(files) => files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", "),
    };
    let metrics = match config.listen {
        Some(address) => format!("http://{address}/health and /metrics"),
        None => "no metrics (--listen HOST:PORT serves them)".to_owned(),
    };
    format!(
        "engine {}: from {source} to {} database {}; positions in {}; {metrics}; Ctrl-C ends",
        env!("CARGO_PKG_VERSION"),
        config.clickhouse.url,
        config.database,
        config.data_dir.display(),
    )
}

/// Tells what begins, then of each plugin what it reads, once it is known; of one without a topic that it waits, and its
/// lanes when they come.
pub(super) async fn greet(begins: String, plugins: Plugins, lanes: Lanes) {
    tell(&begins);
    let began = Instant::now();
    let mut waiting = plugins.all();
    let mut patient = true;
    while !waiting.is_empty() {
        sleep(LOOK).await;
        let last_look = patient && began.elapsed() >= PATIENCE;
        waiting.retain(|plugin| {
            let (name, topics) = (plugin.key(), plugin.topics());
            let reads = reads(name, &lanes);
            match &reads {
                Some(reads) => tell(&format!("{name} reads {reads}")),
                // Whether there is none or the source did not answer: the log above it says the latter.
                None if last_look => tell(&format!("{name} waits: no topic found yet of {}", topics.join(", "))),
                None => {}
            }
            reads.is_none()
        });
        patient &= !last_look;
    }
}

/// The topics of a plugin's lanes, and how many partitions of each.
fn reads(plugin: &PluginKey, lanes: &Lanes) -> Option<String> {
    let mut topics = BTreeMap::<String, usize>::new();
    for lane in lanes.all().into_iter().filter(|lane| lane.id.key() == *plugin) {
        *topics.entry(lane.id.topic.clone()).or_default() += 1;
    }
    let part =
        |(topic, count): (String, usize)| format!("{topic} ({count} partition{})", if count == 1 { "" } else { "s" });
    (!topics.is_empty()).then(|| topics.into_iter().map(part).collect::<Vec<_>>().join(", "))
}

fn tell(line: &str) {
    if std::io::stderr().is_terminal() {
        eprintln!("{line}");
    } else {
        tracing::info!("{line}");
    }
}
