//! Weights that somebody else wrote to Ingresses that move: how long each has stood, and whether it was replaced once already.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::pair_status::LeftoverSide;

/// A weight that somebody else wrote to an Ingress that moves, and what becomes of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ForeignWeight {
    /// Name of the Ingress.
    pub ingress: String,
    /// The cluster on which it was written.
    pub side: LeftoverSide,
    /// The field managers that wrote it.
    pub writer: String,
    /// The weight.
    pub weight: i32,
    /// When it was written, as the Ingress's managedFields say. Absent when they do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written: Option<Time>,
    /// Since when it has been seen, unchanged.
    pub since: MicroTime,
    /// What becomes of it.
    pub state: ForeignState,
}

/// What becomes of a foreign weight. It is replaced once, when it has stayed unchanged for as long as DNS takes to follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ForeignState {
    /// It may still change, or be given back.
    Waiting,
    /// It is being replaced, receiver first.
    Replacing,
    /// It was replaced: our weight has been seen since. A second time it is not.
    Replaced,
    /// It, or another weight of the same writer, came back after it had been replaced: a person must decide.
    CameBack,
}

/// What is written and seen served before the step goes back to its beginning, so that a replacement never raises the target's share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PutBack {
    /// The cluster that is written.
    pub side: LeftoverSide,
    /// Since when it is being written, or has been seen to be written.
    pub since: MicroTime,
    /// Whether it has been seen to be written; then DNS follows.
    #[serde(default)]
    pub written: bool,
}
