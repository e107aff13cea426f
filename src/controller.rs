//! Who calls whom: watches and triggers on one side, one pass over one migration on the other.
//!
//! `pass.rs` reads like a table of contents: remember, order, needs, site, observe, decide, execute, publish, tell.

mod claims;
mod conclude;
mod forged;
mod hurry;
mod memory;
mod own_rights;
mod pair_pass;
mod pairs;
mod pass;
mod pay;
mod readable;
mod rest;
mod sites;
mod waits;
mod watches;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::channel::mpsc::UnboundedSender;
use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use kube::core::DeserializeGuard;
use kube::{Api, ResourceExt as _};
use kube_runtime::controller::Controller;
use kube_runtime::reflector::{self, ObjectRef};
use kube_runtime::{WatchStreamExt as _, watcher, watcher as watch_objects};
use ring::hmac;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::api::{ClusterPair, NamespaceMigration};
use crate::cluster::connection::HomeAccess;
use crate::cluster::external_dns_watch::ExternalDnsWatches;
use crate::cluster::home_rights::HomeRights;
use crate::dns::{DnsReader, Resolver};
use crate::events::Teller;
use crate::lease::Leadership;
use crate::machine::order::Home;
use crate::mutex::locked;
use crate::server::Health;
use crate::site::Site;
use hurry::Hurry;
use memory::Memory;
use pairs::Pairs;
use pass::{ReconcileError, caught, retry};
use waits::Waits;
use watches::Watches;

/// A part of the process that `/readyz` waits for.
pub const MIGRATIONS_LISTED: &str = "migrations listed";
/// A part of the process that `/readyz` waits for.
pub const PAIRS_LISTED: &str = "cluster pairs listed";

/// Everything that passes share.
pub struct Operator {
    home: HomeAccess,
    identity: Home,
    pairs: Pairs,
    sites: Mutex<HashMap<ObjectRef<NamespaceMigration>, Arc<Site>>>,
    watches: Watches,
    home_rights: HomeRights,
    memory: Memory,
    /// Reads DNS for every migration that asks.
    dns: DnsReader,
    /// The Deployments of external-dns that pairs in use name.
    external_dns: ExternalDnsWatches,
    waits: Waits,
    leadership: Leadership,
    hurry: Hurry,
    claims: claims::Claims,
    teller: Teller,
    trigger: UnboundedSender<ObjectRef<NamespaceMigration>>,
    /// Key of the hashes by which Secrets are compared. A new one for each process, stored nowhere.
    digest_key: hmac::Key,
}

type ControllerError = kube_runtime::controller::Error<ReconcileError, watcher::Error>;

/// What the controller works with.
pub struct Setting {
    /// The home cluster.
    pub home: HomeAccess,
    /// Who that is.
    pub identity: Home,
    /// Label selector of what is handled; everything when None.
    pub selector: Option<String>,
    /// Who may go forward.
    pub leadership: Leadership,
    /// The Lease that it is kept by, if there is one.
    pub lease: Option<String>,
    /// Until when the leader before this process watched; None when nobody knows.
    pub watched_before: Option<Timestamp>,
    /// Shortest time between two requests to one Route 53 account.
    pub route53_gap: Duration,
    /// Who knows the addresses of load balancers.
    pub resolver: Resolver,
}

/// Why the controller ended without being asked to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Nothing tells of ClusterPairs any more, and old ones must not be acted on.
    #[error("the watch of ClusterPairs ended, which is a bug; the process ends, so that it starts anew")]
    PairsEnded,
}

