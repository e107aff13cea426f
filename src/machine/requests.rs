//! What a person asks for by annotation: a rollback, or another try. Each token is handled once and echoed in status.
//!
//! A token is noted before the stamps are looked at, with the stage that it was asked in: one that is older than an end,
//! found again after a lost status, must not turn that end round.

use super::health::Verdict;
use super::observed::{Reach, Side};
use super::order::Order;
use super::reason::Reason;
use super::replace;
use super::run::{Event, Memo, Move, Run, seconds, words};
use super::stages::{is_rollback, is_terminal};
use super::{deadline, drive};
use crate::api::Stage;
use crate::api::status::{Cause, NamespaceMigrationStatus, RequestKind, RequestOutcome, RequestStatus};

/// Notes new tokens.
pub(super) fn note(run: &mut Run<'_>) {
    for kind in [RequestKind::Rollback, RequestKind::Retry] {
        let Some(request) = run.order.controls.request(kind).filter(|_| is_new(run.order, &run.status, kind)) else {
            continue;
        };
        let noted = RequestStatus {
            kind,
            token: request.token.clone(),
            at: seconds(request.at.unwrap_or(run.now)),
            by: request.by.clone(),
            stage: run.status.stage,
            outcome: RequestOutcome::Accepted,
            message: "It is being looked at.".to_owned(),
        };
        run.status.requests.retain(|known| known.kind != kind);
        run.status.requests.push(noted);
        if let Some(fault) = request.fault {
            refuse(run, kind, &format!("{fault}; give it a text of 1 to 64 characters that was not used before"));
        }
    }
}

fn is_new(order: &Order, status: &NamespaceMigrationStatus, kind: RequestKind) -> bool {
    let known = status.requests.iter().find(|known| known.kind == kind);
    order.controls.request(kind).is_some_and(|request| known.is_none_or(|known| known.token != request.token))
}

/// The request of a kind that has been taken up and is not answered yet.
fn open(status: &NamespaceMigrationStatus, kind: RequestKind) -> Option<&RequestStatus> {
    status.requests.iter().find(|known| known.kind == kind && known.outcome == RequestOutcome::Accepted)
}

/// Whether a request has to be looked at that an ended migration is woken for.
pub fn wakes(order: &Order, status: &NamespaceMigrationStatus) -> bool {
    match status.stage {
        Stage::Completed => is_waiting(order, status, RequestKind::Rollback),
        Stage::RolledBack | Stage::Failed => is_waiting(order, status, RequestKind::Retry),
        _ => false,
    }
}

/// Whether a rollback is asked for that has not been answered.
pub fn rollback_is_waiting(order: &Order, status: &NamespaceMigrationStatus) -> bool {
    is_waiting(order, status, RequestKind::Rollback)
}

fn is_waiting(order: &Order, status: &NamespaceMigrationStatus, kind: RequestKind) -> bool {
    let usable = order.controls.request(kind).is_some_and(|request| request.fault.is_none());
    (usable && is_new(order, status, kind)) || open(status, kind).is_some()
}

/// Whether the next attempt was asked for after this one's end.
pub(super) fn asks_for_another_attempt(status: &NamespaceMigrationStatus) -> bool {
    let ended = matches!(status.stage, Stage::RolledBack | Stage::Failed);
    ended && open(status, RequestKind::Retry).is_some_and(|request| is_terminal(request.stage))
}

/// Answers what needs no look at the clusters.
pub(super) fn answer(run: &mut Run<'_>) {
    if let Some(request) = open(&run.status, RequestKind::Retry).cloned() {
        answer_retry(run, &request);
    }
    if let Some(request) = open(&run.status, RequestKind::Rollback).cloned() {
        answer_rollback(run, &request);
    }
}

fn answer_retry(run: &mut Run<'_>, request: &RequestStatus) {
    let (stage, kind) = (run.status.stage, RequestKind::Retry);
    match stage {
        Stage::Completed => refuse(
            run,
            kind,
            "the service has moved, so that there is nothing to try again; a rollback can be requested",
        ),
        // The next attempt has begun with it, or it is older than this end.
        Stage::RolledBack | Stage::Failed => {
            refuse(run, kind, "it was asked for before this end was known; ask again with another value");
        }
        _ if is_terminal(request.stage) => {
            let said = format!("Attempt {} began.", run.status.attempt);
            done(run, kind, &said);
        }
        _ => try_again(run),
    }
}

