//! One kind of object watched through a connection, with its own back-off: what it brings goes on a [`Shelf`], what it is refused
//! is told there. When the connection is made anew, the watch starts again.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube_runtime::utils::Backoff as _;
use kube_runtime::watcher as watch_objects;
use kube_runtime::watcher::{self, Event};

use super::client::Clients;
use super::connection::Connection;

/// Longest pause between two tries of a watch, in which kube's back-off agrees.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A watch is asked to last so many seconds: 200 migrations begin 2400 of them at the same time after a restart, and would begin all
/// of them anew in the same second, again and again. kube's own default is 290.
const WATCH_LASTS: RangeInclusive<u32> = 230..=290;
/// How long a refusal stands without another: longer than the longest pause (30 s) and a try (30 s).
const REFUSAL_STANDS: Duration = Duration::from_secs(90);

/// Which objects are watched.
#[derive(Clone, Debug)]
pub(super) struct Selection {
    /// Their kind.
    pub(super) resource: ApiResource,
    /// Their namespace. None: they are in none.
    pub(super) namespace: Option<String>,
    /// The only one, by its name.
    pub(super) name: Option<String>,
}

/// Where a watch puts what it brings. Each answer says whether something that is known has changed.
pub(super) trait Shelf: Send + Sync + 'static {
    /// Takes in what came.
    fn take(&self, event: Event<DynamicObject>) -> bool;
    /// The API server refuses to show it, in these words.
    fn refused(&self, why: String) -> bool;
    /// Whether the last that is known is a refusal.
    fn is_refused(&self) -> bool;
    /// It is shown again, as far as can be told.
    fn shown_again(&self) -> bool;
}

/// A watch that is to be run.
pub(super) struct ObjectWatch<S> {
    selection: Selection,
    connection: Arc<Connection>,
    shelf: S,
    changed: Arc<dyn Fn() + Send + Sync>,
    refusal_stands: Duration,
}

/// A kind of API version `v1`.
pub(super) fn resource(group: &str, kind: &str, plural: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, "v1", kind), plural)
}

impl Selection {
    fn api(&self, clients: &Clients) -> Api<DynamicObject> {
        match &self.namespace {
            None => Api::all_with(clients.watches.clone(), &self.resource),
            Some(namespace) => Api::namespaced_with(clients.watches.clone(), namespace, &self.resource),
        }
    }

    /// A list and a watch of one name are authorised like a read of that name: a role may name it.
    fn config(&self) -> watcher::Config {
        let all = watcher::Config::default();
        match &self.name {
            None => all,
            Some(name) => all.fields(&format!("metadata.name={name}")),
        }
    }
}

