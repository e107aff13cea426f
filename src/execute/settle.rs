//! A debt of a deleted migration, paid: live reads of both sides, then one write under uid and resourceVersion.

use super::ExecuteError;
use super::live::Cluster;
use super::weight::apply;
use crate::api::{ClusterPair, Leftover};
use crate::causes::whole;
use crate::cluster::call::CallError;
use crate::cluster::connection::Connection;
use crate::machine::debt::{Other, Settlement, look};
use crate::machine::order::SideRules;
use crate::machine::permit::Live;
use crate::machine::{Reason, Side};
use crate::observe::facts;

/// The two clusters of a pair.
pub struct Clusters<'a> {
    /// The pair.
    pub pair: &'a ClusterPair,
    /// The way to the source.
    pub source: &'a Connection,
    /// The way to the target.
    pub target: &'a Connection,
}

impl Clusters<'_> {
    fn at(&self, side: Side) -> (SideRules, &Connection) {
        match side {
            Side::Source => (SideRules::of(&self.pair.spec.source), self.source),
            Side::Target => (SideRules::of(&self.pair.spec.target), self.target),
        }
    }
}

/// Pays one debt, if it can and may be paid now.
pub async fn settle(clusters: &Clusters<'_>, debt: &Leftover) -> Settlement {
    match Box::pin(attempt(clusters, debt)).await {
        Ok(settlement) => settlement,
        Err(error) => {
            if let Some((side, call)) = error.call() {
                clusters.at(side).1.report(call);
            }
            let side = debt.cluster();
            let reason = match error.call() {
                Some((_, call)) => kind(call, side),
                None => clusters.at(side).1.state().reach.reason(side),
            };
            Settlement::Waits { reason, why: whole(&error) }
        }
    }
}

/// What a call that failed says of its cluster, in one word. None for what the next try may well bring.
fn kind(call: &CallError, side: Side) -> Option<Reason> {
    if call.unauthorized() {
        return Some(Reason::ClusterRefused);
    }
    if call.unreachable() {
        return Some(side.pick(Reason::SourceUnreachable, Reason::TargetUnreachable));
    }
    call.refused().then_some(Reason::WriteRefused)
}

async fn attempt(clusters: &Clusters<'_>, debt: &Leftover) -> Result<Settlement, ExecuteError> {
    let side = debt.cluster();
    let (rules, connection) = clusters.at(side);
    let cluster = Cluster::at(connection, side, &debt.namespace)?;
    let (identity, namespace, ingress, other) =
        futures::join!(cluster.identity(), cluster.namespace(), cluster.ingress(&debt.ingress), other(clusters, debt));
    let live = Live {
        identity: identity?,
        namespace: namespace?,
        ingress: ingress?.map(|object| facts::ingress(&object, &rules.annotation_prefix)),
        other: None,
    };
    let write = debt.write();
    match look(&write, &rules.identity, &live, &other) {
        Err(settlement) => Ok(settlement),
        Ok((uid, version)) => {
            apply(&rules, &cluster, &write, &uid, &version).await?;
            Ok(Settlement::Paid)
        }
    }
}

/// The same Ingress on the other side. A rollback needs only what it writes, so that one may be out of reach.
async fn other(clusters: &Clusters<'_>, debt: &Leftover) -> Other {
    let side = debt.cluster().other();
    let (rules, connection) = clusters.at(side);
    let Ok(cluster) = Cluster::at(connection, side, &debt.namespace) else { return Other::Unknown };
    let (identity, ingress) = futures::join!(cluster.identity(), cluster.ingress(&debt.ingress));
    match (identity, ingress) {
        (Ok(identity), Ok(ingress)) if identity == rules.identity => {
            let facts = ingress.map(|object| facts::ingress(&object, &rules.annotation_prefix));
            Other::Seen(facts.map(Box::new))
        }
        (Err(error), _) | (_, Err(error)) => {
            tracing::debug!(namespace = debt.namespace, error = whole(&error), "the other side could not be read");
            Other::Unknown
        }
        _ => Other::Unknown,
    }
}
