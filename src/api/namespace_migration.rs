//! `NamespaceMigration`: one namespace's service moves from the source to the target of a [`ClusterPair`](super::ClusterPair).

#![allow(clippy::duplicated_attributes, reason = "every printer column has a name and a type of its own")]

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::duration::DurationText;
use super::status::NamespaceMigrationStatus;

/// What is moved, how carefully, and what happens when it goes wrong. Only `clusterPair` is required.
#[derive(CustomResource, kube::KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "namespacemigration.io",
    version = "v1alpha1",
    kind = "NamespaceMigration",
    namespaced,
    status = "NamespaceMigrationStatus",
    derive = "PartialEq",
    shortname = "migration",
    shortname = "migrations",
    shortname = "nsm",
    category = "namespace-migration",
    doc = "Moves the service of the namespace that it is in, or of spec.namespace, from the source cluster to the target cluster of a ClusterPair, without downtime.",
    printcolumn(name = "Stage", type_ = "string", json_path = ".status.stage", description = "Where the migration is"),
    printcolumn(
        name = "Step",
        type_ = "string",
        json_path = ".status.stepText",
        description = "The step of spec.traffic.steps, and how many there are"
    ),
    printcolumn(
        name = "Weight",
        type_ = "integer",
        json_path = ".status.weight",
        description = "The target's share in percent, as written on the Ingresses"
    ),
    printcolumn(
        name = "Served",
        type_ = "integer",
        json_path = ".status.served",
        description = "The target's share in percent, as DNS was last seen to serve it; empty where nobody looks"
    ),
    printcolumn(
        name = "Health",
        type_ = "string",
        json_path = ".status.health",
        description = "The verdict on the target: Pass, Fail or Inconclusive; Unwatched before the first probe"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.reason",
        description = "What it waits for, in one word"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Pair", type_ = "string", json_path = ".spec.clusterPair", priority = 1),
    printcolumn(
        name = "Moves",
        type_ = "string",
        json_path = ".spec.namespace",
        description = "The namespace that moves, where it is not the object's own",
        priority = 1
    ),
    printcolumn(
        name = "Since",
        type_ = "date",
        json_path = ".status.waitingSince",
        description = "How long it has waited for that",
        priority = 1
    ),
    printcolumn(
        name = "Next",
        type_ = "string",
        json_path = ".status.nextText",
        description = "When it will go on by itself (UTC)",
        priority = 1
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.message",
        description = "What it waits for, in a sentence",
        priority = 1
    ),
    printcolumn(
        name = "Unblock",
        type_ = "string",
        json_path = ".status.unblock",
        description = "What a person can do to make it go on",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.clusterPair == oldSelf.clusterPair")
        .message("clusterPair cannot be changed: delete this migration and create another one"),
    validation = Rule::new("has(self.__namespace__) == has(oldSelf.__namespace__) && (!has(self.__namespace__) || self.__namespace__ == oldSelf.__namespace__)")
        .message("namespace cannot be set, changed or removed: delete this migration and create another one"),
    validation = Rule::new("!has(self.__namespace__) || !(self.__namespace__ in ['default', 'kube-system', 'kube-public', 'kube-node-lease'])")
        .message("namespace belongs to the cluster and never moves: name the namespace of a service")
)]
pub struct NamespaceMigrationSpec {
    /// Name of the ClusterPair that says which two clusters these are. It cannot be changed.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub cluster_pair: String,

    /// The namespace that moves, in both clusters. By default the one that this object is in. Another one only if the ClusterPair
    /// lists this object's namespace among its delegates. It cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub namespace: Option<String>,

    /// The run of this migration. A number that is raised after RolledBack or Failed, or while everything goes back, starts again; one
    /// that was raised before starts nothing.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1_000_000))]
    #[x_kube(validation = Rule::new("self >= oldSelf").message("attempt can only be raised"))]
    pub attempt: i32,

