//! A copy's form on the target: nothing of the source's life in it, names of the target in place of the source's, our mark on it.

mod keys;
mod spec;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::fields::kind;
use crate::api::{OWNER_ANNOTATION, OWNER_LABEL};
use crate::machine::inventory::Kind;

/// What a copy differs in from its original. The default changes no name and leaves no mark.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Classes of Ingresses that have another name on the target.
    pub classes: BTreeMap<String, String>,
    /// Registries of images, or paths in them, that are others on the target: `1234.dkr.ecr.eu-west-1.amazonaws.com`, `quay.io/team`.
    /// The longest that fits counts. `docker.io` is the registry of images that name none.
    pub registries: BTreeMap<String, String>,
    /// Prefix of the source's external-dns annotations.
    pub source_prefix: String,
    /// Prefix of the target's external-dns annotations.
    pub target_prefix: String,
    /// Labels and annotations of the Namespace that are brought over beyond those that mean the same everywhere: keys, or domains
    /// with a slash behind them.
    pub namespace_keys: BTreeSet<String>,
    /// Whether Services ask for the ports of nodes that they have on the source.
    pub keep_node_ports: bool,
    /// Our mark. None: the copy is printed, not written.
    pub mark: Option<Mark>,
}

/// What a copy is known by as ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// The owner, for people.
    pub owner: String,
    /// The owner's label, for us.
    pub owner_label: String,
}

/// The form of an object on the target. Of its metadata only name, namespace, labels and annotations stay, so that no UID, owner,
/// finalizer or field manager can; status, addresses and whatever else a cluster gives goes by kind. Values of Secrets and ConfigMaps stay as they
/// are. Doing it twice changes nothing more, unless a name on the target is another's on the source.
///
/// An Ingress is not published in this form: `target_ingress` gives it its identifier and weight.
pub fn sanitize(object: &Value, rules: &Rules) -> Value {
    let kind = kind(object);
    let mut copy = object.clone();
    let Some(fields) = copy.as_object_mut() else { return Value::Null };
    fields.remove("status");
    fields.insert("metadata".to_owned(), metadata(&object["metadata"], &kind, rules));
    spec::strip(&kind, &mut copy, rules);
    copy
}

fn metadata(metadata: &Value, kind: &Kind, rules: &Rules) -> Value {
    let mut labels = keys::labels(&metadata["labels"], kind, rules);
    let mut annotations = keys::annotations(&metadata["annotations"], kind, rules);
    if let Some(mark) = &rules.mark {
        labels.insert(OWNER_LABEL.to_owned(), json!(mark.owner_label));
        annotations.insert(OWNER_ANNOTATION.to_owned(), json!(mark.owner));
    }
    reduced(metadata, labels, annotations)
}

/// Metadata with a name and these keys alone. An empty map is left out, because the API server leaves it out as well.
fn reduced(metadata: &Value, labels: Map<String, Value>, annotations: Map<String, Value>) -> Value {
    let names = ["name", "namespace"].map(|field| (field, metadata[field].clone()));
    let maps = [("labels", labels), ("annotations", annotations)];
    let filled = maps.into_iter().filter(|(_, map)| !map.is_empty()).map(|(field, map)| (field, Value::Object(map)));
    let named = names.into_iter().filter(|(_, name)| name.is_string());
    Value::Object(named.chain(filled).map(|(field, value)| (field.to_owned(), value)).collect())
}

#[cfg(test)]
mod tests;