/// Runs the controller until `stop`; then lets every pass in progress come to its end.
///
/// # Errors
/// When a part of it that the others rest on has ended by itself.
pub async fn run(setting: Setting, health: Health, stop: CancellationToken) -> Result<(), RunError> {
    let (trigger, triggers) = futures::channel::mpsc::unbounded();
    let (pair_trigger, pair_triggers) = futures::channel::mpsc::unbounded();
    let labels = setting.selector.clone();
    let config = labels.map_or_else(watcher::Config::default, |labels| watcher::Config::default().labels(&labels));
    let (migrations, writer) = reflector::store();
    let operator = Arc::new(Operator::new(setting, trigger, pair_trigger));
    let rights = tokio::spawn(stop.clone().run_until_cancelled_owned(own_rights::tell(Arc::clone(&operator))));
    let (listed, store) = (Arc::clone(&operator), migrations.clone());
    let pairs =
        pairs::follow(Arc::clone(&listed), config.clone(), store.clone(), pair_triggers, health.clone(), stop.clone());
    let pairs = until_asked(tokio::spawn(pairs), stop.clone());
    let api = Api::<DeserializeGuard<NamespaceMigration>>::all(operator.home.clients.watches.clone());
    // Not `Store::wait_until_ready`: of several that wait only the last is woken, and the controller itself waits there.
    let seen = Arc::clone(&operator);
    let watched =
        readable::only(watch_objects(api, config).default_backoff(), migrations.clone(), operator.home.metrics.clone());
    let watched = watched.reflect(writer).inspect_ok(move |event| match event {
        watcher::Event::InitDone => {
            health.beat(MIGRATIONS_LISTED);
            seen.pairs.migrations_are_listed();
            seen.look_for_gone(&store);
        }
        watcher::Event::Apply(migration) | watcher::Event::InitApply(migration) => {
            seen.hurry.look(migration);
            seen.pairs.notice(migration);
        }
        watcher::Event::Delete(_) | watcher::Event::Init => {}
    });
    let controller = Controller::for_stream(watched.touched_objects(), migrations.clone())
        .reconcile_on(triggers)
        .graceful_shutdown_on(stop.cancelled_owned())
        .run(caught, retry, Arc::clone(&operator))
        .for_each(|result| {
            operator.note(result.map(drop));
            std::future::ready(())
        });
    let ((), pairs) = futures::join!(controller, pairs);
    rights.abort();
    rest::stop_clocks(&operator, &migrations).await;
    pairs
}

/// The end of the task that follows the pairs. When nobody asked for it, it makes everything else stop as well.
async fn until_asked(pairs: JoinHandle<()>, stop: CancellationToken) -> Result<(), RunError> {
    // Whether it panicked or returned, nothing follows the pairs any more.
    drop(pairs.await);
    if stop.is_cancelled() {
        return Ok(());
    }
    stop.cancel();
    Err(RunError::PairsEnded)
}

impl Operator {
    fn new(
        setting: Setting,
        trigger: UnboundedSender<ObjectRef<NamespaceMigration>>,
        pair_trigger: UnboundedSender<ObjectRef<ClusterPair>>,
    ) -> Self {
        let Setting { home, identity, leadership, lease, watched_before, route53_gap, resolver, .. } = setting;
        let teller = Teller::new(home.clients.requests.clone());
        Self {
            pairs: Pairs::new(pair_trigger),
            sites: Mutex::default(),
            watches: Watches::new(watched_before),
            home_rights: HomeRights::new(home.clients.requests.clone(), home.namespace.clone(), lease),
            memory: Memory::new(home.metrics.clone()),
            dns: DnsReader::new(home.clone(), route53_gap, resolver),
            external_dns: ExternalDnsWatches::default(),
            waits: Waits::default(),
            leadership,
            hurry: Hurry::default(),
            claims: claims::Claims::default(),
            teller,
            trigger,
            digest_key: hmac::Key::new(hmac::HMAC_SHA256, &crate::random::bytes::<32>()),
            home,
            identity,
        }
    }

    /// Wakes what is known of migrations that went while nobody watched, so that it is dropped.
    fn look_for_gone(&self, store: &reflector::Store<NamespaceMigration>) {
        let sites = locked(&self.sites).keys().cloned().collect::<Vec<_>>();
        for known in sites.into_iter().chain(self.memory.known()).filter(|known| store.get(known).is_none()) {
            // Without a receiver the controller has ended, and there is nothing to drop.
            drop(self.trigger.unbounded_send(known));
        }
    }

    /// What the controller itself has to say: a migration that is gone, or a watch that fails.
    fn note(&self, result: Result<(), ControllerError>) {
        match result {
            // A failed pass has been logged and counted where it is backed off.
            Ok(()) | Err(ControllerError::ReconcilerFailed(..)) => {}
            Err(ControllerError::ObjectNotFound(gone)) => {
                self.forget(&ObjectRef::new(&gone.name).within(gone.namespace.as_deref().unwrap_or_default()));
            }
            Err(error) => tracing::warn!(error = crate::causes::causes(&error), "migrations cannot be watched"),
        }
    }

    fn forget(&self, gone: &ObjectRef<NamespaceMigration>) {
        self.close_site(gone);
        self.pairs.forget_user(gone);
        self.watches.forget(gone);
        self.hurry.forget(gone);
        self.release_claim(gone);
        let uid = self.memory.forget(gone);
        self.waits.reset(&uid.unwrap_or_default());
    }
}

fn uid(migration: &NamespaceMigration) -> String {
    migration.uid().unwrap_or_default()
}
