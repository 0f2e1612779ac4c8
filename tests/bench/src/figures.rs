//! The figures: medians with their spread, as a table and as JSON.

use std::collections::BTreeMap;

use serde::Serialize;

/// Samples by name, in the order of first appearance.
#[derive(Default)]
pub(crate) struct Figures {
    order: Vec<(String, &'static str)>,
    samples: BTreeMap<String, Vec<f64>>,
}

#[derive(Serialize)]
struct Figure<'a> {
    name: &'a str,
    value: f64,
    unit: &'a str,
    min: f64,
    max: f64,
    samples: usize,
}

impl Figures {
    /// Adds one sample.
    pub(crate) fn add(&mut self, name: impl Into<String>, unit: &'static str, value: f64) {
        let name = name.into();
        if !self.samples.contains_key(&name) {
            self.order.push((name.clone(), unit));
        }
        self.samples.entry(name).or_default().push(value);
    }

    /// The median of the samples of this name.
    pub(crate) fn median(&self, name: &str) -> Option<f64> {
        self.samples.get(name).and_then(|samples| median(samples))
    }

    fn all(&self) -> impl Iterator<Item = Figure<'_>> {
        self.order.iter().filter_map(|(name, unit)| {
            let samples = self.samples.get(name)?;
            let (min, max) = samples.iter().fold((f64::MAX, f64::MIN), |(min, max), x| (x.min(min), x.max(max)));
            Some(Figure { name, value: median(samples)?, unit, min, max, samples: samples.len() })
        })
    }

    /// A list of `{name, value, unit, min, max, samples}`; `value` is the median.
    fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(&self.all().collect::<Vec<_>>())
    }

    /// Writes the figures into a file, in place of those of the same names; others in it stay. The machine is named as one of
    /// them.
    pub(crate) fn write_into(&self, file: &std::path::Path) -> Result<(), crate::Failure> {
        let there = std::fs::read(file).ok();
        let mut all: Vec<serde_json::Value> = there.map_or(Ok(Vec::new()), |there| serde_json::from_slice(&there))?;
        let mut own: Vec<serde_json::Value> = serde_json::from_str(&self.json()?)?;
        own.push(serde_json::json!({ "name": "machine", "value": machine()? }));
        all.retain(|figure| own.iter().all(|new| new["name"] != figure["name"]));
        all.append(&mut own);
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        Ok(std::fs::write(file, serde_json::to_string_pretty(&all)? + "\n")?)
    }

    /// The same for people.
    pub(crate) fn print(&self) {
        println!("\n{:<44} {:>10} {:>19}  unit", "", "median", "min … max");
        for figure in self.all() {
            let spread = format!("{:.3} … {:.3}", figure.min, figure.max);
            println!("{:<44} {:>10.3} {spread:>19}  {}", figure.name, figure.value, figure.unit);
        }
    }
}

/// What they were measured on.
fn machine() -> Result<String, crate::Failure> {
    let cpus = std::fs::read_to_string("/proc/cpuinfo")?;
    let values = |name: &'static str| {
        cpus.lines().filter_map(move |line| line.strip_prefix(name)?.trim_start().strip_prefix(':').map(str::trim))
    };
    Ok(format!("{} × {}", values("processor").count(), values("model name").next().unwrap_or(std::env::consts::ARCH)))
}

fn median(samples: &[f64]) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    Some(if sorted.len() % 2 == 1 { upper } else { (sorted[middle - 1] + upper) / 2.0 })
}
