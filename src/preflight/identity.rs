//! As whom Pods speak to AWS and to the API server: each cluster vouches for its own only.

use std::collections::BTreeSet;

use super::both::Both;
use super::ownership::bringer;
use super::told::{Noted, found, named, noted};
use super::{Found, Question};
use crate::api::status::Severity;
use crate::machine::inventory::{Content, Item, Workload};

pub(super) const QUESTIONS: [Question; 5] = [
    (
        "KiamRole",
        Severity::Blocker,
        "Pods get an AWS role by kiam's annotation, and the target shows no IRSA for them. Can be acknowledged.",
        kiam_role,
    ),
    (
        "RoleTrust",
        Severity::Blocker,
        "Pods get an AWS role by IRSA: it must trust the target's issuer too, which is not seen from here. Can be acknowledged.",
        role_trust,
    ),
    (
        "PodIdentity",
        Severity::Blocker,
        "Pods get an AWS role by EKS Pod Identity, which the target's cluster must be told as well. Can be acknowledged.",
        pod_identity,
    ),
    (
        "AccountAbsent",
        Severity::Warning,
        "A workload runs as a ServiceAccount that is not on the target.",
        account_absent,
    ),
    (
        "PipelineToken",
        Severity::Info,
        "A Secret holds a token of a ServiceAccount: pipelines need that of the target.",
        pipeline_token,
    ),
];

/// kiam: the role of a Pod, and which roles a namespace permits.
const KIAM_ROLE: &str = "iam.amazonaws.com/role";
const KIAM_PERMITTED: &str = "iam.amazonaws.com/permitted";
/// IRSA: the role of a ServiceAccount.
const IRSA_ROLE: &str = "eks.amazonaws.com/role-arn";
const TOKEN: &str = "kubernetes.io/service-account-token";

fn account_role(account: Option<&Item>) -> Option<&String> {
    account?.annotations.get(IRSA_ROLE)
}

fn account(workload: &Workload) -> &str {
    if workload.service_account.is_empty() { "default" } else { &workload.service_account }
}

/// A role by IRSA on the target, or kiam there, shows that somebody has thought of it.
fn kiam_role(both: &Both<'_>) -> Option<Found> {
    let namespace = both.target.all.namespace.as_ref();
    let has_kiam = namespace.is_some_and(|found| found.annotations.contains_key(KIAM_PERMITTED));
    let role = |workload: &Workload| {
        let has_irsa = account_role(both.target.get("", "ServiceAccount", account(workload))).is_some();
        workload.pod_annotations.get(KIAM_ROLE).filter(|_| !has_irsa && !has_kiam).cloned()
    };
    let meaning = "On a cluster without kiam such Pods have no role of theirs: every call to AWS is refused, or made as the node.";
    let fix = "Create the role for IRSA, trusting the target's issuer, and name it on the workload's ServiceAccount of the target in eks.amazonaws.com/role-arn.";
    found(both.where_workload(role), "Roles of AWS by kiam", meaning, fix)
}

/// A role of its own on the target was made for the target; the same one must trust both.
fn role_trust(both: &Both<'_>) -> Option<Found> {
    let used: BTreeSet<_> = both.workloads().map(|(_, workload)| account(workload)).collect();
    let told = used.into_iter().filter_map(|name| {
        let item = both.source.get("", "ServiceAccount", name)?;
        let role = account_role(Some(item))?;
        let theirs = account_role(both.target.get("", "ServiceAccount", name));
        theirs.is_none_or(|found| found == role).then(|| noted(item, role))
    });
    let meaning = "A role's trust names the issuer of one cluster. On the target Pods run and look well, but AWS refuses them until the trust names its issuer.";
    let fix = "Add the target's OIDC issuer to the trust policy of each role, and call AWS from a Pod there (aws sts get-caller-identity).";
    found(told, "Roles of AWS by IRSA", meaning, fix)
}

/// Nothing in a namespace says it but the Pods themselves: the association stands in the EKS API, of each cluster by itself.
fn pod_identity(both: &Both<'_>) -> Option<Found> {
    let pods = both.source.workloads().filter(|(_, workload)| workload.pod_identity);
    let accounts: BTreeSet<_> = pods.map(|(_, workload)| account(workload)).collect();
    let meaning = "The association of account and role stands in the EKS API of the source's cluster; the target's has none of it by itself.";
    let fix = "Create a Pod Identity association for these accounts of the namespace in the target's cluster.";
    let told = accounts.into_iter().map(|name| named(&format!("ServiceAccount/{name}"), ""));
    found(told, "Roles of AWS by EKS Pod Identity", meaning, fix)
}

fn account_absent(both: &Both<'_>) -> Option<Found> {
    let used: BTreeSet<_> = both.workloads().map(|(_, workload)| account(workload)).collect();
    // Every namespace gets that one by itself.
    let lost = used.into_iter().filter(|name| *name != "default" && both.target.lacks("", "ServiceAccount", name));
    let told: Vec<Noted> = lost
        .map(|name| {
            let by = both.source.get("", "ServiceAccount", name).and_then(|item| bringer(both, item));
            named(
                &format!("ServiceAccount/{name}"),
                by.map_or("nothing shows who makes it".to_owned(), |by| format!("by {by}")),
            )
        })
        .collect();
    let meaning = "The target refuses Pods whose ServiceAccount it does not have.";
    let fix = "Have the namespace's configuration or the pipeline create them on the target before the workloads.";
    found(told, "ServiceAccounts that are not on the target", meaning, fix)
}

/// A token is signed by one cluster. Those that older servers made for every account are no person's concern.
fn pipeline_token(both: &Both<'_>) -> Option<Found> {
    let tokens = both.source.all.of("", "Secret").filter(|item| {
        let of = item.annotations.get("kubernetes.io/service-account.name").map_or("", String::as_str);
        let is_token = matches!(&item.content, Content::Secret(secret) if secret.kind == TOKEN);
        is_token && !of.is_empty() && of != "default"
    });
    let told = tokens
        .map(|item| noted(item, item.annotations.get("kubernetes.io/service-account.name").map_or("", String::as_str)));
    let meaning = "The source signed them, so the target does not accept them, and they are never copied.";
    let fix = "Give the pipeline the address, certificate and token of the target beside those of the source; after a rollback only the source's count.";
    found(told, "Tokens of ServiceAccounts", meaning, fix)
}
