//! The way down to `spec.traffic.upTo`: the protocol of a step with receiver and giver exchanged. The source is raised and
//! seen served, then the target is lowered and seen served; then the step below is held anew.

use super::super::edits;
use super::super::gate::{self, Goal};
use super::super::health::Verdict;
use super::super::observed::Side;
use super::super::order::Step;
use super::super::reason::Reason;
use super::super::run::{Memo, Move, Run, Wait, micro};
use super::super::stamp::Direction;
use super::super::traffic::Weight;
use super::shift_traffic::planned_steps;
use crate::api::Stage;
use crate::api::status::{StepPhase, StepProgress};

/// How many of the steps may be entered.
pub(super) fn ceiling(run: &Run<'_>, steps: &[Step]) -> usize {
    steps.iter().take_while(|step| step.weight <= run.order.up_to).count()
}

/// Whether the target's share is above the ceiling, or on its way down from there: that is less risk, not more.
pub(in super::super) fn goes_down(run: &Run<'_>) -> bool {
    let steps = planned_steps(run);
    let ceiling = ceiling(run, &steps);
    let above = |index: i32| usize::try_from(index).unwrap_or_default() >= ceiling;
    match (run.status.stage, &run.status.step) {
        (Stage::Bake, _) => run.order.up_to < Weight::FULL,
        (Stage::ShiftTraffic, Some(step)) => above(step.index) || step.phase.is_on_the_way_down(),
        // The first write was done, but the status that would say so was not saved.
        (Stage::ShiftTraffic, None) => {
            above(0) && run.weights(Side::Target).iter().any(|weight| *weight > Weight::ZERO)
        }
        _ => false,
    }
}

/// Leaves the step for the one below. It may begin in any phase: raising the source takes nobody's record away.
pub(super) fn visit(run: &Run<'_>, progress: &StepProgress, steps: &[Step]) -> Move {
    let index = usize::try_from(progress.index).unwrap_or_default();
    let below = index.checked_sub(1).and_then(|index| steps.get(index)).map_or(Weight::ZERO, |step| step.weight);
    match progress.phase {
        StepPhase::RaiseSource => write(run, progress, Side::Source, below.complement(), below),
        StepPhase::SourceRaised => settle(run, progress, Side::Source, below.complement()),
        StepPhase::LowerTarget => write(run, progress, Side::Target, below, below),
        StepPhase::TargetLowered => settle(run, progress, Side::Target, below),
        StepPhase::Holding => match edits::boundary(run) {
            Some(wait) => wait.into(),
            None => Move::StepDown { index: progress.index },
        },
        _ => Move::StepDown { index: progress.index },
    }
}

fn write(run: &Run<'_>, progress: &StepProgress, side: Side, weight: Weight, below: Weight) -> Move {
    let effects = run.missing_writes(side, weight, Direction::Forward);
    if effects.is_empty() {
        let next = if side == Side::Source { StepPhase::SourceRaised } else { StepPhase::TargetLowered };
        return enter(progress, next, run);
    }
    if let Some(wait) = run.cluster_trouble() {
        return wait.into();
    }
    let served = if side == Side::Target { gate::receiver_is_served(run, side, weight) } else { Ok(true) };
    match served {
        Ok(true) => {}
        Ok(false) => return enter(progress, StepPhase::SourceRaised, run),
        Err(wait) => return wait.into(),
    }
    if let Some(wait) = sick_source(run) {
        return wait.into();
    }
    let message = format!(
        "spec.traffic.upTo is {}: the target goes back to {below} percent. The {side} gets weight {weight}.",
        run.order.up_to
    );
    Move::Act { effects, wait: Wait::new(Reason::WritingWeights, message) }
}

/// Users are never moved to a side that is known to fail; that is what a rollback by request is for.
fn sick_source(run: &Run<'_>) -> Option<Wait> {
    let sick = run.observed.health.first(Side::Source, Verdict::Fail)?;
    let message = format!(
        "spec.traffic.upTo is {}, but the source fails, so that nobody is moved back to it. {}: {}",
        run.order.up_to, sick.name, sick.message
    );
    let fix = "Mend the source, then it goes on by itself; or raise spec.traffic.upTo again.";
    Some(Wait::new(Reason::SourceUnhealthy, message).unblocked_by(fix).stalled())
}

fn settle(run: &Run<'_>, progress: &StepProgress, side: Side, weight: Weight) -> Move {
    let goal = if side == Side::Source { Goal::Receives(side, weight) } else { Goal::Gives(side, weight) };
    let what = format!("On the way down: weight {weight} is written on the {side}");
    match gate::gate(run, goal, progress.since.0, &what) {
        Ok(_) if side == Side::Source => enter(progress, StepPhase::LowerTarget, run),
        Ok(_) => arrive(run, progress),
        Err(wait) => wait.into(),
    }
}

fn enter(progress: &StepProgress, phase: StepPhase, run: &Run<'_>) -> Move {
    Move::Remember(Memo::Step(StepProgress { phase, since: micro(run.now), ..progress.clone() }))
}

/// The step below is held anew: what was seen of it was seen before.
fn arrive(run: &Run<'_>, progress: &StepProgress) -> Move {
    if progress.index == 0 {
        return Move::Remember(Memo::BeforeFirstStep);
    }
    Move::Remember(Memo::Step(leaving(run, progress.index - 1, StepPhase::Holding)))
}

/// Progress at the beginning of a phase, with a clock that has not run.
pub(in super::super) fn leaving(run: &Run<'_>, index: i32, phase: StepPhase) -> StepProgress {
    StepProgress { index, phase, since: micro(run.now), held_millis: 0, running_since: None }
}

/// The wait below a ceiling. It has no deadline: it was asked for.
pub(super) fn at_ceiling(run: &Run<'_>, current: Weight, next: Weight) -> Wait {
    let message = format!(
        "The next step gives the target {next} percent, and spec.traffic.upTo is {}{}: it stays at {current} percent, and health \
         is watched.",
        run.order.up_to,
        run.order.controls.author("spec.traffic.upTo").in_brackets()
    );
    let fix = format!(
        "Raise spec.traffic.upTo to {next} or more: kubectl patch migration {} --type merge -p \
         '{{\"spec\":{{\"traffic\":{{\"upTo\":{next}}}}}}}'",
        run.order.controls.object
    );
    Wait::new(Reason::AtCeiling, message).unblocked_by(fix)
}
