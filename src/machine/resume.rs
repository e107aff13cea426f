//! What is on the Ingresses overrules what status remembers: status may be lost, old or forged; the stamps are the fence.

use jiff::Timestamp;

use super::deletion;
use super::exposure;
use super::observed::{IngressFacts, Reach, Side};
use super::reason::Reason;
use super::run::{Event, Run, micro, seconds};
use super::stages::{self, is_rollback, is_terminal};
use super::stamp::{Direction, Stamp};
use super::summary;
use super::traffic::Weight;
use super::{edits, rehearsal, requests};
use crate::api::Stage;
use crate::api::status::{Cause, HistoryEntry, NamespaceMigrationStatus, PlannedStep, StepPhase, StepProgress};

/// Brings the status in line with the stamps, before anything is decided.
pub fn adopt(run: &mut Run<'_>) {
    next_attempt(run);
    if is_terminal(run.status.stage) {
        return;
    }
    forget_what_has_no_plan(run);
    let Some(newest) = newest_stamp(run) else { return };
    if run.status.stage == Stage::Pending {
        return adopt_lost_status(run, &newest);
    }
    let turned_back = newest.direction.is_back() && newest.epoch >= run.status.epoch && !is_rollback(run.status.stage);
    // A new attempt that was begun on an older view must not leave an earlier one half way back.
    let is_half_way = newest.attempt < run.status.attempt && newest.direction == Direction::RollingBack;
    // Nor does a status that is older than a later attempt overrule its way back.
    if turned_back && (newest.attempt >= run.status.attempt || is_half_way) {
        summary::fail_stage(run, "A rollback had begun.");
        return adopt_rollback(run, &newest);
    }
    if run.status.stage > Stage::Preflight {
        // Beside the end of an earlier attempt at the same epoch no write of ours would be permitted.
        run.status.epoch = run.status.epoch.max(newest.epoch + i64::from(turned_back));
    }
    if has_shifted_before(run, &newest) {
        adopt_shift(run, &newest);
        summary::skip_to_stage(run);
    }
}

/// Whether users have been given to the target although the status has not come that far: it was lost, and begun anew on an older view.
fn has_shifted_before(run: &Run<'_>, newest: &Stamp) -> bool {
    let is_early = (Stage::WeightSource..Stage::SmokeTest).contains(&run.status.stage);
    let is_ours = newest.direction == Direction::Forward && newest.attempt == run.status.attempt;
    is_early && is_ours && our_weights(run, Side::Target).iter().any(|weight| *weight > Weight::ZERO)
}

/// Without a plan nothing would be written and everything would seem done: such a status counts as lost.
fn forget_what_has_no_plan(run: &mut Run<'_>) {
    let usable = run.status.plan.as_ref().is_some_and(|plan| !plan.ingresses.is_empty() && !plan.steps.is_empty());
    if run.status.stage > Stage::Preflight && !usable {
        let old = std::mem::take(&mut run.status);
        run.status = NamespaceMigrationStatus { history: old.history.clone(), ..fresh(&old, old.attempt) };
    }
}

/// Whether the spec asks for an attempt that may begin by itself after an end. A value that was there before the end, or before the
/// way back began, was meant for something else: a rollback in an emergency must not be followed by another move unasked.
pub(super) fn is_raised(asked: i32, status: &NamespaceMigrationStatus) -> bool {
    let ended = matches!(status.stage, Stage::RolledBack | Stage::Failed);
    ended && asked > last_seen(status)
}

/// The highest attempt that was asked for or made when the end was decided.
pub(super) fn last_seen(status: &NamespaceMigrationStatus) -> i32 {
    status.attempt_seen.map_or(status.attempt, |seen| seen.max(status.attempt))
}

/// A higher attempt, or a request for one, after an end that may be tried again starts from the beginning; the epoch only
/// ever grows.
fn next_attempt(run: &mut Run<'_>) {
    let asked_again = requests::asks_for_another_attempt(&run.status);
    let raised = is_raised(run.order.attempt, &run.status);
    if deletion::may_try_again(run.order) && (raised || asked_again) {
        let old = std::mem::take(&mut run.status);
        run.status = fresh(&old, run.order.attempt.max(old.attempt + 1));
        run.status.history = history(old, run);
    } else if run.status.attempt == 0 {
        run.status.attempt = run.order.attempt;
    }
}

