//! PrepareTarget (guide steps 3 and 4): the namespace and the Services that the Ingresses need are on the target.
//! Whoever deploys them on the source deploys them there as well; they are waited for, never made.

use super::super::observed::Side;
use super::super::reason::Reason;
use super::super::run::{Move, Run, Wait};

pub(super) fn visit(run: &Run<'_>) -> Move {
    // Both sides: the source's Ingresses say which Services are needed, and an unseen source needs none.
    if let Some(wait) = run.cluster_trouble() {
        return wait.into();
    }
    let namespace = &run.order.namespace;
    let target = run.view(Side::Target);
    match &target.namespace {
        None => {
            let message = format!("The namespace {namespace} is not on the target.");
            return Wait::new(Reason::WaitingForNamespace, message)
                .unblocked_by("Create it there as it was created on the source.")
                .into();
        }
        Some(found) if found.terminating => {
            let message = format!("The namespace {namespace} on the target is being deleted.");
            return Wait::new(Reason::Terminating, message)
                .unblocked_by("Wait until it is gone, then create it again.")
                .into();
        }
        Some(_) => {}
    }
    let missing = missing_services(run);
    if !missing.is_empty() {
        let message = format!(
            "Services of the Ingresses are not in namespace {namespace} on the target: {}.",
            missing.join(", ")
        );
        return Wait::new(Reason::WaitingForServices, message)
            .unblocked_by("Deploy the application to the target as well.")
            .into();
    }
    Move::Advance { message: "Namespace and Services are on the target.".to_owned() }
}

fn missing_services(run: &Run<'_>) -> Vec<String> {
    let mut missing: Vec<String> = run
        .ingresses()
        .iter()
        .filter_map(|planned| run.ingress(Side::Source, planned))
        .flat_map(|facts| facts.services.iter())
        .filter(|service| !run.view(Side::Target).services.contains_key(*service))
        .cloned()
        .collect();
    missing.sort();
    missing.dedup();
    missing
}
