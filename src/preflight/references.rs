//! What workloads need to start and the target does not have yet, with what will bring it.

use std::collections::{BTreeMap, BTreeSet};

use super::both::Both;
use super::ownership::bringer;
use super::told::{Noted, found, named, noted};
use super::{Found, Question};
use crate::api::status::Severity;
use crate::machine::inventory::{Content, Item, Reference, Workload};

pub(super) const QUESTIONS: [Question; 9] = [
    (
        "SecretAbsent",
        Severity::Blocker,
        "A workload needs a Secret that is not on the target and that nothing brings. Can be acknowledged.",
        secret_absent,
    ),
    (
        "ConfigMapAbsent",
        Severity::Blocker,
        "A workload needs a ConfigMap that is not on the target and that nothing brings. Can be acknowledged.",
        config_map_absent,
    ),
    (
        "PriorityClassAbsent",
        Severity::Blocker,
        "A workload names a PriorityClass that is not on the target, which refuses its Pods. Can be acknowledged.",
        priority_class_absent,
    ),
    ("DanglingReference", Severity::Warning, "A workload needs what neither side has.", dangling),
    (
        "ClusterRoleAbsent",
        Severity::Warning,
        "A RoleBinding names a ClusterRole that is not on the target.",
        cluster_role_absent,
    ),
    (
        "BindingBeyond",
        Severity::Warning,
        "A RoleBinding binds who belongs to another namespace or gives cluster-admin.",
        binding_beyond,
    ),
    (
        "StorageClassAbsent",
        Severity::Warning,
        "A claim names a StorageClass that is not on the target.",
        storage_class_absent,
    ),
    (
        "SecretUnclaimed",
        Severity::Warning,
        "A Secret is not on the target, and nothing shows who made it or who needs it.",
        secret_unclaimed,
    ),
    (
        "ReferenceToCome",
        Severity::Info,
        "What workloads need is not on the target yet, and what will bring it.",
        to_come,
    ),
];

/// Made by every cluster for itself.
const OF_THE_CLUSTER: [&str; 2] = ["kube-root-ca.crt", "openshift-service-ca.crt"];
/// Types of Secrets that belong to one cluster, or to Helm's records of it.
const BOUND_SECRETS: [&str; 3] =
    ["kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token", "helm.sh/release.v1"];

/// Everything of a kind that workloads cannot start without, each once, with who needs it.
pub(super) fn needed<'a>(both: &Both<'a>, kind: &str) -> BTreeMap<&'a str, String> {
    let wants = |reference: &&Reference| reference.kind == kind && !reference.optional;
    let mut needed = BTreeMap::new();
    for (item, workload) in both.workloads() {
        for reference in workload
            .references
            .iter()
            .filter(wants)
            .filter(|reference| !OF_THE_CLUSTER.contains(&reference.name.as_str()))
        {
            let user = || format!("{} of {}/{}", reference.via, item.kind.kind, item.name);
            needed.entry(reference.name.as_str()).or_insert_with(user);
        }
    }
    needed
}

/// Those that the source has and the target lacks.
fn missing<'a>(both: &Both<'a>, kind: &str) -> Vec<(&'a Item, String)> {
    let needed = needed(both, kind).into_iter().filter(|(name, _)| both.target.lacks("", kind, name));
    needed.filter_map(|(name, user)| Some((both.source.get("", kind, name)?, user))).collect()
}

fn brought_by_nobody(both: &Both<'_>, kind: &str) -> Vec<Noted> {
    let lost = missing(both, kind).into_iter().filter(|(item, _)| bringer(both, item).is_none());
    lost.map(|(item, user)| noted(item, format!("needed by {user}"))).collect()
}

fn secret_absent(both: &Both<'_>) -> Option<Found> {
    let meaning = "Workloads cannot start without them, and nothing brings them: they seem to be made by hand.";
    let fix = "Name them in spec.secrets.include to have them copied, or create them on the target.";
    found(brought_by_nobody(both, "Secret"), "Secrets that are not on the target", meaning, fix)
}

fn config_map_absent(both: &Both<'_>) -> Option<Found> {
    let meaning = "Workloads cannot start without them, and nothing brings them: they seem to be made by hand.";
    found(
        brought_by_nobody(both, "ConfigMap"),
        "ConfigMaps that are not on the target",
        meaning,
        "Create them on the target, or have the pipeline deploy them.",
    )
}

fn to_come(both: &Both<'_>) -> Option<Found> {
    let all = ["ConfigMap", "Secret"].into_iter().flat_map(|kind| missing(both, kind));
    let told = all.filter_map(|(item, _)| Some(noted(item, format!("by {}", bringer(both, item)?))));
    let meaning = "Workloads of the target cannot start before.";
    found(told, "Not on the target yet", meaning, "Nothing, if what is named does bring them to the target, too.")
}

