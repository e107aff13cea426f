//! The planted mistakes: what each changes of the shipped decision or of the executor.

use namespace_migration::api::Stage;
use namespace_migration::api::foreign::ForeignState;
use namespace_migration::api::status::{NamespaceMigrationStatus, StepPhase};
use namespace_migration::machine::effect::WeightWrite;
use namespace_migration::machine::permit::Refusal;
use namespace_migration::machine::stamp::Direction;
use namespace_migration::machine::{Decision, Effect, Side};

use crate::facts::View;
use crate::setup::{Plant, Setup};
use crate::state::{OLD, Shown, State};
use crate::zone::wanted;

/// What a decision becomes.
pub fn change(setup: &Setup, decision: &mut Decision) {
    if setup.plants(Plant::TellsTooLittle) {
        decision.status.exposed_percent = None;
    }
    let plants = [Plant::LowerFirst, Plant::LowerFirstBehindThePermit, Plant::ReplacesGiverFirst];
    if plants.into_iter().any(|plant| setup.plants(plant)) {
        let lowered: Vec<_> = decision.effects.iter().filter_map(|effect| lowered(setup, effect)).collect();
        decision.effects.splice(0..0, lowered);
    }
}

/// The source's write that ought to follow a raise of the target, and comes before it.
fn lowered(setup: &Setup, effect: &Effect) -> Option<Effect> {
    let Effect::WriteWeight(raise) = effect else { return None };
    let raises = raise.side == Side::Target && !raise.is_claim() && raise.stamp.direction == Direction::Forward;
    let raises = raises && (raise.replaces.is_some() || !setup.plants(Plant::ReplacesGiverFirst));
    let identifier = setup.order(0).identifier(Side::Source, &raise.ingress);
    raises.then(|| {
        let weight = raise.weight.complement();
        Effect::WriteWeight(WeightWrite { side: Side::Source, uid: None, identifier, weight, ..raise.clone() })
    })
}

/// Refusals that nobody heeds.
pub fn ignores(setup: &Setup, refusal: &Refusal) -> bool {
    match refusal {
        Refusal::BothZero { .. } => setup.plants(Plant::LowerFirst) || setup.plants(Plant::ReplacesGiverFirst),
        Refusal::Fenced { .. } => setup.plants(Plant::NoFence),
        _ => false,
    }
}

/// What a process with this status makes of what DNS lists.
pub fn misread(setup: &Setup, state: &State, status: &NamespaceMigrationStatus, view: &mut View) {
    let holds =
        status.stage == Stage::Bake || status.step.as_ref().is_some_and(|step| step.phase == StepPhase::Holding);
    let replaces = status.foreign_weights.iter().any(|weight| weight.state == ForeignState::Replacing);
    let forward = view.token == 0 && !state.past.rolling();
    let as_written = forward
        && (setup.plants(Plant::NoGate)
            || (setup.plants(Plant::ReplacesUnseen) && (status.put_back.is_some() || replaces))
            || (setup.plants(Plant::HoldsBlindly) && holds));
    let answered = setup.plants(Plant::EndsUnanswered) && state.past.rolling();
    for (side, (listed, live)) in view.listed.iter_mut().zip(&state.live).enumerate() {
        for (listed, live) in listed.iter_mut().zip(live) {
            if as_written || (answered && side == 0 && listed.0 == Shown::Nothing) {
                *listed = (wanted(*live, true), OLD);
            }
        }
    }
}

/// Whether a write leaves the object's version as it was, so that older writes still fit.
pub fn keeps_version(setup: &Setup, changes_weight: bool) -> bool {
    setup.plants(Plant::NoVersion) || (setup.plants(Plant::NoFence) && !changes_weight)
}

/// Whether a rollback does not remember that the source did not get its weight.
pub fn forgets(setup: &Setup) -> bool {
    setup.plants(Plant::ForgetsTheSource)
}

/// Whether a rollback's write to the source is not even tried.
pub fn is_kept_back(setup: &Setup, side: Side, reach: [bool; 2]) -> bool {
    setup.plants(Plant::WaitsForTarget) && side == Side::Source && !reach[1]
}
