//! The one place that writes status: server-side apply of the whole, under the version that was decided on.

use kube::Api;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::{Client, ResourceExt as _};
use serde_json::json;

use crate::api::{
    ClusterPair, ClusterPairStatus, FIELD_MANAGER, GROUP, NamespaceMigration, NamespaceMigrationStatus, VERSION,
};
use crate::cluster::call::{CallError, timed};
use crate::cluster::client::CALL_TIMEOUT;

/// Takes a status away with all that others own of it, if `version` is still the object's. Returns the new version.
///
/// # Errors
/// A conflict when the object has changed since: decide again. Anything else: try again later.
pub async fn clear(client: &Client, migration: &NamespaceMigration, version: &str) -> Result<String, CallError> {
    let body = json!({"metadata": {"uid": migration.metadata.uid, "resourceVersion": version}, "status": null});
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let (api, name, patch) = (api(client, migration), migration.name_any(), Patch::Merge(body));
    let written = timed(CALL_TIMEOUT, api.patch_status(&name, &params, &patch)).await?;
    Ok(written.resource_version().unwrap_or_default())
}

/// Untyped: a status that cannot be read must not stop the one who mends it.
fn api(client: &Client, migration: &NamespaceMigration) -> Api<DynamicObject> {
    let resource = kube::api::ApiResource::erase::<NamespaceMigration>(&());
    Api::namespaced_with(client.clone(), &migration.namespace().unwrap_or_default(), &resource)
}

/// Writes the status, if `version` is still the object's. Returns the new version.
///
/// # Errors
/// A conflict when the object has changed since: decide again. Anything else: try again later.
pub async fn publish(
    client: &Client,
    migration: &NamespaceMigration,
    version: &str,
    status: &NamespaceMigrationStatus,
) -> Result<String, CallError> {
    let (namespace, name) = (migration.namespace().unwrap_or_default(), migration.name_any());
    // Only identity and status: a whole object would send the spec, and nulls for what is absent.
    let body = json!({
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "kind": "NamespaceMigration",
        "metadata": {"name": name, "namespace": namespace, "uid": migration.metadata.uid, "resourceVersion": version},
        "status": status,
    });
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let api = api(client, migration);
    let written = timed(CALL_TIMEOUT, api.patch_status(&name, &params, &Patch::Apply(body))).await?;
    Ok(written.resource_version().unwrap_or_default())
}

/// Writes the status of a pair, if the pair is still as it was read. Returns the new version.
///
/// # Errors
/// A conflict when the pair has changed since: read and decide again. Anything else: try again later.
pub async fn publish_pair(
    client: &Client,
    pair: &ClusterPair,
    status: &ClusterPairStatus,
) -> Result<String, CallError> {
    let (name, metadata) = (pair.name_any(), &pair.metadata);
    let body = json!({
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "kind": "ClusterPair",
        "metadata": {"name": name, "uid": metadata.uid, "resourceVersion": metadata.resource_version},
        "status": status,
    });
    let resource = kube::api::ApiResource::erase::<ClusterPair>(&());
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let written = timed(CALL_TIMEOUT, api.patch_status(&name, &params, &Patch::Apply(body))).await?;
    Ok(written.resource_version().unwrap_or_default())
}
