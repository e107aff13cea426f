//! PURE. From answers to verdicts: the source is the oracle for what the target must answer, and several answers in a row decide.

use super::http::{Answer, FailureKind, Scheme};
use crate::machine::health::Verdict;

/// What one round says of one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opinion {
    /// Of this round alone.
    pub verdict: Verdict,
    /// What was found and what was expected.
    pub message: String,
}

impl Opinion {
    fn new(verdict: Verdict, message: impl Into<String>) -> Self {
        Self { verdict, message: message.into() }
    }
}

/// What is expected of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// The status code.
    pub status: u16,
    /// Where a redirect leads.
    pub location: Option<String>,
}

/// One question as it was asked to both sides.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// With or without TLS.
    pub scheme: Scheme,
    /// Whether the source's Ingress has a certificate for the host. Without one HTTPS may rightly fail on both sides.
    pub has_certificate: bool,
    /// Whether the source answered for this host in this round, in whatever way it was asked.
    pub source_is_there: bool,
    /// Status codes that pass, if the spec names them.
    pub statuses: &'a [u16],
    /// What the source last answered well, from an earlier round.
    pub remembered: Option<&'a Expectation>,
}

/// What one round says of the source, of the target, and what the source answered well.
pub fn judge(question: &Question<'_>, source: &Answer, target: &Answer) -> (Opinion, Opinion, Option<Expectation>) {
    let expected = well_answered(question, source);
    if is_not_served(question, source) {
        let message = format!("the source does not serve {} for this host; it is not compared", question.scheme);
        return (Opinion::new(Verdict::Pass, &*message), Opinion::new(Verdict::Pass, message), None);
    }
    if is_silent(source) && is_silent(target) {
        let message = match [target, source].into_iter().find(|answer| is_not_asked(answer)) {
            Some(answer) => describe(answer),
            None => format!("neither side answers ({}), so it may be our own network", describe(target)),
        };
        return (Opinion::new(Verdict::Inconclusive, &*message), Opinion::new(Verdict::Inconclusive, message), None);
    }
    let of_source = match &expected {
        Some(_) => Opinion::new(Verdict::Pass, describe(source)),
        None if is_not_asked(source) => Opinion::new(Verdict::Inconclusive, describe(source)),
        None => Opinion::new(Verdict::Fail, describe(source)),
    };
    let of_target = judge_target(question, expected.as_ref(), target);
    (of_source, of_target, expected)
}

fn judge_target(question: &Question<'_>, expected: Option<&Expectation>, target: &Answer) -> Opinion {
    let found = describe(target);
    if is_not_asked(target) {
        return Opinion::new(Verdict::Inconclusive, found);
    }
    let Answer::Response { status, location, .. } = target else { return Opinion::new(Verdict::Fail, found) };
    if !question.statuses.is_empty() {
        let verdict = if question.statuses.contains(status) { Verdict::Pass } else { Verdict::Fail };
        return Opinion::new(verdict, format!("{found}; expected one of {:?}", question.statuses));
    }
    let when = if expected.is_some() { "the source answers" } else { "before it failed too, the source answered" };
    match expected.or(question.remembered) {
        None => Opinion::new(Verdict::Inconclusive, format!("{found}; the source does not say what to expect")),
        Some(expected) if expected.status == *status && expected.location == *location => {
            Opinion::new(Verdict::Pass, found)
        }
        Some(expected) => Opinion::new(Verdict::Fail, format!("{found}; {when} {}", in_words(expected))),
    }
}

/// The source's answer, if it may be taken as the measure.
fn well_answered(question: &Question<'_>, source: &Answer) -> Option<Expectation> {
    let Answer::Response { status, location, .. } = source else { return None };
    let well = if question.statuses.is_empty() { *status < 500 } else { question.statuses.contains(status) };
    well.then(|| Expectation { status: *status, location: location.clone() })
}

/// Whether users never had this way to the service: a load balancer may listen on one port only, and drop what comes to
/// the other. What the source has once answered is served.
fn is_not_served(question: &Question<'_>, source: &Answer) -> bool {
    let Answer::Failed { kind, .. } = source else { return false };
    let closed = match kind {
        FailureKind::Refused | FailureKind::Timeout => true,
        FailureKind::Tls => question.scheme == Scheme::Https && !question.has_certificate,
        _ => false,
    };
    closed && question.source_is_there && question.remembered.is_none() && question.statuses.is_empty()
}

