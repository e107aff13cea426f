//! One pass over one `ClusterPair`: what deleted migrations left over is paid, and its status says what is known.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use jiff::Timestamp;
use kube::{Resource as _, ResourceExt as _};
use kube_runtime::controller::Action;

use super::pass::{LOOK_AGAIN, panic_text};
use super::pay::pay;
use super::waits::{until, until_due};
use super::{Operator, locked};
use crate::api::{ClusterPair, PAIR_FINALIZER};
use crate::cluster::call::CallError;
use crate::cluster::connection::Connection;
use crate::cluster::general_rights;
use crate::execute::finalizer;
use crate::machine;
use crate::machine::debt::Debts;
use crate::machine::pair::{ClusterReach, PairView};
use crate::machine::pair_hold::{Hold, Keeping};
use crate::metrics::{ErrorLabels, PairLabels};
use crate::status;

/// A debt that cannot be paid although its cluster answers is tried again after this time.
const PAY_AGAIN: Duration = Duration::from_secs(5);

/// Why a pass over a pair did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum PairError {
    /// The status could not be written.
    #[error("cannot write the status of the ClusterPair")]
    Status(#[source] CallError),
    /// Our finalizer could not be put on it or taken off.
    #[error("cannot write the finalizer of the ClusterPair")]
    Finalizer(#[source] CallError),
    /// The pass panicked: a bug, but one that must not stop the others.
    #[error("the pass panicked: {0}")]
    Panicked(String),
}

/// One pass, of which a panic is caught and counted: one pair's trouble is not the others'.
pub(super) async fn caught(pair: Arc<ClusterPair>, operator: Arc<Operator>) -> Result<Action, PairError> {
    let pass = AssertUnwindSafe(reconcile(pair, Arc::clone(&operator))).catch_unwind();
    pass.await.unwrap_or_else(|panic| {
        operator.home.metrics.panics.inc();
        Err(PairError::Panicked(panic_text(&*panic)))
    })
}

async fn reconcile(pair: Arc<ClusterPair>, operator: Arc<Operator>) -> Result<Action, PairError> {
    // Until all migrations are listed nobody knows who needs the pair; then every pair is woken.
    let Some(users) = operator.pairs.under_way(&pair.name_any()) else { return Ok(Action::await_change()) };
    let (keeping, before) = (Keeping::of(&pair, users), pair.status.clone().unwrap_or_default());
    let owed = Debts::of(&before);
    // Before anything that may take its time: who needs the pair is moving already.
    if keeping.decide(&owed, crate::cluster::now()) == Hold::Put {
        let version = pair.resource_version().unwrap_or_default();
        operator.carry_out(&pair, &version, Hold::Put).await?;
        return Ok(Action::requeue(LOOK_AGAIN));
    }

    // Requests only where something is owed, and where rights have not been asked for a while.
    let settled = pay(&operator, &pair, owed.clone()).await;
    let (view, asked_again) = view(&operator, &pair, keeping, !settled.left.is_empty()).await;

    // No request needed.
    let now = crate::cluster::now();
    let wanted = machine::pair::status(&before, &view, settled.left.clone(), now);
    let mut events = settled.events;
    operator.measure_leftovers(&pair, settled.left.count());
    let hold = view.keeping.decide(&settled.left, now);

    // Requests needed: what people read, then our finalizer.
    let mut version = pair.resource_version().unwrap_or_default();
    if wanted != before && (settled.left != owed || operator.pairs.is_news(&pair, &wanted)) {
        match status::publish_pair(&operator.home.clients.requests, &pair, &wanted).await {
            Ok(written) => version = written,
            Err(error) if error.is_conflict() => return Ok(Action::requeue(LOOK_AGAIN)),
            Err(error) if error.not_found() => return Ok(Action::await_change()),
            Err(error) => return Err(PairError::Status(error)),
        }
        operator.home.metrics.status_writes.inc();
        events.extend(machine::pair::news(&before, &wanted));
        operator.pairs.said(&pair, wanted);
    }
    operator.teller.tell(&pair.object_ref(&()), None, &events).await;
    if !operator.carry_out(&pair, &version, hold).await? {
        return Ok(Action::requeue(LOOK_AGAIN));
    }
    if hold == Hold::Take && view.keeping.asked_at.is_some() {
        let last_word: Vec<_> = Keeping::last_word(&pair.name_any(), &settled.left).into_iter().collect();
        operator.teller.tell(&pair.object_ref(&()), None, &last_word).await;
    }
    let waits = [settled.tries_again.then_some(PAY_AGAIN), asked_again];
    let look_at = settled
        .look_at
        .into_iter()
        .chain(view.keeping.deadline(&settled.left).filter(|deadline| *deadline > now))
        .min();
    Ok(look_again(waits.into_iter().flatten().min(), look_at))
}

/// The earlier of the two.
fn look_again(wait: Option<Duration>, at: Option<Timestamp>) -> Action {
    wait.map_or_else(|| until(at), |wait| Action::requeue(until_due(at, wait)))
}

/// A pass failed: what it would have written is decided again soon.
pub(super) fn retry(pair: Arc<ClusterPair>, error: &PairError, operator: Arc<Operator>) -> Action {
    tracing::error!(pair = pair.name_any(), error = crate::causes::whole(error), "a pass over a ClusterPair failed");
    operator.home.metrics.reconcile_errors.get_or_create(&ErrorLabels { reason: "pair" }).inc();
    Action::requeue(PAY_AGAIN)
}

/// What is known of the pair, and how long its rights need not be asked again. One that nobody needs is disconnected.
async fn view(operator: &Operator, pair: &ClusterPair, keeping: Keeping, owes: bool) -> (PairView, Option<Duration>) {
    let name = pair.name_any();
    let in_use = operator.keep_connected(&name, owes);
    let connected = operator.pairs.connected(&name);
    let sides = connected.each_ref().map(|connection| reach(connection.as_deref()));
    let [source, target] = sides;
    let ((source, source_stands), (target, target_stands)) = futures::join!(source, target);
    let stands = source_stands.into_iter().chain(target_stands).min();
    let generation = pair.metadata.generation.unwrap_or_default();
    (PairView { name, generation, keeping, in_use, source, target }, stands)
}

async fn reach(connection: Option<&Connection>) -> (ClusterReach, Option<Duration>) {
    let Some(connection) = connection else { return <(ClusterReach, Option<Duration>)>::default() };
    let (rights, stands) = general_rights::of(connection).await;
    // A question that was not answered may have shown that the cluster is out of reach.
    let state = connection.state();
    (ClusterReach { reach: state.reach, version: state.version, proved_at: state.proved_at, rights }, stands)
}

impl Operator {
    /// Whether somebody needs the pair. Without anybody its connections are dropped.
    fn keep_connected(&self, name: &str, owes: bool) -> bool {
        // A site is opened under the same lock: no connection is taken away beneath it.
        let sites = locked(&self.sites);
        let in_use = owes || sites.values().any(|site| site.source.connection().address.pair == name);
        if !in_use {
            self.pairs.disconnect(name, &self.home.metrics);
        }
        in_use
    }

    /// Puts our finalizer on the pair, or takes it off. False if somebody has changed it since: it has to be decided again.
    async fn carry_out(&self, pair: &ClusterPair, version: &str, hold: Hold) -> Result<bool, PairError> {
        if hold == Hold::Leave {
            return Ok(true);
        }
        let client = &self.home.clients.requests;
        match finalizer::set(client, pair, version, PAIR_FINALIZER, hold == Hold::Put).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_conflict() => Ok(false),
            Err(error) if error.not_found() => Ok(true),
            Err(error) => Err(PairError::Finalizer(error)),
        }
    }

    fn measure_leftovers(&self, pair: &ClusterPair, count: usize) {
        let labels = PairLabels { pair: pair.name_any() };
        self.home.metrics.leftovers.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}
