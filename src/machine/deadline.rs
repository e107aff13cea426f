//! How long each stage may take. Holds, bakes, pauses, ceilings and ends have no deadline: they wait for what was asked.

use jiff::{SignedDuration, Timestamp};

use super::effect::Effect;
use super::gate;
use super::health::Verdict;
use super::observed::Side;
use super::reason::Reason;
use super::run::{Memo, Move, Run, Wait, words};
use super::stages::is_rollback;
use crate::api::Stage;
use crate::api::namespace_migration::OnFailure;
use crate::api::status::{NamespaceMigrationStatus, StepPhase};

/// Time without any verdict, in a hold, after which a person is told: what measures has failed, not what is measured.
const LONGEST_SILENCE: SignedDuration = SignedDuration::from_mins(15);

/// How long a stage may take. None: as long as it takes. `settle` is what DNS takes when all goes well: a slow one is not late.
pub fn allowance(stage: Stage, settle: SignedDuration) -> Option<SignedDuration> {
    match stage {
        // A person or a pipeline has to do something; a working day and a night pass quickly.
        Stage::Preflight | Stage::PrepareTarget | Stage::CopySecrets | Stage::DeployWorkloads => {
            Some(SignedDuration::from_hours(24))
        }
        // Only machines are waited for: a load balancer, probes.
        Stage::SmokeTest => Some(SignedDuration::from_hours(1)),
        // external-dns as well; in the shift, of one write and its settling: holds do not count.
        Stage::WeightSource | Stage::PublishTarget | Stage::ShiftTraffic => {
            Some(SignedDuration::from_hours(1).saturating_add(settle))
        }
        // Users are on the sick side until it is over.
        Stage::RollingBack => Some(SignedDuration::from_mins(15).saturating_add(settle)),
        Stage::Pending
        | Stage::Bake
        | Stage::Completed
        | Stage::RolledBack
        | Stage::Failed
        | Stage::RollbackBlocked => None,
    }
}

pub(super) fn allowed(run: &Run<'_>) -> Option<SignedDuration> {
    allowance(run.status.stage, gate::longest(run))
}

/// When the current wait is too long, if it can be.
pub fn deadline(run: &Run<'_>) -> Option<Timestamp> {
    // A pause was asked for, and so was a ceiling before the first step.
    let asked = run.status.stage == Stage::ShiftTraffic && run.status.step.is_none();
    if run.status.pause.is_some() || asked {
        return None;
    }
    if is_hold(run) {
        let since = run.status.waiting_since.as_ref().filter(|_| stood_still(&run.status.reason))?;
        return since.0.saturating_add(LONGEST_SILENCE).ok();
    }
    let since = match &run.status.step {
        Some(step) if run.status.stage == Stage::ShiftTraffic => step.since.0,
        _ => counted_since(&run.status).unwrap_or(run.now),
    };
    since.saturating_add(allowed(run)?).ok()
}

/// Since when a stage's time is counted. A rehearsal writes twice more and waits for DNS each time: each of its parts has the time anew.
pub(super) fn counted_since(status: &NamespaceMigrationStatus) -> Option<Timestamp> {
    let began = status.stage_started_at.as_ref().map(|time| time.0);
    let rehearsal = status.rehearsal.as_ref().filter(|_| status.stage == Stage::WeightSource);
    began.max(rehearsal.map(|rehearsal| rehearsal.since.0))
}

/// Whether healthy time is waited for, which takes as long as was asked.
fn is_hold(run: &Run<'_>) -> bool {
    let holds = run.status.step.as_ref().is_some_and(|step| step.phase == StepPhase::Holding);
    run.status.stage == Stage::Bake || (run.status.stage == Stage::ShiftTraffic && holds)
}

