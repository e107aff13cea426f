//! How long each stage may take. Holds, bakes and ends have no deadline: they wait for what was asked.

use jiff::{SignedDuration, Timestamp};

use super::effect::Effect;
use super::observed::Side;
use super::reason::Reason;
use super::run::{Memo, Move, Run, Wait, words};
use super::stages::is_rollback;
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

/// What a wait that is too long turns into. None while it has time.
///
/// What stops the clock never leads to a rollback: nobody has seen the target fail. Once it is over, the deadline starts anew.
pub fn exceeded(run: &Run<'_>, effects: &[Effect], wait: &Wait) -> Option<Move> {
    if run.now < deadline(run)? || is_rollback(run.status.stage) || wait.reason == Reason::ConnectingToClusters {
        return None;
    }
    let allowance = allowance(run.status.stage).unwrap_or_default();
    let message = format!("{} took longer than {}: {}", run.status.stage, words(allowance), wait.message);
    if stops_the_clock(run, wait.reason) {
        return Some(held(effects, Wait { message, ..wait.clone() }));
    }
    if stood_still(&run.status.reason) && run.status.reason != wait.reason.as_str() {
        return Some(Move::Remember(Memo::DeadlineAnew));
    }
    let reason = Reason::DeadlineExceeded;
    Some(match (run.status.stage, run.order.on_failure) {
        (Stage::Preflight, _) => Move::Fail { reason, message },
        (_, OnFailure::Rollback) => Move::RollBack { reason, message },
        (_, OnFailure::Hold) => held(effects, Wait { reason, message, ..wait.clone() }),
    })
}

/// A person is told. What can be done is still done: it may be all that was missing.
fn held(effects: &[Effect], wait: Wait) -> Move {
    Move::Act { effects: effects.to_vec(), wait: wait.stalled() }
}

fn stops_the_clock(run: &Run<'_>, reason: Reason) -> bool {
    let reachable = |side: Side| run.view(side).reach.is_reachable();
    match reason {
        Reason::HealthUnknown
        | Reason::WeightContested
        | Reason::SourceUnhealthyToo
        | Reason::Held
        | Reason::NotAllowed
        | Reason::OwnedByAnother => true,
        // Both out of reach in one moment is our own network.
        Reason::SourceUnreachable | Reason::TargetUnreachable => !reachable(Side::Source) && !reachable(Side::Target),
        _ => false,
    }
}

/// Whether the pass before this one had a wait in which nothing could be done.
fn stood_still(reason_before: &str) -> bool {
    let still = [
        Reason::ConnectingToClusters,
        Reason::SourceUnreachable,
        Reason::TargetUnreachable,
        Reason::HealthUnknown,
        Reason::WeightContested,
        Reason::SourceUnhealthyToo,
        Reason::Held,
        Reason::NotAllowed,
        Reason::OwnedByAnother,
    ];
    still.into_iter().any(|reason| reason.as_str() == reason_before)
}
