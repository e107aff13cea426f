//! The status of a `ClusterPair`: whether its clusters answer, and what deleted migrations still owe them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether the clusters answer, and what deleted migrations still owe them. Written only when it changes.
#[derive(kube::KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterPairStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default)]
    pub observed_generation: i64,
    /// The source, as it was last reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<ClusterFacts>,
    /// The target, as it was last reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<ClusterFacts>,
    /// How many leftovers there are, weights and objects.
    #[serde(default)]
    pub leftover_count: i32,
    /// Weights that deleted migrations could not write in time. Each is written when its cluster is back, unless a newer
    /// migration has taken the Ingress over, and then leaves this list.
    #[x_kube(merge_strategy = ListMerge::Map(vec!["namespace".into(), "ingress".into(), "side".into(), "identity".into()]))]
    #[serde(default)]
    pub leftovers: Vec<Leftover>,
    /// Objects that deleted migrations were to remove from the target (spec.rollback.objects Remove) and could not in time. Each is
    /// removed when the cluster is back, after the weights of its migration, unless a newer migration has taken the Ingresses
    /// over, and then leaves this list.
    #[x_kube(merge_strategy = ListMerge::Map(vec!["namespace".into(), "kind".into(), "name".into(), "identity".into()]))]
    #[serde(default)]
    pub leftover_objects: Vec<LeftoverObject>,
    /// SourceReachable, TargetReachable and Ready: Unknown while no migration uses the pair, because then it is not connected.
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    #[serde(default)]
    pub conditions: Vec<Condition>,
}

/// What a cluster said of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterFacts {
    /// Version of its API server.
    pub version: String,
    /// When it last proved to be the right cluster, as of when this status was last written: an answer that changes nothing is not
    /// written. A cluster that does not fail is not asked again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proved_at: Option<Time>,
}

/// A weight that a deleted migration could not write in time.
#[derive(kube::KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.weight == (self.side == 'Source' ? 100 : 0)").message("a leftover is what a rollback leaves: weight 100 on the Source, 0 on the Target"))]
pub struct Leftover {
    /// The namespace that was moving.
    pub namespace: String,
    /// Name of the Ingress.
    pub ingress: String,
    /// The cluster on which it is to be written.
    pub side: LeftoverSide,
    /// UID of the kube-system namespace of the cluster that it is owed to. While the ClusterPair names another one there, it waits.
    /// Empty in an entry of an older version, which is owed to whatever the ClusterPair names.
    #[serde(default)]
    pub identity: String,
    /// The same of the cluster on the other side: only what that one has can make it matter no more.
    #[serde(default)]
    pub other_identity: String,
    /// Prefix of the annotations that its external-dns read then. Under another one nothing is written: a live record would lose its
    /// identifier.
    #[serde(default)]
    pub annotation_prefix: String,
    /// The DNS set identifier that it gets.
    pub identifier: String,
    /// The weight that it gets.
    pub weight: i32,
    /// Whether it waits until the source has its 100: the source may be at 0, and two zeros would be an even split.
    pub after_source: bool,
    /// The migration that was deleted: UID of its home cluster, its namespace and its name.
    pub owner: String,
    /// Its attempt.
    pub attempt: i32,
    /// The number in the stamp. An Ingress with a higher one, or with the running stamp of another migration, is left alone.
    pub epoch: i64,
    /// Why it is not written yet, in one word of the catalogue of reasons.
    #[serde(default)]
    pub reason: String,
    /// The same in a sentence, as it was when the word last changed.
    pub why: String,
    /// Since when it has been left over.
    pub since: Time,
}

/// An object that a deleted migration was to remove from the target, and could not in time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LeftoverObject {
    /// The namespace that was moving.
    pub namespace: String,
    /// Its kind: Ingress or Secret.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// UID of the kube-system namespace of the cluster that it is owed to. While the ClusterPair names another one there, it waits.
    /// Empty in an entry of an older version, which is owed to whatever the ClusterPair names.
    #[serde(default)]
    pub identity: String,
    /// The same of the cluster on the other side: only what that one has can make it matter no more.
    #[serde(default)]
    pub other_identity: String,
    /// Prefix of the annotations that its external-dns read then. Under another one nothing is written: a live record would lose its
    /// identifier.
    #[serde(default)]
    pub annotation_prefix: String,
    /// Its UID. Only this very object is removed, and only with our mark.
    pub uid: String,
    /// The migration that was deleted: UID of its home cluster, its namespace and its name.
    pub owner: String,
    /// The number in its last stamps. With a higher one, or another migration's stamp, on one of the Ingresses it is left alone.
    pub epoch: i64,
    /// The Ingresses that were moving.
    pub ingresses: Vec<String>,
    /// How long DNS may take to follow the last weight: the object stays as long.
    pub settle: String,
    /// From when it may be removed. Absent while weights of the same migration are still to be written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removable_from: Option<Time>,
    /// Why it is not removed yet, in one word of the catalogue of reasons.
    #[serde(default)]
    pub reason: String,
    /// The same in a sentence, as it was when the word last changed.
    pub why: String,
    /// Since when it has been left over.
    pub since: Time,
}

/// A cluster of the pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum LeftoverSide {
    /// The cluster that the namespace was leaving.
    Source,
    /// The cluster that it was moving to.
    Target,
}
