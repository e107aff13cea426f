//! DeployWorkloads (guide steps 6 and 8): the pipeline deploys to both clusters; here it is waited for.

use super::super::observed::Side;
use super::super::reason::Reason;
use super::super::run::{Move, Run, Wait};

pub(super) fn visit(run: &Run<'_>) -> Move {
    // Both sides: what the source runs is what is asked of the target, and an unseen source runs nothing.
    if let Some(wait) = run.cluster_trouble() {
        return wait.into();
    }
    let missing = unready(run);
    if !missing.is_empty() {
        let message = format!("Workloads on the target are not ready: {}.", missing.join("; "));
        return Wait::new(Reason::WaitingForWorkloads, message)
            .unblocked_by("Trigger the pipeline that deploys to the target, and look at the Pods there.")
            .into();
    }
    Move::Advance {
        message: format!("Workloads that are ready on the target: {}.", run.view(Side::Target).workloads.len()),
    }
}

/// Workloads that the source runs and that the target does not run with every wanted Pod ready.
fn unready(run: &Run<'_>) -> Vec<String> {
    let target = &run.view(Side::Target).workloads;
    let running = run.view(Side::Source).workloads.iter().filter(|(_, facts)| facts.desired > 0);
    running
        .filter_map(|(name, _)| match target.get(name) {
            None => Some(format!("{name} is not there")),
            Some(facts) if facts.desired == 0 => Some(format!("{name} is scaled to 0")),
            Some(facts) if !facts.is_ready() => {
                Some(format!("{name} has {} of {} Pods ready", facts.ready, facts.desired))
            }
            Some(_) => None,
        })
        .collect()
}
