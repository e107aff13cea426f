//! The Ingresses of all namespaces that a migration moves, on both sides: listed page by page, and reduced as they come.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt as _};

use crate::api::STAMP_ANNOTATION;
use crate::cluster::call::{CallError, timed};
use crate::cluster::client::CALL_TIMEOUT;
use crate::machine::neighbours::{LOOKED_FOR_AGAIN, Neighbour, Neighbours};
use crate::machine::observed::{ClusterView, Observed, Side};
use crate::machine::stamp::Stamp;
use crate::site::Site;

/// Migrations that come together share a listing, also one that failed.
const SHARED_FOR: SignedDuration = SignedDuration::from_secs(5);

/// Ingresses of one answer.
const PAGE: u32 = 250;

/// Adds to what was observed the Ingresses with a running stamp, as listed at this time or later.
pub(super) async fn add(site: &Site, since: Timestamp, observed: &mut Observed) {
    let of = |side: Side, view: &ClusterView| {
        let is_seen = view.reach.is_reachable() && view.synced && view.unwatchable.is_none();
        async move { if is_seen { listed(site, side, since).await } else { Neighbours::NotAsked } }
    };
    let (source, target) = futures::join!(of(Side::Source, &observed.source), of(Side::Target, &observed.target));
    (observed.source.neighbours, observed.target.neighbours) = (source, target);
}

/// What was listed at this time or later, and not too long ago.
async fn listed(site: &Site, side: Side, since: Timestamp) -> Neighbours {
    let connection = site.side(side).connection();
    let came = crate::cluster::now();
    let mut last = connection.neighbours.lock().await;
    let now = crate::cluster::now();
    if is_fresh(&last, since, (came, now)) {
        return last.clone();
    }
    let Some(clients) = connection.state().clients else { return Neighbours::NotAsked };
    *last = match moving(&clients.requests).await {
        Ok(moving) => Neighbours::Known { read_at: now, moving },
        // Rights may be granted for single namespaces: then nobody can look.
        Err(error) if error.forbidden() => Neighbours::Refused { at: now },
        Err(error) => {
            connection.report(&error);
            Neighbours::Unknown { at: now, why: error.to_string() }
        }
    };
    last.clone()
}

/// Whether a listing is good for who `came` then and waited until now: one that began meanwhile is.
fn is_fresh(last: &Neighbours, since: Timestamp, (came, now): (Timestamp, Timestamp)) -> bool {
    let within = |at: &Timestamp, span: SignedDuration| *at <= now && came.duration_since(*at) < span;
    // Before the first write whoever has stamped just now must be seen; afterwards they see us.
    let longest = if since == Timestamp::MIN { SHARED_FOR } else { LOOKED_FOR_AGAIN };
    match last {
        Neighbours::Known { read_at, .. } => *read_at >= since && within(read_at, longest),
        Neighbours::Refused { at } => within(at, LOOKED_FOR_AGAIN),
        Neighbours::Unknown { at, .. } => within(at, SHARED_FOR),
        Neighbours::NotAsked => false,
    }
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
        let at = |seconds: i64| Timestamp::from_second(1_000 + seconds).unwrap();
        let is_fresh = |last: &Neighbours, since: Timestamp, now: Timestamp| is_fresh(last, since, (now, now));
        let known = Neighbours::Known { read_at: at(10), moving: vec![] };
        assert!(super::is_fresh(&known, Timestamp::MIN, (at(9), at(60))), "it was listed while this one waited");
        assert!(!is_fresh(&known, Timestamp::MIN, at(9)), "a clock was set back");
        assert!(is_fresh(&known, at(10), at(39)));
        assert!(!is_fresh(&known, at(11), at(12)), "it was listed before that");
        assert_eq!(
            [at(14), at(15)].map(|now| is_fresh(&known, Timestamp::MIN, now)),
            [true, false],
            "before the first write"
        );
        assert!(!is_fresh(&known, at(10), at(40)), "somebody may have come since");
        assert!(
            is_fresh(&Neighbours::Refused { at: at(10) }, at(20), at(39)),
            "who may not look is not asked in every pass"
        );
        assert!(!is_fresh(&Neighbours::Refused { at: at(10) }, at(0), at(40)), "a right may have been given");
        let failed = Neighbours::Unknown { at: at(10), why: String::new() };
        assert_eq!([at(14), at(15)].map(|now| is_fresh(&failed, at(12), now)), [true, false]);
    }
}
