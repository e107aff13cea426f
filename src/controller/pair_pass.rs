//! One pass over one `ClusterPair`: what deleted migrations left over is paid, and its status says what is known.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use kube::{Resource as _, ResourceExt as _};
use kube_runtime::controller::Action;

use super::pass::{LOOK_AGAIN, panic_text};
use super::pay::pay;
use super::waits::until;
use super::{Operator, locked};
use crate::api::ClusterPair;
use crate::cluster::call::CallError;
use crate::machine;
use crate::machine::debt::Debts;
use crate::machine::pair::{ClusterReach, PairView};
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
    let before = pair.status.clone().unwrap_or_default();
    let owed = Debts::of(&before);
    let settled = pay(&operator, &pair, owed.clone()).await;
    let view = view(&operator, &pair, !settled.left.is_empty());
    let is_news = settled.left != owed;
    operator.measure_leftovers(&pair, settled.left.count());
    let wanted = machine::pair::status(&before, &view, settled.left, crate::cluster::now());
    if wanted != before && (is_news || operator.pairs.is_news(&pair, &wanted)) {
        match status::publish_pair(&operator.home.clients.requests, &pair, &wanted).await {
            Ok(_) => operator.home.metrics.status_writes.inc(),
            Err(error) if error.is_conflict() => return Ok(Action::requeue(LOOK_AGAIN)),
            Err(error) if error.not_found() => return Ok(Action::await_change()),
            Err(error) => return Err(PairError::Status(error)),
        };
        operator.pairs.said(&pair, wanted);
    }
    operator.teller.tell(&pair.object_ref(&()), &settled.events).await;
    Ok(if settled.tries_again { Action::requeue(PAY_AGAIN) } else { until(settled.look_at) })
}

/// A pass failed: what it would have written is decided again soon.
pub(super) fn retry(pair: Arc<ClusterPair>, error: &PairError, operator: Arc<Operator>) -> Action {
    tracing::error!(pair = pair.name_any(), error = crate::causes::whole(error), "a pass over a ClusterPair failed");
    operator.home.metrics.reconcile_errors.get_or_create(&ErrorLabels { reason: "pair" }).inc();
    Action::requeue(PAY_AGAIN)
}

/// What is known of the pair. One that nobody needs is disconnected.
fn view(operator: &Operator, pair: &ClusterPair, owes: bool) -> PairView {
    let name = pair.name_any();
    // A site is opened under the same lock: no connection is taken away beneath it.
    let sites = locked(&operator.sites);
    let in_use = owes || sites.values().any(|site| site.source.connection().address.pair == name);
    let known =
        if in_use { operator.pairs.known(&name) } else { operator.pairs.disconnect(&name, &operator.home.metrics) };
    drop(sites);
    let [source, target] = known.map(|state| ClusterReach { reach: state.reach, version: state.version });
    PairView { generation: pair.metadata.generation.unwrap_or_default(), in_use, source, target }
}

impl Operator {
    fn measure_leftovers(&self, pair: &ClusterPair, count: usize) {
        let labels = PairLabels { pair: pair.name_any() };
        self.home.metrics.leftovers.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}