/// No connection at all. A certificate that is not accepted comes from somebody who is there.
fn is_silent(answer: &Answer) -> bool {
    matches!(
        answer,
        Answer::Failed {
            kind: FailureKind::Refused
                | FailureKind::Timeout
                | FailureKind::Reset
                | FailureKind::Other
                | FailureKind::NotAsked,
            ..
        }
    )
}

fn is_not_asked(answer: &Answer) -> bool {
    matches!(answer, Answer::Failed { kind: FailureKind::NotAsked, .. })
}

fn describe(answer: &Answer) -> String {
    match answer {
        Answer::Response { status, location, .. } => {
            format!("answers {}", in_words(&Expectation { status: *status, location: location.clone() }))
        }
        Answer::Failed { message, .. } => message.clone(),
    }
}

fn in_words(expected: &Expectation) -> String {
    match &expected.location {
        Some(location) => format!("{} to {location}", expected.status),
        None => expected.status.to_string(),
    }
}

/// How many answers in a row decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Passes in a row that make the verdict Pass.
    pub success: u32,
    /// Failures in a row that make the verdict Fail.
    pub failure: u32,
}

/// The verdict on one check over several rounds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    verdict: Verdict,
    message: String,
    passes: u32,
    failures: u32,
}

impl Tally {
    /// Counts one more round. A round without data takes the verdict away at once: it never counts as good.
    pub fn count(&mut self, opinion: Opinion, thresholds: Thresholds) {
        let (passes, failures) = match opinion.verdict {
            Verdict::Pass => (self.passes.saturating_add(1), 0),
            Verdict::Fail => (0, self.failures.saturating_add(1)),
            Verdict::Inconclusive => (0, 0),
        };
        (self.passes, self.failures) = (passes, failures);
        let decided = match opinion.verdict {
            Verdict::Pass => (passes >= thresholds.success).then_some(Verdict::Pass),
            Verdict::Fail => (failures >= thresholds.failure).then_some(Verdict::Fail),
            Verdict::Inconclusive => Some(Verdict::Inconclusive),
        };
        let verdict = decided.unwrap_or(self.verdict);
        // The message speaks of the verdict: it changes with it, not with every answer.
        if verdict != self.verdict || self.message.is_empty() || verdict == Verdict::Inconclusive {
            self.message = opinion.message;
        }
        self.verdict = verdict;
    }

    /// The verdict so far.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// What was found and expected when the verdict last changed.
    pub fn message(&self) -> &str {
        &self.message
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn answers(status: u16, location: Option<&str>) -> Answer {
        Answer::Response { status, location: location.map(str::to_owned), latency: Duration::ZERO }
    }

    fn fails(kind: FailureKind) -> Answer {
        Answer::Failed { kind, message: format!("{kind:?}") }
    }

    const PLAIN: Question<'_> = Question {
        scheme: Scheme::Http,
        has_certificate: true,
        source_is_there: false,
        statuses: &[],
        remembered: None,
    };

    fn verdicts(question: &Question<'_>, source: &Answer, target: &Answer) -> (Verdict, Verdict) {
        let (source, target, _) = judge(question, source, target);
        (source.verdict, target.verdict)
    }

    #[test]
    fn the_same_redirect_or_login_on_both_sides_passes() {
        for (status, location) in [(200, None), (302, Some("/login")), (401, None), (404, None)] {
            let both = answers(status, location);
            assert_eq!(verdicts(&PLAIN, &both, &both), (Verdict::Pass, Verdict::Pass), "{status}");
        }
    }

    #[test]
    fn another_status_or_another_redirect_fails_the_target_only() {
        let source = answers(302, Some("/login"));
        for target in
            [answers(200, None), answers(302, Some("/setup")), answers(503, None), fails(FailureKind::Timeout)]
        {
            assert_eq!(verdicts(&PLAIN, &source, &target), (Verdict::Pass, Verdict::Fail), "{target:?}");
        }
    }

    #[test]
    fn when_neither_side_answers_nothing_is_known() {
        let both = (Verdict::Inconclusive, Verdict::Inconclusive);
        assert_eq!(verdicts(&PLAIN, &fails(FailureKind::Timeout), &fails(FailureKind::Refused)), both);
    }

