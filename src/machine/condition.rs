//! Conditions in the form of Kubernetes: a transition time moves only with its status.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

/// A condition as it is found now, with the transition time that it had `before` while its status is the same.
pub(super) fn merged(now: Condition, before: &[Condition]) -> Condition {
    let same = before.iter().find(|known| known.type_ == now.type_ && known.status == now.status);
    let last_transition_time = same.map(|known| known.last_transition_time.clone());
    Condition { last_transition_time: last_transition_time.unwrap_or(now.last_transition_time), ..now }
}
