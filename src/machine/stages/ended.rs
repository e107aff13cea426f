//! Completed, RolledBack and Failed: nothing is written from here on. A higher attempt that is asked for after the last two, or
//! while it goes back, starts again, and after all of them a request that makes sense; see `requests`.

use super::super::reason::Reason;
use super::super::resume;
use super::super::run::{Move, Run, Wait};
use super::super::traffic::Weight;
use crate::api::status::{Cause, NamespaceMigrationStatus, Severity};
use crate::api::{ROLLBACK_ANNOTATION, Stage};

pub(super) fn visit(run: &Run<'_>) -> Move {
    let cause = run.status.cause.as_ref().map(|cause| format!(" {}", cause.message)).unwrap_or_default();
    let next = resume::last_seen(&run.status).saturating_add(1);
    let again = format!("{}To try again: set spec.attempt to {next}.", mend_first(run));
    match run.status.stage {
        Stage::Completed => {
            let paused = pause(run, "which changes nothing any more");
            let message = format!(
                "The target serves everything. Nobody has measured whether the source still gets requests.{paused}"
            );
            Wait::new(Reason::Completed, message).unblocked_by(too_late(run)).into()
        }
        Stage::RolledBack => {
            let paused = pause(run, "so that another attempt begins paused");
            let message = format!("The source serves everything again.{cause}{paused}");
            Wait::new(Reason::RolledBack, message).unblocked_by(again).stalled().into()
        }
        _ => {
            let paused = pause(run, "so that another attempt begins paused");
            let message = format!("{}{cause}{paused}", failed(&run.status));
            Wait::new(Reason::Failed, message).unblocked_by(again).stalled().into()
        }
    }
}

/// How an attempt failed, in a sentence: before anything was written, or behind a rollback that met what is another migration's.
pub(in super::super) fn failed(status: &NamespaceMigrationStatus) -> &'static str {
    if is_not_all_back(status) {
        "The rollback is over, but not everything was given back."
    } else {
        "It ended without a move."
    }
}

/// Whether it ended as Failed behind a rollback, so that the source may not serve everything.
pub(in super::super) fn is_not_all_back(status: &NamespaceMigrationStatus) -> bool {
    let taken = |cause: &Cause| cause.reason == Reason::OwnedByAnother.as_str();
    status.stage == Stage::Failed && status.cause.as_ref().is_some_and(taken)
}

/// What another attempt would meet again.
fn mend_first(run: &Run<'_>) -> String {
    let blocker = run.status.preflight.iter().find(|finding| finding.severity == Severity::Blocker);
    if let Some(blocker) = blocker.filter(|_| run.status.stage == Stage::Failed) {
        return format!("{} ", blocker.fix);
    }
    let cause = run.status.cause.as_ref().and_then(|cause| Reason::parse(&cause.reason));
    match cause {
        Some(Reason::TargetUnhealthy) => "Mend the target first. ",
        Some(Reason::DnsBlocked | Reason::ForeignWeight) => "Mend first what the cause says. ",
        _ => "",
    }
    .to_owned()
}

/// What a pause means after the end.
fn pause(run: &Run<'_>, meaning: &str) -> String {
    let by = run.order.controls.paused_by();
    if by.is_empty() { String::new() } else { format!(" It is paused by {by}, {meaning}.") }
}

/// What is asked for after the end moves nobody: only a request for a rollback does.
fn too_late(run: &Run<'_>) -> String {
    let ceiling = Some(run.order.up_to).filter(|up_to| *up_to < Weight::FULL);
    let ceiling = ceiling.map(|up_to| format!("spec.traffic.upTo is {up_to}"));
    let attempt = Some(run.order.attempt).filter(|attempt| *attempt > run.status.attempt);
    let attempt = attempt.map(|attempt| format!("spec.attempt is {attempt}"));
    let asked: Vec<_> = ceiling.into_iter().chain(attempt).collect();
    if asked.is_empty() {
        return String::new();
    }
    let command = run.order.controls.how_to_request(ROLLBACK_ANNOTATION);
    format!("{}, which changes nothing any more. To go back: {command}", asked.join(" and "))
}
