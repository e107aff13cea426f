//! What was found before the move must still hold while it goes on: an Ingress may come, a namespace may go.
//! Nobody is moved by it; the clock stands still until a person has decided.

use super::observed::Side;
use super::reason::Reason;
use super::run::{Run, Wait};
use super::stages;
use crate::api::Stage;
use crate::preflight;

/// What does not hold any more, if something does not.
pub fn broken(run: &Run<'_>) -> Option<Wait> {
    if !(Stage::WeightSource..=Stage::Bake).contains(&run.status.stage) || run.cluster_trouble().is_some() {
        return None;
    }
    unplanned(run).or_else(|| stages::blocked(run))
}

/// An Ingress of the source that has come since the plan was agreed: its users would stay behind.
fn unplanned(run: &Run<'_>) -> Option<Wait> {
    let planned = |name: &str| run.ingresses().iter().any(|planned| planned.name == name);
    let name = preflight::moving_ingresses(run.order, run.observed).find(|name| !planned(name))?;
    let facts = run.view(Side::Source).ingresses.get(name)?;
    let hosts = facts.hosts.iter().cloned().collect::<Vec<_>>().join(", ");
    let message =
        format!("Ingress {name} ({hosts}) has come to the source since the plan was agreed, and would stay behind.");
    let fix = format!(
        "Name {name} in spec.ingresses.exclude to leave it there, or take it away until this migration has ended."
    );
    Some(Wait::new(Reason::UnplannedIngress, message).unblocked_by(fix).stalled())
}
