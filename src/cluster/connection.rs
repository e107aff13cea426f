//! One cluster of one pair: connected, proved to be the right one, doubted when a call fails, and found again.
//!
//! Nothing polls a cluster that answers. A failed call or watch raises a doubt; the keeper task then asks for the
//! cluster's identity until it has an answer. So a dead cluster costs its own task's time and nobody else's.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use thiserror::Error;
use tokio::sync::{Notify, watch};

use super::call::{CallError, timed};
use super::client::{Clients, ConnectError, HomeSource, connect, home_clients};
use super::kubeconfig::{self, KubeconfigError};
use super::secret::{self, SecretError};
use crate::api::{Connection as Way, KubeconfigRef};
use crate::machine::Side;
use crate::machine::observed::Reach;
use crate::metrics::{ClusterSide, Metrics, ReachableLabels};
use crate::task::Tasks;

/// How long the question for a cluster's identity may take.
const IDENTITY_TIMEOUT: Duration = Duration::from_secs(5);
/// First wait between two tries; doubled up to [`LONGEST_RETRY`].
const FIRST_RETRY: Duration = Duration::from_millis(500);
/// Longest wait between two tries: a cluster that returns is noticed within this time.
const LONGEST_RETRY: Duration = Duration::from_secs(10);

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
    /// Clients, once there were any. They stay while the cluster is out of reach.
    pub clients: Option<Clients>,
    /// Version of the API server, once it has said so.
    pub version: Option<String>,
    /// Raised with each new set of clients: watches start anew.
    pub generation: u64,
}

/// A connection. Dropped, its keeper ends.
pub struct Connection {
    /// What it was made from.
    pub address: Address,
    state: watch::Sender<State>,
    doubt: Arc<Notify>,
    tasks: Tasks,
}

