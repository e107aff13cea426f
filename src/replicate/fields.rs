//! Reading objects that nobody has checked: what is missing or of another type reads as if it were not there.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::machine::inventory::Kind;

/// The elements of a list; none where it is not one.
pub(super) fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The entries of a map; none where it is not one.
pub(super) fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// A text; empty where it is not one.
pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A text that says something.
pub(super) fn some_text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

/// The texts among values, each once.
pub(super) fn texts<'a>(values: impl Iterator<Item = &'a Value>) -> BTreeSet<String> {
    values.filter_map(some_text).collect()
}

/// The entries of a map whose values are texts.
pub(super) fn pairs(value: &Value) -> BTreeMap<String, String> {
    entries(value).filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// The keys of a map.
pub(super) fn keys(value: &Value) -> BTreeSet<String> {
    entries(value).map(|(key, _)| key.clone()).collect()
}

/// Kind and version of an object, as it says them itself.
pub(super) fn kind(object: &Value) -> Kind {
    let api_version = text(&object["apiVersion"]);
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    Kind::new(group, version, &text(&object["kind"]))
}

/// Whether values of this kind are kept from everybody. Secrets of a group that we do not know are taken for such, too.
pub(super) fn is_secret(kind: &Kind) -> bool {
    kind.kind == "Secret"
}

/// Where the template of its Pods stands in an object of this kind, as a JSON pointer.
pub(super) fn pod_template(kind: &Kind) -> Option<&'static str> {
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Pod") => Some(""),
        ("batch", "CronJob") => Some("/spec/jobTemplate/spec/template"),
        ("batch", "Job") | ("", "ReplicationController") => Some("/spec/template"),
        ("apps" | "extensions", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet") => Some("/spec/template"),
        _ => None,
    }
}

/// A map without what its test refuses, and without values that are no texts: no label or annotation may have another.
pub(super) fn kept(map: &Value, keep: impl Fn(&str) -> bool) -> Map<String, Value> {
    let kept = entries(map).filter(|(key, value)| value.is_string() && keep(key));
    kept.map(|(key, value)| (key.clone(), value.clone())).collect()
}
