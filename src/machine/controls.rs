//! What people ask for in a hurry, parsed purely from the object: pauses, requests and edits, and who wrote them as far as is known.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::ResourceExt as _;
use serde::Serialize;

use super::authors::{self, Author};
use crate::api::namespace_migration::{NamespaceMigrationSpec, Probes};
use crate::api::status::{AskedFor, RequestKind};
use crate::api::{NamespaceMigration, PAUSED_ANNOTATION, RETRY_ANNOTATION, ROLLBACK_ANNOTATION};

/// How an empty list is told in an edit.
pub(super) const NONE: &str = "none";

/// Longest token that is taken, in characters: it is echoed in status.
const LONGEST_TOKEN: usize = 64;

/// What people ask for beside the plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Controls {
    /// Name and namespace of the migration as kubectl takes them: `shop -n shop-dev`.
    pub object: String,
    /// What asks for a pause. Empty: nothing does.
    pub pauses: Vec<PauseAsked>,
    /// The request for a rollback, if there is one.
    pub rollback: Option<Request>,
    /// The request for another try, if there is one.
    pub retry: Option<Request>,
    /// What the spec asks for, of what people edit in mid-flight.
    pub asked: Option<AskedFor>,
    /// Who wrote the fields of the spec, by their paths, and the annotation that pauses.
    pub authors: BTreeMap<&'static str, Author>,
}

/// One thing that asks for a pause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PauseAsked {
    /// The field or annotation.
    pub what: PauseSource,
    /// The field manager. Empty when nobody is known to.
    pub by: String,
}

/// Where a pause is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PauseSource {
    /// `spec.suspend`.
    Spec,
    /// The annotation.
    Annotation,
}

/// A request by annotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The annotation's value, cut to the length that is echoed.
    pub token: String,
    /// Why the value is not a token, if it is not.
    pub fault: Option<&'static str>,
    /// The field manager. Empty when nobody is known to.
    pub by: String,
    /// When the field manager wrote it, as far as is known.
    pub at: Option<Timestamp>,
}

impl Controls {
    /// Reads what is asked for. Nothing in it can be wrong: what is not a token says so when it is answered.
    pub fn of(migration: &NamespaceMigration) -> Self {
        let authors = authors::of_controls(migration);
        let pauses = pauses(migration, &authors);
        Self {
            object: format!("{} -n {}", migration.name_any(), migration.namespace().unwrap_or_default()),
            asked: Some(asked(&migration.spec, &pauses)),
            pauses,
            rollback: request(migration, ROLLBACK_ANNOTATION),
            retry: request(migration, RETRY_ANNOTATION),
            authors,
        }
    }

    /// Who wrote a field of the spec, by its path (`spec.traffic.upTo`), or the annotation that pauses.
    pub fn author(&self, field: &str) -> Author {
        self.authors.get(field).cloned().unwrap_or_default()
    }

    /// The request of a kind, if there is one.
    pub fn request(&self, kind: RequestKind) -> Option<&Request> {
        match kind {
            RequestKind::Rollback => self.rollback.as_ref(),
            RequestKind::Retry => self.retry.as_ref(),
        }
    }

    /// What asks for a pause, for a sentence: `spec.suspend (kubectl-edit)`. Empty: nothing does.
    pub fn paused_by(&self) -> String {
        let named = self.pauses.iter().map(|pause| {
            let what = match pause.what {
                PauseSource::Spec => "spec.suspend".to_owned(),
                PauseSource::Annotation => format!("the annotation {PAUSED_ANNOTATION}"),
            };
            if pause.by.is_empty() { what } else { format!("{what} ({})", pause.by) }
        });
        named.collect::<Vec<_>>().join(" and ")
    }

    /// The command that makes a request by annotation, each time that it is run: the token is the time. Nothing may follow it but a
    /// semicolon: it is copied and run.
    pub fn how_to_request(&self, annotation: &str) -> String {
        format!("kubectl annotate migration {} --overwrite {annotation}=$(date +%s)", self.object)
    }

    /// What a person does to end the pause.
    pub fn how_to_resume(&self) -> String {
        let steps = self.pauses.iter().map(|pause| match pause.what {
            PauseSource::Spec => "set spec.suspend to false".to_owned(),
            PauseSource::Annotation => format!("kubectl annotate migration {} {PAUSED_ANNOTATION}-", self.object),
        });
        // Without a full stop, which would be taken for a part of the command.
        format!("To go on: {}", steps.collect::<Vec<_>>().join("; and "))
    }
}

fn asked(spec: &NamespaceMigrationSpec, pauses: &[PauseAsked]) -> AskedFor {
    AskedFor {
        suspend: spec.suspend,
        paused: pauses.iter().any(|pause| pause.what == PauseSource::Annotation),
        attempt: spec.attempt,
        up_to: spec.traffic.up_to,
        on_failure: spec.on_failure,
        deletion_policy: spec.deletion_policy,
        checks: numbered(&spec.checks, |check| &check.name),
        acknowledged: numbered(&spec.preflight.acknowledge, |known| &known.check),
        excluded: spec.ingresses.exclude.clone(),
        probes: probes(&spec.probes),
        rollback_objects: spec.rollback.objects,
    }
}

