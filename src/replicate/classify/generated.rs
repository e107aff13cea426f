//! What is made on each cluster by itself, or means nothing on another one.

use super::{Class, Classified, Context, answer, sentence};
use crate::api::{GROUP, IDEMPOTENT_ANNOTATION};
use crate::machine::inventory::{Content, Item};
use crate::replicate::secret;

/// Group, kind and why. A group with `*` is never copied at all.
const KINDS: [(&str, &str, &str); 23] = [
    ("", "Event", "Events tell what happened on the source"),
    ("events.k8s.io", "*", "Events tell what happened on the source"),
    ("apps", "ReplicaSet", "Deployments make their ReplicaSets themselves"),
    ("extensions", "ReplicaSet", "Deployments make their ReplicaSets themselves"),
    ("apps", "ControllerRevision", "the history of a workload belongs to the cluster that ran it"),
    (
        "",
        "Endpoints",
        "they hold addresses of the source's Pods; where a Service without selector has them from people, write them anew",
    ),
    ("discovery.k8s.io", "EndpointSlice", "they hold addresses of the source's Pods"),
    ("coordination.k8s.io", "Lease", "a Lease says who leads on the source"),
    ("cert-manager.io", "CertificateRequest", "cert-manager makes it for each Certificate"),
    ("acme.cert-manager.io", "*", "cert-manager makes it for each Certificate"),
    ("elbv2.k8s.aws", "TargetGroupBinding", "it binds Pods to a load balancer of the source"),
    ("metrics.k8s.io", "*", "it is a measurement"),
    ("custom.metrics.k8s.io", "*", "it is a measurement"),
    ("storage.k8s.io", "CSIStorageCapacity", "it describes the source's storage"),
    ("storage.k8s.io", "VolumeAttachment", "it describes the source's storage"),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding", "it gives rights in the whole cluster"),
    ("admissionregistration.k8s.io", "*", "it is admission control of the whole cluster"),
    ("apiregistration.k8s.io", "*", "it is part of the source's API server"),
    ("", "Node", "it is a machine of the source"),
    ("", "ComponentStatus", "it describes the source itself"),
    ("", "Binding", "it places a Pod on a node of the source"),
    ("authorization.k8s.io", "*", "it is a question, not an object"),
    (GROUP, "*", "it steers migrations"),
];

/// ConfigMaps that each cluster puts into each namespace.
const CONFIG_MAPS: [&str; 3] = ["kube-root-ca.crt", "openshift-service-ca.crt", "istio-ca-root-cert"];
/// Where older libraries keep who leads: <https://pkg.go.dev/k8s.io/client-go/tools/leaderelection/resourcelock>
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";
/// On a Secret with an account's token, whatever its type says.
const ACCOUNT: &str = "kubernetes.io/service-account.name";

/// Never, where the kind, the name or the type says so.
pub(super) fn by_kind(item: &Item, _: &Context) -> Option<Classified> {
    let why = listed(item).map(str::to_owned).or_else(|| of_its_kind(item))?;
    answer(Class::Never, sentence(&why))
}

fn listed(item: &Item) -> Option<&'static str> {
    let fits = |kind: &str| kind == "*" || kind == item.kind.kind;
    KINDS.iter().find(|(group, kind, _)| *group == item.kind.group && fits(kind)).map(|(_, _, why)| *why)
}

fn of_its_kind(item: &Item) -> Option<String> {
    match (item.kind.group.as_str(), item.kind.kind.as_str()) {
        ("", "Pod") => Some(pod(item)),
        ("batch", "Job") => job(item),
        ("", "Secret") => secret(item),
        ("", "ConfigMap") => config_map(item).map(str::to_owned),
        ("", "ServiceAccount") if item.name == "default" => Some(
            "each namespace gets its ServiceAccount default by itself; what was added to this one is to be added there"
                .to_owned(),
        ),
        _ => None,
    }
}

fn pod(item: &Item) -> String {
    let owner = item.owners.iter().find(|owner| owner.controller);
    owner.map_or_else(
        || "no controller owns this Pod, and Pods are not copied: a Deployment in its place would move".to_owned(),
        |owner| format!("{} {} makes its Pods itself", owner.kind, owner.name),
    )
}

/// A Job that has run would run a second time.
fn job(item: &Item) -> Option<String> {
    let finished = matches!(&item.content, Content::Workload(workload) if workload.finished);
    if let Some(owner) = item.owners.first() {
        return Some(format!("{} {} makes its Jobs itself", owner.kind, owner.name));
    }
    if finished {
        return Some("the Job has ended, and a copy would run a second time".to_owned());
    }
    let idempotent = item.annotations.get(IDEMPOTENT_ANNOTATION).is_some_and(|value| value == "true");
    (!idempotent).then(|| {
        format!("a copy of the Job would run beside it; the annotation {IDEMPOTENT_ANNOTATION}=true says that this does no harm")
    })
}

fn secret(item: &Item) -> Option<String> {
    let Content::Secret(content) = &item.content else { return None };
    let kind = if item.annotations.contains_key(ACCOUNT) { secret::ACCOUNT_TOKEN } else { &content.kind };
    secret::refusal(&item.name, kind, false)
}

fn config_map(item: &Item) -> Option<&'static str> {
    if CONFIG_MAPS.contains(&item.name.as_str()) {
        return Some("each cluster puts its own certificate authority into each namespace");
    }
    item.annotations
        .contains_key(LEADER)
        .then_some("it says who leads on the source (annotation control-plane.alpha.kubernetes.io/leader)")
}