/// Why a cluster cannot be used.
#[derive(Debug, Error)]
enum Trouble {
    #[error("Secret {secret} of the operator's namespace could not be read")]
    ReadSecret {
        secret: String,
        #[source]
        source: SecretError,
    },
    #[error(
        "there is no Secret {secret} in the operator's namespace {namespace}; create it with the kubeconfig under the key {key}"
    )]
    NoSecret { secret: String, namespace: String, key: String },
    #[error("Secret {secret} has no key {key}; put the kubeconfig there")]
    NoKey { secret: String, key: String },
    #[error("the kubeconfig in Secret {secret} is refused")]
    Kubeconfig {
        secret: String,
        #[source]
        source: KubeconfigError,
    },
    #[error("no connection can be made")]
    Connect(#[source] ConnectError),
    #[error("the connection is neither inCluster nor kubeconfig")]
    NoWay,
    #[error("asking for the identity of the cluster failed")]
    Identity(#[source] CallError),
    #[error("its identity is {found}")]
    WrongCluster { found: String },
}

impl Trouble {
    fn reach(self) -> Reach {
        if let Self::WrongCluster { found } = self {
            return Reach::WrongCluster { found };
        }
        let unreachable = matches!(&self, Self::Identity(error) if error.unreachable());
        let why = crate::causes::whole(&self);
        if unreachable { Reach::Unreachable { since: super::now(), why } } else { Reach::Refused { why } }
    }
}

impl Connection {
    /// Starts to connect. `changed` is called whenever what is known has changed.
    pub fn open(address: Address, home: HomeAccess, changed: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        let tasks = Tasks::default();
        let (state, _) = watch::channel(State::default());
        let doubt = Arc::new(Notify::new());
        let keeper = Keeper {
            address: address.clone(),
            home,
            state: state.clone(),
            doubt: Arc::clone(&doubt),
            told: Reach::Unknown,
            changed: Box::new(changed),
        };
        tasks.spawn("keeper of a connection", keeper.home.metrics.clone(), keeper.run());
        Arc::new(Self { address, state, doubt, tasks })
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

struct Keeper {
    address: Address,
    home: HomeAccess,
    state: watch::Sender<State>,
    doubt: Arc<Notify>,
    /// What everybody was last woken for.
    told: Reach,
    changed: Box<dyn Fn() + Send + Sync>,
}

impl Keeper {
    async fn run(mut self) {
        let mut retry = FIRST_RETRY;
        loop {
            match self.verify().await {
                Ok(()) => {
                    self.publish(Reach::Reachable);
                    retry = FIRST_RETRY;
                    self.wait_for_doubt().await;
                }
                Err(trouble) => {
                    self.publish(trouble.reach());
                    tokio::time::sleep(retry).await;
                    retry = (retry * 2).min(LONGEST_RETRY);
                }
            }
        }
    }

    /// A call that found the cluster away is news; the mere doubt of a watch is not, and many of them cost one question.
    async fn wait_for_doubt(&mut self) {
        let verified = tokio::time::Instant::now();
        self.doubt.notified().await;
        self.wake();
        tokio::time::sleep_until(verified + FIRST_RETRY).await;
    }

    /// Asks the cluster who it is. Credentials are read anew only when those at hand did not do. A connection that has led
    /// to another cluster is not used again: its watches may have brought that one's facts.
    async fn verify(&self) -> Result<(), Trouble> {
        let known = self.known_clients();
        if let Some(clients) = known
            && let Ok(version) = self.ask(&clients).await
        {
            self.state.send_modify(|state| state.version = version);
            return Ok(());
        }
        let clients = self.connect().await?;
        let version = self.ask(&clients).await?;
        self.state.send_modify(|state| {
            state.clients = Some(clients);
            state.version = version;
            state.generation += 1;
        });
        Ok(())
    }

    /// Whether it is the right cluster; and its version, which is for people, so that a cluster that does not tell it is used.
    async fn ask(&self, clients: &Clients) -> Result<Option<String>, Trouble> {
        let (identity, version) =
            futures::join!(self.ask_identity(clients), timed(IDENTITY_TIMEOUT, clients.requests.apiserver_version()));
        identity?;
        match version {
            Ok(info) => Ok(Some(info.git_version)),
            Err(error) => {
                let (pair, side) = (&self.address.pair, self.address.side.name());
                tracing::info!(%pair, side, %error, "the cluster does not tell its version");
                Ok(self.state.borrow().version.clone())
            }
        }
    }

    fn known_clients(&self) -> Option<Clients> {
        let state = self.state.borrow();
        let led_astray = matches!(state.reach, Reach::WrongCluster { .. });
        state.clients.clone().filter(|_| !led_astray)
    }

    async fn ask_identity(&self, clients: &Clients) -> Result<(), Trouble> {
        let namespaces: Api<Namespace> = Api::all(clients.requests.clone());
        let found = timed(IDENTITY_TIMEOUT, namespaces.get("kube-system")).await.map_err(Trouble::Identity)?;
        let found = found.metadata.uid.unwrap_or_default();
        if found == self.address.identity { Ok(()) } else { Err(Trouble::WrongCluster { found }) }
    }

    async fn connect(&self) -> Result<Clients, Trouble> {
        let (way, metrics) = (&self.address.way, &self.home.metrics);
        let side = cluster_side(self.address.side);
        match (&way.in_cluster, &way.kubeconfig) {
            (Some(_), None) => home_clients(&self.home.source, side, metrics).map_err(Trouble::Connect),
            (None, Some(reference)) => {
                let config = self.kubeconfig(reference).await?.config();
                connect(&config, side, metrics).map_err(Trouble::Connect)
            }
            _ => Err(Trouble::NoWay),
        }
    }

    async fn kubeconfig(&self, reference: &KubeconfigRef) -> Result<kubeconfig::RemoteKubeconfig, Trouble> {
        let KubeconfigRef { secret_name, key } = reference.clone();
        let namespace = self.home.namespace.clone();
        let found = secret::get(&self.home.clients.requests, &namespace, &secret_name)
            .await
            .map_err(|source| Trouble::ReadSecret { secret: secret_name.clone(), source })?;
        let Some(found) = found else { return Err(Trouble::NoSecret { secret: secret_name, namespace, key }) };
        let Some(text) = found.reveal(&key) else { return Err(Trouble::NoKey { secret: secret_name, key }) };
        kubeconfig::parse(text).map_err(|source| Trouble::Kubeconfig { secret: secret_name, source })
    }

    fn publish(&mut self, reach: Reach) {
        let labels = ReachableLabels { pair: self.address.pair.clone(), side: cluster_side(self.address.side) };
        self.home.metrics.cluster_reachable.get_or_create(&labels).set(i64::from(reach.is_reachable()));
        self.state.send_if_modified(|state| {
            let changed = !same_kind(&state.reach, &reach);
            if changed {
                tell(&self.address, &reach);
                state.reach = reach;
            }
            changed
        });
        self.wake();
    }

    /// Wakes everybody, if they were last woken for another state: a failed call may have changed it in between.
    fn wake(&mut self) {
        let reach = self.state.borrow().reach.clone();
        if !same_kind(&self.told, &reach) {
            self.told = reach;
            (self.changed)();
        }
    }
}

/// Whether two states mean the same to a migration: since when and in which words does not matter.
fn same_kind(one: &Reach, other: &Reach) -> bool {
    match (one, other) {
        (Reach::Unreachable { .. }, Reach::Unreachable { .. }) => true,
        (one, other) => one == other,
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
