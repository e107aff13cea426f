//! The order: a migration's spec and its ClusterPair, parsed once. Every later step works on it and cannot fail on bad input.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use kube::ResourceExt;

use super::allowed::{self, Asked, NotAllowed};
use super::controls::Controls;
use super::deletion::Deletion;
use super::gate::{DnsRules, FollowTime, Verification};
use super::observed::Side;
use super::records::RecordKind;
use super::stamp::{Direction, Stamp};
use super::traffic::Weight;
use super::version::Version;
use crate::api::cluster_pair::{self, ClusterPair, RecordType};
use crate::api::duration::NotADuration;
use crate::api::namespace_migration::{NamespaceMigration, NamespaceMigrationSpec, OnFailure, RemovalPolicy};
use crate::api::pair_status::Leftover;
use crate::api::{DurationText, cluster_pair::DnsVerification as WireVerification};

/// What is to be done, validated.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// The migration: UID of its home cluster, its namespace and its name.
    pub owner: String,
    /// Generation of the spec that this was parsed from.
    pub generation: i64,
    /// The migration: its namespace and its name.
    pub object: (String, String),
    /// The namespace that moves, in both clusters.
    pub namespace: String,
    /// Why the ClusterPair does not let this migration move it, when it does not.
    pub not_allowed: Option<NotAllowed>,
    /// Globs of the hosts that may move.
    pub allowed_hosts: Vec<String>,
    /// UID of the home cluster's `kube-system` namespace.
    pub home: String,
    /// The namespace that the operator runs in, which never moves.
    pub operator_namespace: String,
    /// The run.
    pub attempt: i32,
    /// Ingresses that stay out.
    pub excluded_ingresses: BTreeSet<String>,
    /// Findings that are accepted: name of the check and the reason.
    pub acknowledged: BTreeMap<String, String>,
    /// The host that each check of the spec asks, where it names one.
    pub check_hosts: BTreeMap<String, String>,
    /// Secrets to copy.
    pub secrets: BTreeSet<String>,
    /// The steps of the shift.
    pub steps: Vec<Step>,
    /// The ceiling of the target's share: no step above it is entered.
    pub up_to: Weight,
    /// What people ask for beside the plan.
    pub controls: Controls,
    /// Time at 100 percent before the end.
    pub bake: SignedDuration,
    /// What a failing target leads to.
    pub on_failure: OnFailure,
    /// What a rollback does with objects that we created.
    pub created_objects: RemovalPolicy,
    /// The pair's name.
    pub pair: String,
    /// The highest epoch of what the pair still owes in this namespace, for migrations that were deleted: a newer one cancels it.
    pub owed_epoch: i64,
    /// Rules of the source cluster.
    pub source: SideRules,
    /// Rules of the target cluster.
    pub target: SideRules,
    /// How it is known that a weight is served.
    pub dns: DnsRules,
    /// The Secret with the AWS keys that Route 53 is read with, where the pair names one and reads it.
    pub aws_keys: Option<String>,
    /// Ingress classes that have another name on the target.
    pub classes: BTreeMap<String, String>,
    /// What is said about the object's deletion.
    pub deletion: Deletion,
    identifier_template: String,
}

/// Where the operator and its objects live.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Home {
    /// UID of the home cluster's `kube-system` namespace.
    pub identity: String,
    /// The namespace that the operator runs in.
    pub operator_namespace: String,
}

/// One step of the shift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The target's share.
    pub weight: Weight,
    /// Healthy time at this share.
    pub hold: SignedDuration,
}

/// What must be known of one cluster to write to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SideRules {
    /// UID of its `kube-system` namespace.
    pub identity: String,
    /// Its colour in DNS set identifiers.
    pub colour: String,
    /// Prefix of its external-dns annotations, with the slash.
    pub annotation_prefix: String,
    /// Its external-dns's --txt-owner-id, where the pair says it.
    pub owner_id: Option<String>,
    /// Its external-dns's --policy, where the pair says it.
    pub policy: Option<String>,
    /// Its external-dns's --txt-prefix, where the pair says it.
    pub txt_prefix: Option<String>,
    /// Its external-dns's --txt-suffix, where the pair says it.
    pub txt_suffix: Option<String>,
    /// Its external-dns's --interval.
    pub interval: SignedDuration,
    /// Its external-dns's version, where the pair says it.
    pub version: Option<Version>,
    /// The kinds of records that its external-dns publishes, where the pair says it.
    pub record_kinds: Option<BTreeSet<RecordKind>>,
}

