//! A straight line through measurements: what a call costs by itself, and what each row adds.

use crate::random::Random;

/// Draws of the bootstrap: enough for two digits of the interval's ends.
const DRAWS: usize = 400;

/// Cost of a call as a function of its rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Line {
    /// Of a call without rows.
    pub fixed: f64,
    /// Of each row.
    pub per_row: f64,
}

/// A line, and how sure it is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fit {
    pub line: Line,
    /// 95 of 100 lines through samples drawn anew have their fixed cost between these.
    pub fixed_range: (f64, f64),
    /// And their cost per row between these.
    pub per_row_range: (f64, f64),
    /// The largest deviation of a measurement from the line, relative to the line.
    pub worst: f64,
}

/// Samples of the cost of a call with so many rows.
#[derive(Clone, Debug)]
pub(super) struct Samples {
    pub rows: usize,
    pub costs: Vec<f64>,
}

impl Samples {
    /// The middle one: a mean would follow what another process did to the caches.
    pub(super) fn median(&self) -> f64 {
        median(&self.costs)
    }

    /// Half of the samples lie within this part of the median around it.
    pub(super) fn spread(&self) -> f64 {
        let middle = self.median();
        let away: Vec<_> = self.costs.iter().map(|cost| (cost - middle).abs()).collect();
        median(&away) / middle
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.get(middle), sorted.len() % 2) {
        (None, _) => f64::NAN,
        (Some(odd), 1) => *odd,
        (Some(high), _) => (sorted[middle - 1] + high) / 2.0,
    }
}

/// The line of least relative squares through the medians: errors of a measurement grow with what is measured, and with
/// absolute squares the largest batches alone would decide what a call without rows costs. Two sizes at least.
pub(super) fn fit(samples: &[Samples], random: &mut Random) -> Fit {
    let points: Vec<_> = samples.iter().map(|it| (it.rows as f64, it.median())).collect();
    let line = least_squares(&points);
    let (mut fixed, mut per_row) = (Vec::with_capacity(DRAWS), Vec::with_capacity(DRAWS));
    for _ in 0..DRAWS {
        let drawn: Vec<_> = samples.iter().map(|it| (it.rows as f64, median(&redrawn(&it.costs, random)))).collect();
        let line = least_squares(&drawn);
        fixed.push(line.fixed);
        per_row.push(line.per_row);
    }
    let worst = points.iter().map(|(rows, cost)| (cost / (line.fixed + line.per_row * rows) - 1.0).abs());
    Fit { line, fixed_range: range(fixed), per_row_range: range(per_row), worst: worst.fold(0.0, f64::max) }
}

/// As many samples, drawn with repetition.
fn redrawn(costs: &[f64], random: &mut Random) -> Vec<f64> {
    (0..costs.len()).map(|_| random.pick(costs)).collect()
}

fn range(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    let cut = values.len() / 40;
    (values[cut], values[values.len() - 1 - cut])
}

/// Each point weighs as the square of its inverse.
fn least_squares(points: &[(f64, f64)]) -> Line {
    let (mut w, mut x, mut y, mut xx, mut xy) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (rows, cost) in points {
        let weight = 1.0 / (cost * cost);
        w += weight;
        x += weight * rows;
        y += weight * cost;
        xx += weight * rows * rows;
        xy += weight * rows * cost;
    }
    let per_row = (w * xy - x * y) / (w * xx - x * x);
    Line { fixed: (y - per_row * x) / w, per_row }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Costs of calls on a line, each off by up to `noise` of it.
    fn measured(line: Line, noise: f64, random: &mut Random) -> Vec<Samples> {
        let sizes = [1, 8, 64, 512, 4096];
        let cost = |rows: usize, random: &mut Random| {
            let off = f64::from(random.below(2001)) / 1000.0 - 1.0;
            (line.fixed + line.per_row * rows as f64) * (1.0 + noise * off)
        };
        sizes.map(|rows| Samples { rows, costs: (0..15).map(|_| cost(rows, random)).collect() }).to_vec()
    }

    #[test]
    fn a_line_is_found_again() {
        let line = Line { fixed: 9_000.0, per_row: 40.0 };
        let found = fit(&measured(line, 0.0, &mut Random::new(1)), &mut Random::new(2));
        assert!((found.line.fixed - 9_000.0).abs() < 1e-3 && (found.line.per_row - 40.0).abs() < 1e-6, "{found:?}");
        assert!(found.worst < 1e-9);
    }

    #[test]
    fn noise_widens_the_ranges_and_the_truth_lies_within_them() {
        let line = Line { fixed: 9_000.0, per_row: 40.0 };
        let width = |range: (f64, f64)| range.1 - range.0;
        let quiet = fit(&measured(line, 0.01, &mut Random::new(3)), &mut Random::new(4));
        let noisy = fit(&measured(line, 0.2, &mut Random::new(3)), &mut Random::new(4));
        assert!(width(quiet.per_row_range) < width(noisy.per_row_range), "{quiet:?} {noisy:?}");
        let within = |range: (f64, f64), value| range.0 <= value && value <= range.1;
        assert!(within(noisy.per_row_range, 40.0) && within(noisy.fixed_range, 9_000.0), "{noisy:?}");
    }

    #[test]
    fn the_middle_and_the_spread_ignore_an_outlier() {
        let samples = Samples { rows: 1, costs: vec![10.0, 11.0, 9.0, 10.0, 1_000.0] };
        assert_eq!(samples.median(), 10.0);
        assert!((samples.spread() - 0.1).abs() < 1e-9);
        assert_eq!(median(&[1.0, 3.0]), 2.0);
    }
}
