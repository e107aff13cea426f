//! How urgently DNS must be read for a migration.

use super::order::Order;
use super::reason::Reason;
use super::stages::is_rollback;
use crate::api::Stage;
use crate::api::status::{NamespaceMigrationStatus, StepPhase};

/// What a reading of DNS is for. Where readings are scarce, the first is served first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Urgency {
    /// Users are on the way back from a sick side.
    Rollback,
    /// The target is being lowered.
    Lowering,
    /// The target is being published or raised.
    Raising,
    /// Nothing is being changed.
    Monitoring,
}

/// How urgently DNS must be read.
pub(super) fn urgency(order: &Order, status: &NamespaceMigrationStatus) -> Option<Urgency> {
    let phase = status.step.as_ref().map(|step| step.phase);
    order.dns.is_verified().then_some(())?;
    match status.stage {
        stage if is_rollback(stage) => Some(Urgency::Rollback),
        // The bake is over, and waits for a last look.
        Stage::Bake if status.reason == Reason::WaitingForDns.as_str() => Some(Urgency::Raising),
        Stage::Preflight | Stage::SmokeTest | Stage::Bake => Some(Urgency::Monitoring),
        Stage::ShiftTraffic if phase.is_some_and(StepPhase::is_on_the_way_down) => Some(Urgency::Lowering),
        Stage::ShiftTraffic if phase == Some(StepPhase::Holding) => Some(Urgency::Monitoring),
        Stage::WeightSource | Stage::PublishTarget | Stage::ShiftTraffic => Some(Urgency::Raising),
        // Users of a source that somebody lowered get it back.
        _ => status.put_back.as_ref().map(|_| Urgency::Lowering),
    }
}