fn probes(probes: &Probes) -> String {
    let Probes { interval, timeout, success_threshold, failure_threshold } = probes;
    format!("every {interval}, {timeout} each, {success_threshold} passes, {failure_threshold} failures")
}

/// The entries of a list by their names, with a number that is another one when any of them says something else.
fn numbered<T: Serialize>(entries: &[T], name: impl Fn(&T) -> &str) -> String {
    if entries.is_empty() {
        return NONE.to_owned();
    }
    let text = serde_json::to_vec(entries).unwrap_or_default();
    let digest = ring::digest::digest(&ring::digest::SHA256, &text);
    let number: String = digest.as_ref().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let names: Vec<_> = entries.iter().map(name).collect();
    format!("{} ({number})", names.join(", "))
}

fn pauses(migration: &NamespaceMigration, authors: &BTreeMap<&'static str, Author>) -> Vec<PauseAsked> {
    let by = |what: &str| authors.get(what).map(|author| author.by.clone()).unwrap_or_default();
    let annotated = migration.annotations().get(PAUSED_ANNOTATION).is_some_and(|value| value != "false");
    let spec = migration.spec.suspend.then(|| PauseAsked { what: PauseSource::Spec, by: by("spec.suspend") });
    let annotation = annotated.then(|| PauseAsked { what: PauseSource::Annotation, by: by(PAUSED_ANNOTATION) });
    spec.into_iter().chain(annotation).collect()
}

fn request(migration: &NamespaceMigration, annotation: &str) -> Option<Request> {
    let value = migration.annotations().get(annotation)?;
    let fault = match value.chars().count() {
        0 => Some("its value is empty"),
        length if length > LONGEST_TOKEN => Some("its value is longer than 64 characters"),
        _ => None,
    };
    let Author { by, at } = authors::of_annotation(migration, annotation).unwrap_or_default();
    Some(Request { token: value.chars().take(LONGEST_TOKEN).collect(), fault, by, at })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn controls(annotations: &Value, suspend: bool, managed: &Value) -> Controls {
        let object = json!({
            "apiVersion": "namespacemigration.io/v1alpha1", "kind": "NamespaceMigration",
            "metadata": {"name": "shop", "namespace": "shop-dev", "annotations": annotations, "managedFields": managed},
            "spec": {"clusterPair": "old-to-new", "suspend": suspend},
        });
        Controls::of(&serde_json::from_value(object).unwrap())
    }

    fn wrote(manager: &str, time: &str, fields: &Value) -> Value {
        json!({"manager": manager, "operation": "Update", "time": time, "fieldsType": "FieldsV1", "fieldsV1": fields})
    }

    #[test]
    fn the_annotation_pauses_with_any_value_but_false() {
        for (value, paused) in [("", true), ("true", true), ("because", true), ("false", false)] {
            let found = controls(&json!({PAUSED_ANNOTATION: value}), false, &json!([]));
            assert_eq!(!found.pauses.is_empty(), paused, "{value:?}");
        }
        assert!(controls(&json!({}), false, &json!([])).pauses.is_empty());
    }

    #[test]
    fn a_pause_names_what_asks_for_it_who_wrote_it_and_how_to_go_on() {
        let fields = json!({"f:metadata": {"f:annotations": {format!("f:{PAUSED_ANNOTATION}"): {}}}});
        let managed = json!([
            wrote("argocd", "2026-11-21T07:00:00Z", &json!({"f:spec": {"f:suspend": {}}})),
            wrote("kubectl-annotate", "2026-11-21T08:00:00Z", &fields),
        ]);
        let found = controls(&json!({PAUSED_ANNOTATION: "now"}), true, &managed);
        let said = "spec.suspend (argocd) and the annotation namespacemigration.io/paused (kubectl-annotate)";
        assert_eq!(found.paused_by(), said);
        let said = "To go on: set spec.suspend to false; and kubectl annotate migration shop -n shop-dev namespacemigration.io/paused-";
        assert_eq!(found.how_to_resume(), said);
    }

    #[test]
    fn a_request_has_its_token_its_author_and_its_time() {
        let fields = json!({"f:metadata": {"f:annotations": {format!("f:{ROLLBACK_ANNOTATION}"): {}}}});
        let managed = json!([wrote("kubectl-annotate", "2026-11-21T08:00:00Z", &fields)]);
        let found = controls(&json!({ROLLBACK_ANNOTATION: "incident-7"}), false, &managed).rollback.unwrap();
        assert_eq!((found.token.as_str(), found.by.as_str(), found.fault), ("incident-7", "kubectl-annotate", None));
        assert_eq!(found.at.unwrap().to_string(), "2026-11-21T08:00:00Z");
        assert!(controls(&json!({}), false, &managed).rollback.is_none());
    }

    #[test]
    fn what_is_no_token_says_why_and_is_cut() {
        let long = "x".repeat(65);
        let found = controls(&json!({RETRY_ANNOTATION: long, ROLLBACK_ANNOTATION: ""}), false, &json!([]));
        let (retry, rollback) = (found.retry.unwrap(), found.rollback.unwrap());
        assert_eq!((retry.token.len(), retry.fault), (64, Some("its value is longer than 64 characters")));
        assert_eq!(rollback.fault, Some("its value is empty"));
    }
}
