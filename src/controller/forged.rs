//! A status that somebody else wrote is not believed. In its place stands what this process wrote last; a new process, which has
//! written nothing, takes it for lost, and the stamps on the Ingresses say where the migration is.
//!
//! Who wrote it is in `managedFields`: the operator applies to the subresource `status` under its own name, and nothing else it
//! does leaves fields of the status behind. What somebody applies there under that very name cannot be told apart, because the
//! API server does not prove names of field managers: only the roles in `deploy/` keep others away, and an audit log tells.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::ResourceExt as _;

use super::Operator;
use super::memory::{Known, is_same};
use super::pass::ReconcileError;
use crate::api::{FIELD_MANAGER, NamespaceMigration, NamespaceMigrationStatus};
use crate::machine::drive::Decision;
use crate::machine::reason::Reason;
use crate::machine::run::Event;
use crate::status;

/// What somebody else did to the status, as a sentence; None when it is ours. `written` is what this process wrote last.
pub(super) fn trace(migration: &NamespaceMigration, written: Option<&NamespaceMigrationStatus>) -> Option<String> {
    let Some(seen) = &migration.status else {
        let was_there = written.is_some_and(|written| *written != NamespaceMigrationStatus::default());
        return was_there.then(|| "The status was removed.".to_owned());
    };
    let writer = foreign_writer(migration).filter(|_| written.is_none_or(|written| !is_same(written, seen)));
    writer.map(|writer| format!("The status was changed by {writer}."))
}

/// The field manager that owns a part of the status without being this operator, if there is one.
fn foreign_writer(migration: &NamespaceMigration) -> Option<String> {
    let entries = migration.metadata.managed_fields.iter().flatten();
    entries.filter(|entry| owns_status(entry) && !is_ours(entry)).map(in_words).next()
}

fn owns_status(entry: &ManagedFieldsEntry) -> bool {
    let fields = entry.fields_v1.as_ref().and_then(|fields| fields.0.get("f:status"));
    fields.and_then(|fields| fields.as_object()).is_some_and(|fields| !fields.is_empty())
}

/// As `status::publish` leaves it.
fn is_ours(entry: &ManagedFieldsEntry) -> bool {
    let way = (entry.operation.as_deref(), entry.subresource.as_deref());
    entry.manager.as_deref() == Some(FIELD_MANAGER) && way == (Some("Apply"), Some("status"))
}

fn in_words(entry: &ManagedFieldsEntry) -> String {
    match entry.manager.as_deref() {
        Some(FIELD_MANAGER) => format!("somebody who calls themselves {FIELD_MANAGER}"),
        Some(manager) => manager.to_owned(),
        None => "an unknown field manager".to_owned(),
    }
}

impl Operator {
    /// Makes way for the true status: with the foreign one goes its ownership of fields. Returns the version to write it under;
    /// None when somebody has changed the object since.
    pub(super) async fn clear_forged(
        &self,
        migration: &Arc<NamespaceMigration>,
        known: &Known,
        decision: &mut Decision,
    ) -> Result<Option<String>, ReconcileError> {
        let Some(forged) = &known.forged else { return Ok(Some(known.version.clone())) };
        let note = format!("{forged} That is not believed, and the true one is written anew.");
        let (namespace, name) = (migration.namespace().unwrap_or_default(), migration.name_any());
        tracing::warn!(namespace, name, reason = Reason::ForeignStatus.as_str(), "{note}");
        match status::clear(&self.home.clients.requests, migration, &known.version).await {
            Ok(version) => {
                decision.events.push(Event { reason: Reason::ForeignStatus, note, warning: true });
                Ok(Some(version))
            }
            Err(error) if error.is_conflict() || error.not_found() => Ok(None),
            Err(source) => Err(ReconcileError::Status { stage: decision.status.stage, source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn written_by(managed_fields: &Value) -> Option<String> {
        let migration: NamespaceMigration = serde_json::from_value(json!({
            "apiVersion": "namespacemigration.io/v1alpha1", "kind": "NamespaceMigration",
            "metadata": {"name": "shop", "managedFields": managed_fields}, "spec": {"clusterPair": "p"},
        }))
        .unwrap();
        foreign_writer(&migration)
    }

    fn entry(manager: &str, operation: &str, subresource: &str, fields: Value) -> Value {
        json!({"manager": manager, "operation": operation, "subresource": subresource, "fieldsV1": fields})
    }

    #[test]
    fn only_somebody_elses_fields_of_the_status_make_it_foreign() {
        let status = json!({"f:status": {"f:stage": {}}});
        let ours = entry(FIELD_MANAGER, "Apply", "status", status.clone());
        assert_eq!(written_by(&json!([entry("kubectl", "Update", "", json!({"f:spec": {}})), ours])), None);
        let edited = entry("kubectl-edit", "Update", "status", status.clone());
        assert_eq!(written_by(&json!([edited])).as_deref(), Some("kubectl-edit"));
        assert_eq!(written_by(&json!([entry("kubectl", "Update", "", json!({"f:status": {}}))])), None);
        assert_eq!(written_by(&json!([{"fieldsV1": status}])).as_deref(), Some("an unknown field manager"));
    }

    #[test]
    fn our_name_alone_proves_nothing() {
        let status = json!({"f:status": {"f:stage": {}}});
        for (operation, subresource) in [("Update", "status"), ("Apply", ""), ("Update", "")] {
            let found = written_by(&json!([entry(FIELD_MANAGER, operation, subresource, status.clone())]));
            let expected = format!("somebody who calls themselves {FIELD_MANAGER}");
            assert_eq!(found, Some(expected), "{operation} {subresource:?}");
        }
        let finalizer = json!({"f:metadata": {"f:finalizers": {}}});
        assert_eq!(written_by(&json!([entry(FIELD_MANAGER, "Update", "", finalizer)])), None, "how we hold the object");
    }
}
