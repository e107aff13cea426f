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

/// What became of a status.
enum Written {
    Yes,
    /// Somebody has changed the object since: it has to be decided again.
    Outdated,
    /// The object is not there any more.
    Gone,
}

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
            match self.write_status(migration, known, &mut decision).await {
                Ok(Written::Yes) => {}
                Ok(Written::Outdated) => return Ok(false),
                Ok(Written::Gone) => return Ok(true),
                Err(error) if self.goes_anyway(migration, &decision) => {
                    tracing::error!(
                        error = crate::causes::whole(&error),
                        "the object is let go without its last status"
                    );
                }
                Err(error) => return Err(error),
            }
        }
        let pair = self.pairs.get(&migration.spec.cluster_pair).map(|pair| pair.object_ref(&()));
        self.teller.tell(&migration.object_ref(&()), pair.as_ref(), &decision.events).await;
        if decision.effects.iter().any(Effect::lets_go) {
            return self.release(migration).await;
        }
        Ok(true)
    }

    async fn write_status(
        &self,
        migration: &Arc<NamespaceMigration>,
        known: &Known,
        decision: &mut Decision,
    ) -> Result<Written, ReconcileError> {
        let Some(version) = self.clear_forged(migration, known, decision).await? else { return Ok(Written::Outdated) };
        let written = status::publish(&self.home.clients.requests, migration, &version, &decision.status).await;
        match written {
            Ok(version) => {
                self.home.metrics.status_writes.inc();
                self.memory.remember(migration, decision.status.clone(), version);
                Ok(Written::Yes)
            }
            Err(error) if error.is_conflict() => Ok(Written::Outdated),
            Err(error) if error.not_found() => Ok(Written::Gone),
            Err(source) => Err(ReconcileError::Status { stage: decision.status.stage, source }),
        }
    }

    /// Whether the object goes although not everything could be noted: it has waited long enough, and the pass before failed too.
    pub(super) fn goes_anyway(&self, migration: &NamespaceMigration, decision: &Decision) -> bool {
        decision.effects.contains(&Effect::ReleaseAnyway) && self.waits.has_failed(&uid(migration))
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
