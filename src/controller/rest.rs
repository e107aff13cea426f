//! The end of the process in order: what a hold has watched so far is saved, so that the next process goes on from there.
//!
//! After a process that died instead, the running stretch of a hold is watched again: nobody saw what came after it.

use std::sync::Arc;

use futures::future::join_all;
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
    let (Some(site), Ok((order, _))) = (site, operator.order(migration)) else { return };
    let known = operator.memory.latest(migration);
    let Some(rested) = machine::rest(&order, &known.status, &site.health(), crate::cluster::now()) else { return };
    let saved = status::publish(&operator.home.clients.requests, migration, &known.version, &rested).await;
    if let Err(error) = saved {
        tracing::warn!(namespace = order.namespace, %error, "the clock of a hold was not saved; its last stretch is watched again");
    }
}