    /// Freezes the weights where they are; checks go on, and a rollback stays armed unless onFailure is Hold. The annotation
    /// namespacemigration.io/paused does the same for a person in a hurry.
    #[serde(default)]
    pub suspend: bool,

    /// Which Ingresses take part. By default every Ingress of the namespace that has a host.
    #[serde(default)]
    pub ingresses: IngressSelection,

    /// What to do about findings of the checks before the move.
    #[serde(default)]
    pub preflight: Preflight,

    /// Secrets that nothing else brings to the target, and that are copied by name.
    #[serde(default)]
    pub secrets: SecretSelection,

    /// HTTP requests that both sides must answer alike, besides `/` of each host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub checks: Vec<Check>,

    /// How often both sides are probed, and how many answers in a row decide.
    #[serde(default)]
    pub probes: Probes,

    /// How traffic moves.
    #[serde(default)]
    pub traffic: Traffic,

    /// What happens when the target is found unhealthy: put everything back, or hold the weights and wait for a person.
    #[serde(default)]
    pub on_failure: OnFailure,

    /// What a rollback does besides the traffic.
    #[serde(default)]
    pub rollback: Rollback,

    /// The time at 100 percent in which a rollback is still automatic.
    #[serde(default)]
    pub bake: Bake,

    /// What deleting this object in mid-way does to the weights. It may be changed while the deletion waits. Once the migration
    /// has ended, a deletion changes nothing.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

fn one() -> i32 {
    1
}

/// Which Ingresses take part.
#[derive(kube::KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct IngressSelection {
    /// Names of Ingresses that stay out of the migration. One that shares a host with another Ingress cannot be left out.
    #[serde(default)]
    #[schemars(
        length(max = 64),
        inner(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))
    )]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub exclude: Vec<String>,
}

/// What to do about findings of the checks before the move.
#[derive(kube::KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Preflight {
    /// Findings that are known and accepted, one by one.
    #[serde(default)]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["check".into()]))]
    pub acknowledge: Vec<Acknowledgement>,
}

/// One finding that is known and accepted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Acknowledgement {
    /// Name of the check as status.preflight shows it, for example AnnotationOnly.
    #[schemars(length(min = 1, max = 64))]
    pub check: String,
    /// Why it is accepted, for the person who reads this in a year.
    #[schemars(length(min = 1, max = 512))]
    pub reason: String,
}

/// Secrets that are copied by name.
#[derive(kube::KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SecretSelection {
    /// Names of Secrets that are created on the target, when absent there, with the source's values.
    #[serde(default)]
    #[schemars(
        length(max = 256),
        inner(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))
    )]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub include: Vec<String>,
    /// Names that are never copied, also when they are included.
    #[serde(default)]
    #[schemars(
        length(max = 256),
        inner(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))
    )]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub exclude: Vec<String>,
}

/// A request that both sides must answer alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// Name of the check as it is shown in status.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// The request.
    pub http: HttpCheck,
}

/// A GET request to every host, or to one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HttpCheck {
    /// Path of the request. It must be safe to ask for again and again.
    #[schemars(length(min = 1, max = 1024), regex(pattern = "^/[^ #]*$"))]
    pub path: String,
    /// The host that is asked. Empty means every host of the Ingresses.
    #[serde(default)]
    #[schemars(length(max = 253))]
    pub host: String,
    /// Status codes that pass. Empty means: what the source answers.
    #[serde(default)]
    #[schemars(length(max = 16), inner(range(min = 100, max = 599)))]
    pub statuses: Vec<i32>,
}

/// How often both sides are probed, and how many answers in a row decide.
#[derive(kube::KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("duration(self.interval) >= duration('100ms')")
        .message("interval must be 100ms or longer: shorter ones would burden both sides"),
    validation = Rule::new("duration(self.timeout) > duration('0s')").message("timeout must be longer than 0s")
)]
pub struct Probes {
    /// Time between two rounds of probes.
    #[serde(default = "ten_seconds")]
    pub interval: DurationText,
    /// Time after which a request without an answer has failed.
    #[serde(default = "five_seconds")]
    pub timeout: DurationText,
    /// Passes in a row that make the verdict Pass.
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 100))]
    pub success_threshold: i32,
    /// Failures in a row that make the verdict Fail.
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 100))]
    pub failure_threshold: i32,
}

