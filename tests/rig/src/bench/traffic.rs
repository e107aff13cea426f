//! What the operator asked the API servers for in a stretch of time, from their audit logs.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::deploy::OPERATOR_NAMESPACE;
use crate::recorder::{Mark, Recorder, Request};
use crate::world::World;

/// A moment in the recordings of both clusters.
#[derive(Clone, Copy)]
pub struct Moment([Mark; 2]);

fn recorders(world: &World) -> [Recorder; 2] {
    [world.source(), world.target()].map(|cluster| Recorder::open(cluster.name(), cluster.audit_log()))
}

impl Moment {
    /// Now.
    pub async fn now(world: &World) -> Result<Self> {
        let [source, target] = recorders(world);
        Ok(Self([source.mark().await?, target.mark().await?]))
    }

    /// What the operator's accounts have asked for since, on both clusters, by the time of the answer.
    pub async fn requests(self, world: &World) -> Result<Vec<Request>> {
        let accounts = format!("system:serviceaccount:{OPERATOR_NAMESPACE}:");
        let mut requests = Vec::new();
        for (recorder, mark) in recorders(world).into_iter().zip(self.0) {
            requests.extend(recorder.requests(mark, &accounts).await?);
        }
        requests.sort_by_key(|request| request.answered);
        Ok(requests)
    }
}

/// Requests by what they are for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally(BTreeMap<&'static str, usize>);

/// The operator's own Lease, whatever it has to do.
pub const LEASE: &str = "its Lease";
/// Watches that were begun.
pub const WATCHES: &str = "watches begun";
/// Reads that are no watch.
pub const READS: &str = "reads";
/// Questions about rights.
pub const REVIEWS: &str = "access reviews";
/// Weights: writes of Ingresses.
pub const INGRESSES: &str = "Ingresses";
/// Statuses of migrations.
pub const STATUSES: &str = "status";
/// Finalizers of migrations.
pub const FINALIZERS: &str = "finalizer";
/// Events for people.
pub const EVENTS: &str = "events";
/// Copied Secrets.
pub const SECRETS: &str = "Secrets";
/// Writes of another kind.
pub const OTHERS: &str = "others";

fn purpose(request: &Request) -> &'static str {
    let status = request.subresource == "status";
    match (request.verb.as_str(), request.resource.as_str()) {
        (_, "leases") => LEASE,
        ("review", _) => REVIEWS,
        ("watch", _) => WATCHES,
        _ if !request.is_write() => READS,
        (_, "ingresses") => INGRESSES,
        (_, "namespacemigrations") if status => STATUSES,
        (_, "namespacemigrations") => FINALIZERS,
        (_, "events") => EVENTS,
        (_, "secrets") => SECRETS,
        _ => OTHERS,
    }
}

impl Tally {
    /// Counts them.
    pub fn of<'r>(requests: impl IntoIterator<Item = &'r Request>) -> Self {
        let mut tally = BTreeMap::new();
        for request in requests {
            *tally.entry(purpose(request)).or_default() += 1;
        }
        Self(tally)
    }

    /// How many there were for this.
    pub fn get(&self, purpose: &str) -> usize {
        self.0.get(purpose).copied().unwrap_or_default()
    }

    /// Writes about migrations, of whatever kind.
    pub fn writes(&self) -> usize {
        [INGRESSES, STATUSES, FINALIZERS, EVENTS, SECRETS, OTHERS].map(|kind| self.get(kind)).iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(verb: &str, resource: &str, subresource: &str) -> Request {
        Request {
            cluster: "source".into(),
            received: jiff::Timestamp::UNIX_EPOCH,
            answered: jiff::Timestamp::UNIX_EPOCH,
            verb: verb.into(),
            resource: resource.into(),
            subresource: subresource.into(),
            namespace: "shop".into(),
            name: "shop".into(),
            code: 200,
        }
    }

    #[test]
    fn each_request_is_counted_once_for_what_it_is() {
        let requests = [
            ("update", "leases", ""),
            ("get", "leases", ""),
            ("watch", "ingresses", ""),
            ("list", "ingresses", ""),
            ("patch", "ingresses", ""),
            ("patch", "namespacemigrations", "status"),
            ("patch", "namespacemigrations", ""),
            ("create", "events", ""),
            ("create", "secrets", ""),
            ("review", "selfsubjectaccessreviews", ""),
            ("patch", "clusterpairs", "status"),
        ];
        let requests = requests.map(|(verb, resource, subresource)| request(verb, resource, subresource));
        let tally = Tally::of(&requests);
        assert_eq!((tally.get(LEASE), tally.get(WATCHES), tally.get(READS), tally.get(REVIEWS)), (2, 1, 1, 1));
        assert_eq!((tally.get(STATUSES), tally.get(OTHERS), tally.writes()), (1, 1, 6));
    }
}