/// What a wait that is too long turns into. None while it has time.
///
/// What stops the clock never leads to a rollback: nobody has seen the target fail. Once it is over, the deadline starts anew. Nobody
/// is moved to a source that fails.
pub fn exceeded(run: &Run<'_>, effects: &[Effect], wait: &Wait) -> Option<Move> {
    if run.now < deadline(run)? || is_rollback(run.status.stage) || wait.reason == Reason::ConnectingToClusters {
        return None;
    }
    if is_hold(run) {
        let same = run.status.reason == wait.reason.as_str();
        return (same && stood_still(&run.status.reason)).then(|| held(effects, wait.clone()));
    }
    let message = format!("{} took longer than {}: {}", run.status.stage, words(allowed(run)?), wait.message);
    if stops_the_clock(run, wait.reason) {
        return Some(held(effects, Wait { message, ..wait.clone() }));
    }
    if let Some(sick) = run.observed.health.first(Side::Source, Verdict::Fail) {
        let message =
            format!("{message} The source fails too, so that nobody is moved. {}: {}", sick.name, sick.message);
        let unblock = format!("Mend the source, or what is waited for; it goes on by itself. {}", wait.unblock);
        return Some(held(effects, Wait { reason: Reason::SourceUnhealthy, message, unblock, ..wait.clone() }));
    }
    if could_not_go_on(run) && run.status.reason != wait.reason.as_str() {
        return Some(Move::Remember(Memo::DeadlineAnew));
    }
    let reason = Reason::DeadlineExceeded;
    Some(match (run.status.stage, run.order.on_failure) {
        (Stage::Preflight, _) => Move::Fail { reason, message: format!("{message} Nothing was changed.") },
        (_, OnFailure::Rollback) => Move::RollBack { reason, message },
        (_, OnFailure::Hold) => held(effects, Wait { reason, message, ..wait.clone() }),
    })
}

/// A person is told. What can be done is still done: it may be all that was missing.
fn held(effects: &[Effect], mut wait: Wait) -> Move {
    if wait.unblock.is_empty() {
        "Find out why it does not happen; it goes on by itself as soon as it does.".clone_into(&mut wait.unblock);
    }
    Move::Act { effects: effects.to_vec(), wait: wait.stalled() }
}

fn stops_the_clock(run: &Run<'_>, reason: Reason) -> bool {
    let reachable = |side: Side| run.view(side).reach.is_reachable();
    match reason {
        Reason::HealthUnknown
        | Reason::WeightContested
        | Reason::UnplannedIngress
        | Reason::OwnedByAnother
        | Reason::SourceUnhealthy
        | Reason::NotAllowed
        | Reason::AnnotationPrefixChanged
        | Reason::SourceUnhealthyToo
        // A DNS that does not follow is no failure of the application, also where it usually takes longer than the stage may.
        | Reason::WaitingForDns
        | Reason::DnsLate
        | Reason::DnsBlocked
        | Reason::DnsUnreadable
        | Reason::DnsDiffers
        | Reason::AddressLost
        | Reason::Held => true,
        // Before the first write a blocker has its deadline; afterwards a person has to decide.
        Reason::PreflightBlocked => run.status.stage > Stage::Preflight,
        // Both out of reach in one moment is our own network.
        Reason::SourceUnreachable | Reason::TargetUnreachable => !reachable(Side::Source) && !reachable(Side::Target),
        _ => false,
    }
}

/// Whether the pass before this one had a wait that no deadline is held against.
fn could_not_go_on(run: &Run<'_>) -> bool {
    let before = run.status.reason.as_str();
    stood_still(before) || (run.order.dns.is_verified() && before == Reason::WaitingForDns.as_str())
}

/// Whether the pass before this one had a wait in which nothing could be done.
fn stood_still(reason_before: &str) -> bool {
    let still = [
        Reason::ConnectingToClusters,
        Reason::SourceUnreachable,
        Reason::TargetUnreachable,
        Reason::ClusterRefused,
        Reason::WrongCluster,
        Reason::AnnotationPrefixChanged,
        Reason::OwnedByAnother,
        Reason::UnplannedIngress,
        Reason::PreflightBlocked,
        Reason::HealthUnknown,
        Reason::WeightContested,
        Reason::DnsLate,
        Reason::DnsBlocked,
        Reason::DnsUnreadable,
        Reason::DnsDiffers,
        Reason::AddressLost,
        Reason::SourceUnhealthyToo,
        Reason::SourceUnhealthy,
        Reason::Held,
        Reason::NotAllowed,
    ];
    still.into_iter().any(|reason| reason.as_str() == reason_before)
}