fn fresh(old: &NamespaceMigrationStatus, attempt: i32) -> NamespaceMigrationStatus {
    // Conditions stay so that their transition times move only with their status.
    NamespaceMigrationStatus {
        attempt,
        epoch: old.epoch,
        conditions: old.conditions.clone(),
        requests: old.requests.clone(),
        asked_for: old.asked_for.clone(),
        edits: old.edits.clone(),
        ..NamespaceMigrationStatus::default()
    }
}

fn history(old: NamespaceMigrationStatus, run: &Run<'_>) -> Vec<HistoryEntry> {
    let finished = old.stage_started_at.unwrap_or_else(|| seconds(run.now));
    let entry = HistoryEntry { attempt: old.attempt, stage: old.stage, finished, message: old.message };
    std::iter::once(entry).chain(old.history).take(10).collect()
}

/// Our newest stamp on any Ingress of either side.
pub(super) fn newest_stamp(run: &Run<'_>) -> Option<Stamp> {
    let all = [Side::Source, Side::Target].into_iter().flat_map(|side| run.view(side).ingresses.values());
    let ours = all.filter_map(|facts| facts.stamp_of(&run.order.owner));
    ours.max_by_key(|stamp| (stamp.epoch, stamp.direction.is_back())).cloned()
}

/// The highest epoch that is known of, whoever wrote it or is still to write it: it grows from one migration of a namespace to the next.
pub(super) fn highest_epoch(run: &Run<'_>) -> i64 {
    let all = [Side::Source, Side::Target].into_iter().flat_map(|side| run.view(side).ingresses.values());
    let seen = all.filter_map(|facts| facts.stamp.as_ref()).map(|stamp| stamp.epoch).max();
    seen.unwrap_or(0).max(run.status.epoch).max(run.order.owed_epoch)
}

/// Nothing is remembered, but the Ingresses carry our stamps: take it up where it stands. A run that has not ended is
/// ended first, whatever attempt is asked for by now; one that was rolled back may be followed by another.
fn adopt_lost_status(run: &mut Run<'_>, newest: &Stamp) {
    run.status.epoch = run.status.epoch.max(newest.epoch);
    if !run.view(Side::Source).synced {
        return;
    }
    match newest.direction {
        Direction::RollingBack => {
            adopt_rollback(run, newest);
            // What was served when it began is not known any more.
            run.status.exposed_percent = Some(100);
        }
        // A request may have begun a higher attempt than the spec asks for.
        Direction::RolledBack if newest.attempt >= run.status.attempt => enter_adopted(run, Stage::RollingBack, newest),
        Direction::RolledBack => {}
        Direction::Completed => adopt_completed(run, newest),
        Direction::Forward => {
            if let Some(written) = forward_written(run) {
                requests::refuse_older(run, written);
            }
            adopt_shift(run, newest);
        }
    }
}

/// The last stamps are written target first. While the source's are missing, the bake is over and they are still to be written.
///
/// A source that has users has not been left: somebody gave them back since, or it was the target of an earlier migration of
/// this name. Then there is something to move, and it begins anew.
fn adopt_completed(run: &mut Run<'_>, newest: &Stamp) {
    let plan = stages::plan(run);
    let source = &run.view(Side::Source).ingresses;
    let weights = plan.ingresses.iter().filter_map(|planned| source.get(&planned.name)).map(IngressFacts::weight);
    if !weights.eq(plan.ingresses.iter().map(|_| Some(Weight::ZERO))) {
        return;
    }
    let is_final = |name: &str| {
        let stamp = run.view(Side::Source).ingresses.get(name).and_then(|facts| facts.stamp.as_ref());
        stamp.is_some_and(|stamp| stamp.direction.is_final())
    };
    if plan.ingresses.iter().all(|planned| is_final(&planned.name)) {
        return enter_adopted(run, Stage::Completed, newest);
    }
    let index = i32::try_from(plan.steps.len()).unwrap_or(i32::MAX);
    let held_millis = i64::try_from(run.order.bake.as_millis()).unwrap_or(i64::MAX);
    enter_adopted(run, Stage::Bake, newest);
    run.status.step = Some(StepProgress { held_millis, ..progress(run, index, StepPhase::Holding) });
}

