//! What somebody else brings to the target: one object has one owner.

use super::{Class, Classified, Context, answer, sentence};
use crate::machine::inventory::{Content, Item, Owner};
use crate::replicate::ownership::{is_within, tool};

/// Kinds that another controller of the target must find or make: group, kind (`*` for all), and what is compared.
const VERIFIED: [(&str, &str, &str); 11] = [
    ("external-secrets.io", "*", "External Secrets reads it on each cluster; it must be ready on the target"),
    (
        "bitnami.com",
        "SealedSecret",
        "only the cluster that it was sealed for can open it; it must be unsealed on the target",
    ),
    ("cert-manager.io", "*", "cert-manager reads it on each cluster; it must be ready on the target"),
    ("networking.k8s.io", "IngressClass", "it belongs to the whole cluster; the target must have its like"),
    ("storage.k8s.io", "StorageClass", "it belongs to the whole cluster; the target must have its like"),
    ("scheduling.k8s.io", "PriorityClass", "it belongs to the whole cluster; the target must have its like"),
    (
        "apiextensions.k8s.io",
        "CustomResourceDefinition",
        "it belongs to the whole cluster; the target must serve the same version",
    ),
    ("rbac.authorization.k8s.io", "ClusterRole", "it belongs to the whole cluster; the target must have its like"),
    ("secrets-store.csi.x-k8s.io", "SecretProviderClassPodStatus", "the driver writes it for each Pod"),
    ("eks.amazonaws.com", "*", "it belongs to the whole cluster; the target must have its like"),
    ("vpcresources.k8s.aws", "*", "it names security groups of the source's network; the target must have its like"),
];

/// Annotations by which an account becomes somebody in a cloud, whose trust is in one cluster's tokens.
const CLOUD_IDENTITIES: [(&str, &str); 3] = [
    ("eks.amazonaws.com/role-arn", "the AWS role"),
    ("iam.gke.io/gcp-service-account", "the Google service account"),
    ("azure.workload.identity/client-id", "the Azure identity"),
];

/// Who fills Secrets and ConfigMaps: the mark, and what it says, with its value in place of the braces.
const GENERATORS: [(&str, &str); 6] = [
    ("cert-manager.io/certificate-name", "cert-manager fills it for the Certificate {}"),
    ("sealedsecrets.bitnami.com/managed", "the controller of SealedSecrets fills it"),
    ("reconcile.external-secrets.io/created-by", "External Secrets fills it"),
    ("reconcile.external-secrets.io/managed", "External Secrets fills it"),
    ("reflector.v1.k8s.emberstack.com/reflects", "Reflector fills it from {}"),
    ("replicator.v1.mittwald.de/replicate-from", "Replicator fills it from {}"),
];

/// Owners that make Secrets on every cluster from what is in Git or in a vault.
const GENERATING_OWNERS: [&str; 4] = ["ExternalSecret", "SealedSecret", "Certificate", "VaultStaticSecret"];

/// Domains in which pipelines leave their marks.
const PIPELINES: [(&str, &str); 7] = [
    ("fluxcd.io", "Flux"),
    ("kapp.k14s.io", "kapp"),
    ("objectset.rio.cattle.io", "Rancher Fleet"),
    ("app.gitlab.com", "GitLab"),
    ("skaffold.dev", "Skaffold"),
    ("azure-pipelines", "Azure Pipelines"),
    ("circleci.com", "CircleCI"),
];

/// Field managers of tools that deploy, by the beginning of their names. Terraform calls itself `HashiCorp` in its requests and
/// `Terraform` where it applies manifests.
const MANAGERS: [(&str, &str); 8] = [
    ("HashiCorp", "Terraform"),
    ("Terraform", "Terraform"),
    ("argocd", "Argo CD"),
    ("kustomize-controller", "Flux"),
    ("helm-controller", "Flux"),
    ("helm", "Helm"),
    ("pulumi", "Pulumi"),
    ("kapp", "kapp"),
];

