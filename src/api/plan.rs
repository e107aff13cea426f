//! What was agreed for an attempt, and where its shift is.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What was agreed when the checks had passed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The steps of the shift.
    pub steps: Vec<PlannedStep>,
    /// The Ingresses that move together.
    pub ingresses: Vec<PlannedIngress>,
    /// The Secrets that are copied.
    pub secrets: Vec<String>,
    /// How long the target is watched at 100 percent.
    pub bake: String,
    /// The Ingresses that were left out by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excluded: Vec<String>,
    /// The clusters that the attempt began with. While the ClusterPair names others, nothing is written to them. Absent in a plan
    /// of an older version, which takes those that the ClusterPair names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clusters: Option<PlannedClusters>,
    /// The first half of the SHA-256 of the plan without its clusters. Another plan has another one.
    #[serde(default)]
    pub hash: String,
}

/// One step of the plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedStep {
    /// The target's share in percent.
    pub weight: i32,
    /// How long it is held.
    pub hold: String,
}

/// One Ingress of the plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlannedIngress {
    /// Its name, on both sides.
    pub name: String,
    /// The source's DNS set identifier.
    pub source_identifier: String,
    /// The target's DNS set identifier.
    pub target_identifier: String,
}

/// The clusters of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedClusters {
    /// The cluster that the namespace leaves.
    pub source: PlannedCluster,
    /// The cluster that it moves to.
    pub target: PlannedCluster,
}

/// One cluster of an attempt, as the ClusterPair named it when the attempt began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlannedCluster {
    /// UID of its kube-system namespace.
    pub identity: String,
    /// Prefix of the annotations that its external-dns reads.
    pub annotation_prefix: String,
}

/// Where the shift is inside a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepProgress {
    /// Index of the step, from 0.
    pub index: i32,
    /// What is being done.
    pub phase: StepPhase,
    /// Since when this phase has been what it is.
    pub since: MicroTime,
    /// Healthy time of earlier stretches of this hold, in milliseconds.
    #[serde(default)]
    pub held_millis: i64,
    /// Since when the hold's clock runs. Absent while it stands still.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running_since: Option<MicroTime>,
}

/// What is being done inside a step: the receiver is raised, seen served, then the giver lowered, then it is held.
/// On the way down to spec.traffic.upTo the source receives and the target gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum StepPhase {
    /// The target's weight is being written.
    RaiseTarget,
    /// The target's weight is written; DNS follows.
    TargetSettling,
    /// The source's weight is being written.
    LowerSource,
    /// The source's weight is written; DNS follows.
    SourceSettling,
    /// Both are served; the target must stay healthy for the hold.
    Holding,
    /// On the way down: the source's weight of the step below is being written.
    RaiseSource,
    /// On the way down: the source's weight is written; DNS follows.
    SourceRaised,
    /// On the way down: the target's weight of the step below is being written.
    LowerTarget,
    /// On the way down: the target's weight is written; DNS follows. Then the step below is held.
    TargetLowered,
}

impl StepPhase {
    /// Whether the step is being left for the one below.
    pub fn is_on_the_way_down(self) -> bool {
        matches!(self, Self::RaiseSource | Self::SourceRaised | Self::LowerTarget | Self::TargetLowered)
    }
}

/// The rehearsal: it shows that DNS follows, how long that takes, and who undoes what is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rehearsal {
    /// What is being done.
    pub phase: RehearsalPhase,
    /// Since when.
    pub since: MicroTime,
    /// The longest time from written to served, in milliseconds, so far. 0 where that cannot be seen.
    #[serde(default)]
    pub lag_millis: i64,
}

/// What is being done in the rehearsal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RehearsalPhase {
    /// The source's weight 99 is being written.
    Lower,
    /// It is written; DNS follows.
    Lowered,
    /// The source's weight 100 is being written.
    Raise,
    /// It is written; DNS follows.
    Raised,
    /// DNS has followed both.
    Done,
}
