//! What has been observed of both clusters: facts only, reduced to what decisions need. Never a Secret's value.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::health::HealthView;
use super::inventory::Inventory;
use super::lock::Holder;
use super::neighbours::Neighbours;
use super::pins::Repointed;
use super::reason::Reason;
use super::records::DnsView;
use super::right::Rights;
pub use super::side::Side;
use super::stamp::Stamp;
use super::traffic::Weight;
use crate::api::FIELD_MANAGER;

/// Everything that a decision may rest on, besides the spec, the status and the time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// The source cluster.
    pub source: ClusterView,
    /// The target cluster.
    pub target: ClusterView,
    /// The Secrets of the plan on both sides. Read only in the stage that copies them.
    pub secrets: Option<BTreeMap<String, SecretView>>,
    /// What the operator may do on its home cluster, asked before the move.
    pub home_rights: Rights,
    /// The verdicts of the probes.
    pub health: HealthView,
    /// What DNS was seen to serve.
    pub dns: DnsView,
    /// Another migration that came first and moves the same namespace or host.
    pub in_front: Option<Holder>,
    /// Everything that is in the namespace on both sides. None while it has not been taken: the checks that rest on it say nothing then.
    pub inventory: Option<Arc<Inventory>>,
}

impl Observed {
    /// One of the two clusters.
    pub fn side(&self, side: Side) -> &ClusterView {
        match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
    }
}

/// What is known of the way to a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// Not tried yet.
    #[default]
    Unknown,
    /// It answers, and it is the cluster that the ClusterPair names.
    Reachable,
    /// It does not answer.
    Unreachable {
        /// Since when.
        since: Timestamp,
        /// What was tried and what happened.
        why: String,
    },
    /// It answers, but the credentials or the connection are refused, by it or by us.
    Refused {
        /// What was refused.
        why: String,
        /// What a person can do about it, in sentences.
        fix: String,
    },
    /// It is another cluster than the ClusterPair names.
    WrongCluster {
        /// The identity that was found.
        found: String,
    },
    /// The `ClusterPair` says something else of it than it said when the attempt began: what is seen there is not believed.
    Repointed(Repointed),
}

impl Reach {
    /// Whether writes to the cluster may succeed.
    pub fn is_reachable(&self) -> bool {
        matches!(self, Self::Reachable)
    }

    /// Why the cluster on this side cannot be used, in one word. None when it can, and while nobody knows.
    pub fn reason(&self, side: Side) -> Option<Reason> {
        match (self, side) {
            (Self::Reachable | Self::Unknown, _) => None,
            (Self::WrongCluster { .. }, _) => Some(Reason::WrongCluster),
            (Self::Repointed(repointed), _) => Some(repointed.reason()),
            (Self::Refused { .. }, _) => Some(Reason::ClusterRefused),
            (Self::Unreachable { .. }, Side::Source) => Some(Reason::SourceUnreachable),
            (Self::Unreachable { .. }, Side::Target) => Some(Reason::TargetUnreachable),
        }
    }

    /// Why the cluster cannot be used. Empty when it can.
    pub fn trouble(&self) -> String {
        match self {
            Self::Reachable => String::new(),
            Self::Unknown => "has not been tried yet".to_owned(),
            Self::Unreachable { why, .. } => format!("does not answer: {why}"),
            Self::Refused { why, .. } => format!("cannot be used: {why}"),
            Self::WrongCluster { found } => {
                format!("is another cluster than the ClusterPair names: its identity is {found}")
            }
            Self::Repointed(repointed) => repointed.trouble(),
        }
    }

    /// What a person can do where the connection is refused.
    pub fn fix(&self) -> Option<&str> {
        if let Self::Refused { fix, .. } = self { Some(fix) } else { None }
    }

    /// How the `ClusterPair` differs from what the attempt began with, if it does.
    pub fn repointed(&self) -> Option<&Repointed> {
        if let Self::Repointed(repointed) = self { Some(repointed) } else { None }
    }
}

/// What is known of the namespace in one cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClusterView {
    /// The way to the cluster.
    pub reach: Reach,
    /// Whether everything below has been listed once. Until then an absent object means nothing.
    pub synced: bool,
    /// What may not be watched, and why: what is below is old, or was never seen.
    pub unwatchable: Option<String>,
    /// What the operator may do there, asked before the move.
    pub rights: Rights,
    /// Ingresses of other namespaces that a migration moves. Listed before the move only.
    pub neighbours: Neighbours,
    /// The namespace that moves.
    pub namespace: Option<NamespaceFacts>,
    /// Its Ingresses by name.
    pub ingresses: BTreeMap<String, IngressFacts>,
    /// Its Services by name.
    pub services: BTreeMap<String, ServiceFacts>,
    /// Its workloads by kind and name, as `Deployment/web`.
    pub workloads: BTreeMap<String, WorkloadFacts>,
}

