//! Verdicts: Pass, Fail or Inconclusive. No data is Inconclusive, never Pass and never Fail.

use jiff::Timestamp;

use super::side::Side;

/// The answer to a health question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Enough good answers in a row.
    Pass,
    /// Nothing is known, or not enough yet. It stops the clock; it never rolls back and never counts as good.
    #[default]
    Inconclusive,
    /// Enough bad answers in a row.
    Fail,
}

impl Verdict {
    /// As users read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "Pass",
            Self::Inconclusive => "Inconclusive",
            Self::Fail => "Fail",
        }
    }
}

/// One watched check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckReport {
    /// Its name.
    pub name: String,
    /// The side that it watches.
    pub side: Side,
    /// Its verdict.
    pub verdict: Verdict,
    /// What was found and what was expected, when the verdict last changed.
    pub message: String,
}

/// What the watch over both sides says now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealthView {
    /// Since when both sides have been watched without a break by this process.
    pub watched_since: Option<Timestamp>,
    /// Until when an earlier watch is known to have lasted: of this process, before its site was made anew, or of the process
    /// before it. It ends the running stretch of a hold's clock; what came after it nobody saw.
    pub watched_before: Option<Timestamp>,
    /// When the last round of probes ended.
    pub last_round: Option<Timestamp>,
    /// Every check of both sides.
    pub checks: Vec<CheckReport>,
}

impl HealthView {
    /// The verdict on a side: Fail if one check fails, Pass if all pass, Inconclusive otherwise.
    pub fn verdict(&self, side: Side) -> Verdict {
        self.checks.iter().filter(|check| check.side == side).map(|check| check.verdict).max().unwrap_or_default()
    }

    /// The first check of a side that has this verdict.
    pub fn first(&self, side: Side, verdict: Verdict) -> Option<&CheckReport> {
        self.checks.iter().find(|check| check.side == side && check.verdict == verdict)
    }

    /// Whether a round of probes has ended after `moment`: what was seen before it does not count.
    pub fn seen_after(&self, moment: Timestamp) -> bool {
        self.last_round.is_some_and(|round| round > moment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(side: Side, verdict: Verdict) -> CheckReport {
        CheckReport { name: "c".into(), side, verdict, message: String::new() }
    }

    #[test]
    fn one_failing_check_fails_its_side_only() {
        let checks = vec![
            report(Side::Target, Verdict::Pass),
            report(Side::Target, Verdict::Fail),
            report(Side::Source, Verdict::Pass),
        ];
        let view = HealthView { checks, ..HealthView::default() };
        assert_eq!(view.verdict(Side::Target), Verdict::Fail);
        assert_eq!(view.verdict(Side::Source), Verdict::Pass);
    }

    #[test]
    fn no_checks_and_half_known_checks_are_inconclusive() {
        assert_eq!(HealthView::default().verdict(Side::Target), Verdict::Inconclusive);
        let checks = vec![report(Side::Target, Verdict::Pass), report(Side::Target, Verdict::Inconclusive)];
        assert_eq!(HealthView { checks, ..HealthView::default() }.verdict(Side::Target), Verdict::Inconclusive);
    }
}
