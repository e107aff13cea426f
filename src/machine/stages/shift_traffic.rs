//! ShiftTraffic (guide step 10): for each step raise the target, see it served, lower the source, see it served, hold.
//! The giver is lowered only after the receiver is served, so that no user is ever without a record.

use jiff::SignedDuration;
use jiff::Timestamp;

use super::super::edits;
use super::super::gate::{self, Goal};
use super::super::health::{HealthView, Verdict};
use super::super::observed::Side;
use super::super::order::Step;
use super::super::reason::Reason;
use super::super::run::{Memo, Move, Run, Wait, micro, words};
use super::super::stamp::Direction;
use super::super::stuck;
use super::super::traffic::Weight;
use super::step_down::{self, at_ceiling, ceiling};
use crate::api::DurationText;
use crate::api::status::{StepPhase, StepProgress};

pub(super) fn visit(run: &Run<'_>) -> Move {
    let steps = planned_steps(run);
    let ceiling = ceiling(run, &steps);
    let Some(progress) = &run.status.step else { return before_the_first_step(run, &steps, ceiling) };
    let index = usize::try_from(progress.index).unwrap_or_default();
    let Some(step) = steps.get(index) else {
        return Move::Advance { message: "Every step has been held.".to_owned() };
    };
    match progress.phase {
        phase if index >= ceiling || phase.is_on_the_way_down() => step_down::visit(run, progress, &steps),
        StepPhase::RaiseTarget => write(run, progress, Side::Target, step.weight),
        StepPhase::TargetSettling => settle(run, progress, Side::Target, step.weight),
        StepPhase::LowerSource => write(run, progress, Side::Source, step.weight.complement()),
        StepPhase::SourceSettling => settle(run, progress, Side::Source, step.weight.complement()),
        _ => hold(run, progress, *step, steps.get(index + 1).copied().map(|next| (next, index + 1 < ceiling))),
    }
}

fn before_the_first_step(run: &Run<'_>, steps: &[Step], ceiling: usize) -> Move {
    // The first write was done, but the status that would say so was not saved.
    let ahead = run.weights(Side::Target).iter().any(|weight| *weight > Weight::ZERO);
    if !ahead && let Some(wait) = edits::boundary(run) {
        return wait.into();
    }
    match steps.first() {
        Some(first) if ceiling == 0 && !ahead => at_ceiling(run, Weight::ZERO, first.weight).into(),
        _ => Move::Remember(Memo::Step(begin(0, run.now))),
    }
}

/// The steps as agreed. An edit of the spec changes them at a boundary between two of them, and nowhere else.
pub(in super::super) fn planned_steps(run: &Run<'_>) -> Vec<Step> {
    let planned = run.status.plan.iter().flat_map(|plan| &plan.steps);
    planned
        .map(|step| Step {
            weight: Weight::percent(step.weight),
            hold: DurationText::from(step.hold.as_str()).span().unwrap_or(SignedDuration::MAX),
        })
        .collect()
}

fn begin(index: i32, now: Timestamp) -> StepProgress {
    StepProgress { index, phase: StepPhase::RaiseTarget, since: micro(now), held_millis: 0, running_since: None }
}

fn enter(progress: &StepProgress, phase: StepPhase, now: Timestamp) -> Move {
    Move::Remember(Memo::Step(StepProgress { phase, since: micro(now), ..progress.clone() }))
}

fn write(run: &Run<'_>, progress: &StepProgress, side: Side, weight: Weight) -> Move {
    let effects = run.missing_writes(side, weight, Direction::Forward);
    if effects.is_empty() {
        let next = if side == Side::Target { StepPhase::TargetSettling } else { StepPhase::SourceSettling };
        return enter(progress, next, run.now);
    }
    if let Some(wait) = run.cluster_trouble() {
        return wait.into();
    }
    let served = if side == Side::Source { gate::receiver_is_served(run, side, weight) } else { Ok(true) };
    match served {
        Ok(true) => {}
        Ok(false) => return enter(progress, StepPhase::TargetSettling, run.now),
        Err(wait) => return wait.into(),
    }
    if run.target_verdict() != Verdict::Pass {
        return no_verdict(run).into();
    }
    if let Some(wait) = stuck::unshiftable(run).or_else(|| unlike_written(run, progress, side, weight)) {
        return wait.into();
    }
    let message = format!("The {side} gets weight {weight}.");
    Move::Act { effects, wait: Wait::new(Reason::WritingWeights, message) }
}

/// A wait until DNS shows the step before as it is written. The gates of that step were passed before its hold, and somebody may have
/// edited a record in the zone itself since.
fn unlike_written(run: &Run<'_>, progress: &StepProgress, side: Side, weight: Weight) -> Option<Wait> {
    if side == Side::Source {
        return None;
    }
    let what = format!("Before the target gets weight {weight}, DNS must show what is written");
    gate::serves(run, Goal::AsWritten, progress.since.0, &what).err()
}

fn settle(run: &Run<'_>, progress: &StepProgress, side: Side, weight: Weight) -> Move {
    if has_left(run, side, weight) {
        let again = if side == Side::Target { StepPhase::RaiseTarget } else { StepPhase::LowerSource };
        return enter(progress, again, run.now);
    }
    let goal = if side == Side::Target { Goal::Receives(side, weight) } else { Goal::Gives(side, weight) };
    match gate::gate(run, goal, progress.since.0, &format!("Weight {weight} is written on the {side}")) {
        Ok(_) if side == Side::Target => enter(progress, StepPhase::LowerSource, run.now),
        Ok(_) => enter(progress, StepPhase::Holding, run.now),
        Err(wait) => wait.into(),
    }
}

