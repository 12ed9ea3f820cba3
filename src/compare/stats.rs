//! The arithmetic: percentiles, staleness weighted by time, crossovers. Pure functions.

use serde::Serialize;

/// Smallest, middle and largest of some runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// Smallest.
    pub min: f64,
    /// Middle; of an even number of values the mean of the two in the middle.
    pub median: f64,
    /// Largest.
    pub max: f64,
}

impl Spread {
    /// Of all values that are numbers; `None` when there is none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().filter(|v| v.is_finite()).collect();
        values.sort_unstable_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len().is_multiple_of(2) {
            f64::midpoint(values[middle - 1], values[middle])
        } else {
            values[middle]
        };
        Some(Self { min, median, max })
    }

    /// With six digits that count: more are noise, and make files long.
    #[must_use]
    pub fn rounded(self) -> Self {
        let round = |value: f64| format!("{value:.5e}").parse().unwrap_or(value);
        Self { min: round(self.min), median: round(self.median), max: round(self.max) }
    }
}

/// The value that this share (0 to 1) of a sorted list does not exceed, by nearest rank.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an index of a list that fits in memory"
)]
pub fn percentile(sorted: &[f64], share: f64) -> Option<f64> {
    let rank = (share * sorted.len() as f64).ceil().max(1.0) as usize;
    sorted.get(rank - 1).copied()
}

/// The mean, `None` of nothing.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// One edit as one client saw it, in seconds since any fixed instant.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// When it was sent.
    pub sent: f64,
    /// When the client had it; infinite when it never came.
    pub got: f64,
}

/// How stale one client was in a window.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Staleness {
    /// Integral of the staleness over the window, in s².
    pub area: f64,
    /// Time in the window during which anything was missing, in s.
    pub stale: f64,
}

/// Staleness of a client from `begin` to `end`: at each instant the age of the oldest edit that it
/// has not got. `edits` are in the order in which they were sent.
pub fn staleness(edits: &[Seen], begin: f64, end: f64) -> Staleness {
    let mut total = Staleness::default();
    // Up to here everything is accounted for.
    let mut done = begin;
    for edit in edits {
        // While an older one is missing, that one counts.
        let from = edit.sent.max(done);
        let to = edit.got.min(end);
        if to > from {
            let age = |at: f64| at - edit.sent;
            total.area += (age(to).powi(2) - age(from).powi(2)) / 2.0;
            total.stale += to - from;
            done = to;
        }
    }
    total
}

/// Where polling becomes cheaper than streaming.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "answer", content = "poll_s")]
pub enum Crossover {
    /// Already at the shortest interval that was measured, in seconds.
    Always(f64),
    /// From this interval on, in seconds.
    At(f64),
    /// Not even at the longest interval that was measured, in seconds.
    Never(f64),
}

