//! One pass over one migration: `reconcile` reads like a table of contents. A pass that fails or panics is the trouble of its own
//! migration only.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use kube::ResourceExt as _;
use kube_runtime::controller::Action;
use tracing::Instrument as _;

use super::{Operator, hurry, uid};
use crate::api::{ClusterPair, NamespaceMigration, Stage};
use crate::cluster::call::CallError;
use crate::dns::Interest;
use crate::events;
use crate::execute::{ExecuteError, HomeObject, execute};
use crate::machine::drive::{Decision, Needs};
use crate::machine::order::Order;
use crate::machine::{self, Effect, Observed, Reason, stages};
use crate::metrics::{ErrorLabels, ReconcileLabels, ReconcileResult};
use crate::observe::observe;
use crate::probe::plan::ProbePlan;
use crate::site::Site;

/// The watch usually brings a newer object at once; should it not, a look is taken after this time.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(1);

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

/// One pass, of which a panic is caught and counted: one object's trouble is not the others'.
pub(super) async fn caught(
    migration: Arc<NamespaceMigration>,
    operator: Arc<Operator>,
) -> Result<Action, ReconcileError> {
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

pub(super) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
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

    // Requests only where the stage needs Secrets or rights.
    let observing = Box::pin(look(site.as_deref(), &order, &needs, operator));
    let Some(mut observed) = hurried.unless_back(stages::is_rollback(known.status.stage), observing).await else {
        return Ok(hurry::interrupted(&order));
    };

    // No request needed.
    if site.is_some() {
        // Without a site it has ended, or may not begin: it has given its claim up.
        observed.in_front = operator.claim(migration, &order, &known.status, &observed);
    }
    let mut decision = machine::decide(&order, &known.status, &observed, crate::cluster::now());
    if let Some(site) = &site {
        watch_health(site, migration, &pair, &order, &decision, &observed);
        let urgency = machine::needs(&order, &decision.status).dns;
        let interest = urgency.and_then(|urgency| Interest::of(&pair, &decision.status, &observed, urgency));
        site.follow_dns(&operator.dns, interest);
    }
    let client = &operator.home.clients.requests;
    let home = HomeObject { client, migration, version: &known.version, pair: &pair };
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

/// What is seen of both sides. Without a site nothing is, and nothing needs to be.
async fn look(site: Option<&Site>, order: &Order, needs: &Needs, operator: &Operator) -> Observed {
    match site {
        Some(site) => observe(site, order, needs, &operator.digest_key).await,
        None => Observed::default(),
    }
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

/// A pass failed: back off, each object for itself.
pub(super) fn retry(migration: Arc<NamespaceMigration>, error: &ReconcileError, operator: Arc<Operator>) -> Action {
    let (namespace, name) = (migration.namespace().unwrap_or_default(), migration.name_any());
    tracing::error!(namespace, name, error = crate::causes::whole(error), "a pass over a migration failed");
    operator.home.metrics.reconcile_errors.get_or_create(&ErrorLabels { reason: error.category() }).inc();
    let stage = match error {
        ReconcileError::Status { stage, .. } => *stage,
        ReconcileError::Release(_) | ReconcileError::Panicked(_) => operator.memory.latest(&migration).status.stage,
    };
    Action::requeue(operator.waits.failed(&uid(&migration), stage))
}
