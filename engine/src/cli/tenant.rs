//! `engine tenant list|show|pause|resume`: the tenants of a running engine, and an operator's word.

use std::collections::BTreeMap;
use std::process::ExitCode;

use super::control::{Control, ControlError, EngineAt};
use super::paint::Paint;
use super::plugin::{Failure, ended};
use super::run::engine_runtime;
use super::table::{harmless, table};
use crate::tenants::status::{TenantSettings, TenantState, TenantStatus};

/// What to do with tenants.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum TenantCommand {
    /// How all tenants stand.
    List(ListArgs),
    /// One tenant, with what its tenant.toml says and what is wrong in it.
    Show(ShowArgs),
    /// Its lanes end what is open and read nothing more, also after a restart: its rows wait in Kafka.
    Pause(OfTenant),
    /// Its lanes go on.
    Resume(OfTenant),
}

/// Arguments of `list`.
#[derive(Clone, Debug, clap::Args)]
pub struct ListArgs {
    /// Which engine.
    #[command(flatten)]
    pub at: EngineAt,
    /// As the engine answers, in JSON.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `show`.
#[derive(Clone, Debug, clap::Args)]
pub struct ShowArgs {
    /// The tenant.
    #[arg(value_name = "TENANT")]
    pub name: String,
    /// Which engine, and how it is shown.
    #[command(flatten)]
    pub list: ListArgs,
}

/// A tenant of an engine.
#[derive(Clone, Debug, clap::Args)]
pub struct OfTenant {
    /// The tenant.
    #[arg(value_name = "TENANT")]
    pub name: String,
    /// Which engine.
    #[command(flatten)]
    pub at: EngineAt,
}

/// It is not there.
#[derive(Debug, thiserror::Error)]
#[error("there is no tenant {name}: {there}")]
struct NoTenant {
    name: String,
    there: String,
}

/// The command: 0 done, 1 where the engine does not answer or refuses, 2 for a mistake in what was asked.
pub(super) fn tenant(command: &TenantCommand) -> ExitCode {
    ended(match command {
        TenantCommand::List(args) => list(args),
        TenantCommand::Show(args) => show(args),
        TenantCommand::Pause(of) => order(of, "pause"),
        TenantCommand::Resume(of) => order(of, "resume"),
    })
}

fn list(args: &ListArgs) -> Result<ExitCode, Failure> {
    let tenants = asked(&args.at, |control| async move { control.tenants().await })?;
    if args.json {
        println!("{}", json(&tenants));
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<_> = tenants.iter().map(row).collect();
    print!("{}", table(&["tenant", "state", "plugins", "lanes", "behind", "tables"], &rows, None, Paint::stdout()));
    for TenantStatus { tenant, why, .. } in tenants.iter().filter(|it| it.state != TenantState::Running) {
        println!("\n{tenant}: {}", harmless(why.as_deref().unwrap_or_default()));
    }
    Ok(ExitCode::SUCCESS)
}

fn show(args: &ShowArgs) -> Result<ExitCode, Failure> {
    let tenants = asked(&args.list.at, |control| async move { control.tenants().await })?;
    let there = tenants.iter().map(|tenant| tenant.tenant.as_str()).collect::<Vec<_>>().join(", ");
    let Some(tenant) = tenants.iter().find(|tenant| tenant.tenant == args.name) else {
        return Err(Failure::mistake(NoTenant { name: args.name.clone(), there }));
    };
    if args.list.json {
        println!("{}", json(tenant));
    } else {
        lines(tenant).iter().for_each(|(what, text)| println!("{what:<8} {text}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Gives an order, and says what was done.
fn order(of: &OfTenant, verb: &'static str) -> Result<ExitCode, Failure> {
    let name = of.name.clone();
    let done = asked(&of.at, move |control| async move { control.tenant(&name, verb).await })?;
    println!("{done}");
    Ok(ExitCode::SUCCESS)
}

/// What the engine answers.
fn asked<T, F: Future<Output = Result<T, ControlError>>>(
    at: &EngineAt,
    ask: impl FnOnce(Control) -> F,
) -> Result<T, Failure> {
    let control = at.control(&at.settings()?)?;
    let runtime = engine_runtime().map_err(Failure::failed)?;
    Ok(runtime.block_on(ask(control))?)
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).expect("plain data under text keys")
}

fn row(tenant: &TenantStatus) -> Vec<Option<String>> {
    let TenantStatus { tenant, state, plugins, lanes: counted, lag, settings, .. } = tenant;
    let tables = settings.as_ref().map(|it| format!("{} {}", it.url, it.database)).unwrap_or_default();
    let cells =
        [tenant.clone(), state.as_str().to_owned(), plugins.len().to_string(), lanes(counted), lag.to_string(), tables];
    cells.map(Some).to_vec()
}

/// `3 running, 1 halted`.
fn lanes(counted: &BTreeMap<String, usize>) -> String {
    let counted: Vec<_> = counted.iter().map(|(state, count)| format!("{count} {state}")).collect();
    if counted.is_empty() { "none".to_owned() } else { counted.join(", ") }
}

/// What there is to say of a tenant, each with its name.
fn lines(status: &TenantStatus) -> Vec<(&'static str, String)> {
    let TenantStatus { tenant, state, why, settings, plugins, lag, .. } = status;
    let mut lines = vec![("tenant", tenant.clone()), ("state", state.as_str().to_owned())];
    lines.extend(why.as_deref().map(|why| ("why", harmless(why))));
    if let Some(TenantSettings { url, database, user, topics, weight, labels }) = settings {
        let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        lines.push(("tables", format!("{url} database {database} as {user}")));
        lines.push(("topics", topics.clone()));
        lines.push(("weight", weight.to_string()));
        lines.extend((!labels.is_empty()).then(|| ("labels", labels.join(", "))));
    }
    lines.push(("plugins", if plugins.is_empty() { "none".to_owned() } else { plugins.join(", ") }));
    lines.push(("lanes", format!("{}; {lag} messages behind", lanes(&status.lanes))));
    lines
}
