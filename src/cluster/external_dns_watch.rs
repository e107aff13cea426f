//! The Deployment of a cluster's external-dns, watched by its name: one watch for each that a ClusterPair names, as long as a
//! migration is interested.
//!
//! Where the operator may not read it, or it is not there, that is what is known of it: it only tells why DNS does not follow, and
//! nothing waits for it but the beginning of a move.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use kube::api::DynamicObject;
use kube_runtime::watcher::Event;

use super::connection::Connection;
use super::object_watch::{ObjectWatch, Selection, Shelf, resource};
use crate::api::cluster_pair::DeploymentRef;
use crate::machine::Side;
use crate::machine::external_dns::{DeploymentSight, ExternalDnsView};
use crate::metrics::Metrics;
use crate::mutex::locked;
use crate::observe::external_dns::facts;
use crate::site::Wake;
use crate::task::Tasks;

/// The Deployments that are watched, by pair and side.
#[derive(Default)]
pub struct ExternalDnsWatches {
    known: Mutex<HashMap<(String, Side), Weak<ExternalDnsWatch>>>,
}

/// Whom to wake, as long as each is kept.
type Interested = Mutex<Vec<Weak<dyn Fn() + Send + Sync>>>;

/// A watched Deployment. Dropped, its watch ends.
pub struct ExternalDnsWatch {
    connection: Arc<Connection>,
    deployment: DeploymentRef,
    seen: Arc<Mutex<Seen>>,
    interested: Arc<Interested>,
    tasks: Tasks,
}

/// What the watch has brought.
#[derive(Default)]
struct Seen {
    listed: bool,
    facts: Option<ExternalDnsView>,
    /// What a list in progress has brought so far.
    list: Option<ExternalDnsView>,
    refused: Option<String>,
}

impl ExternalDnsWatches {
    /// The watch of this Deployment: a running one, or a new one. `wake` is called when something has changed, as long as it
    /// is kept.
    pub fn of(
        &self,
        connection: &Arc<Connection>,
        named: &DeploymentRef,
        wake: &Wake,
        metrics: &Metrics,
    ) -> Arc<ExternalDnsWatch> {
        let mut known = locked(&self.known);
        known.retain(|_, watch| watch.strong_count() > 0);
        let key = (connection.address.pair.clone(), connection.address.side);
        let running = known.get(&key).and_then(Weak::upgrade).filter(|watch| watch.fits(connection, named));
        let watch = running.unwrap_or_else(|| {
            let watch = Arc::new(ExternalDnsWatch::start(Arc::clone(connection), named.clone(), metrics));
            known.insert(key, Arc::downgrade(&watch));
            watch
        });
        let mut interested = locked(&watch.interested);
        interested.retain(|known| known.strong_count() > 0);
        interested.push(Arc::downgrade(wake));
        drop(interested);
        watch
    }
}

impl ExternalDnsWatch {
    fn start(connection: Arc<Connection>, deployment: DeploymentRef, metrics: &Metrics) -> Self {
        let (seen, tasks) = (Arc::<Mutex<Seen>>::default(), Tasks::default());
        let interested = Arc::<Interested>::default();
        let told = Arc::clone(&interested);
        let changed: Arc<dyn Fn() + Send + Sync> = Arc::new(move || wake_all(&told));
        let selection = Selection {
            resource: resource("apps", "Deployment", "deployments"),
            namespace: Some(deployment.namespace.clone()),
            name: Some(deployment.name.clone()),
        };
        let watch = ObjectWatch::new(selection, &connection, SeenShelf(Arc::clone(&seen)), &changed);
        tasks.spawn("watch of an external-dns's Deployment", metrics.clone(), watch.run());
        Self { connection, deployment, seen, interested, tasks }
    }

    /// Whether it watches this Deployment through this connection, and goes on.
    pub fn fits(&self, connection: &Arc<Connection>, named: &DeploymentRef) -> bool {
        Arc::ptr_eq(&self.connection, connection) && self.deployment == *named && !self.tasks.are_broken()
    }

    /// What the Deployment tells. Its Pods are not counted while its cluster is out of reach: nobody knows.
    pub fn view(&self) -> ExternalDnsView {
        let seen = locked(&self.seen);
        let name = format!("{}/{}", self.deployment.namespace, self.deployment.name);
        let facts = seen.facts.clone().filter(|_| seen.refused.is_none()).unwrap_or_default();
        let sight = match (&seen.refused, &seen.facts) {
            (Some(why), _) => DeploymentSight::Refused { name, why: why.clone() },
            (None, Some(_)) => DeploymentSight::Seen { name },
            (None, None) if seen.listed => DeploymentSight::Gone { name },
            (None, None) => DeploymentSight::Unread,
        };
        let counted = self.connection.state().reach.is_reachable();
        ExternalDnsView {
            deployment: sight,
            wanted: facts.wanted.filter(|_| counted),
            ready: facts.ready.filter(|_| counted),
            ..facts
        }
    }
}

