//! Who calls whom: watches and triggers on one side, one pass over one migration on the other.
//!
//! `reconcile` reads like a table of contents: remember, order, needs, site, observe, decide, execute, publish, tell.

mod claims;
mod forged;
mod hurry;
mod memory;
mod pair_pass;
mod pairs;
mod readable;
mod rest;
mod waits;

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::channel::mpsc::UnboundedSender;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use kube::core::DeserializeGuard;
use kube::{Api, Resource as _, ResourceExt as _};
use kube_runtime::controller::{Action, Controller};
use kube_runtime::reflector::{self, ObjectRef};
use kube_runtime::{WatchStreamExt as _, watcher, watcher as watch_objects};
use ring::hmac;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::api::{ClusterPair, NamespaceMigration, Stage};
use crate::cluster::call::CallError;
use crate::cluster::connection::HomeAccess;
use crate::events::{self, Teller};
use crate::execute::{self, ExecuteError, HomeObject, execute};
use crate::lease::Leadership;
use crate::machine::deletion::{self, Deletion};
use crate::machine::drive::{Decision, Needs};
use crate::machine::order::{Home, Order, OrderError};
use crate::machine::{self, Effect, Observed, Reason, stages};
use crate::metrics::{ErrorLabels, ReconcileLabels, ReconcileResult};
use crate::observe::observe;
use crate::probe::plan::ProbePlan;
use crate::server::Health;
use crate::site::{Site, Wake};
use crate::status;
use hurry::Hurry;
use memory::{Known, Memory};
use pairs::Pairs;
use waits::{Waits, until};

/// The watch usually brings a newer object at once; should it not, a look is taken after this time.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
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
    memory: Memory,
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

/// Why a pass did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The status could not be written. Weights, if any, were written before.
    #[error("cannot write the status")]
    Status {
        /// The stage that was to be written: the object still shows an older one.
        stage: Stage,
        /// What happened.
        #[source]
        source: CallError,
    },
    /// Our finalizer could not be taken off. The status was written before.
    #[error("cannot let the object go")]
    Release(#[source] Box<ExecuteError>),
    /// A pass panicked: a bug, but one that must not stop the other migrations.
    #[error("the pass panicked: {0}")]
    Panicked(String),
}

impl ReconcileError {
    fn category(&self) -> &'static str {
        match self {
            Self::Status { .. } => "status",
            Self::Release(_) => "release",
            Self::Panicked(_) => "panic",
        }
    }
}

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
            seen.look_for_gone(&store);
        }
        watcher::Event::Apply(migration) | watcher::Event::InitApply(migration) => seen.hurry.look(migration),
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

