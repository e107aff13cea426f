//! Contests: somebody else changed an Ingress that we move. It stops the clock and is not fought, with one exception:
//! what leaves both sides at 0, or gives the target more users than the step allows, is answered by a rollback.

use super::observed::Side;
use super::reason::Reason;
use super::run::{Move, Run, Wait};
use super::stages::shift_traffic_steps;
use super::traffic::target_share;
use crate::api::Stage;
use crate::api::status::PlannedIngress;

/// The answer to a contest, if there is one.
pub fn respond(run: &Run<'_>) -> Option<Move> {
    let message = [Side::Source, Side::Target].into_iter().find_map(|side| contested(run, side))?;
    let (source, target) = (run.weights(Side::Source), run.weights(Side::Target));
    let all_zero = source.iter().chain(&target).all(|weight| weight.get() == 0) && !source.is_empty();
    let share = target_share(&source, &target);
    let allowed = allowed_share(run);
    if all_zero || (share > allowed && !source.is_empty()) {
        let message =
            format!("{message} That sends {share} percent of users to the target, where {allowed} is allowed.");
        return Some(Move::RollBack { reason: Reason::ForeignWeight, message });
    }
    let prefix = &run.order.source.annotation_prefix;
    let fix = format!(
        "Stop the other writer. Argo CD: ignoreDifferences with managedFieldsManagers [namespace-migration]; Flux: spec.ignore for /metadata/annotations/{}aws-weight; \
         then set the weight back to what status.traffic says.",
        prefix.replace('/', "~1")
    );
    Some(Wait::new(Reason::WeightContested, message).unblocked_by(fix).into())
}

/// What is wrong on a side, in a sentence.
fn contested(run: &Run<'_>, side: Side) -> Option<String> {
    let view = run.view(side);
    if !view.synced || !is_ours_by_now(run.status.stage, side) {
        return None;
    }
    run.ingresses().iter().find_map(|planned| problem(run, side, planned))
}

/// Whether every Ingress of a side must carry our stamp after this stage has begun.
fn is_ours_by_now(stage: Stage, side: Side) -> bool {
    match side {
        Side::Source => (Stage::PrepareTarget..=Stage::Bake).contains(&stage),
        Side::Target => (Stage::SmokeTest..=Stage::Bake).contains(&stage),
    }
}

fn problem(run: &Run<'_>, side: Side, planned: &PlannedIngress) -> Option<String> {
    let name = &planned.name;
    let Some(facts) = run.ingress(side, planned) else {
        return Some(format!("Ingress {name} is gone from the {side}."));
    };
    let ours = facts.stamp.as_ref().is_some_and(|stamp| stamp.owner == run.order.owner);
    if !ours {
        return Some(format!(
            "The annotations of Ingress {name} on the {side} were removed or replaced by {}.",
            facts.weight_writer()
        ));
    }
    if !facts.weight_is_ours() {
        let found = facts.weight_text.as_deref().unwrap_or("none");
        return Some(format!(
            "The weight of Ingress {name} on the {side} was changed to {found} by {}.",
            facts.weight_writer()
        ));
    }
    None
}

/// The share that the target may have now: the current step's, or nothing before the shift.
fn allowed_share(run: &Run<'_>) -> i32 {
    match run.status.stage {
        Stage::Bake => 100,
        Stage::ShiftTraffic => {
            let index = run.status.step.as_ref().map_or(0, |step| usize::try_from(step.index).unwrap_or_default());
            shift_traffic_steps(run).get(index).map_or(0, |step| step.weight.get())
        }
        _ => 0,
    }
}
