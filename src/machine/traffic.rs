//! Weights and shares. Route 53 answers with a record in proportion to its weight; when all weights are 0, with each alike.

use std::fmt;

/// A weight of one DNS record, as the annotation says it: 0 to 255.
/// <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/routing-policy-weighted.html>
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Weight(u8);

impl Weight {
    /// No answers, as long as another record of the host has a weight.
    pub const ZERO: Self = Self(0);
    /// Everything that we give to one side.
    pub const FULL: Self = Self(100);

    /// A share in percent. More than 100 is 100, less than 0 is 0: the schema lets neither through.
    pub fn percent(share: i32) -> Self {
        Self(u8::try_from(share.clamp(0, 100)).unwrap_or_default())
    }

    /// A share that is known when this is compiled.
    pub(super) const fn percent_of(share: u8) -> Self {
        Self(share)
    }

    /// Reads an annotation: a whole number from 0 to 255, in plain digits.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| text.parse().ok()).flatten().map(Self)
    }

    /// What the other side gets.
    #[must_use]
    pub fn complement(self) -> Self {
        Self(100_u8.saturating_sub(self.0))
    }

    /// As a number for status and arithmetic.
    pub fn get(self) -> i32 {
        i32::from(self.0)
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The target's share of DNS answers in percent, rounded up, from the sums of all weights at a host. All zero is an even split by records.
pub fn target_share(source: &[Weight], target: &[Weight]) -> i32 {
    if target.is_empty() {
        return 0;
    }
    let sum = |weights: &[Weight]| weights.iter().map(|weight| weight.get()).sum::<i32>();
    let (given, all) = match (sum(source), sum(target)) {
        (0, 0) => (count(target), count(source) + count(target)),
        (source, target) => (target, source + target),
    };
    (given * 100 + all - 1) / all
}

fn count(weights: &[Weight]) -> i32 {
    i32::try_from(weights.len()).unwrap_or(i32::MAX / 200)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn all_zero_is_an_even_split() {
        assert_eq!(target_share(&[Weight::ZERO], &[Weight::ZERO]), 50);
        assert_eq!(target_share(&[], &[Weight::ZERO]), 100);
        assert_eq!(target_share(&[Weight::ZERO], &[]), 0);
    }

    #[test]
    fn only_plain_digits_up_to_255_are_a_weight() {
        for text in ["", "-1", "256", "10%", "1.0", "+5", " 5"] {
            assert_eq!(Weight::parse(text), None, "{text}");
        }
        assert_eq!(Weight::parse("255").map(Weight::get), Some(255));
    }

    proptest! {
        #[test]
        fn raising_first_never_gives_the_target_more_than_the_step(from in 0..=100_i32, to in 0..=100_i32) {
            prop_assume!(from <= to);
            let share = target_share(&[Weight::percent(from).complement()], &[Weight::percent(to)]);
            prop_assert!(share <= to.max(1), "from {from} to {to}: {share}");
        }
    }
}
