//! Any object, reduced to what checks and copies need to know of it. Never a Secret's value, nor a hash of one.

mod addresses;
mod content;
mod workload;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use ring::digest::{SHA256, digest as hash};
use serde_json::{Map, Value, json};

use super::fields::{array, entries, is_secret, keys, kind, pairs, some_text, text};
use super::ownership::domain;
use super::{LAST_APPLIED, Rules, is_tracking_key, sanitize};
use crate::machine::inventory::{Item, Owner};

/// Bytes of an annotation that are kept.
const LONGEST_ANNOTATION: usize = 1024;
/// Bytes of a digest that are kept.
const DIGEST_BYTES: usize = 16;
/// Where the marks of those who make Secrets stand: of a Secret's annotations, only these keep their values.
const GENERATOR_DOMAINS: [&str; 6] = [
    "cert-manager.io",
    "reconcile.external-secrets.io",
    "reflector.v1.k8s.emberstack.com",
    "replicator.v1.mittwald.de",
    "sealedsecrets.bitnami.com",
    "kubernetes.io",
];

/// Reduces an object as the API server gave it, of any kind. What is missing or of another type reads as absent; nothing panics.
pub fn item(object: &Value) -> Item {
    let (kind, metadata) = (kind(object), &object["metadata"]);
    let copy = sanitize(&without_values(object), &Rules::default());
    Item {
        name: text(&metadata["name"]),
        uid: text(&metadata["uid"]),
        labels: pairs(&metadata["labels"]),
        annotations: annotations(&metadata["annotations"], is_secret(&kind)),
        owners: array(&metadata["ownerReferences"]).map(owner).collect(),
        managers: managers(&metadata["managedFields"]),
        last_applied: metadata["annotations"][LAST_APPLIED].is_string(),
        terminating: metadata["deletionTimestamp"].is_string() || object["status"]["phase"] == "Terminating",
        finalizers: array(&metadata["finalizers"]).filter_map(some_text).collect(),
        created: metadata["creationTimestamp"].as_str().and_then(|text| text.parse().ok()),
        digest: if is_read(object) { hashed(&copy) } else { String::new() },
        addresses: addresses::named(&copy),
        content: content::content(&kind, object),
        kind,
    }
}

/// A hash of what a copy of an object would be on the target, our mark apart: two objects with the same one need no copy. Of a
/// Secret, only the names of its entries count. In hexadecimal, 128 bits of SHA-256.
pub fn digest(object: &Value, rules: &Rules) -> String {
    let unmarked = Rules { mark: None, ..rules.clone() };
    hashed(&sanitize(&without_values(object), &unmarked))
}

fn hashed(copy: &Value) -> String {
    let digest = hash(&SHA256, copy.to_string().as_bytes());
    digest.as_ref().iter().take(DIGEST_BYTES).map(|byte| format!("{byte:02x}")).collect()
}

/// Whether more than metadata was read. The API server gives every Secret a type.
fn is_read(object: &Value) -> bool {
    match object["kind"].as_str() {
        Some("Secret") => object["type"].is_string(),
        Some("PartialObjectMetadata") | None => false,
        Some(_) => true,
    }
}

/// A Secret with the names of its entries in place of their values, which may stand in annotations as well.
fn without_values(object: &Value) -> Cow<'_, Value> {
    if !is_secret(&kind(object)) {
        return Cow::Borrowed(object);
    }
    let metadata = &object["metadata"];
    let mut reduced = Map::new();
    for field in ["apiVersion", "kind", "type", "immutable"] {
        reduced.insert(field.to_owned(), object[field].clone());
    }
    reduced.insert("data".to_owned(), json!(entry_names(object)));
    let names = (&metadata["name"], &metadata["namespace"], &metadata["labels"]);
    let metadata = json!({"name": names.0, "namespace": names.1, "labels": names.2});
    reduced.insert("metadata".to_owned(), metadata);
    Cow::Owned(Value::Object(reduced))
}

fn entry_names(secret: &Value) -> BTreeSet<String> {
    keys(&secret["data"]).into_iter().chain(keys(&secret["stringData"])).collect()
}

fn annotations(annotations: &Value, secret: bool) -> BTreeMap<String, String> {
    let listed = entries(annotations).filter(|(key, _)| *key != LAST_APPLIED);
    let texts = listed.filter_map(|(key, value)| Some((key, value.as_str()?)));
    texts
        .map(|(key, value)| (key.clone(), if secret && may_hold_values(key) { "" } else { cut(value) }.to_owned()))
        .collect()
}

/// Tools keep copies of whole objects in annotations, and people keep anything there: of a Secret's, only known marks are read.
fn may_hold_values(key: &str) -> bool {
    let domain = domain(key);
    let copies = domain == "kapp.k14s.io" || domain == "objectset.rio.cattle.io";
    copies || !(is_tracking_key(key) || GENERATOR_DOMAINS.contains(&domain))
}

fn cut(text: &str) -> &str {
    let end = (0..=LONGEST_ANNOTATION.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    end.and_then(|end| text.get(..end)).unwrap_or_default()
}

fn owner(reference: &Value) -> Owner {
    Owner {
        api_version: text(&reference["apiVersion"]),
        kind: text(&reference["kind"]),
        name: text(&reference["name"]),
        controller: reference["controller"] == true,
    }
}

/// Who wrote a subresource, as a status or a scale, has not deployed the object.
fn managers(managed_fields: &Value) -> BTreeSet<String> {
    let whole = array(managed_fields).filter(|entry| some_text(&entry["subresource"]).is_none());
    whole.filter_map(|entry| some_text(&entry["manager"])).collect()
}

#[cfg(test)]
mod tests;
