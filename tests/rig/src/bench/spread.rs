//! Many measurements of one thing, in short: median, 99th percentile and the largest. Pure.

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

    /// Median, 99th percentile and the largest, for people.
    pub fn cells(&self) -> [String; 3] {
        [50, 99, 100].map(|percent| millis(self.percentile(percent)))
    }

    /// How many times larger than the other: median, 99th percentile and the largest.
    pub fn ratio(&self, other: &Self) -> [f64; 3] {
        [50, 99, 100].map(|percent| self.percentile(percent) / other.percentile(percent))
    }
}

/// A count as a measurement; counts here are far below what a float holds exactly.
pub fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
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
        assert_eq!(spread.cells(), ["100 ms", "198 ms", "200 ms"]);
        assert_eq!((spread.count(), millis(spread.width()).as_str()), (200, "199 ms"));
        assert_eq!(Spread::of([4.26]).cells(), ["4.3 ms"; 3]);
        let ratio = spread.ratio(&Spread::of([50.0])).map(|ratio| format!("{ratio:.2}"));
        assert_eq!(ratio, ["2.00", "3.96", "4.00"]);
        assert_eq!(millis(Spread::default().max()), "0.0 ms");
    }

    #[test]
    fn long_times_are_in_seconds() {
        assert_eq!([0.25, 12.4, 9_999.0, 31_250.0].map(millis), ["0.2 ms", "12 ms", "9999 ms", "31.2 s"]);
    }
}
