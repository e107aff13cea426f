//! What a person asks for by annotation: a rollback, or another try. Each token is handled once and echoed in status.
//!
//! A token is noted before the stamps are looked at, with the stage that it was asked in: one that is older than an end,
//! found again after a lost status, must not turn that end round.

use jiff::Timestamp;

use super::controls::Controls;
use super::health::Verdict;
use super::observed::Side;
use super::order::Order;
use super::reason::Reason;
use super::replace;
use super::resume::newest_stamp;
use super::run::{Event, Memo, Move, Run, seconds, whole_seconds, words};
use super::source_serves::{Missing, missing};
use super::stages::{is_not_all_back, is_rollback, is_terminal};
use super::stamp::Direction;
use super::{deadline, drive};
use crate::api::status::{Cause, NamespaceMigrationStatus, RequestKind, RequestOutcome, RequestStatus};
use crate::api::{DeletionPolicy, Stage};

const KINDS: [RequestKind; 2] = [RequestKind::Rollback, RequestKind::Retry];

/// Notes new tokens. Returns what is to be told of those that are none.
pub(super) fn note(controls: &Controls, status: &mut NamespaceMigrationStatus, now: Timestamp) -> Vec<Event> {
    KINDS.into_iter().filter_map(|kind| note_one(controls, status, kind, now)).collect()
}

fn note_one(
    controls: &Controls,
    status: &mut NamespaceMigrationStatus,
    kind: RequestKind,
    now: Timestamp,
) -> Option<Event> {
    let request = controls.request(kind).filter(|_| is_new(controls, status, kind))?;
    let noted = RequestStatus {
        kind,
        token: request.token.clone(),
        at: seconds(request.at.unwrap_or(now)),
        by: request.by.clone(),
        stage: status.stage,
        outcome: RequestOutcome::Accepted,
        message: "It is being looked at.".to_owned(),
    };
    status.requests.retain(|known| known.kind != kind);
    status.requests.push(noted);
    let fault = request.fault?;
    let why = format!("{fault}; give it a text of 1 to 64 characters that was not used before");
    Some(refusal(status, kind, &why))
}

fn is_new(controls: &Controls, status: &NamespaceMigrationStatus, kind: RequestKind) -> bool {
    let known = status.requests.iter().find(|known| known.kind == kind);
    controls.request(kind).is_some_and(|request| known.is_none_or(|known| known.token != request.token))
}

/// Refuses what a lost status makes look new: a request that is older than the last weight of the way forward was there when that was
/// written, and has been answered. As far as is known: a field manager has one time for all that it wrote.
pub(super) fn refuse_older(run: &mut Run<'_>, written: Timestamp) {
    let written = seconds(written);
    let is_older = |request: &&RequestStatus| {
        request.outcome == RequestOutcome::Accepted && request.stage == Stage::Pending && request.at.0 < written.0
    };
    let older: Vec<_> = run.status.requests.iter().filter(is_older).map(|request| request.kind).collect();
    for kind in older {
        let why = format!(
            "the status was lost, and it is older than the weight that was written at {}, so that it was answered before; ask again \
             with another value",
            written.0
        );
        refuse(run, kind, &why);
    }
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
    (usable && is_new(&order.controls, status, kind)) || open(status, kind).is_some()
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
    let kind = RequestKind::Retry;
    if let Some(why) = retry_is_senseless(run.status.stage, request).or_else(|| goes_with_its_end(run)) {
        return refuse(run, kind, &why);
    }
    match &run.order.not_allowed {
        // The next attempt has begun with it.
        _ if is_terminal(request.stage) => {
            let said = format!("Attempt {} began.", run.status.attempt);
            done(run, kind, &said);
        }
        Some(trouble) if !is_rollback(run.status.stage) => {
            let why = format!("{trouble}. {} Then it goes on by itself", trouble.fix());
            refuse(run, kind, &why);
        }
        _ => try_again(run),
    }
}

/// Why a retry makes no sense in a stage, when it does not.
fn retry_is_senseless(stage: Stage, request: &RequestStatus) -> Option<String> {
    let why = match stage {
        Stage::Completed => "the service has moved, so that there is nothing to try again; a rollback can be requested",
        Stage::RolledBack | Stage::Failed if !is_terminal(request.stage) => {
            "it was asked for before this end was known; ask again with another value"
        }
        _ => return None,
    };
    Some(why.to_owned())
}

