//! What a Pod cannot start without, and what it may do without.

use serde_json::Value;

use super::containers;
use crate::machine::inventory::Reference;
use crate::replicate::fields::{array, some_text, text};

/// The Secrets, ConfigMaps and claims that a Pod names, in the order of the alphabet, each place once.
pub(super) fn references(pod: &Value) -> Vec<Reference> {
    let mut found: Vec<_> = containers(pod).flat_map(of_container).collect();
    found.extend(array(&pod["volumes"]).flat_map(of_volume));
    let pulls = array(&pod["imagePullSecrets"]).filter_map(|pull| some_text(&pull["name"]));
    found.extend(pulls.map(|name| reference("Secret", name, false, "imagePullSecrets".to_owned())));
    found.sort();
    found.dedup();
    found
}

fn reference(kind: &str, name: String, optional: bool, via: String) -> Reference {
    Reference { kind: kind.to_owned(), name, optional, via }
}

/// A reference of the form `{name, optional}`.
fn named(kind: &str, at: &Value, via: &str) -> Option<Reference> {
    Some(reference(kind, some_text(&at["name"])?, at["optional"] == true, via.to_owned()))
}

fn of_container(container: &Value) -> Vec<Reference> {
    let name = text(&container["name"]);
    let variables = array(&container["env"]).flat_map(|variable| {
        let via = format!("env {} of container {name}", text(&variable["name"]));
        let from = &variable["valueFrom"];
        [named("Secret", &from["secretKeyRef"], &via), named("ConfigMap", &from["configMapKeyRef"], &via)]
    });
    let via = format!("envFrom of container {name}");
    let whole = array(&container["envFrom"])
        .flat_map(|from| [named("Secret", &from["secretRef"], &via), named("ConfigMap", &from["configMapRef"], &via)]);
    variables.chain(whole).flatten().collect()
}

fn of_volume(volume: &Value) -> Vec<Reference> {
    let via = format!("volume {}", text(&volume["name"]));
    let claim = some_text(&volume["persistentVolumeClaim"]["claimName"])
        .map(|name| reference("PersistentVolumeClaim", name, false, via.clone()));
    let sources = array(&volume["projected"]["sources"]);
    let projected = sources
        .flat_map(|source| [named("Secret", &source["secret"], &via), named("ConfigMap", &source["configMap"], &via)]);
    projected
        .chain([secret(&volume["secret"], &via), named("ConfigMap", &volume["configMap"], &via), claim])
        .flatten()
        .collect()
}

/// A volume of a Secret calls its name otherwise than everything else does.
fn secret(source: &Value, via: &str) -> Option<Reference> {
    Some(reference("Secret", some_text(&source["secretName"])?, source["optional"] == true, via.to_owned()))
}
