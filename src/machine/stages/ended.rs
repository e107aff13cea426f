//! Completed, RolledBack and Failed: nothing is written from here on. A higher attempt starts again after the last two.

use super::super::reason::Reason;
use super::super::run::{Move, Run, Wait};
use crate::api::Stage;

pub(super) fn visit(run: &Run<'_>) -> Move {
    let cause = run.status.cause.as_ref().map(|cause| format!(" {}", cause.message)).unwrap_or_default();
    let again = format!("To try again: set spec.attempt to {}.", run.status.attempt + 1);
    match run.status.stage {
        Stage::Completed => {
            let message = "The target serves everything. Nobody has measured whether the source still gets requests.";
            Wait::new(Reason::Completed, message).into()
        }
        Stage::RolledBack => {
            let message = format!("The source serves everything again.{cause}");
            Wait::new(Reason::RolledBack, message).unblocked_by(again).stalled().into()
        }
        _ => Wait::new(Reason::Failed, format!("It ended without a move.{cause}")).unblocked_by(again).stalled().into(),
    }
}
