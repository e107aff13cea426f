//! Which Secret or `ConfigMap` a Pod waits for. No client, no clock.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Container, EnvVar, KeyToPath, Pod, Volume};
use kube::ResourceExt;

/// The two kinds that a Pod can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Secret,
    ConfigMap,
}

impl Kind {
    /// As the kubelet writes it.
    fn text(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::ConfigMap => "configmap",
        }
    }
}

/// Which Secrets and `ConfigMaps` exist, and which keys they have; values are not kept.
#[derive(Default)]
pub(super) struct Present {
    keys: BTreeMap<(Kind, String, String), BTreeSet<String>>,
    listed: BTreeSet<Kind>,
}

impl Present {
    /// Before both kinds have been listed, "missing" means nothing.
    pub(super) fn is_complete(&self) -> bool {
        self.listed.len() == 2
    }

    pub(super) fn listed(&mut self, kind: Kind) {
        self.listed.insert(kind);
    }

    /// A new list begins.
    pub(super) fn forget(&mut self, kind: Kind) {
        self.listed.remove(&kind);
        self.keys.retain(|(known, _, _), _| *known != kind);
    }

    pub(super) fn add(&mut self, kind: Kind, object: &impl ResourceExt, keys: Vec<String>) {
        self.keys.insert(identity(kind, object), keys.into_iter().collect());
    }

    pub(super) fn remove(&mut self, kind: Kind, object: &impl ResourceExt) {
        self.keys.remove(&identity(kind, object));
    }
}

fn identity(kind: Kind, object: &impl ResourceExt) -> (Kind, String, String) {
    (kind, object.namespace().unwrap_or_default(), object.name_any())
}

/// What a Pod waits for, in a kubelet's words.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) reason: &'static str,
    pub(super) message: String,
}

struct Reference<'a> {
    kind: Kind,
    name: &'a str,
    keys: Vec<&'a str>,
    optional: bool,
}

/// The first thing that is missing for this Pod: volumes before containers, as a kubelet finds them.
pub(super) fn first_missing(pod: &Pod, present: &Present) -> Option<Missing> {
    let namespace = pod.namespace().unwrap_or_default();
    let spec = pod.spec.as_ref()?;
    let volumes = spec
        .volumes
        .iter()
        .flatten()
        .flat_map(|volume| volume_references(volume).into_iter().map(move |r| (volume, r)));
    for (volume, reference) in volumes {
        if let Some(what) = absent(&reference, &namespace, present) {
            let message = format!("MountVolume.SetUp failed for volume \"{}\" : {what}", volume.name);
            return Some(Missing { reason: "ContainerCreating", message });
        }
    }
    let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
    let mut references = containers.flat_map(container_references);
    let message = references.find_map(|reference| absent(&reference, &namespace, present))?;
    Some(Missing { reason: "CreateContainerConfigError", message })
}

fn absent(reference: &Reference<'_>, namespace: &str, present: &Present) -> Option<String> {
    if reference.optional {
        return None;
    }
    let (kind, name) = (reference.kind.text(), reference.name);
    let Some(keys) = present.keys.get(&(reference.kind, namespace.to_owned(), name.to_owned())) else {
        return Some(format!("{kind} \"{name}\" not found"));
    };
    let key = reference.keys.iter().find(|key| !keys.contains(**key))?;
    Some(format!("couldn't find key {key} in {kind} {namespace}/{name}"))
}

fn container_references(container: &Container) -> Vec<Reference<'_>> {
    let whole = container.env_from.iter().flatten().flat_map(|source| {
        let secret = source.secret_ref.as_ref().map(|r| reference(Kind::Secret, &r.name, r.optional));
        let map = source.config_map_ref.as_ref().map(|r| reference(Kind::ConfigMap, &r.name, r.optional));
        secret.into_iter().chain(map)
    });
    whole.chain(container.env.iter().flatten().flat_map(variable_references)).collect()
}

fn variable_references(variable: &EnvVar) -> Vec<Reference<'_>> {
    let Some(source) = &variable.value_from else { return Vec::new() };
    let secret = source
        .secret_key_ref
        .as_ref()
        .map(|r| Reference { keys: vec![r.key.as_str()], ..reference(Kind::Secret, &r.name, r.optional) });
    let map = source
        .config_map_key_ref
        .as_ref()
        .map(|r| Reference { keys: vec![r.key.as_str()], ..reference(Kind::ConfigMap, &r.name, r.optional) });
    secret.into_iter().chain(map).collect()
}

