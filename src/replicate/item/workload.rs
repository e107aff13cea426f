//! What is in a Deployment, StatefulSet, DaemonSet, ReplicaSet, CronJob, Job or Pod.

mod references;
mod volumes;

use std::collections::BTreeSet;

use serde_json::Value;

use crate::machine::inventory::{Kind, Workload};
use crate::replicate::fields::{array, pairs, some_text, text};

/// What is known of a workload whose Pods are described at this JSON pointer.
pub(super) fn workload(kind: &Kind, object: &Value, template: &str) -> Workload {
    let (spec, template) = (&object["spec"], object.pointer(template).unwrap_or(&Value::Null));
    let (metadata, pod) = (&template["metadata"], &template["spec"]);
    let job = if kind.kind == "CronJob" { &spec["jobTemplate"]["spec"] } else { spec };
    Workload {
        replicas: has_replicas(kind).then(|| spec["replicas"].as_i64().unwrap_or(1)),
        ready: ready(kind, &object["status"]),
        strategy: some_text(&spec["strategy"]["type"]).unwrap_or_else(|| text(&spec["updateStrategy"]["type"])),
        pod_labels: pairs(&metadata["labels"]),
        pod_annotations: pairs(&metadata["annotations"]),
        service_account: account(pod),
        images: containers(pod).map(|container| (text(&container["name"]), text(&container["image"]))).collect(),
        references: references::references(pod),
        volumes: volumes::volumes(pod),
        claim_templates: claim_templates(spec),
        schedule: some_text(&spec["schedule"]),
        suspended: spec["suspend"] == true,
        ttl_after_finished: job["ttlSecondsAfterFinished"].as_i64(),
        finished: kind.kind == "Job" && has_ended(&object["status"]),
        node_selector: pairs(&pod["nodeSelector"]),
        priority_class: some_text(&pod["priorityClassName"]),
        host_network: pod["hostNetwork"] == true,
        cluster_hosts: containers(pod).flat_map(cluster_hosts).collect(),
        without_requests: containers(pod).any(asks_for_nothing),
        has_readiness: array(&pod["containers"]).all(|container| container["readinessProbe"].is_object()),
        pod_identity: containers(pod).any(has_pod_identity),
    }
}

/// Those that initialise the Pod come first.
pub(super) fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    array(&pod["initContainers"]).chain(array(&pod["containers"]))
}

/// EKS Pod Identity puts the address of its agent into the environment of each container
/// (<https://docs.aws.amazon.com/eks/latest/userguide/pod-id-how-it-works.html>).
fn has_pod_identity(container: &Value) -> bool {
    array(&container["env"]).any(|variable| variable["name"] == "AWS_CONTAINER_CREDENTIALS_FULL_URI")
}

fn has_replicas(kind: &Kind) -> bool {
    ["Deployment", "StatefulSet", "ReplicaSet", "ReplicationController"].contains(&kind.kind.as_str())
}

fn ready(kind: &Kind, status: &Value) -> i64 {
    let is_ready = |condition: &Value| condition["type"] == "Ready" && condition["status"] == "True";
    match kind.kind.as_str() {
        "Pod" => i64::from(array(&status["conditions"]).any(is_ready)),
        "DaemonSet" => status["numberReady"].as_i64().unwrap_or_default(),
        "Job" => status["ready"].as_i64().unwrap_or_default(),
        _ => status["readyReplicas"].as_i64().unwrap_or_default(),
    }
}

fn account(pod: &Value) -> String {
    // The second is the first's older name, and still written by the API server.
    let named = some_text(&pod["serviceAccountName"]).or_else(|| some_text(&pod["serviceAccount"]));
    named.unwrap_or_else(|| "default".to_owned())
}

fn claim_templates(spec: &Value) -> Vec<String> {
    array(&spec["volumeClaimTemplates"]).map(|claim| text(&claim["metadata"]["name"])).collect()
}

/// <https://kubernetes.io/docs/concepts/workloads/controllers/job/#terminal-job-conditions>
fn has_ended(status: &Value) -> bool {
    let ended = |condition: &Value| {
        ["Complete", "Failed"].iter().any(|end| condition["type"] == *end) && condition["status"] == "True"
    };
    status["completionTime"].is_string() || array(&status["conditions"]).any(ended)
}

/// A limit without a request is a request as well.
/// <https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/#requests-and-limits>
fn asks_for_nothing(container: &Value) -> bool {
    let resources = &container["resources"];
    let asks = |what: &str| !resources["requests"][what].is_null() || !resources["limits"][what].is_null();
    !(asks("cpu") && asks("memory"))
}

/// Names of Services as other namespaces write them, in a container's environment and arguments.
fn cluster_hosts(container: &Value) -> BTreeSet<String> {
    let environment = array(&container["env"]).map(|variable| &variable["value"]);
    let written = environment.chain(array(&container["command"])).chain(array(&container["args"]));
    written.filter_map(Value::as_str).flat_map(hosts_in).collect()
}

fn hosts_in(text: &str) -> impl Iterator<Item = String> {
    let ends = |character: char| !(character.is_ascii_alphanumeric() || ['.', '-'].contains(&character));
    let words = text.split(ends).map(|word| word.trim_matches('.').to_ascii_lowercase());
    words.filter(|word| word.len() <= 253 && word.split('.').nth(2) == Some("svc"))
}
