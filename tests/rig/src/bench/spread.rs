//! Many measurements of one thing, in short: median, 99th percentile and the largest. Pure.

use std::fmt;

/// Milliseconds, sorted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spread(Vec<f64>);

impl Spread {
    /// Of measurements in milliseconds, in any order.
    pub fn of(millis: impl IntoIterator<Item = f64>) -> Self {
        let mut millis: Vec<f64> = millis.into_iter().collect();
        millis.sort_by(f64::total_cmp);
        Self(millis)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The smallest measurement that so many percent are not above; 0 where nothing was measured.
    pub fn percentile(&self, percent: usize) -> f64 {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).copied().unwrap_or_default()
    }

    /// The largest.
    pub fn max(&self) -> f64 {
        self.percentile(100)
    }

    /// From the smallest to the largest.
    pub fn width(&self) -> f64 {
        self.max() - self.0.first().copied().unwrap_or_default()
    }

    /// How many times larger than the other: median, 99th percentile and the largest.
    pub fn ratio(&self, other: &Self) -> [f64; 3] {
        [50, 99, 100].map(|percent| self.percentile(percent) / other.percentile(percent))
    }
}

impl fmt::Display for Spread {
    /// The cells of a row of a table.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cells = [50, 99, 100].map(|percent| millis(self.percentile(percent)));
        write!(f, "{}", cells.join(" | "))
    }
}

/// With as many digits as say something.
pub fn millis(value: f64) -> String {
    match value {
        small if small < 10.0 => format!("{small:.1} ms"),
        large if large < 10_000.0 => format!("{large:.0} ms"),
        longest => format!("{:.1} s", longest / 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::float_cmp, reason = "small whole numbers and their ratios are exact")]
    #[test]
    fn percentiles_are_measurements_and_not_between_them() {
        let spread = Spread::of((1..=200).rev().map(f64::from));
        assert_eq!([50, 99, 100].map(|percent| spread.percentile(percent)), [100.0, 198.0, 200.0]);
        assert_eq!(spread.to_string(), "100 ms | 198 ms | 200 ms");
        assert_eq!((spread.count(), spread.width()), (200, 199.0));
        let one = Spread::of([4.26]);
        assert_eq!(one.to_string(), "4.3 ms | 4.3 ms | 4.3 ms");
        assert_eq!(spread.ratio(&Spread::of([50.0])), [2.0, 3.96, 4.0]);
        assert_eq!(Spread::default().max(), 0.0);
    }

    #[test]
    fn long_times_are_in_seconds() {
        assert_eq!([0.25, 12.4, 9_999.0, 31_250.0].map(millis), ["0.2 ms", "12 ms", "9999 ms", "31.2 s"]);
    }
}