/// Users are on the target already: starting over would send them back and forth. While none are, it starts over.
fn adopt_shift(run: &mut Run<'_>, newest: &Stamp) {
    if is_coming(run, Side::Target) {
        // Its weight may be one step ahead of what the source has given away, which would look like somebody else's.
        return;
    }
    let (source, target) = (our_weights(run, Side::Source), our_weights(run, Side::Target));
    // An unseen target has what the source has given away.
    let given = source.iter().min().map(|weight| weight.complement());
    if share_is_rehearsed(run, given) {
        return;
    }
    let Some(share) = target.iter().max().copied().or(given).filter(|weight| *weight > Weight::ZERO) else { return };
    enter_adopted(run, Stage::ShiftTraffic, newest);
    let index = step_of(run, share);
    let all = |weights: &[Weight], wanted: Weight| weights.iter().all(|weight| *weight == wanted);
    let phase = match (all(&target, share), all(&source, share.complement())) {
        (true, true) => StepPhase::SourceSettling,
        (true, false) => StepPhase::TargetSettling,
        (false, _) => StepPhase::RaiseTarget,
    };
    run.status.step = Some(progress(run, index, phase));
}

/// The rehearsal's 99 on the source looks like a step of 1 percent. As long as nothing with a weight is seen on the target it is
/// none, and everything begins anew.
fn share_is_rehearsed(run: &Run<'_>, given: Option<Weight>) -> bool {
    let target = run.view(Side::Target).ingresses.values();
    let alone = target.filter_map(IngressFacts::weight).all(|weight| weight == Weight::ZERO);
    run.order.dns.is_verified() && alone && given == Some(rehearsal::LOWERED.complement())
}

/// Whether a side has not been listed yet and soon will be, as far as is known.
fn is_coming(run: &Run<'_>, side: Side) -> bool {
    let view = run.view(side);
    !view.synced && matches!(view.reach, Reach::Unknown | Reach::Reachable)
}

/// When the newest of our weights on the way forward was written, as far as the API servers tell.
fn forward_written(run: &Run<'_>) -> Option<Timestamp> {
    let all = [Side::Source, Side::Target].into_iter().flat_map(|side| run.view(side).ingresses.values());
    let is_forward = |facts: &&IngressFacts| {
        let stamp = facts.stamp_of(&run.order.owner);
        stamp.is_some_and(|stamp| stamp.direction == Direction::Forward) && facts.weight_is_ours()
    };
    all.filter(is_forward).filter_map(|facts| facts.weight_written).max()
}

/// Weights on a side that are as we wrote them.
fn our_weights(run: &Run<'_>, side: Side) -> Vec<Weight> {
    let stamped = run.view(side).ingresses.values().filter(|facts| facts.stamp_of(&run.order.owner).is_some());
    let ours = stamped.filter(|facts| facts.weight_is_ours());
    ours.filter_map(IngressFacts::weight).collect()
}

/// The step with this share. An edit of the spec may have taken it away: then it is put in, so that nobody is moved by the loss.
fn step_of(run: &mut Run<'_>, share: Weight) -> i32 {
    let Some(plan) = &mut run.status.plan else { return 0 };
    let index = plan.steps.iter().take_while(|step| step.weight < share.get()).count();
    if plan.steps.get(index).is_none_or(|step| step.weight != share.get()) {
        let hold =
            plan.steps.get(index).or(plan.steps.last()).map_or_else(|| "0s".to_owned(), |step| step.hold.clone());
        plan.steps.insert(index, PlannedStep { weight: share.get(), hold });
        *plan = edits::sealed(std::mem::take(plan));
    }
    i32::try_from(index).unwrap_or_default()
}

fn progress(run: &Run<'_>, index: i32, phase: StepPhase) -> StepProgress {
    StepProgress { index, phase, since: micro(run.now), held_millis: 0, running_since: None }
}

fn adopt_rollback(run: &mut Run<'_>, newest: &Stamp) {
    run.status.epoch = newest.epoch;
    run.status.exposed_percent = Some(exposure::take_up(run));
    enter_adopted(run, Stage::RollingBack, newest);
    let message = "A rollback had begun, by its stamp on an Ingress (annotation namespacemigration.io/stamp). Why was not saved: the operator's log of before says it.".to_owned();
    let reason = Reason::RollingBack.as_str().to_owned();
    run.status.cause.get_or_insert(Cause { reason, message, at: seconds(run.now) });
}

fn enter_adopted(run: &mut Run<'_>, stage: Stage, newest: &Stamp) {
    run.status.attempt = newest.attempt;
    run.status.stage = stage;
    if is_rollback(stage) || is_terminal(stage) {
        run.status.attempt_seen = Some(run.order.attempt);
    }
    run.status.stage_started_at = Some(seconds(run.now));
    run.status.written_since = None;
    if run.status.plan.is_none() {
        run.status.plan = Some(stages::plan(run));
        summary::skip_to_stage(run);
    }
    let note = format!("{stage} was taken up from the stamps on the Ingresses.");
    run.events.push(Event { reason: Reason::StageEntered, note, warning: is_rollback(stage) });
    summary::begin_stage(run);
}
