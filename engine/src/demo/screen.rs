//! What the demo shows while it runs: at a terminal one line that changes, else a line now and then.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Progress;
use super::feed::Fed;

/// How often a line is printed where lines cannot be changed.
const LINE_EVERY: Duration = Duration::from_secs(1);

/// The demo's view of standard output.
pub(super) struct Screen {
    start: Instant,
    terminal: bool,
    last: Option<(Instant, u64)>,
    rate: u64,
}

impl Screen {
    /// The clock starts now.
    pub(super) fn new() -> Self {
        Self { start: Instant::now(), terminal: std::io::stdout().is_terminal(), last: None, rate: 0 }
    }

    /// Says what runs where.
    pub(super) fn opening(&mut self, kafka: &str, clickhouse: &str, plugins: &Path) {
        println!("Kafka       embedded broker at {kafka}, topics demo.inventory.orders and demo.public.users");
        println!("ClickHouse  {clickhouse}, database demo");
        println!("Plugins     {}", plugins.display());
        println!();
        self.start = Instant::now();
    }

    /// Shows how far the engine is.
    pub(super) fn progress(&mut self, fed: &Fed, progress: &Progress) {
        let now = Instant::now();
        let due = self.last.is_none_or(|(last, _)| now - last >= LINE_EVERY - Duration::from_millis(50));
        if !due {
            return;
        }
        if let Some((last, rows)) = self.last {
            let ms = u64::try_from((now - last).as_millis()).unwrap_or(u64::MAX).max(1);
            self.rate = progress.rows_in.saturating_sub(rows) * 1_000 / ms;
        }
        self.last = Some((now, progress.rows_in));
        let line = progress_line(self.start.elapsed(), fed.messages.load(Ordering::Relaxed), self.rate, progress);
        if self.terminal {
            print!("\r\x1b[2K{line}");
        } else {
            println!("{line}");
        }
        // A terminal that is gone is no reason to stop.
        let _ = std::io::stdout().flush();
    }

    /// Closes the line of progress.
    pub(super) fn closing(&mut self, progress: &Progress) {
        if self.terminal {
            print!("\r\x1b[2K");
        }
        println!(
            "{} messages in, {} rows out, {} dead letters, in {:.1} s. Now ClickHouse is asked:\n",
            grouped(progress.rows_in),
            grouped(progress.rows_out),
            grouped(progress.dead),
            self.start.elapsed().as_secs_f64(),
        );
    }

    /// Says how the user can go on.
    pub(super) fn how_to_query_on(&self, clickhouse: &str, tcp: u16, database: &str, keep: bool) {
        if keep {
            println!("ClickHouse keeps running until Ctrl-C. Ask it:");
            println!("  curl '{clickhouse}/?database={database}' -d 'SELECT * FROM orders_current LIMIT 3'");
            println!("  clickhouse client --port {tcp} --database {database}");
        } else {
            println!("To look around in the tables afterwards: engine demo --keep");
        }
    }
}

fn progress_line(elapsed: Duration, fed: u64, rate: u64, progress: &Progress) -> String {
    let seconds = elapsed.as_secs();
    format!(
        "{:02}:{:02}  fed {:>9}  in {:>9}  out {:>9}  dead {:>6}  {:>7} rows/s  lag {:>6}",
        seconds / 60,
        seconds % 60,
        grouped(fed),
        grouped(progress.rows_in),
        grouped(progress.rows_out),
        grouped(progress.dead),
        grouped(rate),
        grouped(progress.lag),
    )
}

/// A number with a comma after every third digit from the right.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