/// Why a spec or its pair cannot be used. The schema refuses most of it before; this is for clusters where it could not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// The pair is not there.
    #[error("there is no ClusterPair named {pair}")]
    NoSuchPair {
        /// The name.
        pair: String,
    },
    /// The pair is on its way out, and takes nobody on.
    #[error("ClusterPair {pair} is being deleted and takes no new migration on")]
    PairGoes {
        /// The name.
        pair: String,
    },
    /// A duration is not one.
    #[error("{object} has a {field} that cannot be read")]
    Duration {
        /// The object.
        object: String,
        /// Path of the field.
        field: &'static str,
        /// What is wrong with it.
        #[source]
        source: NotADuration,
    },
    /// The steps do not rise to 100.
    #[error(
        "{object} has spec.traffic.steps with the weights {found:?}, which must rise from step to step and end at 100"
    )]
    Steps {
        /// The object.
        object: String,
        /// The weights.
        found: Vec<i32>,
    },
    /// Both sides are one cluster.
    #[error("source and target of ClusterPair {pair} are the same cluster: both have the identity {identity}")]
    SameCluster {
        /// The pair.
        pair: String,
        /// The identity of both.
        identity: String,
    },
}

impl OrderError {
    /// What a person can do about it. A migration that is `under_way` is not given up for a typing error.
    pub fn fix(&self, under_way: bool) -> String {
        match self {
            Self::NoSuchPair { pair } if under_way => format!("Create ClusterPair {pair} again, as it was."),
            Self::NoSuchPair { pair } => format!(
                "Create ClusterPair {pair}; or, if the name is wrong, delete this object and create it again with the right one (kubectl \
                 get clusterpairs)."
            ),
            Self::PairGoes { pair } => {
                format!("Create ClusterPair {pair} again once it is gone (kubectl get clusterpair {pair}).")
            }
            Self::Duration { object, field, .. } => format!("Mend {field} of {object}."),
            Self::Steps { object, .. } => format!("Mend spec.traffic.steps of {object}."),
            Self::SameCluster { pair, .. } => {
                format!("Mend spec.source or spec.target of ClusterPair {pair}: they are two clusters.")
            }
        }
    }
}

impl Order {
    /// Parses a migration and its pair.
    ///
    /// # Errors
    /// [`OrderError`], in words for the person who wrote the spec.
    pub fn parse(migration: &NamespaceMigration, pair: &ClusterPair, home: &Home) -> Result<Self, OrderError> {
        let spec = &migration.spec;
        let from = migration.namespace().unwrap_or_default();
        let namespace = spec.namespace.clone().unwrap_or_else(|| from.clone());
        let place = format!("{from}/{}", migration.name_any());
        let object = format!("NamespaceMigration {place}");
        let asked = Asked { from: &from, object: &place, namespace: &namespace, pair: &pair.name_any() };
        let excluded: BTreeSet<_> = spec.secrets.exclude.iter().collect();
        Ok(Self {
            owner: Self::owner_of(migration, home),
            object: (from.clone(), migration.name_any()),
            not_allowed: allowed::namespace(&asked, pair),
            allowed_hosts: pair.spec.allowed_hosts.clone(),
            home: home.identity.clone(),
            operator_namespace: home.operator_namespace.clone(),
            generation: migration.metadata.generation.unwrap_or_default(),
            attempt: spec.attempt,
            check_hosts: check_hosts(spec),
            excluded_ingresses: spec.ingresses.exclude.iter().cloned().collect(),
            acknowledged: spec.preflight.acknowledge.iter().map(|a| (a.check.clone(), a.reason.clone())).collect(),
            secrets: spec.secrets.include.iter().filter(|name| !excluded.contains(name)).cloned().collect(),
            steps: steps(migration, &object)?,
            up_to: Weight::percent(spec.traffic.up_to),
            controls: Controls::of(migration),
            bake: span(&spec.bake.duration, &object, "spec.bake.for")?,
            on_failure: spec.on_failure,
            created_objects: spec.rollback.objects,
            pair: pair.name_any(),
            owed_epoch: pair.status.as_ref().map_or(0, |status| owed_epoch(&status.leftovers, &namespace)),
            source: SideRules::of(&pair.spec.source),
            target: SideRules::of(&pair.spec.target),
            dns: dns(pair)?,
            aws_keys: aws_keys(&pair.spec.dns),
            classes: pair
                .spec
                .ingress_classes
                .iter()
                .map(|class| (class.source.clone(), class.target.clone()))
                .collect(),
            identifier_template: pair.spec.identifier_template.clone(),
            deletion: Deletion::of(migration, deletion_allowance(pair)?),
            namespace,
        })
        .and_then(Self::with_two_clusters)
    }

    /// How stamps name a migration: UID of its home cluster, its namespace and its name.
    pub fn owner_of(migration: &NamespaceMigration, home: &Home) -> String {
        format!("{}/{}/{}", home.identity, migration.namespace().unwrap_or_default(), migration.name_any())
    }

    fn with_two_clusters(self) -> Result<Self, OrderError> {
        if self.source.identity == self.target.identity {
            return Err(OrderError::SameCluster { pair: self.pair, identity: self.source.identity });
        }
        Ok(self)
    }

    /// Rules of one of the two clusters.
    pub fn rules(&self, side: Side) -> &SideRules {
        match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
    }

