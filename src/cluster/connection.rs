//! One cluster of one pair: connected, proved to be the right one, doubted when a call fails, and found again.
//!
//! Nothing polls a cluster that answers. A failed call or watch raises a doubt; the keeper task then asks for the
//! cluster's identity until it has an answer. So a dead cluster costs its own task's time and nobody else's. The Secret
//! with the kubeconfig is watched: a new one is used, and one that is taken away is not used any more, at once.

mod credentials;
mod keeper;
mod secret_watch;
mod trouble;

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::{Notify, watch};

use super::call::CallError;
use super::client::{Clients, HomeSource};
use super::general_rights::GeneralRights;
use crate::api::Connection as Way;
use crate::machine::Side;
use crate::machine::neighbours::Neighbours;
use crate::machine::observed::Reach;
use crate::metrics::{ClusterSide, Metrics};
use crate::task::Tasks;
use keeper::Keeper;

/// What a connection is made from. Equal parts make equal connections: a change of any of them makes a new one.
#[derive(Clone, Debug, PartialEq)]
pub struct Address {
    /// Name of the pair.
    pub pair: String,
    /// Which of its clusters.
    pub side: Side,
    /// How it is reached.
    pub way: Way,
    /// UID of its `kube-system` namespace.
    pub identity: String,
}

/// What every connection needs of the home cluster.
#[derive(Clone)]
pub struct HomeAccess {
    /// How the home cluster is reached.
    pub source: HomeSource,
    /// Its clients.
    pub clients: Clients,
    /// The namespace that holds kubeconfig Secrets.
    pub namespace: String,
    /// Where calls are counted.
    pub metrics: Metrics,
}

/// What is known of the way to a cluster.
#[derive(Clone, Default)]
pub struct State {
    /// Whether it answers and is the right one.
    pub reach: Reach,
    /// Clients, once there were any. They stay while the cluster is out of reach, and go with the kubeconfig that they were
    /// made from.
    pub clients: Option<Clients>,
    /// Version of the API server, once it has said so.
    pub version: Option<String>,
    /// When it last proved to be the right cluster.
    pub proved_at: Option<Timestamp>,
    /// Raised when the clients are others, or none any more: watches start anew.
    pub generation: u64,
}

impl State {
    /// It has proved just now to be the right cluster, of this version.
    fn proved(&mut self, version: Option<String>) {
        self.version = version;
        self.proved_at = Some(super::now());
    }
}

/// A connection. Dropped, its keeper ends.
pub struct Connection {
    /// What it was made from.
    pub address: Address,
    /// The Ingresses of all namespaces that a migration moves, as last listed. Who holds the lock lists for all who wait.
    pub neighbours: tokio::sync::Mutex<Neighbours>,
    /// What the operator may do there in all namespaces, as last asked.
    pub rights: GeneralRights,
    state: watch::Sender<State>,
    doubt: Arc<Notify>,
    tasks: Tasks,
}

impl Connection {
    /// Starts to connect. `changed` is called whenever what is known has changed.
    pub fn open(address: Address, home: HomeAccess, changed: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        let tasks = Tasks::default();
        let (state, _) = watch::channel(State::default());
        let doubt = Arc::new(Notify::new());
        let metrics = home.metrics.clone();
        let keeper = Keeper::new(address.clone(), home, state.clone(), Arc::clone(&doubt), Box::new(changed));
        tasks.spawn("keeper of a connection", metrics, keeper.run());
        let (neighbours, rights) = (tokio::sync::Mutex::default(), GeneralRights::default());
        Arc::new(Self { address, neighbours, rights, state, doubt, tasks })
    }

    /// Whether its keeper has panicked: nothing that it says will change any more.
    pub fn is_broken(&self) -> bool {
        self.tasks.are_broken()
    }

    /// What is known now.
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Tells every change from now on.
    pub fn subscribe(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// A call or a watch failed. What speaks of the connection and not of the request makes the keeper ask again;
    /// a call that timed out or broke is proof enough that the cluster cannot be written to now.
    pub fn report(&self, error: &CallError) {
        if error.unreachable() {
            let reach = Reach::Unreachable { since: super::now(), why: error.to_string() };
            self.state.send_if_modified(|state| {
                let was_reachable = state.reach.is_reachable();
                if was_reachable {
                    tell(&self.address, &reach);
                    state.reach = reach;
                }
                was_reachable
            });
        }
        if error.unreachable() || error.unauthorized() {
            self.doubt.notify_one();
        }
    }

    /// A watch ended badly: it may be the watch's own trouble, so the keeper asks before anybody believes it.
    pub fn doubt(&self) {
        self.doubt.notify_one();
    }
}

fn tell(address: &Address, reach: &Reach) {
    let (pair, side) = (&address.pair, address.side.name());
    if reach.is_reachable() {
        tracing::info!(%pair, side, "the cluster answers and is the right one");
    } else {
        tracing::warn!(%pair, side, trouble = reach.trouble(), "the cluster cannot be used");
    }
}

/// The metric's label of a side.
pub fn cluster_side(side: Side) -> ClusterSide {
    match side {
        Side::Source => ClusterSide::Source,
        Side::Target => ClusterSide::Target,
    }
}
