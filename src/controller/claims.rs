//! The lock on namespaces and hosts, kept for all migrations of this process (`machine::lock`).

use std::collections::BTreeSet;
use std::sync::Mutex;

use kube::ResourceExt as _;
use kube_runtime::reflector::ObjectRef;

use super::{Operator, locked};
use crate::api::{NamespaceMigration, NamespaceMigrationStatus};
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
            ledger.get_or_insert_with(|| self.begun_before()).claim(claim(migration, Some(order), status, observed))
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

    /// What a process before this one had begun is held before anybody asks for it, also where the pair or the spec cannot be read now.
    fn begun_before(&self) -> Ledger {
        let mut ledger = Ledger::default();
        for migration in self.pairs.all_migrations() {
            let status = migration.status.clone().unwrap_or_default();
            if stages::is_on_its_way(status.stage) {
                let order = self.order(&migration).ok().map(|(order, _)| order);
                ledger.claim(claim(&migration, order.as_ref(), &status, &Observed::default()));
            }
        }
        ledger
    }
}

/// What a migration claims. Without an order that is what its status remembers, which holds all of it once it has begun.
fn claim(
    migration: &NamespaceMigration,
    order: Option<&Order>,
    status: &NamespaceMigrationStatus,
    observed: &Observed,
) -> Claim {
    let begun = stages::is_on_its_way(status.stage);
    let own = migration.namespace().unwrap_or_default();
    let namespace = migration.spec.namespace.as_ref().unwrap_or(&own);
    let namespaces =
        clusters(order, status).into_iter().map(|cluster| Thing::Namespace { cluster, namespace: namespace.clone() });
    let moving = order.into_iter().flat_map(|order| preflight::moving_ingresses(order, observed));
    let seen = moving.filter_map(|name| observed.source.ingresses.get(name)).flat_map(|facts| &facts.hosts);
    let known = status.traffic.iter().flat_map(|traffic| &traffic.hosts).filter(|_| begun);
    let created = migration.metadata.creation_timestamp.as_ref().map_or(0, |time| time.0.as_second());
    Claim {
        object: (own.clone(), migration.name_any()),
        age: (created, migration.uid().unwrap_or_default()),
        things: namespaces.chain(seen.chain(known).cloned().map(Thing::Host)).collect(),
        begun,
    }
}

/// The identities of both clusters: those that an attempt began with, or those that its pair names.
fn clusters(order: Option<&Order>, status: &NamespaceMigrationStatus) -> Vec<String> {
    let begun =
        status.plan.as_ref().and_then(|plan| plan.clusters.as_ref()).filter(|_| stages::is_on_its_way(status.stage));
    let begun = begun.map(|clusters| vec![clusters.source.identity.clone(), clusters.target.identity.clone()]);
    let named = || order.map(|order| vec![order.source.identity.clone(), order.target.identity.clone()]);
    begun.or_else(named).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn migration(stage: &str, clusters: Value) -> NamespaceMigration {
        let plan = json!({"steps": [], "ingresses": [], "secrets": [], "bake": "1h", "clusters": clusters});
        serde_json::from_value(json!({
            "apiVersion": "namespacemigration.io/v1alpha1", "kind": "NamespaceMigration",
            "metadata": {"name": "shop", "namespace": "platform", "uid": "7", "creationTimestamp": "2026-11-21T08:00:00Z"},
            "spec": {"clusterPair": "gone", "namespace": "shop-dev"},
            "status": {
                "stage": stage, "plan": plan, "traffic": [{"ingress": "web", "hosts": ["shop.example", "www.shop.example"]}],
            },
        }))
        .unwrap()
    }

    fn without_order(migration: &NamespaceMigration) -> Claim {
        claim(migration, None, &migration.status.clone().unwrap(), &Observed::default())
    }

    fn both() -> Value {
        let cluster = |identity: &str| json!({"identity": identity, "annotationPrefix": "external-dns.kubernetes.io/"});
        json!({"source": cluster("old"), "target": cluster("new")})
    }

    #[test]
    fn what_has_begun_claims_its_namespace_in_both_clusters_and_its_hosts_though_its_pair_is_gone() {
        for stage in ["WeightSource", "ShiftTraffic", "Bake", "RollingBack", "RollbackBlocked"] {
            let found = without_order(&migration(stage, both()));
            let namespace =
                |cluster: &str| Thing::Namespace { cluster: cluster.to_owned(), namespace: "shop-dev".to_owned() };
            let host = |host: &str| Thing::Host(host.to_owned());
            let expected = [namespace("old"), namespace("new"), host("shop.example"), host("www.shop.example")].into();
            assert_eq!((found.begun, found.things), (true, expected), "{stage}");
            assert_eq!(found.object, ("platform".to_owned(), "shop".to_owned()));
        }
    }

    #[test]
    fn what_has_not_begun_or_has_ended_claims_nothing_without_an_order() {
        for stage in ["Pending", "Preflight", "Completed", "RolledBack", "Failed"] {
            let found = without_order(&migration(stage, both()));
            assert_eq!((found.begun, found.things), (false, [].into()), "{stage}");
        }
    }

    #[test]
    fn a_plan_without_clusters_still_claims_the_hosts() {
        let found = without_order(&migration("ShiftTraffic", Value::Null));
        assert_eq!((found.begun, found.things.len()), (true, 2));
    }
}
