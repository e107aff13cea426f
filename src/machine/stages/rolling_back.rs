//! `RollingBack` ("how to roll back"): source 100, then target 0, at once and without waiting for DNS.
//!
//! It never needs the target: nothing of it stands before the source's write. Every write carries a new epoch, even where
//! the weight is right already, so that older writes in flight fail. It ends when both fences have been read back and DNS
//! has had its time; then the final stamps, and, if the spec says so, what we created on the target goes away.

use super::super::effect::{Effect, RemovableKind, Removal, WeightWrite};
use super::super::gate::Gate;
use super::super::observed::Side;
use super::super::reason::Reason;
use super::super::run::{Memo, Move, Run, Wait};
use super::super::stamp::Direction;
use super::super::traffic::{Weight, target_share};
use crate::api::namespace_migration::RemovalPolicy;
use crate::api::status::PlannedIngress;

pub(super) fn visit(run: &Run<'_>) -> Move {
    let source = unfenced(run, Side::Source);
    let target = unfenced(run, Side::Target);
    if !source.is_empty() || !target.is_empty() {
        let wait = waits_for_fences(run, &source, &target);
        return Move::Act { effects: in_order(run, source, target), wait };
    }
    let Some(written) = &run.status.written_since else { return Move::Remember(Memo::WrittenNow) };
    if let Gate::Closed { until } = run.order.dns.gate(written.0, run.now) {
        let message = "The source has 100 and the target 0; DNS needs time to follow.";
        return Wait::new(Reason::WaitingForRollbackDns, message).until(until).into();
    }
    let leftovers = leftovers(run);
    if !leftovers.is_empty() {
        let message = format!("{} objects that we created on the target are being removed.", leftovers.len());
        return Move::Act { effects: leftovers, wait: Wait::new(Reason::RemovingObjects, message) };
    }
    let finals = final_stamps(run);
    if !finals.is_empty() {
        let wait = Wait::new(Reason::RollingBack, "The Ingresses are marked as rolled back; their weights stay.");
        return Move::Act { effects: finals, wait };
    }
    Move::Advance { message: "The source serves everything again.".to_owned() }
}

/// Rollback writes of a side that have not been seen to be done. What was never seen is written: a live read will tell.
fn unfenced(run: &Run<'_>, side: Side) -> Vec<WeightWrite> {
    let after_source = source_may_be_zero(run);
    let stamp = run.stamp(Direction::RollingBack);
    let planned = run.ingresses().iter().filter(|planned| !is_known_absent(run, side, planned));
    planned
        .map(|planned| run.write(side, planned, Weight::ZERO, run.stamp(Direction::Forward)).undo(&stamp, after_source))
        .filter(|write| !is_fenced(run, write))
        .collect()
}

/// A fence is either stamp of this rollback: the one on the way, or the final one.
fn is_fenced(run: &Run<'_>, write: &WeightWrite) -> bool {
    let ended = WeightWrite { stamp: run.stamp(Direction::RolledBack), ..write.clone() };
    run.is_seen(write) || run.is_seen(&ended)
}

fn is_known_absent(run: &Run<'_>, side: Side, planned: &PlannedIngress) -> bool {
    let view = run.view(side);
    view.synced && view.reach.is_reachable() && !view.ingresses.contains_key(&planned.name)
}

/// Whether the source may have been given weight 0: only with the target at 100. Two zeros would be an even split.
fn source_may_be_zero(run: &Run<'_>) -> bool {
    let seen_zero = run.weights(Side::Source).contains(&Weight::ZERO);
    let remembered = run.status.traffic.iter().any(|t| t.source_weight == Some(0) || t.target_weight == Some(100));
    seen_zero || remembered || run.weights(Side::Target).contains(&Weight::FULL)
}

/// Source first. When the source is known to be out of reach and is not at 0, the target need not wait for its timeout.
fn in_order(run: &Run<'_>, source: Vec<WeightWrite>, target: Vec<WeightWrite>) -> Vec<Effect> {
    let target_first = !run.view(Side::Source).reach.is_reachable() && !source_may_be_zero(run);
    let (first, second) = if target_first { (target, source) } else { (source, target) };
    first.into_iter().chain(second).map(Effect::WriteWeight).collect()
}

