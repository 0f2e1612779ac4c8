//! `engine status`: which version of each plugin runs, what is on trial or in the shadow, and what was refused.

use std::io::{self, Write};
use std::process::ExitCode;

use super::control::{ControlError, EngineAt};
use super::paint::Paint;
use super::run::engine_runtime;
use super::table::{harmless, table};
use super::{difference, mistaken};
use crate::breaker::BreakerView;
use crate::cell;
use crate::config::FailurePolicy;
use crate::deploy::shadow::ShadowView;
use crate::deploy::status::{FiguresStatus, FolderState, LaneVersion, PluginStatus, Refusal, TrialStatus};
use crate::disposition::in_words;
use crate::offsets::PluginKey;

/// Arguments of `status`.
#[derive(Clone, Debug, clap::Args)]
pub struct StatusArgs {
    /// This plugin alone, with all that is known of it; of a tenant, TENANT/NAME.
    #[arg(value_name = "PLUGIN")]
    pub plugin: Option<PluginKey>,
    /// Which engine.
    #[command(flatten)]
    pub at: EngineAt,
    /// As the engine answers, in JSON.
    #[arg(long)]
    pub json: bool,
}

/// The command: 0 where the engine answers, 1 where it does not, 2 for a mistake in what was asked.
pub(super) fn status(args: &StatusArgs) -> ExitCode {
    let settings = match args.at.settings() {
        Ok(settings) => settings,
        Err(problems) => return mistaken(&problems),
    };
    let asked = args.at.control(&settings).and_then(|control| {
        let runtime = engine_runtime().map_err(|_| ControlError::NoAddress)?;
        runtime.block_on(control.plugins())
    });
    let mut plugins = match asked {
        Ok(plugins) => plugins,
        Err(error) => {
            eprintln!("engine: {}", in_words(&error));
            return ExitCode::from(if matches!(error, ControlError::NoAddress) { 2 } else { 1 });
        }
    };
    if let Some(wanted) = &args.plugin {
        plugins.retain(|plugin| plugin.key() == *wanted);
        if plugins.is_empty() {
            eprintln!("engine: no plugin {wanted} runs");
            return ExitCode::from(2);
        }
    }
    // Whoever reads along may have seen enough.
    let _ = show(&plugins, args, &mut io::stdout().lock());
    ExitCode::SUCCESS
}

fn show(plugins: &[PluginStatus], args: &StatusArgs, out: &mut impl Write) -> io::Result<()> {
    if args.json {
        let json = serde_json::to_string_pretty(plugins).expect("plain data under text keys");
        return writeln!(out, "{json}");
    }
    let paint = Paint::stdout();
    let rows: Vec<_> = plugins.iter().map(|plugin| row(plugin).map(Some).to_vec()).collect();
    write!(out, "{}", table(&["plugin", "version", "lanes", "newcomer"], &rows, None, paint))?;
    for plugin in plugins.iter().filter(|plugin| args.plugin.is_some() || has_news(plugin)) {
        writeln!(out, "\n{}", paint.bold(&plugin.key().to_string()))?;
        details(plugin, paint).iter().for_each(|line| drop(writeln!(out, "  {line}")));
    }
    Ok(())
}

fn row(plugin: &PluginStatus) -> [String; 4] {
    let newcomer = match (&plugin.trial, &plugin.shadow) {
        (Some(trial), _) => format!("{} on trial ({}), {} of its lanes", trial.version, trial.mode, trial.lanes),
        (None, Some(ShadowView { version, ended: Some(_), .. })) => format!("{version} in the shadow, ended"),
        (None, Some(ShadowView { version, .. })) => format!("{version} in the shadow"),
        (None, None) => String::new(),
    };
    let pinned = if plugin.pinned.is_some() { ", pinned" } else { "" };
    let version = match &plugin.version {
        Some(version) => format!("{}{pinned}", named(&plugin.says, &version.to_string())),
        None => "nothing runs".to_owned(),
    };
    [plugin.key().to_string(), version, plugin.lanes.len().to_string(), newcomer]
}

