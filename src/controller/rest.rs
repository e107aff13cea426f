//! The end of the process in order: what a hold has watched so far is saved, so that the next process goes on from there.
//!
//! Of a process that died instead, the Lease tells until when it watched. Without a Lease the running stretch is watched again.

use std::sync::Arc;

use futures::future::join_all;
use kube::ResourceExt as _;
use kube_runtime::reflector::{ObjectRef, Store};

use super::{Operator, locked};
use crate::api::NamespaceMigration;
use crate::{machine, status};

/// Stops the clocks of all holds. What cannot be saved is watched again, so a failure is only logged.
pub(super) async fn stop_clocks(operator: &Operator, migrations: &Store<NamespaceMigration>) {
    join_all(migrations.state().iter().map(|migration| stop_clock(operator, migration))).await;
}

async fn stop_clock(operator: &Operator, migration: &Arc<NamespaceMigration>) {
    let site = locked(&operator.sites).get(&ObjectRef::from_obj(migration.as_ref())).cloned();
    let Some(site) = site else { return };
    let known = operator.memory.latest(migration);
    let Some(rested) = machine::rest(&known.status, &site.health(), crate::cluster::now()) else { return };
    let saved = status::publish(&operator.home.clients.requests, migration, &known.version, &rested).await;
    if let Err(error) = saved {
        let (namespace, name) = (migration.namespace().unwrap_or_default(), migration.name_any());
        tracing::warn!(namespace, name, %error, "the clock of a hold was not saved; its last stretch may be watched again");
    }
}
