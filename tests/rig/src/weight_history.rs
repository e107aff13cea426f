//! The traffic weights over time, from a recording of both clusters, and the promises that they have to keep. Pure.
//!
//! A check returns `Err` with the offending write, so that a test can `unwrap` it.

mod leaks;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

pub use leaks::{contains_text, files_under};

use crate::recorder::Write;

/// The name of the recorder of the source cluster.
pub const SOURCE: &str = "source";
/// The name of the recorder of the target cluster.
pub const TARGET: &str = "target";

/// The annotation that says which migration, attempt and epoch wrote an Ingress last.
pub const STAMP_ANNOTATION: &str = "namespacemigration.io/stamp";
/// Behind the prefix of external-dns's annotations.
const WEIGHT_ANNOTATION: &str = "aws-weight";

/// A weight as written; DNS shares are quotients of sums of these.
pub type Weight = i32;

/// The stamp on an Ingress.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Stamp {
    /// The migration: UID of home and namespace/name.
    #[serde(default)]
    pub owner: String,
    /// The migration's attempt.
    pub attempt: i64,
    /// Rises at every rollback and pause.
    pub epoch: i64,
    /// What the writer was doing.
    pub direction: Direction,
}

/// The direction of a stamp.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub enum Direction {
    /// Users go to the target.
    Forward,
    /// Users come back to the source.
    RollingBack,
    /// Users are back.
    RolledBack,
    /// The migration is over; the target serves.
    Completed,
}

impl Direction {
    /// From this stamp on the target must not be raised.
    fn is_fence(self) -> bool {
        matches!(self, Self::RollingBack | Self::RolledBack)
    }
}

/// All known weights right after one successful write of an Ingress.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightPoint {
    /// When the write's answer was complete.
    pub time: Timestamp,
    /// Weight by Ingress on the source. One that never had a weight is absent; one that was deleted with a weight has 0.
    pub source: BTreeMap<String, Weight>,
    /// The same on the target.
    pub target: BTreeMap<String, Weight>,
    /// Stamp by Ingress on the source.
    pub source_stamps: BTreeMap<String, Stamp>,
    /// Stamp by Ingress on the target.
    pub target_stamps: BTreeMap<String, Stamp>,
    /// The cluster that was written.
    pub cluster: String,
    /// The Ingress that was written; empty for a deletion of all.
    pub ingress: String,
    /// The write in words.
    pub write: String,
}

impl WeightPoint {
    /// The target's share of the users of one Ingress in percent. Undefined (`None`) while the target has no record of it or
    /// no side has a weight. All weights 0 is an even split (Route 53 developer guide, "Weighted routing"). Ingresses are not
    /// added up: each has hosts of its own, and one that is well served must not hide another.
    pub fn target_share(&self, ingress: &str) -> Option<f64> {
        let target = *self.target.get(ingress)?;
        match self.source.get(ingress) {
            None if target == 0 => None,
            None => Some(100.0),
            Some(0) if target == 0 => Some(50.0),
            Some(source) => Some(share(target, source + target)),
        }
    }

    /// Every Ingress that ever had a weight.
    fn ingresses(&self) -> BTreeSet<&String> {
        self.source.keys().chain(self.target.keys()).collect()
    }

    fn describe(&self) -> String {
        format!("after {}: source {:?}, target {:?}", self.write, self.source, self.target)
    }
}

/// The weights in `namespace` after each successful write of one of its Ingresses. `annotation_prefix` is external-dns's, with
/// or without its slash. `writes` are those of both clusters, merged.
pub fn weight_history(writes: &[Write], namespace: &str, annotation_prefix: &str) -> Vec<WeightPoint> {
    let weight_key = format!("{}/{WEIGHT_ANNOTATION}", annotation_prefix.trim_end_matches('/'));
    let mut sides = BTreeMap::from([(SOURCE.to_owned(), Side::default()), (TARGET.to_owned(), Side::default())]);
    let mut history = Vec::new();
    for write in writes.iter().filter(|write| is_ingress_write(write, namespace)) {
        let Some(side) = sides.get_mut(&write.cluster) else { continue };
        side.apply(write, &weight_key);
        history.push(point(write, &sides[SOURCE], &sides[TARGET]));
    }
    history
}

/// Fails where an Ingress has weight 0 on the source and 0, or nothing, on the target: Route 53 would split users evenly, and
/// with the records gone nobody would be served. A source without a weight still has its simple record and is never 0.
pub fn never_both_zero(history: &[WeightPoint]) -> Result<(), String> {
    for point in history {
        let nobody = |ingress: &&String| {
            point.source.get(*ingress) == Some(&0) && *point.target.get(*ingress).unwrap_or(&0) == 0
        };
        if let Some(ingress) = point.ingresses().into_iter().find(nobody) {
            return Err(format!("both sides at weight 0 for {ingress} {}", point.describe()));
        }
    }
    Ok(())
}