impl<S: Shelf> ObjectWatch<S> {
    /// A watch that calls `changed` whenever something has changed on the shelf.
    pub(super) fn new(
        selection: Selection,
        connection: &Arc<Connection>,
        shelf: S,
        changed: &Arc<dyn Fn() + Send + Sync>,
    ) -> Self {
        let (connection, changed) = (Arc::clone(connection), Arc::clone(changed));
        Self { selection, connection, shelf, changed, refusal_stands: REFUSAL_STANDS }
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
        let config = self.selection.config().timeout(lasts(crate::random::bytes::<1>()[0]));
        let mut events = watch_objects(self.selection.api(clients), config).boxed();
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

    fn take(&self, event: Event<DynamicObject>) {
        if self.shelf.take(event) {
            (self.changed)();
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
    async fn next<E: Stream + Unpin>(&self, events: &mut E) -> Option<E::Item> {
        while self.shelf.is_refused() {
            match tokio::time::timeout(self.refusal_stands, events.next()).await {
                Ok(event) => return event,
                Err(_) => drop(self.shelf.shown_again().then(|| (self.changed)())),
            }
        }
        events.next().await
    }

    fn complain(&self, error: &watcher::Error) {
        tracing::debug!(
            kind = self.selection.resource.kind,
            namespace = self.selection.namespace,
            error = crate::causes::causes(error),
            "a watch failed"
        );
        let Some(why) = refusal(error) else { return self.connection.doubt() };
        if self.shelf.refused(why) {
            (self.changed)();
        }
    }
}

/// How long a watch is asked to last, by chance.
fn lasts(chance: u8) -> u32 {
    let (shortest, longest) = WATCH_LASTS.into_inner();
    shortest + (longest - shortest) * u32::from(chance) / u32::from(u8::MAX)
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
pub(super) mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::cluster::client::{HomeSource, connect};
    use crate::cluster::connection::{Address, HomeAccess};
    use crate::machine::Side;
    use crate::metrics::{ClusterSide, Metrics};
    use crate::mutex::locked;

    /// A connection to nowhere: it never has clients of its own.
    pub(in crate::cluster) fn unconnected() -> Arc<Connection> {
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

    /// Remembers refusals and nothing else.
    #[derive(Default)]
    struct Refusals(Mutex<Option<String>>);

    impl Shelf for Refusals {
        fn take(&self, _: Event<DynamicObject>) -> bool {
            false
        }

        fn refused(&self, why: String) -> bool {
            locked(&self.0).replace(why).is_none()
        }

        fn is_refused(&self) -> bool {
            locked(&self.0).is_some()
        }

        fn shown_again(&self) -> bool {
            locked(&self.0).take().is_some()
        }
    }

    fn watch(changed: impl Fn() + Send + Sync + 'static) -> ObjectWatch<Refusals> {
        let ingresses = resource("networking.k8s.io", "Ingress", "ingresses");
        ObjectWatch {
            selection: Selection { resource: ingresses, namespace: Some("shop".into()), name: None },
            connection: unconnected(),
            shelf: Refusals::default(),
            changed: Arc::new(changed),
            refusal_stands: Duration::from_millis(1),
        }
    }

    fn forbidden() -> kube::Error {
        kube::Error::Api(kube::core::Status::failure("no", "Forbidden").with_code(403).boxed())
    }

    #[test]
    fn watches_that_begin_together_end_at_different_times() {
        assert_eq!([0, 51, 102, 255].map(lasts), [230, 242, 254, 290]);
    }

    #[tokio::test]
    async fn a_watch_that_is_refused_asks_less_and_less_often() {
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let list = axum::routing::get(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            async { (axum::http::StatusCode::FORBIDDEN, r#"{"kind": "Status", "code": 403, "reason": "Forbidden"}"#) }
        });
        let path = "/apis/networking.k8s.io/v1/namespaces/shop/ingresses";
        let address = crate::cluster::local_api::serve(axum::Router::new().route(path, list)).await;
        let config = kube::Config::new(format!("http://{address}").parse().unwrap());
        let clients = connect(&config, ClusterSide::Target, &Metrics::default()).unwrap();
        let watching = watch(|| ());
        // Pauses of 0.8, 1.6 and 3.2 s at least: the fourth try comes no sooner than after 5.6 s.
        let seconds = tokio::time::timeout(Duration::from_secs(5), watching.follow(&clients)).await;
        assert!(seconds.is_err(), "it gave up");
        assert!((2..=3).contains(&asked.load(Ordering::SeqCst)), "{asked:?} tries");
    }

    #[tokio::test]
    async fn a_watch_that_is_refused_no_more_is_believed_again_though_nothing_changes() {
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let watch = watch(move || tell.send(()).unwrap());
        watch.complain(&watcher::Error::WatchStartFailed(forbidden()));
        told.recv().await.unwrap();
        assert!(watch.shelf.is_refused());
        let mut silence = futures::stream::pending::<()>();
        tokio::select! { _ = watch.next(&mut silence) => panic!("nothing comes"), again = told.recv() => again.unwrap() }
        assert!(!watch.shelf.is_refused());
    }
}
