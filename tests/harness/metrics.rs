//! Prometheus' text format, as far as counters and gauges go.

use std::collections::BTreeMap;

/// One scrape.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    samples: Vec<Sample>,
}

#[derive(Clone, Debug, PartialEq)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Metrics {
    /// Reads a scrape.
    ///
    /// # Panics
    /// When a line is neither a comment nor a sample.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let read = |line: &str| sample(line).unwrap_or_else(|| panic!("not a sample: {line}"));
        Self { samples: lines.map(read).collect() }
    }

    /// Sum of the samples of this name whose labels have these values. Zero where there is none: a counter that never
    /// counted is not shown.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let fits = |sample: &&Sample| {
            sample.name == name
                && labels.iter().all(|(key, value)| sample.labels.get(*key).is_some_and(|found| found == value))
        };
        // Not `sum`: of nothing that is -0.0.
        self.samples.iter().filter(fits).fold(0.0, |sum, sample| sum + sample.value)
    }

    /// Whether there is a sample of this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.samples.iter().any(|sample| sample.name == name)
    }
}

fn sample(line: &str) -> Option<Sample> {
    let (series, value) = match line.rfind('}') {
        Some(end) => line.split_at(end + 1),
        None => line.split_once(' ')?,
    };
    let value = value.split_whitespace().next()?.parse().ok()?;
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, label_pairs(labels.strip_suffix('}')?)?),
        None => (series, BTreeMap::new()),
    };
    Some(Sample { name: name.to_owned(), labels, value })
}

/// `a="x",b="y"`; values escape backslash, quote and newline.
fn label_pairs(mut text: &str) -> Option<BTreeMap<String, String>> {
    let mut pairs = BTreeMap::new();
    while !text.is_empty() {
        let (key, rest) = text.split_once("=\"")?;
        let mut value = String::new();
        let mut characters = rest.char_indices();
        let end = loop {
            match characters.next()? {
                (at, '"') => break at,
                (_, '\\') => match characters.next()?.1 {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                (_, other) => value.push(other),
            }
        };
        pairs.insert(key.to_owned(), value);
        text = rest[end + 1..].trim_start_matches(',');
    }
    Some(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_summed_by_label() {
        let text = "# TYPE rows counter\nrows_total{topic=\"a\",plugin=\"x\"} 3\nrows_total{topic=\"b \\\"}\",plugin=\"x\"} 4 1700\nup 1\n# EOF\n";
        let metrics = Metrics::parse(text);
        assert_eq!(metrics.sum("rows_total", &[("plugin", "x")]).to_bits(), 7f64.to_bits());
        assert_eq!(metrics.sum("rows_total", &[("topic", "b \"}")]).to_bits(), 4f64.to_bits());
        assert_eq!(metrics.sum("rows_total", &[("topic", "c")]).to_bits(), 0f64.to_bits());
        assert!(metrics.has("up") && !metrics.has("rows"));
    }
}
