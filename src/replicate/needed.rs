//! The Secrets and ConfigMaps that somebody needs on the target and that are not there: the surest sign of what people made by hand.

use std::collections::{BTreeMap, BTreeSet};

use crate::machine::inventory::{Content, Inventory, Item, Reference};

/// What workloads, Ingresses and accounts on either side cannot do without and the target has not: kind and name of it, and who needs
/// it, for a sentence. Pods and what else is owned do not count beside their owners.
pub fn needed(inventory: &Inventory) -> BTreeMap<(String, String), String> {
    // Looked up once for all: in a large namespace each of thousands of references asks.
    let there: BTreeSet<_> = inventory.target.items.values().map(|item| (&item.kind.kind, &item.name)).collect();
    let both = inventory.target.items.values().chain(inventory.source.items.values());
    let mut needed = BTreeMap::new();
    for (kind, name, who) in both.filter(|item| item.owners.is_empty()).flat_map(needs) {
        if !there.contains(&(&kind, &name)) {
            needed.entry((kind, name)).or_insert(who);
        }
    }
    needed
}

/// Kind and name of what an object needs, and by whom it is needed.
fn needs(item: &Item) -> Vec<(String, String, String)> {
    let who = format!("{} {}", item.kind.kind, item.name);
    let secret = |name: &String, how: &str| ("Secret".to_owned(), name.clone(), format!("{who} ({how})"));
    match &item.content {
        Content::Workload(workload) => {
            let strict =
                workload.references.iter().filter(|reference| !reference.optional && is_copied(&reference.kind));
            let need = |reference: &Reference| {
                (reference.kind.clone(), reference.name.clone(), format!("{who} ({})", reference.via))
            };
            strict.map(need).collect()
        }
        Content::Ingress(ingress) => {
            let named = ingress.certificates.iter().filter_map(|(name, _)| name.as_ref());
            named.map(|name| secret(name, "its certificate")).collect()
        }
        Content::ServiceAccount { pull_secrets } => {
            pull_secrets.iter().map(|name| secret(name, "imagePullSecrets")).collect()
        }
        _ => vec![],
    }
}

/// What a copy can bring; a claim's data cannot.
fn is_copied(kind: &str) -> bool {
    ["Secret", "ConfigMap"].contains(&kind)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::replicate::item;

    #[test]
    fn what_is_referred_to_and_absent_is_needed_and_what_is_optional_there_or_owned_is_not() {
        let pod = |secret: &str, optional: bool| json!({"containers": [{"name": "c", "envFrom": [{"secretRef": {"name": secret, "optional": optional}}]}]});
        let deployment = |name: &str, spec| json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {"template": {"spec": spec}}});
        let mut inventory = Inventory::default();
        let source = [
            deployment("web", pod("absent", false)),
            deployment("lax", pod("optional", true)),
            deployment("well", pod("there", false)),
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "ownerReferences": [{}]}, "spec": pod("owned", false)}),
            json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "i"}, "spec": {"tls": [{"secretName": "cert"}, {}]}}),
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "a"}, "imagePullSecrets": [{"name": "pull"}]}),
        ];
        let by_name = |object| {
            let item = item(&object);
            ((item.kind.clone(), item.name.clone()), item)
        };
        inventory.source.items = source.map(by_name).into();
        let there = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "there"}});
        inventory.target.items = [by_name(there)].into();
        let needed: Vec<_> = needed(&inventory).into_iter().map(|((_, name), who)| (name, who)).collect();
        let expected = [
            ("absent", "Deployment web (envFrom of container c)"),
            ("cert", "Ingress i (its certificate)"),
            ("pull", "ServiceAccount a (imagePullSecrets)"),
        ];
        assert_eq!(needed, expected.map(|(name, who)| (name.to_owned(), who.to_owned())));
    }
}
