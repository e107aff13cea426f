//! What a connection is made with: the Pod's own account, or the kubeconfig that a Secret of the home cluster holds now.

use ring::digest::{SHA256, digest};

use super::trouble::Trouble;
use super::{Address, HomeAccess, cluster_side};
use crate::api::KubeconfigRef;
use crate::cluster::client::{Clients, connect, home_clients};
use crate::cluster::{kubeconfig, secret};

/// Tells one kubeconfig from another without keeping it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint(Vec<u8>);

/// How a cluster is reached now.
pub(super) enum Credentials {
    /// As the operator reaches its home.
    InCluster,
    /// By a kubeconfig.
    Kubeconfig { config: Box<kube::Config>, fingerprint: Fingerprint },
}

impl Credentials {
    /// Reads them.
    pub(super) async fn read(address: &Address, home: &HomeAccess) -> Result<Self, Trouble> {
        match (&address.way.in_cluster, &address.way.kubeconfig) {
            (Some(_), None) => Ok(Self::InCluster),
            (None, Some(reference)) => from_secret(reference, home).await,
            _ => Err(Trouble::NoWay),
        }
    }

    /// The kubeconfig's fingerprint.
    pub(super) fn fingerprint(&self) -> Option<&Fingerprint> {
        match self {
            Self::InCluster => None,
            Self::Kubeconfig { fingerprint, .. } => Some(fingerprint),
        }
    }

    /// Clients that use them. Makes no request.
    pub(super) fn clients(&self, address: &Address, home: &HomeAccess) -> Result<Clients, Trouble> {
        let side = cluster_side(address.side);
        let clients = match self {
            Self::InCluster => home_clients(&home.source, side, &home.metrics),
            Self::Kubeconfig { config, .. } => connect(config, side, &home.metrics),
        };
        clients.map_err(Trouble::Connect)
    }
}

async fn from_secret(reference: &KubeconfigRef, home: &HomeAccess) -> Result<Credentials, Trouble> {
    let KubeconfigRef { secret_name, key } = reference.clone();
    let namespace = home.namespace.clone();
    let found = secret::get(&home.clients.requests, &namespace, &secret_name)
        .await
        .map_err(|source| Trouble::ReadSecret { secret: secret_name.clone(), source: Box::new(source) })?;
    let Some(found) = found else { return Err(Trouble::NoSecret { secret: secret_name, namespace, key }) };
    let Some(text) = found.reveal(&key) else { return Err(Trouble::NoKey { secret: secret_name, key }) };
    let parsed = kubeconfig::parse(text).map_err(|source| Trouble::Kubeconfig { secret: secret_name, source })?;
    let fingerprint = Fingerprint(digest(&SHA256, text).as_ref().to_vec());
    Ok(Credentials::Kubeconfig { config: Box::new(parsed.config()), fingerprint })
}
