//! Who brings an object to the target: a tool by its marks, another object, or nobody. One object has one owner.

use serde_json::json;

use super::both::Both;
use super::told::{Noted, found, noted};
use super::{Found, Question};
use crate::api::status::Severity;
use crate::machine::inventory::Item;
use crate::replicate;

pub(super) const QUESTIONS: [Question; 5] = [
    (
        "NobodyDeploys",
        Severity::Warning,
        "A workload is not on the target, and nothing shows who would deploy it there.",
        nobody_deploys,
    ),
    ("AlertsAbsent", Severity::Warning, "Monitoring or alerts of the namespace are not on the target.", alerts_absent),
    (
        "PoliciesAbsent",
        Severity::Warning,
        "A NetworkPolicy or a PodDisruptionBudget is not on the target.",
        policies_absent,
    ),
    ("AlertsTwice", Severity::Info, "Alerts are on both sides, of which one is idle.", alerts_twice),
    (
        "ToolDeploys",
        Severity::Info,
        "Objects of Helm, Argo CD or Flux are not on the target: their pipeline must deploy there.",
        tool_deploys,
    ),
];

/// The field manager that Terraform's provider writes as, by its user agent `HashiCorp/1.0 Terraform/x`.
const TERRAFORM: &str = "HashiCorp";
const MONITORING: &str = "monitoring.coreos.com";

/// Who makes an object, as a phrase for a sentence. None when nothing shows it.
pub(super) fn maker(item: &Item) -> Option<String> {
    let owners: Vec<_> = item.owners.iter().map(|owner| json!({"kind": owner.kind, "name": owner.name})).collect();
    let metadata = json!({"labels": item.labels, "annotations": item.annotations, "ownerReferences": owners});
    let terraform = || item.managers.contains(TERRAFORM).then(|| "Terraform".to_owned());
    replicate::deployed_by(&metadata).or_else(terraform)
}

/// Who will bring an object of the source to the target. Somebody runs `kubectl apply`; who applies a Secret may be a person at a desk.
pub(super) fn bringer(both: &Both<'_>, item: &Item) -> Option<String> {
    let is_secret = item.kind.is("", "Secret");
    if is_secret && both.order.secrets.contains(&item.name) {
        return Some("spec.secrets of this migration".to_owned());
    }
    let applied = || (item.last_applied && !is_secret).then(|| "who runs kubectl apply".to_owned());
    maker(item).or_else(|| issuer(both, item)).or_else(applied)
}

/// The Certificate that fills a Secret, where there is one or cert-manager has left its mark.
fn issuer(both: &Both<'_>, item: &Item) -> Option<String> {
    let mark = || item.annotations.get("cert-manager.io/certificate-name").cloned();
    let is_secret = item.kind.is("", "Secret");
    let certificate = || both.issued.get(item.name.as_str()).map(|found| found.name.clone());
    let name = mark().or_else(certificate).filter(|_| is_secret)?;
    Some(format!("Certificate {name} of cert-manager"))
}

/// The source's objects of some kinds that are not on the target, though what is there could be read.
fn absent<'a>(both: &Both<'a>, takes: impl Fn(&Item) -> bool) -> Vec<&'a Item> {
    let lacks = |item: &&Item| both.target.lacks(&item.kind.group, &item.kind.kind, &item.name);
    both.source.all.items.values().filter(|item| takes(item)).filter(lacks).collect()
}

fn nobody_deploys(both: &Both<'_>) -> Option<Found> {
    let lacks = |item: &Item| both.target.lacks(&item.kind.group, &item.kind.kind, &item.name);
    let lost = both.workloads().filter(|(item, _)| lacks(item) && bringer(both, item).is_none());
    let meaning =
        "No mark of Helm, Argo CD, Flux, Terraform or kubectl apply shows who would deploy them to the target.";
    let fix = "Deploy them to the target yourself, from what the source has, or by the pipeline that you know of.";
    found(lost.map(|(item, _)| noted(item, "")), "Workloads that nobody deploys", meaning, fix)
}

fn tool_deploys(both: &Both<'_>) -> Option<Found> {
    let told =
        absent(both, |item| item.owners.is_empty()).into_iter().filter_map(|item| Some(noted(item, maker(item)?)));
    let meaning = "The operator waits for them and never writes what a tool owns.";
    let fix = "Let the pipeline, the Application or the Kustomization that deploys them to the source deploy them to the target as well, with credentials of the target.";
    found(told, "To be deployed by their tool", meaning, fix)
}

fn is_monitoring(item: &Item) -> bool {
    item.kind.group == MONITORING && item.owners.is_empty()
}

fn alerts_absent(both: &Both<'_>) -> Option<Found> {
    let meaning = "Without them the target is not watched, and nobody is called when it fails.";
    let fix = "Deploy them with the rest of the namespace, then see them among the targets and rules of the target's Prometheus.";
    found(
        absent(both, is_monitoring).into_iter().map(|item| noted(item, "")),
        "Monitoring that is not on the target",
        meaning,
        fix,
    )
}

fn alerts_twice(both: &Both<'_>) -> Option<Found> {
    let rules = both.source.all.of(MONITORING, "PrometheusRule").filter(|item| both.target.same(item).is_some());
    let meaning = "A rule that expects traffic, or names a cluster, may fire on the side that has none.";
    found(
        rules.map(|item| noted(item, "")),
        "Alerts that are on both sides",
        meaning,
        "Expect such alerts while it moves, or silence them on the idle side.",
    )
}

fn policies_absent(both: &Both<'_>) -> Option<Found> {
    let is_policy = |item: &Item| {
        [("networking.k8s.io", "NetworkPolicy"), ("policy", "PodDisruptionBudget")]
            .iter()
            .any(|(group, kind)| item.kind.is(group, kind))
    };
    let told: Vec<Noted> =
        absent(both, is_policy).into_iter().map(|item| noted(item, bringer(both, item).unwrap_or_default())).collect();
    let meaning = "Without them the target's Pods are reached by others, or all evicted at once.";
    found(told, "Policies that are not on the target", meaning, "Deploy them there before the workloads.")
}