/// Verify or Never, where somebody is known to bring it.
pub(super) fn by_others(item: &Item, _: &Context) -> Option<Classified> {
    if let Some(sentence) = verified(item).or_else(|| generated(item)) {
        return answer(Class::Verify, sentence);
    }
    if let Some(owner) = item.owners.iter().find(|owner| owner.controller) {
        return answer(Class::Never, format!("{} makes it (controller in ownerReferences).", named(owner)));
    }
    answer(Class::Verify, deployed(item)?)
}

fn verified(item: &Item) -> Option<String> {
    let fits = |kind: &str| kind == "*" || kind == item.kind.kind;
    let listed = VERIFIED.iter().find(|(group, kind, _)| *group == item.kind.group && fits(kind));
    listed.map(|(_, _, what)| sentence(what)).or_else(|| cloud_identity(item))
}

fn cloud_identity(item: &Item) -> Option<String> {
    let Content::ServiceAccount { .. } = item.content else { return None };
    let (key, what) = CLOUD_IDENTITIES.iter().find(|(key, _)| item.annotations.contains_key(*key))?;
    let who = item.annotations.get(*key)?;
    Some(format!("It acts as {what} {who} (annotation {key}), which must trust the target's accounts first."))
}

fn generated(item: &Item) -> Option<String> {
    let (Content::Secret(_) | Content::ConfigMap { .. }) = item.content else { return None };
    let owner = item.owners.iter().find(|owner| GENERATING_OWNERS.contains(&owner.kind.as_str()));
    if let Some(owner) = owner {
        return Some(format!("{} makes it (ownerReferences); the target's makes it there.", named(owner)));
    }
    GENERATORS
        .iter()
        .find_map(|(key, who)| Some(sentence(&format!("{} (mark {key})", who.replace("{}", mark(item, key)?)))))
}

fn deployed(item: &Item) -> Option<String> {
    let tool = tool(|key| mark(item, key)).map(|tool| sentence(&format!("{tool} deploys it")));
    let sentence = tool.or_else(|| old_helm(item)).or_else(|| by_domain(item)).or_else(|| by_manager(item));
    sentence.or_else(|| labelled(item)).or_else(|| by_owner(item))
}

fn old_helm(item: &Item) -> Option<String> {
    let heritage = mark(item, "heritage").filter(|heritage| ["Helm", "Tiller"].contains(heritage))?;
    let release = mark(item, "release").unwrap_or("of no name");
    Some(format!("The Helm release {release} deploys it (label heritage={heritage})."))
}

fn by_domain(item: &Item) -> Option<String> {
    let keys = || item.labels.keys().chain(item.annotations.keys());
    PIPELINES.iter().find_map(|(domain, tool)| {
        let key = keys().find(|key| is_within(key, domain))?;
        Some(format!("{tool} deploys it: it has the mark {key}."))
    })
}

fn by_manager(item: &Item) -> Option<String> {
    MANAGERS.iter().find_map(|(start, tool)| {
        let manager = item.managers.iter().find(|manager| manager.starts_with(start))?;
        Some(format!("{tool} deploys it: it is written by the field manager {manager}."))
    })
}

fn labelled(item: &Item) -> Option<String> {
    let by = mark(item, "app.kubernetes.io/managed-by")?;
    Some(format!("{by} deploys it (label app.kubernetes.io/managed-by)."))
}

fn by_owner(item: &Item) -> Option<String> {
    let owner = item.owners.first()?;
    Some(format!("It belongs to {} (ownerReferences), which brings it along.", named(owner)))
}

fn mark<'a>(item: &'a Item, key: &str) -> Option<&'a str> {
    item.annotations.get(key).or_else(|| item.labels.get(key)).map(String::as_str)
}

fn named(owner: &Owner) -> String {
    format!("{} {}", owner.kind, owner.name)
}
