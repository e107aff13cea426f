//! What the operator may do on both sides: asked before the move, when both have been seen or refuse to be.

use std::time::Instant;

use crate::cluster::namespace_watch::NamespaceWatch;
use crate::cluster::rights::{About, Asker};
use crate::machine::observed::{ClusterView, Observed, Side};
use crate::machine::order::Order;
use crate::machine::right::{Right, Rights};
use crate::site::Site;

/// Adds to what was observed what both sides say of the operator's rights.
pub(super) async fn add(site: &Site, order: &Order, observed: &mut Observed) {
    if !may_be_asked(&observed.source) || !may_be_asked(&observed.target) {
        return;
    }
    let generation = |watch: &NamespaceWatch| watch.connection().state().generation;
    let about =
        About { generations: [generation(&site.source), generation(&site.target)], secrets: order.secrets.clone() };
    let rights = if let Some(rights) = site.rights.get(&about, Instant::now()) {
        rights
    } else {
        let asked = futures::join!(ask(site, Side::Source, order), ask(site, Side::Target, order));
        site.rights.remember(about, Instant::now(), asked.into())
    };
    [observed.source.rights, observed.target.rights] = rights;
    // A question that was not answered may have shown that a cluster is out of reach.
    observed.source.reach = site.source.connection().state().reach;
    observed.target.reach = site.target.connection().state().reach;
}

fn may_be_asked(view: &ClusterView) -> bool {
    view.reach.is_reachable() && (view.synced || view.unwatchable.is_some())
}

async fn ask(site: &Site, side: Side, order: &Order) -> Rights {
    let connection = site.side(side).connection();
    let Some(clients) = connection.state().clients else { return Rights::NotAsked };
    let asker = Asker { client: &clients.requests, namespace: &order.namespace, secrets: &order.secrets };
    asker.ask(Right::all(side)).await.unwrap_or_else(|error| {
        connection.report(&error);
        Rights::Unknown { why: error.to_string() }
    })
}
