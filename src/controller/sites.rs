//! Orders and sites: what a migration asks for, and its namespace watched in both clusters for as long as it needs that.

use std::sync::Arc;

use kube_runtime::reflector::ObjectRef;

use super::{Operator, locked, uid};
use crate::api::{ClusterPair, NamespaceMigration};
use crate::machine::drive::Needs;
use crate::machine::order::{Order, OrderError};
use crate::machine::pair_hold;
use crate::site::{Site, Wake};

impl Operator {
    /// What is asked for, with the pair that it names.
    pub(super) fn order(&self, migration: &NamespaceMigration) -> Result<(Order, Arc<ClusterPair>), OrderError> {
        let name = &migration.spec.cluster_pair;
        let pair = self.pairs.get(name).ok_or_else(|| OrderError::NoSuchPair { pair: name.clone() })?;
        if pair_hold::takes_no_more(&pair, migration) {
            return Err(OrderError::PairGoes { pair: name.clone() });
        }
        Ok((Order::parse(migration, &pair, &self.identity)?, pair))
    }

    /// The site of a migration, opened if it is needed and dropped if it is not.
    pub(super) fn site(
        &self,
        migration: &Arc<NamespaceMigration>,
        order: &Order,
        pair: &ClusterPair,
        needs: &Needs,
    ) -> Option<Arc<Site>> {
        let site = self.namespaces(migration, order, pair, needs)?;
        site.follow_external_dns(&self.external_dns, pair);
        Some(site)
    }

    fn namespaces(
        &self,
        migration: &Arc<NamespaceMigration>,
        order: &Order,
        pair: &ClusterPair,
        needs: &Needs,
    ) -> Option<Arc<Site>> {
        let key = ObjectRef::from_obj(migration.as_ref());
        let mut sites = locked(&self.sites);
        if !needs.clusters {
            if sites.remove(&key).is_some() {
                self.pairs.wake(&order.pair);
            }
            self.release_claim(&key);
            return None;
        }
        let uid = uid(migration);
        let wake = self.wake(key.clone());
        let (source, target) = self.pairs.connections(pair, &self.home, &self.trigger);
        if let Some(site) = sites.get(&key).filter(|site| site.fits(&uid, order, &source, &target)) {
            return Some(Arc::clone(site));
        }
        if let Some(old) = sites.remove(&key) {
            self.watches.ends(&key, &old.health(), crate::cluster::now());
        }
        let watched_before = self.watches.before(&key);
        let site = Arc::new(Site::open(uid, order, source, target, wake, self.home.metrics.clone(), watched_before));
        sites.insert(key, Arc::clone(&site));
        self.pairs.wake(&order.pair);
        Some(site)
    }

    fn wake(&self, about: ObjectRef<NamespaceMigration>) -> Wake {
        let trigger = self.trigger.clone();
        // The receiver lives as long as the controller; afterwards nobody needs to be woken.
        Arc::new(move || drop(trigger.unbounded_send(about.clone())))
    }

    /// Whether the pair is still in use is told by the pass over it.
    pub(super) fn close_site(&self, of: &ObjectRef<NamespaceMigration>) {
        let closed = locked(&self.sites).remove(of);
        if let Some(site) = closed {
            self.watches.ends(of, &site.health(), crate::cluster::now());
            self.pairs.wake(&site.source.connection().address.pair);
        }
    }
}