/// Where the cost of polling, given by interval (s, cost) in ascending order, falls to the cost of
/// streaming and stays there. Between two intervals a power law is assumed: polling's cost is in
/// proportion to 1/interval where nothing else counts. `None` without figures.
pub fn crossover(polling: &[(f64, f64)], streaming: f64) -> Option<Crossover> {
    let (shortest, longest) = (polling.first()?.0, polling.last()?.0);
    let Some(dear) = polling.iter().rposition(|(_, cost)| *cost > streaming) else {
        return Some(Crossover::Always(shortest));
    };
    let Some(&(b, cheap)) = polling.get(dear + 1) else {
        return Some(Crossover::Never(longest));
    };
    let (a, dear) = polling[dear];
    if cheap <= 0.0 || streaming <= 0.0 {
        return Some(Crossover::At(b));
    }
    let share = (dear / streaming).ln() / (dear / cheap).ln();
    Some(Crossover::At(a * (b / a).powf(share)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-9, "{a} is not {b}");
    }

    #[test]
    fn percentiles_are_values_of_the_list_by_nearest_rank() {
        let list: Vec<f64> = (1..=100).map(f64::from).collect();
        for (share, value) in [(0.5, 50.0), (0.95, 95.0), (0.99, 99.0), (1.0, 100.0), (0.0, 1.0)] {
            assert_eq!(percentile(&list, share), Some(value));
        }
        assert_eq!(percentile(&[7.0, 8.0, 9.0], 0.5), Some(8.0));
        assert_eq!(percentile(&[7.0], 0.99), Some(7.0));
        assert_eq!(percentile(&[], 0.5), None);
        assert_eq!(mean(&[1.0, 2.0, 6.0]), Some(3.0));
        assert_eq!(mean(&[]), None);
    }

    #[test]
    fn a_spread_passes_over_what_is_no_number() {
        let spread = Spread::of([3.0, 1.0, f64::NAN, 2.0]).expect("values");
        assert_eq!((spread.min, spread.median, spread.max), (1.0, 2.0, 3.0));
        assert_eq!(Spread::of([1.0, 4.0]).expect("values").median, 2.5);
        assert_eq!(Spread::of([f64::INFINITY]), None);
        let long = Spread { min: 0.0, median: 1.0 / 3.0, max: 1_234_567.0 };
        assert_eq!(long.rounded(), Spread { min: 0.0, median: 0.333333, max: 1_234_570.0 });
    }

    #[test]
    fn staleness_is_the_age_of_the_oldest_edit_that_is_missing() {
        // One edit, missing from 2 to 5: a triangle of 3 × 3 / 2.
        let one = [Seen { sent: 2.0, got: 5.0 }];
        assert_eq!(staleness(&one, 0.0, 10.0), Staleness { area: 4.5, stale: 3.0 });
        // Polled at 4: edits of 0, 1, 2 and 3 come at once, the first one counts: 4 × 4 / 2.
        let poll: Vec<Seen> = (0..4).map(|n| Seen { sent: f64::from(n), got: 4.0 }).collect();
        assert_eq!(staleness(&poll, 0.0, 4.0), Staleness { area: 8.0, stale: 4.0 });
        // The second one takes over when the first has come, at the age of 2: (3² − 2²) / 2.
        let two = [Seen { sent: 0.0, got: 3.0 }, Seen { sent: 1.0, got: 4.0 }];
        assert_eq!(staleness(&two, 0.0, 9.0), Staleness { area: 4.5 + 2.5, stale: 4.0 });
    }

    #[test]
    fn staleness_is_cut_at_the_window_and_counts_what_never_comes() {
        let lost = [Seen { sent: 1.0, got: f64::INFINITY }];
        // From 2 to 4 its age grows from 1 to 3.
        assert_eq!(staleness(&lost, 2.0, 4.0), Staleness { area: 4.0, stale: 2.0 });
        assert_eq!(staleness(&[Seen { sent: 5.0, got: 6.0 }], 0.0, 5.0), Staleness::default());
        assert_eq!(staleness(&[], 0.0, 5.0), Staleness::default());
    }

    #[test]
    fn a_crossover_is_interpolated_where_the_cost_of_polling_falls_to_streamings() {
        // Cost 8 / interval: falls to 2 at 4 s.
        let polling = [(1.0, 8.0), (5.0, 1.6), (15.0, 8.0 / 15.0)];
        let Some(Crossover::At(at)) = crossover(&polling, 2.0) else { panic!("within the grid") };
        near(at, 4.0);
        assert_eq!(crossover(&polling, 0.1), Some(Crossover::Never(15.0)));
        assert_eq!(crossover(&polling, 8.0), Some(Crossover::Always(1.0)));
        assert_eq!(crossover(&[], 1.0), None);
    }

    #[test]
    fn a_crossover_is_where_polling_stays_cheaper() {
        // Cheaper at 1 s by a fluke, dearer at 5 s, cheaper at 20 s.
        let polling = [(1.0, 1.0), (5.0, 4.0), (20.0, 1.0)];
        let Some(Crossover::At(at)) = crossover(&polling, 2.0) else { panic!("within the grid") };
        near(at, 10.0);
        assert_eq!(crossover(&[(1.0, 4.0), (2.0, 0.0)], 1.0), Some(Crossover::At(2.0)));
    }
}