    /// The DNS set identifier that the template gives an Ingress.
    pub fn identifier(&self, side: Side, ingress: &str) -> String {
        self.identifier_template
            .replace("{ingress}", ingress)
            .replace("{namespace}", &self.namespace)
            .replace("{colour}", &self.rules(side).colour)
    }

    /// The stamp of this migration at an epoch.
    pub fn stamp(&self, attempt: i32, epoch: i64, direction: Direction) -> Stamp {
        Stamp { owner: self.owner.clone(), attempt, epoch, direction }
    }

    /// The label value that marks objects of this migration: owners are longer than a label may be.
    pub fn owner_label(&self) -> String {
        owner_label(&self.owner)
    }
}

/// The highest epoch among leftovers of a namespace.
pub fn owed_epoch(leftovers: &[Leftover], namespace: &str) -> i64 {
    let here = leftovers.iter().filter(|left| left.namespace == namespace);
    here.map(|left| left.epoch).max().unwrap_or_default()
}

/// A label value for an owner: the first half of its SHA-256, in hexadecimal.
pub fn owner_label(owner: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, owner.as_bytes());
    digest.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

impl SideRules {
    /// Rules of a side of a pair.
    pub fn of(side: &cluster_pair::Side) -> Self {
        Self {
            identity: side.identity.clone(),
            colour: side.colour.clone(),
            annotation_prefix: side.external_dns.annotation_prefix.clone(),
            owner_id: said(&side.external_dns.owner_id),
            policy: side.external_dns.policy.flag().map(str::to_owned),
            txt_prefix: said(&side.external_dns.txt_prefix),
            txt_suffix: said(&side.external_dns.txt_suffix),
            // What is no duration is refused where the whole pair is read.
            interval: side.external_dns.interval.span().unwrap_or_default(),
            version: Version::parse(&side.external_dns.version),
            record_kinds: record_kinds(&side.external_dns.record_types),
        }
    }
}

fn said(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

fn record_kinds(types: &[RecordType]) -> Option<BTreeSet<RecordKind>> {
    let kind = |record: &RecordType| match record {
        RecordType::A => RecordKind::A,
        RecordType::Aaaa => RecordKind::Aaaa,
        RecordType::Cname => RecordKind::Cname,
    };
    (!types.is_empty()).then(|| types.iter().map(kind).collect())
}

fn steps(migration: &NamespaceMigration, object: &str) -> Result<Vec<Step>, OrderError> {
    let steps = &migration.spec.traffic.steps;
    let weights: Vec<i32> = steps.iter().map(|step| step.weight).collect();
    let rises = weights.windows(2).all(|pair| pair[0] < pair[1]);
    let in_range = weights.iter().all(|weight| (1..=100).contains(weight));
    if !rises || !in_range || weights.last() != Some(&100) {
        return Err(OrderError::Steps { object: object.to_owned(), found: weights });
    }
    steps
        .iter()
        .map(|step| {
            let hold = span(&step.hold, &format!("{object} at weight {}", step.weight), "spec.traffic.steps.hold")?;
            Ok(Step { weight: Weight::percent(step.weight), hold })
        })
        .collect()
}

fn deletion_allowance(pair: &ClusterPair) -> Result<SignedDuration, OrderError> {
    span(&pair.spec.deletion_deadline, &format!("ClusterPair {}", pair.name_any()), "spec.deletionDeadline")
}

fn check_hosts(spec: &NamespaceMigrationSpec) -> BTreeMap<String, String> {
    let named = spec.checks.iter().filter(|check| !check.http.host.is_empty());
    named.map(|check| (check.name.clone(), check.http.host.clone())).collect()
}

fn aws_keys(dns: &cluster_pair::Dns) -> Option<String> {
    let route53 = dns.route53.as_ref().filter(|_| dns.verification == WireVerification::Route53)?;
    route53.credentials_secret.as_ref().map(|secret| secret.name.clone())
}

fn dns(pair: &ClusterPair) -> Result<DnsRules, OrderError> {
    let object = format!("ClusterPair {}", pair.name_any());
    let spec = &pair.spec;
    let source = span(&spec.source.external_dns.interval, &object, "spec.source.externalDNS.interval")?;
    let target = span(&spec.target.external_dns.interval, &object, "spec.target.externalDNS.interval")?;
    let follow = FollowTime {
        interval: source.max(target),
        propagation: span(&spec.dns.propagation, &object, "spec.dns.propagation")?,
        record_ttl: span(&spec.dns.record_ttl, &object, "spec.dns.recordTTL")?,
    };
    let verification = match spec.dns.verification {
        WireVerification::Route53 => Verification::Route53,
        WireVerification::AuthoritativeDns => Verification::AuthoritativeDns,
        WireVerification::AnnotationOnly => Verification::AnnotationOnly,
    };
    Ok(DnsRules { verification, follow })
}

fn span(text: &DurationText, object: &str, field: &'static str) -> Result<SignedDuration, OrderError> {
    text.span().map_err(|source| OrderError::Duration { object: object.to_owned(), field, source })
}
