//! One namespace of one cluster, watched: facts in memory, so that a decision needs no request.
//!
//! Each kind has a watch of its own, with its own back-off. What a watch brings is reduced to facts at once. When the
//! connection is made anew, all watches start again; until then the last facts stay, and say how things were last seen.

mod shelf;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use kube::api::ApiResource;

use super::connection::Connection;
use super::object_watch::{ObjectWatch, Selection, resource};
use crate::machine::observed::{ClusterView, IngressFacts, NamespaceFacts, ServiceFacts, WorkloadFacts};
use crate::metrics::Metrics;
use crate::mutex::locked;
use crate::task::Tasks;
use shelf::KindShelf;

/// The kinds that are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Namespace,
    Ingress,
    Service,
    Deployment,
    StatefulSet,
    DaemonSet,
}

impl Kind {
    const ALL: [Self; 6] =
        [Self::Namespace, Self::Ingress, Self::Service, Self::Deployment, Self::StatefulSet, Self::DaemonSet];

    fn resource(self) -> ApiResource {
        let (group, kind, plural) = match self {
            Self::Namespace => ("", "Namespace", "namespaces"),
            Self::Ingress => ("networking.k8s.io", "Ingress", "ingresses"),
            Self::Service => ("", "Service", "services"),
            Self::Deployment => ("apps", "Deployment", "deployments"),
            Self::StatefulSet => ("apps", "StatefulSet", "statefulsets"),
            Self::DaemonSet => ("apps", "DaemonSet", "daemonsets"),
        };
        resource(group, kind, plural)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Namespace => "Namespace",
            Self::Ingress => "Ingress",
            Self::Service => "Service",
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
        }
    }
}

/// Facts about one object.
#[derive(Clone, PartialEq)]
enum Facts {
    Namespace(NamespaceFacts),
    Ingress(Box<IngressFacts>),
    Service(ServiceFacts),
    Workload(WorkloadFacts),
}

#[derive(Default)]
struct Store {
    objects: BTreeMap<(Kind, String), Facts>,
    /// What a list in progress has brought so far; it replaces the old facts when it is complete.
    lists: BTreeMap<Kind, BTreeMap<String, Facts>>,
    listed: BTreeSet<Kind>,
    /// Kinds that the API server refuses to show, and its words.
    refused: BTreeMap<Kind, String>,
}

/// What is watched, and for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The namespace.
    pub namespace: String,
    /// Prefix of the cluster's external-dns annotations.
    pub annotation_prefix: String,
}

impl Scope {
    /// Of all namespaces only this one is watched, by its name.
    fn selection(&self, kind: Kind) -> Selection {
        let (resource, here) = (kind.resource(), Some(self.namespace.clone()));
        match kind {
            Kind::Namespace => Selection { resource, namespace: None, name: here },
            _ => Selection { resource, namespace: here, name: None },
        }
    }
}

/// A watched namespace. Dropped, its watches end.
pub struct NamespaceWatch {
    connection: Arc<Connection>,
    scope: Scope,
    store: Arc<Mutex<Store>>,
    watches: Tasks,
}

impl NamespaceWatch {
    /// Starts to watch as soon as the cluster is connected. `changed` is called whenever a fact has changed.
    pub fn start(
        connection: Arc<Connection>,
        scope: Scope,
        metrics: &Metrics,
        changed: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        let watches = Tasks::default();
        let store = Arc::new(Mutex::new(Store::default()));
        let changed: Arc<dyn Fn() + Send + Sync> = Arc::new(changed);
        for kind in Kind::ALL {
            let annotation_prefix = scope.annotation_prefix.clone();
            let shelf = KindShelf { kind, annotation_prefix, store: Arc::clone(&store) };
            let watch = ObjectWatch::new(scope.selection(kind), &connection, shelf, &changed);
            watches.spawn("watch of a namespace", metrics.clone(), watch.run());
        }
        Self { connection, scope, store, watches }
    }

    /// The connection that is watched through.
    pub fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Whether one of its watches has panicked: what it says is old.
    pub fn is_broken(&self) -> bool {
        self.watches.are_broken()
    }

    /// What is watched.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// How the namespace was last seen.
    pub fn view(&self) -> ClusterView {
        let store = locked(&self.store);
        let mut view = ClusterView {
            reach: self.connection.state().reach,
            synced: store.listed.len() == Kind::ALL.len(),
            unwatchable: store.refused.iter().next().map(|(kind, why)| format!("{}: {why}", kind.name())),
            ..ClusterView::default()
        };
        for ((kind, name), facts) in &store.objects {
            match facts.clone() {
                Facts::Namespace(facts) => view.namespace = Some(facts),
                Facts::Ingress(facts) => drop(view.ingresses.insert(name.clone(), *facts)),
                Facts::Service(facts) => drop(view.services.insert(name.clone(), facts)),
                Facts::Workload(facts) => drop(view.workloads.insert(format!("{}/{name}", kind.name()), facts)),
            }
        }
        view
    }
}