/// Whether a weight of the side is not the step's any more: a way down to a lower ceiling was begun, which status never learnt, and
/// the ceiling has been raised again.
fn has_left(run: &Run<'_>, side: Side, weight: Weight) -> bool {
    run.weights(side).iter().any(|seen| *seen != weight)
}

/// `next` is the step after this one, if there is one, and whether it may be entered.
fn hold(run: &Run<'_>, progress: &StepProgress, step: Step, next: Option<(Step, bool)>) -> Move {
    // The next step's write was done, but the status that would say so was not saved: this hold is over.
    if run.weights(Side::Target).iter().any(|weight| *weight > step.weight) && next.is_some() {
        return Move::Remember(Memo::Step(begin(progress.index + 1, run.now)));
    }
    if has_left(run, Side::Source, step.weight.complement()) {
        let stopped = stopped_clock(run).map(Move::Remember);
        return stopped.unwrap_or_else(|| enter(progress, StepPhase::LowerSource, run.now));
    }
    if let Some(memo) = turn_clock(run, progress) {
        return Move::Remember(memo);
    }
    if progress.running_since.is_none() {
        return no_verdict(run).into();
    }
    let left = step.hold.saturating_sub(held(run, progress));
    if left > SignedDuration::ZERO || !run.observed.health.seen_after(progress.since.0) {
        return holding(run, step, left).into();
    }
    if let Some(wait) = edits::boundary(run) {
        return wait.into();
    }
    match next {
        None => Move::Advance { message: "The target has held 100 percent.".to_owned() },
        Some((next, false)) => at_ceiling(run, step.weight, next.weight).into(),
        Some(_) => Move::Remember(Memo::Step(begin(progress.index + 1, run.now))),
    }
}

fn holding(run: &Run<'_>, step: Step, left: SignedDuration) -> Wait {
    let message = format!("The target must stay healthy at {} percent for {}.", step.weight, words(step.hold));
    let wait = Wait::new(Reason::HoldingStep, message);
    // With nothing left, the next round of probes decides, not the clock.
    if left <= SignedDuration::ZERO { wait } else { wait.until(run.now.saturating_add(left).unwrap_or(run.now)) }
}

/// Starts or stops the clock of a hold with the verdict. None when it is as it should be.
pub(in super::super) fn turn_clock(run: &Run<'_>, progress: &StepProgress) -> Option<Memo> {
    let runs = progress.running_since.is_some();
    match (run.target_verdict() == Verdict::Pass, runs) {
        (true, false) => Some(Memo::Step(StepProgress { running_since: Some(micro(run.now)), ..progress.clone() })),
        (false, true) => stopped_clock(run),
        _ => None,
    }
}

/// The clock of the hold, stopped, if it runs: also what overrules the stage stops it.
pub(in super::super) fn stopped_clock(run: &Run<'_>) -> Option<Memo> {
    run.status.step.as_ref().and_then(|progress| stopped(progress, &run.observed.health, run.now)).map(Memo::Step)
}

/// The same, stopped now. None when its clock does not run.
pub(in super::super) fn stopped(progress: &StepProgress, health: &HealthView, now: Timestamp) -> Option<StepProgress> {
    progress.running_since.as_ref()?;
    let held_millis = i64::try_from(watched(progress, health, now).as_millis()).unwrap_or(i64::MAX);
    Some(StepProgress { running_since: None, held_millis, ..progress.clone() })
}

/// Healthy time so far. What nobody watched does not count.
pub fn held(run: &Run<'_>, progress: &StepProgress) -> SignedDuration {
    watched(progress, &run.observed.health, run.now)
}

/// What was saved, and of the running stretch what this watch and the one before it have seen. A verdict other than Pass would have
/// stopped the clock: while an earlier watch is known to have lasted, it ran.
fn watched(progress: &StepProgress, health: &HealthView, now: Timestamp) -> SignedDuration {
    let saved = SignedDuration::from_millis(progress.held_millis);
    let Some(since) = progress.running_since.as_ref().map(|since| since.0) else { return saved };
    let stretch = |from: Timestamp, to: Timestamp| to.duration_since(from).max(SignedDuration::ZERO);
    let begun = health.watched_since.unwrap_or(now).max(since);
    let before = health.watched_before.map_or(SignedDuration::ZERO, |until| stretch(since, until.min(begun)));
    saved.saturating_add(before).saturating_add(stretch(begun, now))
}

/// The clock stands still because there is no verdict. A cluster that is out of reach is why its workloads cannot be judged.
pub(in super::super) fn no_verdict(run: &Run<'_>) -> Wait {
    if let Some(wait) = run.cluster_trouble() {
        return wait;
    }
    let why = run
        .observed
        .health
        .first(Side::Target, Verdict::Inconclusive)
        .map_or_else(|| "no probe has answered yet".to_owned(), |check| format!("{}: {}", check.name, check.message));
    let message = format!("There is no verdict on the target, so the clock stands still ({why}).");
    Wait::new(Reason::HealthUnknown, message)
        .unblocked_by("Look at the checks in status; nothing moves until they pass or fail.")
}
