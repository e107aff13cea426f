//! A debt of a deleted migration, paid: live reads of both sides, then one write or removal under uid and resourceVersion.

use futures::future::try_join_all;
use kube::ResourceExt as _;

use super::ExecuteError;
use super::live::Cluster;
use super::remove;
use super::weight::apply;
use crate::api::{ClusterPair, Leftover, LeftoverObject};
use crate::causes::whole;
use crate::cluster::call::CallError;
use crate::cluster::connection::Connection;
use crate::machine::debt::{Other, Settlement, look, misdirected, other_is_another, removal};
use crate::machine::observed::IngressFacts;
use crate::machine::order::{SideRules, owner_label};
use crate::machine::permit::{Live, Refusal};
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
        Err(error) => waits(clusters, debt.cluster(), &error),
    }
}

/// Removes one object that is owed, if it may be removed now.
pub async fn settle_object(clusters: &Clusters<'_>, debt: &LeftoverObject) -> Settlement {
    match Box::pin(attempt_removal(clusters, debt)).await {
        Ok(settlement) => settlement,
        Err(ExecuteError::Changed(why)) => Settlement::Cancelled { why },
        Err(error) => waits(clusters, Side::Target, &error),
    }
}

fn waits(clusters: &Clusters<'_>, side: Side, error: &ExecuteError) -> Settlement {
    if let Some((side, call)) = error.call() {
        clusters.at(side).1.report(call);
    }
    let reason = match (error, error.call()) {
        (_, Some((_, call))) => kind(call, side),
        (ExecuteError::Refused(Refusal::WrongCluster { .. }), _) => Some(Reason::WrongCluster),
        _ => clusters.at(side).1.state().reach.reason(side),
    };
    Settlement::Waits { reason, why: whole(error) }
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

async fn attempt_removal(clusters: &Clusters<'_>, debt: &LeftoverObject) -> Result<Settlement, ExecuteError> {
    let name = clusters.pair.name_any();
    if let Some(waits) = misdirected(debt, &name, &SideRules::of(&clusters.pair.spec.target)) {
        return Ok(waits);
    }
    let Some(planned) = debt.removal() else {
        return Ok(Settlement::Cancelled { why: format!("objects of the kind {} are never removed", debt.kind) });
    };
    let (rules, connection) = clusters.at(Side::Target);
    let target = Cluster::at(connection, Side::Target, &debt.namespace)?;
    // What another cluster says of these Ingresses would cancel what is owed to this one.
    target.is_the_right_one(&rules).await?;
    let there = try_join_all(debt.ingresses.iter().map(|name| seen(&target, name, &rules))).await?;
    let here = on_source(clusters, debt).await;
    let known = |side: Side, found: &[(String, Option<IngressFacts>)]| {
        let present = found.iter().filter_map(|(name, facts)| Some((name.clone(), facts.clone()?)));
        present.map(|(name, facts)| (side, name, facts)).collect::<Vec<_>>()
    };
    let live: Vec<_> = known(Side::Target, &there).into_iter().chain(known(Side::Source, &here)).collect();
    if let Some(why) = removal::cancelled(debt, live.iter().map(|(side, name, facts)| (*side, name.as_str(), facts))) {
        return Ok(Settlement::Cancelled { why });
    }
    remove::remove(&target, &rules, &owner_label(&debt.owner), &planned).await?;
    Ok(Settlement::Paid)
}

/// The Ingresses on the source. One that is out of reach, or another cluster, has nothing to say against a removal.
async fn on_source(clusters: &Clusters<'_>, debt: &LeftoverObject) -> Vec<(String, Option<IngressFacts>)> {
    let (rules, connection) = clusters.at(Side::Source);
    if other_is_another(debt, &rules) {
        return vec![];
    }
    let Ok(source) = Cluster::at(connection, Side::Source, &debt.namespace) else { return vec![] };
    let read = try_join_all(debt.ingresses.iter().map(|name| seen(&source, name, &rules)));
    match futures::join!(source.identity(), read) {
        (Ok(identity), Ok(found)) if identity == rules.identity => found,
        (Err(error), _) | (_, Err(error)) => {
            tracing::debug!(namespace = debt.namespace, error = whole(&error), "the source could not be read");
            vec![]
        }
        _ => vec![],
    }
}

async fn seen(
    cluster: &Cluster<'_>,
    name: &str,
    rules: &SideRules,
) -> Result<(String, Option<IngressFacts>), ExecuteError> {
    let found = cluster.ingress(name).await?;
    Ok((name.to_owned(), found.map(|object| facts::ingress(&object, &rules.annotation_prefix))))
}

async fn attempt(clusters: &Clusters<'_>, debt: &Leftover) -> Result<Settlement, ExecuteError> {
    let side = debt.cluster();
    let (rules, connection) = clusters.at(side);
    if let Some(waits) = misdirected(debt, &clusters.pair.name_any(), &rules) {
        return Ok(waits);
    }
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
            let write = write.beside(live.ingress.as_ref());
            apply(&rules, &cluster, &write, &uid, &version).await?;
            Ok(Settlement::Paid)
        }
    }
}

/// The same Ingress on the other side. A rollback needs only what it writes, so that one may be out of reach.
async fn other(clusters: &Clusters<'_>, debt: &Leftover) -> Other {
    let side = debt.cluster().other();
    let (rules, connection) = clusters.at(side);
    if other_is_another(debt, &rules) {
        return Other::Unknown;
    }
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