/// Facts about the namespace that moves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceFacts {
    /// Its UID.
    pub uid: String,
    /// Whether it is being deleted.
    pub terminating: bool,
}

/// Facts about one Ingress.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IngressFacts {
    /// Its UID.
    pub uid: String,
    /// Its version, for the precondition of a write.
    pub resource_version: String,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// The hosts of its rules.
    pub hosts: BTreeSet<String>,
    /// The hosts that external-dns publishes for its `hostname` annotation, in lower case.
    pub annotated_hosts: BTreeSet<String>,
    /// The hosts of its certificates.
    pub tls_hosts: BTreeSet<String>,
    /// The Services that it sends requests to.
    pub services: BTreeSet<String>,
    /// The addresses, or host names, of its load balancer.
    pub addresses: BTreeSet<String>,
    /// Its class, by the field or by the older annotation.
    pub class: Option<String>,
    /// The text of external-dns's `ttl` annotation.
    pub ttl_text: Option<String>,
    /// The DNS set identifier.
    pub identifier: Option<String>,
    /// The text of the weight annotation.
    pub weight_text: Option<String>,
    /// Whether we have taken it away from external-dns: by its `controller` annotation, with a value of ours.
    pub withheld: bool,
    /// The stamp, if it is one.
    pub stamp: Option<Stamp>,
    /// Field managers that own the weight annotation. Empty when nobody is known to.
    pub weight_managers: BTreeSet<String>,
    /// When the last of them wrote something, in whole seconds of the API server's clock.
    pub weight_written: Option<Timestamp>,
    /// Who deploys it, when a tool does: `Helm release web`, `Argo CD`, `Flux`, an owner reference.
    pub deployed_by: Option<String>,
    /// The owner label of the migration that created it.
    pub created_by: Option<String>,
    /// Names of its annotations.
    pub annotation_names: BTreeSet<String>,
}

impl IngressFacts {
    /// The weight, if the annotation is a whole number from 0 to 255.
    pub fn weight(&self) -> Option<Weight> {
        self.weight_text.as_deref().and_then(Weight::parse)
    }

    /// Whether the weight annotation is as we wrote it: nobody else has taken it over since.
    pub fn weight_is_ours(&self) -> bool {
        self.weight_managers.contains(FIELD_MANAGER)
    }

    /// The stamp, if it is this owner's.
    pub fn stamp_of(&self, owner: &str) -> Option<&Stamp> {
        self.stamp.as_ref().filter(|stamp| stamp.owner == owner)
    }

    /// Who took the weight over, for a sentence.
    pub fn weight_writer(&self) -> String {
        let others: Vec<_> = self.weight_managers.iter().filter(|m| *m != FIELD_MANAGER).cloned().collect();
        if others.is_empty() { "an unknown field manager".to_owned() } else { others.join(", ") }
    }
}

/// Facts about one Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceFacts {
    /// The labels of the Pods that it sends requests to. Empty when it does not say.
    pub selector: BTreeMap<String, String>,
}

/// Facts about one workload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkloadFacts {
    /// Pods that are wanted.
    pub desired: i32,
    /// Pods that are ready.
    pub ready: i32,
    /// Whether the counts speak of the current generation.
    pub current: bool,
    /// The labels of its Pods.
    pub labels: BTreeMap<String, String>,
}

impl WorkloadFacts {
    /// Whether every wanted Pod is ready.
    pub fn is_ready(&self) -> bool {
        self.current && self.ready >= self.desired
    }
}

/// One Secret on both sides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretView {
    /// On the source.
    pub source: SecretPresence,
    /// On the target.
    pub target: SecretPresence,
}

/// Whether a Secret is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SecretPresence {
    /// It could not be read.
    Unknown {
        /// Why. Never a value.
        why: String,
    },
    /// It is not there.
    #[default]
    Absent,
    /// It is there.
    Present(SecretFacts),
}

/// Facts about one Secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretFacts {
    /// Its UID.
    pub uid: String,
    /// Its type.
    pub kind: String,
    /// Why it must not be copied, when it must not.
    pub refusal: Option<String>,
    /// A keyed hash of each value by its key. The hash's key is never stored and is a new one for each process.
    pub digests: BTreeMap<String, String>,
    /// The owner label of the migration that created it.
    pub created_by: Option<String>,
}
