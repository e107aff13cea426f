//! One pass over one migration: `reconcile` reads like a table of contents. A pass that fails or panics is the trouble of its own
//! migration only.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use kube::ResourceExt as _;
use kube_runtime::controller::Action;
use tracing::Instrument as _;

use super::memory::Known;
use super::waits::until_due;
use super::{Operator, hurry, uid};
use crate::api::{ClusterPair, NamespaceMigration, Stage};
use crate::cluster::call::CallError;
use crate::dns::Interest;
use crate::events;
use crate::execute::{ExecuteError, HomeObject, Report, execute};
use crate::machine::drive::{Decision, Needs};
use crate::machine::health::Verdict;
use crate::machine::order::Order;
use crate::machine::{self, Effect, Observed, Reason, Side, pause, stages};
use crate::metrics::{ErrorLabels, ReconcileLabels, ReconcileResult};
use crate::observe::observe;
use crate::probe::plan::ProbePlan;
use crate::site::Site;

/// The watch usually brings a newer object at once; should it not, a look is taken after this time.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A pause is told after this time at the latest, whatever hangs.
const TELL_WITHIN: Duration = Duration::from_secs(1);

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
    let known = operator.memory.latest(migration);
    let (order, pair) = match operator.order(migration) {
        Ok(parsed) => parsed,
        Err(error) => return operator.reject(migration, &known, &error).await,
    };
    let needs = machine::needs(&order, &known.status);
    let site = operator.site(migration, &order, &pair, &needs);
    let pass = Pass { operator, migration, order: &order, pair: &pair, site: site.as_deref(), known };

    // What goes forward ends here as soon as a person asks for a pause, a rollback or the end; what goes back does not.
    let hurried = operator.hurry.pass(migration);

    // Requests only where the stage needs Secrets or rights.
    let observing = Box::pin(pass.look(&needs));
    let Some(observed) = hurried.unless_back(stages::is_rollback(pass.known.status.stage), observing).await else {
        return Ok(hurry::interrupted(&order));
    };

    // No request needed.
    let decision = pass.decide(observed);
    let permitted = operator.leadership.permitted(&decision.effects);
    if permitted.len() < decision.effects.len() {
        return Ok(pass.not_leading(&permitted).await);
    }
    events::log(migration, &pass.known.status.reason, &decision);

    let back = permitted.iter().any(Effect::is_rollback);
    let still = operator.waits.stands_still(&uid(migration), Instant::now()).filter(|_| goes_forward(&decision));
    if let Some(left) = still {
        return Ok(Action::requeue(until_due(decision.wake_at, left)));
    }

    // Requests needed: the world first, then what people read of it.
    let Some(report) = hurried.unless_back(back, pass.execute_in_time(&decision, &permitted)).await else {
        return Ok(hurry::interrupted(&order));
    };
    drop(hurried);
    match report {
        Some(report) => pass.after_execution(decision, &report).await,
        None => pass.tell_at_once(decision).await,
    }
}

/// What one pass works with.
struct Pass<'a> {
    operator: &'a Operator,
    migration: &'a Arc<NamespaceMigration>,
    order: &'a Order,
    pair: &'a ClusterPair,
    /// Both clusters. Without them it has ended, or may not begin.
    site: Option<&'a Site>,
    known: Known,
}