/// Fails where a write raised a target Ingress that already carried the stamp of a rollback, unless the write carries a
/// later epoch.
pub fn target_never_raised_after_rollback(history: &[WeightPoint]) -> Result<(), String> {
    let mut fences: BTreeMap<&str, i64> = BTreeMap::new();
    let mut weights: BTreeMap<&str, Weight> = BTreeMap::new();
    for point in history.iter().filter(|point| point.cluster == TARGET) {
        for (ingress, &weight) in &point.target {
            let stamp = point.target_stamps.get(ingress);
            let before = weights.insert(ingress, weight).unwrap_or(0);
            let fence = fences.get(ingress.as_str()).copied();
            if let Some(fence) =
                fence.filter(|fence| weight > before && stamp.is_none_or(|stamp| stamp.epoch <= *fence))
            {
                return Err(format!(
                    "{ingress} raised from {before} to {weight} behind the rollback of epoch {fence} {}",
                    point.describe()
                ));
            }
            if let Some(stamp) = stamp.filter(|stamp| stamp.direction.is_fence()) {
                fences.entry(ingress).and_modify(|epoch| *epoch = stamp.epoch.max(*epoch)).or_insert(stamp.epoch);
            }
        }
    }
    Ok(())
}

/// Fails where the target's share of users was greater than the biggest step that had begun: a step begins when its weight
/// is on a target Ingress. `steps` are the weights of `spec.traffic.steps`.
pub fn share_never_above(history: &[WeightPoint], steps: &[Weight]) -> Result<(), String> {
    let mut begun = 0;
    for point in history {
        if let Some(stray) = point.target.values().find(|weight| **weight != 0 && !steps.contains(weight)) {
            return Err(format!("weight {stray} of the target belongs to no step of {steps:?} {}", point.describe()));
        }
        begun = point.target.values().copied().fold(begun, Weight::max);
        let allowed = share(begun, 100);
        for ingress in point.ingresses() {
            if let Some(share) = point.target_share(ingress).filter(|share| *share > allowed) {
                return Err(format!(
                    "the target has {share:.1} % of the users of {ingress}, the step allows {begun} % {}",
                    point.describe()
                ));
            }
        }
    }
    Ok(())
}

/// Fails where two neighbouring points show the target's share falling without a rollback's stamp, or rising with one: only
/// for histories in which nobody else writes.
pub fn share_follows_direction(history: &[WeightPoint]) -> Result<(), String> {
    for pair in history.windows(2) {
        let [before, after] = pair else { continue };
        let ingress = &after.ingress;
        let (Some(old), Some(new)) = (before.target_share(ingress), after.target_share(ingress)) else { continue };
        let stamps = if after.cluster == SOURCE { &after.source_stamps } else { &after.target_stamps };
        let Some(stamp) = stamps.get(&after.ingress) else { continue };
        if stamp.direction.is_fence() && new > old {
            return Err(format!(
                "a write of a rollback raised the target's share from {old:.1} to {new:.1} % {}",
                after.describe()
            ));
        }
        if !stamp.direction.is_fence() && new < old {
            return Err(format!(
                "a forward write lowered the target's share from {old:.1} to {new:.1} % {}",
                after.describe()
            ));
        }
    }
    Ok(())
}

/// What is known of one cluster's Ingresses.
#[derive(Clone, Debug, Default)]
struct Side {
    weights: BTreeMap<String, Weight>,
    stamps: BTreeMap<String, Stamp>,
}

impl Side {
    fn apply(&mut self, write: &Write, weight_key: &str) {
        match write.verb.as_str() {
            "deletecollection" => self.delete_all(),
            "delete" if is_gone(write) => self.delete(&write.name),
            _ => self.read(&write.name, &write.response_object, weight_key),
        }
    }

    fn read(&mut self, ingress: &str, object: &Value, weight_key: &str) {
        let annotation = |key: &str| object.pointer("/metadata/annotations")?.get(key)?.as_str();
        match annotation(weight_key).and_then(|weight| weight.parse().ok()) {
            Some(weight) => self.weights.insert(ingress.to_owned(), weight),
            None => self.weights.remove(ingress),
        };
        match annotation(STAMP_ANNOTATION).and_then(|stamp| serde_json::from_str(stamp).ok()) {
            Some(stamp) => self.stamps.insert(ingress.to_owned(), stamp),
            None => self.stamps.remove(ingress),
        };
    }

    fn delete(&mut self, ingress: &str) {
        self.stamps.remove(ingress);
        if let Some(weight) = self.weights.get_mut(ingress) {
            *weight = 0;
        }
    }

    fn delete_all(&mut self) {
        self.stamps.clear();
        self.weights.values_mut().for_each(|weight| *weight = 0);
    }
}

fn is_ingress_write(write: &Write, namespace: &str) -> bool {
    let of_object = write.resource == "ingresses" && write.subresource.is_empty();
    of_object
        && write.group == "networking.k8s.io"
        && write.namespace == namespace
        && write.succeeded()
        && !write.dry_run
}

/// A deletion is answered with a Status when the object is gone, and with the object while finalizers hold it.
fn is_gone(write: &Write) -> bool {
    write.response_object.get("kind").and_then(Value::as_str) != Some("Ingress")
        || write.response_object.pointer("/metadata/finalizers").is_none()
}

fn point(write: &Write, source: &Side, target: &Side) -> WeightPoint {
    WeightPoint {
        time: write.time,
        source: source.weights.clone(),
        target: target.weights.clone(),
        source_stamps: source.stamps.clone(),
        target_stamps: target.stamps.clone(),
        cluster: write.cluster.clone(),
        ingress: write.name.clone(),
        write: write.summary(),
    }
}

/// `part` of `whole` in percent.
fn share(part: Weight, whole: Weight) -> f64 {
    f64::from(part) / f64::from(whole) * 100.0
}

#[cfg(test)]
mod tests;
