//! An order that cannot be used: its spec cannot be parsed, or its pair is missing. Nothing is written to a cluster, and status
//! says why; what people ask for meanwhile is answered all the same.

use jiff::Timestamp;

use super::alarm;
use super::controls::Controls;
use super::drive::Decision;
use super::order::OrderError;
use super::reason::Reason;
use super::run::{Event, Wait, sentence_case};
use super::stages::{is_on_its_way, is_terminal};
use super::{edits, pause, requests, resume, summary};
use crate::api::status::{NamespaceMigrationStatus, Stage};

/// What can be read of an order that cannot be used.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Generation of the spec.
    pub generation: i64,
    /// The attempt that it asks for.
    pub attempt: i32,
    /// What people ask for beside the plan.
    pub controls: &'a Controls,
}

/// The decision when the order itself cannot be parsed, or has no pair: nothing is done, and status says why. Requests and a
/// pause are answered as far as they can be without a cluster.
pub fn reject(status: &NamespaceMigrationStatus, asked: &Asked<'_>, error: &OrderError, now: Timestamp) -> Decision {
    let mut status = status.clone();
    status.observed_generation = asked.generation;
    let unguarded = is_on_its_way(status.stage);
    let (trouble, fix) = (what(error), error.fix(unguarded));
    let mut events = requests::note(asked.controls, &mut status, now);
    events.extend(edits::note(asked.controls, &mut status, now));
    events.extend(requests::answer_unread(&mut status, &trouble, &fix));
    if status.stage == Stage::Completed || (is_terminal(status.stage) && !resume::is_raised(asked.attempt, &status)) {
        // Nothing that the spec could say matters any more: how it ended stays to be read when its pair goes.
        return Decision { effects: vec![], status, events, wake_at: None };
    }
    let (told, paused) = pause::unread(asked.controls, &mut status, now);
    events.extend(told);
    let wait = wait(error, &trouble, unguarded, paused).unblocked_by(fix);
    events.extend(news(&status, &wait));
    summary::forget_health(&mut status);
    summary::write_wait(&mut status, &wait, now);
    Decision { effects: vec![], status, events, wake_at: None }
}

