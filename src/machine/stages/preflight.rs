//! Preflight (guide: prerequisites): read-only checks, and the plan that is agreed when they pass.

use jiff::SignedDuration;

use super::super::edits;
use super::super::observed::Side;
use super::super::pins;
use super::super::reason::Reason;
use super::super::right::Rights;
use super::super::run::{Memo, Move, Run, Wait, words};
use super::super::stuck;
use super::pending;
use crate::api::Stage;
use crate::api::status::{Finding, Plan, PlannedIngress, PlannedStep, Severity};
use crate::preflight;

/// A right that is given is noticed within this time.
const RIGHTS_ASKED_AGAIN: SignedDuration = SignedDuration::from_secs(10);

pub(super) fn visit(run: &Run<'_>) -> Move {
    if let Some(wait) = trouble_before_checks(run) {
        return wait.into();
    }
    // Hosts may have come since, and a new process stands in line again.
    if let Some(wait) = pending::locked(run) {
        return wait.into();
    }
    if let Some(wait) = blocked(run) {
        return wait.into();
    }
    if run.status.plan.is_none() {
        return Move::Remember(Memo::Plan(plan(run)));
    }
    let told = findings(run).into_iter().find(|finding| finding.check == preflight::OTHER_NAMESPACES_UNSEEN);
    // It is asked once: the pipeline keeps it.
    let unseen = told.map_or_else(String::new, |finding| format!(" {}", finding.message));
    Move::Advance { message: format!("No blocker was found.{unseen}") }
}

/// What keeps the checks from being made. That the operator may not look is what a check says best.
pub(in super::super) fn trouble_before_checks(run: &Run<'_>) -> Option<Wait> {
    if preflight::lacks_rights(run.order, run.observed) {
        return None;
    }
    run.cluster_trouble().or_else(|| rights_not_asked(run)).or_else(|| stuck::unread(run))
}

/// Nobody asks once the move has begun.
fn rights_not_asked(run: &Run<'_>) -> Option<Wait> {
    let is_open = |side| run.status.stage <= Stage::Preflight && run.view(side).rights == Rights::NotAsked;
    let message = "The clusters are being asked what the operator may do there.";
    let wait = Wait::new(Reason::ConnectingToClusters, message).until(run.now);
    [Side::Source, Side::Target].into_iter().any(is_open).then_some(wait)
}

/// Nothing tells that a right was given.
fn look_again(run: &Run<'_>, blockers: &[Finding], wait: Wait) -> Wait {
    let is_about_rights = blockers.iter().any(|finding| finding.check == preflight::PERMISSIONS);
    if is_about_rights { wait.looking_again_at(run.now + RIGHTS_ASKED_AGAIN) } else { wait }
}

/// What the checks find in this stage. What speaks of the weights that a move begins with is not asked once it has begun.
pub(in super::super) fn findings(run: &Run<'_>) -> Vec<Finding> {
    let begins = run.status.stage <= Stage::Preflight || is_unwritten(run);
    let asked = |finding: &&Finding| begins || !preflight::is_of_the_beginning(finding);
    run.findings().iter().filter(asked).cloned().collect()
}

/// Whether WeightSource has not written anything yet: Preflight may have passed on a view that was older than what stands there.
fn is_unwritten(run: &Run<'_>) -> bool {
    let stamped = |side: Side| {
        let stamps = run.view(side).ingresses.values().filter_map(|facts| facts.stamp_of(&run.order.owner));
        stamps.into_iter().any(|stamp| stamp.epoch == run.status.epoch)
    };
    run.status.stage == Stage::WeightSource && ![Side::Source, Side::Target].into_iter().any(stamped)
}

/// The first blocker that is not acknowledged, if there is one.
pub(in super::super) fn blocked(run: &Run<'_>) -> Option<Wait> {
    let blockers = findings(run).into_iter().filter(|finding| finding.severity == Severity::Blocker);
    let blockers: Vec<_> = blockers.collect();
    let first = blockers.first()?;
    let more = match blockers.len() {
        0 | 1 => String::new(),
        count => format!(" ({} more in status.preflight.)", count - 1),
    };
    let message = format!("{}: {}{more}", first.check, first.message);
    let wait = Wait::new(Reason::PreflightBlocked, message).unblocked_by(&first.fix).stalled();
    Some(look_again(run, &blockers, wait))
}

/// What this attempt will do. Of later edits only steps, holds and the bake are taken up; see [`edits`].
pub(in super::super) fn plan(run: &Run<'_>) -> Plan {
    let order = run.order;
    let steps = order.steps.iter().map(|step| PlannedStep { weight: step.weight.get(), hold: words(step.hold) });
    edits::sealed(Plan {
        steps: steps.collect(),
        ingresses: preflight::moving_ingresses(order, run.observed).map(|name| planned(run, name)).collect(),
        secrets: order.secrets.iter().cloned().collect(),
        bake: words(order.bake),
        excluded: order.excluded_ingresses.iter().cloned().collect(),
        clusters: Some(pins::of(order)),
        hash: String::new(),
    })
}

fn planned(run: &Run<'_>, name: &str) -> PlannedIngress {
    PlannedIngress {
        name: name.to_owned(),
        source_identifier: preflight::identifier(run.order, run.observed, Side::Source, name),
        target_identifier: preflight::identifier(run.order, run.observed, Side::Target, name),
    }
}
