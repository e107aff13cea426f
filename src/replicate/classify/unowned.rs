//! What no tool claims: copied where something shows that people made it, else a person is asked.

use super::{Class, Classified, Context, Mode, answer};
use crate::api::{FIELD_MANAGER, OWNER_LABEL};
use crate::machine::inventory::{Content, Item};

/// Kinds that are copied only in `resources.mode: Copy`.
const OPTED_IN: [(&str, &str); 20] = [
    ("", "Namespace"),
    ("", "ServiceAccount"),
    ("rbac.authorization.k8s.io", "Role"),
    ("rbac.authorization.k8s.io", "RoleBinding"),
    ("", "Service"),
    ("apps", "Deployment"),
    ("extensions", "Deployment"),
    ("apps", "StatefulSet"),
    ("batch", "CronJob"),
    ("batch", "Job"),
    ("autoscaling", "HorizontalPodAutoscaler"),
    ("policy", "PodDisruptionBudget"),
    ("networking.k8s.io", "NetworkPolicy"),
    ("extensions", "NetworkPolicy"),
    ("", "LimitRange"),
    ("", "ResourceQuota"),
    ("monitoring.coreos.com", "ServiceMonitor"),
    ("monitoring.coreos.com", "PodMonitor"),
    ("monitoring.coreos.com", "PrometheusRule"),
    ("monitoring.coreos.com", "Probe"),
];

/// Types of Secrets that hold what people put in. Empty where only metadata was read.
const SECRET_TYPES: [&str; 7] = [
    "",
    "Opaque",
    "kubernetes.io/dockerconfigjson",
    "kubernetes.io/dockercfg",
    "kubernetes.io/basic-auth",
    "kubernetes.io/ssh-auth",
    "kubernetes.io/tls",
];

/// Field managers that write into everybody's objects, and own none.
const PASSERS_BY: [&str; 8] = [
    FIELD_MANAGER,
    "before-first-apply",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "cloud-controller-manager",
    "external-dns",
    "nginx-ingress-controller",
];

/// Copy, Verify or Unknown, by its kind and by the traces that people have left.
pub(super) fn by_kind(item: &Item, context: &Context) -> Option<Classified> {
    match &item.content {
        Content::Secret(secret) if item.kind.is("", "Secret") => {
            let known = SECRET_TYPES.contains(&secret.kind.as_str());
            Some(if known { by_traces(item, context) } else { strange_secret(item, &secret.kind, context) })
        }
        Content::ConfigMap { .. } => Some(by_traces(item, context)),
        Content::Ingress(_) => answer(
            Class::Copy,
            "No tool is known to deploy it; the target gets one of its own, which begins at weight 0.",
        ),
        _ if OPTED_IN.contains(&(&item.kind.group, &item.kind.kind)) => Some(opted_in(item, context)),
        _ => None,
    }
}

/// Unknown, because no rule is known for its kind.
pub(super) fn without_rule(item: &Item, context: &Context) -> Classified {
    let what = match (item.kind.group.as_str(), item.kind.kind.as_str()) {
        (_, "") => "an object that says no kind".to_owned(),
        ("", kind) => format!("the kind {kind}"),
        (group, kind) => format!("the kind {kind} of {group}"),
    };
    asked(item, context, format!("No rule is known for {what}, and no tool's mark is on it"))
}

fn strange_secret(item: &Item, kind: &str, context: &Context) -> Classified {
    wanted(item, context)
        .unwrap_or_else(|| asked(item, context, format!("No rule is known for Secrets of type {kind}")))
}

fn opted_in(item: &Item, context: &Context) -> Classified {
    match context.mode {
        Mode::Copy => by_traces(item, context),
        Mode::Verify => classified(
            Class::Verify,
            "No tool's mark is on it; in resources.mode Verify it is expected from whoever deploys the target."
                .to_owned(),
        ),
    }
}

fn by_traces(item: &Item, context: &Context) -> Classified {
    wanted(item, context).unwrap_or_else(|| match traces(item) {
        Traces::Ours => classified(Class::Copy, format!("An earlier migration brought it here (label {OWNER_LABEL}).")),
        Traces::Hand(found) => {
            classified(Class::Copy, format!("{found}, and no tool's mark is on it: people have probably made it."))
        }
        Traces::Unclear(found) => asked(item, context, found),
    })
}

/// Copied, because it is needed: whoever made it, nobody else brings it.
fn wanted(item: &Item, context: &Context) -> Option<Classified> {
    let who = context.needed.get(&key(item))?;
    answer(Class::Copy, format!("{who} needs it, the target has none, and no tool's mark is on it."))
}

fn asked(item: &Item, context: &Context, found: String) -> Classified {
    if context.asked_for.contains(&key(item)) {
        return classified(Class::Copy, format!("{found}; the migration's spec says to copy it."));
    }
    classified(Class::Unknown, format!("{found}: say whether it is to be copied."))
}

fn key(item: &Item) -> (String, String) {
    (item.kind.kind.clone(), item.name.clone())
}

fn classified(class: Class, evidence: String) -> Classified {
    Classified { class, evidence }
}

/// What writers have left of themselves.
enum Traces {
    /// Our own mark.
    Ours,
    /// A person's hand.
    Hand(String),
    /// Nothing that proves anything.
    Unclear(String),
}

fn traces(item: &Item) -> Traces {
    if item.labels.contains_key(OWNER_LABEL) {
        return Traces::Ours;
    }
    let (hands, others): (Vec<_>, Vec<_>) = writers(item).partition(|manager| is_hand(manager));
    if let Some(other) = others.first() {
        return Traces::Unclear(format!("The field manager {other} writes it, and it is not known what that is"));
    }
    if let Some(hand) = hands.first() {
        return Traces::Hand(format!("The field manager {hand} wrote it"));
    }
    by_annotation(item)
}

/// Argo CD can be set to track by a label that others use as well, and old servers do not say who wrote.
fn by_annotation(item: &Item) -> Traces {
    if let Some(instance) = item.labels.get("app.kubernetes.io/instance") {
        let by = format!("label app.kubernetes.io/instance={instance}");
        return Traces::Unclear(format!("Argo CD or Helm may own it ({by}), and its server does not say who wrote it"));
    }
    if item.last_applied {
        return Traces::Hand("kubectl apply has left its annotation on it".to_owned());
    }
    Traces::Unclear("Nothing says who made it".to_owned())
}

fn writers(item: &Item) -> impl Iterator<Item = &str> {
    item.managers.iter().map(String::as_str).filter(|manager| !PASSERS_BY.contains(manager))
}

/// `Mozilla` is a person at a dashboard.
fn is_hand(manager: &str) -> bool {
    manager == "kubectl" || manager.starts_with("kubectl-") || manager == "Mozilla"
}
