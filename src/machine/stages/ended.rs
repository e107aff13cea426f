//! Completed, RolledBack and Failed: nothing is written from here on. A higher attempt starts again after the last two,
//! and after all of them a request that makes sense; see `requests`.

use super::super::reason::Reason;
use super::super::run::{Move, Run, Wait};
use super::super::traffic::Weight;
use crate::api::{ROLLBACK_ANNOTATION, Stage};

pub(super) fn visit(run: &Run<'_>) -> Move {
    let cause = run.status.cause.as_ref().map(|cause| format!(" {}", cause.message)).unwrap_or_default();
    let again = format!("To try again: set spec.attempt to {}.", run.status.attempt + 1);
    match run.status.stage {
        Stage::Completed => {
            let message = "The target serves everything. Nobody has measured whether the source still gets requests.";
            Wait::new(Reason::Completed, message).unblocked_by(late_ceiling(run)).into()
        }
        Stage::RolledBack => {
            let message = format!("The source serves everything again.{cause}");
            Wait::new(Reason::RolledBack, message).unblocked_by(again).stalled().into()
        }
        _ => Wait::new(Reason::Failed, format!("It ended without a move.{cause}")).unblocked_by(again).stalled().into(),
    }
}

/// A ceiling that comes after the end moves nobody.
fn late_ceiling(run: &Run<'_>) -> String {
    if run.order.up_to == Weight::FULL {
        return String::new();
    }
    format!(
        "spec.traffic.upTo is {}, which changes nothing any more. To go back: kubectl annotate migration {} \
         {ROLLBACK_ANNOTATION}=TOKEN, with a token that was not used before.",
        run.order.up_to, run.order.controls.object
    )
}
