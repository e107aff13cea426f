//! What people ask for in mid-flight, as status echoes it: a pause, requests by annotation, edits that have to wait.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::namespace_migration::{DeletionPolicy, OnFailure, RemovalPolicy};
use super::stage::Stage;

/// The pause that is in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pause {
    /// What asks for it: spec.suspend, the annotation namespacemigration.io/paused, or both, with the field managers.
    pub by: String,
    /// Since when it has been in force.
    pub since: Time,
    /// The number in the stamps that was raised when it began, so that older writes in flight fail. 0 while no Ingress is stamped.
    #[serde(default)]
    pub epoch: i64,
}

/// What a person asked for by annotation, and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RequestStatus {
    /// What was asked for.
    pub kind: RequestKind,
    /// The annotation's value. Each value is handled once.
    pub token: String,
    /// When it was asked for, as the annotation's field manager says, or when it was first seen.
    pub at: Time,
    /// The field manager that wrote the annotation. Empty when nobody is known to.
    #[serde(default)]
    pub by: String,
    /// The stage in which it was first seen.
    pub stage: Stage,
    /// What became of it.
    pub outcome: RequestOutcome,
    /// What became of it, in a sentence.
    pub message: String,
}

/// What can be asked for by annotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RequestKind {
    /// namespacemigration.io/rollback-requested: everything goes back to the source.
    Rollback,
    /// namespacemigration.io/retry-requested: the next attempt begins, or the stage's deadline starts anew.
    Retry,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RequestOutcome {
    /// It is being done.
    Accepted,
    /// It makes no sense here; the message says why.
    Refused,
    /// It has been done.
    Done,
}

/// What the spec asked for when it was last looked at, of what people edit in mid-flight: an edit is noticed by it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AskedFor {
    /// spec.attempt.
    pub attempt: i32,
    /// spec.traffic.upTo.
    pub up_to: i32,
    /// spec.onFailure.
    pub on_failure: OnFailure,
    /// spec.deletionPolicy.
    pub deletion_policy: DeletionPolicy,
    /// The names of spec.checks, with a number that is another one when any of them asks for something else.
    pub checks: String,
    /// spec.probes.
    #[serde(default)]
    pub probes: String,
    /// spec.rollback.objects.
    #[serde(default)]
    pub rollback_objects: RemovalPolicy,
    /// The names in spec.preflight.acknowledge, with a number that is another one when a reason is.
    #[serde(default)]
    pub acknowledged: String,
    /// spec.ingresses.exclude.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excluded: Vec<String>,
    /// spec.suspend.
    #[serde(default)]
    pub suspend: bool,
    /// Whether the annotation asks for a pause.
    #[serde(default)]
    pub paused: bool,
}

/// An edit of the spec, and who is known to have made it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SpecEdit {
    /// Path of the field.
    pub field: String,
    /// What it said before.
    pub from: String,
    /// What it says now.
    pub to: String,
    /// The field manager that wrote it. Empty when nobody is known to.
    #[serde(default)]
    pub by: String,
    /// When it was written, as the field manager's entry says, or when it was first seen.
    pub at: Time,
}

/// An edit of the spec that is not in force in this attempt, or not yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DeferredEdit {
    /// Path of the field.
    pub field: String,
    /// Why it is not in force, when it will be, and what to do; behind the edit who made it, as far as the API tells.
    pub message: String,
    /// When it was made, as the field manager's entry says, or when it was first seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,
}
