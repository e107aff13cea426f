//! The watch of one kind in one namespace: what it brings becomes facts, what it is refused is told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use kube::api::DynamicObject;
use kube::{Api, ResourceExt as _};
use kube_runtime::utils::Backoff as _;
use kube_runtime::watcher as watch_objects;
use kube_runtime::watcher::{self, Event};

use super::{Facts, Kind, Scope, Store};
use crate::cluster::client::Clients;
use crate::cluster::connection::Connection;
use crate::mutex::locked;
use crate::observe::facts;

/// Longest pause between two tries of a watch, in which kube's back-off agrees.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long a refusal stands without another: longer than the longest pause (30 s) and a try (30 s).
const REFUSAL_STANDS: Duration = Duration::from_secs(90);

/// The watch of one kind.
pub(super) struct Watch {
    kind: Kind,
    scope: Scope,
    connection: Arc<Connection>,
    store: Arc<Mutex<Store>>,
    changed: Arc<dyn Fn() + Send + Sync>,
    refusal_stands: Duration,
}

impl Watch {
    pub(super) fn new(
        kind: Kind,
        scope: &Scope,
        connection: &Arc<Connection>,
        store: &Arc<Mutex<Store>>,
        changed: &Arc<dyn Fn() + Send + Sync>,
    ) -> Self {
        Self {
            kind,
            scope: scope.clone(),
            connection: Arc::clone(connection),
            store: Arc::clone(store),
            changed: Arc::clone(changed),
            refusal_stands: REFUSAL_STANDS,
        }
    }

    /// Watches through one set of clients until the connection has another.
    pub(super) async fn run(self) {
        let mut states = self.connection.subscribe();
        loop {
            let state = states.borrow_and_update().clone();
            let Some(clients) = state.clients else {
                if states.changed().await.is_err() {
                    return;
                }
                continue;
            };
            let renewed = states.wait_for(|newer| newer.generation != state.generation);
            tokio::select! {
                () = self.follow(&clients) => {}
                renewed = renewed => if renewed.is_err() { return },
            }
        }
    }

    async fn follow(&self, clients: &Clients) {
        let resource = self.kind.resource();
        let (api, config) = if self.kind == Kind::Namespace {
            let one = watcher::Config::default().fields(&format!("metadata.name={}", self.scope.namespace));
            (Api::<DynamicObject>::all_with(clients.watches.clone(), &resource), one)
        } else {
            let api = Api::<DynamicObject>::namespaced_with(clients.watches.clone(), &self.scope.namespace, &resource);
            (api, watcher::Config::default())
        };
        let mut events = watch_objects(api, config).boxed();
        let mut pauses = watcher::DefaultBackoff::default();
        while let Some(event) = self.next(&mut events).await {
            match event {
                // Each try begins with it, whatever comes of it: kube's own back-off would begin anew each time.
                Ok(event @ Event::Init) => self.take(event),
                Ok(event) => {
                    pauses.reset();
                    self.take(event);
                }
                Err(error) => {
                    self.complain(&error);
                    self.pause(pauses.next().unwrap_or(LONGEST_PAUSE)).await;
                }
            }
        }
    }

    /// Waits before the next try, but not when the cluster comes back: the keeper of the connection notices that for all.
    async fn pause(&self, longest: Duration) {
        let mut states = self.connection.subscribe();
        let back = async {
            // Without a sender the connection has ended, and this watch with it.
            let away = states.wait_for(|state| !state.reach.is_reachable()).await.is_ok();
            let back = away && states.wait_for(|state| state.reach.is_reachable()).await.is_ok();
            if !back {
                std::future::pending::<()>().await;
            }
        };
        drop(tokio::time::timeout(longest, back).await);
    }

    /// The next event. A refused watch is begun again and again; that it was not refused once more is all that tells of its
    /// success, because a watch without changes is silent.
    async fn next<S: Stream + Unpin>(&self, events: &mut S) -> Option<S::Item> {
        while locked(&self.store).refused.contains_key(&self.kind) {
            match tokio::time::timeout(self.refusal_stands, events.next()).await {
                Ok(event) => return event,
                Err(_) => drop(self.is_shown_again().then(|| (self.changed)())),
            }
        }
        events.next().await
    }

    fn is_shown_again(&self) -> bool {
        locked(&self.store).refused.remove(&self.kind).is_some()
    }

    fn complain(&self, error: &watcher::Error) {
        tracing::debug!(
            kind = self.kind.name(),
            namespace = self.scope.namespace,
            error = crate::causes::causes(error),
            "a watch failed"
        );
        match refusal(error) {
            Some(why) if locked(&self.store).refused.insert(self.kind, why.clone()).as_ref() != Some(&why) => {
                (self.changed)();
            }
            Some(_) => {}
            None => self.connection.doubt(),
        }
    }