fn waits_for_fences(run: &Run<'_>, source: &[WeightWrite], target: &[WeightWrite]) -> Wait {
    let percent = exposed_percent(run);
    let trouble = |side: Side| run.view(side).reach.trouble();
    if !source.is_empty() && !run.view(Side::Source).reach.is_reachable() {
        let frozen = if source_may_be_zero(run) {
            "The source may be at weight 0, so the target keeps its weight until the source has 100"
        } else {
            "The target goes to 0 at once, because the source is not at 0"
        };
        let message = format!(
            "The source {}. {frozen}. Up to {percent} percent of users are still sent to the target.",
            trouble(Side::Source)
        );
        return Wait::new(Reason::RollbackWaitsForSource, message)
            .unblocked_by("Bring the source's API server back; the write is tried again by itself.");
    }
    if source.is_empty() && !target.is_empty() && !run.view(Side::Target).reach.is_reachable() {
        let message = format!(
            "The source has 100. The target {}, so its 0 is not written yet: up to {percent} percent of users are still sent to it.",
            trouble(Side::Target)
        );
        return Wait::new(Reason::RollbackWaitsForTarget, message)
            .unblocked_by("Bring the target's API server back; the write is tried again by itself.");
    }
    Wait::new(Reason::RollingBack, "The source gets 100 and the target 0, at once.")
}

/// The share of users, in percent, that the weights as last seen still send to the target.
pub(in super::super) fn exposed_percent(run: &Run<'_>) -> i32 {
    let remembered = |side: Side, name: &str| {
        let traffic = run.status.traffic.iter().find(|traffic| traffic.ingress == name)?;
        let weight = if side == Side::Source { traffic.source_weight } else { traffic.target_weight };
        weight.map(Weight::percent)
    };
    let weights = |side: Side| -> Vec<Weight> {
        let planned = run.ingresses().iter();
        planned
            .filter_map(|planned| match run.ingress(side, planned) {
                Some(facts) => facts.weight(),
                None if is_known_absent(run, side, planned) => None,
                None => remembered(side, &planned.name),
            })
            .collect()
    };
    target_share(&weights(Side::Source), &weights(Side::Target))
}

fn final_stamps(run: &Run<'_>) -> Vec<Effect> {
    let ended = run.stamp(Direction::RolledBack);
    let sides = [Side::Source, Side::Target].into_iter();
    sides
        .flat_map(|side| run.ingresses().iter().map(move |planned| (side, planned)))
        .filter(|(side, planned)| !is_known_absent(run, *side, planned))
        .map(|(side, planned)| run.write(side, planned, Weight::ZERO, ended.clone()).undo(&ended, false))
        .filter(|write| !run.is_seen(write))
        .map(Effect::WriteWeight)
        .collect()
}

/// What we created and the spec wants removed, newest first. Status lists it in the order of creation.
fn leftovers(run: &Run<'_>) -> Vec<Effect> {
    if run.order.created_objects == RemovalPolicy::Keep {
        return vec![];
    }
    let created = run.status.created.iter().rev();
    created
        .filter_map(|object| {
            Some(Removal {
                kind: RemovableKind::parse(&object.kind)?,
                name: object.name.clone(),
                uid: object.uid.clone(),
            })
        })
        .filter(|removal| !is_gone(run, removal))
        .map(Effect::Remove)
        .collect()
}

fn is_gone(run: &Run<'_>, removal: &Removal) -> bool {
    let target = run.view(Side::Target);
    match removal.kind {
        RemovableKind::Ingress => {
            target.synced && target.ingresses.get(&removal.name).is_none_or(|facts| facts.uid != removal.uid)
        }
        RemovableKind::Secret => run.observed.secrets.as_ref().is_some_and(|secrets| {
            use super::super::observed::SecretPresence;
            secrets.get(&removal.name).is_some_and(|view| match &view.target {
                SecretPresence::Absent => true,
                SecretPresence::Present(facts) => facts.uid != removal.uid,
                SecretPresence::Unknown { .. } => false,
            })
        }),
    }
}