/// One pass, of which a panic is caught and counted: one object's trouble is not the others'.
async fn caught(migration: Arc<NamespaceMigration>, operator: Arc<Operator>) -> Result<Action, ReconcileError> {
    let started = tokio::time::Instant::now();
    let about = format!("{}/{}", migration.namespace().unwrap_or_default(), migration.name_any());
    let pass = AssertUnwindSafe(Box::pin(reconcile(&migration, &operator))).catch_unwind();
    let result = pass
        .instrument(tracing::info_span!("pass", migration = about))
        .await
        .unwrap_or_else(|panic| Err(ReconcileError::Panicked(panic_text(&*panic))));
    let metrics = &operator.home.metrics;
    let label = match &result {
        Ok(_) => ReconcileResult::Success,
        Err(ReconcileError::Status { .. } | ReconcileError::Release(_)) => ReconcileResult::Failure,
        Err(ReconcileError::Panicked(_)) => {
            metrics.panics.inc();
            ReconcileResult::Panic
        }
    };
    metrics.reconciles.get_or_create(&ReconcileLabels { result: label }).inc();
    metrics.reconcile_duration.observe(started.elapsed().as_secs_f64());
    result
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

/// One pass over one migration.
async fn reconcile(migration: &Arc<NamespaceMigration>, operator: &Arc<Operator>) -> Result<Action, ReconcileError> {
    // Until the pairs are listed, one that is missing is no news; then every migration is woken.
    if !operator.pairs.are_listed() {
        return Ok(Action::await_change());
    }

    // No request needed: what is remembered, what is asked for, what must be looked at.
    let mut known = operator.memory.latest(migration);
    let (order, pair) = match operator.order(migration) {
        Ok(parsed) => parsed,
        Err(error) => return operator.reject(migration, &known, &error).await,
    };
    let needs = machine::needs(&order, &known.status);
    let site = operator.site(migration, &order, &pair, &needs);

    // What goes forward ends here as soon as a person asks for a pause, a rollback or the end; what goes back does not.
    let hurried = operator.hurry.pass(migration);

    // Requests only where the stage needs Secrets.
    let observe = Box::pin(async {
        match &site {
            Some(site) => observe(site, &order, &needs, &operator.digest_key).await,
            None => Observed::default(),
        }
    });
    let Some(mut observed) = hurried.unless_back(stages::is_rollback(known.status.stage), observe).await else {
        return Ok(hurry::interrupted(&order));
    };

    // No request needed.
    observed.in_front = operator.claim(migration, &order, &known.status, &observed);
    let mut decision = machine::decide(&order, &known.status, &observed, crate::cluster::now());
    if let Some(site) = &site {
        watch_health(site, migration, &pair, &order, &decision, &observed);
    }
    let home = HomeObject { client: &operator.home.clients.requests, migration, version: &known.version };
    let permitted = operator.leadership.permitted(&decision.effects);
    if permitted.len() < decision.effects.len() {
        // Who may not be the leader any more takes users back, and neither does nor tells anything else.
        Box::pin(execute(&order, &home, site.as_deref(), &permitted)).await;
        return Ok(Action::requeue(LOOK_AGAIN));
    }
    events::log(migration, &known.status.reason, &decision);

    // Requests needed: the world first, then what people read of it.
    let back = permitted.iter().any(Effect::is_rollback);
    let execution = Box::pin(execute(&order, &home, site.as_deref(), &permitted));
    let Some(report) = hurried.unless_back(back, execution).await else {
        return Ok(hurry::interrupted(&order));
    };
    drop(hurried);
    let failures = report.to_tell(operator.waits.has_failed(&uid(migration)));
    machine::failure::tell(&mut decision, &known.status, &failures, crate::cluster::now());
    if !report.failures.is_empty() {
        // What could not be noted must not be let go.
        decision.effects.retain(|effect| *effect != Effect::Release);
    }
    known.version = report.version.clone().unwrap_or(known.version);
    let (stage, wake_at) = (decision.status.stage, decision.wake_at);
    if decision.events.iter().any(|event| event.reason == Reason::RetryRequested) {
        operator.waits.reset(&uid(migration));
    }
    if !operator.conclude(migration, &known, decision).await? {
        return Ok(Action::requeue(LOOK_AGAIN));
    }
    Ok(operator.next(migration, stage, wake_at, &report))
}

/// Starts, directs or ends the prober, as the decision's stage needs it.
fn watch_health(
    site: &Site,
    migration: &NamespaceMigration,
    pair: &ClusterPair,
    order: &Order,
    decision: &Decision,
    observed: &Observed,
) {
    let needed = machine::needs(order, &decision.status).probes;
    site.probe(needed.then(|| ProbePlan::of(&migration.spec, &pair.spec, &decision.status, observed)));
    // Nothing but fresh answers will move it on: be told when there are some.
    if needed && decision.status.next.is_none() {
        site.announce_next_round();
    }
}

impl Operator {
    fn new(
        setting: Setting,
        trigger: UnboundedSender<ObjectRef<NamespaceMigration>>,
        pair_trigger: UnboundedSender<ObjectRef<ClusterPair>>,
    ) -> Self {
        let Setting { home, identity, leadership, .. } = setting;
        let teller = Teller::new(home.clients.requests.clone());
        Self {
            pairs: Pairs::new(pair_trigger),
            sites: Mutex::default(),
            memory: Memory::new(home.metrics.clone()),
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

    fn order(&self, migration: &NamespaceMigration) -> Result<(Order, Arc<ClusterPair>), OrderError> {
        let name = &migration.spec.cluster_pair;
        let pair = self.pairs.get(name).ok_or_else(|| OrderError::NoSuchPair { pair: name.clone() })?;
        Ok((Order::parse(migration, &pair, &self.identity)?, pair))
    }

    /// The site of a migration, opened if it is needed and dropped if it is not.
    fn site(
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
        let site = Arc::new(Site::open(uid, order, source, target, wake, self.home.metrics.clone()));
        sites.insert(key, Arc::clone(&site));
        self.pairs.wake(&order.pair);
        Some(site)
    }

    fn wake(&self, about: ObjectRef<NamespaceMigration>) -> Wake {
        let trigger = self.trigger.clone();
        // The receiver lives as long as the controller; afterwards nobody needs to be woken.
        Arc::new(move || drop(trigger.unbounded_send(about.clone())))
    }

    async fn reject(
        &self,
        migration: &Arc<NamespaceMigration>,
        known: &Known,
        error: &OrderError,
    ) -> Result<Action, ReconcileError> {
        let key = ObjectRef::from_obj(migration.as_ref());
        if known.status.stage <= Stage::Preflight {
            self.release_claim(&key);
        }
        // What the pair allowed to watch and probe is not allowed any more.
        self.close_site(&key);
        let asked = (migration.metadata.generation.unwrap_or_default(), migration.spec.attempt);
        let now = crate::cluster::now();
        let decision = machine::reject(&known.status, asked, error, now);
        let owner = Order::owner_of(migration, &self.identity);
        let decision = deletion::without_order(&Deletion::of(migration, deletion::ALLOWANCE), &owner, decision, now);
        self.finish(migration, known, decision).await
    }

    /// The end of a pass that changes nothing but the status.
    async fn finish(
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
    async fn conclude(
        &self,
        migration: &Arc<NamespaceMigration>,
        known: &Known,
        mut decision: Decision,
    ) -> Result<bool, ReconcileError> {
        self.memory.measure(migration, known, &decision.status);
        let forged = known.forged.is_some();
        if forged || !memory::is_same(&decision.status, &known.status) || migration.status.is_none() {
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
        let home = HomeObject { client: &self.home.clients.requests, migration, version: &version };
        match execute::release(&home).await {
            Ok(()) => Ok(true),
            Err(error) if error.is_conflict() => Ok(false),
            Err(error) => Err(ReconcileError::Release(Box::new(error))),
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

    /// Whether the pair is still in use is told by the pass over it.
    fn close_site(&self, of: &ObjectRef<NamespaceMigration>) {
        let closed = locked(&self.sites).remove(of);
        if let Some(site) = closed {
            self.pairs.wake(&site.source.connection().address.pair);
        }
    }

    fn forget(&self, gone: &ObjectRef<NamespaceMigration>) {
        self.close_site(gone);
        self.hurry.forget(gone);
        self.release_claim(gone);
        let uid = self.memory.forget(gone);
        self.waits.reset(&uid.unwrap_or_default());
    }
}

/// A pass failed: back off, each object for itself.
fn retry(migration: Arc<NamespaceMigration>, error: &ReconcileError, operator: Arc<Operator>) -> Action {
    let (namespace, name) = (migration.namespace().unwrap_or_default(), migration.name_any());
    tracing::error!(namespace, name, error = crate::causes::whole(error), "a pass over a migration failed");
    operator.home.metrics.reconcile_errors.get_or_create(&ErrorLabels { reason: error.category() }).inc();
    let stage = match error {
        ReconcileError::Status { stage, .. } => *stage,
        ReconcileError::Release(_) | ReconcileError::Panicked(_) => operator.memory.latest(&migration).status.stage,
    };
    Action::requeue(operator.waits.failed(&uid(&migration), stage))
}

fn uid(migration: &NamespaceMigration) -> String {
    migration.uid().unwrap_or_default()
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // A pass that panicked was outside of these short sections, or left one assignment complete.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