fn ten_seconds() -> DurationText {
    "10s".into()
}

fn five_seconds() -> DurationText {
    "5s".into()
}

fn three() -> i32 {
    3
}

impl Default for Probes {
    fn default() -> Self {
        Self { interval: ten_seconds(), timeout: five_seconds(), success_threshold: 3, failure_threshold: 3 }
    }
}

/// How traffic moves.
#[derive(kube::KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Traffic {
    /// The target's share, step by step: strictly rising, and 100 at the end.
    #[serde(default = "default_steps")]
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(
        validation = Rule::new("self.all(a, self.exists_one(b, b.weight == a.weight)) && self.map(s, s.weight).isSorted()")
            .message("the weights of the steps must rise from one step to the next"),
        validation = Rule::new("size(self) > 0 && self[size(self) - 1].weight == 100")
            .message("the last step must have weight 100")
    )]
    pub steps: Vec<Step>,

    /// The ceiling of the target's share in percent: a step above it is not entered, and a share above it goes back down step
    /// by step. With 0 everything is prepared and tested, and the first step waits.
    #[serde(default = "everything")]
    #[schemars(range(min = 0, max = 100))]
    pub up_to: i32,
}

impl Default for Traffic {
    fn default() -> Self {
        Self { steps: default_steps(), up_to: everything() }
    }
}

fn everything() -> i32 {
    100
}

fn default_steps() -> Vec<Step> {
    [(1, "10m"), (10, "30m"), (50, "30m"), (100, "1h")]
        .map(|(weight, hold)| Step { weight, hold: hold.into() })
        .to_vec()
}

/// One step of the shift.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// The target's share in percent at this step.
    #[schemars(range(min = 1, max = 100))]
    pub weight: i32,
    /// How long the target must be healthy at this share before the next step. Time without a verdict does not count.
    #[serde(default = "ten_minutes")]
    pub hold: DurationText,
}

fn ten_minutes() -> DurationText {
    "10m".into()
}

/// What happens when the target is found unhealthy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnFailure {
    /// Everything goes back: source 100, target 0.
    #[default]
    Rollback,
    /// The weights stay as they are until the target is healthy again or a person decides.
    Hold,
}

/// What a rollback does besides the traffic.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Rollback {
    /// Keep what we created on the target, to look at and to try again; or Remove it, newest first.
    #[serde(default)]
    pub objects: RemovalPolicy,
}

/// What happens to objects that we created on the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RemovalPolicy {
    /// They stay.
    #[default]
    Keep,
    /// They are deleted, newest first, when they carry our mark and the UID that we know.
    Remove,
}

/// What deleting a migration in mid-way does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// Everything goes back: source 100, target 0; then the object goes. What a dead cluster keeps from being done within
    /// spec.deletionDeadline of the ClusterPair (twice that once users are back) is noted in its status.leftovers and
    /// status.leftoverObjects, and done when the cluster is back.
    #[default]
    Rollback,
    /// The weights stay. Both sides get a new stamp, so that older writes fail; then the object goes. A migration of the same
    /// name goes on from there. A rollback that had begun for another reason is ended first.
    Freeze,
    /// The object goes at once and no cluster is called: the way out when one will never answer again. Weights stay, also those
    /// of a rollback that is only half done.
    Orphan,
}

/// The time at 100 percent in which a rollback is still automatic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Bake {
    /// How long the target is watched at 100 percent before the migration is Completed.
    #[serde(default = "a_day", rename = "for")]
    pub duration: DurationText,
}

fn a_day() -> DurationText {
    "24h".into()
}

impl Default for Bake {
    fn default() -> Self {
        Self { duration: a_day() }
    }
}
