//! One pass over one `ClusterPair`: what deleted migrations left over is paid, and its status says what is known.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use kube::{Resource as _, ResourceExt as _};
use kube_runtime::controller::Action;

use super::pass::{LOOK_AGAIN, panic_text};
use super::{Operator, locked};
use crate::api::{ClusterPair, Leftover};
use crate::cluster::call::CallError;
use crate::execute::{Clusters, settle};
use crate::machine::debt::{Settlement, waiting, waits_for_source};
use crate::machine::pair::{ClusterReach, PairView};
use crate::machine::run::Event;
use crate::machine::{self, Reason, Side};
use crate::metrics::{ErrorLabels, LeftoverLabels, PairLabels};
use crate::status;

/// A debt that cannot be paid although its cluster answers is tried again after this time.
const PAY_AGAIN: Duration = Duration::from_secs(5);
/// Debts of one side that are paid at the same time.
const AT_ONCE: usize = 8;

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

/// What became of the debts of one pass.
#[derive(Default)]
struct Settled {
    left: Vec<Leftover>,
    events: Vec<Event>,
    /// One could not be paid although its cluster answers.
    tries_again: bool,
}

impl Settled {
    /// Notes why a debt waits, if that is news.
    fn still_waits(&mut self, pair: &ClusterPair, debt: &Leftover, reason: Option<Reason>, why: &str) {
        let Some((known, event)) = waiting(debt, reason, why) else { return };
        tracing::warn!(pair = pair.name_any(), reason = known.reason, "{}", event.note);
        self.left.iter_mut().filter(|left| *left == debt).for_each(|left| left.clone_from(&known));
        self.events.push(event);
    }
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
    let settled = pay(&operator, &pair, &before.leftovers).await;
    let view = view(&operator, &pair, !settled.left.is_empty());
    let is_news = settled.left != before.leftovers;
    operator.measure_leftovers(&pair, settled.left.len());
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
    Ok(if settled.tries_again { Action::requeue(PAY_AGAIN) } else { Action::await_change() })
}

/// A pass failed: what it would have written is decided again soon.
pub(super) fn retry(pair: Arc<ClusterPair>, error: &PairError, operator: Arc<Operator>) -> Action {
    tracing::error!(pair = pair.name_any(), error = crate::causes::whole(error), "a pass over a ClusterPair failed");
    operator.home.metrics.reconcile_errors.get_or_create(&ErrorLabels { reason: "pair" }).inc();
    Action::requeue(PAY_AGAIN)
}

/// Sources first: some of the targets wait for them.
async fn pay(operator: &Operator, pair: &ClusterPair, debts: &[Leftover]) -> Settled {
    let mut settled = Settled { left: debts.to_vec(), ..Settled::default() };
    if debts.is_empty() {
        return settled;
    }
    let (source, target) = operator.pairs.connections(pair, &operator.home, &operator.trigger);
    let clusters = Clusters { pair, source: &source, target: &target };
    for side in [Side::Source, Side::Target] {
        let mut paying = FuturesUnordered::new();
        let mut results = vec![];
        for debt in due(&settled.left, side) {
            if paying.len() >= AT_ONCE {
                results.extend(paying.next().await);
            }
            paying.push(settled_debt(&clusters, debt));
        }
        results.extend(paying.collect::<Vec<_>>().await);
        let answers = side.pick(&source, &target).state().reach.is_reachable();
        for (debt, settlement) in results {
            note(operator, pair, &mut settled, &debt, settlement, answers);
        }
    }
    settled
}

fn due(left: &[Leftover], side: Side) -> Vec<Leftover> {
    left.iter().filter(|debt| debt.cluster() == side && !waits_for_source(debt, left)).cloned().collect()
}

async fn settled_debt(clusters: &Clusters<'_>, debt: Leftover) -> (Leftover, Settlement) {
    let settlement = Box::pin(settle(clusters, &debt)).await;
    (debt, settlement)
}

fn note(
    operator: &Operator,
    pair: &ClusterPair,
    settled: &mut Settled,
    debt: &Leftover,
    settlement: Settlement,
    answers: bool,
) {
    let about = debt.in_words();
    let (reason, outcome, note) = match settlement {
        Settlement::Waits { reason, why } => {
            settled.tries_again |= answers;
            tracing::debug!(pair = pair.name_any(), why, "{about} is still owed");
            return settled.still_waits(pair, debt, reason, &why);
        }
        Settlement::Paid => (Reason::LeftoverWritten, "paid", format!("{about}, which was left over, is written.")),
        Settlement::Cancelled { why } => (
            Reason::LeftoverCancelled,
            "cancelled",
            format!("{about}, which was left over, is not owed any more: {why}."),
        ),
    };
    settled.left.retain(|left| left != debt);
    tracing::info!(pair = pair.name_any(), reason = reason.as_str(), "{note}");
    settled.events.push(Event { reason, note, warning: false });
    operator.home.metrics.leftovers_settled.get_or_create(&LeftoverLabels { outcome }).inc();
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
