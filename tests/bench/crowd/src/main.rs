//! Many tenants on one engine, with a real Kafka and a real ClickHouse.
//!
//! `tenants`: what hundreds of them cost, at rest and at work, beside one that has all their messages.
//! `neighbours`: what twenty good ones notice of five bad ones.
//!
//! CPU time is the engine's alone. Latency is from the moment before a message is sent until its epoch is seen to be
//! committed: wall-clock time of one machine on which the broker, the server and the load run as well, to be compared
//! within one run alone.

mod engine;
#[path = "../../src/figures.rs"]
mod figures;
mod folders;
mod kafka;
mod load;
mod neighbours;
mod proxy;
#[path = "../../src/quantile.rs"]
mod quantile;
mod tenants;
mod watch;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, Parser};
use quantile::quantile;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Parser)]
enum Part {
    /// What many tenants cost
    Tenants(tenants::Options),
    /// What good tenants notice of bad ones
    Neighbours(neighbours::Options),
}

/// What both parts need.
#[derive(Args)]
struct Parts {
    /// Bootstrap servers of a Kafka in which topics are made
    #[arg(long)]
    kafka: String,
    /// The address of a ClickHouse, in which databases `crowd…` are made anew
    #[arg(long)]
    clickhouse: String,
    /// The engine's binary, release build
    #[arg(long)]
    engine: PathBuf,
    /// The built plugin `bench-manners`
    #[arg(long)]
    plugin: PathBuf,
    /// Where the figures are written
    #[arg(long, default_value = "target/bench.json")]
    out: PathBuf,
    /// Where the engine listens
    #[arg(long, default_value = "127.0.0.1:18098")]
    listen: String,
}

/// The longest that anything is waited for.
const BOUND: Duration = Duration::from_secs(600);

fn main() -> Result<(), Failure> {
    match Part::parse() {
        Part::Tenants(options) => tenants::run(&options),
        Part::Neighbours(options) => neighbours::run(&options),
    }
}

fn wait(what: &str, mut holds: impl FnMut() -> Result<bool, Failure>) -> Result<Duration, Failure> {
    let began = Instant::now();
    while !holds()? {
        if began.elapsed() > BOUND {
            return Err(format!("waited in vain for {what}").into());
        }
        pause(Duration::from_millis(20));
    }
    Ok(began.elapsed())
}

#[expect(clippy::disallowed_methods, reason = "a schedule is made of pauses")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

fn ask(url: &str, query: &str) -> Result<String, Failure> {
    let client = reqwest::blocking::Client::builder().timeout(BOUND).build()?;
    let answer = client.post(url).body(query.to_owned()).send()?;
    let accepted = answer.status().is_success();
    let text = answer.text()?;
    if accepted { Ok(text) } else { Err(text.into()) }
}

/// Exact up to 2^53.
fn as_f64(count: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts here are far below 2^53")]
    let float = count as f64;
    float
}
