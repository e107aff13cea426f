//! What is on the Ingresses overrules what status remembers: status may be lost, old or forged; the stamps are the fence.

use super::observed::{IngressFacts, Side};
use super::run::{Run, micro, seconds};
use super::stages::{self, is_rollback, is_terminal};
use super::stamp::{Direction, Stamp};
use super::traffic::Weight;
use crate::api::status::{Cause, NamespaceMigrationStatus, StepPhase, StepProgress};
use crate::api::{Stage, status::HistoryEntry};

/// Brings the status in line with the stamps, before anything is decided.
pub fn adopt(run: &mut Run<'_>) {
    next_attempt(run);
    if is_terminal(run.status.stage) {
        return;
    }
    let Some(newest) = newest_stamp(run) else { return };
    if run.status.stage == Stage::Pending {
        return adopt_lost_status(run, &newest);
    }
    let turned_back = newest.direction.is_back() && newest.epoch >= run.status.epoch && !is_rollback(run.status.stage);
    if turned_back && newest.attempt == run.status.attempt {
        return adopt_rollback(run, &newest);
    }
    if run.status.stage > Stage::Preflight {
        run.status.epoch = run.status.epoch.max(newest.epoch);
    }
}

/// A higher attempt after an end that may be tried again starts from the beginning; the epoch only ever grows.
fn next_attempt(run: &mut Run<'_>) {
    let ended = matches!(run.status.stage, Stage::RolledBack | Stage::Failed);
    if ended && run.order.attempt > run.status.attempt {
        let old = std::mem::take(&mut run.status);
        run.status = fresh(&old, run.order.attempt);
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
    let ours = all.filter_map(|facts| facts.stamp.as_ref()).filter(|stamp| stamp.owner == run.order.owner);
    ours.max_by_key(|stamp| (stamp.epoch, stamp.direction.is_back())).cloned()
}

/// Nothing is remembered, but the Ingresses carry this attempt's stamps: take it up where it stands.
fn adopt_lost_status(run: &mut Run<'_>, newest: &Stamp) {
    run.status.epoch = run.status.epoch.max(newest.epoch);
    if newest.attempt != run.status.attempt || !run.view(Side::Source).synced {
        return;
    }
    match newest.direction {
        Direction::RollingBack => adopt_rollback(run, newest),
        Direction::RolledBack => enter_adopted(run, Stage::RollingBack),
        Direction::Completed => enter_adopted(run, Stage::Completed),
        Direction::Forward => adopt_shift(run),
    }
}

/// Users are on the target already: starting over would send them back and forth.
fn adopt_shift(run: &mut Run<'_>) {
    let stamped = |facts: &&IngressFacts| facts.stamp.as_ref().is_some_and(|stamp| stamp.owner == run.order.owner);
    let weights = run.view(Side::Target).ingresses.values().filter(stamped).filter_map(IngressFacts::weight);
    let Some(weight) = weights.max().filter(|weight| *weight > Weight::ZERO) else { return };
    let step = run.order.steps.iter().position(|step| step.weight >= weight).unwrap_or_default();
    let index = i32::try_from(step).unwrap_or_default();
    enter_adopted(run, Stage::ShiftTraffic);
    let since = micro(run.now);
    run.status.step =
        Some(StepProgress { index, phase: StepPhase::RaiseTarget, since, held_millis: 0, running_since: None });
}

fn adopt_rollback(run: &mut Run<'_>, newest: &Stamp) {
    run.status.epoch = newest.epoch;
    enter_adopted(run, Stage::RollingBack);
    let message = "A rollback had begun: its stamp is on an Ingress.".to_owned();
    let reason = super::reason::Reason::RollingBack.as_str().to_owned();
    run.status.cause.get_or_insert(Cause { reason, message, at: seconds(run.now) });
}

fn enter_adopted(run: &mut Run<'_>, stage: Stage) {
    run.status.stage = stage;
    run.status.stage_started_at = Some(seconds(run.now));
    run.status.written_since = None;
    if run.status.plan.is_none() {
        run.status.plan = Some(stages::plan(run));
    }
}