    fn take(&self, event: Event<DynamicObject>) {
        let changed = match event {
            Event::Init => {
                locked(&self.store).lists.insert(self.kind, BTreeMap::new());
                false
            }
            Event::InitApply(object) => {
                let (name, facts) = (object.name_any(), self.facts(&object));
                locked(&self.store).lists.entry(self.kind).or_default().insert(name, facts);
                false
            }
            Event::InitDone => self.finish_list(),
            Event::Apply(object) => {
                let (key, facts) = ((self.kind, object.name_any()), self.facts(&object));
                let old = locked(&self.store).objects.insert(key, facts.clone());
                self.is_shown_again() | (old.as_ref() != Some(&facts))
            }
            Event::Delete(object) => {
                let old = locked(&self.store).objects.remove(&(self.kind, object.name_any()));
                self.is_shown_again() | old.is_some()
            }
        };
        if changed {
            (self.changed)();
        }
    }

    /// The complete list replaces what was known: an object that is not in it is gone.
    fn finish_list(&self) -> bool {
        let mut store = locked(&self.store);
        let list = store.lists.remove(&self.kind).unwrap_or_default();
        let is_first = store.listed.insert(self.kind) | store.refused.remove(&self.kind).is_some();
        let kind = self.kind;
        let same = store
            .objects
            .iter()
            .filter(|((known, _), _)| *known == kind)
            .map(|((_, name), facts)| (name, facts))
            .eq(list.iter());
        store.objects.retain(|(known, _), _| *known != kind);
        store.objects.extend(list.into_iter().map(|(name, facts)| ((kind, name), facts)));
        is_first || !same
    }

    fn facts(&self, object: &DynamicObject) -> Facts {
        match self.kind {
            Kind::Namespace => Facts::Namespace(facts::namespace(object)),
            Kind::Ingress => Facts::Ingress(Box::new(facts::ingress(object, &self.scope.annotation_prefix))),
            Kind::Service => Facts::Service(facts::service(object)),
            Kind::Deployment | Kind::StatefulSet => Facts::Workload(facts::workload(object, false)),
            Kind::DaemonSet => Facts::Workload(facts::workload(object, true)),
        }
    }
}

/// What an API server says that answers, but does not show. Anything else speaks of the connection.
fn refusal(error: &watcher::Error) -> Option<String> {
    let (watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error)) = error else {
        return None;
    };
    match error {
        kube::Error::Api(status) if matches!(status.code, 403 | 404) => Some(status.message.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::client::{HomeSource, connect};
    use crate::cluster::connection::{Address, HomeAccess};
    use crate::machine::Side;
    use crate::metrics::{ClusterSide, Metrics};

    fn unconnected() -> Arc<Connection> {
        let metrics = Metrics::default();
        let nowhere = kube::Config::new("http://127.0.0.1:1".parse().unwrap());
        let home = HomeAccess {
            source: HomeSource::File("/nowhere".into()),
            clients: connect(&nowhere, ClusterSide::Home, &metrics).unwrap(),
            namespace: "operator".into(),
            metrics,
        };
        let way = crate::api::Connection::default();
        Connection::open(Address { pair: "p".into(), side: Side::Target, way, identity: "u".into() }, home, || {})
    }

    fn watch(connection: Arc<Connection>, changed: impl Fn() + Send + Sync + 'static) -> Watch {
        Watch {
            kind: Kind::Ingress,
            scope: Scope { namespace: "shop".into(), annotation_prefix: "dns/".into() },
            connection,
            store: Arc::default(),
            changed: Arc::new(changed),
            refusal_stands: Duration::from_millis(1),
        }
    }

    fn forbidden() -> kube::Error {
        kube::Error::Api(kube::core::Status::failure("no", "Forbidden").with_code(403).boxed())
    }

    #[tokio::test]
    async fn a_watch_that_is_refused_asks_less_and_less_often() {
        let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let list = axum::routing::get(move || {
            counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            async { (axum::http::StatusCode::FORBIDDEN, r#"{"kind": "Status", "code": 403, "reason": "Forbidden"}"#) }
        });
        let path = "/apis/networking.k8s.io/v1/namespaces/shop/ingresses";
        let address = crate::cluster::local_api::serve(axum::Router::new().route(path, list)).await;
        let config = kube::Config::new(format!("http://{address}").parse().unwrap());
        let clients = connect(&config, ClusterSide::Target, &Metrics::default()).unwrap();
        let watching = watch(unconnected(), || ());
        // Pauses of 0.8, 1.6 and 3.2 s at least: the fourth try comes no sooner than after 5.6 s.
        let seconds = tokio::time::timeout(Duration::from_secs(5), watching.follow(&clients)).await;
        assert!(seconds.is_err(), "it gave up");
        assert!((2..=3).contains(&asked.load(std::sync::atomic::Ordering::SeqCst)), "{asked:?} tries");
    }

    #[tokio::test]
    async fn a_watch_that_is_refused_no_more_is_believed_again_though_nothing_changes() {
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let watch = watch(unconnected(), move || tell.send(()).unwrap());
        watch.complain(&watcher::Error::WatchStartFailed(forbidden()));
        told.recv().await.unwrap();
        assert!(locked(&watch.store).refused.contains_key(&Kind::Ingress));
        let mut silence = futures::stream::pending::<()>();
        tokio::select! { _ = watch.next(&mut silence) => panic!("nothing comes"), again = told.recv() => again.unwrap() }
        assert!(locked(&watch.store).refused.is_empty());
    }
}
