//! Bake (guide step 10, "verify 100 percent"): the target has all traffic and must stay healthy while a rollback is still automatic.

use jiff::{SignedDuration, Timestamp};

use super::super::gate::{self, Goal};
use super::super::observed::Side;
use super::super::reason::Reason;
use super::super::run::{Memo, Move, Run, Wait, micro, words};
use super::super::stamp::Direction;
use super::super::traffic::Weight;
use super::shift_traffic::{held, no_verdict, turn_clock};
use crate::api::DurationText;
use crate::api::status::{StepPhase, StepProgress};

pub(super) fn visit(run: &Run<'_>) -> Move {
    if run.order.up_to < Weight::FULL {
        return Move::StepDown { index: last_index(run) - 1 };
    }
    if run.weights(Side::Source).iter().any(|weight| *weight > Weight::ZERO) {
        // A way down to a lower ceiling was begun, which status never learnt, and the ceiling has been raised again.
        return Move::Remember(Memo::StepAnew);
    }
    let Some(clock) = clock(run) else { return Move::Remember(Memo::Step(begin(run))) };
    if let Some(memo) = turn_clock(run, clock) {
        return Move::Remember(memo);
    }
    if clock.running_since.is_none() {
        return no_verdict(run).into();
    }
    let bake = run
        .status
        .plan
        .as_ref()
        .and_then(|plan| DurationText::from(plan.bake.as_str()).span().ok())
        .unwrap_or(run.order.bake);
    let left = bake.saturating_sub(held(run, clock));
    if left > SignedDuration::ZERO || !run.observed.health.seen_after(clock.since.0) {
        let message = format!(
            "The target has all traffic and must stay healthy for {}. Whether the source is silent is not measured.",
            words(bake)
        );
        let wait = Wait::new(Reason::Baking, message);
        return if left <= SignedDuration::ZERO {
            wait.into()
        } else {
            wait.until(run.now.saturating_add(left).unwrap_or(run.now)).into()
        };
    }
    finish(run, run.now.saturating_add(left).unwrap_or(run.now))
}

/// The final stamps release the Ingresses: another migration may take them, and nothing here writes them again.
/// Before, DNS is looked at once more: what was seen in the bake may be a minute old.
fn finish(run: &Run<'_>, over: Timestamp) -> Move {
    let what = "The bake is over; before the end DNS must show what is written";
    let unseen = || gate::shows(run, Goal::AsWritten, over, what).err();
    if let Some(wait) = gate::unread(run).or_else(|| gate::unserved(run)).or_else(unseen) {
        return wait.into();
    }
    let mut effects = run.missing_writes(Side::Target, Weight::FULL, Direction::Completed);
    effects.extend(run.missing_writes(Side::Source, Weight::ZERO, Direction::Completed));
    if effects.is_empty() {
        return Move::Advance { message: "The service has moved. That the source is silent is not proved.".to_owned() };
    }
    if let Some(wait) = run.cluster_trouble() {
        return wait.into();
    }
    let message = "The Ingresses are marked as completed; their weights stay.";
    Move::Act { effects, wait: Wait::new(Reason::WritingWeights, message) }
}

/// The clock of the bake is a hold after the last step; its index tells it from the step's own.
fn clock<'a>(run: &'a Run<'_>) -> Option<&'a StepProgress> {
    run.status.step.as_ref().filter(|progress| progress.index == last_index(run))
}

fn begin(run: &Run<'_>) -> StepProgress {
    StepProgress {
        index: last_index(run),
        phase: StepPhase::Holding,
        since: micro(run.now),
        held_millis: 0,
        running_since: None,
    }
}

fn last_index(run: &Run<'_>) -> i32 {
    let steps = run.status.plan.as_ref().map_or(0, |plan| plan.steps.len());
    i32::try_from(steps).unwrap_or(i32::MAX)
}
