//! The order of writes: what others need comes first, and the Ingress, which users see, last.

use crate::machine::inventory::{Item, Kind};

/// When an object is written. Those of one rank do not need each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rank {
    /// The Namespace.
    Namespace,
    /// ResourceQuotas and LimitRanges: what comes after them is admitted by them.
    Limits,
    /// ServiceAccounts.
    Account,
    /// Roles, before what binds them.
    Role,
    /// RoleBindings.
    Binding,
    /// NetworkPolicies: no Pod runs a moment without them.
    NetworkPolicy,
    /// Secrets.
    Secret,
    /// ConfigMaps.
    ConfigMap,
    /// Claims, before the Pods that mount them.
    Claim,
    /// Services: Pods find them in their environment only where they were there first.
    Service,
    /// Workloads.
    Workload,
    /// What guards and scales workloads.
    Guard,
    /// What watches workloads.
    Monitor,
    /// Every other kind: custom resources.
    Other,
    /// Ingresses.
    Ingress,
}

/// When objects of a kind are written.
pub fn rank(kind: &Kind) -> Rank {
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Namespace") => Rank::Namespace,
        ("", "ResourceQuota" | "LimitRange") => Rank::Limits,
        ("", "ServiceAccount") => Rank::Account,
        ("rbac.authorization.k8s.io", "Role") => Rank::Role,
        ("rbac.authorization.k8s.io", "RoleBinding") => Rank::Binding,
        ("networking.k8s.io", "NetworkPolicy") => Rank::NetworkPolicy,
        ("", "Secret") => Rank::Secret,
        ("", "ConfigMap") => Rank::ConfigMap,
        ("", "PersistentVolume" | "PersistentVolumeClaim") => Rank::Claim,
        ("", "Service") => Rank::Service,
        ("apps" | "batch" | "extensions", kind) if kind != "Ingress" => Rank::Workload,
        ("", "Pod" | "ReplicationController") => Rank::Workload,
        ("policy" | "autoscaling", _) => Rank::Guard,
        ("monitoring.coreos.com", _) => Rank::Monitor,
        ("networking.k8s.io" | "extensions", "Ingress") => Rank::Ingress,
        _ => Rank::Other,
    }
}

/// Objects in the order in which they are written; those of one rank by kind and name, so that two runs have one order.
pub fn in_order<'a>(items: impl IntoIterator<Item = &'a Item>) -> Vec<&'a Item> {
    let mut items: Vec<_> = items.into_iter().collect();
    items.sort_by_key(|item| (rank(&item.kind), &item.kind, &item.name));
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_need_is_written_first_and_ingresses_last() {
        let order = [
            ("v1", "Namespace"),
            ("v1", "LimitRange"),
            ("v1", "ResourceQuota"),
            ("v1", "ServiceAccount"),
            ("rbac.authorization.k8s.io/v1", "Role"),
            ("rbac.authorization.k8s.io/v1", "RoleBinding"),
            ("networking.k8s.io/v1", "NetworkPolicy"),
            ("v1", "Secret"),
            ("v1", "ConfigMap"),
            ("v1", "Service"),
            ("apps/v1", "Deployment"),
            ("batch/v1", "CronJob"),
            ("autoscaling/v2", "HorizontalPodAutoscaler"),
            ("policy/v1", "PodDisruptionBudget"),
            ("monitoring.coreos.com/v1", "ServiceMonitor"),
            ("example.com/v1", "Ingress"),
            ("extensions/v1beta1", "Ingress"),
            ("networking.k8s.io/v1", "Ingress"),
        ];
        let item = |(version, kind): (&str, &str)| {
            let (group, version) = version.split_once('/').unwrap_or(("", version));
            Item { kind: Kind::new(group, version, kind), ..Item::default() }
        };
        let expected = order.map(item);
        let mut mixed = expected.clone();
        mixed.reverse();
        assert_eq!(in_order(&mixed), expected.iter().collect::<Vec<_>>());
    }
}
