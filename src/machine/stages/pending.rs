//! Pending (guide step 1, "agree a time"): waits until both clusters are connected and nobody else moves this namespace
//! or one of its hosts.

use super::super::by_hand;
use super::super::neighbours;
use super::super::observed::Side;
use super::super::reason::Reason;
use super::super::run::{Move, Run, Wait};
use super::preflight;

pub(super) fn visit(run: &Run<'_>) -> Move {
    if let Some(wait) = preflight::trouble_before_checks(run) {
        return wait.into();
    }
    if let Some(wait) = locked(run) {
        return wait.into();
    }
    Move::Advance { message: "Both clusters are connected.".to_owned() }
}

/// The lock on the namespace and its hosts.
pub(super) fn locked(run: &Run<'_>) -> Option<Wait> {
    let in_front = run.observed.in_front.as_ref().map(|holder| {
        let message =
            format!("{} is claimed by NamespaceMigration {}, which came first.", holder.thing, holder.migration);
        let fix = "Wait until the other one has ended: this one then goes on by itself. Or delete one of the two.";
        Wait::new(Reason::OwnedByAnother, message).unblocked_by(fix)
    });
    in_front.or_else(|| moved_by_another(run)).or_else(|| neighbours::in_front(run))
}

/// The lock: another owner's stamp that has not ended, on any Ingress of the namespace. It is looked at until our own stamps
/// are there: two migrations may come to the same Ingresses at one moment.
pub(in super::super) fn moved_by_another(run: &Run<'_>) -> Option<Wait> {
    [Side::Source, Side::Target].into_iter().find_map(|side| {
        let (name, stamp) = run.view(side).ingresses.iter().find_map(|(name, facts)| {
            let stamp = facts.stamp.as_ref()?;
            (stamp.owner != run.order.owner && !stamp.direction.is_final()).then_some((name, stamp))
        })?;
        let message = format!("Ingress {name} on the {side} is moved by another migration, {}.", stamp.owner);
        let fix = format!(
            "Wait for the other migration to end, or delete this one. {}",
            by_hand::without_owner(side, &run.order.namespace, name)
        );
        Some(Wait::new(Reason::OwnedByAnother, message).unblocked_by(fix))
    })
}
