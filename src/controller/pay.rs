//! What deleted migrations left over is paid: weights first, the sources' before the targets'; then objects are removed.

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;

use super::Operator;
use crate::api::{ClusterPair, Leftover, LeftoverObject};
use crate::execute::{Clusters, settle, settle_object};
use crate::machine::debt::removal::{When, when};
use crate::machine::debt::{Debts, Owed, Settlement, waiting, waits_for_source};
use crate::machine::run::Event;
use crate::machine::{Reason, Side};
use crate::metrics::LeftoverLabels;

/// Debts of one side that are paid at the same time.
const AT_ONCE: usize = 8;

/// What became of the debts of one pass.
#[derive(Default)]
pub(super) struct Settled {
    /// What is still owed.
    pub(super) left: Debts,
    /// What happened, for people.
    pub(super) events: Vec<Event>,
    /// One could not be paid although its cluster answers.
    pub(super) tries_again: bool,
    /// When the next object may be removed.
    pub(super) look_at: Option<Timestamp>,
}

/// Pays what can and may be paid now.
pub(super) async fn pay(operator: &Operator, pair: &ClusterPair, debts: Debts) -> Settled {
    let mut settled = Settled { left: debts, ..Settled::default() };
    if settled.left.is_empty() {
        return settled;
    }
    let (source, target) = operator.pairs.connections(pair, &operator.home, &operator.trigger);
    let clusters = Clusters { pair, source: &source, target: &target };
    for side in [Side::Source, Side::Target] {
        write_due(operator, &clusters, side, &mut settled).await;
    }
    remove_due(operator, &clusters, &mut settled).await;
    settled
}

/// Sources come first: some of the targets wait for them.
async fn write_due(operator: &Operator, clusters: &Clusters<'_>, side: Side, settled: &mut Settled) {
    let mut paying = FuturesUnordered::new();
    let mut results = vec![];
    for debt in due(&settled.left.weights, side) {
        if paying.len() >= AT_ONCE {
            results.extend(paying.next().await);
        }
        paying.push(settled_debt(clusters, debt));
    }
    results.extend(paying.collect::<Vec<_>>().await);
    for (debt, settlement) in results {
        let mut place = |left: &mut Debts, news| {
            left.weights.iter_mut().filter(|left| **left == debt).for_each(|left| left.clone_from(&news));
        };
        let paying = Paying { operator, clusters, side, done: "written" };
        if paying.note(settled, &debt, settlement, &mut place) {
            settled.left.weights.retain(|left| *left != debt);
        }
    }
}

fn due(left: &[Leftover], side: Side) -> Vec<Leftover> {
    left.iter().filter(|debt| debt.cluster() == side && !waits_for_source(debt, left)).cloned().collect()
}

async fn settled_debt(clusters: &Clusters<'_>, debt: Leftover) -> (Leftover, Settlement) {
    let settlement = Box::pin(settle(clusters, &debt)).await;
    (debt, settlement)
}

/// In the order in which they were noted: newest first, as in every rollback.
async fn remove_due(operator: &Operator, clusters: &Clusters<'_>, settled: &mut Settled) {
    for debt in settled.left.objects.clone() {
        let now = crate::cluster::now();
        match when(&debt, &settled.left.weights, now) {
            When::AfterItsWeights => {}
            When::From(at) => settled.looks_at(at),
            When::Settles(at) => settled.settles(&debt, at),
            When::Now => {
                let settlement = Box::pin(settle_object(clusters, &debt)).await;
                let mut place = |left: &mut Debts, news| {
                    left.objects.iter_mut().filter(|left| **left == debt).for_each(|left| left.clone_from(&news));
                };
                let paying = Paying { operator, clusters, side: Side::Target, done: "done" };
                if paying.note(settled, &debt, settlement, &mut place) {
                    settled.left.objects.retain(|left| *left != debt);
                }
            }
        }
    }
}

impl Settled {
    fn looks_at(&mut self, at: Timestamp) {
        self.look_at = Some(self.look_at.map_or(at, |known| known.min(at)));
    }

    fn settles(&mut self, debt: &LeftoverObject, at: Timestamp) {
        for known in self.left.objects.iter_mut().filter(|known| *known == debt) {
            known.removable_from = Some(Time(at));
        }
        self.looks_at(at);
    }
}

/// What is paid, where, and what that is called.
struct Paying<'a> {
    operator: &'a Operator,
    clusters: &'a Clusters<'a>,
    side: Side,
    done: &'static str,
}

impl Paying<'_> {
    /// Tells what became of a debt. Returns whether it is not owed any more.
    fn note<D: Owed>(
        &self,
        settled: &mut Settled,
        debt: &D,
        settlement: Settlement,
        known: &mut dyn FnMut(&mut Debts, D),
    ) -> bool {
        let (pair, about) = (self.clusters.pair.name_any(), debt.in_words());
        let (reason, outcome, note) = match settlement {
            Settlement::Waits { reason, why } => {
                let connection = self.side.pick(self.clusters.source, self.clusters.target);
                settled.tries_again |= connection.state().reach.is_reachable();
                tracing::debug!(pair, why, "{about} is still owed");
                if let Some((news, event)) = waiting(debt, reason, &why) {
                    tracing::warn!(pair, reason = news.reason(), "{}", event.note);
                    known(&mut settled.left, news);
                    settled.events.push(event);
                }
                return false;
            }
            Settlement::Paid => {
                (Reason::LeftoverWritten, "paid", format!("{about}, which was left over, is {}.", self.done))
            }
            Settlement::Cancelled { why } => (
                Reason::LeftoverCancelled,
                "cancelled",
                format!("{about}, which was left over, is not owed any more: {why}."),
            ),
        };
        tracing::info!(pair, reason = reason.as_str(), "{note}");
        settled.events.push(Event { reason, note, warning: false });
        self.operator.home.metrics.leftovers_settled.get_or_create(&LeftoverLabels { outcome }).inc();
        true
    }
}
