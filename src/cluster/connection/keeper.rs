//! The task of one connection: makes it, proves it, and makes it anew when it is doubted or its kubeconfig changes.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::credentials::{Credentials, Fingerprint};
use super::trouble::Trouble;
use super::{Address, HomeAccess, State, cluster_side, secret_watch, tell};
use crate::cluster::call::{CallError, timed};
use crate::cluster::client::Clients;
use crate::machine::observed::Reach;
use crate::metrics::ReachableLabels;

/// How long the question for a cluster's identity may take.
const IDENTITY_TIMEOUT: Duration = Duration::from_secs(5);
/// First wait between two tries; doubled up to [`LONGEST_RETRY`].
const FIRST_RETRY: Duration = Duration::from_millis(500);
/// Longest wait between two tries: a cluster that returns is noticed within this time.
const LONGEST_RETRY: Duration = Duration::from_secs(10);

pub(super) struct Keeper {
    address: Address,
    home: HomeAccess,
    state: watch::Sender<State>,
    doubt: Arc<Notify>,
    /// What everybody was last woken for.
    told: Reach,
    changed: Box<dyn Fn() + Send + Sync>,
    /// Notified when the Secret may have changed.
    secret: Arc<Notify>,
    /// Whether the Secret may have changed since it was last read.
    unread: bool,
    /// Of the kubeconfig that the clients were made from.
    used: Option<Fingerprint>,
}

impl Keeper {
    pub(super) fn new(
        address: Address,
        home: HomeAccess,
        state: watch::Sender<State>,
        doubt: Arc<Notify>,
        changed: Box<dyn Fn() + Send + Sync>,
    ) -> Self {
        let (told, secret) = (Reach::Unknown, Arc::default());
        Self { address, home, state, doubt, told, changed, secret, unread: false, used: None }
    }

    /// Keeps the connection for ever.
    pub(super) async fn run(mut self) {
        let Some(reference) = self.address.way.kubeconfig.clone() else { return self.keep().await };
        let (home, namespace) = (self.home.clients.watches.clone(), self.home.namespace.clone());
        let watching = secret_watch::follow(home, namespace, reference.secret_name, Arc::clone(&self.secret));
        futures::join!(self.keep(), watching);
    }

    async fn keep(&mut self) {
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
                    retry =
                        if self.wait_for_secret(retry).await { FIRST_RETRY } else { (retry * 2).min(LONGEST_RETRY) };
                }
            }
        }
    }

    /// Waits until the connection or its kubeconfig is doubted. A call that found the cluster away is news; the mere doubt of
    /// a watch is not, and many of them cost one question.
    async fn wait_for_doubt(&mut self) {
        let verified = Instant::now();
        // What the home cluster did not show is asked for again.
        let longest = if self.unread { LONGEST_RETRY } else { Duration::MAX };
        tokio::select! {
            () = self.secret.notified() => {
                self.unread = true;
                return;
            }
            () = tokio::time::sleep(longest) => return,
            () = self.doubt.notified() => {}
        }
        self.wake();
        tokio::time::sleep_until(verified + FIRST_RETRY).await;
    }

    /// Waits before the next try; not longer than until the Secret changes, which is returned.
    async fn wait_for_secret(&mut self, longest: Duration) -> bool {
        let changed = tokio::time::timeout(longest, self.secret.notified()).await.is_ok();
        self.unread |= changed;
        changed
    }

    /// Asks the cluster who it is, with the clients at hand as long as their kubeconfig stands, else with new ones.
    async fn verify(&mut self) -> Result<(), Trouble> {
        let at_hand = if self.kubeconfig_stands().await { self.state.borrow().clients.clone() } else { None };
        let refusal = match at_hand {
            Some(clients) => match self.ask(&clients).await {
                Ok(version) => {
                    self.state.send_modify(|state| state.proved(version));
                    return Ok(());
                }
                Err(trouble) => Some(trouble),
            },
            None => None,
        };
        match (self.connect().await, refusal) {
            // What the cluster itself said is nearer to the matter.
            (Err(trouble), Some(refusal)) if trouble.is_of_home() => Err(refusal),
            (result, _) => result,
        }
    }

    /// Whether the clients at hand may be used: not if the Secret says something else by now, for that is how a platform team
    /// takes a connection away. Whoever cannot see the Secret does not know that it changed.
    async fn kubeconfig_stands(&mut self) -> bool {
        if !self.unread {
            return true;
        }
        match Credentials::read(&self.address, &self.home).await {
            Ok(credentials) if credentials.fingerprint() == self.used.as_ref() => {
                self.unread = false;
                true
            }
            Err(trouble) => trouble.is_of_home(),
            Ok(_) => false,
        }
    }

    /// Makes new clients, and puts them in place of the old ones in one step: a rotation interrupts nothing.
    async fn connect(&mut self) -> Result<(), Trouble> {
        let credentials = match Credentials::read(&self.address, &self.home).await {
            Err(trouble) if !trouble.is_of_home() => {
                self.give_up_clients();
                return Err(trouble);
            }
            other => other?,
        };
        self.unread = false;
        match self.prove(&credentials).await {
            Ok((clients, version)) => self.use_clients(clients, version, &credentials),
            Err(trouble) => {
                // A connection that has led to another cluster is not used again: its watches may have brought that one's facts.
                let astray = matches!(trouble, Trouble::WrongCluster { .. });
                if astray || credentials.fingerprint() != self.used.as_ref() {
                    self.give_up_clients();
                }
                return Err(trouble);
            }
        }
        Ok(())
    }

    async fn prove(&self, credentials: &Credentials) -> Result<(Clients, Option<String>), Trouble> {
        let clients = credentials.clients(&self.address, &self.home)?;
        let version = self.ask(&clients).await?;
        Ok((clients, version))
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

    fn use_clients(&mut self, clients: Clients, version: Option<String>, credentials: &Credentials) {
        self.used = credentials.fingerprint().cloned();
        self.state.send_modify(|state| {
            state.clients = Some(clients);
            state.proved(version);
            state.generation += 1;
        });
        if let Some(secret) = self.secret_name() {
            tracing::info!(pair = self.address.pair, side = self.address.side.name(), secret, "a kubeconfig is in use");
        }
    }

    fn give_up_clients(&mut self) {
        self.used = None;
        self.state.send_if_modified(|state| {
            let had = state.clients.take().is_some();
            state.generation += u64::from(had);
            had
        });
    }

    async fn ask_identity(&self, clients: &Clients) -> Result<(), Trouble> {
        let namespaces: Api<Namespace> = Api::all(clients.requests.clone());
        let found = timed(IDENTITY_TIMEOUT, namespaces.get("kube-system")).await;
        let found = found.map_err(|error| self.no_answer(error))?.metadata.uid.unwrap_or_default();
        if found == self.address.identity { Ok(()) } else { Err(Trouble::WrongCluster { found }) }
    }

    fn no_answer(&self, source: CallError) -> Trouble {
        match self.secret_name() {
            Some(secret) if source.unauthorized() => Trouble::NotAccepted { secret: secret.to_owned(), source },
            _ if source.forbidden() => Trouble::Forbidden { side: self.address.side.name(), source },
            _ => Trouble::Identity(source),
        }
    }

    fn secret_name(&self) -> Option<&str> {
        self.address.way.kubeconfig.as_ref().map(|reference| reference.secret_name.as_str())
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
