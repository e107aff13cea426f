//! The addresses that an object names: what is written down there of one cluster means something else, or nothing, on another.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::Value;

/// More addresses than this are not kept: a list of them is data, not configuration.
const MOST: usize = 200;
/// Names under these belong to load balancers and API servers of one cluster.
const CLOUD_NAMES: [&str; 4] = [".elb.amazonaws.com", ".eks.amazonaws.com", ".azmk8s.io", ".cloudapp.azure.com"];

/// The addresses in the texts of an object: IP addresses, and names that a cloud gives to one cluster's load balancers or API server.
pub(super) fn named(object: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    collect(object, &mut found);
    found
}

fn collect(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => words(text).for_each(|word| keep(word, found)),
        Value::Array(values) => values.iter().for_each(|value| collect(value, found)),
        Value::Object(entries) => entries.values().for_each(|value| collect(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    let ends = |character: char| !(character.is_ascii_alphanumeric() || ['.', '-'].contains(&character));
    text.split(ends).map(|word| word.trim_matches(['.', '-'])).filter(|word| word.contains('.') && word.len() <= 253)
}

fn keep(word: &str, found: &mut BTreeSet<String>) {
    let word = word.to_ascii_lowercase();
    if found.len() < MOST && (word.parse::<IpAddr>().is_ok() || is_cloud_name(&word)) {
        found.insert(word);
    }
}

/// Amazon's older names have the region behind `elb`: `name-123.eu-west-1.elb.amazonaws.com` and `name.elb.eu-west-1.amazonaws.com`.
fn is_cloud_name(word: &str) -> bool {
    let amazon = word.ends_with(".amazonaws.com") && (word.contains(".elb.") || word.contains(".eks."));
    amazon || CLOUD_NAMES.iter().any(|end| word.ends_with(end))
}