fn volume_references(volume: &Volume) -> Vec<Reference<'_>> {
    let secret = volume.secret.iter().filter_map(|source| {
        let name = source.secret_name.as_ref()?;
        Some(Reference { keys: paths(source.items.as_ref()), ..reference(Kind::Secret, name, source.optional) })
    });
    let map = volume.config_map.iter().map(|source| Reference {
        keys: paths(source.items.as_ref()),
        ..reference(Kind::ConfigMap, &source.name, source.optional)
    });
    secret.chain(map).chain(projected_references(volume)).collect()
}

fn projected_references(volume: &Volume) -> impl Iterator<Item = Reference<'_>> {
    let sources = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
    sources.flat_map(|source| {
        let secret = source
            .secret
            .as_ref()
            .map(|r| Reference { keys: paths(r.items.as_ref()), ..reference(Kind::Secret, &r.name, r.optional) });
        let map = source
            .config_map
            .as_ref()
            .map(|r| Reference { keys: paths(r.items.as_ref()), ..reference(Kind::ConfigMap, &r.name, r.optional) });
        secret.into_iter().chain(map)
    })
}

fn reference(kind: Kind, name: &str, optional: Option<bool>) -> Reference<'_> {
    Reference { kind, name, keys: Vec::new(), optional: optional.unwrap_or(false) }
}

fn paths(items: Option<&Vec<KeyToPath>>) -> Vec<&str> {
    items.into_iter().flatten().map(|item| item.key.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::{ConfigMap, Secret};
    use serde_json::{Value, json};

    fn pod(spec: &Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": spec})).unwrap()
    }

    fn with_env(env: &Value) -> Pod {
        pod(&json!({"containers": [{"name": "web", "env": [env]}]}))
    }

    fn object<K: serde::de::DeserializeOwned>(name: &str) -> K {
        serde_json::from_value(json!({"metadata": {"name": name, "namespace": "shop"}})).unwrap()
    }

    fn api_key() -> Value {
        json!({"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "api-key", "key": "value"}}})
    }

    fn present(keys: &[&str]) -> Present {
        let mut present = Present::default();
        let keys = keys.iter().map(|&key| key.to_owned()).collect();
        present.add(Kind::Secret, &object::<Secret>("api-key"), keys);
        present
    }

    #[test]
    fn a_variable_waits_for_its_secret() {
        let missing = first_missing(&with_env(&api_key()), &Present::default()).unwrap();
        assert_eq!(missing.reason, "CreateContainerConfigError");
        assert_eq!(missing.message, "secret \"api-key\" not found");
        assert_eq!(first_missing(&with_env(&api_key()), &present(&["value"])), None);
    }

    #[test]
    fn a_variable_waits_for_the_key_in_its_secret() {
        let missing = first_missing(&with_env(&api_key()), &present(&["other"])).unwrap();
        assert_eq!(missing.message, "couldn't find key value in secret shop/api-key");
    }

    #[test]
    fn an_optional_reference_waits_for_nothing() {
        let env = json!({"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "api-key", "key": "value", "optional": true}}});
        assert_eq!(first_missing(&with_env(&env), &Present::default()), None);
    }

    #[test]
    fn init_containers_and_whole_config_maps_count() {
        let init = pod(&json!({"containers": [{"name": "web"}],
            "initContainers": [{"name": "migrate", "envFrom": [{"configMapRef": {"name": "settings"}}]}]}));
        assert_eq!(first_missing(&init, &Present::default()).unwrap().message, "configmap \"settings\" not found");
        let mut present = Present::default();
        present.add(Kind::ConfigMap, &object::<ConfigMap>("settings"), Vec::new());
        assert_eq!(first_missing(&init, &present), None);
    }

    #[test]
    fn volumes_wait_and_name_themselves() {
        for volume in [
            json!({"name": "keys", "secret": {"secretName": "api-key"}}),
            json!({"name": "keys", "projected": {"sources": [{"secret": {"name": "api-key"}}]}}),
        ] {
            let pod = pod(&json!({"containers": [{"name": "web"}], "volumes": [volume]}));
            let missing = first_missing(&pod, &Present::default()).unwrap();
            assert_eq!(missing.reason, "ContainerCreating");
            assert_eq!(missing.message, "MountVolume.SetUp failed for volume \"keys\" : secret \"api-key\" not found");
        }
    }

    #[test]
    fn a_secret_of_another_namespace_does_not_count() {
        let mut elsewhere = Present::default();
        let mut secret: Secret = object("api-key");
        secret.metadata.namespace = Some("other".to_owned());
        elsewhere.add(Kind::Secret, &secret, vec!["value".to_owned()]);
        assert!(first_missing(&with_env(&api_key()), &elsewhere).is_some());
    }
}
