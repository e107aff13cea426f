//! Claims: Ingresses of the plan that come late, or that were taken over and given back, get our stamp again.
//! Nothing changes for users: a late target Ingress gets 0, and what was given back keeps its weight.

use super::contest::{is_given_back, is_ours_by_now};
use super::effect::Effect;
use super::observed::{IngressFacts, Side};
use super::reason::Reason;
use super::run::{Move, Run, Wait};
use super::stages;
use super::stamp::Direction;
use super::traffic::Weight;
use crate::api::Stage;

/// The claims that are missing, if any.
pub fn missing(run: &Run<'_>) -> Option<Move> {
    let mut effects: Vec<_> = [Side::Source, Side::Target].into_iter().flat_map(|side| given_back(run, side)).collect();
    if (Stage::PrepareTarget..=Stage::DeployWorkloads).contains(&run.status.stage) || is_begun(run) {
        let taken = |planned| run.taken_by(Side::Target, planned).is_some_and(|stamp| !stamp.direction.is_final());
        if run.ingresses().iter().any(taken) {
            return stages::moved_by_another(run).map(Move::from);
        }
        // It may carry any weight, and DNS accepts it now that the source is weighted.
        effects.extend(run.present_targets_at_zero().into_iter().filter(|effect| may_be_taken(run, effect)));
    }
    if effects.is_empty() || run.cluster_trouble().is_some() {
        return None;
    }
    let message = "Ingresses of the plan get our stamp; what users notice does not change.";
    Some(Move::Act { effects, wait: Wait::new(Reason::WritingWeights, message) })
}

/// Whether WeightSource has taken the source over.
fn is_begun(run: &Run<'_>) -> bool {
    let is_ours = |facts: &IngressFacts| {
        facts
            .stamp_of(&run.order.owner)
            .is_some_and(|stamp| stamp.attempt == run.status.attempt && !stamp.direction.is_final())
    };
    let mut sources = run.ingresses().iter().filter_map(|planned| run.ingress(Side::Source, planned));
    run.status.stage == Stage::WeightSource && sources.any(is_ours)
}

/// Not beside a source at 0: two zeros would be an even split, and the source gets its weight back first.
fn may_be_taken(run: &Run<'_>, effect: &Effect) -> bool {
    let Effect::WriteWeight(write) = effect else { return true };
    let source = run.view(Side::Source).ingresses.get(&write.ingress);
    source.and_then(IngressFacts::weight) != Some(Weight::ZERO)
}

/// Ingresses that carry what we wrote, but not by us.
fn given_back(run: &Run<'_>, side: Side) -> Vec<Effect> {
    if !(Stage::WeightSource..=Stage::Bake).contains(&run.status.stage) || !run.view(side).synced {
        return vec![];
    }
    let planned = run.ingresses().iter().filter_map(|planned| Some((planned, run.ingress(side, planned)?)));
    planned
        .filter(|(_, facts)| is_taken_over(run, side, facts))
        .filter(|(planned, facts)| is_given_back(run, side, planned, facts))
        .filter_map(|(planned, facts)| Some(run.write(side, planned, facts.weight()?, run.stamp(Direction::Forward))))
        .map(Effect::WriteWeight)
        .collect()
}

/// Whether somebody else has written it since we did. Before every Ingress of the side is ours, only a stamp tells that this one was.
fn is_taken_over(run: &Run<'_>, side: Side, facts: &IngressFacts) -> bool {
    match facts.stamp_of(&run.order.owner) {
        Some(_) if facts.weight_is_ours() => false,
        Some(stamp) if !stamp.direction.is_final() => true,
        _ => is_ours_by_now(run, side),
    }
}
