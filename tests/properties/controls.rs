//! What a person stops, holds, sends back and tries again: the stages in which a migration can be met, for `pauses`, `requests` and
//! `ceilings`.

use namespace_migration::api::status::{RequestKind, RequestStatus, StepPhase};
use namespace_migration::api::{PAUSED_ANNOTATION, Stage};
use namespace_migration::machine::Side;
use namespace_migration::machine::health::Verdict;
use serde_json::json;

use crate::planted::at;
use crate::world::World;

/// The stages in which a migration can be met, each with a world that stands there.
pub fn every_stage() -> Vec<(Stage, World)> {
    let stages = [
        Stage::Preflight,
        Stage::WeightSource,
        Stage::PrepareTarget,
        Stage::CopySecrets,
        Stage::DeployWorkloads,
        Stage::PublishTarget,
        Stage::SmokeTest,
        Stage::ShiftTraffic,
        Stage::Bake,
    ];
    let mut pending = World::new();
    pending.unreachable(Side::Target);
    pending.settle();
    let others = stages.into_iter().map(|stage| (stage, standing(stage)));
    std::iter::once((Stage::Pending, pending)).chain(others).collect()
}

/// A world that waits in this stage for something that does not come; in the shift, a hold.
pub fn standing(stage: Stage) -> World {
    let mut world = match stage {
        Stage::Preflight => World::with(json!({"preflight": {"acknowledge": []}})),
        Stage::CopySecrets => World::with(json!({"secrets": {"include": ["missing"]}})),
        Stage::ShiftTraffic => return at(1, StepPhase::Holding),
        _ => World::new(),
    };
    match stage {
        Stage::PrepareTarget => world.target.services.clear(),
        Stage::DeployWorkloads => world.target.workloads.clear(),
        Stage::PublishTarget => world.load_balancer = false,
        Stage::SmokeTest => drop(world.verdicts.insert(Side::Target, Verdict::Inconclusive)),
        _ => {}
    }
    world.run_until(stage);
    world.settle();
    assert_eq!(world.status.stage, stage);
    world
}

pub fn weights(world: &World) -> (Option<i32>, Option<i32>) {
    (world.source.weight("web"), world.target.weight("web"))
}

pub fn pause(world: &mut World) {
    world.annotate(PAUSED_ANNOTATION, Some("incident"));
}

pub fn resume(world: &mut World) {
    world.annotate(PAUSED_ANNOTATION, None);
}

pub fn request(world: &World, kind: RequestKind) -> &RequestStatus {
    world.status.requests.iter().find(|request| request.kind == kind).unwrap()
}

pub fn epoch(world: &World) -> i64 {
    world.status.epoch
}

/// Everything that the stages of [`every_stage`] wait for, but for the acknowledgement and the Secret, which the spec names.
pub fn bring_what_is_missing(world: &mut World) {
    world.reachable(Side::Target);
    world.target.services = world.source.services.clone();
    world.target.workloads = world.source.workloads.clone();
    world.load_balancer = true;
    world.verdicts.insert(Side::Target, Verdict::Pass);
}
