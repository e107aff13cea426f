//! ClusterPairs as they are declared, and a connection for each cluster of each pair that is in use.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use futures::StreamExt as _;
use futures::channel::mpsc::UnboundedSender;
use kube::core::DeserializeGuard;
use kube::{Api, ResourceExt as _};
use kube_runtime::reflector::store::Writer;
use kube_runtime::reflector::{ObjectRef, Store, reflector};
use kube_runtime::watcher::{self, Event};
use kube_runtime::{WatchStreamExt as _, watcher as watch_objects};

use super::{Operator, PAIRS_LISTED, locked, readable};
use crate::api::{ClusterPair, NamespaceMigration};
use crate::cluster::connection::{Address, Connection, HomeAccess};
use crate::machine::Side;
use crate::metrics::Metrics;
use crate::server::Health;

pub(super) struct Pairs {
    store: Store<ClusterPair>,
    writer: Mutex<Option<Writer<ClusterPair>>>,
    connections: Mutex<HashMap<(String, Side), Arc<Connection>>>,
    migrations: Mutex<Option<Store<NamespaceMigration>>>,
    listed: AtomicBool,
}

impl Default for Pairs {
    fn default() -> Self {
        let writer = Writer::default();
        Self {
            store: writer.as_reader(),
            writer: Mutex::new(Some(writer)),
            connections: Mutex::default(),
            migrations: Mutex::default(),
            listed: AtomicBool::new(false),
        }
    }
}

impl Pairs {
    /// Whether a pair that is not here does not exist. All migrations are woken when that becomes true.
    pub(super) fn are_listed(&self) -> bool {
        self.listed.load(Ordering::Acquire)
    }

    pub(super) fn get(&self, name: &str) -> Option<Arc<ClusterPair>> {
        self.store.get(&ObjectRef::new(name))
    }

    /// Every migration, as it is watched.
    pub(super) fn all_migrations(&self) -> Vec<Arc<NamespaceMigration>> {
        locked(&self.migrations).as_ref().map(Store::state).unwrap_or_default()
    }

    /// The connections of a pair. One whose address has changed is made anew; the old one ends with its last user.
    pub(super) fn connections(
        &self,
        pair: &ClusterPair,
        home: &HomeAccess,
        trigger: &UnboundedSender<ObjectRef<NamespaceMigration>>,
    ) -> (Arc<Connection>, Arc<Connection>) {
        let one = |side: Side| self.connection(address(pair, side), home, trigger);
        (one(Side::Source), one(Side::Target))
    }

    fn connection(
        &self,
        address: Address,
        home: &HomeAccess,
        trigger: &UnboundedSender<ObjectRef<NamespaceMigration>>,
    ) -> Arc<Connection> {
        let key = (address.pair.clone(), address.side);
        let mut connections = locked(&self.connections);
        if let Some(connection) = connections.get(&key).filter(|known| known.address == address && !known.is_broken()) {
            return Arc::clone(connection);
        }
        let (migrations, trigger, pair) = (locked(&self.migrations).clone(), trigger.clone(), address.pair.clone());
        let connection = Connection::open(address, home.clone(), move || {
            for user in users(migrations.as_ref(), &pair) {
                // Without a receiver the controller has ended, and nobody needs to be woken.
                drop(trigger.unbounded_send(user));
            }
        });
        connections.insert(key, Arc::clone(&connection));
        connection
    }

    /// Drops the connections of pairs that are gone, also of those that went while nobody watched.
    fn forget_gone(&self, metrics: &Metrics) {
        locked(&self.connections).retain(|(pair, _), _| {
            let stays = self.get(pair).is_some();
            if !stays {
                metrics.forget_pair(pair);
            }
            stays
        });
    }
}

fn address(pair: &ClusterPair, side: Side) -> Address {
    let spec = if side == Side::Source { &pair.spec.source } else { &pair.spec.target };
    Address { pair: pair.name_any(), side, way: spec.connection.clone(), identity: spec.identity.clone() }
}

/// The migrations that name a pair.
fn users(migrations: Option<&Store<NamespaceMigration>>, pair: &str) -> Vec<ObjectRef<NamespaceMigration>> {
    let all = migrations.map(Store::state).unwrap_or_default();
    let users = all.iter().filter(|migration| migration.spec.cluster_pair == pair);
    users.map(|migration| ObjectRef::from_obj(migration.as_ref())).collect()
}

/// Follows the declared pairs and wakes the migrations that name one that has changed.
pub(super) async fn follow(
    operator: Arc<Operator>,
    config: watcher::Config,
    migrations: Store<NamespaceMigration>,
    health: Health,
) {
    let Some(writer) = locked(&operator.pairs.writer).take() else { return };
    *locked(&operator.pairs.migrations) = Some(migrations.clone());
    let api: Api<DeserializeGuard<ClusterPair>> = Api::all(operator.home.clients.watches.clone());
    let watched = readable::only(
        watch_objects(api, config).default_backoff(),
        operator.pairs.store.clone(),
        operator.home.metrics.clone(),
    );
    let mut events = reflector(writer, watched).boxed();
    while let Some(event) = events.next().await {
        let changed = match event {
            Ok(Event::Apply(pair) | Event::InitApply(pair)) => pair.name_any(),
            Ok(Event::Delete(pair)) => {
                operator.pairs.forget_gone(&operator.home.metrics);
                pair.name_any()
            }
            Ok(Event::InitDone) => {
                operator.pairs.forget_gone(&operator.home.metrics);
                operator.pairs.listed.store(true, Ordering::Release);
                health.beat(PAIRS_LISTED);
                wake(&operator, migrations.state().iter().map(|migration| ObjectRef::from_obj(migration.as_ref())));
                continue;
            }
            Ok(Event::Init) => continue,
            Err(error) => {
                tracing::warn!(error = crate::causes::causes(&error), "ClusterPairs cannot be watched");
                continue;
            }
        };
        wake(&operator, users(Some(&migrations), &changed).into_iter());
    }
}

fn wake(operator: &Operator, migrations: impl Iterator<Item = ObjectRef<NamespaceMigration>>) {
    for migration in migrations {
        // Without a receiver the controller has ended, and nobody needs to be woken.
        drop(operator.trigger.unbounded_send(migration));
    }
}
