//! What was written, and the promises that a recording may break. A promise that nothing can break is not tested: see `planted`.

use jiff::Timestamp;
use namespace_migration::api::Stage;
use namespace_migration::api::status::NamespaceMigrationStatus;
use namespace_migration::machine::stamp::{Direction, Stamp};
use namespace_migration::machine::traffic::{Weight, target_share};
use namespace_migration::machine::{Decision, Side};

use crate::world::World;

/// One change of the world.
#[derive(Clone, Debug)]
pub struct Write {
    pub at: Timestamp,
    /// The object.
    pub name: String,
    pub change: Change,
    /// Whether the operator did it.
    pub ours: bool,
    /// The target's share in percent that was allowed when it was decided, and whether it was paused then.
    pub allowed: i32,
    pub paused: bool,
    /// The weights of source and target before and afterwards.
    pub before: Weights,
    pub weights: Weights,
    /// Whether DNS showed the other side as it was written.
    pub receiver_served: bool,
}

/// The weights of an Ingress on the source and on the target.
pub type Weights = (Option<i32>, Option<i32>);

/// What was changed.
#[derive(Clone, Debug)]
pub enum Change {
    Weight {
        side: Side,
        before: Option<i32>,
        after: i32,
        stamp: Stamp,
    },
    Created {
        kind: &'static str,
    },
    Removed {
        kind: &'static str,
    },
    Foreign {
        side: Side,
    },
    /// A pipeline deleted it and made it anew.
    Recreated,
}

impl Write {
    /// As tests compare it.
    pub fn text(&self) -> String {
        let name = &self.name;
        match &self.change {
            Change::Weight { side, after, stamp, .. } => {
                let direction = if stamp.direction == Direction::Forward {
                    String::new()
                } else {
                    format!(" {:?}", stamp.direction)
                };
                format!("{side} {name} {after}{direction}")
            }
            Change::Created { kind } => format!("create {kind} {name}"),
            Change::Removed { kind } => format!("remove {kind} {name}"),
            Change::Foreign { side } => format!("foreign {side} {name}"),
            Change::Recreated => format!("recreate {name}"),
        }
    }

    fn forward(&self) -> bool {
        let back = matches!(&self.change, Change::Weight { stamp, .. } if stamp.direction.is_back());
        let counts = matches!(&self.change, Change::Weight { .. } | Change::Created { .. });
        counts && !back && self.ours
    }
}

/// The target's share of users, in percent.
fn share(weights: Weights) -> i32 {
    let weight = |weight: Option<i32>| weight.map(Weight::percent).into_iter().collect::<Vec<_>>();
    match weights {
        // A source without a weight is a simple record: DNS refuses weighted ones beside it.
        (None, _) => 0,
        (source, target) => target_share(&weight(source), &weight(target)),
    }
}

/// The share that the target may be given in this stage and step, below the ceiling.
pub fn allowed_share(status: &NamespaceMigrationStatus, ceiling: i32) -> i32 {
    step_share(status).min(ceiling)
}

fn step_share(status: &NamespaceMigrationStatus) -> i32 {
    match (status.stage, &status.step, &status.plan) {
        (Stage::Bake | Stage::Completed, ..) => 100,
        (Stage::ShiftTraffic, Some(step), Some(plan)) => {
            let index = usize::try_from(step.index).unwrap();
            plan.steps.get(index).map_or(0, |step| step.weight)
        }
        _ => 0,
    }
}

/// The writes, in words.
pub fn texts(world: &World) -> Vec<String> {
    world.writes.iter().map(Write::text).collect()
}

/// Every promise about writes.
pub fn broken_promise(writes: &[Write]) -> Option<String> {
    both_zero(writes)
        .or_else(|| writes.iter().find_map(too_many))
        .or_else(|| writes.iter().find_map(moved_in_a_pause))
        .or_else(|| gave_too_early(writes))
        .or_else(|| raised_after(writes))
}

