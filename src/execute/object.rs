//! The migration object and its pair, on the home cluster: our finalizer, and what is left over of a deleted migration.

use kube::{Client, ResourceExt as _};

use super::{ExecuteError, finalizer};
use crate::api::{ClusterPair, FINALIZER, NamespaceMigration};
use crate::cluster::call::CallError;
use crate::machine::debt::Debts;
use crate::status;

/// The migration object that a decision speaks of.
pub struct HomeObject<'a> {
    /// A client of the home cluster.
    pub client: &'a Client,
    /// The object as it was watched.
    pub migration: &'a NamespaceMigration,
    /// Its version, as decided on.
    pub version: &'a str,
    /// Its pair as it was watched: an older one than there is leads to a conflict, and to another look.
    pub pair: &'a ClusterPair,
}

/// Puts our finalizer on the object. Returns its new version.
pub(super) async fn hold(object: &HomeObject<'_>) -> Result<String, ExecuteError> {
    let written = finalizer::set(object.client, object.migration, object.version, FINALIZER, true).await;
    let written = written.map_err(|source| failed(object.migration, "put our finalizer on", source))?;
    log(object.migration, "the object is held: its deletion will be answered first");
    Ok(written)
}

/// Takes our finalizer off the object. One that is gone needs none.
///
/// # Errors
/// [`ExecuteError::Home`]: a conflict means to look again.
pub async fn release(client: &Client, migration: &NamespaceMigration, version: &str) -> Result<(), ExecuteError> {
    match finalizer::set(client, migration, version, FINALIZER, false).await {
        Ok(_) => log(migration, "the object is released: nothing answers its deletion any more"),
        Err(error) if error.not_found() => {}
        Err(source) => return Err(failed(migration, "take our finalizer off", source)),
    }
    Ok(())
}

/// Notes what is left over in the status of the pair.
pub(super) async fn owe(object: &HomeObject<'_>, debts: &Debts) -> Result<(), ExecuteError> {
    let name = object.pair.name_any();
    let action = format!("note what is left over in the status of ClusterPair {name}");
    let mut wanted = object.pair.status.clone().unwrap_or_default();
    Debts::of(&wanted).with(debts).note_in(&mut wanted);
    let written = status::publish_pair(object.client, object.pair, &wanted).await;
    written.map_err(|source| ExecuteError::Home { action, source })?;
    tell(&name, debts);
    Ok(())
}

fn tell(pair: &str, debts: &Debts) {
    for leftover in &debts.weights {
        tracing::warn!(
            pair,
            namespace = leftover.namespace,
            ingress = leftover.ingress,
            side = leftover.cluster().name(),
            weight = leftover.weight,
            epoch = leftover.epoch,
            "a weight is left over"
        );
    }
    for object in &debts.objects {
        tracing::warn!(
            pair,
            namespace = object.namespace,
            kind = object.kind,
            name = object.name,
            epoch = object.epoch,
            "an object on the target is left over"
        );
    }
}

fn failed(migration: &NamespaceMigration, what: &str, source: CallError) -> ExecuteError {
    let (namespace, name) = (migration.namespace().unwrap_or_default(), migration.name_any());
    ExecuteError::Home { action: format!("{what} NamespaceMigration {namespace}/{name}"), source }
}

fn log(migration: &NamespaceMigration, what: &str) {
    let (namespace, name) = (migration.namespace().unwrap_or_default(), migration.name_any());
    tracing::info!(namespace, name, "{what}");
}
