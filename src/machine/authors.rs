//! Who wrote a field of the migration last and when, as far as `metadata.managedFields` tells: the API server knows the name that a
//! client gives itself, and one time for all that it wrote
//! (<https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management>).

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::ResourceExt as _;

use super::run::seconds;
use crate::api::{NamespaceMigration, PAUSED_ANNOTATION};

/// The fields of the spec that people edit in mid-flight, by their paths.
const FIELDS: [&str; 13] = [
    "spec.attempt",
    "spec.bake",
    "spec.checks",
    "spec.deletionPolicy",
    "spec.ingresses.exclude",
    "spec.onFailure",
    "spec.preflight.acknowledge",
    "spec.probes",
    "spec.rollback.objects",
    "spec.secrets",
    "spec.suspend",
    "spec.traffic.steps",
    "spec.traffic.upTo",
];

/// Who wrote something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Author {
    /// The field manager. Empty when nobody is known to have written it.
    pub by: String,
    /// When it wrote for the last time.
    pub at: Option<Timestamp>,
}

impl Author {
    /// Behind what was written, in a sentence that stands: ` (on-call)`. Empty when nobody is known. Without the time, which is another
    /// one as soon as the same author writes something else: the sentence would be news each time.
    pub fn in_brackets(&self) -> String {
        if self.by.is_empty() { String::new() } else { format!(" ({})", self.by) }
    }

    /// Behind what was written, where it is told once: ` (on-call at 2026-11-21T08:00:00Z)`. Empty when nobody is known.
    pub fn with_time(&self) -> String {
        match (self.by.as_str(), self.at) {
            ("", _) => String::new(),
            (by, None) => format!(" ({by})"),
            (by, Some(at)) => format!(" ({by} at {})", seconds(at).0),
        }
    }

    /// The later one of two, who has had the last word.
    #[must_use]
    pub fn or_later(self, other: Self) -> Self {
        if other.at > self.at { other } else { self }
    }
}

/// The authors of what is edited in mid-flight: fields of the spec, and the annotation that pauses.
pub(super) fn of_controls(migration: &NamespaceMigration) -> BTreeMap<&'static str, Author> {
    let known = FIELDS.into_iter().filter_map(|field| Some((field, of_field(migration, field)?)));
    let pause = of_annotation(migration, PAUSED_ANNOTATION).map(|author| (PAUSED_ANNOTATION, author));
    known.chain(pause).collect()
}

fn of_field(migration: &NamespaceMigration, field: &str) -> Option<Author> {
    let path: Vec<_> = field.split('.').map(|part| format!("f:{part}")).collect();
    of(migration, &path)
}

/// The author of an annotation.
pub(super) fn of_annotation(migration: &NamespaceMigration, annotation: &str) -> Option<Author> {
    of(migration, &["f:metadata".to_owned(), "f:annotations".to_owned(), format!("f:{annotation}")])
}

fn of(migration: &NamespaceMigration, path: &[String]) -> Option<Author> {
    let owns = |entry: &&ManagedFieldsEntry| {
        let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
        fields.and_then(|fields| path.iter().try_fold(fields, |value, key| value.get(key))).is_some()
    };
    let last =
        migration.managed_fields().iter().filter(owns).max_by_key(|entry| entry.time.as_ref().map(|time| time.0))?;
    Some(Author { by: last.manager.clone().unwrap_or_default(), at: last.time.as_ref().map(|time| time.0) })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn migration(managed: &Value) -> NamespaceMigration {
        serde_json::from_value(json!({
            "apiVersion": "namespacemigration.io/v1alpha1", "kind": "NamespaceMigration",
            "metadata": {"name": "shop", "namespace": "shop-dev", "managedFields": managed},
            "spec": {"clusterPair": "old-to-new"},
        }))
        .unwrap()
    }

    fn wrote(manager: &str, time: &str, fields: &Value) -> Value {
        json!({"manager": manager, "operation": "Update", "time": time, "fieldsV1": {"f:spec": fields}})
    }

    #[test]
    fn of_each_field_the_last_one_who_wrote_it_is_its_author() {
        let steps = json!({"f:traffic": {"f:steps": {}, "f:upTo": {}}, "f:attempt": {}});
        let managed = json!([
            wrote("argocd", "2026-11-21T07:00:00Z", &steps),
            wrote("on-call", "2026-11-21T08:00:00Z", &json!({"f:traffic": {"f:upTo": {}}})),
        ]);
        let authors = of_controls(&migration(&managed));
        let said: Vec<_> = authors.iter().map(|(field, author)| (*field, author.with_time())).collect();
        let expected = [
            ("spec.attempt", " (argocd at 2026-11-21T07:00:00Z)".to_owned()),
            ("spec.traffic.steps", " (argocd at 2026-11-21T07:00:00Z)".to_owned()),
            ("spec.traffic.upTo", " (on-call at 2026-11-21T08:00:00Z)".to_owned()),
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn nobody_is_named_where_nobody_is_known() {
        assert!(of_controls(&migration(&json!([]))).is_empty());
        let nobody = Author::default();
        assert_eq!((nobody.in_brackets(), nobody.with_time()), (String::new(), String::new()));
        let timeless = Author { by: "helm".into(), at: None };
        assert_eq!((timeless.in_brackets().as_str(), timeless.with_time().as_str()), (" (helm)", " (helm)"));
    }

    #[test]
    fn of_two_authors_the_later_has_had_the_last_word() {
        let at = |by: &str, second| Author { by: by.into(), at: Timestamp::from_second(second).ok() };
        assert_eq!(at("a", 1).or_later(at("b", 2)).by, "b");
        assert_eq!(at("a", 2).or_later(at("b", 1)).by, "a");
        assert_eq!(Author::default().or_later(at("b", 1)).by, "b");
    }
}
