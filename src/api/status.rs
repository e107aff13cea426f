//! The status of a `NamespaceMigration`: what it is doing, why it waits, and what it has seen. Never a Secret's value.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use super::controls::{AskedFor, DeferredEdit, Pause, RequestKind, RequestOutcome, RequestStatus, SpecEdit};
use super::foreign::{ForeignWeight, PutBack};
pub use super::plan::{
    Plan, PlannedCluster, PlannedClusters, PlannedIngress, PlannedStep, Rehearsal, RehearsalPhase, StepPhase,
    StepProgress,
};
pub use super::stage::Stage;

/// What the migration is doing, why it waits, and what it has seen.
#[derive(kube::KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceMigrationStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default)]
    pub observed_generation: i64,
    /// The attempt that this status speaks of.
    #[serde(default)]
    pub attempt: i32,
    /// The spec.attempt that was asked for when this attempt ended, or when its way back began: only a higher one begins the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt_seen: Option<i32>,
    /// Where the migration is.
    #[serde(default)]
    pub stage: Stage,
    /// When it came into this stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage_started_at: Option<Time>,
    /// What it waits for, in one word of the catalogue of reasons.
    #[serde(default)]
    pub reason: String,
    /// What it waits for, in a sentence.
    #[serde(default)]
    pub message: String,
    /// What a person can do to make it go on. Empty when nothing is needed.
    #[serde(default)]
    pub unblock: String,
    /// Since when it has waited for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_since: Option<Time>,
    /// When it will go on by itself, if nothing else happens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Time>,
    /// The same as people read it, in UTC: Nov 21 14:05:10Z. A column of kubectl shows ages of what is past, and `<invalid>` for what is to come.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub next_text: String,
    /// The step of spec.traffic.steps and how many there are, as 2/4; 0/4 before the shift.
    #[serde(default)]
    pub step_text: String,
    /// The target's share in percent, as written on the Ingresses.
    #[serde(default)]
    pub weight: i32,
    /// The target's share in percent, as DNS was last seen to serve it: the highest of all hosts. What is only listed is not served
    /// yet. Absent where nobody looks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served: Option<i32>,
    /// The verdict on the target: Pass, Fail or Inconclusive; Unwatched before the first probe. The last one stays at the end.
    #[serde(default)]
    pub health: String,
    /// The number in the stamps of this attempt. A write with a lower one does nothing.
    #[serde(default)]
    pub epoch: i64,
    /// The pause that is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<Pause>,
    /// What people asked for by annotation, and what became of it: the last of each kind.
    #[x_kube(merge_strategy = ListMerge::Map(vec!["kind".into()]))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<RequestStatus>,
    /// Edits of the spec that are not in force in this attempt, or not yet, and why.
    #[x_kube(merge_strategy = ListMerge::Map(vec!["field".into()]))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deferred_edits: Vec<DeferredEdit>,
    /// What the spec asked for when it was last looked at, of what people edit in mid-flight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_for: Option<AskedFor>,
    /// Edits of the spec in mid-flight, with who made them and when, as far as the API tells: of each field the last.
    #[x_kube(merge_strategy = ListMerge::Map(vec!["field".into()]))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edits: Vec<SpecEdit>,
    /// What was agreed when the checks had passed, with the edits that have been taken up since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
    /// Where the shift is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<StepProgress>,
    /// The rehearsal: the source's weight goes to 99 and back to 100, which changes nothing for users while it is alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rehearsal: Option<Rehearsal>,
    /// Since when all weights of this stage have been seen as wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_since: Option<MicroTime>,
    /// Weights that somebody else wrote in this attempt, and what became of each.
    #[x_kube(merge_strategy = ListMerge::Map(vec!["ingress".into(), "side".into(), "writer".into()]))]
    #[serde(default)]
    pub foreign_weights: Vec<ForeignWeight>,
    /// What is written and seen served first while a foreign weight is replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub put_back: Option<PutBack>,
    /// How often somebody else undid what a rollback had written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undone: Option<Undone>,
    /// Why everything goes or went back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// The number in the stamps with which a deletion freezes the weights. Absent unless spec.deletionPolicy Freeze was carried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen_epoch: Option<i64>,
    /// Share of users, in percent, that may still be sent to the target until DNS has followed a rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exposed_percent: Option<i32>,
    /// The stages of this attempt in their order.
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    #[serde(default)]
    pub pipeline: Vec<PipelineStage>,
    /// The weights of each Ingress.
    #[x_kube(merge_strategy = ListMerge::Map(vec!["ingress".into()]))]
    #[serde(default)]
    pub traffic: Vec<IngressTraffic>,
    /// The records of each host and kind: what is wanted, written and served.
    #[x_kube(merge_strategy = ListMerge::Map(vec!["host".into(), "kind".into()]))]
    #[serde(default)]
    pub dns: Vec<RecordTraffic>,
    /// How it is known what DNS serves, and what that does not prove.
    #[serde(default)]
    pub dns_verification: String,
    /// What is watched, with the last answer that changed the verdict.
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into(), "side".into()]))]
    #[serde(default)]
    pub checks: Vec<CheckStatus>,
    /// What the checks before the move found.
    #[x_kube(merge_strategy = ListMerge::Map(vec!["check".into()]))]
    #[serde(default)]
    pub preflight: Vec<Finding>,
    /// What became of each Secret that is copied by name.
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    #[serde(default)]
    pub secrets: Vec<SecretStatus>,
    /// Objects that we created on the target.
    #[x_kube(merge_strategy = ListMerge::Map(vec!["kind".into(), "name".into()]))]
    #[serde(default)]
    pub created: Vec<CreatedObject>,
    /// Conditions in the form of Kubernetes: Ready, Succeeded and Finished first.
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    #[serde(default)]
    pub conditions: Vec<Condition>,
    /// How earlier attempts ended, newest first, ten at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<HistoryEntry>,
}

