//! ClusterPairs as they are declared, and a connection for each cluster of each pair that is in use.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender};
use futures::{StreamExt as _, TryStreamExt as _};
use kube::core::DeserializeGuard;
use kube::{Api, ResourceExt as _};
use kube_runtime::controller::{Controller, Error as ControllerError};
use kube_runtime::reflector::store::Writer;
use kube_runtime::reflector::{ObjectRef, Store};
use kube_runtime::watcher::{self, Event};
use kube_runtime::{WatchStreamExt as _, watcher as watch_objects};
use tokio_util::sync::CancellationToken;

use super::{Operator, PAIRS_LISTED, locked, pair_pass, readable};
use crate::api::pair_status::ClusterFacts;
use crate::api::{ClusterPair, ClusterPairStatus, NamespaceMigration};
use crate::cluster::connection::{Address, Connection, HomeAccess};
use crate::machine::Side;
use crate::machine::debt::Debts;
use crate::machine::pair_hold::is_under_way;
use crate::metrics::Metrics;
use crate::server::Health;

pub(super) struct Pairs {
    store: Store<ClusterPair>,
    writer: Mutex<Option<Writer<ClusterPair>>>,
    connections: Mutex<HashMap<(String, Side), Arc<Connection>>>,
    migrations: Mutex<Option<Store<NamespaceMigration>>>,
    /// What this process last said of each pair. Another process may see it otherwise; nobody is contradicted without news.
    said: Mutex<HashMap<String, ClusterPairStatus>>,
    /// Those that were last seen to be under way, each with its pair.
    users: Mutex<HashMap<ObjectRef<NamespaceMigration>, String>>,
    trigger: UnboundedSender<ObjectRef<ClusterPair>>,
    listed: AtomicBool,
    migrations_listed: AtomicBool,
}

impl Pairs {
    /// No pair is known yet. The trigger wakes the pass over a pair.
    pub(super) fn new(trigger: UnboundedSender<ObjectRef<ClusterPair>>) -> Self {
        let writer = Writer::default();
        Self {
            said: Mutex::default(),
            users: Mutex::default(),
            trigger,
            store: writer.as_reader(),
            writer: Mutex::new(Some(writer)),
            connections: Mutex::default(),
            migrations: Mutex::default(),
            listed: AtomicBool::new(false),
            migrations_listed: AtomicBool::new(false),
        }
    }

    /// Wakes the pass over a pair.
    pub(super) fn wake(&self, name: &str) {
        // Without a receiver the controller has ended, and nobody needs to be woken.
        drop(self.trigger.unbounded_send(ObjectRef::new(name)));
    }

    /// Whether this process has something else to say of a pair than before.
    pub(super) fn is_news(&self, pair: &ClusterPair, status: &ClusterPairStatus) -> bool {
        let said = locked(&self.said);
        said.get(&pair.name_any()).is_none_or(|before| meaning(before) != meaning(status))
    }

    /// Remembers what was said.
    pub(super) fn said(&self, pair: &ClusterPair, status: ClusterPairStatus) {
        locked(&self.said).insert(pair.name_any(), status);
    }

    /// The connections to the source and to the target, where there are any.
    pub(super) fn connected(&self, name: &str) -> [Option<Arc<Connection>>; 2] {
        let connections = locked(&self.connections);
        [Side::Source, Side::Target].map(|side| connections.get(&(name.to_owned(), side)).cloned())
    }

    /// Drops the connections of a pair that nobody needs.
    pub(super) fn disconnect(&self, name: &str, metrics: &Metrics) {
        let mut connections = locked(&self.connections);
        let dropped = [Side::Source, Side::Target].map(|side| connections.remove(&(name.to_owned(), side)));
        if dropped.iter().any(Option::is_some) {
            metrics.forget_pair(name);
        }
    }

    /// Those under way by a pair, as `namespace/name`. None until all migrations are listed: one that is not known may be under way.
    pub(super) fn under_way(&self, name: &str) -> Option<BTreeSet<String>> {
        let all = self.migrations_listed.load(Ordering::Acquire).then(|| self.all_migrations())?;
        let users = all.iter().filter(|migration| migration.spec.cluster_pair == name && is_under_way(migration));
        Some(users.map(|user| format!("{}/{}", user.namespace().unwrap_or_default(), user.name_any())).collect())
    }

    /// A migration as it was seen: when it begins or ends to be under way, the pass over its pair is woken.
    pub(super) fn notice(&self, migration: &NamespaceMigration) {
        let (key, pair) = (ObjectRef::from_obj(migration), migration.spec.cluster_pair.clone());
        if !is_under_way(migration) {
            return self.forget_user(&key);
        }
        let news = locked(&self.users).insert(key, pair.clone()).is_none();
        if news {
            self.wake(&pair);
        }
    }

    /// A migration is under way no more, or gone.
    pub(super) fn forget_user(&self, key: &ObjectRef<NamespaceMigration>) {
        let known = locked(&self.users).remove(key);
        if let Some(pair) = known {
            self.wake(&pair);
        }
    }