    #[test]
    fn a_broken_source_leaves_the_target_measured_by_what_it_answered_before() {
        let broken = answers(503, None);
        assert_eq!(verdicts(&PLAIN, &broken, &answers(200, None)), (Verdict::Fail, Verdict::Inconclusive));
        let before = Expectation { status: 200, location: None };
        let question = Question { remembered: Some(&before), ..PLAIN };
        assert_eq!(verdicts(&question, &broken, &answers(200, None)), (Verdict::Fail, Verdict::Pass));
        assert_eq!(verdicts(&question, &broken, &answers(503, None)), (Verdict::Fail, Verdict::Fail));
    }

    #[test]
    fn a_side_that_was_not_asked_gets_no_verdict_and_gives_the_other_none() {
        let good = answers(200, None);
        let unasked = fails(FailureKind::NotAsked);
        assert_eq!(verdicts(&PLAIN, &good, &unasked), (Verdict::Pass, Verdict::Inconclusive));
        assert_eq!(verdicts(&PLAIN, &unasked, &good), (Verdict::Inconclusive, Verdict::Inconclusive));
        assert_eq!(
            verdicts(&PLAIN, &unasked, &fails(FailureKind::Refused)),
            (Verdict::Inconclusive, Verdict::Inconclusive),
            "without the source's answer it may be our own network"
        );
        let named = Question { statuses: &[200], ..PLAIN };
        assert_eq!(verdicts(&named, &unasked, &answers(500, None)).1, Verdict::Fail, "it answered, and badly");
    }

    #[test]
    fn a_bad_certificate_fails_unless_the_source_has_none_either() {
        let good = answers(200, None);
        let question = Question { scheme: Scheme::Https, ..PLAIN };
        assert_eq!(verdicts(&question, &good, &fails(FailureKind::Tls)), (Verdict::Pass, Verdict::Fail));
        let without = Question { has_certificate: false, source_is_there: true, ..question };
        assert_eq!(
            verdicts(&without, &fails(FailureKind::Tls), &fails(FailureKind::Tls)),
            (Verdict::Pass, Verdict::Pass)
        );
        assert_eq!(verdicts(&without, &good, &fails(FailureKind::Tls)), (Verdict::Pass, Verdict::Fail));
    }

    #[test]
    fn a_port_on_which_the_source_never_answered_is_not_compared() {
        for scheme in [Scheme::Http, Scheme::Https] {
            for closed in [FailureKind::Refused, FailureKind::Timeout] {
                let open = Question { scheme, source_is_there: true, ..PLAIN };
                let both = verdicts(&open, &fails(closed), &fails(closed));
                assert_eq!(both, (Verdict::Pass, Verdict::Pass), "{scheme:?} {closed:?}");
                let before = Expectation { status: 200, location: None };
                let broken = Question { remembered: Some(&before), ..open };
                let source = verdicts(&broken, &fails(closed), &answers(200, None)).0;
                assert_eq!(source, Verdict::Fail, "it has answered before");
            }
        }
        let away = verdicts(&PLAIN, &fails(FailureKind::Timeout), &fails(FailureKind::Timeout));
        assert_eq!(away.0, Verdict::Inconclusive, "nobody answered at all");
    }

    #[test]
    fn named_statuses_overrule_the_oracle() {
        let question = Question { statuses: &[204], ..PLAIN };
        assert_eq!(verdicts(&question, &answers(200, None), &answers(204, None)), (Verdict::Fail, Verdict::Pass));
    }

    #[test]
    fn several_answers_in_a_row_decide_and_no_data_takes_the_verdict_away() {
        let thresholds = Thresholds { success: 2, failure: 3 };
        let mut tally = Tally::default();
        let mut after = |verdict| {
            tally.count(Opinion::new(verdict, "m"), thresholds);
            tally.verdict()
        };
        assert_eq!(after(Verdict::Pass), Verdict::Inconclusive);
        assert_eq!(after(Verdict::Pass), Verdict::Pass);
        assert_eq!(after(Verdict::Fail), Verdict::Pass);
        assert_eq!(after(Verdict::Fail), Verdict::Pass);
        assert_eq!(after(Verdict::Fail), Verdict::Fail);
        assert_eq!(after(Verdict::Pass), Verdict::Fail);
        assert_eq!(after(Verdict::Inconclusive), Verdict::Inconclusive);
    }
}
