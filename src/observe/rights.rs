//! What the operator may do on both sides and at home: asked before the move, when both sides have been seen or refuse to be.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::cluster::home_rights::{Asked, HomeRights};
use crate::cluster::namespace_watch::NamespaceWatch;
use crate::cluster::rights::{About, Asker};
use crate::machine::observed::{ClusterView, Observed, Side};
use crate::machine::order::Order;
use crate::machine::right::{Right, Rights};
use crate::site::Site;

/// Adds to what was observed what the clusters say of the operator's rights.
pub(super) async fn add(site: &Site, order: &Order, home: &HomeRights, observed: &mut Observed) {
    if !may_be_asked(&observed.source) || !may_be_asked(&observed.target) {
        return;
    }
    let asked = Asked { namespace: &order.object.0, kubeconfigs: kubeconfigs(site), keys: order.aws_keys.clone() };
    let (sides, at_home) = futures::join!(of_both_sides(site, order), home.of(&asked));
    [observed.source.rights, observed.target.rights] = sides;
    observed.home_rights = at_home;
    // A question that was not answered may have shown that a cluster is out of reach.
    observed.source.reach = site.source.connection().state().reach;
    observed.target.reach = site.target.connection().state().reach;
}

/// The Secrets of the pair's kubeconfigs.
fn kubeconfigs(site: &Site) -> BTreeSet<String> {
    let ways = [Side::Source, Side::Target].map(|side| &site.side(side).connection().address.way);
    ways.into_iter()
        .filter_map(|way| way.kubeconfig.as_ref())
        .map(|kubeconfig| kubeconfig.secret_name.clone())
        .collect()
}

async fn of_both_sides(site: &Site, order: &Order) -> [Rights; 2] {
    let generation = |watch: &NamespaceWatch| watch.connection().state().generation;
    let about =
        About { generations: [generation(&site.source), generation(&site.target)], secrets: order.secrets.clone() };
    if let Some(rights) = site.rights.get(&about, Instant::now()) {
        return rights;
    }
    let asked = futures::join!(ask(site, Side::Source, order), ask(site, Side::Target, order));
    site.rights.remember(about, Instant::now(), asked.into())
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