/// Going forward a side gives only when DNS shows the one that receives. What somebody else wrote before is not blamed on us.
fn gave_too_early(writes: &[Write]) -> Option<String> {
    let mut ours = writes.iter().take_while(|write| write.ours);
    let early = |write: &&Write| {
        let gave = matches!(&write.change, Change::Weight { before: Some(before), after, .. } if after < before);
        gave && write.forward() && !write.receiver_served
    };
    ours.find(early).map(|write| format!("given before DNS showed who receives: {}", write.text()))
}

/// What is decided in a pause changes no weight and makes nothing, unless it goes back.
fn moved_in_a_pause(write: &Write) -> Option<String> {
    let made = matches!(write.change, Change::Created { .. });
    let moved = write.forward() && (made || write.before != write.weights);
    (write.paused && moved).then(|| format!("it was paused, and yet: {}", write.text()))
}

/// Our writes never leave both sides at 0: going forward never, and going back never by lowering the target beside a source
/// that we lowered. A 0 that somebody else wrote there a moment ago cannot be known while the source does not answer.
fn both_zero(writes: &[Write]) -> Option<String> {
    let mut lowered_by_us: std::collections::BTreeMap<&str, bool> = std::collections::BTreeMap::new();
    for write in writes {
        let (on_source, lowers_target) = match &write.change {
            Change::Weight { side: Side::Target, before, .. } => (false, *before != Some(0)),
            Change::Weight { side, .. } | Change::Foreign { side } => (*side == Side::Source, false),
            _ => (false, false),
        };
        if on_source {
            lowered_by_us.insert(&write.name, write.ours);
        }
        let lowered_by_us = lowered_by_us.get(write.name.as_str()).copied().unwrap_or_default();
        // A fence beside somebody else's 0 changes nothing.
        let moved = write.forward() && write.before != write.weights;
        let blame = moved || (write.ours && lowers_target && lowered_by_us);
        if blame && write.weights == (Some(0), Some(0)) {
            return Some(format!("both sides are at 0 after: {}", write.text()));
        }
    }
    None
}

/// Going forward, the target is never given more users than the step allows.
fn too_many(write: &Write) -> Option<String> {
    let (before, share, allowed) = (share(write.before), share(write.weights), write.allowed);
    (write.forward() && share > allowed && share > before)
        .then(|| format!("the target has {share} percent, {allowed} are allowed, after: {}", write.text()))
}

/// Once a rollback's stamp is on an Ingress of the target, no write of its epoch or an older one raises it.
fn raised_after(writes: &[Write]) -> Option<String> {
    let mut newest: std::collections::BTreeMap<&str, i64> = std::collections::BTreeMap::new();
    for write in writes {
        if let Change::Created { kind: "Ingress" } | Change::Removed { kind: "Ingress" } | Change::Recreated =
            write.change
        {
            // The stamp went with the object.
            newest.remove(write.name.as_str());
        }
        let Change::Weight { side: Side::Target, before, after, stamp } = &write.change else { continue };
        let fence = newest.get(write.name.as_str()).copied().unwrap_or(i64::MIN);
        if stamp.epoch <= fence && before.is_none_or(|before| *after > before) && *after > 0 {
            return Some(format!("raised in spite of the rollback of epoch {fence}: {}", write.text()));
        }
        if stamp.direction.is_back() {
            newest.insert(&write.name, stamp.epoch.max(fence));
        }
    }
    None
}

/// An ended migration does nothing, but lets its object go.
pub fn ended_but_acts(before: &NamespaceMigrationStatus, decision: &Decision) -> Option<String> {
    let ended = matches!(before.stage, Stage::Completed | Stage::RolledBack | Stage::Failed);
    let acts = decision.effects.iter().any(|effect| !effect.lets_go());
    (ended && acts).then(|| format!("{} does {:?}", before.stage, decision.effects))
}
