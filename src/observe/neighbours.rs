//! The Ingresses of all namespaces that a migration moves, on both sides: listed page by page, and reduced as they come.

use std::collections::BTreeSet;
use std::sync::Mutex;

use jiff::Timestamp;
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt as _};

use crate::api::STAMP_ANNOTATION;
use crate::cluster::call::{CallError, timed};
use crate::cluster::client::CALL_TIMEOUT;
use crate::machine::neighbours::{LOOKED_FOR_AGAIN, Neighbour, Neighbours};
use crate::machine::observed::{ClusterView, Observed, Side};
use crate::machine::stamp::Stamp;
use crate::mutex::locked;
use crate::site::Site;

/// Ingresses of one answer.
const PAGE: u32 = 250;

/// What was last listed on source and target.
#[derive(Default)]
pub struct LastListing(Mutex<[Neighbours; 2]>);

impl LastListing {
    /// What was listed of a side at this time or later, and not too long ago.
    fn get(&self, side: Side, since: Timestamp, now: Timestamp) -> Option<Neighbours> {
        let [source, target] = &*locked(&self.0);
        let known = side.pick(source, target);
        let Neighbours::Known { read_at, .. } = known else { return None };
        (*read_at >= since && now.duration_since(*read_at) < LOOKED_FOR_AGAIN).then(|| known.clone())
    }

    fn remember(&self, side: Side, listed: &Neighbours) {
        let [source, target] = &mut *locked(&self.0);
        side.pick(source, target).clone_from(listed);
    }
}

/// Adds to what was observed the Ingresses with a running stamp, as listed at this time or later.
pub(super) async fn add(site: &Site, since: Timestamp, observed: &mut Observed) {
    let of = |side: Side, view: &ClusterView| {
        let is_seen = view.reach.is_reachable() && view.synced && view.unwatchable.is_none();
        async move { if is_seen { listed(site, side, since).await } else { Neighbours::NotAsked } }
    };
    let (source, target) = futures::join!(of(Side::Source, &observed.source), of(Side::Target, &observed.target));
    (observed.source.neighbours, observed.target.neighbours) = (source, target);
}

async fn listed(site: &Site, side: Side, since: Timestamp) -> Neighbours {
    let now = crate::cluster::now();
    if let Some(known) = site.neighbours.get(side, since, now) {
        return known;
    }
    let connection = site.side(side).connection();
    let Some(clients) = connection.state().clients else { return Neighbours::NotAsked };
    let listed = match moving(&clients.requests).await {
        Ok(moving) => Neighbours::Known { read_at: now, moving },
        // Rights may be granted for single namespaces: then nobody can look.
        Err(error) if error.forbidden() => Neighbours::Refused,
        Err(error) => {
            connection.report(&error);
            Neighbours::Unknown { why: error.to_string() }
        }
    };
    site.neighbours.remember(side, &listed);
    listed
}

async fn moving(client: &Client) -> Result<Vec<Neighbour>, CallError> {
    let ingresses: Api<Ingress> = Api::all(client.clone());
    let (mut found, mut page) = (vec![], ListParams::default().limit(PAGE));
    loop {
        let answer = timed(CALL_TIMEOUT, ingresses.list(&page)).await?;
        found.extend(answer.items.iter().filter_map(neighbour));
        match answer.metadata.continue_.filter(|token| !token.is_empty()) {
            None => return Ok(found),
            Some(token) => page = page.continue_token(&token),
        }
    }
}

/// The Ingress, if a migration moves it.
fn neighbour(ingress: &Ingress) -> Option<Neighbour> {
    let stamp = Stamp::parse(ingress.annotations().get(STAMP_ANNOTATION)?)?;
    let rules = ingress.spec.iter().flat_map(|spec| spec.rules.iter().flatten());
    let hosts: BTreeSet<_> = rules.filter_map(|rule| rule.host.clone()).collect();
    let (namespace, name) = (ingress.namespace().unwrap_or_default(), ingress.name_any());
    (!stamp.direction.is_final()).then_some(Neighbour { namespace, name, hosts, owner: stamp.owner })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ingress(stamp: &str) -> Ingress {
        serde_json::from_value(json!({
            "metadata": {"name": "web", "namespace": "shop", "annotations": {STAMP_ANNOTATION: stamp}},
            "spec": {"rules": [{"host": "shop.example"}, {}, {"host": "api.example"}]},
        }))
        .unwrap()
    }

    #[test]
    fn only_a_running_stamp_makes_a_neighbour() {
        let stamp = |direction: &str| {
            json!({"owner": "home/shop/shop", "attempt": 1, "epoch": 3, "direction": direction}).to_string()
        };
        let hosts = ["api.example", "shop.example"].map(str::to_owned).into();
        let (namespace, name, owner) = ("shop".into(), "web".into(), "home/shop/shop".into());
        let expected = Some(Neighbour { namespace, name, hosts, owner });
        assert_eq!(["Forward", "RollingBack"].map(|it| neighbour(&ingress(&stamp(it)))), [expected.clone(), expected]);
        assert_eq!(["Completed", "RolledBack"].map(|it| neighbour(&ingress(&stamp(it)))), [None, None]);
        assert_eq!(neighbour(&ingress("forged")), None);
    }

    #[test]
    fn a_listing_counts_from_the_time_that_is_asked_for_and_not_for_long() {
        let (last, at) = (LastListing::default(), |seconds: i64| Timestamp::from_second(1_000 + seconds).unwrap());
        assert_eq!(last.get(Side::Source, at(0), at(0)), None);
        let known = Neighbours::Known { read_at: at(10), moving: vec![] };
        last.remember(Side::Source, &known);
        assert_eq!(last.get(Side::Source, at(10), at(39)), Some(known));
        assert_eq!(last.get(Side::Source, at(11), at(12)), None, "it was listed before that");
        assert_eq!(last.get(Side::Source, at(10), at(40)), None, "somebody may have come since");
        assert_eq!(last.get(Side::Target, at(0), at(12)), None);
    }
}