fn try_again(run: &mut Run<'_>) {
    if run.status.stage == Stage::RollbackBlocked {
        run.status.stage = Stage::RollingBack;
    }
    drive::restart_deadline(run);
    replace::try_again(&mut run.status);
    let said = match deadline::allowed(run) {
        Some(time) => {
            format!("Everything is looked at again, and {} has {} from now on.", run.status.stage, words(time))
        }
        None => "Everything is looked at again.".to_owned(),
    };
    done(run, RequestKind::Retry, &said);
}

fn answer_rollback(run: &mut Run<'_>, request: &RequestStatus) {
    let (stage, kind) = (run.status.stage, RequestKind::Rollback);
    let asked_in_time = !is_rollback(request.stage) && !is_terminal(request.stage);
    match stage {
        Stage::RollingBack | Stage::RollbackBlocked if asked_in_time || request.stage == Stage::Completed => {
            // Its first write was done, but the status that would say so was not saved.
            claim_adopted(run, request);
        }
        Stage::RollingBack | Stage::RollbackBlocked => refuse(run, kind, "it is rolling back already"),
        Stage::RolledBack | Stage::Failed => {
            refuse(run, kind, &format!("it has ended as {stage} already: the source serves everything"));
        }
        Stage::Completed if asked_in_time => {
            refuse(
                run,
                kind,
                "it was asked for before it was known that the service has moved; ask again with another value",
            );
        }
        _ => {}
    }
}

/// A rollback that was found on the Ingresses is this request's own.
fn claim_adopted(run: &mut Run<'_>, request: &RequestStatus) {
    let adopted = run.status.cause.as_ref().is_some_and(|cause| cause.reason == Reason::RollingBack.as_str());
    if adopted {
        let reason = Reason::RollbackRequested.as_str().to_owned();
        run.status.cause = Some(Cause { reason, message: sentence(request), at: seconds(run.now) });
        accept(run, RequestKind::Rollback);
    }
}

/// The rollback that a person asked for, wherever something may have to go back.
pub(super) fn rollback(run: &Run<'_>) -> Option<Move> {
    let request = open(&run.status, RequestKind::Rollback)?;
    match run.status.stage {
        Stage::RollingBack | Stage::RollbackBlocked | Stage::RolledBack | Stage::Failed => None,
        // Status may have been lost: only the source's stamps tell that nothing was changed.
        Stage::Pending | Stage::Preflight if !run.view(Side::Source).synced => None,
        Stage::Completed => from_completed(run, request),
        _ => Some(go_back(run, request)),
    }
}

fn go_back(run: &Run<'_>, request: &RequestStatus) -> Move {
    let sick = run.observed.health.first(Side::Source, Verdict::Fail);
    let warning = sick.map(|check| format!(" The source fails now: {}: {}.", check.name, check.message));
    let message = format!("{}{}", sentence(request), warning.unwrap_or_default());
    Move::RollBack { reason: Reason::RollbackRequested, message }
}

/// Who asked, when, and with which token.
fn sentence(request: &RequestStatus) -> String {
    let by = if request.by.is_empty() { "an unknown field manager" } else { &request.by };
    format!("A rollback was requested by {by} at {} (token {}).", request.at.0, request.token)
}

/// From the end only while the source still serves: nothing else could take the users.
fn from_completed(run: &Run<'_>, request: &RequestStatus) -> Option<Move> {
    match missing_on_source(run) {
        Missing::NotKnownYet => None,
        Missing::Nothing => Some(go_back(run, request)),
        Missing::This(what) => {
            let why = format!(
                "the source cannot take the users back: {what}. Bring it back and ask again with another value"
            );
            Some(Move::Remember(Memo::Refuse(RequestKind::Rollback, why)))
        }
    }
}

enum Missing {
    Nothing,
    NotKnownYet,
    This(String),
}

fn missing_on_source(run: &Run<'_>) -> Missing {
    let view = run.view(Side::Source);
    match &view.reach {
        Reach::Unknown => return Missing::NotKnownYet,
        Reach::Reachable if view.synced => {}
        Reach::Reachable => {
            let why = view.unwatchable.as_ref();
            let refused = |why| Missing::This(format!("the namespace on the source cannot be watched: {why}"));
            return why.map_or(Missing::NotKnownYet, refused);
        }
        trouble => return Missing::This(format!("the source cluster {}", trouble.trouble())),
    }
    let target = run.view(Side::Target);
    let is_coming = target.unwatchable.is_none() && matches!(target.reach, Reach::Unknown | Reach::Reachable);
    if !target.synced && is_coming {
        return Missing::NotKnownYet;
    }
    let found = another_owner(run).or_else(|| missing_ingress(run)).or_else(|| missing_workload(run));
    found.map_or(Missing::Nothing, Missing::This)
}