impl Pass<'_> {
    /// What is seen of both sides. Without a site nothing is, and nothing needs to be.
    async fn look(&self, needs: &Needs) -> Observed {
        match self.site {
            Some(site) => observe(site, self.order, needs, &self.operator.digest_key, &self.operator.home_rights).await,
            None => Observed::default(),
        }
    }

    /// What is to be done; probed is from now on what that needs.
    fn decide(&self, mut observed: Observed) -> Decision {
        let (order, status) = (self.order, &self.known.status);
        if self.site.is_some() {
            // Without a site it has given its claim up.
            observed.in_front = self.operator.claim(self.migration, order, status, &observed);
        }
        let decision = machine::decide(order, status, &observed, crate::cluster::now());
        if let Some(site) = self.site {
            if is_left_standing(&decision, &observed) {
                site.overlook_failure();
            }
            self.watch_health(site, &decision, &observed);
            let urgency = machine::needs(order, &decision.status).dns;
            let interest = urgency.and_then(|urgency| Interest::of(self.pair, &decision.status, &observed, urgency));
            site.follow_dns(&self.operator.dns, interest);
        }
        decision
    }

    /// Starts, directs or ends the prober, as the decision's stage needs it.
    fn watch_health(&self, site: &Site, decision: &Decision, observed: &Observed) {
        let needed = machine::needs(self.order, &decision.status).probes;
        let plan = needed.then(|| ProbePlan::of(&self.migration.spec, &self.pair.spec, &decision.status, observed));
        site.probe(self.operator.dns.resolver(), plan);
        // Nothing but fresh answers will move it on: be told when there are some.
        if needed && decision.status.next.is_none() {
            site.announce_next_round();
        }
    }

    /// Who may not be the leader any more takes users back, and neither does nor tells anything else.
    async fn not_leading(&self, permitted: &[Effect]) -> Action {
        Box::pin(self.execute(permitted)).await;
        Action::requeue(LOOK_AGAIN)
    }

    /// None when people have to read of the decision before it is carried out: a cluster hangs.
    async fn execute_in_time(&self, decision: &Decision, permitted: &[Effect]) -> Option<Report> {
        let execution = Box::pin(self.execute(permitted));
        if pause::must_be_told_soon(&self.known.status, decision) {
            return tokio::time::timeout(TELL_WITHIN, execution).await.ok();
        }
        Some(execution.await)
    }

    /// The status is written although not everything is done: the next pass, which begins at once, goes on with that.
    async fn tell_at_once(&self, decision: Decision) -> Result<Action, ReconcileError> {
        let told = Decision { effects: vec![], ..decision };
        let stands = self.operator.conclude(self.migration, &self.known, told).await?;
        Ok(Action::requeue(if stands { Duration::ZERO } else { LOOK_AGAIN }))
    }

    async fn execute(&self, effects: &[Effect]) -> Report {
        let client = &self.operator.home.clients.requests;
        let home = HomeObject { client, migration: self.migration, version: &self.known.version, pair: self.pair };
        execute(self.order, &home, self.site, effects).await
    }

    /// What people read: what failed, then the status; and when to look again.
    async fn after_execution(mut self, mut decision: Decision, report: &Report) -> Result<Action, ReconcileError> {
        let (operator, migration) = (self.operator, self.migration);
        let failures = report.to_tell(operator.waits.has_failed(&uid(migration)));
        machine::failure::tell(&mut decision, &self.known.status, &failures, crate::cluster::now());
        if !report.failures.is_empty() && !operator.goes_anyway(migration, &decision) {
            // What could not be noted must not be let go, and nobody is told that it goes.
            decision.effects.retain(|effect| !effect.lets_go());
            decision.events.retain(|event| event.reason != Reason::LeftOver);
        }
        if decision.events.iter().any(|event| event.reason == Reason::RetryRequested) {
            operator.waits.reset(&uid(migration));
        }
        self.known.version = report.version.clone().unwrap_or(self.known.version);
        let (stage, wake_at) = (decision.status.stage, decision.wake_at);
        if !operator.conclude(migration, &self.known, decision).await? {
            return Ok(Action::requeue(LOOK_AGAIN));
        }
        Ok(operator.next(migration, stage, wake_at, report))
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
    let (uid, now) = (uid(&migration), Instant::now());
    let unsaved = matches!(error, ReconcileError::Status { .. });
    if let Some(left) = operator.waits.stands_still(&uid, now).filter(|_| unsaved) {
        // Woken meanwhile by something else: that is no other failure.
        return Action::requeue(left);
    }
    let wait = operator.waits.failed(&uid, stage);
    if unsaved {
        operator.waits.unsaved(&uid, wait, now);
    }
    Action::requeue(wait)
}

/// Whether it would change a cluster other than on the way back. Also the fence of a pause is made anew by each pass that knows of none.
fn goes_forward(decision: &Decision) -> bool {
    decision.effects.iter().any(|effect| effect.side().is_some() && !effect.is_rollback())
}

/// Whether the target fails, and nothing goes back because of that.
fn is_left_standing(decision: &Decision, observed: &Observed) -> bool {
    let fails = observed.health.verdict(Side::Target) == Verdict::Fail;
    fails && !decision.effects.iter().any(Effect::is_rollback)
}
