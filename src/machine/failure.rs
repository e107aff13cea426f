//! Effects that were not carried out, told to people: what an API server refuses must be read in status, not only in the log.

use jiff::Timestamp;

use super::drive::Decision;
use super::reason::Reason;
use super::run::{Event, Wait};
use super::summary;
use crate::api::status::NamespaceMigrationStatus;

/// An effect that was not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What was tried on which object, and the kind of answer. It is the same each time, as long as nothing changes.
    pub what: String,
    /// The answer's own words, if it had any. They may be others each time.
    pub words: String,
    /// Whether it was understood and refused: trying again does not help before somebody changes something.
    pub refused: bool,
}

impl Failure {
    fn sentence(&self) -> String {
        if self.words.is_empty() {
            return format!("{}.", self.what);
        }
        format!("{}: {}.", self.what, self.words.trim_end_matches('.'))
    }
}

/// Adds to the decision's status what could not be carried out. A failure that is known from `before` keeps its words, so
/// that an answer with a number or a time in it is no news each time.
pub fn tell(decision: &mut Decision, before: &NamespaceMigrationStatus, failures: &[Failure], now: Timestamp) {
    let Some(failure) = failures.iter().find(|failure| failure.refused).or(failures.first()) else { return };
    let wait = wait(&decision.status, before, failure);
    let known = before.reason == wait.reason.as_str() && before.message.contains(&failure.what);
    if wait.reason == Reason::WriteRefused && !known {
        decision.events.push(Event { reason: wait.reason, note: failure.sentence(), warning: true });
    }
    // Against what is known, not against the decision that did not hold: else it would be news at each try.
    decision.status.conditions.clone_from(&before.conditions);
    decision.status.reason.clone_from(&before.reason);
    decision.status.waiting_since.clone_from(&before.waiting_since);
    summary::write_wait(&mut decision.status, &wait, now);
}

fn wait(decided: &NamespaceMigrationStatus, before: &NamespaceMigrationStatus, failure: &Failure) -> Wait {
    let known = format!("{} {}", decided.message, failure.what);
    let message = if before.message.starts_with(&known) {
        before.message.clone()
    } else {
        format!("{} {}", decided.message, failure.sentence())
    };
    let reason = Reason::parse(&decided.reason);
    let stalled = summary::is_stalled(decided);
    let wait = Wait {
        unblock: decided.unblock.clone(),
        wake_at: decided.next.as_ref().map(|next| next.0),
        stalled,
        ..Wait::new(reason.unwrap_or(Reason::NotYet), message)
    };
    if !failure.refused {
        return wait;
    }
    let fix = "Change what refuses it: the role of the operator's identity on that cluster, or an admission policy there. \
               It is tried again by itself.";
    let fix = format!("{fix} {}", wait.unblock).trim_end().to_owned();
    Wait { reason: Reason::WriteRefused, ..wait }.unblocked_by(fix).stalled()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Stage;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    /// What is decided at each try, by a status that remembers the try before.
    fn decision(before: &NamespaceMigrationStatus, now: Timestamp) -> Decision {
        let mut status = NamespaceMigrationStatus { stage: Stage::RollingBack, ..before.clone() };
        summary::write_wait(&mut status, &Wait::new(Reason::RollingBack, "The source gets 100."), now);
        Decision { effects: vec![], status, events: vec![], wake_at: None }
    }

    fn refusal(words: &str) -> Failure {
        let what = "Cannot write the weight of Ingress web on the source: the API server answered 403 Forbidden";
        Failure { what: what.into(), words: words.into(), refused: true }
    }

    fn told_at(now: Timestamp, before: &NamespaceMigrationStatus, failures: &[Failure]) -> Decision {
        let mut decision = decision(before, now);
        tell(&mut decision, before, failures, now);
        decision
    }

    fn told(before: &NamespaceMigrationStatus, failures: &[Failure]) -> Decision {
        told_at(NOW, before, failures)
    }

    #[test]
    fn a_refusal_is_read_in_status_with_the_servers_words_and_needs_a_person() {
        let told = told(&NamespaceMigrationStatus::default(), &[refusal("policy \"no-weights\" says no")]);
        assert_eq!(
            told.status.message,
            "The source gets 100. Cannot write the weight of Ingress web on the source: the API server answered 403 \
             Forbidden: policy \"no-weights\" says no."
        );
        assert_eq!(told.status.reason, "WriteRefused");
        assert!(told.status.unblock.contains("admission policy"), "{}", told.status.unblock);
        let stalled = told.status.conditions.iter().find(|condition| condition.type_ == "Stalled");
        assert_eq!(stalled.map(|condition| condition.status.as_str()), Some("True"));
        assert_eq!(told.events.len(), 1);
    }

    #[test]
    fn the_same_refusal_in_other_words_is_no_news() {
        let first = told(&NamespaceMigrationStatus::default(), &[refusal("request 1")]);
        let later = NOW + jiff::SignedDuration::from_mins(1);
        let second = told_at(later, &first.status, &[refusal("request 2")]);
        assert_eq!((second.status, second.events), (first.status, vec![]));
    }

    #[test]
    fn a_refusal_of_another_write_is_told_too() {
        let first = told(&NamespaceMigrationStatus::default(), &[refusal("no")]);
        let other = Failure {
            what: "Cannot write the weight of Ingress api on the source: 422 Invalid".into(),
            ..refusal("no")
        };
        assert_eq!(told(&first.status, &[other]).events.len(), 1);
    }

    #[test]
    fn what_may_succeed_by_itself_keeps_the_reason() {
        let failure = Failure { refused: false, words: String::new(), ..refusal("") };
        let told = told(&NamespaceMigrationStatus::default(), &[failure]);
        assert_eq!((told.status.reason.as_str(), told.events.len()), ("RollingBack", 0));
        assert!(told.status.message.ends_with("403 Forbidden."), "{}", told.status.message);
    }

    #[test]
    fn without_failures_nothing_is_added() {
        let none = NamespaceMigrationStatus::default();
        assert_eq!(told(&none, &[]), decision(&none, NOW));
    }
}