/// Somebody else undid what a rollback had written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Undone {
    /// How often.
    pub times: i32,
    /// When it was last seen.
    pub last: MicroTime,
}

/// Why everything goes back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cause {
    /// One word of the catalogue of reasons.
    pub reason: String,
    /// What was found and what was expected.
    pub message: String,
    /// When it was decided.
    pub at: Time,
}

/// One stage of the attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PipelineStage {
    /// Name of the stage.
    pub name: Stage,
    /// How it stands.
    pub state: PipelineState,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished: Option<Time>,
    /// What it did, in a sentence. What the current stage waits for is in status.message.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// How a stage stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PipelineState {
    /// Not begun.
    Waiting,
    /// In progress.
    Running,
    /// Ended well.
    Done,
    /// Ended badly.
    Failed,
    /// Will not be done in this attempt.
    Skipped,
}

/// The weights of one Ingress.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IngressTraffic {
    /// Its name, on both sides.
    pub ingress: String,
    /// Its hosts.
    pub hosts: Vec<String>,
    /// The weight on the source's Ingress as last seen. Absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_weight: Option<i32>,
    /// The weight on the target's Ingress as last seen. Absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_weight: Option<i32>,
}

/// The records of one host and kind. All shares are the target's, in percent of the answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecordTraffic {
    /// The host.
    pub host: String,
    /// A, AAAA or CNAME; Any where nobody looks. A kind whose records are gone stays.
    pub kind: String,
    /// What the current step wants.
    pub desired: i32,
    /// By the weights on the Ingresses.
    pub written: i32,
    /// As DNS was last seen to serve it: listed without a break for the propagation time. Absent where nobody looks, or nobody has yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served: Option<i32>,
    /// How strongly it is known that what is written is served. Absent where nothing is written yet, or nobody looks at this stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<ServedProof>,
    /// How long resolvers keep an answer.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub ttl: String,
    /// Since when it has been served so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// The gate that is closed here: what DNS has to show before it goes on. Absent where nothing waits for this row.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub gate: String,
    /// What that gate waits for here, in a sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub waits_for: String,
    /// Since when what the gate waits for is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_since: Option<Time>,
    /// What DNS shows of each record, or why it cannot be read.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub found: String,
    /// Only the target has records of this kind here, and the source has had none in this attempt: such records get every answer of their
    /// kind, also with weight 0, and are not missed when they are gone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub only_target: bool,
}

/// How strongly it is known that what is written is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum ServedProof {
    /// It is not, or not yet.
    Pending,
    /// It was not seen: the time that DNS may take has passed, and nothing contradicts it.
    Assumed,
    /// The name servers answer with who has a weight and with nobody else.
    Answered,
    /// The provider has listed exactly this for as long as it takes to serve it everywhere.
    Verified,
}

/// One watched check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CheckStatus {
    /// Name of the check.
    pub name: String,
    /// The side that is checked: Source or Target.
    pub side: String,
    /// Pass, Fail or Inconclusive.
    pub verdict: String,
    /// What was found and what was expected.
    pub message: String,
}

/// One finding of the checks before the move.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// Name of the check.
    pub check: String,
    /// Blocker, Warning, Acknowledged, or Info.
    pub severity: Severity,
    /// The objects that it speaks of, as Deployment/web: twenty at most, and then how many more there are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<String>,
    /// What was found and what it means.
    pub message: String,
    /// What to do about it.
    pub fix: String,
}

/// What a finding does to the migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Severity {
    /// It waits until this is mended.
    Blocker,
    /// It goes on, but something may break that only people can judge.
    Warning,
    /// It would wait, or warn, but the finding is acknowledged by name.
    Acknowledged,
    /// Good to know.
    Info,
}

/// What became of one Secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SecretStatus {
    /// Its name.
    pub name: String,
    /// Copied, Identical, Missing, Conflict, Refused, MissingOnSource or Unknown.
    pub state: String,
    /// What was found. Names of keys at most, never a value.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// An object that we created on the target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreatedObject {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its UID. Only this very object is ever removed.
    pub uid: String,
    /// Annotations of the source's object that were left out, because they are not on the list of harmless ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
}

/// How an earlier attempt ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HistoryEntry {
    /// The attempt.
    pub attempt: i32,
    /// Its last stage.
    pub stage: Stage,
    /// When it ended.
    pub finished: Time,
    /// Why it ended.
    pub message: String,
}
