//! Everything that is in the namespace on both sides, reduced to what checks and copies need. Data only, and never a Secret's value.
//!
//! `observe` fills it in one pass over both clusters; [`Item`]s are made of objects by `replicate::item`.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::observed::Side;

/// What was found on both sides.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inventory {
    /// On the source.
    pub source: SideInventory,
    /// On the target.
    pub target: SideInventory,
}

impl Inventory {
    /// What was found on one side.
    pub fn side(&self, side: Side) -> &SideInventory {
        side.pick(&self.source, &self.target)
    }
}

/// What was found on one side.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SideInventory {
    /// The version of its API server as major and minor, where it says one.
    pub version: Option<(u32, u32)>,
    /// How far the API server's clock is ahead of ours, in milliseconds, where it was told.
    pub clock_ahead_millis: Option<i64>,
    /// What its API server serves.
    pub served: BTreeSet<Kind>,
    /// The namespace itself; None when it is not there.
    pub namespace: Option<Item>,
    /// What is in the namespace, by kind and name.
    pub items: BTreeMap<(Kind, String), Item>,
    /// The cluster's own objects that a namespace refers to: classes of Ingresses, of priorities, of storage, and ClusterRoles.
    pub cluster: BTreeMap<(Kind, String), Item>,
    /// What could not be read: each is a finding, because what is not seen may be what breaks.
    pub unread: Vec<Unread>,
}

impl SideInventory {
    /// The objects of one kind, whatever the version of it that was read.
    pub fn of<'a>(&'a self, group: &'a str, kind: &'a str) -> impl Iterator<Item = &'a Item> {
        self.items.values().filter(move |item| item.kind.is(group, kind))
    }

    /// One object, whatever the version of it that was read.
    pub fn get(&self, group: &str, kind: &str, name: &str) -> Option<&Item> {
        self.items.values().find(|item| item.kind.is(group, kind) && item.name == name)
    }

    /// Whether its API server serves a kind in any version.
    pub fn serves(&self, group: &str, kind: &str) -> bool {
        self.served.iter().any(|known| known.is(group, kind))
    }
}

/// A kind of object at a version.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind {
    /// API group; empty for the core group.
    pub group: String,
    /// Version.
    pub version: String,
    /// The kind, as `Deployment`.
    pub kind: String,
}

impl Kind {
    /// A kind at a version.
    pub fn new(group: &str, version: &str, kind: &str) -> Self {
        Self { group: group.to_owned(), version: version.to_owned(), kind: kind.to_owned() }
    }

    /// Whether it is this kind, whatever the version.
    pub fn is(&self, group: &str, kind: &str) -> bool {
        self.group == group && self.kind == kind
    }

    /// As an object's `apiVersion` says it.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }
}

/// Something that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unread {
    /// What: `secrets`, or `API group metrics.k8s.io/v1beta1`.
    pub what: String,
    /// Why, in the API server's words, in one line.
    pub why: String,
}

/// One object, reduced to what decisions need.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Item {
    /// Its kind, at the version that was read.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations, without kubectl's copy of the whole object. A value longer than 1024 bytes is cut there. Of a Secret, only
    /// the marks of known tools have their values: the others may hold what is in the Secret, and are empty.
    pub annotations: BTreeMap<String, String>,
    /// Its owner references.
    pub owners: Vec<Owner>,
    /// Field managers that have written it, its status and other subresources apart; empty where the server does not say.
    pub managers: BTreeSet<String>,
    /// Whether `kubectl apply` has left its copy of the object.
    pub last_applied: bool,
    /// Whether it is being deleted.
    pub terminating: bool,
    /// Its finalizers.
    pub finalizers: Vec<String>,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// A hash of what a copy of it would be; the same on both sides when the objects are. Empty where only metadata was read.
    pub digest: String,
    /// The IP addresses, and the clouds' names of load balancers and API servers, that it names, a Secret's values apart.
    pub addresses: BTreeSet<String>,
    /// What is in it.
    pub content: Content,
}

/// A reference to an owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// API version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
    /// Whether it controls the object.
    pub controller: bool,
}

