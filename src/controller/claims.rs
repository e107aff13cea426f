//! The lock on namespaces and hosts, kept for all migrations of this process (`machine::lock`).

use std::collections::BTreeSet;
use std::sync::Mutex;

use kube::ResourceExt as _;
use kube_runtime::reflector::ObjectRef;

use super::{Operator, locked};
use crate::api::{NamespaceMigration, NamespaceMigrationStatus, Stage};
use crate::machine::lock::{Claim, Holder, Ledger, Object, Thing};
use crate::machine::order::Order;
use crate::machine::{Observed, stages};
use crate::preflight;

/// The claims. None before the first one: then those that had begun before this process are entered first.
#[derive(Default)]
pub(super) struct Claims {
    ledger: Mutex<Option<Ledger>>,
}

impl Operator {
    /// Claims the namespace and its hosts. Returns who stands in front; until nobody does, nothing is begun.
    pub(super) fn claim(
        &self,
        migration: &NamespaceMigration,
        order: &Order,
        status: &NamespaceMigrationStatus,
        observed: &Observed,
    ) -> Option<Holder> {
        let answer = {
            let mut ledger = locked(&self.claims.ledger);
            ledger.get_or_insert_with(|| self.begun_before()).claim(claim(migration, order, status, observed))
        };
        self.look_again(answer.look_again);
        answer.in_front
    }

    /// Gives the namespace and its hosts to whoever waits for them.
    pub(super) fn release_claim(&self, object: &ObjectRef<NamespaceMigration>) {
        let object = (object.namespace.clone().unwrap_or_default(), object.name.clone());
        let waiting = locked(&self.claims.ledger).as_mut().map(|ledger| ledger.release(&object));
        self.look_again(waiting.unwrap_or_default());
    }

    fn look_again(&self, waiting: BTreeSet<Object>) {
        for (namespace, name) in waiting {
            // Without a receiver the controller has ended, and nobody needs to be woken.
            drop(self.trigger.unbounded_send(ObjectRef::new(&name).within(&namespace)));
        }
    }

    /// What a process before this one had begun is held before anybody asks for it.
    fn begun_before(&self) -> Ledger {
        let mut ledger = Ledger::default();
        for migration in self.pairs.all_migrations() {
            let status = migration.status.clone().unwrap_or_default();
            let begun = has_begun(status.stage).then(|| self.order(&migration).ok()).flatten();
            if let Some((order, _)) = begun {
                ledger.claim(claim(&migration, &order, &status, &Observed::default()));
            }
        }
        ledger
    }
}

fn has_begun(stage: Stage) -> bool {
    stage > Stage::Preflight && !stages::is_terminal(stage)
}

fn claim(
    migration: &NamespaceMigration,
    order: &Order,
    status: &NamespaceMigrationStatus,
    observed: &Observed,
) -> Claim {
    let namespaces = [&order.source, &order.target]
        .map(|side| Thing::Namespace { cluster: side.identity.clone(), namespace: order.namespace.clone() });
    let seen = preflight::moving_ingresses(order, observed).filter_map(|name| observed.source.ingresses.get(name));
    let seen = seen.flat_map(|facts| &facts.hosts);
    let known = status.traffic.iter().flat_map(|traffic| &traffic.hosts).filter(|_| has_begun(status.stage));
    let created = migration.metadata.creation_timestamp.as_ref().map_or(0, |time| time.0.as_second());
    Claim {
        object: order.object.clone(),
        age: (created, migration.uid().unwrap_or_default()),
        things: namespaces.into_iter().chain(seen.chain(known).cloned().map(Thing::Host)).collect(),
        begun: has_begun(status.stage),
    }
}