    /// All migrations are known from now on: what waited for that is looked at.
    pub(super) fn migrations_are_listed(&self) {
        self.migrations_listed.store(true, Ordering::Release);
        for pair in self.store.state() {
            self.wake(&pair.name_any());
        }
    }

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
        let pairs = self.trigger.clone();
        let connection = Connection::open(address, home.clone(), move || {
            // Without a receiver the controller has ended, and nobody needs to be woken.
            drop(pairs.unbounded_send(ObjectRef::new(&pair)));
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
        locked(&self.said).retain(|pair, _| self.get(pair).is_some());
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
    let spec = side.pick(&pair.spec.source, &pair.spec.target);
    Address { pair: pair.name_any(), side, way: spec.connection.clone(), identity: spec.identity.clone() }
}

/// The migrations that name a pair.
fn users(migrations: Option<&Store<NamespaceMigration>>, pair: &str) -> Vec<ObjectRef<NamespaceMigration>> {
    let all = migrations.map(Store::state).unwrap_or_default();
    let users = all.iter().filter(|migration| migration.spec.cluster_pair == pair);
    users.map(|migration| ObjectRef::from_obj(migration.as_ref())).collect()
}

/// What a status says, without the times of its own.
fn meaning(status: &ClusterPairStatus) -> impl PartialEq + '_ {
    let conditions = status.conditions.iter().map(|c| (&c.type_, &c.status, &c.reason, &c.message));
    let version = |facts: &Option<ClusterFacts>| facts.as_ref().map(|facts| facts.version.clone());
    let versions = [version(&status.source), version(&status.target)];
    (status.observed_generation, versions, conditions.collect::<Vec<_>>())
}

/// Follows the declared pairs until `stop`: wakes the migrations that name one that has changed, and keeps what each tells.
pub(super) async fn follow(
    operator: Arc<Operator>,
    config: watcher::Config,
    migrations: Store<NamespaceMigration>,
    triggers: UnboundedReceiver<ObjectRef<ClusterPair>>,
    health: Health,
    stop: CancellationToken,
) {
    let Some(writer) = locked(&operator.pairs.writer).take() else { return };
    *locked(&operator.pairs.migrations) = Some(migrations.clone());
    let api: Api<DeserializeGuard<ClusterPair>> = Api::all(operator.home.clients.watches.clone());
    let watched = readable::only(
        watch_objects(api, config).default_backoff(),
        operator.pairs.store.clone(),
        operator.home.metrics.clone(),
    );
    let mut heard = Heard { operator: Arc::clone(&operator), migrations, health, specs: HashMap::new() };
    let watched = watched.reflect(writer).inspect_ok(move |event| heard.hear(event));
    Controller::for_stream(watched.touched_objects(), operator.pairs.store.clone())
        .reconcile_on(triggers)
        .graceful_shutdown_on(stop.cancelled_owned())
        .run(pair_pass::caught, pair_pass::retry, Arc::clone(&operator))
        .for_each(|result| {
            match result {
                // A failed pass has been logged where it is tried again; a pair that is gone needs none.
                Ok(_) | Err(ControllerError::ReconcilerFailed(..) | ControllerError::ObjectNotFound(_)) => {}
                Err(error) => tracing::warn!(error = crate::causes::causes(&error), "ClusterPairs cannot be watched"),
            }
            std::future::ready(())
        })
        .await;
}

/// What the watch of the pairs tells, handed on to the migrations.
struct Heard {
    operator: Arc<Operator>,
    migrations: Store<NamespaceMigration>,
    health: Health,
    /// UID and generation of each pair: its status is no news to a migration.
    specs: HashMap<String, (Option<String>, Option<i64>)>,
}

impl Heard {
    fn hear(&mut self, event: &Event<ClusterPair>) {
        let pairs = &self.operator.pairs;
        match event {
            Event::Apply(pair) | Event::InitApply(pair) => {
                let spec = (pair.metadata.uid.clone(), pair.metadata.generation);
                if self.specs.insert(pair.name_any(), spec.clone()) != Some(spec) {
                    self.wake_users(&pair.name_any());
                }
            }
            Event::Delete(pair) => {
                pairs.forget_gone(&self.operator.home.metrics);
                let owed = pair.status.as_ref().map_or(0, |status| Debts::of(status).count());
                if owed > 0 {
                    let pair = pair.name_any();
                    tracing::warn!(
                        pair,
                        owed,
                        "the ClusterPair went with leftovers: nobody writes those weights or removes those objects any more"
                    );
                }
                self.specs.remove(&pair.name_any());
                self.wake_users(&pair.name_any());
            }
            Event::InitDone => {
                pairs.forget_gone(&self.operator.home.metrics);
                pairs.listed.store(true, Ordering::Release);
                self.health.beat(PAIRS_LISTED);
                self.wake(self.migrations.state().iter().map(|migration| ObjectRef::from_obj(migration.as_ref())));
            }
            Event::Init => {}
        }
    }

    fn wake_users(&self, pair: &str) {
        self.wake(users(Some(&self.migrations), pair).into_iter());
    }

    fn wake(&self, migrations: impl Iterator<Item = ObjectRef<NamespaceMigration>>) {
        for migration in migrations {
            // Without a receiver the controller has ended, and nobody needs to be woken.
            drop(self.operator.trigger.unbounded_send(migration));
        }
    }
}
