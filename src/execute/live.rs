//! Live reads, immediately before a write: the cluster's identity, the namespace and the object.

use std::time::Duration;

use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client};

use super::ExecuteError;
use crate::cluster::call::{CallError, timed};
use crate::cluster::connection::Connection;
use crate::machine::Side;
use crate::machine::observed::NamespaceFacts;
use crate::machine::order::{Order, SideRules};
use crate::machine::permit::Refusal;
use crate::observe::facts;
use crate::site::Site;

/// How long a read before a write may take. A rollback waits this long for a cluster that hangs, and no longer.
pub(super) const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// One side of a migration, ready for calls.
pub(super) struct Cluster<'a> {
    pub(super) side: Side,
    pub(super) client: Client,
    pub(super) namespace: &'a str,
}

impl<'a> Cluster<'a> {
    /// The side's client, if the cluster is within reach: one that is known to be dead costs no time.
    pub(super) fn of(order: &'a Order, site: &Site, side: Side) -> Result<Self, ExecuteError> {
        Self::at(site.side(side).connection(), side, &order.namespace)
    }

    /// The same, of a connection and a namespace.
    pub(super) fn at(connection: &Connection, side: Side, namespace: &'a str) -> Result<Self, ExecuteError> {
        let state = connection.state();
        match state.clients {
            Some(clients) if state.reach.is_reachable() => Ok(Self { side, client: clients.requests, namespace }),
            _ => Err(ExecuteError::OutOfReach { side, why: state.reach.trouble() }),
        }
    }

    pub(super) fn ingresses(&self) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk("networking.k8s.io", "v1", "Ingress");
        Api::namespaced_with(
            self.client.clone(),
            self.namespace,
            &ApiResource::from_gvk_with_plural(&kind, "ingresses"),
        )
    }

    pub(super) async fn ingress(&self, name: &str) -> Result<Option<DynamicObject>, ExecuteError> {
        let found = timed(READ_TIMEOUT, self.ingresses().get_opt(name)).await;
        found.map_err(|source| self.failed(format!("read Ingress {name}"), source))
    }

    /// Fails unless it is the cluster that the pair names.
    pub(super) async fn is_the_right_one(&self, rules: &SideRules) -> Result<(), ExecuteError> {
        let (found, expected) = (self.identity().await?, rules.identity.clone());
        if found == expected {
            return Ok(());
        }
        Err(ExecuteError::Refused(Refusal::WrongCluster { side: self.side, found, expected }))
    }

    /// UID of `kube-system`.
    pub(super) async fn identity(&self) -> Result<String, ExecuteError> {
        Ok(self.namespace_facts("kube-system").await?.map(|facts| facts.uid).unwrap_or_default())
    }

    /// The namespace that moves.
    pub(super) async fn namespace(&self) -> Result<Option<NamespaceFacts>, ExecuteError> {
        self.namespace_facts(self.namespace).await
    }

    async fn namespace_facts(&self, name: &str) -> Result<Option<NamespaceFacts>, ExecuteError> {
        let kind = GroupVersionKind::gvk("", "v1", "Namespace");
        let api: Api<DynamicObject> =
            Api::all_with(self.client.clone(), &ApiResource::from_gvk_with_plural(&kind, "namespaces"));
        let found = timed(READ_TIMEOUT, api.get_opt(name)).await;
        let found = found.map_err(|source| self.failed(format!("read Namespace {name}"), source))?;
        Ok(found.as_ref().map(facts::namespace))
    }

    pub(super) fn failed(&self, action: String, source: CallError) -> ExecuteError {
        ExecuteError::Call { action, side: self.side, source }
    }
}