/// Who is not interested any more is forgotten. Nobody is woken under the lock.
fn wake_all(interested: &Interested) {
    let wakes: Vec<_> = {
        let mut known = locked(interested);
        known.retain(|wake| wake.strong_count() > 0);
        known.iter().filter_map(Weak::upgrade).collect()
    };
    for wake in wakes {
        wake();
    }
}

struct SeenShelf(Arc<Mutex<Seen>>);

impl Shelf for SeenShelf {
    fn take(&self, event: Event<DynamicObject>) -> bool {
        let mut seen = locked(&self.0);
        let facts = match event {
            Event::Init => {
                seen.list = None;
                return false;
            }
            Event::InitApply(object) => {
                seen.list = Some(facts(&object));
                return false;
            }
            Event::InitDone => seen.list.take(),
            Event::Apply(object) => Some(facts(&object)),
            Event::Delete(_) => None,
        };
        let is_first = !std::mem::replace(&mut seen.listed, true) | seen.refused.take().is_some();
        let changed = seen.facts != facts;
        seen.facts = facts;
        is_first || changed
    }

    fn refused(&self, why: String) -> bool {
        locked(&self.0).refused.replace(why.clone()) != Some(why)
    }

    fn is_refused(&self) -> bool {
        locked(&self.0).refused.is_some()
    }

    fn shown_again(&self) -> bool {
        locked(&self.0).refused.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::json;

    use super::*;
    use crate::cluster::object_watch::tests::unconnected;

    fn deployment(replicas: i32) -> DynamicObject {
        serde_json::from_value(json!({"metadata": {"name": "external-dns"}, "spec": {"replicas": replicas}})).unwrap()
    }

    fn named(name: &str) -> DeploymentRef {
        DeploymentRef { namespace: "dns".into(), name: name.into() }
    }

    fn counting() -> (Wake, Arc<AtomicUsize>) {
        let woken = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&woken);
        let wake = move || {
            counted.fetch_add(1, Ordering::SeqCst);
        };
        (Arc::new(wake), woken)
    }

    #[tokio::test]
    async fn it_is_being_looked_for_then_there_then_gone_and_may_be_refused() {
        let (watches, connection, (wake, _)) = (ExternalDnsWatches::default(), unconnected(), counting());
        let watch = watches.of(&connection, &named("external-dns"), &wake, &Metrics::default());
        let shelf = SeenShelf(Arc::clone(&watch.seen));
        assert_eq!(watch.view().deployment, DeploymentSight::Unread);
        let name = || "dns/external-dns".to_owned();
        assert!(!shelf.take(Event::Init));
        assert!(shelf.take(Event::InitDone), "that there is none is news");
        assert_eq!(watch.view().deployment, DeploymentSight::Gone { name: name() });
        assert!(shelf.take(Event::Apply(deployment(1))));
        assert!(!shelf.take(Event::Apply(deployment(1))), "the same is no news");
        assert_eq!(watch.view().deployment, DeploymentSight::Seen { name: name() });
        assert_eq!(watch.view().wanted, None, "the cluster is not reached: nobody knows how many there are now");
        assert!(shelf.refused("forbidden".into()));
        assert!(!shelf.refused("forbidden".into()));
        assert_eq!(watch.view().deployment, DeploymentSight::Refused { name: name(), why: "forbidden".into() });
        assert!(shelf.take(Event::Delete(deployment(1))));
        assert_eq!(watch.view().deployment, DeploymentSight::Gone { name: name() });
    }

    #[tokio::test]
    async fn all_that_are_interested_share_one_watch_and_are_woken_as_long_as_they_are() {
        let (watches, connection, metrics) = (ExternalDnsWatches::default(), unconnected(), Metrics::default());
        let ((one, first), (other, second)) = (counting(), counting());
        let shared = watches.of(&connection, &named("external-dns"), &one, &metrics);
        let again = watches.of(&connection, &named("external-dns"), &other, &metrics);
        assert!(Arc::ptr_eq(&shared, &again));
        wake_all(&shared.interested);
        drop(one);
        wake_all(&shared.interested);
        assert_eq!((first.load(Ordering::SeqCst), second.load(Ordering::SeqCst)), (1, 2));
        let renamed = watches.of(&connection, &named("another"), &other, &metrics);
        assert!(!Arc::ptr_eq(&shared, &renamed), "the pair names another one now");
    }
}