/// An object that has ended and goes: no attempt follows.
fn goes_with_its_end(run: &Run<'_>) -> Option<String> {
    let goes = is_terminal(run.status.stage) && run.order.deletion.is_asked();
    goes.then(|| "the object is being deleted, so that no other attempt can begin".to_owned())
}

fn try_again(run: &mut Run<'_>) {
    if run.status.stage == Stage::RollbackBlocked {
        run.status.stage = Stage::RollingBack;
    }
    drive::restart_deadline(run);
    replace::try_again(&mut run.status);
    let said = match deadline::allowed(run) {
        Some(time) => {
            format!(
                "Everything is looked at again, and {} has {} from now on.",
                run.status.stage,
                words(whole_seconds(time))
            )
        }
        None => "Everything is looked at again.".to_owned(),
    };
    done(run, RequestKind::Retry, &said);
}

fn answer_rollback(run: &mut Run<'_>, request: &RequestStatus) {
    let (stage, kind) = (run.status.stage, RequestKind::Rollback);
    if let Some(why) = rollback_is_senseless(&run.status, request).or_else(|| stays_with_its_deletion(run)) {
        return refuse(run, kind, &why);
    }
    if is_rollback(stage) {
        // Its first write was done, but the status that would say so was not saved.
        return claim_adopted(run, request);
    }
    if let Some(message) = waits_for_lists(run) {
        set(&mut run.status, kind, RequestOutcome::Accepted, &message);
    }
}

/// Why a rollback makes no sense in a stage, when it does not.
fn rollback_is_senseless(status: &NamespaceMigrationStatus, request: &RequestStatus) -> Option<String> {
    let stage = status.stage;
    let asked_in_time = !is_rollback(request.stage) && !is_terminal(request.stage);
    match stage {
        Stage::RollingBack | Stage::RollbackBlocked if asked_in_time || request.stage == Stage::Completed => None,
        Stage::RollingBack | Stage::RollbackBlocked => Some("it is rolling back already".to_owned()),
        Stage::Failed if is_not_all_back(status) => {
            let found = status.cause.as_ref().map(|cause| cause.message.trim_end_matches('.')).unwrap_or_default();
            Some(format!("it has gone back already, as far as it can, and ended as {stage}. {found}"))
        }
        Stage::RolledBack | Stage::Failed => {
            Some(format!("it has ended as {stage} already: the source serves everything"))
        }
        Stage::Completed if asked_in_time => {
            let why = "it was asked for before it was known that the service has moved; ask again with another value";
            Some(why.to_owned())
        }
        _ => None,
    }
}

/// An object that goes, and whose weights are to stay.
fn stays_with_its_deletion(run: &Run<'_>) -> Option<String> {
    let (deletion, stage) = (&run.order.deletion, run.status.stage);
    let stays = deletion.is_asked() && deletion.policy != DeletionPolicy::Rollback;
    (stays && !is_rollback(stage) && !is_terminal(stage)).then(|| {
        format!(
            "the object is being deleted, and with spec.deletionPolicy {:?} all weights stay; set that to Rollback to send everything \
             back",
            deletion.policy
        )
    })
}

/// What a rollback waits for that cannot be decided before a cluster has been listed.
fn waits_for_lists(run: &Run<'_>) -> Option<String> {
    match run.status.stage {
        Stage::Pending | Stage::Preflight if waits_for_source(run) => {
            let trouble = run.side_trouble(Side::Source).map(|wait| wait.message).unwrap_or_default();
            Some(format!(
                "It is done as soon as the source can be listed, which tells whether anything was written. {trouble}"
            ))
        }
        Stage::Completed if matches!(missing(run), Missing::NotKnownYet) => Some(
            "It is decided as soon as both clusters have been listed, which tells whether the source still serves."
                .to_owned(),
        ),
        _ => None,
    }
}

/// Status may have been lost: only the source's stamps tell that nothing was changed. Without our finalizer nothing ever was,
/// and what is in a namespace that may not move is not looked at.
fn waits_for_source(run: &Run<'_>) -> bool {
    let never_began = run.order.not_allowed.is_some() && !run.order.deletion.held;
    !run.view(Side::Source).synced && !never_began
}

