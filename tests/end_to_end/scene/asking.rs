//! What a person asks for by annotation, and what status says became of it.

use std::collections::BTreeMap;

use anyhow::Result;
use kube::api::{Patch, PatchParams};
use namespace_migration::api::NamespaceMigration;
use namespace_migration::api::status::{RequestKind, RequestOutcome, RequestStatus};
use serde_json::json;

use super::Migration;

/// The field manager of the person at the keyboard.
pub const PERSON: &str = "on-call";

impl Migration<'_> {
    /// Annotates the migration as a person does; None takes the annotation away.
    pub async fn annotate(&self, annotation: &str, value: Option<&str>) -> Result<()> {
        let annotations = BTreeMap::from([(annotation, value)]);
        let patch = Patch::Merge(json!({"metadata": {"annotations": annotations}}));
        let params = PatchParams { field_manager: Some(PERSON.to_owned()), ..PatchParams::default() };
        self.api().await?.patch(self.name(), &params, &patch).await?;
        Ok(())
    }

    /// Waits until a request with this token has come to an end, well or badly.
    pub async fn answer(&self, kind: RequestKind, token: &str) -> Result<RequestStatus> {
        let answered = |found: &NamespaceMigration| {
            request(found, kind).filter(|asked| asked.token == token && asked.outcome != RequestOutcome::Accepted)
        };
        let found = self.until(&format!("an answer to {token}"), |found| answered(found).is_some()).await?;
        answered(&found).ok_or_else(|| anyhow::anyhow!("the answer is gone"))
    }
}

/// What became of the last request of a kind.
fn request(migration: &NamespaceMigration, kind: RequestKind) -> Option<RequestStatus> {
    migration.status.as_ref()?.requests.iter().find(|asked| asked.kind == kind).cloned()
}