/// What is in an object, by its kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Content {
    /// Nothing that a check or a copy looks at.
    #[default]
    Other,
    /// Deployment, StatefulSet, DaemonSet, ReplicaSet, CronJob, Job or Pod.
    Workload(Box<Workload>),
    /// Secret: never its values.
    Secret(SecretContent),
    /// ConfigMap: its keys.
    ConfigMap {
        /// Names of its entries.
        keys: BTreeSet<String>,
        /// Whether it cannot be changed.
        immutable: bool,
        /// Bytes of its entries, together.
        bytes: usize,
    },
    /// Service.
    Service(ServiceContent),
    /// Ingress.
    Ingress(IngressContent),
    /// ServiceAccount.
    ServiceAccount {
        /// The Secrets that its Pods pull images with.
        pull_secrets: BTreeSet<String>,
    },
    /// PersistentVolumeClaim.
    Claim {
        /// Its class.
        storage_class: Option<String>,
        /// How much it asks for.
        size: String,
        /// How it may be mounted.
        access_modes: Vec<String>,
    },
    /// HorizontalPodAutoscaler.
    Autoscaler {
        /// Kind and name of what it scales.
        target: (String, String),
        /// Its least replicas.
        least: i64,
        /// Its most replicas.
        most: i64,
    },
    /// RoleBinding.
    Binding {
        /// Kind and name of the role.
        role: (String, String),
        /// Whom it binds: kind, namespace where it has one, name.
        subjects: Vec<(String, Option<String>, String)>,
    },
    /// NetworkPolicy.
    NetworkPolicy {
        /// The labels that other namespaces must have, of each of its namespace selectors.
        namespaces: Vec<BTreeMap<String, String>>,
        /// Address ranges.
        ranges: BTreeSet<String>,
        /// Whether it lets nothing in that it does not name.
        restricts_ingress: bool,
    },
    /// ResourceQuota: its limits, and what is used, by resource.
    Quota {
        /// What is allowed.
        hard: BTreeMap<String, String>,
        /// What is used.
        used: BTreeMap<String, String>,
    },
    /// Certificate of cert-manager.
    Certificate {
        /// The Secret that it fills.
        secret: String,
        /// Kind and name of its issuer.
        issuer: (String, String),
        /// The names that it is for.
        names: BTreeSet<String>,
        /// Whether it is ready. None: nobody says.
        ready: Option<bool>,
        /// When it expires.
        not_after: Option<Timestamp>,
    },
    /// Lease.
    Lease {
        /// Who holds it.
        holder: Option<String>,
    },
}

/// What is known of a Secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretContent {
    /// Its type; empty where only metadata was read.
    pub kind: String,
    /// Whether it cannot be changed.
    pub immutable: bool,
    /// Names of its entries; empty where only metadata was read.
    pub keys: BTreeSet<String>,
}

/// What is known of a workload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workload {
    /// How many Pods it asks for. None where its kind has no such number, or an autoscaler decides.
    pub replicas: Option<i64>,
    /// How many of them are ready.
    pub ready: i64,
    /// `RollingUpdate`, `Recreate` or `OnDelete`; empty where it says nothing.
    pub strategy: String,
    /// Labels of its Pods.
    pub pod_labels: BTreeMap<String, String>,
    /// Annotations of its Pods.
    pub pod_annotations: BTreeMap<String, String>,
    /// The account that its Pods run as; `default` where it names none.
    pub service_account: String,
    /// Name and image of each container, those that initialise it first.
    pub images: Vec<(String, String)>,
    /// What its Pods cannot start without, and what they may do without.
    pub references: Vec<Reference>,
    /// Its volumes that hold data.
    pub volumes: Vec<Volume>,
    /// Names of the claims that a StatefulSet makes.
    pub claim_templates: Vec<String>,
    /// The schedule of a CronJob.
    pub schedule: Option<String>,
    /// Whether a CronJob or Job is suspended.
    pub suspended: bool,
    /// `ttlSecondsAfterFinished` of a Job, or of the Jobs of a CronJob.
    pub ttl_after_finished: Option<i64>,
    /// Whether a Job has ended.
    pub finished: bool,
    /// The labels that a node must have.
    pub node_selector: BTreeMap<String, String>,
    /// The class of its priority.
    pub priority_class: Option<String>,
    /// Whether its Pods use the node's network.
    pub host_network: bool,
    /// Host names inside a cluster that its environment and arguments name: `web.shop.svc.cluster.local`.
    pub cluster_hosts: BTreeSet<String>,
    /// Whether some container asks for no processor or memory.
    pub without_requests: bool,
    /// Whether every container that is not an init container has a readiness probe.
    pub has_readiness: bool,
}

/// Something that a Pod refers to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// `Secret`, `ConfigMap` or `PersistentVolumeClaim`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Whether the Pod starts without it.
    pub optional: bool,
    /// Where the reference stands, for people: `env DB_PASSWORD of container web`.
    pub via: String,
}

/// A volume that holds data of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Volume {
    /// A folder that lives as long as its Pod. `memory` where it is in memory.
    Empty {
        /// Its name.
        name: String,
        /// Whether it is in memory.
        memory: bool,
    },
    /// A folder of the node.
    Host {
        /// Its name.
        name: String,
        /// Its path on the node.
        path: String,
    },
    /// A claim.
    Claim {
        /// Its name.
        name: String,
        /// The claim's name.
        claim: String,
    },
    /// Another kind of volume that keeps data outside of the Pod.
    Outside {
        /// Its name.
        name: String,
        /// Its kind, as `nfs` or `csi`.
        kind: String,
    },
}

/// What is known of a Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceContent {
    /// `ClusterIP`, `NodePort`, `LoadBalancer` or `ExternalName`.
    pub kind: String,
    /// Whether it has no address of its own.
    pub headless: bool,
    /// Which Pods it selects; empty where somebody else fills it.
    pub selector: BTreeMap<String, String>,
    /// Addresses outside of the cluster that it claims.
    pub external_ips: BTreeSet<String>,
    /// The name that it stands for.
    pub external_name: Option<String>,
}

/// What is known of an Ingress beyond what moves it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IngressContent {
    /// Its class, by the field or by the older annotation. None: the cluster's default.
    pub class: Option<String>,
    /// Its hosts.
    pub hosts: BTreeSet<String>,
    /// The Secret of each of its certificates, and the hosts that it is for. None: the controller's default certificate.
    pub certificates: Vec<(Option<String>, BTreeSet<String>)>,
    /// The Services that it sends requests to.
    pub services: BTreeSet<String>,
}