/// A version as people know it, and as it is told from others.
pub(super) fn named(says: &str, id: &str) -> String {
    if says.is_empty() { id.to_owned() } else { format!("{says} {id}") }
}

fn has_news(plugin: &PluginStatus) -> bool {
    let broken = plugin.lanes.iter().any(|lane| lane.breaker.is_some());
    broken || plugin.trial.is_some() || plugin.shadow.is_some() || plugin.folder.state != FolderState::Running
}

/// What there is to say of a plugin, in lines.
pub(super) fn details(plugin: &PluginStatus, paint: Paint) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(trial) = &plugin.trial {
        lines.extend(trial_lines(trial));
    }
    if let Some(shadow) = &plugin.shadow {
        lines.extend(shadow_lines(shadow, paint));
    }
    let why = plugin.folder.why.as_deref().map(harmless).unwrap_or_default();
    lines.extend(match plugin.folder.state {
        FolderState::Running => None,
        FolderState::Preparing => Some("the version in its folder is being prepared".to_owned()),
        FolderState::Waiting => Some("the version in its folder waits: another one is pinned".to_owned()),
        FolderState::Refused => Some(paint.red(&format!("the version in its folder is refused: {why}"))),
        FolderState::Withdrawn => Some(paint.red(&format!("the version in its folder was taken back: {why}"))),
    });
    lines.extend(plugin.lanes.iter().filter_map(|lane| breaker_line(lane, paint)));
    let refusal = |Refusal { at_ms, version, what, reason }: &Refusal| {
        format!("{}  {version} was {}: {}", cell::utc(*at_ms), what.as_str(), harmless(reason))
    };
    lines.extend(plugin.refused.iter().map(refusal));
    lines
}

/// What a lane does whose plugin fails on too much.
fn breaker_line(lane: &LaneVersion, paint: Paint) -> Option<String> {
    let BreakerView { state, policy, why, open_seconds, next_probe_seconds } = lane.breaker.as_ref()?;
    let does = if policy == FailurePolicy::Park.as_str() { "parks its messages" } else { "is paused" };
    let next = match state.as_str() {
        "half_open" => "it is tried now".to_owned(),
        _ => format!("it is tried in {next_probe_seconds:.0} s"),
    };
    let (topic, partition, why) = (&lane.topic, lane.partition, harmless(why));
    let line = format!("{topic}/{partition} {does}: the plugin has failed for {open_seconds:.0} s, {next}: {why}");
    Some(paint.red(&line))
}

fn trial_lines(trial: &TrialStatus) -> Vec<String> {
    let TrialStatus { version, age_seconds, probation_seconds, probation_rows, committed, made, baseline, .. } = trial;
    let rows = probation_rows.map(|rows| format!(" or {rows} messages")).unwrap_or_default();
    let mut lines = vec![
        format!(
            "{version} on trial for {age_seconds:.0} s of {probation_seconds:.0} s{rows}; {committed} messages committed"
        ),
        format!("  newcomer  {}", figures(made)),
        format!("  before    {}", figures(baseline)),
    ];
    if trial.no_way_back {
        lines.push("  what it keeps can't be read by the version before: it is not taken back any more".to_owned());
    }
    lines
}

fn figures(FiguresStatus { messages, faults, dead_letters, cost_us }: &FiguresStatus) -> String {
    format!("{messages} messages, {faults} faults, {dead_letters} dead letters, {cost_us:.2} µs of CPU time each")
}

fn shadow_lines(shadow: &ShadowView, paint: Paint) -> Vec<String> {
    let ShadowView { version, age_seconds, difference, skipped_messages, waiting, ended } = shadow;
    let mut head = format!("{version} in the shadow for {age_seconds:.0} s; {waiting} batches wait for it");
    if *skipped_messages > 0 {
        head.push_str(&format!("; {skipped_messages} messages were left out, as it could not keep up"));
    }
    let mut lines = vec![head];
    if let Some(reason) = ended {
        lines.push(paint.red(&format!("  ended: {}", harmless(reason))));
    }
    lines.extend(difference::show(difference, paint).lines().map(|line| format!("  {line}")));
    lines
}
