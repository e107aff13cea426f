//! PublishTarget (guide step 5): the target's Ingresses, with their own identifier, at weight 0.

use super::super::effect::{Effect, IngressCreation};
use super::super::gate::{self, Goal};
use super::super::observed::Side;
use super::super::reason::Reason;
use super::super::run::{Memo, Move, Run, Wait};
use super::super::stamp::Direction;
use super::super::stuck;
use super::super::traffic::Weight;
use crate::api::status::PlannedIngress;

pub(super) fn visit(run: &Run<'_>) -> Move {
    if let Some(wait) = run.cluster_trouble() {
        return wait.into();
    }
    // What is there has a record already, whatever DNS shows: at 0 it can only have fewer users.
    let mut effects = run.present_targets_at_zero();
    let absent: Vec<_> =
        run.ingresses().iter().filter(|planned| run.ingress(Side::Target, planned).is_none()).collect();
    match unready(run, &absent) {
        Some(wait) => return Move::Act { effects, wait },
        None => effects.extend(absent.iter().map(|planned| create(run, planned))),
    }
    if !effects.is_empty() {
        let message = "The target's Ingresses get their DNS set identifier and weight 0.";
        return Move::Act { effects, wait: Wait::new(Reason::CreatingIngress, message) };
    }
    if let Some(wait) = waits_for_address(run) {
        return wait.into();
    }
    let Some(written) = &run.status.written_since else { return Move::Remember(Memo::WrittenNow) };
    if let Some(wait) = stuck::unshiftable(run) {
        return wait.into();
    }
    let what = "The target's records are being published at weight 0, which users do not notice";
    match gate::gate(run, Goal::TargetPublished, written.0, what) {
        Err(wait) => wait.into(),
        Ok(proof) => Move::Advance { message: format!("The target is published at weight 0 ({}).", proof.word()) },
    }
}

/// What stands in the way of new records of the target. The last look at DNS was hours ago, perhaps: beside a record that is simple
/// again a weighted one is refused, and with it what else is changed in the zone.
fn unready(run: &Run<'_>, absent: &[&PlannedIngress]) -> Option<Wait> {
    if absent.is_empty() {
        return None;
    }
    let what = "Nothing is published on the target yet, because the source's records must be weighted, at 100";
    let owner = absent.iter().find_map(|planned| waits_for_owner(run, planned));
    owner
        .or_else(|| stuck::unshiftable(run))
        .or_else(|| gate::shows(run, Goal::SourceWeighted(Weight::FULL), run.stage_since(), what).err())
}

/// An Ingress that a tool deploys on the source is that tool's to deploy on the target: made by us, the two would fight.
fn waits_for_owner(run: &Run<'_>, planned: &PlannedIngress) -> Option<Wait> {
    let owner = run.ingress(Side::Source, planned)?.deployed_by.as_ref()?;
    let name = &planned.name;
    let message = format!(
        "Ingress {name} is not on the target. The source's is deployed by {owner}, which must deploy the target's as well."
    );
    let fix = format!(
        "Let {owner} deploy Ingress {name} to namespace {} of the target, with weight 0 or without weight annotations.",
        run.order.namespace
    );
    Some(Wait::new(Reason::WaitingForIngressOwner, message).unblocked_by(fix))
}

fn create(run: &Run<'_>, planned: &PlannedIngress) -> Effect {
    Effect::CreateIngress(IngressCreation {
        name: planned.name.clone(),
        identifier: planned.target_identifier.clone(),
        stamp: run.stamp(Direction::Forward),
    })
}

fn waits_for_address(run: &Run<'_>) -> Option<Wait> {
    let source: Vec<_> = run.view(Side::Source).ingresses.values().flat_map(|facts| &facts.addresses).collect();
    run.ingresses().iter().find_map(|planned| {
        let name = &planned.name;
        let addresses = &run.ingress(Side::Target, planned)?.addresses;
        let found = match addresses.iter().find(|address| source.contains(address)) {
            Some(address) => format!("has the source's load balancer address {address}"),
            None if addresses.is_empty() => "has no load balancer address yet".to_owned(),
            None => return None,
        };
        let message = format!("Ingress {name} on the target {found}.");
        let fix = "Look at the target's ingress controller and at the class of the Ingress.";
        Some(Wait::new(Reason::WaitingForLoadBalancer, message).unblocked_by(fix))
    })
}
