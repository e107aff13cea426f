//! How long each stage may take. Holds, bakes and ends have no deadline: they wait for what was asked.

use jiff::{SignedDuration, Timestamp};

use super::reason::Reason;
use super::run::{Move, Run, Wait, words};
use crate::api::namespace_migration::OnFailure;
use crate::api::{Stage, status::StepPhase};

/// How long a stage may take. None: as long as it takes.
pub fn allowance(stage: Stage) -> Option<SignedDuration> {
    match stage {
        // A person or a pipeline has to do something; a working day and a night pass quickly.
        Stage::Preflight | Stage::PrepareTarget | Stage::CopySecrets | Stage::DeployWorkloads => {
            Some(SignedDuration::from_hours(24))
        }
        // Only machines are waited for: external-dns, a load balancer, probes.
        Stage::WeightSource | Stage::PublishTarget | Stage::SmokeTest => Some(SignedDuration::from_hours(1)),
        // Of one write and its settling; holds do not count.
        Stage::ShiftTraffic => Some(SignedDuration::from_hours(1)),
        // Users are on the sick side until it is over.
        Stage::RollingBack => Some(SignedDuration::from_mins(15)),
        Stage::Pending
        | Stage::Bake
        | Stage::Completed
        | Stage::RolledBack
        | Stage::Failed
        | Stage::RollbackBlocked => None,
    }
}

/// When the current wait is too long, if it can be.
pub fn deadline(run: &Run<'_>) -> Option<Timestamp> {
    let allowance = allowance(run.status.stage)?;
    let since = match &run.status.step {
        Some(step) if run.status.stage == Stage::ShiftTraffic => {
            if step.phase == StepPhase::Holding {
                return None;
            }
            step.since.0
        }
        _ => run.stage_since(),
    };
    since.saturating_add(allowance).ok()
}

/// What a stage that has waited too long turns into. None while it has time.
pub fn exceeded(run: &Run<'_>, wait: &Wait) -> Option<Move> {
    if run.now < deadline(run)? {
        return None;
    }
    let allowance = allowance(run.status.stage).unwrap_or_default();
    let message = format!("{} took longer than {}: {}", run.status.stage, words(allowance), wait.message);
    let reason = Reason::DeadlineExceeded;
    match (run.status.stage, run.order.on_failure) {
        // A rollback goes on for ever; the driver marks it as blocked.
        (Stage::RollingBack, _) => None,
        (Stage::Preflight, _) => Some(Move::Fail { reason, message }),
        (_, OnFailure::Rollback) => Some(Move::RollBack { reason, message }),
        (_, OnFailure::Hold) => Some(Wait { reason: Reason::Held, message, stalled: true, ..wait.clone() }.into()),
    }
}
