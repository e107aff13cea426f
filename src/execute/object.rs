//! The migration object and its pair, on the home cluster: our finalizer, and what is left over of a deleted migration.

use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;

use super::ExecuteError;
use crate::api::{ClusterPair, FINALIZER, Leftover, NamespaceMigration};
use crate::cluster::call::{CallError, timed};
use crate::cluster::client::CALL_TIMEOUT;
use crate::machine::debt;
use crate::status;

/// The migration object that a decision speaks of.
pub struct HomeObject<'a> {
    /// A client of the home cluster.
    pub client: &'a Client,
    /// The object as it was watched.
    pub migration: &'a NamespaceMigration,
    /// Its version, as decided on.
    pub version: &'a str,
}

/// Puts our finalizer on the object. Returns its new version.
pub(super) async fn hold(object: &HomeObject<'_>) -> Result<String, ExecuteError> {
    let ours = [FINALIZER.to_owned()];
    let finalizers: Vec<_> = others(object.migration).cloned().chain(ours).collect();
    let written = write(object, &finalizers).await.map_err(|source| failed(object, "put our finalizer on", source))?;
    log(object, "the object is held: its deletion will be answered first");
    Ok(written)
}

/// Takes our finalizer off the object. One that is gone needs none.
///
/// # Errors
/// [`ExecuteError::Home`]: a conflict means to look again.
pub async fn release(object: &HomeObject<'_>) -> Result<(), ExecuteError> {
    let finalizers: Vec<_> = others(object.migration).cloned().collect();
    match write(object, &finalizers).await {
        Ok(_) => log(object, "the object is released: nothing answers its deletion any more"),
        Err(error) if error.not_found() => {}
        Err(source) => return Err(failed(object, "take our finalizer off", source)),
    }
    Ok(())
}

/// Notes what is left over in the status of the pair.
pub(super) async fn owe(object: &HomeObject<'_>, leftovers: &[Leftover]) -> Result<(), ExecuteError> {
    let name = &object.migration.spec.cluster_pair;
    let action = || format!("note what is left over in the status of ClusterPair {name}");
    let home = |source| ExecuteError::Home { action: action(), source };
    let pairs: Api<ClusterPair> = Api::all(object.client.clone());
    let pair = timed(CALL_TIMEOUT, pairs.get(name)).await.map_err(home)?;
    let mut wanted = pair.status.clone().unwrap_or_default();
    wanted.leftovers = debt::with(&wanted.leftovers, leftovers);
    wanted.leftover_count = i32::try_from(wanted.leftovers.len()).unwrap_or(i32::MAX);
    status::publish_pair(object.client, &pair, &wanted).await.map_err(home)?;
    for leftover in leftovers {
        tracing::warn!(
            pair = name,
            namespace = leftover.namespace,
            ingress = leftover.ingress,
            side = leftover.cluster().name(),
            weight = leftover.weight,
            epoch = leftover.epoch,
            "a weight is left over"
        );
    }
    Ok(())
}

fn others(migration: &NamespaceMigration) -> impl Iterator<Item = &String> {
    migration.finalizers().iter().filter(|finalizer| *finalizer != FINALIZER)
}

/// The whole list, under uid and version: what others have added since is never dropped.
async fn write(object: &HomeObject<'_>, finalizers: &[String]) -> Result<String, CallError> {
    let migration = object.migration;
    let body = json!({"metadata": {
        "uid": migration.metadata.uid, "resourceVersion": object.version, "finalizers": finalizers,
    }});
    let resource = ApiResource::erase::<NamespaceMigration>(&());
    let namespace = migration.namespace().unwrap_or_default();
    let api: Api<DynamicObject> = Api::namespaced_with(object.client.clone(), &namespace, &resource);
    let params = PatchParams { field_manager: Some(crate::api::FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let written = timed(CALL_TIMEOUT, api.patch(&migration.name_any(), &params, &Patch::Merge(body))).await?;
    Ok(written.resource_version().unwrap_or_default())
}

fn failed(object: &HomeObject<'_>, what: &str, source: CallError) -> ExecuteError {
    let (namespace, name) = (object.migration.namespace().unwrap_or_default(), object.migration.name_any());
    ExecuteError::Home { action: format!("{what} NamespaceMigration {namespace}/{name}"), source }
}

fn log(object: &HomeObject<'_>, what: &str) {
    let (namespace, name) = (object.migration.namespace().unwrap_or_default(), object.migration.name_any());
    tracing::info!(namespace, name, "{what}");
}
