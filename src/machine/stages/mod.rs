//! The stages, one file each. A stage reads like the step of the manual guide that it replaces.

mod bake;
mod copy_secrets;
mod deploy_workloads;
mod ended;
mod pending;
mod preflight;
mod prepare_target;
mod publish_target;
mod rolling_back;
mod shift_traffic;
mod smoke_test;
mod step_down;
mod weight_source;

use super::run::{Move, Run};
use crate::api::Stage;

pub(super) use copy_secrets::{statuses as secret_statuses, still_wanted};
pub(super) use ended::{failed, is_not_all_back};
pub(super) use pending::moved_by_another;
pub(super) use preflight::{blocked, findings, plan, trouble_before_checks};
pub(super) use rolling_back::{
    gone_from_source, is_all_gone, is_known_absent, is_taken, is_written as rollback_is_written,
    leftovers as rollback_removals, owes as rollback_owes, unblocked, waits_for_dns as rollback_waits_for_dns,
};
pub use shift_traffic::held;
pub(super) use shift_traffic::planned_steps as shift_traffic_steps;
pub(super) use shift_traffic::{stopped, stopped_clock};
pub(super) use step_down::{goes_down, leaving};

/// The stages of a migration that goes well, in their order.
pub const FORWARD: [Stage; 11] = [
    Stage::Pending,
    Stage::Preflight,
    Stage::WeightSource,
    Stage::PrepareTarget,
    Stage::CopySecrets,
    Stage::DeployWorkloads,
    Stage::PublishTarget,
    Stage::SmokeTest,
    Stage::ShiftTraffic,
    Stage::Bake,
    Stage::Completed,
];

/// The stage after this one.
pub fn after(stage: Stage) -> Stage {
    match stage {
        Stage::RollingBack | Stage::RollbackBlocked => Stage::RolledBack,
        _ => FORWARD.into_iter().skip_while(|known| *known != stage).nth(1).unwrap_or(stage),
    }
}

/// Whether nothing happens any more in this attempt.
pub fn is_terminal(stage: Stage) -> bool {
    matches!(stage, Stage::Completed | Stage::RolledBack | Stage::Failed)
}

/// Whether the attempt is on its way back.
pub fn is_rollback(stage: Stage) -> bool {
    matches!(stage, Stage::RollingBack | Stage::RollbackBlocked)
}

/// Whether something has been written, and no end is reached yet: it is on its way, forward or back.
pub fn is_on_its_way(stage: Stage) -> bool {
    stage > Stage::Preflight && !is_terminal(stage)
}

/// Whether both sides are probed in this stage.
pub fn is_watched(stage: Stage) -> bool {
    matches!(stage, Stage::SmokeTest | Stage::ShiftTraffic | Stage::Bake)
}

/// Asks the current stage what to do.
pub fn visit(run: &Run<'_>) -> Move {
    match run.status.stage {
        Stage::Pending => pending::visit(run),
        Stage::Preflight => preflight::visit(run),
        Stage::WeightSource => weight_source::visit(run),
        Stage::PrepareTarget => prepare_target::visit(run),
        Stage::CopySecrets => copy_secrets::visit(run),
        Stage::DeployWorkloads => deploy_workloads::visit(run),
        Stage::PublishTarget => publish_target::visit(run),
        Stage::SmokeTest => smoke_test::visit(run),
        Stage::ShiftTraffic => shift_traffic::visit(run),
        Stage::Bake => bake::visit(run),
        Stage::RollingBack | Stage::RollbackBlocked => rolling_back::visit(run),
        Stage::Completed | Stage::RolledBack | Stage::Failed => ended::visit(run),
    }
}