/// What is wrong, in a sentence without its full stop.
fn what(error: &OrderError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

fn wait(error: &OrderError, trouble: &str, unguarded: bool, paused: Option<String>) -> Wait {
    // Without a spec and a pair nothing may be done, whatever happens to users meanwhile: that must be read.
    let warning = if unguarded { " Until it is mended the weights stay, and nothing goes back by itself." } else { "" };
    let paused = paused.map(|said| format!(" {said}")).unwrap_or_default();
    let message = format!("{}.{warning}{paused}", sentence_case(trouble));
    let reason = match error {
        OrderError::NoSuchPair { .. } | OrderError::PairGoes { .. } => Reason::NoClusterPair,
        _ => Reason::InvalidSpec,
    };
    Wait::new(reason, message).stalled()
}

fn news(before: &NamespaceMigrationStatus, wait: &Wait) -> Option<Event> {
    (before.reason != wait.reason.as_str()).then(|| alarm::help(wait))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::status::{RequestKind, RequestOutcome};
    use crate::machine::controls::{PauseAsked, PauseSource, Request};

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn missing_pair() -> OrderError {
        OrderError::NoSuchPair { pair: "p".into() }
    }

    fn at(stage: Stage) -> NamespaceMigrationStatus {
        NamespaceMigrationStatus { stage, attempt: 1, ..NamespaceMigrationStatus::default() }
    }

    fn rejected(status: &NamespaceMigrationStatus, controls: &Controls, attempt: i32) -> Decision {
        reject(status, &Asked { generation: 0, attempt, controls }, &missing_pair(), NOW)
    }

    fn token() -> Option<Request> {
        Some(Request { token: "incident-7".into(), fault: None, by: "kubectl".into(), at: None })
    }

    fn answer(decision: &Decision, kind: RequestKind) -> (RequestOutcome, &str) {
        let known = decision.status.requests.iter().find(|known| known.kind == kind).unwrap();
        (known.outcome, &known.message)
    }

    #[test]
    fn an_end_stays_to_be_read_when_its_pair_is_gone() {
        let ended = at(Stage::RolledBack);
        assert_eq!(rejected(&ended, &Controls::default(), 1).status, ended);
        assert_eq!(rejected(&ended, &Controls::default(), 2).status.reason, "NoClusterPair");
    }

    #[test]
    fn a_pair_that_goes_takes_nobody_on_and_says_what_to_do() {
        let controls = Controls::default();
        let asked = Asked { generation: 0, attempt: 1, controls: &controls };
        let status = reject(&at(Stage::Pending), &asked, &OrderError::PairGoes { pair: "p".into() }, NOW).status;
        let said = "ClusterPair p is being deleted and takes no new migration on.";
        assert_eq!((status.reason.as_str(), status.message.as_str()), ("NoClusterPair", said));
        assert_eq!(status.unblock, "Create ClusterPair p again once it is gone (kubectl get clusterpair p).");
    }

    #[test]
    fn a_rollback_that_is_asked_for_without_a_pair_waits_for_it_and_says_so() {
        let controls = Controls { rollback: token(), ..Controls::default() };
        for (stage, fix) in [
            (Stage::ShiftTraffic, "Create ClusterPair p again, as it was."),
            (
                Stage::Pending,
                "Create ClusterPair p; or, if the name is wrong, delete this object and create it again with the right one (kubectl get clusterpairs).",
            ),
            (
                Stage::Completed,
                "Create ClusterPair p; or, if the name is wrong, delete this object and create it again with the right one (kubectl get clusterpairs).",
            ),
        ] {
            let decision = rejected(&at(stage), &controls, 1);
            let said = format!("It waits and is then done by itself: there is no ClusterPair named p. {fix}");
            assert_eq!(answer(&decision, RequestKind::Rollback), (RequestOutcome::Accepted, said.as_str()), "{stage}");
            let again = rejected(&decision.status, &controls, 1);
            assert_eq!((again.status, again.events), (decision.status, vec![]), "{stage}: it is no news");
        }
    }

    #[test]
    fn what_makes_no_sense_without_a_pair_is_refused_at_once() {
        let both = Controls { rollback: token(), retry: token(), ..Controls::default() };
        let ended = rejected(&at(Stage::RolledBack), &both, 1);
        let said = "Refused: it has ended as RolledBack already: the source serves everything.";
        assert_eq!(answer(&ended, RequestKind::Rollback), (RequestOutcome::Refused, said));
        let waits = answer(&ended, RequestKind::Retry);
        assert!(waits.0 == RequestOutcome::Accepted && waits.1.starts_with("It waits"), "{waits:?}");
        let running = rejected(&at(Stage::Bake), &both, 1);
        let said = "Refused: there is no ClusterPair named p. Create ClusterPair p again, as it was. Then everything is looked at again by itself.";
        assert_eq!(answer(&running, RequestKind::Retry), (RequestOutcome::Refused, said));
        assert!(running.events.iter().any(|event| event.reason == Reason::RequestRefused), "{:?}", running.events);
    }

    #[test]
    fn a_pause_is_known_and_told_while_the_pair_is_missing_and_ends_there_too() {
        let pauses = vec![PauseAsked { what: PauseSource::Annotation, by: "kubectl".into() }];
        let controls = Controls { pauses, ..Controls::default() };
        let decision = rejected(&at(Stage::ShiftTraffic), &controls, 1);
        let said = "There is no ClusterPair named p. Until it is mended the weights stay, and nothing goes back by itself. It is \
                    paused by the annotation namespacemigration.io/paused (kubectl) since 1970-01-01T00:00:00Z.";
        assert_eq!(decision.status.message, said);
        assert_eq!(decision.status.pause.as_ref().map(|pause| pause.epoch), Some(0), "nothing is fenced yet");
        let told = |decision: &Decision| decision.events.iter().map(|event| event.reason).collect::<Vec<_>>();
        assert_eq!(told(&decision), [Reason::Paused, Reason::NoClusterPair]);
        let again = rejected(&decision.status, &controls, 1);
        assert_eq!((&again.status, again.events.len()), (&decision.status, 0));
        let resumed = rejected(&decision.status, &Controls::default(), 1);
        assert_eq!((resumed.status.pause.is_none(), told(&resumed)), (true, vec![Reason::Resumed]));
    }
}