fn another_owner(run: &Run<'_>) -> Option<String> {
    [Side::Source, Side::Target].into_iter().find_map(|side| {
        run.ingresses().iter().find_map(|planned| {
            let owner = &run.taken_by(side, planned)?.owner;
            Some(format!("Ingress {} on the {side} belongs to another migration by now, {owner}", planned.name))
        })
    })
}

fn missing_ingress(run: &Run<'_>) -> Option<String> {
    let view = run.view(Side::Source);
    let dying = view.namespace.as_ref().is_none_or(|namespace| namespace.terminating);
    if dying {
        return Some(format!("the namespace {} is gone from the source or being deleted", run.order.namespace));
    }
    run.ingresses().iter().find_map(|planned| {
        let name = &planned.name;
        match run.ingress(Side::Source, planned) {
            None => Some(format!("Ingress {name} is gone from the source")),
            Some(facts) if facts.deleting => Some(format!("Ingress {name} on the source is being deleted")),
            Some(facts) if facts.addresses.is_empty() => {
                Some(format!("Ingress {name} on the source has no load balancer address"))
            }
            Some(_) => None,
        }
    })
}

/// What the target runs must run on the source as well, and what the source runs must be ready.
fn missing_workload(run: &Run<'_>) -> Option<String> {
    let (source, target) = (&run.view(Side::Source).workloads, &run.view(Side::Target).workloads);
    let unready = source.iter().find(|(_, facts)| facts.desired > 0 && !facts.is_ready());
    if let Some((name, facts)) = unready {
        return Some(format!("{name} on the source has {} of {} Pods ready", facts.ready, facts.desired));
    }
    let runs = |name: &str| source.get(name).is_some_and(|facts| facts.desired > 0);
    let absent = target.iter().find(|(name, facts)| facts.desired > 0 && !runs(name));
    if let Some((name, _)) = absent {
        return Some(format!("{name} does not run on the source any more"));
    }
    let stopped = !source.is_empty() && !source.values().any(|facts| facts.desired > 0);
    stopped.then(|| "every workload on the source is scaled to 0".to_owned())
}

fn set(run: &mut Run<'_>, kind: RequestKind, outcome: RequestOutcome, message: &str) {
    if let Some(request) = run.status.requests.iter_mut().find(|request| request.kind == kind) {
        (request.outcome, request.message) = (outcome, message.to_owned());
    }
}

/// Says that a rollback is on its way because of its request, if it is.
pub(super) fn accept(run: &mut Run<'_>, kind: RequestKind) {
    if open(&run.status, kind).is_some() {
        set(run, kind, RequestOutcome::Accepted, "Everything goes back to the source.");
    }
}

/// Says that a request makes no sense here, and why.
pub(super) fn refuse(run: &mut Run<'_>, kind: RequestKind, why: &str) {
    let message = format!("Refused: {why}.");
    let asked = match kind {
        RequestKind::Rollback => "The request for a rollback",
        RequestKind::Retry => "The request to try again",
    };
    let note = format!("{asked} is refused: {why}.");
    run.events.push(Event { reason: Reason::RequestRefused, note, warning: true });
    set(run, kind, RequestOutcome::Refused, &message);
}

fn done(run: &mut Run<'_>, kind: RequestKind, message: &str) {
    run.events.push(Event { reason: Reason::RetryRequested, note: message.to_owned(), warning: false });
    set(run, kind, RequestOutcome::Done, message);
}

/// The attempt has come to its end, and with it the request for a rollback that was under way.
pub(super) fn close(run: &mut Run<'_>) {
    let (kind, stage) = (RequestKind::Rollback, run.status.stage);
    if open(&run.status, kind).is_none() {
        return;
    }
    match stage {
        Stage::RolledBack => set(run, kind, RequestOutcome::Done, "Everything is on the source."),
        Stage::Failed => {
            let why = run.status.cause.as_ref().map(|cause| cause.message.clone()).unwrap_or_default();
            set(run, kind, RequestOutcome::Refused, &format!("It could not be done. {why}"));
        }
        _ => {}
    }
}