/// Answers while the order cannot be read, or its pair is missing: what makes sense waits for that to be mended.
pub(super) fn answer_unread(status: &mut NamespaceMigrationStatus, trouble: &str, fix: &str) -> Vec<Event> {
    KINDS.into_iter().filter_map(|kind| answer_one_unread(status, kind, trouble, fix)).collect()
}

fn answer_one_unread(
    status: &mut NamespaceMigrationStatus,
    kind: RequestKind,
    trouble: &str,
    fix: &str,
) -> Option<Event> {
    let (stage, request) = (status.stage, open(status, kind)?.clone());
    let senseless = match kind {
        RequestKind::Rollback => rollback_is_senseless(status, &request),
        RequestKind::Retry if !is_terminal(stage) => {
            Some(format!("{trouble}. {fix} Then everything is looked at again by itself"))
        }
        RequestKind::Retry => retry_is_senseless(stage, &request),
    };
    if let Some(why) = senseless {
        return Some(refusal(status, kind, &why));
    }
    let message = format!("It waits and is then done by itself: {trouble}. {fix}");
    set(status, kind, RequestOutcome::Accepted, &message);
    None
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
        Stage::Pending | Stage::Preflight if waits_for_source(run) => None,
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
    match missing(run) {
        Missing::NotKnownYet => None,
        Missing::Nothing => Some(go_back(run, request)),
        Missing::This(_) if may_have_begun(run) => Some(go_back(run, request)),
        Missing::This(what) => {
            let why = format!(
                "the source cannot take the users back: {what}. Bring it back and ask again with another value"
            );
            Some(Move::Remember(Memo::Refuse(RequestKind::Rollback, why)))
        }
    }
}

/// An object that is held at its end may have been sent back by a process that died: what was begun is ended, whatever can be seen.
fn may_have_begun(run: &Run<'_>) -> bool {
    let unseen = |side: Side| !run.view(side).synced || !run.view(side).reach.is_reachable();
    let begun = || newest_stamp(run).is_some_and(|stamp| stamp.direction == Direction::RollingBack);
    run.order.deletion.held && ([Side::Source, Side::Target].into_iter().any(unseen) || begun())
}

fn set(status: &mut NamespaceMigrationStatus, kind: RequestKind, outcome: RequestOutcome, message: &str) {
    if let Some(request) = status.requests.iter_mut().find(|request| request.kind == kind) {
        (request.outcome, request.message) = (outcome, message.to_owned());
    }
}

/// Says that a rollback is on its way because of its request, if it is.
pub(super) fn accept(run: &mut Run<'_>, kind: RequestKind) {
    if open(&run.status, kind).is_some() {
        set(&mut run.status, kind, RequestOutcome::Accepted, "Everything goes back to the source.");
    }
}

/// Says that a request makes no sense here, and why.
pub(super) fn refuse(run: &mut Run<'_>, kind: RequestKind, why: &str) {
    let event = refusal(&mut run.status, kind, why);
    run.events.push(event);
}

fn refusal(status: &mut NamespaceMigrationStatus, kind: RequestKind, why: &str) -> Event {
    let asked = match kind {
        RequestKind::Rollback => "The request for a rollback",
        RequestKind::Retry => "The request to try again",
    };
    set(status, kind, RequestOutcome::Refused, &format!("Refused: {why}."));
    Event { reason: Reason::RequestRefused, note: format!("{asked} is refused: {why}."), warning: true }
}

fn done(run: &mut Run<'_>, kind: RequestKind, message: &str) {
    run.events.push(Event { reason: Reason::RetryRequested, note: message.to_owned(), warning: false });
    set(&mut run.status, kind, RequestOutcome::Done, message);
}

/// The attempt has come to its end, and with it the request for a rollback that was under way.
pub(super) fn close(run: &mut Run<'_>) {
    let (kind, stage) = (RequestKind::Rollback, run.status.stage);
    if open(&run.status, kind).is_none() {
        return;
    }
    match stage {
        Stage::RolledBack => set(&mut run.status, kind, RequestOutcome::Done, "Everything is on the source."),
        Stage::Failed => {
            let why = run.status.cause.as_ref().map(|cause| cause.message.clone()).unwrap_or_default();
            set(&mut run.status, kind, RequestOutcome::Refused, &format!("It could not be done. {why}"));
        }
        _ => {}
    }
}
