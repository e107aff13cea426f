//! The end of a pass: the status is written, then what happened is told, then an object that is to go is let go.

use std::sync::Arc;

use kube::Resource as _;
use kube_runtime::controller::Action;
use kube_runtime::reflector::ObjectRef;

use super::memory::{self, Known};
use super::pass::{LOOK_AGAIN, ReconcileError};
use super::waits::until;
use super::{Operator, uid};
use crate::api::{NamespaceMigration, Stage};
use crate::execute;
use crate::machine::controls::Controls;
use crate::machine::deletion::{self, Unread};
use crate::machine::drive::Decision;
use crate::machine::order::{Order, OrderError};
use crate::machine::{self, Asked, Effect, stages};
use crate::status;

impl Operator {
    /// The pass over an order that cannot be used: status says why, and nothing is watched any more.
    pub(super) async fn reject(
        &self,
        migration: &Arc<NamespaceMigration>,
        known: &Known,
        error: &OrderError,
    ) -> Result<Action, ReconcileError> {
        let key = ObjectRef::from_obj(migration.as_ref());
        if known.status.stage <= Stage::Preflight || stages::is_terminal(known.status.stage) {
            self.release_claim(&key);
        }
        // What the pair allowed to watch and probe is not allowed any more.
        self.close_site(&key);
        let generation = migration.metadata.generation.unwrap_or_default();
        let asked = Asked { generation, attempt: migration.spec.attempt, controls: &Controls::of(migration) };
        let now = crate::cluster::now();
        let decision = machine::reject(&known.status, &asked, error, now);
        let owner = Order::owner_of(migration, &self.identity);
        let pair = self.pairs.get(&migration.spec.cluster_pair);
        let unread = Unread { migration: migration.as_ref(), pair: pair.as_deref(), owner: &owner };
        let decision = deletion::without_order(&unread, decision, now);
        self.finish(migration, known, decision).await
    }

    /// The end of a pass that changes nothing but the status.
    pub(super) async fn finish(
        &self,
        migration: &Arc<NamespaceMigration>,
        known: &Known,
        decision: Decision,
    ) -> Result<Action, ReconcileError> {
        let wake_at = decision.wake_at;
        let stands = self.conclude(migration, known, decision).await?;
        self.waits.reset(&uid(migration));
        Ok(if stands { until(wake_at) } else { Action::requeue(LOOK_AGAIN) })
    }

    /// Writes the status if it has changed, then tells what happened. False if somebody has changed the object since:
    /// then nothing was told, and it has to be decided again.
    pub(super) async fn conclude(
        &self,
        migration: &Arc<NamespaceMigration>,
        known: &Known,
        mut decision: Decision,
    ) -> Result<bool, ReconcileError> {
        self.memory.measure(migration, known, &decision.status);
        let forged = known.forged.is_some();
        // What the watch brought may be older than what was written.
        let has_none =
            migration.status.is_none() && migration.metadata.resource_version.as_ref() == Some(&known.version);
        if forged || has_none || memory::is_news(&decision.status, &known.status, crate::cluster::now()) {
            let Some(version) = self.clear_forged(migration, known, &mut decision).await? else { return Ok(false) };
            let written = status::publish(&self.home.clients.requests, migration, &version, &decision.status).await;
            match written {
                Ok(version) => {
                    self.home.metrics.status_writes.inc();
                    self.memory.remember(migration, decision.status.clone(), version);
                }
                Err(error) if error.is_conflict() => return Ok(false),
                Err(error) if error.not_found() => return Ok(true),
                Err(source) => return Err(ReconcileError::Status { stage: decision.status.stage, source }),
            }
        }
        self.teller.tell(&migration.object_ref(&()), &decision.events).await;
        if decision.effects.contains(&Effect::Release) {
            return self.release(migration).await;
        }
        Ok(true)
    }

    /// Lets the object go. False if somebody has changed it since.
    async fn release(&self, migration: &Arc<NamespaceMigration>) -> Result<bool, ReconcileError> {
        let version = self.memory.latest(migration).version;
        match execute::release(&self.home.clients.requests, migration, &version).await {
            Ok(()) => Ok(true),
            Err(error) if error.is_conflict() => Ok(false),
            Err(error) => Err(ReconcileError::Release(Box::new(error))),
        }
    }
}
