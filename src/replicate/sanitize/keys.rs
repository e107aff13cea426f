//! Labels and annotations that a copy keeps. An Ingress and a Namespace keep what is listed; everything else loses what is listed.

use serde_json::{Map, Value};

use super::Rules;
use crate::api::GROUP;
use crate::machine::inventory::Kind;
use crate::replicate::fields::kept;
use crate::replicate::ingress::translated;
use crate::replicate::is_tracking_key;
use crate::replicate::ownership::domain;

/// Annotations in which a cluster writes down what it has done.
const WRITTEN_BY_CLUSTER: [&str; 8] = [
    "deployment.kubernetes.io/revision",
    "deprecated.daemonset.template.generation",
    "autoscaling.alpha.kubernetes.io/conditions",
    "autoscaling.alpha.kubernetes.io/current-metrics",
    "control-plane.alpha.kubernetes.io/leader",
    "endpoints.kubernetes.io/last-change-trigger-time",
    "kubernetes.io/service-account.uid",
    "volume.beta.kubernetes.io/storage-provisioner",
];

/// Domains of annotations that bind an object to one cluster: volumes to its disks, DNS records to its load balancers.
const BOUND_TO_CLUSTER: [&str; 4] =
    ["pv.kubernetes.io", "volume.kubernetes.io", "external-dns.kubernetes.io", "external-dns.alpha.kubernetes.io"];

/// Domains of annotations that describe a cloud's load balancer to the source's controllers.
const LOAD_BALANCERS: [&str; 6] = [
    "service.beta.kubernetes.io",
    "elbv2.k8s.aws",
    "cloud.google.com",
    "networking.gke.io",
    "metallb.universe.tf",
    "metallb.io",
];

/// Labels by which the Job controller finds its Pods: the UID of the Job is in two of them.
/// <https://kubernetes.io/docs/concepts/workloads/controllers/job/#pod-selector>
const JOB_LABELS: [&str; 4] =
    ["controller-uid", "job-name", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"];

/// Domains whose keys mean the same on the Namespace of every cluster: admission, and service meshes.
const NAMESPACE_DOMAINS: [&str; 3] = ["pod-security.kubernetes.io", "istio.io", "linkerd.io"];

/// The labels that a copy of this kind keeps.
pub(super) fn labels(labels: &Value, kind: &Kind, rules: &Rules) -> Map<String, Value> {
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Namespace") => {
            kept(labels, |key| is_foreign(key) && (!key.contains('/') || is_for_namespaces(key, rules)))
        }
        ("batch", "Job") => kept(labels, |key| is_foreign(key) && !is_job_label(key)),
        _ => kept(labels, is_foreign),
    }
}

/// The annotations that a copy of this kind keeps.
pub(super) fn annotations(annotations: &Value, kind: &Kind, rules: &Rules) -> Map<String, Value> {
    let stays =
        |key: &str| is_foreign(key) && !WRITTEN_BY_CLUSTER.contains(&key) && !BOUND_TO_CLUSTER.contains(&domain(key));
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("networking.k8s.io" | "extensions", "Ingress") => {
            let prefixes = (rules.source_prefix.as_str(), rules.target_prefix.as_str());
            translated(annotations, prefixes, &rules.classes)
        }
        ("", "Namespace") => kept(annotations, |key| stays(key) && is_for_namespaces(key, rules)),
        ("", "Service") => kept(annotations, |key| stays(key) && !is_for_load_balancers(key)),
        _ => kept(annotations, stays),
    }
}

/// Whether a label is one by which the Job controller finds its Pods.
pub(super) fn is_job_label(key: &str) -> bool {
    JOB_LABELS.contains(&key)
}

/// Neither a deploying tool's mark nor ours.
fn is_foreign(key: &str) -> bool {
    !is_tracking_key(key) && domain(key) != GROUP
}

fn is_for_namespaces(key: &str, rules: &Rules) -> bool {
    let allowed = |known: &String| known == key || known.strip_suffix('/') == Some(domain(key)) && key.contains('/');
    NAMESPACE_DOMAINS.contains(&domain(key)) || rules.namespace_keys.iter().any(allowed)
}

fn is_for_load_balancers(key: &str) -> bool {
    LOAD_BALANCERS.contains(&domain(key)) || key.starts_with("service.kubernetes.io/load-balancer-")
}
