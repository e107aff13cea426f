//! A finalizer of ours, on a migration or on a pair.

use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde_json::json;

use crate::api::FIELD_MANAGER;
use crate::cluster::call::{CallError, timed};
use crate::cluster::client::CALL_TIMEOUT;

/// Puts `ours` on the object, or takes it off. The whole list is written, under uid and version: what others have added since is never
/// dropped. Returns the object's new version.
///
/// # Errors
/// A conflict when the object has changed since: look again.
pub async fn set<K>(client: &Client, object: &K, version: &str, ours: &str, held: bool) -> Result<String, CallError>
where
    K: Resource<DynamicType = ()>,
{
    let others = object.finalizers().iter().filter(|finalizer| *finalizer != ours);
    let finalizers: Vec<_> = others.map(String::as_str).chain(held.then_some(ours)).collect();
    let body = json!({"metadata": {"uid": object.uid(), "resourceVersion": version, "finalizers": finalizers}});
    let resource = ApiResource::erase::<K>(&());
    // Untyped: what cannot be read must be let go all the same.
    let api: Api<DynamicObject> = match object.namespace() {
        Some(namespace) => Api::namespaced_with(client.clone(), &namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let written = timed(CALL_TIMEOUT, api.patch(&object.name_any(), &params, &Patch::Merge(body))).await?;
    Ok(written.resource_version().unwrap_or_default())
}