fn dangling(both: &Both<'_>) -> Option<Found> {
    let told = ["ConfigMap", "Secret"].into_iter().flat_map(|kind| {
        let gone = needed(both, kind)
            .into_iter()
            .filter(move |(name, _)| both.source.lacks("", kind, name) && both.target.lacks("", kind, name));
        gone.map(move |(name, user)| named(&format!("{kind}/{name}"), format!("needed by {user}")))
    });
    let meaning = "The source's Pods run on, but no new one can start, on either side.";
    found(told.collect::<Vec<_>>(), "On neither side", meaning, "Create them on both sides, or take the reference out.")
}

fn priority_class_absent(both: &Both<'_>) -> Option<Found> {
    let class = |workload: &Workload| {
        workload
            .priority_class
            .clone()
            .filter(|class| !class.is_empty() && both.target.cluster_lacks("PriorityClass", class))
    };
    let meaning = "The target refuses Pods whose PriorityClass it does not have.";
    let fix = "Have the platform admins create the class on the target, or deploy with one that it has.";
    found(both.where_workload(class), "PriorityClasses that are not on the target", meaning, fix)
}

/// The namespace's RoleBindings, of which the question says something.
fn bindings(
    both: &Both<'_>,
    words: impl Fn(&(String, String), &[(String, Option<String>, String)]) -> Option<String>,
) -> Vec<Noted> {
    let told = both.source.all.items.values().filter_map(|item| match &item.content {
        Content::Binding { role, subjects } => Some(noted(item, words(role, subjects)?)),
        _ => None,
    });
    told.collect()
}

fn cluster_role_absent(both: &Both<'_>) -> Option<Found> {
    let told = bindings(both, |(kind, name), _| {
        (kind == "ClusterRole" && both.target.cluster_lacks("ClusterRole", name)).then(|| name.clone())
    });
    let meaning = "The binding gives nothing there, so that people or pipelines lack their rights.";
    found(
        told,
        "ClusterRoles that are not on the target",
        meaning,
        "Have the platform admins create the role on the target, or bind another.",
    )
}

fn binding_beyond(both: &Both<'_>) -> Option<Found> {
    let told = bindings(both, |(_, role), subjects| {
        let elsewhere = subjects
            .iter()
            .find(|(_, namespace, _)| namespace.as_ref().is_some_and(|found| *found != both.order.namespace));
        let admin = (role == "cluster-admin").then(|| "gives cluster-admin".to_owned());
        elsewhere
            .map(|(kind, namespace, name)| {
                format!("{kind} {name} of namespace {}", namespace.as_deref().unwrap_or_default())
            })
            .or(admin)
    });
    let meaning = "On the target these may be others, or not be there, and such rights are not copied.";
    let fix =
        "See that the other namespace moves as well, or is on the target, and have its owners agree; then bind there.";
    found(told, "RoleBindings that reach beyond the namespace", meaning, fix)
}

fn storage_class_absent(both: &Both<'_>) -> Option<Found> {
    let told = both.source.all.items.values().filter_map(|item| match &item.content {
        Content::Claim { storage_class: Some(class), .. } if both.target.cluster_lacks("StorageClass", class) => {
            Some(noted(item, class))
        }
        _ => None,
    });
    found(
        told,
        "StorageClasses that are not on the target",
        "A claim there would wait for ever.",
        "Name a class that the target has.",
    )
}

/// Secrets that Ingresses show certificates of, and that accounts pull images with: other checks speak of them.
fn named_elsewhere<'a>(both: &Both<'a>) -> BTreeSet<&'a str> {
    let shown =
        both.ingresses().flat_map(|(_, ingress)| &ingress.certificates).filter_map(|(secret, _)| secret.as_deref());
    let pulled = both.source.all.items.values().filter_map(|item| match &item.content {
        Content::ServiceAccount { pull_secrets } => Some(pull_secrets),
        _ => None,
    });
    shown.chain(pulled.flatten().map(String::as_str)).collect()
}

/// What nobody is known to have made is listed and asked about, never guessed.
fn secret_unclaimed(both: &Both<'_>) -> Option<Found> {
    let (needed, elsewhere) = (needed(both, "Secret"), named_elsewhere(both));
    let is_named = |name: &str| needed.contains_key(name) || elsewhere.contains(name);
    let is_bound =
        |item: &Item| matches!(&item.content, Content::Secret(secret) if BOUND_SECRETS.contains(&secret.kind.as_str()));
    let is_open = |item: &&Item| {
        let lacks = both.target.lacks("", "Secret", &item.name) && !is_named(&item.name);
        lacks && !is_bound(item) && bringer(both, item).is_none()
    };
    let told = both.source.all.of("", "Secret").filter(is_open).map(|item| noted(item, ""));
    let meaning = "No workload names them, and nothing shows who made them: an application may read them by the API.";
    found(
        told,
        "Secrets that may have been made by hand",
        meaning,
        "Name those that are needed in spec.secrets.include; the others stay behind.",
    )
}
